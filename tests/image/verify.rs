// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verification finds every damage, and says where.

use std::fs::File;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use slamboot::image::verify::{Structure, verify};
use slamboot::image::{DiskSize, SourceSpec, VerifyError};

use crate::support::{Image, demo_with, fat_plan, file, flip, go_on};

fn image() -> Image {
    let files = vec![
        file(
            "\\Long directory name\\A long name.data",
            SourceSpec::Bytes(vec![7; 3000]),
        ),
        file("\\LAST.BIN", SourceSpec::Bytes(vec![9; 70_000])),
    ];
    Image::of(&demo_with(DiskSize::Smallest, files))
}

fn check(image: &Image, file: &File) -> Result<(), VerifyError> {
    verify(image.plan(), file, image.built.crc32, &mut go_on)
}

/// Which structure is blamed for a flipped bit there.
fn blamed(image: &Image, file: &File, offset: u64) -> Structure {
    flip(file, offset);
    let result = check(image, file);
    flip(file, offset);
    match result {
        Err(VerifyError::Mismatch { structure, .. } | VerifyError::Volume { structure, .. }) => {
            structure
        }
        other => panic!("byte {offset:#x}: {other:?}"),
    }
}

#[test]
fn each_structure_is_blamed_for_its_own_damage() {
    let image = image();
    let file = image.file();
    check(&image, &file).unwrap();
    let plan = image.plan();
    let volume = 2048 * 512;
    let sector = |sector: u32| volume + u64::from(sector) * 512;
    let fat = sector(fat_plan(plan).geometry.reserved());
    let fat_bytes = u64::from(fat_plan(plan).geometry.table_sectors()) * 512;
    let root = sector(fat_plan(plan).geometry.cluster_sector(2));
    let of = |path: &str| image.offset_of(path);
    let content = |path: &str| Structure::File(path.to_owned());
    for (offset, expected) in [
        (0x005, Structure::Mbr),                          // code
        (0x1B9, Structure::Mbr),                          // signature
        (0x1BE, Structure::PartitionTable),               // active
        (0x1BF, Structure::PartitionTable),               // CHS
        (0x1C6, Structure::PartitionTable),               // first sector
        (0x1CE, Structure::PartitionTable),               // the second entry
        (0x1FF, Structure::Mbr),                          // mark
        (volume, Structure::BootSector),                  // jump
        (volume + 0x0D, Structure::BootSector),           // cluster size
        (volume + 0x1C, Structure::BootSector),           // hidden sectors
        (volume + 0x24, Structure::BootSector),           // size of the table
        (volume + 0x60, Structure::BootSector),           // code
        (volume + 0x1FE, Structure::BootSector),          // mark
        (sector(2) + 0x1FE, Structure::BootSector),       // third sector's mark
        (sector(1) + 0x1E8, Structure::BackupBootSector), // free clusters, in one copy only
        (sector(6) + 0x60, Structure::BackupBootSector),
        (fat, Structure::Fat),
        (fat + 4 * 20, Structure::Fat),
        (fat + fat_bytes - 1, Structure::Fat),
        (fat + fat_bytes + 4 * 20, Structure::Fat),
        (root, Structure::Directory),                  // label
        (root + 32, Structure::Directory),             // SLAMBOOT.BIN
        (root + 32 + 0x0B, Structure::Directory),      // attributes
        (root + 32 + 0x1C, Structure::Directory),      // length
        (root + 64 + 0x01, Structure::Directory),      // a long name
        (root + 64 + 0x0D, Structure::Directory),      // its checksum
        (root + 32 + 0x1A, content("\\SLAMBOOT.BIN")), // first cluster
        (root + 32 + 0x18, Structure::Directory),      // a date
        (of("\\SLAMBOOT.BIN") + 300_000, content("\\SLAMBOOT.BIN")),
        (of("\\LAST.BIN") + 69_999, content("\\LAST.BIN")),
        (of("\\LAST.BIN") + 70_000, Structure::Disk), // slack
        (of("\\LAST.BIN") + (1 << 20), Structure::Disk), // free space
        (plan.facts.sectors.bytes() - 1, Structure::Disk), // balance
    ] {
        assert_eq!(blamed(&image, &file, offset), expected, "byte {offset:#x}");
    }
    check(&image, &file).unwrap();
}

