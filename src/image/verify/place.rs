// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where files are to be, and where a crate finds them.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::disk::Trace;
use super::{Structure, VerifyError, mismatch};
use crate::image::plan::{DiskPlan, PlannedFile};
use crate::image::spec::Attributes;

/// Bytes of a file that are followed at a time.
const BUFFER: usize = 1 << 16;

/// Files that are to be found, by folded path.
pub type Expected<'a> = BTreeMap<String, &'a PlannedFile>;

/// All of the plan.
pub fn expected_files(plan: &DiskPlan) -> Expected<'_> {
    let files = plan.files.iter();
    files.map(|file| (file.path.folded(), file)).collect()
}

/// Folders of which more is said than their names, by folded path.
pub type ExpectedFolders = BTreeMap<String, Attributes>;

/// All of the plan.
pub fn expected_folders(plan: &DiskPlan) -> ExpectedFolders {
    let folders = plan.folders.iter();
    folders
        .map(|folder| (folder.path.folded(), folder.attributes))
        .collect()
}

/// A file lies where it was written, and nowhere else: then the CRC-32 of the disk covers its
/// bytes. `start` is where the volume begins.
pub fn place(
    planned: &PlannedFile,
    found: &mut impl Read,
    trace: &Trace,
    start: u64,
) -> Result<(), VerifyError> {
    let structure = || Structure::File(planned.path.to_string());
    let (read, pieces) = trace.during(|| {
        let mut buffer = vec![0; BUFFER];
        let mut left = planned.data.bytes();
        while left > 0 {
            let length = left.min(BUFFER as u64) as usize;
            read_whole(found, &mut buffer[..length])?;
            left -= length as u64;
        }
        Ok(())
    });
    read.map_err(|source| VerifyError::Volume {
        structure: structure(),
        source,
    })?;
    let bytes = planned.data.bytes();
    let wanted = planned
        .run
        .map(|run| (run.start.byte_offset() - start, bytes));
    if pieces.iter().copied().eq(wanted) {
        return Ok(());
    }
    let show = |pieces: &[(u64, u64)]| -> String {
        let shown = pieces.iter().take(3).map(|(offset, bytes)| {
            let offset = start + offset;
            format!("{bytes} bytes at {offset}")
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        let more = pieces.len().saturating_sub(3);
        match (pieces.len(), more) {
            (0, _) => "no bytes".to_owned(),
            (_, 0) => shown,
            _ => format!("{shown}, and {more} pieces more"),
        }
    };
    Err(mismatch(
        structure(),
        start
            + pieces
                .first()
                .or(wanted.as_ref())
                .map_or(0, |piece| piece.0),
        show(&wanted.into_iter().collect::<Vec<_>>()),
        show(&pieces),
    ))
}

/// Like `read_exact`, with an error that says what was short.
fn read_whole(from: &mut impl Read, into: &mut [u8]) -> io::Result<()> {
    from.read_exact(into).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "its chain of clusters ends before its length",
        ),
        _ => error,
    })
}
