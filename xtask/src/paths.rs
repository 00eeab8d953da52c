// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every path that the verbs read or write, decided in one place.
//!
//! ```text
//! target/firmware/<key>/      disposable iPXE tree, one per set of inputs that iPXE's make does not track
//! target/firmware/logs/       what make printed
//! target/boot/                run directories of the boot lab
//! dist/                       finished artefacts (ignored by git), described by dist/manifest.json
//! dist/firmware/ dist/images/ dist/bin/
//! dist/bench/                 what `cargo xtask bench` measured
//! ~/.cache/slamboot/          sources that were fetched once, keyed by commit
//! ```

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::programs::Profile;

/// Where things lie.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The workspace.
    pub root: PathBuf,
    /// Cargo's target directory: everything in it may be deleted at any time.
    pub target: PathBuf,
    /// Finished artefacts.
    pub dist: PathBuf,
    /// Sources that survive `cargo clean` and serve every work tree.
    pub cache: PathBuf,
    /// How programs are built.
    pub profile: Profile,
}

impl Paths {
    /// The paths of this checkout: `CARGO_TARGET_DIR` moves `target/`, `SLAMBOOT_DIST` moves
    /// `dist/`, `SLAMBOOT_CACHE` moves the cache.
    pub fn from_env() -> Result<Paths> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask/ has no parent directory")?
            .to_path_buf();
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let under_root = |path: PathBuf| root.join(path);
        let target = set("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        let dist = set("SLAMBOOT_DIST").map_or_else(|| "dist".into(), PathBuf::from);
        let cache = match (
            set("SLAMBOOT_CACHE"),
            set("XDG_CACHE_HOME"),
            env::home_dir(),
        ) {
            (Some(cache), _, _) => PathBuf::from(cache),
            (None, Some(xdg), _) => PathBuf::from(xdg).join("slamboot"),
            (None, None, Some(home)) => home.join(".cache/slamboot"),
            (None, None, None) => anyhow::bail!(
                "no directory for the source cache: set SLAMBOOT_CACHE (or HOME) to one"
            ),
        };
        Ok(Paths {
            target: under_root(target),
            dist: under_root(dist),
            cache: under_root(cache),
            profile: Profile::from_env(),
            root,
        })
    }

    /// The site's configuration where nobody names another.
    pub fn default_config(&self) -> PathBuf {
        self.root.join("slamboot.toml")
    }

    /// `dist/manifest.json`
    pub fn manifest(&self) -> PathBuf {
        self.dist.join("manifest.json")
    }

    /// `dist/firmware/`
    pub fn dist_firmware(&self) -> PathBuf {
        self.dist.join("firmware")
    }

    /// `dist/images/demo.img`
    pub fn demo_image(&self) -> PathBuf {
        self.dist.join("images/demo.img")
    }

    /// `dist/bench/`
    pub fn dist_bench(&self) -> PathBuf {
        self.dist.join("bench")
    }

    /// Disposable iPXE trees and their logs.
    pub fn build(&self) -> PathBuf {
        self.target.join("firmware")
    }

    /// `path` as a person in the workspace would type it.
    pub fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }
}
