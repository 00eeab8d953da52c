// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU, headless: a disk in front of a BIOS or UEFI, and what it says.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::judge::skip;

const QEMU: &str = "qemu-system-x86_64";
const MEMDISK: [&str; 3] = [
    "/usr/lib/syslinux/memdisk",
    "/usr/share/syslinux/memdisk",
    "/usr/lib/syslinux/bios/memdisk",
];
/// Far more than any of these boots takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(4);

/// How the image gets in front of the BIOS.
pub enum Medium<'a> {
    /// As a disk, by virtio: the BIOS reads that fast. Nothing is written to the image.
    Disk(&'a Path),
    /// As a disk on which one sector cannot be read.
    DiskWithBadSector(&'a Path, u32),
    /// As a disk, by a UEFI firmware (the first file).
    Uefi(&'a Path, &'a Path),
    /// Loaded by memdisk, which is how the clients do it.
    Memdisk(&'a Path, &'a Path),
}

/// A running QEMU; it ends when this is dropped.
pub struct Machine {
    child: Child,
    serial: Receiver<String>,
    debug: PathBuf,
    monitor: PathBuf,
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
pub fn now() -> Instant {
    Instant::now()
}

impl Machine {
    pub fn start(medium: &Medium, mebibytes: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let debug = folder.path().join("debug");
        let monitor = folder.path().join("monitor");
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
            .args(["-net", "none", "-no-reboot", "-serial", "stdio"])
            .arg("-monitor")
            .arg(format!("unix:{},server,nowait", monitor.display()))
            .args(["-m", &mebibytes.to_string(), "-debugcon"])
            .arg(format!("file:{}", debug.display()));
        match medium {
            Medium::Disk(image) => {
                let image = image.display();
                command
                    .arg("-drive")
                    .arg(format!("format=raw,if=virtio,snapshot=on,file={image}"));
            }
            Medium::Uefi(firmware, image) => {
                let image = image.display();
                command
                    .arg("-bios")
                    .arg(firmware)
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
            monitor,
            _folder: folder,
        }
    }

    /// The serial port's lines up to the first that contains one of `ends`, with their ends.
    pub fn until(self, ends: &[&str]) -> String {
        let deadline = now() + DEADLINE;
        let mut text = String::new();
        while !ends.iter().any(|end| text.contains(end)) {
            let left = deadline.saturating_duration_since(now());
            match self.serial.recv_timeout(left) {
                Ok(line) => text.push_str(&line),
                Err(error) => panic!("{error}: it said only {text:?}, and {:?}", self.debug()),
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
    pub fn says(&self, part: &str) -> String {
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

    /// The text screen, once it has one of `parts`.
    pub fn screen(&self, parts: &[&str]) -> String {
        let deadline = now() + DEADLINE;
        loop {
            let text = self.text_screen().unwrap_or_default();
            if parts.iter().any(|part| text.contains(part)) {
                return text;
            }
            assert!(now() < deadline, "none of {parts:?} on the screen:\n{text}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// What is in the text mode's memory: 25 lines of 80 characters, each with its colours.
    fn text_screen(&self) -> std::io::Result<String> {
        let mut monitor = UnixStream::connect(&self.monitor)?;
        monitor.set_read_timeout(Some(Duration::from_secs(1)))?;
        monitor.write_all(b"xp /4000xb 0xb8000\n")?;
        let mut said = Vec::new();
        let mut part = vec![0; 1 << 16];
        // 500 lines of eight bytes; what comes before them is the greeting.
        while said.split(|byte| *byte == b'\n').count() <= 502 {
            match monitor.read(&mut part) {
                Ok(0) | Err(_) => break,
                Ok(length) => said.extend_from_slice(&part[..length]),
            }
        }
        let said = String::from_utf8_lossy(&said);
        let lines = said
            .lines()
            .filter_map(|line| line.split_once("b8").and(line.split_once(": ")));
        let bytes = lines.flat_map(|(_, bytes)| bytes.split_whitespace());
        let bytes: Vec<u8> = bytes
            .filter_map(|byte| u8::from_str_radix(byte.strip_prefix("0x")?, 16).ok())
            .collect();
        let cells: Vec<char> = bytes
            .iter()
            .step_by(2)
            .map(|byte| char::from(*byte))
            .collect();
        let lines: Vec<String> = cells.chunks(80).map(|line| line.iter().collect()).collect();
        Ok(lines.join("\n"))
    }

    pub fn debug(&self) -> String {
        let mut bytes = Vec::new();
        if let Ok(mut file) = std::fs::File::open(&self.debug) {
            file.read_to_end(&mut bytes).unwrap();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

pub fn have_qemu(name: &str) -> bool {
    let found = Command::new(QEMU).arg("--version").output().is_ok();
    if !found {
        skip(name, &format!("no {QEMU}"));
    }
    found
}

pub fn memdisk(name: &str) -> Option<&'static Path> {
    let found = MEMDISK.iter().map(Path::new).find(|path| path.is_file());
    if found.is_none() {
        skip(name, "no memdisk (package syslinux-common)");
    }
    found
}
