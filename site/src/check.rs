// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must hold between the values of a site, wherever they came from (file or command line).

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::{Complaint, nearest};
use crate::site::{Image, ImageKind, Site};

/// Largest block that fits one datagram: a 1,500-byte MTU less IPv4 (20), UDP (8) and the longest
/// header of a file below 2^37 bytes: transaction (7), length (5), block size (2), number (4).
///
/// A larger datagram would be fragmented, and iPXE reassembles fragments only when they arrive in
/// order (`ipv4.c`, `ipv4_reassemble`).
pub const MAX_BLOCK_SIZE: u16 = 1454;

/// Last multicast address (RFC 5771).
const LAST_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 255);

/// The value that a [`Conflict`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// `[server] address`
    Address,
    /// `[server] https_port`
    HttpsPort,
    /// `[slam] port`
    Port,
    /// `[slam] group`
    Group,
    /// `[slam] group_port`
    GroupPort,
    /// `[slam] slow_group`
    SlowGroup,
    /// `[slam] ttl`
    Ttl,
    /// `[slam] block_size`
    BlockSize,
    /// `name` of the image of this index.
    ImageName(usize),
    /// `args` of the image of this index.
    ImageArgs(usize),
}

/// Values that cannot be used, or not together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}\n  expected: {expected}\n  found: {found}\n  help: {help}")]
pub struct Conflict {
    /// The value to change.
    pub key: Key,
    /// What is wrong, in one line.
    pub what: String,
    /// What would be right.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// What to do.
    pub help: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Address => f.write_str("[server] address"),
            Key::HttpsPort => f.write_str("[server] https_port"),
            Key::Port => f.write_str("[slam] port"),
            Key::Group => f.write_str("[slam] group"),
            Key::SlowGroup => f.write_str("[slam] slow_group"),
            Key::GroupPort => f.write_str("[slam] group_port"),
            Key::Ttl => f.write_str("[slam] ttl"),
            Key::BlockSize => f.write_str("[slam] block_size"),
            Key::ImageName(_) => f.write_str("[[image]] name"),
            Key::ImageArgs(_) => f.write_str("[[image]] args"),
        }
    }
}

impl From<Conflict> for Complaint {
    fn from(conflict: Conflict) -> Complaint {
        Complaint::new(format!("{}: {}", conflict.key, conflict.what))
            .expected(conflict.expected)
            .found(conflict.found)
            .help(conflict.help)
    }
}

impl Site {
    /// Checks what must hold between the values; [`Site::load`] has done so already, whoever
    /// changes a site afterwards (command-line options) does it again.
    pub fn check(&self) -> Result<(), Conflict> {
        for (number, image) in self.images.iter().enumerate() {
            check_name(number, &image.name)?;
            check_args(number, image)?;
        }
        self.check_names_unique()?;
        self.check_address()?;
        self.check_ports()?;
        self.check_https()?;
        self.check_groups()?;
        if self.slam.ttl == 0 {
            return Err(Conflict {
                key: Key::Ttl,
                what: "no datagram would leave this host".to_owned(),
                expected: "1 (this segment) to 255".to_owned(),
                found: "0".to_owned(),
                help: "use 1 unless clients sit behind multicast routers".to_owned(),
            });
        }
        let block_size = self.slam.block_size;
        if !(1..=MAX_BLOCK_SIZE).contains(&block_size) {
            return Err(Conflict {
                key: Key::BlockSize,
                what: "one block must fit one unfragmented datagram (MTU 1500)".to_owned(),
                expected: format!("1 to {MAX_BLOCK_SIZE} bytes"),
                found: block_size.to_string(),
                help: "leave the key out: the default is the largest".to_owned(),
            });
        }
        Ok(())
    }

    /// Index of the image called `name`, or the nearest name there is.
    pub fn find_image(&self, name: &str) -> Result<usize, Option<&str>> {
        let names = || self.images.iter().map(|image| image.name.as_str());
        names()
            .position(|other| other == name)
            .ok_or_else(|| nearest(name, names()))
    }

