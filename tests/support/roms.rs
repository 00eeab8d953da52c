// SPDX-License-Identifier: MIT OR Apache-2.0
//! ROMs that are built for one trial.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use xtask::cmd::Cmd;
use xtask::firmware;
use xtask::paths::Paths;
use xtask::programs::{self, Profile};

use super::support::paths;

/// iPXE's library, from scratch, on two slow cores.
const BUILD: Duration = Duration::from_mins(15);

/// Why no firmware can be built here, if none can.
pub fn no_source() -> Option<String> {
    let arguments = firmware::Arguments::default();
    let at_hand = firmware::source_at_hand(&arguments, paths()).unwrap_or(false);
    (!at_hand).then(|| "no iPXE source (cargo xtask firmware --source DIR)".to_owned())
}

/// `cargo xtask` with a dist/ of its own. The program itself is run: cargo would wait for whatever else
/// it builds, while a machine waits for a signature.
pub fn xtask(dist: &Path, arguments: &[&str]) -> Cmd {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let paths = Paths {
            profile: Profile::Dev,
            ..paths().clone()
        };
        // What cannot be built is told by what cannot be run.
        let built = programs::build(&paths, ["xtask"]);
        built.map_or_else(|_| paths.target.join("debug/xtask"), |[program]| program)
    });
    Cmd::new(program)
        .dir(&paths().root)
        .args(arguments)
        .env("SLAMBOOT_DIST", dist)
        .limit(BUILD)
}

/// The ROM of QEMU's e1000 for this site, whose configuration is left in `folder`, in a dist/ of its own.
pub fn built_for(folder: &Path, name: &str, site: &str) -> anyhow::Result<PathBuf> {
    let config = folder.join(format!("{name}.rom.toml"));
    fs::write(&config, site)?;
    let dist = paths().target.join("test/built-in").join(name);
    let config = config.display().to_string();
    xtask(&dist, &["firmware", "--config", &config]).read()?;
    Ok(dist.join("firmware/8086100e.mrom"))
}
