// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many real clients at once: the C that is in the ROMs, built as a program on Linux (`tap.linux`),
//! each on a port of its own of one switch.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};
use xtask::cmd::{Cmd, Running};
use xtask::console::{self, Console, Deadline};
use xtask::netlab::{INTERFACE, Netlab, SERVER, Tap};
use xtask::paths::Paths;

use crate::support::{Outcome, paths};
use crate::{BUILD_LIMIT, say};

/// A whole number of blocks would hide a last block of wrong length.
const BYTES: usize = (16 << 20) + 7;
/// The group that `slow_group` has by default, for the first file.
const SLOW_GROUP: &str = "239.255.2.1";
const SOON: Duration = Duration::from_secs(30);
/// Longer than two slow cores take for all of them.
const LIMIT: Duration = Duration::from_mins(4);

/// What the program in the machine's place runs: its embedded script asks the server for it, as a
/// ROM's does. iPXE's own SHA-256 says what arrived.
fn script() -> String {
    [
        "#!ipxe",
        "echo crowd: fetch",
        "mcjoin 239.255.1.1 || goto bad",
        &format!("imgfetch --name disk x-slam://{SERVER} || goto bad"),
        "mcleave 239.255.1.1 || goto bad",
        "echo crowd: fetched",
        "sha256sum disk || goto bad",
        "exit 0",
        ":bad",
        "echo crowd: FAILED",
        "exit 1",
        "",
    ]
    .join("\n")
}

/// iPXE as a program, from the tree that the ROMs come from.
fn program() -> anyhow::Result<PathBuf> {
    let dist = paths().target.join("test/crowd");
    Cmd::new("cargo")
        .dir(&paths().root)
        .args(["xtask", "firmware", "--target", "tap.linux"])
        .env("SLAMBOOT_DIST", &dist)
        .limit(BUILD_LIMIT)
        .read()?;
    let paths = Paths {
        dist,
        ..paths().clone()
    };
    Ok(paths.dist_firmware().join("tap.linux"))
}

/// All of them receive the whole file, and say so themselves.
pub fn all_verified() -> Outcome {
    receive(32, "", |_, _| Ok(()), |_| Ok(()))
}

/// One of four is behind a slow cable, in a room that is split: it goes to a group of its own.
pub fn a_slow_one_is_moved() -> Outcome {
    receive(
        4,
        "[slam]\nmax_rate = \"60 Mbit/s\"\nslow_clients = \"split\"\n",
        |lab, taps| {
            // Where groups are flooded, a slow cable stays as full as it was.
            lab.snoop()?;
            let slow = taps.last().context("four clients")?;
            let limit = ["rate", "12mbit", "burst", "16kb", "limit", "64kb"];
            let qdisc = lab.switch().cmd("tc").args(["qdisc", "add", "dev"]);
            qdisc
                .arg(&slow.interface)
                .args(["root", "tbf"])
                .args(limit)
                .read()?;
            Ok(())
        },
        |server| {
            server.wait_for(&format!("moved to {SLOW_GROUP}"), SOON)?;
            Ok(())
        },
    )
}

