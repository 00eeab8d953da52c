// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every pinned release, built, proven and booted. Each takes iPXE's library from scratch, minutes
//! that not every run has: `cargo xtask test --thorough`.

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
    let rom = dist.join("firmware").join(rom).display().to_string();
    boot_demo(&["--rom", &rom], 1, "x-slam")
}
