// SPDX-License-Identifier: MIT OR Apache-2.0
//! Proves that a hive is whole, once, before anything relies on it.
//!
//! Bins and cells are walked first, so that cells cannot overlap; then the tree, in which each
//! cell may have one role only, so that there are no cycles and the walk ends; then the ring of
//! security items. Time and memory are bounded by the file's size, and nothing recurses.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::Write as _;

use super::base;
use super::bitmap::CellSet;
use super::cell::{self, BIN_ALIGNMENT, BIN_HEADER, NONE};
use super::edit::MOST_LEVELS;
use super::error::Error;
use super::key::{self, KeyNode};
use super::le::{u16_at, u32_at};
use super::list::{self, LeafKind};
use super::name::{self, MOST_IN_KEY};
use super::security;
use super::value::{self, Place, SEGMENT, ValueNode};

/// What subkeys' order is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// By upper case, as Windows searches.
    Sorted,
    /// Any: it will be sorted.
    Any,
}

/// Checks everything behind the base block; which cells are keys.
pub(super) fn check(
    bytes: &[u8],
    root: u32,
    bins_size: u32,
    order: Order,
) -> Result<CellSet, Error> {
    let mut check = Check {
        bytes,
        bins_size,
        order,
        allocated: cells(bytes, bins_size)?,
        claimed: CellSet::new(bins_size),
        keys: CellSet::new(bins_size),
        security: HashMap::new(),
    };
    check.tree(root)?;
    check.ring()?;
    Ok(check.keys)
}

/// Offset in the file of a place in the hive bins data.
pub(super) fn file_offset(offset: u32) -> u64 {
    base::SIZE as u64 + u64::from(offset)
}

/// Walks bins and cells; the cells that are allocated.
fn cells(bytes: &[u8], bins_size: u32) -> Result<CellSet, Error> {
    let mut allocated = CellSet::new(bins_size);
    let at = |offset: u32| u32_at(bytes, base::SIZE + offset as usize);
    let mut bin = 0;
    while bin < bins_size {
        let start = base::SIZE + bin as usize;
        let signature = &bytes[start..start + 4];
        if signature != b"hbin" {
            return Err(Error::field(
                file_offset(bin),
                "signature of a hive bin",
                "\"hbin\"",
                format!("\"{}\"", signature.escape_ascii()),
            ));
        }
        let (offset, size) = (at(bin + 4), at(bin + 8));
        if offset != bin {
            return Err(Error::field(
                file_offset(bin + 4),
                "offset of a hive bin",
                format!("{bin:#x}"),
                format!("{offset:#x}"),
            ));
        }
        let left = bins_size - bin;
        if size == 0 || !size.is_multiple_of(BIN_ALIGNMENT) || size > left {
            return Err(Error::field(
                file_offset(bin + 8),
                "size of a hive bin",
                format!("a multiple of 0x1000, at most {left:#x}"),
                format!("{size:#x}"),
            ));
        }
        let mut cell = bin + BIN_HEADER;
        while cell < bin + size {
            let signed = at(cell).cast_signed();
            let length = signed.unsigned_abs();
            let left = bin + size - cell;
            if length == 0 || !length.is_multiple_of(cell::ALIGNMENT) || length > left {
                return Err(Error::field(
                    file_offset(cell),
                    "size of a cell",
                    format!("a multiple of 8 other than 0, at most {left} to the end of its bin"),
                    signed.to_string(),
                ));
            }
            if signed < 0 {
                allocated.insert(cell);
            }
            cell += length;
        }
        bin += size;
    }
    Ok(allocated)
}

struct Check<'a> {
    bytes: &'a [u8],
    bins_size: u32,
    order: Order,
    allocated: CellSet,
    /// Cells that have their role.
    claimed: CellSet,
    keys: CellSet,
    /// How many keys have each security item.
    security: HashMap<u32, u32>,
}

