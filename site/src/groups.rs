// SPDX-License-Identifier: MIT OR Apache-2.0
//! The groups that files are sent to: IPv4, IPv6, or one of each at once.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Groups of the first file; each further one takes the next address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// An IPv4 group.
    V4(Ipv4Addr),
    /// An IPv6 group.
    V6(Ipv6Addr),
    /// A group of each family: every file has two sessions.
    Both(Ipv4Addr, Ipv6Addr),
}

/// A text that names no groups.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} names no group: expected an IPv4 or IPv6 address, or one of each with a comma between, such as 239.255.1.1, ff15::5a or \"239.255.1.1, ff15::5a\""
)]
pub struct GroupsError {
    found: String,
}

impl Groups {
    /// The IPv4 group.
    pub fn v4(self) -> Option<Ipv4Addr> {
        match self {
            Groups::V4(group) | Groups::Both(group, _) => Some(group),
            Groups::V6(_) => None,
        }
    }

    /// The IPv6 group.
    pub fn v6(self) -> Option<Ipv6Addr> {
        match self {
            Groups::V6(group) | Groups::Both(_, group) => Some(group),
            Groups::V4(_) => None,
        }
    }

    /// The groups that come so many addresses later. Addresses that would lie beyond the last one
    /// stay at it.
    #[must_use]
    pub fn after(self, steps: u32) -> Groups {
        let v4 = |first: Ipv4Addr| Ipv4Addr::from_bits(first.to_bits().saturating_add(steps));
        let v6 =
            |first: Ipv6Addr| Ipv6Addr::from_bits(first.to_bits().saturating_add(steps.into()));
        match self {
            Groups::V4(group) => Groups::V4(v4(group)),
            Groups::V6(group) => Groups::V6(v6(group)),
            Groups::Both(group4, group6) => Groups::Both(v4(group4), v6(group6)),
        }
    }

    /// The groups of the file `number`, counted from 0: the first family that a client should try
    /// first. Addresses that would lie beyond the last one stay at it.
    pub fn nth(self, number: usize) -> impl Iterator<Item = IpAddr> {
        let v4 = self.v4().map(|first| {
            let step = u32::try_from(number).unwrap_or(u32::MAX);
            Ipv4Addr::from_bits(first.to_bits().saturating_add(step)).into()
        });
        let v6 = self.v6().map(|first| {
            let step = number as u128;
            Ipv6Addr::from_bits(first.to_bits().saturating_add(step)).into()
        });
        v4.into_iter().chain(v6)
    }
}

impl FromStr for Groups {
    type Err = GroupsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed: Result<Vec<IpAddr>, _> =
            text.split(',').map(|one| one.trim().parse()).collect();
        match parsed.as_deref() {
            Ok(&[IpAddr::V4(v4)]) => Ok(Groups::V4(v4)),
            Ok(&[IpAddr::V6(v6)]) => Ok(Groups::V6(v6)),
            Ok(&([IpAddr::V4(v4), IpAddr::V6(v6)] | [IpAddr::V6(v6), IpAddr::V4(v4)])) => {
                Ok(Groups::Both(v4, v6))
            }
            _ => Err(GroupsError {
                found: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Groups::V4(v4) => v4.fmt(f),
            Groups::V6(v6) => v6.fmt(f),
            Groups::Both(v4, v6) => write!(f, "{v4}, {v6}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_family_or_both() {
        for text in ["239.255.1.1", "ff15::5a", "239.255.1.1, ff15::5a"] {
            let groups: Groups = text.parse().unwrap();
            assert_eq!(groups.to_string(), text);
        }
        let swapped: Groups = "ff15::5a,239.255.1.1".parse().unwrap();
        assert_eq!(swapped.to_string(), "239.255.1.1, ff15::5a");
        for text in [
            "",
            "x",
            "239.1.1.1,239.1.1.2",
            "ff15::1,",
            "[ff15::1]",
            "ff15::1%eth0",
        ] {
            let error = text.parse::<Groups>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn each_file_has_the_next_of_each() {
        let groups: Groups = "239.255.1.255, ff15::ffff".parse().unwrap();
        let second: Vec<String> = groups.nth(1).map(|group| group.to_string()).collect();
        assert_eq!(second, ["239.255.2.0", "ff15::1:0"]);
    }
}
