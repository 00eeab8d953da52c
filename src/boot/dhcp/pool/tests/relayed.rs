// SPDX-License-Identifier: MIT OR Apache-2.0
//! Machines behind relay agents, with addresses of networks that are not the server's.

use super::*;

const AGENT: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 254);

fn far(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 78, 0, last)
}

/// A lab with two networks behind relay agents, one of which names its own default route.
fn lab(rules: &str) -> Lab {
    let mut lab = Lab::new(199, rules);
    let network = |subnet: &str, first, last, router| Network {
        subnet: subnet.parse().unwrap(),
        range: Some((first, last)),
        router,
        dns: vec![far(253)],
        lease_time: Duration::from_mins(10),
    };
    let other = |last| Ipv4Addr::new(10, 79, 0, last);
    Arc::make_mut(&mut lab.pool.networks).relayed = vec![
        network("10.78.0.0/24", far(253), far(254), None),
        network("10.79.0.0/26", other(20), other(30), Some(other(1))),
    ];
    lab
}

/// By an agent, which may name a link in option 82.
fn by_agent(mut message: v4::Message, agent: Ipv4Addr, link: Option<Ipv4Addr>) -> Request {
    message.set_giaddr(agent);
    let mut raw = bytes(&message);
    if let Some(link) = link {
        raw.pop();
        raw.extend([82, 6, 5, 4]);
        raw.extend(link.octets());
        raw.push(255);
    }
    Request::decode(&raw).unwrap()
}

impl Lab {
    fn relay(&mut self, request: &Request) -> Vec<Act> {
        self.pool.receive(request, &self.plan, self.now)
    }
}

fn option(message: &v4::Message, code: OptionCode) -> DhcpOption {
    message.opts().get(code).unwrap().clone()
}

/// Offered at once, for nobody can be asked by ARP; the agent's own address is nobody's, and the agent
/// is the default route.
#[test]
fn an_agents_machines_get_addresses_of_its_network() {
    let mut lab = lab("");
    let discover = request(MessageType::Discover, mac(1), &[class("PXEClient")]);
    let acts = lab.relay(&by_agent(discover, AGENT, None));
    let [offer] = &replies(&acts)[..] else {
        panic!("{acts:?}");
    };
    assert_eq!(offer.yiaddr(), far(253));
    assert_eq!(offer.giaddr(), AGENT);
    assert_eq!(offer.fname(), Some(b"undionly.kpxe\0".as_slice()));
    for expected in [
        DhcpOption::SubnetMask([255, 255, 255, 0].into()),
        DhcpOption::BroadcastAddr(far(255)),
        DhcpOption::Router(vec![AGENT]),
        DhcpOption::DomainNameServer(vec![far(253)]),
        DhcpOption::AddressLeaseTime(600),
        DhcpOption::ServerIdentifier(SERVER),
    ] {
        assert_eq!(option(offer, OptionCode::from(&expected)), expected);
    }
    assert_eq!(lab.pool.wakes(), None, "nothing is waited for");
    let wants = [
        DhcpOption::ServerIdentifier(SERVER),
        DhcpOption::RequestedIpAddress(far(253)),
    ];
    let select = request(MessageType::Request, mac(1), &wants);
    let acts = lab.relay(&by_agent(select, AGENT, None));
    assert_eq!(replies(&acts)[0].opts().msg_type(), Some(MessageType::Ack));
    // The other address is the agent's.
    let second = request(MessageType::Discover, mac(2), &[]);
    let acts = lab.relay(&by_agent(second, AGENT, None));
    let nobody = Told::Exhausted {
        mac: Mac::new(mac(2)),
    };
    assert_eq!(told(&acts), [nobody]);
    // It renews past the agent, by the address that it has.
    let mut renew = request(MessageType::Request, mac(1), &[]);
    renew.set_ciaddr(far(253));
    let acts = lab.send(&renew);
    let [ack] = &replies(&acts)[..] else {
        panic!("{acts:?}");
    };
    assert_eq!(ack.opts().msg_type(), Some(MessageType::Ack));
    for expected in [
        DhcpOption::SubnetMask([255, 255, 255, 0].into()),
        DhcpOption::Router(vec![AGENT]),
    ] {
        assert_eq!(option(ack, OptionCode::from(&expected)), expected);
    }
}

