// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is served, said once at the start: for people a page with the next step, for programs one
//! JSON object.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Serialize;
use site::Slam;

use super::event::{Bytes, lossy_path};

/// What `serve` serves.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename = "serving")]
pub struct Summary {
    /// The configuration, where one was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Interfaces; the first one's values stand beside, too.
    pub interfaces: Vec<SummaryInterface>,
    /// Interface.
    pub interface: String,
    /// Its address, which clients are told.
    pub address: Ipv4Addr,
    /// Every file, once for each interface and family.
    pub transfers: Vec<SummaryTransfer>,
    /// HTTP, unless it is off.
    pub http: Option<SummaryHttp>,
    /// What lets machines boot from the network.
    pub boot: SummaryBoot,
    /// The status page, where it is served.
    pub status: Option<SummaryStatus>,
    /// Settings of the transfers, for people.
    #[serde(skip)]
    pub slam: Slam,
    /// What may stand in the way, for people.
    pub warnings: Vec<String>,
}

/// One interface.
#[derive(Clone, Debug, Serialize)]
pub struct SummaryInterface {
    /// Its name.
    pub interface: String,
    /// Its address, which clients there are told.
    pub address: Ipv4Addr,
    /// `http://ADDRESS:PORT`, unless HTTP is off.
    pub http: Option<String>,
    /// `https://ADDRESS:PORT`, with a certificate.
    pub https: Option<String>,
    /// Networks whose clients are heard there; null: everybody.
    pub allowed: Option<Vec<String>>,
}

/// One file.
#[derive(Clone, Debug, Serialize)]
pub struct SummaryTransfer {
    /// Name of the transfer.
    pub name: String,
    /// By which interface.
    pub interface: String,
    /// The file.
    #[serde(serialize_with = "lossy_path")]
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Its digest, hexadecimal.
    pub sha256: String,
    /// The transaction that SLAM clients see, hexadecimal; derived from the digest.
    pub transaction: String,
    /// Group and port.
    pub group: String,
    /// `x-slam://...`
    pub slam: String,
    /// `http://...`, unless HTTP is off.
    pub http: Option<String>,
}

/// What HTTP serves besides.
#[derive(Clone, Debug, Serialize)]
pub struct SummaryHttp {
    /// `http://ADDRESS:PORT`
    pub base: String,
    /// The image that `/boot.ipxe` boots.
    pub default_image: String,
    /// memdisk.
    pub memdisk: Memdisk,
}

/// The status page.
#[derive(Clone, Debug, Serialize)]
pub struct SummaryStatus {
    /// Where it is.
    pub page: String,
    /// The file with the token of those who may do something; null: nobody may.
    pub token_file: Option<String>,
}

/// The boot services.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SummaryBoot {
    /// DHCP.
    pub dhcp: SummaryDhcp,
    /// TFTP: where it answers.
    pub tftp: Vec<SocketAddr>,
    /// Why TFTP does not answer, where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_tftp: Option<String>,
    /// Boot programs that are handed out.
    pub roms: Vec<SummaryRom>,
    /// Where they lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
}

/// Whether, and how, DHCP answers.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum SummaryDhcp {
    /// It does not.
    Off {
        /// Why.
        why: String,
    },
    /// This host alone is served.
    #[default]
    Loopback,
    /// It tells what boots, beside another server.
    Proxy {
        /// UDP ports.
        ports: [u16; 2],
    },
    /// It leases addresses.
    Pool {
        /// UDP ports.
        ports: [u16; 2],
        /// Addresses of each interface.
        pools: Vec<String>,
    },
}

/// A boot program.
#[derive(Clone, Debug, Serialize)]
pub struct SummaryRom {
    /// For which machines.
    pub arch: String,
    /// Its name.
    pub name: String,
    /// Whether it was proven to hold SLAM.
    pub slam: bool,
}

impl SummaryBoot {
    fn write(&self, f: &mut fmt::Formatter<'_>, server: Ipv4Addr) -> fmt::Result {
        match &self.dhcp {
            SummaryDhcp::Loopback => return Ok(()),
            SummaryDhcp::Off { why } => {
                writeln!(f, "  DHCP     off: {why}")?;
                let names: Vec<String> = self
                    .roms
                    .iter()
                    .map(|rom| format!("{} for {}", rom.name, rom.arch))
                    .collect();
                if !names.is_empty() && !self.tftp.is_empty() {
                    writeln!(
                        f,
                        "           let your DHCP server say: next-server {server}, boot file {}",
                        names.join(", ")
                    )?;
                }
            }
            SummaryDhcp::Proxy { ports: [main, pxe] } => writeln!(
                f,
                "  DHCP     proxy (UDP {main}, {pxe}): your DHCP server gives addresses, this one says what boots"
            )?,
            SummaryDhcp::Pool {
                ports: [main, pxe],
                pools,
            } => writeln!(
                f,
                "  DHCP     pool (UDP {main}, {pxe}): leases {}",
                pools.join("; ")
            )?,
        }
        if let Some(why) = &self.no_tftp {
            writeln!(f, "  TFTP     off: {why}")?;
        } else {
            let at: Vec<String> = self.tftp.iter().map(ToString::to_string).collect();
            writeln!(f, "  TFTP     {}", at.join(", "))?;
        }
        let names: Vec<String> = self
            .roms
            .iter()
            .map(|rom| {
                let slam = if rom.slam { "" } else { " without multicast" };
                format!("{} for {}{slam}", rom.name, rom.arch)
            })
            .collect();
        match (&self.firmware, names.as_slice()) {
            (Some(place), [_, ..]) => {
                writeln!(f, "  ROMs     {} ({place})", names.join(", "))
            }
            _ => writeln!(
                f,
                "  ROMs     none: machines without a ROM of ours boot nothing; `cargo xtask dist` builds some, [server] firmware = \"DIR\" names them"
            ),
        }
    }
}

