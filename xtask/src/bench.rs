// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask bench`: side by side with other programs, in one run, in one room.

mod digest;
mod image;
mod machine;
mod measure;
mod net;
mod peer;
mod plot;
mod procfs;
mod report;
mod row;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xtask::cmd::{Cmd, interrupted};
use xtask::console;
use xtask::host::{self, Need};
use xtask::netlab;
use xtask::paths::Paths;

use self::machine::Machine;
use self::measure::Outcome;
use self::net::Room;
use self::peer::{Peer, Place, System};
use self::report::{Report, RowReport, Standing};
use self::row::Row;

/// Memory that holds files: no disk is measured. Used where the received files fit in twice.
const MEMORY: &str = "/dev/shm";

/// Measure slamboot side by side with udpcast, uftp, nginx + curl and other SLAM servers.
///
/// Rooms of 1 to 64 clients are made of network namespaces: a switch, an uplink of 1 Gbit/s or
/// 100 Mbit/s for the server, and, in some, 1 % of random loss at each client. Everyone takes a turn
/// in the same room, and every received file is compared with what was served. docs/bench.md says
/// what the figures mean. It needs root; results go to dist/bench/.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench --quick                           see that it works: an eighth of the size, one round
  cargo xtask bench                                   every row, three rounds: half an hour
  cargo xtask bench --only 8 --rounds 5               one row, five times
  cargo xtask bench --image                           the image builder beside cp and mkwinpeimg
  cargo xtask bench --peer mini-slamd=./mini-slamd    another SLAM server takes part")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct Arguments {
    /// How often everyone takes a turn; figures are medians [default: 3, with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Only this row: 1, 2, 4, 8, 4-loss, stock-loss, joining, gathering, fast or 64; may be repeated
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// Size of the file in every row, in MiB [default: each row's own]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=2000))]
    size: Option<u64>,
    /// An eighth of the size, one round: to see that it works, not to tell anyone
    #[arg(long)]
    quick: bool,
    /// Another SLAM server, started as `PROGRAM FILE`; may be repeated
    #[arg(long, value_name = "NAME=PROGRAM")]
    peer: Vec<Peer>,
    /// slamboot alone, beside nobody: to see what a change does
    #[arg(long, conflicts_with = "peer")]
    alone: bool,
    /// Measure the image builder instead: a WIM to a disk, beside cp and sync, and mkwinpeimg
    #[arg(long, conflicts_with_all = ["only", "peer", "json", "quick", "alone"])]
    image: bool,
    /// Print the results as JSON, and nothing else on standard output; installs nothing
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, paths: &Paths) -> Result<()> {
    if arguments.image {
        let rounds = arguments.rounds.unwrap_or(5);
        return image::run(rounds, arguments.size.unwrap_or(190), paths);
    }
    let rows = row::chosen(&arguments.only, arguments.size, arguments.quick)?;
    let rounds = arguments
        .rounds
        .unwrap_or(if arguments.quick { 1 } else { 3 });
    if let Some(why) = netlab::unavailable() {
        bail!("no network namespaces here: {why}");
    }
    // Whoever is absent is named in the table; the rest takes part. Installing speaks on standard
    // output, where with --json nothing else may be.
    let there = if arguments.json {
        host::check(&[Need::Bench])
    } else {
        host::ensure(&[Need::Bench])
    };
    if let Err(error) = there {
        eprintln!("{error:#}\n");
    }
    for tool in ["tc", "nft"] {
        host::program(tool).with_context(|| format!("no room can be made without {tool}"))?;
    }
    build(paths)?;

    let scratch = Scratch::new(&rows, paths)?;
    let mut report = Report {
        machine: Machine::here(),
        rounds,
        rows: Vec::new(),
    };
    eprintln!("{}", report.machine);
    let start = console::now();
    let mut written = String::new();
    for row in rows {
        let measured = measure_row(row, rounds, arguments, &scratch, paths)?;
        report.rows.push(measured);
        // Row by row: what was measured outlives whatever ends the next one.
        written = write(&report, paths)?;
    }
    eprintln!("\nall of it took {:.0} s", start.elapsed().as_secs_f64());
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("\n{}", report.text());
        println!("in {}: {written}", paths.shown(&paths.dist_bench()));
        println!("what the figures mean: docs/bench.md");
    }
    Ok(())
}

fn build(paths: &Paths) -> Result<()> {
    let build = Cmd::new("cargo").dir(&paths.root);
    let build = build.args(["build", "--quiet", "--release"]);
    for what in [
        &["--package", "slamboot"][..],
        &[
            "--package",
            "slam-client",
            "--features",
            "test-double",
            "--example",
            "bench-client",
        ],
    ] {
        let build = build.clone().args(what);
        eprintln!("$ {build}");
        build.read().context("building server and clients")?;
    }
    Ok(())
}

