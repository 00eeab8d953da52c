// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask codegen`: remakes what is generated and committed; `--check` only compares.
//!
//! The boot code (`src/image/boot/*.S`) is assembled by the script beside it, which the tests
//! run as well. The results are committed, so that no build needs an assembler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Where the boot code lies, from the workspace's root.
const BOOT: &str = "src/image/boot";
/// What the script makes.
const BINARIES: [&str; 3] = ["mbr.bin", "vbr.bin", "demo.bin"];

/// Remakes the boot code's binaries; with `check` fails where a committed one is stale.
pub fn run(check: bool) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let boot = root.join(BOOT);
    let fresh = Scratch::new(&root.join("target"))?;
    let script = boot.join("assemble.sh");
    println!("running {BOOT}/assemble.sh");
    let output = Command::new(&script)
        .arg(&fresh.0)
        .output()
        .with_context(|| format!("cannot run {}", script.display()))?;
    ensure!(
        output.status.success(),
        "{BOOT}/assemble.sh failed:\n{}\nIt needs GNU as and ld that know i386: \
         `apt-get install binutils` on x86, else `apt-get install binutils-x86-64-linux-gnu` \
         and AS=x86_64-linux-gnu-as LD=x86_64-linux-gnu-ld",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut stale = Vec::new();
    for name in BINARIES {
        let made = read(&fresh.0.join(name))?;
        let committed = boot.join(name);
        if fs::read(&committed).is_ok_and(|old| old == made) {
            continue;
        }
        stale.push(format!("{BOOT}/{name}"));
        if !check {
            // Beside, then renamed: a build may be reading it.
            let beside = committed.with_extension("bin.new");
            fs::write(&beside, &made)
                .and_then(|()| fs::rename(&beside, &committed))
                .with_context(|| format!("cannot write {}", committed.display()))?;
        }
    }
    match (stale.as_slice(), check) {
        ([], _) => println!("boot code: up to date"),
        (stale, true) => bail!(
            "stale: {}; run `cargo xtask codegen` and commit the result",
            stale.join(", ")
        ),
        (stale, false) => println!("boot code: rewrote {}", stale.join(", ")),
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A directory that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("codegen-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover under target/ harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
