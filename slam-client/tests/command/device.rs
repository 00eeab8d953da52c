// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks as targets: loop devices, and files that stand for disks.
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{Room, interrupt, outcome, poll, spawn};
use crate::support::{TestServer, content};
use sha2::{Digest, Sha256};
use slam_client::wire::TransactionId;

const DISK: usize = 16 << 20;

/// A loop device, until it is dropped.
struct Loop {
    device: PathBuf,
}

impl Loop {
    /// Over `file`; nothing where there are no loop devices to be had.
    fn over(file: &Path, more: &[&str]) -> Option<Self> {
        let made = Command::new("losetup")
            .args(["--find", "--show"])
            .args(more)
            .arg(file)
            .output();
        match made {
            Ok(made) if made.status.success() => Some(Loop {
                device: String::from_utf8(made.stdout)
                    .expect("a path")
                    .trim()
                    .into(),
            }),
            other => {
                eprintln!("SKIPPED: losetup --find makes no loop device (root?): {other:?}");
                None
            }
        }
    }

    fn name(&self) -> &str {
        self.device.to_str().expect("UTF-8")
    }

    /// What is on it, past the page cache of the device.
    fn read(&self) -> Vec<u8> {
        let flushed = Command::new("blockdev")
            .arg("--flushbufs")
            .arg(&self.device)
            .status();
        assert!(flushed.expect("blockdev (util-linux)").success());
        fs::read(&self.device).expect("it can be read")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.device).status();
    }
}

/// A file with something in it.
fn disk(room: &Room) -> (PathBuf, Vec<u8>) {
    let before = content(DISK, 99);
    let path = room.path("disk");
    fs::write(&path, &before).expect("written");
    (path, before)
}

fn transaction(content: &[u8]) -> u64 {
    TransactionId::from_digest(&Sha256::digest(content).into())
        .0
        .get()
}

fn write(server: &TestServer, device: &str, room: &Room, more: &[&str]) -> (i32, String, String) {
    let (uri, state) = (server.uri(), room.path("state"));
    let state = state.to_str().expect("UTF-8");
    let usual = [uri.as_str(), "--to", device, "--state", state];
    outcome(spawn([&usual, more].concat()))
}

fn last(stdout: &str) -> serde_json::Value {
    serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON")
}

/// Stops a transfer to a disk in the middle, after so many blocks, which are so many bytes.
fn leave_half(server: &TestServer, device: &str, room: &Room, blocks: u64, bytes: u64) {
    server.allow(blocks);
    let (uri, state) = (server.uri(), room.path("state"));
    let state = state.to_str().expect("UTF-8");
    let mut child = spawn([&uri, "--to", device, "--state", state, "--force", "--json"]);
    // Until it tells that it has them all.
    let stdout = child.stdout.take().expect("piped");
    let expected = format!("\"done\":{bytes},");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stdout));
    assert!(lines.any(|line| line.expect("text").contains(&expected)));
    interrupt(&child);
    let reading = std::thread::spawn(move || lines.last());
    let (code, _, stderr) = outcome(child);
    let last = reading
        .join()
        .expect("no panic")
        .expect("a line")
        .expect("text");
    assert_eq!(code, 130, "{stderr}");
    assert!(last.contains(&format!("\"kept\":{bytes}}}")), "{last}");
    server.allow(u64::MAX);
}

#[test]
fn a_disk_gets_the_image_and_keeps_the_rest() {
    let room = Room::new();
    let (path, before) = disk(&room);
    // Neither its end nor its blocks meet sectors.
    let image = content(9_000_001, 1);
    let server = TestServer::start(image.clone(), transaction(&image));
    for sectors in ["512", "4096"] {
        fs::write(&path, &before).unwrap();
        let Some(device) = Loop::over(&path, &["--sector-size", sectors]) else {
            return;
        };
        let more = ["--verify", "--json"];
        let (code, stdout, stderr) = write(&server, device.name(), &room, &more);
        assert_eq!(code, 0, "{stdout}{stderr}");
        let last = last(&stdout);
        assert_eq!(last["verified"], true);
        assert_eq!(last["agreement"], "transaction");
        let found = device.read();
        assert!(found[..image.len()] == image, "{sectors}");
        assert!(found[image.len()..] == before[image.len()..], "{sectors}");
        assert_eq!(room.files(), ["disk"], "no sidecar is left");
    }
}

