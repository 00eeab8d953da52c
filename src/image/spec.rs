// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is wanted of an image, before anything is opened or decided.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::late::Late;
use super::size::ByteSize;
use super::source::Inside;
use super::times::Times;

/// A disk image: one active partition with one volume, and the file that its boot sector starts.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    /// How large the disk shall be.
    pub size: DiskSize,
    /// Of the volume.
    pub file_system: FileSystem,
    /// The volume's name.
    pub label: VolumeLabel,
    /// The files, in the order in which they shall lie on the disk. Their folders come with them.
    pub files: Vec<FileSpec>,
    /// Folders of which there is more to say.
    pub folders: Vec<FolderSpec>,
    /// Which of them the boot sector loads.
    pub boot: DiskPath,
    /// Balance the disk's last four bytes so that its CRC-32 is known before it is written.
    pub self_check: bool,
}

/// A volume's file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileSystem {
    /// Files below 4 GiB; read by every firmware, UEFI included.
    #[default]
    Fat32,
    /// Files of any length; what Windows itself is installed on. No UEFI firmware reads it.
    Ntfs,
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileSystem::Fat32 => "FAT32",
            FileSystem::Ntfs => "NTFS",
        })
    }
}

/// How large a disk shall be; always whole cylinders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskSize {
    /// As small as its content and a legal FAT32 allow.
    Smallest,
    /// At least this, rounded up to a cylinder.
    AtLeast(ByteSize),
    /// As small as its content allows, and so much more that this is free.
    Fitted {
        /// Room for files to come.
        free: ByteSize,
    },
}

/// One file to place on the volume.
#[derive(Clone, Debug)]
pub struct FileSpec {
    /// Where.
    pub path: DiskPath,
    /// With which attributes.
    pub attributes: Attributes,
    /// Whence its bytes.
    pub source: SourceSpec,
}

/// Whence a file's bytes come.
#[derive(Clone, Debug)]
pub enum SourceSpec {
    /// From here.
    Bytes(Vec<u8>),
    /// From a file of the host.
    File(PathBuf),
    /// From a file inside a disk image.
    Inside(Inside),
    /// Generated from a name: incompressible, the same for the same name, and as many bytes as
    /// the volume has room for. At most one file of an image.
    Fill {
        /// The name.
        seed: String,
    },
    /// A file that is completed once the disk is laid out.
    Late(Late),
}

/// A folder that shall be there even if it is empty, or that is more than a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderSpec {
    /// Where.
    pub path: DiskPath,
    /// With which attributes.
    pub attributes: Attributes,
}

/// What FAT and NTFS say of a file or folder besides its name and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a bit that is set or not"
)]
pub struct Attributes {
    /// Not shown.
    pub hidden: bool,
    /// The system's.
    pub system: bool,
    /// Not to be written to.
    pub read_only: bool,
    /// Not written to since it was backed up: a file without the attribute `archive`.
    pub archived: bool,
    /// When.
    pub times: Times,
}

/// An absolute path on the volume, such as `\Boot\BCD`; never the root itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskPath(Vec<DiskName>);

/// One name of a path, as VFAT and NTFS take it: 1 to 255 UTF-16 units.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskName(String);

/// Why a text is no path on the volume.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskPathError {
    /// No name at all.
    #[error("expected a path such as \\Boot\\BCD, found {0:?}")]
    Empty(String),
    /// A name longer than a directory can hold.
    #[error("{name:?}: expected at most 255 UTF-16 units, found {units}")]
    TooLong {
        /// The name.
        name: String,
        /// Its length.
        units: usize,
    },
    /// A character that Windows refuses (Microsoft FAT specification, "Long File Names").
    #[error("{name:?}: the character {character:?} is not allowed on FAT or NTFS")]
    Character {
        /// The name.
        name: String,
        /// The character.
        character: char,
    },
    /// Windows cannot open such a name: it strips what trails.
    #[error("{name:?}: a name may not be `.` or `..` nor end in a dot or a space")]
    Ending {
        /// The name.
        name: String,
    },
}

