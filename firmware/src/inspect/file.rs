// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file that may be firmware, read with bounds: whatever it is, no more of it than firmware can have.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::FILE_LIMIT;

/// A file that cannot be read, or not as firmware.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What the system said.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More than any iPXE, or a device without an end.
    #[error(
        "{} has more than {FILE_LIMIT} bytes, expected at most that: no iPXE is so large\nhelp: name the firmware's own file (.rom, .mrom, .efi, .iso, ...), not a disk or a device",
        path.display()
    )]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
}

/// Reads the file at `path`, and refuses one that is larger than any firmware before it is read whole: a
/// disk image of 100 GB costs nothing, a device without an end no more than the limit.
pub fn read_file(path: &Path) -> Result<Vec<u8>, ReadError> {
    let failed = |source| ReadError::Io {
        path: path.to_owned(),
        source,
    };
    let too_large = || ReadError::TooLarge {
        path: path.to_owned(),
    };
    let limit = FILE_LIMIT as u64;
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > limit {
        return Err(too_large());
    }
    let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    // It may grow meanwhile, and devices say that they have no size.
    let read = file.take(limit + 1).read_to_end(&mut content);
    if read.map_err(failed)? > FILE_LIMIT {
        return Err(too_large());
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_and_what_is_huge_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let huge = dir.path().join("disk.img");
        File::create(&huge).unwrap().set_len(100 << 30).unwrap();
        for path in [Path::new("/dev/zero"), &huge] {
            let error = read_file(path).unwrap_err();
            let said = error.to_string();
            assert!(matches!(error, ReadError::TooLarge { .. }), "{said}");
            assert!(said.contains(&path.display().to_string()) && said.contains("help:"));
        }
        let limit = dir.path().join("limit");
        let file = File::create(&limit).unwrap();
        file.set_len(FILE_LIMIT as u64).unwrap();
        assert_eq!(read_file(&limit).unwrap().len(), FILE_LIMIT);
        file.set_len(FILE_LIMIT as u64 + 1).unwrap();
        assert!(read_file(&limit).is_err());
        let error = read_file(dir.path()).unwrap_err();
        assert!(matches!(error, ReadError::Io { .. }), "{error}");
    }
}
