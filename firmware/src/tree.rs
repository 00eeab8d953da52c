// SPDX-License-Identifier: MIT OR Apache-2.0
//! A source tree as values: what git and a tarball of one commit have in common.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Files by path (UTF-8, `/` between parts, relative, no `.` or `..`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    files: BTreeMap<String, File>,
}

/// One entry; directories are what their files imply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// An ordinary file.
    Plain(Vec<u8>),
    /// A file with its execute bit set.
    Executable(Vec<u8>),
    /// A symbolic link's target.
    Link(String),
}

/// A path that must not be in a source tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path {0:?} leaves the tree, is empty or is no plain relative path")]
pub struct PathError(pub String);

impl Tree {
    /// Adds or replaces a file.
    pub fn insert(&mut self, path: &str, file: File) -> Result<(), PathError> {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if !path.split('/').all(plain) {
            return Err(PathError(path.to_owned()));
        }
        self.files.insert(path.to_owned(), file);
        Ok(())
    }

    /// All files, sorted by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// The file at `path`.
    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// Whether a file is there.
    pub fn contains(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The same tree without its only top directory, as web sites pack tarballs.
    #[must_use]
    pub fn without_top(self) -> Tree {
        let Some((top, _)) = self
            .files
            .keys()
            .next()
            .and_then(|path| path.split_once('/'))
        else {
            return self;
        };
        let prefix = format!("{top}/");
        if !self.files.keys().all(|path| path.starts_with(&prefix)) {
            return self;
        }
        let files = self.files.into_iter();
        let files = files.map(|(path, file)| (path[prefix.len()..].to_owned(), file));
        Tree {
            files: files.collect(),
        }
    }

    /// What identifies the content.
    pub fn digest(&self) -> TreeDigest {
        TreeDigest::over(self.files())
    }
}

/// What identifies a tree's content.
#[derive(Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreeDigest([u8; 32]);

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a SHA-256 (64 hexadecimal digits), found {0:?}")]
pub struct DigestError(String);

impl TreeDigest {
    /// SHA-256 over `"<mode> <sha256 of the content> <path>\n"` for each of `files`, which are
    /// sorted by path.
    pub fn over<'a>(files: impl IntoIterator<Item = (&'a str, &'a File)>) -> TreeDigest {
        let mut digest = Sha256::new();
        for (path, file) in files {
            let (mode, content) = match file {
                File::Plain(bytes) => ("100644", bytes.as_slice()),
                File::Executable(bytes) => ("100755", bytes.as_slice()),
                File::Link(target) => ("120000", target.as_bytes()),
            };
            let content = hex::encode(Sha256::digest(content));
            digest.update(format!("{mode} {content} {path}\n"));
        }
        TreeDigest(digest.finalize().into())
    }
}

impl FromStr for TreeDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| DigestError(text.to_owned()))?;
        Ok(TreeDigest(bytes))
    }
}

impl TryFrom<String> for TreeDigest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<TreeDigest> for String {
    fn from(digest: TreeDigest) -> String {
        digest.to_string()
    }
}

impl fmt::Display for TreeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TreeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checked with: `{ echo "100644 $(printf a | sha256sum | cut -c-64) x"; … } | sha256sum`
    #[test]
    fn digest_is_over_sorted_lines() {
        let mut tree = Tree::default();
        tree.insert("y/run", File::Executable(b"b".to_vec()))
            .unwrap();
        tree.insert("x", File::Plain(b"a".to_vec())).unwrap();
        tree.insert("z", File::Link("x".into())).unwrap();
        assert_eq!(
            tree.digest().to_string(),
            "04eb7de1608d9b9374d1fcfcb010376ef4a159e99ed208f01cc3334d36436832"
        );
    }

    #[test]
    fn no_path_leaves_the_tree() {
        for path in ["", "/etc/passwd", "../x", "a//b", "a/../b", "./a", "a/"] {
            let refused = Tree::default().insert(path, File::Plain(Vec::new()));
            assert_eq!(refused, Err(PathError(path.into())));
        }
    }

    #[test]
    fn a_single_top_directory_is_dropped() {
        let tree = |paths: &[&str]| {
            let mut tree = Tree::default();
            for path in paths {
                tree.insert(path, File::Plain(Vec::new())).unwrap();
            }
            tree
        };
        let packed = tree(&["ipxe-1/src/Makefile", "ipxe-1/README"]);
        assert_eq!(packed.without_top(), tree(&["src/Makefile", "README"]));
        let plain = tree(&["src/Makefile", "README"]);
        assert_eq!(plain.clone().without_top(), plain);
    }
}
