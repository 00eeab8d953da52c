// SPDX-License-Identifier: MIT OR Apache-2.0
//! A network of our own: namespaces, a switch, hosts and taps. Nothing outside them is touched.
//!
//! ```text
//!   slamboot-PID-N-server        slamboot-PID-N-switch              slamboot-PID-N-host1
//!   eth0 10.77.0.1 ────veth──── port   br0 10.77.0.254   port ────veth──── eth0 10.77.1.1
//!                                │  (dnsmasq, the site's DHCP)
//!                               tap1 … tapN ── QEMU
//! ```
//!
//! The server has a namespace of its own, a veth pair away from the switch, because that is where
//! a server stands: one interface, one address, no bridge to confuse it. Its multicast leaves by
//! a plain device (sent on a bridge's own device, a copy of every datagram also climbs our own
//! stack), UDP GSO super-packets cross the veth whole and are segmented at each tap as a NIC
//! would, and an uplink's rate or a client's loss can be laid on one end of a pair (`tbf`, `nft`)
//! without touching the others.
//!
//! Every host has the IPv6 address `fd77::` with the same last number, in hexadecimal.
//!
//! IGMP snooping is off, as on a plain switch, until [`Netlab::snoop`] is asked for.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, io};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::cmd::{Cmd, CmdError, Running};
use crate::console::{Console, WaitError};

/// The server's address in every lab.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The same over IPv6.
pub const SERVER6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
/// The switch's own, where the site's DHCP server answers.
pub const SWITCH: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);
/// The server's only interface beside loopback, and every host's.
pub const INTERFACE: &str = "eth0";
/// The first host's address; each further one has the next.
pub const HOST: Ipv4Addr = Ipv4Addr::new(HOSTS[0], HOSTS[1], HOSTS[2], 1);
/// Hosts are 10.77.1.1 and up; DHCP gives out 10.77.0.10 to 10.77.0.199.
const HOSTS: [u8; 3] = [10, 77, 1];
const MOST_HOSTS: u8 = 254;
const PREFIX_LENGTH: u8 = 16;
const PREFIX: &str = "slamboot";
const NETNS_DIR: &str = "/run/netns";

/// Why there is no lab.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// This process or this machine cannot make one.
    #[error("no network namespaces here: {0}")]
    Unavailable(String),
    /// A step failed.
    #[error("the lab's network: {0}")]
    Command(#[from] CmdError),
    /// dnsmasq did not start.
    #[error("the lab's DHCP server: {0}")]
    Dhcp(#[from] WaitError),
    /// A file of the lab.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// More hosts than there are addresses.
    #[error("a lab has room for {0} hosts")]
    Full(u8),
}

/// A network namespace; dropping it ends what runs in it and removes it.
pub struct Namespace {
    name: String,
}

impl Namespace {
    fn create(name: String) -> Result<Namespace, LabError> {
        ip(["netns", "add", &name]).read()?;
        let namespace = Namespace { name };
        namespace.ip(["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name under `/run/netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `program`, run inside.
    pub fn cmd(&self, program: impl AsRef<std::ffi::OsStr>) -> Cmd {
        ip(["netns", "exec", &self.name]).arg(program)
    }

    /// `ip` with these arguments, on the inside.
    pub fn ip<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<(), LabError> {
        ip(["-n", &self.name]).args(args).read()?;
        Ok(())
    }

    /// Runs `inside` on a thread that is in the namespace: its sockets are the namespace's.
    ///
    /// # Panics
    ///
    /// Where `inside` does.
    pub fn enter<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let path = Path::new(NETNS_DIR).join(&self.name);
        let file = |source| LabError::File {
            path: path.display().to_string(),
            source,
        };
        let namespace = fs::File::open(&path).map_err(file)?;
        // A thread of its own: it stays in there.
        let run = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(inside())
        };
        let result: Result<T, Errno> = std::thread::scope(|scope| match scope.spawn(run).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        result.map_err(|errno| file(errno.into()))
    }

    /// An Ethernet device [`INTERFACE`] with this address, plugged into `port` of the switch.
    fn plug(&self, switch: &Namespace, port: &str, address: Ipv4Addr) -> Result<(), LabError> {
        let [.., net, host] = address.octets();
        let address6 = format!("fd77::{net:x}:{host:x}/64");
        let address = format!("{address}/{PREFIX_LENGTH}");
        #[rustfmt::skip]
        self.ip(["link", "add", INTERFACE, "type", "veth", "peer", "name", port, "netns", &switch.name])?;
        switch.ip(["link", "set", port, "master", "br0", "up"])?;
        // udpcast and others look for the broadcast address.
        self.ip(["addr", "add", &address, "broadcast", "+", "dev", INTERFACE])?;
        // Nobody else has it: no need to look for duplicates for two seconds.
        self.ip(["addr", "add", &address6, "dev", INTERFACE, "nodad"])?;
        self.ip(["link", "set", INTERFACE, "up"])
    }

    /// The processes that are in it.
    pub fn pids(&self) -> io::Result<Vec<Pid>> {
        let pids = uninterrupted(["netns", "pids", &self.name])?;
        let pids = pids.split_whitespace().filter_map(|pid| pid.parse().ok());
        Ok(pids.filter_map(Pid::from_raw).collect())
    }

    fn kill_all(&self) {
        for pid in self.pids().unwrap_or_default() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.kill_all();
        if uninterrupted(["netns", "del", &self.name]).is_err() {
            eprintln!(
                "warning: could not remove network namespace {0}; do it with: ip netns del {0}",
                self.name
            );
        }
    }
}

fn ip<'a>(args: impl IntoIterator<Item = &'a str>) -> Cmd {
    Cmd::new("ip").args(args)
}

/// `ip` while cleaning up: `Cmd` ends what it started once we are interrupted, which is when
/// cleaning up matters most.
fn uninterrupted<const N: usize>(args: [&str; N]) -> io::Result<String> {
    let output = Command::new("ip").args(args).output()?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(io::Error::other(output.status.to_string()))
    }
}

/// A switch with the server plugged in. Dropping it removes everything.
pub struct Netlab {
    hosts: Vec<Namespace>,
    server: Namespace,
    switch: Namespace,
    name: String,
    taps: u32,
}

/// A port of the switch for a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tap {
    /// Its name inside the switch's namespace.
    pub interface: String,
    /// The address for the machine's card.
    pub mac: String,
}