/// Both copies damaged alike: what only a comparison of copies would miss.
#[test]
fn damage_to_both_copies() {
    let image = image();
    let file = image.file();
    let plan = image.plan();
    let volume = 2048 * 512;
    let both = |offset: u64, distance: u64| {
        flip(&file, offset);
        flip(&file, offset + distance);
        let result = check(&image, &file);
        flip(&file, offset);
        flip(&file, offset + distance);
        match result {
            Err(
                VerifyError::Mismatch { structure, .. } | VerifyError::Volume { structure, .. },
            ) => structure,
            other => panic!("byte {offset:#x}: {other:?}"),
        }
    };
    let backup = 6 * 512;
    // Every byte of the boot record.
    for offset in 0..512 {
        let expected = if (0x196..0x1FE).contains(&offset) {
            Structure::ExtentTable
        } else {
            Structure::BootSector
        };
        assert_eq!(both(volume + offset, backup), expected, "byte {offset:#x}");
    }
    for offset in [0, 484, 488, 492, 510] {
        assert_eq!(both(volume + 512 + offset, backup), Structure::FsInfo);
    }
    let fat = volume + u64::from(fat_plan(plan).geometry.reserved()) * 512;
    let distance = u64::from(fat_plan(plan).geometry.table_sectors()) * 512;
    let used = u64::from(fat_plan(plan).table.used());
    for cluster in [0, 1, 2, 5, used - 1, used, used + 100] {
        let structure = both(fat + cluster * 4, distance);
        assert!(
            matches!(
                structure,
                Structure::Fat | Structure::FsInfo | Structure::File(_) | Structure::Directory
            ),
            "cluster {cluster}: {structure:?}"
        );
    }
}

#[test]
fn every_byte_of_the_mbr() {
    let image = image();
    let file = image.file();
    for offset in 0..512 {
        let expected = if (0x1BE..0x1FE).contains(&offset) {
            Structure::PartitionTable
        } else {
            Structure::Mbr
        };
        assert_eq!(blamed(&image, &file, offset), expected, "byte {offset:#x}");
    }
}

#[test]
fn a_wrong_length() {
    let image = image();
    let file = image.file();
    let length = image.plan().facts.sectors.bytes();
    for wrong in [length - 512, length + 512] {
        file.set_len(wrong).unwrap();
        assert!(matches!(
            check(&image, &file),
            Err(VerifyError::Mismatch {
                structure: Structure::Length,
                ..
            })
        ));
    }
}

#[test]
fn a_file_too_many_and_one_too_few() {
    let image = image();
    let file = image.file();
    let root = 2048 * 512 + u64::from(fat_plan(image.plan()).geometry.cluster_sector(2)) * 512;
    // Deleted: the first byte of the entry.
    let mut entry = [0; 32];
    file.read_exact_at(&mut entry, root + 32).unwrap();
    file.write_all_at(&[0xE5], root + 32).unwrap();
    let error = check(&image, &file).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("expected \\SLAMBOOT.BIN, found no such file"),
        "{error}"
    );
    // There again, and once more under another name at the directory's end.
    file.write_all_at(&entry, root + 32).unwrap();
    check(&image, &file).unwrap();
    let mut directory = [0; 512];
    file.read_exact_at(&mut directory, root).unwrap();
    let end = directory
        .chunks(32)
        .position(|entry| entry[0] == 0)
        .unwrap() as u64;
    entry[0] = b'T';
    file.write_all_at(&entry, root + end * 32).unwrap();
    let error = check(&image, &file).unwrap_err();
    assert!(
        error.to_string().contains("found \\TLAMBOOT.BIN"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn damage_anywhere(places in proptest::collection::vec(any::<prop::sample::Index>(), 8)) {
        let image = image();
        let file = image.file();
        let length = image.plan().facts.sectors.bytes();
        for place in places {
            blamed(&image, &file, place.index(length as usize) as u64);
        }
    }
}
