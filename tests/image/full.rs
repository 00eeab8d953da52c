// SPDX-License-Identifier: MIT OR Apache-2.0
//! A disk that is full, at whatever point, and inputs that change while they are read: `winpe` and
//! `update` say so, leave nothing behind, and what was there stays.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use crate::bad_input::{SmallDisk, assert_empty};
use crate::judge::{has_tool, skip};
use crate::support::slamboot;
use crate::winpe_parts::{Parts, done, has_wimlib, text};

const KINDS: [&str; 2] = ["fat32", "ntfs"];
const PAGE: u64 = 4096;

/// A disk of its own, which takes root.
fn small_disk(test: &str) -> Option<SmallDisk> {
    let disk = SmallDisk::mount(256 << 20);
    if disk.is_none() {
        skip(test, "cannot mount a tmpfs (not root?)");
    }
    disk
}

fn winpe<'a>(parts: &'a Parts, target: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let all = [
        "image",
        "winpe",
        "--wim",
        text(&parts.wim),
        "--bootmgr",
        text(&parts.bootmgr),
        "--sdi",
        text(&parts.sdi),
        "-o",
        text(target),
    ];
    [&all, more].concat()
}

fn refused(arguments: &[&str], expected: &str) {
    said(&slamboot(arguments), expected);
}

fn said(output: &Output, expected: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    assert!(said.contains(expected), "{expected:?} is not in {said}");
}

/// Bytes that a file takes on its disk.
fn taken(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().blocks() * 512
}

/// Places to be cut off at, from nothing to a page too few.
fn cuts(needed: u64) -> impl Iterator<Item = u64> {
    let tenths = (0..10).map(move |tenth| needed * tenth / 10 / PAGE * PAGE);
    tenths.chain([needed - PAGE]).map(|cut| cut.max(PAGE))
}

#[test]
fn winpe_on_a_disk_that_is_full_at_any_point() {
    let name = "winpe_on_a_disk_that_is_full_at_any_point";
    let (true, Some(disk)) = (has_wimlib(name), small_disk(name)) else {
        return;
    };
    let parts = Parts::new();
    let target = disk.path().join("disk.img");
    for kind in KINDS {
        let arguments = winpe(&parts, &target, &["--fs", kind]);
        disk.resize(256 << 20);
        done(&arguments);
        let needed = taken(&target);
        std::fs::remove_file(&target).unwrap();
        for cut in cuts(needed) {
            disk.resize(cut);
            refused(&arguments, "No space left on device");
            assert_empty(disk.path());
        }
        // That is indeed what it takes.
        disk.resize(needed + 16 * PAGE);
        done(&arguments);
        std::fs::remove_file(&target).unwrap();
    }
    // A WIM that is changed first, beside the target.
    let startnet = parts.at("own.cmd");
    std::fs::write(&startnet, "wpeinit\r\n").unwrap();
    let arguments = winpe(&parts, &target, &["--startnet", text(&startnet)]);
    let mut size = PAGE;
    let mut failures = 0;
    loop {
        disk.resize(size);
        if slamboot(&arguments).status.success() {
            break;
        }
        refused(&arguments, "No space left on device");
        assert_empty(disk.path());
        failures += 1;
        size = size * 7 / 4 / PAGE * PAGE + PAGE;
    }
    assert!(failures > 5, "{failures}");
}

