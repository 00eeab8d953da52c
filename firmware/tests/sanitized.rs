// SPDX-License-Identifier: MIT OR Apache-2.0
//! The firmware's cores under gcc's and clang's sanitizers, fed with damaged and invented datagrams.
//!
//! Seconds by default; longer: `SLAMBOOT_FUZZ_SECONDS=600 cargo test -p firmware --test sanitized`.

use std::path::Path;
use std::process::Command;

/// Builds `driver` with `cores`; `None` where this compiler has no sanitizers.
fn build(dir: &Path, cores: &[&str], driver: &str) -> Option<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let udp = root.join("overlay/src/net/udp");
    let program = dir.join("fuzz");
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let flags = [
        "-std=c99",
        "-O1",
        "-g",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    ];
    let compile = |sources: &[&Path]| {
        Command::new(&cc)
            .args(flags)
            .arg("-I")
            .arg(&udp)
            .args(sources)
            .arg("-o")
            .arg(&program)
            .output()
            .expect("a C compiler: it links every Rust program, too")
    };
    let probe = dir.join("probe.c");
    std::fs::write(&probe, "int main(void) { return 0; }\n").unwrap();
    if !compile(&[&probe]).status.success() {
        return None;
    }
    let driver = root.join("tests/fuzz").join(driver);
    let cores: Vec<_> = cores.iter().map(|core| udp.join(core)).collect();
    let sources: Vec<&Path> = cores.iter().chain([&driver]).map(AsRef::as_ref).collect();
    let made = compile(&sources);
    let errors = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success(), "{errors}");
    Some(program)
}

#[test]
fn the_slam_core_takes_anything() {
    let seconds = std::env::var("SLAMBOOT_FUZZ_SECONDS").unwrap_or_else(|_| "3".to_owned());
    let seed = std::env::var("SLAMBOOT_FUZZ_SEED").unwrap_or_else(|_| "1".to_owned());
    let dir = tempfile::tempdir().unwrap();
    let Some(program) = build(
        dir.path(),
        &["slam_core.c", "slam_parity.c", "slam_wire.c"],
        "slam_core.c",
    ) else {
        println!("skipped: this C compiler has no AddressSanitizer");
        return;
    };
    let run = Command::new(program)
        .args([&seed, &seconds])
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    println!("seed {seed}, {seconds} s: {out}");
    assert!(run.status.success(), "{out}{errors}");
}
