// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU boots the demo: as a hard disk, through memdisk, whole and damaged.

use std::fmt::Write as _;
use std::os::unix::fs::FileExt;

use slamboot::image::{DiskSize, FileSystem, crc, demo};

use crate::machine::{Machine, Medium, have_qemu, memdisk, now};
use crate::support::{Image, flip};

/// What the demo's last line has.
const ENDS: [&str; 2] = ["demo: ok", "demo: BAD"];

/// All that the demo says where all is well.
fn success(image: &Image) -> String {
    let facts = &image.plan().facts;
    let mut text = String::new();
    let sectors = facts.sectors.0;
    let _ = write!(
        text,
        "slamboot demo: start drive=0x80 sectors={sectors}\r\n"
    );
    let _ = write!(text, "{}\r\n", demo::success_line(facts));
    text
}

#[test]
fn as_a_hard_disk() {
    if !have_qemu("as_a_hard_disk") {
        return;
    }
    let image = Image::demo();
    let machine = Machine::start(&Medium::Disk(image.path()), 64);
    assert_eq!(machine.until(&ENDS), success(&image));
}

#[test]
fn through_memdisk() {
    let Some(memdisk) = memdisk("through_memdisk").filter(|_| have_qemu("through_memdisk")) else {
        return;
    };
    let image = Image::demo();
    let machine = Machine::start(&Medium::Memdisk(memdisk, image.path()), 128);
    assert_eq!(machine.until(&ENDS), success(&image));
}

/// The same boot code loads the same second stage, wherever NTFS has put it.
#[test]
fn from_ntfs() {
    if !have_qemu("from_ntfs") {
        return;
    }
    let mut spec = demo::spec(DiskSize::Smallest, None);
    spec.file_system = FileSystem::Ntfs;
    let image = Image::of(&spec);
    let machine = Machine::start(&Medium::Disk(image.path()), 64);
    assert_eq!(machine.until(&ENDS), success(&image));
    if let Some(memdisk) = memdisk("from_ntfs") {
        let machine = Machine::start(&Medium::Memdisk(memdisk, image.path()), 128);
        assert_eq!(machine.until(&ENDS), success(&image));
    }
}

#[test]
fn two_hundred_mebibytes_through_memdisk() {
    let name = "two_hundred_mebibytes_through_memdisk";
    let Some(memdisk) = memdisk(name).filter(|_| have_qemu(name)) else {
        return;
    };
    let size = DiskSize::AtLeast("200MiB".parse().unwrap());
    let image = Image::of(&demo::spec(size, Some(name)));
    let started = now();
    let machine = Machine::start(&Medium::Memdisk(memdisk, image.path()), 512);
    assert_eq!(machine.until(&ENDS), success(&image));
    println!(
        "200 MiB through memdisk, start of QEMU to verdict: {:.1?}",
        started.elapsed()
    );
}

#[test]
fn damage_is_said_to_be_bad() {
    if !have_qemu("damage_is_said_to_be_bad") {
        return;
    }
    let image = Image::demo();
    let file = image.file();
    let facts = image.plan().facts;
    let sectors = facts.sectors;
    let boot_file = image.offset_of("\\SLAMBOOT.BIN");
    // Free space; the balance; the boot file's end; the boot sector's hidden sectors.
    for (offset, expected) in [
        (sectors.bytes() / 2, "BAD crc32="),
        (sectors.bytes() - 1, "BAD crc32="),
        (boot_file + demo::BYTES - 1, "BAD load crc32="),
        (2048 * 512 + 0x1C, "BAD boot sector fields drive=0x80\r\n"),
    ] {
        flip(&file, offset);
        let text = Machine::start(&Medium::Disk(image.path()), 64).until(&ENDS);
        flip(&file, offset);
        let (start, last) = text.split_once("\r\n").unwrap();
        assert_eq!(
            start,
            format!("slamboot demo: start drive=0x80 sectors={}", sectors.0)
        );
        assert!(
            last.starts_with(&format!("slamboot demo: {expected}")),
            "{last}"
        );
        if expected == "BAD crc32=" {
            let end = format!(
                " expected={:08x} sectors={} drive=0x80\r\n",
                facts.identity.crc32, sectors.0
            );
            assert!(last.ends_with(&end), "{last}");
        }
    }
    // A transfer that lost its end.
    file.set_len(60_000 * 512).unwrap();
    let text = Machine::start(&Medium::Disk(image.path()), 64).until(&ENDS);
    let expected = format!(
        "slamboot demo: BAD size bios=60000 expected={} drive=0x80\r\n",
        sectors.0
    );
    assert!(text.ends_with(&expected), "{text}");
}

