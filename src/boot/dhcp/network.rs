// SPDX-License-Identifier: MIT OR Apache-2.0
//! Networks that a server has addresses of: its interface's own, and those that relay agents bring
//! requests from (RFC 2131, section 4.3.1; RFC 3527).

use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;
use site::{Dhcp, DhcpMode, RelayedNetwork};

use super::message::Request;

/// What is leased in one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its addresses.
    pub subnet: Ipv4Net,
    /// Those to lease, first and last; `None`: those of `[[host]]` only.
    pub range: Option<(Ipv4Addr, Ipv4Addr)>,
    /// The clients' default route; behind a relay agent, `None` is the agent.
    pub router: Option<Ipv4Addr>,
    /// The clients' name servers.
    pub dns: Vec<Ipv4Addr>,
    /// How long an address is leased.
    pub lease_time: Duration,
}

/// What is leased by the server of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks {
    /// This server.
    pub server: Ipv4Addr,
    /// The interface's own network.
    pub own: Network,
    /// Networks behind relay agents.
    pub relayed: Vec<Network>,
}

impl Network {
    /// Whether an address is one to lease.
    pub fn leases(&self, address: Ipv4Addr) -> bool {
        self.range
            .is_some_and(|(first, last)| (first..=last).contains(&address))
    }

    /// The default route of a client whose request came by this relay agent. Some name the network
    /// itself as the link, which routes nothing.
    pub fn router_for(&self, relay: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let agent = || relay.filter(|relay| self.is_host(*relay));
        self.router.or_else(agent)
    }

    /// Neither the network itself nor its broadcast.
    pub fn is_host(&self, address: Ipv4Addr) -> bool {
        let ends = [self.subnet.network(), self.subnet.broadcast()];
        self.subnet.contains(&address)
            && (self.subnet.prefix_len() >= 31 || !ends.contains(&address))
    }
}

impl Networks {
    /// The network that a request came from, or the link that a relay agent brings it from and that
    /// nothing is known of. Whoever renews its address writes past the agent, and says itself where
    /// it is.
    pub fn of(&self, request: &Request) -> Result<&Network, Ipv4Addr> {
        let with = |address: Ipv4Addr| {
            let mut all = std::iter::once(&self.own).chain(&self.relayed);
            all.find(|network| network.subnet.contains(&address))
        };
        match (request.link(), request.ciaddr()) {
            (Some(link), _) => with(link).ok_or(link),
            (None, Some(own)) => Ok(with(own).unwrap_or(&self.own)),
            (None, None) => Ok(&self.own),
        }
    }

    /// Whether this is a network whose machines are reached by the interface itself, and can be asked
    /// whether they have an address.
    pub fn is_own(&self, network: &Network) -> bool {
        self.own.subnet == network.subnet
    }

    /// Whether an address is one to lease in any of them.
    pub fn lease(&self, address: Ipv4Addr) -> bool {
        let mut all = std::iter::once(&self.own).chain(&self.relayed);
        all.any(|network| network.leases(address))
    }
}

/// What is leased at an interface, if this is the network's DHCP server; `relayed` are the networks
/// whose requests come by it.
pub fn networks<'a>(
    dhcp: &Dhcp,
    server: Ipv4Addr,
    netmask: Ipv4Addr,
    relayed: impl IntoIterator<Item = &'a RelayedNetwork>,
) -> Option<Networks> {
    if dhcp.mode != DhcpMode::Pool {
        return None;
    }
    // A mask with holes is nobody's; the interface's comes from the kernel, which knows none.
    let subnet = Ipv4Net::with_netmask(server, netmask).ok()?.trunc();
    let own = Network {
        subnet,
        range: match dhcp.pool {
            Some((first, last)) => {
                (subnet.contains(&first) && subnet.contains(&last)).then_some((first, last))
            }
            None => default_range(subnet),
        },
        router: dhcp.router.filter(|router| subnet.contains(router)),
        dns: dhcp.dns.clone(),
        lease_time: dhcp.lease_time,
    };
    let relayed = relayed.into_iter().map(|one| Network {
        subnet: one.network,
        range: one.pool.or_else(|| default_range(one.network)),
        router: one.router,
        dns: one.dns.clone().unwrap_or_else(|| dhcp.dns.clone()),
        lease_time: dhcp.lease_time,
    });
    Some(Networks {
        server,
        own,
        relayed: relayed.collect(),
    })
}

/// Addresses to lease where the site names none: the upper half of the network, which home routers
/// and people leave free for such.
pub fn default_range(subnet: Ipv4Net) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let size = u32::from(subnet.hostmask());
    if size < 7 {
        return None;
    }
    let count = (size / 2).min(16_383);
    let last = u32::from(subnet.network()) + size - 1;
    Some((Ipv4Addr::from(last - count + 1), Ipv4Addr::from(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_range_is_the_upper_half() {
        let range = |subnet: &str| {
            let (first, last) = default_range(subnet.parse().unwrap())?;
            Some(format!("{first} {last}"))
        };
        assert_eq!(range("10.77.0.0/24").unwrap(), "10.77.0.128 10.77.0.254");
        assert_eq!(range("10.77.0.0/29").unwrap(), "10.77.0.4 10.77.0.6");
        assert_eq!(range("10.77.0.0/30"), None);
        let (first, last) = default_range("10.77.0.0/16".parse().unwrap()).unwrap();
        assert_eq!(last, Ipv4Addr::new(10, 77, 255, 254));
        assert_eq!(u32::from(last) - u32::from(first) + 1, 16_383);
    }
}
