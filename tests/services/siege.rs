// SPDX-License-Identifier: MIT OR Apache-2.0
//! One host that takes all it can get of every service, and another that wants to boot.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, ensure};
use dhcproto::v4::MessageType;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use xtask::console;
use xtask::netlab::{Namespace, SERVER};

use super::crowd::{client_socket, lease, send_as, tftp};
use super::{Room, small};
use crate::support::{Outcome, paths};

/// Connections of the attack, of which the server takes 1,024.
const CONNECTIONS: usize = 10_000;
/// Addresses that they come from.
const SOURCES: u8 = 40;
/// Requests for an address in a second, each by a card of its own.
const FLOOD: u32 = 200;
/// What the server may take more than before: 1,024 connections at 640 KiB, and an address for each of
/// those that ask.
const MEMORY: u64 = (1024 * 640 + 32 * 1024) << 10;
/// No client waits longer: it asks again after a second, and then after two, and four.
const SOON: Duration = Duration::from_secs(15);

/// The program that receives, as it was made beside the firmware.
pub fn client() -> PathBuf {
    paths().dist.join("bin/slam-client")
}

/// The default pool, of which every address can be promised to somebody who does not exist.
pub fn no_service_stops() -> Outcome {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )?;
    let most = limit.maximum.map_or(usize::MAX, |most| most as usize);
    let connections = CONNECTIONS.min(most.saturating_sub(1000));
    if connections < CONNECTIONS {
        println!(
            "skipped: {CONNECTIONS} connections, since this process may have {most} files only"
        );
    }
    let mut room = Room::new()?;
    let own = "[[host]]\nmac = \"52:54:00:99:00:01\"\naddress = \"10.77.0.77\"\n";
    let config = format!("[dhcp]\nmode = \"pool\"\n{}{own}", small(&room)?);
    let server = room.serve("serve", &config)?;
    room.lab.host()?;
    room.lab.host()?;
    let [foe, friend] = room.lab.hosts() else {
        anyhow::bail!("two hosts");
    };
    let addresses: Vec<String> = (1..=SOURCES)
        .map(|number| format!("ip addr add 10.77.3.{number}/16 dev eth0"))
        .collect();
    let script = addresses.join("; ");
    foe.cmd("sh").args(["-c", &script]).read()?;
    let pid = served(room.lab.server())?;
    let before = memory(pid)?;

    let over = AtomicBool::new(false);
    let (result, flooded, held) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| foe.enter(|| flood(&over)));
        let attack = foe.enter(|| attack(connections));
        let result = attack.map_err(anyhow::Error::from).and_then(|attack| {
            let held = attack?;
            // Each service, one after the other, while all of it goes on.
            let result = serves(friend, &room);
            Ok((result?, held.len()))
        });
        over.store(true, Ordering::Relaxed);
        let flooded = flood.join().expect("no panic");
        match result {
            Ok((said, held)) => (Ok(said), flooded, held),
            Err(error) => (Err(error), flooded, 0),
        }
    });
    let said = result.with_context(|| server.console.tail())?;
    let flooded = flooded??;
    println!("{held} connections held, {flooded} cards asked for an address: {said}");
    let grown = memory(pid)?.saturating_sub(before);
    println!(
        "memory {} KiB before, {} KiB more",
        before >> 10,
        grown >> 10
    );
    ensure!(grown < MEMORY, "{} KiB more", grown >> 10);
    ensure!(!server.running.ended()?, "{}", server.console.tail());
    Ok(())
}

