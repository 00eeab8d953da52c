// SPDX-License-Identifier: MIT OR Apache-2.0
//! Crowds of clients, driven from a host beside the server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use anyhow::{bail, ensure};
use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
use dhcproto::{Decodable as _, Decoder, Encodable as _, Encoder};
use rustix::process::Signal;
use socket2::{Domain, Protocol, Socket, Type};
use xtask::console::Deadline;
use xtask::netlab::{INTERFACE, SERVER, SWITCH};

use super::{Room, SOON, small};
use crate::support::Outcome;

const POOL: &str = "[dhcp]\nmode = \"pool\"\npool = \"10.77.0.100-10.77.0.199\"\n";

/// A socket on the clients' port, which hears what is said to all.
fn client_socket() -> anyhow::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(INTERFACE.as_bytes()))?;
    socket.set_broadcast(true)?;
    socket.set_recv_buffer_size(4 << 20)?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 68)).into())?;
    Ok(socket.into())
}

fn send(socket: &UdpSocket, kind: MessageType, number: u8, options: &[DhcpOption]) -> Outcome {
    let none = Ipv4Addr::UNSPECIFIED;
    let mac = [0x52, 0x54, 0, 0x99, 0, number];
    let mut message = Message::new_with_id(u32::from(number), none, none, none, none, &mac);
    // These cards are nobody's: what is sent to one of them does not come here.
    let flags = message.flags().set_broadcast();
    message.set_flags(flags);
    let opts = message.opts_mut();
    opts.insert(DhcpOption::MessageType(kind));
    opts.insert(DhcpOption::ClassIdentifier(
        b"PXEClient:Arch:00000:UNDI:002001".to_vec(),
    ));
    for option in options {
        opts.insert(option.clone());
    }
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes))?;
    socket.send_to(&bytes, (Ipv4Addr::BROADCAST, 67))?;
    Ok(())
}

/// Answers of our server, by the number of the client.
fn receive(socket: &UdpSocket, server: Ipv4Addr) -> Option<(u8, Message)> {
    let mut buffer = [0; 1500];
    let (length, _) = socket.recv_from(&mut buffer).ok()?;
    let message = Message::decode(&mut Decoder::new(&buffer[..length])).ok()?;
    let id = message.opts().get(OptionCode::ServerIdentifier);
    (id == Some(&DhcpOption::ServerIdentifier(server))).then_some(())?;
    Some((message.xid() as u8, message))
}

/// Leases an address for each of these clients, all at once; each asks again after a second.
fn lease(numbers: std::ops::Range<u8>, server: Ipv4Addr) -> anyhow::Result<BTreeMap<u8, Ipv4Addr>> {
    let socket = client_socket()?;
    let mut leased = BTreeMap::new();
    let mut offered: BTreeMap<u8, Ipv4Addr> = BTreeMap::new();
    let deadline = Deadline::after(Duration::from_secs(30));
    while leased.len() < numbers.len() {
        ensure!(
            deadline.left().is_some(),
            "{} of {} clients have an address",
            leased.len(),
            numbers.len()
        );
        for number in numbers.clone().filter(|n| !leased.contains_key(n)) {
            match offered.get(&number) {
                None => send(&socket, MessageType::Discover, number, &[])?,
                Some(address) => {
                    let wanted = [
                        DhcpOption::ServerIdentifier(server),
                        DhcpOption::RequestedIpAddress(*address),
                    ];
                    send(&socket, MessageType::Request, number, &wanted)?;
                }
            }
        }
        let round = Deadline::after(Duration::from_secs(1));
        while round.left().is_some() && leased.len() < numbers.len() {
            let Some((number, message)) = receive(&socket, server) else {
                continue;
            };
            match message.opts().msg_type() {
                Some(MessageType::Offer) => {
                    offered.insert(number, message.yiaddr());
                    let wanted = [
                        DhcpOption::ServerIdentifier(server),
                        DhcpOption::RequestedIpAddress(message.yiaddr()),
                    ];
                    send(&socket, MessageType::Request, number, &wanted)?;
                }
                Some(MessageType::Ack) => {
                    leased.insert(number, message.yiaddr());
                }
                other => bail!("client {number} got {other:?}"),
            }
        }
    }
    Ok(leased)
}

