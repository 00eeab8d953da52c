// SPDX-License-Identifier: MIT OR Apache-2.0
//! A card's flash chip, by flashrom(8): checked, read and kept, written, read back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use firmware::inspect::{self, Kind, Report};
use xtask::cmd::Cmd;
use xtask::host::{self, Need};

/// A chip of a few MiB on a slow bus takes minutes.
const LIMIT: Duration = Duration::from_mins(30);

/// Write an option ROM to a network card's flash chip.
///
/// The ROM is read first: its chain, its sums, and whether it is for this card, since a firmware ignores
/// a ROM of another id without a word. Then flashrom reads the chip twice into the backup, writes it
/// with the ROM at its place and everything else as it was, and reads it back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask flash card dist/firmware/8086100e.mrom --slot 03:00.0 --backup card.bin --dry-run
  cargo xtask flash card dist/firmware/8086100e.mrom --slot 03:00.0 --backup card.bin
  flashrom -p nicintel_spi:pci=03:00.0 -w card.bin      puts the backup back")]
pub struct Arguments {
    /// The option ROM.
    rom: PathBuf,
    /// The card's place, as lspci prints it: 03:00.0.
    #[arg(long, value_name = "BUS:DEV.FN", required_unless_present = "id")]
    slot: Option<String>,
    /// The card's PCI id, where it is not in this machine: 8086:100e.
    #[arg(
        long,
        value_name = "VVVV:DDDD",
        conflicts_with = "slot",
        requires = "programmer"
    )]
    id: Option<String>,
    /// flashrom's programmer [default: the one for the card's vendor].
    #[arg(long, short, value_name = "NAME[:OPTIONS]")]
    programmer: Option<String>,
    /// The chip's name, where flashrom finds several.
    #[arg(long, short, value_name = "NAME")]
    chip: Option<String>,
    /// Where what is on the chip now is kept; must not exist yet.
    #[arg(long, value_name = "FILE")]
    backup: PathBuf,
    /// Where the ROM starts on the chip.
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    offset: usize,
    /// Check everything, print the plan, change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// A PCI vendor and device.
type Id = (u16, u16);

/// Runs `cargo xtask flash card`.
pub fn run(arguments: &Arguments) -> Result<()> {
    let name = arguments.rom.display();
    let rom = inspect::read_file(&arguments.rom)?;
    let report = inspect::inspect(&rom).with_context(|| format!("{name} is no option ROM"))?;
    ensure!(
        !arguments.backup.exists(),
        "--backup {}: it exists; name a new file, so that no older backup is lost",
        arguments.backup.display()
    );
    host::ensure(&[Need::Flash])?;
    let id = match (&arguments.slot, &arguments.id) {
        (Some(slot), _) => {
            let said = Cmd::new("lspci").args(["-n", "-s", slot]).read()?;
            lspci_id(&said).with_context(|| {
                format!("--slot {slot}: no such card; lspci -nn lists those of this machine")
            })?
        }
        (None, Some(id)) => parse_id(id)
            .with_context(|| format!("--id {id}: expected a PCI id such as 8086:100e"))?,
        (None, None) => bail!("which card? --slot BUS:DEV.FN, as lspci prints it"),
    };
    check(&report, id).with_context(|| name.to_string())?;
    let programmer = match (&arguments.programmer, &arguments.slot) {
        (Some(programmer), _) => programmer.clone(),
        (None, Some(slot)) => programmer_of(id.0, slot)?,
        (None, None) => bail!("which programmer? --programmer, see flashrom(8)"),
    };
    let flashrom = || {
        let mut cmd = Cmd::new(host::program("flashrom").unwrap_or_else(|| "flashrom".into()))
            .args(["-p", &programmer])
            .limit(LIMIT);
        if let Some(chip) = &arguments.chip {
            cmd = cmd.args(["-c", chip]);
        }
        cmd
    };
    let said = flashrom().read().with_context(|| {
        format!("flashrom finds no chip by -p {programmer}; as root? see flashrom(8)")
    })?;
    let (chip, capacity) = chip(&said)
        .with_context(|| format!("flashrom did not name one chip: name it with --chip\n{said}"))?;
    let end = arguments.offset.saturating_add(rom.len());
    ensure!(
        end <= capacity,
        "{name}: {} bytes at {:#x} are too large for the chip {chip}, which has {capacity}; fewer drivers or features make it smaller",
        rom.len(),
        arguments.offset
    );
    let whole = arguments.backup.with_extension("new");
    let back = arguments.backup.with_extension("readback");
    let plan = [
        (
            "read what is there",
            flashrom().arg("-r").arg(&arguments.backup),
        ),
        ("read it again, to compare", flashrom().arg("-r").arg(&back)),
        ("write the ROM into it", flashrom().arg("-w").arg(&whole)),
        ("read it back, to compare", flashrom().arg("-r").arg(&back)),
    ];
    println!(
        "rom     {name}: {} bytes for {:04x}:{:04x}, SLAM {}",
        rom.len(),
        id.0,
        id.1,
        report.program.slam
    );
    println!(
        "card    {:04x}:{:04x}, chip {chip}, {capacity} bytes, by {programmer}",
        id.0, id.1
    );
    println!(
        "plan    the ROM at {:#x}, everything else as it is",
        arguments.offset
    );
    for (what, command) in &plan {
        println!("  {what:26} $ {command}");
    }
    if arguments.dry_run {
        println!("nothing was changed (--dry-run)");
        return Ok(());
    }
    let [(_, keep), (_, again), (_, write), (_, verify)] = &plan;
    let read = |command: &Cmd, file: &Path| -> Result<Vec<u8>> {
        command.read()?;
        fs::read(file).with_context(|| format!("cannot read {}", file.display()))
    };
    let before = read(keep, &arguments.backup)?;
    ensure!(
        before.len() == capacity && read(again, &back)? == before,
        "two readings of the chip differ: a loose contact, or another program that uses the card; nothing was written"
    );
    let mut content = before;
    content[arguments.offset..end].copy_from_slice(&rom);
    fs::write(&whole, &content).with_context(|| format!("cannot write {}", whole.display()))?;
    let restore = flashrom().arg("-w").arg(&arguments.backup);
    write
        .read()
        .with_context(|| format!("writing failed; put back what was there: {restore}"))?;
    ensure!(
        read(verify, &back)? == content,
        "the chip does not hold what was written; put back what was there: {restore}"
    );
    for file in [&whole, &back] {
        let _ = fs::remove_file(file);
    }
    println!(
        "done    written, read back, identical; what was there: {}",
        arguments.backup.display()
    );
    println!("next: start the machine; to undo: {restore}");
    Ok(())
}

