// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether make has anything to do. It takes most of a second to read its rules before it says no, for each kind of
//! machine; whether anything has changed at all is known sooner.
//!
//! make goes by which files there are and by their times. A directory is as make left it if the command, the tools and
//! every file's place, size and time are the same, down to the last object. Whatever else has happened, make is run.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use firmware::target::Platform;
use sha2::{Digest as _, Sha256};

use super::tools::Tools;
use super::tree::BuildTree;

impl BuildTree {
    /// Whether `command` has made all that it makes for `platform`, and nothing has changed since.
    pub(super) fn is_done(&self, platform: Platform, command: &str, tools: &Tools) -> bool {
        let noted = fs::read_to_string(self.note(platform));
        let now = self.state(platform, command, tools);
        matches!((noted, now), (Ok(noted), Ok(now)) if noted == now)
    }

    /// Notes that `command` has.
    pub(super) fn note_done(
        &self,
        platform: Platform,
        command: &str,
        tools: &Tools,
    ) -> io::Result<()> {
        let state = self.state(platform, command, tools)?;
        fs::write(self.note(platform), state)
    }

    /// Beside what make sees.
    fn note(&self, platform: Platform) -> PathBuf {
        self.root.join(format!("{}.done", platform.bin()))
    }

    /// Identifies all that make looks at for `platform`.
    fn state(&self, platform: Platform, command: &str, tools: &Tools) -> io::Result<String> {
        let others = Platform::ALL.into_iter().filter(|of| *of != platform);
        let others = others.map(|of| self.src().join(of.bin()));
        let notes = Platform::ALL.into_iter().map(|of| self.note(of));
        let passed_over: Vec<PathBuf> = others.chain(notes).collect();
        let mut digest = Sha256::new();
        for part in [
            command,
            &tools.compiling(platform),
            &tools.media().unwrap_or_default(),
        ] {
            digest.update(part);
            digest.update([0]);
        }
        // Beside `src/` lie the script and the root that is trusted.
        add_all(&mut digest, &self.root, &passed_over)?;
        Ok(hex::encode(digest.finalize()))
    }
}

/// Every file under `directory`, but for those of `passed_over` and what is under them.
fn add_all(digest: &mut Sha256, directory: &Path, passed_over: &[PathBuf]) -> io::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if passed_over.contains(&path) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            add_all(digest, &path, passed_over)?;
        } else {
            add(digest, &entry)?;
        }
    }
    Ok(())
}

fn add(digest: &mut Sha256, file: &fs::DirEntry) -> io::Result<()> {
    let known = file.metadata()?;
    digest.update(file.path().as_os_str().as_encoded_bytes());
    digest.update([0]);
    for number in [
        known.size(),
        known.mtime().cast_unsigned(),
        known.mtime_nsec().cast_unsigned(),
    ] {
        digest.update(number.to_le_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn touch(path: &Path) {
        let file = fs::File::options().append(true).open(path).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        file.set_modified(time + Duration::from_secs(5)).unwrap();
    }

    #[test]
    fn whatever_make_looks_at_makes_it_run() {
        let dir = tempfile::tempdir().unwrap();
        let tree = BuildTree {
            root: dir.path().to_owned(),
            key: "k".into(),
            reused: true,
        };
        let at = |path: &str| dir.path().join(path);
        let looked_at = [
            "slamboot.ipxe",
            "src/Makefile",
            "src/net/udp/slam.c",
            "src/util/zbin32",
            "src/bin/slam.o",
            "src/bin/deps/net/udp/slam.c.d",
            "src/bin/ipxe.lkrn",
        ];
        let another = "src/bin-x86_64-efi/slam.o";
        for path in looked_at.into_iter().chain([another]) {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write(at(path), "").unwrap();
        }
        let tools = |gcc, iso| Tools::said(&[("gcc", gcc), ("isolinux.bin", iso)]);
        let usual = tools("12", "6");
        let done = |command: &str, tools: &Tools| tree.is_done(Platform::Bios, command, tools);
        let note = || {
            tree.note_done(Platform::Bios, "make all", &usual).unwrap();
            assert!(done("make all", &usual));
        };
        assert!(!done("make all", &usual));
        note();
        assert!(!tree.is_done(Platform::EfiX64, "make all", &usual));
        assert!(!done("make more", &usual));
        assert!(!done("make all", &tools("13", "6")) && !done("make all", &tools("12", "7")));
        for path in looked_at {
            touch(&at(path));
            assert!(!done("make all", &usual), "{path}");
            note();
        }
        fs::remove_file(at("src/bin/slam.o")).unwrap();
        assert!(!done("make all", &usual), "an object less");
        note();
        fs::write(at("src/config.h"), "").unwrap();
        assert!(!done("make all", &usual), "a header more");
        note();
        // What was made for another machine is none of this one's.
        touch(&at(another));
        tree.note_done(Platform::EfiX64, "make all", &usual)
            .unwrap();
        assert!(done("make all", &usual));
    }
}
