// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server's edge: files and configurations that change while it serves, several interfaces,
//! hostile hosts.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, ensure};
use rustix::process::Signal;
use slam_client::BlockSet;
use slam_client::wire::{ClientPacket, MAX_NACK_LEN, Nack};
use xtask::cmd::Cmd;
use xtask::console::{Deadline, now};
use xtask::netlab::{INTERFACE, Namespace, SERVER};

use super::support::Outcome;
use super::{Room, SOON, TRANSFER, get_from, receive, sha256, text};

/// Writes beside and renames, as whoever builds an image does.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes)?;
    fs::rename(&beside, path)?;
    Ok(())
}

/// The room that is under way finishes with what it began; HTTP gives the same; the next one gets
/// the new.
pub(super) fn a_replaced_image_is_finished_as_it_began() -> Outcome {
    let mut room = Room::new()?;
    let file = room.file("disk.img", 24 << 20)?;
    let old = sha256(&file)?;
    #[rustfmt::skip]
    let arguments = [text(&file), "--interface", INTERFACE, "--max-rate", "50 Mbit/s"];
    let server = room.serve("server", &arguments)?;
    let (out, log) = (room.dir.path().join("out"), room.dir.path().join("log"));
    let uri = format!("x-slam://{SERVER}");
    let client = receive(room.lab.host()?, &uri, &out)?.spawn(&log)?;
    server.console.wait_for("joined", SOON)?;
    let new: Vec<u8> = fs::read(&file)?.into_iter().rev().collect();
    replace(&file, &new)?;
    server.console.wait_for("was replaced", SOON)?;
    let host = &room.lab.hosts()[0];
    let download = host.enter(|| get_from(SERVER, "/images/disk"))??;
    ensure!(!out.exists(), "the room was not under way any more");
    ensure!(download != new, "HTTP gave the new file, SLAM the old one");
    let whole = client.wait(Some(TRANSFER));
    whole.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    ensure!(sha256(&out)? == old, "the client has not the file it began");
    server.console.wait_for("from now on", SOON)?;
    let next = room.dir.path().join("next");
    receive(host, &uri, &next)?.read()?;
    ensure!(
        fs::read(&next)? == new,
        "the next client has not the new file"
    );
    let download = host.enter(|| get_from(SERVER, "/images/disk"))??;
    ensure!(download == new, "HTTP still gives the old file");
    server.end()
}

/// SIGHUP in the middle of a transfer whose image the new configuration does not have.
pub(super) fn sighup_leaves_a_running_room_alone() -> Outcome {
    let mut room = Room::new()?;
    let old = room.file("old.img", 24 << 20)?;
    room.file("new.img", 3_000_000)?;
    let toml = room.dir.path().join("slamboot.toml");
    let config = |name: &str| {
        format!(
            "[slam]\nmax_rate = \"50 Mbit/s\"\n\
             [[image]]\nname = \"{name}\"\nkind = \"disk\"\npath = \"{name}.img\"\n"
        )
    };
    fs::write(&toml, config("old"))?;
    let server = room.serve("server", &["--config", text(&toml)])?;
    let (out, log) = (room.dir.path().join("out"), room.dir.path().join("log"));
    let uri = format!("x-slam://{SERVER}");
    let client = receive(room.lab.host()?, &uri, &out)?.spawn(&log)?;
    server.console.wait_for("joined", SOON)?;
    fs::write(&toml, config("new"))?;
    server.running.signal(Signal::HUP);
    server.console.wait_for("configuration read", SOON)?;
    // The port still serves the old one, so no script leads there.
    let host = &room.lab.hosts()[0];
    let script = host.enter(|| get_from(SERVER, "/boot.ipxe"))??;
    let script = String::from_utf8(script)?;
    ensure!(script.contains("not served yet"), "{script}");
    ensure!(!out.exists(), "the room was not under way any more");
    let whole = client.wait(Some(TRANSFER));
    whole.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    ensure!(sha256(&out)? == sha256(&old)?, "the files differ");
    server.console.wait_for("from now on", SOON)?;
    let script = host.enter(|| get_from(SERVER, "/boot.ipxe"))??;
    let script = String::from_utf8(script)?;
    ensure!(script.contains("/images/new"), "{script}");
    let next = room.dir.path().join("next");
    receive(host, &uri, &next)?.read()?;
    let new = sha256(&room.dir.path().join("new.img"))?;
    ensure!(sha256(&next)? == new, "the files differ");
    server.end()
}

