// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether what arrived is what was sent, and whether what is on the disk is what arrived.

use std::io;

use sha2::{Digest, Sha256};
use slam_client::wire::{TransactionId, TransferHeader};
use slam_client::{BlockIndex, BlockSet};

use super::TargetError;
use crate::sidecar::Medium;

/// Transactions below are mini-slamd's, seconds since 1970; slamboot's are the first 53 bits of
/// the content's SHA-256, of which one in 8,192 lies below.
const LEAST_DIGEST: u64 = 1 << 40;
/// Blocks that share one fingerprint.
const GROUP: u64 = 1024;
/// Bytes read back at once.
const READ: usize = 1 << 20;

/// What the user wants proven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Read it back from the disk.
    pub(crate) read_back: bool,
    /// What its SHA-256 must be.
    pub(crate) sha256: Option<[u8; 32]>,
}

/// What a digest proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// It is the one that was demanded.
    Demanded,
    /// Its first 53 bits are the transaction.
    Transaction,
    /// There is nothing to compare it with.
    Unknown,
    /// The transaction might have been a digest, and is another.
    Doubtful,
}

impl Demand {
    /// Compares a digest with what it must be. `mixed`: parts came from elsewhere, so that a
    /// transaction which might be a digest must be this one.
    pub(super) fn judge(
        &self,
        what: &str,
        header: &TransferHeader,
        sha256: &[u8; 32],
        mixed: bool,
    ) -> Result<Agreement, TargetError> {
        let wrong = |expected: String| TargetError::Digest {
            what: what.to_owned(),
            found: hex::encode(sha256),
            expected,
        };
        if let Some(expected) = &self.sha256 {
            return if expected == sha256 {
                Ok(Agreement::Demanded)
            } else {
                Err(wrong(format!("expected {}", hex::encode(expected))))
            };
        }
        let transaction = header.transaction();
        if TransactionId::from_digest(sha256) == transaction {
            Ok(Agreement::Transaction)
        } else if transaction.0.get() < LEAST_DIGEST {
            Ok(Agreement::Unknown)
        } else if mixed || self.read_back {
            Err(wrong(format!(
                "expected one whose first 53 bits are the transaction, {transaction}"
            )))
        } else {
            Ok(Agreement::Doubtful)
        }
    }
}

/// Remembers blocks as they came, a few bytes for some thousand of them: what order they come in
/// makes no difference. CRC-32 is meant for what disks and cables do, not for adversaries.
#[derive(Debug, Default)]
pub(super) struct Fingerprint {
    groups: Vec<u64>,
    /// Blocks of this run; those of earlier ones cannot be compared.
    blocks: BlockSet,
}

impl Fingerprint {
    /// Takes whole blocks.
    pub(super) fn add(&mut self, header: &TransferHeader, offset: u64, bytes: &[u8]) {
        let size = usize::from(header.block_size().get());
        let first = offset / size as u64;
        for (block, bytes) in (first..).zip(bytes.chunks(size)) {
            let group = (block / GROUP) as usize;
            if self.groups.len() <= group {
                self.groups.resize(group + 1, 0);
            }
            self.groups[group] = self.groups[group].wrapping_add(mark(block, bytes));
        }
        self.blocks
            .insert_run(first..first + bytes.len().div_ceil(size) as u64);
    }
}

