// SPDX-License-Identifier: MIT OR Apache-2.0
//! One run: everyone started, watched until the last client has the file, and checked.

use std::fs;
use std::io::PipeWriter;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Serialize;
use xtask::cmd::Cmd;
use xtask::cmd::{Running, interrupted};
use xtask::console::{Deadline, now};

use super::digest;
use super::net::{Room, inside};
use super::peer::{Contestant, Done, First, Place, Ready, Receiver, Setup};
use super::procfs;
use super::row::Row;

/// How often counters and files are looked at. Ends of programs are seen at once.
const LOOK_EVERY: Duration = Duration::from_millis(4);
const START: Duration = Duration::from_secs(20);
/// How long clients may go on after their server has ended.
const ORPHANED: Duration = Duration::from_secs(5);
/// Less than this on the wire is talk; more is data.
const TALK: u64 = 20_000;
/// Everyone stands before a starting line: what it takes to start a program in a namespace is not
/// measured.
const HOLD: &str = r#"echo held; read -r go; exec "$@""#;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(super) enum Outcome {
    /// Every client has the file, and it is the file.
    Finished(Run),
    /// Not everyone has it.
    Unfinished {
        /// How many have.
        done: usize,
        /// Of how many.
        of: usize,
        /// After so many seconds.
        seconds: f64,
        why: String,
    },
    /// Nothing could be measured, or what was received is not the file.
    Failed { why: String },
}

/// The figures of a run in which everyone got the file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Run {
    /// From the first data on the wire to the last client, in seconds.
    pub(super) seconds: f64,
    /// From the start of the first client (of the server, where clients wait for it).
    pub(super) from_start: f64,
    /// Bytes that left by the server's uplink, with every header from Ethernet's on.
    pub(super) sent: u64,
    /// CPU time of the server's processes.
    pub(super) cpu: f64,
    /// CPU time of all clients together; of those that end when they have the file.
    pub(super) client_cpu: Option<f64>,
    /// Part of the run in which somebody waited for a processor: the nearer to 1, the more was the
    /// machine measured.
    pub(super) cpu_short: Option<f64>,
    /// Each client's own time, from its start.
    pub(super) clients: Vec<f64>,
}

/// Measures one run. An error is an interruption; everything else is an outcome.
pub(super) fn run(
    contestant: &Contestant,
    room: &Room,
    row: &Row,
    place: &Place,
    digest: &digest::Digest,
) -> Result<Outcome> {
    let setup = contestant.setup(place, row);
    let result = prepare(place.dir, &setup).and_then(|()| attempt(&setup, room, row, place.dir));
    let outcome = match result {
        Err(error) if interrupted() => return Err(error),
        Err(error) => Outcome::Failed {
            why: format!("{error:#}"),
        },
        Ok(Outcome::Finished(run)) => {
            let outs: Vec<&Path> = setup.clients.iter().map(|client| &*client.out).collect();
            match digest::differing(&outs, digest)? {
                None => Outcome::Finished(run),
                Some(path) => Outcome::Failed {
                    why: format!("{} is not what was served", path.display()),
                },
            }
        }
        Ok(outcome) => outcome,
    };
    fs::remove_dir_all(place.dir).context("clearing up")?;
    Ok(outcome)
}

fn prepare(dir: &Path, setup: &Setup) -> Result<()> {
    fs::create_dir_all(dir)?;
    for client in &setup.clients {
        // uftpd wants its directory to be there; for the others it is `dir`.
        fs::create_dir_all(client.out.parent().unwrap_or(dir))?;
    }
    if let Some((path, text)) = &setup.config {
        fs::write(path, text)?;
    }
    Ok(())
}

