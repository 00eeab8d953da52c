// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clients of different speeds in one room, and images that are no files.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;
use xtask::cmd::Running;
use xtask::console::{Deadline, now};
use xtask::netlab::{INTERFACE, Netlab, SERVER};

use super::loopback::Loop;
use super::support::Outcome;
use super::{Room, SOON, TRANSFER, program, receive, sha256, text};

/// The group that `slow_group` has by default, for the first file.
const SLOW_GROUP: &str = "239.255.2.1";

/// What goes from the switch to this host is limited, as by an old card or a bad cable.
pub(super) fn slow_cable(room: &Room, host: usize, rate: &str) -> Outcome {
    let limit = ["rate", rate, "burst", "16kb", "limit", "64kb"];
    let qdisc = room.lab.switch().cmd("tc").args(["qdisc", "add", "dev"]);
    qdisc
        .arg(Netlab::port(host))
        .args(["root", "tbf"])
        .args(limit)
        .read()?;
    Ok(())
}

/// Whether the switch passes this group on to this host.
fn gets(room: &Room, host: usize, group: &str) -> anyhow::Result<bool> {
    let bridge = room.lab.switch().cmd("bridge");
    let shown = bridge.args(["mdb", "show"]).read()?;
    let (port, group) = (
        format!("port {} ", Netlab::port(host)),
        format!("grp {group} "),
    );
    let both = |line: &str| line.contains(&port) && line.contains(&group);
    Ok(shown.lines().any(both))
}

/// Three take what the link gives, and one a quarter of that: it goes to a group of its own, of which
/// the others' cables see nothing, and costs them next to nothing.
pub(super) fn a_slow_client_goes_to_a_group_of_its_own() -> Outcome {
    let mut room = Room::new()?;
    room.lab.snoop()?;
    let file = room.file("disk.img", 40 << 20)?;
    let expected = sha256(&file)?;
    #[rustfmt::skip]
    let arguments = [
        text(&file), "--interface", INTERFACE, "--max-rate", "100 Mbit/s", "--slow-clients", "split",
    ];
    let server = room.serve("server", &arguments)?;
    let uri = format!("x-slam://{SERVER}");
    let start = now();
    let mut clients: Vec<(Running, PathBuf)> = Vec::new();
    for number in 0..4 {
        let out = room.dir.path().join(format!("out{number}"));
        let log = room.dir.path().join(format!("client{number}.log"));
        room.lab.host()?;
        if number == 3 {
            slow_cable(&room, number, "25mbit")?;
        }
        let client = receive(&room.lab.hosts()[number], &uri, &out)?.spawn(&log)?;
        clients.push((client, out));
    }
    let deadline = Deadline::after(SOON);
    while !gets(&room, 3, SLOW_GROUP)? {
        ensure!(
            deadline.left().is_some(),
            "the slow one is in no group of its own{}",
            server.console.tail()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let (slow, slow_out) = clients.pop().context("four clients")?;
    for (number, (client, out)) in clients.into_iter().enumerate() {
        client.wait(Some(TRANSFER))?;
        ensure!(sha256(&out)? == expected, "{} differs", out.display());
        ensure!(!gets(&room, number, SLOW_GROUP)?, "{number} gets both");
    }
    let fast = start.elapsed();
    ensure!(!slow_out.exists(), "the slow one was not slow");
    slow.wait(Some(TRANSFER))
        .with_context(|| server.console.tail())?;
    let slow = start.elapsed();
    ensure!(sha256(&slow_out)? == expected, "the slow one's differs");
    // At the pace of the slow one, all would take 13 s.
    ensure!(
        fast < slow.mul_f64(0.7),
        "the fast ones took {fast:?}, the slow one {slow:?}"
    );
    server.console.wait_for("moved", SOON)?;
    server.end()
}

/// Served from a block device, and received onto one, read back.
pub(super) fn a_block_device_is_served_to_another() -> Outcome {
    let mut room = Room::new()?;
    let file = room.file("disk.img", 16 << 20)?;
    let target = room.dir.path().join("target.img");
    // A disk is rarely as small as its image.
    fs::File::create(&target)?.set_len(24 << 20)?;
    let source = Loop::of(&file)?;
    let disk = Loop::of(&target)?;
    let server = room.serve("server", &[text(&source.0), "--interface", INTERFACE])?;
    let client = room.lab.host()?.cmd(program("slam-client")?);
    let uri = format!("x-slam://{SERVER}");
    client
        .args([&uri, "--to", text(&disk.0), "--verify", "--quiet"])
        .limit(TRANSFER)
        .read()
        .with_context(|| server.console.tail())?;
    drop(disk);
    let content = fs::read(&file)?;
    let written = fs::read(&target)?;
    ensure!(written[..content.len()] == content[..], "the disk differs");
    let rest = &written[content.len()..];
    ensure!(
        rest.iter().all(|byte| *byte == 0),
        "it wrote past the image"
    );
    server.end()
}

/// Killed, it told nobody anything, and kept nothing: who waits goes on with the next one.
pub(super) fn a_killed_server_comes_back() -> Outcome {
    let mut room = Room::new()?;
    let file = room.file("disk.img", 24 << 20)?;
    #[rustfmt::skip]
    let arguments = [text(&file), "--interface", INTERFACE, "--max-rate", "100 Mbit/s"];
    let first = room.serve("first", &arguments)?;
    let clients = super::three_in_the_middle(&mut room)?;
    first.running.signal(Signal::KILL);
    ensure!(first.running.wait(Some(SOON)).is_err(), "it was killed");
    for (_, out) in &clients {
        ensure!(!out.exists(), "it was whole before the server was killed");
    }
    let second = room.serve("second", &arguments)?;
    super::all_finish(clients, &file).with_context(|| second.console.tail())?;
    second.end()
}
