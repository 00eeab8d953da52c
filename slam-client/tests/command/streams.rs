// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes in order: standard output, unpacking, and how much memory that takes.
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use crate::program::{PROGRAM, Room, outcome, run, spawn, watch};
use crate::support::{TestServer, content};
use sha2::{Digest, Sha256};
use slam_client::Clock;

/// An image that packs well, and not to nothing.
fn image(len: usize) -> Vec<u8> {
    let noise = content(len / 8, 1);
    let mut image = vec![0; len];
    for (to, from) in image.chunks_mut(4096 * 8).zip(noise.chunks(4096)) {
        let len = to.len().min(from.len());
        to[..len].copy_from_slice(&from[..len]);
    }
    image
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).expect("in memory");
    out.finish().expect("in memory")
}

/// Runs the command with its standard output in hand.
fn to_output(arguments: &[&str]) -> (i32, Vec<u8>, String) {
    let mut child = spawn(arguments);
    let mut stdout = child.stdout.take().expect("piped");
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).map(|_| bytes)
    });
    let (code, _, stderr) = outcome(child);
    (
        code,
        reading.join().expect("no panic").expect("read"),
        stderr,
    )
}

#[test]
fn standard_output_gets_the_bytes_in_order() {
    let file = content(5_000_000, 1);
    let server = TestServer::start(file.clone(), 1);
    for (backwards, more) in [
        (false, &[][..]),
        (true, &[]),
        (true, &["--window", "1M"]),
        (true, &["--window", "1M", "--spill", "none"]),
    ] {
        if backwards {
            server.backwards();
        }
        let uri = server.uri();
        let (code, bytes, stderr) = to_output(&[&[uri.as_str(), "-o", "-"], more].concat());
        assert_eq!(code, 0, "{more:?}: {stderr}");
        assert!(bytes == file, "{more:?}");
        let digest = hex::encode(Sha256::digest(&file));
        assert!(stderr.contains(&digest), "the result is told: {stderr}");
    }
    let uri = server.uri();
    let arguments = [&uri, "-o", "-", "--json", "--window", "1M"];
    let (code, bytes, stderr) = to_output(&arguments);
    assert!(code == 0 && bytes == file, "{stderr}");
    let last: serde_json::Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "complete");
    assert!(last["spilled_bytes"].as_u64() > Some(1_000_000), "{last}");
}

#[test]
fn a_reader_that_goes_away_is_told() {
    let server = TestServer::start(content(5_000_000, 2), 2);
    let mut child = spawn([&server.uri(), "-o", "-"]);
    drop(child.stdout.take());
    let (code, _, stderr) = outcome(child);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("standard output: Broken pipe"), "{stderr}");
}

#[test]
fn another_file_in_the_middle_of_standard_output_is_an_error() {
    let first = content(3_000_000, 3);
    let server = TestServer::start(first.clone(), 3);
    server.allow(1000);
    let mut child = spawn([&server.uri(), "-o", "-"]);
    let mut stdout = child.stdout.take().expect("piped");
    let mut bytes = vec![0; 1_000_000];
    stdout.read_exact(&mut bytes).unwrap();
    let address = server.address;
    drop(server);
    let _server = TestServer::start_at(address, content(2_000_000, 4), 4);
    let reading = std::thread::spawn(move || stdout.read_to_end(&mut bytes).map(|_| bytes));
    let (code, _, stderr) = outcome(child);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("to standard output already"), "{stderr}");
    let bytes = reading.join().unwrap().unwrap();
    assert!(first.starts_with(&bytes), "nothing of the second came out");
}

