// SPDX-License-Identifier: MIT OR Apache-2.0
//! The room that a row is measured in: a switch, a server behind an uplink of a given rate, hosts
//! that lose packets.

use std::fs::File;
use std::io::{Read, Seek};

use anyhow::{Context, Result};
use xtask::cmd::Cmd;
use xtask::netlab::{INTERFACE, Namespace, Netlab};

use super::procfs;
use super::row::Row;

/// What the uplink queues before it drops: senders whose socket's buffer is smaller wait instead.
const QUEUE: u64 = 1 << 20;
/// At least so much at once, lest the timer's resolution cost rate.
const LEAST_BURST: u64 = 32 << 10;

/// A switch with everyone plugged in. Dropping it removes everything.
pub(super) struct Room {
    lab: Netlab,
    /// `/proc/net/dev` of the server's namespace: the file remembers where it was opened.
    counters: File,
}

impl Room {
    pub(super) fn new(row: &Row) -> Result<Room> {
        let mut lab = Netlab::new()?;
        for _ in 0..row.clients {
            lab.host()?;
        }
        for namespace in lab.hosts().iter().chain([lab.server()]) {
            // A program that names no interface for its group needs a route.
            namespace.ip(["route", "add", "224.0.0.0/4", "dev", INTERFACE])?;
        }
        tc(lab.server())
            .args(["qdisc", "replace", "dev", INTERFACE, "root"])
            .args(uplink(row.mbit_per_s))
            .read()?;
        if row.lost_of_10000 > 0 {
            for (index, host) in lab.hosts().iter().enumerate() {
                // One packet on the wire is one that can be lost: a super-packet of many segments
                // (GSO) is cut before it reaches the host, as on a wire.
                let port = Netlab::port(index);
                lab.switch()
                    .ip(["link", "set", "dev", &port, "gso_max_segs", "1"])?;
                inside(host, &Cmd::new("nft").arg(loss(row.lost_of_10000))).read()?;
            }
        }
        let counters = lab
            .server()
            .enter(|| File::open("/proc/thread-self/net/dev"))?
            .context("/proc/thread-self/net/dev")?;
        Ok(Room { lab, counters })
    }

    pub(super) fn server(&self) -> &Namespace {
        self.lab.server()
    }

    pub(super) fn hosts(&self) -> &[Namespace] {
        self.lab.hosts()
    }

    /// Addresses of the hosts.
    pub(super) fn addresses(&self) -> Vec<String> {
        let hosts = 0..self.lab.hosts().len();
        hosts
            .map(|index| Netlab::address(index).to_string())
            .collect()
    }

    /// Bytes that have left by the uplink as the device counts them: quick to read, but a
    /// super-packet counts its headers once.
    pub(super) fn left(&self) -> Result<u64> {
        let mut text = String::new();
        let mut counters = &self.counters;
        counters.rewind()?;
        counters.read_to_string(&mut text)?;
        procfs::transmitted(&text, INTERFACE).with_context(|| format!("no {INTERFACE} in:\n{text}"))
    }

    /// Bytes that have left by the uplink, with the headers of every packet, as the queue counts
    /// them.
    pub(super) fn sent(&self) -> Result<u64> {
        let text = tc(self.lab.server())
            .args(["-s", "-j", "qdisc", "show", "dev", INTERFACE])
            .read()?;
        passed(&text).with_context(|| format!("no tbf in: {text}"))
    }
}

/// `command`, run in `namespace`.
pub(super) fn inside(namespace: &Namespace, command: &Cmd) -> Cmd {
    let wrapper = Cmd::new("ip").args(["netns", "exec", namespace.name()]);
    command.clone().through(wrapper)
}

fn tc(namespace: &Namespace) -> Cmd {
    Cmd::new("tc").args(["-n", namespace.name()])
}

/// tc-tbf(8).
fn uplink(mbit_per_s: u64) -> Vec<String> {
    // A millisecond's worth; a super-packet of 64 KiB fits into it at 1 Gbit/s.
    let burst = LEAST_BURST.max(mbit_per_s * 1_000_000 / 8 / 1000);
    format!("tbf rate {mbit_per_s}mbit burst {burst} limit {QUEUE}")
        .split(' ')
        .map(str::to_owned)
        .collect()
}

/// nft(8): IPv4 packets that come in are lost at random; ARP is spared, which nobody measures.
fn loss(of_10000: u32) -> String {
    // Line ends, because this nft wants one after a statement before it closes a chain.
    format!(
        "table netdev bench {{\n chain loss {{\n  \
         type filter hook ingress device \"{INTERFACE}\" priority 0;\n  \
         meta protocol ip numgen random mod 10000 < {of_10000} drop\n }}\n}}\n"
    )
}

/// `tc -s -j qdisc show`.
fn passed(text: &str) -> Option<u64> {
    let queues: serde_json::Value = serde_json::from_str(text).ok()?;
    let queue = queues.as_array()?.iter().find(|q| q["kind"] == "tbf")?;
    queue["bytes"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_counts_what_left() {
        let text = r#"[{"kind":"tbf","handle":"8001:","root":true,"bytes":123456,"packets":9}]"#;
        assert_eq!(passed(text), Some(123_456));
        assert_eq!(passed(r#"[{"kind":"noqueue","bytes":1}]"#), None);
    }

    #[test]
    fn an_uplink_lets_a_millisecond_pass_at_once() {
        assert_eq!(
            uplink(1000).join(" "),
            "tbf rate 1000mbit burst 125000 limit 1048576"
        );
        assert_eq!(
            uplink(100).join(" "),
            "tbf rate 100mbit burst 32768 limit 1048576"
        );
    }
}
