// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a `.rom` can hold its driver, what keys of `[firmware]` add and the script, said before make is waited for.
//! It is a bound from below, which refuses nothing that would have fitted: what it lets pass and is too large, make tells.

use std::io::Write as _;

use anyhow::{Context, Result, bail};
use firmware::cards::Cards;
use firmware::recipe::Recipe;
use firmware::target::{ROM_LIMIT, Target};
use site::{Client, Firmware};

use crate::cmd::Cmd;
use crate::host;

/// So much of a script may cost nothing, since iPXE says the same and LZMA says it once: all texts in an
/// `8086100e.rom` of v2.0.0 together (`strings -n 4`) are 6,481 bytes packed.
const SHARED: usize = 8192;

/// Refuses the first of `targets` that cannot hold what goes into it.
pub(super) fn check(
    recipe: &Recipe,
    wishes: &Firmware,
    targets: &[Target],
    cards: &Cards,
) -> Result<()> {
    // Raw lines may take out what was measured.
    let measured = recipe.release.least_rom.as_ref();
    let Some(least) = measured.filter(|_| wishes.knobs.raw.is_empty()) else {
        return Ok(());
    };
    let ours = recipe.parts.client == Client::Slamboot && recipe.parts.igmp;
    let ours = if ours { least.ours } else { 0 };
    let words = words(wishes);
    let keys = least.added(&words);
    let mut packed = None;
    for target in targets.iter().filter(|target| target.limit().is_some()) {
        let parts = target.stem().split("--");
        let drivers = parts.filter_map(|part| cards.driver_of(part));
        let driver = drivers.map(|driver| least.of(driver)).max();
        let driver = driver.unwrap_or(least.bare) + ours;
        let script = match packed {
            Some(packed) => packed,
            None if driver + keys + recipe.script.len() <= ROM_LIMIT => 0,
            None => *packed.insert(pack(&recipe.script)?),
        };
        let bytes = driver + keys + script.saturating_sub(SHARED);
        if bytes > ROM_LIMIT {
            let mut parts = vec![format!("{driver} for iPXE with its driver")];
            if keys > 0 {
                parts.push(format!("{keys} for {} of [firmware]", words.join(", ")));
            }
            if script > SHARED {
                parts.push(format!(
                    "{} for the script of {} bytes (packed {script}, of which {SHARED} may be iPXE's own words)",
                    script - SHARED,
                    recipe.script.len()
                ));
            }
            bail!(
                "{}, and this one comes to {bytes} at least: {}\nhelp: build the .mrom, which loads all but its first 4 KiB from the card by itself{}",
                limit(target),
                parts.join(", "),
                if script > SHARED {
                    "; or let the ROM ask the server ([firmware.script] ask_server), or shorten the script"
                } else if keys > 0 {
                    "; or leave out some of these keys"
                } else {
                    ""
                }
            );
        }
    }
    Ok(())
}

/// What `target` can hold, in words.
pub(super) fn limit(target: &Target) -> String {
    format!(
        "{}: a .{} holds at most {ROM_LIMIT} bytes (255 units of 512)",
        target.name(),
        target.ending()
    )
}

/// What `[firmware]` switches on in a BIOS build, by the words in `slamboot.toml`.
pub(super) fn words(wishes: &Firmware) -> Vec<&'static str> {
    let knobs = &wishes.knobs;
    let mut words = Vec::new();
    words.extend(wishes.trust.as_ref().map(|_| "trust"));
    words.extend(wishes.serial.then_some("serial"));
    words.extend(wishes.ipv6.then_some("ipv6"));
    words.extend(knobs.protocols.iter().map(|of| of.word()));
    words.extend(knobs.commands.iter().map(|of| of.word()));
    words.extend(knobs.consoles.iter().map(|of| of.word()));
    words
}

