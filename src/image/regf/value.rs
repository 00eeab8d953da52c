// SPDX-License-Identifier: MIT OR Apache-2.0
//! The key value, its types and where its data lie (sections "Key value", "Big data").

use std::borrow::Cow;
use std::fmt;

use super::cell::{Cells, NONE};
use super::le::{put, put_u16, put_u32, u16_at, u32_at};
use super::name::Name;

/// Where the fields lie.
pub(super) mod field {
    pub const NAME_LEN: usize = 2;
    pub const SIZE: usize = 4;
    pub const DATA: usize = 8;
    pub const KIND: usize = 12;
    pub const FLAGS: usize = 16;
    pub const NAME: usize = 20;

    // Of big data.
    pub const SEGMENTS: usize = 2;
    pub const SEGMENTS_LIST: usize = 4;
    pub const BIG_SIZE: usize = 8;
}

/// Data of at most four bytes lie in the field of their offset.
const INLINE: u32 = 0x8000_0000;
/// The name has one byte for each unit.
const COMP_NAME: u16 = 0x0001;
/// The value says that a value of a lower layer is gone; any new content ends that.
const TOMBSTONE: u16 = 0x0002;
/// Most bytes in one cell where big data exist, and bytes in each of their segments but the last.
pub(super) const SEGMENT: usize = 16_344;
/// Big data exist as of this minor version.
const BIG_DATA_SINCE: u32 = 4;

/// What a value's data are said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueType {
    /// `REG_NONE`.
    None,
    /// `REG_SZ`: UTF-16LE, with NUL.
    Sz,
    /// `REG_EXPAND_SZ`: the same, with environment variables.
    ExpandSz,
    /// `REG_BINARY`.
    Binary,
    /// `REG_DWORD`: 32 bits, little-endian.
    Dword,
    /// `REG_DWORD_BIG_ENDIAN`.
    DwordBigEndian,
    /// `REG_LINK`: the target of a symbolic link.
    Link,
    /// `REG_MULTI_SZ`: strings in UTF-16LE, each with NUL, and one NUL more.
    MultiSz,
    /// `REG_RESOURCE_LIST`.
    ResourceList,
    /// `REG_FULL_RESOURCE_DESCRIPTOR`.
    FullResourceDescriptor,
    /// `REG_RESOURCE_REQUIREMENTS_LIST`.
    ResourceRequirementsList,
    /// `REG_QWORD`: 64 bits, little-endian.
    Qword,
    /// A number that has no name; Windows takes any.
    Other(u32),
}

/// Numbers from 0, with their names.
const TYPES: [(ValueType, &str); 12] = [
    (ValueType::None, "REG_NONE"),
    (ValueType::Sz, "REG_SZ"),
    (ValueType::ExpandSz, "REG_EXPAND_SZ"),
    (ValueType::Binary, "REG_BINARY"),
    (ValueType::Dword, "REG_DWORD"),
    (ValueType::DwordBigEndian, "REG_DWORD_BIG_ENDIAN"),
    (ValueType::Link, "REG_LINK"),
    (ValueType::MultiSz, "REG_MULTI_SZ"),
    (ValueType::ResourceList, "REG_RESOURCE_LIST"),
    (
        ValueType::FullResourceDescriptor,
        "REG_FULL_RESOURCE_DESCRIPTOR",
    ),
    (
        ValueType::ResourceRequirementsList,
        "REG_RESOURCE_REQUIREMENTS_LIST",
    ),
    (ValueType::Qword, "REG_QWORD"),
];

impl From<u32> for ValueType {
    fn from(number: u32) -> Self {
        TYPES
            .get(number as usize)
            .map_or(ValueType::Other(number), |(kind, _)| *kind)
    }
}

impl From<ValueType> for u32 {
    fn from(kind: ValueType) -> Self {
        match kind {
            ValueType::Other(number) => number,
            named => TYPES
                .iter()
                .position(|(kind, _)| *kind == named)
                .unwrap_or_default() as u32,
        }
    }
}

