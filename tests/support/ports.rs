// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ports for servers that tests start.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// A port that was free a moment ago for TCP and UDP, with a few free ones after it, and that the kernel
/// gives nobody who asks for any port (`ip_local_port_range` begins at 32768): free now would be taken by
/// the next connection of another test before a server starts there.
pub fn free() -> u16 {
    /// Those of one call.
    const STEP: u32 = 16;
    static CALLS: AtomicU32 = AtomicU32::new(0);
    loop {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (std::process::id() * 37 + call) * STEP % 20_000;
        let port = u16::try_from(port).unwrap();
        let at = (Ipv4Addr::UNSPECIFIED, port);
        if TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok() {
            return port;
        }
    }
}
