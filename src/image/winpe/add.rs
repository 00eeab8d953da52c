// SPDX-License-Identifier: MIT OR Apache-2.0
//! More files for the disk: `SOURCE=\TARGET`, a file or a whole folder.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::image::spec::{Attributes, DiskPath, DiskPathError, FileSpec, SourceSpec};

/// Folders in folders, so that a link to its parent is an error and not an endless tree.
/// Less than what the system follows.
const DEPTH: usize = 32;

/// What to add, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// A file or folder of the host.
    pub source: PathBuf,
    /// Its path on the disk; `None`: the root, for what is in a folder.
    pub target: Option<DiskPath>,
}

/// Something that cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// Not of that form.
    #[error("expected SOURCE=\\TARGET, such as tools/ghost.exe=\\tools\\ghost.exe; found {0:?}")]
    Form(String),
    /// A name that Windows refuses.
    #[error("{}: no name for a file on the disk: {source}", path.display())]
    Name {
        /// The file of the host.
        path: PathBuf,
        /// Why.
        source: DiskPathError,
    },
    /// A name that is no text.
    #[error("{}: expected a name in UTF-8", path.display())]
    Text {
        /// The file of the host.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("{}: cannot read it", path.display())]
    Read {
        /// The file of the host.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too deep.
    #[error("{}: folders lie more than {DEPTH} deep; does a link in it lead back?", path.display())]
    Depth {
        /// The folder.
        path: PathBuf,
    },
    /// A file to become the root.
    #[error("{}: a file needs a name on the disk: {}=\\NAME", path.display(), path.display())]
    Root {
        /// The file of the host.
        path: PathBuf,
    },
}

impl FromStr for Add {
    type Err = AddError;

    fn from_str(text: &str) -> Result<Self, AddError> {
        let form = || AddError::Form(text.to_owned());
        // The last one: a source may have one, and no name on the disk wants any.
        let (source, target) = text.rsplit_once('=').ok_or_else(form)?;
        if source.is_empty() || !target.starts_with(['\\', '/']) {
            return Err(form());
        }
        let source = PathBuf::from(source);
        let bare = target.trim_end_matches(['\\', '/']);
        let target = match (bare.is_empty(), bare.len() < target.len()) {
            (true, _) => None,
            // Into that directory, as cp does.
            (false, true) if !source.is_dir() => {
                let name = source.file_name().and_then(|name| name.to_str());
                Some(format!("{bare}\\{}", name.ok_or_else(form)?))
            }
            (false, _) => Some(bare.to_owned()),
        };
        let target = target.map(|target| target.parse()).transpose();
        let target = target.map_err(|error| AddError::Name {
            path: source.clone(),
            source: error,
        })?;
        Ok(Add { source, target })
    }
}

impl Add {
    /// The files that it comes to, in a fixed order.
    pub fn files(&self) -> Result<Vec<FileSpec>, AddError> {
        let mut files = Vec::new();
        walk(&self.source, self.target.as_ref(), DEPTH, &mut files)?;
        Ok(files)
    }
}

fn walk(
    source: &Path,
    target: Option<&DiskPath>,
    depth: usize,
    files: &mut Vec<FileSpec>,
) -> Result<(), AddError> {
    let read = |error| AddError::Read {
        path: source.to_owned(),
        source: error,
    };
    if !std::fs::metadata(source).map_err(read)?.is_dir() {
        // What is no regular file is refused when it is opened.
        files.push(FileSpec {
            path: target.cloned().ok_or_else(|| AddError::Root {
                path: source.to_owned(),
            })?,
            attributes: Attributes::default(),
            source: SourceSpec::File(source.to_owned()),
        });
        return Ok(());
    }
    if depth == 0 {
        return Err(AddError::Depth {
            path: source.to_owned(),
        });
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(source).map_err(read)? {
        names.push(entry.map_err(read)?.file_name());
    }
    names.sort();
    for name in names {
        let path = source.join(&name);
        let name = name
            .to_str()
            .ok_or_else(|| AddError::Text { path: path.clone() })?;
        let text = target.map_or_else(String::new, ToString::to_string);
        let target = format!("{text}\\{name}").parse();
        let target = target.map_err(|error| AddError::Name {
            path: path.clone(),
            source: error,
        })?;
        walk(&path, Some(&target), depth - 1, files)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(add: &str) -> Vec<String> {
        let files = add.parse::<Add>().unwrap().files().unwrap();
        files.iter().map(|file| file.path.to_string()).collect()
    }

    #[test]
    fn files_and_folders() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        std::fs::create_dir_all(folder.path().join("t=1/b/c")).unwrap();
        for name in ["t=1/z", "t=1/b/c/d", "t=1/a"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        assert_eq!(
            paths(&format!("{root}/t=1=\\Tools")),
            ["\\Tools\\a", "\\Tools\\b\\c\\d", "\\Tools\\z"]
        );
        assert_eq!(
            paths(&format!("{root}/t=1=\\")),
            ["\\a", "\\b\\c\\d", "\\z"]
        );
        assert_eq!(paths(&format!("{root}/t=1/a=/x/y")), ["\\x\\y"]);
        assert_eq!(paths(&format!("{root}/t=1/a=/x/")), ["\\x\\a"]);
    }

    #[test]
    fn what_cannot_be_added() {
        let error = |text: &str| match text.parse::<Add>() {
            Ok(add) => add.files().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        for text in ["a", "=\\a", "a=b", "a="] {
            assert!(error(text).starts_with("expected SOURCE="), "{text}");
        }
        assert!(error("/etc/passwd=\\").contains("needs a name"));
        assert!(error("/etc/passwd=\\a:b").contains("no name for a file"));
        assert!(error("/nonexistent=\\a").contains("cannot read"));
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(".", folder.path().join("again")).unwrap();
        let text = error(&format!("{}=\\a", folder.path().display()));
        assert!(text.contains("does a link in it lead back"), "{text}");
        std::fs::remove_file(folder.path().join("again")).unwrap();
        std::fs::write(folder.path().join("what?"), "").unwrap();
        let text = error(&format!("{}=\\a", folder.path().display()));
        assert!(text.contains("what?: no name"), "{text}");
    }
}
