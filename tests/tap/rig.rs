// SPDX-License-Identifier: MIT OR Apache-2.0
//! iPXE as a Linux program on a tap: the client that ROMs carry, without a machine around it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, ensure};
use xtask::cmd::{Cmd, Running};
use xtask::console::{Console, Deadline};
use xtask::netlab::{Netlab, SERVER};

use crate::foe::{File, Foe};
use crate::support::paths;

/// iPXE's library, from scratch, on two slow cores.
const BUILD_LIMIT: Duration = Duration::from_mins(15);
/// From the program's start to its script, on a busy machine.
const START: Duration = Duration::from_secs(40);
/// Longer than any transfer here, or than the client's own patience of 30 s.
pub const END: Duration = Duration::from_secs(75);

/// What the client runs; `URI` is filled in. Nothing is registered under the name of a failed fetch.
const SCRIPT: &str = "#!ipxe
CONFIGURE
echo TEST begins
imgfetch --name image URI && goto fetched ||
echo TEST failed ${errno}
sha1sum image && echo TEST registered all the same ||
echo TEST over
sleep 1000
:fetched
sha1sum image
echo TEST over
sleep 1000
";

/// Why iPXE cannot be built here.
pub fn lacking() -> Option<String> {
    let arguments = xtask::firmware::Arguments::default();
    match xtask::firmware::source_at_hand(&arguments, paths()) {
        Ok(true) => None,
        Ok(false) => Some("no iPXE source".to_owned()),
        Err(error) => Some(format!("no iPXE source: {error:#}")),
    }
}

/// UEFI for QEMU (Debian: package ovmf).
const OVMF: &str = "/usr/share/OVMF/OVMF_CODE.fd";
/// From the machine's start to iPXE's script, emulated on a busy machine.
const MACHINE_START: Duration = Duration::from_mins(3);

/// Why no UEFI machine can be started here.
pub fn lacking_uefi() -> Option<String> {
    let there = std::path::Path::new(OVMF).exists();
    (!there).then(|| format!("no {OVMF} (Debian: package ovmf)"))
}

/// `ipxe.efi`, built.
fn efi() -> anyhow::Result<PathBuf> {
    let dist = paths().target.join("test/tap");
    Cmd::new("cargo")
        .dir(&paths().root)
        .args(["xtask", "firmware", "--target", "ipxe.efi"])
        .env("SLAMBOOT_DIST", &dist)
        .limit(BUILD_LIMIT)
        .read()?;
    Ok(dist.join("firmware/ipxe.efi"))
}

/// `tap.linux`, built once.
fn program() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let dist = paths().target.join("test/tap");
        Cmd::new("cargo")
            .dir(&paths().root)
            .args(["xtask", "firmware", "--target", "tap.linux"])
            .env("SLAMBOOT_DIST", &dist)
            .limit(BUILD_LIMIT)
            .read()
            .map(|_| dist.join("firmware/tap.linux"))
            .map_err(|error| error.to_string())
    });
    built.clone().map_err(anyhow::Error::msg)
}

/// A network with DHCP and the script's web server, and a place for one client.
pub struct Rig {
    pub lab: Netlab,
    pub dir: tempfile::TempDir,
    stop: Arc<AtomicBool>,
}

impl Rig {
    pub fn new() -> anyhow::Result<Rig> {
        program()?;
        Ok(Rig {
            lab: Netlab::new()?,
            dir: tempfile::tempdir()?,
            stop: Arc::default(),
        })
    }

    /// The client's server on the default port, and the default group.
    pub fn server(&self) -> anyhow::Result<Foe> {
        let address = SocketAddr::from((SERVER, 10000));
        Foe::new(self.lab.server(), address, group())
    }

    /// Starts a client that fetches `uri`, with at most `memory` bytes of address space.
    pub fn client(&mut self, uri: &str, memory: Option<u64>) -> anyhow::Result<Client> {
        self.client_after("", uri, memory)
    }

    /// The same, with a line of script that comes first.
    pub fn client_after(
        &mut self,
        configure: &str,
        uri: &str,
        memory: Option<u64>,
    ) -> anyhow::Result<Client> {
        let script = SCRIPT.replace("CONFIGURE", configure).replace("URI", uri);
        self.hand_out(script)?;
        let boot = format!("http://{SERVER}:8080/boot.ipxe");
        let dhcp = self.lab.dhcp(&boot, self.dir.path())?;
        let tap = self.lab.tap()?;
        let console = Console::open("tap.linux", &self.dir.path().join("client.log"))?;
        let (out, err) = (console.pipe("out")?, console.pipe("err")?);
        let net = format!("tap,if={},mac={}", tap.interface, tap.mac);
        let namespace = self.lab.switch();
        let mut command = match memory {
            Some(bytes) => namespace
                .cmd("prlimit")
                .arg(format!("--as={bytes}"))
                .arg(program()?),
            None => namespace.cmd(program()?),
        };
        command = command.args(["--net", &net]);
        let running = command.spawn_into(out, err)?;
        console
            .wait_for("TEST begins", START)
            .with_context(|| dhcp.console().tail())?;
        Ok(Client {
            console,
            port: tap.interface,
            _running: running,
            _dhcp: dhcp,
        })
    }