pub fn fifty_dhcp_clients() -> Outcome {
    let mut room = Room::new()?;
    let config = small(&room)?;
    let _server = room.serve("serve", &format!("{POOL}{config}"))?;
    let host = room.lab.host()?;
    let leased = host.enter(|| lease(1..51, SERVER))??;
    let addresses: BTreeSet<_> = leased.values().collect();
    ensure!(addresses.len() == 50, "{leased:?}");
    Ok(())
}

pub fn leases_survive_a_restart() -> Outcome {
    let mut room = Room::new()?;
    let config = format!("{POOL}{}", small(&room)?);
    room.lab.host()?;
    let host = &room.lab.hosts()[0];
    let first = {
        let server = room.serve("first", &config)?;
        let first = host.enter(|| lease(1..6, SERVER))??;
        server.running.signal(Signal::TERM);
        server.running.wait(Some(SOON))?;
        first
    };
    let _server = room.serve("second", &config)?;
    // In another order, so that only who remembers gives the same.
    let late = host.enter(|| lease(3..6, SERVER))??;
    let early = host.enter(|| lease(1..3, SERVER))??;
    for (number, address) in late.iter().chain(&early) {
        ensure!(
            first[number] == *address,
            "{first:?}, then {late:?} {early:?}"
        );
    }
    Ok(())
}

/// The second host took the pool's first address by hand.
pub fn an_address_in_use_is_not_leased() -> Outcome {
    let mut room = Room::new()?;
    let config = small(&room)?;
    let pool = "[dhcp]\nmode = \"pool\"\npool = \"10.77.1.2-10.77.1.9\"\n";
    let server = room.serve("serve", &format!("{pool}{config}"))?;
    room.lab.host()?;
    room.lab.host()?;
    let host = &room.lab.hosts()[0];
    let leased = host.enter(|| lease(1..2, SERVER))??;
    ensure!(leased[&1] == Ipv4Addr::new(10, 77, 1, 3), "{leased:?}");
    server
        .console
        .wait_for("10.77.1.2 is in use without a lease", SOON)?;
    Ok(())
}

pub fn a_rival_is_told() -> Outcome {
    let mut room = Room::new()?;
    let config = small(&room)?;
    let server = room.serve("serve", &format!("{POOL}{config}"))?;
    let _rival = room.lab.dhcp_addresses(room.dir.path())?;
    let host = room.lab.host()?;
    host.enter(|| lease(1..2, SWITCH))??;
    server
        .console
        .wait_for("another DHCP server, 10.77.0.254, leases addresses", SOON)?;
    Ok(())
}

/// Reads a file as firmware does; `drop` packets are lost on the way, to see them come again.
fn tftp(name: &str, options: &[&str], mut drop: u32) -> anyhow::Result<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut request = vec![0, 1];
    for text in [name, "octet"].iter().chain(options) {
        request.extend(text.as_bytes());
        request.push(0);
    }
    socket.send_to(&request, SocketAddrV4::new(SERVER, 69))?;
    let (mut size, mut silent) = (512, 0);
    let (mut content, mut next, mut since) = (Vec::new(), 1u16, 0);
    let window = if options.contains(&"windowsize") {
        4
    } else {
        1
    };
    loop {
        let mut buffer = vec![0; 70_000];
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            // Nothing has come at all: the request was lost.
            silent += 1;
            ensure!(silent < 15, "silence");
            if content.is_empty() {
                socket.send_to(&request, SocketAddrV4::new(SERVER, 69))?;
            }
            continue;
        };
        if drop > 0 {
            drop -= 1;
            continue;
        }
        let (code, rest) = (buffer[1], &buffer[2..length]);
        match code {
            6 => {
                let texts: Vec<String> = rest
                    .split(|byte| *byte == 0)
                    .map(|text| String::from_utf8_lossy(text).into_owned())
                    .collect();
                for pair in texts.chunks(2) {
                    if pair[0] == "blksize" {
                        size = pair[1].parse()?;
                    }
                }
                socket.send_to(&[0, 4, 0, 0], from)?;
            }
            3 => {
                let block = u16::from_be_bytes([rest[0], rest[1]]);
                if block == next {
                    content.extend(&rest[2..]);
                    next = next.wrapping_add(1);
                    since += 1;
                    let last = rest.len() - 2 < size;
                    if last || since == window {
                        let [high, low] = block.to_be_bytes();
                        socket.send_to(&[0, 4, high, low], from)?;
                        since = 0;
                    }
                    if last {
                        return Ok(content);
                    }
                }
            }
            5 => bail!("error {}: {}", rest[1], String::from_utf8_lossy(&rest[2..])),
            other => bail!("packet {other}"),
        }
    }
}

