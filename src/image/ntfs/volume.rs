// SPDX-License-Identifier: MIT OR Apache-2.0
//! What of a volume is made when it is asked for: files' records, and `$Bitmap`.

use super::attribute::{Place, Sizes, file_name, kind, non_resident, resident};
use super::name::LinkName;
use super::record::{RECORD, Record, state};
use super::security::Security;
use super::{Area, AreaContent, CLUSTER, ClusterRun, FileNames, FilePlace, NtfsVolume, named};

impl NtfsVolume {
    /// Clusters that are taken, which are the first ones.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// The name of a file, as its directory's index has it.
    pub(super) fn key(&self, file: usize, link: &LinkName) -> Vec<u8> {
        let FilePlace { bytes, run } = self.files[file];
        let allocated = match run {
            Some(run) => run.count * CLUSTER,
            None => bytes.next_multiple_of(8),
        };
        let names = &self.names[file];
        let sizes = Sizes { allocated, bytes };
        file_name(names.parent, link, names.flags, names.times, sizes)
    }

    fn file_record(&self, file: usize, number: u32, content: &[u8]) -> Record {
        let FileNames {
            links,
            flags,
            times,
            ..
        } = &self.names[file];
        let keys = links.iter().map(|link| self.key(file, link)).collect();
        let mut attributes = named(*flags, *times, Security::Content, keys);
        let FilePlace { bytes, run } = self.files[file];
        attributes.push(match run {
            Some(run) => non_resident(kind::DATA, "", Place::Run(run), bytes),
            None => resident(kind::DATA, "", content),
        });
        Record {
            number,
            state: state::IN_USE,
            links: links.len() as u16, // two at most
            attributes,
        }
    }

    /// Fills `into` with the MFT from `offset` on, both whole records. `read` gives the content
    /// of a file that is in its record.
    pub fn records_at<E>(
        &self,
        offset: u64,
        into: &mut [u8],
        mut read: impl FnMut(usize, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let first = (offset / RECORD as u64) as usize;
        for (number, slot) in (first..).zip(into.chunks_exact_mut(RECORD)) {
            let file = number.checked_sub(self.head.len());
            let record = match (self.head.get(number), file) {
                (Some(record), _) => *record,
                (None, Some(file)) if file < self.files.len() => {
                    let place = self.files[file];
                    let mut content = match place.run {
                        Some(_) => Vec::new(),
                        None => vec![0; place.bytes as usize], // less than a record
                    };
                    if !content.is_empty() {
                        read(file, &mut content)?;
                    }
                    self.file_record(file, number as u32, &content).encode()
                }
                _ => Record::free(number as u32).encode(),
            };
            slot.copy_from_slice(&record);
        }
        Ok(())
    }

    /// Fills `into` with `$Bitmap` from byte `offset` on: a bit for each cluster in use, and for
    /// those that only the last word has room for.
    pub fn bitmap_at(&self, offset: u64, into: &mut [u8]) {
        let end = self.geometry.clusters();
        let all = self.geometry.bitmap_bytes();
        for (at, byte) in (offset..).zip(into) {
            let first = at * 8;
            *byte = match () {
                () if at >= all => 0,
                () if first + 8 <= self.used || first >= end => 0xFF,
                () if first >= self.used && first + 8 <= end => 0,
                () => (0..8)
                    .filter(|bit| first + bit < self.used || first + bit >= end)
                    .fold(0, |byte, bit| byte | 1 << bit),
            };
        }
    }

    /// `$Bitmap` begins with ones and may end with some; between them it stays a hole.
    pub(super) fn bitmap_areas(&self, run: ClusterRun) -> Vec<Area> {
        const SECTOR: u64 = 512;
        let all = self.geometry.bitmap_bytes().next_multiple_of(SECTOR);
        let head = self.used.div_ceil(8).next_multiple_of(SECTOR).min(all);
        let part = |from: u64, bytes: u64| Area {
            offset: run.first * CLUSTER + from,
            bytes,
            what: "$Bitmap",
            content: AreaContent::Bitmap(from),
        };
        let mut areas = vec![part(0, head)];
        if head < all {
            areas.push(part(all - SECTOR, SECTOR));
        }
        areas
    }
}
