// SPDX-License-Identifier: MIT OR Apache-2.0
//! `dist/manifest.json`: what lies in `dist/`, and how each piece came to be.
//!
//! Several verbs write it: each replaces its own entries by path and leaves the others'.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::inspect::Kind;
use crate::tree::TreeDigest;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Whether clients that boot this set can be served by multicast: every firmware in it was
    /// proven to hold SLAM.
    pub multicast: bool,
    /// What whoever uses this set has to know: that it has no multicast, and how to add it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The iPXE that the firmware was built from; absent where it is a distribution's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipxe: Option<Ipxe>,
    /// SHA-256 over slamboot's own C that was laid over iPXE's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay_digest: Option<TreeDigest>,
    /// What iPXE was told by headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Config>,
    /// SHA-256 of the embedded script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_digest: Option<String>,
    /// The embedded script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The root certificate that the firmware trusts, in PEM; absent where it runs whatever it gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// make's arguments, but for targets, directory and number of jobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub make: Vec<String>,
    /// SHA-256 over all that the firmware was made of: with the same tools, the same digest is the same
    /// bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs_digest: Option<String>,
    /// First line of each tool's `--version`, by tool.
    #[serde(default)]
    pub tools: BTreeMap<String, String>,
    /// Files, sorted by path.
    pub artefacts: Vec<Artefact>,
}

/// Where firmware comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipxe {
    /// Name in `firmware/ipxe.toml`.
    pub release: String,
    /// Full commit id.
    pub commit: String,
    /// Digest of the commit's tree.
    pub digest: TreeDigest,
}

/// iPXE's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// SHA-256 over all headers.
    pub digest: String,
    /// Text of each header in `config/local`, by name.
    pub headers: BTreeMap<String, String>,
}

/// One file in `dist/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artefact {
    /// Relative to `dist/`, with `/`.
    pub path: String,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// CRC-32 (IEEE), eight hexadecimal digits.
    pub crc32: String,
    /// Size.
    pub bytes: u64,
    /// Whether this file is firmware that was proven to hold SLAM; always `false` for everything
    /// that is no firmware.
    pub slam: bool,
    /// What it is.
    pub kind: ArtefactKind,
    /// iPXE's make target, of firmware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What the claim in `slam` rests on, or what the file is known by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// What an artefact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type", content = "format")]
pub enum ArtefactKind {
    /// Firmware, and in which format.
    Firmware(Kind),
    /// A program of slamboot's.
    Program,
    /// An image that clients boot.
    Image,
    /// Anything else: configuration, checksums, documentation.
    Other,
}

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read or written.
    #[error("{}: {source}; make its directory writable and give it room", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no manifest.
    #[error("{}: not a manifest: {source}; delete it and build again", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
}

