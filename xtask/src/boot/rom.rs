// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which option ROM the machines' cards carry, and so which protocol is due.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use firmware::inspect::inspect;
use xtask::host::{self, Need};
use xtask::paths::Paths;
use xtask::qemu::{Nic, Screen};

use super::Arguments;
use super::marker::Protocol;

/// An option ROM, inspected.
pub(super) struct Rom {
    pub(super) path: PathBuf,
    pub(super) protocol: Protocol,
    pub(super) screen: Screen,
    /// Why it boots without multicast, where it does, and what to do about it.
    pub(super) note: Option<String>,
}

impl Rom {
    /// The one that was named, the one that was built, or the distribution's.
    pub(super) fn choose(arguments: &Arguments, paths: &Paths) -> Result<Rom> {
        if let Some(path) = &arguments.rom {
            return Rom::named(path, arguments.http);
        }
        let built = paths.dist_firmware().join(arguments.nic.target());
        if !arguments.http && built.exists() {
            crate::dist::check(&paths.dist, &format!("firmware/{}", arguments.nic.target()))?;
            let rom = Rom::named(&built, false)?;
            if rom.protocol == Protocol::Slam {
                return Ok(rom);
            }
        }
        let why = if arguments.http {
            "as --http asks".to_owned()
        } else {
            format!(
                "for there is no {} with SLAM; `cargo xtask dist --source DIR|URL|FILE` builds it",
                paths.shown(&built)
            )
        };
        Rom::prebuilt(arguments.nic, &why)
    }

    /// The distribution's, for the reason `why`.
    pub(super) fn prebuilt(nic: Nic, why: &str) -> Result<Rom> {
        host::ensure(&[Need::Prebuilt])?;
        let path = host::prebuilt_roms()
            .context("the distribution's ROMs for QEMU vanished while we looked")?
            .join(nic.stock_rom());
        Ok(Rom {
            path,
            protocol: Protocol::Http,
            screen: Screen::OnSerial,
            note: Some(format!(
                "no multicast: the distribution's own iPXE boots over HTTP, {why}"
            )),
        })
    }

    /// The file `path`; with `http`, falling back to that is no error.
    pub(super) fn named(path: &Path, http: bool) -> Result<Rom> {
        let name = path.display();
        let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
        let report = inspect(&bytes).with_context(|| format!("{name} is no iPXE ROM"))?;
        if bytes.get(..2) != Some(&[0x55, 0xaa]) {
            bail!(
                "{name}: expected an option ROM (55 aa), found {:?}",
                report.kind
            );
        }
        let slam = report.program.slam.works();
        let note = match (slam, http) {
            (true, false) => None,
            (true, true) => Some("--http: falling back to HTTP is no error".to_owned()),
            (false, _) => Some(format!("no multicast: {name} has no SLAM")),
        };
        Ok(Rom {
            // QEMU runs elsewhere than we.
            path: path.canonicalize().with_context(|| name.to_string())?,
            protocol: if slam && !http {
                Protocol::Slam
            } else {
                Protocol::Http
            },
            // Our builds have a serial console; where one has not, SeaBIOS's copy shows the script.
            screen: if report.program.script.is_some() {
                Screen::None
            } else {
                Screen::OnSerial
            },
            note,
        })
    }
}
