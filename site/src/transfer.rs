// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which file travels on which port and group.
//!
//! A NACK names no image: the server's port does, so every file has its own server port and its
//! own group.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::groups::Groups;
use crate::site::{Image, ImageKind, Priority, Site, Slam};
use crate::slow::SlowClients;

/// How long a room is waited for where nothing else is said.
const LONGEST_GATHERING: Duration = Duration::from_mins(1);

/// In IPv4 the same address in the next /24, so that both are easy to tell apart.
const SLOW_GROUPS_APART: u32 = 256;

/// One file, multicast to one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The image that it belongs to.
    pub image: String,
    /// Which part of that image.
    pub part: TransferPart,
    /// The file.
    pub path: PathBuf,
    /// That of its image.
    pub priority: Priority,
    /// Server UDP port: where NACKs arrive.
    pub port: u16,
    /// Group and group port: where data is sent.
    pub group: SocketAddr,
    /// Where data is sent for slow clients that were moved, the fastest of them first; none unless
    /// rooms are split ([`SlowClients::Split`](crate::SlowClients::Split)).
    pub slow_groups: Vec<SocketAddr>,
}

/// A part of an image that travels by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferPart {
    /// The whole disk.
    Disk,
    /// The kernel of a Linux image.
    Kernel,
    /// The initial RAM disk of a Linux image.
    Initrd,
}

impl Transfer {
    /// `demo` for a disk, `debian/kernel` for a part.
    pub fn name(&self) -> String {
        match self.part {
            TransferPart::Disk => self.image.clone(),
            part => format!("{}/{part}", self.image),
        }
    }

    /// `x-slam://SERVER:PORT/GROUP:PORT` (iPXE `slam.c`, `slam_open`); an IPv6 address stands in
    /// brackets.
    pub fn uri(&self, server: impl fmt::Display) -> String {
        format!("x-slam://{server}:{}/{}", self.port, self.group)
    }

    /// Path of the same file over HTTP.
    pub fn http_path(&self) -> String {
        format!("/images/{}", self.name())
    }

    /// Path of its detached signature over HTTP; the file's is [`signature_of`] its own.
    pub fn signature_path(&self) -> String {
        format!("/signatures/{}", self.name())
    }
}

/// Where the detached signature of a file lies: `FILE.sig`, beside it.
pub fn signature_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

impl fmt::Display for TransferPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TransferPart::Disk => "disk",
            TransferPart::Kernel => "kernel",
            TransferPart::Initrd => "initrd",
        })
    }
}

impl Site {
    /// Every file that is multicast, with its port and group: one per disk image, one or two per
    /// Linux image, numbered in the order of the file. A file with a group of each family is there
    /// twice, IPv4 first, under one name and one port number.
    ///
    /// The arithmetic cannot overflow on a validated site: ports and groups were checked against
    /// the number of transfers.
    pub fn transfers(&self) -> Vec<Transfer> {
        assign(&self.slam, &self.images)
    }
}

impl Slam {
    /// So long a room is waited for at most, counted from its first client; `None`: until it is full,
    /// or not at all.
    pub fn gathering(&self) -> Option<Duration> {
        let full = self.min_clients.map(|_| LONGEST_GATHERING);
        self.max_wait.or(full)
    }

    /// Groups for slow clients that each file has, in each family.
    pub fn slow_groups_each(&self) -> usize {
        match self.slow_clients {
            SlowClients::Split(groups) => groups.get() - 1,
            SlowClients::Serve | SlowClients::DropBelow(_) | SlowClients::Cap => 0,
        }
    }

    /// The first of them: what the site says, or the address 256 after the first group.
    pub fn slow_group(&self) -> Groups {
        self.slow_group
            .unwrap_or(self.group.after(SLOW_GROUPS_APART))
    }
}

