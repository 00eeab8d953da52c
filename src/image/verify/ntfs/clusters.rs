// SPDX-License-Identifier: MIT OR Apache-2.0
//! The clusters: each is somebody's or free, as `$Bitmap` says; and the journal, which is empty.

use super::{Volume, place};
use crate::image::ntfs::decode::Run;
use crate::image::verify::{Structure, VerifyError, expect, expect_bytes, mismatch, read};

/// Every cluster has at most one owner, and those that have one are marked.
pub(super) fn cluster_bitmap(
    volume: &Volume,
    mut taken: Vec<(u64, u64, u64)>,
    (bytes, runs): &(u64, Vec<Run>),
) -> Result<(), VerifyError> {
    taken.sort_unstable();
    for pair in taken.windows(2) {
        if pair[0].0 + pair[0].1 > pair[1].0 {
            let found = format!("cluster {} has two owners", pair[1].0);
            return Err(mismatch(
                Structure::Mft,
                pair[1].2,
                "clusters of its own",
                found,
            ));
        }
    }
    let length = volume.clusters.div_ceil(8).next_multiple_of(8);
    let at = place(volume, runs);
    expect(Structure::ClusterBitmap, at, &length, bytes)?;
    // The last word's bits past the volume are set.
    taken.push((volume.clusters, length * 8 - volume.clusters, 0));
    let mut owner = taken.iter().peekable();
    let mut part = vec![0; 1 << 16];
    let mut expected = part.clone();
    for from in (0..length).step_by(1 << 16) {
        let size = (length - from).min(1 << 16) as usize;
        expected[..size].fill(0);
        let end = (from + size as u64) * 8;
        while let Some((first, count, _)) = owner.peek() {
            for cluster in (*first).max(from * 8)..(first + count).min(end) {
                expected[(cluster / 8 - from) as usize] |= 1 << (cluster % 8);
            }
            if first + count > end {
                break;
            }
            owner.next();
        }
        read(volume.file, at + from, &mut part[..size])?;
        expect_bytes(
            Structure::ClusterBitmap,
            at + from,
            &expected[..size],
            &part[..size],
        )?;
    }
    Ok(())
}

/// A log with nothing in it.
pub(super) fn log(volume: &Volume, value: &(u64, Vec<Run>)) -> Result<(), VerifyError> {
    let bytes = volume.bytes(value)?;
    let offset = place(volume, &value.1);
    expect_bytes(Structure::LogFile, offset, &vec![0xFF; bytes.len()], &bytes)
}
