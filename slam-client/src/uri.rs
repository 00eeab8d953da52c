// SPDX-License-Identifier: MIT OR Apache-2.0
//! `x-slam://SERVER[:PORT]/[GROUP[:PORT]]`, as iPXE writes it (`slam.c`, `slam_open`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Server UDP port, and group port, unless told otherwise.
pub const DEFAULT_PORT: u16 = 10000;
/// Group unless told otherwise.
pub const DEFAULT_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 1, 1);

const SCHEME: &str = "x-slam://";

/// Where a file comes from: the server that is asked, and the group that is listened to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SlamUri {
    /// Name or address of the server; an IPv6 address without brackets, its interface, if one is
    /// needed, after a `%`.
    pub server: String,
    /// Its UDP port, which also says which file is meant.
    pub port: u16,
    /// Multicast address and port.
    pub group: SocketAddr,
}

/// What is wrong with a URI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{uri}': {problem} (expected x-slam://SERVER[:PORT]/GROUP[:PORT], \
     as x-slam://10.0.0.1, x-slam://10.0.0.1:10001/239.255.1.2:10001 or \
     x-slam://[fd00::1]/[ff15::5a]:10000)"
)]
pub struct UriError {
    /// What was given.
    pub uri: String,
    /// What is wrong with it.
    pub problem: UriProblem,
}

/// The part of a URI that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriProblem {
    /// It does not begin with `x-slam://`.
    #[error("the scheme is not x-slam://")]
    Scheme,
    /// Nothing stands where the server should.
    #[error("the server is missing")]
    NoServer,
    /// The server is neither a name nor an address.
    #[error("'{0}' is neither a host name nor an address (IPv6: in brackets)")]
    Server(String),
    /// A port is no number from 1 to 65535.
    #[error("'{0}' is not a port (1 to 65535)")]
    Port(String),
    /// The group is not an address.
    #[error("the group '{0}' is not an IPv4 address, or an IPv6 address in brackets")]
    Group(String),
    /// The group's address is not a multicast address.
    #[error("the group {0} is not a multicast address (224.0.0.0 to 239.255.255.255, ff00::/8)")]
    NotMulticast(IpAddr),
}

impl FromStr for SlamUri {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Self, UriError> {
        parse(uri).map_err(|problem| UriError {
            uri: uri.to_owned(),
            problem,
        })
    }
}

impl fmt::Display for SlamUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SlamUri {
            server,
            port,
            group,
        } = self;
        if server.contains(':') {
            write!(f, "{SCHEME}[{server}]:{port}/{group}")
        } else {
            write!(f, "{SCHEME}{server}:{port}/{group}")
        }
    }
}

