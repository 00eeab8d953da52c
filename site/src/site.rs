// SPDX-License-Identifier: MIT OR Apache-2.0
//! The validated site: what is left after `slamboot.toml` has been read and checked.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use crate::boot::{Dhcp, Group, Host, Http, Menu, StatusPage, Tftp};
use crate::check::MAX_BLOCK_SIZE;
use crate::groups::Groups;
use crate::knobs::Knobs;
use crate::rate::BitRate;
use crate::slow::SlowClients;

/// Server UDP port of the first transfer (iPXE `slam.c`, `SLAM_DEFAULT_PORT`).
pub const DEFAULT_SLAM_PORT: u16 = 10000;
/// Group of the first transfer (iPXE `slam.c`, `SLAM_DEFAULT_MULTICAST_IP`).
pub const DEFAULT_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 1, 1);
/// HTTP port for memdisk, scripts and the fallback.
pub const DEFAULT_HTTP_PORT: u16 = 8080;
/// HTTPS, where there is a certificate.
pub const DEFAULT_HTTPS_PORT: u16 = 8443;
/// Bytes in a block: the most that no datagram is fragmented for.
pub const DEFAULT_BLOCK_SIZE: u16 = MAX_BLOCK_SIZE;

/// A whole site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where the server listens.
    pub server: Server,
    /// How transfers are multicast.
    pub slam: Slam,
    /// Addresses, and what boots.
    pub dhcp: Dhcp,
    /// TFTP.
    pub tftp: Tftp,
    /// HTTP, beside `server.http_port`.
    pub http: Http,
    /// What people see of it.
    pub status: StatusPage,
    /// What goes into the ROMs.
    pub firmware: Firmware,
    /// What is offered to whom no rule names.
    pub menu: Menu,
    /// Machines that are known.
    pub hosts: Vec<Host>,
    /// Rules for many machines; the first that fits holds.
    pub groups: Vec<Group>,
    /// What is served, in the order of the file; names are unique.
    pub images: Vec<Image>,
    /// Index into `images` of the one that clients boot when nobody chooses; 0 unless named.
    pub default_image: usize,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Interfaces to serve on, a session of each file on each; none: the only candidate, and an
    /// error where there are several.
    pub interfaces: Vec<String>,
    /// Address that clients are told; `None`: the interface's first IPv4 address for the server,
    /// and iPXE's `${next-server}` for firmware scripts.
    pub address: Option<Ipv4Addr>,
    /// The same for IPv6 groups; `None`: the interface's first that is routable, else its first for
    /// the server, and HTTP instead for firmware scripts.
    pub address6: Option<Ipv6Addr>,
    /// HTTP port; `None` switches HTTP off.
    pub http_port: Option<u16>,
    /// The same over TLS, beside HTTP; `None`: no certificate, or switched off.
    pub https: Option<Https>,
    /// Where memdisk lies on this host (Debian: package syslinux-common).
    pub memdisk: PathBuf,
    /// Directory of the ROMs that vendor firmware boots; `None`: where `cargo xtask dist` and
    /// packages put them.
    pub firmware: Option<PathBuf>,
    /// Directory for what survives a restart (leases, assignments); `None`: the system's place.
    pub state: Option<PathBuf>,
    /// User to become, once ports are bound; `None`: none.
    pub user: Option<String>,
}

/// `[slam]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slam {
    /// Server UDP port of the first transfer; each further one takes the next.
    pub port: u16,
    /// Groups of the first transfer; each further one takes the next addresses.
    pub group: Groups,
    /// UDP port of the first group; each further transfer takes the next.
    pub group_port: u16,
    /// Ceiling of what one session sends.
    pub max_rate: BitRate,
    /// Ceiling of what all sessions send together, shared by the priority of their images.
    pub total_rate: Option<BitRate>,
    /// Networks whose clients are heard; `None`: those of the interface, and everybody where data
    /// goes through routers (a `ttl` above 1).
    pub allowed: Option<Vec<IpNet>>,
    /// So many clients make a room full, and sending begins; `None`: nobody is waited for.
    pub min_clients: Option<u32>,
    /// Sending begins so long after the first client has come, full or not; `None`: a minute, where
    /// `min_clients` is given.
    pub max_wait: Option<Duration>,
    /// What becomes of clients that are slower than their room.
    pub slow_clients: SlowClients,
    /// Groups of the first transfer for slow clients, where a room is split; each further one takes
    /// as many next addresses. `None`: 256 addresses after `group`.
    pub slow_group: Option<Groups>,
    /// Multicast TTL, or hop limit; 1 keeps traffic on the segment.
    pub ttl: u8,
    /// Bytes in a block.
    pub block_size: u16,
    /// Whether stock 32-bit iPXE clients may take part, which limits a file to 2^29 - 1 bytes
    /// (iPXE `slam.c`, `slam_pull_value`).
    pub stock_clients: bool,
}

/// Which SLAM client goes into the ROMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// slamboot's: asks at once and for everything, takes files beyond 512 MiB and IPv6 groups.
    Slamboot,
    /// Upstream's own, with slamboot's fix for explicit groups.
    Stock,
}

