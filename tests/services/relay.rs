// SPDX-License-Identifier: MIT OR Apache-2.0
//! Machines on another network than the server's, whose requests a relay agent brings.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
use dhcproto::{Encodable as _, Encoder};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use xtask::cmd::Running;
use xtask::console::{Console, Deadline};
use xtask::netlab::{INTERFACE, Namespace, SERVER};

use super::crowd::{client_socket, ipxe, lease, receive, send, tftp};
use super::{Room, SOON, small};
use crate::support::Outcome;

/// The relay agent on the machines' network.
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 254);
/// Its interface there.
const FAR: &str = "far0";
/// What an agent says of where a request came from (RFC 3046): circuit, remote, and a suboption that
/// nobody here knows.
const INFORMATION: &[u8] = &[1, 4, 0, 7, 0, 3, 2, 6, 2, 0, 0, 0, 0, 9, 201, 2, 5, 5];

/// Addresses of the machines' network.
const FAR_POOL: &str = "[dhcp]\nmode = \"pool\"\n\
                        [[dhcp.relay]]\nnetwork = \"10.78.0.0/24\"\npool = \"10.78.0.20-10.78.0.29\"\n";

/// The first host becomes a router and relay agent, the second a machine whose only wire leads to it.
fn far_room() -> anyhow::Result<Room> {
    let mut room = Room::new()?;
    room.lab.host()?;
    room.lab.host()?;
    let [relay, machine] = room.lab.hosts() else {
        anyhow::bail!("two hosts");
    };
    machine.ip(["link", "del", INTERFACE])?;
    #[rustfmt::skip]
    machine.ip(["link", "add", INTERFACE, "type", "veth", "peer", "name", FAR, "netns", relay.name()])?;
    relay.ip(["addr", "add", "10.78.0.254/24", "dev", FAR])?;
    relay.ip(["link", "set", FAR, "up"])?;
    machine.ip(["addr", "add", "10.78.0.9/24", "dev", INTERFACE])?;
    machine.ip(["link", "set", INTERFACE, "up"])?;
    machine.ip(["route", "add", "default", "via", "10.78.0.254"])?;
    let forward = "echo 1 >/proc/sys/net/ipv4/ip_forward";
    relay.cmd("sh").args(["-c", forward]).read()?;
    let back = ["route", "add", "10.78.0.0/24", "via", "10.77.1.1"];
    room.lab.server().ip(back)?;
    Ok(room)
}

/// dnsmasq as a relay agent, and nothing else.
fn dnsmasq(room: &Room) -> anyhow::Result<(Running, Console)> {
    let console = Console::open("relay", &room.path("relay.log"))?;
    let (out, err) = (console.pipe("out")?, console.pipe("err")?);
    let running = room.lab.hosts()[0]
        .cmd("dnsmasq")
        .args(["--no-daemon", "--conf-file=/dev/null", "--user=root"])
        .args(["--pid-file=", "--port=0", "--no-hosts", "--no-resolv"])
        .arg(format!("--dhcp-relay={RELAY},{SERVER}"))
        .spawn_into(out, err)?;
    console.wait_for("DHCP relay from", SOON)?;
    Ok((running, console))
}

/// What the machine is offered, as iPXE that asks until somebody answers.
fn offered(machine: &Namespace) -> anyhow::Result<Message> {
    machine.enter(|| {
        let socket = client_socket()?;
        let deadline = Deadline::after(Duration::from_secs(20));
        while deadline.left().is_some() {
            send(&socket, MessageType::Discover, 1, &ipxe())?;
            let round = Deadline::after(Duration::from_secs(1));
            while round.left().is_some() {
                if let Some((1, from, message)) = receive(&socket)
                    && from == SERVER
                {
                    return Ok(message);
                }
            }
        }
        anyhow::bail!("nothing is offered")
    })?
}

fn boots(offer: &Message) -> Outcome {
    let url = "http://10.77.0.1:8080/boot.ipxe?mac=52:54:00:99:00:01";
    let name = offer.opts().get(OptionCode::BootfileName);
    ensure!(
        name == Some(&DhcpOption::BootfileName(url.into())) && offer.siaddr() == SERVER,
        "{offer}"
    );
    ensure!(offer.giaddr() == RELAY, "{offer}");
    Ok(())
}

/// The proxy beside whoever gives that network its addresses; and what it names can be fetched there.
pub fn a_relay_agent_is_answered() -> Outcome {
    let room = far_room()?;
    let config = small(&room)?;
    let server = room.serve("serve", &config)?;
    let relay = dnsmasq(&room)?;
    let machine = &room.lab.hosts()[1];
    let offer = offered(machine);
    boots(&offer.with_context(|| format!("{}{}", relay.1.tail(), server.console.tail()))?)?;
    let script = machine.enter(|| tftp("/boot.ipxe", &[], 0))??;
    ensure!(script.starts_with(b"#!ipxe\n"));
    Ok(())
}

