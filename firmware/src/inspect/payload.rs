// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program inside a BIOS image: packed blocks, found by their checksum, unpacked as iPXE's own
//! start-up code unpacks them.
//!
//! From March 2016 on (iPXE `arch/x86/prefix/unlzma.S`, `util/zbin.c`) a block stands at a
//! multiple of 16 and is: u32 LE length L, L − 4 bytes of raw LZMA1 (lc 2, lp 0, pb 0, end
//! marker), u32 LE inverted CRC-32 of the LZMA bytes. Older trees pack with NRV2B and no checksum:
//! see `nrv2b.rs`.

use std::io::{self, Write};

use lzma_rs::decompress::raw::{LzmaDecoder, LzmaParams, LzmaProperties};

/// Blocks of one iPXE: `.text16.early`, `.text16.late`, `.data16` and `.textdata`, each packed by itself
/// (`arch/x86/scripts/pcbios.lds`, `.zinfo`), in every format and release from March 2016 on.
pub(super) const EXPECTED: usize = 4;
/// Blocks are aligned to this.
const ALIGN: usize = 16;
/// The length counts the LZMA bytes (at least the range coder's five) and the checksum.
const SHORTEST: usize = 5 + 4;
/// Checksums over candidate lengths may take this many times the file's own size, then we stop:
/// a file made to look like nothing but candidates must not cost quadratic time.
const CANDIDATE_WORK: usize = 64;
/// Unpacked size of all blocks together; a whole iPXE is below 2 MiB.
pub(super) const UNPACKED_LIMIT: usize = 64 << 20;
/// `zbin` is content with 8 MiB.
const DICTIONARY: u32 = 8 << 20;

/// One block whose checksum is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Offset of its length field in the file.
    pub offset: usize,
    /// Packed size, length field and checksum included.
    pub packed: usize,
    /// What it unpacks to, branch filter undone.
    pub bytes: Vec<u8>,
}

/// All blocks in `file`, in order; a block whose checksum is right and whose LZMA is not is left
/// out, since chance can make the first but not the second.
pub(super) fn unpack(file: &[u8]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut work = file.len().saturating_mul(CANDIDATE_WORK);
    let mut room = UNPACKED_LIMIT;
    let mut offset = 0;
    while let Some(candidate) = candidate(file, offset) {
        let Some(Candidate { packed, lzma, crc }) = candidate else {
            offset += ALIGN;
            continue;
        };
        let Some(left) = work.checked_sub(lzma.len()) else {
            break;
        };
        work = left;
        let unpacked = (!crc32fast::hash(lzma) == crc)
            .then(|| unlzma(lzma, room))
            .flatten();
        let Some(mut bytes) = unpacked else {
            offset += ALIGN;
            continue;
        };
        undo_branch_filter(&mut bytes);
        room -= bytes.len();
        blocks.push(Block {
            offset,
            packed,
            bytes,
        });
        offset = (offset + packed).next_multiple_of(ALIGN);
    }
    blocks
}

struct Candidate<'a> {
    packed: usize,
    lzma: &'a [u8],
    crc: u32,
}

/// What stands at `offset`; `None` at the end of the file.
#[expect(
    clippy::option_option,
    reason = "end of file and no block here are two things"
)]
fn candidate(file: &[u8], offset: usize) -> Option<Option<Candidate<'_>>> {
    let rest = file.get(offset..)?;
    let (length, _) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length < SHORTEST {
        return Some(None);
    }
    // LZMA's range coder starts with a zero byte.
    let lzma = rest.get(4..length).filter(|lzma| lzma.first() == Some(&0));
    let crc = rest.get(length..).and_then(<[u8]>::first_chunk);
    Some(lzma.zip(crc).map(|(lzma, crc)| Candidate {
        packed: length + 4,
        lzma,
        crc: u32::from_le_bytes(*crc),
    }))
}

fn unlzma(mut packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    let properties = LzmaProperties {
        lc: 2,
        lp: 0,
        pb: 0,
    };
    let mut decoder = LzmaDecoder::new(
        LzmaParams::new(properties, DICTIONARY, None),
        Some(DICTIONARY as usize),
    )
    .ok()?;
    let mut unpacked = Capped {
        bytes: Vec::new(),
        limit,
    };
    decoder.decompress(&mut packed, &mut unpacked).ok()?;
    Some(unpacked.bytes)
}

/// A buffer that refuses to grow past its limit.
struct Capped {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            return Err(io::Error::other("unpacked data exceed the limit"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// iPXE `util/zbin.c`, `bcj_filter`, backwards: absolute targets after CALL and JMP become
/// relative again.
fn undo_branch_filter(bytes: &mut [u8]) {
    let Some(limit) = bytes.len().checked_sub(5) else {
        return;
    };
    let mut at = 0;
    while at <= limit {
        if !matches!(bytes[at], 0xe8 | 0xe9) {
            at += 1;
            continue;
        }
        if let Some(field) = bytes[at + 1..].first_chunk_mut::<4>() {
            let (here, end) = (at.cast_signed(), limit.cast_signed());
            let target = i32::from_le_bytes(*field) as isize;
            let relative = if (0..end).contains(&target) {
                target - here
            } else if (-here..0).contains(&target) {
                target + end
            } else {
                target
            };
            // Fits: it is within the unpacked limit, or unchanged.
            *field = (relative as i32).to_le_bytes();
        }
        at += 5;
    }
}
