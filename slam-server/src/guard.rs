// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who is heard, and how often: what one host can make the server do is bounded before a byte of
//! its datagram is looked at.
//!
//! Networks that may not take part are not answered, so that a forged source address turns nobody
//! outside them into a victim. Each address has a token bucket and so many ports; the table of
//! addresses is bounded, and whoever finds it full shares one bucket with all the others who do.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use site::IpNet;
use slam_client::Timestamp;

use super::clients::SILENCE;

/// Datagrams that are heard from one address in a second. A client is asked every few
/// milliseconds while it loses blocks, and answers each time.
const RATE: u32 = 8000;
/// How many of them at once.
const BURST: u32 = 1000;
/// Who sends more is not heard until it has kept to that for so long: what a flood says of its
/// losses must not slow a session.
const BAN: Duration = Duration::from_secs(5);
/// Answers to questions of ours that are heard from a barred address all the same: who floods the
/// server in a client's name is not to silence that client.
const ANSWER_RATE: u32 = 500;
const ANSWER_BURST: u32 = 50;
/// An address with more clients than this is no PC in whose name somebody floods, but a flood itself: its
/// clients would be asked and would answer that they have nothing, again and again.
const FEW_PORTS: usize = 8;
/// Clients at one address: virtual machines behind one, and PCs that were started again.
const MAX_PORTS: usize = 64;
/// Addresses that have a bucket of their own: a large network's worth.
const MAX_SOURCES: usize = 4096;
/// How often a full table is looked through for addresses that have fallen silent.
const SWEEP: Duration = Duration::from_secs(1);

/// Why a datagram is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its source is in no network that may take part.
    #[error("not from an allowed network (`allowed` under [slam])")]
    NotAllowed,
    /// Its source sends too many.
    #[error("more than {RATE} datagrams a second from one address")]
    TooOften,
    /// Its source is too many clients already.
    #[error("more than {MAX_PORTS} clients at one address")]
    TooManyPorts,
}

/// Decides whether a datagram is looked at.
#[derive(Debug)]
pub struct Guard {
    sources: HashMap<IpAddr, Source>,
    /// Of all who find the table full.
    others: Bucket,
    next_sweep: Timestamp,
}

#[derive(Debug, Default)]
struct Source {
    bucket: Bucket,
    barred_until: Timestamp,
    /// Of answers that are heard while it is barred.
    answers: Bucket,
    /// Ports, and when each was last heard.
    ports: Vec<(u16, Timestamp)>,
}

/// Fills with time; kept as the moment when it will be full again.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at: Timestamp,
}

impl Bucket {
    /// Takes a token, of which there come `rate` in a second and are `burst` at most.
    fn take(&mut self, rate: u32, burst: u32, now: Timestamp) -> bool {
        let token = Duration::from_secs(1) / rate;
        let full_at = self.full_at.max(now) + token;
        let admitted = full_at.since(now) <= token * burst;
        if admitted {
            self.full_at = full_at;
        }
        admitted
    }
}

impl Source {
    fn hear(
        &mut self,
        port: u16,
        is_awaited: impl FnOnce() -> bool,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if !self.bucket.take(RATE, BURST, now) {
            self.barred_until = now + BAN;
        }
        if now < self.barred_until {
            let heard = self.ports.len() <= FEW_PORTS
                && is_awaited()
                && self.answers.take(ANSWER_RATE, ANSWER_BURST, now);
            return if heard {
                Ok(())
            } else {
                Err(Refusal::TooOften)
            };
        }
        if let Some((_, heard)) = self.ports.iter_mut().find(|(known, _)| *known == port) {
            *heard = now;
            return Ok(());
        }
        if self.ports.len() < MAX_PORTS {
            self.ports.push((port, now));
            return Ok(());
        }
        let oldest = self.ports.iter_mut().min_by_key(|(_, heard)| *heard);
        match oldest {
            Some(oldest) if now.since(oldest.1) > SILENCE => {
                *oldest = (port, now);
                Ok(())
            }
            _ => Err(Refusal::TooManyPorts),
        }
    }

    fn is_silent(&self, now: Timestamp) -> bool {
        self.ports
            .iter()
            .all(|(_, heard)| now.since(*heard) > SILENCE)
    }
}

impl Default for Guard {
    fn default() -> Self {
        Guard {
            sources: HashMap::new(),
            others: Bucket::default(),
            next_sweep: Timestamp::ZERO,
        }
    }
}

