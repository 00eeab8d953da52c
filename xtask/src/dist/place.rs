// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files into `dist/`, whole or not at all: written beside, renamed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use firmware::manifest::{Artefact, ArtefactKind};
use rustix::io::Errno;
use xtask::paths::Paths;

/// A file that lies where it belongs.
#[derive(Debug)]
pub(super) struct Placed(Artefact);

impl Placed {
    /// Describes the file at `path` below dist/.
    pub(super) fn new(
        paths: &Paths,
        path: &str,
        kind: ArtefactKind,
        proof: &str,
    ) -> Result<Placed> {
        let file = paths.dist.join(path);
        let artefact = Artefact::of_file(path, &file, kind)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Placed(Artefact {
            proof: Some(proof.to_owned()),
            ..artefact
        }))
    }

    pub(super) fn artefact(self) -> Artefact {
        self.0
    }
}

/// Copies a file with its mode.
pub(super) fn copy(from: &Path, to: &Path) -> Result<PathBuf> {
    let source = fs::File::open(from).with_context(|| format!("cannot open {}", from.display()))?;
    let mode = source
        .metadata()
        .with_context(|| from.display().to_string())?
        .permissions();
    beside(to, |file| {
        io::copy(&mut &source, file)?;
        file.set_permissions(mode)
    })
}

/// Writes a file.
pub(super) fn write(to: &Path, content: &[u8]) -> Result<PathBuf> {
    beside(to, |file| io::Write::write_all(file, content))
}

/// Makes the directory that `file` will lie in.
pub(super) fn directory_of(file: &Path) -> Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(|error| explained(error, directory))
}

fn beside(to: &Path, fill: impl FnOnce(&mut fs::File) -> io::Result<()>) -> Result<PathBuf> {
    directory_of(to)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let partial = to.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let filled = fs::File::create(&partial).and_then(|mut file| {
        fill(&mut file)?;
        file.sync_all()?;
        fs::rename(&partial, to)
    });
    filled.map(|()| to.to_owned()).map_err(|error| {
        // The first error is the one to tell of.
        let _ = fs::remove_file(&partial);
        explained(error, to)
    })
}

/// What the system said, and what to do about it.
fn explained(error: io::Error, path: &Path) -> anyhow::Error {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let help = match errno {
        Some(Errno::NOSPC | Errno::DQUOT) => "the disk is full: make room",
        Some(Errno::ACCESS | Errno::PERM) => "make the directory writable",
        Some(Errno::ROFS) => "the file system is read-only",
        Some(Errno::NOTDIR | Errno::EXIST | Errno::ISDIR) => {
            "something else has that name: move it away"
        }
        _ => "see what stands in the way",
    };
    anyhow::Error::new(error).context(format!(
        "cannot write {}; {help}, or set SLAMBOOT_DIST to a directory elsewhere",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_copy_keeps_its_mode_and_replaces_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("slamboot");
        fs::write(&from, "new").unwrap();
        fs::set_permissions(&from, fs::Permissions::from_mode(0o755)).unwrap();
        let to = dir.path().join("dist/bin/slamboot");
        write(&to, b"old").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"new");
        let mode = fs::metadata(&to).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(names(to.parent().unwrap()), ["slamboot"]);
    }

    #[test]
    fn a_full_disk_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("memdisk");
        write(&to, b"old").unwrap();
        let full = |_: &mut fs::File| Err(io::Error::from(Errno::NOSPC));
        let error = beside(&to, full).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains("memdisk; the disk is full: make room"),
            "{text}"
        );
        assert!(text.contains("SLAMBOOT_DIST"), "{text}");
        assert_eq!(fs::read(&to).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["memdisk"]);
    }

    /// The real thing: the kernel's own always-full device, through the same code.
    #[test]
    fn a_device_that_is_full_says_so() {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let error = io::Write::write_all(&mut &full, b"x").unwrap_err();
        let text = explained(error, Path::new("dist/memdisk")).to_string();
        assert!(text.contains("the disk is full"), "{text}");
    }

    #[test]
    fn what_stands_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("dist"), "a file").unwrap();
        let error = write(&dir.path().join("dist/bin/slamboot"), b"x").unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("dist/bin"), "{text}");
        assert!(text.contains("something else has that name"), "{text}");
        let missing = dir.path().join("none");
        let text = copy(&missing, &dir.path().join("to"))
            .unwrap_err()
            .to_string();
        assert!(
            text.starts_with("cannot open ") && text.contains("none"),
            "{text}"
        );
    }
}
