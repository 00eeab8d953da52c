// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system's own files: the records below 27.

use super::attribute::{
    Place, Sizes, file_name, flag, kind, non_resident, resident, standard_information,
};
use super::definition;
use super::geometry::{CLUSTER, ClusterRun, NtfsGeometry};
use super::index::{Collation, Shape, name_entry, view_entry};
use super::name::LinkName;
use super::record::{RECORD, Record, reference, state};
use super::security::{MIRROR, SecureFile, Security};
use super::upcase::UpCase;
use crate::image::spec::VolumeLabel;
use crate::image::times::{FileTime, Times};

/// The root directory's record.
pub(super) const ROOT: u32 = 5;
const EXTEND: u32 = 11;
/// The first record after those of the system.
pub(super) const FIRST_USER_RECORD: u32 = 27;
/// Bytes of `$Boot`: room for sixteen sectors of code.
pub(super) const BOOT_BYTES: u64 = 16 * 512;
/// Records that `$MFTMirr` repeats.
pub(super) const MIRRORED: usize = 4;

/// What the root holds of the system's.
pub(super) const ROOT_NAMES: [(u32, &str); 12] = [
    (ROOT, "."),
    (4, "$AttrDef"),
    (8, "$BadClus"),
    (6, "$Bitmap"),
    (7, "$Boot"),
    (EXTEND, "$Extend"),
    (2, "$LogFile"),
    (0, "$MFT"),
    (1, "$MFTMirr"),
    (9, "$Secure"),
    (10, "$UpCase"),
    (3, "$Volume"),
];

/// Where the system's files lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Areas {
    pub boot: ClusterRun,
    pub mirror: ClusterRun,
    pub mft_bitmap: ClusterRun,
    pub mft: ClusterRun,
    pub definitions: ClusterRun,
    pub bitmap: ClusterRun,
    pub upcase: ClusterRun,
    pub security: ClusterRun,
    pub log: ClusterRun,
}

impl Areas {
    /// One after the other from cluster 0 on; also the first cluster after them.
    pub fn of(geometry: &NtfsGeometry, records: u64, security: u64) -> (Self, u64) {
        let mut next = 0;
        let mut take = |bytes: u64| {
            let count = bytes.div_ceil(CLUSTER);
            let run = ClusterRun { first: next, count };
            next += count;
            run
        };
        let areas = Areas {
            boot: take(BOOT_BYTES),
            mirror: take((MIRRORED * RECORD) as u64),
            mft_bitmap: take(mft_bitmap_bytes(records)),
            mft: take(records * RECORD as u64),
            definitions: take(definition::BYTES as u64),
            bitmap: take(geometry.bitmap_bytes()),
            upcase: take(0x2_0000),
            security: take(security),
            log: take(geometry.log_bytes()),
        };
        (areas, next)
    }
}

/// Bytes of the bitmap of records.
pub(super) fn mft_bitmap_bytes(records: u64) -> u64 {
    records.div_ceil(8).next_multiple_of(8)
}

/// One of the system's files.
pub(super) struct SystemFile {
    pub number: u32,
    parent: u32,
    link: LinkName,
    flags: u32,
    state: u16,
    security: Security,
    sizes: Sizes,
    /// Attributes after the name.
    rest: Vec<Vec<u8>>,
}

impl SystemFile {
    fn new(number: u32, name: &str) -> Self {
        SystemFile {
            number,
            parent: ROOT,
            link: LinkName::both(name),
            flags: flag::HIDDEN | flag::SYSTEM,
            state: state::IN_USE,
            security: Security::SystemRead,
            sizes: Sizes::default(),
            rest: Vec::new(),
        }
    }

    /// With unnamed data in these clusters.
    fn data(mut self, run: ClusterRun, bytes: u64) -> Self {
        self.sizes = Sizes {
            allocated: run.count * CLUSTER,
            bytes,
        };
        self.rest
            .push(non_resident(kind::DATA, "", Place::Run(run), bytes));
        self
    }

    fn with(mut self, attribute: Vec<u8>) -> Self {
        self.rest.push(attribute);
        self
    }

    fn writable(mut self) -> Self {
        self.security = Security::SystemWrite;
        self
    }

    fn view(mut self) -> Self {
        self.state |= state::VIEW_INDEX;
        self.flags |= flag::VIEW_INDEX;
        self.writable()
    }

    /// A file of `$Extend`.
    fn extension(mut self) -> Self {
        self.parent = EXTEND;
        self.state |= state::EXTENSION;
        self.flags |= flag::ARCHIVE;
        self.view()
    }

    fn directory(mut self) -> Self {
        self.state |= state::DIRECTORY;
        self.flags |= flag::NAME_INDEX;
        self.writable()
    }

    /// Its name, as the directory's index has it.
    pub fn key(&self) -> Vec<u8> {
        let parent = reference(self.parent);
        file_name(parent, &self.link, self.flags, Times::default(), self.sizes)
    }