/// What makes a ROM run on a card.
fn check(report: &Report, id: Id) -> Result<()> {
    ensure!(
        report.kind == Kind::Rom,
        "expected an option ROM (.rom, .mrom, .efirom), found {}: cargo xtask firmware --target {:04x}{:04x}.mrom builds one",
        report.kind,
        id.0,
        id.1
    );
    let images: Vec<_> = report.rom_images().cloned().collect();
    inspect::rom::check_ids(&images, id).with_context(|| {
        format!(
            "for this card: cargo xtask firmware --target {:04x}{:04x}.mrom",
            id.0, id.1
        )
    })
}

/// From `lspci -n`: `03:00.0 0200: 8086:100e (rev 02)`.
fn lspci_id(said: &str) -> Option<Id> {
    let mut lines = said.lines();
    let line = lines.next()?;
    // More than one: the slot was not a whole one.
    if lines.next().is_some() {
        return None;
    }
    parse_id(line.split_whitespace().nth(2)?)
}

fn parse_id(text: &str) -> Option<Id> {
    let (vendor, device) = text.split_once(':')?;
    let id = |text: &str| {
        let whole = text.len() == 4;
        whole.then(|| u16::from_str_radix(text, 16).ok()).flatten()
    };
    Some((id(vendor)?, id(device)?))
}

/// Network cards that flashrom programs (flashrom(8), "programmers").
fn programmer_of(vendor: u16, slot: &str) -> Result<String> {
    Ok(match vendor {
        0x8086 => format!("nicintel_spi:pci={slot}"),
        0x10ec | 0x1186 => format!("nicrealtek:pci={slot}"),
        0x10b7 => format!("nic3com:pci={slot}"),
        0x100b => format!("nicnatsemi:pci={slot}"),
        other => bail!(
            "flashrom has no programmer for network cards of vendor {other:04x}: use the vendor's own tool, chainload undionly.kpxe from its ROM, or name one with --programmer"
        ),
    })
}

/// From flashrom's words: `Found Macronix flash chip "MX25L6436E" (8192 kB, SPI) on dummy.`
fn chip(said: &str) -> Option<(String, usize)> {
    let mut found = said.lines().filter_map(|line| {
        let (_, rest) = line.split_once("flash chip \"")?;
        let (name, rest) = rest.split_once("\" (")?;
        let kib: usize = rest.split_once(" kB")?.0.trim().parse().ok()?;
        Some((name.to_owned(), kib * 1024))
    });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_programs_words_are_read() {
        assert_eq!(
            lspci_id("03:00.0 0200: 8086:100e (rev 02)\n"),
            Some((0x8086, 0x100e))
        );
        assert_eq!(lspci_id(""), None);
        assert_eq!(lspci_id("a b 1:2\nc d 3:4\n"), None);
        for wrong in ["8086100e", "8086:100", "g086:100e", ""] {
            assert_eq!(parse_id(wrong), None, "{wrong}");
        }
        let said = "flashrom v1.3.0 on Linux\nFound Macronix flash chip \"MX25L6436E/MX25L6445E\" (8192 kB, SPI) on dummy.\nNo operations were specified.";
        assert_eq!(
            chip(said),
            Some(("MX25L6436E/MX25L6445E".to_owned(), 8 << 20))
        );
        assert_eq!(chip(&said.repeat(2)), None);
        assert_eq!(chip("No EEPROM/flash device found."), None);
    }

    #[test]
    fn vendors_have_their_programmers() {
        assert_eq!(
            programmer_of(0x8086, "03:00.0").unwrap(),
            "nicintel_spi:pci=03:00.0"
        );
        let error = programmer_of(0x1af4, "03:00.0").unwrap_err().to_string();
        assert!(
            error.contains("1af4") && error.contains("undionly.kpxe"),
            "{error}"
        );
    }
}
