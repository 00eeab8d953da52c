// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parts of a WinPE disk that anyone may have: synthetic WIMs, boot.sdi, stand-ins.

use std::path::{Path, PathBuf};
use std::process::Command;

use slamboot::image::standin;
use tempfile::TempDir;

use crate::judge::has_tool;
use crate::support::run;

/// A folder with parts, and where the disk is to be made.
pub struct Parts {
    pub folder: TempDir,
    pub wim: PathBuf,
    pub bootmgr: PathBuf,
    pub sdi: PathBuf,
    pub efi: PathBuf,
}

/// A boot.sdi of 8 KiB: header, table, an empty place for the WIM and a token PART.
pub fn sdi() -> Vec<u8> {
    let mut file = vec![0; 0x2000];
    file[..8].copy_from_slice(b"$SDI0001");
    file[0x70] = 2;
    for (at, kind, offset, bytes) in [
        (0x400, b"PART\0\0\0\0", 0x1000u64, 0x1000u64),
        (0x440, b"WIM\0\0\0\0\0", 0x2000, 0),
    ] {
        file[at..at + 8].copy_from_slice(kind);
        file[at + 0x10..at + 0x18].copy_from_slice(&offset.to_le_bytes());
        file[at + 0x18..at + 0x20].copy_from_slice(&bytes.to_le_bytes());
    }
    let sum = file[..0x200]
        .iter()
        .fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    file[0x1FF] = sum.wrapping_neg();
    file
}

/// `slamboot` with these arguments must succeed; what it printed.
pub fn done(arguments: &[&str]) -> String {
    run(Command::new(env!("CARGO_BIN_EXE_slamboot")).args(arguments))
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// True if wimlib is there; else the test says that it is skipped.
pub fn has_wimlib(test: &str) -> bool {
    has_tool(test, "wimlib-imagex")
}

impl Parts {
    /// With a WIM of one small image for x86-64 that has all parts inside.
    pub fn new() -> Self {
        Self::with(&["--compress=LZX", "--boot"])
    }

    /// The same, captured with other options.
    pub fn with(capture: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let parts = Parts {
            wim: at("winpe.wim"),
            bootmgr: at("bootmgr"),
            sdi: at("boot.sdi"),
            efi: at("bootx64.efi"),
            folder,
        };
        std::fs::write(&parts.bootmgr, standin::render()).unwrap();
        std::fs::write(&parts.sdi, sdi()).unwrap();
        std::fs::write(&parts.efi, standin::efi()).unwrap();
        let tree = parts.at("tree");
        for (name, from) in [
            ("Windows/Boot/PCAT/bootmgr", Some(&parts.bootmgr)),
            ("Windows/Boot/DVD/PCAT/boot.sdi", Some(&parts.sdi)),
            ("Windows/Boot/EFI/bootmgfw.efi", Some(&parts.efi)),
            ("Windows/Boot/Fonts/wgl4_boot.ttf", None),
            ("Windows/System32/boot/winload.exe", None),
            ("Windows/System32/boot/winload.efi", None),
            ("Windows/System32/startnet.cmd", None),
        ] {
            let path = tree.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match from {
                Some(from) => drop(std::fs::copy(from, path).unwrap()),
                None => std::fs::write(path, format!("a stand-in for {name}\r\n")).unwrap(),
            }
        }
        parts.capture(&parts.wim, capture);
        parts
    }

    pub fn capture(&self, wim: &Path, options: &[&str]) {
        run(Command::new("wimlib-imagex")
            .arg("capture")
            .arg(self.at("tree"))
            .arg(wim)
            .arg("Stand-in PE")
            .args(options));
        run(Command::new("wimlib-imagex").arg("info").arg(wim).args([
            "1",
            "--image-property",
            "WINDOWS/ARCH=9",
        ]));
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `slamboot image winpe` by its parts, to `disk.img`.
    pub fn build(&self, more: &[&str]) -> PathBuf {
        let disk = self.at("disk.img");
        let by_parts = [
            "image",
            "winpe",
            "--wim",
            text(&self.wim),
            "--bootmgr",
            text(&self.bootmgr),
            "--sdi",
            text(&self.sdi),
            "-o",
            text(&disk),
        ];
        done(&[&by_parts, more].concat());
        disk
    }

    /// Windows media made of the parts, as a folder.
    pub fn media(&self) -> PathBuf {
        let media = self.at("media");
        for (name, from) in [
            ("BOOTMGR", &self.bootmgr),
            ("boot/BOOT.SDI", &self.sdi),
            ("sources/boot.wim", &self.wim),
            ("efi/boot/bootx64.efi", &self.efi),
        ] {
            let path = media.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::copy(from, path).unwrap();
        }
        let fonts = media.join("boot/fonts");
        std::fs::create_dir_all(&fonts).unwrap();
        std::fs::write(fonts.join("wgl4_boot.ttf"), "a font").unwrap();
        media
    }
}

/// What mtools reads from a FAT32 disk of ours; `None` where it is not there.
pub fn read_fat(disk: &Path, path: &str) -> Option<Vec<u8>> {
    let output = Command::new("mtype")
        .arg("-i")
        .arg(format!("{}@@1M", disk.display()))
        .arg(format!("::{}", path.replace('\\', "/")))
        .output()
        .unwrap();
    output.status.success().then_some(output.stdout)
}

/// A file inside a WIM's first image.
pub fn inside(wim: &Path, path: &str) -> Vec<u8> {
    let output = Command::new("wimlib-imagex")
        .arg("extract")
        .arg(wim)
        .args(["1", path, "--to-stdout"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{path}: {output:?}");
    output.stdout
}
