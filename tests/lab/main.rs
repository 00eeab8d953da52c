// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real server and the real client, each in a network namespace of its own.

mod edge;
#[path = "../support/loopback.rs"]
mod loopback;
mod pace;
mod rooms;
#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use sha2::{Digest, Sha256};
use support::{Outcome, paths, trial};
use xtask::cmd::{Cmd, CmdError, Running};
use xtask::console::{Console, Deadline};
use xtask::netlab::{INTERFACE, Namespace, Netlab, SERVER, SERVER6};

const SOON: Duration = Duration::from_secs(20);
const TRANSFER: Duration = Duration::from_mins(1);

type Test = fn() -> Outcome;

fn main() -> ExitCode {
    let tests: [(&str, Test); 29] = [
        ("a_lab_leaves_nothing_behind", a_lab_leaves_nothing_behind),
        (
            "a_lab_whose_owner_died_is_swept",
            a_lab_whose_owner_died_is_swept,
        ),
        ("one_client_receives_the_file", one_client_receives_the_file),
        (
            "four_clients_receive_the_file",
            four_clients_receive_the_file,
        ),
        (
            "eight_clients_receive_the_file",
            eight_clients_receive_the_file,
        ),
        (
            "sixteen_clients_with_loss_receive_the_file",
            sixteen_clients_with_loss_receive_the_file,
        ),
        (
            "a_client_killed_costs_the_others_nothing",
            a_client_killed_costs_the_others_nothing,
        ),
        (
            "a_cut_of_five_seconds_is_survived",
            a_cut_of_five_seconds_is_survived,
        ),
        (
            "a_flood_of_nonsense_is_not_noticed",
            a_flood_of_nonsense_is_not_noticed,
        ),
        ("each_image_has_its_own_group", each_image_has_its_own_group),
        (
            "ipv6_clients_receive_the_file",
            ipv6_clients_receive_the_file,
        ),
        (
            "one_file_goes_to_both_families",
            one_file_goes_to_both_families,
        ),
        ("http_gives_the_same_file", http_gives_the_same_file),
        ("sigterm_ends_it_cleanly", sigterm_ends_it_cleanly),
        ("a_restarted_server_goes_on", a_restarted_server_goes_on),
        ("a_taken_port_is_named", a_taken_port_is_named),
        (
            "a_replaced_image_is_finished_as_it_began",
            edge::a_replaced_image_is_finished_as_it_began,
        ),
        (
            "sighup_leaves_a_running_room_alone",
            edge::sighup_leaves_a_running_room_alone,
        ),
        (
            "several_interfaces_at_once",
            edge::several_interfaces_at_once,
        ),
        (
            "a_flood_is_noticed_by_no_client",
            edge::a_flood_is_noticed_by_no_client,
        ),
        (
            "a_total_rate_is_shared_by_priority",
            edge::a_total_rate_is_shared_by_priority,
        ),
        (
            "a_slow_client_goes_to_a_group_of_its_own",
            pace::a_slow_client_goes_to_a_group_of_its_own,
        ),
        (
            "a_block_device_is_served_to_another",
            pace::a_block_device_is_served_to_another,
        ),
        (
            "a_killed_server_comes_back",
            pace::a_killed_server_comes_back,
        ),
        (
            "a_room_begins_when_all_are_there",
            rooms::a_room_begins_when_all_are_there,
        ),
        (
            "a_room_begins_when_it_has_waited",
            rooms::a_room_begins_when_it_has_waited,
        ),
        (
            "a_dropped_client_goes_on_over_http",
            rooms::a_dropped_client_goes_on_over_http,
        ),
        (
            "eight_take_the_time_of_one",
            rooms::eight_take_the_time_of_one,
        ),
        (
            "a_terminal_shows_progress",
            rooms::a_terminal_shows_progress,
        ),
    ];
    let skip = support::lacking(&[]);
    let trials = tests.map(|(name, test)| trial(name, skip.clone(), test));
    support::run(trials.into(), 2)
}

