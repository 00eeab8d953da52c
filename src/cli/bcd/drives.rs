// SPDX-License-Identifier: MIT OR Apache-2.0
//! Options that say what drive letters stand for.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use crate::image::bcd::Descriptor;
use crate::image::bcd::device::MbrPartition;
use crate::image::bcd::drives::{Drives, Letter, active_partition};
use crate::image::bcd::notation::{self, Names};

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "What drive letters stand for")]
pub(super) struct DriveArgs {
    /// The active partition of this disk or disk image, whose MBR has the disk's signature. The
    /// letter is C: unless it is said.
    #[arg(long, value_name = "[LETTER:=]FILE")]
    disk: Vec<String>,

    /// This device: boot, mbr:SIGNATURE@OFFSET or gpt:DISK/PARTITION.
    #[arg(long, value_name = "LETTER:=DEVICE")]
    drive: Vec<String>,

    /// C: is on the disk with this signature (8 hexadecimal digits).
    #[arg(long, value_name = "HEX", requires = "offset", value_parser = signature)]
    signature: Option<u32>,

    /// C: begins so many bytes from the start of its disk.
    #[arg(long, value_name = "BYTES", requires = "signature")]
    offset: Option<u64>,
}

fn signature(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16)
        .ok()
        .filter(|_| all)
        .ok_or_else(|| "expected up to 8 hexadecimal digits".to_owned())
}

impl DriveArgs {
    /// What the letters stand for.
    pub fn resolve(&self) -> Result<Drives> {
        let mut drives = Drives::none();
        let mut set = |letter: Letter, device: Descriptor| match drives.set(letter, device.clone())
        {
            Some(other) if other != device => {
                bail!("{letter} is said to be two different partitions; say one of them")
            }
            _ => Ok(()),
        };
        for disk in &self.disk {
            let (letter, file) = match disk.split_once('=') {
                Some((letter, file)) if letter.parse::<Letter>().is_ok() => (letter.parse()?, file),
                _ => (Letter::C, disk.as_str()),
            };
            set(letter, Descriptor::Mbr(of_disk(Path::new(file))?))?;
        }
        for drive in &self.drive {
            let (letter, device) = drive.split_once('=').ok_or_else(|| {
                anyhow!("--drive {drive}: expected LETTER:=DEVICE, such as C:=boot")
            })?;
            let letter: Letter = letter.parse().with_context(|| format!("--drive {drive}"))?;
            set(
                letter,
                device_of(device).with_context(|| format!("--drive {drive}"))?,
            )?;
        }
        if let (Some(signature), Some(offset)) = (self.signature, self.offset) {
            set(
                Letter::C,
                Descriptor::Mbr(MbrPartition { signature, offset }),
            )?;
        }
        Ok(drives)
    }
}

/// A device without its `partition=`.
pub(super) fn device_of(text: &str) -> Result<Descriptor> {
    let text = if text.starts_with("mbr:") || text.starts_with("gpt:") {
        format!("partition={text}")
    } else {
        text.to_owned()
    };
    let none = Drives::none();
    Ok(notation::parse(&text, &Names::of_drives(&none))?.descriptor)
}

/// The active partition of a disk.
pub(super) fn of_disk(path: &Path) -> Result<MbrPartition> {
    let mut sector = Vec::new();
    File::open(path)
        .and_then(|file| file.take(512).read_to_end(&mut sector))
        .with_context(|| format!("{}: cannot read this disk", path.display()))?;
    active_partition(&sector)
        .with_context(|| format!("{}: no partition to take for a drive", path.display()))
}
