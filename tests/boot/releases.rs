// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every pinned release, built, proven and booted. Each takes iPXE's library from scratch, minutes
//! that not every run has: `cargo xtask test --thorough`.

use std::path::Path;

use anyhow::ensure;
use serde_json::Value;
use xtask::cmd::Cmd;
use xtask::firmware;

use crate::support::{Outcome, only_if_thorough, paths};
use crate::{BUILD_LIMIT, boot_demo};

/// Why `release` is not built now, if it is not.
pub fn lacking(boot: Option<String>, release: &str) -> Option<String> {
    boot.or_else(only_if_thorough).or_else(|| {
        let arguments = firmware::Arguments {
            release: Some(release.to_owned()),
            ..firmware::Arguments::default()
        };
        let at_hand = firmware::source_at_hand(&arguments, paths()).unwrap_or(false);
        (!at_hand).then(|| {
            format!("no source of {release} (cargo xtask firmware --release {release} --source DIR fetches it)")
        })
    })
}

/// Builds `rom` from `release`, which proves it by its bytes, and boots a machine with it.
pub fn boots(release: &str, rom: &str) -> Outcome {
    let dist = paths().target.join("test/releases").join(release);
    Cmd::new("cargo")
        .dir(&paths().root)
        .args(["xtask", "firmware", "--release", release, "--target", rom])
        .env("SLAMBOOT_DIST", &dist)
        .limit(BUILD_LIMIT)
        .read()?;
    let rom = dist.join("firmware").join(rom);
    if release == "gpxe" {
        inspected(&rom)?;
    }
    let rom = rom.display().to_string();
    boot_demo(&["--rom", &rom], 1, "x-slam")
}

/// What is known of gPXE's own `config/general.h` and drivers of 2010, read from its packed ROM.
fn inspected(rom: &Path) -> Outcome {
    let inspect = Cmd::new(env!("CARGO_BIN_EXE_slamboot"))
        .args(["rom", "inspect", "--json", "--require", "slam"])
        .arg(rom);
    let report: Value = serde_json::from_str(&inspect.read()?)?;
    for (list, words) in [
        ("protocols", &["http", "tftp", "x-slam"][..]),
        ("features", &["DNS", "SLAM", "bzImage"]),
        (
            "commands",
            &["autoboot", "chain", "dhcp", "pxebs", "sanboot", "stoppxe"],
        ),
    ] {
        for word in words {
            let found = report[list]
                .as_array()
                .is_some_and(|l| l.contains(&(*word).into()));
            ensure!(found, "no {word} in {list} of {report}");
        }
    }
    let cards = report["drivers"].as_array();
    let e1000 = |card: &Value| card["vendor"] == 0x8086 && card["device"] == 0x100e;
    ensure!(cards.is_some_and(|c| c.iter().any(e1000)), "{report}");
    let script = report["script"]["text"].as_str();
    ensure!(
        script.is_some_and(|s| s.starts_with("#!gpxe\n")),
        "{report}"
    );
    Ok(())
}
