// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel tells of processes and their networks in /proc.

use std::fs;
use std::ops::Range;
use std::time::Duration;

use rustix::process::Pid;

/// CPU time of `first`, even if it has ended and nobody has asked for its status, and of `others`.
pub(super) fn cpu(first: Pid, others: &[Pid]) -> Duration {
    let mut pids = others.to_vec();
    if !pids.contains(&first) {
        pids.push(first);
    }
    let stats = pids.iter().filter_map(|pid| {
        let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
        ticks(&text)
    });
    let per_second = rustix::param::clock_ticks_per_second();
    Duration::from_secs_f64(stats.sum::<u64>() as f64 / per_second as f64)
}

/// CPU time of all programs that this one has started and seen end.
pub(super) fn cpu_of_ended() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let per_second = rustix::param::clock_ticks_per_second();
    Duration::from_secs_f64(sum(&text, 13..15).unwrap_or(0) as f64 / per_second as f64)
}

fn ticks(stat: &str) -> Option<u64> {
    sum(stat, 11..15)
}

/// `proc_pid_stat(5)`: utime, stime, and those of children that have ended are fields 14 to 17, counted
/// from 1, the name in parentheses being the second; the first one after that is number 0 here.
fn sum(stat: &str, fields: Range<usize>) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let all: Vec<&str> = after_name.split_whitespace().collect();
    all.get(fields)?.iter().map(|n| n.parse::<u64>().ok()).sum()
}

/// Whether some socket in this table is bound to `port`.
pub(super) fn listens(table: &str, port: u16) -> bool {
    fs::read_to_string(table).is_ok_and(|text| has_port(&text, port))
}

/// `proc_pid_net(5)`, `udp` and `tcp`: the second column is the local address and port.
fn has_port(text: &str, port: u16) -> bool {
    let port = format!(":{port:04X}");
    text.lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .any(|local| local.ends_with(&port))
}

/// `proc_pid_net(5)`, `dev`: after the name, eight numbers of what came, then bytes that left.
pub(super) fn transmitted(text: &str, interface: &str) -> Option<u64> {
    let numbers = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'))?;
    numbers.split_whitespace().nth(8)?.parse().ok()
}

/// For how long, since the machine started, some program has waited for a processor; `None` where
/// the kernel does not keep count.
pub(super) fn cpu_short() -> Option<Duration> {
    pressure(&fs::read_to_string("/proc/pressure/cpu").ok()?)
}

/// Documentation/accounting/psi.rst: microseconds in which at least one task waited.
fn pressure(text: &str) -> Option<Duration> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let total = some
        .split_whitespace()
        .find_map(|w| w.strip_prefix("total="))?;
    Some(Duration::from_micros(total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_of_a_name_with_spaces() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 80 0 0 0 7 5 20 10 20 0 1 0 999 0";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(sum(stat, 13..15), Some(30));
        assert_eq!(ticks("42 (x) S 1"), None);
    }

    #[test]
    fn ports_are_hexadecimal() {
        let text = "  sl  local_address rem_address   st tx_queue\n\
                    0: 00000000:2710 00000000:0000 07 00000000\n";
        assert!(has_port(text, 10000));
        assert!(!has_port(text, 2710));
        assert!(!has_port(text, 0));
    }

    #[test]
    fn a_device_counts_what_left() {
        let text = "Inter-|   Receive                            |  Transmit\n \
                    face |bytes    packets errs drop\n    \
                    lo:     100       1    0    0    0     0          0         0      100 1\n  \
                    eth0: 1446      19    0    0    0     0          0         0     6426 7 0\n";
        assert_eq!(transmitted(text, "eth0"), Some(6426));
        assert_eq!(transmitted(text, "lo"), Some(100));
        assert_eq!(transmitted(text, "eth"), None);
    }

    #[test]
    fn pressure_is_what_some_task_waited() {
        let text = "some avg10=96.47 avg60=97.30 avg300=96.36 total=6737551812\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(pressure(text), Some(Duration::from_micros(6_737_551_812)));
        assert_eq!(pressure("full total=1\n"), None);
    }
}
