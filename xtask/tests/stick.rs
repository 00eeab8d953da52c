// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask flash stick` on a loop device, which is a block device like a stick, and not removable.

#[path = "../../tests/support/loopback.rs"]
mod loopback;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output};

use loopback::Loop;
use xtask::cmd::Cmd;

const ISO: &str = "/usr/lib/ipxe/ipxe.iso";

/// A stick of so many bytes; `None`, and loudly so, where there can be none.
fn stick(file: &Path, bytes: u64) -> Option<Loop> {
    let skipped = |why: &str| {
        let _ = writeln!(std::io::stderr(), "skipped: {why}");
        None
    };
    if !Path::new(ISO).exists() {
        return skipped(&format!("no {ISO} (apt-get install ipxe)"));
    }
    fs::File::create(file).unwrap().set_len(bytes).unwrap();
    match Loop::of(file) {
        Ok(device) => Some(device),
        Err(error) => skipped(&format!("no loop device: {error}")),
    }
}

fn flash(image: &str, device: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["flash", "stick", image])
        .arg(device)
        .args(more)
        .output()
        .unwrap()
}

fn refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains(why),
        "{why} in {said}"
    );
}

#[test]
fn a_device_is_written_by_force_only_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stick.img");
    let Some(device) = stick(&file, 64 << 20) else {
        return;
    };
    refused(&flash(ISO, &device.0, &[]), "is not removable");
    refused(
        &flash("/usr/lib/ipxe/undionly.kpxe", &device.0, &["--force"]),
        "expected a disk or ISO image",
    );
    let untouched = |file: &Path| {
        let mut start = [0; 4096];
        fs::File::open(file)
            .unwrap()
            .read_exact(&mut start)
            .unwrap();
        start == [0; 4096]
    };
    assert!(untouched(&file));
    let output = flash(ISO, &device.0, &["--force"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("identical"),
        "{said}"
    );
    let image = fs::read(ISO).unwrap();
    assert!(fs::read(&device.0).unwrap().starts_with(&image));
}

#[test]
fn a_mounted_device_and_a_small_one_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(device) = stick(&dir.path().join("small.img"), 64 << 10) else {
        return;
    };
    refused(
        &flash(ISO, &device.0, &["--force"]),
        "has 65536 bytes, the image",
    );
    let Some(device) = stick(&dir.path().join("used.img"), 8 << 20) else {
        return;
    };
    let place = dir.path().join("mounted");
    fs::create_dir(&place).unwrap();
    let mounted = Cmd::new("mkfs.ext4")
        .arg("-q")
        .arg(&device.0)
        .read()
        .and_then(|_| Cmd::new("mount").arg(&device.0).arg(&place).read());
    if let Err(error) = mounted {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: nothing can be mounted: {error}"
        );
        return;
    }
    let output = flash(ISO, &device.0, &[]);
    let _ = Cmd::new("umount").arg(&place).read();
    refused(&output, "is mounted on");
}
