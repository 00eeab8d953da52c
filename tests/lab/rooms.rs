// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rooms that are waited for, rooms of one and of eight, and who is left out of one.

use std::time::Duration;

use anyhow::{Context, ensure};
use xtask::console::{Deadline, now};
use xtask::netlab::{INTERFACE, SERVER};

use super::pace::slow_cable;
use super::support::Outcome;
use super::{Room, SOON, Served, TRANSFER, all_finish, join, program, sha256, text};

/// How often the server says to have sent the file.
fn times_the_file(server: &Served) -> anyhow::Result<f64> {
    let line = server.console.wait_for("times the file", SOON)?.text;
    let times = line.split(" times the file").next().unwrap_or_default();
    let times = times.rsplit('(').next().unwrap_or_default();
    times.parse().with_context(|| line.clone())
}

pub(super) fn a_room_begins_when_all_are_there() -> Outcome {
    let mut room = Room::new()?;
    let file = room.file("disk.img", 8 << 20)?;
    #[rustfmt::skip]
    let arguments = [
        text(&file), "--interface", INTERFACE, "--max-rate", "200 Mbit/s",
        "--min-clients", "3", "--max-wait", "60",
    ];
    let server = room.serve("server", &arguments)?;
    let mut clients = vec![join(&mut room)?, join(&mut room)?];
    // The file takes 0.4 s.
    std::thread::sleep(Duration::from_secs(2));
    for (client, out) in &clients {
        let early = client.ended()? || out.exists();
        ensure!(
            !early,
            "it began without the third{}",
            server.console.tail()
        );
    }
    clients.push(join(&mut room)?);
    all_finish(clients, &file).with_context(|| server.console.tail())?;
    let times = times_the_file(&server)?;
    ensure!(times < 1.1, "sent {times} times for a room of three");
    server.end()
}

pub(super) fn a_room_begins_when_it_has_waited() -> Outcome {
    let mut room = Room::new()?;
    let file = room.file("disk.img", 4 << 20)?;
    #[rustfmt::skip]
    let arguments = [
        text(&file), "--interface", INTERFACE, "--min-clients", "9", "--max-wait", "3",
    ];
    let server = room.serve("server", &arguments)?;
    let start = now();
    let clients = vec![join(&mut room)?, join(&mut room)?];
    all_finish(clients, &file).with_context(|| server.console.tail())?;
    let took = start.elapsed();
    ensure!(took > Duration::from_secs(3), "it waited for {took:?} only");
    server.end()
}

/// Dropped for its slow cable, told so, and served by HTTP from where it was.
pub(super) fn a_dropped_client_goes_on_over_http() -> Outcome {
    let mut room = Room::new()?;
    let file = room.file("disk.img", 48 << 20)?;
    #[rustfmt::skip]
    let arguments = [
        text(&file), "--interface", INTERFACE, "--max-rate", "40 Mbit/s",
        "--slow-clients", "drop below 20 Mbit/s",
    ];
    let server = room.serve("server", &arguments)?;
    let fast = join(&mut room)?;
    room.lab.host()?;
    slow_cable(&room, 1, "8mbit")?;
    let out = room.dir.path().join("slow");
    let log = room.dir.path().join("slow.log");
    let client = room.lab.hosts()[1].cmd(program("slam-client")?);
    let slow = client
        .args([&format!("x-slam://{SERVER}"), "--output", text(&out)])
        .args([
            "--http-fallback",
            &format!("http://{SERVER}:8080/images/disk"),
            "--json",
        ])
        .spawn(&log)?;
    server.console.wait_for(" dropped after ", TRANSFER)?;
    // Where that is lost on the slow cable, it is told again when it asks, for want of multicast.
    let deadline = Deadline::after(TRANSFER);
    let fell_back =
        || std::fs::read_to_string(&log).map(|said| said.contains("\"event\":\"fallback\""));
    while !fell_back()? {
        ensure!(
            deadline.left().is_some(),
            "no fallback{}",
            server.console.tail()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    // By that cable, what is left takes 40 s.
    let port = xtask::netlab::Netlab::port(1);
    let cable = room.lab.switch().cmd("tc");
    cable.args(["qdisc", "del", "dev", &port, "root"]).read()?;
    all_finish(vec![fast, (slow, out)], &file).with_context(|| server.console.tail())?;
    let said = std::fs::read_to_string(&log)?;
    ensure!(
        said.contains("\"event\":\"fallback\""),
        "no fallback: {said}"
    );
    server.end()
}

/// What multicast is for: by the same uplink, eight have the file when one would.
pub(super) fn eight_take_the_time_of_one() -> Outcome {
    let mut took = Vec::new();
    for clients in [1, 8] {
        let mut room = Room::new()?;
        let file = room.file("disk.img", 24 << 20)?;
        let uplink = room.lab.server().cmd("tc");
        #[rustfmt::skip]
        let limit = [
            "qdisc", "add", "dev", INTERFACE, "root", "tbf",
            "rate", "100mbit", "burst", "64kb", "limit", "256kb",
        ];
        uplink.args(limit).read()?;
        #[rustfmt::skip]
        let arguments = [
            text(&file), "--interface", INTERFACE, "--max-rate", "100 Mbit/s",
            "--min-clients", &clients.to_string(),
        ];
        let server = room.serve("server", &arguments)?;
        let mut joined = Vec::new();
        for _ in 0..clients {
            joined.push(join(&mut room)?);
        }
        server.console.wait_for("session started", SOON)?;
        let start = now();
        all_finish(joined, &file).with_context(|| server.console.tail())?;
        took.push(start.elapsed());
        server.end()?;
    }
    let [one, eight] = took[..] else {
        unreachable!("two rooms");
    };
    // By HTTP it would be eight times as long.
    ensure!(
        eight < one.mul_f64(1.5),
        "one took {one:?}, eight took {eight:?}"
    );
    Ok(())
}

/// In a terminal it draws a bar; `script` is that terminal.
pub(super) fn a_terminal_shows_progress() -> Outcome {
    let mut room = Room::new()?;
    let file = room.file("disk.img", 8 << 20)?;
    #[rustfmt::skip]
    let arguments = [text(&file), "--interface", INTERFACE, "--max-rate", "40 Mbit/s"];
    let server = room.serve("server", &arguments)?;
    let out = room.dir.path().join("out");
    let typed = format!(
        "{} x-slam://{SERVER} --output {}",
        text(&program("slam-client")?),
        text(&out)
    );
    let terminal = room.lab.host()?.cmd("script").env("TERM", "xterm");
    let shown = terminal
        .args(["--quiet", "--return", "--command", &typed, "/dev/null"])
        .limit(TRANSFER)
        .read()
        .with_context(|| server.console.tail())?;
    ensure!(sha256(&out)? == sha256(&file)?, "{} differs", out.display());
    let drawn = shown.matches("Mbit/s").count();
    let in_place = shown.contains("\u{1b}[") || shown.matches('\r').count() > 5;
    ensure!(drawn > 5 && in_place, "no bar was drawn: {shown:?}");
    server.end()
}
