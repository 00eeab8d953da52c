// SPDX-License-Identifier: MIT OR Apache-2.0
//! HTTP and TFTP under attack: a real `slamboot serve`, more connections than it takes, from many
//! addresses, which say nothing, or a header byte by byte, or read nothing of what they asked for.

#[path = "support/serve.rs"]
mod serve;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

use serve::Server;

/// Connections of the attack.
const CONNECTIONS: usize = 10_000;
/// Addresses that they come from.
const SOURCES: usize = 40;
/// Ours, beside them: libraries, pipes, the honest client.
const SPARE: usize = 100;
/// What one connection may cost: what is read of a file at a time, as it lies in hyper's queue and
/// in ours, and a request's buffer.
const PER_CONNECTION: u64 = 640 << 10;
/// `[http] max_connections`, by default.
const MOST: u64 = 1024;
/// No honest client waits longer: a lost SYN is sent again after 1 s and 3 s.
const SOON: Duration = Duration::from_secs(8);
const IMAGE: usize = 16 << 20;

#[expect(clippy::disallowed_methods, reason = "a test of the edge")]
fn now() -> Instant {
    Instant::now()
}

impl Server {
    fn start() -> Server {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("demo.img"), vec![7; IMAGE]).unwrap();
        let text = "[[image]]\nname = \"demo\"\nkind = \"disk\"\npath = \"demo.img\"\n";
        let server = Server::serve(folder, text).unwrap();
        let start = now();
        while !server.get("/readyz").is_ok_and(|body| !body.is_empty()) {
            assert!(now() - start < SOON, "the server is not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.http)
    }

    /// What an honest client gets.
    fn get(&self, path: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(self.address()), SOON)?;
        stream.set_read_timeout(Some(SOON))?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        let head = all.windows(4).position(|four| four == b"\r\n\r\n");
        let ok = all.starts_with(b"HTTP/1.1 200 ");
        Ok(head
            .filter(|_| ok)
            .map_or(Vec::new(), |at| all.split_off(at + 4)))
    }

    /// Bytes of memory that it uses (`VmRSS` in `proc_pid_status(5)`).
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.unwrap().trim().parse::<u64>().unwrap() << 10
    }

    fn descriptors(&self) -> u64 {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        open.count() as u64
    }
}

/// Begins a connection from this source, and does not wait for it.
fn begin(source: usize, to: SocketAddrV4) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(4096)?;
    let from = Ipv4Addr::new(127, 77, 0, 1 + source as u8);
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    // In progress is no error.
    let _ = socket.connect(&SocketAddr::V4(to).into());
    Ok(socket.into())
}

/// As many descriptors as this process may have.
fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    limit.maximum.map_or(usize::MAX, |most| most as usize)
}

#[test]
fn an_attack_of_ten_thousand_connections_keeps_nobody_out() {
    let most = descriptors().saturating_sub(SPARE);
    let connections = CONNECTIONS.min(most);
    if connections < CONNECTIONS {
        println!("skipped: {CONNECTIONS} connections, since this process may have {most} only");
    }
    let mut server = Server::start();
    let before = server.memory();
    let started = now();
    let mut attack: Vec<TcpStream> = (0..connections)
        .map(|number| begin(number % SOURCES, server.address()).unwrap())
        .collect();
    println!("{connections} connections begun in {:?}", now() - started);
    let (mut peak, mut open, mut slowest) = (0, 0, Duration::ZERO);
    for round in 0..8 {
        for (number, stream) in attack.iter_mut().enumerate() {
            // One that was turned away, or not taken yet, says nothing.
            let _ = match (number / SOURCES % 3, round) {
                (0, _) => Ok(0),
                (1, 0) => stream.write(b"GET /images/demo HTTP/1.1\r\nX-"),
                (1, _) => stream.write(b"x"),
                (_, 0) => stream.write(b"GET /images/demo HTTP/1.1\r\nHost: x\r\n\r\n"),
                _ => Ok(0),
            };
        }
        let asked = now();
        let page = server.get("/").unwrap();
        assert!(page.starts_with(b"slamboot"), "round {round}");
        if round % 4 == 3 {
            let image = server.get("/images/demo").unwrap();
            assert!(image.len() == IMAGE, "{} bytes", image.len());
        }
        slowest = slowest.max(now() - asked);
        peak = peak.max(server.memory());
        open = open.max(server.descriptors());
        std::thread::sleep(Duration::from_millis(100));
    }
    println!(
        "in {:?}: memory {} KiB before, {} KiB at most; {open} descriptors at most; an honest client waited {slowest:?} at most",
        now() - started,
        before >> 10,
        peak >> 10,
    );
    assert!(slowest < SOON, "an honest client waited {slowest:?}");
    let grown = peak.saturating_sub(before);
    assert!(grown < MOST * PER_CONNECTION, "{} KiB more", grown >> 10);
    assert!(open < MOST + SPARE as u64, "{open} descriptors");
    drop(attack);
    assert_eq!(server.get("/images/demo").unwrap().len(), IMAGE);
    assert_eq!(server.child.try_wait().unwrap(), None, "it runs");
}

