// SPDX-License-Identifier: MIT OR Apache-2.0
//! The status page in a real browser, and the API under a fuzzer that reads its description. Both come
//! from package registries, pinned, into `target/test`; where they cannot be had, it is said.

mod crowd;
#[path = "../support/serve.rs"]
mod serve;
#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serve::Server;
use support::{Outcome, only_if_thorough, paths, trial};
use xtask::cmd::Cmd;
use xtask::host::{self, Need};

const SOON: Duration = Duration::from_mins(2);
/// The fuzzer, which changes what it tries from one version to the next.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

fn main() -> ExitCode {
    let browser = browser().err().map(|error| format!("{error:#}"));
    let both = browser.clone().or_else(only_if_thorough);
    let fuzzer = only_if_thorough();
    let trials = vec![
        trial("a_session_from_start_to_history", browser, a_session),
        trial("pages_of_0_3_and_300_clients", both, pages),
        trial("schemathesis_finds_nothing", fuzzer, schemathesis),
    ];
    support::run(trials, 1)
}

/// Chromium, and a directory where node finds playwright-core.
fn browser() -> anyhow::Result<(PathBuf, PathBuf)> {
    let missing: Vec<&str> = host::missing(&[Need::Browser])
        .iter()
        .map(|tool| tool.name)
        .collect();
    ensure!(
        missing.is_empty(),
        "missing on this host: {} (cargo xtask setup)",
        missing.join(", ")
    );
    let chromium = host::program("chromium").context("no chromium")?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/face");
    let place = paths().target.join("test/node");
    fs::create_dir_all(&place)?;
    for name in ["package.json", "package-lock.json", "browser.cjs"] {
        fs::copy(here.join(name), place.join(name))?;
    }
    if !place
        .join("node_modules/playwright-core/package.json")
        .exists()
    {
        // What the lock file says, by its digest, and none of its scripts.
        Cmd::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .dir(&place)
            .limit(SOON)
            .read()
            .context("playwright-core cannot be had from npm")?;
    }
    Ok((chromium, place))
}

impl Server {
    /// An image for a room, and a kernel beside it.
    fn start(megabytes: usize, settings: &str, hosts: usize) -> anyhow::Result<Server> {
        let folder = tempfile::tempdir()?;
        let content: Vec<u8> = (0..megabytes * 1_000_000)
            .map(|at| (at % 251) as u8)
            .collect();
        fs::write(folder.path().join("room.img"), content)?;
        fs::write(folder.path().join("linux"), "kernel")?;
        let mut text = format!(
            "{settings}[[image]]\nname = \"windows-11\"\nkind = \"disk\"\npath = \"room.img\"\n\
             [[image]]\nname = \"debian\"\nkind = \"linux\"\nkernel = \"linux\"\n"
        );
        for number in 1..=hosts {
            let (mac, name) = (crowd::mac(number), crowd::name(number));
            // Writing to a String does not fail.
            let _ = write!(text, "[[host]]\nmac = \"{mac}\"\nname = \"{name}\"\n");
        }
        Ok(Server::serve(folder, &text)?)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// Has a person do this with the page.
    fn person(&self, step: &str, folder: &Path) -> Outcome {
        let (chromium, place) = browser()?;
        Cmd::new("node")
            .arg("browser.cjs")
            .args([step, &self.url(), &self.token()])
            .arg(folder)
            .dir(&place)
            .env("CHROMIUM", chromium)
            .limit(SOON)
            .read()?;
        Ok(())
    }
}

/// A room of three waits; a wrong token; hold, start, drop; two finish; history.
fn a_session() -> Outcome {
    let settings = "min_clients = 4\nmax_wait = 600\nmax_rate = \"40 Mbit/s\"\n";
    let server = Server::start(50, settings, 3)?;
    let crowd = crowd::Crowd::join(&server, 3)?;
    let result = server.person("session", &pictures()?);
    crowd.leave()?;
    result
}

/// Where pictures of pages go.
fn pictures() -> anyhow::Result<PathBuf> {
    let folder = paths().target.join("test/pages");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Pictures for people who look at them; what a program can judge of a page is judged.
fn pages() -> Outcome {
    let folder = pictures()?;
    for count in [0, 3, 300] {
        let server = Server::start(500, "max_rate = \"30 Mbit/s\"\n", count)?;
        let crowd = crowd::Crowd::join(&server, count)?;
        // Until a good part has arrived.
        std::thread::sleep(Duration::from_secs(if count > 0 { 20 } else { 1 }));
        let result = server.person(&format!("clients-{count}"), &folder);
        crowd.leave()?;
        result?;
    }
    println!("pictures are in {}", folder.display());
    Ok(())
}

/// The API as its description says it is, whatever is asked: with the token, and without.
fn schemathesis() -> Outcome {
    let venv = paths().target.join("test/schemathesis");
    let program = venv.join("bin/schemathesis");
    if !program.exists() {
        Cmd::new("python3").args(["-m", "venv"]).arg(&venv).read()?;
        Cmd::new(venv.join("bin/pip"))
            .args(["install", "--quiet", SCHEMATHESIS])
            .limit(Duration::from_mins(5))
            .read()
            .context("schemathesis cannot be had from PyPI")?;
    }
    let server = Server::start(1, "", 3)?;
    let crowd = crowd::Crowd::join(&server, 3)?;
    let described = format!("{}/api/v1/openapi.json", server.url());
    for token in [None, Some(server.token())] {
        let mut cmd = Cmd::new(&program)
            .args([
                "run",
                &described,
                "--seed",
                "8",
                "--max-examples",
                "40",
                "--no-color",
            ])
            .args(["--suppress-health-check", "all"])
            .dir(server.folder.path())
            .limit(Duration::from_mins(8));
        if let Some(token) = &token {
            cmd = cmd.args(["--header", &format!("Authorization: Bearer {token}")]);
        }
        cmd.read()?;
    }
    drop(crowd);
    if TcpStream::connect((Ipv4Addr::LOCALHOST, server.http)).is_err() {
        bail!("the server has ended");
    }
    Ok(())
}
