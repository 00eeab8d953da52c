// SPDX-License-Identifier: MIT OR Apache-2.0
//! A boot.sdi that is nobody's: a header and no disk, for tests and benchmarks.

/// Header, and an empty entry for the WIM (docs/image.md says why no real disk has such a one).
pub fn empty() -> Vec<u8> {
    let mut file = vec![0; 0x2000];
    file[..8].copy_from_slice(b"$SDI0001");
    file[0x70] = 2;
    file[0x400..0x404].copy_from_slice(b"WIM\0");
    file[0x411] = 0x20;
    let sum = file[..0x200]
        .iter()
        .fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    file[0x1FF] = sum.wrapping_neg();
    file
}
