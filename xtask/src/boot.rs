// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask boot`: real machines, real firmware, a real server, in a network of their own.

mod guest;
mod marker;
mod progress;
mod race;
mod report;
mod rom;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xtask::capture::Capture;
use xtask::cmd::Running;
use xtask::console::{Console, Deadline, WaitError};
use xtask::host::{self, Need};
use xtask::netlab::{self, Dhcp, Netlab};
use xtask::paths::Paths;
use xtask::programs;
use xtask::qemu::{Machine, Nic, Spec};

use self::guest::Guest;
use self::marker::Protocol;
use self::progress::{Failure, Goal, Progress, Step};
use self::report::{Client, Report};
use self::rom::Rom;

/// How long the server may take to read its images and say that it serves them.
const SERVER_START: Duration = Duration::from_mins(1);
/// How long a ROM may take to run its script: one that does not fit its card never does.
const ROM_START: Duration = Duration::from_secs(90);
/// The script that `slamboot serve` hands to an iPXE that has none of its own.
const SCRIPT: &str = "boot.ipxe";

/// Boot machines over multicast: QEMU, the built ROM, `slamboot serve`, in a network of their own.
///
/// Every machine fetches the image, starts it, and the guest says what it read; that is compared
/// with what this command reads from the file. Needs root, for network namespaces; nothing outside
/// them is touched, and they are removed at the end.
///
/// Without a ROM in dist/ that has SLAM, the distribution's own iPXE boots the same image over
/// HTTP, and the report says so.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask boot                                one machine, the demo disk
  cargo xtask boot -n 3 --json boot.json          three at once, and a report for programs
  cargo xtask boot --size 200MiB                  a demo disk of that size
  cargo xtask boot --race --size 200MiB           our client, iPXE's own and HTTP, compared
  cargo xtask boot --image winpe.img --stand-in   a WinPE disk, up to its boot manager
  cargo xtask boot --kernel linux --initrd initrd.gz")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub struct Arguments {
    /// How many machines boot at once.
    #[arg(short = 'n', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    clients: u32,

    /// A disk image made by `slamboot image demo` [default: dist/images/demo.img, or a new one].
    #[arg(long, value_name = "FILE", conflicts_with_all = ["size", "kernel"])]
    image: Option<PathBuf>,

    /// The image is one of `slamboot image winpe` with the stand-in for a boot manager, which says
    /// whether all is there that a boot manager relies on.
    #[arg(long, requires = "image")]
    stand_in: bool,

    /// Make a demo disk of this size, filled to the brim, and boot that.
    #[arg(long, conflicts_with = "kernel")]
    size: Option<String>,

    /// A Linux kernel to boot instead of a disk, up to its banner.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,

    /// The kernel's initial RAM disk.
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,

    /// Write the report here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// The card's option ROM [default: the one in dist/firmware/].
    #[arg(long, value_name = "FILE")]
    rom: Option<PathBuf>,

    /// The machines' network card.
    #[arg(long, value_enum, default_value_t = Nic::E1000)]
    nic: Nic,

    /// How many seconds the machines have, all in all.
    #[arg(long, value_name = "S", default_value_t = 300)]
    timeout: u64,

    /// RAM of each machine [default: what the image needs].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(64..=1 << 20))]
    memory: Option<u64>,

    /// Let the switch snoop IGMP: machines that report no membership receive no multicast.
    #[arg(long)]
    snooping: bool,

    /// Boot over HTTP with the distribution's own iPXE, whatever lies in dist/; with --rom, accept
    /// that it falls back to HTTP.
    #[arg(long)]
    http: bool,

    /// Boot the same image three times, one after the other: with slamboot's client, with iPXE's
    /// own, and over HTTP with the distribution's iPXE, and compare.
    #[arg(long, conflicts_with_all = ["rom", "http", "snooping"])]
    race: bool,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, paths: &Paths) -> Result<()> {
    host::ensure(&[Need::Boot, Need::Serve])?;
    if arguments.race {
        return race::run(arguments, paths);
    }
    let run = RunDir::new(paths)?;
    let slamboot = server_binary(paths)?;
    let rom = Rom::choose(arguments, paths)?;
    let guest = Guest::choose(arguments, paths, &slamboot, &run.0)?;
    if let Some(note) = &rom.note {
        println!("{note}");
    }
    println!(
        "booting {} with {} over {}: {}",
        machines(arguments.clients),
        paths.shown(&rom.path),
        rom.protocol,
        guest.describe(paths)
    );

    let mut lab = Lab::new(arguments, &guest, &slamboot, &run)?;
    let clients = lab.boot(arguments, &rom, &guest, &run)?;
    // Logs are kept, a disk made for this run is not: it can be made again, bit for bit.
    let _ = fs::remove_file(run.0.join("demo.img"));

    let report = Report::new(&guest.name, guest.bytes, rom.protocol, clients);
    print!("\n{}", report.table());
    if let Some(path) = &arguments.json {
        report::write(&report, path)?;
    }
    println!("logs: {}/", paths.shown(&run.0));
    if let Some(note) = &rom.note {
        println!("{note}");
    }
    lab.judge(&report)
}

