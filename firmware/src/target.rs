// SPDX-License-Identifier: MIT OR Apache-2.0
//! What iPXE's make can be asked for: a short name such as `8086100e.mrom` stands for a directory,
//! a file, and what the file will be.

use std::fmt;

use site::Client;

use crate::inspect::Kind;
use crate::pins::{ExplicitGroups, Release};

/// One thing to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    name: String,
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
    /// `bin-x86_64-linux`: x86-64, a program on Linux, for tests with many clients.
    LinuxX64,
}

impl Platform {
    /// All of them.
    pub const ALL: [Platform; 3] = [Platform::Bios, Platform::EfiX64, Platform::LinuxX64];

    /// iPXE's BIN directory, relative to `src/`.
    pub fn bin(self) -> &'static str {
        match self {
            Platform::Bios => "bin",
            Platform::EfiX64 => "bin-x86_64-efi",
            Platform::LinuxX64 => "bin-x86_64-linux",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Platform::Bios => "BIOS, i386",
            Platform::EfiX64 => "UEFI, x86-64",
            Platform::LinuxX64 => "Linux, x86-64",
        })
    }
}

/// Endings that are built, with what they make.
const ENDINGS: [(&str, Platform, Kind); 9] = [
    ("lkrn", Platform::Bios, Kind::Lkrn),
    ("kpxe", Platform::Bios, Kind::BootProgram),
    ("kkpxe", Platform::Bios, Kind::BootProgram),
    ("pxe", Platform::Bios, Kind::BootProgram),
    ("rom", Platform::Bios, Kind::Rom),
    ("pcirom", Platform::Bios, Kind::Rom),
    ("mrom", Platform::Bios, Kind::Rom),
    ("efi", Platform::EfiX64, Kind::Efi),
    ("linux", Platform::LinuxX64, Kind::Elf),
];

/// A name that no target has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no firmware target {found:?}: expected a name such as undionly.kpxe or 8086100e.mrom, ending in one of {}",
    ENDINGS.map(|(ending, ..)| ending).join(", ")
)]
pub struct TargetError {
    found: String,
}

impl Target {
    /// Reads a short name.
    pub fn parse(name: &str) -> Result<Target, TargetError> {
        let wrong = || TargetError {
            found: name.to_owned(),
        };
        let (stem, ending) = name.split_once('.').ok_or_else(wrong)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if stem.is_empty() || stem.starts_with('-') || !stem.chars().all(plain) {
            return Err(wrong());
        }
        let (_, platform, kind) = ENDINGS
            .into_iter()
            .find(|(known, ..)| *known == ending)
            .ok_or_else(wrong)?;
        Ok(Target {
            name: name.to_owned(),
            platform,
            kind,
        })
    }

    /// The short name, which is the file's name, too.
    pub fn name(&self) -> &str {
        &self.name
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
        format!("{}/{}", self.platform.bin(), self.name)
    }

    /// The card that an option ROM is for: `8086100e` is vendor 8086, device 100e.
    pub fn pci(&self) -> Option<(u16, u16)> {
        let (stem, _) = self.name.split_once('.')?;
        if self.kind != Kind::Rom || stem.len() != 8 {
            return None;
        }
        let id = |range| u16::from_str_radix(stem.get(range)?, 16).ok();
        Some((id(0..4)?, id(4..8)?))
    }
}

/// The make arguments for `targets`, which share one BIN directory, in the order in which they are
/// printed. `tree` is the absolute path of the tree that holds `src/`, `script` the embedded
/// script's, relative to `src/`.
pub fn make_arguments(
    release: &Release,
    client: Client,
    targets: &[&Target],
    tree: &str,
    script: &str,
    jobs: usize,
) -> Vec<String> {
    let mut arguments = vec![format!("-j{jobs}"), format!("EMBED={script}")];
    // Absolute paths in objects end up in the archive's checksum, and so in the ROMs' build id.
    let map = format!("-ffile-prefix-map={tree}=.");
    let flags = std::iter::once(map.as_str()).chain(release.cflags.iter().map(String::as_str));
    arguments.push(format!(
        "EXTRA_CFLAGS={}",
        flags.collect::<Vec<_>>().join(" ")
    ));
    let upstreams = release.client(client) == Client::Stock;
    if upstreams && release.explicit_groups == ExplicitGroups::Broken {
        arguments.push("CFLAGS_slam=-Dsock_aton=slam_sock_aton".to_owned());
    }
    arguments.extend(release.make.iter().cloned());
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
    fn make_gets_what_the_release_needs() {
        let pins = Pins::builtin().unwrap();
        let target = Target::parse("undionly.kpxe").unwrap();
        let arguments = |name, client| {
            let release = pins.release(name).unwrap();
            make_arguments(release, client, &[&target], "/t", "../slamboot.ipxe", 2).join(" ")
        };
        assert_eq!(
            arguments("v2.0.0", Client::Slamboot),
            "-j2 EMBED=../slamboot.ipxe EXTRA_CFLAGS=-ffile-prefix-map=/t=. bin/undionly.kpxe"
        );
        assert_eq!(
            arguments("v2.0.0", Client::Stock),
            "-j2 EMBED=../slamboot.ipxe EXTRA_CFLAGS=-ffile-prefix-map=/t=. CFLAGS_slam=-Dsock_aton=slam_sock_aton bin/undionly.kpxe"
        );
        assert_eq!(
            arguments("v1.20.1", Client::Slamboot),
            "-j2 EMBED=../slamboot.ipxe EXTRA_CFLAGS=-ffile-prefix-map=/t=. -fcommon NO_WERROR=1 bin/undionly.kpxe"
        );
    }
}