/// A field that points to a cell.
#[derive(Clone, Copy)]
struct Pointer {
    /// The cell that it lies in, and where in its data.
    cell: u32,
    at: usize,
    name: &'static str,
}

impl Pointer {
    /// Where it lies in the file.
    fn offset(self) -> u64 {
        file_offset(self.cell) + 4 + self.at as u64
    }

    fn error(self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        field_error(self.cell, self.at, self.name, expected, found)
    }
}

/// An error in the data of a cell.
fn field_error(
    cell: u32,
    at: usize,
    name: &'static str,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Error {
    Error::field(file_offset(cell) + 4 + at as u64, name, expected, found)
}

impl<'a> Check<'a> {
    /// Data of a cell that was proven to be allocated.
    fn data(&self, offset: u32) -> &'a [u8] {
        cell::data_of(self.bytes, offset).map_or(&[], |range| &self.bytes[range])
    }

    /// That a pointer leads to an allocated cell with this much data.
    fn follow(&self, from: Pointer, to: u32, least: usize) -> Result<&'a [u8], Error> {
        if !self.allocated.contains(to) {
            let what = if to >= self.bins_size {
                format!(
                    "{to:#x}, beyond the hive bins data of {:#x} bytes",
                    self.bins_size
                )
            } else {
                format!("{to:#x}, where no allocated cell begins")
            };
            return Err(from.error("the offset of an allocated cell", what));
        }
        let data = self.data(to);
        if data.len() < least {
            return Err(from.error(
                format!("a cell with at least {least} bytes of data"),
                format!("{to:#x}, a cell with {}", data.len()),
            ));
        }
        Ok(data)
    }

    /// The same of a cell that nothing else points to.
    fn claim(&mut self, from: Pointer, to: u32, least: usize) -> Result<&'a [u8], Error> {
        let data = self.follow(from, to, least)?;
        if !self.claimed.insert(to) {
            return Err(from.error(
                "a cell that nothing else uses",
                format!("{to:#x}, which is in use already: a cycle, or two owners"),
            ));
        }
        Ok(data)
    }

    /// The same of a record with a signature.
    fn record(
        &mut self,
        from: Pointer,
        to: u32,
        signature: &[u8; 2],
        least: usize,
    ) -> Result<&'a [u8], Error> {
        let data = self.claim(from, to, least)?;
        expect_signature(from, to, data, &[signature])?;
        Ok(data)
    }

    /// Walks the keys. The stack holds keys that are claimed, and so is no longer than the file.
    fn tree(&mut self, root: u32) -> Result<(), Error> {
        // The base block is no cell; 4 bytes for the size that it has not.
        let from = Pointer {
            cell: 0,
            at: 0,
            name: "root cell",
        };
        let at_base = |error| match error {
            Error::Field {
                field,
                expected,
                found,
                ..
            } if field == from.name => Error::Field {
                offset: base::ROOT as u64,
                field,
                expected,
                found,
            },
            other => other,
        };
        self.key(from, root).map_err(at_base)?;
        let mut left = vec![(root, 1u16)];
        while let Some((offset, level)) = left.pop() {
            let node = KeyNode(self.data(offset));
            self.class(offset, node)?;
            self.values(offset, node)?;
            let first = left.len();
            self.subkeys(offset, node, level, &mut left)?;
            if left.len() > first && usize::from(level) >= MOST_LEVELS {
                return Err(field_error(
                    offset,
                    key::field::SUBKEYS,
                    "number of subkeys",
                    format!("none at level {MOST_LEVELS}, the deepest"),
                    (left.len() - first).to_string(),
                ));
            }
        }
        Ok(())
    }

    /// What concerns a key node alone.
    fn key(&mut self, from: Pointer, offset: u32) -> Result<KeyNode<'a>, Error> {
        let node = KeyNode(self.record(from, offset, b"nk", key::field::NAME)?);
        let len = usize::from(node.name_len());
        let room = node.0.len() - key::field::NAME;
        if len > room {
            return Err(field_error(
                offset,
                key::field::NAME_LEN,
                "length of a key name",
                format!("at most {room} bytes to the end of its cell"),
                len.to_string(),
            ));
        }
        let units = node.name().units().count();
        if units > MOST_IN_KEY || units == 0 || node.name().wide_len() as usize != 2 * units {
            return Err(field_error(
                offset,
                key::field::NAME_LEN,
                "length of a key name",
                format!("1 to {MOST_IN_KEY} whole UTF-16 units"),
                format!("{len} bytes"),
            ));
        }
        let security = Pointer {
            cell: offset,
            at: key::field::SECURITY,
            name: "key security",
        };
        let item = node.security();
        let data = self.follow(security, item, security::field::DESCRIPTOR)?;
        expect_signature(security, item, data, &[b"sk"])?;
        *self.security.entry(item).or_default() += 1;
        self.keys.insert(offset);
        Ok(node)
    }

    fn class(&mut self, offset: u32, node: KeyNode) -> Result<(), Error> {
        if node.class() == NONE {
            return Ok(());
        }
        let from = Pointer {
            cell: offset,
            at: key::field::CLASS,
            name: "class name",
        };
        self.claim(from, node.class(), usize::from(node.class_len()))?;
        Ok(())
    }

    fn values(&mut self, offset: u32, node: KeyNode) -> Result<(), Error> {
        if node.values() == 0 {
            return Ok(());
        }
        let from = Pointer {
            cell: offset,
            at: key::field::VALUES_LIST,
            name: "values list",
        };
        let count = node.values() as usize;
        let list = self.claim(from, node.values_list(), count.saturating_mul(4))?;
        for (at, element) in list.chunks_exact(4).take(count).enumerate() {
            let from = Pointer {
                cell: node.values_list(),
                at: 4 * at,
                name: "values list element",
            };
            self.value(from, u32_at(element, 0))?;
        }
        Ok(())
    }

    fn value(&mut self, from: Pointer, offset: u32) -> Result<(), Error> {
        let data = self.record(from, offset, b"vk", value::field::NAME)?;
        let node = ValueNode(data);
        let len = usize::from(u16_at(data, value::field::NAME_LEN));
        let room = data.len() - value::field::NAME;
        if len > room {
            return Err(field_error(
                offset,
                value::field::NAME_LEN,
                "length of a value name",
                format!("at most {room} bytes to the end of its cell"),
                len.to_string(),
            ));
        }
        if node.name().wide_len() as usize != 2 * node.name().units().count() {
            return Err(field_error(
                offset,
                value::field::NAME_LEN,
                "length of a value name",
                "whole UTF-16 units",
                format!("{len} bytes"),
            ));
        }
        match node.place() {
            Place::Empty => Ok(()),
            Place::Inline(size) if size <= 4 => Ok(()),
            Place::Inline(size) => Err(field_error(
                offset,
                value::field::SIZE,
                "data size",
                "at most 4 bytes inside a key value",
                size.to_string(),
            )),
            Place::Cell { offset: to, size } => {
                let from = Pointer {
                    cell: offset,
                    at: value::field::DATA,
                    name: "value data",
                };
                let data = self.claim(from, to, 1)?;
                if data.len() >= size {
                    return Ok(());
                }
                self.big_data(from, to, data, size)
            }
        }
    }

    /// Data that do not fit into their cell lie in segments, if they lie anywhere.
    fn big_data(&mut self, from: Pointer, to: u32, big: &[u8], size: usize) -> Result<(), Error> {
        if size <= SEGMENT || !big.starts_with(b"db") || big.len() < value::field::BIG_SIZE {
            return Err(from.error(
                format!("a cell with at least {size} bytes of data, or big data"),
                format!("{to:#x}, a cell with {}", big.len()),
            ));
        }
        let count = usize::from(u16_at(big, value::field::SEGMENTS));
        if count != size.div_ceil(SEGMENT) {
            return Err(field_error(
                to,
                value::field::SEGMENTS,
                "number of data segments",
                format!("{} for {size} bytes", size.div_ceil(SEGMENT)),
                count.to_string(),
            ));
        }
        let from = Pointer {
            cell: to,
            at: value::field::SEGMENTS_LIST,
            name: "list of data segments",
        };
        let list_offset = u32_at(big, value::field::SEGMENTS_LIST);
        let list = self.claim(from, list_offset, 4 * count)?;
        for (at, element) in list.chunks_exact(4).take(count).enumerate() {
            let from = Pointer {
                cell: list_offset,
                at: 4 * at,
                name: "data segment",
            };
            let least = (size - at * SEGMENT).min(SEGMENT);
            self.claim(from, u32_at(element, 0), least)?;
        }
        Ok(())
    }

    fn subkeys(
        &mut self,
        parent: u32,
        node: KeyNode,
        level: u16,
        left: &mut Vec<(u32, u16)>,
    ) -> Result<(), Error> {
        if node.subkeys() == 0 {
            return Ok(());
        }
        let from = Pointer {
            cell: parent,
            at: key::field::SUBKEYS_LIST,
            name: "subkeys list",
        };
        let offset = node.subkeys_list();
        let list = self.claim(from, offset, list::HEADER)?;
        let first = left.len();
        let mut previous = None;
        if list::is_root(list) {
            expect_elements(offset, list, 4)?;
            for at in 0..list::leaf_count(list) {
                let from = Pointer {
                    cell: offset,
                    at: list::HEADER + 4 * at,
                    name: "index root element",
                };
                let leaf_offset = list::leaf_at(list, offset, at);
                let leaf = self.claim(from, leaf_offset, list::HEADER)?;
                expect_signature(from, leaf_offset, leaf, &[b"li", b"lf", b"lh"])?;
                self.leaf(parent, leaf_offset, leaf, level, &mut previous, left)?;
            }
        } else {
            expect_signature(from, offset, list, &[b"li", b"lf", b"lh", b"ri"])?;
            self.leaf(parent, offset, list, level, &mut previous, left)?;
        }
        let found = left.len() - first;
        if found != node.subkeys() as usize {
            return Err(field_error(
                parent,
                key::field::SUBKEYS,
                "number of subkeys",
                format!("{found}, as its list has"),
                node.subkeys().to_string(),
            ));
        }
        Ok(())
    }

    fn leaf(
        &mut self,
        parent: u32,
        offset: u32,
        leaf: &'a [u8],
        level: u16,
        previous: &mut Option<KeyNode<'a>>,
        left: &mut Vec<(u32, u16)>,
    ) -> Result<(), Error> {
        let width = LeafKind::of(leaf).map_or(8, LeafKind::width);
        expect_elements(offset, leaf, width)?;
        for at in 0..list::key_count(leaf) {
            let from = Pointer {
                cell: offset,
                at: list::HEADER + width * at,
                name: "subkeys list element",
            };
            let key = list::entry_at(leaf, at).key;
            let node = self.key(from, key)?;
            if node.parent() != parent {
                return Err(field_error(
                    key,
                    key::field::PARENT,
                    "parent of a key",
                    format!("{parent:#x}, the key that lists it"),
                    format!("{:#x}", node.parent()),
                ));
            }
            if let (Order::Sorted, Some(before)) = (self.order, &previous) {
                let (before, name) = (before.name(), node.name());
                match name::compare(before.units(), name.units()) {
                    Ordering::Less => {}
                    Ordering::Equal => {
                        return Err(from.error(
                            format!(
                                "another name than that of the key before, {:?}",
                                before.text()
                            ),
                            format!("{:?}, which is the same to Windows", name.text()),
                        ));
                    }
                    Ordering::Greater => {
                        return Err(Error::Unsorted {
                            offset: from.offset(),
                            before: before.text(),
                            found: name.text(),
                        });
                    }
                }
            }
            *previous = Some(node);
            left.push((key, level.saturating_add(1)));
        }
        Ok(())
    }

    /// Walks the ring of security items, from any that a key has.
    fn ring(&mut self) -> Result<(), Error> {
        let Some(start) = self.security.keys().copied().min() else {
            return Ok(());
        };
        let taken = |from: Pointer, item: u32| {
            from.error(
                format!("a ring that comes back to {start:#x}"),
                format!("{item:#x}, which is in use already"),
            )
        };
        let mut from = Pointer {
            cell: start,
            at: security::field::FLINK,
            name: "key security",
        };
        let mut offset = start;
        loop {
            if !self.claimed.insert(offset) {
                return Err(taken(from, offset));
            }
            let item = self.data(offset);
            self.item(offset, item)?;
            from = Pointer {
                cell: offset,
                at: security::field::FLINK,
                name: "next key security",
            };
            let next = u32_at(item, security::field::FLINK);
            let data = self.follow(from, next, security::field::DESCRIPTOR)?;
            expect_signature(from, next, data, &[b"sk"])?;
            let back = u32_at(data, security::field::BLINK);
            if back != offset {
                return Err(field_error(
                    next,
                    security::field::BLINK,
                    "previous key security",
                    format!("{offset:#x}, whose next it is"),
                    format!("{back:#x}"),
                ));
            }
            if next == start {
                break;
            }
            offset = next;
        }
        // Those that keys have and the ring has not.
        match self.security.keys().min() {
            None => Ok(()),
            Some(&item) => Err(field_error(
                item,
                security::field::FLINK,
                "next key security",
                format!("a place in the ring of {start:#x}"),
                "an item outside it, which keys use",
            )),
        }
    }

    /// What concerns a security item alone.
    fn item(&mut self, offset: u32, item: &[u8]) -> Result<(), Error> {
        let size = u32_at(item, security::field::SIZE) as usize;
        let room = item.len() - security::field::DESCRIPTOR;
        if size > room {
            return Err(field_error(
                offset,
                security::field::SIZE,
                "size of a security descriptor",
                format!("at most {room} bytes to the end of its cell"),
                size.to_string(),
            ));
        }
        let keys = self.security.remove(&offset).unwrap_or_default();
        let references = u32_at(item, security::field::REFERENCES);
        // More is a leak, which Windows' own repair leaves behind; with fewer, it would be freed
        // while keys have it.
        if references < keys {
            return Err(field_error(
                offset,
                security::field::REFERENCES,
                "reference count of a key security",
                format!("at least {keys}, the keys that have it"),
                references.to_string(),
            ));
        }
        Ok(())
    }
}

fn expect_signature(
    from: Pointer,
    to: u32,
    data: &[u8],
    signatures: &[&[u8; 2]],
) -> Result<(), Error> {
    let found = &data[..2.min(data.len())];
    if signatures.iter().any(|signature| **signature == *found) {
        return Ok(());
    }
    let mut expected = String::from("a cell that begins with ");
    for (at, signature) in signatures.iter().enumerate() {
        let separator = if at == 0 { "" } else { ", " };
        let _ = write!(expected, "{separator}\"{}\"", signature.escape_ascii());
    }
    Err(from.error(
        expected,
        format!("{to:#x}, which begins with \"{}\"", found.escape_ascii()),
    ))
}

/// That a list's elements lie in its cell, and that there are some.
fn expect_elements(offset: u32, list: &[u8], width: usize) -> Result<(), Error> {
    let count = usize::from(u16_at(list, 2));
    let most = (list.len() - list::HEADER) / width;
    if count == 0 || count > most {
        return Err(field_error(
            offset,
            2,
            "number of elements in a subkeys list",
            format!("1 to {most}, to the end of its cell"),
            count.to_string(),
        ));
    }
    Ok(())
}
