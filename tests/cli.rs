// SPDX-License-Identifier: MIT OR Apache-2.0
//! The built command, run as a user runs it. What is sent stays on loopback.

#[path = "support/ports.rs"]
mod ports;

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

fn slamboot(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slamboot"));
    command
        .current_dir(folder)
        .env("STATE_DIRECTORY", folder.join("state"))
        .stdin(Stdio::null());
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    slamboot(folder).args(args).output().unwrap()
}

/// Standard error of a run that must fail.
fn error(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?}: {:?}", output.stdout);
    stderr
}

/// A folder with one image.
fn room() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("demo.img"), "not much of a disk").unwrap();
    folder
}

/// A port of each kind, as text.
fn free_ports() -> (String, String) {
    let port = ports::free().to_string();
    (port.clone(), port)
}

/// A server that runs until it is told to stop; killed if the test fails.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    fn start(folder: &Path, args: &[&str]) -> Running {
        let mut child = slamboot(folder)
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Running { child, stdout }
    }

    /// Reads lines up to the one that contains `end`.
    fn read_to(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.lines().last().is_some_and(|line| line.contains(end)) {
            let read = self.stdout.read_line(&mut text).unwrap();
            assert!(read > 0, "ended before {end:?}:\n{text}");
        }
        text
    }

    /// Sends a signal and returns the rest of the output and the exit code.
    fn stop(mut self, signal: &str) -> (String, Option<i32>) {
        let id = self.child.id().to_string();
        let killed = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(killed.success());
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap().code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(port: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn help_is_enough_to_start() {
    let folder = room();
    let help = run(folder.path(), &["serve", "--help"]);
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    for part in [
        "--config",
        "--interface",
        "--address",
        "--port",
        "--group",
        "--group-port",
        "--http-port",
        "--no-http",
        "--certificate",
        "--key",
        "--https-port",
        "--max-rate",
        "--total-rate",
        "--allowed",
        "SIGHUP",
        "--block-size",
        "--ttl",
        "--json",
        "slamboot serve winpe.img --interface eth0",
        "docs/slamboot.toml",
        "Exit codes",
    ] {
        assert!(help.contains(part), "{part}\n{help}");
    }
}

#[test]
fn wrong_options_are_usage_errors() {
    let folder = room();
    for args in [
        &["serve", "demo.img", "--prot", "1"][..],
        &["serve", "demo.img", "--port", "0"],
        &["serve", "demo.img", "--block-size", "1455"],
        &["serve", "demo.img", "--max-rate", "fast"],
        &["serve", "demo.img", "--no-http", "--http-port", "80"],
        &["sevre"],
    ] {
        let output = run(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn nothing_to_serve_names_both_ways_to_start() {
    let folder = room();
    assert_eq!(
        error(folder.path(), &["serve"]),
        "error: nothing to serve: no FILE given, and no ./slamboot.toml here\n  \
         help: slamboot serve FILE --interface NAME    serves one disk image\n        \
         slamboot serve --config FILE            serves what a configuration names \
         (docs/slamboot.toml is an example)\n"
    );
    fs::write(folder.path().join("slamboot.toml"), "").unwrap();
    let text = error(folder.path(), &["serve"]);
    assert!(
        text.starts_with("error: nothing to serve: slamboot.toml names no image\n"),
        "{text}"
    );
}

#[test]
fn mistakes_are_explained() {
    let folder = room();
    let folder = folder.path();
    let text = error(folder, &["serve", "demo.img", "--interface", "lo0"]);
    assert!(
        text.starts_with("error: no interface \"lo0\"; did you mean \"lo\"?\n  interface"),
        "{text}"
    );
    assert!(text.contains("--interface lo\n"), "{text}");

    let (tcp, udp) = free_ports();
    let serve = |file: &str| {
        error(
            folder,
            &[
                "serve",
                file,
                "--interface",
                "lo",
                "--http-port",
                &tcp,
                "--port",
                &udp,
            ],
        )
    };
    let text = serve("gone.img");
    assert!(text.starts_with("error: gone.img: "), "{text}");
    assert!(text.contains("No such file"), "{text}");
    fs::write(folder.join("empty.img"), "").unwrap();
    let text = serve("empty.img");
    assert!(
        text.starts_with("error: empty.img: ") && text.contains("empty"),
        "{text}"
    );
    let text = serve(".");
    assert!(text.contains("directory"), "{text}");

    let text = error(
        folder,
        &[
            "serve",
            "demo.img",
            "--interface",
            "lo",
            "--group",
            "10.0.0.1",
        ],
    );
    assert!(
        text.starts_with("error: --group: not a multicast address\n"),
        "{text}"
    );

    fs::write(
        folder.join("slamboot.toml"),
        "[slam]\nmax-rate = \"1 Gbit/s\"\n",
    )
    .unwrap();
    assert_eq!(
        error(folder, &["serve"]),
        "error: slamboot.toml:2:1: unknown key `max-rate`\n  \
         2 | max-rate = \"1 Gbit/s\"\n    | ^^^^^^^^\n  \
         expected: port, group, group_port, max_rate, total_rate, allowed, min_clients, max_wait, slow_clients, slow_group, ttl, block_size, stock_clients\n  \
         help: did you mean `max_rate`?\n"
    );
    let text = error(folder, &["serve", "--config", "room.toml"]);
    assert!(
        text.starts_with("error: cannot read room.toml: No such file"),
        "{text}"
    );
}

/// In a network namespace of its own the host has exactly the interfaces that the test makes.
#[test]
fn several_interfaces_are_refused() {
    let folder = room();
    let script = "ip link add name room1 type veth peer name room2 \
        && ip address add 10.1.0.1/24 dev room1 && ip link set room1 up \
        && ip address add 10.2.0.1/24 dev room2 && ip link set room2 up \
        && exec \"$0\" serve demo.img --no-http";
    let output = Command::new("unshare")
        .args(["--net", "--map-root-user", "sh", "-c", script])
        .arg(env!("CARGO_BIN_EXE_slamboot"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        text,
        "error: 2 interfaces could serve, and none is guessed\n  \
         interface  IPv4 address  state  option\n  \
         room1      10.1.0.1      up     --interface room1\n  \
         room2      10.2.0.1      up     --interface room2\n  \
         help: type one or more of these, or name them in slamboot.toml: [server] interface = \"...\"\n"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_taken_tcp_port_is_named() {
    let folder = room();
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let text = error(
        folder.path(),
        &[
            "serve",
            "demo.img",
            "--interface",
            "lo",
            "--http-port",
            &port,
        ],
    );
    assert!(
        text.starts_with(&format!("error: TCP port {port} of 127.0.0.1 is taken\n")),
        "{text}"
    );
    assert!(text.contains("ss -ltnp"), "{text}");
}

#[test]
fn a_taken_udp_port_is_named() {
    let folder = room();
    let holder = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let text = error(
        folder.path(),
        &[
            "serve",
            "demo.img",
            "--interface",
            "lo",
            "--no-http",
            "--port",
            &port,
        ],
    );
    assert!(text.contains(&port) && text.contains("taken"), "{text}");
}

#[test]
fn serves_one_file_without_configuration_and_stops_cleanly() {
    let folder = room();
    let (tcp, udp) = free_ports();
    let args = [
        "serve",
        "demo.img",
        "--interface",
        "lo",
        "--http-port",
        &tcp,
        "--port",
        &udp,
    ];
    for signal in ["-INT", "-TERM"] {
        let mut server = Running::start(folder.path(), &args);
        let summary = server.read_to("Waiting for clients");
        assert!(
            summary.starts_with("slamboot serves 1 file on lo, 127.0.0.1\n"),
            "{summary}"
        );
        let uri = format!("x-slam://127.0.0.1:{udp}/239.255.1.1:10000");
        assert!(
            summary.contains(&format!("slam-client {uri} -o demo\n")),
            "{summary}"
        );
        assert!(
            get(&tcp, "/images/demo").ends_with("\r\n\r\nnot much of a disk"),
            "{summary}"
        );
        let script = get(&tcp, "/boot.ipxe");
        assert!(script.contains("\r\n\r\n#!ipxe\n"), "{script}");
        assert!(script.contains(&uri), "{script}");
        assert!(
            script.contains(&format!("http://127.0.0.1:{tcp}/memdisk")),
            "{script}"
        );
        let (rest, code) = server.stop(signal);
        let told: Vec<&str> = rest.lines().map(str::trim).collect();
        assert_eq!(told[0], "boot  127.0.0.1: gets the script for demo");
        assert!(told[1].starts_with("stopped after "), "{rest}");
        assert!(rest.contains("0 clients in 0 sessions"), "{rest}");
        assert_eq!(code, Some(0), "{signal}");
    }
}

#[test]
fn json_is_one_object_per_line() {
    let folder = room();
    let (_, udp) = free_ports();
    let config = format!(
        "[server]\ninterface = \"lo\"\nhttp_port = 0\n[slam]\nport = {udp}\n\
         [[image]]\nname = \"demo\"\nkind = \"disk\"\npath = \"demo.img\"\n"
    );
    fs::write(folder.path().join("slamboot.toml"), config).unwrap();
    let mut server = Running::start(folder.path(), &["serve", "--json"]);
    let line = server.read_to("serving");
    let start: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(start["event"], "serving");
    assert_eq!(start["http"], serde_json::Value::Null);
    assert_eq!(start["transfers"][0]["name"], "demo");
    assert_eq!(start["transfers"][0]["bytes"], 18);
    assert_eq!(
        start["transfers"][0]["sha256"],
        "84439ccef73b3ad21b8bded38a583f79c3240f05a3407596596de39270ca20ff"
    );

    // A malformed datagram is told of, and does no harm.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket
        .send_to(b"\x01garbage", format!("127.0.0.1:{udp}"))
        .unwrap();
    let line = server.read_to("rejected");
    let event: serde_json::Value = serde_json::from_str(line.lines().last().unwrap()).unwrap();
    assert_eq!(event["event"], "rejected");
    assert_eq!(event["transfer"], "demo");
    assert_eq!(event["client"], socket.local_addr().unwrap().to_string());

    let (rest, code) = server.stop("-TERM");
    let end: serde_json::Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
    assert_eq!(end["event"], "stopped");
    assert_eq!(end["rejected"], 1);
    assert_eq!(code, Some(0));
}

impl Running {
    fn hang_up(&self) {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-HUP", &id]).status().unwrap();
        assert!(told.success());
    }

    /// Reads lines up to this event, which is returned.
    fn event(&mut self, name: &str) -> serde_json::Value {
        let text = self.read_to(&format!("\"event\":\"{name}\""));
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }
}

fn config(tcp: &str, udp: &str, images: &[&str]) -> String {
    use std::fmt::Write as _;

    let mut text =
        format!("[server]\ninterface = \"lo\"\nhttp_port = {tcp}\n[slam]\nport = {udp}\n");
    for name in images {
        let image =
            format!("[[image]]\nname = \"{name}\"\nkind = \"disk\"\npath = \"{name}.img\"\n");
        write!(text, "{image}").unwrap();
    }
    text
}

#[test]
fn sighup_reads_the_configuration_again() {
    let folder = room();
    let toml = folder.path().join("slamboot.toml");
    let (tcp, udp) = free_ports();
    fs::write(&toml, config(&tcp, &udp, &["demo"])).unwrap();
    fs::write(folder.path().join("more.img"), "more of a disk").unwrap();
    let mut server = Running::start(folder.path(), &["serve", "--json"]);
    server.read_to("serving");

    fs::write(&toml, config(&tcp, &udp, &["demo", "more"])).unwrap();
    server.hang_up();
    let reloaded = server.event("reloaded");
    assert_eq!(
        (
            &reloaded["added"],
            &reloaded["removed"],
            &reloaded["changed"]
        ),
        (&1.into(), &0.into(), &0.into())
    );
    assert_eq!(reloaded["later"], serde_json::json!([]));
    let begun = server.event("image_served");
    assert_eq!(begun["transfer"], "more");
    assert_eq!(begun["bytes"], 14);
    assert!(get(&tcp, "/images/more").ends_with("\r\n\r\nmore of a disk"));
    assert!(get(&tcp, "/boot.ipxe?image=more").contains("239.255.1.2"));

    // A broken file changes nothing, and is explained.
    fs::write(&toml, "[slam]\nprot = 1\n").unwrap();
    server.hang_up();
    let failed = server.event("reload_failed");
    let what = failed["what"].as_str().unwrap();
    assert!(
        what.contains("slamboot.toml:2:1: unknown key `prot`"),
        "{what}"
    );
    assert!(get(&tcp, "/images/demo").ends_with("not much of a disk"));

    // What is bound at the start waits for a restart; the rest is done.
    let text = config("1", &udp, &["more"]);
    fs::write(&toml, text).unwrap();
    server.hang_up();
    let reloaded = server.event("reloaded");
    assert_eq!(reloaded["later"], serde_json::json!(["[server] http_port"]));
    assert_eq!(
        (&reloaded["removed"], &reloaded["changed"]),
        (&1.into(), &1.into())
    );
    // "more" has moved to the first port, and what was on it has ended.
    server.event("image_served");
    assert!(get(&tcp, "/images/demo").starts_with("HTTP/1.1 404"));
    assert!(get(&tcp, "/boot.ipxe").contains(&format!("127.0.0.1:{udp}/239.255.1.1:10000")));
    let (rest, code) = server.stop("-TERM");
    assert!(rest.contains("\"stopped\""), "{rest}");
    assert_eq!(code, Some(0));
}

/// A self-signed certificate and its key, over those that are there.
fn make_certificate(folder: &Path, name: &str) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-newkey", "ec"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj"])
        .arg(format!("/CN={name}"))
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        // Of a server, and not of an authority, which TLS in Rust takes no server for.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "room.key", "-out", "room.crt"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// What curl gets that believes `root`, or its exit code.
fn get_secured(folder: &Path, root: &str, port: &str, path: &str) -> Result<String, Option<i32>> {
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "30", "--cacert", root])
        .arg(format!("https://127.0.0.1:{port}{path}"))
        .current_dir(folder)
        .output()
        .unwrap();
    match output.status.code() {
        Some(0) => Ok(String::from_utf8(output.stdout).unwrap()),
        code => Err(code),
    }
}

fn is_there(program: &str, test: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        eprintln!("skipped: {test}: no {program} here");
    }
    there
}

#[test]
fn https_takes_a_renewed_certificate_at_sighup() {
    let name = "https_takes_a_renewed_certificate_at_sighup";
    if !is_there("openssl", name) || !is_there("curl", name) {
        return;
    }
    let folder = room();
    let at = |name: &str| folder.path().join(name);
    let (tcp, udp) = free_ports();
    let (tls, _) = free_ports();
    let certified = |port: &str| {
        let keys = format!("certificate = \"room.crt\"\nkey = \"room.key\"\nhttps_port = {port}\n");
        config(&tcp, &udp, &["demo"]).replace("[slam]\n", &format!("{keys}[slam]\n"))
    };
    fs::write(at("slamboot.toml"), certified(&tls)).unwrap();
    let missing = error(folder.path(), &["serve"]);
    assert!(
        missing.starts_with("error: [server] certificate: cannot read room.crt: No such file"),
        "{missing}"
    );
    make_certificate(folder.path(), "first");
    fs::copy(at("room.crt"), at("first.crt")).unwrap();
    let mut server = Running::start(folder.path(), &["serve", "--json"]);
    let serving = server.event("serving");
    assert_eq!(
        serving["interfaces"][0]["https"],
        format!("https://127.0.0.1:{tls}")
    );
    let image = |root: &str| get_secured(folder.path(), root, &tls, "/images/demo");
    assert_eq!(image("first.crt"), Ok("not much of a disk".to_owned()));
    // The page, too: people are told of it there, since the token goes over it.
    assert_eq!(
        serving["status"]["page"],
        format!("https://127.0.0.1:{tls}/status")
    );
    let health = get_secured(folder.path(), "first.crt", &tls, "/healthz");
    assert!(health.is_ok(), "{health:?}");

    make_certificate(folder.path(), "second");
    assert_eq!(image("room.crt"), Err(Some(60)), "before it was read");
    server.hang_up();
    assert_eq!(server.event("reloaded")["later"], serde_json::json!([]));
    assert_eq!(image("room.crt"), Ok("not much of a disk".to_owned()));
    assert_eq!(image("first.crt"), Err(Some(60)));

    // Half of a renewal changes nothing.
    fs::copy(at("first.crt"), at("room.crt")).unwrap();
    server.hang_up();
    let failed = server.event("reload_failed");
    let what = failed["what"].as_str().unwrap();
    assert!(
        what.contains("room.key is not the key of room.crt"),
        "{what}"
    );
    assert_eq!(image("first.crt"), Err(Some(60)));

    make_certificate(folder.path(), "third");
    fs::write(at("slamboot.toml"), certified("1")).unwrap();
    server.hang_up();
    assert_eq!(
        server.event("reloaded")["later"],
        serde_json::json!(["[server] https_port"])
    );
    assert_eq!(image("room.crt"), Ok("not much of a disk".to_owned()));
    let (_, code) = server.stop("-TERM");
    assert_eq!(code, Some(0));
}

/// systemd's own tool opens the socket, and starts the server when the first client comes.
#[test]
fn serves_at_a_socket_that_systemd_hands_over() {
    let name = "serves_at_a_socket_that_systemd_hands_over";
    if !is_there("systemd-socket-activate", name) {
        return;
    }
    let folder = room();
    let (tcp, udp) = free_ports();
    fs::write(folder.path().join("memdisk"), "memdisk").unwrap();
    let activated = |listen: &str| {
        let text =
            config(&tcp, &udp, &["demo"]).replace("[slam]\n", "memdisk = \"memdisk\"\n[slam]\n");
        fs::write(folder.path().join("slamboot.toml"), text).unwrap();
        Command::new("systemd-socket-activate")
            .args(["--listen", listen, "-E"])
            .arg(format!(
                "STATE_DIRECTORY={}",
                folder.path().join("state").display()
            ))
            .arg(env!("CARGO_BIN_EXE_slamboot"))
            .args(["serve", "--json"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // It listens as soon as it runs; until then nobody is there.
    let connect = || {
        for _ in 0..400 {
            if let Ok(stream) = TcpStream::connect(format!("127.0.0.1:{tcp}")) {
                return stream;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("nobody listens");
    };
    // At one address, and at all of both families, as ListenStream=PORT does.
    for listen in [format!("127.0.0.1:{tcp}"), tcp.clone()] {
        let mut child = activated(&listen);
        let mut first = connect();
        first
            .set_read_timeout(Some(Duration::from_secs(40)))
            .unwrap();
        first
            .write_all(b"GET /memdisk HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        first.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("memdisk"), "{listen}: {answer}");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut server = Running { child, stdout };
        let serving = server.event("serving");
        assert_eq!(serving["http"]["base"], format!("http://127.0.0.1:{tcp}"));
        // Clients are known by their IPv4 addresses, whatever the socket is.
        get(&tcp, "/boot.ipxe");
        let event = server.event("script_served");
        assert_eq!(event["client"], "127.0.0.1", "{event}");
        let (_, code) = server.stop("-TERM");
        assert_eq!(code, Some(0));
    }

    // A socket that is nobody's is told of.
    let (other, _) = free_ports();
    let child = activated(&other);
    for _ in 0..400 {
        if TcpStream::connect(format!("127.0.0.1:{other}")).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output().unwrap();
    // In the language of the log, as all that is said.
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let failed: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&failed["event"], &failed["level"]),
        (&"failed".into(), &"error".into())
    );
    for part in [
        format!(":{other}, where nothing is to be served"),
        format!("expected: 127.0.0.1:{tcp}"),
        "ListenStream=ADDRESS:PORT".to_owned(),
    ] {
        assert!(text.contains(&part), "{part:?} not in:\n{text}");
    }
}

/// What the kernel says of each thread of a process, by a line's name.
fn of_each_thread(id: u32, name: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap();
    let value = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).unwrap();
        let lines = status.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(key, _)| *key == name);
        found.next().unwrap().1.trim().to_owned()
    };
    tasks.map(|task| value(task.unwrap())).collect()
}

/// What was needed to bind is given up in every thread, once it is bound; reading others' files stays
/// for root, and nothing at all for somebody else.
#[test]
fn nothing_stays_that_is_not_needed() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: nothing_stays_that_is_not_needed: not root");
        return;
    }
    let folder = room();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    for (user, uid, capabilities) in [
        ("", 0, "0000000000000006"),
        ("nobody", 65534, "0000000000000000"),
    ] {
        let (tcp, udp) = free_ports();
        let mut text = config(&tcp, &udp, &["demo"]);
        if !user.is_empty() {
            text = text.replace("[slam]\n", &format!("user = \"{user}\"\n[slam]\n"));
        }
        fs::write(folder.path().join("slamboot.toml"), text).unwrap();
        let mut server = Running::start(folder.path(), &["serve", "--json"]);
        server.event("serving");
        let id = server.child.id();
        let each = |name: &str| of_each_thread(id, name);
        assert!(each("Uid").len() > 2, "{:?}", each("Name"));
        for ids in each("Uid") {
            let ids: Vec<u32> = ids
                .split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect();
            assert_eq!(ids, [uid; 4]);
        }
        for name in ["CapEff", "CapPrm"] {
            assert!(
                each(name).iter().all(|set| set == capabilities),
                "{user:?}: {name}"
            );
        }
        for name in ["CapInh", "CapAmb"] {
            assert!(
                each(name).iter().all(|set| set == "0000000000000000"),
                "{user:?}: {name}"
            );
        }
        assert!(each("NoNewPrivs").iter().all(|set| set == "1"));
        // It serves as before, and reads its configuration again.
        assert!(get(&tcp, "/images/demo").ends_with("not much of a disk"));
        server.hang_up();
        server.event("reloaded");
        assert_eq!(server.stop("-TERM").1, Some(0));
    }
}

/// `slamboot top` reads what a server says, over TLS with the certificate that it is told to believe.
#[test]
fn top_looks_once() {
    let folder = room();
    let certified = is_there("openssl", "top_looks_once over TLS");
    let (tcp, udp) = free_ports();
    let (tls, _) = free_ports();
    let mut text = config(&tcp, &udp, &["demo"]);
    if certified {
        make_certificate(folder.path(), "room");
        let keys = format!("certificate = \"room.crt\"\nkey = \"room.key\"\nhttps_port = {tls}\n");
        text = text.replace("[slam]\n", &format!("{keys}[slam]\n"));
    }
    fs::write(folder.path().join("slamboot.toml"), text).unwrap();
    let mut server = Running::start(folder.path(), &["serve", "--json"]);
    let serving = server.event("serving");
    let look = |args: &[&str]| {
        let output = run(folder.path(), &[&["top", "--once"], args].concat());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    // By the configuration that lies here, and by an address.
    let address = format!("http://127.0.0.1:{tcp}");
    for args in [&[][..], &[&*address]] {
        // The first look of the driver is a quarter of a second away.
        let seen = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            let (code, out, err) = look(args);
            assert_eq!((code, err.as_str()), (Some(0), ""));
            out.contains("demo") && out.contains("ready, 18 B")
        });
        assert!(seen, "{args:?}: {:?}", look(args));
    }
    if certified {
        // As it is printed at the start.
        let page = serving["status"]["page"].as_str().unwrap();
        assert!(page.starts_with("https://"), "{page}");
        let (code, out, err) = look(&[page, "--cacert", "room.crt"]);
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains("demo"), "{out}");
        let (code, _, err) = look(&[page]);
        assert_eq!(code, Some(1));
        assert!(err.contains("--cacert FILE"), "{err}");
        let (code, _, err) = look(&[page, "--cacert", "room.key"]);
        assert_eq!(code, Some(1));
        assert!(err.contains("no certificate in room.key"), "{err}");
    }
    assert_eq!(server.stop("-TERM").1, Some(0));
}

/// systemd waits 90 s for a start and no longer, unless it is told that it goes on.
#[test]
fn systemd_is_told_what_goes_on() {
    let folder = room();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let told = || {
        let mut buffer = [0; 4096];
        let length = loop {
            match socket.recv(&mut buffer) {
                // Linux interrupts what has a timeout even for a debugger (signal(7)).
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read.unwrap(),
            }
        };
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let (tcp, udp) = free_ports();
    let text = config(&tcp, &udp, &["demo"]);
    fs::write(folder.path().join("slamboot.toml"), text).unwrap();
    let mut child = slamboot(folder.path())
        .arg("serve")
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let server = Running { child, stdout };
    let first = told();
    assert!(
        first.starts_with("EXTEND_TIMEOUT_USEC=120000000\n"),
        "{first}"
    );
    assert!(first.contains("STATUS=digesting demo, "), "{first}");
    assert!(told().starts_with("READY=1\n"));
    let id = server.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-HUP", &id])
            .status()
            .unwrap()
            .success()
    );
    let reloading = told();
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert!(told().starts_with("READY=1\n"));
    let (_, code) = server.stop("-TERM");
    assert_eq!(code, Some(0));
    assert!(told().starts_with("STOPPING=1\n"));
}

#[test]
fn an_image_that_was_replaced_is_served_without_a_restart() {
    let folder = room();
    let (tcp, udp) = free_ports();
    let toml = folder.path().join("slamboot.toml");
    fs::write(&toml, config(&tcp, &udp, &["demo"])).unwrap();
    let mut server = Running::start(folder.path(), &["serve", "--json"]);
    server.read_to("serving");
    fs::write(folder.path().join("new"), "another disk").unwrap();
    fs::rename(folder.path().join("new"), folder.path().join("demo.img")).unwrap();
    let replaced = server.event("image_replaced");
    assert_eq!(replaced["transfer"], "demo");
    let begun = server.event("image_served");
    assert_eq!(begun["bytes"], 12);
    assert!(get(&tcp, "/images/demo").ends_with("\r\n\r\nanother disk"));
    // One that cannot be served: the old one stays.
    fs::write(folder.path().join("new"), "").unwrap();
    fs::rename(folder.path().join("new"), folder.path().join("demo.img")).unwrap();
    let refused = server.event("image_refused");
    assert!(
        refused["what"].as_str().unwrap().contains("empty"),
        "{refused}"
    );
    assert!(get(&tcp, "/images/demo").ends_with("\r\n\r\nanother disk"));
    fs::remove_file(folder.path().join("demo.img")).unwrap();
    server.event("image_removed");
    assert!(get(&tcp, "/images/demo").ends_with("\r\n\r\nanother disk"));
}

#[test]
fn hosts_outside_the_allowed_networks_are_ignored_and_counted() {
    let folder = room();
    let (_, udp) = free_ports();
    #[rustfmt::skip]
    let args = [
        "serve", "demo.img", "--interface", "lo", "--no-http", "--port", &udp, "--json",
        "--allowed", "192.0.2.0/24", "--allowed", "fd00::/64",
    ];
    let mut server = Running::start(folder.path(), &args);
    let serving: serde_json::Value = serde_json::from_str(&server.read_to("serving")).unwrap();
    assert_eq!(
        serving["interfaces"][0]["allowed"],
        serde_json::json!(["192.0.2.0/24", "fd00::/64"])
    );
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for _ in 0..3 {
        // A good NACK.
        let to = format!("127.0.0.1:{udp}");
        socket.send_to(&[0x20, 0x21, 0], to).unwrap();
    }
    let rejected = server.event("rejected");
    assert!(
        rejected["reason"].as_str().unwrap().contains("allowed"),
        "{rejected}"
    );
    let (rest, _) = server.stop("-TERM");
    let end: serde_json::Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
    assert_eq!((&end["rejected"], &end["joined"]), (&3.into(), &0.into()));
}

/// What docs/serving.md says of memory.
#[test]
fn hundreds_of_images_take_little_memory() {
    let folder = room();
    let names: Vec<String> = (0..300).map(|number| format!("image{number}")).collect();
    for name in &names {
        fs::write(folder.path().join(format!("{name}.img")), name).unwrap();
    }
    // A run of ports that nobody has, as far as one can tell.
    let (tcp, _) = free_ports();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let toml = folder.path().join("slamboot.toml");
    fs::write(&toml, config(&tcp, "21000", &names)).unwrap();
    let mut server = Running::start(folder.path(), &["serve"]);
    server.read_to("Waiting for clients");
    // All sessions but the buffer for what arrives, which the first datagram brings.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for port in [21_000, 21_299] {
        socket
            .send_to(&[0x20, 0x21, 0], ("127.0.0.1", port))
            .unwrap();
        server.read_to("joined");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.unwrap().trim().trim_end_matches(" kB");
    let kib: u64 = kib.parse().unwrap();
    eprintln!("{kib} KiB resident");
    assert!(kib < 32 << 10, "{kib} KiB resident with 300 images");
}

/// What systemd thinks of the unit: 10 is the worst.
#[test]
fn the_unit_is_closed() {
    const WORST: &str = "30"; // In tenths.
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/slamboot.service");
    let judged = Command::new("systemd-analyze")
        .args(["security", "--no-pager", "--offline=true"])
        .args([&format!("--threshold={WORST}"), unit])
        .output();
    match judged {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            let verdict = said.lines().find(|line| line.contains("exposure level"));
            assert!(
                output.status.success() && verdict.is_some(),
                "{said}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Err(error) => println!("skipped: the_unit_is_closed: systemd-analyze: {error}"),
    }
}
