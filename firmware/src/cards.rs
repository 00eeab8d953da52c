// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which cards a release of iPXE drives, read from its source as its own `util/parserom.pl` reads it:
//! each driver names them in lines such as `PCI_ROM(0x8086, 0x100e, "82540em", "82540EM", 0)`.

use std::collections::BTreeSet;

use crate::tree::{File, Tree};

/// One card, or one family of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Card {
    /// PCI vendor and device, of PCI cards.
    pub pci: Option<(u16, u16)>,
    /// iPXE's short name, which a target may be called by, too.
    pub name: String,
    /// For people.
    pub description: String,
    /// The driver's file without its ending, relative to `src/`.
    pub driver: String,
}

/// All cards of a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cards {
    cards: Vec<Card>,
    drivers: BTreeSet<String>,
}

/// Buses that iPXE knows, by the name of their macro.
const MACROS: [&str; 8] = [
    "PCI_ROM",
    "ISA_ROM",
    "USB_ROM",
    "DT_ROM",
    "EFI_ROM",
    "LINUX_ROM",
    "XEN_ROM",
    "VMBUS_ROM",
];

impl Cards {
    /// Reads every driver in `tree`, the release's source.
    pub fn read(tree: &Tree) -> Cards {
        let mut cards = Cards::default();
        for (path, file) in tree.files() {
            let (Some(path), File::Plain(text) | File::Executable(text)) =
                (path.strip_prefix("src/"), file)
            else {
                continue;
            };
            let Some(driver) = path.strip_suffix(".c") else {
                continue;
            };
            if !driver.contains("drivers/") {
                continue;
            }
            let name = driver.rsplit('/').next().unwrap_or(driver);
            cards.drivers.insert(name.to_owned());
            cards
                .cards
                .extend(declared(&String::from_utf8_lossy(text), driver));
        }
        cards.cards.sort();
        cards.cards.dedup();
        cards
    }

    /// All, sorted by id; those without come first.
    pub fn all(&self) -> &[Card] {
        &self.cards
    }

    /// The card of this id.
    pub fn pci(&self, vendor: u16, device: u16) -> Option<&Card> {
        self.cards
            .iter()
            .find(|card| card.pci == Some((vendor, device)))
    }

    /// How many cards of this vendor there are.
    pub fn of_vendor(&self, vendor: u16) -> usize {
        let of_vendor = |card: &&Card| card.pci.is_some_and(|(id, _)| id == vendor);
        self.cards.iter().filter(of_vendor).count()
    }

    /// Whether a target may be called so: a driver's file, or a card's short name.
    pub fn knows(&self, name: &str) -> bool {
        self.drivers.contains(name) || self.cards.iter().any(|card| card.name == name)
    }

    /// The driver, by its file's name, that a target of this name gets: an id without a colon, a driver's file, or a
    /// card's short name.
    pub fn driver_of(&self, name: &str) -> Option<&str> {
        if let Some(driver) = self.drivers.get(name) {
            return Some(driver);
        }
        let called = |card: &&Card| {
            let id = card
                .pci
                .map(|(vendor, device)| format!("{vendor:04x}{device:04x}"));
            card.name == name || id.is_some_and(|id| id.eq_ignore_ascii_case(name))
        };
        let card = self.cards.iter().find(called)?;
        card.driver.rsplit('/').next()
    }

    /// Those whose id, name, description or driver contain `filter`, in small letters or capitals;
    /// ids as `8086:100e` or `8086100e`.
    pub fn matching<'a>(&'a self, filter: &str) -> impl Iterator<Item = &'a Card> {
        let filter = filter.to_lowercase();
        let id = filter.replace(':', "");
        self.cards.iter().filter(move |card| {
            let ids = card
                .pci
                .map(|(vendor, device)| format!("{vendor:04x}{device:04x}"));
            let texts = [&card.name, &card.description, &card.driver];
            ids.is_some_and(|ids| ids.contains(&id))
                || texts
                    .iter()
                    .any(|text| text.to_lowercase().contains(&filter))
        })
    }
}

