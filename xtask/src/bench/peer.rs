// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who is measured: how each program is started, and how it shows that it is ready, or done.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;
use xtask::cmd::Cmd;
use xtask::host;
use xtask::netlab::{INTERFACE, SERVER};
use xtask::paths::Paths;

use super::row::Row;

const SLAM_PORT: u16 = 10000;
const HTTP_PORT: u16 = 8080;
/// udpcast's base port is 9000: receivers listen there, the sender one above.
const UDPCAST_SENDER_PORT: u16 = 9001;
const UFTP_PORT: u16 = 1044;
/// The largest that uftp takes.
const UFTP_BUFFER: &str = "104857600";

/// What a SLAM server serves, or that the server has clients of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Client {
    /// slam-client's receiver.
    Ours,
    /// The state machine of iPXE's client.
    Stock,
    /// The program's own.
    Own,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum System {
    Slamboot,
    /// Another SLAM server, as given with `--peer`.
    Peer(Peer),
    Udpcast,
    Uftp,
    Nginx,
}

/// A SLAM server that is started as `PROGRAM FILE`, and serves on the default port and group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) program: PathBuf,
}

/// What `--peer` is not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected NAME=PROGRAM, such as mini-slamd=/usr/local/bin/mini-slamd, found '{0}'")]
pub(super) struct NoPeer(String);

impl FromStr for Peer {
    type Err = NoPeer;

    fn from_str(text: &str) -> Result<Peer, NoPeer> {
        match text.split_once('=') {
            Some((name, program)) if !name.is_empty() && !program.is_empty() => Ok(Peer {
                name: name.to_owned(),
                program: program.into(),
            }),
            _ => Err(NoPeer(text.to_owned())),
        }
    }
}

/// A server with its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contestant {
    pub(super) system: System,
    pub(super) client: Client,
}

/// How a program shows that it can be talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// It says so.
    Said(&'static str),
    /// It listens on a UDP port.
    Udp(u16),
    /// It listens on a TCP port.
    Tcp(u16),
}

/// How a client shows that it has the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It ends.
    Exit,
    /// It has written the last byte; it writes in order.
    Length,
    /// The file has its final name.
    Exists,
}

/// Who is started first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// The server waits for clients.
    Server,
    /// Clients wait for the server, which begins by itself; each listens on this UDP port.
    Clients(u16),
}

/// Everything that a run needs to know of a contestant.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) server: Cmd,
    pub(super) ready: Ready,
    pub(super) first: First,
    pub(super) clients: Vec<Receiver>,
    pub(super) done: Done,
    /// A file that the server wants, and what is in it.
    pub(super) config: Option<(PathBuf, String)>,
}

/// One client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Receiver {
    pub(super) command: Cmd,
    /// Where the file will be.
    pub(super) out: PathBuf,
}

/// Where things lie in a run.
pub(super) struct Place<'a> {
    /// What is served.
    pub(super) file: &'a Path,
    /// Where everything else goes.
    pub(super) dir: &'a Path,
    pub(super) paths: &'a Paths,
    /// Addresses of the clients.
    pub(super) hosts: Vec<String>,
}

/// Everyone who takes part in `row`, the house first.
pub(super) fn contestants(row: &Row, peers: &[Peer]) -> Vec<Contestant> {
    // Other SLAM servers wait for nobody.
    let peers = peers.iter().filter(|_| !row.gathers);
    let slam = std::iter::once(System::Slamboot).chain(peers.cloned().map(System::Peer));
    let slam = slam.flat_map(|system| {
        row.kinds.iter().map(move |&client| Contestant {
            system: system.clone(),
            client,
        })
    });
    let others = [System::Udpcast, System::Uftp, System::Nginx];
    // The first two serve those who are there when they begin, and nobody else.
    let others = others
        .into_iter()
        .filter(|system| row.apart.is_zero() || *system == System::Nginx)
        .map(|system| Contestant {
            system,
            client: Client::Own,
        });
    slam.chain(others).collect()
}

impl Contestant {
    pub(super) fn label(&self) -> String {
        let clients = match self.client {
            Client::Ours => " → slam-client",
            Client::Stock => " → stock iPXE",
            Client::Own => "",
        };
        format!("{}{clients}", self.system.name())
    }