/// Addresses of the far network, for a crowd, by a relay agent that is not ours; the route that comes
/// with them leads to the server, where they are renewed past the agent.
pub fn a_pool_leases_by_a_relay_agent() -> Outcome {
    let room = far_room()?;
    let config = small(&room)?;
    let server = room.serve("serve", &format!("{FAR_POOL}{config}"))?;
    let relay = dnsmasq(&room)?;
    let machine = &room.lab.hosts()[1];
    let leased = machine.enter(|| lease(1..9, SERVER))?;
    let leased = leased.with_context(|| format!("{}{}", relay.1.tail(), server.console.tail()))?;
    let addresses: BTreeSet<Ipv4Addr> = leased.values().copied().collect();
    ensure!(
        addresses.len() == 8 && addresses.iter().all(|a| (20..30).contains(&a.octets()[3])),
        "{leased:?}"
    );
    let own = leased[&1];
    let offer = offered(machine)?;
    boots(&offer)?;
    of_the_far_network(&offer)?;
    ensure!(offer.yiaddr() == own, "{offer}");
    machine.ip(["addr", "flush", "dev", INTERFACE])?;
    machine.ip(["addr", "add", &format!("{own}/24"), "dev", INTERFACE])?;
    machine.ip(["route", "add", "default", "via", "10.78.0.254"])?;
    let (ack, script) = machine
        .enter(|| -> anyhow::Result<_> { Ok((renewed(own)?, tftp("/boot.ipxe", &[], 0)?)) })??;
    ensure!(ack.yiaddr() == own, "{ack}");
    of_the_far_network(&ack)?;
    ensure!(script.starts_with(b"#!ipxe\n"));
    Ok(())
}

/// An agent with an address of the server's own network names the machines' network (RFC 3527).
pub fn the_link_that_a_relay_agent_names_decides() -> Outcome {
    let room = far_room()?;
    let config = small(&room)?;
    let _server = room.serve("serve", &format!("{FAR_POOL}{config}"))?;
    let near = Ipv4Addr::new(10, 77, 1, 1);
    let named = [1, 4, 0, 7, 0, 3, 5, 4, 10, 78, 0, 0];
    let (offer, back) = offered_by_agent(&room, near, &named)?;
    ensure!(offer.giaddr() == near, "{offer}");
    ensure!((20..30).contains(&offer.yiaddr().octets()[3]), "{offer}");
    let mask = DhcpOption::SubnetMask([255, 255, 255, 0].into());
    ensure!(
        offer.opts().get(OptionCode::SubnetMask) == Some(&mask),
        "{offer}"
    );
    ensure!(back.iter().all(|one| one == &named), "{back:?}");
    Ok(())
}

/// What a machine of the far network must be told to reach anybody.
fn of_the_far_network(message: &Message) -> Outcome {
    for expected in [
        DhcpOption::SubnetMask([255, 255, 255, 0].into()),
        DhcpOption::BroadcastAddr([10, 78, 0, 255].into()),
        DhcpOption::Router(vec![RELAY]),
        DhcpOption::ServerIdentifier(SERVER),
    ] {
        let found = message.opts().get(OptionCode::from(&expected));
        ensure!(found == Some(&expected), "not {expected:?}: {message}");
    }
    Ok(())
}

/// The first client's word that it keeps its address, to the server itself (RFC 2131, section 4.4.5).
fn renewed(own: Ipv4Addr) -> anyhow::Result<Message> {
    let socket = client_socket()?;
    let none = Ipv4Addr::UNSPECIFIED;
    let mac = [0x52, 0x54, 0, 0x99, 0, 1];
    let mut message = Message::new_with_id(1, own, none, none, none, &mac);
    let kind = DhcpOption::MessageType(MessageType::Request);
    message.opts_mut().insert(kind);
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes))?;
    for _ in 0..20 {
        socket.send_to(&bytes, SocketAddrV4::new(SERVER, 67))?;
        if let Some((1, SERVER, answer)) = receive(&socket)
            && answer.opts().msg_type() == Some(MessageType::Ack)
        {
            return Ok(answer);
        }
    }
    anyhow::bail!("{own} is not renewed")
}

/// A pool has no addresses of a network that no [[dhcp.relay]] names: that is told, and nothing offered.
pub fn a_pool_refuses_a_relay_agent() -> Outcome {
    let room = far_room()?;
    let config = small(&room)?;
    let server = room.serve("serve", &format!("[dhcp]\nmode = \"pool\"\n{config}"))?;
    let _relay = dnsmasq(&room)?;
    let heard = room.lab.hosts()[1].enter(|| -> anyhow::Result<bool> {
        let socket = client_socket()?;
        send(&socket, MessageType::Discover, 1, &ipxe())?;
        let told = "relay agent 10.78.0.254 asks for an address in the network of 10.78.0.254";
        server.console.wait_for(told, SOON)?;
        Ok(receive(&socket).is_some())
    })??;
    ensure!(!heard, "something was offered");
    Ok(())
}