    /// A UEFI machine in QEMU with the same script: iPXE lies on its disk.
    pub fn uefi(&mut self, configure: &str, uri: &str) -> anyhow::Result<Client> {
        let esp = self.dir.path().join("esp");
        let boot = esp.join("EFI/BOOT");
        fs::create_dir_all(&boot)?;
        fs::copy(efi()?, boot.join("BOOTX64.EFI"))?;
        let device = "e1000,romfile=,netdev=net";
        self.machine(configure, uri, device, |command| {
            command
                .args(["-m", "512", "-drive"])
                .arg(format!("if=pflash,format=raw,readonly=on,file={OVMF}"))
                .arg("-drive")
                .arg(format!(
                    "format=raw,if=none,id=esp,file=fat:rw:{}",
                    esp.display()
                ))
                .args(["-device", "virtio-blk-pci,drive=esp,bootindex=0"])
        })
    }

    fn machine(
        &mut self,
        configure: &str,
        uri: &str,
        device: &str,
        boot: impl FnOnce(Cmd) -> Cmd,
    ) -> anyhow::Result<Client> {
        let script = SCRIPT.replace("CONFIGURE", configure).replace("URI", uri);
        self.hand_out(script)?;
        let script = format!("http://{SERVER}:8080/boot.ipxe");
        let dhcp = self.lab.dhcp(&script, self.dir.path())?;
        let tap = self.lab.tap()?;
        let console = Console::open("machine", &self.dir.path().join("client.log"))?;
        let (out, err) = (console.pipe("out")?, console.pipe("err")?);
        let command = self.lab.switch().cmd(xtask::qemu::QEMU);
        let running = boot(command)
            .args(["-accel", "tcg", "-nodefaults", "-no-reboot"])
            .args(["-display", "none", "-serial", "stdio"])
            .arg("-netdev")
            .arg(format!(
                "tap,id=net,ifname={},script=no,downscript=no",
                tap.interface
            ))
            .arg("-device")
            .arg(format!("{device},mac={}", tap.mac))
            .spawn_into(out, err)?;
        console.wait_for("TEST begins", MACHINE_START)?;
        Ok(Client {
            console,
            port: tap.interface,
            _running: running,
            _dhcp: dhcp,
        })
    }

    /// `/boot.ipxe` over HTTP, and 404 for anything else.
    fn hand_out(&self, script: String) -> anyhow::Result<()> {
        let address = SocketAddrV4::new(SERVER, 8080);
        let listener = self.lab.server().enter(|| TcpListener::bind(address))??;
        listener.set_nonblocking(true)?;
        let stop = self.stop.clone();
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                };
                let _ = stream.set_nonblocking(false);
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let mut request = [0; 2048];
                let length = stream.read(&mut request).unwrap_or(0);
                let (status, body) = if request[..length].starts_with(b"GET /boot.ipxe ") {
                    ("200 OK", script.as_str())
                } else {
                    ("404 Not Found", "")
                };
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
            }
        });
        Ok(())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The default group.
pub fn group() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(239, 255, 1, 1), 10000))
}

/// A running `tap.linux`.
pub struct Client {
    pub console: Console,
    /// Its port on the switch, for those who look there.
    pub port: String,
    _running: Running,
    _dhcp: xtask::netlab::Dhcp,
}

impl Client {
    fn over(&self) -> anyhow::Result<String> {
        self.console.wait_for("TEST over", END)?;
        let lines = self.console.lines().into_iter();
        let lines: Vec<String> = lines.map(|line| line.text).collect();
        Ok(lines.join("\n"))
    }

    /// It fetched exactly this; what it said.
    pub fn has(&self, file: &File) -> anyhow::Result<String> {
        let said = self.over()?;
        let expected = sha1(&file.content)?;
        ensure!(!said.contains("TEST failed"), "{said}");
        ensure!(said.contains(&expected), "expected {expected} in:\n{said}");
        Ok(said)
    }

    /// Its fetch failed, its script went on, nothing is registered, and it said why.
    pub fn fails(&self, reasons: &[&str]) -> anyhow::Result<()> {
        let said = self.over()?;
        ensure!(said.contains("TEST failed"), "{said}");
        ensure!(!said.contains("TEST registered"), "{said}");
        for reason in reasons {
            ensure!(said.contains(reason), "expected {reason:?} in:\n{said}");
        }
        Ok(())
    }

    /// Waits until it has said `text`.
    pub fn says(&self, text: &str) -> anyhow::Result<()> {
        self.console.wait_for(text, END)?;
        Ok(())
    }
}

/// By coreutils: somebody else's digest, and iPXE knows no SHA-256 command.
fn sha1(content: &[u8]) -> anyhow::Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), content)?;
    let said = Cmd::new("sha1sum").arg(file.path()).read()?;
    let digest = said.split_whitespace().next().context("no digest")?;
    ensure!(digest.len() == 40, "{said}");
    Ok(digest.to_owned())
}

/// How much time is left until `after` from now; for loops that must end.
pub fn until(after: Duration) -> Deadline {
    Deadline::after(after)
}