/// A program of this workspace.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<[PathBuf; 2], String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        xtask::programs::build(paths(), ["slamboot", "slam-client"])
            .map_err(|error| error.to_string())
    });
    let built = built.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    let program = built.iter().find(|path| path.ends_with(name));
    program
        .cloned()
        .with_context(|| format!("no {name} is built"))
}

/// A lab with a server's place, and a directory for its files.
struct Room {
    lab: Netlab,
    dir: tempfile::TempDir,
}

impl Room {
    fn new() -> anyhow::Result<Room> {
        Ok(Room {
            lab: Netlab::new()?,
            dir: tempfile::tempdir()?,
        })
    }

    /// A file of bytes that look like nothing, the same on every run.
    fn file(&self, name: &str, bytes: usize) -> anyhow::Result<PathBuf> {
        let mut random = fastrand::Rng::with_seed(bytes as u64);
        let mut content = vec![0; bytes];
        random.fill(&mut content);
        let path = self.dir.path().join(name);
        fs::write(&path, content)?;
        Ok(path)
    }

    fn serve(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Served> {
        let log = self.dir.path().join(format!("{name}.log"));
        let console = Console::open(name, &log)?;
        let (out, err) = (console.pipe("out")?, console.pipe("err")?);
        let cmd = self.lab.server().cmd(program("slamboot")?);
        let cmd = cmd.env("STATE_DIRECTORY", self.dir.path().join("state"));
        let running = cmd.arg("serve").args(arguments).spawn_into(out, err)?;
        console.wait_for("Waiting for clients", SOON)?;
        Ok(Served { running, console })
    }
}

struct Served {
    running: Running,
    console: Console,
}

impl Served {
    /// SIGTERM, and a clean end.
    fn end(self) -> Outcome {
        self.running.signal(Signal::TERM);
        self.running
            .wait(Some(SOON))
            .with_context(|| self.console.tail())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary directory's name is text")
}

fn sha256(path: &Path) -> anyhow::Result<String> {
    let content = fs::read(path).with_context(|| path.display().to_string())?;
    Ok(hex::encode(Sha256::digest(content)))
}

/// `slam-client` in `host`; its output is what was wrong, should it fail.
fn receive(host: &Namespace, uri: &str, out: &Path) -> anyhow::Result<Cmd> {
    Ok(host
        .cmd(program("slam-client")?)
        .args([uri, "--output", text(out), "--quiet"])
        .limit(TRANSFER))
}

/// Clients, each of which loses this share of what comes to it (in a thousand), and nothing else.
fn receive_by(clients: usize, bytes: usize, loss: u32) -> Outcome {
    let mut room = Room::new()?;
    let file = room.file("disk.img", bytes)?;
    let _server = room.serve("server", &[text(&file), "--interface", INTERFACE])?;
    let uri = format!("x-slam://{SERVER}");
    let mut commands = Vec::new();
    for number in 0..clients {
        let out = room.dir.path().join(format!("out{number}"));
        let host = room.lab.host()?;
        lose(host, loss)?;
        commands.push((receive(host, &uri, &out)?, out));
    }
    let results: Vec<Result<String, CmdError>> = std::thread::scope(|scope| {
        let running: Vec<_> = commands
            .iter()
            .map(|(command, _)| scope.spawn(|| command.read()))
            .collect();
        let joined = running.into_iter().map(ScopedJoinHandle::join);
        joined.map(|result| result.expect("no panic")).collect()
    });
    let expected = sha256(&file)?;
    for (result, (_, out)) in results.into_iter().zip(&commands) {
        let said = result?;
        ensure!(sha256(out)? == expected, "{} differs", out.display());
        ensure!(
            said.contains(&expected),
            "expected sha256 {expected} in {said}"
        );
    }
    Ok(())
}

/// Drops so many of a thousand UDP datagrams that come to `host`, at random.
fn lose(host: &Namespace, of_a_thousand: u32) -> Outcome {
    if of_a_thousand > 0 {
        let rules = format!(
            "table netdev loss {{ chain ingress {{ \
             type filter hook ingress device {INTERFACE} priority 0; \
             ip protocol udp numgen random mod 1000 < {of_a_thousand} drop; }}; }}"
        );
        host.cmd("nft").arg(rules).read()?;
    }
    Ok(())
}

fn one_client_receives_the_file() -> Outcome {
    receive_by(1, 32 << 20, 0)
}

fn four_clients_receive_the_file() -> Outcome {
    receive_by(4, (32 << 20) + 1, 0)
}

fn eight_clients_receive_the_file() -> Outcome {
    receive_by(8, (16 << 20) + 1450, 0)
}

fn sixteen_clients_with_loss_receive_the_file() -> Outcome {
    receive_by(16, (8 << 20) + 1451, 10)
}

/// A room in which a file of 32 MiB takes about 2.7 s, so that there is a middle to disturb.
const SLOWLY: [&str; 4] = ["--interface", INTERFACE, "--max-rate", "100 Mbit/s"];

/// Waits until a client of `out` has stored something.
fn wait_for_blocks(out: &Path) -> Outcome {
    let part = PathBuf::from(format!("{}.part", out.display()));
    let deadline = Deadline::after(SOON);
    while !fs::metadata(&part).is_ok_and(|part| part.len() > 0) {
        ensure!(deadline.left().is_some(), "no {} yet", part.display());
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Starts one more client, in a host of its own; where its file goes.
fn join(room: &mut Room) -> anyhow::Result<(Running, PathBuf)> {
    let number = room.lab.hosts().len();
    let out = room.dir.path().join(format!("out{number}"));
    let log = room.dir.path().join(format!("client{number}.log"));
    let client = receive(room.lab.host()?, &format!("x-slam://{SERVER}"), &out)?;
    Ok((client.spawn(&log)?, out))
}

/// Three clients that have begun to receive.
fn three_in_the_middle(room: &mut Room) -> anyhow::Result<Vec<(Running, PathBuf)>> {
    let clients = (0..3)
        .map(|_| join(room))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for (_, out) in &clients {
        wait_for_blocks(out)?;
    }
    Ok(clients)
}

fn all_finish(clients: Vec<(Running, PathBuf)>, file: &Path) -> Outcome {
    let expected = sha256(file)?;
    for (client, out) in clients {
        client.wait(Some(TRANSFER))?;
        ensure!(sha256(&out)? == expected, "{} differs", out.display());
    }
    Ok(())
}

fn a_client_killed_costs_the_others_nothing() -> Outcome {
    let mut room = Room::new()?;
    let file = room.file("disk.img", 32 << 20)?;
    let _server = room.serve("server", &[&[text(&file)], &SLOWLY[..]].concat())?;
    let mut clients = three_in_the_middle(&mut room)?;
    let (killed, out) = clients.remove(1);
    killed.signal(Signal::KILL);
    ensure!(killed.wait(Some(SOON)).is_err(), "it was killed");
    ensure!(!out.exists(), "it was whole before it was killed");
    all_finish(clients, &file)
}

fn a_cut_of_five_seconds_is_survived() -> Outcome {
    let mut room = Room::new()?;
    let file = room.file("disk.img", 32 << 20)?;
    let _server = room.serve("server", &[&[text(&file)], &SLOWLY[..]].concat())?;
    let clients = three_in_the_middle(&mut room)?;
    room.lab.switch().ip(["link", "set", "server", "down"])?;
    std::thread::sleep(Duration::from_secs(5));
    for (_, out) in &clients {
        ensure!(!out.exists(), "it was whole before the cut");
    }
    room.lab.switch().ip(["link", "set", "server", "up"])?;
    all_finish(clients, &file)
}

/// NACKs by thousands, for blocks that there are and that there are not, and random bytes, from
/// one who never listens, as fast as one thread sends while two clients receive.
fn a_flood_of_nonsense_is_not_noticed() -> Outcome {
    let mut room = Room::new()?;
    let file = room.file("disk.img", 32 << 20)?;
    let _server = room.serve("server", &[&[text(&file)], &SLOWLY[..]].concat())?;
    let stop = AtomicBool::new(false);
    let clients = three_in_the_middle(&mut room)?;
    let attacker = room.lab.host()?;
    let flood = || -> anyhow::Result<u64> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect((SERVER, 10000))?;
        let mut random = fastrand::Rng::with_seed(1);
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            let mut noise = [0; 64];
            random.fill(&mut noise);
            for datagram in [
                &[0x20, 0x21, 0][..],
                &[0x9f, 0xff, 0xff, 0xff, 0x21, 0],
                &noise[..random.usize(0..64)],
            ] {
                // A full queue, or an ICMP error for an earlier one.
                sent += u64::from(socket.send(datagram).is_ok());
            }
        }
        Ok(sent)
    };
    let (sent, finished) = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| attacker.enter(flood));
        let finished = all_finish(clients, &file);
        stop.store(true, Ordering::Relaxed);
        (flooding.join().expect("no panic"), finished)
    });
    finished?;
    let sent = sent??;
    ensure!(sent > 10_000, "a flood of {sent} datagrams is none");
    Ok(())
}