#[test]
fn what_memdisk_carries_damaged() {
    let name = "what_memdisk_carries_damaged";
    let Some(memdisk) = memdisk(name).filter(|_| have_qemu(name)) else {
        return;
    };
    let image = Image::demo();
    flip(&image.file(), 30_000_000);
    let text = Machine::start(&Medium::Memdisk(memdisk, image.path()), 128).until(&ENDS);
    assert!(text.contains("\r\nslamboot demo: BAD crc32="), "{text}");
}

#[test]
fn sectors_that_cannot_be_read() {
    if !have_qemu("sectors_that_cannot_be_read") {
        return;
    }
    let image = Image::demo();
    let start = |sector| Machine::start(&Medium::DiskWithBadSector(image.path(), sector), 64);
    let boot_file = (image.offset_of("\\SLAMBOOT.BIN") / 512) as u32;
    start(2048).says("slamboot MBR: cannot read LBA 00000800 status 000000");
    let text = format!(
        "slamboot VBR: cannot read LBA {:08X} status 000000",
        boot_file + 64
    );
    start(boot_file + 70).says(&text);
    // The demo reads 64 sectors at a time.
    let text = start(70_000).until(&ENDS);
    let chunk = 70_000 / 64 * 64;
    assert!(
        text.contains(&format!(
            "\r\nslamboot demo: BAD read lba={chunk} status=0x"
        )),
        "{text}"
    );
}

/// A file in as many pieces as the table holds, of odd lengths, is put together again.
#[test]
fn an_extent_table_of_thirteen() {
    if !have_qemu("an_extent_table_of_thirteen") {
        return;
    }
    let image = Image::demo();
    let file = image.file();
    let start = (image.offset_of("\\SLAMBOOT.BIN") / 512) as u32;
    let mut left = (demo::BYTES / 512) as u32;
    let mut lba = start;
    let mut table = Vec::new();
    for piece in 0..13 {
        let count = if piece == 12 {
            left
        } else {
            [1, 63, 64, 65, 129][piece % 5]
        };
        table.extend(lba.to_le_bytes());
        table.extend(count.to_le_bytes());
        lba += count;
        left -= count;
    }
    assert_eq!(table.len(), 13 * 8);
    file.write_all_at(&table, 2048 * 512 + 0x196).unwrap();
    // Balanced anew, so that the demo has nothing else to complain of.
    let mut bytes = std::fs::read(image.path()).unwrap();
    let content = bytes.len() - 4;
    let before = crc32fast::hash(&bytes[..content]);
    let balance = crc::balance(before, image.plan().facts.identity.crc32);
    bytes[content..].copy_from_slice(&balance);
    file.write_all_at(&bytes[content..], content as u64)
        .unwrap();
    let machine = Machine::start(&Medium::Disk(image.path()), 64);
    assert_eq!(machine.until(&ENDS), success(&image));
}

#[test]
fn boot_records_that_cannot_boot() {
    if !have_qemu("boot_records_that_cannot_boot") {
        return;
    }
    let image = Image::demo();
    let file = image.file();
    let volume = 2048 * 512;
    let cases: [(u64, &[u8], &str); 6] = [
        (0x1BE, &[0], "slamboot MBR: no active partition"),
        (0x1CE, &[0x80], "slamboot MBR: two active partitions"),
        (0x1EE, &[0x80], "slamboot MBR: two active partitions"),
        (0x1DE, &[1], "slamboot MBR: bad partition table"),
        (volume + 0x1FE, &[0], "slamboot MBR: no boot sector"),
        (volume + 0x19A, &[0; 4], "slamboot VBR: no file to load"),
    ];
    for (offset, bytes, expected) in cases {
        let mut old = vec![0; bytes.len()];
        file.read_exact_at(&mut old, offset).unwrap();
        file.write_all_at(bytes, offset).unwrap();
        let text = Machine::start(&Medium::Disk(image.path()), 64).says(expected);
        file.write_all_at(&old, offset).unwrap();
        assert!(!text.contains("demo"), "{text}");
    }
}
