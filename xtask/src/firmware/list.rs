// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask firmware --list`: what can be built.

use anyhow::{Result, bail};
use firmware::cards::{Card, Cards};
use firmware::pins::Pins;
use firmware::target::Target;

use super::source::{self, Source};
use super::{Arguments, site};
use crate::paths::Paths;
use crate::table::Table;

/// Formats, with what each is for.
const FORMATS: [(&str, &str); 13] = [
    (
        "undionly.kpxe",
        "chainloaded by a BIOS's own PXE ROM, uses its driver",
    ),
    (
        "undionly.kkpxe",
        "the same, for PXE ROMs that must not be unloaded",
    ),
    (
        "ipxe.pxe",
        "the same with iPXE's own drivers; VVVVDDDD.kpxe for one card",
    ),
    (
        "ipxe.lkrn",
        "started by GRUB, syslinux or a BIOS machine's QEMU -kernel",
    ),
    (
        "ipxe.dsk, ipxe.usb, ipxe.hd",
        "written to a floppy, a USB stick, a disk's active partition (BIOS)",
    ),
    ("ipxe.iso", "CD and virtual media (BIOS)"),
    (
        "VVVVDDDD.mrom",
        "flashed to a card; of any size, the BIOS copies its first 4 KiB",
    ),
    (
        "VVVVDDDD.rom, .pcirom",
        "the same, for machines and cards that need it whole, at most 127.5 KiB",
    ),
    (
        "VVVVDDDD.isarom",
        "the same for ISA cards and sockets: no PCI header",
    ),
    (
        "snponly.efi",
        "chainloaded by UEFI's own PXE, uses its driver",
    ),
    ("ipxe.efi", "started by UEFI, iPXE's own drivers"),
    ("VVVVDDDD.efirom", "flashed to a card, for UEFI"),
    (
        "ipxe-efi.iso, ipxe-efi.usb",
        "CD, virtual media and USB sticks (UEFI)",
    ),
];

pub(super) fn run(filter: &str, arguments: &Arguments, paths: &Paths) -> Result<()> {
    let site = site(arguments.config.as_deref(), paths)?;
    let pins = Pins::builtin()?;
    match filter {
        "targets" => {
            let mut table = Table::new(["target", "what for"]);
            for (name, purpose) in FORMATS {
                table.row([name.to_owned(), purpose.to_owned()]);
            }
            table.row([
                "…-arm64.…".to_owned(),
                "the UEFI ones for arm64: snponly-arm64.efi".to_owned(),
            ]);
            table.row([
                "tap.linux".to_owned(),
                "a program on Linux, for tests with many clients".to_owned(),
            ]);
            print!("{table}");
            println!("\nVVVVDDDD is a card's PCI id: cargo xtask firmware --list 8086");
            return Ok(());
        }
        "sets" => {
            let own = site
                .firmware
                .sets
                .iter()
                .map(|(name, set)| (name.as_str(), set.as_slice()));
            let builtin = pins
                .sets()
                .filter(|(name, _)| !site.firmware.sets.contains_key(*name));
            for (name, set) in own.chain(builtin) {
                println!("{name}:");
                for target in set {
                    let target = Target::parse(target)?;
                    println!(
                        "  {:24} {}, {}",
                        target.name(),
                        target.kind(),
                        target.platform()
                    );
                }
            }
            return Ok(());
        }
        _ => {}
    }
    let name = arguments.release.as_ref().unwrap_or(&site.firmware.release);
    let release = pins.release(name)?;
    let source = arguments.source.as_deref().map(Source::parse).transpose()?;
    let located = source::locate(release, &pins.upstream, source.as_ref(), paths)?;
    let cards = Cards::read(&located.tree);
    let found: Vec<&Card> = cards.matching(filter).collect();
    if found.is_empty() {
        bail!(
            "iPXE {name} drives no card of which the id, name, description or driver contains {filter:?}\nhelp: --list without a word shows all {}; undionly.kpxe and snponly.efi use the driver that the machine's firmware brings",
            cards.all().len()
        );
    }
    let mut table = Table::new(["target", "name", "card", "driver"]);
    for card in &found {
        let target = match card.pci {
            Some((vendor, device)) => format!("{vendor:04x}{device:04x}"),
            None => card.name.clone(),
        };
        table.row([
            target,
            card.name.clone(),
            card.description.clone(),
            card.driver.clone(),
        ]);
    }
    print!("{table}");
    println!(
        "\n{} of {} that iPXE {name} drives; build one with: cargo xtask firmware --target NAME.mrom (or .rom, .efirom, .kpxe: --list targets)",
        found.len(),
        cards.all().len()
    );
    Ok(())
}
