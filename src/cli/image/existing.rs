// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot image disk`, `image iso` and `image linux`: images that exist already, checked and
//! named for the server.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use site::Site;

use super::Watcher;
use crate::cli::serve::image_name;
use crate::image::ByteSize;
use crate::image::existing::{ExistingError, disk, iso, linux};
use crate::image::target::Target;

/// Check a disk image of any maker, and convert it to a raw one where it is none.
///
/// Raw images are served as they are. Others (qcow2, VHD, VHDX, VMDK, VDI) are converted by
/// qemu-img (Debian: qemu-utils) into the raw image that -o names. What a BIOS would not start is
/// an error: memdisk boots what a BIOS boots.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slamboot image disk old-winpe.img
  slamboot image disk machine.vhdx -o machine.img --config slamboot.toml")]
pub(super) struct DiskArgs {
    /// The image.
    #[arg(value_name = "FILE")]
    image: PathBuf,

    /// The raw image to make of one that is not raw.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    entry: EntryArgs,
}

/// Check an ISO image: whether there is something on it that boots, and how.
///
/// An ISO that is a disk, too (isohybrid), is served as a disk; others as an ISO, which memdisk
/// maps as a CD drive. Systems that leave the BIOS's drivers behind (Linux, Windows setup) then no
/// longer see that drive; those need their own way of network boot.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  slamboot image iso memtest.iso --config slamboot.toml")]
pub(super) struct IsoArgs {
    /// The image.
    #[arg(value_name = "FILE")]
    image: PathBuf,

    #[command(flatten)]
    entry: EntryArgs,
}

/// Check a Linux kernel and its initial RAM disk, and name them for the server.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  slamboot image linux --kernel vmlinuz --initrd initrd.gz --args 'console=ttyS0 quiet' \\
      --config slamboot.toml")]
pub(super) struct LinuxArgs {
    /// The kernel, a bzImage.
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,

    /// Its initial RAM disk.
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,

    /// Its command line.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        allow_hyphen_values = true
    )]
    args: String,

    #[command(flatten)]
    entry: EntryArgs,
}

