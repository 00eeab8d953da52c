// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files: received, interrupted, gone on with, refused.
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::program::{PROGRAM, Room, interrupt, outcome, poll, run, start};
use crate::support::{TestServer, content};
use sha2::{Digest, Sha256};

/// Stops a transfer after `blocks` blocks of the server's file, so that a later one can resume.
fn leave_partial(server: &TestServer, output: &Path, blocks: u64) {
    server.allow(blocks);
    let child = start(&server.uri(), output, &[]);
    let part = PathBuf::from(format!("{}.part", output.display()));
    let expected = blocks * 1451;
    // What has been written is data, the rest holes or zeros.
    poll("blocks", || {
        fs::read(&part).is_ok_and(|bytes| {
            bytes.len() as u64 >= expected
                && bytes[expected as usize - 100..expected as usize]
                    .iter()
                    .any(|&byte| byte != 0)
        })
    });
    interrupt(&child);
    let (code, _, stderr) = outcome(child);
    assert_eq!(code, 130, "{stderr}");
    assert!(stderr.contains("goes on from there"), "{stderr}");
    server.allow(u64::MAX);
}

#[test]
fn receives_a_file() {
    let room = Room::new();
    let file = content(2_000_000, 1);
    let server = TestServer::start(file.clone(), 1);
    let (code, stdout, stderr) = run(&server.uri(), &room.path("disk.img"), &[]);
    assert_eq!(code, 0, "{stderr}");
    assert!(fs::read(room.path("disk.img")).unwrap() == file);
    assert!(
        stdout.contains(&hex::encode(Sha256::digest(&file))),
        "{stdout}"
    );
    assert!(stdout.contains("Mbit/s"), "{stdout}");
    assert_eq!(room.files(), ["disk.img"], "nothing is left beside it");

    // Over a finished file, with the result as JSON.
    let (code, stdout, stderr) = run(&server.uri(), &room.path("disk.img"), &["--json"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("\"bytes\":2000000"), "{stdout}");
    assert!(
        stdout.contains(&hex::encode(Sha256::digest(&file))),
        "{stdout}"
    );
}

#[test]
fn goes_on_where_it_was_interrupted() {
    let room = Room::new();
    let file = content(3_000_000, 2);
    let server = TestServer::start(file.clone(), 2);
    let output = room.path("disk.img");
    leave_partial(&server, &output, 700);
    assert_eq!(room.files(), ["disk.img.part", "disk.img.slam-partial"]);
    let (code, stdout, stderr) = run(&server.uri(), &output, &["--json"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stdout.contains(&format!("\"resumed_bytes\":{}", 700 * 1451)),
        "{stdout}"
    );
    assert!(fs::read(&output).unwrap() == file);
    assert_eq!(room.files(), ["disk.img"]);
}

#[test]
fn goes_on_where_it_was_killed() {
    let room = Room::new();
    let file = content(3_000_000, 12);
    let server = TestServer::start(file.clone(), 12);
    let output = room.path("disk.img");
    server.allow(700);
    let mut child = start(&server.uri(), &output, &["--timeout", "60"]);
    // Nothing but what it noted by itself; that it does every few seconds.
    poll("a checkpoint", || {
        room.path("disk.img.slam-partial").exists()
    });
    child.kill().expect("it runs");
    outcome(child);
    assert_eq!(room.files(), ["disk.img.part", "disk.img.slam-partial"]);
    server.allow(u64::MAX);
    let (code, stdout, stderr) = run(&server.uri(), &output, &["--json"]);
    assert_eq!(code, 0, "{stderr}");
    let found = format!("\"resumed_bytes\":{}", 700 * 1451);
    assert!(stdout.contains(&found), "{stdout}");
    assert!(fs::read(&output).unwrap() == file);
    assert_eq!(room.files(), ["disk.img"]);
}

#[test]
fn a_partial_file_that_was_written_to_is_not_trusted() {
    let room = Room::new();
    let file = content(3_000_000, 13);
    let server = TestServer::start(file.clone(), 13);
    let output = room.path("disk.img");
    leave_partial(&server, &output, 700);
    let part = fs::OpenOptions::new()
        .write(true)
        .open(room.path("disk.img.part"))
        .unwrap();
    // The first block is always looked at.
    part.write_all_at(b"spoilt", 7).unwrap();
    let (code, _, stderr) = run(&server.uri(), &output, &[]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("is not there any more"), "{stderr}");
    assert!(fs::read(&output).unwrap() == file);
}

#[test]
fn zeros_become_holes() {
    let room = Room::new();
    let mut file = vec![0; 8 << 20];
    file[5 << 20..][..10_000].copy_from_slice(&content(10_000, 14));
    let server = TestServer::start(file.clone(), 14);
    for (when, holes) in [("auto", true), ("always", true), ("never", false)] {
        let output = room.path(when);
        let more = ["--sparse", when, "--verify"];
        let (code, stdout, stderr) = run(&server.uri(), &output, &more);
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.contains("read back from the disk"), "{stdout}");
        assert!(fs::read(&output).unwrap() == file);
        let taken = fs::metadata(&output).unwrap().blocks() * 512;
        assert_eq!(taken < 1 << 20, holes, "{when}: {taken} bytes taken");
    }
}

#[test]
fn a_wrong_digest_leaves_no_file() {
    let room = Room::new();
    let file = content(1_000_000, 15);
    let server = TestServer::start(file.clone(), 15);
    let (digest, wrong) = (hex::encode(Sha256::digest(&file)), "ab".repeat(32));
    let more = ["--sha256", wrong.as_str()];
    let (code, _, stderr) = run(&server.uri(), &room.path("x"), &more);
    assert_eq!(code, 5, "{stderr}");
    assert!(
        stderr.contains(&digest) && stderr.contains(&wrong),
        "{stderr}"
    );
    assert_eq!(room.files(), [""; 0]);
    let (code, stdout, _) = run(&server.uri(), &room.path("x"), &["--sha256", &digest]);
    assert_eq!(code, 0);
    assert!(stdout.contains("as demanded"), "{stdout}");
}

#[test]
fn events_tell_the_story() {
    let room = Room::new();
    let server = TestServer::start(content(1_000_000, 16), 16);
    let more = ["--json", "-i", "lo", "-i", "127.0.0.1"];
    let (code, stdout, stderr) = run(&server.uri(), &room.path("x"), &more);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let events: Vec<serde_json::Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|event: &serde_json::Value| event["event"] != "warning")
        .collect();
    assert_eq!(events[0]["event"], "listening");
    assert_eq!(events[0]["interfaces"], serde_json::json!(["127.0.0.1"]));
    assert_eq!(events[1]["event"], "started");
    assert_eq!(events[1]["bytes"], 1_000_000);
    assert_eq!(events.last().unwrap()["event"], "complete");
    let uri = server.uri();
    drop(server);
    let more = ["--json", "--timeout", "0.3"];
    let (code, stdout, stderr) = run(&uri, &room.path("y"), &more);
    assert_eq!((code, stderr.as_str()), (3, ""));
    let last: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "failed");
    assert_eq!(last["exit_code"], 3);
}

