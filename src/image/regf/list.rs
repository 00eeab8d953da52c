// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists of subkeys: leaves (li, lf, lh) and the index root (ri) over several of them, sorted as a
//! whole (sections "Index leaf" to "Index root").

use std::cmp::Ordering;

use super::cell::{Cells, NONE};
use super::key::KeyNode;
use super::le::{put, put_u16, put_u32, u16_at, u32_at};
use super::name::{self, Name};

/// Before the elements: signature and count.
pub(super) const HEADER: usize = 4;

/// The kinds of leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeafKind {
    /// li: offsets alone.
    Index,
    /// lf: with the first four letters.
    Fast,
    /// lh: with a hash.
    Hash,
}

impl LeafKind {
    pub fn of(leaf: &[u8]) -> Option<Self> {
        match leaf.get(..2)? {
            b"li" => Some(LeafKind::Index),
            b"lf" => Some(LeafKind::Fast),
            b"lh" => Some(LeafKind::Hash),
            _ => None,
        }
    }

    /// What a writer of this minor version makes.
    fn for_version(minor: u32) -> Self {
        if minor > 4 {
            LeafKind::Hash
        } else {
            LeafKind::Fast
        }
    }

    fn signature(self) -> &'static [u8; 2] {
        match self {
            LeafKind::Index => b"li",
            LeafKind::Fast => b"lf",
            LeafKind::Hash => b"lh",
        }
    }

    /// Bytes of an element.
    pub fn width(self) -> usize {
        match self {
            LeafKind::Index => 4,
            LeafKind::Fast | LeafKind::Hash => 8,
        }
    }

    /// Most elements of a leaf that we make: what fills a bin of 4096 bytes, as in Windows.
    fn most(self) -> usize {
        (4096 - 32 - 4 - HEADER) / self.width()
    }

    /// What goes with a key of this name.
    pub fn hint(self, name: Name) -> u32 {
        match self {
            LeafKind::Index => 0,
            LeafKind::Fast => name::hint(name.units()),
            LeafKind::Hash => name::hash(name.units()),
        }
    }
}

/// One element of a leaf; an `li` has no hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub key: u32,
    pub hint: u32,
}

/// True if it lists leaves.
pub(super) fn is_root(list: &[u8]) -> bool {
    list.starts_with(b"ri")
}

/// Elements that a list says it has, as far as its cell reaches.
fn count(list: &[u8], width: usize) -> usize {
    usize::from(u16_at(list, 2)).min(list.len().saturating_sub(HEADER) / width)
}

/// Leaves that a list has below it.
pub(super) fn leaf_count(list: &[u8]) -> usize {
    if is_root(list) { count(list, 4) } else { 1 }
}

/// The leaf with this number below a list, which lies at `offset` itself.
pub(super) fn leaf_at(list: &[u8], offset: u32, at: usize) -> u32 {
    if is_root(list) {
        u32_at(list, HEADER + 4 * at)
    } else {
        offset
    }
}

/// Keys in a leaf.
pub(super) fn key_count(leaf: &[u8]) -> usize {
    LeafKind::of(leaf).map_or(0, |kind| count(leaf, kind.width()))
}

/// The element with this number.
pub(super) fn entry_at(leaf: &[u8], at: usize) -> Entry {
    let width = LeafKind::of(leaf).map_or(8, LeafKind::width);
    let place = HEADER + width * at;
    Entry {
        key: u32_at(leaf, place),
        hint: if width == 8 {
            u32_at(leaf, place + 4)
        } else {
            0
        },
    }
}

/// Where a key stands in a list, or would stand.
#[derive(Clone, Copy, Debug)]
struct Position {
    leaf: usize,
    at: usize,
    /// The key, if it is there.
    found: Option<u32>,
}

fn order(cells: &Cells, leaf: &[u8], at: usize, name: Name) -> Ordering {
    let key = KeyNode(cells.get(entry_at(leaf, at).key));
    name::compare(key.name().units(), name.units())
}

fn position(cells: &Cells, offset: u32, name: Name) -> Position {
    let list = cells.get(offset);
    let leaves = leaf_count(list);
    let leaf_cell = |at| cells.get(leaf_at(list, offset, at));
    // The first leaf whose last key does not lie before the name, else the last leaf.
    let leaf = partition(leaves, |at| {
        let leaf = leaf_cell(at);
        match key_count(leaf) {
            0 => true,
            keys => order(cells, leaf, keys - 1, name) == Ordering::Less,
        }
    })
    .min(leaves.saturating_sub(1));
    let cell = leaf_cell(leaf);
    let at = partition(key_count(cell), |at| {
        order(cells, cell, at, name) == Ordering::Less
    });
    let found = (at < key_count(cell) && order(cells, cell, at, name) == Ordering::Equal)
        .then(|| entry_at(cell, at).key);
    Position { leaf, at, found }
}