/// An agent that says where requests come from gets that back as it was (RFC 3046, section 2.2), and
/// takes it out before the machine sees it.
pub fn what_a_relay_agent_says_comes_back() -> Outcome {
    let room = far_room()?;
    let config = small(&room)?;
    let _server = room.serve("serve", &config)?;
    let (offer, back) = offered_by_agent(&room, RELAY, INFORMATION)?;
    boots(&offer)?;
    ensure!(back.iter().all(|one| one == INFORMATION), "{back:?}");
    Ok(())
}

/// What the machine is offered through an agent of our own, which gives itself this address and says
/// this in option 82; and what came back in that option.
fn offered_by_agent(
    room: &Room,
    address: Ipv4Addr,
    information: &[u8],
) -> anyhow::Result<(Message, Vec<Vec<u8>>)> {
    let [relay, machine] = room.lab.hosts() else {
        anyhow::bail!("two hosts");
    };
    let (near, far) =
        relay.enter(|| -> anyhow::Result<_> { Ok((agent(INTERFACE)?, agent(FAR)?)) })??;
    let over = AtomicBool::new(false);
    let (offer, back) = std::thread::scope(|scope| {
        let running = scope.spawn(|| forward([&near, &far], address, information, &over));
        let offer = offered(machine);
        over.store(true, Ordering::Relaxed);
        (offer, running.join().expect("no panic"))
    });
    let back = back?;
    let offer = offer.with_context(|| format!("the agent got back {back:?}"))?;
    ensure!(!back.is_empty(), "nothing came back by the agent");
    Ok((offer, back))
}

fn agent(interface: &str) -> anyhow::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_broadcast(true)?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 67).into())?;
    Ok(socket.into())
}

/// Brings requests to the server and answers to the machines, until it is over: what answers had in
/// option 82.
fn forward(
    [near, far]: [&UdpSocket; 2],
    address: Ipv4Addr,
    information: &[u8],
    over: &AtomicBool,
) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut back = Vec::new();
    let mut buffer = [0; 1500];
    let quiet = |error: &std::io::Error| {
        [Errno::AGAIN.raw_os_error(), Errno::INTR.raw_os_error()]
            .contains(&error.raw_os_error().unwrap_or(0))
    };
    while !over.load(Ordering::Relaxed) {
        match far.recv(&mut buffer) {
            Ok(length) if buffer[0] == 1 => {
                let mut request = buffer[..length].to_vec();
                request[3] += 1;
                request[24..28].copy_from_slice(&address.octets());
                let end = end_of(&request).context("a request without an end")?;
                request.truncate(end);
                request.extend([82, information.len() as u8]);
                request.extend(information);
                request.push(255);
                near.send_to(&request, SocketAddrV4::new(SERVER, 67))?;
            }
            Ok(_) => {}
            Err(error) => ensure!(quiet(&error), "{error}"),
        }
        match near.recv(&mut buffer) {
            Ok(length) if buffer[0] == 2 => {
                let mut answer = buffer[..length].to_vec();
                let (at, said) = option_82(&answer).context("no option 82")?;
                answer.truncate(at);
                answer.push(255);
                back.push(said);
                far.send_to(&answer, (Ipv4Addr::BROADCAST, 68))?;
            }
            Ok(_) => {}
            Err(error) => ensure!(quiet(&error), "{error}"),
        }
    }
    Ok(back)
}

/// Options of a message: code, where it begins, value.
fn options(message: &[u8]) -> Vec<(u8, usize, &[u8])> {
    let (mut found, mut at) = (Vec::new(), 240);
    while let Some(code) = message.get(at).copied() {
        let length = match code {
            0 | 255 => 0,
            _ => message.get(at + 1).copied().map_or(0, usize::from),
        };
        let value = message.get(at + 2..at + 2 + length).unwrap_or_default();
        found.push((code, at, value));
        match code {
            0 => at += 1,
            255 => break,
            _ => at += 2 + length,
        }
    }
    found
}

fn end_of(message: &[u8]) -> Option<usize> {
    let (code, at, _) = *options(message).last()?;
    (code == 255).then_some(at)
}

/// It is the last option (RFC 3046, section 2.1).
fn option_82(message: &[u8]) -> Option<(usize, Vec<u8>)> {
    let options = options(message);
    let [.., (82, at, value), (255, ..)] = options[..] else {
        return None;
    };
    Some((at, value.to_vec()))
}