/// An agent whose own address is in another network names that of its machines (RFC 3527).
#[test]
fn the_link_that_an_agent_names_decides() {
    let mut lab = lab("");
    let discover = || request(MessageType::Discover, mac(1), &[]);
    let link = Ipv4Addr::new(10, 79, 0, 0);
    let acts = lab.relay(&by_agent(discover(), at(7), Some(link)));
    let [offer] = &replies(&acts)[..] else {
        panic!("{acts:?}");
    };
    assert_eq!(offer.yiaddr(), Ipv4Addr::new(10, 79, 0, 20));
    assert_eq!(offer.giaddr(), at(7), "the answer goes to the agent");
    assert_eq!(
        option(offer, OptionCode::Router),
        DhcpOption::Router(vec![Ipv4Addr::new(10, 79, 0, 1)])
    );
    assert_eq!(
        option(offer, OptionCode::SubnetMask),
        DhcpOption::SubnetMask([255, 255, 255, 192].into())
    );
}

#[test]
fn a_network_without_addresses_is_told() {
    let mut lab = lab("");
    let discover = || request(MessageType::Discover, mac(1), &[]);
    let relay = Ipv4Addr::new(10, 9, 0, 1);
    let acts = lab.relay(&by_agent(discover(), relay, None));
    assert_eq!(told(&acts), [Told::Relayed { relay, link: relay }]);
    assert!(replies(&acts).is_empty());
    let acts = lab.relay(&by_agent(discover(), AGENT, Some(relay)));
    let unknown = Told::Relayed {
        relay: AGENT,
        link: relay,
    };
    assert_eq!(told(&acts), [unknown]);
}

/// Its reservation holds in the network that it is an address of; elsewhere it is a guest, and the
/// address stays its own.
#[test]
fn a_machine_that_is_carried_elsewhere() {
    let own = "[[host]]\nmac = \"52:54:00:00:00:01\"\naddress = \"10.78.0.9\"\n";
    let mut lab = lab(own);
    let discover = || request(MessageType::Discover, mac(1), &[]);
    let acts = lab.relay(&by_agent(discover(), AGENT, None));
    assert_eq!(replies(&acts)[0].yiaddr(), far(9));
    // The offer that it got there is none here.
    assert_eq!(lab.discover(1), Some(at(100)));
    assert_eq!(lab.select(1, at(100)), Some(MessageType::Ack));
    // Here an address of there is refused, so that it asks anew (RFC 2131, section 4.3.2).
    let reboot = request(
        MessageType::Request,
        mac(1),
        &[DhcpOption::RequestedIpAddress(far(9))],
    );
    let acts = lab.send(&reboot);
    assert_eq!(replies(&acts)[0].opts().msg_type(), Some(MessageType::Nak));
    let text = lab.pool.leases().to_text();
    let leases = Leases::from_text(&text).unwrap();
    let networks = Networks::clone(&lab.pool.networks);
    let pool = Pool::new(networks, leases, &lab.plan, lab.now);
    assert_eq!(pool.leases().iter().count(), 1, "a restart keeps it");
}

/// `strict` and `[[group]]` go by the link.
#[test]
fn a_group_of_the_far_network_is_no_stranger() {
    let rules = "[dhcp]\nstrict = true\n[[group]]\nname = \"far\"\nnetwork = \"10.79.0.0/24\"\n";
    let mut lab = lab(rules);
    let discover = || request(MessageType::Discover, mac(1), &[class("PXEClient")]);
    let acts = lab.relay(&by_agent(discover(), AGENT, None));
    assert!(replies(&acts).is_empty());
    let link = Ipv4Addr::new(10, 79, 0, 1);
    let acts = lab.relay(&by_agent(discover(), AGENT, Some(link)));
    assert_eq!(replies(&acts).len(), 1);
}