/// As many clients of a server with these lines of configuration, in a network that was prepared; and
/// what the server has to have said.
fn receive(
    clients: usize,
    slam: &str,
    prepare: impl FnOnce(&mut Netlab, &[Tap]) -> Outcome,
    said: impl FnOnce(&Console) -> Outcome,
) -> Outcome {
    let program = program()?;
    let slamboot = crate::slamboot()?;
    let dir = tempfile::tempdir()?;
    let mut content = vec![0; BYTES];
    fastrand::Rng::with_seed(BYTES as u64).fill(&mut content);
    fs::write(dir.path().join("disk.img"), &content)?;
    let expected = format!("{}  disk", hex::encode(Sha256::digest(&content)));
    let site = format!(
        "[server]\ninterface = \"{INTERFACE}\"\nhttp_port = 0\n{slam}\
         [[image]]\nname = \"disk\"\nkind = \"disk\"\npath = \"disk.img\"\n"
    );
    let config = dir.path().join("slamboot.toml");
    fs::write(&config, site)?;

    let mut lab = Netlab::new()?;
    let listener = lab
        .server()
        .enter(|| TcpListener::bind((SERVER, site::DEFAULT_HTTP_PORT)))??;
    let console = Console::open("slamboot serve", &dir.path().join("server.log"))?;
    let (out, err) = (console.pipe("out")?, console.pipe("err")?);
    let _server = lab
        .server()
        .cmd(slamboot)
        .args(["serve", "--config"])
        .arg(&config)
        .spawn_into(out, err)?;
    console.wait_for("slamboot serves", SOON)?;
    // Its HTTP server is the one below.
    let _dhcp = lab.dhcp("boot.ipxe", dir.path())?;
    let taps = (0..clients)
        .map(|_| lab.tap())
        .collect::<Result<Vec<_>, _>>()?;
    prepare(&mut lab, &taps)?;

    let done = AtomicBool::new(false);
    std::thread::scope(|scope| -> Outcome {
        scope.spawn(|| hand_out(&listener, &script(), &done));
        let result = (|| {
            let start = console::now();
            let mut running: Vec<(Console, Running)> = Vec::new();
            for tap in &taps {
                let name = format!("client on {}", tap.interface);
                let client = Console::open(&name, &dir.path().join(&tap.interface))?;
                let (out, err) = (client.pipe("out")?, client.pipe("err")?);
                let net = format!("tap,if={},mac={}", tap.interface, tap.mac);
                let cmd = lab.switch().cmd(&program).args(["--net", &net]);
                running.push((client, cmd.spawn_into(out, err)?));
            }
            let deadline = Deadline::after(LIMIT);
            let mut seconds = Vec::new();
            for (client, _) in &running {
                let mut cursor = 0;
                let mut at = |text: &str| {
                    client.wait(&mut cursor, deadline, &format!("`{text}`"), |line| {
                        let failed = line.text.contains("crowd: FAILED");
                        (failed || line.text.contains(text)).then_some((failed, line.at))
                    })
                };
                let mut end = Duration::ZERO;
                for text in ["crowd: fetch", "crowd: fetched", &expected] {
                    let (failed, found) = at(text)?;
                    ensure!(!failed, "{} failed{}", client.name(), client.tail());
                    if text == "crowd: fetched" {
                        seconds.push(found.saturating_sub(end).as_secs_f64());
                    }
                    end = found;
                }
            }
            let slowest = seconds.iter().copied().fold(0.0, f64::max);
            say(format!(
                "{clients} tap.linux clients, {:.1} MiB each, all verified by their own SHA-256: \
                 the slowest transfer took {slowest:.1} s, all of it {:.1} s",
                BYTES as f64 / f64::from(1 << 20),
                start.elapsed().as_secs_f64()
            ));
            said(&console)
        })();
        done.store(true, Ordering::Relaxed);
        result
    })
}

/// Gives `script` to whoever connects.
fn hand_out(listener: &TcpListener, script: &str, done: &AtomicBool) {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{script}",
        script.len()
    );
    listener.set_nonblocking(true).expect("a socket of ours");
    while !done.load(Ordering::Relaxed) {
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        // A client that breaks off asks again: its script has more than one attempt.
        let _ = (|| {
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            let _request = stream.read(&mut [0; 2048])?;
            stream.write_all(answer.as_bytes())
        })();
    }
}

/// For the trial's list: where the ROMs could be built, so can this.
pub fn lacking(no_rom: Option<String>) -> Option<String> {
    let tun = fs::exists("/dev/net/tun").context("/dev/net/tun");
    no_rom.or_else(|| match tun {
        Ok(true) => None,
        _ => Some("no /dev/net/tun".to_owned()),
    })
}
