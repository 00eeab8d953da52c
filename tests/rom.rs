// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot rom`, run as a user runs it, on the distribution's own iPXE.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const PREBUILT: &str = "/usr/lib/ipxe/undionly.kpxe";

fn inspect(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slamboot"));
    command
        .args(["rom", "inspect"])
        .args(args)
        .output()
        .unwrap()
}

fn prebuilt() -> bool {
    let there = Path::new(PREBUILT).exists();
    if !there {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no {PREBUILT} (apt-get install ipxe)"
        );
    }
    there
}

#[test]
fn what_is_required_and_absent_exits_1() {
    if !prebuilt() {
        return;
    }
    assert_eq!(inspect(&[PREBUILT]).status.code(), Some(0));
    let output = inspect(&[PREBUILT, "--require", "slam"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    for part in [PREBUILT, "no slam", "absent", "help:"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn programs_get_json() {
    if !prebuilt() {
        return;
    }
    let output = inspect(&[PREBUILT, "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["kind"], "boot-program");
    assert_eq!(report["multicast"], false);
    assert_eq!(report["slam"]["support"], "absent");
    for (list, word) in [
        ("protocols", "http"),
        ("features", "TFTP"),
        ("commands", "dhcp"),
    ] {
        let list = report[list].as_array().unwrap();
        assert!(list.iter().any(|found| found == word), "{word} in {list:?}");
    }
    assert!(
        report["images"].is_array() && report["script"].is_null(),
        "{report}"
    );
    let two = inspect(&[PREBUILT, PREBUILT, "--json"]);
    let two: Value = serde_json::from_slice(&two.stdout).unwrap();
    assert_eq!(two.as_array().map(Vec::len), Some(2));
}

#[test]
fn what_is_no_firmware_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes.txt");
    std::fs::write(&file, "not firmware").unwrap();
    for path in [file.to_str().unwrap(), "/no/such"] {
        let output = inspect(&[path]);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(path), "{said}");
    }
}
