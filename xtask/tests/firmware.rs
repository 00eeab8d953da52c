// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask firmware` as its users see it when something is wrong.

use std::path::Path;
use std::process::{Command, Output};

/// Runs the verb with directories of its own, no network and `path` as PATH.
fn firmware(dir: &Path, path: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("firmware")
        .args(arguments)
        .env("PATH", path)
        .env("SLAMBOOT_CACHE", dir.join("cache"))
        .env("SLAMBOOT_DIST", dir.join("dist"))
        .env("CARGO_TARGET_DIR", dir.join("target"))
        // Whatever is fetched by mistake fails at once.
        .env("https_proxy", "http://127.0.0.1:1")
        .output()
        .unwrap()
}

fn refused(dir: &Path, path: &str, arguments: &[&str], parts: &[&str]) {
    let output = firmware(dir, path, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    // What was tried may be told before.
    assert!(
        said.lines().any(|line| line.starts_with("error: ")),
        "{said}"
    );
    for part in parts {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert!(!dir.join("dist/manifest.json").exists(), "{said}");
}

fn own_path() -> String {
    std::env::var("PATH").unwrap()
}

#[test]
fn missing_tools_are_named_with_the_command_that_installs_them() {
    let dir = tempfile::tempdir().unwrap();
    refused(
        dir.path(),
        "/slamboot-no-such",
        &[],
        &["make", "perl", "gcc", "git"],
    );
}

#[test]
fn names_are_checked_before_anything_is_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let path = own_path();
    refused(
        dir.path(),
        &path,
        &["--release", "v0"],
        &["\"v0\"", "v2.0.0", "head"],
    );
    refused(
        dir.path(),
        &path,
        &["--target", "x.exe"],
        &["\"x.exe\"", "kpxe", "mrom"],
    );
    refused(
        dir.path(),
        &path,
        &["--source", "/no/such"],
        &["/no/such", "git repository"],
    );
    refused(
        dir.path(),
        &path,
        &["--config", "/no/such.toml"],
        &["/no/such.toml"],
    );
    assert!(!dir.path().join("cache").exists());
}

#[test]
fn without_a_source_every_place_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache").display().to_string();
    let upstream = "https://github.com/ipxe/ipxe.git";
    let help = "cargo xtask firmware --source DIR";
    refused(dir.path(), &own_path(), &[], &[&cache, upstream, help]);
}

#[test]
fn a_dist_that_cannot_be_written_is_said_before_compiling() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("dist"), "in the way").unwrap();
    let parts = ["dist/firmware", "expected a directory", "SLAMBOOT_DIST"];
    refused(dir.path(), &own_path(), &[], &parts);
    assert!(!dir.path().join("cache").exists());
}

#[test]
fn a_tree_of_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let tarball = dir.path().join("other.tar");
    std::fs::write(dir.path().join("hello.c"), "int main;").unwrap();
    let packed = Command::new("tar")
        .arg("-cf")
        .arg(&tarball)
        .arg("-C")
        .arg(dir.path())
        .arg("hello.c")
        .status()
        .unwrap();
    assert!(packed.success());
    let source = tarball.to_str().unwrap();
    let parts = [
        source,
        "expected iPXE's source",
        "src/Makefile.housekeeping",
    ];
    refused(dir.path(), &own_path(), &["--source", source], &parts);
}

#[test]
fn a_script_of_the_sites_own_is_read_and_checked_before_anything_is_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("slamboot.toml");
    let script = dir.path().join("room.ipxe");
    let named = "[firmware.script] file: ";
    for (keys, text, parts) in [
        ("", None, &[named, "room.ipxe", "cannot be read"][..]),
        ("", Some("echo x\n"), &[named, "expected #!ipxe"]),
        (
            "",
            Some("#!ipxe\ngoto x\n"),
            &[named, "line 2", "no line is :x"],
        ),
        ("", Some("#!ipxe\n\u{0}"), &[named, "byte 7", "UTF-8"]),
        (
            "",
            Some("#!ipxe\nchain https://h/x\n"),
            &["line 2", "no https:// URIs", "[firmware] protocols"],
        ),
        (
            "vlan = 5\n",
            Some("#!ipxe\n"),
            &["vlan", "take one of them out"],
        ),
        ("vlan = 4095\n", None, &["vlan", "1 to 4094"]),
    ] {
        let _ = std::fs::remove_file(&script);
        if let Some(text) = text {
            std::fs::write(&script, text).unwrap();
        }
        let file = if keys.contains("4095") {
            ""
        } else {
            "file = \"room.ipxe\"\n"
        };
        std::fs::write(&config, format!("[firmware.script]\n{file}{keys}")).unwrap();
        let config = config.to_str().unwrap();
        let arguments = ["--config", config, "--target", "undionly.kpxe"];
        refused(dir.path(), &own_path(), &arguments, parts);
    }
    assert!(!dir.path().join("cache").exists());
}
