// SPDX-License-Identifier: MIT OR Apache-2.0
//! The key node (section "Key node").

use super::cell::NONE;
use super::le::{put, put_u16, put_u32, u16_at, u32_at};
use super::name::Name;

/// Where the fields lie.
pub(super) mod field {
    pub const FLAGS: usize = 2;
    pub const WRITTEN: usize = 4;
    pub const PARENT: usize = 16;
    pub const SUBKEYS: usize = 20;
    pub const SUBKEYS_LIST: usize = 28;
    pub const VOLATILE_LIST: usize = 32;
    pub const VALUES: usize = 36;
    pub const VALUES_LIST: usize = 40;
    pub const SECURITY: usize = 44;
    pub const CLASS: usize = 48;
    /// 16 bits; the rest are flags as of Windows XP SP3.
    pub const LARGEST_SUBKEY_NAME: usize = 52;
    pub const LARGEST_VALUE_NAME: usize = 60;
    pub const LARGEST_VALUE_DATA: usize = 64;
    pub const NAME_LEN: usize = 72;
    pub const CLASS_LEN: usize = 74;
    pub const NAME: usize = 76;
}

/// The root of this hive.
pub(super) const HIVE_ENTRY: u16 = 0x04;
/// Must not be deleted.
pub(super) const NO_DELETE: u16 = 0x08;
/// The name has one byte for each unit.
pub(super) const COMP_NAME: u16 = 0x20;
/// The number of values is a handle.
pub(super) const PREDEF_HANDLE: u16 = 0x40;

/// A key node's cell, looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyNode<'a>(pub &'a [u8]);

impl<'a> KeyNode<'a> {
    pub fn flags(self) -> u16 {
        u16_at(self.0, field::FLAGS)
    }

    pub fn parent(self) -> u32 {
        u32_at(self.0, field::PARENT)
    }

    pub fn subkeys(self) -> u32 {
        u32_at(self.0, field::SUBKEYS)
    }

    /// Offset of the list of subkeys; what the field says where there are none has no meaning.
    pub fn subkeys_list(self) -> u32 {
        if self.subkeys() == 0 {
            NONE
        } else {
            u32_at(self.0, field::SUBKEYS_LIST)
        }
    }

    pub fn values(self) -> u32 {
        if self.flags() & PREDEF_HANDLE == 0 {
            u32_at(self.0, field::VALUES)
        } else {
            0
        }
    }

    /// Offset of the list of values, likewise.
    pub fn values_list(self) -> u32 {
        if self.values() == 0 {
            NONE
        } else {
            u32_at(self.0, field::VALUES_LIST)
        }
    }

    pub fn security(self) -> u32 {
        u32_at(self.0, field::SECURITY)
    }

    /// Offset of the class name, likewise.
    pub fn class(self) -> u32 {
        if self.class_len() == 0 {
            NONE
        } else {
            u32_at(self.0, field::CLASS)
        }
    }

    pub fn class_len(self) -> u16 {
        u16_at(self.0, field::CLASS_LEN)
    }

    pub fn name_len(self) -> u16 {
        u16_at(self.0, field::NAME_LEN)
    }

    pub fn name(self) -> Name<'a> {
        let end = field::NAME + usize::from(self.name_len());
        Name {
            raw: self.0.get(field::NAME..end).unwrap_or_default(),
            compressed: self.flags() & COMP_NAME != 0,
        }
    }
}

/// Bytes of a key node with this name.
pub(super) fn size(name: Name) -> usize {
    field::NAME + name.raw.len()
}

/// Fills the cell of a key without subkeys, values and class.
pub(super) fn init(
    node: &mut [u8],
    flags: u16,
    written: u64,
    parent: u32,
    security: u32,
    name: Name,
) {
    let compressed = if name.compressed { COMP_NAME } else { 0 };
    put(node, 0, b"nk");
    put_u16(node, field::FLAGS, flags | compressed);
    put(node, field::WRITTEN, &written.to_le_bytes());
    put_u32(node, field::PARENT, parent);
    put_u32(node, field::SUBKEYS_LIST, NONE);
    put_u32(node, field::VOLATILE_LIST, NONE);
    put_u32(node, field::VALUES_LIST, NONE);
    put_u32(node, field::SECURITY, security);
    put_u32(node, field::CLASS, NONE);
    put_u16(node, field::NAME_LEN, name.raw.len() as u16);
    put(node, field::NAME, name.raw);
}

/// What the parent must know of a new subkey.
pub(super) fn note_subkey(node: &mut [u8], name: Name) {
    let at = field::LARGEST_SUBKEY_NAME;
    let largest = u32::from(u16_at(node, at)).max(name.wide_len());
    put_u16(node, at, largest as u16);
}

/// What the key must know of a new or changed value.
pub(super) fn note_value(node: &mut [u8], name: Name, data: usize) {
    for (at, len) in [
        (field::LARGEST_VALUE_NAME, name.wide_len()),
        (field::LARGEST_VALUE_DATA, data as u32),
    ] {
        let largest = u32_at(node, at).max(len);
        put_u32(node, at, largest);
    }
}