fn mark(block: u64, bytes: &[u8]) -> u64 {
    // The block number goes in, lest two blocks that changed places go unnoticed.
    (u64::from(crc32fast::hash(bytes)) << 32 | (block & 0xffff_ffff))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Reads the image back; its SHA-256. Blocks that differ from their fingerprint are an error.
pub(super) fn read_back(
    what: &str,
    medium: &dyn Medium,
    header: &TransferHeader,
    fingerprint: Option<&Fingerprint>,
) -> Result<[u8; 32], TargetError> {
    let size = usize::from(header.block_size().get());
    let mut hash = Sha256::new();
    let mut found = vec![0_u64; fingerprint.map_or(0, |it| it.groups.len())];
    // Whole blocks, so that each is fingerprinted in one piece.
    let mut buffer = vec![0; (READ / size).max(1) * size];
    let mut at = 0;
    while at < header.total_bytes() {
        let left = header.total_bytes() - at;
        let want = (buffer.len() as u64).min(left) as usize;
        let buffer = &mut buffer[..want];
        medium
            .read_all_at(buffer, at)
            .map_err(|source| TargetError::Io {
                path: what.into(),
                doing: "cannot read it back",
                source,
            })?;
        hash.update(&*buffer);
        if let Some(fingerprint) = fingerprint {
            for (block, bytes) in (at / size as u64..).zip(buffer.chunks(size)) {
                if fingerprint.blocks.contains(BlockIndex(block)) {
                    let group = &mut found[(block / GROUP) as usize];
                    *group = group.wrapping_add(mark(block, bytes));
                }
            }
        }
        at += buffer.len() as u64;
    }
    let expected = fingerprint.map_or(&[][..], |it| &it.groups);
    if let Some(group) = expected.iter().zip(&found).position(|(a, b)| a != b) {
        let from = group as u64 * GROUP * size as u64;
        let to = (from + GROUP * size as u64).min(header.total_bytes());
        return Err(TargetError::ReadBack {
            what: what.to_owned(),
            from,
            to,
        });
    }
    Ok(hash.finalize().into())
}

/// SHA-256 of the first `len` bytes.
pub(super) fn digest(medium: &dyn Medium, len: u64) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; READ];
    let mut at = 0;
    while at < len {
        let buffer = &mut buffer[..(READ as u64).min(len - at) as usize];
        medium.read_all_at(buffer, at)?;
        hash.update(&*buffer);
        at += buffer.len() as u64;
    }
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::Agreement::{Demanded, Doubtful, Transaction, Unknown};
    use super::*;
    use slam_client::wire::{BlockSize, VarInt};
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    fn header(transaction: u64, len: usize) -> TransferHeader {
        let transaction = TransactionId(VarInt::new(transaction).unwrap());
        TransferHeader::new(transaction, len as u64, BlockSize::new(100).unwrap()).unwrap()
    }

    fn file(content: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(content, 0).unwrap();
        file
    }

    #[test]
    fn one_wrong_bit_is_found_and_its_place_named() {
        let mut content: Vec<u8> = (0..250_050_u32)
            .map(|n| (n.wrapping_mul(n) % 253) as u8)
            .collect();
        let header = header(1, content.len());
        let mut fingerprint = Fingerprint::default();
        // Backwards, in pieces of three blocks, and without the first hundred blocks.
        for at in (10_000..content.len()).step_by(300).rev() {
            let end = content.len().min(at + 300);
            fingerprint.add(&header, at as u64, &content[at..end]);
        }
        let expected: [u8; 32] = Sha256::digest(&content).into();
        let check = |content: &[u8]| read_back("x", &file(content), &header, Some(&fingerprint));
        assert_eq!(check(&content).unwrap(), expected);
        content[150_000] ^= 4;
        match check(&content) {
            Err(TargetError::ReadBack { from, to, .. }) => {
                assert_eq!((from, to), (102_400, 204_800));
            }
            other => panic!("{other:?}"),
        }
        // Of an earlier run's blocks nothing is known.
        content[150_000] ^= 4;
        content[0] ^= 4;
        assert_ne!(check(&content).unwrap(), expected);
    }

    #[test]
    fn digests_are_judged_by_what_is_known() {
        let sha256: [u8; 32] = Sha256::digest(b"x").into();
        let other: [u8; 32] = Sha256::digest(b"y").into();
        let ours = header(TransactionId::from_digest(&sha256).0.get(), 1);
        let judge = |read_back, demanded, header: &TransferHeader, sha256, mixed| {
            let demand = Demand {
                read_back,
                sha256: demanded,
            };
            demand.judge("x", header, sha256, mixed).ok()
        };
        assert_eq!(judge(false, None, &ours, &sha256, true), Some(Transaction));
        assert_eq!(judge(false, None, &ours, &other, false), Some(Doubtful));
        assert_eq!(judge(false, None, &ours, &other, true), None);
        assert_eq!(judge(true, None, &ours, &other, false), None);
        let mtime = header(1_700_000_000, 1);
        assert_eq!(judge(true, None, &mtime, &other, true), Some(Unknown));
        assert_eq!(
            judge(false, Some(sha256), &mtime, &sha256, false),
            Some(Demanded)
        );
        assert_eq!(judge(false, Some(sha256), &mtime, &other, false), None);
    }
}
