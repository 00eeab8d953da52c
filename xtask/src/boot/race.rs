// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask boot --race`: the same image, the same server, the same machine, three ways.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;
use xtask::firmware;
use xtask::paths::Paths;
use xtask::table::Table;

use super::guest::Guest;
use super::report::{self, Report, number};
use super::rom::Rom;
use super::{Arguments, Lab, RunDir};

/// A site whose ROMs are as upstream has them but for the address fix.
const STOCK_SITE: &str = "[firmware]\nclient = \"stock\"\nigmp = false\n";

/// What one way amounts to.
#[derive(Debug, Serialize)]
struct Contender {
    /// `slamboot`, `stock` or `http`.
    name: &'static str,
    /// As of any boot.
    #[serde(flatten)]
    report: Report,
    /// Its slowest machine's transfer, by that over HTTP.
    of_http: Option<f64>,
}

/// The whole race.
#[derive(Debug, Serialize)]
struct Race {
    contenders: Vec<Contender>,
}

/// Runs the three, one after the other.
pub(super) fn run(arguments: &Arguments, paths: &Paths) -> Result<()> {
    let ours = Rom::choose(arguments, paths)?;
    let stock = Rom::named(&stock_rom(arguments, paths)?, false)?;
    let http = Rom::prebuilt(arguments.nic, "for comparison")?;
    let run = RunDir::new(paths)?;
    let slamboot = super::server_binary(paths)?;
    let guest = Guest::choose(arguments, paths, &slamboot, &run.0)?;
    println!(
        "racing {}: slamboot's client, iPXE's own, HTTP",
        guest.describe(paths)
    );
    let mut lab = Lab::new(arguments, &guest, &slamboot, &run)?;
    let mut contenders = Vec::new();
    for (name, rom) in [("slamboot", ours), ("stock", stock), ("http", http)] {
        println!("{name}: {} over {}", paths.shown(&rom.path), rom.protocol);
        let clients = lab.boot(arguments, &rom, &guest, &run)?;
        let report = Report::new(&guest.name, guest.bytes, rom.protocol, clients);
        lab.judge(&report).with_context(|| name.to_owned())?;
        contenders.push(Contender {
            name,
            report,
            of_http: None,
        });
    }
    let _ = fs::remove_file(run.0.join("demo.img"));
    let race = Race::new(contenders);
    print!("\n{}", race.table());
    if let Some(path) = &arguments.json {
        report::write(&race, path)?;
    }
    println!("logs: {}/", paths.shown(&run.0));
    Ok(())
}

/// The card's ROM with upstream's client, built where dist/ is not touched.
fn stock_rom(arguments: &Arguments, paths: &Paths) -> Result<PathBuf> {
    let dir = paths.target.join("race");
    let config = dir.join("slamboot.toml");
    fs::create_dir_all(&dir)
        .and_then(|()| fs::write(&config, STOCK_SITE))
        .with_context(|| format!("cannot write {}", config.display()))?;
    let target = arguments.nic.target();
    let build = firmware::Arguments {
        targets: vec![target.to_owned()],
        config: Some(config),
        ..firmware::Arguments::default()
    };
    let paths = Paths {
        dist: dir.join("dist"),
        ..paths.clone()
    };
    firmware::build(&build, &paths).context("the ROM with iPXE's own client")?;
    Ok(paths.dist_firmware().join(target))
}

impl Race {
    fn new(mut contenders: Vec<Contender>) -> Race {
        let http = contenders
            .iter()
            .find(|contender| contender.name == "http")
            .and_then(Contender::seconds);
        for contender in &mut contenders {
            contender.of_http = contender
                .seconds()
                .zip(http)
                .map(|(seconds, http)| (seconds / http * 1_000.0).round() / 1_000.0);
        }
        Race { contenders }
    }

    fn table(&self) -> String {
        let mut table = Table::new([
            "client",
            "first block, s",
            "transfer, s",
            "MiB/s",
            "of HTTP",
        ]);
        for contender in &self.contenders {
            let slowest = contender.slowest();
            table.row([
                contender.name.to_owned(),
                number(slowest.and_then(|client| client.seconds_to_block), 3),
                number(contender.seconds(), 2),
                number(slowest.and_then(|client| client.mib_per_s), 1),
                number(contender.of_http, 2),
            ]);
        }
        table.to_string()
    }
}

impl Contender {
    fn slowest(&self) -> Option<&report::Client> {
        let seconds = |client: &&report::Client| client.seconds.unwrap_or(f64::INFINITY);
        let clients = self.report.clients.iter();
        clients.max_by(|a, b| seconds(a).total_cmp(&seconds(b)))
    }

    fn seconds(&self) -> Option<f64> {
        self.slowest()?.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::super::marker::Protocol;
    use super::*;

    fn contender(name: &'static str, seconds: &[f64]) -> Contender {
        let client = |seconds: &f64| report::Client {
            name: "client1".to_owned(),
            verified: true,
            seconds: Some(*seconds),
            mib_per_s: Some(200.0 / seconds),
            seconds_to_rom: Some(4.0),
            seconds_to_request: None,
            seconds_to_block: None,
            protocol: Some(Protocol::Slam),
            error: None,
        };
        let clients = seconds.iter().map(client).collect();
        Contender {
            name,
            report: Report::new("demo", 200 << 20, Protocol::Slam, clients),
            of_http: None,
        }
    }

    #[test]
    fn the_slowest_machine_counts_and_http_is_the_measure() {
        let race = Race::new(vec![
            contender("slamboot", &[2.0, 4.0]),
            contender("stock", &[20.0]),
            contender("http", &[8.0]),
        ]);
        let of_http: Vec<_> = race.contenders.iter().map(|c| c.of_http).collect();
        assert_eq!(of_http, [Some(0.5), Some(2.5), Some(1.0)]);
        assert!(
            race.table()
                .contains("  slamboot  -               4.00         50.0   0.50\n"),
            "{}",
            race.table()
        );
        let json = serde_json::to_value(&race).unwrap();
        assert_eq!(json["contenders"][1]["of_http"], 2.5);
        assert_eq!(json["contenders"][1]["clients"][0]["seconds"], 20.0);
    }
}
