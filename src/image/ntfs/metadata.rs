// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is the same whatever the files hold: the system's records and the directories.

use super::attribute::{Place, Sizes, file_name, flag, kind, non_resident, resident};
use super::index::{Collation, name_entry};
use super::name::LinkName;
use super::record::{Record, reference, state};
use super::security::{self, MIRROR, Security};
use super::system::{self, Areas, FIRST_USER_RECORD, MIRRORED, ROOT};
use super::tree::{Directory, Target};
use super::{
    Area, AreaContent, CLUSTER, ClusterRun, NtfsContent, NtfsVolume, VolumeLabel, definition,
    flags, named,
};

impl NtfsContent {
    /// The system's files and the directories: their records, and what they have in clusters.
    pub(super) fn system(
        &self,
        volume: &mut NtfsVolume,
        areas: &Areas,
        label: &VolumeLabel,
        directories: &[(Option<ClusterRun>, Option<ClusterRun>)],
    ) {
        let secure = security::secure();
        let files = system::files(&volume.geometry, areas, volume.records, &secure, label);
        let mut head: Vec<Record> = (0..FIRST_USER_RECORD)
            .map(|number| match number {
                12..16 => system::reserved(number),
                _ => Record::free(number),
            })
            .collect();
        let mut out = Vec::new();
        for (index, (directory, runs)) in self.tree.directories.iter().zip(directories).enumerate()
        {
            let entries: Vec<Vec<u8>> = directory
                .entries
                .iter()
                .map(|(link, target)| {
                    let key = match target {
                        Target::System(ROOT) => system::root_key(),
                        Target::System(number) => files
                            .iter()
                            .find(|file| file.number == *number)
                            .map(system::SystemFile::key)
                            .unwrap_or_default(),
                        Target::Directory(child) => self.directory_key(*child, link),
                        Target::Content(file) => volume.key(*file, link),
                    };
                    name_entry(reference(self.tree.number(*target)), &key)
                })
                .collect();
            let (root, blocks) = directory.shape.encode(Collation::FileName, &entries);
            let record = self.directory_record(index, directory, &root, *runs);
            match index {
                0 => head[ROOT as usize] = record,
                _ => head.push(record),
            }
            if let (Some(run), _) = runs {
                out.push(Area::bytes(*run, "directory", blocks));
            }
            if let (_, Some(run)) = runs {
                out.push(Area::bytes(
                    *run,
                    "directory's bitmap",
                    directory.index_bitmap(),
                ));
            }
        }
        for file in &files {
            head[file.number as usize] = file.record();
        }
        volume.head = head.iter().map(Record::encode).collect();

        let mirror = volume.head[..MIRRORED].concat();
        out.push(Area::bytes(areas.mirror, "$MFTMirr", mirror));
        let mut taken = vec![0u8; system::mft_bitmap_bytes(volume.records) as usize];
        for record in (0..16).chain(24..self.tree.records() as usize) {
            taken[record / 8] |= 1 << (record % 8);
        }
        out.push(Area::bytes(areas.mft_bitmap, "bitmap of the MFT", taken));
        out.push(Area {
            content: AreaContent::Records,
            ..Area::of(areas.mft, "$MFT")
        });
        out.push(Area::bytes(
            areas.definitions,
            "$AttrDef",
            definition::table(),
        ));
        out.push(Area::bytes(areas.upcase, "$UpCase", self.upcase.bytes()));
        out.push(Area {
            content: AreaContent::Ones,
            bytes: volume.geometry.log_bytes(),
            ..Area::of(areas.log, "$LogFile")
        });
        let security = Area::bytes(areas.security, "$Secure", secure.stream);
        out.push(Area {
            offset: security.offset + MIRROR,
            ..security.clone()
        });
        out.push(security);
        out.extend(volume.bitmap_areas(areas.bitmap));
        out.sort_by_key(|area| area.offset);
        volume.areas = out;
    }

    fn directory_key(&self, directory: usize, link: &LinkName) -> Vec<u8> {
        let Directory {
            parent, attributes, ..
        } = self.tree.directories[directory];
        file_name(
            reference(self.tree.number(Target::Directory(parent))),
            link,
            flags(attributes) & !flag::ARCHIVE | flag::NAME_INDEX,
            attributes.times,
            Sizes::default(),
        )
    }

    fn directory_record(
        &self,
        index: usize,
        directory: &Directory,
        root: &[u8],
        (blocks, bitmap): (Option<ClusterRun>, Option<ClusterRun>),
    ) -> Record {
        let (flags, keys) = match index {
            0 => (flag::HIDDEN | flag::SYSTEM, vec![system::root_key()]),
            _ => (
                flags(directory.attributes) & !flag::ARCHIVE,
                (directory.links.iter())
                    .map(|link| self.directory_key(index, link))
                    .collect(),
            ),
        };
        let times = directory.attributes.times;
        let mut attributes = named(flags, times, Security::Directory, keys);
        attributes.push(resident(kind::INDEX_ROOT, "$I30", root));
        if let Some(run) = blocks {
            let bytes = run.count * CLUSTER;
            let allocation = non_resident(kind::INDEX_ALLOCATION, "$I30", Place::Run(run), bytes);
            attributes.push(allocation);
            attributes.push(match bitmap {
                Some(run) => {
                    let bytes = directory.bitmap().bytes;
                    non_resident(kind::BITMAP, "$I30", Place::Run(run), bytes)
                }
                None => resident(kind::BITMAP, "$I30", &directory.index_bitmap()),
            });
        }
        Record {
            number: self.tree.number(Target::Directory(index)),
            state: state::IN_USE | state::DIRECTORY,
            links: directory.links.len().max(1) as u16, // the root has its one name
            attributes,
        }
    }
}

impl Directory {
    /// A bit for every block, all of which are in use.
    fn index_bitmap(&self) -> Vec<u8> {
        let mut bytes = vec![0u8; self.bitmap().bytes as usize];
        for block in 0..self.shape.blocks() {
            bytes[block / 8] |= 1 << (block % 8);
        }
        bytes
    }
}
