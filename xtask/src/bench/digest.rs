// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file that is served, and whether what was received is that file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

/// SHA-256.
pub(super) type Digest = [u8; 32];

const CHUNK: usize = 1 << 20;

/// Writes `bytes` bytes that look like nothing, the same on every run, and syncs nothing.
pub(super) fn write(path: &Path, bytes: u64) -> Result<Digest> {
    let mut hash = Sha256::new();
    let mut file = File::create(path).with_context(|| path.display().to_string())?;
    let mut random = fastrand::Rng::with_seed(bytes);
    let mut chunk = vec![0; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let len = left.min(CHUNK as u64) as usize;
        random.fill(&mut chunk[..len]);
        hash.update(&chunk[..len]);
        file.write_all(&chunk[..len])?;
        left -= len as u64;
    }
    Ok(hash.finalize().into())
}

/// The first file that does not have this digest.
pub(super) fn differing(paths: &[&Path], expected: &Digest) -> Result<Option<PathBuf>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let each = paths.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let checks: Vec<_> = paths
            .chunks(each)
            .map(|paths| {
                scope.spawn(move || -> Result<Option<PathBuf>> {
                    for path in paths {
                        let found = of(path).with_context(|| path.display().to_string())?;
                        if found != *expected {
                            return Ok(Some(path.to_path_buf()));
                        }
                    }
                    Ok(None)
                })
            })
            .collect();
        let mut differing = None;
        for check in checks {
            let found = check
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            differing = differing.or(found);
        }
        Ok(differing)
    })
}

fn of(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&chunk[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_of_difference_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c"].map(|name| dir.path().join(name));
        let bytes = 2 * CHUNK as u64 + 5;
        let digest = write(&paths[0], bytes).unwrap();
        assert_eq!(std::fs::metadata(&paths[0]).unwrap().len(), bytes);
        for copy in &paths[1..] {
            assert_eq!(write(copy, bytes).unwrap(), digest);
        }
        let all: Vec<&Path> = paths.iter().map(|path| &**path).collect();
        assert_eq!(differing(&all, &digest).unwrap(), None);
        let mut content = std::fs::read(&paths[2]).unwrap();
        content[CHUNK] ^= 1;
        std::fs::write(&paths[2], content).unwrap();
        assert_eq!(differing(&all, &digest).unwrap(), Some(paths[2].clone()));
    }
}
