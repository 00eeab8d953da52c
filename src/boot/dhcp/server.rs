// SPDX-License-Identifier: MIT OR Apache-2.0
//! DHCP at the edge: sockets, the clock and the file of leases, on a thread of its own.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use site::{Dhcp, Mac};

use super::lease::{LeaseFileError, Leases, Now};
use super::message::{LONGEST, Reply, Request};
use super::network::Networks;
use super::pool::{Act, Pool, Told};
use super::proxy::{self, Answer, Port};
use super::socket::{InterfaceSocket, PortError};
use crate::boot::archs::Archs;
use crate::boot::assign::write_beside;
use crate::boot::neighbour;
use crate::boot::plan::{BootFile, BootPlan, Client, Silence};
use crate::observe::{BootEvent, Card};

/// Looks so often whether it is to end.
const TICK: Duration = Duration::from_millis(200);
/// The same is told of the same client only after so long: firmware asks several times.
const TOLD_AGAIN: Duration = Duration::from_secs(20);
/// What was told long ago is forgotten so often.
const SWEEP: Duration = Duration::from_secs(1);
/// Clients of whom is remembered what was told.
const MOST_TOLD: usize = 4096;
/// Machines whose names are told.
const MOST_OURS: usize = 8192;
/// Datagrams that are read from one socket before the next one's turn.
const AT_ONCE: usize = 64;

/// An interface to answer at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpStand {
    /// Its name.
    pub interface: String,
    /// Its number.
    pub index: u32,
    /// The server's address there.
    pub server: Ipv4Addr,
    /// Addresses to lease, where this is the network's DHCP server.
    pub pool: Option<Networks>,
}

/// Why DHCP is not served.
#[derive(Debug, thiserror::Error)]
pub enum DhcpError {
    /// A port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The file of leases.
    #[error("leases in {}: {source}\n  help: move the file away to begin with none", path.display())]
    Leases {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        source: LeaseFileError,
    },
    /// The same, and it cannot be read.
    #[error("cannot {step} {}: {source}", path.display())]
    File {
        /// Doing what.
        step: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

pub use crate::boot::report::Tell;

/// A plan that can be exchanged while it is used.
pub type SharedPlan = Arc<RwLock<Arc<BootPlan>>>;

/// Sockets that are bound, and nothing answered yet.
#[derive(Debug)]
pub struct DhcpSockets {
    stands: Vec<(DhcpStand, InterfaceSocket, InterfaceSocket)>,
}

/// A running server; it ends when it is dropped.
#[derive(Debug)]
pub struct DhcpServer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DhcpSockets {
    /// Binds both ports at every interface.
    pub fn bind(stands: Vec<DhcpStand>, dhcp: &Dhcp) -> Result<DhcpSockets, PortError> {
        let stands = stands.into_iter().map(|stand| {
            let open =
                |port| InterfaceSocket::open(&stand.interface, stand.index, stand.server, port);
            let (main, pxe) = (open(dhcp.port)?, open(dhcp.pxe_port)?);
            Ok((stand, main, pxe))
        });
        Ok(DhcpSockets {
            stands: stands.collect::<Result<_, _>>()?,
        })
    }

    /// Answers from a thread of its own. `leases` is the directory for files of leases; what machines
    /// say that they are is left in `archs`. Requests with these numbers are this host's own, who looks
    /// for others.
    pub fn serve(
        self,
        plan: SharedPlan,
        leases: Option<&Path>,
        archs: Arc<Archs>,
        own_questions: Vec<u32>,
        tell: Tell,
    ) -> Result<DhcpServer, DhcpError> {
        let clock = Clock::start();
        let mut places = Vec::new();
        for (stand, main, pxe) in self.stands {
            let pool = match (&stand.pool, leases) {
                (None, _) => None,
                (Some(networks), directory) => {
                    let file =
                        directory.map(|d| d.join(format!("leases-{}.json", stand.interface)));
                    let leases = file.as_deref().map(load).transpose()?.unwrap_or_default();
                    let plan = read_plan(&plan);
                    Some((
                        Pool::new(networks.clone(), leases, &plan, clock.now()),
                        file,
                    ))
                }
            };
            places.push(Served {
                server: stand.server,
                main,
                pxe,
                pool,
                failed: false,
            });
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("dhcp".to_owned())
            .spawn(move || {
                let mut server = Server {
                    served: places,
                    plan,
                    archs,
                    own_questions,
                    clock,
                    teller: Teller {
                        tell,
                        told: HashMap::new(),
                        swept: Now::ZERO,
                        ours: HashSet::new(),
                    },
                };
                while !stopped.load(Ordering::Relaxed) {
                    server.turn();
                }
            })
            .map_err(DhcpError::Thread)?;
        Ok(DhcpServer {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for DhcpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed by its thread.
            let _ = thread.join();
        }
    }
}

fn read_plan(plan: &SharedPlan) -> Arc<BootPlan> {
    Arc::clone(&plan.read().unwrap_or_else(PoisonError::into_inner))
}

fn load(path: &Path) -> Result<Leases, DhcpError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Leases::default()),
        Err(source) => {
            return Err(DhcpError::File {
                step: "read",
                path: path.to_owned(),
                source,
            });
        }
    };
    Leases::from_text(&text).map_err(|source| DhcpError::Leases {
        path: path.to_owned(),
        source,
    })
}

/// Time since 1970 that never goes back: the day's time at the start, counted on.
#[derive(Clone, Copy, Debug)]
struct Clock {
    wall: Now,
    start: Instant,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the edge: leases end by the day's time"
    )]
    fn start() -> Clock {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Clock {
            wall: wall.unwrap_or_default(),
            start: Instant::now(),
        }
    }

    fn now(self) -> Now {
        self.wall + self.start.elapsed()
    }
}

