// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot services, and which client gets what.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use crate::mac::{Mac, MacPattern};

/// Where DHCP servers and relay agents listen (RFC 2131, section 4.1).
pub const DEFAULT_DHCP_PORT: u16 = 67;
/// Where PXE boot servers listen (PXE 2.1, section 2.2).
pub const DEFAULT_PXE_PORT: u16 = 4011;
/// Where TFTP requests arrive (RFC 1350, section 4).
pub const DEFAULT_TFTP_PORT: u16 = 69;

/// `[dhcp]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dhcp {
    /// What is served.
    pub mode: DhcpMode,
    /// UDP port of requests.
    pub port: u16,
    /// UDP port of PXE boot server requests.
    pub pxe_port: u16,
    /// Whether clients that no `[[host]]` and no `[[group]]` names are left alone.
    pub strict: bool,
    /// Addresses to lease, first and last; `None`: those of `[[host]]` only.
    pub pool: Option<(Ipv4Addr, Ipv4Addr)>,
    /// How long an address is leased.
    pub lease_time: Duration,
    /// The clients' default route.
    pub router: Option<Ipv4Addr>,
    /// The clients' name servers.
    pub dns: Vec<Ipv4Addr>,
    /// Networks behind relay agents, none of which overlaps another.
    pub relays: Vec<RelayedNetwork>,
}

/// `[[dhcp.relay]]`: a network that a relay agent brings requests from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayedNetwork {
    /// Its addresses.
    pub network: Ipv4Net,
    /// Those to lease, first and last; `None`: the upper half.
    pub pool: Option<(Ipv4Addr, Ipv4Addr)>,
    /// The clients' default route; `None`: the relay agent.
    pub router: Option<Ipv4Addr>,
    /// The clients' name servers; `None`: those of `[dhcp]`.
    pub dns: Option<Vec<Ipv4Addr>>,
    /// The interface by which its requests come; `None`: the first that is served on.
    pub interface: Option<String>,
}

/// Who hands out addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhcpMode {
    /// Somebody else: what boots is told beside, where this process may, and not told where it may
    /// not.
    Auto,
    /// Somebody else, who tells what boots, too.
    Off,
    /// Somebody else: what boots is told beside (proxyDHCP), or this is an error.
    Proxy,
    /// This server.
    Pool,
}

/// `[tftp]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tftp {
    /// UDP port of requests; `None` switches TFTP off.
    pub port: Option<u16>,
    /// Whether it is an error where the port cannot be had, since it was asked for.
    pub required: bool,
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Connections at one time; more are taken when others have ended.
    pub max_connections: u32,
}

/// `[status]`: the status page, the API and metrics, beside what HTTP serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusPage {
    /// Whether they are served.
    pub shown: bool,
    /// Holds the token of those who may do something; `None`: one is made in the state directory.
    pub token_file: Option<PathBuf>,
    /// Sessions that are over and remembered.
    pub history: u32,
}

/// `[boot]`: what is booted when no rule names the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu {
    /// Whether people may choose.
    pub shown: bool,
    /// So long the menu waits before it boots the default; zero: for ever.
    pub timeout: Duration,
}

/// What a client boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// What `[boot]` says.
    Default,
    /// The image of this name.
    Image(String),
    /// What somebody chooses.
    Menu,
    /// Its own disk.
    Local,
}

/// `[[host]]`: one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its network cards; none is another host's.
    pub macs: Vec<Mac>,
    /// What people call it.
    pub name: Option<String>,
    /// The address that it always gets, with `mode = "pool"`.
    pub address: Option<Ipv4Addr>,
    /// What it boots.
    pub boot: Boot,
}

/// `[[group]]`: machines that are alike; whoever matches all that is named here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What people call it.
    pub name: String,
    /// Their network cards; empty: any.
    pub macs: Vec<MacPattern>,
    /// Their networks: of the relay agent's address, or else of this server's; empty: any.
    pub networks: Vec<IpNet>,
    /// Their processors and firmware; empty: any.
    pub archs: Vec<Arch>,
    /// What they boot.
    pub boot: Boot,
}

/// Processor and firmware, as far as rules tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// PC with a BIOS.
    Bios,
    /// 32-bit x86 with UEFI.
    EfiIa32,
    /// 64-bit x86 with UEFI.
    EfiX64,
    /// 32-bit ARM with UEFI.
    EfiArm32,
    /// 64-bit ARM with UEFI.
    EfiArm64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Arch; 5] = [
        Arch::Bios,
        Arch::EfiX64,
        Arch::EfiArm64,
        Arch::EfiIa32,
        Arch::EfiArm32,
    ];

    /// As it is written in `slamboot.toml`.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::Bios => "bios",
            Arch::EfiIa32 => "efi-ia32",
            Arch::EfiX64 => "efi-x64",
            Arch::EfiArm32 => "efi-arm32",
            Arch::EfiArm64 => "efi-arm64",
        }
    }
}

impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Host {
    /// The name, else the first card's address.
    pub fn label(&self) -> String {
        let mac = || self.macs.first().map(Mac::to_string).unwrap_or_default();
        self.name.clone().unwrap_or_else(mac)
    }
}

impl Default for Dhcp {
    fn default() -> Self {
        Dhcp {
            mode: DhcpMode::Auto,
            port: DEFAULT_DHCP_PORT,
            pxe_port: DEFAULT_PXE_PORT,
            strict: false,
            pool: None,
            lease_time: Duration::from_hours(1),
            router: None,
            dns: Vec::new(),
            relays: Vec::new(),
        }
    }
}

impl Default for Tftp {
    fn default() -> Self {
        Tftp {
            port: Some(DEFAULT_TFTP_PORT),
            required: false,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Http {
            max_connections: 1024,
        }
    }
}

impl Default for StatusPage {
    fn default() -> Self {
        StatusPage {
            shown: true,
            token_file: None,
            history: 500,
        }
    }
}

impl Default for Menu {
    fn default() -> Self {
        Menu {
            shown: false,
            timeout: Duration::from_secs(10),
        }
    }
}