fn machines(number: u32) -> String {
    match number {
        1 => "1 machine".to_owned(),
        number => format!("{number} machines"),
    }
}

/// Where one run keeps its logs.
struct RunDir(PathBuf);

impl RunDir {
    fn new(paths: &Paths) -> Result<RunDir> {
        let dir = paths
            .target
            .join("boot")
            .join(std::process::id().to_string());
        // A process id comes again.
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(RunDir(dir))
    }
}

/// The server, as it is now: cargo builds it if it is not.
fn server_binary(paths: &Paths) -> Result<PathBuf> {
    let [slamboot] = programs::build(paths, ["slamboot"]).context("building the server")?;
    Ok(slamboot)
}

/// A network with a server in it, for machines to boot in.
struct Lab {
    net: Netlab,
    server: Server,
    _dhcp: Dhcp,
    machines: u32,
}

impl Lab {
    fn new(arguments: &Arguments, guest: &Guest, slamboot: &Path, run: &RunDir) -> Result<Lab> {
        let net = Netlab::new()?;
        if arguments.snooping {
            net.snoop()?;
        }
        let server = Server::start(&net, slamboot, guest, &run.0)?;
        let script = format!(
            "http://{}:{}/{SCRIPT}",
            netlab::SERVER,
            site::DEFAULT_HTTP_PORT
        );
        let dhcp = net.dhcp(&script, &run.0)?;
        Ok(Lab {
            net,
            server,
            _dhcp: dhcp,
            machines: 0,
        })
    }

    /// Boots as many machines as `arguments` ask for, all at once, and watches them to their end.
    fn boot(
        &mut self,
        arguments: &Arguments,
        rom: &Rom,
        guest: &Guest,
        run: &RunDir,
    ) -> Result<Vec<Client>> {
        let mut clients = Vec::new();
        for _ in 0..arguments.clients {
            self.machines += 1;
            let name = format!("client{}", self.machines);
            let spec = Spec {
                memory_mib: arguments.memory.unwrap_or(guest.memory_mib()),
                nic: arguments.nic,
                rom: rom.path.clone(),
                tap: self.net.tap()?,
                screen: rom.screen,
            };
            // With more than one, whose first block it is nobody can tell.
            let alone = arguments.clients == 1 && rom.protocol == Protocol::Slam;
            let capture = if alone {
                let log = run.0.join(format!("{name}.tcpdump.log"));
                Capture::start(self.net.switch(), &spec.tap, &log)?
            } else {
                None
            };
            let log = run.0.join(format!("{name}.log"));
            let machine = spec.start(&name, self.net.switch(), &log)?;
            clients.push((machine, capture));
        }
        let goal = Goal {
            transfers: guest.transfers(),
            protocol: rom.protocol,
            proof: guest.proof.clone(),
        };
        let deadline = Deadline::after(Duration::from_secs(arguments.timeout));
        Ok(watch(clients, &goal, guest.bytes, deadline))
    }