/// With the routable address and with the link-local one, behind a switch that snoops MLD: the
/// client has to report its group.
/// IPv6 addresses that are not settled yet.
fn tentative() -> anyhow::Result<String> {
    let shown = Cmd::new("ip").args(["-6", "-o", "addr", "show", "dev", INTERFACE, "tentative"]);
    Ok(shown.read()?)
}

fn ipv6_clients_receive_the_file() -> Outcome {
    let mut room = Room::new()?;
    room.lab.snoop()?;
    let file = room.file("disk.img", 8_000_001)?;
    #[rustfmt::skip]
    let arguments = [text(&file), "--interface", INTERFACE, "--group", "ff12::5a"];
    let server = room.serve("server", &arguments)?;
    // Nothing can be bound to an address whose uniqueness is still being found out (RFC 4862
    // section 5.4): a second or two after the interface came up.
    let mut looks = 0;
    while !room.lab.server().enter(tentative)??.is_empty() {
        looks += 1;
        ensure!(looks < 100, "an address stays tentative");
        std::thread::sleep(Duration::from_millis(100));
    }
    let link_local = room.lab.server().enter(|| -> anyhow::Result<String> {
        let shown = Cmd::new("ip")
            .args(["-6", "-o", "addr", "show", "dev", INTERFACE])
            .read()?;
        let address = shown
            .split_whitespace()
            .find(|word| word.starts_with("fe80::"));
        Ok(address
            .and_then(|a| a.split('/').next())
            .context("no link-local address")?
            .to_owned())
    })??;
    let uri = format!("x-slam://[{SERVER6}]/[ff12::5a]");
    let said = server.console.lines().into_iter().map(|line| line.text);
    let said = said.collect::<Vec<_>>().join("\n");
    ensure!(
        said.contains("x-slam://[fd77::1]:10000/[ff12::5a]:10000"),
        "{said}"
    );
    let out = room.dir.path().join("out");
    receive(room.lab.host()?, &uri, &out)?.read()?;
    ensure!(sha256(&out)? == sha256(&file)?, "the files differ");
    server.end()?;

    let config = format!(
        "[server]\naddress6 = \"{link_local}\"\n[slam]\ngroup = \"ff02::5a\"\n[[image]]\nname = \"disk\"\nkind = \"disk\"\npath = \"disk.img\"\n"
    );
    let path = room.dir.path().join("slamboot.toml");
    fs::write(&path, config)?;
    let _server = room.serve("link-local", &["--config", text(&path)])?;
    let uri = format!("x-slam://[{link_local}%{INTERFACE}]/[ff02::5a]");
    let out = room.dir.path().join("out2");
    receive(room.lab.host()?, &uri, &out)?.read()?;
    ensure!(sha256(&out)? == sha256(&file)?, "the files differ");
    Ok(())
}

