// SPDX-License-Identifier: MIT OR Apache-2.0
//! CRC-32 of texts that nobody reads: zeros, and four bytes that give a text any CRC one likes.

use crc32fast::Hasher;

/// The reflected polynomial of CRC-32 (IEEE 802.3).
const POLYNOMIAL: u32 = 0xEDB8_8320;

/// The four bytes which, after content whose CRC-32 is `before`, make the whole have `wanted`.
///
/// CRC-32 takes four bytes in by exclusive-or with its state, then runs 32 shifts, each of which
/// can be undone: the bit shifted out is what the polynomial's top bit leaves behind.
pub fn balance(before: u32, wanted: u32) -> [u8; 4] {
    let mut state = !wanted;
    for _ in 0..32 {
        state = if state & 0x8000_0000 == 0 {
            state << 1
        } else {
            (state ^ POLYNOMIAL) << 1 | 1
        };
    }
    (state ^ !before).to_le_bytes()
}

/// The CRC-32 of so many zeros, in as many steps as the number has bits.
pub fn zeros(count: u64) -> Hasher {
    let mut whole = Hasher::new();
    // Of 1, 2, 4, … zeros.
    let mut power = Hasher::new();
    power.update(&[0]);
    let mut left = count;
    while left > 0 {
        if left & 1 == 1 {
            whole.combine(&power);
        }
        left >>= 1;
        let same = power.clone();
        power.combine(&same);
    }
    whole
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_whole_has_the_wanted_crc(text: Vec<u8>, wanted: u32) {
            let mut whole = text.clone();
            whole.extend(balance(crc32fast::hash(&text), wanted));
            prop_assert_eq!(crc32fast::hash(&whole), wanted);
        }
    }

    #[test]
    fn zeros_that_nobody_reads() {
        for count in [0, 1, 2, 511, 512, 100_003] {
            let mut found = Hasher::new();
            found.update(b"before");
            found.combine(&zeros(count));
            found.update(b"after");
            let text = [b"before", &vec![0; count as usize][..], b"after"].concat();
            assert_eq!(found.finalize(), crc32fast::hash(&text), "{count}");
        }
    }
}
