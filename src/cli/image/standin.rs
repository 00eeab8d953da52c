// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot image stand-in`.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::image::standin;
use crate::image::target::Target;

/// A stand-in for a boot manager, to test a WinPE disk without Windows.
///
/// Give it to `slamboot image winpe` as --bootmgr (or, with --uefi, as --bootx64). Booted, it says
/// on the screen, on COM1 and on port 0xE9 whether all is there that bootmgr relies on: DL, the
/// fields at 0:7C0B and 0:7C1C, its own CRC-32 as loaded, the partition where they say it is. The
/// one for UEFI says whether the firmware reads \EFI\Microsoft\Boot\BCD.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  slamboot image stand-in -o bootmgr
  slamboot image winpe --wim winpe.wim --bootmgr bootmgr -o test.img")]
pub(super) struct StandInArgs {
    /// The file to make.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// The one for 64-bit UEFI.
    #[arg(long)]
    uefi: bool,
}

/// Runs `slamboot image stand-in`.
pub(super) fn run(args: &StandInArgs) -> Result<()> {
    let target = Target::open(&args.output)?;
    let file = if args.uefi {
        standin::efi().to_vec()
    } else {
        standin::render()
    };
    target
        .file()
        .write_all(&file)
        .with_context(|| format!("{}: cannot write it", args.output.display()))?;
    let path = target.publish()?;
    println!("made:        {} ({} bytes)", path.display(), file.len());
    let (option, line) = if args.uefi {
        ("--uefi --bootx64", "slamboot stand-in: ok uefi".to_owned())
    } else {
        ("--bootmgr", standin::success_line())
    };
    println!("when booted: {line}");
    println!(
        "next:        slamboot image winpe --wim WIM {option} {} -o test.img",
        super::shell_quoted(&path)
    );
    Ok(())
}
