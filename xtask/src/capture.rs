// SPDX-License-Identifier: MIT OR Apache-2.0
//! What crosses one port of the switch, as the kernel stamped it: tcpdump, read line by line.
//!
//! A machine's own lines come late where the host is busy: its serial port is read by QEMU, then by
//! us. The network's stamps are taken when a datagram passes, so intervals are measured there.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::cmd::{CmdError, Running};
use crate::console::{Console, WaitError};
use crate::host;
use crate::netlab::{Namespace, Tap};

/// SLAM's requests, its blocks, and the reports that go before them.
const FILTER: &str = "igmp or udp dst port 10000 or (udp and dst net 239.0.0.0/8)";
/// Enough for the reports, the first request and some blocks; a whole transfer would cost the
/// machine that is measured.
const PACKETS: &str = "64";
/// How long tcpdump may take to listen.
const START: Duration = Duration::from_secs(20);

/// Why nothing is captured.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Its log cannot be written.
    #[error("{path}: {source}")]
    Log {
        /// The log.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// tcpdump did not start.
    #[error(transparent)]
    Command(#[from] CmdError),
    /// It started and does not listen.
    #[error(transparent)]
    Silent(#[from] WaitError),
}

/// A running capture; dropping it ends it.
pub struct Capture {
    console: Console,
    _running: Running,
}

/// One datagram of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Datagram {
    at: SystemTime,
    from: Ipv4Addr,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A member speaks for its group.
    Report,
    /// A client asks.
    Request,
    /// The group gets data.
    Block,
}

/// When one download began to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// From the script's fetch to the first request.
    pub to_request: Option<Duration>,
    /// From the script's fetch to the first block.
    pub to_block: Duration,
}

impl Capture {
    /// Listens at `tap`, which is in `namespace`; `None` where there is no tcpdump.
    pub fn start(
        namespace: &Namespace,
        tap: &Tap,
        log: &Path,
    ) -> Result<Option<Capture>, CaptureError> {
        let Some(tcpdump) = host::tcpdump() else {
            return Ok(None);
        };
        let file = |source| CaptureError::Log {
            path: log.display().to_string(),
            source,
        };
        let console = Console::open("tcpdump", log).map_err(file)?;
        let (out, err) = (
            console.pipe("out").map_err(file)?,
            console.pipe("err").map_err(file)?,
        );
        let running = namespace
            .cmd(tcpdump)
            .args(["-i", &tap.interface, "-n", "-tt", "-l", "--immediate-mode"])
            .args(["-s", "96", "-c", PACKETS, FILTER])
            .spawn_into(out, err)?;
        console.wait_for("listening on", START)?;
        Ok(Some(Capture {
            console,
            _running: running,
        }))
    }

    /// The beginning of the download that the script announced at `line`, by this host's reading
    /// of the machine's serial port. `None` where blocks flowed before, for somebody else.
    pub fn beginning(&self, line: SystemTime) -> Option<Beginning> {
        let lines = self.console.lines();
        beginning(line, lines.iter().filter_map(|line| parse(&line.text)))
    }
}

fn beginning(line: SystemTime, heard: impl Iterator<Item = Datagram>) -> Option<Beginning> {
    let mut reports = Vec::new();
    let mut request: Option<Datagram> = None;
    for datagram in heard {
        match datagram.what {
            What::Report => reports.push(datagram),
            What::Request => request = request.or(Some(datagram)),
            What::Block => {
                // The script says that it fetches, then joins, then fetches: the line is the
                // earlier one, unless we read it late. Others report, too: the switch itself does.
                let report = request.and_then(|request| {
                    let own = |report: &&Datagram| report.from == request.from;
                    reports.iter().find(own)
                });
                let fetch = report.map_or(line, |report| report.at.min(line));
                let since = |at: SystemTime| at.duration_since(fetch).ok();
                return Some(Beginning {
                    to_request: request.and_then(|request| since(request.at)),
                    to_block: since(datagram.at)?,
                });
            }
        }
    }
    None
}

/// `1700000000.123456 IP 10.77.0.1.10000 > 239.255.1.1.10000: UDP, length 1472`
fn parse(line: &str) -> Option<Datagram> {
    let mut words = line.split_whitespace();
    let (seconds, micros) = words.next()?.split_once('.')?;
    let since = Duration::from_secs(seconds.parse().ok()?)
        + Duration::from_micros(micros.get(..6)?.parse().ok()?);
    let at = SystemTime::UNIX_EPOCH.checked_add(since)?;
    let _ip = words.next()?;
    let mut octets = words.next()?.split('.').map(str::parse);
    let mut octet = || octets.next()?.ok();
    // A port follows where there is one.
    let from = Ipv4Addr::new(octet()?, octet()?, octet()?, octet()?);
    let to = words.nth(1)?;
    let what = match words.next()? {
        "igmp" => match (words.next()?, words.next()?) {
            (_, "report" | "report,") => What::Report,
            _ => return None,
        },
        "UDP," if to.starts_with("239.") => What::Block,
        "UDP," => What::Request,
        _ => return None,
    };
    Some(Datagram { at, from, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_000 + micros)
    }

    const HEARD: [&str; 7] = [
        "1700000000.000100 IP 10.77.0.254 > 224.0.0.1: igmp query v2",
        "1700000000.000200 IP 10.77.0.254 > 224.0.0.22: igmp v3 report, 1 group record(s)",
        "1700000000.010000 IP 10.77.0.10 > 224.0.0.22: igmp v3 report, 1 group record(s)",
        "1700000000.010200 IP 10.77.0.10 > 239.255.1.1: igmp v2 report 239.255.1.1",
        "1700000000.012000 IP 10.77.0.10.1024 > 10.77.0.1.10000: UDP, length 3",
        "1700000000.014000 IP 10.77.0.1.10000 > 239.255.1.1.10000: UDP, length 1464",
        "1700000000.014100 IP 10.77.0.1.10000 > 239.255.1.1.10000: UDP, length 1464",
    ];

    fn of(line: SystemTime, heard: &[&str]) -> Option<Beginning> {
        beginning(line, heard.iter().filter_map(|line| parse(line)))
    }

    #[test]
    fn a_beginning_counts_from_the_earlier_sign_of_the_fetch() {
        let expected = |request, block| {
            Some(Beginning {
                to_request: Some(Duration::from_micros(request)),
                to_block: Duration::from_micros(block),
            })
        };
        assert_eq!(of(at(9_000), &HEARD), expected(3_000, 5_000));
        // The line was read late, even after the first block.
        assert_eq!(of(at(13_000), &HEARD), expected(2_000, 4_000));
        assert_eq!(of(at(90_000), &HEARD), expected(2_000, 4_000));
    }

    #[test]
    fn without_a_report_the_line_is_all_there_is() {
        let found = of(at(4_000), &HEARD[4..]).unwrap();
        assert_eq!(found.to_block, Duration::from_millis(10));
        // Blocks before the fetch are somebody else's.
        assert_eq!(of(at(90_000), &HEARD[4..]), None);
        assert_eq!(of(at(0), &HEARD[..5]), None);
    }

    #[test]
    fn other_lines_are_none() {
        for line in [
            "",
            "tcpdump: listening on tap1",
            "1700000000.000100 IP6 fe80::1 > ff02::1: ICMP6",
            "1700000000.1 IP 10.77.0.1.10000 > 239.255.1.1.10000: UDP, length 1",
            "x.000100 IP a > b: UDP, length 1",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