/// The first of so many for which `before` is false; all before it are true.
fn partition(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// The key with this name, in a list that may be [`NONE`]. Hints are not looked at: hivex makes
/// some of its own, of the bytes of UTF-8, and a wrong one hides nothing here.
pub(super) fn find(cells: &Cells, list: u32, name: Name) -> Option<u32> {
    position(cells, list, name).found
}

/// Puts a key where it belongs; where the list lies then.
pub(super) fn insert(cells: &mut Cells, list: u32, minor: u32, key: u32, name: Name) -> u32 {
    if list == NONE {
        let kind = LeafKind::for_version(minor);
        let hint = kind.hint(name);
        return store(cells, None, kind, &[Entry { key, hint }]);
    }
    let root = root_of(cells, list);
    let Position { leaf, at, .. } = position(cells, list, name);
    let mut leaves = leaves(cells, list);
    let offset = leaves[leaf];
    let cell = cells.get(offset);
    let kind = LeafKind::of(cell).unwrap_or(LeafKind::for_version(minor));
    let mut entries = entries(cell);
    let hint = kind.hint(name);
    entries.insert(at, Entry { key, hint });
    if entries.len() <= kind.most() {
        leaves[leaf] = store(cells, Some(offset), kind, &entries);
    } else {
        // Halves, so that each has room for more; more parts only where another writer made
        // larger leaves.
        let parts = entries.len().div_ceil(kind.most());
        let each = entries.len().div_ceil(parts);
        let parts: Vec<u32> = entries
            .chunks(each)
            .enumerate()
            .map(|(part, entries)| store(cells, (part == 0).then_some(offset), kind, entries))
            .collect();
        leaves.splice(leaf..=leaf, parts);
    }
    store_root(cells, root, &leaves)
}

/// Takes a key out; where the list lies then, [`NONE`] if it is empty.
pub(super) fn remove(cells: &mut Cells, list: u32, name: Name) -> u32 {
    let Position {
        leaf,
        at,
        found: Some(_),
    } = position(cells, list, name)
    else {
        return list;
    };
    let root = root_of(cells, list);
    let mut leaves = leaves(cells, list);
    let offset = leaves[leaf];
    let cell = cells.get(offset);
    let kind = LeafKind::of(cell).unwrap_or(LeafKind::Index);
    let mut entries = entries(cell);
    entries.remove(at);
    if entries.is_empty() {
        cells.free(offset);
        leaves.remove(leaf);
    } else {
        leaves[leaf] = store(cells, Some(offset), kind, &entries);
    }
    store_root(cells, root, &leaves)
}

/// Puts a list's keys in order, in the places that it has, with the right hints; true if
/// anything was wrong.
pub(super) fn mend(cells: &mut Cells, list: u32) -> bool {
    if list == NONE {
        return false;
    }
    let leaves = leaves(cells, list);
    let mut keys: Vec<u32> = leaves
        .iter()
        .flat_map(|leaf| entries(cells.get(*leaf)))
        .map(|entry| entry.key)
        .collect();
    let name = |key: &u32| KeyNode(cells.get(*key)).name();
    keys.sort_by(|left, right| name::compare(name(left).units(), name(right).units()));
    let mut sorted = keys.into_iter();
    let mut mended = false;
    for leaf in &leaves {
        let kind = LeafKind::of(cells.get(*leaf)).unwrap_or(LeafKind::Index);
        let old = entries(cells.get(*leaf));
        let new: Vec<Entry> = sorted
            .by_ref()
            .take(old.len())
            .map(|key| Entry {
                key,
                hint: kind.hint(KeyNode(cells.get(key)).name()),
            })
            .collect();
        if new != old {
            write_entries(cells.get_mut(*leaf), kind, &new);
            mended = true;
        }
    }
    mended
}

/// Gives a list and its leaves back.
pub(super) fn free(cells: &mut Cells, list: u32) {
    if list == NONE {
        return;
    }
    let root = root_of(cells, list);
    for leaf in leaves(cells, list) {
        cells.free(leaf);
    }
    if let Some(root) = root {
        cells.free(root);
    }
}

fn leaves(cells: &Cells, offset: u32) -> Vec<u32> {
    let list = cells.get(offset);
    (0..leaf_count(list))
        .map(|at| leaf_at(list, offset, at))
        .collect()
}

fn entries(leaf: &[u8]) -> Vec<Entry> {
    (0..key_count(leaf)).map(|at| entry_at(leaf, at)).collect()
}

fn store(cells: &mut Cells, old: Option<u32>, kind: LeafKind, entries: &[Entry]) -> u32 {
    let size = HEADER + kind.width() * entries.len();
    let offset = match old {
        Some(old) => cells.resize(old, size),
        None => cells.allocate(size),
    };
    write_entries(cells.get_mut(offset), kind, entries);
    offset
}

fn write_entries(leaf: &mut [u8], kind: LeafKind, entries: &[Entry]) {
    put(leaf, 0, kind.signature());
    put_u16(leaf, 2, entries.len() as u16);
    for (at, entry) in entries.iter().enumerate() {
        let place = HEADER + kind.width() * at;
        put_u32(leaf, place, entry.key);
        if kind.width() == 8 {
            put_u32(leaf, place + 4, entry.hint);
        }
    }
}

/// The list, if it is an index root; asked before cells move.
fn root_of(cells: &Cells, list: u32) -> Option<u32> {
    is_root(cells.get(list)).then_some(list)
}

/// Lists these leaves, in the index root if there is one; it stays, even of a single leaf.
fn store_root(cells: &mut Cells, root: Option<u32>, leaves: &[u32]) -> u32 {
    let size = HEADER + 4 * leaves.len();
    let offset = match (root, leaves) {
        (Some(root), []) => {
            cells.free(root);
            return NONE;
        }
        (None, []) => return NONE,
        (None, [leaf]) => return *leaf,
        (Some(root), _) => cells.resize(root, size),
        (None, _) => cells.allocate(size),
    };
    let cell = cells.get_mut(offset);
    put(cell, 0, b"ri");
    put_u16(cell, 2, leaves.len() as u16);
    for (at, leaf) in leaves.iter().enumerate() {
        put_u32(cell, HEADER + 4 * at, *leaf);
    }
    offset
}

/// Most subkeys of a key: halves of leaves, in an index root that counts in 16 bits.
pub(super) const MOST_KEYS: u32 = 65_535 * 250;