fn attempt(setup: &Setup, room: &Room, row: &Row, dir: &Path) -> Result<Outcome> {
    let before = room.sent()?;
    let mut clients = hold(setup, room, dir)?;
    let log = dir.join("server.log");
    let server = inside(room.server(), &setup.server);
    let (server, start) = match setup.first {
        First::Server => {
            let server = server.spawn(&log)?;
            ready(&setup.ready, &server, &log).with_context(|| tail(&log))?;
            (server, now())
        }
        First::Clients(port) => {
            for client in &mut clients {
                client.release(now());
            }
            for client in &clients {
                let ready = ready(&Ready::Udp(port), &client.running, &client.log);
                ready.with_context(|| tail(&client.log))?;
            }
            (server.spawn(&log)?, now())
        }
    };
    let cpu = |pid| Ok::<_, anyhow::Error>(procfs::cpu(pid, &room.server().pids()?));
    let pid = pid(&server)?;
    let cpu_before = match setup.first {
        First::Server => cpu(pid)?,
        // Just started, on its way into the namespace.
        First::Clients(_) => Duration::ZERO,
    };
    let ended_before = procfs::cpu_of_ended();
    let (short_before, watched_from) = (procfs::cpu_short(), now());
    let watched = watch(setup, room, row, &mut clients, pid, start)?;
    let cpu_short = procfs::cpu_short()
        .zip(short_before)
        .map(|(after, before)| {
            let short = after.saturating_sub(before).as_secs_f64();
            short / now().duration_since(watched_from).as_secs_f64().max(1e-6)
        });
    let client_cpu = (setup.done == Done::Exit).then(|| {
        procfs::cpu_of_ended()
            .saturating_sub(ended_before)
            .as_secs_f64()
    });
    let cpu = cpu(pid)?.saturating_sub(cpu_before);
    let sent = room.sent()?.saturating_sub(before);
    Ok(match watched {
        Watched::All { last, first_data } => Outcome::Finished(Run {
            seconds: last.saturating_sub(first_data).as_secs_f64(),
            from_start: last.as_secs_f64(),
            sent,
            cpu: cpu.as_secs_f64(),
            client_cpu,
            cpu_short,
            clients: clients.iter().filter_map(Held::seconds).collect(),
        }),
        Watched::Not { after, why } => Outcome::Unfinished {
            done: clients.iter().filter(|c| c.done.is_some()).count(),
            of: clients.len(),
            seconds: after.as_secs_f64(),
            why: match why {
                Why::Client(number) => format!("client {number}: {}", tail(&clients[number].log)),
                Why::Server => format!("the server ended: {}", tail(&log)),
                Why::Limit => "it took longer than allowed".to_owned(),
            },
        },
    })
}

/// A client at the starting line, or on its way.
struct Held {
    running: Running,
    pidfd: OwnedFd,
    log: std::path::PathBuf,
    gate: Option<PipeWriter>,
    released: Option<Instant>,
    done: Option<Instant>,
}

impl Held {
    fn release(&mut self, now: Instant) {
        self.released = Some(now);
        // The end of its input lets it go.
        self.gate = None;
    }

    fn seconds(&self) -> Option<f64> {
        let took = self.done?.saturating_duration_since(self.released?);
        Some(took.as_secs_f64())
    }
}

fn hold(setup: &Setup, room: &Room, dir: &Path) -> Result<Vec<Held>> {
    let mut clients = Vec::new();
    for (number, (client, host)) in setup.clients.iter().zip(room.hosts()).enumerate() {
        let (read, gate) = std::io::pipe()?;
        let log = dir.join(format!("client{number}.log"));
        let shell = Cmd::new("sh").args(["-c", HOLD, "sh"]);
        let command = inside(host, &client.command.clone().through(shell));
        let running = command.spawn_fed(read, &log)?;
        let pidfd = pidfd_open(pid(&running)?, PidfdFlags::empty())?;
        clients.push(Held {
            running,
            pidfd,
            log,
            gate: Some(gate),
            released: None,
            done: None,
        });
    }
    for client in &clients {
        ready(&Ready::Said("held"), &client.running, &client.log)?;
    }
    Ok(clients)
}