impl Guard {
    /// Whether a datagram from `from` is looked at, `allowed` being the networks that take part
    /// (`None`: all), and `is_awaited` telling whether it is an answer to a question of ours. This
    /// host itself is not limited.
    pub fn admit(
        &mut self,
        from: SocketAddr,
        allowed: Option<&[IpNet]>,
        is_awaited: impl FnOnce() -> bool,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let address = from.ip().to_canonical();
        if allowed.is_some_and(|networks| !networks.iter().any(|net| net.contains(&address))) {
            return Err(Refusal::NotAllowed);
        }
        if address.is_loopback() {
            return Ok(());
        }
        if let Some(source) = self.sources.get_mut(&address) {
            return source.hear(from.port(), is_awaited, now);
        }
        if self.sources.len() >= MAX_SOURCES && now >= self.next_sweep {
            self.next_sweep = now + SWEEP;
            self.sources.retain(|_, source| !source.is_silent(now));
        }
        if self.sources.len() < MAX_SOURCES {
            let source = self.sources.entry(address).or_default();
            return source.hear(from.port(), is_awaited, now);
        }
        if self.others.take(RATE, BURST, now) {
            Ok(())
        } else {
            Err(Refusal::TooOften)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(ms))
    }

    fn from(host: u32, port: u16) -> SocketAddr {
        (std::net::Ipv4Addr::from_bits(0x0a00_0000 + host), port).into()
    }

    fn no() -> bool {
        false
    }

    #[test]
    fn only_allowed_networks_are_heard() {
        let allowed: Vec<IpNet> = ["10.0.0.0/24", "fd00::/64"]
            .map(|net| net.parse().unwrap())
            .to_vec();
        let mut guard = Guard::default();
        for (address, result) in [
            ("10.0.0.9:1", Ok(())),
            ("10.0.1.9:1", Err(Refusal::NotAllowed)),
            ("127.0.0.1:1", Err(Refusal::NotAllowed)),
            ("[fd00::9]:1", Ok(())),
            ("[fd01::9]:1", Err(Refusal::NotAllowed)),
            ("[::ffff:10.0.0.9]:1", Ok(())),
        ] {
            let from = address.parse().unwrap();
            assert_eq!(
                guard.admit(from, Some(&allowed), no, at(0)),
                result,
                "{address}"
            );
            assert_eq!(guard.admit(from, None, no, at(0)), Ok(()), "{address}");
        }
    }

    /// 100,000 datagrams a second for two seconds, and another host beside them.
    #[test]
    fn a_flood_is_cut_and_others_are_not() {
        let mut guard = Guard::default();
        let mut heard = 0;
        for step in 0..200_000_u64 {
            let now = Timestamp::from_start(Duration::from_micros(10 * step));
            heard += u32::from(guard.admit(from(1, 1), None, no, now).is_ok());
            if step % 100 == 0 {
                assert_eq!(guard.admit(from(2, 1), None, no, now), Ok(()), "{step}");
            }
        }
        assert!((BURST..2 * BURST).contains(&heard), "{heard}");
        let soon = guard.admit(from(1, 1), None, no, at(6900));
        assert_eq!(soon, Err(Refusal::TooOften));
        assert_eq!(guard.admit(from(1, 1), None, no, at(7100)), Ok(()));
    }

    #[test]
    fn one_address_is_so_many_clients_only() {
        let mut guard = Guard::default();
        for port in 1..=64 {
            assert_eq!(guard.admit(from(1, port), None, no, at(0)), Ok(()));
        }
        let more = guard.admit(from(1, 65), None, no, at(1000));
        assert_eq!(more, Err(Refusal::TooManyPorts));
        assert_eq!(guard.admit(from(1, 64), None, no, at(1000)), Ok(()));
        assert_eq!(guard.admit(from(2, 65), None, no, at(1000)), Ok(()));
        // Those that fell silent make room.
        assert_eq!(guard.admit(from(1, 65), None, no, at(17_000)), Ok(()));
    }

    #[test]
    fn forged_addresses_fill_no_memory_and_keep_nobody_known_out() {
        let mut guard = Guard::default();
        assert_eq!(guard.admit(from(0, 1), None, no, at(0)), Ok(()));
        let mut heard = 0;
        for host in 1..100_000 {
            let now = Timestamp::from_start(Duration::from_micros(10 * u64::from(host)));
            heard += usize::from(guard.admit(from(host, 1), None, no, now).is_ok());
            assert!(guard.sources.len() <= MAX_SOURCES);
        }
        let most = MAX_SOURCES + (RATE + BURST) as usize;
        assert!(heard <= most, "{heard}");
        assert_eq!(guard.admit(from(0, 1), None, no, at(1000)), Ok(()));
        // When the flood is over its addresses are forgotten.
        assert_eq!(guard.admit(from(200_000, 1), None, no, at(60_000)), Ok(()));
        assert_eq!(guard.sources.len(), 1);
    }

    #[test]
    fn answers_are_heard_despite_a_flood_but_of_few_clients_alone() {
        for (ports, heard) in [
            (1, true),
            (FEW_PORTS as u16, true),
            (FEW_PORTS as u16 + 1, false),
        ] {
            let mut guard = Guard::default();
            for port in 0..ports {
                assert_eq!(guard.admit(from(1, port), None, no, at(0)), Ok(()));
            }
            while guard.admit(from(1, 0), None, no, at(0)).is_ok() {}
            let answer = guard.admit(from(1, 0), None, || true, at(10));
            assert_eq!(answer.is_ok(), heard, "{ports} ports");
        }
    }
}
