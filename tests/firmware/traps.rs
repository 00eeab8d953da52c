// SPDX-License-Identifier: MIT OR Apache-2.0
//! What iPXE's make does not see: in a tree that was used before, each changed input gives what a tree gives that
//! never was.

use std::fs;

use anyhow::{Context, ensure};
use xtask::firmware::{self as build, Arguments};

use crate::support::Outcome;
use crate::{built, place, typed};

/// Packed, with and without a build id of its own (`BUILD_ID_CMD`).
const TARGETS: [&str; 2] = ["8086100e.rom", "undionly.kpxe"];
const PLAIN: &str = "";
/// Another script, the one input that make follows.
const SCRIPT: &str = "[firmware]\nretries = 3\n";
/// Other objects by `REQUIRE_OBJECT`, another client by another `CFLAGS_slam`.
const OBJECTS: &str = "[firmware]\nigmp = false\nclient = \"stock\"\n";
/// Other headers; all of these commands are undefined on a BIOS unless one says otherwise.
const HEADERS: &str = r##"
[firmware]
ipv6 = true
commands = ["cert", "console", "digest", "ntp", "param", "vlan"]
consoles = ["debugcon"]
banner = "Room 12"
banner_timeout = 10
dhcp_timeout = 20
[firmware.raw]
usb = "#undef USB_KEYBOARD"
"##;

pub fn changes() -> Outcome {
    let used = place("used")?;
    let plain = built(PLAIN, &TARGETS, &used)?;
    // The first build for another machine makes notes of make's that all machines' objects depend on.
    let mut efi = TARGETS.to_vec();
    efi.push("snponly.efi");
    let beside = built(PLAIN, &efi, &used)?;
    for (path, digest) in &plain {
        ensure!(
            beside[path] == *digest,
            "{path}: changed by a build for UEFI"
        );
    }
    for (what, toml) in [
        ("script", SCRIPT),
        ("objects", OBJECTS),
        ("headers", HEADERS),
        ("nothing", PLAIN),
    ] {
        let changed = built(toml, &TARGETS, &used).with_context(|| what.to_owned())?;
        if toml == PLAIN {
            for (path, digest) in &plain {
                ensure!(
                    changed.get(path) == Some(digest),
                    "{path}: changed for ever"
                );
            }
        } else {
            ensure!(changed != plain, "{what}: changed nothing");
        }
        let fresh = place("fresh")?;
        let never_used = built(toml, &TARGETS, &fresh)?;
        ensure!(
            changed == never_used,
            "{what}: stale: {changed:?}, from nothing {never_used:?}"
        );
        if what == "headers" {
            bios_has_what_it_undefines(&fresh)?;
        }
    }
    Ok(())
}

fn bios_has_what_it_undefines(at: &xtask::paths::Paths) -> Outcome {
    for name in TARGETS {
        let file = fs::read(at.dist_firmware().join(name))?;
        let commands = firmware::inspect::inspect(&file)?.program.commands;
        for command in ["certstat", "console", "sha1sum", "ntp", "params", "vcreate"] {
            ensure!(
                commands.iter().any(|known| known == command),
                "{name}: no {command} in {commands:?}"
            );
        }
    }
    Ok(())
}

/// Variables that iPXE's makefiles ask for.
pub fn environment() -> Outcome {
    let place = place("environment")?;
    let plain = built(PLAIN, &TARGETS, &place)?;
    let dist = place.target.join("foreign");
    let mut command = typed(&place.target.join("slamboot.toml"), &TARGETS, &dist);
    for (name, value) in [
        ("ASSERT", "1"),
        ("PROFILE", "1"),
        ("FNREC", "1"),
        ("DEBUG", "slamboot_slam"),
        ("EXTRA_CFLAGS", "-O0"),
        ("EXTRA_LDFLAGS", "-u obj_slam"),
        ("BUILD_ID_CMD", "echo 1"),
        ("CONFIG", "rpi"),
    ] {
        command = command.env(name, value);
    }
    command.run()?;
    for artefact in crate::as_listed(&dist)?.artefacts {
        ensure!(
            plain.get(&artefact.path) == Some(&artefact.sha256),
            "{}: the environment shows in it",
            artefact.path
        );
    }
    Ok(())
}

pub fn rebuilt() -> Outcome {
    let place = place("rebuilt")?;
    built(SCRIPT, &TARGETS, &place)?;
    let arguments = Arguments {
        rebuild: Some(place.manifest()),
        ..Arguments::default()
    };
    build::run(&arguments, &place)?;
    // A manifest that says other bytes is told so.
    let text = fs::read_to_string(place.manifest())?;
    let digest = |line: &&str| line.trim_start().starts_with("\"sha256\"");
    let line = text.lines().find(digest).context("no digest")?;
    let digest = line.split('"').nth(3).context("no digest")?;
    fs::write(place.manifest(), text.replace(digest, &"0".repeat(64)))?;
    let Err(error) = build::run(&arguments, &place) else {
        anyhow::bail!("other bytes than the manifest's, and nobody told");
    };
    let said = format!("{error:#}");
    ensure!(said.contains("not the same bytes: 1 of 2"), "{said}");
    Ok(())
}
