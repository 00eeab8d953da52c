// SPDX-License-Identifier: MIT OR Apache-2.0
//! What servers answer to DHCP clients, heard beside the client of this very host: where that has its
//! address by DHCP, as most have, the clients' port is its own.

use std::io::{self, ErrorKind, Read as _};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::bind;
use socket2::{Domain, Protocol, Socket, Type};

/// `ETH_P_IP`, as packet(7) wants it: in the network's order.
const IPV4: u16 = 0x0800;
const UDP: u8 = 17;
const CLIENT_PORT: u16 = 68;

/// A copy of every IPv4 packet that an interface receives.
#[derive(Debug)]
pub struct Frames(Socket);

impl Frames {
    /// Of this interface; needs `CAP_NET_RAW`.
    pub fn open(interface: &str) -> io::Result<Frames> {
        let protocol = Protocol::from(i32::from(IPV4.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
        socket.set_nonblocking(true)?;
        let mut all = nix::ifaddrs::getifaddrs()?;
        let link = all.find_map(|one| {
            let link = one.address.as_ref()?.as_link_addr().copied();
            link.filter(|_| one.interface_name == interface)
        });
        let link = link.ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
        // It carries the interface's number; of which protocol packets are was said above.
        bind(socket.as_raw_fd(), &link)?;
        Ok(Frames(socket))
    }

    /// The next datagram to the clients' port, if there is one.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<Vec<u8>>> {
        loop {
            match self.0.read(buffer) {
                Ok(length) => {
                    if let Some(datagram) = to_client(&buffer[..length]) {
                        return Ok(Some(datagram.to_vec()));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// What is in an IPv4 packet, if that is a whole datagram to the clients' port.
fn to_client(packet: &[u8]) -> Option<&[u8]> {
    let first = *packet.first()?;
    let (header, total) = (usize::from(first & 15) * 4, number(packet, 2)?);
    // Neither a fragment nor followed by any.
    let whole = number(packet, 6)?.trailing_zeros() >= 14;
    if first >> 4 != 4 || header < 20 || packet.get(9) != Some(&UDP) || !whole {
        return None;
    }
    // Short frames are filled up; the packet says where it ends.
    let datagram = packet.get(header..usize::from(total))?;
    if number(datagram, 2)? != CLIENT_PORT {
        return None;
    }
    datagram.get(8..usize::from(number(datagram, 4)?))
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([two[0], two[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `payload` to this port, in a packet that a frame fills up.
    fn packet(port: u16, payload: &[u8]) -> Vec<u8> {
        let length = 8 + payload.len() as u16;
        let mut packet = vec![0x45, 0];
        packet.extend((20 + length).to_be_bytes());
        packet.extend([
            0, 0, 0x40, 0, 64, UDP, 0, 0, 10, 77, 0, 254, 255, 255, 255, 255,
        ]);
        packet.extend(67u16.to_be_bytes());
        packet.extend(port.to_be_bytes());
        packet.extend(length.to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(payload);
        packet.extend([0; 7]);
        packet
    }

    #[test]
    fn a_datagram_to_a_client_is_told_from_others() {
        let good = packet(68, b"offer");
        assert_eq!(to_client(&good), Some(&b"offer"[..]));
        assert_eq!(to_client(&packet(67, b"offer")), None);
        for (at, byte) in [(0, 0x65), (0, 0x44), (6, 0x20), (7, 1), (9, 6)] {
            let mut other = good.clone();
            other[at] = byte;
            assert_eq!(to_client(&other), None, "{at}");
        }
        // Longer than it is.
        for at in [3, 25] {
            let mut other = good.clone();
            other[at] = 255;
            assert_eq!(to_client(&other), None, "{at}");
        }
        for cut in 0..good.len() - 7 {
            assert_eq!(to_client(&good[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn any_packet() {
        for seed in 0..20_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bytes = packet(68, &[7; 40]);
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            bytes.truncate(random.usize(..=bytes.len()));
            let _ = to_client(&bytes);
        }
    }
}
