// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hive bins and the cells in them: looked up, allocated, freed (sections "Hive bin", "Cell",
//! "Unallocated cell").

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::base;
use super::le::{put, put_u32, u32_at};

/// An offset that points nowhere.
pub(super) const NONE: u32 = 0xFFFF_FFFF;

/// Cells begin at multiples of this and have such sizes.
pub(super) const ALIGNMENT: u32 = 8;

/// Of a hive bin, before its cells.
pub(super) const BIN_HEADER: u32 = 32;

/// Bins have sizes that are multiples of this.
pub(super) const BIN_ALIGNMENT: u32 = 4096;

/// Most bytes of hive bins: an offset's highest bit says that a cell is volatile.
pub(super) const MOST: u32 = 0x7FFF_F000;

/// The bytes of a hive, as cells. Offsets count from the start of the hive bins data.
#[derive(Clone)]
pub(super) struct Cells {
    bytes: Vec<u8>,
    bins_size: u32,
    /// Built by the first edit; who only reads need not pay for it.
    free: Option<FreeCells>,
}

impl fmt::Debug for Cells {
    /// Without a hundred million bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells")
            .field("bytes", &self.bytes.len())
            .field("bins_size", &self.bins_size)
            .finish_non_exhaustive()
    }
}

impl Cells {
    /// A file whose base block and bins were checked.
    pub fn new(bytes: Vec<u8>, bins_size: u32) -> Self {
        Cells {
            bytes,
            bins_size,
            free: None,
        }
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole file, given away.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The base block.
    pub fn base_block(&mut self) -> &mut [u8] {
        &mut self.bytes[..base::SIZE]
    }

    /// Data of an allocated cell, without its size; empty where there is none.
    pub fn get(&self, offset: u32) -> &[u8] {
        data_of(&self.bytes, offset).map_or(&[], |range| &self.bytes[range])
    }

    /// The same, to change.
    pub fn get_mut(&mut self, offset: u32) -> &mut [u8] {
        data_of(&self.bytes, offset).map_or(&mut [], |range| &mut self.bytes[range])
    }

    /// True if so many cells with so many bytes of data together are sure to find room.
    pub fn room_for(&self, cells: usize, bytes: usize) -> bool {
        // At worst, each gets a bin of its own.
        let each = (BIN_HEADER + ALIGNMENT + 4 + BIN_ALIGNMENT) as usize;
        let left = (MOST - self.bins_size) as usize;
        cells
            .checked_mul(each)
            .and_then(|most| most.checked_add(bytes))
            .is_some_and(|most| most <= left)
    }

    /// A new cell for so much data, all zero. Room was asked for before.
    pub fn allocate(&mut self, data: usize) -> u32 {
        let need = size_for(data);
        let found = self.free_cells().take(need);
        let (offset, size) = found.unwrap_or_else(|| self.grow(need));
        // A rest of 8 bytes and more can be a cell.
        if size > need {
            self.set_size(offset + need, size - need, false);
            self.free_cells().add(offset + need, size - need);
        }
        self.set_size(offset, need, true);
        self.get_mut(offset).fill(0);
        offset
    }

    /// Gives a cell back, together with free neighbours. Its bytes stay, as Windows leaves them.
    pub fn free(&mut self, offset: u32) {
        let data = self.get(offset).len();
        if data == 0 {
            return;
        }
        let size = data as u32 + 4;
        // Known before this cell is one of them.
        self.free_cells();
        // Its own size as well: a remnant inside a free cell must not look allocated.
        self.set_size(offset, size, false);
        let (offset, size) = self.free_cells().merge(offset, size);
        self.set_size(offset, size, false);
    }

    /// A cell with this much data, which begins as `offset`'s does: that cell if it has the
    /// size, else another in its place.
    pub fn resize(&mut self, offset: u32, data: usize) -> u32 {
        if self.get(offset).len() + 4 == size_for(data) as usize {
            self.get_mut(offset)[data..].fill(0);
            return offset;
        }
        let kept = self.get(offset);
        let kept = kept[..data.min(kept.len())].to_vec();
        self.free(offset);
        let new = self.allocate(data);
        put(self.get_mut(new), 0, &kept);
        new
    }

    fn set_size(&mut self, offset: u32, size: u32, allocated: bool) {
        let size = if allocated { size.wrapping_neg() } else { size };
        put_u32(&mut self.bytes, base::SIZE + offset as usize, size);
    }

    /// Appends a bin; its one free cell. What lies behind the last bin has no meaning (section
    /// "Format of primary files"), and is overwritten, as Windows does.
    fn grow(&mut self, need: u32) -> (u32, u32) {
        let bin = self.bins_size;
        let size = (BIN_HEADER + need).next_multiple_of(BIN_ALIGNMENT);
        let start = base::SIZE + bin as usize;
        let end = start + size as usize;
        if self.bytes.len() < end {
            // Not to twice the size, which a hive of 100 MB would not need.
            self.bytes.reserve_exact(end - self.bytes.len());
            self.bytes.resize(end, 0);
        }
        let bytes = &mut self.bytes[start..end];
        bytes.fill(0);
        put(bytes, 0, b"hbin");
        put_u32(bytes, 4, bin);
        put_u32(bytes, 8, size);
        self.bins_size += size;
        let bins_size = self.bins_size;
        put_u32(self.base_block(), base::BINS_SIZE, bins_size);
        (bin + BIN_HEADER, size - BIN_HEADER)
    }

    fn free_cells(&mut self) -> &mut FreeCells {
        let (bytes, bins_size) = (&self.bytes, self.bins_size);
        self.free
            .get_or_insert_with(|| FreeCells::of(bytes, bins_size))
    }
}

/// Size of a cell with so much data.
fn size_for(data: usize) -> u32 {
    (data as u32 + 4).next_multiple_of(ALIGNMENT)
}

/// Where the data of an allocated cell lie in the file.
pub(super) fn data_of(bytes: &[u8], offset: u32) -> Option<std::ops::Range<usize>> {
    let start = base::SIZE + offset as usize;
    let size = u32_at(bytes.get(start..)?, 0).cast_signed();
    if size >= 0 || !offset.is_multiple_of(ALIGNMENT) {
        return None;
    }
    let end = start + size.unsigned_abs() as usize;
    (start + 4 < end && end <= bytes.len()).then_some(start + 4..end)
}

/// Free cells, by size and by place. The smallest that fits is taken, of those the first: the
/// same edits give the same bytes.
#[derive(Clone, Debug, Default)]
struct FreeCells {
    by_place: BTreeMap<u32, u32>,
    by_size: BTreeSet<(u32, u32)>,
}

impl FreeCells {
    fn of(bytes: &[u8], bins_size: u32) -> Self {
        let mut free = FreeCells::default();
        let (mut offset, mut bin_end) = (0u32, 0);
        while offset < bins_size {
            if offset == bin_end {
                let size = u32_at(bytes, base::SIZE + offset as usize + 8).max(BIN_ALIGNMENT);
                bin_end = offset.saturating_add(size);
                offset += BIN_HEADER;
            }
            let size = u32_at(bytes, base::SIZE + offset as usize).cast_signed();
            if size > 0 {
                free.add(offset, size.unsigned_abs());
            }
            offset = offset.saturating_add(size.unsigned_abs().max(ALIGNMENT));
        }
        free
    }

