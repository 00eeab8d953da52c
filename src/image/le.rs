// SPDX-License-Identifier: MIT OR Apache-2.0
//! Little-endian fields of a record.
//!
//! Reading past the end gives 0 and writing there does nothing: lengths were proven when the hive
//! was read, and a mistake in that must not become a panic.

pub(super) fn u16_at(record: &[u8], at: usize) -> u16 {
    record
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

pub(super) fn u32_at(record: &[u8], at: usize) -> u32 {
    record
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

pub(super) fn u64_at(record: &[u8], at: usize) -> u64 {
    record
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

pub(super) fn put(record: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = at
        .checked_add(bytes.len())
        .and_then(|end| record.get_mut(at..end))
    {
        place.copy_from_slice(bytes);
    }
}

pub(super) fn put_u16(record: &mut [u8], at: usize, value: u16) {
    put(record, at, &value.to_le_bytes());
}

pub(super) fn put_u32(record: &mut [u8], at: usize, value: u32) {
    put(record, at, &value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_end_nothing_happens() {
        let mut record = [1, 2, 3, 4, 5];
        assert_eq!(u16_at(&record, 3), 0x0504);
        assert_eq!(u32_at(&record, 1), 0x0504_0302);
        assert_eq!(
            (u16_at(&record, 4), u32_at(&record, 2), u64_at(&record, 0)),
            (0, 0, 0)
        );
        assert_eq!(u16_at(&record, usize::MAX), 0);
        put_u32(&mut record, 2, 0xFFFF_FFFF);
        put_u32(&mut record, usize::MAX, 0xFFFF_FFFF);
        assert_eq!(record, [1, 2, 3, 4, 5]);
        put_u16(&mut record, 3, 0x0908);
        assert_eq!(record, [1, 2, 3, 8, 9]);
    }
}