impl fmt::Display for ValueType {
    /// Its name in the Windows headers, or its number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueType::Other(number) => write!(f, "{number:#x}"),
            named => f.write_str(TYPES[u32::from(*named) as usize].1),
        }
    }
}

/// A value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// Its name; empty for the key's default value.
    pub name: String,
    /// What the data are said to be. Nobody checks that they are.
    pub kind: ValueType,
    /// The data; borrowed unless they lie in several cells.
    pub data: Cow<'a, [u8]>,
}

/// A key value's cell, looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct ValueNode<'a>(pub &'a [u8]);

/// Where a value's data lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere.
    Empty,
    /// In the key value: this many bytes.
    Inline(usize),
    /// In another cell, or in several that are listed there.
    Cell {
        /// Offset of that cell.
        offset: u32,
        /// Bytes of data.
        size: usize,
    },
}

impl<'a> ValueNode<'a> {
    pub fn name(self) -> Name<'a> {
        let end = field::NAME + usize::from(u16_at(self.0, field::NAME_LEN));
        Name {
            raw: self.0.get(field::NAME..end).unwrap_or_default(),
            compressed: u16_at(self.0, field::FLAGS) & COMP_NAME != 0,
        }
    }

    pub fn kind(self) -> ValueType {
        u32_at(self.0, field::KIND).into()
    }

    pub fn place(self) -> Place {
        let size = u32_at(self.0, field::SIZE);
        match (size & INLINE != 0, (size & !INLINE) as usize) {
            (_, 0) => Place::Empty,
            (true, size) => Place::Inline(size),
            (false, size) => Place::Cell {
                offset: u32_at(self.0, field::DATA),
                size,
            },
        }
    }

    pub fn value(self, cells: &'a Cells) -> Value<'a> {
        let data = match self.place() {
            Place::Empty => Cow::default(),
            Place::Inline(size) => self
                .0
                .get(field::DATA..field::DATA + size.min(4))
                .unwrap_or_default()
                .into(),
            Place::Cell { offset, size } => data(cells, offset, size),
        };
        Value {
            name: self.name().text(),
            kind: self.kind(),
            data,
        }
    }
}

/// The data in a cell, or in the segments that are listed there. By length: hivex stores more
/// than [`SEGMENT`] bytes in one cell, whatever the version.
fn data(cells: &Cells, offset: u32, size: usize) -> Cow<'_, [u8]> {
    let cell = cells.get(offset);
    if let Some(data) = cell.get(..size) {
        return data.into();
    }
    let mut data = Vec::with_capacity(size);
    for segment in segments(cells, cell) {
        let rest = size - data.len();
        let segment = cells.get(segment);
        data.extend_from_slice(&segment[..rest.min(SEGMENT).min(segment.len())]);
    }
    data.into()
}

/// Offsets of the segments of big data.
pub(super) fn segments<'a>(cells: &'a Cells, big: &[u8]) -> impl Iterator<Item = u32> + 'a {
    let count = usize::from(u16_at(big, field::SEGMENTS));
    let list = cells.get(u32_at(big, field::SEGMENTS_LIST));
    list.chunks_exact(4)
        .take(count)
        .map(|offset| u32_at(offset, 0))
}

/// A key's values, in stored order.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    pub(super) cells: &'a Cells,
    pub(super) list: std::slice::ChunksExact<'a, u8>,
}

impl<'a> Values<'a> {
    /// The values of a list with so many.
    pub(super) fn new(cells: &'a Cells, list: u32, count: u32) -> Self {
        let list = cells.get(list);
        let bytes = (count as usize).saturating_mul(4).min(list.len());
        Values {
            cells,
            list: list[..bytes].chunks_exact(4),
        }
    }

    /// Offset and cell of the next.
    pub(super) fn next_node(&mut self) -> Option<(u32, ValueNode<'a>)> {
        let offset = u32_at(self.list.next()?, 0);
        Some((offset, ValueNode(self.cells.get(offset))))
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (_, node) = self.next_node()?;
        Some(node.value(self.cells))
    }
}

