// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a `.rom` can hold its driver, what trust takes and the script, said before make is waited for. It is a
//! bound from below, which refuses nothing that would have fitted: what it lets pass and is too large, make tells.

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
    let trust = recipe.root.as_ref().map_or(0, |_| least.trust);
    let mut packed = None;
    for target in targets.iter().filter(|target| target.limit().is_some()) {
        let parts = target.stem().split("--");
        let drivers = parts.filter_map(|part| cards.driver_of(part));
        let driver = drivers.map(|driver| least.of(driver)).max();
        let driver = driver.unwrap_or(least.bare) + ours;
        let script = match packed {
            Some(packed) => packed,
            None if driver + trust + recipe.script.len() <= ROM_LIMIT => 0,
            None => *packed.insert(pack(&recipe.script)?),
        };
        let bytes = driver + trust + script.saturating_sub(SHARED);
        if bytes > ROM_LIMIT {
            let mut parts = vec![format!("{driver} for iPXE with its driver")];
            if trust > 0 {
                parts.push(format!("{trust} for [firmware] trust"));
            }
            if script > SHARED {
                parts.push(format!(
                    "{} for the script of {} bytes (packed {script}, of which {SHARED} may be iPXE's own words)",
                    script - SHARED,
                    recipe.script.len()
                ));
            }
            bail!(
                "{}: a .{} holds at most {ROM_LIMIT} bytes (255 units of 512), and this one comes to {bytes} at least: {}\nhelp: build the .mrom, which loads all but its first 4 KiB from the card by itself{}",
                target.name(),
                target.ending(),
                parts.join(", "),
                if script > SHARED {
                    "; or let the ROM ask the server ([firmware.script] ask_server), or shorten the script"
                } else {
                    ""
                }
            );
        }
    }
    Ok(())
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
        let pins = Pins::builtin().unwrap();
        let release = pins.release("v2.0.0").unwrap();
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
                "comes to 145920 at least",
                "build the .mrom",
            ] {
                assert!(said.contains(part), "{part} in {said}");
            }
            assert!(!said.contains("script"), "{said}");
        }
        for name in ["168c0030.mrom", "8086100e.rom", "ipxe.lkrn"] {
            assert_eq!(said(&site, "", name), None);
        }
        let raw = &mut site.firmware.knobs.raw;
        raw.insert("general".to_owned(), "#undef CRYPTO_80211_WEP".to_owned());
        assert_eq!(said(&site, "", "168c0030.rom"), None, "nobody knows");
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
