// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot rom`: what a firmware file is and can do, read from its own bytes.

mod built;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use firmware::inspect::rom::Code;
use firmware::inspect::{Part, Program, Report, inspect, read_file};
use sha2::{Digest, Sha256};

/// Read firmware: option ROMs, boot programs, EFI binaries, disks and ISOs with iPXE or gPXE in them.
#[derive(Debug, Args)]
pub struct RomArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Inspect(InspectArgs),
}

/// Say what a firmware file is, and what the iPXE in it can do.
///
/// Everything is read from the file's own bytes: headers and checksums, packed programs unpacked,
/// protocols, commands and drivers from iPXE's own tables, and the embedded script. Nothing is
/// believed that a build said of it, and nothing is run. It reads .rom, .mrom, .pcirom, .isarom,
/// .efirom, .lkrn, .pxe, .kpxe, .kkpxe, .dsk, .hd, .usb, .iso, .efi and Linux builds, slamboot's and
/// anybody's, of iPXE and gPXE.
///
/// A changed byte is told where a checksum covers it: in packed programs and option ROMs. EFI binaries, Linux
/// builds, gPXE and boot sectors have none: where a manifest.json beside the file, or in the directory above, lists it,
/// its digest decides, and another one is an error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slamboot rom inspect dist/firmware/8086100e.mrom
  slamboot rom inspect undionly.kpxe --require slam      exits 1 where it has no multicast
  slamboot rom inspect ipxe.iso --json | jq .protocols

Exit codes: 0 readable and with all that is required, 1 not, 2 wrong options.")]
struct InspectArgs {
    /// The firmware.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Write one JSON object (of several files: an array) instead of text.
    #[arg(long)]
    json: bool,

