// SPDX-License-Identifier: MIT OR Apache-2.0
//! `/metrics` for Prometheus, in its text format 0.0.4.
//!
//! Labels are names of transfers, which the configuration bounds, and states; never a client.

use prometheus::core::Collector;
use prometheus::{Encoder as _, Gauge, GaugeVec, IntCounter, IntCounterVec, Opts, Registry};

use super::status::{ClientState, Status, TransferState, TransferTotals};

const STATES: [(ClientState, &str); 11] = [
    (ClientState::Starting, "starting"),
    (ClientState::Refused, "refused"),
    (ClientState::Loading, "loading"),
    (ClientState::Waiting, "waiting"),
    (ClientState::Receiving, "receiving"),
    (ClientState::Finished, "finished"),
    (ClientState::Booting, "booting"),
    (ClientState::Dropped, "dropped"),
    (ClientState::Silent, "silent"),
    (ClientState::GaveUp, "gave_up"),
    (ClientState::Failed, "failed"),
];

/// The text that Prometheus scrapes.
pub fn metrics(status: &Status) -> Result<String, prometheus::Error> {
    let page = Page(Registry::new());
    page.server(status)?;
    page.transfers(status)?;
    page.clients(status)?;
    let mut text = Vec::new();
    prometheus::TextEncoder::new().encode(&page.0.gather(), &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

struct Page(Registry);

impl Page {
    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, name: &str, help: &str, value: u64) -> Result<(), prometheus::Error> {
        self.add(IntCounter::new(format!("slamboot_{name}"), help)?)?
            .inc_by(value);
        Ok(())
    }

    fn gauges(&self, name: &str, help: &str) -> Result<GaugeVec, prometheus::Error> {
        let opts = Opts::new(format!("slamboot_{name}"), help);
        self.add(GaugeVec::new(opts, &["transfer"])?)
    }

    fn server(&self, status: &Status) -> Result<(), prometheus::Error> {
        let info = Opts::new("slamboot_build_info", "Version of the server; always 1.")
            .const_label("version", &status.server.version);
        self.add(Gauge::with_opts(info)?)?.set(1.0);
        let ready = Opts::new(
            "slamboot_ready",
            "Whether all files that are configured are served.",
        );
        self.add(Gauge::with_opts(ready)?)?
            .set(f64::from(u8::from(status.server.ready)));
        let warnings = Opts::new("slamboot_warnings", "Warnings that the status page shows.");
        self.add(Gauge::with_opts(warnings)?)?
            .set(status.warnings.len() as f64);
        let counters = &status.server.counters;
        for (name, help, value) in [
            (
                "dhcp_boots_offered_total",
                "Clients that were told what to boot.",
                counters.boots_offered,
            ),
            (
                "dhcp_boots_refused_total",
                "Clients that boot from the network and were told nothing.",
                counters.boots_refused,
            ),
            (
                "dhcp_addresses_leased_total",
                "Addresses leased.",
                counters.addresses_leased,
            ),
            (
                "scripts_served_total",
                "Boot scripts handed out.",
                counters.scripts_served,
            ),
            (
                "tftp_sent_files_total",
                "Files sent by TFTP.",
                counters.tftp_sent,
            ),
            (
                "tftp_sent_bytes_total",
                "Bytes of files sent by TFTP.",
                counters.tftp_sent_bytes,
            ),
            (
                "tftp_failures_total",
                "TFTP transfers that came to nothing.",
                counters.tftp_failed,
            ),
            (
                "http_sent_files_total",
                "Files, or the rests of files, sent over HTTP.",
                counters.http_sent,
            ),
            (
                "http_sent_bytes_total",
                "Bytes of files sent over HTTP.",
                counters.http_sent_bytes,
            ),
            (
                "http_downloads_broken_off_total",
                "Downloads over HTTP that clients broke off.",
                counters.http_broken_off,
            ),
            (
                "client_failures_reported_total",
                "Failures that clients reported themselves.",
                counters.failures_reported,
            ),
        ] {
            self.counter(name, help, value)?;
        }
        Ok(())
    }

    fn transfers(&self, status: &Status) -> Result<(), prometheus::Error> {
        type Total = fn(&TransferTotals) -> u64;
        let totals: [(&str, &str, Total); 9] = [
            ("sessions_total", "Sessions that began to send.", |t| {
                t.sessions
            }),
            ("sent_bytes_total", "Bytes of payload sent.", |t| {
                t.sent_bytes
            }),
            ("clients_joined_total", "Clients that came.", |t| t.joined),
            (
                "clients_finished_total",
                "Clients that received everything.",
                |t| t.finished,
            ),
            ("clients_gave_up_total", "Clients that gave up.", |t| {
                t.gave_up
            }),
            ("clients_silent_total", "Clients that fell silent.", |t| {
                t.silent
            }),
            ("clients_dropped_total", "Clients that were dropped.", |t| {
                t.dropped
            }),
            (
                "clients_moved_total",
                "Moves of clients to another group.",
                |t| t.moved,
            ),
            (
                "rejected_datagrams_total",
                "Datagrams that were ignored.",
                |t| t.rejected,
            ),
        ];
        for (name, help, value) in totals {
            let opts = Opts::new(format!("slamboot_transfer_{name}"), help);
            let family = self.add(IntCounterVec::new(opts, &["transfer"])?)?;
            for transfer in &status.transfers {
                family
                    .get_metric_with_label_values(&[&transfer.name])?
                    .inc_by(value(&transfer.totals));
            }
        }
        let file = self.gauges("transfer_file_bytes", "Length of the file that is served.")?;
        let clients = self.gauges("transfer_clients", "Clients that are there.")?;
        let expected = self.gauges(
            "transfer_expected_clients",
            "Clients that the room waits for; absent where it waits for nobody.",
        )?;
        let rate = self.gauges(
            "transfer_sending_bytes_per_second",
            "Payload that is sent, in all groups together.",
        )?;
        let found = self.gauges(
            "transfer_rate_bytes_per_second",
            "The rate that was found for the first group, as it goes over the wire.",
        )?;
        let repair = self.gauges(
            "transfer_repair_ratio",
            "The share of blocks that had been sent before in this session.",
        )?;
        let progress = self.gauges(
            "transfer_progress_ratio",
            "How far the clients that are there have come, on average.",
        )?;
        let sending = self.gauges("transfer_sending", "Whether blocks are sent.")?;
        let waiting = self.gauges("transfer_waiting", "Whether a room gathers.")?;
        let served = self.gauges("transfer_served", "Whether its file is served.")?;
        for transfer in &status.transfers {
            let set = |family: &GaugeVec, value: f64| {
                let gauge = family.get_metric_with_label_values(&[&transfer.name])?;
                gauge.set(value);
                Ok::<(), prometheus::Error>(())
            };
            let flag = |yes: bool| f64::from(u8::from(yes));
            if let Some(bytes) = transfer.bytes {
                set(&file, bytes as f64)?;
            }
            if let Some(count) = transfer.expected {
                set(&expected, count as f64)?;
            }
            set(&clients, transfer.present as f64)?;
            set(&rate, transfer.bits_per_second as f64 / 8.0)?;
            let lane = transfer.lanes.first();
            set(
                &found,
                lane.map_or(0, |lane| lane.bits_per_second) as f64 / 8.0,
            )?;
            set(&repair, transfer.repair_share)?;
            set(&progress, transfer.progress)?;
            set(&sending, flag(transfer.state == TransferState::Sending))?;
            set(&waiting, flag(transfer.state == TransferState::Waiting))?;
            set(&served, flag(transfer.state != TransferState::NotServed))?;
        }
        Ok(())
    }

    fn clients(&self, status: &Status) -> Result<(), prometheus::Error> {
        let opts = Opts::new(
            "slamboot_clients",
            "Machines that are known, by what they do.",
        );
        let family = self.add(GaugeVec::new(opts, &["state"])?)?;
        for (state, name) in STATES {
            let count = status.clients.iter().filter(|client| client.state == state);
            let gauge = family.get_metric_with_label_values(&[name])?;
            gauge.set(count.count() as f64);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::observe::status::{ClientStatus, TransferStatus};

    fn page() -> String {
        let transfer = |name: &str| TransferStatus {
            name: name.to_owned(),
            bytes: Some(7),
            expected: Some(3),
            ..TransferStatus::default()
        };
        metrics(&Status {
            transfers: vec![transfer("demo"), transfer("odd \"name\"\n\\")],
            clients: vec![ClientStatus::default(); 300],
            ..Status::default()
        })
        .unwrap()
    }

    /// The conventions of <https://prometheus.io/docs/practices/naming/>, and bounded labels.
    #[test]
    fn names_follow_the_conventions() {
        let text = page();
        let mut kinds = BTreeMap::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                kinds.insert(name.to_owned(), kind.to_owned());
                assert!(text.contains(&format!("# HELP {name} ")), "{name}");
            }
        }
        assert!(kinds.len() > 20);
        for (name, kind) in &kinds {
            assert!(name.starts_with("slamboot_"), "{name}");
            assert!(
                name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                "{name}"
            );
            assert_eq!(
                kind == "counter",
                name.ends_with("_total"),
                "{name}: {kind}"
            );
            for unit in ["_bits", "_ms", "_milliseconds", "_percent", "_mib"] {
                assert!(!name.contains(unit), "{name}");
            }
        }
        // 300 clients make no more lines than none, and no label names one.
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        for line in lines.clone() {
            let labels = line.split_once('{').map_or("", |(_, rest)| rest);
            assert!(
                ["", "transfer=", "state=", "version="]
                    .iter()
                    .any(|known| labels.starts_with(known) && known.is_empty() == labels.is_empty()),
                "{line}"
            );
        }
        assert!(lines.count() < 80, "{text}");
        assert!(text.contains(r#"transfer="odd \"name\"\n\\""#), "{text}");
    }

    /// Prometheus's own judge, where it is: its package starts a service, which nobody wants who only
    /// tests, so that `cargo xtask setup` does not install it.
    #[test]
    fn promtool_has_nothing_to_say() {
        let judge = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut judge) = judge else {
            eprintln!("skipped: promtool_has_nothing_to_say: no promtool (Debian: prometheus)");
            return;
        };
        let text = page();
        judge
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let said = judge.wait_with_output().unwrap();
        let words = [said.stdout, said.stderr].concat();
        assert!(
            said.status.success() && words.is_empty(),
            "{}\n{text}",
            String::from_utf8_lossy(&words)
        );
    }
}