/// A session of each family, at once.
fn one_file_goes_to_both_families() -> Outcome {
    let mut room = Room::new()?;
    let file = room.file("disk.img", 8_000_001)?;
    #[rustfmt::skip]
    let arguments = [text(&file), "--interface", INTERFACE, "--group", "239.255.1.1, ff15::5a"];
    let _server = room.serve("server", &arguments)?;
    let uris = [
        format!("x-slam://{SERVER}"),
        format!("x-slam://[{SERVER6}]/[ff15::5a]:10000"),
    ];
    let mut running = Vec::new();
    for (number, uri) in uris.iter().enumerate() {
        let out = room.dir.path().join(format!("out{number}"));
        let log = room.dir.path().join(format!("log{number}"));
        let client = receive(room.lab.host()?, uri, &out)?.spawn(&log)?;
        running.push((client, out, log));
    }
    for (client, out, log) in running {
        client
            .wait(Some(TRANSFER))
            .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        ensure!(sha256(&out)? == sha256(&file)?, "{} differs", out.display());
    }
    Ok(())
}

fn each_image_has_its_own_group() -> Outcome {
    let mut room = Room::new()?;
    let mut config = String::new();
    for (name, bytes) in [("first", 3_000_000), ("second", 4_000_001)] {
        room.file(name, bytes)?;
        writeln!(
            config,
            "[[image]]\nname = \"{name}\"\nkind = \"disk\"\npath = \"{name}\""
        )?;
    }
    let path = room.dir.path().join("slamboot.toml");
    fs::write(&path, config)?;
    let _server = room.serve("server", &["--config", text(&path)])?;
    let first = format!("x-slam://{SERVER}");
    let second = format!("x-slam://{SERVER}:10001/239.255.1.2:10001");
    let out = room.dir.path().join("out");
    for (uri, name) in [(&second, "second"), (&first, "first")] {
        receive(room.lab.host()?, uri, &out)?
            .arg("--fresh")
            .read()?;
        let expected = sha256(&room.dir.path().join(name))?;
        ensure!(sha256(&out)? == expected, "{uri} is not {name}");
        fs::remove_file(&out)?;
    }
    Ok(())
}

