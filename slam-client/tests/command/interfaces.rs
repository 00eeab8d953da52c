// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several interfaces, in a network that only this test sees.

use std::fs;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use crate::program::{Room, run};
use crate::support::{TestServer, content};

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.is_ok_and(|it| it.success()), "ip {arguments}");
}

#[test]
fn data_is_taken_from_any_of_them() {
    // The network of this thread, and of what it starts; it goes with them.
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
        eprintln!("SKIPPED: a network namespace takes root: {error}");
        return;
    }
    ip("link set lo up");
    ip("link add silent0 type veth peer name silent1");
    ip("addr add 10.9.8.7/24 dev silent0");
    ip("link set silent0 up");
    ip("link set silent1 up");
    let room = Room::new();
    let file = content(1_000_000, 1);
    // It sends on the loopback interface alone.
    let server = TestServer::start(file.clone(), 1);
    let output = room.path("x");
    let run = |more: &[&str]| {
        run(
            &server.uri(),
            &output,
            &[&["--timeout", "1"], more].concat(),
        )
    };
    let (code, _, stderr) = run(&["-i", "silent0"]);
    assert_eq!(code, 3, "{stderr}");
    for both in [
        ["-i", "silent0", "-i", "lo"],
        ["-i", "lo", "-i", "10.9.8.7"],
    ] {
        let (code, _, stderr) = run(&both);
        assert_eq!(code, 0, "{stderr}");
        assert!(stderr.contains(" and "), "both are named: {stderr}");
        assert!(fs::read(&output).unwrap() == file);
    }
}