impl Netlab {
    /// A switch and a server's place on it. Labs whose process is gone are removed first.
    pub fn new() -> Result<Netlab, LabError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if let Some(why) = unavailable() {
            return Err(LabError::Unavailable(why));
        }
        sweep();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}-{}-{number}", std::process::id());
        let switch = Namespace::create(format!("{name}-switch"))?;
        #[rustfmt::skip]
        switch.ip(["link", "add", "br0", "type", "bridge", "stp_state", "0", "mcast_snooping", "0"])?;
        switch.ip(["link", "set", "br0", "up"])?;
        let address = format!("{SWITCH}/{PREFIX_LENGTH}");
        switch.ip(["addr", "add", &address, "broadcast", "+", "dev", "br0"])?;
        // For router advertisements only, see `Dhcp`.
        switch.ip(["addr", "add", "fd77::254/64", "dev", "br0", "nodad"])?;
        let server = Namespace::create(format!("{name}-server"))?;
        server.plug(&switch, "server", SERVER)?;
        Ok(Netlab {
            hosts: Vec::new(),
            server,
            switch,
            name,
            taps: 0,
        })
    }

    /// Makes the switch one with IGMP and MLD snooping, and the network's querier: from now on,
    /// multicast reaches only ports at which a member was heard.
    ///
    /// It asks every 5 s and forgets members after 12 s, so that a client which reports once and
    /// then answers no query loses a transfer that takes longer.
    pub fn snoop(&self) -> Result<(), LabError> {
        // Hundredths of a second. The response interval goes first: for so long after the querier
        // begins, Linux floods as before.
        for options in [
            "mcast_query_response_interval 100 mcast_query_interval 500",
            "mcast_startup_query_interval 100 mcast_membership_interval 1200",
            "mcast_snooping 1 mcast_querier 1",
        ] {
            let set = ["link", "set", "br0", "type", "bridge"];
            self.switch.ip(set.into_iter().chain(options.split(' ')))?;
        }
        Ok(())
    }

    /// Where the server runs.
    pub fn server(&self) -> &Namespace {
        &self.server
    }

    /// Where machines run: their taps are here.
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// One more host, for programs such as `slam-client`.
    pub fn host(&mut self) -> Result<&Namespace, LabError> {
        let number = u8::try_from(self.hosts.len() + 1)
            .ok()
            .filter(|number| *number <= MOST_HOSTS)
            .ok_or(LabError::Full(MOST_HOSTS))?;
        let host = Namespace::create(format!("{}-host{number}", self.name))?;
        let index = self.hosts.len();
        host.plug(&self.switch, &Self::port(index), Self::address(index))?;
        self.hosts.push(host);
        Ok(&self.hosts[self.hosts.len() - 1])
    }

    /// The address of the host with this index.
    pub fn address(index: usize) -> Ipv4Addr {
        let [a, b, c] = HOSTS;
        Ipv4Addr::new(a, b, c, (index + 1) as u8)
    }

    /// The port of the switch that the host with this index is plugged into.
    pub fn port(index: usize) -> String {
        format!("host{}", index + 1)
    }

    /// The hosts so far.
    pub fn hosts(&self) -> &[Namespace] {
        &self.hosts
    }

    /// One more port for a machine.
    pub fn tap(&mut self) -> Result<Tap, LabError> {
        self.taps += 1;
        let interface = format!("tap{}", self.taps);
        // 52:54:00 is QEMU's prefix.
        let [_, _, high, low] = self.taps.to_be_bytes();
        let mac = format!("52:54:00:77:{high:02x}:{low:02x}");
        self.switch
            .ip(["tuntap", "add", &interface, "mode", "tap"])?;
        self.switch
            .ip(["link", "set", &interface, "master", "br0", "up"])?;
        Ok(Tap { interface, mac })
    }

    /// The site's DHCP server, which names `boot_file` and us as the next server.
    pub fn dhcp(&self, boot_file: &str, run: &Path) -> Result<Dhcp, LabError> {
        let boot = format!("--dhcp-boot={boot_file},slamboot,{SERVER}");
        self.dnsmasq(Some(boot), run)
    }

    /// A DHCP server that gives addresses and knows nothing of booting.
    pub fn dhcp_addresses(&self, run: &Path) -> Result<Dhcp, LabError> {
        self.dnsmasq(None, run)
    }

    fn dnsmasq(&self, boot: Option<String>, run: &Path) -> Result<Dhcp, LabError> {
        let file = |path: &Path, source| LabError::File {
            path: path.display().to_string(),
            source,
        };
        let leases = run.join("dnsmasq.leases");
        let log = run.join("dnsmasq.log");
        let console = Console::open("dnsmasq", &log).map_err(|e| file(&log, e))?;
        let out = console.pipe("out").map_err(|e| file(&log, e))?;
        let err = console.pipe("err").map_err(|e| file(&log, e))?;
        let running = self
            .switch
            .cmd("dnsmasq")
            .args(["--no-daemon", "--conf-file=/dev/null", "--user=root"])
            .args(["--pid-file=", "--port=0", "--no-hosts", "--no-resolv"])
            .args(["--interface=br0", "--bind-interfaces", "--no-ping"])
            .args(["--dhcp-authoritative"])
            .arg("--dhcp-range=10.77.0.10,10.77.0.199,255.255.0.0,1h")
            .args(boot)
            // A stock iPXE configures IPv6 besides, and where no router answers its solicitations
            // it gives up only after 16 s (measured): so one answers.
            .args(["--enable-ra", "--dhcp-range=fd77::,ra-only"])
            .arg(format!("--dhcp-leasefile={}", leases.display()))
            .spawn_into(out, err)?;
        console.wait_for("sockets bound", Duration::from_secs(10))?;
        Ok(Dhcp {
            _running: running,
            console,
        })
    }
}

