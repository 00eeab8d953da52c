// SPDX-License-Identifier: MIT OR Apache-2.0
//! Protocols of the URIs in a script, and those that a firmware opens.

use std::collections::BTreeSet;

use site::Firmware;

use super::lines::positional;
use crate::target::{Platform, Target};

/// What opens in at least one of these files: a script for several may try one and then another.
pub fn schemes(firmware: &Firmware, targets: &[Target]) -> BTreeSet<&'static str> {
    // What our headers switch on, and iPXE's own defaults for network disks (config/general.h).
    let mut known = BTreeSet::from(["http", "tftp", "x-slam", "iscsi", "aoe", "fcp", "ib_srp"]);
    // BIOS builds leave HTTPS out, and have no file systems of the firmware's.
    if targets
        .iter()
        .any(|target| target.platform() != Platform::Bios)
    {
        known.extend(["https", "file"]);
    }
    // Each is called as its scheme is.
    known.extend(
        firmware
            .knobs
            .protocols
            .iter()
            .map(|protocol| protocol.word()),
    );
    known
}

/// The schemes of the URIs that a command opens, where they are written out.
pub(super) fn opened<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let takes = [
        "--name",
        "-n",
        "--timeout",
        "-t",
        "--drive",
        "-d",
        "--filename",
        "-f",
        "--signer",
        "-s",
    ];
    let uris = match words.first() {
        // What follows the image are its arguments.
        Some(
            &("boot" | "chain" | "imgexec" | "imgfetch" | "imgload" | "initrd" | "kernel"
            | "module"),
        ) => positional(words, &takes).into_iter().take(1).collect(),
        Some(&("imgverify" | "sanboot" | "sanhook")) => positional(words, &takes),
        _ => Vec::new(),
    };
    let scheme = |uri: &'a str| {
        let (scheme, _) = uri.split_once("://")?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
        (!scheme.is_empty() && scheme.chars().all(plain)).then_some(scheme)
    };
    uris.into_iter().filter_map(scheme).collect()
}