/// What `script` comes to, packed as iPXE packs it (`util/zbin.c`: liblzma, raw LZMA1, the default preset made extreme);
/// 0 where nobody can tell.
fn pack(script: &str) -> Result<usize> {
    if host::program("xz").is_none() {
        return Ok(0);
    }
    let mut file = tempfile::NamedTempFile::new().context("no temporary file")?;
    file.write_all(script.as_bytes())
        .context("no temporary file")?;
    let packed = Cmd::new("xz")
        .args([
            "--stdout",
            "--format=raw",
            "--lzma1=preset=6e,lc=2,lp=0,pb=0",
        ])
        .arg(file.path())
        .read_bytes()?;
    Ok(packed.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use firmware::pins::Pins;
    use firmware::tree::{File, Tree};
    use site::Site;

    fn cards() -> Cards {
        let mut tree = Tree::default();
        for (path, text) in [
            (
                "src/drivers/net/ath/ath9k/ath9k.c",
                "PCI_ROM(0x168c, 0x0030, \"ar9300\", \"Atheros 9300\", 0),\n",
            ),
            (
                "src/drivers/net/bnx2.c",
                "PCI_ROM(0x14e4, 0x164c, \"bnx2-5708\", \"Broadcom NetXtreme II BCM5708\", 0),\n",
            ),
            (
                "src/drivers/net/intel.c",
                "PCI_ROM(0x8086, 0x100e, \"82540em\", \"82540EM\", 0),\n",
            ),
        ] {
            let file = File::Plain(text.as_bytes().to_vec());
            tree.insert(path, file).unwrap();
        }
        Cards::read(&tree)
    }

    fn said(site: &Site, script: &str, name: &str) -> Option<String> {
        said_of("v2.0.0", site, script, name)
    }

    fn said_of(release: &str, site: &Site, script: &str, name: &str) -> Option<String> {
        let pins = Pins::builtin().unwrap();
        let release = pins.release(release).unwrap();
        let mut recipe = Recipe::new(site, release, None).unwrap();
        recipe.script.push_str(script);
        let targets = [Target::parse(name).unwrap()];
        let checked = check(&recipe, &site.firmware, &targets, &cards());
        checked.err().map(|error| error.to_string())
    }

    #[test]
    fn a_driver_that_no_rom_can_hold_is_told() {
        let mut site = Site::default();
        for name in ["168c0030.rom", "ath9k.pcirom", "8086100e--ar9300.rom"] {
            let said = said(&site, "", name).unwrap();
            for part in [
                name,
                "130560",
                "comes to 142777 at least",
                "build the .mrom",
            ] {
                assert!(said.contains(part), "{part} in {said}");
            }
            assert!(!said.contains("script"), "{said}");
        }
        for name in ["168c0030.mrom", "8086100e.rom", "ipxe.lkrn"] {
            assert_eq!(said(&site, "", name), None);
        }
        for release in ["head", "v1.21.1"] {
            let said = said_of(release, &site, "", "168c0030.rom").unwrap();
            assert!(said.contains("build the .mrom"), "{said}");
            assert_eq!(said_of(release, &site, "", "14e4164c.rom"), None);
        }
        let raw = &mut site.firmware.knobs.raw;
        raw.insert("general".to_owned(), "#undef CRYPTO_80211_WEP".to_owned());
        assert_eq!(said(&site, "", "168c0030.rom"), None, "nobody knows");
    }

    /// All that a card's ROM can have but trust: as an .mrom, the one came to 118,784 bytes and the other to 140,288.
    #[test]
    fn keys_that_no_rom_can_hold_together_are_told() {
        let mut site = Site::default();
        let knobs = &mut site.firmware.knobs;
        knobs.protocols = vec![site::Protocol::Ftp, site::Protocol::Nfs];
        let commands = site::Commands::ALL.iter().copied();
        knobs.commands = commands.filter(|c| *c != site::Commands::Usb).collect();
        knobs.consoles = site::Console::ALL.to_vec();
        site.firmware.ipv6 = true;
        assert_eq!(said(&site, "", "8086100e.rom"), None);
        let said_of_bnx2 = said(&site, "", "14e4164c.rom").unwrap();
        for part in [
            "at least: 101888 for iPXE with its driver",
            "for serial, ipv6, ftp, nfs, cert",
            "build the .mrom",
            "leave out some of these keys",
        ] {
            assert!(said_of_bnx2.contains(part), "{part} in {said_of_bnx2}");
        }
        site.firmware.knobs = site::Knobs::default();
        assert_eq!(said(&site, "", "14e4164c.rom"), None);
    }

    #[test]
    fn a_script_that_no_rom_can_hold_is_told() {
        if host::program("xz").is_none() {
            let _ = writeln!(std::io::stderr(), "skipped: no xz");
            return;
        }
        let site = Site::default();
        // Of each machine's address half is the vendor's.
        let mut random = fastrand::Rng::with_seed(7);
        let mut line = || {
            let mac: Vec<String> = (0..3).map(|_| format!("{:02x}", random.u8(..))).collect();
            format!("iseq ${{card}} 52:54:00:{} && goto a ||\n", mac.join(":"))
        };
        let many: String = (0..20_000).map(|_| line()).collect();
        let said_of_many = said(&site, &many, "8086100e.rom").unwrap();
        for part in ["for the script of", "ask_server", ".mrom"] {
            assert!(said_of_many.contains(part), "{part} in {said_of_many}");
        }
        // As long, and nothing in it.
        let nothing = "iseq ${card} 52:54:00:00:00:00 && goto a ||\n".repeat(20_000);
        assert_eq!(said(&site, &nothing, "8086100e.rom"), None);
    }
}
