// SPDX-License-Identifier: MIT OR Apache-2.0
//! What iPXE's make can be asked for: a short name such as `8086100e.mrom` stands for a directory,
//! a file, and what the file will be.

use std::fmt;

use site::Client;

use crate::cards::Cards;
use crate::inspect::Kind;
use crate::pins::{Dialect, ExplicitGroups, Release};
use crate::recipe::{ROOT, Recipe, SCRIPT};

/// One thing to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    name: String,
    stem: String,
    ending: &'static str,
    platform: Platform,
    kind: Kind,
}

/// Where the result runs, which decides iPXE's BIN directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Platform {
    /// `bin`: i386, PC BIOS.
    Bios,
    /// `bin-x86_64-efi`: x86-64, UEFI.
    EfiX64,
    /// `bin-arm64-efi`: arm64, UEFI.
    EfiArm64,
    /// `bin-x86_64-linux`: x86-64, a program on Linux, for tests with many clients.
    LinuxX64,
}

impl Platform {
    /// All of them.
    pub const ALL: [Platform; 4] = [
        Platform::Bios,
        Platform::EfiX64,
        Platform::EfiArm64,
        Platform::LinuxX64,
    ];

    /// iPXE's BIN directory, relative to `src/`.
    pub fn bin(self) -> &'static str {
        match self {
            Platform::Bios => "bin",
            Platform::EfiX64 => "bin-x86_64-efi",
            Platform::EfiArm64 => "bin-arm64-efi",
            Platform::LinuxX64 => "bin-x86_64-linux",
        }
    }

    /// What stands between stem and ending in short names, where the ending alone does not say it.
    fn suffix(self) -> &'static str {
        match self {
            Platform::EfiX64 => "-efi",
            Platform::EfiArm64 => "-arm64",
            Platform::Bios | Platform::LinuxX64 => "",
        }
    }

    /// The prefix of the compiler's name, where it is none for this machine.
    pub fn cross(self) -> Option<&'static str> {
        (self == Platform::EfiArm64).then_some("aarch64-linux-gnu-")
    }

    /// Whether UEFI starts it.
    pub fn efi(self) -> bool {
        matches!(self, Platform::EfiX64 | Platform::EfiArm64)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Platform::Bios => "BIOS, i386",
            Platform::EfiX64 => "UEFI, x86-64",
            Platform::EfiArm64 => "UEFI, arm64",
            Platform::LinuxX64 => "Linux, x86-64",
        })
    }
}

const BIOS: &[Platform] = &[Platform::Bios];
const UEFI: &[Platform] = &[Platform::EfiX64, Platform::EfiArm64];
const MEDIA: &[Platform] = &[Platform::Bios, Platform::EfiX64, Platform::EfiArm64];

/// Endings that are built, where each can run (the first unless a name says otherwise), and what
/// they make.
const ENDINGS: [(&str, &[Platform], Kind); 14] = [
    ("lkrn", BIOS, Kind::Lkrn),
    ("kpxe", BIOS, Kind::BootProgram),
    ("kkpxe", BIOS, Kind::BootProgram),
    ("pxe", BIOS, Kind::BootProgram),
    ("rom", BIOS, Kind::Rom),
    ("pcirom", BIOS, Kind::Rom),
    ("isarom", BIOS, Kind::Rom),
    ("mrom", BIOS, Kind::Rom),
    ("dsk", BIOS, Kind::Disk),
    ("hd", BIOS, Kind::Disk),
    ("usb", MEDIA, Kind::Disk),
    ("iso", MEDIA, Kind::Iso),
    ("efi", UEFI, Kind::Efi),
    ("efirom", UEFI, Kind::Rom),
];
const LINUX: (&str, &[Platform], Kind) = ("linux", &[Platform::LinuxX64], Kind::Elf);

/// A BIOS copies an option ROM into memory as a whole; its header counts 512-byte units in one byte.
/// An `.mrom` is exempt: only its first 4 KiB are copied.
pub const ROM_LIMIT: usize = 255 * 512;

/// A name that no target has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no firmware target {found:?}: expected a name such as undionly.kpxe, 8086100e.mrom, ipxe-efi.iso or snponly-arm64.efi, ending in one of {}, linux{}",
    ENDINGS.map(|(ending, ..)| ending).join(", "),
    if *.secure_boot { "\nhelp: iPXE's official Secure Boot builds (bin-*-sb) take no SLAM: its source is not among what may be signed; build ipxe.efi or snponly.efi and sign that for a key of your own (sbsign, package sbsigntool)" } else { "" }
)]
pub struct TargetError {
    found: String,
    secure_boot: bool,
}

