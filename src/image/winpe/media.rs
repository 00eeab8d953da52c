// SPDX-License-Identifier: MIT OR Apache-2.0
//! Windows media: a folder, or an ISO that 7-Zip (UDF, ISO 9660) or xorriso (ISO 9660) reads.

use std::io;
use std::path::{Path, PathBuf};

use crate::image::tool::{SEVEN_ZIP, ToolError, XORRISO};

/// How deep a folder is looked into: nothing that is wanted lies deeper.
const DEPTH: usize = 4;

/// Media that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// Neither folder nor file, or it cannot be read.
    #[error("{}: cannot read it", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program that reads it.
    #[error("{}: cannot read this ISO", path.display())]
    Tool {
        /// The ISO.
        path: PathBuf,
        /// Why.
        source: Box<ToolError>,
    },
}

/// Media, and what is on it.
#[derive(Debug)]
pub(super) struct Media {
    path: PathBuf,
    kind: Kind,
    /// With forward slashes, as it spells them.
    files: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    SevenZip,
    Xorriso,
}

impl Media {
    /// Lists what is on it.
    pub fn open(path: &Path) -> Result<Self, MediaError> {
        let read = |source| MediaError::Read {
            path: path.to_owned(),
            source,
        };
        let tool = |error| MediaError::Tool {
            path: path.to_owned(),
            source: Box::new(error),
        };
        let metadata = std::fs::metadata(path).map_err(read)?;
        let (kind, files) = if metadata.is_dir() {
            let mut files = Vec::new();
            walk(path, "", DEPTH, &mut files).map_err(read)?;
            (Kind::Folder, files)
        } else if SEVEN_ZIP.find().is_some() || XORRISO.find().is_none() {
            // 7-Zip first: Windows' own media are UDF, which xorriso does not read.
            (Kind::SevenZip, list_7z(path).map_err(tool)?)
        } else {
            (Kind::Xorriso, list_xorriso(path).map_err(tool)?)
        };
        Ok(Media {
            path: path.to_owned(),
            kind,
            files,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of that path, without regard to case, as it is spelled there.
    pub fn find(&self, path: &str) -> Option<&str> {
        let same = |file: &&String| file.eq_ignore_ascii_case(path);
        self.files.iter().find(same).map(String::as_str)
    }

    /// The files in that directory, without regard to case.
    pub fn in_directory(&self, directory: &str) -> Vec<&str> {
        let inside = |file: &&str| {
            let parent = file.rsplit_once('/').map_or("", |(parent, _)| parent);
            parent.eq_ignore_ascii_case(directory)
        };
        self.files
            .iter()
            .map(String::as_str)
            .filter(inside)
            .collect()
    }

    /// Where those files can be read: in the folder itself, or extracted into `workspace`.
    pub fn fetch(&self, files: &[&str], workspace: &Path) -> Result<Vec<PathBuf>, MediaError> {
        let tool = |error| MediaError::Tool {
            path: self.path.clone(),
            source: Box::new(error),
        };
        let root = match self.kind {
            _ if files.is_empty() => return Ok(Vec::new()),
            Kind::Folder => &self.path,
            Kind::SevenZip => {
                let mut arguments = vec!["x".into(), "-y".into(), "-bd".into()];
                arguments.push(format!("-o{}", workspace.display()).into());
                // Names, not patterns, and none of them an option.
                arguments.extend([
                    "-spd".into(),
                    "--".into(),
                    self.path.clone().into_os_string(),
                ]);
                arguments.extend(files.iter().map(Into::into));
                SEVEN_ZIP
                    .run("reading an ISO", arguments, b"")
                    .map_err(tool)?;
                workspace
            }
            Kind::Xorriso => {
                let mut arguments = vec!["-osirrox".into(), "on".into(), "-indev".into()];
                arguments.push(self.path.clone().into_os_string());
                for file in files {
                    arguments.extend(["-extract".into(), format!("/{file}").into()]);
                    arguments.push(workspace.join(file).into_os_string());
                }
                XORRISO
                    .run("reading an ISO", arguments, b"")
                    .map_err(tool)?;
                workspace
            }
        };
        Ok(files.iter().map(|file| root.join(file)).collect())
    }
}

fn walk(root: &Path, below: &str, depth: usize, files: &mut Vec<String>) -> io::Result<()> {
    let mut names: Vec<_> = std::fs::read_dir(root.join(below))?
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    for name in names {
        // Nothing that is wanted has a name that is no text.
        let Some(name) = name.to_str() else { continue };
        let path = match below {
            "" => name.to_owned(),
            below => format!("{below}/{name}"),
        };
        let Ok(metadata) = std::fs::metadata(root.join(&path)) else {
            continue;
        };
        if metadata.is_dir() && depth > 1 {
            walk(root, &path, depth - 1, files)?;
        } else if metadata.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn list_7z(path: &Path) -> Result<Vec<String>, ToolError> {
    let arguments = [
        "l".as_ref(),
        "-slt".as_ref(),
        "-ba".as_ref(),
        "--".as_ref(),
        path.as_os_str(),
    ];
    let said = SEVEN_ZIP.run("reading an ISO", arguments, b"")?;
    let text = String::from_utf8_lossy(&said);
    let files = text.split("\n\n").filter_map(|entry| {
        let value = |key: &str| entry.lines().find_map(|line| line.strip_prefix(key));
        (value("Folder = ") != Some("+")).then(|| value("Path = "))?
    });
    Ok(files
        .map(|file| file.trim_end().replace('\\', "/"))
        .collect())
}

fn list_xorriso(path: &Path) -> Result<Vec<String>, ToolError> {
    let arguments = [
        "-indev".as_ref(),
        path.as_os_str(),
        "-find".as_ref(),
        "/".as_ref(),
    ];
    let more = ["-type", "f", "-exec", "echo", "--"].map(AsRef::as_ref);
    let said = XORRISO.run("reading an ISO", arguments.into_iter().chain(more), b"")?;
    let text = String::from_utf8_lossy(&said);
    // 'sources/boot.wim' in the shell's quotes.
    let files = text.lines().filter_map(|line| {
        let bare = line.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        Some(bare.trim_start_matches('/').to_owned())
    });
    Ok(files.collect())
}