/// `https_port`, `certificate` and `key` under `[server]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Https {
    /// TCP port.
    pub port: u16,
    /// The certificate and those between it and its root (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM); the certificate's own file where none is named.
    pub key: PathBuf,
}

/// `[firmware]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// Name of a release pinned in `firmware/ipxe.toml`.
    pub release: String,
    /// iPXE make targets by short name, such as `undionly.kpxe` or `8086100e.mrom`; empty: the
    /// default set.
    pub targets: Vec<String>,
    /// Further named sets of targets, for `--set`; one of slamboot's own names takes its place.
    pub sets: BTreeMap<String, Vec<String>>,
    /// Which SLAM client is linked in.
    pub client: Client,
    /// Whether ROMs report group membership (IGMP, MLD), which switches with snooping need.
    pub igmp: bool,
    /// Whether BIOS builds speak IPv6, too, as all others do: iPXE leaves it out there for size.
    pub ipv6: bool,
    /// Whether BIOS builds talk on the first serial port, 115200 8N1, too.
    pub serial: bool,
    /// How often the embedded script tries before it gives up; 0: for ever.
    pub retries: u32,
    /// What the embedded script does by itself.
    pub script: EmbeddedScript,
    /// Whom ROMs trust; `None`: whatever is fetched runs.
    pub trust: Option<Trust>,
    /// Further protocols, commands, consoles and settings of iPXE.
    pub knobs: Knobs,
}

/// `[firmware.script]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedScript {
    /// Whether the server's own script goes first. Without it the menu and what each `[[host]]` boots
    /// are built in.
    pub ask_server: bool,
    /// Whether a file that multicast did not bring is fetched over HTTP.
    pub http_fallback: bool,
    /// The network in which each `[[host]]` has its `address` without DHCP; `None`: all ask DHCP.
    pub static_network: Option<Ipv4Net>,
    /// The VLAN whose tag the ROM gives what it sends, 1 to 4094; `None`: it sends no tags.
    pub vlan: Option<u16>,
    /// A script of the site's own in place of slamboot's.
    pub file: Option<PathBuf>,
}

/// `trust` under `[firmware]`: only what somebody signed runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The root certificate (PEM).
    pub root: PathBuf,
}

/// `[[image]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Unique; letters, digits, `-`, `_` and `.`, as it stands in URIs and scripts.
    pub name: String,
    /// What it is, and so how it boots.
    pub kind: ImageKind,
    /// Its share of `total_rate` while others are sent, too.
    pub priority: Priority,
}

/// What an image weighs where several share a rate: twice the priority, twice the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u8);

impl Priority {
    /// The highest.
    pub const MAX: u8 = 10;

    /// A priority of 1 to [`Priority::MAX`].
    pub fn new(priority: u8) -> Option<Priority> {
        (1..=Priority::MAX)
            .contains(&priority)
            .then_some(Priority(priority))
    }

    /// As a number from 1 to [`Priority::MAX`].
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Priority(5)
    }
}

/// How an image boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageKind {
    /// A hard-disk image, booted through memdisk.
    Disk {
        /// The raw image.
        path: PathBuf,
    },
    /// An ISO image, which memdisk presents as a CD.
    Iso {
        /// The image.
        path: PathBuf,
    },
    /// A Linux kernel and its initial RAM disk.
    Linux {
        /// bzImage.
        kernel: PathBuf,
        /// Initial RAM disk, if the kernel wants one.
        initrd: Option<PathBuf>,
        /// Kernel command line.
        args: String,
    },
}

impl Site {
    /// The image that clients boot when nobody chooses.
    pub fn default_image(&self) -> Option<&Image> {
        self.images.get(self.default_image)
    }
}

impl Default for Site {
    fn default() -> Self {
        Site {
            server: Server {
                interfaces: Vec::new(),
                address: None,
                address6: None,
                http_port: Some(DEFAULT_HTTP_PORT),
                https: None,
                memdisk: PathBuf::from("/usr/lib/syslinux/memdisk"),
                firmware: None,
                state: None,
                user: None,
            },
            slam: Slam {
                port: DEFAULT_SLAM_PORT,
                group: Groups::V4(DEFAULT_GROUP),
                group_port: DEFAULT_SLAM_PORT,
                max_rate: BitRate::from_bits_per_second(900_000_000),
                total_rate: None,
                allowed: None,
                min_clients: None,
                max_wait: None,
                slow_clients: SlowClients::Serve,
                slow_group: None,
                ttl: 1,
                block_size: DEFAULT_BLOCK_SIZE,
                stock_clients: true,
            },
            firmware: Firmware {
                release: "v2.0.0".to_owned(),
                targets: Vec::new(),
                sets: BTreeMap::new(),
                client: Client::Slamboot,
                igmp: true,
                ipv6: false,
                serial: true,
                retries: 5,
                script: EmbeddedScript {
                    ask_server: true,
                    http_fallback: true,
                    static_network: None,
                    vlan: None,
                    file: None,
                },
                trust: None,
                knobs: Knobs::default(),
            },
            dhcp: Dhcp::default(),
            tftp: Tftp::default(),
            http: Http::default(),
            status: StatusPage::default(),
            menu: Menu::default(),
            hosts: Vec::new(),
            groups: Vec::new(),
            images: Vec::new(),
            default_image: 0,
        }
    }
}