    fn check_names_unique(&self) -> Result<(), Conflict> {
        let mut seen = HashMap::new();
        for (number, image) in self.images.iter().enumerate() {
            if let Some(first) = seen.insert(image.name.as_str(), number) {
                return Err(Conflict {
                    key: Key::ImageName(number),
                    what: "two images of one name".to_owned(),
                    expected: "a name of its own for each image".to_owned(),
                    found: format!(
                        "{:?} for images {} and {}",
                        image.name,
                        first + 1,
                        number + 1
                    ),
                    help: "rename one of them".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn check_address(&self) -> Result<(), Conflict> {
        if let (Some(address), [_, _, ..]) = (self.server.address, &self.server.interfaces[..]) {
            return Err(Conflict {
                key: Key::Address,
                what: "one address for several interfaces".to_owned(),
                expected: "clients are told the address of the interface by which they came"
                    .to_owned(),
                found: format!("{address} for {}", self.server.interfaces.join(", ")),
                help: "leave the key out, or name one interface".to_owned(),
            });
        }
        match self.server.address {
            Some(address)
                if address.is_multicast() || address.is_unspecified() || address.is_broadcast() =>
            {
                Err(Conflict {
                    key: Key::Address,
                    what: "clients send their requests to this address".to_owned(),
                    expected: "an IPv4 address of the interface".to_owned(),
                    found: address.to_string(),
                    help: "leave the key out to use the interface's own address".to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    fn check_https(&self) -> Result<(), Conflict> {
        let (Some(https), http) = (&self.server.https, self.server.http_port) else {
            return Ok(());
        };
        let conflict = |what: &str, expected: &str, found: String, help: &str| {
            Err(Conflict {
                key: Key::HttpsPort,
                what: what.to_owned(),
                expected: expected.to_owned(),
                found,
                help: help.to_owned(),
            })
        };
        match http {
            None => conflict(
                "HTTPS is served beside HTTP, from which machines boot",
                "a port for HTTP, too",
                "http_port = 0".to_owned(),
                "give http_port a port, or switch HTTPS off, too: https_port = 0",
            ),
            Some(port) if port == https.port => conflict(
                "one port for HTTP and HTTPS",
                "a port of its own for each",
                format!("{port} for both"),
                "leave http_port out for 8080, https_port for 8443",
            ),
            Some(_) => Ok(()),
        }
    }

    fn check_ports(&self) -> Result<(), Conflict> {
        let count = self.transfer_count();
        for (key, first) in [
            (Key::Port, self.slam.port),
            (Key::GroupPort, self.slam.group_port),
        ] {
            let last = usize::from(first) + count.saturating_sub(1);
            if first == 0 || last > usize::from(u16::MAX) {
                return Err(Conflict {
                    key,
                    what: format!("each of {count} files takes a port, counting up from this one"),
                    expected: match count {
                        0 | 1 => "1 to 65535".to_owned(),
                        _ if count > usize::from(u16::MAX) => "at most 65535 files".to_owned(),
                        _ => format!("1 to {}", usize::from(u16::MAX) + 1 - count),
                    },
                    found: first.to_string(),
                    help: "leave the key out: the default is 10000".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn check_groups(&self) -> Result<(), Conflict> {
        self.slam
            .group
            .v4()
            .map_or(Ok(()), |v4| self.check_group4(v4))?;
        self.slam
            .group
            .v6()
            .map_or(Ok(()), |v6| self.check_group6(v6))?;
        self.check_slow_groups()
    }

    /// Who is moved must not hear another file, or still the one that it was too slow for.
    fn check_slow_groups(&self) -> Result<(), Conflict> {
        let conflict = |what: &str, found: String| {
            Err(Conflict {
                key: Key::SlowGroup,
                what: what.to_owned(),
                expected: format!(
                    "{} groups for slow clients that are no file's own, of the families of \
                     [slam] group",
                    self.transfer_count() * self.slam.slow_groups_each()
                ),
                found,
                help: "leave the key out where there are less than 128 files, or name the first \
                       of a range that is free, such as 239.255.128.1"
                    .to_owned(),
            })
        };
        if self.slam.slow_groups_each() == 0 {
            return Ok(());
        }
        let (group, slow) = (self.slam.group, self.slam.slow_group());
        if group.v4().is_some() != slow.v4().is_some()
            || group.v6().is_some() != slow.v6().is_some()
        {
            let found = format!("{slow} beside {group}");
            return conflict("slow clients stay in their family", found);
        }
        let scope = |ip: IpAddr| match ip {
            IpAddr::V4(_) => 0,
            IpAddr::V6(v6) => v6.segments()[0],
        };
        let mut taken = HashMap::new();
        for transfer in self.transfers() {
            for (lane, group) in std::iter::once(&transfer.group)
                .chain(&transfer.slow_groups)
                .enumerate()
            {
                let ip = group.ip();
                if !ip.is_multicast() || scope(ip) != scope(transfer.group.ip()) {
                    return conflict("not in reach of the group itself", ip.to_string());
                }
                if let Some(other) = taken.insert(ip, transfer.name()) {
                    let whose = if lane == 0 { "" } else { " for slow clients" };
                    let found = format!("{ip} for {other} and for {}{whose}", transfer.name());
                    return conflict("one group for two", found);
                }
            }
        }
        Ok(())
    }

    fn check_group4(&self, first: Ipv4Addr) -> Result<(), Conflict> {
        let count = self.transfer_count();
        let steps = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
        let last = first.to_bits().checked_add(steps).map(Ipv4Addr::from_bits);
        let (what, found) = match last {
            _ if !first.is_multicast() => ("not a multicast address".to_owned(), first.to_string()),
            Some(last) if last.is_multicast() => return Ok(()),
            _ => (
                format!("each of {count} files takes a group, counting up from this one"),
                format!("{first}, so that the last lies beyond {LAST_GROUP}"),
            ),
        };
        Err(Conflict {
            key: Key::Group,
            what,
            expected: format!(
                "224.0.0.0 to {}",
                Ipv4Addr::from_bits(LAST_GROUP.to_bits().saturating_sub(steps))
            ),
            found,
            help: "use 239.255.1.1, which is administratively scoped (RFC 2365) and SLAM's default"
                .to_owned(),
        })
    }

    fn check_group6(&self, first: Ipv6Addr) -> Result<(), Conflict> {
        // RFC 4291 section 2.7: 0 is reserved, 1 is this host, and flags and scope are no part of
        // the group's number.
        let scope = first.octets()[1] & 0x0f;
        let steps = self.transfer_count().saturating_sub(1) as u128;
        let last = first.to_bits().saturating_add(steps);
        let what = if !first.is_multicast() {
            "not a multicast address"
        } else if scope < 2 {
            "nothing sent to this group leaves the host"
        } else if last >> 112 != first.to_bits() >> 112 {
            "each file takes a group, counting up from this one, and the last lies beyond its scope"
        } else {
            return Ok(());
        };
        Err(Conflict {
            key: Key::Group,
            what: what.to_owned(),
            expected: "ff02::/16 (this link), ff05::/16 (this site) or alike".to_owned(),
            found: first.to_string(),
            help: "use a transient group such as ff12::5a (this link) or ff15::5a (this site)"
                .to_owned(),
        })
    }

    fn transfer_count(&self) -> usize {
        self.images
            .iter()
            .map(|image| match &image.kind {
                ImageKind::Disk { .. } | ImageKind::Iso { .. } => 1,
                ImageKind::Linux { initrd, .. } => 1 + usize::from(initrd.is_some()),
            })
            .sum()
    }
}

/// Names stand unescaped in URIs, iPXE scripts (which know no quoting) and file names.
fn check_name(number: usize, name: &str) -> Result<(), Conflict> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(allowed)
        && name.len() <= 64;
    if good {
        return Ok(());
    }
    Err(Conflict {
        key: Key::ImageName(number),
        what: "not a usable image name".to_owned(),
        expected: "1 to 64 letters, digits, '-', '_' or '.', beginning with a letter or digit"
            .to_owned(),
        found: format!("{name:?}"),
        help: "the name stands in URIs and iPXE scripts, which cannot quote it".to_owned(),
    })
}

/// The command line stands in an iPXE script, where a line break or a separator would start
/// another command (iPXE `exec.c`, `command_terminator`).
fn check_args(number: usize, image: &Image) -> Result<(), Conflict> {
    let ImageKind::Linux { args, .. } = &image.kind else {
        return Ok(());
    };
    let separator = args
        .split_whitespace()
        .find(|word| matches!(*word, "||" | "&&" | ";") || word.starts_with('#'));
    let found = match separator {
        Some(separator) => format!("the word {separator:?}"),
        None if args.chars().any(|c| c.is_control() && c != '\t') => {
            format!("a control character in {args:?}")
        }
        None => return Ok(()),
    };
    Err(Conflict {
        key: Key::ImageArgs(number),
        what: "the kernel's command line would end early in an iPXE script".to_owned(),
        expected: "one line without the words ||, && and ;, and none that begins with #".to_owned(),
        found,
        help: "iPXE scripts know no quoting; write it another way".to_owned(),
    })
}
