// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a boot showed: a table for people, JSON for programs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::marker::Protocol;
use super::progress::Progress;
use xtask::capture::Beginning;
use xtask::table::Table;

/// The whole run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How the image travelled: `http` if one machine got it so.
    pub protocol: Protocol,
    /// Its name.
    pub image: String,
    /// Length of all its files together.
    pub bytes: u64,
    /// The machines.
    pub clients: Vec<Client>,
}

/// One machine.
#[derive(Debug, Serialize)]
pub struct Client {
    /// `client1`
    pub name: String,
    /// Whether it showed everything that it had to.
    pub verified: bool,
    /// How long the transfer took, as the host saw the machine's own lines.
    pub seconds: Option<f64>,
    /// `bytes` by `seconds`.
    pub mib_per_s: Option<f64>,
    /// From power on to our script.
    pub seconds_to_rom: Option<f64>,
    /// From the script's fetch to the client's first request, by the network's stamps; for a
    /// machine that boots alone, by multicast.
    pub seconds_to_request: Option<f64>,
    /// Likewise to the first block.
    pub seconds_to_block: Option<f64>,
    /// How the image travelled.
    pub protocol: Option<Protocol>,
    /// What is wrong, where something is.
    pub error: Option<String>,
}

impl Client {
    /// What `progress` amounts to.
    pub fn new(
        name: &str,
        bytes: u64,
        progress: &Progress,
        beginning: Option<Beginning>,
        error: Option<String>,
    ) -> Client {
        let seconds = progress.transfer().map(|took| took.as_secs_f64());
        let rate = |seconds: f64| bytes as f64 / f64::from(1 << 20) / seconds;
        Client {
            name: name.to_owned(),
            verified: progress.proven() && error.is_none(),
            seconds: seconds.map(rounded),
            mib_per_s: seconds.filter(|s| *s > 0.0).map(rate).map(rounded),
            seconds_to_rom: progress.to_rom().map(|at| rounded(at.as_secs_f64())),
            seconds_to_request: beginning
                .and_then(|beginning| beginning.to_request)
                .map(|to| rounded(to.as_secs_f64())),
            seconds_to_block: beginning.map(|beginning| rounded(beginning.to_block.as_secs_f64())),
            protocol: progress.protocol(),
            error,
        }
    }
}

/// Writes `report` to `path`, for programs.
pub fn write(report: &impl Serialize, path: &Path) -> Result<()> {
    let mut json = serde_json::to_vec_pretty(report)?;
    json.push(b'\n');
    fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    println!("report: {}", path.display());
    Ok(())
}

/// A figure for people.
pub fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}

/// Milliseconds are what a serial line can tell.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

impl Report {
    /// What the machines amount to; `due` is how the image was meant to travel.
    pub fn new(image: &str, bytes: u64, due: Protocol, clients: Vec<Client>) -> Report {
        let worst = clients.iter().filter_map(|client| client.protocol).max();
        Report {
            protocol: worst.unwrap_or(due),
            image: image.to_owned(),
            bytes,
            clients,
        }
    }

    /// Whether every machine showed everything.
    pub fn verified(&self) -> bool {
        !self.clients.is_empty() && self.clients.iter().all(|client| client.verified)
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut table = Table::new([
            "client",
            "to ROM, s",
            "protocol",
            "first block, s",
            "transfer, s",
            "MiB/s",
            "verified",
        ]);
        for client in &self.clients {
            table.row([
                client.name.clone(),
                number(client.seconds_to_rom, 1),
                client.protocol.map_or("-", Protocol::scheme).to_owned(),
                number(client.seconds_to_block, 3),
                number(client.seconds, 2),
                number(client.mib_per_s, 1),
                if client.verified { "yes" } else { "NO" }.to_owned(),
            ]);
        }
        table.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::progress::{Goal, Proof};
    use super::*;

    fn report(error: Option<String>) -> Report {
        let mut progress = Progress::new(Goal {
            transfers: vec!["demo".into()],
            protocol: Protocol::Slam,
            proof: Proof::Disk {
                crc32: 1,
                sectors: 2,
            },
        });
        for (ms, line) in [
            (4_100, "slamboot: rom up"),
            (5_000, "slamboot: fetch demo over x-slam"),
            (7_000, "slamboot: fetched demo over x-slam"),
            (
                9_000,
                "slamboot demo: ok crc32=00000001 sectors=2 drive=0x80",
            ),
        ] {
            progress.line(Duration::from_millis(ms), line).unwrap();
        }
        let beginning = Some(Beginning {
            to_request: Some(Duration::from_micros(2_600)),
            to_block: Duration::from_millis(4),
        });
        let client = Client::new("client1", 64 << 20, &progress, beginning, error);
        Report::new("demo", 64 << 20, Protocol::Slam, vec![client])
    }

    #[test]
    fn the_json_says_what_was_shown() {
        let report = report(None);
        assert!(report.verified());
        let json: serde_json::Value = serde_json::to_value(&report).unwrap();
        assert_eq!(json["protocol"], "x-slam");
        assert_eq!(json["bytes"], 64 << 20);
        let client = &json["clients"][0];
        assert_eq!(client["verified"], true);
        assert_eq!(client["seconds"], 2.0);
        assert_eq!(client["mib_per_s"], 32.0);
        assert_eq!(client["seconds_to_rom"], 4.1);
        assert_eq!(client["seconds_to_request"], 0.003);
        assert_eq!(client["seconds_to_block"], 0.004);
        assert_eq!(client["protocol"], "x-slam");
    }

    #[test]
    fn an_error_verifies_nothing_and_neither_does_nobody() {
        assert!(!report(Some("it fell back".into())).verified());
        let mut nobody = report(None);
        nobody.clients.clear();
        assert!(!nobody.verified());
    }

    #[test]
    fn the_table_has_a_row_for_each() {
        let table = report(None).table();
        assert!(
            table.ends_with(
                "  client1  4.1        x-slam    0.004           2.00         32.0   yes\n"
            ),
            "{table}"
        );
    }
}