/// Everyone's turns in one row: round by round, so that what disturbs the machine disturbs all.
fn measure_row(
    row: Row,
    rounds: u32,
    arguments: &Arguments,
    scratch: &Scratch,
    paths: &Paths,
) -> Result<RowReport> {
    eprintln!("\n{} [{}]", row.title(), row.name);
    let room = Room::new(&row)?;
    let file = scratch.dir.join("file");
    let digest = digest::write(&file, row.bytes)?;
    let place = Place {
        file: &file,
        dir: &scratch.dir.join("run"),
        paths,
        hosts: room.addresses(),
    };
    let mut contestants = peer::contestants(&row, &arguments.peer);
    if arguments.alone {
        contestants.retain(|contestant| contestant.system == System::Slamboot);
    }
    let mut standings: Vec<Standing> = contestants
        .iter()
        .map(|contestant| {
            let setup = contestant.setup(&place, &row);
            let client = setup
                .clients
                .first()
                .map(|client| client.command.to_string());
            let commands = std::iter::once(setup.server.to_string()).chain(client);
            Standing::new(contestant, commands.collect())
        })
        .collect();
    for round in 1..=rounds {
        for (contestant, standing) in contestants.iter().zip(&mut standings) {
            if standing.absent.is_some() {
                continue;
            }
            if interrupted() {
                bail!("interrupted");
            }
            let outcome = measure::run(contestant, &room, &row, &place, &digest)?;
            eprintln!(
                "  {round}/{rounds}  {:24}  {}",
                standing.label,
                told(&outcome, &row)
            );
            standing.add(outcome, &row);
        }
    }
    Ok(RowReport::new(row, standings))
}

/// One run's line.
fn told(outcome: &Outcome, row: &Row) -> String {
    match outcome {
        Outcome::Finished(run) => format!(
            "{:7.2} s  {:6.2}× bound  {:5.2}× sent",
            run.seconds,
            run.seconds / row.bound().as_secs_f64(),
            run.sent as f64 / row.bytes as f64
        ),
        Outcome::Unfinished {
            done,
            of,
            seconds,
            why,
        } => format!("{done} of {of} clients done after {seconds:.0} s: {why}"),
        Outcome::Failed { why } => format!("failed: {why}"),
    }
}

/// Table, JSON and plot, into `dist/bench/`; their names.
fn write(report: &Report, paths: &Paths) -> Result<String> {
    let dir = paths.dist_bench();
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let put = |name: &str, text: &str| -> Result<PathBuf> {
        let (path, beside) = (dir.join(name), dir.join(format!("{name}.new")));
        fs::write(&beside, text).with_context(|| beside.display().to_string())?;
        fs::rename(&beside, &path).with_context(|| path.display().to_string())?;
        Ok(path)
    };
    put("bench.json", &serde_json::to_string_pretty(report)?)?;
    put("bench.txt", &report.text())?;
    let svg = put("bench.svg", &plot::svg(report))?;
    let mut names = "bench.txt, bench.json, bench.svg".to_owned();
    if let Some(convert) = host::program("rsvg-convert") {
        let png = svg.with_extension("png");
        Cmd::new(convert)
            .args(["--zoom", "2", "--output"])
            .arg(&png)
            .arg(&svg)
            .read()
            .context("from SVG to PNG")?;
        names += ", bench.png";
    }
    Ok(names)
}

/// A directory for files that come and go; removed with everything in it.
struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    fn new(rows: &[Row], paths: &Paths) -> Result<Scratch> {
        let largest = rows.iter().map(|row| row.bytes * (row.clients as u64 + 1));
        let wanted = 2 * largest.max().unwrap_or_default();
        let memory = Path::new(MEMORY);
        let under = if free(memory).min(available()) >= wanted {
            memory.to_owned()
        } else {
            eprintln!(
                "{MEMORY} has no room for {} MiB: files go to a disk, which is measured, too",
                wanted >> 20
            );
            paths.target.join("bench")
        };
        Scratch::under(&under)
    }

    /// One in this directory, in which those of runs that were killed are removed.
    fn under(folder: &Path) -> Result<Scratch> {
        sweep(folder);
        let dir = folder.join(format!("{SCRATCH}{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        Ok(Scratch { dir })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

const SCRATCH: &str = "slamboot-bench-";

/// Removes what was left by processes that were killed before they could do it.
fn sweep(under: &Path) {
    for entry in fs::read_dir(under).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(SCRATCH));
        let pid = pid.and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Bytes free in a file system; 0 where there is none.
fn free(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |fs| fs.f_bavail * fs.f_frsize)
}

/// Bytes of memory that can be had.
fn available() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = kib.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}
