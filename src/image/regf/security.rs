// SPDX-License-Identifier: MIT OR Apache-2.0
//! Key security: a ring of security descriptors that keys share and count (section "Key
//! security").

use super::cell::Cells;
use super::le::{put, put_u16, put_u32, u32_at};

/// Where the fields lie.
pub(super) mod field {
    pub const FLINK: usize = 4;
    pub const BLINK: usize = 8;
    pub const REFERENCES: usize = 12;
    pub const SIZE: usize = 16;
    pub const DESCRIPTOR: usize = 20;
}

/// S-1-5-32-544, the administrators: revision, two subauthorities, NT authority.
const ADMINISTRATORS: [u8; 16] = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
/// S-1-5-18, the system itself.
const SYSTEM: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];

/// `SE_SELF_RELATIVE | SE_DACL_PRESENT`.
const CONTROL: u16 = 0x8004;
/// `KEY_ALL_ACCESS`.
const ALL_ACCESS: u32 = 0x000F_003F;
/// `CONTAINER_INHERIT_ACE`: subkeys have it, too.
const INHERITED: u8 = 2;

/// O:BAG:SYD:(A;CI;KA;;;BA)(A;CI;KA;;;SY), a self-relative `SECURITY_DESCRIPTOR` (MS-DTYP
/// 2.4.6): administrators and the system may do everything.
fn descriptor() -> Vec<u8> {
    let mut aces = Vec::new();
    for sid in [&ADMINISTRATORS[..], &SYSTEM] {
        // ACCESS_ALLOWED_ACE (2.4.4.2): type, flags, size, mask, SID.
        aces.extend([0, INHERITED]);
        aces.extend((8 + sid.len() as u16).to_le_bytes());
        aces.extend(ALL_ACCESS.to_le_bytes());
        aces.extend(sid);
    }
    // Owner, group and list follow the header of 20 bytes; the list has a header of 8 (2.4.5).
    let owner = 20;
    let group = owner + ADMINISTRATORS.len() as u32;
    let dacl = group + SYSTEM.len() as u32;
    let mut bytes = vec![0; dacl as usize];
    bytes[0] = 1;
    put_u16(&mut bytes, 2, CONTROL);
    put_u32(&mut bytes, 4, owner);
    put_u32(&mut bytes, 8, group);
    put_u32(&mut bytes, 16, dacl);
    put(&mut bytes, owner as usize, &ADMINISTRATORS);
    put(&mut bytes, group as usize, &SYSTEM);
    bytes.extend([2, 0]);
    bytes.extend((8 + aces.len() as u16).to_le_bytes());
    bytes.extend([2, 0, 0, 0]);
    bytes.extend(aces);
    bytes
}

/// A ring of one, which nobody uses yet.
pub(super) fn create(cells: &mut Cells) -> u32 {
    let descriptor = descriptor();
    let offset = cells.allocate(field::DESCRIPTOR + descriptor.len());
    let item = cells.get_mut(offset);
    put(item, 0, b"sk");
    put_u32(item, field::FLINK, offset);
    put_u32(item, field::BLINK, offset);
    put_u32(item, field::SIZE, descriptor.len() as u32);
    put(item, field::DESCRIPTOR, &descriptor);
    offset
}

/// One key more has it. A key may have none.
pub(super) fn hold(cells: &mut Cells, offset: u32) {
    let item = cells.get_mut(offset);
    let references = u32_at(item, field::REFERENCES).saturating_add(1);
    put_u32(item, field::REFERENCES, references);
}

/// One key less has it; the last one takes it out of the ring.
pub(super) fn release(cells: &mut Cells, offset: u32) {
    let item = cells.get_mut(offset);
    let references = u32_at(item, field::REFERENCES).saturating_sub(1);
    put_u32(item, field::REFERENCES, references);
    if references > 0 || item.is_empty() {
        return;
    }
    let (flink, blink) = (u32_at(item, field::FLINK), u32_at(item, field::BLINK));
    put_u32(cells.get_mut(blink), field::FLINK, flink);
    put_u32(cells.get_mut(flink), field::BLINK, blink);
    cells.free(offset);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptor_is_self_relative() {
        let bytes = descriptor();
        assert_eq!(bytes.len(), 20 + 16 + 12 + 8 + 24 + 20);
        assert_eq!(
            bytes[..20],
            [
                1, 0, 4, 0x80, 20, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 48, 0, 0, 0
            ]
        );
        assert_eq!(bytes[48..56], [2, 0, 52, 0, 2, 0, 0, 0]);
        assert_eq!(bytes[56..64], [0, 2, 24, 0, 0x3F, 0, 0x0F, 0]);
    }

    #[test]
    fn the_last_key_takes_it_out_of_the_ring() {
        let mut cells = Cells::new(super::super::base::new(""), 0);
        let (one, two) = (create(&mut cells), create(&mut cells));
        for (item, other) in [(one, two), (two, one)] {
            put_u32(cells.get_mut(item), field::FLINK, other);
            put_u32(cells.get_mut(item), field::BLINK, other);
            hold(&mut cells, item);
        }
        hold(&mut cells, one);
        release(&mut cells, one);
        assert_eq!(u32_at(cells.get(one), field::REFERENCES), 1);
        release(&mut cells, two);
        assert!(cells.get(two).is_empty());
        assert_eq!(u32_at(cells.get(one), field::FLINK), one);
        assert_eq!(u32_at(cells.get(one), field::BLINK), one);
    }
}
