// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the firmware's client says of its groups, as it is on the wire, and what a switch that
//! snoops makes of it.
//!
//! The observer is a host on a port to which the switch sends all multicast, as to a router: it sees
//! every query and every report, whole, from the Ethernet header on.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use socket2::{Domain, Protocol, Socket, Type};
use xtask::console::{Deadline, now};
use xtask::netlab::{HOST, Namespace, SERVER6};

use crate::Test;
use crate::foe::{File, Foe};
use crate::rig::{self, Rig};
use crate::support::Outcome;

pub const TESTS: [(&str, Test); 5] = [
    ("igmpv2_as_it_is_on_the_wire", || igmp(2)),
    ("igmpv3_as_it_is_on_the_wire", || igmp(3)),
    ("mldv1_as_it_is_on_the_wire", || mld(1)),
    ("mldv2_as_it_is_on_the_wire", || mld(2)),
    ("a_server_known_by_its_link_local_address", link_local),
];

pub const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0, 0x5a);
/// The slowest answer to a query here, and a busy machine.
const ANSWER: Duration = Duration::from_secs(3);
/// How long the transfer is made to take: several queries.
const TRANSFER: Duration = Duration::from_secs(13);
const SOON: Duration = Duration::from_secs(20);

/// What was said of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// A querier asked for all groups, or for this one.
    Query,
    /// The client is a member.
    Report,
    /// The client has left.
    Leave,
}

/// Every packet about `group`, with its moment.
struct Observer {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<anyhow::Result<Vec<(Instant, Said)>>>,
}

impl Observer {
    fn new(namespace: &Namespace, group: IpAddr) -> anyhow::Result<Observer> {
        // ETH_P_ALL, in network order (packet(7)).
        let all = Protocol::from(i32::from(3_u16.to_be()));
        let open = || Socket::new(Domain::PACKET, Type::RAW, Some(all));
        let mut socket = namespace.enter(open)??;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = Vec::new();
            let mut frame = [0; 2048];
            while !asked.load(Ordering::Relaxed) {
                let Ok(length) = socket.read(&mut frame) else {
                    continue;
                };
                for said in about(&frame[..length], group)? {
                    seen.push((now(), said));
                }
            }
            Ok(seen)
        });
        Ok(Observer { stop, thread })
    }

    fn seen(self) -> anyhow::Result<Vec<(Instant, Said)>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

/// What a frame says of `group`; an error if it is the client's and not as it must be.
fn about(frame: &[u8], group: IpAddr) -> anyhow::Result<Vec<Said>> {
    let Some((ethernet, packet)) = frame.split_at_checked(14) else {
        return Ok(Vec::new());
    };
    let ours = ethernet[6..9] == [0x52, 0x54, 0x00];
    let (message, destination) = match (&ethernet[12..], packet.first()) {
        ([0x08, 0x00], Some(_)) if packet.get(9) == Some(&2) => igmp_message(packet, ours)?,
        ([0x86, 0xdd], Some(_)) if packet.get(6) == Some(&0) => mld_message(packet, ours)?,
        _ => return Ok(Vec::new()),
    };
    let length = if group.is_ipv4() { 4 } else { 16 };
    if group.is_ipv4() != destination.is_ipv4() {
        return Ok(Vec::new());
    }
    let address: Vec<u8> = match group {
        IpAddr::V4(v4) => v4.octets().into(),
        IpAddr::V6(v6) => v6.octets().into(),
    };
    let at = |offset: usize| message.get(offset..offset + length);
    // Old messages name their one group; IGMP's after 4 bytes, MLD's after 8.
    let first = if group.is_ipv4() { 4 } else { 8 };
    let zero = vec![0; length];
    let kind = *message.first().context("an empty message")?;
    Ok(match kind {
        0x11 | 130 if at(first) == Some(&zero) || at(first) == Some(&address) => vec![Said::Query],
        0x16 | 131 if at(first) == Some(&address) => {
            ensure!(destination == group, "a report to {destination}");
            vec![Said::Report]
        }
        0x17 | 132 if at(first) == Some(&address) => {
            let all_routers = ["224.0.0.2", "ff02::2"].contains(&&*destination.to_string());
            ensure!(all_routers, "a leave to {destination}");
            vec![Said::Leave]
        }
        0x22 | 143 => {
            let v3 = ["224.0.0.22", "ff02::16"].contains(&&*destination.to_string());
            ensure!(v3, "a report of many groups to {destination}");
            let mut said = Vec::new();
            let mut offset = 8;
            while let Some(record) = message.get(offset..offset + 4 + length) {
                let sources = usize::from(u16::from_be_bytes([record[2], record[3]]));
                if record[4..] == address {
                    // RFC 3376 section 4.2.12: (TO_)EX of nothing is a member, TO_IN of nothing is none.
                    ensure!(record[1] == 0 && sources == 0, "record {record:02x?}");
                    match record[0] {
                        2 | 4 => said.push(Said::Report),
                        3 => said.push(Said::Leave),
                        other => anyhow::bail!("a record of type {other}"),
                    }
                }
                offset += 4 + length * (1 + sources);
            }
            said
        }
        _ => Vec::new(),
    })
}

