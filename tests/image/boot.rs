// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU boots the demo: as a hard disk, through memdisk, whole and damaged.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use slamboot::image::{DiskSize, FileSystem, crc, demo};

use crate::judge::skip;
use crate::support::{Image, flip};

const QEMU: &str = "qemu-system-x86_64";
const MEMDISK: [&str; 3] = [
    "/usr/lib/syslinux/memdisk",
    "/usr/share/syslinux/memdisk",
    "/usr/lib/syslinux/bios/memdisk",
];
/// Far more than any of these boots takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(4);

/// How the image gets in front of the BIOS.
enum Medium<'a> {
    /// As a disk, by virtio: the BIOS reads that fast. Nothing is written to the image.
    Disk(&'a Path),
    /// As a disk on which one sector cannot be read.
    DiskWithBadSector(&'a Path, u32),
    /// Loaded by memdisk, which is how the clients do it.
    Memdisk(&'a Path, &'a Path),
}

/// A running QEMU; it ends when this is dropped.
struct Machine {
    child: Child,
    serial: Receiver<String>,
    debug: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a real machine runs in real time, and must not run forever"
)]
fn now() -> Instant {
    Instant::now()
}

impl Machine {
    fn start(medium: &Medium, mebibytes: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let debug = folder.path().join("debug");
        let mut command = Command::new(QEMU);
        command
            .args([
                "-accel",
                "tcg",
                "-nodefaults",
                "-vga",
                "std",
                "-display",
                "none",
            ])
            .args([
                "-net",
                "none",
                "-no-reboot",
                "-serial",
                "stdio",
                "-monitor",
                "none",
            ])
            .args(["-m", &mebibytes.to_string(), "-debugcon"])
            .arg(format!("file:{}", debug.display()));
        match medium {
            Medium::Disk(image) => {
                let image = image.display();
                command
                    .arg("-drive")
                    .arg(format!("format=raw,if=virtio,snapshot=on,file={image}"));
            }
            Medium::DiskWithBadSector(image, sector) => {
                let image = image.display();
                command.arg("-drive").arg(format!(
                    "if=none,id=disk,read-only=on,rerror=report,format=raw,\
                     file.driver=blkdebug,file.image.driver=file,file.image.filename={image},\
                     file.inject-error.0.event=none,file.inject-error.0.iotype=read,\
                     file.inject-error.0.sector={sector},file.inject-error.0.errno=5"
                ));
                command.args(["-device", "virtio-blk-pci,drive=disk,bootindex=0"]);
            }
            Medium::Memdisk(memdisk, image) => {
                command
                    .arg("-kernel")
                    .arg(memdisk)
                    .arg("-initrd")
                    .arg(image);
                command.args(["-append", "harddisk"]);
            }
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, serial) = channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            let mut line = Vec::new();
            while lines
                .read_until(b'\n', &mut line)
                .is_ok_and(|length| length > 0)
            {
                if sender
                    .send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    break;
                }
                line.clear();
            }
        });
        Machine {
            child,
            serial,
            debug,
            _folder: folder,
        }
    }

    /// The serial port's lines up to the demo's last, with their ends.
    fn demo(self) -> String {
        let deadline = now() + DEADLINE;
        let mut text = String::new();
        while !["demo: ok", "demo: BAD"]
            .iter()
            .any(|end| text.contains(end))
        {
            let left = deadline.saturating_duration_since(now());
            match self.serial.recv_timeout(left) {
                Ok(line) => text.push_str(&line),
                Err(error) => panic!(
                    "{error}: the demo said only {text:?}, and {:?}",
                    self.debug()
                ),
            }
        }
        // The debug port has each byte just before the serial port does.
        assert!(
            self.debug().contains(&text),
            "{text:?} but {:?}",
            self.debug()
        );
        text
    }

    /// What the debug port has said, once it contains `part`.
    fn says(&self, part: &str) -> String {
        let deadline = now() + DEADLINE;
        loop {
            let text = self.debug();
            if text.contains(part) {
                return text;
            }
            assert!(now() < deadline, "no {part:?}: only {text:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn debug(&self) -> String {
        let mut bytes = Vec::new();
        if let Ok(mut file) = std::fs::File::open(&self.debug) {
            file.read_to_end(&mut bytes).unwrap();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn have_qemu(name: &str) -> bool {
    let found = Command::new(QEMU).arg("--version").output().is_ok();
    if !found {
        skip(name, &format!("no {QEMU}"));
    }
    found
}

fn memdisk(name: &str) -> Option<&'static Path> {
    let found = MEMDISK.iter().map(Path::new).find(|path| path.is_file());
    if found.is_none() {
        skip(name, "no memdisk (package syslinux-common)");
    }
    found
}

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
    assert_eq!(machine.demo(), success(&image));
}

#[test]
fn through_memdisk() {
    let Some(memdisk) = memdisk("through_memdisk").filter(|_| have_qemu("through_memdisk")) else {
        return;
    };
    let image = Image::demo();
    let machine = Machine::start(&Medium::Memdisk(memdisk, image.path()), 128);
    assert_eq!(machine.demo(), success(&image));
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
    assert_eq!(machine.demo(), success(&image));
    if let Some(memdisk) = memdisk("from_ntfs") {
        let machine = Machine::start(&Medium::Memdisk(memdisk, image.path()), 128);
        assert_eq!(machine.demo(), success(&image));
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
    assert_eq!(machine.demo(), success(&image));
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
        let text = Machine::start(&Medium::Disk(image.path()), 64).demo();
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
    let text = Machine::start(&Medium::Disk(image.path()), 64).demo();
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
    let text = Machine::start(&Medium::Memdisk(memdisk, image.path()), 128).demo();
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
    let text = start(70_000).demo();
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
    assert_eq!(machine.demo(), success(&image));
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