fn get(path: &str) -> anyhow::Result<Vec<u8>> {
    get_from(SERVER, path)
}

/// The body of `http://SERVER:8080PATH`, asked for with HTTP/1.0.
fn get_from(server: Ipv4Addr, path: &str) -> anyhow::Result<Vec<u8>> {
    let address = SocketAddrV4::new(server, 8080);
    let mut stream = TcpStream::connect_timeout(&address.into(), SOON)?;
    stream.set_read_timeout(Some(SOON))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = b"\r\n\r\n";
    let head = answer.windows(4).position(|window| window == end);
    let head = head.context("no end of the header")?;
    let status = String::from_utf8_lossy(&answer[..head]).into_owned();
    ensure!(status.contains(" 200 "), "GET {path}: {status}");
    Ok(answer.split_off(head + 4))
}

fn http_gives_the_same_file() -> Outcome {
    let mut room = Room::new()?;
    let file = room.file("disk.img", 5_000_000)?;
    let _server = room.serve("server", &[text(&file), "--interface", INTERFACE])?;
    let client = room.lab.host()?;
    let script = client.enter(|| get("/boot.ipxe"))??;
    let script = String::from_utf8(script)?;
    ensure!(script.starts_with("#!ipxe\n"), "{script}");
    let url = script
        .split_whitespace()
        .find_map(|word| {
            word.strip_prefix(&format!("http://{SERVER}:8080"))?
                .strip_prefix("/images/")
        })
        .context("no image over HTTP in the script")?;
    let body = client.enter(|| get(&format!("/images/{url}")))??;
    ensure!(body == fs::read(&file)?, "{} bytes differ", body.len());
    Ok(())
}

fn sigterm_ends_it_cleanly() -> Outcome {
    let room = Room::new()?;
    let file = room.file("disk.img", 1_000_000)?;
    let arguments = [text(&file), "--interface", INTERFACE];
    // Twice: the first one has let go of its ports.
    for name in ["first", "second"] {
        let server = room.serve(name, &arguments)?;
        let console = server.console.clone();
        server.end()?;
        console.wait_for("stopped after", SOON)?;
    }
    Ok(())
}