/// The declarations in one driver's text.
fn declared(text: &str, driver: &str) -> Vec<Card> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("_ROM") {
        let end = at + "_ROM".len();
        let line = rest[..at].rfind('\n').map_or(0, |newline| newline + 1);
        // Alone at the start of its line: a macro's definition and a comment are not.
        let name = rest[line..end].trim_start();
        let after = &rest[end..];
        rest = after;
        if !MACROS.contains(&name) {
            continue;
        }
        let Some(arguments) = after.trim_start().strip_prefix('(') else {
            continue;
        };
        found.extend(card(name, arguments, driver));
    }
    found
}

fn card(name: &str, mut arguments: &str, driver: &str) -> Option<Card> {
    let mut id = || {
        let digits = arguments.trim_start().strip_prefix("0x")?;
        let (digits, rest) = digits.split_at_checked(4)?;
        arguments = rest.trim_start().strip_prefix(',')?;
        u16::from_str_radix(digits, 16).ok()
    };
    let ids = match name {
        "PCI_ROM" | "USB_ROM" => Some((id()?, id()?)),
        _ => None,
    };
    let mut text = || {
        let quoted = arguments.trim_start().strip_prefix('"')?;
        let (text, rest) = quoted.split_once('"')?;
        let rest = rest.trim_start();
        arguments = rest.strip_prefix(',').unwrap_or(rest);
        Some(text.to_owned())
    };
    let (short, description) = (text()?, text()?);
    (!short.is_empty() && !description.is_empty()).then(|| Card {
        pci: ids.filter(|_| name == "PCI_ROM"),
        // parserom.pl does the same: a comma would end a word in make.
        name: short.replacen(',', "-", 1),
        description,
        driver: driver.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read_as_ipxe_writes_them() {
        let text = "static struct pci_device_id e1000_nics[] = {\n\
            \tPCI_ROM ( 0x8086, 0x100e, \"82540em\", \"82540EM\", 0 ),\n\
            PCI_ROM(0x8086, 0x100F,\n\t\"82545em\",\n\t\"82545EM (Copper)\", INTEL_X),\n\
            // PCI_ROM(0x1234, 0x5678, \"no\", \"no\", 0),\n\
            #define X_PCI_ROM(a) PCI_ROM(a)\n\
            PCI_ROM ( 0x12, 0x5678, \"short\", \"no\", 0 ),\n\
            ISA_ROM(\"ne\",\"NE1000/2000 and clones\");\n\
            \tUSB_ROM ( 0x0424, 0x7500, \"smsc7500\", \"SMSC LAN7500\", 0 ),\n\
            \tDT_ROM ( \"sifive,fu540-c000-gem\", \"SiFive GEM\" ),\n";
        let mut tree = Tree::default();
        for (path, text) in [
            ("src/drivers/net/intel.c", text),
            ("src/net/other.c", text),
            ("src/drivers/net/empty.c", ""),
        ] {
            tree.insert(path, File::Plain(text.as_bytes().to_vec()))
                .unwrap();
        }
        let cards = Cards::read(&tree);
        let names: Vec<&str> = cards.all().iter().map(|card| card.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "ne",
                "sifive-fu540-c000-gem",
                "smsc7500",
                "82540em",
                "82545em"
            ]
        );
        assert_eq!(
            cards.pci(0x8086, 0x100f).unwrap().description,
            "82545EM (Copper)"
        );
        assert_eq!(cards.pci(0x0424, 0x7500), None, "USB is no PCI");
        assert_eq!(cards.of_vendor(0x8086), 2);
        for name in ["8086100f", "8086100F", "82540em", "intel"] {
            assert_eq!(cards.driver_of(name), Some("intel"), "{name}");
        }
        assert_eq!(cards.driver_of("80861234"), None);
        assert!(cards.knows("intel") && cards.knows("empty") && cards.knows("82540em"));
        assert!(!cards.knows("other"));
        let found = |filter: &str| cards.matching(filter).count();
        assert_eq!(
            [
                found("8086:100e"),
                found("8086"),
                found("copper"),
                found("NET/INTEL"),
                found("zz")
            ],
            [1, 2, 1, 5, 0]
        );
    }
}