#[test]
fn a_disk_in_use_is_refused() {
    let room = Room::new();
    let (path, _) = disk(&room);
    let Some(device) = Loop::over(&path, &[]) else {
        return;
    };
    let server = TestServer::start(content(1_000_000, 2), 2);
    let run = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).status();
        assert!(status.is_ok_and(|it| it.success()), "{program}");
    };
    run("mkswap", &["-q", device.name()]);
    if Command::new("swapon")
        .arg(device.name())
        .status()
        .is_ok_and(|it| it.success())
    {
        let (code, _, stderr) = write(&server, device.name(), &room, &[]);
        run("swapoff", &[device.name()]);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("is swap"), "{stderr}");
    } else {
        eprintln!("SKIPPED: swapon does not work here");
    }

    // A filesystem on it; mounted in this test's own place, and gone with it.
    if Command::new("mkfs.ext2").arg("-V").output().is_err() {
        eprintln!("SKIPPED: there is no mkfs.ext2 (e2fsprogs)");
        return;
    }
    run("mkfs.ext2", &["-q", "-F", device.name()]);
    let place = room.path("mounted");
    fs::create_dir(&place).unwrap();
    let place = place.to_str().unwrap();
    run("mount", &[device.name(), place]);
    let before = device.read();
    let (code, _, stderr) = write(&server, device.name(), &room, &[]);
    // Somebody else's mount, which the table of mounts here does not show.
    let hidden = Command::new("unshare")
        .args(["--mount", "sh", "-c"])
        .arg("umount \"$1\"; shift; exec \"$@\"")
        .args(["sh", place, crate::program::PROGRAM, &server.uri()])
        .args(["--to", device.name()])
        .output()
        .unwrap();
    run("umount", &[place]);
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains(&format!("is mounted on {place}")),
        "{stderr}"
    );
    assert!(stderr.contains("--force"), "{stderr}");
    let stderr = String::from_utf8(hidden.stderr).unwrap();
    assert_eq!(hidden.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("somebody has it"), "{stderr}");
    let after = device.read();
    let differs = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert!(differs < 4096, "but for what unmounting notes: {differs}");
    assert_eq!(
        write(&server, device.name(), &room, &[]).0,
        0,
        "now it is free"
    );
}

#[test]
fn a_partition_in_use_protects_its_disk() {
    let room = Room::new();
    let path = room.path("disk");
    let file = File::create(&path).unwrap();
    file.set_len(DISK as u64).unwrap();
    // One partition, Linux, from sector 2048 on (MBR).
    let mut entry = [0; 16];
    entry[4] = 0x83;
    entry[8..12].copy_from_slice(&2048_u32.to_le_bytes());
    entry[12..16].copy_from_slice(&(DISK as u32 / 512 - 2048).to_le_bytes());
    file.write_all_at(&entry, 446).unwrap();
    file.write_all_at(&[0x55, 0xaa], 510).unwrap();
    let Some(device) = Loop::over(&path, &["--partscan"]) else {
        return;
    };
    let partition = format!("{}p1", device.name());
    if !Path::new(&partition).exists() {
        eprintln!("SKIPPED: no partitions on loop devices here");
        return;
    }
    let made = Command::new("mkswap").args(["-q", &partition]).status();
    let on = Command::new("swapon").arg(&partition).status();
    if !(made.is_ok_and(|it| it.success()) && on.is_ok_and(|it| it.success())) {
        eprintln!("SKIPPED: swapon does not work here");
        return;
    }
    let server = TestServer::start(content(1_000_000, 3), 3);
    let (code, _, stderr) = write(&server, device.name(), &room, &[]);
    let off = Command::new("swapoff").arg(&partition).status();
    assert!(off.unwrap().success());
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("p1 is swap"), "{stderr}");
}