/// A second interface of the server, wired straight to the first host: a VLAN of the same cable
/// where the kernel has them, else a cable of its own.
fn second_interface(room: &Room) -> anyhow::Result<&'static str> {
    let (server, host) = (room.lab.server(), &room.lab.hosts()[0]);
    let vlan = |place: &Namespace| {
        let id = ["type", "vlan", "id", "20"];
        place.ip(["link", "add", "link", INTERFACE, "name", "eth0.20"]
            .into_iter()
            .chain(id))
    };
    let name = if vlan(server).is_ok() {
        vlan(host)?;
        "eth0.20"
    } else {
        let peer = ["type", "veth", "peer", "name", "eth1", "netns", host.name()];
        server.ip(["link", "add", "eth1"].into_iter().chain(peer))?;
        "eth1"
    };
    for (place, last) in [(server, 1), (host, 2)] {
        place.ip(["addr", "add", &format!("10.78.0.{last}/24"), "dev", name])?;
        let address6 = format!("fd78::{last}/64");
        place.ip(["addr", "add", &address6, "dev", name, "nodad"])?;
        place.ip(["link", "set", name, "up"])?;
    }
    Ok(name)
}

/// A session of each family on each interface, all four at once.
pub(super) fn several_interfaces_at_once() -> Outcome {
    const SECOND: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
    let mut room = Room::new()?;
    let file = room.file("disk.img", 8_000_001)?;
    room.lab.host()?;
    let second = second_interface(&room)?;
    #[rustfmt::skip]
    let arguments = [
        text(&file), "--interface", INTERFACE, "--interface", second,
        "--group", "239.255.1.1, ff15::5a", "--max-rate", "200 Mbit/s",
    ];
    let server = room.serve("server", &arguments)?;
    let host = &room.lab.hosts()[0];
    let mut running = Vec::new();
    for (number, (address, group, interface)) in [
        ("10.77.0.1", "239.255.1.1", INTERFACE),
        ("10.78.0.1", "239.255.1.1", second),
        ("[fd77::1]", "[ff15::5a]", INTERFACE),
        ("[fd78::1]", "[ff15::5a]", second),
    ]
    .into_iter()
    .enumerate()
    {
        let out = room.dir.path().join(format!("out{number}"));
        let log = room.dir.path().join(format!("log{number}"));
        let uri = format!("x-slam://{address}:10000/{group}:10000");
        let client = receive(host, &uri, &out)?.args(["--interface", interface]);
        running.push((client.spawn(&log)?, out, log));
    }
    for (client, out, log) in running {
        let whole = client.wait(Some(TRANSFER));
        whole.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        ensure!(sha256(&out)? == sha256(&file)?, "{} differs", out.display());
    }
    let lines = server.console.lines();
    for label in [
        format!("disk on {INTERFACE}: session"),
        format!("disk on {second}: session"),
        format!("disk (IPv6) on {INTERFACE}: session"),
        format!("disk (IPv6) on {second}: session"),
    ] {
        let told = lines.iter().any(|line| line.text.contains(&label));
        ensure!(told, "no {label:?} in {}", server.console.tail());
    }
    // Each is told the address by which it came.
    for address in [SERVER, SECOND] {
        let script = host.enter(|| get_from(address, "/boot.ipxe"))??;
        let script = String::from_utf8(script)?;
        let others = [SERVER, SECOND]
            .into_iter()
            .filter(|&other| other != address);
        ensure!(script.contains(&address.to_string()), "{address}: {script}");
        for other in others {
            ensure!(!script.contains(&other.to_string()), "{address}: {script}");
        }
    }
    server.end()
}

/// 100,000 datagrams a second from one host for as long as `stop` is not set: NACKs for all and for
/// what is not there, from many ports, and noise. How many were sent.
fn flood(stop: &AtomicBool, sent: &AtomicU64) -> anyhow::Result<()> {
    let sockets = (0..100)
        .map(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))
        .collect::<Result<Vec<_>, _>>()?;
    let server = SocketAddrV4::new(SERVER, 10_000);
    let nack = |held: u64| {
        let mut out = Vec::new();
        let held = BlockSet::from_run(0..held);
        let nack = Nack::for_gaps(&held, 1 << 40, MAX_NACK_LEN);
        ClientPacket::Nack(nack).encode(&mut out);
        out
    };
    let mut random = fastrand::Rng::with_seed(77);
    let mut noise = vec![0; 1400];
    random.fill(&mut noise);
    // All of it, in the words of a stock client; the end of it and beyond; noise, long and short.
    let datagrams = [
        nack(0),
        nack(20_000),
        nack(1 << 30),
        noise.clone(),
        noise[..9].to_vec(),
    ];
    let start = now();
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let socket = &sockets[random.usize(..sockets.len())];
        let datagram = &datagrams[number as usize % datagrams.len()];
        // A full queue is as good as a datagram that was sent.
        let _ = socket.send_to(datagram, server);
        sent.store(number, Ordering::Relaxed);
        let due = Duration::from_micros(10 * number);
        if number.is_multiple_of(100)
            && let Some(early) = due.checked_sub(start.elapsed())
        {
            thread::sleep(early);
        }
    }
    Ok(())
}

