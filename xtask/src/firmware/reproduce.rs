// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--check-reproducible`: the same inputs, built once more from nothing in a directory of another
//! name, give the same bytes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::table::Table;

/// One file of the first build and of the second.
struct Pair {
    name: String,
    first: Vec<u8>,
    second: Vec<u8>,
}

/// Compares the files `names` of two `dist/firmware` directories; a table of their digests, or an
/// error that says which differ, and where first.
pub(super) fn compare(names: &[String], first: &Path, second: &Path) -> Result<String> {
    let mut table = Table::new(["firmware", "bytes", "sha256 of both"]);
    let mut differing = Vec::new();
    for name in names {
        let read = |directory: &Path| {
            let path = directory.join(name);
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let pair = Pair {
            name: name.clone(),
            first: read(first)?,
            second: read(second)?,
        };
        match pair.difference() {
            None => table.row([pair.name, pair.first.len().to_string(), sha256(&pair.first)]),
            Some(difference) => differing.push(difference),
        }
    }
    if differing.is_empty() {
        return Ok(table.to_string());
    }
    bail!(
        "not reproducible: {} of {} differ\n  {}\n  first:  {}\n  second: {}",
        differing.len(),
        names.len(),
        differing.join("\n  "),
        first.display(),
        second.display()
    )
}

impl Pair {
    fn difference(&self) -> Option<String> {
        let (first, second) = (&self.first, &self.second);
        if first == second {
            return None;
        }
        let at = first.iter().zip(second).position(|(a, b)| a != b);
        let at = at.unwrap_or(first.len().min(second.len()));
        Some(format!(
            "{}: {} and {} bytes, first difference at {at:#x}",
            self.name,
            first.len(),
            second.len()
        ))
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_differs_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("1"), dir.path().join("2"));
        for (directory, text) in [(&one, "same, one"), (&two, "same, two!")] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("a"), text).unwrap();
            fs::write(directory.join("b"), "b").unwrap();
        }
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let table = compare(&names(&["b"]), &one, &two).unwrap();
        assert!(table.contains("3e23e8160039594a"), "{table}");
        let error = compare(&names(&["a", "b"]), &one, &two)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("1 of 2")
                && error.contains("a: 9 and 10 bytes, first difference at 0x6"),
            "{error}"
        );
        assert!(compare(&names(&["c"]), &one, &two).is_err());
    }
}
