// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot programs that are handed out: found, looked into, and held in memory.
//!
//! Each is read once and inspected as it is: what is said of it (SLAM or not) is what was found in
//! the very bytes that clients get. No part of a request ever becomes a path.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use site::Arch;

use super::plan::{Rom, Roms};

/// Longest boot program that is looked at: none of iPXE's comes near.
const LONGEST: u64 = 16 << 20;

/// By their names: those that are offered first, for each architecture.
const PREFERRED: &[&str] = &[
    // The card's own driver (UNDI) works where iPXE has none.
    "undionly.kpxe",
    "undionly.kkpxe",
    "ipxe.pxe",
    // The firmware's own driver (SNP), on the card that it was booted by.
    "snponly.efi",
    "ipxe.efi",
];

/// Where distributions put iPXE without multicast.
const DISTRIBUTION: &[&str] = &["/usr/lib/ipxe", "/usr/share/ipxe"];

/// A boot program.
#[derive(Debug)]
pub struct RomFile {
    /// What it is called.
    pub name: String,
    /// Its content.
    pub bytes: Arc<[u8]>,
    /// SHA-256 of it, hexadecimal.
    pub sha256: String,
    /// Which machines it runs on; `None`: it is not for network boot.
    pub arch: Option<Arch>,
    /// Whether it was proven to hold SLAM.
    pub slam: bool,
}

/// All that were found in one directory.
#[derive(Debug, Default)]
pub struct RomShelf {
    directory: Option<PathBuf>,
    files: BTreeMap<String, Arc<RomFile>>,
    skipped: Vec<(String, String)>,
}

/// Why a directory that was named cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "[server] firmware: cannot read {}: {source}\n  help: `cargo xtask firmware` builds boot programs into dist/firmware", path.display()
)]
pub struct RomError {
    path: PathBuf,
    source: io::Error,
}

impl RomShelf {
    /// Reads `named`, or else the first place that has any: beside the configuration, in a
    /// workspace's `dist/`, beside this program, where packages put them.
    pub fn find(named: Option<&Path>, beside: &Path) -> Result<RomShelf, RomError> {
        if let Some(path) = named {
            return RomShelf::read(path).map_err(|source| RomError {
                path: path.to_owned(),
                source,
            });
        }
        let program = std::env::current_exe().unwrap_or_default();
        let bin = program.parent().unwrap_or(Path::new("/"));
        // Upwards by name, since people read it: the program's own path has no links in it.
        let up = |levels: usize| bin.ancestors().nth(levels).unwrap_or(bin);
        let places = [
            beside.join("firmware"),
            beside.join("dist/firmware"),
            bin.join("firmware"),
            up(1).join("firmware"),
            up(2).join("dist/firmware"),
            up(1).join("lib/slamboot/firmware"),
            PathBuf::from("/usr/lib/slamboot/firmware"),
        ];
        let places = places
            .into_iter()
            .chain(DISTRIBUTION.iter().map(PathBuf::from));
        let mut found = places.filter_map(|place| RomShelf::read(&place).ok());
        Ok(found
            .find(|shelf| !shelf.roms().is_empty())
            .unwrap_or_default())
    }

