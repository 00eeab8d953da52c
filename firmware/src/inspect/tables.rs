// SPDX-License-Identifier: MIT OR Apache-2.0
//! iPXE's linker tables, found in its memory image without symbols.
//!
//! `__table_entry` (iPXE `include/ipxe/tables.h`) puts entries of one table side by side. A word
//! that an entry begins with and that equals the address of a known string is an anchor; from it
//! the table is followed both ways as long as the entries look like entries.

use memchr::memmem;
use sha2::{Digest, Sha256};

/// Program memory: words are `word` bytes wide.
pub(super) struct Memory<'a> {
    pub bytes: &'a [u8],
    pub word: Word,
    /// The address of the first byte.
    pub base: usize,
}

/// Width of a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// i386.
    Four,
    /// x86-64.
    Eight,
}

impl Word {
    fn bytes(self) -> usize {
        match self {
            Word::Four => 4,
            Word::Eight => 8,
        }
    }
}

/// A table's names, each with the offset of its entry.
pub(super) type Names = Vec<(usize, String)>;

/// Schemes that some iPXE has an opener for; one of them is enough to find the table.
const SCHEMES: [&str; 9] = [
    "x-slam", "http", "tftp", "https", "ftp", "nfs", "iscsi", "file", "aoe",
];
/// Names of features, in the categories of `include/ipxe/features.h`.
const FEATURES: [&str; 8] = [
    "DNS", "HTTP", "TFTP", "SLAM", "iSCSI", "ELF", "EFI", "bzImage",
];
/// Names that entries of the table beside the features begin with, too (`net/tcp/httpauth.c`).
const NEIGHBOURS: [&str; 3] = ["Basic", "Digest", "NTLM"];
/// A record of settings is below this.
const LONGEST_RECORD: usize = 64 << 10;
/// No scheme or feature is longer than this; `MBOOT` and `Menu` are typical.
const LONGEST_NAME: usize = 16;
/// gPXE's cards have long ones (`E1000_DEV_ID_82546GB_QUAD_COPPER_KSP3`).
const LONGEST_CARD: usize = 48;
/// Some commands that every iPXE with a shell or scripts has.
const COMMANDS: [&str; 8] = [
    "dhcp", "chain", "echo", "goto", "imgfetch", "boot", "exit", "set",
];
/// More entries than any table of openers or features has; there are up to 120 commands.
const LONGEST_TABLE: usize = 256;
/// Places of one string, and of one pointer, that are looked at: real ones have very few, and a file
/// made to have many must not cost quadratic time.
const MOST_PLACES: usize = 24;
/// Entries of tables of PCI ids that are looked at in one file: a real iPXE has about a thousand.
const MOST_IDS: usize = 1 << 16;
/// More ids than any one driver has.
const LONGEST_IDS: usize = 1024;
/// `DHCP_EB_FEATURE_SLAM`, length, version (`include/ipxe/features.h`).
const DHCP_SLAM: [u8; 3] = [0x1a, 1, 1];