#[test]
fn packed_images_are_unpacked_on_the_way() {
    let room = Room::new();
    let image = image(20_000_000);
    let zstd = zstd::encode_all(&image[..], 3).unwrap();
    let gzip = gzip(&image);
    for (seed, packed) in [(5, &zstd), (6, &gzip), (7, &image)] {
        let server = TestServer::start(packed.clone(), seed);
        if seed == 6 {
            server.backwards();
        }
        let output = room.path("disk.img");
        let arguments = ["--unpack", "auto", "--verify", "--json", "--window", "1M"];
        let (code, stdout, stderr) = run(&server.uri(), &output, &arguments);
        assert_eq!(code, 0, "{stdout}{stderr}");
        assert!(fs::read(&output).unwrap() == image, "{seed}");
        assert_eq!(room.files(), ["disk.img"]);
        let last: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
        assert_eq!(last["sha256"], hex::encode(Sha256::digest(packed)));
        assert_eq!(last["verified"], true);
        let unpacked = (seed != 7).then(|| hex::encode(Sha256::digest(&image)));
        assert_eq!(last["unpacked_sha256"].as_str(), unpacked.as_deref());
        let taken = fs::metadata(&output).unwrap().blocks() * 512;
        assert!(taken < image.len() as u64 / 2, "zeros are holes: {taken}");
        fs::remove_file(&output).unwrap();
    }
}

#[test]
fn what_is_unsound_leaves_no_file() {
    let room = Room::new();
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(&image(2_000_000)).unwrap();
    let packed = encoder.finish().unwrap();
    let mut spoilt = packed.clone();
    spoilt[packed.len() / 2] ^= 0x55;
    for (seed, bytes, how) in [
        (8, spoilt, "auto"),
        (9, packed[..packed.len() - 100].to_vec(), "auto"),
        (10, packed, "gzip"),
    ] {
        let server = TestServer::start(bytes, seed);
        let (code, _, stderr) = run(&server.uri(), &room.path("x"), &["--unpack", how]);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("no sound"), "{stderr}");
        assert_eq!(room.files(), [""; 0]);
    }
}

#[test]
fn memory_is_bounded_by_the_window_not_by_the_image() {
    const LEN: usize = 512 << 20;
    const MOST: u64 = 64 << 20;
    let room = Room::new();
    let mut image = vec![0; LEN];
    for at in (0..LEN).step_by(LEN / 64) {
        image[at..at + 10_000].copy_from_slice(&content(10_000, at as u64));
    }
    let digest = hex::encode(Sha256::digest(&image));
    let server = TestServer::start(image, 11);
    let disk = room.path("disk");
    fs::File::create(&disk)
        .unwrap()
        .set_len(LEN as u64)
        .unwrap();
    let (uri, file) = (server.uri(), room.path("file"));
    let (file, disk) = (file.to_str().unwrap(), disk.to_str().unwrap());
    let state = room.path("state");
    let state = state.to_str().unwrap();
    for arguments in [
        &["-o", file][..],
        &["--to", disk, "--force", "--verify", "--state", state],
        &["-o", "-"],
    ] {
        let clock = Clock::start();
        let mut child = std::process::Command::new(PROGRAM)
            .arg(&uri)
            .args(["--json", "--timeout", "120"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let streams = arguments.contains(&"-");
        // The image, or the events.
        let mut stdout = child.stdout.take().unwrap();
        let reading = std::thread::spawn(move || {
            let mut hash = Sha256::new();
            let mut bytes = vec![0; 1 << 16];
            let mut kept = Vec::new();
            loop {
                match stdout.read(&mut bytes).unwrap() {
                    0 => return (hex::encode(hash.finalize()), kept),
                    len => {
                        hash.update(&bytes[..len]);
                        if !streams {
                            kept.extend_from_slice(&bytes[..len]);
                        }
                    }
                }
            }
        });
        let ((code, _, stderr), peak) = watch(child);
        let (output, events) = reading.join().unwrap();
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        let events = String::from_utf8(events).unwrap();
        let told = if streams { &stderr } else { &events };
        let last: serde_json::Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
        assert_eq!(last["sha256"], digest, "{arguments:?}");
        assert!(!streams || output == digest);
        eprintln!(
            "{arguments:?}: at most {} KiB in memory, {} MiB spilled, {:.1} s",
            peak / 1024,
            last["spilled_bytes"].as_u64().unwrap() >> 20,
            clock.now().since_start().as_secs_f64()
        );
        assert!(peak > 1 << 20, "it was measured");
        assert!(peak < MOST, "{arguments:?}: {peak} bytes");
    }
}
