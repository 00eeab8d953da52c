// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why an interface cannot serve, with what there is and what to type.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::Interface;

/// Why no interface could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// The system does not list its interfaces.
    #[error("cannot list the network interfaces: {0}")]
    List(#[from] nix::Error),
    /// Nobody has this name.
    #[error("no interface {name:?}{}\n{table}", did_you_mean(near.as_deref()))]
    NoSuchInterface {
        /// What was asked for.
        name: String,
        /// The name that it most likely meant.
        near: Option<String>,
        /// What there is.
        table: Table,
    },
    /// An address where a name belongs.
    #[error(
        "{found} is an address\n  expected: the name of an interface\n  help: --address {found}"
    )]
    AddressAsName {
        /// What was asked for.
        found: Ipv4Addr,
    },
    /// Nobody has this address.
    #[error("no interface has the address {address}\n{table}")]
    NoSuchAddress {
        /// What was asked for.
        address: Ipv4Addr,
        /// What there is.
        table: Table,
    },
    /// The address is not on the interface.
    #[error(
        "{interface} does not have the address {address}\n  expected: {}\n  help: leave out --address or --interface",
        list(has)
    )]
    NotOnInterface {
        /// What was asked for.
        address: Ipv4Addr,
        /// Where.
        interface: String,
        /// What it has.
        has: Vec<Ipv4Addr>,
    },
    /// Switched off.
    #[error("{interface} is down\n  help: ip link set {interface} up")]
    Down {
        /// Which.
        interface: String,
    },
    /// An IPv6 group, and no IPv6 address to send from.
    #[error(
        "{interface} has no IPv6 address\n  expected: one, for the IPv6 group\n  help: sysctl net.ipv6.conf.{interface}.disable_ipv6=0, or choose an IPv4 group"
    )]
    NoIpv6 {
        /// Which.
        interface: String,
    },
    /// The IPv6 address is not on the interface.
    #[error(
        "{interface} does not have the address {address}\n  expected: {}\n  help: leave out address6 under [server]",
        list6(has)
    )]
    NotOnInterface6 {
        /// What was asked for.
        address: Ipv6Addr,
        /// Where.
        interface: String,
        /// What it has.
        has: Vec<Ipv6Addr>,
    },
    /// Only other address families, or none.
    #[error(
        "{interface} has no IPv4 address (DHCP, scripts and HTTP need one)\n  help: ip address add 192.168.77.1/24 dev {interface}"
    )]
    NoIpv4 {
        /// Which.
        interface: String,
    },
    /// Its driver carries no multicast.
    #[error(
        "{interface} does not carry multicast\n  help: ip link set {interface} multicast on, or choose another interface"
    )]
    NoMulticast {
        /// Which.
        interface: String,
    },
    /// Several would do.
    #[error(
        "{} interfaces could serve, and none is guessed\n{table}\n  help: type one or more of these, or name them in slamboot.toml: [server] interface = \"...\"",
        table.rows.len()
    )]
    Ambiguous {
        /// Those that would do.
        table: Table,
    },
    /// None would do.
    #[error(
        "no interface can serve: it must be up, carry multicast and have an IPv4 address\n{table}\n  help: repair one of them, or try on this host alone with --interface lo"
    )]
    NoneUsable {
        /// What there is.
        table: Table,
    },
    /// A whole block does not fit.
    #[error(
        "{interface} carries packets of at most {mtu} bytes\n  expected: {needed} for blocks of {block_size} bytes\n  help: --block-size {fits}, or ip link set {interface} mtu 1500"
    )]
    MtuTooSmall {
        /// Which.
        interface: String,
        /// What it carries.
        mtu: u32,
        /// What is needed.
        needed: u32,
        /// For blocks of this size.
        block_size: u16,
        /// The largest block that fits.
        fits: u16,
    },
}

/// Interfaces, printed as a table with the option to type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub(super) rows: Vec<Interface>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = |row: &Interface| match row.addresses.len() {
            0 => "none".to_owned(),
            _ => list(&row.addresses),
        };
        let width = |header: &str, cell: &dyn Fn(&Interface) -> usize| {
            self.rows
                .iter()
                .map(cell)
                .max()
                .unwrap_or(0)
                .max(header.len())
        };
        let name = width("interface", &|row| row.name.len());
        let address = width("IPv4 address", &|row| addresses(row).len());
        let state = width("state", &|row| row.state().len());
        write!(
            f,
            "  {:name$}  {:address$}  {:state$}  option",
            "interface", "IPv4 address", "state"
        )?;
        for row in &self.rows {
            let line = format!(
                "  {:name$}  {:address$}  {:state$}  {}",
                row.name,
                addresses(row),
                row.state(),
                match row.usable_at(None) {
                    Ok(_) => format!("--interface {}", row.name),
                    Err(_) => String::new(),
                }
            );
            write!(f, "\n{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn list(addresses: &[Ipv4Addr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(Ipv4Addr::to_string).collect();
    addresses.join(", ")
}

fn list6(addresses: &[Ipv6Addr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(Ipv6Addr::to_string).collect();
    addresses.join(", ")
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}
