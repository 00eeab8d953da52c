// SPDX-License-Identifier: MIT OR Apache-2.0
//! Indexes: sorted entries in the record, or in a B-tree of blocks beside it.
//!
//! Layouts: Linux, `fs/ntfs3/ntfs.h` (`struct NTFS_DE`, `INDEX_HDR`, `INDEX_BUFFER`, `INDEX_ROOT`).

use super::fixup;

/// Bytes of an index block: one cluster.
pub const BLOCK: usize = 4096;
/// Header of an entry; also the entry that ends a leaf.
const ENTRY: usize = 0x10;
/// The number of the block with what sorts before an entry.
const CHILD: usize = 8;
/// Where a block's entries begin: past header and update sequence.
const FIRST_ENTRY: usize = 0x40;
const SEQUENCE: usize = 0x28;
/// Where the header of the entries stands in a block.
const NODE: usize = 0x18;
/// What entries have room for in a block.
const ROOM: usize = BLOCK - FIRST_ENTRY;
/// Root and node headers, before the root's entries.
pub(super) const ROOT_HEADER: usize = 0x20;
/// Bytes of a root whose entries are in blocks.
pub(super) const LARGE_ROOT: usize = ROOT_HEADER + ENTRY + CHILD;

/// How keys are compared.
#[derive(Clone, Copy, Debug)]
pub(super) enum Collation {
    FileName,
    UnsignedLong,
    Sid,
    SecurityHash,
    UnsignedLongs,
}

impl Collation {
    fn code(self) -> u32 {
        match self {
            Collation::FileName => 0x01,
            Collation::UnsignedLong => 0x10,
            Collation::Sid => 0x11,
            Collation::SecurityHash => 0x12,
            Collation::UnsignedLongs => 0x13,
        }
    }

    /// The type of the attribute that is the key, if it is one.
    fn attribute(self) -> u32 {
        match self {
            Collation::FileName => super::attribute::kind::FILE_NAME,
            _ => 0,
        }
    }
}

/// Bytes of an entry with a key and data of these lengths.
pub(super) fn entry_length(key: usize, data: usize) -> usize {
    (ENTRY + key + data).next_multiple_of(8)
}

/// An entry of a directory: what the name refers to, and the name.
pub(super) fn name_entry(reference: u64, key: &[u8]) -> Vec<u8> {
    let mut entry = entry(key, &[]);
    entry[0..8].copy_from_slice(&reference.to_le_bytes());
    entry
}

/// An entry of another index: data under a key.
pub(super) fn view_entry(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut entry = entry(key, data);
    entry[0..2].copy_from_slice(&((ENTRY + key.len()) as u16).to_le_bytes());
    entry[2..4].copy_from_slice(&(data.len() as u16).to_le_bytes());
    entry
}

fn entry(key: &[u8], data: &[u8]) -> Vec<u8> {
    let length = entry_length(key.len(), data.len());
    let mut entry = vec![0; length];
    entry[0x08..0x0A].copy_from_slice(&(length as u16).to_le_bytes());
    entry[0x0A..0x0C].copy_from_slice(&(key.len() as u16).to_le_bytes());
    entry[ENTRY..ENTRY + key.len()].copy_from_slice(key);
    entry[ENTRY + key.len()..ENTRY + key.len() + data.len()].copy_from_slice(data);
    entry
}

/// Which entries go into which node; known from their lengths alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Empty where the root holds all entries.
    blocks: Vec<Node>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// Indices, each with the block of what sorts before it.
    entries: Vec<(usize, Option<u32>)>,
    /// The block of what sorts after all of them.
    last: Option<u32>,
}

impl Shape {
    /// The tree for entries of these lengths, if the root has `room` for entries and their end.
    pub fn of(lengths: &[usize], room: usize) -> Self {
        let mut blocks = Vec::new();
        if lengths.iter().sum::<usize>() + ENTRY <= room {
            return Shape { blocks };
        }
        let mut level: Vec<(usize, Option<u32>)> =
            (0..lengths.len()).map(|at| (at, None)).collect();
        let mut last = None;
        loop {
            let before = blocks.len();
            (level, last) = split(&level, last, lengths, &mut blocks);
            if blocks.len() == before + 1 {
                return Shape { blocks };
            }
        }
    }

    /// Blocks beside the root; the last of them is the tree's top.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The value of the root, and the blocks, one after the other.
    pub fn encode(&self, collation: Collation, entries: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
        let mut root = vec![0; ROOT_HEADER];
        root[0x00..0x04].copy_from_slice(&collation.attribute().to_le_bytes());
        root[0x04..0x08].copy_from_slice(&collation.code().to_le_bytes());
        root[0x08..0x0C].copy_from_slice(&(BLOCK as u32).to_le_bytes());
        root[0x0C] = 1; // clusters of a block
        let top = match self.blocks.len() {
            0 => Node {
                entries: (0..entries.len()).map(|at| (at, None)).collect(),
                last: None,
            },
            blocks => Node {
                entries: Vec::new(),
                last: Some(blocks as u32 - 1),
            },
        };
        root.extend(top.encode(entries));
        let length = (root.len() - 0x10) as u32;
        node_header(&mut root[0x10..], 0x10, length, length, top.last.is_some());

        let mut bytes = Vec::with_capacity(self.blocks.len() * BLOCK);
        for (number, node) in self.blocks.iter().enumerate() {
            let mut block = vec![0; FIRST_ENTRY];
            block[0..4].copy_from_slice(b"INDX");
            block[0x10..0x18].copy_from_slice(&(number as u64).to_le_bytes());
            block.extend(node.encode(entries));
            let used = (block.len() - NODE) as u32;
            block.resize(BLOCK, 0);
            node_header(
                &mut block[NODE..],
                (FIRST_ENTRY - NODE) as u32,
                used,
                (BLOCK - NODE) as u32,
                node.last.is_some(),
            );
            fixup::protect(&mut block, SEQUENCE);
            bytes.extend(block);
        }
        (root, bytes)
    }
}