    /// An error unless every machine showed everything.
    fn judge(&self, report: &Report) -> Result<()> {
        if report.verified() {
            return Ok(());
        }
        for client in &report.clients {
            if let Some(error) = &client.error {
                eprintln!("error: {error}");
            }
        }
        eprintln!("slamboot serve{}", self.server.console.tail());
        let failed = report.clients.iter().filter(|client| !client.verified);
        bail!(
            "{} of {} not verified",
            failed.count(),
            machines(report.clients.len() as u32)
        )
    }
}

/// A running `slamboot serve`.
struct Server {
    console: Console,
    _running: Running,
}

impl Server {
    fn start(lab: &Netlab, slamboot: &Path, guest: &Guest, run: &Path) -> Result<Server> {
        let config = run.join("slamboot.toml");
        fs::write(&config, guest.site())
            .with_context(|| format!("cannot write {}", config.display()))?;
        let console = Console::open("slamboot serve", &run.join("server.log"))?;
        let (out, err) = (console.pipe("out")?, console.pipe("err")?);
        let running = lab
            .server()
            .cmd(slamboot)
            .args(["serve", "--config"])
            .arg(&config)
            .spawn_into(out, err)?;
        console.wait_for("slamboot serves", SERVER_START)?;
        Ok(Server {
            console,
            _running: running,
        })
    }
}

/// Watches every machine until it has shown what it had to or cannot any more.
fn watch(
    machines: Vec<(Machine, Option<Capture>)>,
    goal: &Goal,
    bytes: u64,
    deadline: Deadline,
) -> Vec<Client> {
    let screen = Mutex::new(());
    std::thread::scope(|scope| {
        let watches: Vec<_> = machines
            .into_iter()
            .map(|(machine, capture)| {
                let screen = &screen;
                scope.spawn(move || {
                    let tell = |at: Duration, what: &str| {
                        let _whole_lines = screen.lock();
                        println!(
                            "  {:9} {:6.1} s  {what}",
                            machine.console().name(),
                            at.as_secs_f64()
                        );
                    };
                    let mut progress = Progress::new(goal.clone());
                    let result = follow(machine.console(), &mut progress, deadline, tell);
                    let fetch = progress.fetch().map(|at| machine.console().time_of_day(at));
                    let beginning = capture.zip(fetch);
                    let beginning = beginning.and_then(|(capture, at)| capture.beginning(at));
                    Client::new(
                        machine.console().name(),
                        bytes,
                        &progress,
                        beginning,
                        result.err().map(|error| error.to_string()),
                    )
                })
            })
            .collect();
        watches
            .into_iter()
            .filter_map(|watch| watch.join().ok())
            .collect()
    })
}

/// Why one machine proved nothing.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error(transparent)]
    Silent(#[from] WaitError),
    #[error("{name}: {failure}{tail}")]
    Failed {
        name: String,
        failure: Failure,
        tail: String,
    },
}

fn follow(
    console: &Console,
    progress: &mut Progress,
    deadline: Deadline,
    tell: impl Fn(Duration, &str),
) -> Result<(), WatchError> {
    let mut cursor = 0;
    let rom = Deadline::after(ROM_START);
    while !progress.proven() {
        let awaited = progress.awaited();
        let deadline = match progress.to_rom() {
            None => rom.min(deadline),
            Some(_) => deadline,
        };
        let (at, outcome) = console.wait(&mut cursor, deadline, &awaited, |line| match progress
            .line(line.at, &line.text)
        {
            Ok(None) => None,
            Ok(Some(step)) => Some((line.at, Ok(step))),
            Err(failure) => Some((line.at, Err(failure))),
        })?;
        match outcome {
            Ok(Step::RomUp) => tell(at, "the ROM's script runs"),
            Ok(Step::Fetched {
                name,
                protocol,
                took,
            }) => tell(
                at,
                &format!("{name} came over {protocol} in {:.2} s", took.as_secs_f64()),
            ),
            Ok(Step::Said(said) | Step::Proven(said)) => tell(at, &said),
            Err(failure) => {
                tell(at, &format!("FAILED: {failure}"));
                return Err(WatchError::Failed {
                    name: console.name().to_owned(),
                    failure,
                    tail: console.tail(),
                });
            }
        }
    }
    Ok(())
}