fn parse(uri: &str) -> Result<SlamUri, UriProblem> {
    let rest = uri
        .get(..SCHEME.len())
        .filter(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
        .map(|scheme| &uri[scheme.len()..])
        .ok_or(UriProblem::Scheme)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (server, port) = split_port(authority)?;
    if server.is_empty() {
        return Err(UriProblem::NoServer);
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let right = match unbracketed(server) {
        Some(server) => {
            let (address, interface) = server.split_once('%').unwrap_or((server, "lo"));
            address.parse::<Ipv6Addr>().is_ok()
                && !interface.is_empty()
                && interface.chars().all(is_name)
        }
        None => server.chars().all(is_name),
    };
    if !right {
        return Err(UriProblem::Server(server.to_owned()));
    }
    let server = unbracketed(server).unwrap_or(server);
    let (group, group_port) = split_port(path)?;
    // iPXE takes an IPv6 group without brackets as well, where no port follows.
    let group: IpAddr = match unbracketed(group) {
        _ if group.is_empty() => Ok(DEFAULT_GROUP.into()),
        Some(v6) => v6.parse::<Ipv6Addr>().map(IpAddr::V6),
        None => group.parse(),
    }
    .map_err(|_| UriProblem::Group(group.to_owned()))?;
    if !group.is_multicast() {
        return Err(UriProblem::NotMulticast(group));
    }
    Ok(SlamUri {
        server: server.to_owned(),
        port,
        group: SocketAddr::new(group, group_port),
    })
}

fn unbracketed(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

fn split_port(text: &str) -> Result<(&str, u16), UriProblem> {
    // The colons within brackets are the address's own, and so are several without.
    let bare = text.matches(':').count() > 1 && !text.contains(['[', ']']);
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !bare && !port.contains(']') => (host, port),
        _ => return Ok((text, DEFAULT_PORT)),
    };
    let number = port
        .parse()
        .ok()
        // `parse` takes a leading plus.
        .filter(|&number| number > 0 && !port.starts_with('+'))
        .ok_or_else(|| UriProblem::Port(port.to_owned()))?;
    Ok((host, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_default() {
        let full = |server: &str, port, group: [u8; 4], group_port| SlamUri {
            server: server.into(),
            port,
            group: SocketAddr::from((group, group_port)),
        };
        let cases = [
            (
                "x-slam://10.0.0.1",
                full("10.0.0.1", 10000, [239, 255, 1, 1], 10000),
            ),
            (
                "x-slam://boot/",
                full("boot", 10000, [239, 255, 1, 1], 10000),
            ),
            ("X-SLAM://boot:7", full("boot", 7, [239, 255, 1, 1], 10000)),
            ("x-slam://boot/:9", full("boot", 10000, [239, 255, 1, 1], 9)),
            (
                "x-slam://boot/224.1.2.3",
                full("boot", 10000, [224, 1, 2, 3], 10000),
            ),
            (
                "x-slam://a.b-c:10001/239.255.1.2:10002",
                full("a.b-c", 10001, [239, 255, 1, 2], 10002),
            ),
        ];
        for (text, expected) in cases {
            let uri: SlamUri = text.parse().unwrap();
            assert_eq!(uri, expected, "{text}");
            assert_eq!(uri.to_string().parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn ipv6_stands_in_brackets() {
        let cases = [
            (
                "x-slam://[fd00::1]/[ff15::5a]",
                "fd00::1",
                10000,
                "[ff15::5a]:10000",
            ),
            (
                "x-slam://[fd00::1]:7/[ff15::5a]:8",
                "fd00::1",
                7,
                "[ff15::5a]:8",
            ),
            (
                "x-slam://[fe80::1%eth0]/ff12::5a",
                "fe80::1%eth0",
                10000,
                "[ff12::5a]:10000",
            ),
            ("x-slam://boot:9/[ff15::5a]:8", "boot", 9, "[ff15::5a]:8"),
        ];
        for (text, server, port, group) in cases {
            let uri: SlamUri = text.parse().unwrap();
            assert_eq!((uri.server.as_str(), uri.port), (server, port), "{text}");
            assert_eq!(uri.group.to_string(), group, "{text}");
            assert_eq!(uri.to_string().parse(), Ok(uri), "{text}");
        }
    }

    #[test]
    fn errors_name_the_part() {
        let cases = [
            ("http://boot/x", UriProblem::Scheme),
            ("", UriProblem::Scheme),
            ("x-slam:/é/boot", UriProblem::Scheme),
            ("x-slam:///239.255.1.1", UriProblem::NoServer),
            ("x-slam://:10000", UriProblem::NoServer),
            ("x-slam://[::1/", UriProblem::Server("[:".into())),
            (
                "x-slam://[fe80::1%]/",
                UriProblem::Server("[fe80::1%]".into()),
            ),
            (
                "x-slam://[10.0.0.1]/",
                UriProblem::Server("[10.0.0.1]".into()),
            ),
            ("x-slam://fd00::1", UriProblem::Server("fd00::1".into())),
            ("x-slam://boot/[ff15::5a", UriProblem::Port("5a".into())),
            ("x-slam://boot/[ff15::5a]:", UriProblem::Port(String::new())),
            (
                "x-slam://[fd00::1]/[fd00::2]",
                UriProblem::NotMulticast("fd00::2".parse().unwrap()),
            ),
            ("x-slam://a b", UriProblem::Server("a b".into())),
            ("x-slam://boot:0", UriProblem::Port("0".into())),
            ("x-slam://boot:65536", UriProblem::Port("65536".into())),
            ("x-slam://boot:+5", UriProblem::Port("+5".into())),
            ("x-slam://boot:", UriProblem::Port(String::new())),
            ("x-slam://boot/239.1.1", UriProblem::Group("239.1.1".into())),
            ("x-slam://boot/x:5", UriProblem::Group("x".into())),
            (
                "x-slam://boot/10.0.0.1",
                UriProblem::NotMulticast(IpAddr::from([10, 0, 0, 1])),
            ),
        ];
        for (text, expected) in cases {
            let error = text.parse::<SlamUri>().unwrap_err();
            match (&error.problem, &expected) {
                // Where exactly a bracketed address is cut does not matter.
                (UriProblem::Port(_), UriProblem::Server(_)) => {}
                (found, expected) => assert_eq!(found, expected, "{text}"),
            }
            assert!(error.to_string().contains(text));
        }
    }
}