/// What is known beside the plan.
struct Known<'a> {
    archs: &'a Archs,
    own_questions: &'a [u32],
}

struct Served {
    server: Ipv4Addr,
    main: InterfaceSocket,
    pxe: InterfaceSocket,
    pool: Option<(Pool, Option<PathBuf>)>,
    /// Whether the last file of leases could not be written.
    failed: bool,
}

struct Server {
    served: Vec<Served>,
    plan: SharedPlan,
    archs: Arc<Archs>,
    own_questions: Vec<u32>,
    clock: Clock,
    teller: Teller,
}

impl Server {
    /// Waits for something to do, and does it.
    fn turn(&mut self) {
        let now = self.clock.now();
        let due = self.served.iter().filter_map(|served| {
            let (pool, _) = served.pool.as_ref()?;
            pool.wakes()
        });
        let wait = due.map(|at| at.saturating_sub(now)).min();
        let wait = wait.unwrap_or(TICK).min(TICK);
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let mut sockets: Vec<PollFd<'_>> = self
            .served
            .iter()
            .flat_map(|served| [&served.main, &served.pxe])
            .map(|socket| PollFd::new(socket, PollFlags::IN))
            .collect();
        // Interrupted or not: what is there is read without waiting.
        let _ = poll(&mut sockets, Some(&timeout));
        let plan = read_plan(&self.plan);
        let known = Known {
            archs: &self.archs,
            own_questions: &self.own_questions,
        };
        for served in &mut self.served {
            served.turn(&plan, &known, self.clock.now(), &mut self.teller);
        }
    }
}

impl Served {
    fn turn(&mut self, plan: &BootPlan, known: &Known<'_>, now: Now, teller: &mut Teller) {
        let mut replies: Vec<(Reply, Option<SocketAddrV4>)> = Vec::new();
        let mut buffer = [0; LONGEST + 1];
        for port in [Port::Dhcp, Port::Pxe] {
            for _ in 0..AT_ONCE {
                let socket = match port {
                    Port::Dhcp => &self.main,
                    Port::Pxe => &self.pxe,
                };
                // An error of one datagram (an ICMP answer to the last one) is no end.
                let Ok(Some((length, from))) = socket.receive(&mut buffer) else {
                    break;
                };
                let Ok(request) = Request::decode(&buffer[..length]) else {
                    continue;
                };
                if known.own_questions.contains(&request.number()) {
                    continue;
                }
                if let Some(client) = request.client()
                    && let Some(arch) = client.arch.known()
                {
                    known.archs.heard(client.mac, arch);
                }
                match (&mut self.pool, port) {
                    (Some((pool, _)), Port::Dhcp) => {
                        let acts = pool.receive(&request, plan, now);
                        act(acts, self.server, &mut replies, teller, now);
                    }
                    _ => match proxy::answer(&request, port, plan, self.server) {
                        Answer::Boot {
                            client,
                            file,
                            reply,
                        } => {
                            teller.boot(client, file, now);
                            let back = port == Port::Pxe && request.relay().is_none();
                            replies.push((reply, back.then_some(from)));
                        }
                        Answer::Silence { client, why } => teller.silence(client, why, now),
                        Answer::Ignore => {}
                    },
                }
                if let Some(name) = request.host_name() {
                    teller.named(request.mac(), name, now);
                }
            }
        }
        if let Some((pool, file)) = &mut self.pool {
            // The kernel's table is read once for all that is due, and not at all where nothing is.
            let heard = OnceCell::new();
            let taken = |address| {
                let all = heard.get_or_init(neighbour::all);
                all.get(&address).copied()
            };
            let acts = pool.wake(plan, now, taken);
            act(acts, self.server, &mut replies, teller, now);
            // "The server must commit before it answers" (RFC 2131, section 3.1, step 4).
            if pool.take_changed()
                && let Some(file) = file
            {
                let written = write_beside(file, &pool.leases().to_text());
                if let (Err(error), false) = (&written, self.failed) {
                    (teller.tell)(BootEvent::BootServiceFailed {
                        what: format!(
                            "leases cannot be stored in {}: {error}; they last until the server ends",
                            file.display()
                        ),
                    });
                }
                self.failed = written.is_err();
            }
        }
        for (reply, back) in replies {
            let datagram = reply.encode();
            let (socket, to) = match back {
                // A client that asks port 4011 hears on the port that it asked from.
                Some(from) if !from.ip().is_unspecified() => (&self.pxe, from),
                _ => (&self.main, reply.destination()),
            };
            if let Err(error) = socket.send(&datagram, to) {
                teller.failed(to, &error, now);
            }
        }
    }
}