#[derive(Debug, Args)]
struct EntryArgs {
    /// The image's name on the server [default: made of the file's].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Add it to this configuration, which is made if need be.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs `slamboot image disk`.
pub(super) fn disk(args: &DiskArgs) -> Result<()> {
    let format = disk::format(&args.image)?;
    let path = match (format, &args.output) {
        (disk::Format::Raw, None) => args.image.clone(),
        (disk::Format::Raw, Some(_)) => bail!(
            "{}: it is raw already and is served as it is; leave -o out",
            args.image.display()
        ),
        (format, None) => {
            return Err(ExistingError::NeedsOutput {
                path: args.image.clone(),
                format: format.shown(),
            }
            .into());
        }
        (format, Some(output)) => {
            let target = Target::open(output)?;
            let watcher = Watcher::new()?;
            let raw = target.temporary_path();
            disk::convert(&args.image, format, raw, &mut watcher.watch()).map_err(|source| {
                ExistingError::Tool {
                    path: args.image.clone(),
                    source,
                }
            })?;
            drop(watcher);
            disk::check(target.temporary_path()).with_context(|| {
                format!(
                    "{}: made nothing, for it would not boot",
                    args.image.display()
                )
            })?;
            target.publish()?
        }
    };
    let found = disk::check(&path)?;
    line(
        "disk",
        &format!("{} ({})", path.display(), shown(found.bytes)),
    );
    for entry in &found.table.partitions {
        line(
            "partition",
            &format!(
                "{} at LBA {}, {} sectors, {}{}",
                entry.number,
                entry.start,
                entry.sectors,
                entry.kind_name(),
                if entry.active { ", active" } else { "" }
            ),
        );
    }
    for doubt in &found.doubts {
        eprintln!("warning: {}: {doubt}", path.display());
    }
    finish(&args.entry, &path, "disk", &[("path", &path)], "")
}

/// Runs `slamboot image iso`.
pub(super) fn iso(args: &IsoArgs) -> Result<()> {
    let path = &args.image;
    let found = iso::check(path)?;
    line(
        "ISO",
        &format!(
            "{} ({}), {:?}",
            path.display(),
            shown(found.bytes),
            found.label
        ),
    );
    let firmware = match (found.bios || found.hybrid, found.uefi) {
        (true, true) => "BIOS and UEFI",
        (true, false) => "BIOS",
        (false, _) => bail!(
            "{}: expected something that BIOS boots, found an entry for UEFI alone; memdisk is for BIOS: \
             write it to a disk, or boot it by iPXE's sanboot over HTTP",
            path.display()
        ),
    };
    let how = match found.emulation {
        _ if found.hybrid => "isohybrid: it is a disk, too",
        Some(emulation) => emulation,
        None => "",
    };
    line("boots", &format!("on {firmware} ({how})"));
    let kind = if found.hybrid { "disk" } else { "iso" };
    finish(&args.entry, path, kind, &[("path", path)], "")
}

/// Runs `slamboot image linux`.
pub(super) fn linux(args: &LinuxArgs) -> Result<()> {
    let kernel = linux::check_kernel(&args.kernel)?;
    let version = kernel.version.as_deref().unwrap_or("of unknown version");
    line(
        "kernel",
        &format!(
            "{} ({}), {version}",
            args.kernel.display(),
            shown(kernel.bytes)
        ),
    );
    let firmware = if kernel.efi { "BIOS and UEFI" } else { "BIOS" };
    let (major, minor) = kernel.protocol;
    line(
        "boots",
        &format!("on {firmware}, boot protocol {major}.{minor:02}"),
    );
    let mut files = vec![("kernel", args.kernel.as_path())];
    if let Some(initrd) = &args.initrd {
        let (bytes, packed) = linux::check_initrd(initrd)?;
        let how = packed.unwrap_or("unknown packing");
        line(
            "initrd",
            &format!("{} ({}), {how}", initrd.display(), shown(bytes)),
        );
        if packed.is_none() {
            eprintln!(
                "warning: {}: expected an archive (cpio, gzip, xz, zstd, bzip2, lz4, lzma), found \
                 none of these: the kernel will not unpack it",
                initrd.display()
            );
        }
        files.push(("initrd", initrd));
    }
    if args.args.len() as u64 > u64::from(kernel.command_line) {
        bail!(
            "--args: expected at most {} bytes, which is what this kernel takes; found {}",
            kernel.command_line,
            args.args.len()
        );
    }
    let files: Vec<(&str, &Path)> = files;
    finish(&args.entry, &args.kernel, "linux", &files, &args.args)
}

fn line(name: &str, value: &str) {
    println!("{:<12} {value}", format!("{name}:"));
}

fn shown(bytes: u64) -> String {
    let size = ByteSize::new(bytes).map_or_else(String::new, |size| size.to_string());
    format!("{size}, {bytes} bytes")
}

/// Puts the image into the configuration, or says what belongs there.
fn finish<P: AsRef<Path>>(
    entry: &EntryArgs,
    named_after: &Path,
    kind: &str,
    files: &[(&str, P)],
    args: &str,
) -> Result<()> {
    let name = entry
        .name
        .clone()
        .unwrap_or_else(|| image_name(named_after));
    let mut section = format!("[[image]]\nname = {}\nkind = \"{kind}\"\n", quoted(&name));
    for (key, path) in files {
        let path = path.as_ref();
        let absolute = path
            .canonicalize()
            .with_context(|| path.display().to_string())?;
        let text = absolute
            .to_str()
            .with_context(|| format!("{}: expected a name in UTF-8", absolute.display()))?;
        section.extend([*key, " = ", &quoted(text), "\n"]);
    }
    if !args.is_empty() {
        section.extend(["args = ", &quoted(args), "\n"]);
    }
    let Some(config) = &entry.config else {
        // Checked even so: a name or command line that no configuration takes.
        Site::parse(&section, Path::new("the [[image]] below"))?;
        println!("configure:   put this into slamboot.toml (or let --config do it):\n\n{section}");
        println!("next:        slamboot serve");
        return Ok(());
    };
    let old = match std::fs::read_to_string(config) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(error).with_context(|| format!("{}: cannot read it", config.display()));
        }
    };
    let gap = match old.as_str() {
        "" => "",
        old if old.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    let text = format!("{old}{gap}{section}");
    Site::parse(&text, config)?;
    let target = Target::open(config)?;
    std::io::Write::write_all(&mut target.file(), text.as_bytes())
        .with_context(|| format!("{}: cannot write it", config.display()))?;
    let config = target.publish()?;
    line(
        "configured",
        &format!("image {name:?} in {}", config.display()),
    );
    println!(
        "next:        slamboot serve --config {}",
        super::shell_quoted(&config)
    );
    Ok(())
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            c if c.is_control() => quoted.extend([format!("\\u{:04X}", u32::from(c))]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_toml() {
        for text in ["plain", "a \"b\" \\c", "tab\there", "Grüße"] {
            let section = format!(
                "[[image]]\nname = \"a\"\nkind = \"disk\"\npath = {}\n",
                quoted(&format!("/{text}"))
            );
            let site = Site::parse(&section, Path::new("/x/slamboot.toml")).unwrap();
            let site::ImageKind::Disk { path, .. } = &site.images[0].kind else {
                panic!("{site:?}");
            };
            assert_eq!(path, Path::new(&format!("/{text}")));
        }
    }
}
