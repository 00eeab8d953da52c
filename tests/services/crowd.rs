// SPDX-License-Identifier: MIT OR Apache-2.0
//! Crowds of clients, driven from a host beside the server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::ops::Range;
use std::time::Duration;

use anyhow::{bail, ensure};
use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode, UnknownOption};
use dhcproto::{Decodable as _, Decoder, Encodable as _, Encoder};
use rustix::process::Signal;
use socket2::{Domain, Protocol, Socket, Type};
use xtask::console::Deadline;
use xtask::netlab::{INTERFACE, Namespace, SERVER, SWITCH};

use super::{Room, SOON, small};
use crate::support::Outcome;

const POOL: &str = "[dhcp]\nmode = \"pool\"\npool = \"10.77.0.100-10.77.0.199\"\n";

/// A socket on the clients' port, which hears what is said to all.
pub fn client_socket() -> anyhow::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(INTERFACE.as_bytes()))?;
    socket.set_broadcast(true)?;
    socket.set_recv_buffer_size(4 << 20)?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    // A process that another trial is just starting may still hold the one before, until it runs its program.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 68)).into())?;
    Ok(socket.into())
}

/// What an iPXE says of itself that has HTTP and SLAM.
pub fn ipxe() -> [DhcpOption; 2] {
    let features = vec![0x13, 1, 1, 0x1a, 1, 1];
    let features = UnknownOption::new(OptionCode::Unknown(175), features);
    [
        DhcpOption::UserClass(b"iPXE".to_vec()),
        DhcpOption::Unknown(features),
    ]
}

/// What it says as it takes an offer.
fn selecting(server: Ipv4Addr, address: Ipv4Addr) -> Vec<DhcpOption> {
    let mut options = ipxe().to_vec();
    options.extend([
        DhcpOption::ServerIdentifier(server),
        DhcpOption::RequestedIpAddress(address),
    ]);
    options
}

/// As the client with this number.
pub fn send(socket: &UdpSocket, kind: MessageType, number: u8, options: &[DhcpOption]) -> Outcome {
    send_as(socket, kind, [0x52, 0x54, 0, 0x99, 0, number], options)
}

/// As whoever has this card; its last number is the request's.
pub fn send_as(
    socket: &UdpSocket,
    kind: MessageType,
    mac: [u8; 6],
    options: &[DhcpOption],
) -> Outcome {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(u32::from(mac[5]), none, none, none, none, &mac);
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

/// An answer: for which client, by which server.
pub fn receive(socket: &UdpSocket) -> Option<(u8, Ipv4Addr, Message)> {
    let mut buffer = [0; 1500];
    let (length, _) = socket.recv_from(&mut buffer).ok()?;
    let message = Message::decode(&mut Decoder::new(&buffer[..length])).ok()?;
    // What is said to a flood of strangers beside us has numbers like ours.
    let mine = message.chaddr().starts_with(&[0x52, 0x54, 0, 0x99]);
    match message.opts().get(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(server)) if mine => {
            Some((message.xid() as u8, *server, message))
        }
        _ => None,
    }
}

/// Leases an address for each of these clients, all at once; each asks again after a second.
pub fn lease(numbers: Range<u8>, server: Ipv4Addr) -> anyhow::Result<BTreeMap<u8, Ipv4Addr>> {
    Ok(boot(numbers, server)?.0)
}

/// Leases of `server`, and by our server's word what each client boots.
fn boot(
    numbers: Range<u8>,
    server: Ipv4Addr,
) -> anyhow::Result<(BTreeMap<u8, Ipv4Addr>, BTreeMap<u8, String>)> {
    let mut boots = BTreeMap::new();
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
                None => send(&socket, MessageType::Discover, number, &ipxe())?,
                Some(address) => {
                    let wanted = selecting(server, *address);
                    send(&socket, MessageType::Request, number, &wanted)?;
                }
            }
        }
        let round = Deadline::after(Duration::from_secs(1));
        while round.left().is_some() && leased.len() < numbers.len() {
            let Some((number, from, message)) = receive(&socket) else {
                continue;
            };
            if from == SERVER
                && let Some(DhcpOption::BootfileName(name)) =
                    message.opts().get(OptionCode::BootfileName)
            {
                boots.insert(number, String::from_utf8_lossy(name).into_owned());
            }
            if from != server {
                continue;
            }
            match message.opts().msg_type() {
                Some(MessageType::Offer) => {
                    offered.insert(number, message.yiaddr());
                    let wanted = selecting(server, message.yiaddr());
                    send(&socket, MessageType::Request, number, &wanted)?;
                }
                Some(MessageType::Ack) => {
                    leased.insert(number, message.yiaddr());
                }
                other => bail!("client {number} got {other:?}"),
            }
        }
    }
    Ok((leased, boots))
}

/// Fifty that take our addresses beside another server's, and two hundred transfers.
pub fn a_room_by_pool() -> Outcome {
    a_room(POOL, SERVER)
}

/// Fifty that take another server's addresses, which names another file to boot, and two hundred
/// transfers.
pub fn a_room_by_proxy() -> Outcome {
    a_room("[dhcp]\nmode = \"proxy\"\n", SWITCH)
}

fn a_room(mode: &str, giver: Ipv4Addr) -> Outcome {
    let mut room = Room::new()?;
    let config = small(&room)?;
    let _server = room.serve("serve", &format!("{mode}{config}"))?;
    let _rival = room.lab.dhcp("rival.0", room.dir.path())?;
    let expected = std::fs::read(room.path("small.img"))?;
    // Sixteen transfers for each address at a time: as many hosts as there would be machines.
    for _ in 0..21 {
        room.lab.host()?;
    }
    let (machines, others) = room.lab.hosts().split_at(1);
    let (booted, files) = std::thread::scope(|scope| {
        let booted = scope.spawn(|| machines[0].enter(|| boot(1..51, giver)));
        let files = two_hundred_transfers(others);
        (booted.join().expect("no panic"), files)
    });
    let (leased, boots) = booted??;
    let addresses: BTreeSet<_> = leased.values().collect();
    ensure!(addresses.len() == 50, "{leased:?}");
    // The proxy's word may be lost once; a client that has an address by then goes without.
    let own = |number: &u8| format!("/boot.ipxe?mac=52:54:00:99:00:{number:02x}");
    ensure!(
        boots.len() == 50
            && boots
                .iter()
                .all(|(number, url)| url.ends_with(&own(number))),
        "{boots:?}"
    );
    ensure!(files.len() == 200, "{}", files.len());
    for file in files {
        ensure!(file? == expected, "another content");
    }
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
pub fn tftp(name: &str, options: &[&str], mut drop: u32) -> anyhow::Result<Vec<u8>> {
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

/// Ten on each of these hosts at once, of three sorts; every other one loses a packet.
fn two_hundred_transfers(hosts: &[Namespace]) -> Vec<anyhow::Result<Vec<u8>>> {
    let ten = || {
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
            let joined = ten.into_iter().map(|one| one.join().expect("no panic"));
            joined.collect::<Vec<_>>()
        })
    };
    std::thread::scope(|scope| {
        let hosts: Vec<_> = hosts
            .iter()
            .map(|host| scope.spawn(move || host.enter(ten)))
            .collect();
        let joined = hosts.into_iter().map(|host| host.join().expect("no panic"));
        joined.flat_map(|ten| ten.expect("a namespace")).collect()
    })
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
