// SPDX-License-Identifier: MIT OR Apache-2.0
//! A record of the MFT: a header, attributes in the order of their types, an end mark.

use super::fixup;

/// Bytes of a record.
pub const RECORD: usize = 1024;
/// Where the attributes begin.
pub(super) const FIRST_ATTRIBUTE: usize = 0x38;
/// The end mark, padded.
pub(super) const END: usize = 8;
/// What attributes have room for.
pub(super) const ROOM: usize = RECORD - FIRST_ATTRIBUTE - END;

/// Where the update sequence stands.
const SEQUENCE: usize = 0x30;

/// Bits of a record's state.
pub(super) mod state {
    pub const IN_USE: u16 = 1;
    pub const DIRECTORY: u16 = 2;
    /// A child of `$Extend`.
    pub const EXTENSION: u16 = 4;
    pub const VIEW_INDEX: u16 = 8;
}

/// A record to be encoded.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub number: u32,
    pub state: u16,
    /// Names of it.
    pub links: u16,
    /// In order, at most [`ROOM`] bytes.
    pub attributes: Vec<Vec<u8>>,
}

/// How often a record was given to a file: the system's have their number, so that zero stays
/// free, all others are new.
pub(super) fn sequence(number: u32) -> u16 {
    match number {
        1..24 => number as u16,
        _ => 1,
    }
}

/// What refers to a record: its number, and its sequence above.
pub(super) fn reference(number: u32) -> u64 {
    u64::from(number) | u64::from(sequence(number)) << 48
}

impl Record {
    /// Its bytes.
    pub fn encode(&self) -> [u8; RECORD] {
        let mut record = [0; RECORD];
        let mut at = FIRST_ATTRIBUTE;
        for (instance, attribute) in self.attributes.iter().enumerate() {
            let slot = &mut record[at..at + attribute.len()];
            slot.copy_from_slice(attribute);
            slot[0x0E..0x10].copy_from_slice(&(instance as u16).to_le_bytes());
            at += attribute.len();
        }
        record[at..at + 4].fill(0xFF);
        at += END;
        let mut put = |offset: usize, bytes: &[u8]| {
            record[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        put(0x00, b"FILE");
        put(0x10, &sequence(self.number).to_le_bytes());
        put(0x12, &self.links.to_le_bytes());
        put(0x14, &(FIRST_ATTRIBUTE as u16).to_le_bytes());
        put(0x16, &self.state.to_le_bytes());
        put(0x18, &(at as u32).to_le_bytes());
        put(0x1C, &(RECORD as u32).to_le_bytes());
        put(0x28, &(self.attributes.len() as u16).to_le_bytes());
        put(0x2C, &self.number.to_le_bytes());
        fixup::protect(&mut record, SEQUENCE);
        record
    }

    /// A record that is nobody's.
    pub fn free(number: u32) -> Self {
        Record {
            number,
            state: 0,
            links: 0,
            attributes: Vec::new(),
        }
    }
}
