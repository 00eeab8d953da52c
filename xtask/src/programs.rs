// SPDX-License-Identifier: MIT OR Apache-2.0
//! The programs of this workspace that verbs and tests start, built first.

use std::path::PathBuf;

use crate::cmd::{Cmd, CmdError};
use crate::paths::Paths;

/// How they are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As users have them.
    Release,
    /// With the checks of debug builds (overflow, `debug_assert`), and without a third build of
    /// everything: what `cargo xtask test` starts, unless it is thorough.
    Dev,
}

impl Profile {
    /// The variable that chooses it, for all that a test starts.
    pub const VARIABLE: &str = "SLAMBOOT_PROFILE";

    /// What that variable says; release where it says nothing.
    pub fn from_env() -> Profile {
        let dev = std::env::var_os(Profile::VARIABLE).is_some_and(|value| value == "dev");
        if dev { Profile::Dev } else { Profile::Release }
    }

    /// Its name, for the variable and for cargo.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Release => "release",
            Profile::Dev => "dev",
        }
    }

    fn directory(self) -> &'static str {
        match self {
            Profile::Release => "release",
            Profile::Dev => "debug",
        }
    }
}

/// Builds these packages; where the program of each lies, which is called as its package.
pub fn build<const N: usize>(paths: &Paths, packages: [&str; N]) -> Result<[PathBuf; N], CmdError> {
    let mut cargo = Cmd::new("cargo").dir(&paths.root);
    cargo = cargo.args(["build", "--quiet", "--profile", paths.profile.name()]);
    match paths.profile {
        Profile::Release => {
            for package in packages {
                cargo = cargo.args(["--package", package]);
            }
        }
        // What `cargo test --workspace` has built: another selection has other features of what these depend
        // on, and builds most of it once more.
        Profile::Dev => cargo = cargo.args(["--workspace", "--bins", "--tests"]),
    }
    cargo.run()?;
    let built = paths.target.join(paths.profile.directory());
    Ok(packages.map(|package| built.join(package)))
}
