// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the configuration is, where none is named.

use std::path::{Path, PathBuf};

/// What the configuration is called where nothing else is said.
pub const DEFAULT_CONFIG: &str = "slamboot.toml";

/// The configuration where none is named: here, in a workspace's `dist/`, in `set`, where `cargo xtask dist` puts it
/// beside the programs, or the system's.
pub fn default_config(set: Option<&Path>) -> Option<PathBuf> {
    let places = [
        Some(PathBuf::new()),
        Some(PathBuf::from("dist")),
        set.map(Path::to_owned),
        Some(PathBuf::from("/etc/slamboot")),
    ];
    let files = places.into_iter().flatten();
    files
        .map(|place| place.join(DEFAULT_CONFIG))
        .find(|file| file.exists())
}