/// How long one client takes; its file is judged.
fn timed(room: &Room, name: &str, expected: &str) -> anyhow::Result<Duration> {
    let out = room.dir.path().join(name);
    let begun = now();
    let uri = format!("x-slam://{SERVER}");
    let client = receive(&room.lab.hosts()[0], &uri, &out)?;
    client.limit(SOON).read()?;
    let took = begun.elapsed();
    ensure!(sha256(&out)? == expected, "{name} differs");
    fs::remove_file(&out)?;
    Ok(took)
}

pub(super) fn a_flood_is_noticed_by_no_client() -> Outcome {
    let mut room = Room::new()?;
    let file = room.file("disk.img", 32 << 20)?;
    let expected = sha256(&file)?;
    #[rustfmt::skip]
    let arguments = [text(&file), "--interface", INTERFACE, "--max-rate", "100 Mbit/s"];
    let server = room.serve("server", &arguments)?;
    room.lab.host()?;
    room.lab.host()?;
    // A busy machine slows either: the best of some, told with the figures.
    let deadline = Deadline::after(TRANSFER);
    let mut told = Vec::new();
    loop {
        let quiet = timed(&room, "quiet", &expected)?;
        let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        let hostile = &room.lab.hosts()[1];
        let begun = now();
        let flooded = thread::scope(|scope| {
            let flood = scope.spawn(|| hostile.enter(|| flood(&stop, &sent)));
            while sent.load(Ordering::Relaxed) < 1000 && begun.elapsed() < SOON {
                thread::sleep(Duration::from_millis(1));
            }
            let flooded = timed(&room, "flooded", &expected);
            stop.store(true, Ordering::Relaxed);
            flood.join().expect("no panic")??;
            anyhow::Ok(flooded)
        })?;
        let flooded = flooded.with_context(|| server.console.tail())?;
        let rate = sent.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
        let ratio = flooded.as_secs_f64() / quiet.as_secs_f64();
        told.push(format!(
            "{:.2} s quiet, {:.2} s in a flood of {rate:.0}/s: {ratio:.2}",
            quiet.as_secs_f64(),
            flooded.as_secs_f64()
        ));
        if ratio <= 1.5 {
            break;
        }
        ensure!(deadline.left().is_some(), "{}", told.join("; "));
        // The flood is forgotten, and its clients given up.
        thread::sleep(Duration::from_secs(17));
    }
    eprintln!("{}", told.join("; "));
    let console = server.console.clone();
    server.end()?;
    let last = console.wait_for("stopped after", SOON)?.text;
    ensure!(last.contains("; ignored "), "{last}");
    eprintln!("{last}");
    Ok(())
}

/// Two images at once below one ceiling: the important one has the greater part.
pub(super) fn a_total_rate_is_shared_by_priority() -> Outcome {
    let mut room = Room::new()?;
    room.file("low.img", 8 << 20)?;
    room.file("high.img", 8 << 20)?;
    let toml = room.dir.path().join("slamboot.toml");
    let image = |name: &str, priority: u8| {
        format!(
            "[[image]]\nname = \"{name}\"\nkind = \"disk\"\npath = \"{name}.img\"\n\
             priority = {priority}\n"
        )
    };
    let images = image("low", 1) + &image("high", 4);
    fs::write(
        &toml,
        format!("[slam]\ntotal_rate = \"50 Mbit/s\"\n{images}"),
    )?;
    let server = room.serve("server", &["--config", text(&toml)])?;
    room.lab.host()?;
    room.lab.host()?;
    let mut running = Vec::new();
    for (number, (name, group)) in [("low", 1), ("high", 2)].into_iter().enumerate() {
        let out = room.dir.path().join(name).with_extension("out");
        let log = room.dir.path().join(format!("log{number}"));
        let port = 9999 + group;
        let uri = format!("x-slam://{SERVER}:{port}/239.255.1.{group}:{port}");
        let client: Cmd = receive(&room.lab.hosts()[number], &uri, &out)?;
        running.push((client.spawn(&log)?, out, log, name));
    }
    for (client, out, log, name) in running {
        let whole = client.wait(Some(TRANSFER));
        whole.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        let file = room.dir.path().join(name).with_extension("img");
        ensure!(sha256(&out)? == sha256(&file)?, "{name} differs");
    }
    let console = server.console.clone();
    server.end()?;
    // 16 MiB at 50 Mbit/s take 2.8 s on the wire; four fifths of it carry the important one.
    let took = |name: &str| {
        let start = format!("{name}: idle after ");
        let lines = console.lines();
        let line = lines.iter().find_map(|line| {
            let rest = line.text.split_once(start.as_str())?.1;
            rest.split_once(" s:")?.0.parse::<f64>().ok()
        });
        line.with_context(|| console.tail())
    };
    let (low, high) = (took("low")?, took("high")?);
    eprintln!("low {low} s, high {high} s");
    ensure!(low >= 2.6, "faster than the ceiling: {low} s");
    ensure!(
        high < 0.8 * low,
        "not before the other: {high} s and {low} s"
    );
    Ok(())
}
