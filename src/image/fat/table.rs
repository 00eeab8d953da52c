// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file allocation table: for each cluster the next one of its chain.

use super::ClusterRun;

/// Entry 0: the media byte, upper bits set.
const MEDIA: u32 = 0x0FFF_FFF8;
/// The end of a chain; in entry 1 also "unmounted cleanly, no errors met".
const END: u32 = 0x0FFF_FFFF;

/// A table of chains which follow upon each other without gaps, so that a few numbers stand for
/// however many entries; they are made when they are written.
#[derive(Clone, Debug, Default)]
pub struct FatTable {
    /// The last cluster of each chain, ascending.
    ends: Vec<u32>,
}

impl FatTable {
    /// Appends a chain. It must begin where the last one ended (the first at cluster 2).
    pub(super) fn add(&mut self, run: ClusterRun) {
        debug_assert_eq!(run.first, self.used(), "chains follow upon each other");
        self.ends.push(run.first + run.count - 1);
    }

    /// Entries that are not zero, which are the first ones; also the first free cluster.
    pub fn used(&self) -> u32 {
        self.ends.last().map_or(2, |end| end + 1)
    }

    /// Fills `into` with the table's bytes from `offset` on; both are multiples of four.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) {
        let first = (offset / 4) as u32;
        let mut chain = self.ends.partition_point(|end| *end < first);
        for (cluster, entry) in (first..).zip(into.chunks_exact_mut(4)) {
            let value = match cluster {
                0 => MEDIA,
                1 => END,
                _ => match self.ends.get(chain) {
                    None => 0,
                    Some(end) if *end == cluster => {
                        chain += 1;
                        END
                    }
                    Some(_) => cluster + 1,
                },
            };
            entry.copy_from_slice(&value.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains() {
        let mut table = FatTable::default();
        assert_eq!(table.used(), 2);
        table.add(ClusterRun { first: 2, count: 1 });
        table.add(ClusterRun { first: 3, count: 3 });
        assert_eq!(table.used(), 6);
        let mut bytes = [0xEE; 32];
        table.read_at(0, &mut bytes);
        let entries: Vec<u32> = bytes
            .chunks(4)
            .map(|entry| u32::from_le_bytes(entry.try_into().unwrap()))
            .collect();
        let expected = [0x0FFF_FFF8, END, END, 4, 5, END, 0, 0];
        assert_eq!(entries, expected);
        // Any part of it is the same alone.
        for first in 0..8 {
            let mut part = vec![0xEE; 32 - first * 4];
            table.read_at(first as u64 * 4, &mut part);
            assert_eq!(part, bytes[first * 4..]);
        }
    }
}