#[test]
fn another_file_starts_anew() {
    let room = Room::new();
    let server = TestServer::start(content(3_000_000, 3), 3);
    let output = room.path("disk.img");
    leave_partial(&server, &output, 700);
    let (address, shorter) = (server.address, content(1_000_000, 4));
    drop(server);
    let server = TestServer::start_at(address, shorter.clone(), 4);
    let (code, stdout, stderr) = run(&server.uri(), &output, &[]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("another file: starting anew"), "{stderr}");
    assert!(!stdout.contains("were there already"), "{stdout}");
    assert!(fs::read(&output).unwrap() == shorter);
    assert_eq!(room.files(), ["disk.img"]);
}

#[test]
fn a_spoilt_sidecar_is_told_and_not_trusted() {
    let room = Room::new();
    let file = content(3_000_000, 5);
    let server = TestServer::start(file.clone(), 5);
    let output = room.path("disk.img");
    let sidecar = room.path("disk.img.slam-partial");
    for spoil in [
        |text: String| text[..text.len() / 2].to_owned(),
        |text: String| text.replace("\"format\":2", "\"format\":3"),
        |text: String| text.replace("[[0,700]]", "[[0,70000]]"),
        |text: String| text.replace("\"total_bytes\":3000000", "\"total_bytes\":2000000"),
        |text: String| text.replace("\"block_size\":1451", "\"block_size\":0"),
    ] {
        leave_partial(&server, &output, 700);
        let text = fs::read_to_string(&sidecar).unwrap();
        let spoilt = spoil(text.clone());
        assert_ne!(spoilt, text);
        fs::write(&sidecar, spoilt).unwrap();
        let (code, _, stderr) = run(&server.uri(), &output, &[]);
        assert_eq!(code, 0, "{stderr}");
        assert!(stderr.contains("starting anew"), "{stderr}");
        assert!(stderr.contains("slam-partial"), "names the file: {stderr}");
        assert!(fs::read(&output).unwrap() == file);
        fs::remove_file(&output).unwrap();
    }
    // Or not even looked at.
    leave_partial(&server, &output, 700);
    let (code, stdout, _) = run(&server.uri(), &output, &["--fresh", "--json"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("\"resumed_bytes\":0"), "{stdout}");
}

#[test]
fn without_a_server_it_times_out() {
    let room = Room::new();
    let server = TestServer::start(content(10, 6), 6);
    let uri = server.uri();
    drop(server);
    let (code, _, stderr) = run(&uri, &room.path("x"), &["--timeout", "0.4"]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("no server answered"), "{stderr}");
    assert!(stderr.contains("nothing listens on UDP port"), "{stderr}");
    assert_eq!(room.files(), [""; 0]);
}

#[test]
fn a_server_that_falls_silent_leaves_a_partial_file() {
    let room = Room::new();
    let server = TestServer::start(content(1_000_000, 7), 7);
    server.allow(100);
    let (code, _, stderr) = run(&server.uri(), &room.path("x"), &["--timeout", "0.5"]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("with 100 of 690 blocks"), "{stderr}");
    assert_eq!(room.files(), ["x.part", "x.slam-partial"]);
}

#[test]
fn too_large_is_refused() {
    let room = Room::new();
    let server = TestServer::start(content(1_000_000, 8), 8);
    let more = ["--timeout", "0.5", "--max-bytes", "999999"];
    let (code, _, stderr) = run(&server.uri(), &room.path("x"), &more);
    assert_eq!(code, 4, "{stderr}");
    assert!(
        stderr.contains("at most 999999 bytes, found 1000000"),
        "{stderr}"
    );
    assert_eq!(room.files(), [""; 0]);
}

#[test]
fn wrong_usage() {
    let room = Room::new();
    for uri in ["http://10.0.0.1/", "x-slam://10.0.0.1/10.0.0.2"] {
        let (code, _, stderr) = run(uri, &room.path("x"), &[]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("expected x-slam://SERVER"), "{stderr}");
    }
}

#[test]
fn places_that_cannot_be_written() {
    let room = Room::new();
    let server = TestServer::start(content(1000, 9), 9);
    let (code, _, stderr) = run(&server.uri(), room.directory.path(), &[]);
    assert_eq!(code, 1);
    assert!(stderr.contains("no regular file"), "{stderr}");
    let (code, _, stderr) = run(&server.uri(), &room.path("no/such/place"), &[]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("no/such/place.part: cannot write here"),
        "{stderr}"
    );

    // Two at once: the test stands for the first.
    let first = fs::File::create(room.path("x.part")).unwrap();
    first.lock().unwrap();
    let (code, _, stderr) = run(&server.uri(), &room.path("x"), &[]);
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("another slam-client is writing it"),
        "{stderr}"
    );
    assert_eq!(room.files(), ["x.part"], "and stays");
}

#[test]
fn a_full_disk_is_met_at_the_start() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting a small filesystem takes root");
        return;
    }
    let room = Room::new();
    let server = TestServer::start(content(3_000_000, 10), 10);
    let disk = room.path("disk");
    fs::create_dir(&disk).unwrap();
    // In a mount namespace of its own, which goes when it ends.
    let script = "mount -t tmpfs -o size=1m none \"$1\" && \"$0\" \"$2\" -o \"$1/x\"; \
                  code=$?; ls \"$1\"; exit $code";
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, PROGRAM])
        .arg(&disk)
        .arg(server.uri())
        .output()
        .expect("unshare (util-linux)");
    let stderr = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("needs 3000000 bytes"), "{stderr}");
    assert!(stderr.contains("are free"), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&stdout), "", "nothing is left");
}
