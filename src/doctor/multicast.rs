// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether multicast leaves this host, and what the switch makes of it.
//!
//! Whether a switch snoops cannot be seen from one port. Whether somebody asks for members can: a
//! querier answers the last member's goodbye with a question for the group (RFC 2236, section 3;
//! RFC 3376, section 6.4.2). Without a querier snooping switches forget members, or flood.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::Finding;
use crate::net::interface::Chosen;

const CHECK: &str = "multicast";
/// A group of nobody (RFC 2365: organisation-local scope).
const TEST_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 83, 76);
/// A querier asks twice, a second apart (RFC 2236, section 8.8), after the goodbye has come.
const PATIENCE: Duration = Duration::from_millis(3500);
const IGMP_QUERY: u8 = 0x11;

/// Sends to a group, joins it, leaves it, and listens for the question.
pub fn look(chosen: &Chosen) -> Vec<Finding> {
    let mut findings = Vec::new();
    match send(chosen.address) {
        Ok(()) => findings.push(Finding::ok(
            CHECK,
            format!("leaves by {}, {}", chosen.interface, chosen.address),
        )),
        // The kernel takes no route for what leaves by a given interface: this is netfilter's word.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            findings.push(Finding::problem(
                CHECK,
                format!(
                    "cannot be sent by {}: {error}: a firewall on this host drops it",
                    chosen.interface
                ),
                "nft list ruleset: in chains with \"hook output\" let UDP out to 224.0.0.0/4",
            ));
        }
        Err(error) => findings.push(Finding::problem(
            CHECK,
            format!("cannot be sent by {}: {error}", chosen.interface),
            format!(
                "ip link set {0} up multicast on; ip route add 224.0.0.0/4 dev {0}",
                chosen.interface
            ),
        )),
    }
    findings.push(match querier(chosen.address) {
        Ok(Some(querier)) => Finding::warning(
            "snooping",
            format!("{querier} asks for members (IGMP): switches that snoop send groups only to ports where somebody answers"),
            "boot by ROMs of slamboot, which answer; stock iPXE does not, and falls back to HTTP: docs/multicast-and-switches.md",
        ),
        Ok(None) => Finding::ok(
            "snooping",
            "no querier: switches flood; one that snoops without one forgets members after some minutes (then switch a querier on)",
        ),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Finding::skipped("snooping", "needs root, to hear IGMP")
        }
        Err(error) => Finding::skipped("snooping", format!("cannot listen for IGMP: {error}")),
    });
    findings
}

fn send(from: Ipv4Addr) -> io::Result<()> {
    let socket = UdpSocket::bind(SocketAddrV4::new(from, 0))?;
    let socket = Socket::from(socket);
    socket.set_multicast_if_v4(&from)?;
    socket.set_multicast_ttl_v4(1)?;
    let to = SocketAddr::V4(SocketAddrV4::new(TEST_GROUP, 9));
    socket.send_to(b"slamboot doctor", &to.into()).map(drop)
}

/// The querier of the segment, if it answers a goodbye.
#[expect(clippy::disallowed_methods, reason = "the edge: how long is waited")]
fn querier(own: Ipv4Addr) -> io::Result<Option<Ipv4Addr>> {
    // IGMP is IP protocol 2.
    let mut raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(2)))?;
    raw.set_read_timeout(Some(Duration::from_millis(100)))?;
    let member = || Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP));
    let first = member()?;
    first.join_multicast_v4(&TEST_GROUP, &own)?;
    // Until the membership has been reported: a querier asks for no group that it does not know.
    std::thread::sleep(Duration::from_millis(500));
    first.leave_multicast_v4(&TEST_GROUP, &own)?;
    // The question goes to the group itself: who is no member does not hear it.
    let second = member()?;
    second.join_multicast_v4(&TEST_GROUP, &own)?;
    let start = Instant::now();
    let mut packet = [0; 256];
    while start.elapsed() < PATIENCE {
        let Ok(length) = raw.read(&mut packet) else {
            continue;
        };
        if let Some(from) = query(&packet[..length]).filter(|from| *from != own) {
            return Ok(Some(from));
        }
    }
    Ok(None)
}

/// Who asks, if this IPv4 packet is a question for members.
fn query(packet: &[u8]) -> Option<Ipv4Addr> {
    let header = usize::from(packet.first()? & 15) * 4;
    let from: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    (packet.get(header) == Some(&IGMP_QUERY)).then_some(from.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_told_from_a_report() {
        let mut packet = vec![0x46; 1];
        packet.resize(32, 0);
        packet[12..16].copy_from_slice(&[10, 77, 0, 254]);
        packet[24] = IGMP_QUERY;
        assert_eq!(query(&packet), Some(Ipv4Addr::new(10, 77, 0, 254)));
        packet[24] = 0x16;
        assert_eq!(query(&packet), None);
        for cut in 0..25 {
            assert_eq!(query(&packet[..cut]), None);
        }
    }
}