fn assign(slam: &Slam, images: &[Image]) -> Vec<Transfer> {
    let parts = images.iter().flat_map(|image| {
        let parts: Vec<(TransferPart, &PathBuf)> = match &image.kind {
            ImageKind::Disk { path } | ImageKind::Iso { path } => vec![(TransferPart::Disk, path)],
            ImageKind::Linux { kernel, initrd, .. } => {
                let kernel = (TransferPart::Kernel, kernel);
                let initrd = initrd.as_ref().map(|initrd| (TransferPart::Initrd, initrd));
                std::iter::once(kernel).chain(initrd).collect()
            }
        };
        parts
            .into_iter()
            .map(move |(part, path)| (image, part, path.clone()))
    });
    parts
        .enumerate()
        .flat_map(|(number, (image, part, path))| {
            let group_port = slam.group_port.saturating_add(number as u16);
            let slow = move |group: IpAddr| {
                let apart = slam.slow_groups_each();
                let same = move |other: &IpAddr| other.is_ipv4() == group.is_ipv4();
                (0..apart)
                    .filter_map(move |nth| slam.slow_group().nth(number * apart + nth).find(same))
                    .map(move |address| SocketAddr::new(address, group_port))
                    .collect()
            };
            let groups = slam.group.nth(number);
            groups.map(move |group| Transfer {
                image: image.name.clone(),
                priority: image.priority,
                part,
                path: path.clone(),
                port: slam.port.saturating_add(number as u16),
                group: SocketAddr::new(group, group_port),
                slow_groups: slow(group),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_its_own_port_and_group() {
        let site = Site {
            images: vec![
                Image {
                    name: "demo".into(),
                    kind: ImageKind::Disk {
                        path: "demo.img".into(),
                    },
                    priority: Priority::default(),
                },
                Image {
                    name: "debian".into(),
                    kind: ImageKind::Linux {
                        kernel: "linux".into(),
                        initrd: Some("initrd.gz".into()),
                        args: String::new(),
                    },
                    priority: Priority::default(),
                },
            ],
            ..Site::default()
        };
        let uris: Vec<_> = site
            .transfers()
            .iter()
            .map(|t| (t.name(), t.uri("10.0.0.1")))
            .collect();
        assert_eq!(
            uris,
            [
                (
                    "demo".into(),
                    "x-slam://10.0.0.1:10000/239.255.1.1:10000".into()
                ),
                (
                    "debian/kernel".into(),
                    "x-slam://10.0.0.1:10001/239.255.1.2:10001".into()
                ),
                (
                    "debian/initrd".into(),
                    "x-slam://10.0.0.1:10002/239.255.1.3:10002".into()
                ),
            ]
        );
    }

    #[test]
    fn slow_clients_have_groups_of_their_own_where_rooms_are_split() {
        let disk = |name: &str| Image {
            name: name.into(),
            kind: ImageKind::Disk { path: name.into() },
            priority: Priority::default(),
        };
        let mut site = Site {
            images: vec![disk("a"), disk("b")],
            ..Site::default()
        };
        site.slam.group = "239.255.1.1, ff15::5a".parse().unwrap();
        let slow = |site: &Site| -> Vec<String> {
            let all = site.transfers();
            let groups = all.iter().flat_map(|transfer| &transfer.slow_groups);
            groups.map(ToString::to_string).collect()
        };
        assert!(slow(&site).is_empty());
        site.slam.slow_clients = "split".parse().unwrap();
        assert_eq!(
            slow(&site),
            [
                "239.255.2.1:10000",
                "239.255.2.2:10000",
                "[ff15::15a]:10000",
                "[ff15::15b]:10000",
                "239.255.2.3:10001",
                "239.255.2.4:10001",
                "[ff15::15c]:10001",
                "[ff15::15d]:10001",
            ]
        );
        site.slam.slow_clients = "split into 2".parse().unwrap();
        site.slam.group = "239.255.1.1".parse().unwrap();
        site.slam.slow_group = Some("239.1.2.3".parse().unwrap());
        assert_eq!(slow(&site), ["239.1.2.3:10000", "239.1.2.4:10001"]);
    }

    #[test]
    fn a_file_with_both_families_is_there_twice() {
        let mut site = Site {
            images: vec![Image {
                name: "demo".into(),
                kind: ImageKind::Disk {
                    path: "demo.img".into(),
                },
                priority: Priority::default(),
            }],
            ..Site::default()
        };
        site.slam.group = "239.255.1.1, ff15::5a".parse().unwrap();
        let uris: Vec<_> = site.transfers().iter().map(|t| t.uri("S")).collect();
        assert_eq!(
            uris,
            [
                "x-slam://S:10000/239.255.1.1:10000",
                "x-slam://S:10000/[ff15::5a]:10000"
            ]
        );
    }
}
