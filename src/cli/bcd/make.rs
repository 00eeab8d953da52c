// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot bcd create`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::drives::{device_of, of_disk};
use crate::image::bcd::file::StoreFile;
use crate::image::bcd::winpe::{self, BootDevice, Firmware, Style, WinPe};
use crate::image::bcd::{Descriptor, Store};

/// Make a store: an empty one, or the one that boots WinPE from a WIM.
///
/// The WinPE store has {bootmgr}, a loader and {ramdiskoptions}. By default its files are looked
/// for on the partition that bootmgr was loaded from (the device boot), which holds whatever disk
/// that is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slamboot bcd create BCD                            empty; fill it with create-object and set
  slamboot bcd create BCD --winpe --wim '\\sources\\boot.wim' --sdi '\\boot\\boot.sdi'
  slamboot bcd create BCD --winpe --firmware uefi    for \\EFI\\Microsoft\\Boot\\BCD
  slamboot bcd create BCD --winpe --disk disk.img --as-recipe   exactly what the old recipe makes")]
pub(super) struct CreateArgs {
    /// The store to make.
    store: PathBuf,

    /// Replace a file of that name.
    #[arg(long)]
    replace: bool,

    /// Make the store that boots WinPE.
    #[arg(long)]
    winpe: bool,

    /// The WIM's path on the device.
    #[arg(
        long,
        value_name = "PATH",
        default_value = "\\winpe.wim",
        requires = "winpe"
    )]
    wim: String,

    /// boot.sdi's path on the device; it must be where the file is.
    #[arg(
        long,
        value_name = "PATH",
        default_value = "\\boot.sdi",
        requires = "winpe"
    )]
    sdi: String,

    /// Which loader the WIM has for the machines: winload.exe or winload.efi.
    #[arg(long, value_enum, default_value = "bios", requires = "winpe")]
    firmware: FirmwareArg,

    /// What the menu says.
    #[arg(
        short,
        long,
        value_name = "TEXT",
        default_value = "WinPE",
        requires = "winpe"
    )]
    description: String,

    /// Seconds that the menu waits.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "30",
        requires = "winpe",
        conflicts_with = "as_recipe"
    )]
    timeout: u64,

    /// Where the files are: boot, or mbr:SIGNATURE@OFFSET.
    #[arg(long, value_name = "DEVICE", requires = "winpe")]
    device: Option<String>,

    /// The files are on the active partition of this disk or disk image.
    #[arg(
        long,
        value_name = "FILE",
        requires = "winpe",
        conflicts_with = "device"
    )]
    disk: Option<PathBuf>,

    /// Make exactly the elements that the old recipe makes: no displayorder, no timeout, and a
    /// description on {ramdiskoptions}.
    #[arg(long, requires = "winpe")]
    as_recipe: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FirmwareArg {
    Bios,
    Uefi,
}

/// Runs `slamboot bcd create`.
pub(super) fn create(args: &CreateArgs) -> Result<()> {
    let store = if args.winpe {
        winpe::store(&WinPe {
            device: device(args)?,
            wim: args.wim.clone(),
            sdi: args.sdi.clone(),
            firmware: match args.firmware {
                FirmwareArg::Bios => Firmware::Bios,
                FirmwareArg::Uefi => Firmware::Uefi,
            },
            description: args.description.clone(),
            style: if args.as_recipe {
                Style::Recipe
            } else {
                Style::Menu {
                    timeout: args.timeout,
                }
            },
        })
    } else {
        Store::new()
    };
    super::finish(StoreFile::create(&args.store, store, args.replace)?)
}

fn device(args: &CreateArgs) -> Result<BootDevice> {
    if let Some(disk) = &args.disk {
        return Ok(BootDevice::Mbr(of_disk(disk)?));
    }
    let Some(text) = &args.device else {
        return Ok(BootDevice::Boot);
    };
    match device_of(text)? {
        Descriptor::Boot => Ok(BootDevice::Boot),
        Descriptor::Mbr(partition) => Ok(BootDevice::Mbr(partition)),
        _ => bail!("--device {text}: expected boot or mbr:SIGNATURE@OFFSET"),
    }
}