fn a_restarted_server_goes_on() -> Outcome {
    let mut room = Room::new()?;
    let file = room.file("disk.img", 32 << 20)?;
    // About 2.7 s of transfer: time to end it in the middle.
    #[rustfmt::skip]
    let arguments = [text(&file), "--interface", INTERFACE, "--max-rate", "100 Mbit/s"];
    let first = room.serve("first", &arguments)?;
    let out = room.dir.path().join("out");
    let log = room.dir.path().join("client.log");
    let client = receive(room.lab.host()?, &format!("x-slam://{SERVER}"), &out)?.spawn(&log)?;
    let part = room.dir.path().join("out.part");
    let deadline = Deadline::after(SOON);
    while !fs::metadata(&part).is_ok_and(|part| part.len() > 0) {
        if deadline.left().is_none() {
            bail!("no {} yet: {}", part.display(), fs::read_to_string(&log)?);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    first.end()?;
    ensure!(
        !out.exists(),
        "it was whole before the server ended: nothing was shown"
    );
    let _second = room.serve("second", &arguments)?;
    client
        .wait(Some(TRANSFER))
        .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    ensure!(sha256(&out)? == sha256(&file)?, "the files differ");
    Ok(())
}

fn a_taken_port_is_named() -> Outcome {
    let room = Room::new()?;
    let file = room.file("disk.img", 1_000_000)?;
    let _server = room.serve("first", &[text(&file), "--interface", INTERFACE])?;
    let second = room.lab.server().cmd(program("slamboot")?);
    let second = second.args(["serve", text(&file), "--interface", INTERFACE]);
    let Err(error) = second.limit(SOON).read() else {
        bail!("two servers on one port");
    };
    let said = error.to_string();
    ensure!(matches!(error, CmdError::Failed { .. }), "{said}");
    ensure!(
        said.contains("10000") || said.contains("8080"),
        "no port in: {said}"
    );
    ensure!(said.contains("taken"), "{said}");
    Ok(())
}

fn namespaces() -> anyhow::Result<Vec<String>> {
    let names = Cmd::new("ip").args(["netns", "list"]).read()?;
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    Ok(names.lines().filter_map(first).collect())
}

fn a_lab_leaves_nothing_behind() -> Outcome {
    let mut lab = Netlab::new()?;
    let server = lab.server().name().to_owned();
    let host = lab.host()?.name().to_owned();
    lab.tap()?;
    let dir = tempfile::tempdir()?;
    let sleeper = lab
        .server()
        .cmd("sleep")
        .arg("1000")
        .spawn(&dir.path().join("log"))?;
    let pid = sleeper.pid().context("no pid")?;
    // As if its owner had forgotten it: the namespace ends what runs inside.
    std::mem::forget(sleeper);
    for name in [&server, &host] {
        ensure!(namespaces()?.contains(name), "no {name}");
    }
    let address = lab.hosts()[0].enter(|| TcpStream::connect((SERVER, 1)).map(drop))?;
    ensure!(
        address.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused),
        "the server's place does not answer"
    );
    drop(lab);
    let left = namespaces()?;
    ensure!(
        !left.contains(&server) && !left.contains(&host),
        "left: {left:?}"
    );
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    ensure!(stat.is_empty() || stat.contains(") Z "), "{pid} still runs");
    Ok(())
}

fn a_lab_whose_owner_died_is_swept() -> Outcome {
    let mut owner = std::process::Command::new("true").spawn()?;
    let pid = owner.id();
    owner.wait()?;
    let name = format!("slamboot-{pid}-0-switch");
    Cmd::new("ip").args(["netns", "add", &name]).read()?;
    let ours = Netlab::new()?;
    let left = namespaces()?;
    ensure!(!left.contains(&name), "{name} is still there");
    ensure!(left.iter().any(|name| name == ours.server().name()));
    Ok(())
}