    /// Reads a directory.
    pub fn read(directory: &Path) -> io::Result<RomShelf> {
        let mut shelf = RomShelf {
            directory: Some(directory.to_owned()),
            ..RomShelf::default()
        };
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let metadata = std::fs::metadata(entry.path())?;
            if !is_boot_program(&name) || !metadata.is_file() {
                continue;
            }
            if metadata.len() > LONGEST {
                shelf.skipped.push((name, "longer than any iPXE".into()));
                continue;
            }
            let bytes = std::fs::read(entry.path())?;
            shelf.put(name, bytes);
        }
        Ok(shelf)
    }

    /// Takes a boot program of this name, if it is one.
    fn put(&mut self, name: String, bytes: Vec<u8>) {
        let report = match firmware::inspect::inspect(&bytes) {
            Ok(report) => report,
            Err(error) => {
                self.skipped.push((name, error.to_string()));
                return;
            }
        };
        let file = RomFile {
            arch: arch(&name, &bytes),
            slam: report.program.slam.works(),
            sha256: hex::encode(Sha256::digest(&bytes)),
            bytes: bytes.into(),
            name: name.clone(),
        };
        self.files.insert(name, Arc::new(file));
    }

    /// Where they lie.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<RomFile>> {
        self.files.get(name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &RomFile> {
        self.files.values().map(AsRef::as_ref)
    }

    /// Files that look like boot programs and are none, and why.
    pub fn skipped(&self) -> &[(String, String)] {
        &self.skipped
    }

    /// The one for each architecture.
    pub fn roms(&self) -> Roms {
        let rank = |file: &&RomFile| {
            let place = PREFERRED.iter().position(|name| *name == file.name);
            (!file.slam, place.unwrap_or(PREFERRED.len()))
        };
        let mut files: Vec<&RomFile> = self.iter().collect();
        files.sort_by_key(rank);
        Roms::new(files.into_iter().filter_map(|file| {
            let rom = Rom {
                name: file.name.clone(),
                slam: file.slam,
            };
            Some((file.arch?, rom))
        }))
    }
}

/// By its ending: what PXE and UEFI boot over the network.
fn is_boot_program(name: &str) -> bool {
    [".kpxe", ".kkpxe", ".pxe", ".efi", ".lkrn"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// What a boot program runs on. EFI says it itself (PE/COFF, `Machine` of the file header).
fn arch(name: &str, bytes: &[u8]) -> Option<Arch> {
    if name.ends_with("pxe") {
        return Some(Arch::Bios);
    }
    if name
        .rsplit_once('.')
        .is_none_or(|(_, ending)| ending != "efi")
        || !bytes.starts_with(b"MZ")
    {
        return None;
    }
    let header = bytes.get(0x3c..0x40)?.try_into().ok()?;
    let header = u32::from_le_bytes(header) as usize;
    let signed = bytes.get(header..header.checked_add(6)?)?;
    match signed {
        [b'P', b'E', 0, 0, low, high] => match u16::from_le_bytes([*low, *high]) {
            0x8664 => Some(Arch::EfiX64),
            0x014c => Some(Arch::EfiIa32),
            0xaa64 => Some(Arch::EfiArm64),
            0x01c0 | 0x01c2 | 0x01c4 => Some(Arch::EfiArm32),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn efi(machine: u16) -> Vec<u8> {
        let mut bytes = vec![0; 0x80];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[0x3c] = 0x40;
        bytes[0x40..0x44].copy_from_slice(b"PE\0\0");
        bytes[0x44..0x46].copy_from_slice(&machine.to_le_bytes());
        bytes
    }

    #[test]
    fn efi_says_what_it_runs_on() {
        assert_eq!(arch("x.efi", &efi(0x8664)), Some(Arch::EfiX64));
        assert_eq!(arch("x.efi", &efi(0xaa64)), Some(Arch::EfiArm64));
        assert_eq!(arch("x.efi", &efi(0x5032)), None);
        assert_eq!(arch("undionly.kpxe", b""), Some(Arch::Bios));
        assert_eq!(arch("ipxe.lkrn", b""), None);
        for cut in 0..0x46 {
            assert_eq!(arch("x.efi", &efi(0x8664)[..cut]), None, "{cut}");
        }
        let mut far = efi(0x8664);
        far[0x3c..0x40].copy_from_slice(&[0xff; 4]);
        assert_eq!(arch("x.efi", &far), None);
    }

    #[test]
    fn a_file_that_is_none_is_said() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("undionly.kpxe"), "nothing").unwrap();
        std::fs::write(dir.path().join("README"), "nothing").unwrap();
        let shelf = RomShelf::read(dir.path()).unwrap();
        assert!(shelf.roms().is_empty());
        assert_eq!(shelf.skipped().len(), 1, "{:?}", shelf.skipped());
        let missing = dir.path().join("none");
        let error = RomShelf::find(Some(&missing), dir.path()).unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");
    }
}
