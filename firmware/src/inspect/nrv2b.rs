// SPDX-License-Identifier: MIT OR Apache-2.0
//! NRV2B, which gPXE and iPXE before March 2016 pack with (UCL, 32-bit little-endian bit buffer;
//! their `arch/i386/prefix/unnrv2b.S` unpacks).
//!
//! A block has neither length nor checksum in front: where one begins is found by trying. Bytes
//! that are none soon copy from before the beginning, so a try is short unless it is right. The
//! result still is only a guess; what is made of it is compared with the linked program.

/// Linkers put blocks at multiples of this (`_max_align` in `i386.lds`).
const ALIGN: usize = 16;
/// Bytes written in all tries together, as a multiple of the file's size, then it is given up.
const WORK: usize = 64;
/// A whole gPXE is below 1 MiB.
pub(super) const LIMIT: usize = 4 << 20;
/// No packed file unpacks to less.
const SHORTEST: usize = 1024;

/// The largest block in `file`, unpacked to at most `limit` bytes.
pub(super) fn largest(file: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut work = file.len().saturating_mul(WORK);
    let mut largest: Option<Vec<u8>> = None;
    for offset in (0..file.len()).step_by(ALIGN) {
        let mut unpacker = Unpacker::new(&file[offset..], limit.min(work));
        let whole = unpacker.run();
        // A try costs at least the look at its first bits.
        work = work.checked_sub(unpacker.out.len() + 1)?;
        let best = largest.as_ref().map_or(SHORTEST, Vec::len);
        if whole.is_some() && unpacker.out.len() > best {
            largest = Some(unpacker.out);
        }
    }
    largest
}

struct Unpacker<'a> {
    packed: &'a [u8],
    /// Bits not yet used, the next one on top.
    bits: u32,
    left: u32,
    out: Vec<u8>,
    limit: usize,
}

