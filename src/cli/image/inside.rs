// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot image inspect`, `image update` and `image extract`: what is inside an image.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{InsideWimArgs, Watcher, build, next_serve, summary};
use crate::image::inspect::{Report, show};
use crate::image::spec::DiskName;
use crate::image::target::{Target, directory_of};
use crate::image::update::{self, Changes};
use crate::image::volume::{Bytes, Content, Node, Volume};
use crate::image::winpe::{Add, check_wim};
use crate::image::{ByteSize, DiskPath};

/// Show what is on a disk image, and what would stop it from booting.
///
/// Partition table, boot sector (and whether it loads bootmgr), file tree, boot configuration
/// stores, WIM and boot.sdi of any raw image with FAT or NTFS, whoever made it. What is known to
/// fail is told with the status that bootmgr would show.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nothing is known that would stop it, 1 something is.

Examples:
  slamboot image inspect winpe.img
  slamboot image inspect winpe.img --json | jq .troubles"
)]
pub(super) struct InspectArgs {
    /// The image.
    #[arg(value_name = "FILE")]
    image: PathBuf,

    /// As JSON, complete.
    #[arg(long)]
    json: bool,

    /// Show every file of a large tree.
    #[arg(long)]
    all: bool,
}

/// Swap the WIM or other files of a disk image.
///
/// The image is built anew beside the old one, which stays until the new one is verified: boot
/// sector, extent table and stores fit again, and it grows where it must. Images made by the old
/// recipe can be updated, too. Times, attributes and empty folders stay; what cannot be kept (access
/// rights, alternate streams) is told.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slamboot image update winpe.img --wim custom.wim
  slamboot image update winpe.img --add tools/=\\\\tools --remove '\\old.txt'
  slamboot image update winpe.img --wim custom.wim -o new.img      the old one stays")]
pub(super) struct UpdateArgs {
    /// The image.
    #[arg(value_name = "FILE")]
    image: PathBuf,

    /// The WIM that takes the place of the one that boots.
    #[arg(long, value_name = "FILE")]
    wim: Option<PathBuf>,

    /// Put a file, or what is in a folder, on the disk; may be given again.
    #[arg(long, value_name = "SRC=\\DST")]
    add: Vec<Add>,

    /// Leave this file or folder out; may be given again.
    #[arg(long, value_name = "PATH")]
    remove: Vec<DiskPath>,

    #[command(flatten)]
    inside: InsideWimArgs,

    /// How large the disk shall be at least.
    #[arg(long, value_name = "SIZE")]
    size: Option<ByteSize>,

    /// Where the new image goes [default: in place of the old one].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Copy files out of a disk image.
///
/// Without a path: everything. A folder comes with all that is in it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slamboot image extract winpe.img '\\Boot\\BCD' -o BCD
  slamboot image extract winpe.img -o everything/")]
pub(super) struct ExtractArgs {
    /// The image.
    #[arg(value_name = "FILE")]
    image: PathBuf,

    /// The file or folder in it.
    #[arg(value_name = "PATH")]
    path: Option<DiskPath>,

