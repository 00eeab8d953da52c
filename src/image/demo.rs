// SPDX-License-Identifier: MIT OR Apache-2.0
//! The demo: a disk that, when booted, reads itself back and says whether every byte arrived.

use super::facts::DiskFacts;
use super::late::Late;
use super::source::Filler;
use super::spec::{Attributes, DiskPath, DiskSize, FileSpec, FileSystem, ImageSpec, SourceSpec};

/// `boot/demo.S`, assembled.
const CODE: &[u8] = include_bytes!("boot/demo.bin");

/// Length of the second stage: that of a real boot manager, so that loading it tests as much.
pub const BYTES: u64 = 400 * 1024;

mod field {
    use std::ops::Range;

    pub const DISK_CRC: Range<usize> = 0x0C..0x10;
    pub const DISK_SECTORS: Range<usize> = 0x10..0x14;
    pub const HIDDEN: Range<usize> = 0x14..0x18;
    pub const FILE_BYTES: Range<usize> = 0x18..0x1C;
    pub const FILE_CRC: Range<usize> = 0x1C..0x20;
    /// What changes while it runs ends here; the file's CRC covers the rest.
    pub const CHECKED: usize = 0x40;
}

/// What the demo wants of its image. `fill` names the text that shall fill the free space.
#[expect(
    clippy::missing_panics_doc,
    reason = "path and label are written here, and well-formed"
)]
pub fn spec(size: DiskSize, fill: Option<&str>) -> ImageSpec {
    let path =
        |text: &str| -> DiskPath { text.parse().expect("a path written here is well-formed") };
    let boot = path("\\SLAMBOOT.BIN");
    let mut files = vec![
        FileSpec {
            path: boot.clone(),
            attributes: Attributes {
                hidden: true,
                system: true,
                ..Attributes::default()
            },
            source: SourceSpec::Late(Late::Demo),
        },
        FileSpec {
            path: path("\\Read me.txt"),
            attributes: Attributes::default(),
            source: SourceSpec::Bytes(README.replace('\n', "\r\n").into_bytes()),
        },
    ];
    files.extend(fill.map(|seed| FileSpec {
        path: path("\\FILLER.BIN"),
        attributes: Attributes::default(),
        source: SourceSpec::Fill {
            seed: seed.to_owned(),
        },
    }));
    ImageSpec {
        size,
        file_system: FileSystem::default(),
        label: "SLAMBOOT"
            .parse()
            .expect("a label written here is well-formed"),
        files,
        folders: Vec::new(),
        boot,
        self_check: true,
    }
}

const README: &str = "\
This disk was made by `slamboot image demo`.

Booted, it reads every one of its sectors back through the BIOS and compares
the CRC-32 with the one that its builder chose; \\SLAMBOOT.BIN does that, and is
found by the extent table in the boot sector. Writing to this volume, even from
a running system that only looks at it, changes the CRC-32.
";

/// A number that differs where the second stage's code does.
pub fn fingerprint() -> u64 {
    crc32fast::hash(CODE).into()
}

/// The second stage for the disk that has been laid out.
pub fn render(facts: &DiskFacts) -> Vec<u8> {
    let mut file = vec![0; BYTES as usize];
    Filler::named("slamboot demo padding").read_at(0, &mut file);
    file[..CODE.len()].copy_from_slice(CODE);
    let crc = crc32fast::hash(&file[field::CHECKED..]);
    for (range, value) in [
        (field::DISK_CRC, facts.identity.crc32),
        (field::DISK_SECTORS, facts.sectors.0),
        (field::HIDDEN, facts.partition.start.0),
        (field::FILE_BYTES, BYTES as u32),
        (field::FILE_CRC, crc),
    ] {
        file[range].copy_from_slice(&value.to_le_bytes());
    }
    file
}

/// The line that the demo ends with where every byte arrived, drive 0x80.
pub fn success_line(facts: &DiskFacts) -> String {
    format!(
        "slamboot demo: ok crc32={:08x} sectors={} drive=0x80",
        facts.identity.crc32, facts.sectors.0
    )
}