#[test]
fn an_image_that_does_not_fit_is_refused_untouched() {
    let room = Room::new();
    let (path, before) = disk(&room);
    let image = content(DISK + 1, 4);
    let server = TestServer::start(image.clone(), 4);
    let (code, _, stderr) = write(&server, path.to_str().unwrap(), &room, &["--force"]);
    assert_eq!(code, 4, "{stderr}");
    assert!(
        stderr.contains("holds 16777216 bytes, the image has 16777217"),
        "{stderr}"
    );
    assert!(fs::read(&path).unwrap() == before);

    // Unpacked, nobody knows before.
    let packed = zstd::encode_all(&image[..], 1).unwrap();
    let server = TestServer::start(packed, 5);
    let more = ["--force", "--unpack"];
    let (code, _, stderr) = write(&server, path.to_str().unwrap(), &room, &more);
    assert_eq!(code, 4, "{stderr}");
    assert_eq!(fs::metadata(&path).unwrap().len(), DISK as u64);
}

#[test]
fn what_is_no_disk_takes_force() {
    let room = Room::new();
    let (path, before) = disk(&room);
    let server = TestServer::start(content(2_000_003, 6), 6);
    let name = path.to_str().unwrap();
    let (code, _, stderr) = write(&server, name, &room, &[]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("no block device"), "{stderr}");
    let (code, stdout, stderr) = write(&server, name, &room, &["--force", "--verify"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("read back from the disk"), "{stdout}");
    let found = fs::read(&path).unwrap();
    assert_eq!(found.len(), before.len());
    assert!(found[..2_000_003] == content(2_000_003, 6));
    assert!(found[2_000_003..] == before[2_000_003..]);
    let (code, _, stderr) = write(&server, "/dev/null", &room, &["--force"]);
    assert_eq!(code, 1, "{stderr}");
    let (code, _, stderr) = write(&server, "/dev/no/such", &room, &[]);
    assert_eq!(code, 1, "{stderr}");
}

#[test]
fn packed_images_go_straight_to_disks() {
    let room = Room::new();
    let (path, before) = disk(&room);
    let Some(device) = Loop::over(&path, &[]) else {
        return;
    };
    let image = content(9_000_001, 7);
    let packed = zstd::encode_all(&image[..], 1).unwrap();
    let server = TestServer::start(packed.clone(), 7);
    let digest = hex::encode(Sha256::digest(&packed));
    let more = [
        "--unpack", "auto", "--verify", "--sha256", &digest, "--json",
    ];
    let (code, stdout, stderr) = write(&server, device.name(), &room, &more);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert_eq!(last(&stdout)["agreement"], "demanded");
    assert_eq!(last(&stdout)["verified"], true);
    let found = device.read();
    assert!(found[..image.len()] == image && found[image.len()..] == before[image.len()..]);

    // Written as it is, it is asked whether that was meant.
    let (code, _, stderr) = write(&server, device.name(), &room, &[]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("--unpack unpacks it"), "{stderr}");
}

#[test]
fn a_half_written_disk_is_completed() {
    let room = Room::new();
    let (path, before) = disk(&room);
    let name = path.to_str().unwrap();
    let image = content(9_000_001, 8);
    let server = TestServer::start(image.clone(), transaction(&image));
    server.backwards();
    // Sent backwards, the last block is among them, and shorter.
    let half: u64 = 2999 * 1451 + 9_000_001 % 1451;
    leave_half(&server, name, &room, 3000, half);
    assert_eq!(room.files(), ["disk", "state"]);
    let more = ["--force", "--verify", "--json"];
    let (code, stdout, stderr) = write(&server, name, &room, &more);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert_eq!(last(&stdout)["resumed_bytes"], half);
    let found = fs::read(&path).unwrap();
    assert!(found[..image.len()] == image && found[image.len()..] == before[image.len()..]);
    assert_eq!(room.files(), ["disk"]);
}

#[test]
fn another_disk_under_the_same_name_starts_anew() {
    let room = Room::new();
    let (path, before) = disk(&room);
    let name = path.to_str().unwrap();
    let image = content(9_000_000, 9);
    let server = TestServer::start(image.clone(), transaction(&image));
    leave_half(&server, name, &room, 3000, 3000 * 1451);
    fs::write(&path, &before).unwrap();
    let (code, stdout, stderr) = write(&server, name, &room, &["--force", "--json"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("is not there any more"), "{stdout}");
    assert_eq!(last(&stdout)["resumed_bytes"], 0);
    assert!(fs::read(&path).unwrap()[..image.len()] == image);
    poll("no sidecar", || room.files() == ["disk"]);
}