impl DiskName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As names are compared: without regard to case.
    pub fn folded(&self) -> String {
        self.0.to_uppercase()
    }

    fn parse(name: &str) -> Result<Self, DiskPathError> {
        let name_owned = || name.to_owned();
        if let Some(character) = name
            .chars()
            .find(|c| *c < ' ' || *c == '\x7F' || "\"*/:<>?\\|".contains(*c))
        {
            return Err(DiskPathError::Character {
                name: name_owned(),
                character,
            });
        }
        if name.ends_with(['.', ' ']) {
            return Err(DiskPathError::Ending { name: name_owned() });
        }
        let units = name.encode_utf16().count();
        if units > 255 {
            return Err(DiskPathError::TooLong {
                name: name_owned(),
                units,
            });
        }
        Ok(DiskName(name_owned()))
    }
}

impl DiskPath {
    /// The names, outermost directory first; at least one.
    pub fn names(&self) -> &[DiskName] {
        &self.0
    }

    /// As paths are compared: without regard to case.
    pub fn folded(&self) -> String {
        self.to_string().to_uppercase()
    }
}

/// Either slash separates; a leading one is optional.
impl FromStr for DiskPath {
    type Err = DiskPathError;

    fn from_str(text: &str) -> Result<Self, DiskPathError> {
        let names = text
            .split(['\\', '/'])
            .filter(|name| !name.is_empty())
            .map(DiskName::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if names.is_empty() || text.ends_with(['\\', '/']) {
            return Err(DiskPathError::Empty(text.to_owned()));
        }
        Ok(DiskPath(names))
    }
}

impl fmt::Display for DiskPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|name| write!(f, "\\{}", name.as_str()))
    }
}

/// A volume's name: 1 to 11 characters that every FAT driver shows alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeLabel([u8; 11]);

/// Why a text is no volume label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a volume label of 1 to 11 characters out of A-Z, 0-9, space, - and _; found {0:?}"
)]
pub struct VolumeLabelError(String);

impl VolumeLabel {
    /// Padded with spaces, as it stands on the disk.
    pub fn padded(&self) -> &[u8; 11] {
        &self.0
    }
}

impl FromStr for VolumeLabel {
    type Err = VolumeLabelError;

    fn from_str(text: &str) -> Result<Self, VolumeLabelError> {
        let bytes = text.as_bytes();
        let good = |b: &u8| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b' ' | b'-' | b'_');
        if bytes.is_empty() || bytes.len() > 11 || bytes[0] == b' ' || !bytes.iter().all(good) {
            return Err(VolumeLabelError(text.to_owned()));
        }
        let mut padded = [b' '; 11];
        padded[..bytes.len()].copy_from_slice(bytes);
        Ok(VolumeLabel(padded))
    }
}

impl fmt::Display for VolumeLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(String::from_utf8_lossy(&self.0).trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (text, shown) in [
            ("\\Boot\\BCD", "\\Boot\\BCD"),
            ("boot/boot.sdi", "\\boot\\boot.sdi"),
            ("/winpe.wim", "\\winpe.wim"),
            (".hidden", "\\.hidden"),
            ("Grüße 世界.txt", "\\Grüße 世界.txt"),
        ] {
            assert_eq!(text.parse::<DiskPath>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn names_that_windows_refuses() {
        let error = |text: &str| text.parse::<DiskPath>().unwrap_err();
        assert!(matches!(error(""), DiskPathError::Empty(_)));
        assert!(matches!(error("\\"), DiskPathError::Empty(_)));
        assert!(matches!(error("boot\\"), DiskPathError::Empty(_)));
        for character in "\"*:<>?|\n\x7F".chars() {
            assert!(
                matches!(error(&format!("a{character}b")), DiskPathError::Character { character: c, .. } if c == character)
            );
        }
        for text in [".", "..", "boot\\..\\BCD", "name.", "name "] {
            assert!(
                matches!(error(text), DiskPathError::Ending { .. }),
                "{text}"
            );
        }
        assert!("a".repeat(255).parse::<DiskPath>().is_ok());
        assert!(matches!(
            error(&"a".repeat(256)),
            DiskPathError::TooLong { units: 256, .. }
        ));
        // One character outside the basic plane is two units.
        assert!(matches!(
            error(&"𝄞".repeat(128)),
            DiskPathError::TooLong { units: 256, .. }
        ));
    }

    #[test]
    fn labels() {
        let label: VolumeLabel = "SLAMBOOT".parse().unwrap();
        assert_eq!(label.padded(), b"SLAMBOOT   ");
        assert_eq!(label.to_string(), "SLAMBOOT");
        for text in ["", " A", "lower", "TWELVE CHARS", "Ä", "A.B"] {
            assert!(text.parse::<VolumeLabel>().is_err(), "{text}");
        }
    }
}
