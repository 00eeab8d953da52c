// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manifest beside a file: whether every byte is as it was built, those too that no checksum covers.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use firmware::manifest::Manifest;

/// Its name, in the file's directory or the one above (`dist/manifest.json` lists `dist/firmware/...`).
const NAME: &str = "manifest.json";

/// The manifest that lists `file` with this digest; `None` where none does list it, an error where one lists it with
/// another.
pub(super) fn by(file: &Path, sha256: &str) -> Result<Option<PathBuf>> {
    let Ok(real) = file.canonicalize() else {
        return Ok(None);
    };
    for directory in real.ancestors().skip(1).take(2) {
        let path = directory.join(NAME);
        // Somebody else's file of this name says nothing of ours.
        let Ok(manifest) = Manifest::read(&path) else {
            continue;
        };
        let is_it =
            |listed: &str| directory.join(listed).canonicalize().ok().as_ref() == Some(&real);
        let Some(listed) = manifest.artefacts.iter().find(|a| is_it(&a.path)) else {
            continue;
        };
        if listed.sha256 != sha256 {
            bail!(
                "{}: expected sha256 {}, as built and said by {}, found {sha256}: some byte has changed since\n  help: build it again (cargo xtask firmware), or copy it again from where it was built",
                file.display(),
                listed.sha256,
                path.display()
            );
        }
        return Ok(Some(path));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firmware::manifest::{Artefact, ArtefactKind};

    #[test]
    fn a_manifest_judges_the_files_that_it_lists() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let file = root.join("firmware/a.efi");
        std::fs::create_dir_all(root.join("firmware")).unwrap();
        std::fs::write(&file, "a").unwrap();
        let of = |content: &[u8]| Artefact::of("firmware/a.efi", content, ArtefactKind::Other);
        assert_eq!(by(&file, &of(b"a").sha256).unwrap(), None);
        let mut manifest = Manifest::default();
        manifest.put(of(b"a"));
        manifest.write(&root.join(NAME)).unwrap();
        let found = by(&file, &of(b"a").sha256).unwrap();
        assert_eq!(found, Some(root.join(NAME)));
        let error = by(&file, &of(b"b").sha256).unwrap_err().to_string();
        for part in ["a.efi", "manifest.json", &of(b"a").sha256, "help:"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        // A file of the same name elsewhere is another one.
        let other = root.join("other.efi");
        std::fs::write(&other, "b").unwrap();
        assert_eq!(by(&other, &of(b"b").sha256).unwrap(), None);
        std::fs::write(root.join(NAME), "{}").unwrap();
        assert_eq!(by(&file, &of(b"b").sha256).unwrap(), None);
    }
}