    pub fn record(&self) -> Record {
        let mut attributes = vec![
            standard_information(
                self.flags & !flag::NAME_INDEX,
                Times::default(),
                self.security.id(),
            ),
            resident(kind::FILE_NAME, "", &self.key()),
        ];
        attributes.extend(self.rest.iter().cloned());
        Record {
            number: self.number,
            state: self.state,
            links: 1,
            attributes,
        }
    }
}

/// All of them but the root, whose index wants these.
pub(super) fn files(
    geometry: &NtfsGeometry,
    areas: &Areas,
    records: u64,
    secure: &SecureFile,
    label: &VolumeLabel,
) -> Vec<SystemFile> {
    let file = SystemFile::new;
    let clusters = geometry.clusters();
    let label: Vec<u8> = label
        .to_string()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let index = |name: &str, collation, entries: &[Vec<u8>]| {
        let (root, _) = Shape::of(&[], usize::MAX).encode(collation, entries);
        resident(kind::INDEX_ROOT, name, &root)
    };
    let security_bytes = MIRROR + secure.stream.len() as u64;
    let mut files = vec![
        file(0, "$MFT")
            .data(areas.mft, records * RECORD as u64)
            .with(non_resident(
                kind::BITMAP,
                "",
                Place::Run(areas.mft_bitmap),
                mft_bitmap_bytes(records),
            )),
        file(1, "$MFTMirr").data(areas.mirror, (MIRRORED * RECORD) as u64),
        file(2, "$LogFile").data(areas.log, geometry.log_bytes()),
        file(3, "$Volume")
            .writable()
            .with(resident(kind::VOLUME_NAME, "", &label))
            // Version 3.1, no flag: nothing to repair.
            .with(resident(
                kind::VOLUME_INFORMATION,
                "",
                &[0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0],
            ))
            .with(resident(kind::DATA, "", &[])),
        file(4, "$AttrDef").data(areas.definitions, definition::BYTES as u64),
        file(6, "$Bitmap").data(areas.bitmap, geometry.bitmap_bytes()),
        file(7, "$Boot").data(areas.boot, BOOT_BYTES),
        file(8, "$BadClus")
            .with(resident(kind::DATA, "", &[]))
            // As long as the volume, and all hole: no cluster is bad.
            .with(non_resident(
                kind::DATA,
                "$Bad",
                Place::Hole(clusters),
                clusters * CLUSTER,
            )),
        file(9, "$Secure")
            .view()
            .with(non_resident(
                kind::DATA,
                "$SDS",
                Place::Run(areas.security),
                security_bytes,
            ))
            .with(index("$SDH", Collation::SecurityHash, &secure.by_hash))
            .with(index("$SII", Collation::UnsignedLong, &secure.by_id)),
        file(10, "$UpCase")
            .writable()
            .data(areas.upcase, 0x2_0000)
            .with(resident(kind::DATA, "$Info", &UpCase::info())),
    ];
    // Quotas are off; this is the entry of those who have none of their own.
    let mut quota = [0; 0x30];
    quota[0x00] = 2; // version
    quota[0x04] = 1; // the default limits
    quota[0x10..0x18].copy_from_slice(&FileTime::default().0.to_le_bytes());
    quota[0x18..0x28].fill(0xFF); // no limit
    let quota = view_entry(&1u32.to_le_bytes(), &quota);
    let children = [
        file(24, "$Quota")
            .extension()
            .with(index("$O", Collation::Sid, &[]))
            .with(index("$Q", Collation::UnsignedLong, &[quota])),
        file(25, "$ObjId")
            .extension()
            .with(index("$O", Collation::UnsignedLongs, &[])),
        file(26, "$Reparse")
            .extension()
            .with(index("$R", Collation::UnsignedLongs, &[])),
    ];
    // Sorted: $ObjId, $Quota, $Reparse.
    let entries = [&children[1], &children[0], &children[2]]
        .map(|child| name_entry(reference(child.number), &child.key()));
    files.push(file(EXTEND, "$Extend").directory().with(index(
        "$I30",
        Collation::FileName,
        &entries,
    )));
    files.extend(children);
    files
}

/// The root's own name, and its flags.
pub(super) fn root_key() -> Vec<u8> {
    file_name(
        reference(ROOT),
        &LinkName::both("."),
        flag::HIDDEN | flag::SYSTEM | flag::NAME_INDEX,
        Times::default(),
        Sizes::default(),
    )
}

/// Records 12 to 15, kept for the system; taken, without a name.
pub(super) fn reserved(number: u32) -> Record {
    Record {
        number,
        state: state::IN_USE,
        links: 0,
        attributes: vec![
            standard_information(
                flag::HIDDEN | flag::SYSTEM,
                Times::default(),
                Security::SystemWrite.id(),
            ),
            resident(kind::DATA, "", &[]),
        ],
    }
}