    fn add(&mut self, offset: u32, size: u32) {
        self.by_place.insert(offset, size);
        self.by_size.insert((size, offset));
    }

    fn remove(&mut self, offset: u32, size: u32) {
        self.by_place.remove(&offset);
        self.by_size.remove(&(size, offset));
    }

    /// A cell of at least this size: its offset and size.
    fn take(&mut self, need: u32) -> Option<(u32, u32)> {
        let (size, offset) = *self.by_size.range((need, 0)..).next()?;
        self.remove(offset, size);
        Some((offset, size))
    }

    /// Adds a cell and joins it with its free neighbours; the header of a bin lies between cells
    /// of two bins, so that these are none.
    fn merge(&mut self, mut offset: u32, mut size: u32) -> (u32, u32) {
        if let Some((&next, &more)) = self.by_place.range(offset..).next()
            && next == offset + size
        {
            self.remove(next, more);
            size += more;
        }
        if let Some((&previous, &more)) = self.by_place.range(..offset).next_back()
            && previous + more == offset
        {
            self.remove(previous, more);
            offset = previous;
            size += more;
        }
        self.add(offset, size);
        (offset, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Cells {
        Cells::new(base::new(""), 0)
    }

    #[test]
    fn the_tail_of_a_bin_is_one_free_cell() {
        let mut cells = empty();
        let first = cells.allocate(4);
        assert_eq!(first, 0x20);
        assert_eq!(cells.bytes().len(), 0x2000);
        assert_eq!(cells.bins_size, 0x1000);
        assert_eq!(cells.bytes()[0x1000..0x100C], *b"hbin\0\0\0\0\0\x10\0\0");
        assert_eq!(cells.bytes()[0x1020..0x1024], (-8i32).to_le_bytes());
        assert_eq!(cells.bytes()[0x1028..0x102C], 0xFD8i32.to_le_bytes());
    }

    #[test]
    fn freed_neighbours_become_one() {
        let mut cells = empty();
        let places: Vec<u32> = (0..3).map(|_| cells.allocate(12)).collect();
        assert_eq!(places, [0x20, 0x30, 0x40]);
        cells.free(0x20);
        cells.free(0x40);
        cells.free(0x30);
        assert_eq!(cells.bytes()[0x1020..0x1024], 0xFE0i32.to_le_bytes());
        // Freed twice, or never allocated: nothing happens.
        let before = cells.bytes().to_vec();
        cells.free(0x30);
        cells.free(0x31);
        cells.free(0xFFFF_FFF8);
        assert_eq!(cells.bytes(), before);
        // What was scanned is what was kept.
        let scanned = FreeCells::of(cells.bytes(), cells.bins_size);
        assert_eq!(scanned.by_place, cells.free_cells().by_place);
    }

    #[test]
    fn a_cell_beyond_a_bin_gets_a_larger_bin() {
        let mut cells = empty();
        cells.allocate(4);
        let large = cells.allocate(5000);
        assert_eq!(large, 0x1020);
        assert_eq!(cells.get(large).len(), 5004);
        assert_eq!(cells.bins_size, 0x3000);
        // Grown over what lay behind, and not beyond.
        assert_eq!(cells.bytes().len(), 0x4000);
    }

    #[test]
    fn a_cell_of_the_right_size_stays() {
        let mut cells = empty();
        let cell = cells.allocate(10);
        cells.get_mut(cell).fill(7);
        assert_eq!(cells.resize(cell, 9), cell);
        assert_eq!(cells.get(cell), [7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 0]);
        let moved = cells.resize(cell, 100);
        assert_eq!(cells.get(moved)[..12], [7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 0]);
        assert_eq!(cells.get(moved).len(), 100);
    }

    /// What is kept of free cells is what a scan finds, after anything.
    #[test]
    fn free_cells_are_kept_as_they_are() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut cells = empty();
        let mut live = Vec::new();
        for _ in 0..2000 {
            if random.u8(0..8) == 0 {
                // As in a hive that was just read.
                cells.free = None;
            }
            let most = if random.u8(0..20) == 0 { 6000 } else { 40 };
            let size = random.usize(1..most);
            match random.u8(0..5) {
                0..3 => live.push(cells.allocate(size)),
                _ if live.is_empty() => {}
                3 => cells.free(live.swap_remove(random.usize(0..live.len()))),
                _ => {
                    let at = random.usize(0..live.len());
                    live[at] = cells.resize(live[at], size);
                }
            }
            let scanned = FreeCells::of(&cells.bytes, cells.bins_size);
            let kept = cells.free_cells();
            assert_eq!(scanned.by_place, kept.by_place);
            assert_eq!(scanned.by_size, kept.by_size);
        }
    }
}
