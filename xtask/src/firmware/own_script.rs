// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file that `file` under `[firmware.script]` names.

use std::fs::File;
use std::io::Read as _;

use anyhow::{Context, Result};
use firmware::script::{self, OwnError};
use site::Firmware;

/// What stands in it, where one is named.
pub(super) fn read(firmware: &Firmware) -> Result<Option<String>> {
    let Some(path) = &firmware.script.file else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    // A little more than can be taken, whatever it is that was named.
    let limit = OwnError::LIMIT as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .with_context(|| format!("{}: this script cannot be read", named(firmware)))?;
    let script = script::own(&bytes, firmware.trust.is_some());
    Ok(Some(script.with_context(|| named(firmware))?))
}

/// Whose script it is, for errors.
pub(super) fn named(firmware: &Firmware) -> String {
    match &firmware.script.file {
        Some(path) => format!("[firmware.script] file: {}", path.display()),
        None => "slamboot's own script".to_owned(),
    }
}