#[test]
fn update_on_a_disk_that_is_full_at_any_point() {
    let name = "update_on_a_disk_that_is_full_at_any_point";
    let (true, Some(disk)) = (has_wimlib(name), small_disk(name)) else {
        return;
    };
    let parts = Parts::new();
    let note = parts.at("note.txt");
    std::fs::write(&note, vec![b'n'; 200_000]).unwrap();
    let add = format!("{}=\\note.txt", note.display());
    let image = disk.path().join("disk.img");
    let other = disk.path().join("other.img");
    for kind in KINDS {
        done(&winpe(&parts, &image, &["--fs", kind]));
        let before = std::fs::read(&image).unwrap();
        let update = ["image", "update", text(&image), "--add", &add];
        done(&[&update[..], &["-o", text(&other)]].concat());
        let (old, needed) = (taken(&image), taken(&other));
        let after = std::fs::read(&other).unwrap();
        std::fs::remove_file(&other).unwrap();
        for cut in cuts(needed) {
            disk.resize(old + cut);
            refused(&update, "No space left on device");
            assert!(std::fs::read(&image).unwrap() == before, "{kind}, {cut}");
            assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 1);
        }
        disk.resize(256 << 20);
        done(&update);
        assert!(std::fs::read(&image).unwrap() == after);
        std::fs::remove_file(&image).unwrap();
    }
}

#[test]
fn a_limit_on_the_length_of_files() {
    let name = "a_limit_on_the_length_of_files";
    if !has_wimlib(name) || !has_tool(name, "prlimit") {
        return;
    }
    let parts = Parts::new();
    let out = parts.at("out");
    std::fs::create_dir_all(&out).unwrap();
    let target = out.join("disk.img");
    let limited = |arguments: &[&str]| {
        Command::new("prlimit")
            .args(["--fsize=20000000", env!("CARGO_BIN_EXE_slamboot")])
            .args(arguments)
            .output()
            .unwrap()
    };
    let expected = "allows no file of that length";
    said(&limited(&winpe(&parts, &target, &[])), expected);
    assert_empty(&out);
    done(&winpe(&parts, &target, &[]));
    let before = std::fs::read(&target).unwrap();
    let update = ["image", "update", text(&target), "--size", "60MiB"];
    said(&limited(&update), expected);
    assert!(std::fs::read(&target).unwrap() == before);
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1);
}

/// What happens while somebody writes to a file all the time.
fn while_it_changes(path: &Path, run: impl FnOnce() -> Output) -> Output {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = File::options().write(true).open(path).unwrap();
            for moment in 1.. {
                let time = SystemTime::UNIX_EPOCH + Duration::from_millis(moment);
                file.set_modified(time).unwrap();
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let output = run();
        stop.store(true, Ordering::Relaxed);
        output
    })
}

#[test]
fn inputs_that_change_while_they_are_read() {
    let name = "inputs_that_change_while_they_are_read";
    if !has_wimlib(name) {
        return;
    }
    let parts = Parts::new();
    let mut large = vec![0; 40 << 20];
    fastrand::Rng::with_seed(1).fill(&mut large);
    std::fs::write(parts.at("tree/large.bin"), &large).unwrap();
    let wim = parts.at("large.wim");
    parts.capture(&wim, &["--compress=none", "--boot"]);
    let out = parts.at("out");
    std::fs::create_dir_all(&out).unwrap();
    let target = out.join("disk.img");
    for kind in KINDS {
        let build = winpe(&parts, &target, &["--fs", kind]);
        let build: Vec<&str> = build
            .into_iter()
            .map(|argument| {
                if argument == text(&parts.wim) {
                    text(&wim)
                } else {
                    argument
                }
            })
            .collect();
        let output = while_it_changes(&wim, || slamboot(&build));
        said(&output, "large.wim: it changed while it was read");
        assert_empty(&out);

        done(&build);
        let before = std::fs::read(&target).unwrap();
        let update = ["image", "update", text(&target), "--wim", text(&wim)];
        let output = while_it_changes(&wim, || slamboot(&update));
        said(&output, "large.wim: it changed while it was read");
        let update = ["image", "update", text(&target), "--size", "100MiB"];
        let output = while_it_changes(&target, || slamboot(&update));
        said(&output, "disk.img: it changed while it was read");
        assert!(std::fs::read(&target).unwrap() == before, "{kind}");
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1);
        std::fs::remove_file(&target).unwrap();
    }
}