    /// The file to make; for a folder or everything, the folder.
    #[arg(short, long, value_name = "FILE|DIR")]
    output: PathBuf,
}

/// Runs `slamboot image inspect`.
pub(super) fn inspect(args: &InspectArgs) -> Result<()> {
    let report = Report::of(&args.image)?;
    let text = if args.json {
        format!("{:#}\n", show::to_json(&report))
    } else {
        show::text(&report, args.all)
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        // Who reads may stop reading.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.context("cannot write to standard output")?,
    }
    let fatal = report
        .troubles
        .iter()
        .filter(|trouble| trouble.fatal)
        .count();
    if fatal > 0 {
        bail!(
            "{}: {fatal} things would stop it from booting",
            args.image.display()
        );
    }
    Ok(())
}

/// Runs `slamboot image update`.
pub(super) fn update(args: &UpdateArgs) -> Result<()> {
    let inside = args.inside.changes();
    let files = args.wim.is_some() || !args.add.is_empty() || !args.remove.is_empty();
    if !files && args.size.is_none() && inside.is_empty() {
        bail!(
            "nothing to change: expected --wim, --add, --remove, --size, --startnet, --inject or \
             --drivers"
        );
    }
    if let Some(wim) = &args.wim {
        check_wim(wim)?;
    }
    let mut add = Vec::new();
    for more in &args.add {
        add.extend(more.files()?);
    }
    let output = args.output.as_ref().unwrap_or(&args.image);
    // Kept until the image is made.
    let own_wim = if inside.is_empty() {
        None
    } else {
        let watcher = Watcher::new()?;
        let (wim, watch) = (args.wim.as_deref(), &mut watcher.watch());
        Some(update::changed_wim(
            &args.image,
            wim,
            &inside,
            directory_of(output),
            watch,
        )?)
    };
    for doubt in own_wim.iter().flat_map(|own| &own.doubts) {
        eprintln!("warning: {doubt}");
    }
    let changes = Changes {
        wim: own_wim
            .as_ref()
            .map(|own| own.path.clone())
            .or(args.wim.clone()),
        add,
        remove: args.remove.clone(),
        size: args.size,
    };
    let (spec, lost) = update::spec(&args.image, &changes)?;
    for lost in lost {
        eprintln!("warning: {lost}");
    }
    let built = build(&spec, output)?;
    print!("{}", summary(&built));
    let report = Report::of(&built.path)?;
    for trouble in &report.troubles {
        eprintln!("warning: {trouble}");
    }
    next_serve(&built);
    Ok(())
}

/// Runs `slamboot image extract`.
pub(super) fn extract(args: &ExtractArgs) -> Result<()> {
    let report = Report::of(&args.image)?;
    let volume = match report.volume {
        Some(Ok(volume)) => volume,
        Some(Err(error)) => return Err(error).context(args.image.display().to_string()),
        None => bail!("{}: there is no volume on it", args.image.display()),
    };
    let file = File::open(&args.image).with_context(|| args.image.display().to_string())?;
    let path = args.path.as_ref().map(ToString::to_string);
    if let Some(path) = &path {
        match volume.find(path) {
            Some(Node {
                content: Content::File(bytes),
                ..
            }) => {
                copy(&file, bytes, &args.output)?;
                done(1, bytes.length, &args.output);
                return Ok(());
            }
            Some(Node {
                content: Content::Unreadable(why),
                ..
            }) => {
                bail!("{}: {path}: {why}", args.image.display());
            }
            Some(Node {
                content: Content::Directory,
                ..
            }) => {}
            None => bail!(
                "{}: {path}: no such file or folder; slamboot image inspect shows what there is",
                args.image.display()
            ),
        }
    }
    extract_folder(&file, &volume, path.as_deref().unwrap_or(""), args)
}

fn extract_folder(file: &File, volume: &Volume, below: &str, args: &ExtractArgs) -> Result<()> {
    let prefix = format!("{}\\", below.to_uppercase());
    let (mut files, mut total) = (0, 0);
    make_folder(&args.output)?;
    for node in &volume.nodes {
        if !node.path.to_uppercase().starts_with(&prefix) {
            continue;
        }
        // Checked, for it becomes a path of the host: no `..`, no slash.
        let inside: DiskPath = node
            .path
            .parse()
            .with_context(|| format!("{}: {:?}", args.image.display(), node.path))?;
        let depth = below.matches('\\').count();
        let names = inside.names().iter().skip(depth).map(DiskName::as_str);
        let target = args.output.join(names.collect::<PathBuf>());
        match &node.content {
            Content::Directory => make_folder(&target)?,
            Content::File(bytes) => {
                copy(file, bytes, &target)?;
                files += 1;
                total += bytes.length;
            }
            Content::Unreadable(why) => eprintln!("warning: {}: left out: {why}", node.path),
        }
    }
    done(files, total, &args.output);
    Ok(())
}

fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("{}: cannot make it", path.display()))
}

fn done(files: usize, bytes: u64, output: &Path) {
    let number = if files == 1 {
        "1 file".to_owned()
    } else {
        format!("{files} files")
    };
    println!(
        "extracted:   {number}, {bytes} bytes, to {}",
        output.display()
    );
}

/// Beside, then renamed.
fn copy(file: &File, bytes: &Bytes, output: &Path) -> Result<()> {
    let target = Target::open(output)?;
    let mut reader = bytes.reader(file);
    let mut buffer = vec![0; 1 << 18];
    let cannot = || format!("{}: cannot write it", output.display());
    loop {
        let length = reader.read(&mut buffer).with_context(cannot)?;
        if length == 0 {
            break;
        }
        target
            .file()
            .write_all(&buffer[..length])
            .with_context(cannot)?;
    }
    target.publish()?;
    Ok(())
}