fn node_header(at: &mut [u8], first: u32, used: u32, allocated: u32, children: bool) {
    for (slot, value) in at
        .chunks_exact_mut(4)
        .zip([first, used, allocated, children.into()])
    {
        slot.copy_from_slice(&value.to_le_bytes());
    }
}

impl Node {
    fn encode(&self, entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |entry: &[u8], child: Option<u32>, end: bool| {
            let start = bytes.len();
            bytes.extend(entry);
            if let Some(child) = child {
                bytes.extend(u64::from(child).to_le_bytes());
            }
            let length = (bytes.len() - start) as u16;
            bytes[start + 0x08..start + 0x0A].copy_from_slice(&length.to_le_bytes());
            bytes[start + 0x0C] = u8::from(child.is_some()) | u8::from(end) << 1;
        };
        for (entry, child) in &self.entries {
            put(&entries[*entry], *child, false);
        }
        put(&[0; ENTRY], self.last, true);
        bytes
    }
}

/// Puts one level's entries into blocks; gives those between two blocks, and the last block.
fn split(
    level: &[(usize, Option<u32>)],
    last: Option<u32>,
    lengths: &[usize],
    blocks: &mut Vec<Node>,
) -> (Vec<(usize, Option<u32>)>, Option<u32>) {
    let child = if last.is_some() { CHILD } else { 0 };
    let room = ROOM - ENTRY - child;
    let mut between = Vec::new();
    let mut rest = level;
    loop {
        let mut used = 0;
        let mut take = rest
            .iter()
            .take_while(|(entry, _)| {
                used += lengths[*entry] + child;
                used <= room
            })
            .count();
        if take == rest.len() {
            blocks.push(Node {
                entries: rest.to_vec(),
                last,
            });
            return (between, Some(blocks.len() as u32 - 1));
        }
        // One entry goes up, and the block after it must not be empty.
        if take + 1 == rest.len() {
            take -= 1;
        }
        let (up, before) = rest[take];
        blocks.push(Node {
            entries: rest[..take].to_vec(),
            last: before,
        });
        between.push((up, Some(blocks.len() as u32 - 1)));
        rest = &rest[take + 1..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// In the order of the index.
    fn walk(shape: &Shape, block: u32, depth: usize, depths: &mut Vec<usize>) -> Vec<usize> {
        let node = &shape.blocks[block as usize];
        let mut order = Vec::new();
        for (entry, child) in &node.entries {
            assert_eq!(child.is_some(), node.last.is_some());
            order.extend(
                child
                    .iter()
                    .flat_map(|child| walk(shape, *child, depth + 1, depths)),
            );
            order.push(*entry);
        }
        match node.last {
            Some(last) => order.extend(walk(shape, last, depth + 1, depths)),
            None => depths.push(depth),
        }
        order
    }

    proptest! {
        #[test]
        fn every_entry_once_in_order_and_no_block_empty(
            lengths in proptest::collection::vec((10usize..76).prop_map(|n| n * 8), 20..3000)
        ) {
            let shape = Shape::of(&lengths, 200);
            let mut depths = Vec::new();
            let order = walk(&shape, shape.blocks() as u32 - 1, 0, &mut depths);
            prop_assert_eq!(order, (0..lengths.len()).collect::<Vec<_>>());
            depths.dedup();
            prop_assert_eq!(depths.len(), 1, "leaves lie equally deep");
            for node in &shape.blocks {
                prop_assert!(!node.entries.is_empty());
                let child = if node.last.is_some() { CHILD } else { 0 };
                let used: usize = node.entries.iter().map(|(at, _)| lengths[*at] + child).sum();
                prop_assert!(used + ENTRY + child <= ROOM);
            }
            let entries: Vec<Vec<u8>> = lengths.iter().map(|length| vec![0; *length]).collect();
            let (root, blocks) = shape.encode(Collation::FileName, &entries);
            prop_assert_eq!(root.len(), LARGE_ROOT);
            prop_assert_eq!(blocks.len(), shape.blocks() * BLOCK);
        }
    }

    #[test]
    fn few_entries_stay_in_the_root() {
        let shape = Shape::of(&[96, 104], 216);
        assert_eq!(shape.blocks(), 0);
        assert_eq!(Shape::of(&[96, 104], 215).blocks(), 1);
        let (root, blocks) = shape.encode(Collation::FileName, &[vec![0; 96], vec![0; 104]]);
        assert_eq!((root.len(), blocks.len()), (0x20 + 216, 0));
    }
}