/// A new key value without data.
pub(super) fn create(cells: &mut Cells, name: Name) -> u32 {
    let offset = cells.allocate(field::NAME + name.raw.len());
    let node = cells.get_mut(offset);
    put(node, 0, b"vk");
    put_u16(node, field::NAME_LEN, name.raw.len() as u16);
    put_u32(node, field::SIZE, INLINE);
    put_u16(node, field::FLAGS, u16::from(name.compressed) * COMP_NAME);
    put(node, field::NAME, name.raw);
    offset
}

/// Gives a key value new data.
pub(super) fn fill(cells: &mut Cells, offset: u32, minor: u32, kind: ValueType, data: &[u8]) {
    let old = ValueNode(cells.get(offset)).place();
    let (size, place) = if data.len() <= 4 {
        free_data(cells, old);
        let mut inline = [0; 4];
        inline[..data.len()].copy_from_slice(data);
        (INLINE | data.len() as u32, u32::from_le_bytes(inline))
    } else if data.len() > SEGMENT && minor >= BIG_DATA_SINCE {
        free_data(cells, old);
        (data.len() as u32, store_big(cells, data))
    } else {
        let place = match old {
            // In one cell before and now.
            Place::Cell { offset, size } if cells.get(offset).len() >= size => {
                cells.resize(offset, data.len())
            }
            _ => {
                free_data(cells, old);
                cells.allocate(data.len())
            }
        };
        put(cells.get_mut(place), 0, data);
        (data.len() as u32, place)
    };
    let node = cells.get_mut(offset);
    let flags = u16_at(node, field::FLAGS) & !TOMBSTONE;
    put_u16(node, field::FLAGS, flags);
    put_u32(node, field::SIZE, size);
    put_u32(node, field::DATA, place);
    put_u32(node, field::KIND, kind.into());
}

fn store_big(cells: &mut Cells, data: &[u8]) -> u32 {
    let count = data.len().div_ceil(SEGMENT);
    let big = cells.allocate(field::BIG_SIZE);
    let list = cells.allocate(4 * count);
    for (at, part) in data.chunks(SEGMENT).enumerate() {
        // The last one is as large as the others, as Windows makes it: hivex takes the last four
        // bytes of each for padding.
        let segment = cells.allocate(SEGMENT);
        put(cells.get_mut(segment), 0, part);
        put_u32(cells.get_mut(list), 4 * at, segment);
    }
    let node = cells.get_mut(big);
    put(node, 0, b"db");
    put_u16(node, field::SEGMENTS, count as u16);
    put_u32(node, field::SEGMENTS_LIST, list);
    big
}

/// Cells and bytes that [`create`] and [`fill`] may need.
pub(super) fn needs(name: Name, data: usize) -> (usize, usize) {
    let segments = data.div_ceil(SEGMENT);
    (
        segments + 3,
        segments.saturating_mul(SEGMENT + 4) + name.raw.len() + 64,
    )
}

/// Most bytes of data: segments are counted in 16 bits, and one cell holds what offsets express.
pub(super) fn most_data(minor: u32) -> usize {
    if minor >= BIG_DATA_SINCE {
        usize::from(u16::MAX) * SEGMENT
    } else {
        super::cell::MOST as usize
    }
}

fn free_data(cells: &mut Cells, place: Place) {
    let Place::Cell { offset, size } = place else {
        return;
    };
    let cell = cells.get(offset);
    if cell.len() < size {
        let list = u32_at(cell, field::SEGMENTS_LIST);
        let segments: Vec<u32> = segments(cells, cell).collect();
        for cell in segments {
            cells.free(cell);
        }
        cells.free(list);
    }
    cells.free(offset);
}

/// Gives a key value and its data back.
pub(super) fn free(cells: &mut Cells, offset: u32) {
    if offset != NONE {
        free_data(cells, ValueNode(cells.get(offset)).place());
        cells.free(offset);
    }
}