    pub(super) fn setup(&self, place: &Place, row: &Row) -> Setup {
        let out = |number: usize| place.dir.join(format!("out{number}"));
        let clients = |command: &dyn Fn(&Path) -> Cmd| {
            let receiver = |number| Receiver {
                command: command(&out(number)),
                out: out(number),
            };
            (0..row.clients).map(receiver).collect()
        };
        let server = self.system.server(place, row);
        match &self.system {
            System::Slamboot | System::Peer(_) => {
                let kind = match self.client {
                    Client::Stock => "stock",
                    Client::Ours | Client::Own => "ours",
                };
                let program = built(place.paths, "examples/bench-client");
                Setup {
                    server,
                    ready: match self.system {
                        System::Slamboot => Ready::Said("Waiting for clients"),
                        _ => Ready::Udp(SLAM_PORT),
                    },
                    first: First::Server,
                    clients: clients(&|out| {
                        let uri = format!("x-slam://{SERVER}");
                        Cmd::new(&program).args([kind, &uri]).arg(out)
                    }),
                    done: Done::Exit,
                    config: None,
                }
            }
            System::Udpcast => Setup {
                server,
                ready: Ready::Udp(UDPCAST_SENDER_PORT),
                first: First::Server,
                clients: clients(&|out| {
                    Cmd::new("udp-receiver")
                        .args(["--nokbd", "--no-progress", "--interface", INTERFACE])
                        .arg("--file")
                        .arg(out)
                }),
                // It stays for half a second after the end, for a sender that did not hear it.
                done: Done::Length,
                config: None,
            },
            System::Uftp => Setup {
                server,
                ready: Ready::Udp(0),
                first: First::Clients(UFTP_PORT),
                clients: (0..row.clients)
                    .map(|number| Receiver {
                        // Into a directory; -t: under its final name only when it is whole.
                        command: Cmd::new("uftpd")
                            .args(["-d", "-t", "-B", UFTP_BUFFER, "-I", INTERFACE, "-D"])
                            .arg(out(number)),
                        out: out(number).join(place.file.file_name().unwrap_or_default()),
                    })
                    .collect(),
                done: Done::Exists,
                config: None,
            },
            System::Nginx => Setup {
                server,
                ready: Ready::Tcp(HTTP_PORT),
                first: First::Server,
                clients: clients(&|out| {
                    let name = place.file.file_name().unwrap_or_default().to_string_lossy();
                    Cmd::new("curl")
                        .args(["--silent", "--show-error", "--fail", "--output"])
                        .arg(out)
                        .arg(format!("http://{SERVER}:{HTTP_PORT}/{name}"))
                }),
                done: Done::Exit,
                config: Some((nginx_conf(place.dir), nginx(place))),
            },
        }
    }
}

/// An Ethernet that passes what the room's uplink passes, in kbit/s: tbf counts a packet and its
/// Ethernet header, slamboot what that takes on a cable, with preamble, check sequence and gap.
fn on_a_wire(mbit_per_s: u64) -> u64 {
    const COUNTED: u64 = 14 + 1500;
    const ON_A_WIRE: u64 = 8 + COUNTED + 4 + 12;
    mbit_per_s * 1000 * ON_A_WIRE / COUNTED
}

impl System {
    pub(super) fn name(&self) -> &str {
        match self {
            System::Slamboot => "slamboot",
            System::Peer(peer) => &peer.name,
            System::Udpcast => "udpcast",
            System::Uftp => "uftp",
            System::Nginx => "nginx + curl",
        }
    }

    /// The first of its programs that is not here.
    pub(super) fn absent(&self) -> Option<String> {
        let programs: &[&str] = match self {
            System::Slamboot => &[],
            System::Peer(peer) => {
                let there = peer.program.is_file();
                return (!there).then(|| peer.program.display().to_string());
            }
            System::Udpcast => &["udp-sender", "udp-receiver"],
            System::Uftp => &["uftp", "uftpd"],
            System::Nginx => &["nginx", "curl"],
        };
        let absent = programs.iter().find(|name| host::program(name).is_none());
        absent.map(|name| (*name).to_owned())
    }

    /// Every program is told the rate of the link, where it can be told.
    fn server(&self, place: &Place, row: &Row) -> Cmd {
        let rate = row.mbit_per_s;
        match self {
            System::Slamboot => Cmd::new(built(place.paths, "slamboot"))
                .arg("serve")
                .arg(place.file)
                .args(["--interface", INTERFACE, "--no-http", "--max-rate"])
                .arg(format!("{} kbit/s", on_a_wire(rate)))
                .args(if row.gathers {
                    vec!["--min-clients".to_owned(), row.clients.to_string()]
                } else {
                    Vec::new()
                }),
            System::Peer(peer) => Cmd::new(&peer.program).arg(place.file),
            System::Udpcast => Cmd::new("udp-sender")
                .args(["--nokbd", "--no-progress", "--full-duplex"])
                .args(["--interface", INTERFACE, "--min-receivers"])
                .arg(row.clients.to_string())
                .arg("--file")
                .arg(place.file),
            // Its rate counts neither its own headers nor those below: 5 % for them, or it
            // overruns the uplink and repairs for the rest of the day.
            System::Uftp => Cmd::new("uftp")
                .args(["-R", &(rate * 950).to_string(), "-B", UFTP_BUFFER])
                .args(["-I", INTERFACE, "-H", &place.hosts.join(",")])
                .arg(place.file),
            System::Nginx => Cmd::new("nginx")
                .args(["-e", "stderr", "-p"])
                .arg(place.dir)
                .arg("-c")
                .arg(nginx_conf(place.dir)),
        }
    }
}