    /// Fail where a file lacks this; may be given several times.
    #[arg(long, value_enum, value_name = "WHAT")]
    require: Vec<Need>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Need {
    /// Multicast: x-slam URIs open.
    Slam,
    /// Group membership: IGMP reports, which switches that snoop need.
    Igmp,
    /// An embedded script.
    Script,
}

impl Need {
    fn met(self, program: &Program) -> bool {
        match self {
            Need::Slam => program.slam.works(),
            Need::Igmp => program.membership,
            Need::Script => program.script.is_some(),
        }
    }
}

/// Runs `slamboot rom`.
pub fn run(args: &RomArgs) -> Result<()> {
    match &args.verb {
        Verb::Inspect(args) => run_inspect(args),
    }
}

fn run_inspect(args: &InspectArgs) -> Result<()> {
    let mut values = Vec::new();
    let mut lacking = Vec::new();
    let mut failed = Vec::new();
    for path in &args.files {
        let (sha256, manifest, report) = match read(path) {
            Ok(read) => read,
            // The others are worth their lines.
            Err(error) if args.files.len() > 1 => {
                failed.push(format!("{error:#}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        for need in &args.require {
            if !need.met(&report.program) {
                let name = need.to_possible_value();
                let name = name.map_or_else(String::new, |value| value.get_name().to_owned());
                lacking.push(match need {
                    Need::Slam => {
                        format!("{}: no {name}: {}", path.display(), report.program.slam)
                    }
                    _ => format!("{}: no {name}", path.display()),
                });
            }
        }
        if args.json {
            let mut value = serde_json::to_value(&report)?;
            if let Some(object) = value.as_object_mut() {
                object.insert("file".to_owned(), path.display().to_string().into());
                object.insert("sha256".to_owned(), sha256.into());
                let manifest = manifest.map(|path| path.display().to_string());
                object.insert("built_as_by".to_owned(), manifest.into());
                let works = report.program.slam.works();
                object.insert("multicast".to_owned(), works.into());
            }
            values.push(value);
        } else {
            if !values.is_empty() {
                println!();
            }
            values.push(serde_json::Value::Null);
            print!("{}", describe(path, &sha256, manifest.as_deref(), &report));
        }
    }
    if args.json {
        let value = match &values[..] {
            [one] if args.files.len() == 1 => one.clone(),
            _ => values.into(),
        };
        println!("{value:#}");
    }
    if !failed.is_empty() {
        bail!(failed.join("\n"));
    }
    if !lacking.is_empty() {
        bail!(
            "{}\n  help: `cargo xtask firmware` builds firmware with it",
            lacking.join("\n")
        );
    }
    Ok(())
}

/// Its digest, the manifest that it agrees with, and what it is.
fn read(path: &Path) -> Result<(String, Option<PathBuf>, Report)> {
    let content = read_file(path)?;
    let report = inspect(&content).with_context(|| format!("{} is no firmware", path.display()))?;
    let sha256 = hex::encode(Sha256::digest(&content));
    let manifest = built::by(path, &sha256)?;
    Ok((sha256, manifest, report))
}

/// A fact a line.
fn describe(path: &Path, sha256: &str, manifest: Option<&Path>, report: &Report) -> String {
    let mut text = String::new();
    line(&mut text, "file", &path.display().to_string());
    line(
        &mut text,
        "kind",
        &format!("{}, {}, {} bytes", report.kind, report.arch, report.bytes),
    );
    line(&mut text, "sha256", sha256);
    if let Some(manifest) = manifest {
        let said = format!("as built by {}", manifest.display());
        line(&mut text, "manifest", &said);
    }
    for part in &report.images {
        line(&mut text, "part", &part_line(part));
    }
    program_lines(&mut text, &report.program);
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{:<11} {value}", format!("{name}:"));
}

fn part_line(part: &Part) -> String {
    match part {
        Part::RomImage { image, slam } => {
            let mut text = format!("{:#x}: {} bytes, ", image.offset, image.bytes);
            let code = match (image.code, image.efi) {
                (Code::Bios, _) => "BIOS".to_owned(),
                (Code::Efi, Some(efi)) => format!(
                    "EFI{}, machine {:04x}",
                    if efi.compressed { ", packed" } else { "" },
                    efi.machine
                ),
                (Code::Efi, None) => "EFI".to_owned(),
                (Code::Ipxe, _) => "iPXE's own, the payload of the image before".to_owned(),
                (Code::Isa, _) => "BIOS, without PCI header (ISA, sockets)".to_owned(),
                (Code::Other(code), _) => format!("code type {code:#04x}"),
            };
            text.push_str(&code);
            if image.code != Code::Isa {
                let _ = write!(text, ", for {:04x}:{:04x}", image.vendor, image.device);
            }
            let others = image.devices.iter().filter(|id| **id != image.device);
            match others.count() {
                0 => {}
                n => {
                    let _ = write!(text, " and {n} more");
                }
            }
            if let Some(pnp) = &image.pnp {
                let _ = write!(text, ", $PnP {:?} by {:?}", pnp.product, pnp.manufacturer);
                text.push_str(if pnp.boots { "" } else { " without boot entry" });
            }
            text.push_str(if image.undi { ", UNDI" } else { "" });
            if let Some(id) = image.build_id {
                let _ = write!(text, ", build id {id:08x}");
            }
            if let Some(slam) = slam {
                text.push_str(if slam.works() { ", SLAM" } else { ", no SLAM" });
            }
            text
        }
        Part::File { path, report } => format!(
            "{path}: {}, {}, {} bytes, {}",
            report.kind,
            report.arch,
            report.bytes,
            if report.program.slam.works() {
                "SLAM"
            } else {
                "no SLAM"
            }
        ),
        Part::Boot { firmware } => format!("boots on {firmware} (El Torito)"),
    }
}

fn program_lines(text: &mut String, program: &Program) {
    let version = program.version.as_deref().unwrap_or("unknown");
    line(text, "iPXE", version);
    let blocks = match program.blocks {
        0 => String::new(),
        blocks => format!(", {blocks} packed blocks with right checksums"),
    };
    line(
        text,
        "program",
        &format!("{} bytes in memory{blocks}", program.unpacked),
    );
    line(text, "SLAM", &program.slam.to_string());
    let membership = if program.membership {
        "reports its groups (IGMP)"
    } else {
        "none: switches that snoop keep multicast from it"
    };
    line(text, "membership", membership);
    for (name, words) in [
        ("protocols", &program.protocols),
        ("features", &program.features),
        ("commands", &program.commands),
    ] {
        // None found is not none there.
        let found = if words.is_empty() {
            "unknown: no table of them was found".to_owned()
        } else {
            wrapped(words)
        };
        line(text, name, &found);
    }
    let cards: Vec<String> = program
        .drivers
        .iter()
        .map(|d| format!("{:04x}:{:04x} {}", d.vendor, d.device, d.name))
        .collect();
    let shown = 8;
    line(
        text,
        "drivers",
        &match cards.len() {
            0 => "the firmware's (UNDI, SNP) or another bus's".to_owned(),
            n if n <= shown => cards.join(", "),
            n => format!(
                "{n} PCI cards: {}, … (--json lists all)",
                cards[..3].join(", ")
            ),
        },
    );
    match &program.script {
        None => line(text, "script", "none: what DHCP says"),
        Some(script) => {
            line(
                text,
                "script",
                &format!("{} bytes, sha256 {}", script.bytes, script.sha256),
            );
            for row in script.text.lines() {
                let row: String = row.chars().filter(|c| !c.is_control()).collect();
                let _ = writeln!(text, "  | {row}");
            }
        }
    }
}

/// Words in lines of at most 88 characters, below each other.
fn wrapped(words: &[String]) -> String {
    let mut text = String::new();
    let mut width = 0;
    for word in words {
        if width > 0 && width + 1 + word.len() > 88 {
            text.push_str("\n            ");
            width = 0;
        }
        if width > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += word.len();
    }
    text
}