/// Whether memdisk is there.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Memdisk {
    /// It is.
    Found {
        /// Where.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// It is not.
    Missing {
        /// Where it should be.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
    },
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: BTreeSet<&str> = self.transfers.iter().map(|t| t.name.as_str()).collect();
        let files = match names.len() {
            1 => "1 file".to_owned(),
            count => format!("{count} files"),
        };
        let several = self.interfaces.len() > 1;
        write!(f, "slamboot serves {files} on ")?;
        for (number, interface) in self.interfaces.iter().enumerate() {
            let comma = if number > 0 { "; " } else { "" };
            write!(f, "{comma}{}, {}", interface.interface, interface.address)?;
        }
        writeln!(f)?;
        for transfer in &self.transfers {
            write!(f, "\n  {}", transfer.name)?;
            if several {
                write!(f, " on {}", transfer.interface)?;
            }
            writeln!(f)?;
            writeln!(
                f,
                "    file         {}, {}",
                transfer.path.display(),
                Bytes(transfer.bytes)
            )?;
            writeln!(f, "    sha256       {}", transfer.sha256)?;
            writeln!(
                f,
                "    transaction  {} (from the digest)",
                transfer.transaction
            )?;
            writeln!(f, "    group        {}", transfer.group)?;
            writeln!(f, "    SLAM         {}", transfer.slam)?;
            if let Some(http) = &transfer.http {
                writeln!(f, "    HTTP         {http}")?;
            }
        }
        writeln!(f)?;
        if let Some(config) = &self.config {
            writeln!(f, "  config   {config}")?;
        }
        writeln!(
            f,
            "  rate     at most {} for each file, {}in blocks of {} bytes, TTL {}",
            self.slam.max_rate,
            self.slam
                .total_rate
                .map_or_else(String::new, |rate| format!("{rate} for all, ")),
            self.slam.block_size,
            self.slam.ttl
        )?;
        for interface in &self.interfaces {
            let place = if several {
                format!(" on {}", interface.interface)
            } else {
                String::new()
            };
            match &interface.allowed {
                Some(networks) => writeln!(f, "  clients  from {}{place}", networks.join(", "))?,
                None => writeln!(f, "  clients  from everywhere{place}")?,
            }
        }
        match &self.http {
            Some(http) => {
                for base in self.interfaces.iter().filter_map(|i| i.http.as_ref()) {
                    writeln!(
                        f,
                        "  script   {base}/boot.ipxe (boots {})",
                        http.default_image
                    )?;
                }
                for base in self.interfaces.iter().filter_map(|i| i.https.as_ref()) {
                    writeln!(f, "  HTTPS    {base}")?;
                }
                match &http.memdisk {
                    Memdisk::Found { path, bytes } => {
                        writeln!(f, "  memdisk  {}, {}", path.display(), Bytes(*bytes))?;
                    }
                    Memdisk::Missing { path } => writeln!(
                        f,
                        "  memdisk  not at {}: disk images will not boot; apt-get install \
                         syslinux-common, or name it: [server] memdisk = \"FILE\"",
                        path.display()
                    )?,
                }
            }
            None => writeln!(
                f,
                "  HTTP     off: clients need memdisk and a script from elsewhere"
            )?,
        }
        self.boot.write(f, self.address)?;
        if let Some(status) = &self.status {
            write!(f, "  page     {}", status.page)?;
            match &status.token_file {
                Some(file) => writeln!(f, " (to do something there: the token in {file})")?,
                None => writeln!(f, " (read only)")?,
            }
        }
        for warning in &self.warnings {
            writeln!(f, "  warning  {warning}")?;
        }
        if let Some(first) = self.transfers.first() {
            let local = first.name.replace('/', "-");
            writeln!(f, "\nNext, on a client:")?;
            writeln!(
                f,
                "  in a shell         slam-client {} -o {local}",
                first.slam
            )?;
            match &self.http {
                Some(http) => {
                    writeln!(
                        f,
                        "  at iPXE's prompt   dhcp && chain {}/boot.ipxe",
                        http.base
                    )?;
                }
                None => writeln!(f, "  at iPXE's prompt   dhcp && imgfetch {}", first.slam)?,
            }
        }
        f.write_str("\nWaiting for clients; Ctrl-C stops.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            config: Some("/etc/slamboot/slamboot.toml".to_owned()),
            interfaces: vec![SummaryInterface {
                interface: "eth0".to_owned(),
                address: Ipv4Addr::new(192, 0, 2, 2),
                http: Some("http://192.0.2.2:8080".to_owned()),
                https: None,
                allowed: Some(vec!["192.0.2.0/24".to_owned()]),
            }],
            interface: "eth0".to_owned(),
            address: Ipv4Addr::new(192, 0, 2, 2),
            transfers: vec![SummaryTransfer {
                name: "demo".to_owned(),
                interface: "eth0".to_owned(),
                path: "/srv/demo.img".into(),
                bytes: 64 << 20,
                sha256: "ab".repeat(32),
                transaction: "1a2b".to_owned(),
                group: "239.255.1.1:10000".to_owned(),
                slam: "x-slam://192.0.2.2:10000/239.255.1.1:10000".to_owned(),
                http: Some("http://192.0.2.2:8080/images/demo".to_owned()),
            }],
            http: Some(SummaryHttp {
                base: "http://192.0.2.2:8080".to_owned(),
                default_image: "demo".to_owned(),
                memdisk: Memdisk::Found {
                    path: "/usr/lib/syslinux/memdisk".into(),
                    bytes: 26_140,
                },
            }),
            boot: SummaryBoot::default(),
            slam: site::Site::default().slam,
            status: None,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn says_what_is_served_and_what_to_type() {
        let expected = "\
slamboot serves 1 file on eth0, 192.0.2.2

  demo
    file         /srv/demo.img, 64.0 MiB
    sha256       abababababababababababababababababababababababababababababababab
    transaction  1a2b (from the digest)
    group        239.255.1.1:10000
    SLAM         x-slam://192.0.2.2:10000/239.255.1.1:10000
    HTTP         http://192.0.2.2:8080/images/demo

  config   /etc/slamboot/slamboot.toml
  rate     at most 900 Mbit/s for each file, in blocks of 1454 bytes, TTL 1
  clients  from 192.0.2.0/24
  script   http://192.0.2.2:8080/boot.ipxe (boots demo)
  memdisk  /usr/lib/syslinux/memdisk, 25.5 KiB

Next, on a client:
  in a shell         slam-client x-slam://192.0.2.2:10000/239.255.1.1:10000 -o demo
  at iPXE's prompt   dhcp && chain http://192.0.2.2:8080/boot.ipxe

Waiting for clients; Ctrl-C stops.";
        assert_eq!(summary().to_string(), expected);
    }

    #[test]
    fn several_interfaces_each_have_their_addresses() {
        let mut summary = summary();
        summary.interfaces.push(SummaryInterface {
            interface: "eth0.20".to_owned(),
            address: Ipv4Addr::new(198, 51, 100, 2),
            http: Some("http://198.51.100.2:8080".to_owned()),
            https: Some("https://198.51.100.2:8443".to_owned()),
            allowed: None,
        });
        let mut transfer = summary.transfers[0].clone();
        transfer.interface = "eth0.20".to_owned();
        summary.transfers.push(transfer);
        summary.slam.total_rate = "500 Mbit/s".parse().ok();
        let text = summary.to_string();
        for line in [
            "slamboot serves 1 file on eth0, 192.0.2.2; eth0.20, 198.51.100.2",
            "  demo on eth0",
            "  demo on eth0.20",
            "  rate     at most 900 Mbit/s for each file, 500 Mbit/s for all, in blocks of 1454 bytes, TTL 1",
            "  clients  from 192.0.2.0/24 on eth0",
            "  clients  from everywhere on eth0.20",
            "  script   http://192.0.2.2:8080/boot.ipxe (boots demo)",
            "  script   http://198.51.100.2:8080/boot.ipxe (boots demo)",
            "  HTTPS    https://198.51.100.2:8443",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    #[test]
    fn says_what_is_missing() {
        let mut summary = summary();
        summary.warnings.push("eth0 has no carrier".to_owned());
        summary.http.as_mut().unwrap().memdisk = Memdisk::Missing {
            path: "/opt/memdisk".into(),
        };
        let text = summary.to_string();
        assert!(text.contains("memdisk  not at /opt/memdisk: disk images will not boot; apt-get install syslinux-common"), "{text}");
        assert!(text.contains("warning  eth0 has no carrier"), "{text}");
        summary.http = None;
        let text = summary.to_string();
        assert!(
            text.contains("dhcp && imgfetch x-slam://192.0.2.2:10000/"),
            "{text}"
        );
        assert!(text.contains("HTTP     off"), "{text}");
    }

    #[test]
    fn json_is_one_object() {
        let json = serde_json::to_string(&summary()).unwrap();
        assert!(!json.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["event"], "serving");
        assert_eq!(value["transfers"][0]["bytes"], 64 << 20);
        assert_eq!(value["http"]["memdisk"]["state"], "found");
    }
}
