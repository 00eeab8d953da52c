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

/// Neither is read whole: a device without an end, and a disk that is larger than the memory.
#[test]
fn what_is_too_large_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk.img");
    let file = std::fs::File::create(&disk).unwrap();
    file.set_len(100 << 30).unwrap();
    for path in ["/dev/zero", disk.to_str().unwrap()] {
        let output = inspect(&[path]);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        for part in [path, "more than 67108864 bytes", "help:"] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }
}

/// EFI binaries have no checksum: a manifest beside them has.
#[test]
fn a_changed_byte_is_told_by_the_manifest() {
    use firmware::manifest::{Artefact, ArtefactKind, Manifest};

    let Ok(mut content) = std::fs::read("/usr/lib/ipxe/snponly.efi") else {
        prebuilt();
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("snponly.efi");
    let path = file.to_str().unwrap();
    let mut manifest = Manifest::default();
    manifest.put(Artefact::of("snponly.efi", &content, ArtefactKind::Other));
    manifest.write(&dir.path().join("manifest.json")).unwrap();
    std::fs::write(&file, &content).unwrap();
    let output = inspect(&[path]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("as built by"), "{said}");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&file, &content).unwrap();
    let output = inspect(&[path]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("some byte has changed"), "{said}");
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
