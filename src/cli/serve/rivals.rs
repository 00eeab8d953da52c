// SPDX-License-Identifier: MIT OR Apache-2.0
//! Other servers on the wire, looked for once, when this one starts: a room that boots now from here and
//! now from elsewhere is what nobody finds by looking at either.

use std::net::Ipv4Addr;

use site::DhcpMode;

use crate::boot::dhcp::server::DhcpStand;
use crate::doctor::Level;
use crate::doctor::offers::{Asker, judge};

/// Sockets to ask from, bound while this process may.
pub(super) struct Rivals {
    askers: Vec<(Asker, Ipv4Addr)>,
    mode: DhcpMode,
}

impl Rivals {
    /// At each interface where DHCP is served. Where answers to clients cannot be heard, nobody is looked
    /// for: `slamboot doctor` says so.
    pub(super) fn at(stands: &[DhcpStand], mode: DhcpMode) -> Rivals {
        let askers = stands.iter().filter_map(|stand| {
            let asker = Asker::open(&stand.interface, stand.index, stand.server).ok()?;
            Some((asker, stand.server))
        });
        Rivals {
            askers: askers.collect(),
            mode,
        }
    }

    /// The numbers of the questions, which this server need not answer.
    pub(super) fn numbers(&self) -> Vec<u32> {
        let numbers = self.askers.iter().flat_map(|(asker, _)| asker.numbers());
        numbers.collect()
    }

    /// Asks, from a thread of its own that ends after some seconds, and warns of who answers.
    pub(super) fn look(mut self, warn: impl Fn(String) + Send + 'static) {
        let looking = move || {
            for (asker, own) in &mut self.askers {
                // What cannot be sent is told by the server itself, when it answers.
                let offers = asker.ask().unwrap_or_default();
                // Without any offer there may be nobody yet, as after a power cut.
                if offers.is_empty() {
                    continue;
                }
                for finding in judge(&offers, self.mode, *own) {
                    let gives = offers.iter().any(|offer| offer.address.is_some());
                    if finding.level >= Level::Warning && (gives || finding.check == "PXE") {
                        let remedy = finding.remedy.unwrap_or_default();
                        warn(format!("{}; {remedy}", finding.what));
                    }
                }
            }
        };
        // Best effort, as all of this.
        let _ = std::thread::Builder::new()
            .name("rivals".to_owned())
            .spawn(looking);
    }
}