/// What the friend does, and how long each took.
fn serves(friend: &Namespace, room: &Room) -> anyhow::Result<String> {
    let expected = fs::read(room.path("small.img"))?;
    let mut said = Vec::new();
    let mut step = |name: &str, what: &mut dyn FnMut() -> Outcome| -> Outcome {
        let start = console::now();
        what().with_context(|| name.to_owned())?;
        let took = start.elapsed();
        said.push(format!("{name} {:.2} s", took.as_secs_f64()));
        ensure!(took < SOON, "{name} took {took:?}");
        Ok(())
    };
    step("address", &mut || {
        let leased = friend.enter(|| lease(1..2, SERVER))??;
        ensure!(leased[&1] == Ipv4Addr::new(10, 77, 0, 77), "{leased:?}");
        Ok(())
    })?;
    step("TFTP", &mut || {
        let options = ["blksize", "1468", "windowsize", "4"];
        let got = friend.enter(|| tftp("images/small", &options, 0))??;
        ensure!(got == expected, "another content");
        Ok(())
    })?;
    step("script", &mut || {
        let got = friend.enter(|| get("/boot.ipxe"))??;
        ensure!(got.starts_with("HTTP/1.1 200 ") && got.contains("#!ipxe"));
        Ok(())
    })?;
    step("page", &mut || {
        let got = friend.enter(|| get("/status"))??;
        ensure!(got.starts_with("HTTP/1.1 200 "), "{got}");
        Ok(())
    })?;
    step("SLAM", &mut || {
        let out = room.path("received");
        friend
            .cmd(client())
            .args([&format!("x-slam://{SERVER}"), "--quiet", "--output"])
            .arg(&out)
            .limit(SOON)
            .read()?;
        ensure!(fs::read(out)? == expected, "another content");
        Ok(())
    })?;
    Ok(said.join(", "))
}

fn get(path: &str) -> io::Result<String> {
    let server = SocketAddr::from((SERVER, 8080));
    let mut stream = TcpStream::connect_timeout(&server, SOON)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut all = String::new();
    stream.read_to_string(&mut all)?;
    Ok(all)
}

/// Connections that say nothing, or half a request, or read nothing of what they asked for.
fn attack(connections: usize) -> anyhow::Result<Vec<TcpStream>> {
    let server = SocketAddr::V4(SocketAddrV4::new(SERVER, 8080));
    let mut held = Vec::with_capacity(connections);
    for number in 0..connections {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(4096)?;
        let from = Ipv4Addr::new(10, 77, 3, 1 + (number % usize::from(SOURCES)) as u8);
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        // In progress is no error.
        let _ = socket.connect(&server.into());
        held.push(TcpStream::from(socket));
    }
    std::thread::sleep(Duration::from_millis(500));
    for (number, stream) in held.iter_mut().enumerate() {
        // One that was turned away, or not taken yet, says nothing.
        let _ = match number / usize::from(SOURCES) % 3 {
            0 => Ok(0),
            1 => stream.write(b"GET /images/small HTTP/1.1\r\nX-"),
            _ => stream.write(b"GET /images/small HTTP/1.1\r\nHost: x\r\n\r\n"),
        };
    }
    Ok(held)
}

/// Cards that nobody has ask for an address each, until it is over: how many did.
fn flood(over: &AtomicBool) -> anyhow::Result<u32> {
    const ROUND: Duration = Duration::from_millis(10);
    let socket = client_socket()?;
    let (start, mut sent) = (console::now(), 0u32);
    while !over.load(Ordering::Relaxed) {
        let due = (start.elapsed().as_secs_f64() * f64::from(FLOOD)) as u32;
        while sent < due {
            let [_, a, b, c] = sent.to_be_bytes();
            send_as(
                &socket,
                MessageType::Discover,
                [0x52, 0x54, 1, a, b, c],
                &[],
            )?;
            sent += 1;
        }
        std::thread::sleep(ROUND);
    }
    Ok(sent)
}

/// The server's own process in its place.
fn served(place: &Namespace) -> anyhow::Result<Pid> {
    let is = |pid: &Pid| {
        let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
        name.is_ok_and(|name| name.trim() == "slamboot")
    };
    let pids = place.pids()?;
    pids.into_iter().find(is).context("no slamboot runs there")
}

/// Bytes of memory that it uses (`VmRSS` in `proc_pid_status(5)`).
fn memory(pid: Pid) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.context("no VmRSS")?.trim().parse::<u64>()? << 10)
}
