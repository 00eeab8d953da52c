// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot image winpe`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::{InsideWimArgs, Watcher, build, next_serve, summary};
use crate::image::fat::MAX_FILE;
use crate::image::target::directory_of;
use crate::image::winpe::{self, Add, Layout, Look, StoreDevice, Where};
use crate::image::{ByteSize, DiskSize, FileSpec, FileSystem, ImageSpec, SourceSpec, VolumeLabel};

/// A disk that boots WinPE: boot code, bootmgr, BCD store, boot.sdi and the WIM.
///
/// Every part is checked before a byte is written, and the finished disk is read back. A WIM alone
/// will do: what is not given is looked for on the media (--media), then inside the WIM, which
/// takes wimlib (Debian: wimtools). No Windows, no mount, no root.
///
/// The same parts give the same bytes on every machine.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slamboot image winpe --wim winpe.wim -o winpe.img              all else from inside the WIM
  slamboot image winpe --media /mnt/win10.iso -o winpe.img       a folder or an ISO of Windows
  slamboot image winpe --wim boot.wim --bootmgr bootmgr --sdi boot.sdi -o winpe.img
  slamboot image winpe --media win10.iso --uefi -o winpe.img     boots on BIOS and on UEFI
  slamboot image winpe --wim winpe.wim --startnet startnet.cmd --drivers nic/ -o winpe.img
  slamboot image winpe --wim winpe.wim --add tools=\\\\tools --free 50MiB -o winpe.img
  slamboot serve winpe.img --interface eth0                      then: serve it")]
pub(super) struct WinpeArgs {
    /// The image to make; an old one of that name is replaced once the new one is verified.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// A folder or ISO of Windows media; ISOs take 7zip, or xorriso where they are no UDF.
    #[arg(long, value_name = "DIR|ISO", help_heading = "Parts")]
    media: Option<PathBuf>,

