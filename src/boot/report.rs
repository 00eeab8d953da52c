// SPDX-License-Identifier: MIT OR Apache-2.0
//! What HTTP clients get and tell of themselves, on its way to whoever watches.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use site::Mac;
use tokio::time::Instant;

use super::script::Answered;
use crate::observe::{BootEvent, Card, Step};

/// Whom to tell what happened.
pub type Tell = Arc<dyn Fn(BootEvent) + Send + Sync>;

/// So much is told in a second; a room of thousands that is switched on at once does not need more,
/// and whoever asks more often than that is not worth a line each time.
const MOST: u32 = 1000;
const A_WHILE: Duration = Duration::from_secs(1);
/// Longest name that a client may give.
const LONGEST: usize = 64;

/// `/report?mac=52-54-00-12-34-56&step=failed&what=demo&code=4c106035`
#[derive(Debug, Deserialize)]
pub(super) struct ReportQuery {
    mac: Option<String>,
    step: Step,
    #[serde(default)]
    what: String,
    /// iPXE's `${errno:hexraw}`.
    code: Option<String>,
}

/// Tells of clients, but not without end.
pub(super) struct Reports {
    tell: Option<Tell>,
    told: Mutex<Option<(Instant, u32)>>,
}

impl Reports {
    pub(super) fn new(tell: Option<Tell>) -> Reports {
        let told = Mutex::default();
        Reports { tell, told }
    }

    /// A client got its script.
    pub(super) fn served(&self, answered: &Answered, client: SocketAddr, headers: &HeaderMap) {
        let agent = headers.get(header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        self.tell(BootEvent::ScriptServed {
            mac: answered.mac.map(Card),
            client: v4(client),
            boots: answered.boots.clone(),
            agent: agent.map(plain).filter(|agent| !agent.is_empty()),
        });
    }

    /// A client told how it fares.
    pub(super) fn reported(&self, query: ReportQuery, client: SocketAddr) {
        let mac: Option<Mac> = query.mac.and_then(|mac| mac.parse().ok());
        let code = query.code.and_then(|code| {
            let digits = code.trim_start_matches("0x");
            u32::from_str_radix(digits, 16).ok()
        });
        self.tell(BootEvent::ClientReported {
            mac: mac.map(Card),
            client: v4(client),
            step: query.step,
            what: plain(&query.what),
            code: code.unwrap_or(0),
        });
    }

    pub(super) fn tell(&self, event: BootEvent) {
        let Some(tell) = &self.tell else {
            return;
        };
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let count = match &mut *told {
            Some((since, count)) if now - *since < A_WHILE => count,
            told => &mut told.insert((now, 0)).1,
        };
        *count = count.saturating_add(1);
        let few = *count <= MOST;
        drop(told);
        if few {
            tell(event);
        }
    }
}

/// Text of a stranger in one short line.
fn plain(text: &str) -> String {
    let shown = |c: char| {
        if c.is_ascii_graphic() || c == ' ' {
            c
        } else {
            '?'
        }
    };
    text.chars().take(LONGEST).map(shown).collect()
}

/// HTTP is served over IPv4 alone.
fn v4(client: SocketAddr) -> Ipv4Addr {
    match client.ip() {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => address.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_say_is_short_and_plain() {
        assert_eq!(
            plain("iPXE/2.0.0 (g4c1d)\n\u{1b}[31m\u{e4}"),
            "iPXE/2.0.0 (g4c1d)??[31m?"
        );
        assert_eq!(plain(&"x".repeat(1000)).len(), LONGEST);
    }

    #[test]
    fn a_flood_is_not_told_without_end() {
        let told = Arc::new(Mutex::new(0));
        let count = Arc::clone(&told);
        let tell: Tell = Arc::new(move |_| *count.lock().unwrap() += 1);
        let reports = Reports::new(Some(tell));
        for _ in 0..5 * MOST {
            let query = ReportQuery {
                mac: None,
                step: Step::Failed,
                what: String::new(),
                code: Some("4c106035".to_owned()),
            };
            reports.reported(query, SocketAddr::from(([10, 0, 0, 1], 1)));
        }
        // All within a second or two.
        assert!((1000..=3000).contains(&*told.lock().unwrap()));
    }
}