/// Waits until a program is ready.
fn ready(ready: &Ready, running: &Running, log: &Path) -> Result<()> {
    let deadline = Deadline::after(START);
    let pid = pid(running)?.as_raw_pid();
    loop {
        let there = match ready {
            Ready::Said(what) => fs::read_to_string(log)?.contains(what),
            Ready::Udp(port) => procfs::listens(&format!("/proc/{pid}/net/udp"), *port),
            Ready::Tcp(port) => procfs::listens(&format!("/proc/{pid}/net/tcp"), *port),
        };
        if there {
            return Ok(());
        }
        ensure!(!interrupted(), "interrupted");
        ensure!(!running.ended()?, "it ended before it was ready");
        ensure!(deadline.left().is_some(), "not ready within {START:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

enum Watched {
    /// Since the start.
    All {
        last: Duration,
        first_data: Duration,
    },
    Not {
        after: Duration,
        why: Why,
    },
}

enum Why {
    Client(usize),
    Server,
    Limit,
}

fn watch(
    setup: &Setup,
    room: &Room,
    row: &Row,
    clients: &mut [Held],
    server: Pid,
    start: Instant,
) -> Result<Watched> {
    let server = pidfd_open(server, PidfdFlags::empty())?;
    let mut server_ended: Option<Instant> = None;
    let mut first_data = FirstData::new(room.left()?, row.mbit_per_s);
    let mut to_release = clients.iter().filter(|c| c.gate.is_some()).count();
    let mut next_release = start;
    loop {
        let moment = now();
        let since = moment.duration_since(start);
        while to_release > 0 && next_release <= moment {
            let number = clients.len() - to_release;
            clients[number].release(now());
            to_release -= 1;
            next_release += row.apart;
        }
        first_data.see(since, room.left()?);
        let ended = ended(&server, clients)?;
        let moment = now();
        if ended.server {
            server_ended.get_or_insert(moment);
        }
        for (number, client) in clients.iter_mut().enumerate() {
            if client.done.is_some() {
                continue;
            }
            let exited = ended.clients.contains(&number);
            let done = match setup.done {
                Done::Exit => exited && client.running.wait(None).is_ok(),
                Done::Length => length(&setup.clients[number]) == Some(row.bytes),
                Done::Exists => setup.clients[number].out.exists(),
            };
            if done {
                client.done = Some(moment);
            } else if exited {
                let after = moment.duration_since(start);
                return Ok(Watched::Not {
                    after,
                    why: Why::Client(number),
                });
            }
        }
        if let Some(last) = clients.iter().map(|c| c.done).collect::<Option<Vec<_>>>() {
            let last = last.into_iter().max().map_or(since, |last| last - start);
            return Ok(Watched::All {
                last,
                first_data: first_data.found.unwrap_or_default(),
            });
        }
        let orphaned = server_ended.is_some_and(|ended| moment - ended > ORPHANED);
        if orphaned || since > row.limit() {
            return Ok(Watched::Not {
                after: since,
                why: if orphaned { Why::Server } else { Why::Limit },
            });
        }
        if interrupted() {
            bail!("interrupted");
        }
    }
}

fn length(client: &Receiver) -> Option<u64> {
    Some(fs::metadata(&client.out).ok()?.len())
}

struct Ended {
    server: bool,
    clients: Vec<usize>,
}

/// Who has ended, of those who have not been seen to; waits a moment for it.
fn ended(server: &OwnedFd, clients: &[Held]) -> Result<Ended> {
    let waiting: Vec<usize> = (0..clients.len())
        .filter(|number| clients[*number].done.is_none())
        .collect();
    let mut fds: Vec<PollFd> = waiting
        .iter()
        .map(|number| PollFd::new(&clients[*number].pidfd, PollFlags::IN))
        .collect();
    match poll(&mut fds, Some(&Timespec::try_from(LOOK_EVERY)?)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let clients = waiting
        .into_iter()
        .zip(&fds)
        .filter(|(_, fd)| !fd.revents().is_empty())
        .map(|(number, _)| number)
        .collect();
    // The server apart: udpcast's ends by itself, and would end every wait.
    let mut fds = [PollFd::new(server, PollFlags::IN)];
    let server = retry_on_intr(|| poll(&mut fds, Some(&Timespec::default())))? > 0;
    Ok(Ended { server, clients })
}

/// When data began to flow, from looks at a counter.
struct FirstData {
    before: u64,
    bytes_per_s: f64,
    last_look: Duration,
    found: Option<Duration>,
}

impl FirstData {
    fn new(before: u64, mbit_per_s: u64) -> FirstData {
        FirstData {
            before,
            bytes_per_s: mbit_per_s as f64 * 1e6 / 8.0,
            last_look: Duration::ZERO,
            found: None,
        }
    }

    /// What has left `at` this time: as it cannot have left faster than the link lets it, it began
    /// to so long ago, but not before the last look.
    fn see(&mut self, at: Duration, bytes: u64) {
        let bytes = bytes.saturating_sub(self.before);
        if self.found.is_none() && bytes > TALK {
            let took = Duration::from_secs_f64(bytes as f64 / self.bytes_per_s);
            self.found = Some(at.saturating_sub(took).max(self.last_look));
        }
        self.last_look = at;
    }
}

fn pid(running: &Running) -> Result<Pid> {
    let pid = running.pid().context("no process")?;
    Pid::from_raw(pid.cast_signed()).context("no process")
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn data_began_as_long_ago_as_the_link_needs_for_it() {
        let mut first = FirstData::new(1000, 1000);
        first.see(ms(10), 1000);
        // Talk.
        first.see(ms(20), 20_000);
        assert_eq!(first.found, None);
        // 125,000 bytes are a millisecond.
        first.see(ms(30), 251_000);
        assert_eq!(first.found, Some(ms(28)));
        first.see(ms(40), 2_000_000);
        assert_eq!(first.found, Some(ms(28)));
        // But not before the last look.
        let mut first = FirstData::new(0, 1000);
        first.see(ms(10), 0);
        first.see(ms(12), 1_000_000);
        assert_eq!(first.found, Some(ms(10)));
    }
}