    /// The WIM [default: sources/boot.wim of the media].
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "media",
        help_heading = "Parts"
    )]
    wim: Option<PathBuf>,

    /// The boot manager for BIOS [default: from the media, or inside the WIM].
    #[arg(long, value_name = "FILE", help_heading = "Parts")]
    bootmgr: Option<PathBuf>,

    /// boot.sdi [default: from the media, or inside the WIM].
    #[arg(long, value_name = "FILE", help_heading = "Parts")]
    sdi: Option<PathBuf>,

    /// A folder of bootmgr's fonts [default: from the media, or inside the WIM, or none].
    #[arg(long, value_name = "DIR", help_heading = "Parts")]
    fonts: Option<PathBuf>,

    /// Boot on UEFI, too: \EFI\Boot\bootx64.efi and a store of its own. FAT32 only.
    #[arg(long, help_heading = "Parts")]
    uefi: bool,

    /// The boot manager for UEFI [default: from the media, or inside the WIM].
    #[arg(long, value_name = "FILE", requires = "uefi", help_heading = "Parts")]
    bootx64: Option<PathBuf>,

    /// The volume's file system [default: fat32 where every file is below 4 GiB].
    #[arg(long, value_enum, help_heading = "Disk")]
    fs: Option<FsArg>,

    /// How large the disk shall be at least, such as 200MiB; it is rounded up to a cylinder of
    /// 7.84 MiB [default: what the content takes].
    #[arg(long, value_name = "SIZE", help_heading = "Disk")]
    size: Option<ByteSize>,

    /// So much room is left for more files.
    #[arg(
        long,
        value_name = "SIZE",
        conflicts_with = "size",
        help_heading = "Disk"
    )]
    free: Option<ByteSize>,

    /// The volume's name.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "WINPE",
        help_heading = "Disk"
    )]
    label: VolumeLabel,

    /// How the store names the disk: boot (whichever it was loaded from) or partition (this disk's
    /// signature and offset, as the old recipe did).
    #[arg(long, value_enum, help_heading = "Disk")]
    device: Option<DeviceArg>,

    /// What the menu says.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "WinPE",
        help_heading = "Disk"
    )]
    description: String,

    /// Lay files out as the old recipe did: NTFS, \winpe.wim, \boot.sdi, a read-only bootmgr, and
    /// a store that names the partition and has no menu.
    #[arg(
        long,
        visible_alias = "from-recipe",
        conflicts_with = "uefi",
        help_heading = "Disk"
    )]
    as_recipe: bool,

    /// Put a file, or what is in a folder, on the disk; may be given again.
    #[arg(long, value_name = "SRC=\\DST", help_heading = "Content")]
    add: Vec<Add>,

    #[command(flatten)]
    inside: InsideWimArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FsArg {
    Fat32,
    Ntfs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DeviceArg {
    Boot,
    Partition,
}

/// The one that was asked for, or the recipe's, or FAT32 where that holds every file.
fn file_system(args: &WinpeArgs, files: &[FileSpec]) -> Result<FileSystem> {
    let large = |file: &&FileSpec| match &file.source {
        SourceSpec::File(path) => std::fs::metadata(path).is_ok_and(|file| file.len() > MAX_FILE),
        _ => false,
    };
    let large = files.iter().find(large).map(|file| &file.path);
    match (args.fs, large) {
        (Some(FsArg::Ntfs), _) if args.uefi => {
            bail!("--fs ntfs: UEFI firmware reads FAT alone; leave --uefi out, or take --fs fat32")
        }
        (None, Some(path)) if args.uefi => bail!(
            "--uefi: {path} has 4 GiB or more, which FAT32 cannot hold, and UEFI firmware reads FAT alone; \
             leave --uefi out, or make the file smaller (wimlib-imagex export --compress=LZX)"
        ),
        (Some(FsArg::Ntfs), _) | (None, Some(_)) => Ok(FileSystem::Ntfs),
        (None, None) if args.as_recipe => Ok(FileSystem::Ntfs),
        (Some(FsArg::Fat32), _) | (None, None) => Ok(FileSystem::Fat32),
    }
}

/// Runs `slamboot image winpe`.
pub(super) fn run(args: &WinpeArgs) -> Result<()> {
    let beside = directory_of(&args.output);
    let places = Where {
        media: args.media.clone(),
        wim: args.wim.clone(),
        bootmgr: args.bootmgr.clone(),
        sdi: args.sdi.clone(),
        fonts: args.fonts.clone(),
        efi: args.bootx64.clone(),
        uefi: args.uefi,
    };
    let mut added = Vec::new();
    for add in &args.add {
        added.extend(add.files()?);
    }
    let mut parts = winpe::gather(&places, beside)?;
    let changes = args.inside.changes();
    if !changes.is_empty() {
        let watcher = Watcher::new()?;
        changes.apply(&mut parts, &mut watcher.watch())?;
    }
    for doubt in &parts.doubts {
        eprintln!("warning: {doubt}");
    }
    let look = Look {
        layout: if args.as_recipe {
            Layout::Recipe
        } else {
            Layout::Media
        },
        device: match args.device {
            Some(DeviceArg::Partition) => StoreDevice::Partition,
            None if args.as_recipe => StoreDevice::Partition,
            Some(DeviceArg::Boot) | None => StoreDevice::Boot,
        },
        description: args.description.clone(),
    };
    let (mut files, boot) =
        winpe::files(&parts, &look).context("--description: no store can hold it")?;
    // Before the WIM, which is last, so that it alone moves when it is replaced.
    let wim = files.pop();
    files.extend(added);
    files.extend(wim);
    let spec = ImageSpec {
        size: match (args.size, args.free) {
            (Some(size), _) => DiskSize::AtLeast(size),
            (None, Some(free)) => DiskSize::Fitted { free },
            (None, None) => DiskSize::Smallest,
        },
        file_system: file_system(args, &files)?,
        label: args.label.clone(),
        files,
        folders: Vec::new(),
        boot,
        self_check: false,
    };
    let built = build(&spec, &args.output)?;
    print!("{}", summary(&built));
    let image = &parts.image;
    let mut about = format!("image {} {:?}", image.index, image.name);
    if let Some(version) = &image.version {
        about.extend([", Windows ", version]);
    }
    if let Some(architecture) = image.architecture {
        about.extend([format!(", {architecture}")]);
    }
    println!("boots:       {about}, on {}", winpe::boots_on(&parts));
    for (name, part) in [
        ("bootmgr", &parts.bootmgr),
        ("boot.sdi", &parts.sdi),
        ("WIM", &parts.wim),
    ] {
        println!("{:<12} {}", format!("{name}:"), part.origin);
    }
    next_serve(&built);
    Ok(())
}