/// A program of this workspace.
fn built(paths: &Paths, name: &str) -> PathBuf {
    paths.target.join("release").join(name)
}

fn nginx_conf(dir: &Path) -> PathBuf {
    dir.join("nginx.conf")
}

fn nginx(place: &Place) -> String {
    let root = place.file.parent().unwrap_or(Path::new("/")).display();
    let dir = place.dir.display();
    format!(
        "daemon off;\nuser root;\nworker_processes auto;\npid \"{dir}/nginx.pid\";\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  sendfile on;\n  tcp_nopush on;\n  \
         server {{ listen {HTTP_PORT}; root \"{root}\"; }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::row;
    use super::*;

    fn labels(name: &str) -> Vec<String> {
        let rows = row::all();
        let row = rows.iter().find(|row| row.name == name).unwrap();
        let peer = "mini=/bin/mini".parse().unwrap();
        let all = contestants(row, &[peer]);
        all.iter().map(Contestant::label).collect()
    }

    #[test]
    fn who_takes_part() {
        assert_eq!(
            labels("8"),
            [
                "slamboot → slam-client",
                "slamboot → stock iPXE",
                "mini → slam-client",
                "mini → stock iPXE",
                "udpcast",
                "uftp",
                "nginx + curl"
            ]
        );
        let stock = ["slamboot → stock iPXE", "mini → stock iPXE"];
        assert_eq!(labels("stock-loss")[..2], stock);
        // No late joiners for udpcast and uftp.
        assert_eq!(labels("joining")[4..], ["nginx + curl"]);
    }

    #[test]
    fn commands_are_what_a_person_would_type() {
        let paths = Paths {
            root: "/w".into(),
            target: "/w/target".into(),
            dist: "/w/dist".into(),
            cache: "/c".into(),
            profile: xtask::programs::Profile::Release,
        };
        let place = Place {
            file: Path::new("/r/file"),
            dir: Path::new("/r/run"),
            paths: &paths,
            hosts: vec!["10.77.1.1".to_owned()],
        };
        let row = &row::all()[0];
        let commands: Vec<String> = contestants(row, &["m=/bin/m".parse().unwrap()])
            .iter()
            .flat_map(|contestant| {
                let setup = contestant.setup(&place, row);
                assert_eq!(setup.clients.len(), 1);
                [
                    setup.server.to_string(),
                    setup.clients[0].command.to_string(),
                ]
            })
            .collect();
        let client = |kind| {
            format!("/w/target/release/examples/bench-client {kind} x-slam://10.77.0.1 /r/run/out0")
        };
        let slamboot = "/w/target/release/slamboot serve /r/file --interface eth0 --no-http \
                        --max-rate '1015852 kbit/s'";
        let expected = [
            slamboot,
            &client("ours"),
            slamboot,
            &client("stock"),
            "/bin/m /r/file",
            &client("ours"),
            "/bin/m /r/file",
            &client("stock"),
            "udp-sender --nokbd --no-progress --full-duplex --interface eth0 --min-receivers 1 \
             --file /r/file",
            "udp-receiver --nokbd --no-progress --interface eth0 --file /r/run/out0",
            "uftp -R 950000 -B 104857600 -I eth0 -H 10.77.1.1 /r/file",
            "uftpd -d -t -B 104857600 -I eth0 -D /r/run/out0",
            "nginx -e stderr -p /r/run -c /r/run/nginx.conf",
            "curl --silent --show-error --fail --output /r/run/out0 http://10.77.0.1:8080/file",
        ];
        assert_eq!(commands, expected);
    }

    #[test]
    fn a_peer_has_a_name_and_a_program() {
        for text in ["", "mini", "=x", "mini="] {
            assert_eq!(text.parse::<Peer>(), Err(NoPeer(text.to_owned())));
        }
        let peer: Peer = "a=/b=c".parse().unwrap();
        assert_eq!((&*peer.name, peer.program), ("a", "/b=c".into()));
        let absent = System::Peer("a=/nowhere/x".parse().unwrap()).absent();
        assert_eq!(absent.as_deref(), Some("/nowhere/x"));
        assert_eq!(System::Slamboot.absent(), None);
    }
}