/// A running DHCP server.
pub struct Dhcp {
    _running: Running,
    console: Console,
}

impl Dhcp {
    /// What it said, for whoever asks why a machine has no address.
    pub fn console(&self) -> &Console {
        &self.console
    }
}

/// Why no lab can be made here, if none can: asks the system by trying, once.
pub fn unavailable() -> Option<String> {
    static ANSWER: OnceLock<Option<String>> = OnceLock::new();
    ANSWER.get_or_init(probe).clone()
}

fn probe() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("they need root (run it with sudo, or as root)".to_owned());
    }
    let probe = format!("{PREFIX}-{}-probe", std::process::id());
    let tried = Cmd::new("ip").args(["netns", "add", &probe]).read();
    let tried = tried.and_then(|_| {
        let namespace = Namespace { name: probe };
        ip([
            "-n",
            &namespace.name,
            "tuntap",
            "add",
            "tap0",
            "mode",
            "tap",
        ])
        .read()
    });
    tried.err().map(|error| error.to_string())
}

/// Removes the labs of processes that are gone, killed before they could do it.
fn sweep() {
    let Ok(entries) = fs::read_dir(NETNS_DIR) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = owner(&name);
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            drop(Namespace { name });
        }
    }
}

/// The process that made the namespace of this name, if it is one of ours.
fn owner(name: &str) -> Option<u32> {
    let mut parts = name.strip_prefix(PREFIX)?.strip_prefix('-')?.split('-');
    let pid = parts.next()?.parse().ok()?;
    parts.next()?;
    Some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_have_an_owner() {
        assert_eq!(owner("slamboot-123-0-switch"), Some(123));
        assert_eq!(owner("slamboot-123-probe"), Some(123));
        for other in [
            "slamboot",
            "slamboot-",
            "slamboot-x-0",
            "slamboot-7",
            "mine-123-0",
        ] {
            assert_eq!(owner(other), None, "{other}");
        }
    }
}
