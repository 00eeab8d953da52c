// SPDX-License-Identifier: MIT OR Apache-2.0
//! Update sequences: the last two bytes of each sector of a record say that it was written whole.

use crate::image::unit::SECTOR;

/// The number that the sectors end with. A record that was written once has had one.
const NUMBER: u16 = 1;

/// Moves the sectors' last two bytes into the array at `array` and puts the number in their
/// place. The record is whole sectors; the array has room for one number and two bytes a sector.
pub(super) fn protect(record: &mut [u8], array: usize) {
    let number = NUMBER.to_le_bytes();
    let sector = SECTOR as usize;
    let count = record.len() / sector;
    record[4..6].copy_from_slice(&(array as u16).to_le_bytes());
    record[6..8].copy_from_slice(&(count as u16 + 1).to_le_bytes());
    record[array..array + 2].copy_from_slice(&number);
    for index in 0..count {
        let end = (index + 1) * sector - 2;
        let saved = [record[end], record[end + 1]];
        let slot = array + 2 + index * 2;
        record[slot..slot + 2].copy_from_slice(&saved);
        record[end..end + 2].copy_from_slice(&number);
    }
}