/// A target that cannot be, whatever the compiler says: found before make starts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{target}: {why}\nhelp: {help}")]
pub struct Misfit {
    /// The target's name.
    pub target: String,
    /// Why it cannot be built, or could not work.
    pub why: String,
    /// What to do instead.
    pub help: String,
}

/// The vendor and device that `8086100e` says.
pub(crate) fn pci_id(name: &str) -> Option<(u16, u16)> {
    let id = |range| u16::from_str_radix(name.get(range)?, 16).ok();
    let digits = name.len() == 8;
    digits.then(|| Some((id(0..4)?, id(4..8)?))).flatten()
}

impl Target {
    /// Reads a short name, or iPXE's own (`bin-x86_64-efi/ipxe.iso`).
    pub fn parse(name: &str) -> Result<Target, TargetError> {
        let wrong = || TargetError {
            found: name.to_owned(),
            secure_boot: name.contains("-sb/"),
        };
        let (bin, file) = match name.rsplit_once('/') {
            Some((bin, file)) => (Some(bin), file),
            None => (None, name),
        };
        let (stem, ending) = file.split_once('.').ok_or_else(wrong)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let (ending, platforms, kind) = ENDINGS
            .into_iter()
            .chain([LINUX])
            .find(|(known, ..)| *known == ending)
            .ok_or_else(wrong)?;
        let (stem, platform) = match bin {
            Some(bin) => {
                let platform = platforms.iter().find(|platform| platform.bin() == bin);
                (stem, *platform.ok_or_else(wrong)?)
            }
            None => platforms
                .iter()
                .filter(|platform| !platform.suffix().is_empty())
                .find_map(|platform| Some((stem.strip_suffix(platform.suffix())?, *platform)))
                .unwrap_or((stem, platforms[0])),
        };
        if stem.is_empty() || stem.starts_with('-') || !stem.chars().all(plain) {
            return Err(wrong());
        }
        let suffix = if platform == platforms[0] {
            ""
        } else {
            platform.suffix()
        };
        Ok(Target {
            name: format!("{stem}{suffix}.{ending}"),
            stem: stem.to_owned(),
            ending,
            platform,
            kind,
        })
    }

    /// The short name, which is the file's name in `dist/`, too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is in it: a card, a driver, or `ipxe` for all.
    pub fn stem(&self) -> &str {
        &self.stem
    }