pub fn two_hundred_tftp() -> Outcome {
    let mut room = Room::new()?;
    let config = small(&room)?;
    let _server = room.serve("serve", &config)?;
    let expected = std::fs::read(room.path("small.img"))?;
    // Sixteen for each address at a time: as many hosts as there would be machines.
    for _ in 0..20 {
        room.lab.host()?;
    }
    let results: Vec<anyhow::Result<Vec<u8>>> = std::thread::scope(|scope| {
        let hosts: Vec<_> = room
            .lab
            .hosts()
            .iter()
            .map(|host| {
                scope.spawn(move || {
                    host.enter(|| {
                        std::thread::scope(|inside| {
                            let ten: Vec<_> = (0..10)
                                .map(|number| {
                                    inside.spawn(move || {
                                        let options: &[&str] = match number % 3 {
                                            0 => &[],
                                            1 => &["blksize", "1468", "tsize", "0"],
                                            _ => &["blksize", "1468", "windowsize", "4"],
                                        };
                                        tftp("images/small", options, number % 2)
                                    })
                                })
                                .collect();
                            ten.into_iter()
                                .map(|one| one.join().expect("no panic"))
                                .collect::<Vec<_>>()
                        })
                    })
                })
            })
            .collect();
        hosts
            .into_iter()
            .flat_map(|host| host.join().expect("no panic").expect("a namespace"))
            .collect()
    });
    ensure!(results.len() == 200, "{}", results.len());
    for result in results {
        ensure!(result? == expected, "another content");
    }
    Ok(())
}

pub fn tftp_serves_names() -> Outcome {
    let mut room = Room::new()?;
    let config = small(&room)?;
    let server = room.serve("serve", &config)?;
    let host = room.lab.host()?;
    host.enter(|| -> Outcome {
        for name in [
            "../../../../etc/passwd",
            "/etc/passwd",
            "images/../../etc/passwd",
            "images\\..\\..\\etc\\passwd",
            "serve.toml",
            "images/",
            "images/none",
        ] {
            let error = tftp(name, &[], 0).unwrap_err().to_string();
            ensure!(error.starts_with("error 1: "), "{name}: {error}");
        }
        let script = tftp("/boot.ipxe", &[], 0)?;
        ensure!(script.starts_with(b"#!ipxe\n"), "{script:?}");
        ensure!(String::from_utf8_lossy(&script).contains("x-slam://10.77.0.1:10000"));
        // Half-open transfers, and bytes that are nothing, take nothing from others.
        let flood = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2000 {
            let length = random.usize(..700);
            let mut bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            if let [a, b, ..] = &mut bytes[..] {
                (*a, *b) = (0, random.u8(..7));
            }
            flood.send_to(&bytes, SocketAddrV4::new(SERVER, 69))?;
        }
        ensure!(tftp("images/small", &["blksize", "1468"], 0)?.len() == 300_000);
        Ok(())
    })??;
    ensure!(!server.running.ended()?, "{}", server.console.tail());
    Ok(())
}