impl Memory<'_> {
    /// `struct uri_opener { const char *scheme; int (*open)(…); }` (`include/ipxe/open.h`).
    pub(super) fn openers(&self) -> Names {
        let is_entry = |at: usize| {
            let code = self.word_at(at + self.word.bytes())?;
            let name = self.name_at(self.word_at(at)?)?;
            let scheme =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_+.".contains(c);
            (self.is_inside(code) && name.chars().all(scheme)).then_some(name)
        };
        self.table(&SCHEMES, 2 * self.word.bytes(), is_entry)
    }

    /// `struct command { const char *name; int (*exec)(…); }` (`include/ipxe/command.h`).
    pub(super) fn commands(&self) -> Names {
        let is_entry = |at: usize| {
            let code = self.word_at(at + self.word.bytes())?;
            let name = self.name_at(self.word_at(at)?)?;
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
            (self.is_inside(code) && name.chars().all(plain)).then_some(name)
        };
        self.table(&COMMANDS, 2 * self.word.bytes(), is_entry)
    }

    /// `struct feature { char *name; }` (`include/ipxe/features.h`).
    pub(super) fn features(&self) -> Names {
        let is_entry = |at: usize| {
            let name = self.name_at(self.word_at(at)?)?;
            (!NEIGHBOURS.contains(&&*name)).then_some(name)
        };
        self.table(&FEATURES, self.word.bytes(), is_entry)
    }

    /// PCI cards, sorted: `struct pci_driver { struct pci_device_id *ids; unsigned int id_count;
    /// struct pci_class_id class; int (*probe)(…); void (*remove)(…); }` with `struct
    /// pci_device_id { const char *name; uint16_t vendor; uint16_t device; unsigned long data; }`
    /// (`include/ipxe/pci.h`). Drivers stand anywhere: each word is asked whether it begins one.
    pub(super) fn drivers(&self) -> Vec<Driver> {
        let found = self.drivers_where(true);
        if found.is_empty() {
            // Before 2013 drivers had no class, and less to tell them by: one card alone is rather
            // something else that looks like it.
            let found = self.drivers_where(false);
            return if found.len() > 1 { found } else { Vec::new() };
        }
        found
    }

    fn drivers_where(&self, classed: bool) -> Vec<Driver> {
        let word = self.word.bytes();
        // On 64 bits the count and the class take 12 bytes, and 4 of padding.
        let code = match (self.word, classed) {
            (Word::Four, true) => 4 * word,
            (Word::Eight, true) => 3 * word,
            (_, false) => 2 * word,
        };
        let mut left = MOST_IDS;
        let mut drivers = Vec::new();
        for at in (0..self.bytes.len().saturating_sub(code + 2 * word)).step_by(4) {
            let count = self.u32_at(at + word).unwrap_or(0) as usize;
            if !(1..=LONGEST_IDS).contains(&count) {
                continue;
            }
            let ids = self.word_at(at).and_then(|ids| ids.checked_sub(self.base));
            let Some(ids) = ids.filter(|ids| ids % 4 == 0 && *ids < self.bytes.len()) else {
                continue;
            };
            let inside = |at| self.word_at(at).is_some_and(|code| self.is_inside(code));
            let coded = inside(at + code) && inside(at + code + word);
            if !coded || (classed && !self.class_at(at + word + 4)) {
                continue;
            }
            let entries = (0..count).map(|n| {
                left = left.checked_sub(1)?;
                self.driver_at(ids + n * 3 * word)
            });
            if let Some(found) = entries.collect::<Option<Vec<_>>>() {
                drivers.extend(found);
            }
            if left == 0 {
                break;
            }
        }
        drivers.sort_unstable();
        drivers.dedup();
        drivers
    }

    /// `struct pci_class_id { uint32_t class; uint32_t mask; }`: a mask of whole bytes, and a class
    /// within it (`PCI_CLASS_ID`, `PCI_CLASS`).
    fn class_at(&self, at: usize) -> bool {
        let (Some(class), Some(mask)) = (self.u32_at(at), self.u32_at(at + 4)) else {
            return false;
        };
        [0, 0x00ff_0000, 0x00ff_ff00, 0x00ff_ffff].contains(&mask) && class & !mask == 0
    }

    fn driver_at(&self, at: usize) -> Option<Driver> {
        let name = self.text_at(self.word_at(at)?, LONGEST_CARD)?;
        let ids = at.checked_add(self.word.bytes())?;
        let id = |at: usize| {
            let id = self.bytes.get(at..)?.first_chunk()?;
            Some(u16::from_le_bytes(*id))
        };
        let (vendor, device) = (id(ids)?, id(ids + 2)?);
        // No card has the device id 0, and iPXE's short names are file names: what looks like a card
        // and is not so is something else.
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let card = vendor != 0 && device != 0 && name.chars().all(plain);
        card.then_some(Driver {
            vendor,
            device,
            name,
        })
    }

    /// `product_version` (`core/version.c`): three numbers, and what a checkout adds.
    pub(super) fn version(&self) -> Option<String> {
        let mut strings = self.bytes.split(|byte| *byte == 0);
        strings.find_map(|bytes| {
            // Code may end right before it.
            let graphic = |byte: &u8| *byte == b' ' || byte.is_ascii_graphic();
            let start = bytes.iter().rposition(|byte| !graphic(byte));
            let bytes = &bytes[start.map_or(0, |at| at + 1)..];
            let text = std::str::from_utf8(bytes).ok();
            let text = text.filter(|text| text.len() < 64)?;
            let (number, rest) = text.split_at(
                text.find(|c: char| !c.is_ascii_digit() && c != '.')
                    .unwrap_or(text.len()),
            );
            let parts: Vec<&str> = number.split('.').collect();
            let numbers = parts.len() == 3 && parts.iter().all(|part| (1..4).contains(&part.len()));
            let known = rest.is_empty() || rest.starts_with(['+', '-', ' ']);
            (numbers && known).then(|| text.to_owned())
        })
    }

    /// Whether the list that DHCP option 175 is made of has SLAM in it.
    pub(super) fn announces_slam(&self) -> bool {
        find_all(self.bytes, &DHCP_SLAM).next().is_some()
    }

    /// Whether `text` stands anywhere as a C string of its own.
    pub(super) fn has_string(&self, text: &str) -> bool {
        self.strings(text).next().is_some()
    }

    /// What stands behind the first `start`, up to the end of that C string.
    pub(super) fn text_behind(&self, start: &str) -> Option<String> {
        let at = find_all(self.bytes, start.as_bytes()).next()? + start.len();
        let rest = self.bytes.get(at..)?;
        let end = rest.iter().take(LONGEST_RECORD).position(|b| *b == 0)?;
        std::str::from_utf8(&rest[..end]).ok().map(str::to_owned)
    }

    /// The first embedded image, if it is a script: `struct image` holds its address and, next to
    /// it, its length (`image/embedded.c`).
    pub(super) fn script(&self) -> Option<Script> {
        let scripts = [&b"#!ipxe"[..], b"#!gpxe"];
        let mut starts = scripts
            .into_iter()
            .flat_map(|magic| find_all(self.bytes, magic));
        starts.find_map(|at| {
            let length = self.pointers_to(at).find_map(|pointer| {
                let length = self.word_at(pointer + self.word.bytes())?;
                (length >= 7 && length <= self.bytes.len() - at).then_some(length)
            })?;
            Some(Script::of(&self.bytes[at..at + length]))
        })
    }

    /// The table with most of `anchors` in it: a known name may begin an entry of another table,
    /// too (EFI's buses, for one).
    fn table(
        &self,
        anchors: &[&str],
        step: usize,
        entry: impl Fn(usize) -> Option<String>,
    ) -> Names {
        let mut best = Names::new();
        for anchor in anchors {
            for pointer in self.strings(anchor).flat_map(|at| self.pointers_to(at)) {
                if best.iter().any(|(at, _)| *at == pointer) {
                    continue;
                }
                let mut found = Names::new();
                let downwards = (1..LONGEST_TABLE).map_while(|n| pointer.checked_sub(n * step));
                follow(&mut found, downwards, &entry);
                found.reverse();
                let upwards = (0..LONGEST_TABLE).map(|n| pointer + n * step);
                follow(&mut found, upwards, &entry);
                let known = |names: &Names| {
                    let known = |(_, name): &&(usize, String)| anchors.contains(&name.as_str());
                    names.iter().filter(known).count()
                };
                if known(&found) > known(&best) {
                    best = found;
                }
            }
        }
        best
    }

    /// Where `text` stands, NUL-terminated, not as the tail of a longer word.
    fn strings(&self, text: &str) -> impl Iterator<Item = usize> {
        let terminated = [text.as_bytes(), b"\0"].concat();
        find_all(self.bytes, &terminated)
            .filter(|at| {
                at.checked_sub(1)
                    .is_none_or(|before| self.bytes[before] == 0)
            })
            .take(MOST_PLACES)
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Where a word with the address of offset `at` stands; words are aligned to four bytes.
    fn pointers_to(&self, at: usize) -> impl Iterator<Item = usize> {
        let value = (self.base.wrapping_add(at) as u64).to_le_bytes();
        let value = value[..self.word.bytes()].to_vec();
        find_all(self.bytes, &value)
            .filter(|at| at % 4 == 0)
            .take(MOST_PLACES)
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn word_at(&self, at: usize) -> Option<usize> {
        let rest = self.bytes.get(at..)?;
        let value = match self.word {
            Word::Four => u64::from(u32::from_le_bytes(*rest.first_chunk()?)),
            Word::Eight => u64::from_le_bytes(*rest.first_chunk()?),
        };
        usize::try_from(value).ok()
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }

    /// Whether something can stand at `address`: nothing does at the first byte.
    fn is_inside(&self, address: usize) -> bool {
        address > self.base && address - self.base < self.bytes.len()
    }

    /// The short printable C string at `address`.
    fn name_at(&self, address: usize) -> Option<String> {
        self.text_at(address, LONGEST_NAME)
    }

    /// The printable C string at `address`, of `longest` characters at most.
    fn text_at(&self, address: usize, longest: usize) -> Option<String> {
        let rest = self.bytes.get(address.checked_sub(self.base)?..)?;
        let length = rest.iter().take(longest + 1).position(|b| *b == 0)?;
        let name = std::str::from_utf8(&rest[..length]).ok()?;
        let graphic = name.chars().all(|c| c.is_ascii_graphic());
        (length > 1 && graphic).then(|| name.to_owned())
    }
}

/// Takes entries from `places` while they are some. No table has a name twice: one that is there already begins
/// another table (gPXE's image types, `Multiboot` first, stand behind its features).
fn follow(
    found: &mut Names,
    places: impl Iterator<Item = usize>,
    entry: impl Fn(usize) -> Option<String>,
) {
    for at in places {
        let Some(name) = entry(at) else { return };
        if found.iter().any(|(_, known)| *known == name) {
            return;
        }
        found.push((at, name));
    }
}

/// A PCI card that a program drives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Driver {
    /// PCI vendor.
    pub vendor: u16,
    /// PCI device; 0xffff is any.
    pub device: u16,
    /// iPXE's name for it.
    pub name: String,
}

/// The embedded script.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Script {
    /// SHA-256 of the text, in hexadecimal.
    pub sha256: String,
    /// Length of the text.
    pub bytes: usize,
    /// The text; what is no UTF-8 is replaced.
    pub text: String,
}

impl Script {
    /// Describes `text`.
    pub(super) fn of(text: &[u8]) -> Script {
        Script {
            sha256: hex::encode(Sha256::digest(text)),
            bytes: text.len(),
            text: String::from_utf8_lossy(text).into_owned(),
        }
    }
}

/// Every offset at which `needle` stands, overlapping ones, too.
pub(super) fn find_all<'a>(bytes: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let finder = memmem::Finder::new(needle).into_owned();
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + finder.find(bytes.get(from..)?)?;
        from = at + 1;
        Some(at)
    })
}