    /// Its format, by iPXE's name.
    pub fn ending(&self) -> &'static str {
        self.ending
    }

    /// Where it runs.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// What the finished file must be.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What make is asked for: the finished file, relative to `src/`.
    pub fn path(&self) -> String {
        format!("{}/{}.{}", self.platform.bin(), self.stem, self.ending)
    }

    /// The linked program before it is packed, or laid into a ROM or a disk, relative to `src/`: media are made of
    /// another target's file (`Makefile.pcbios`, `Makefile.efi`).
    pub fn linked(&self) -> String {
        let made_of = match (self.ending, self.platform.efi()) {
            ("iso", false) => "lkrn",
            ("usb", false) => "hd",
            ("iso" | "usb", true) => "efi",
            ("efirom", true) => "efidrv",
            (own, _) => own,
        };
        format!("{}/{}.{made_of}.tmp", self.platform.bin(), self.stem)
    }

    /// The card that an option ROM is for: `8086100e` is vendor 8086, device 100e. An `.isarom` has no
    /// place to name it in.
    pub fn pci(&self) -> Option<(u16, u16)> {
        self.id()
            .filter(|_| self.kind == Kind::Rom && self.ending != "isarom")
    }

    /// The card that its name begins with; several are joined by `--`.
    fn id(&self) -> Option<(u16, u16)> {
        pci_id(self.stem.split("--").next()?)
    }

    /// Whether it is made of others by tools that are not the compiler's: an ISO, or an EFI USB image.
    pub fn is_medium(&self) -> bool {
        self.ending == "iso" || (self.ending == "usb" && self.platform.efi())
    }

    /// How large it may be at most for what it is.
    pub fn limit(&self) -> Option<usize> {
        matches!(self.ending, "rom" | "pcirom" | "isarom").then_some(ROM_LIMIT)
    }

    /// What is known to be impossible, said before minutes of compiling.
    pub fn check(&self, release: &Release, cards: &Cards) -> Result<(), Misfit> {
        let misfit = |why: String, help: &str| {
            Err(Misfit {
                target: self.name.clone(),
                why,
                help: help.to_owned(),
            })
        };
        let efi = self.platform.efi();
        if self.limit().is_some() && self.stem == "ipxe" {
            return misfit(
                format!(
                    "a .{} holds at most {ROM_LIMIT} bytes (255 units of 512), and all of iPXE's drivers together take about three times that",
                    self.ending
                ),
                "name the card (cargo xtask firmware --list), or build ipxe.mrom, of which the BIOS copies the first 4 KiB only",
            );
        }
        if self.kind == Kind::Rom && matches!(self.stem.as_str(), "undionly" | "snponly") {
            return misfit(
                format!(
                    "{} drives the card through the vendor's own boot ROM, so it cannot be the card's ROM",
                    self.stem
                ),
                "name the card: VVVVDDDD.mrom; --list shows those that iPXE drives by itself",
            );
        }
        if self.ending == "efirom" && self.stem == "ipxe" {
            return misfit(
                "an option ROM names its card, and a firmware ignores one that names none"
                    .to_owned(),
                "name the card: VVVVDDDD.efirom (cargo xtask firmware --list)",
            );
        }
        match (self.stem.as_str(), efi) {
            ("undionly", true) => {
                return misfit(
                    "UNDI is the BIOS's network interface; UEFI has another, SNP".to_owned(),
                    "build snponly.efi",
                );
            }
            ("snponly" | "snp" | "mnponly", false) => {
                return misfit(
                    "SNP is UEFI's network interface; the BIOS has another, UNDI".to_owned(),
                    "build undionly.kpxe",
                );
            }
            _ => {}
        }
        if release.dialect == Dialect::Gpxe
            && (efi || matches!(self.ending, "mrom" | "pcirom" | "isarom" | "linux"))
        {
            return misfit(
                format!("gPXE cannot make a .{}", self.ending),
                "name a .rom, .kpxe, .pxe, .lkrn or .dsk, or another --release",
            );
        }
        self.check_cards(cards)
    }

    /// Every part of the stem is a card or driver of this release.
    fn check_cards(&self, cards: &Cards) -> Result<(), Misfit> {
        const GENERIC: [&str; 6] = ["ipxe", "undionly", "snponly", "mnponly", "undi", "snp"];
        if GENERIC.contains(&self.stem.as_str()) || cards.all().is_empty() {
            return Ok(());
        }
        for part in self.stem.split("--") {
            let id = Target {
                stem: part.to_owned(),
                ..self.clone()
            };
            let known = cards.knows(part)
                || id
                    .id()
                    .is_some_and(|(vendor, device)| cards.pci(vendor, device).is_some());
            if known {
                continue;
            }
            let (why, help) = match id.id() {
                Some((vendor, device)) => (
                    format!("iPXE drives no card {vendor:04x}:{device:04x}"),
                    match cards.of_vendor(vendor) {
                        0 => format!(
                            "it drives none of vendor {vendor:04x}; the vendor's own boot ROM may chainload undionly.kpxe or snponly.efi"
                        ),
                        n => format!(
                            "cargo xtask firmware --list {vendor:04x} shows the {n} of this vendor; lspci -nn names what a machine has"
                        ),
                    },
                ),
                None => (
                    format!("iPXE has no driver or card {part:?}"),
                    "cargo xtask firmware --list shows all".to_owned(),
                ),
            };
            return Err(Misfit {
                target: self.name.clone(),
                why,
                help,
            });
        }
        Ok(())
    }
}

/// What make does for nobody, and need not: each is a good part of the seconds that another script takes.
const QUICK: [&str; 5] = [
    // iPXE has a rule for all that it makes, and make otherwise looks for its own at every file.
    "-r",
    // Sorts the symbols into the linker's map, which nobody reads.
    "OBJDUMP=:",
    // Told what objects are, it does not load each of binutils' plugins at each of them.
    "AR=$(CROSS_COMPILE)ar --target=$(patsubst i386,elf32-i386,$(patsubst x86_64,elf64-x86-64,$(patsubst arm64,elf64-littleaarch64,$(ARCH))))",
    // It gives symbols a prefix, which only builds for Linux have: the others' library (`Makefile.housekeeping`,
    // `$(BLIB)`) would be copied as it is.
    "OBJCOPY=$(if $(filter %/blib.a,$@),$(if $(SYMBOL_PREFIX),,:)) $(CROSS_COMPILE)objcopy",
    // It lists the library's symbols, as `ar` has, and `objcopy` again.
    "RANLIB=:",
];

