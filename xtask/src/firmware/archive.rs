// SPDX-License-Identifier: MIT OR Apache-2.0
//! Source trees from tarballs and directories, and into directories.

use std::fs;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, bail};
use firmware::tree::{File, Tree};

use crate::cmd::Cmd;

/// All files of a tree together; iPXE has 24 MiB.
const LIMIT: u64 = 512 << 20;

/// Reads a tarball, whatever it is compressed with.
pub fn read_file(path: &Path) -> Result<Tree> {
    let mut file = fs::File::open(path)?;
    let mut magic = [0; 6];
    let count = file.read(&mut magic)?;
    file.rewind()?;
    let magic = &magic[..count];
    let command: Option<&[&str]> = match magic {
        [0x1f, 0x8b, ..] => {
            return read(flate2::read::MultiGzDecoder::new(BufReader::new(file)));
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Some(&["xz", "-dc"]),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(&["zstd", "-dc"]),
        [b'B', b'Z', b'h', ..] => Some(&["bzip2", "-dc"]),
        _ => None,
    };
    match command {
        Some(command) => {
            let stream = Cmd::new(command[0])
                .args(&command[1..])
                .arg(path)
                .read_bytes()?;
            read(Cursor::new(stream))
        }
        None => read(BufReader::new(file)),
    }
}

/// Reads a tar stream.
pub fn read(stream: impl Read) -> Result<Tree> {
    let mut archive = tar::Archive::new(stream.take(LIMIT));
    let mut tree = Tree::default();
    for entry in archive.entries()? {
        let mut entry = entry.context("not a readable tar archive")?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let path = path.strip_prefix("./").unwrap_or(&path).to_owned();
        let kind = entry.header().entry_type();
        let file = if kind.is_file() {
            let executable = entry.header().mode()? & 0o111 != 0;
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            if executable {
                File::Executable(content)
            } else {
                File::Plain(content)
            }
        } else if kind.is_symlink() {
            let target = entry.link_name()?.context("a link without a target")?;
            File::Link(target.to_string_lossy().into_owned())
        } else if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        } else {
            bail!("{path}: expected a file, directory or link, found tar entry type {kind:?}");
        };
        tree.insert(&path, file)?;
    }
    if tree.is_empty() {
        bail!("not a tar archive, or an empty one");
    }
    Ok(tree)
}

/// Reads a directory.
pub fn read_dir(root: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    let mut left = LIMIT;
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let path = entry.path();
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                directories.push(path);
                continue;
            }
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            let file = if metadata.is_symlink() {
                File::Link(fs::read_link(&path)?.to_string_lossy().into_owned())
            } else {
                left = left
                    .checked_sub(metadata.len())
                    .context("the directory holds more than any source tree")?;
                let content = fs::read(&path)?;
                if metadata.permissions().mode() & 0o111 != 0 {
                    File::Executable(content)
                } else {
                    File::Plain(content)
                }
            };
            tree.insert(&name, file)?;
        }
    }
    Ok(tree)
}

/// Writes `tree` as `directory`, whole or not at all: beside it first, then renamed.
pub fn write_dir(tree: &Tree, directory: &Path) -> Result<()> {
    let parent = directory.parent().context("no parent directory")?;
    let name = directory.file_name().context("no name")?.to_string_lossy();
    let beside = parent.join(format!(".{name}.{}.partial", std::process::id()));
    let written = fs::create_dir_all(parent)
        .and_then(|()| write_files(tree, &beside))
        .and_then(|()| fs::rename(&beside, directory));
    if written.is_err() {
        // The first error is the one to tell of.
        let _ = fs::remove_dir_all(&beside);
    }
    written.with_context(|| {
        format!(
            "cannot write {}; make it writable and give it room",
            directory.display()
        )
    })
}

fn write_files(tree: &Tree, root: &Path) -> io::Result<()> {
    if root.exists() {
        fs::remove_dir_all(root)?;
    }
    for (path, file) in tree.files() {
        let path = root.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match file {
            File::Plain(content) => fs::write(&path, content)?,
            File::Executable(content) => {
                fs::write(&path, content)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            }
            File::Link(target) => symlink(target, &path)?,
        }
    }
    Ok(())
}
