// SPDX-License-Identifier: MIT OR Apache-2.0
//! The committed boot code is what its sources assemble to.

use std::path::Path;
use std::process::Command;

use crate::judge::skip;

#[test]
fn the_binaries_are_fresh() {
    let boot = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image/boot");
    let fresh = tempfile::tempdir().unwrap();
    let probe = Command::new(std::env::var("AS").unwrap_or("as".into()))
        .args(["--32", "-o", "/dev/null", "/dev/null"])
        .output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return skip("the_binaries_are_fresh", "no assembler for i386 (AS, LD)");
    }
    let output = Command::new(boot.join("assemble.sh"))
        .arg(fresh.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    for name in [
        "mbr.bin",
        "vbr.bin",
        "demo.bin",
        "standin.bin",
        "standin-efi.bin",
    ] {
        let made = std::fs::read(fresh.path().join(name)).unwrap();
        let committed = std::fs::read(boot.join(name)).unwrap();
        assert!(
            made == committed,
            "{name} is stale: run `cargo xtask codegen`"
        );
    }
}