fn act(
    acts: Vec<Act>,
    server: Ipv4Addr,
    replies: &mut Vec<(Reply, Option<SocketAddrV4>)>,
    teller: &mut Teller,
    now: Now,
) {
    for act in acts {
        match act {
            Act::Send(reply) => replies.push((reply, None)),
            Act::Probe(address) => neighbour::look_for(address, server),
            Act::Tell(told) => teller.pool(told, now),
        }
    }
}

/// Tells each thing once in a while.
struct Teller {
    tell: Tell,
    told: HashMap<String, Now>,
    /// When what was told long ago was forgotten last.
    swept: Now,
    /// Who boots here or leases: the names of everybody else are nobody's business.
    ours: HashSet<Mac>,
}

impl Teller {
    fn is_ours(&mut self, mac: Mac) {
        if self.ours.len() < MOST_OURS {
            self.ours.insert(mac);
        }
    }

    fn named(&mut self, mac: Mac, name: String, now: Now) {
        if self.ours.contains(&mac) {
            let mac = Card(mac);
            self.once(BootEvent::ClientNamed { mac, name }, now);
        }
    }

    fn once(&mut self, event: BootEvent, now: Now) {
        let key = event.to_string();
        // Looked through once in a while, not for each of a thousand strangers.
        if now.saturating_sub(self.swept) >= SWEEP {
            self.swept = now;
            self.told
                .retain(|_, at| now.saturating_sub(*at) < TOLD_AGAIN);
        }
        let fresh = |at: &Now| now.saturating_sub(*at) < TOLD_AGAIN;
        if self.told.len() >= MOST_TOLD || self.told.get(&key).is_some_and(fresh) {
            return;
        }
        self.told.insert(key, now);
        (self.tell)(event);
    }

    fn boot(&mut self, client: Client, file: BootFile, now: Now) {
        self.is_ours(client.mac);
        let event = BootEvent::BootOffered {
            mac: Card(client.mac),
            arch: client.arch,
            program: client.program,
            file,
        };
        self.once(event, now);
    }

    fn silence(&mut self, client: Client, why: Silence, now: Now) {
        let event = BootEvent::BootSilent {
            mac: Card(client.mac),
            arch: client.arch,
            program: client.program,
            why,
        };
        self.once(event, now);
    }

    fn pool(&mut self, told: Told, now: Now) {
        let card = |mac: Mac| Card(mac);
        match told {
            Told::Boot { client, file } => self.boot(client, file, now),
            Told::Silence { client, why } => self.silence(client, why, now),
            Told::Leased { mac, address } => {
                self.is_ours(mac);
                let mac = card(mac);
                (self.tell)(BootEvent::AddressLeased { mac, address });
            }
            Told::Exhausted { mac } => {
                let mac = card(mac);
                self.once(BootEvent::PoolExhausted { mac }, now);
            }
            Told::Taken { address } => self.once(BootEvent::AddressTaken { address }, now),
            Told::Rival { server } => self.once(BootEvent::RivalDhcp { server }, now),
            Told::Relayed { relay, link } => {
                self.once(BootEvent::RelayRefused { relay, link }, now);
            }
        }
    }

    fn failed(&mut self, to: SocketAddrV4, error: &io::Error, now: Now) {
        let what = format!("DHCP answer to {to} cannot be sent: {error}");
        self.once(BootEvent::BootServiceFailed { what }, now);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::boot::arch::{ClientArch, Program};

    /// On a network where everybody asks by DHCP, names are told of those who boot here alone.
    #[test]
    fn names_are_told_of_who_boots_here() {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&told);
        let mut teller = Teller {
            tell: Arc::new(move |event| heard.lock().unwrap().push(event.to_string())),
            told: HashMap::new(),
            swept: Now::ZERO,
            ours: HashSet::new(),
        };
        let mac = |number| Mac::new([0x52, 0x54, 0, 0, 0, number]);
        let now = Now::ZERO;
        teller.named(mac(1), "stranger".to_owned(), now);
        let client = Client {
            mac: mac(2),
            arch: ClientArch::BIOS,
            program: Program::recognise(b"PXEClient", b"iPXE", None).unwrap(),
            link: None,
        };
        let url = String::new();
        teller.boot(client, BootFile::Script { url }, now);
        let leased = Told::Leased {
            mac: mac(3),
            address: Ipv4Addr::LOCALHOST,
        };
        teller.pool(leased, now);
        told.lock().unwrap().clear();
        for number in [1, 2, 2, 3] {
            teller.named(mac(number), format!("pc-{number}"), now);
        }
        let expected = [
            "52:54:00:00:00:02: calls itself pc-2",
            "52:54:00:00:00:03: calls itself pc-3",
        ];
        assert_eq!(*told.lock().unwrap(), expected);
    }
}
