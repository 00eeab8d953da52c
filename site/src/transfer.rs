// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which file travels on which port and group.
//!
//! A NACK names no image: the server's port does, so every file has its own server port and its
//! own group.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::site::{Image, ImageKind, Priority, Site, Slam};

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
            let groups = slam.group.nth(number);
            groups.map(move |group| Transfer {
                image: image.name.clone(),
                priority: image.priority,
                part,
                path: path.clone(),
                port: slam.port.saturating_add(number as u16),
                group: SocketAddr::new(group, slam.group_port.saturating_add(number as u16)),
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