/// No debugging information: nothing that is finished has any, and with it the libraries are five times as large, of which
/// each file is linked.
const LEAN: &str = "-g0";

/// The make arguments for `targets`, which share one BIN directory, in the order in which they are
/// printed. `tree` is the absolute path of the tree that holds `src/`.
pub fn make_arguments(
    recipe: &Recipe,
    targets: &[&Target],
    tree: &str,
    jobs: usize,
) -> Vec<String> {
    let release = &recipe.release;
    let mut arguments = vec![format!("-j{jobs}")];
    arguments.extend(QUICK.map(str::to_owned));
    arguments.push(format!("EMBED={SCRIPT}"));
    if recipe.root.is_some() {
        // TRUST keeps the root's fingerprint only: CERT gives signatures that do not bring it the rest.
        arguments.extend([format!("TRUST={ROOT}"), format!("CERT={ROOT}")]);
    }
    // Absolute paths in objects end up in the archive's checksum, and so in the ROMs' build id.
    let map = format!("-ffile-prefix-map={tree}=.");
    let flags = [map.as_str(), LEAN].into_iter();
    let flags = flags.chain(release.cflags.iter().map(String::as_str));
    arguments.push(format!(
        "EXTRA_CFLAGS={}",
        flags.collect::<Vec<_>>().join(" ")
    ));
    let upstreams = recipe.parts.client == Client::Stock;
    if upstreams && release.explicit_groups == ExplicitGroups::Broken {
        arguments.push("CFLAGS_slam=-Dsock_aton=slam_sock_aton".to_owned());
    }
    arguments.extend(release.make.iter().cloned());
    let cross = targets.first().and_then(|target| target.platform.cross());
    arguments.extend(cross.map(|prefix| format!("CROSS={prefix}")));
    arguments.extend(targets.iter().map(|target| target.path()));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pins::Pins;

    #[test]
    fn names_say_where_and_what() {
        let rom = Target::parse("8086100e.mrom").unwrap();
        assert_eq!(rom.path(), "bin/8086100e.mrom");
        assert_eq!(rom.pci(), Some((0x8086, 0x100e)));
        assert_eq!(rom.kind(), Kind::Rom);
        let efi = Target::parse("snponly.efi").unwrap();
        assert_eq!(efi.path(), "bin-x86_64-efi/snponly.efi");
        assert_eq!(efi.pci(), None);
        assert_eq!(Target::parse("undionly.kpxe").unwrap().pci(), None);
        let program = Target::parse("tap.linux").unwrap();
        assert_eq!(program.path(), "bin-x86_64-linux/tap.linux");
        assert_eq!(program.kind(), Kind::Elf);
        for name in [
            "",
            "ipxe",
            "ipxe.exe",
            "../x.rom",
            "-x.rom",
            "a b.rom",
            ".rom",
            "x.rom.rom",
        ] {
            let error = Target::parse(name).unwrap_err().to_string();
            assert!(error.contains(&format!("{name:?}")), "{error}");
        }
    }

    #[test]
    fn machines_are_told_apart_by_name() {
        for (name, canonical, path, kind) in [
            ("ipxe.iso", "ipxe.iso", "bin/ipxe.iso", Kind::Iso),
            (
                "ipxe-efi.iso",
                "ipxe-efi.iso",
                "bin-x86_64-efi/ipxe.iso",
                Kind::Iso,
            ),
            (
                "bin-x86_64-efi/ipxe.usb",
                "ipxe-efi.usb",
                "bin-x86_64-efi/ipxe.usb",
                Kind::Disk,
            ),
            (
                "ipxe-arm64.efi",
                "ipxe-arm64.efi",
                "bin-arm64-efi/ipxe.efi",
                Kind::Efi,
            ),
            ("bin/ipxe.usb", "ipxe.usb", "bin/ipxe.usb", Kind::Disk),
            (
                "8086100e.efirom",
                "8086100e.efirom",
                "bin-x86_64-efi/8086100e.efirom",
                Kind::Rom,
            ),
            (
                "ipxe-efi.efi",
                "ipxe.efi",
                "bin-x86_64-efi/ipxe.efi",
                Kind::Efi,
            ),
        ] {
            let target = Target::parse(name).unwrap();
            assert_eq!(
                (target.name(), target.path(), target.kind()),
                (canonical, path.to_owned(), kind)
            );
            assert_eq!(Target::parse(target.name()).unwrap(), target);
            assert_eq!(Target::parse(&target.path()).unwrap(), target);
        }
        for (name, linked) in [
            ("undionly.kpxe", "bin/undionly.kpxe.tmp"),
            ("ipxe.iso", "bin/ipxe.lkrn.tmp"),
            ("ipxe.usb", "bin/ipxe.hd.tmp"),
            ("ipxe-efi.usb", "bin-x86_64-efi/ipxe.efi.tmp"),
            ("8086100e.efirom", "bin-x86_64-efi/8086100e.efidrv.tmp"),
        ] {
            assert_eq!(Target::parse(name).unwrap().linked(), linked);
        }
        let signed = Target::parse("bin-x86_64-efi-sb/ipxe.efi").unwrap_err();
        assert!(
            signed.to_string().contains("package sbsigntool"),
            "{signed}"
        );
        assert!(Target::parse("bin/ipxe.efi").is_err());
    }

    #[test]
    fn what_cannot_be_is_said_before_make_starts() {
        let pins = Pins::builtin().unwrap();
        let mut tree = crate::tree::Tree::default();
        let driver = "PCI_ROM(0x8086, 0x100e, \"82540em\", \"82540EM\", 0),\n";
        let file = crate::tree::File::Plain(driver.as_bytes().to_vec());
        tree.insert("src/drivers/net/intel.c", file).unwrap();
        let cards = Cards::read(&tree);
        let check = |name: &str, release: &str| {
            let target = Target::parse(name).unwrap();
            target.check(pins.release(release).unwrap(), &cards)
        };
        for name in [
            "8086100e.rom",
            "82540em.mrom",
            "intel.kpxe",
            "ipxe.mrom",
            "undionly.kpxe",
            "8086100e--intel.mrom",
        ] {
            check(name, "v2.0.0").unwrap();
        }
        for (name, release, part) in [
            ("ipxe.rom", "v2.0.0", "130560 bytes"),
            ("ipxe.isarom", "v2.0.0", "ipxe.mrom"),
            ("undionly.mrom", "v2.0.0", "vendor's own boot ROM"),
            ("ipxe.efirom", "v2.0.0", "names its card"),
            ("undionly.efi", "v2.0.0", "snponly.efi"),
            ("snponly.kpxe", "v2.0.0", "undionly.kpxe"),
            ("80861234.mrom", "v2.0.0", "--list 8086 shows the 1 "),
            ("ffff1234.mrom", "v2.0.0", "none of vendor ffff"),
            ("nothing.mrom", "v2.0.0", "no driver or card \"nothing\""),
            ("8086100e--nothing.mrom", "v2.0.0", "nothing"),
            ("8086100e.mrom", "gpxe", "gPXE cannot"),
        ] {
            let error = check(name, release).unwrap_err().to_string();
            assert!(
                error.contains(part) && error.starts_with(name) && error.contains("help:"),
                "{error}"
            );
        }
    }

    #[test]
    fn make_gets_what_the_release_needs() {
        let pins = Pins::builtin().unwrap();
        let target = Target::parse("undionly.kpxe").unwrap();
        let arguments = |name, client| {
            let release = pins.release(name).unwrap();
            let mut site = site::Site::default();
            site.firmware.client = client;
            let recipe = Recipe::new(&site, release, None).unwrap();
            let arguments = make_arguments(&recipe, &[&target], "/t", 2);
            assert_eq!(arguments[1..6], QUICK);
            [&arguments[..1], &arguments[6..]].concat().join(" ")
        };
        assert_eq!(
            arguments("v2.0.0", Client::Slamboot),
            "-j2 EMBED=../slamboot.ipxe EXTRA_CFLAGS=-ffile-prefix-map=/t=. -g0 bin/undionly.kpxe"
        );
        assert_eq!(
            arguments("v2.0.0", Client::Stock),
            "-j2 EMBED=../slamboot.ipxe EXTRA_CFLAGS=-ffile-prefix-map=/t=. -g0 CFLAGS_slam=-Dsock_aton=slam_sock_aton bin/undionly.kpxe"
        );
        assert_eq!(
            arguments("v1.20.1", Client::Slamboot),
            "-j2 EMBED=../slamboot.ipxe EXTRA_CFLAGS=-ffile-prefix-map=/t=. -g0 -fcommon NO_WERROR=1 bin/undionly.kpxe"
        );
    }
}
