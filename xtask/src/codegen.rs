// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask codegen`: remakes what is generated and committed; `--check` only compares.
//!
//! The boot code (`src/image/boot/*.S`) is assembled by the script beside it, which the tests
//! run as well. The results are committed, so that no build needs an assembler.
//!
//! The bindings of the firmware's cores (`firmware/src/ffi.rs`) are made by bindgen, in an example
//! of this crate behind a feature: nothing else needs bindgen, nor libclang.
//!
//! The reference of `slamboot.toml` is made of the example and of what the loader says
//! ([`site::reference`]).

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use xtask::cmd::Cmd;
use xtask::paths::Paths;

/// Where the boot code lies, from the workspace's root.
const BOOT: &str = "src/image/boot";
/// What the script makes.
const BINARIES: [&str; 5] = [
    "mbr.bin",
    "vbr.bin",
    "demo.bin",
    "standin.bin",
    "standin-efi.bin",
];

/// The reference, and what it takes its words and defaults from.
const REFERENCE: &str = "docs/slamboot-reference.md";
const EXAMPLE: &str = "docs/slamboot.toml";

/// Remake what is generated and committed: the boot code's binaries, the bindings of the C cores,
/// the reference of slamboot.toml.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only compare; fail where a committed file is stale.
    #[arg(long)]
    check: bool,
}

/// The bindings, and the headers that they are made from.
const BINDINGS: &str = "firmware/src/ffi.rs";
const HEADERS: [&str; 1] = ["firmware/overlay/src/net/udp/slam_core.h"];
/// What the example that makes them prints where there is no libclang.
const NO_LIBCLANG: &str = "no libclang";

impl Arguments {
    /// As `--check`.
    pub const CHECK: Arguments = Arguments { check: true };
}

/// Remakes everything that is generated, or checks it.
pub fn run(arguments: &Arguments, paths: &Paths) -> Result<()> {
    // One that is stale must not hide another.
    let boot_code = boot_code(arguments, paths);
    let bindings = bindings(arguments, paths);
    let reference = reference(arguments, paths);
    boot_code.and(bindings).and(reference)
}

fn reference(arguments: &Arguments, paths: &Paths) -> Result<()> {
    let example = paths.root.join(EXAMPLE);
    let example = fs::read_to_string(&example)
        .with_context(|| format!("cannot read {}", example.display()))?;
    let made = site::reference(&example)?;
    replace("reference", REFERENCE, &made, arguments, paths)
}

/// Puts what was made in the place of what is committed, or says that they differ.
fn replace(
    what: &str,
    committed: &str,
    made: &str,
    arguments: &Arguments,
    paths: &Paths,
) -> Result<()> {
    let path = paths.root.join(committed);
    if fs::read(&path).is_ok_and(|old| old == made.as_bytes()) {
        println!("{what}: up to date");
        return Ok(());
    }
    if arguments.check {
        bail!("stale: {committed}; run `cargo xtask codegen` and commit the result");
    }
    // Beside, then renamed: a build may be reading it.
    let mut beside = path.clone().into_os_string();
    beside.push(".new");
    fs::write(&beside, made)
        .and_then(|()| fs::rename(&beside, &path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("{what}: rewrote {committed}");
    Ok(())
}

/// Whether there is a libclang where bindgen looks for one (`LIBCLANG_PATH`, and where distributions have
/// it). Asked before bindgen itself, which takes a minute and a half to build.
fn libclang() -> bool {
    let named = env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    let mut dirs: Vec<PathBuf> = named.into_iter().collect();
    dirs.extend(["/usr/lib64", "/usr/lib", "/usr/local/lib"].map(PathBuf::from));
    let inside = |dir: &str| fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in inside("/usr/lib") {
        // x86_64-linux-gnu, llvm-14/lib
        dirs.extend([entry.path(), entry.path().join("lib")]);
    }
    dirs.iter().any(|dir| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).any(|file| {
            let file = file.to_string_lossy();
            file.starts_with("libclang.so")
                || file.starts_with("libclang-") && !file.contains("cpp")
        })
    })
}

fn bindings(arguments: &Arguments, paths: &Paths) -> Result<()> {
    let absent = || {
        println!(
            "bindings: skipped, for bindgen finds no libclang here (`apt-get install libclang-dev`)"
        );
        Ok(())
    };
    if !libclang() {
        return absent();
    }
    let generator = Cmd::new("cargo")
        .dir(&paths.root)
        .args(["run", "--quiet", "--package", "xtask"])
        .args(["--features", "codegen", "--example", "bindings", "--"])
        .args(HEADERS);
    println!("$ {generator}");
    let made = match generator.read() {
        Ok(made) => made + "\n",
        Err(error) if error.to_string().contains(NO_LIBCLANG) => return absent(),
        Err(error) => return Err(error).context("the bindings of the C cores were not made"),
    };
    replace("bindings", BINDINGS, &made, arguments, paths)
}

fn boot_code(arguments: &Arguments, paths: &Paths) -> Result<()> {
    let boot = paths.root.join(BOOT);
    let fresh = paths.target.join(format!("codegen-{}", std::process::id()));
    fs::create_dir_all(&fresh).with_context(|| format!("cannot make {}", fresh.display()))?;
    let made = Cmd::new(boot.join("assemble.sh"))
        .arg(&fresh)
        .run()
        .context(
            "the boot code was not assembled; it needs GNU as and ld that know i386: \
         `apt-get install binutils` on x86, else `apt-get install binutils-x86-64-linux-gnu` \
         and AS=x86_64-linux-gnu-as LD=x86_64-linux-gnu-ld",
        );
    let stale = made.and_then(|()| {
        let read = |path: PathBuf| {
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let mut stale = Vec::new();
        for name in BINARIES {
            let made = read(fresh.join(name))?;
            let committed = boot.join(name);
            if fs::read(&committed).is_ok_and(|old| old == made) {
                continue;
            }
            stale.push(format!("{BOOT}/{name}"));
            if !arguments.check {
                // Beside, then renamed: a build may be reading it.
                let beside = committed.with_extension("bin.new");
                fs::write(&beside, &made)
                    .and_then(|()| fs::rename(&beside, &committed))
                    .with_context(|| format!("cannot write {}", committed.display()))?;
            }
        }
        Ok(stale)
    });
    // A leftover under target/ harms nobody.
    let _ = fs::remove_dir_all(&fresh);
    let stale = stale?.join(", ");
    match (stale.is_empty(), arguments.check) {
        (true, _) => println!("boot code: up to date"),
        (false, true) => bail!("stale: {stale}; run `cargo xtask codegen` and commit the result"),
        (false, false) => println!("boot code: rewrote {stale}"),
    }
    Ok(())
}
