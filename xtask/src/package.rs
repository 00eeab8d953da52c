// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask package`: a Debian package of what `dist` makes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use xtask::cmd::Cmd;
use xtask::paths::Paths;
use xtask::programs::Profile;

use crate::dist;

/// Make a Debian package, in target/debian/: server, client, ROMs and a demo disk (`cargo xtask dist`,
/// which is made first), and units for systemd, which installing it neither enables nor starts.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where iPXE's source is: a clone, a git URL, or a tarball [default: the cache, then upstream].
    #[arg(long, value_name = "DIR|URL|FILE")]
    source: Option<String>,
    /// Pack what is in dist/ and target/release as it is.
    #[arg(long, conflicts_with = "source")]
    no_build: bool,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, paths: &Paths) -> Result<()> {
    // What is packed is named in Cargo.toml, and so are these two.
    ensure!(
        paths.dist == paths.root.join("dist") && paths.profile == Profile::Release,
        "packages are made of dist/ and of optimised programs\n  help: unset SLAMBOOT_DIST and {}",
        Profile::VARIABLE
    );
    let cargo_deb = || Cmd::new("cargo").arg("deb").dir(&paths.root);
    if cargo_deb().arg("--version").read().is_err() {
        bail!("cargo-deb is not installed\n  help: cargo install cargo-deb --locked");
    }
    if !arguments.no_build {
        dist::make(&dist::Arguments::of(arguments.source.clone()), paths)?;
    }
    let made = cargo_deb()
        .args(["--no-build", "--strip"])
        .read()
        .context("packing")?;
    // Its last line is the package's path.
    let package = made.lines().last().map(PathBuf::from);
    let package = package
        .filter(|package| package.exists())
        .with_context(|| format!("cargo deb names no package that it made\n  found: {made}"))?;
    let bytes = std::fs::metadata(&package)?.len();
    let shown = paths.shown(&package);
    println!("{shown}, {:.1} MiB", bytes as f64 / f64::from(1 << 20));
    println!("\nnext: {}", next(Path::new(&shown)));
    Ok(())
}

/// What installs it: apt takes what looks like a path, and nothing else, for a file.
fn next(package: &Path) -> String {
    let here = if package.is_absolute() { "" } else { "./" };
    format!("apt install {here}{}", package.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_is_given_a_path() {
        assert_eq!(
            next(Path::new("target/a.deb")),
            "apt install ./target/a.deb"
        );
        assert_eq!(next(Path::new("/srv/a.deb")), "apt install /srv/a.deb");
    }
}