/// RFC 2236 section 2 and RFC 3376 section 4: TTL 1, Router Alert, checksums.
fn igmp_message(packet: &[u8], ours: bool) -> anyhow::Result<(&[u8], IpAddr)> {
    let header = usize::from(packet[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let message = packet.get(header..total).context("a short packet")?;
    if ours {
        ensure!(packet[0] == 0x46, "a header of {header} bytes");
        ensure!(packet[8] == 1, "TTL {}", packet[8]);
        ensure!(packet[20..24] == [0x94, 4, 0, 0], "no Router Alert");
        ensure!(sum(&[&packet[..header]]) == 0xffff, "the header's checksum");
        ensure!(sum(&[message]) == 0xffff, "the message's checksum");
    }
    let destination: [u8; 4] = packet[16..20].try_into()?;
    Ok((message, destination.into()))
}

/// RFC 2710 section 3 and RFC 3810 section 5: hop limit 1, Router Alert in a hop-by-hop header, a
/// link-local source, checksum.
fn mld_message(packet: &[u8], ours: bool) -> anyhow::Result<(&[u8], IpAddr)> {
    let total = 40 + usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let message = packet.get(48..total).context("a short packet")?;
    if ours && packet[40] == 58 {
        ensure!(packet[7] == 1, "hop limit {}", packet[7]);
        ensure!(packet[41] == 0, "a long hop-by-hop header");
        ensure!(packet[42..46] == [5, 2, 0, 0], "no Router Alert");
        ensure!(
            packet[8..10] == [0xfe, 0x80],
            "not from a link-local address"
        );
        let length = (message.len() as u32).to_be_bytes();
        let pseudo = [&packet[8..40], &length, &[0, 0, 0, 58]].concat();
        ensure!(sum(&[&pseudo, message]) == 0xffff, "the checksum");
    }
    let destination: [u8; 16] = packet[24..40].try_into()?;
    Ok((message, destination.into()))
}

/// The Internet checksum's sum (RFC 1071): all ones where it is right.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The other querier's address: above the switch's, which so remains the one elected (RFC 2236
/// section 3), and acts upon leaves.
const QUERIER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

/// A querier that is not the switch: asks for `group`, or for all, as `IGMPv2` or v3.
fn ask(socket: &Socket, version: u8, group: Option<Ipv4Addr>) -> anyhow::Result<()> {
    let to = group.unwrap_or(Ipv4Addr::new(224, 0, 0, 1));
    let mut message = vec![0x11, 10, 0, 0];
    message.extend(group.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    if version == 3 {
        // No suppression, robustness 2, query interval 125 s, no sources.
        message.extend([2, 125, 0, 0]);
    }
    let check = !sum(&[&message]);
    message[2..4].copy_from_slice(&check.to_be_bytes());
    let mut packet = vec![0x46, 0xc0];
    packet.extend((24 + message.len() as u16).to_be_bytes());
    // The kernel fills in the header's checksum (raw(7)).
    packet.extend([0, 0, 0, 0, 1, 2, 0, 0]);
    packet.extend(QUERIER.octets());
    packet.extend(to.octets());
    packet.extend([0x94, 4, 0, 0]);
    packet.extend(message);
    socket.send_to(&packet, &SocketAddr::from(SocketAddrV4::new(to, 0)).into())?;
    Ok(())
}

/// The observer's host: on a port to which all multicast goes.
///
/// Only the elected querier acts upon a leave: it asks twice who is left, a second apart, and strikes
/// out the port where nobody answers (RFC 2236 section 3, RFC 3376 section 6.4.2). Linux' bridge asks
/// from 0.0.0.0 unless told to use its address, and gives way to whoever has one. Without a leave, a
/// port stays in the list for longer than anybody here waits.
pub fn observe(rig: &mut Rig, options: [&str; 2]) -> anyhow::Result<()> {
    rig.lab.snoop()?;
    let elected = [
        "mcast_query_use_ifaddr 1 mcast_membership_interval 26000",
        "mcast_last_member_count 2 mcast_last_member_interval 100",
    ];
    let set = ["link", "set", "br0", "type", "bridge"];
    for options in elected.map(|all| all.split(' ')) {
        rig.lab.switch().ip(set.into_iter().chain(options))?;
    }
    rig.lab.switch().ip(set.into_iter().chain(options))?;
    rig.lab.host()?;
    let bridge = rig.lab.switch().cmd("bridge");
    bridge
        .args(["link", "set", "dev", "host1", "mcast_router", "2"])
        .read()?;
    Ok(())
}

fn listed(rig: &Rig, port: &str, group: IpAddr) -> anyhow::Result<bool> {
    let shown = rig
        .lab
        .switch()
        .cmd("bridge")
        .args(["mdb", "show"])
        .read()?;
    let (port, group) = (format!("port {port} "), format!("grp {group} "));
    Ok(shown
        .lines()
        .any(|line| line.contains(&port) && line.contains(&group)))
}

pub fn wait_listed(rig: &Rig, port: &str, group: IpAddr, wanted: bool) -> Outcome {
    let deadline = Deadline::after(SOON);
    while listed(rig, port, group)? != wanted {
        let state = if wanted { "not listed" } else { "still listed" };
        ensure!(deadline.left().is_some(), "{group} is {state} at {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Sends the file slowly, with `between` called twice a second.
fn slowly(
    server: &Foe,
    file: &File,
    mut between: impl FnMut(u32) -> Outcome,
) -> anyhow::Result<()> {
    let steps = (TRANSFER.as_millis() / 500) as u32;
    let each = file.blocks() / u64::from(steps) + 1;
    for step in 0..steps {
        let from = u64::from(step) * each;
        server.stream(file, from..(from + each).min(file.blocks() - 1))?;
        between(step)?;
        std::thread::sleep(Duration::from_millis(500));
    }
    server.serve(file)
}

/// Reported on join, every query answered in time, left at the end, and nothing after that.
fn judge(seen: &[(Instant, Said)], queries: usize) -> Outcome {
    let story: Vec<Said> = seen.iter().map(|(_, said)| *said).collect();
    let left = seen.iter().find(|(_, said)| *said == Said::Leave);
    let (left, _) = *left.with_context(|| format!("it never left: {story:?}"))?;
    let joined = seen.iter().find(|(_, said)| *said == Said::Report);
    let (joined, _) = *joined.with_context(|| format!("it never joined: {story:?}"))?;
    let mut answered = 0;
    for (at, _) in seen.iter().filter(|(_, said)| *said == Said::Query) {
        if *at < joined || *at + ANSWER > left {
            continue;
        }
        let answer = |(when, said): &(Instant, Said)| {
            *said == Said::Report && when >= at && *when <= *at + ANSWER
        };
        ensure!(
            seen.iter().any(answer),
            "a query without an answer: {story:?}"
        );
        answered += 1;
    }
    ensure!(answered >= queries, "{answered} queries in {story:?}");
    let after = |(at, said): &&(Instant, Said)| *at > left && *said == Said::Report;
    ensure!(
        seen.iter().find(after).is_none(),
        "a report after the leave: {story:?}"
    );
    Ok(())
}

fn igmp(version: u8) -> Outcome {
    let mut rig = Rig::new()?;
    observe(&mut rig, ["mcast_igmp_version", &version.to_string()])?;
    let group = rig::group();
    let observer = Observer::new(&rig.lab.hosts()[0], group.ip())?;
    let querier = rig.lab.hosts()[0].enter(|| -> std::io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(2)))?;
        socket.set_header_included_v4(true)?;
        socket.set_multicast_if_v4(&HOST)?;
        Ok(socket)
    })??;
    let server = rig.server()?;
    let file = File::new(20, 200);
    let client = rig.client(&format!("x-slam://{}", xtask::netlab::SERVER), None)?;
    server.first_nack()?;
    wait_listed(&rig, &client.port, group.ip(), true)?;
    let IpAddr::V4(ours) = group.ip() else {
        anyhow::bail!("{group} is not IPv4")
    };
    slowly(&server, &file, |step| {
        ensure!(
            listed(&rig, &client.port, group.ip())?,
            "forgotten at {step}"
        );
        match step % 6 {
            2 => ask(&querier, version, None),
            5 => ask(&querier, version, Some(ours)),
            _ => Ok(()),
        }
    })?;
    client.has(&file)?;
    // Reports go on being sent twice on join: the last word is waited for.
    std::thread::sleep(Duration::from_secs(1));
    judge(&observer.seen()?, 5)?;
    wait_listed(&rig, &client.port, group.ip(), false)
}

pub fn server6(rig: &Rig) -> anyhow::Result<Foe> {
    let address = SocketAddr::from((SERVER6, 10000));
    Foe::new(rig.lab.server(), address, SocketAddr::from((GROUP6, 10000)))
}

/// A real machine's UEFI, its own network driver in iPXE: IPv4 and IPv6 groups.
pub fn uefi() -> Outcome {
    for v6 in [false, true] {
        let mut rig = Rig::new()?;
        let file = File::new(23, 300);
        let (server, uri, configure) = if v6 {
            let uri = format!("x-slam://[{SERVER6}]/[{GROUP6}]");
            (server6(&rig)?, uri, "ifconf --configurator ipv6 ||")
        } else {
            let uri = format!("x-slam://{}", xtask::netlab::SERVER);
            (rig.server()?, uri, "")
        };
        let client = rig.uefi(configure, &uri)?;
        server.serve(&file)?;
        client.has(&file)?;
    }
    Ok(())
}

/// The switch itself asks, every 5 s.
fn mld(version: u8) -> Outcome {
    let mut rig = Rig::new()?;
    observe(&mut rig, ["mcast_mld_version", &version.to_string()])?;
    let observer = Observer::new(&rig.lab.hosts()[0], GROUP6.into())?;
    let server = server6(&rig)?;
    let file = File::new(21, 200);
    let uri = format!("x-slam://[{SERVER6}]/[{GROUP6}]");
    let client = rig.client_after("ifconf --configurator ipv6 ||", &uri, None)?;
    server.first_nack()?;
    wait_listed(&rig, &client.port, GROUP6.into(), true)?;
    slowly(&server, &file, |step| {
        ensure!(
            listed(&rig, &client.port, GROUP6.into())?,
            "forgotten at {step}"
        );
        Ok(())
    })?;
    client.has(&file)?;
    wait_listed(&rig, &client.port, GROUP6.into(), false)?;
    judge(&observer.seen()?, 1)
}

/// No router, no configuration: what every IPv6 host has.
fn link_local() -> Outcome {
    let mut rig = Rig::new()?;
    let server = server6(&rig)?;
    let file = File::new(22, 100);
    // The server's own: two seconds after it came up, by which the client has started.
    let shown = rig.lab.server().cmd("ip");
    let shown = shown
        .args(["-6", "-o", "addr", "show", "dev", "eth0"])
        .read()?;
    let address = shown
        .split_whitespace()
        .find(|word| word.starts_with("fe80::"));
    let address = address.context("no link-local address")?;
    let address: Ipv6Addr = address.split('/').next().unwrap_or_default().parse()?;
    let scope = rig
        .lab
        .server()
        .enter(|| nix::net::if_::if_nametoindex("eth0"))??;
    let local = std::net::SocketAddrV6::new(address, 10001, 0, scope);
    let deadline = Deadline::after(SOON);
    // Until nobody was found to have it, it cannot be bound.
    let honest = loop {
        let group = SocketAddr::from((GROUP6, 10000));
        match Foe::new(rig.lab.server(), local.into(), group) {
            Ok(foe) => break foe,
            Err(error) => ensure!(deadline.left().is_some(), "{error:#}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    drop(server);
    let uri = format!("x-slam://[{address}%net0]:10001/[{GROUP6}%net0]:10000");
    let client = rig.client(&uri, None)?;
    honest.serve(&file)?;
    client.has(&file)?;
    Ok(())
}