/// A request that has no end is not kept.
#[test]
fn a_request_without_an_end_is_cut_off() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nX-Long: ").unwrap();
    let mut sent = 0;
    while stream.write_all(&[b'x'; 4096]).is_ok() {
        sent += 4096;
        assert!(sent < 16 << 20, "{sent} bytes of a header were taken");
    }
    assert!(
        server
            .get("/")
            .is_ok_and(|page| page.starts_with(b"slamboot"))
    );
}

/// A request for the image, as firmware asks for it.
const READ_REQUEST: &[u8] =
    b"\0\x01images/demo\0octet\0blksize\x001468\0windowsize\x0016\0tsize\x000\0timeout\x0010\0";

/// One that asks again while the server is busy, and takes the first two windows of the image: what
/// it waited.
fn tftp(server: SocketAddrV4) -> Duration {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let wait = Duration::from_millis(500);
    socket.set_read_timeout(Some(wait)).unwrap();
    let started = now();
    let mut packet = [0; 2048];
    let from = loop {
        assert!(now() - started < SOON, "nothing but busy");
        socket.send_to(READ_REQUEST, server).unwrap();
        let Ok((_, from)) = socket.recv_from(&mut packet) else {
            continue;
        };
        match packet[1] {
            6 => break from,
            _ => std::thread::sleep(wait),
        }
    };
    socket.send_to(&[0, 4, 0, 0], from).unwrap();
    let mut next = 1u16;
    while next <= 32 {
        let (length, from) = socket.recv_from(&mut packet).unwrap();
        assert_eq!((packet[1], length), (3, 1472));
        let [high, low] = next.to_be_bytes();
        if packet[2..4] == [high, low] {
            if next.is_multiple_of(16) {
                socket.send_to(&[0, 4, high, low], from).unwrap();
            }
            next += 1;
        }
    }
    now() - started
}

/// More transfers than are served at one time, from so many addresses that no bound of one is in
/// the way, which are begun and go no further: some never, some after their options.
#[test]
fn half_open_tftp_keeps_nobody_out() {
    const SOURCES: u8 = 80;
    const EACH: usize = 14;
    descriptors();
    let mut server = Server::start();
    let tftp_at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, server.tftp);
    let (before, open) = (server.memory(), server.descriptors());
    for goes_on in [false, true] {
        let attack: Vec<UdpSocket> = (0..SOURCES)
            .flat_map(|source| [source; EACH])
            .map(|source| {
                let from = Ipv4Addr::new(127, 78, 0, 1 + source);
                let socket = UdpSocket::bind((from, 0)).unwrap();
                socket.set_read_timeout(Some(SOON)).unwrap();
                socket.send_to(READ_REQUEST, tftp_at).unwrap();
                let (_, from) = socket.recv_from(&mut [0; 64]).unwrap();
                if goes_on {
                    socket.send_to(&[0, 4, 0, 0], from).unwrap();
                }
                socket
            })
            .collect();
        assert_eq!(attack.len(), 1120);
        let waited = tftp(tftp_at);
        let (after, descriptors) = (server.memory(), server.descriptors());
        println!(
            "{} transfers go no further (options acknowledged: {goes_on}): an honest client took {waited:?}; \
             memory {} KiB before, {} KiB now; {descriptors} descriptors",
            attack.len(),
            before >> 10,
            after >> 10
        );
        // What one costs: a socket, the file's name, its state.
        let grown = after.saturating_sub(before);
        assert!(grown < 8 << 20, "{} KiB more", grown >> 10);
        assert!(descriptors < open + MOST + SPARE as u64);
    }
    assert_eq!(server.child.try_wait().unwrap(), None, "it runs");
}
