// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who has which address on the segment, as the kernel knows it (ARP).

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use site::Mac;

/// Nobody answers there (RFC 863, which throws away what comes).
const DISCARD_PORT: u16 = 9;

/// Makes the kernel look for an address, from the interface that has `from`. The answer is in
/// [`find`] soon.
///
/// Any datagram makes it ask by ARP, and hosts answer that which answer nothing else.
pub fn look_for(address: Ipv4Addr, from: Ipv4Addr) {
    // Best effort: an address that cannot be looked for counts as free, as without looking.
    let _ = UdpSocket::bind(SocketAddrV4::new(from, 0))
        .and_then(|socket| socket.send_to(&[], SocketAddrV4::new(address, DISCARD_PORT)));
}

/// The card that has an address, if the kernel has heard it lately.
pub fn find(address: Ipv4Addr) -> Option<Mac> {
    all().remove(&address)
}

/// All cards that the kernel has heard lately.
pub fn all() -> HashMap<Ipv4Addr, Mac> {
    parse(&std::fs::read_to_string("/proc/net/arp").unwrap_or_default())
}

/// A table as `/proc/net/arp` shows it (proc(5)): entries that are complete have the flag 2.
fn parse(table: &str) -> HashMap<Ipv4Addr, Mac> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (ip, _kind, flags, mac) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()?;
        let complete = flags & 2 != 0;
        complete.then_some((ip.parse().ok()?, mac.parse().ok()?))
    };
    table.lines().skip(1).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_entries_count() {
        let table = "\
IP address       HW type     Flags       HW address            Mask     Device
10.77.0.9        0x1         0x2         52:54:00:00:00:09     *        eth0
10.77.0.90       0x1         0x0         00:00:00:00:00:00     *        eth0
";
        let mac = Mac::new([0x52, 0x54, 0, 0, 0, 9]);
        let only = HashMap::from([(Ipv4Addr::new(10, 77, 0, 9), mac)]);
        assert_eq!(parse(table), only);
        assert_eq!(parse(""), HashMap::new());
    }
}
