// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file as a block device.

use std::path::{Path, PathBuf};

use xtask::cmd::Cmd;

/// A loop device; it goes when this does.
pub struct Loop(pub PathBuf);

impl Loop {
    pub fn of(file: &Path) -> anyhow::Result<Loop> {
        let shown = Cmd::new("losetup")
            .args(["--find", "--show"])
            .arg(file)
            .read()?;
        Ok(Loop(PathBuf::from(shown.trim())))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Cmd::new("losetup").arg("--detach").arg(&self.0).read();
    }
}