impl<'a> Unpacker<'a> {
    fn new(packed: &'a [u8], limit: usize) -> Unpacker<'a> {
        Unpacker {
            packed,
            bits: 0,
            left: 0,
            out: Vec::new(),
            limit,
        }
    }

    /// `Some` at the end marker; `None` where the bytes are none of ours.
    fn run(&mut self) -> Option<()> {
        let mut distance: u32 = 1;
        loop {
            while self.bit()? == 1 {
                let byte = self.byte()?;
                self.put(byte)?;
            }
            let high = self.number(1)?;
            if high > 2 {
                // Beyond 24 bits the shift would lose some: not even the end marker has more.
                let high = high - 3;
                if high >> 24 != 0 {
                    return None;
                }
                let code = high << 8 | u32::from(self.byte()?);
                if code == u32::MAX {
                    return Some(());
                }
                distance = code + 1;
            }
            let mut length = self.bit()? * 2;
            length += self.bit()?;
            if length == 0 {
                length = self.number(1)?.checked_add(2)?;
            }
            length = length.checked_add(1 + u32::from(distance > 0xd00))?;
            let from = self.out.len().checked_sub(distance as usize)?;
            if length as usize > self.limit.saturating_sub(self.out.len()) {
                return None;
            }
            for at in from..from + length as usize {
                // Source and target may overlap: each byte is there by the time it is read.
                let byte = self.out[at];
                self.out.push(byte);
            }
        }
    }

    /// Digits, each followed by a bit that says whether it was the last.
    fn number(&mut self, mut value: u32) -> Option<u32> {
        loop {
            value = value.checked_mul(2)?.checked_add(self.bit()?)?;
            if self.bit()? == 1 {
                return Some(value);
            }
        }
    }

    fn bit(&mut self) -> Option<u32> {
        if self.left == 0 {
            let (word, rest) = self.packed.split_first_chunk()?;
            self.bits = u32::from_le_bytes(*word);
            self.packed = rest;
            self.left = 32;
        }
        let bit = self.bits >> 31;
        self.bits <<= 1;
        self.left -= 1;
        Some(bit)
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.packed.split_first()?;
        self.packed = rest;
        Some(*byte)
    }

    fn put(&mut self, byte: u8) -> Option<()> {
        if self.out.len() >= self.limit {
            return None;
        }
        self.out.push(byte);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Packs as simply as can be: literals, and runs of one byte as copies from one byte before.
    /// Written from the format, not from the unpacker.
    struct Packer {
        out: Vec<u8>,
        /// Where the word of bits lies that is being filled, and how many of it are used.
        word: usize,
        used: u32,
    }

    impl Packer {
        fn bit(&mut self, bit: u32) {
            if self.used == 32 {
                self.word = self.out.len();
                self.out.extend([0; 4]);
                self.used = 0;
            }
            let mut word = [0; 4];
            word.copy_from_slice(&self.out[self.word..self.word + 4]);
            let filled = u32::from_le_bytes(word) | bit << (31 - self.used);
            self.out[self.word..self.word + 4].copy_from_slice(&filled.to_le_bytes());
            self.used += 1;
        }

        /// `value`'s digits below its leading one, each with its flag.
        fn number(&mut self, value: u32) {
            let digits = value.ilog2();
            for digit in (0..digits).rev() {
                self.bit(value >> digit & 1);
                self.bit(u32::from(digit == 0));
            }
        }

        fn pack(bytes: &[u8]) -> Vec<u8> {
            let mut packer = Packer {
                out: Vec::new(),
                word: 0,
                used: 32,
            };
            let mut at = 0;
            while at < bytes.len() {
                let same = |byte: &&u8| at > 0 && **byte == bytes[at - 1];
                let run = bytes[at..].iter().take_while(same).count();
                if run < 6 {
                    packer.bit(1);
                    packer.out.push(bytes[at]);
                    at += 1;
                    continue;
                }
                packer.bit(0);
                packer.number(3);
                packer.out.push(0);
                packer.bit(0);
                packer.bit(0);
                // The length's number is 3 less: 2 for the long form, 1 for all.
                packer.number(run as u32 - 3);
                at += run;
            }
            packer.bit(0);
            packer.number(0x00ff_ffff + 3);
            packer.out.push(0xff);
            packer.out
        }
    }

    fn unpack(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
        let mut unpacker = Unpacker::new(packed, limit);
        unpacker.run().map(|()| unpacker.out)
    }

    #[test]
    fn a_block_is_found_among_other_bytes() {
        let mut program = vec![7; 3000];
        program.extend((0..2000_u32).flat_map(u32::to_le_bytes));
        let mut file = vec![0x90; 10 * ALIGN];
        file.extend(Packer::pack(&program));
        file.extend([0xff; 100]);
        assert_eq!(largest(&file, 1 << 20), Some(program));
        assert_eq!(largest(&vec![0xff; 1 << 16], 1 << 20), None);
        assert_eq!(largest(&vec![0; 1 << 16], 1 << 20), None);
        assert_eq!(largest(&[], 1 << 20), None);
    }

    #[test]
    fn nothing_grows_past_its_limit() {
        let packed = Packer::pack(&vec![1; 100_000]);
        assert!(packed.len() < 100);
        assert_eq!(unpack(&packed, 100_000).map(|out| out.len()), Some(100_000));
        assert_eq!(unpack(&packed, 99_999), None);
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(
            runs in prop::collection::vec((any::<u8>(), 1usize..300), 0..40)
        ) {
            let bytes: Vec<u8> = runs
                .into_iter()
                .flat_map(|(byte, count)| std::iter::repeat_n(byte, count))
                .collect();
            prop_assert_eq!(unpack(&Packer::pack(&bytes), 1 << 20), Some(bytes));
        }

        #[test]
        fn any_bytes_end_within_their_limit(
            bytes in prop::collection::vec(any::<u8>(), 0..4096),
            limit in 0usize..10_000,
        ) {
            let mut unpacker = Unpacker::new(&bytes, limit);
            let _ = unpacker.run();
            prop_assert!(unpacker.out.len() <= limit);
            let _ = largest(&bytes, limit);
        }
    }
}
