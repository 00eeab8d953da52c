// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot image`: makes disk images that memdisk can boot, and looks at those of others.

mod existing;
mod inside;
mod standin;
mod winpe;

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::image::winpe::Changes;
use crate::image::{self, Built, ByteSize, DiskSize, FileSystem, ImageSpec, Progress, demo};

/// Make a disk image that a room of PCs can boot.
///
/// An image is a whole hard disk: partition table, one active partition, a file system, boot
/// code. iPXE loads it by multicast and memdisk presents it to the BIOS as a drive.
#[derive(Debug, Args)]
pub struct ImageArgs {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    Winpe(Box<winpe::WinpeArgs>),
    Inspect(inside::InspectArgs),
    Update(inside::UpdateArgs),
    Extract(inside::ExtractArgs),
    Disk(existing::DiskArgs),
    Linux(existing::LinuxArgs),
    Iso(existing::IsoArgs),
    Demo(DemoArgs),
    StandIn(standin::StandInArgs),
}

/// A disk that reads itself back when booted, and says whether every byte arrived.
///
/// It needs nothing but this command. Booted, directly or through memdisk, it reads each of its
/// sectors through the BIOS, and prints one line on the screen, on COM1 (115200 8N1) and on
/// port 0xE9: `slamboot demo: ok crc32=...`, or `slamboot demo: BAD ...` and what is wrong.
///
/// The same arguments give the same bytes on every machine.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slamboot image demo -o demo.img
  slamboot image demo -o big.img --size 200MiB --fill    an honest 200 MiB to transfer
  slamboot serve demo.img --interface eth0               then: serve it")]
struct DemoArgs {
    /// The image to make; an old one of that name is replaced once the new one is verified.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// How large the disk shall be at least, such as 200MiB or 1.5GiB; it is rounded up to a
    /// cylinder of 7.84 MiB. Without it: the smallest that is legal.
    #[arg(long, value_name = "SIZE")]
    size: Option<ByteSize>,

    /// The volume's file system.
    #[arg(long, value_name = "FS", value_enum, default_value_t)]
    fs: FileSystemArg,

    /// Fill the free space with \FILLER.BIN, bytes that do not compress, made from a name.
    #[arg(
        long,
        value_name = "NAME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "slamboot"
    )]
    fill: Option<String>,
}

/// What is to be changed inside the WIM.
#[derive(Debug, Args)]
struct InsideWimArgs {
    /// Run this first in WinPE: becomes \Windows\System32\startnet.cmd in a copy of the WIM.
    #[arg(long, value_name = "FILE", help_heading = "Content")]
    startnet: Option<PathBuf>,

    /// Put what is in this folder into a copy of the WIM, at its root; may be given again.
    #[arg(long, value_name = "DIR", help_heading = "Content")]
    inject: Vec<PathBuf>,

    /// Load the drivers (.inf) in this folder when WinPE starts; may be given again.
    #[arg(long, value_name = "DIR", help_heading = "Content")]
    drivers: Vec<PathBuf>,
}

impl InsideWimArgs {
    fn changes(&self) -> Changes {
        Changes {
            startnet: self.startnet.clone(),
            inject: self.inject.clone(),
            drivers: self.drivers.clone(),
        }
    }
}

/// A file system by its name.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum FileSystemArg {
    /// Files below 4 GiB; every firmware reads it.
    #[default]
    Fat32,
    /// Files of any length; BIOS only.
    Ntfs,
}

impl From<FileSystemArg> for FileSystem {
    fn from(argument: FileSystemArg) -> Self {
        match argument {
            FileSystemArg::Fat32 => FileSystem::Fat32,
            FileSystemArg::Ntfs => FileSystem::Ntfs,
        }
    }
}

/// Runs `slamboot image`.
pub fn run(args: &ImageArgs) -> Result<()> {
    match &args.kind {
        Kind::Winpe(args) => winpe::run(args),
        Kind::Inspect(args) => inside::inspect(args),
        Kind::Update(args) => inside::update(args),
        Kind::Extract(args) => inside::extract(args),
        Kind::Disk(args) => existing::disk(args),
        Kind::Linux(args) => existing::linux(args),
        Kind::Iso(args) => existing::iso(args),
        Kind::StandIn(args) => standin::run(args),
        Kind::Demo(args) => {
            let size = args.size.map_or(DiskSize::Smallest, DiskSize::AtLeast);
            let mut spec = demo::spec(size, args.fill.as_deref());
            spec.file_system = args.fs.into();
            let built = build(&spec, &args.output)?;
            print!("{}", summary(&built));
            println!("when booted: {}", demo::success_line(&built.plan.facts));
            next_serve(&built);
            Ok(())
        }
    }
}

/// Shows progress where somebody looks on, and stops cleanly on SIGINT and SIGTERM.
struct Watcher {
    stop: Arc<AtomicBool>,
    bar: ProgressBar,
}

impl Watcher {
    fn new() -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop))
                .context("cannot watch signals")?;
        }
        // Past a limit on file sizes writing shall fail, not end the process with a half-written
        // file beside the target.
        let beyond = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, beyond)
            .context("cannot watch signals")?;
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(0).with_style(
                ProgressStyle::with_template(
                    "{msg:10} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
                )
                .context("progress template")?,
            )
        } else {
            ProgressBar::hidden()
        };
        Ok(Watcher { stop, bar })
    }

    fn watch(&self) -> impl FnMut(Progress) -> ControlFlow<()> + '_ {
        let mut step = None;
        move |progress| {
            // Each step has a rate of its own.
            if step.replace(progress.step) != Some(progress.step) {
                self.bar.reset();
                self.bar.set_message(progress.step.name());
            }
            self.bar.set_length(progress.total);
            self.bar.set_position(progress.done);
            if self.stop.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Builds with a progress bar.
fn build(spec: &ImageSpec, output: &Path) -> Result<Built> {
    let watcher = Watcher::new()?;
    Ok(image::build(spec, output, &mut watcher.watch())?)
}

/// What to do with it.
fn next_serve(built: &Built) {
    let path = shell_quoted(&built.path);
    println!("next:        slamboot serve {path} --interface IF");
}

/// What was made, a fact a line.
fn summary(built: &Built) -> String {
    use std::fmt::Write;

    let facts = &built.plan.facts;
    let bytes = facts.sectors.bytes();
    let size = ByteSize::new(bytes).map_or_else(String::new, |size| size.to_string());
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:<12} {value}", format!("{name}:"));
    };
    line("made", built.path.display().to_string());
    line(
        "disk",
        format!(
            "{size} ({bytes} bytes, {}), read back and verified",
            facts.sectors
        ),
    );
    line(
        "volume",
        format!(
            "{} {:?} at {}, clusters of {} bytes",
            built.plan.volume.file_system(),
            built.plan.label.to_string(),
            facts.partition.start,
            built.plan.volume.cluster_bytes()
        ),
    );
    for file in &built.plan.files {
        line(
            "file",
            format!("{} ({} bytes)", file.path, file.data.bytes()),
        );
    }
    line("crc32", format!("{:08x}", built.crc32));
    line("signature", format!("{:08x}", facts.identity.signature));
    text
}

/// As one would type it.
fn shell_quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
