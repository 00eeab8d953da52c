// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options of `slamboot serve`.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::Args;
use site::{BitRate, DhcpMode, Groups, IpNet, SlowClients};

/// Serve images by multicast (SLAM), and memdisk and boot scripts by HTTP.
///
/// Without any configuration, `slamboot serve FILE` serves one file as mini-slamd would: server
/// port 10000, group 239.255.1.1:10000. With a configuration (./slamboot.toml, or --config) it
/// serves the images named there; docs/slamboot.toml is an example with every key. Options given
/// here override the configuration.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
Examples:
  slamboot serve winpe.img --interface eth0     one file, no configuration
  slamboot serve                                what ./slamboot.toml names
  slamboot serve --config room.toml --json      events as JSON, one object per line
  slamboot serve lab.img --min-clients 30 --max-wait 120
                                                start when 30 PCs are there, or after 2 minutes

SIGHUP reads the configuration again; what is under way goes on as it began.

Exit codes: 0 stopped by SIGINT or SIGTERM, 1 failed, 2 wrong options.")]
pub(in crate::cli) struct ServeArgs {
    /// Disk images to serve, instead of those in the configuration
    #[arg(value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,

    /// Configuration [default: without FILE, ./slamboot.toml, else that of dist/, else /etc/slamboot/slamboot.toml]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Network interface to serve on; again for each further one [default: the only one that can]
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    pub(super) interface: Vec<String>,

    /// Address of the interface that clients are told [default: its first]
    #[arg(long, value_name = "IPV4", help_heading = "Network")]
    pub(super) address: Option<Ipv4Addr>,

    /// TCP port for memdisk, scripts and downloads by HTTP [default: 8080]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "Network"
    )]
    pub(super) http_port: Option<u16>,

    /// Serve no HTTP, nor HTTPS
    #[arg(long, conflicts_with_all = ["http_port", "https_port", "certificate"], help_heading = "Network")]
    pub(super) no_http: bool,

    /// Serve HTTPS, too, with this certificate (PEM: the server's, then its issuers')
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    pub(super) certificate: Option<PathBuf>,

    /// Private key of --certificate (PEM) [default: in the same file]
    #[arg(
        long,
        value_name = "FILE",
        requires = "certificate",
        help_heading = "Network"
    )]
    pub(super) key: Option<PathBuf>,

    /// TCP port of HTTPS [default: 8443]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "Network"
    )]
    pub(super) https_port: Option<u16>,

    /// What clients learn by DHCP: "proxy" beside another DHCP server, "pool" instead of one, "off",
    /// or "auto", proxy where that is possible [default: auto]
    #[arg(long, value_name = "MODE", value_parser = dhcp_mode, help_heading = "Network")]
    pub(super) dhcp: Option<DhcpMode>,

    /// Serve no TFTP
    #[arg(long, help_heading = "Network")]
    pub(super) no_tftp: bool,

    /// Server UDP port of the first file; each further one takes the next [default: 10000]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "SLAM"
    )]
    pub(super) port: Option<u16>,

    /// Multicast group of the first file, IPv4, IPv6 or one of each with a comma between; each
    /// further file takes the next [default: 239.255.1.1]
    #[arg(long, value_name = "GROUP", help_heading = "SLAM")]
    pub(super) group: Option<Groups>,

    /// UDP port of the first group [default: 10000]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "SLAM"
    )]
    pub(super) group_port: Option<u16>,

    /// Ceiling of what is sent for one file, such as "900 Mbit/s" [default: 900 Mbit/s]
    #[arg(long, value_name = "RATE", help_heading = "SLAM")]
    pub(super) max_rate: Option<BitRate>,

    /// Ceiling of what all files together may take, shared by priority [default: none]
    #[arg(long, value_name = "RATE", help_heading = "SLAM")]
    pub(super) total_rate: Option<BitRate>,

    /// Network whose clients are heard, such as 192.0.2.0/24; again for each further one [default:
    /// those of the interface; everybody with a TTL above 1]
    #[arg(long, value_name = "NETWORK", help_heading = "SLAM")]
    pub(super) allowed: Vec<IpNet>,

    /// Begin to send when so many clients are there [default: at once]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=4096),
        help_heading = "Rooms"
    )]
    pub(super) min_clients: Option<u32>,

    /// Begin to send so long after the first client came, even if not all are there [default: 60
    /// with --min-clients]
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(0..=86_400),
        help_heading = "Rooms"
    )]
    pub(super) max_wait: Option<u32>,

    /// What becomes of clients slower than their room: "none", "split" (into up to three groups by
    /// speed), "drop below 50 Mbit/s", "cap at the slowest" [default: none]
    #[arg(long, value_name = "POLICY", help_heading = "Rooms")]
    pub(super) slow_clients: Option<SlowClients>,

    /// First multicast group for slow clients of a room that is split; each file takes two
    /// [default: 256 addresses after --group]
    #[arg(long, value_name = "GROUP", help_heading = "Rooms")]
    pub(super) slow_group: Option<Groups>,

    /// Bytes in one block [default: 1454]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=i64::from(site::MAX_BLOCK_SIZE)),
        help_heading = "SLAM"
    )]
    pub(super) block_size: Option<u16>,

    /// Multicast time to live, or hop limit; 1 stays on the network segment [default: 1]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u8).range(1..),
        help_heading = "SLAM"
    )]
    pub(super) ttl: Option<u8>,

    /// How the summary and events are printed: "text", or "json", one object per line, each with its
    /// time (RFC 3339) and level [default: text]
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    pub(super) log: Option<String>,

    /// The same as --log json
    #[arg(long, conflicts_with = "log")]
    pub(super) json: bool,
}

impl ServeArgs {
    /// As typed with nothing but these.
    pub(in crate::cli) fn of(
        files: Vec<PathBuf>,
        config: Option<PathBuf>,
        interface: Vec<String>,
    ) -> ServeArgs {
        ServeArgs {
            files,
            config,
            interface,
            ..ServeArgs::default()
        }
    }
}

fn dhcp_mode(text: &str) -> Result<DhcpMode, String> {
    match text {
        "auto" => Ok(DhcpMode::Auto),
        "off" => Ok(DhcpMode::Off),
        "proxy" => Ok(DhcpMode::Proxy),
        "pool" => Ok(DhcpMode::Pool),
        _ => Err("expected auto, off, proxy or pool".to_owned()),
    }
}