impl Manifest {
    /// Reads `path`; a manifest without entries where there is no such file.
    pub fn read(path: &Path) -> Result<Manifest, ManifestError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Manifest::default()),
            Err(source) => {
                return Err(ManifestError::Io {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        serde_json::from_slice(&text).map_err(|source| ManifestError::Syntax {
            path: path.to_owned(),
            source,
        })
    }

    /// Writes beside `path` and renames.
    pub fn write(&self, path: &Path) -> Result<(), ManifestError> {
        let text = serde_json::to_string_pretty(self).map_err(|source| ManifestError::Syntax {
            path: path.to_owned(),
            source,
        })?;
        replace(path, format!("{text}\n").as_bytes()).map_err(|source| ManifestError::Io {
            path: path.to_owned(),
            source,
        })
    }

    /// Adds an entry, or replaces the one of the same path.
    pub fn put(&mut self, artefact: Artefact) {
        self.artefacts.retain(|old| old.path != artefact.path);
        self.artefacts.push(artefact);
        self.artefacts.sort_by(|a, b| a.path.cmp(&b.path));
        self.settle();
    }

    /// Removes entries of which `gone` says so.
    pub fn remove(&mut self, gone: impl Fn(&Artefact) -> bool) {
        self.artefacts.retain(|artefact| !gone(artefact));
        self.settle();
    }

    fn settle(&mut self) {
        let mut firmware = self
            .artefacts
            .iter()
            .filter(|artefact| matches!(artefact.kind, ArtefactKind::Firmware(_)))
            .peekable();
        self.multicast = firmware.peek().is_some() && firmware.all(|artefact| artefact.slam);
    }
}

impl Artefact {
    /// Describes `content`, which is or will be at `path` below `dist/`, as something that is no
    /// firmware.
    pub fn of(path: &str, content: &[u8], kind: ArtefactKind) -> Artefact {
        Artefact {
            path: path.to_owned(),
            sha256: hex::encode(Sha256::digest(content)),
            crc32: format!("{:08x}", crc32fast::hash(content)),
            bytes: content.len() as u64,
            slam: false,
            kind,
            target: None,
            proof: None,
        }
    }

    /// [`of`](Artefact::of) a file too large to hold in memory.
    pub fn of_file(path: &str, file: &Path, kind: ArtefactKind) -> io::Result<Artefact> {
        let mut file = std::fs::File::open(file)?;
        let (mut sha256, mut crc32) = (Sha256::new(), crc32fast::Hasher::new());
        let (mut bytes, mut buffer) = (0, vec![0; 1 << 20]);
        loop {
            let count = match io::Read::read(&mut file, &mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            sha256.update(&buffer[..count]);
            crc32.update(&buffer[..count]);
            bytes += count as u64;
        }
        Ok(Artefact {
            sha256: hex::encode(sha256.finalize()),
            crc32: format!("{:08x}", crc32.finalize()),
            bytes,
            ..Artefact::of(path, &[], kind)
        })
    }
}

/// Puts `content` at `path` whole or not at all: written beside it, synced, renamed.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = directory.join(format!(".{name}.{}.partial", std::process::id()));
    let written = (|| {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if written.is_err() {
        // The first error is the one to tell of.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firmware(path: &str, slam: bool) -> Artefact {
        Artefact {
            slam,
            ..Artefact::of(path, b"x", ArtefactKind::Firmware(Kind::Rom))
        }
    }

    #[test]
    fn verbs_share_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dist/manifest.json");
        let mut manifest = Manifest::read(&path).unwrap();
        manifest.put(firmware("firmware/b.rom", true));
        manifest.write(&path).unwrap();

        let mut manifest = Manifest::read(&path).unwrap();
        assert!(manifest.multicast);
        manifest.put(Artefact::of(
            "bin/slamboot",
            b"123456789",
            ArtefactKind::Program,
        ));
        assert!(manifest.multicast);
        manifest.put(firmware("firmware/a.rom", false));
        assert!(!manifest.multicast);
        manifest.write(&path).unwrap();

        let mut manifest = Manifest::read(&path).unwrap();
        let paths: Vec<_> = manifest.artefacts.iter().map(|a| a.path.as_str()).collect();
        assert_eq!(paths, ["bin/slamboot", "firmware/a.rom", "firmware/b.rom"]);
        // The check values of CRC-32 and SHA-256 for "123456789".
        assert_eq!(manifest.artefacts[0].crc32, "cbf43926");
        assert!(manifest.artefacts[0].sha256.starts_with("15e2b0d3c33891eb"));
        manifest.remove(|artefact| artefact.path.ends_with("a.rom"));
        assert!(manifest.multicast);
        let entries = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(entries, 1, "nothing half-written stays");
    }

    #[test]
    fn each_entry_has_what_readers_ask_for() {
        let json = serde_json::to_value(firmware("firmware/b.rom", true)).unwrap();
        for key in ["path", "sha256", "crc32", "bytes", "slam"] {
            assert!(json.get(key).is_some(), "{key} in {json}");
        }
        assert_eq!(
            json["kind"],
            serde_json::json!({"type": "firmware", "format": "rom"})
        );
    }

    #[test]
    fn a_large_file_is_described_like_a_small_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let content = vec![7; 3 << 20];
        std::fs::write(&path, &content).unwrap();
        let described = Artefact::of_file("p", &path, ArtefactKind::Image).unwrap();
        assert_eq!(described, Artefact::of("p", &content, ArtefactKind::Image));
    }

    #[test]
    fn what_is_no_manifest_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.json");
        std::fs::write(&path, "{\"artefacts\": 3}").unwrap();
        let error = Manifest::read(&path).unwrap_err().to_string();
        assert!(
            error.contains("manifest.json") && error.contains("delete it"),
            "{error}"
        );
        std::fs::write(dir.path().join("file"), "").unwrap();
        let error = Manifest::default()
            .write(&dir.path().join("file/manifest.json"))
            .unwrap_err();
        assert!(error.to_string().contains("file/manifest.json"), "{error}");
    }
}
