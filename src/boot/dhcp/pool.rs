// SPDX-License-Identifier: MIT OR Apache-2.0
//! A DHCP server with addresses of its own (RFC 2131), for networks that have no other.
//!
//! An address that is given for the first time is looked for on the network first (RFC 2131,
//! section 2.2): the edge makes the kernel ask for it by ARP, which hosts answer that drop pings. ARP
//! ends where a relay agent begins: behind one, it is for the client to decline what somebody has.

use std::collections::{BTreeMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use dhcproto::v4::{DhcpOption, MessageType};
use site::Mac;

use super::lease::{Lease, Leases, Now};
use super::message::{Reply, Request};
use super::network::{Network, Networks};
use super::proxy;
use crate::boot::arch::Program;
use crate::boot::plan::{BootFile, BootPlan, Client, Decision, Silence};

/// How long an offer is kept for the client that it was made to.
const OFFER: Duration = Duration::from_secs(30);
/// Offers at one time. Whoever comes beyond takes the place of the oldest: a machine answers an offer within
/// seconds, and a flood of strangers must not cost more with every one of them.
const MOST_OFFERS: usize = 1024;
/// How long ARP may take on a segment.
const PROBE: Duration = Duration::from_millis(400);
/// How long an address is left alone that somebody was found to have.
const TAKEN: Duration = Duration::from_mins(10);

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Act {
    /// Send an answer; where it leases an address, only when that is stored.
    Send(Reply),
    /// Look whether somebody has this address, and come back when [`Pool::wakes`] says.
    Probe(Ipv4Addr),
    /// Tell people.
    Tell(Told),
}

/// What people want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A client boots.
    Boot {
        /// Who.
        client: Client,
        /// What.
        file: BootFile,
    },
    /// A client is told nothing to boot, or gets no address.
    Silence {
        /// Who.
        client: Client,
        /// Why.
        why: Silence,
    },
    /// An address was leased; renewals are not told.
    Leased {
        /// To whom.
        mac: Mac,
        /// Which.
        address: Ipv4Addr,
    },
    /// Every address is leased.
    Exhausted {
        /// Who got none.
        mac: Mac,
    },
    /// Somebody has an address of ours without a lease.
    Taken {
        /// Which.
        address: Ipv4Addr,
    },
    /// Another DHCP server answers here.
    Rival {
        /// Its address.
        server: Ipv4Addr,
    },
    /// A relay agent asks for a network that we have no addresses of.
    Relayed {
        /// Its address.
        relay: Ipv4Addr,
        /// An address of that network.
        link: Ipv4Addr,
    },
}

/// An address that was promised.
#[derive(Clone, Debug)]
struct Offer {
    address: Ipv4Addr,
    until: Now,
    /// The request that is answered when nobody was found to have the address.
    waiting: Option<Box<Request>>,
}

impl Offer {
    /// When it was made, or its address looked for.
    fn made(&self) -> Now {
        let kept = if self.waiting.is_some() { PROBE } else { OFFER };
        self.until.saturating_sub(kept)
    }
}

/// The server of one interface.
#[derive(Clone, Debug)]
pub struct Pool {
    networks: Arc<Networks>,
    leases: Leases,
    offers: BTreeMap<Mac, Offer>,
    changed: bool,
}

impl Pool {
    /// A pool that knows these leases; those outside its addresses are forgotten.
    pub fn new(networks: Networks, leases: Leases, plan: &BootPlan, now: Now) -> Pool {
        let mut pool = Pool {
            networks: Arc::new(networks),
            leases,
            offers: BTreeMap::new(),
            changed: false,
        };
        pool.forget_foreign(plan, now);
        pool
    }

    fn forget_foreign(&mut self, plan: &BootPlan, now: Now) {
        let networks = &self.networks;
        self.leases.retain(now, |mac, address| {
            let own = plan.rules().host(mac).and_then(|host| host.address);
            own == Some(address) || (networks.lease(address) && reserver(plan, address).is_none())
        });
    }

    /// The leases.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Whether leases have changed since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// When [`Pool::wake`] is due.
    pub fn wakes(&self) -> Option<Now> {
        let waiting = self.offers.values().filter(|offer| offer.waiting.is_some());
        waiting.map(|offer| offer.until).min()
    }

    /// Handles a request.
    pub fn receive(&mut self, request: &Request, plan: &BootPlan, now: Now) -> Vec<Act> {
        self.offers
            .retain(|_, offer| offer.until > now || offer.waiting.is_some());
        let mac = request.mac();
        let networks = Arc::clone(&self.networks);
        let here = match networks.of(request) {
            Ok(here) => here,
            Err(link) => {
                let relay = request.relay().unwrap_or(link);
                return vec![Act::Tell(Told::Relayed { relay, link })];
            }
        };
        let at = request.link().unwrap_or(networks.server);
        if !plan.allows(mac, at, request.arch().known()) {
            let why = Silence::Stranger;
            let client = request.client();
            return client
                .map(|client| Act::Tell(Told::Silence { client, why }))
                .into_iter()
                .collect();
        }
        match request.kind() {
            MessageType::Discover => self.discover(request, here, plan, now),
            MessageType::Request => self.request(request, here, plan, now),
            MessageType::Decline if request.server() == Some(networks.server) => {
                self.decline(request, now)
            }
            MessageType::Release if request.server() == Some(networks.server) => {
                self.leases.release(mac, now);
                self.changed = true;
                Vec::new()
            }
            MessageType::Inform => {
                let reply = request.reply(MessageType::Ack, networks.server);
                let link = self.link(request, here);
                let reply = network_options(reply, link, here).keeps_ciaddr();
                self.answer(reply, request, plan)
            }
            _ => Vec::new(),
        }
    }

    /// Goes on with what waited for the network's answers: `taken` says who has an address.
    pub fn wake(
        &mut self,
        plan: &BootPlan,
        now: Now,
        taken: impl Fn(Ipv4Addr) -> Option<Mac>,
    ) -> Vec<Act> {
        let due: Vec<Mac> = self
            .offers
            .iter()
            .filter(|(_, offer)| offer.waiting.is_some() && offer.until <= now)
            .map(|(mac, _)| *mac)
            .collect();
        let networks = Arc::clone(&self.networks);
        let mut acts = Vec::new();
        for mac in due {
            let Some(offer) = self.offers.remove(&mac) else {
                continue;
            };
            let Some(request) = offer.waiting else {
                continue;
            };
            // It was looked for, so that the request is one of this very network.
            let here = networks.of(&request).unwrap_or(&networks.own);
            // The client itself may still have it, from another system on the same machine.
            if taken(offer.address).is_some_and(|holder| holder != mac) {
                self.leases.mark_taken(offer.address, now + TAKEN);
                self.changed = true;
                acts.push(Act::Tell(Told::Taken {
                    address: offer.address,
                }));
                acts.extend(self.discover(&request, here, plan, now));
            } else {
                acts.extend(self.offer(&request, here, offer.address, plan, now));
            }
        }
        acts
    }

    fn discover(
        &mut self,
        request: &Request,
        here: &Network,
        plan: &BootPlan,
        now: Now,
    ) -> Vec<Act> {
        let mac = request.mac();
        // One that was made elsewhere is none here: machines can be carried.
        if let Some(offer) = self.offers.get_mut(&mac)
            && here.subnet.contains(&offer.address)
        {
            let address = offer.address;
            if let Some(waiting) = &mut offer.waiting {
                // It asks again while ARP runs: the newest request is the one to answer.
                **waiting = request.clone();
                return Vec::new();
            }
            return self.offer(request, here, address, plan, now);
        }
        let Some(address) = self.candidate(request, here, plan, now) else {
            return vec![Act::Tell(Told::Exhausted { mac })];
        };
        let known = self.leases.of(mac).is_some_and(|lease| {
            // Who has it now, and whoever was the last to have it, is expected to answer.
            lease.address == address && lease.expires > now
        });
        if known || !self.networks.is_own(here) {
            return self.offer(request, here, address, plan, now);
        }
        self.promise(
            mac,
            Offer {
                address,
                until: now + PROBE,
                waiting: Some(Box::new(request.clone())),
            },
        );
        vec![Act::Probe(address)]
    }

    fn promise(&mut self, mac: Mac, offer: Offer) {
        if self.offers.len() >= MOST_OFFERS && !self.offers.contains_key(&mac) {
            let oldest = self.offers.iter().min_by_key(|(_, offer)| offer.made());
            if let Some(mac) = oldest.map(|(mac, _)| *mac) {
                self.offers.remove(&mac);
            }
        }
        self.offers.insert(mac, offer);
    }

    /// RFC 2131, section 4.3.1: its own address, the one it had, the one it wants, the next free.
    fn candidate(
        &self,
        request: &Request,
        here: &Network,
        plan: &BootPlan,
        now: Now,
    ) -> Option<Ipv4Addr> {
        let mac = request.mac();
        if let Some(own) = reserved(plan, mac, here) {
            return self.leases.is_free(own, mac, now).then_some(own);
        }
        let promised: HashSet<Ipv4Addr> = self
            .offers
            .iter()
            .filter(|(other, offer)| **other != mac && offer.until > now)
            .map(|(_, offer)| offer.address)
            .chain(plan.rules().reservations().map(|(_, address)| address))
            .collect();
        // Looked up, not searched for: with thousands of strangers that ask, each of the pool's
        // thousands of addresses would be compared with each of theirs.
        let usable = |address: &Ipv4Addr| {
            !promised.contains(address) && self.is_leasable(*address, request, here, now)
        };
        let before = self.leases.of(mac).map(|lease| lease.address);
        if let Some(address) = before.filter(usable) {
            return Some(address);
        }
        if let Some(address) = request.requested().filter(usable) {
            return Some(address);
        }
        let (first, last) = here.range?;
        let all = || (u32::from(first)..=u32::from(last)).map(Ipv4Addr::from);
        // Those that nobody ever had go first: who comes back finds its own.
        all()
            .filter(usable)
            .find(|address| self.leases.holder(*address).is_none())
            .or_else(|| {
                let expired = all().filter(usable);
                expired.min_by_key(|a| self.leases.holder(*a).map(|(_, lease)| lease.expires))
            })
    }

    /// Whether a client that has no reservation may have an address.
    fn is_usable(
        &self,
        address: Ipv4Addr,
        request: &Request,
        here: &Network,
        plan: &BootPlan,
        now: Now,
    ) -> bool {
        let mac = request.mac();
        let offered = self
            .offers
            .iter()
            .any(|(other, offer)| *other != mac && offer.address == address && offer.until > now);
        !offered
            && reserver(plan, address).is_none()
            && self.is_leasable(address, request, here, now)
    }

    /// Whether an address is one to lease that nobody else has, promises apart: neither this server's,
    /// nor the router's or the relay agent's.
    fn is_leasable(&self, address: Ipv4Addr, request: &Request, here: &Network, now: Now) -> bool {
        here.leases(address)
            && here.is_host(address)
            && address != self.networks.server
            && ![here.router, request.relay(), request.link()].contains(&Some(address))
            && self.leases.is_free(address, request.mac(), now)
    }

    fn offer(
        &mut self,
        request: &Request,
        here: &Network,
        address: Ipv4Addr,
        plan: &BootPlan,
        now: Now,
    ) -> Vec<Act> {
        self.promise(
            request.mac(),
            Offer {
                address,
                until: now + OFFER,
                waiting: None,
            },
        );
        let reply = request
            .reply(MessageType::Offer, self.networks.server)
            .yours(address);
        let link = self.link(request, here);
        let reply = lease_options(network_options(reply, link, here), here);
        self.answer(reply, request, plan)
    }

    fn request(
        &mut self,
        request: &Request,
        here: &Network,
        plan: &BootPlan,
        now: Now,
    ) -> Vec<Act> {
        let mac = request.mac();
        match request.server() {
            Some(server) if server != self.networks.server => {
                // It took another's offer.
                self.offers.remove(&mac);
                return vec![Act::Tell(Told::Rival { server })];
            }
            _ => {}
        }
        let selecting = request.server().is_some();
        let Some(wanted) = request.requested().or(request.ciaddr()) else {
            return Vec::new();
        };
        let offered = self.offers.get(&mac).map(|offer| offer.address);
        let leased = self.leases.of(mac).map(|lease| lease.address);
        let own = reserved(plan, mac, here);
        let ours = match own {
            Some(own) => own == wanted && self.leases.is_free(own, mac, now),
            None => self.is_usable(wanted, request, here, plan, now),
        };
        let known = offered == Some(wanted) || leased == Some(wanted) || own == Some(wanted);
        match (known && ours, selecting) {
            (true, _) => self.lease(request, here, wanted, plan, now),
            // Whoever asks without having been here before may belong to another server
            // (RFC 2131, section 4.3.2: "must remain silent"), unless the network itself is wrong.
            (false, false)
                if offered.is_none() && leased.is_none() && here.subnet.contains(&wanted) =>
            {
                Vec::new()
            }
            (false, _) => {
                self.offers.remove(&mac);
                let nak = request.reply(MessageType::Nak, self.networks.server);
                vec![Act::Send(nak.broadcast())]
            }
        }
    }

    fn lease(
        &mut self,
        request: &Request,
        here: &Network,
        address: Ipv4Addr,
        plan: &BootPlan,
        now: Now,
    ) -> Vec<Act> {
        let mac = request.mac();
        let before = self.leases.of(mac);
        let renewed = before.is_some_and(|old| old.address == address && old.expires > now);
        let name = request
            .host_name()
            .or_else(|| before.and_then(|old| old.name.clone()));
        let link = self.link(request, here);
        self.offers.remove(&mac);
        self.leases.put(
            mac,
            Lease {
                address,
                expires: now + here.lease_time,
                name,
                link,
            },
        );
        self.changed = true;
        let reply = request
            .reply(MessageType::Ack, self.networks.server)
            .yours(address)
            .keeps_ciaddr();
        let reply = lease_options(network_options(reply, link, here), here);
        let mut acts = Vec::new();
        if !renewed {
            acts.push(Act::Tell(Told::Leased { mac, address }));
        }
        // What boots was told with the offer.
        acts.extend(
            self.answer(reply, request, plan)
                .into_iter()
                .filter(|act| matches!(act, Act::Send(_))),
        );
        acts
    }

    /// By which relay agent a client is reached, where one brought this request or the one before.
    fn link(&self, request: &Request, here: &Network) -> Option<Ipv4Addr> {
        let before = || self.leases.of(request.mac())?.link;
        let link = request.link().or_else(before);
        link.filter(|link| here.subnet.contains(link))
    }

    fn decline(&mut self, request: &Request, now: Now) -> Vec<Act> {
        let mac = request.mac();
        let Some(address) = request.requested() else {
            return Vec::new();
        };
        // Only what it was given: nobody declines the others' addresses.
        if self.leases.of(mac).map(|lease| lease.address) != Some(address) {
            return Vec::new();
        }
        self.leases.mark_taken(address, now + TAKEN);
        self.changed = true;
        vec![Act::Tell(Told::Taken { address })]
    }

    /// With what boots, where the client boots from the network.
    fn answer(&self, reply: Reply, request: &Request, plan: &BootPlan) -> Vec<Act> {
        let Some(client) = request.client() else {
            return vec![Act::Send(reply)];
        };
        let server = self.networks.server;
        match plan.decide(&client, server) {
            Decision::Boot(file) => {
                let reply = proxy::boots(reply, request, &client, &file, server);
                let reply = match client.program {
                    Program::Ipxe(_) => reply.alone(),
                    Program::Vendor(_) | Program::Gpxe => reply,
                };
                vec![Act::Tell(Told::Boot { client, file }), Act::Send(reply)]
            }
            Decision::Silence(why) => {
                vec![Act::Tell(Told::Silence { client, why }), Act::Send(reply)]
            }
        }
    }
}

fn network_options(reply: Reply, link: Option<Ipv4Addr>, network: &Network) -> Reply {
    let mut reply = reply
        .option(DhcpOption::SubnetMask(network.subnet.netmask()))
        .option(DhcpOption::BroadcastAddr(network.subnet.broadcast()));
    if let Some(router) = network.router_for(link) {
        reply = reply.option(DhcpOption::Router(vec![router]));
    }
    if !network.dns.is_empty() {
        reply = reply.option(DhcpOption::DomainNameServer(network.dns.clone()));
    }
    reply
}

fn lease_options(reply: Reply, network: &Network) -> Reply {
    let time = u32::try_from(network.lease_time.as_secs()).unwrap_or(u32::MAX);
    reply
        .option(DhcpOption::AddressLeaseTime(time))
        .option(DhcpOption::Renewal(time / 2))
        .option(DhcpOption::Rebinding(time / 8 * 7))
}

/// The address that is kept for a machine, where it is one of the network that it asks from.
fn reserved(plan: &BootPlan, mac: Mac, here: &Network) -> Option<Ipv4Addr> {
    let own = plan.rules().host(mac).and_then(|host| host.address);
    own.filter(|own| here.subnet.contains(own))
}

fn reserver(plan: &BootPlan, address: Ipv4Addr) -> Option<Mac> {
    let mut all = plan.rules().reservations();
    all.find(|(_, own)| *own == address).map(|(mac, _)| mac)
}

#[cfg(test)]
mod tests {
    mod hostile;
    mod relayed;

    use std::path::Path;

    use dhcproto::v4::{self, OptionCode};
    use dhcproto::{Decodable as _, Decoder};
    use site::{Arch, Site};

    use super::super::message::tests::{bytes, class, ipxe, request};
    use super::*;
    use crate::boot::plan::{Rom, Roms, Services};

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    const RIVAL: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

    fn at(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, last)
    }

    fn mac(last: u8) -> [u8; 6] {
        [0x52, 0x54, 0, 0, 0, last]
    }

    fn plan(text: &str) -> BootPlan {
        let site = Site::parse(text, Path::new("slamboot.toml")).unwrap();
        let rom = |name: &str| Rom {
            name: name.to_owned(),
            slam: true,
        };
        let services = Services {
            http: Some(8080),
            tftp: true,
        };
        let roms = Roms::new([
            (Arch::Bios, rom("undionly.kpxe")),
            (Arch::EfiX64, rom("snponly.efi")),
        ]);
        BootPlan::new(&site, roms, services)
    }

    fn networks(last: u8) -> Networks {
        Networks {
            server: SERVER,
            own: Network {
                subnet: "10.77.0.0/24".parse().unwrap(),
                range: Some((at(100), at(last))),
                router: Some(at(254)),
                dns: vec![at(253)],
                lease_time: Duration::from_hours(1),
            },
            relayed: Vec::new(),
        }
    }

    struct Lab {
        pool: Pool,
        plan: BootPlan,
        now: Now,
    }

    impl Lab {
        fn new(last: u8, text: &str) -> Lab {
            let (plan, now) = (plan(text), Duration::from_hours(500_000));
            let pool = Pool::new(networks(last), Leases::default(), &plan, now);
            Lab { pool, plan, now }
        }

        fn send(&mut self, message: &v4::Message) -> Vec<Act> {
            let request = Request::decode(&bytes(message)).unwrap();
            self.pool.receive(&request, &self.plan, self.now)
        }

        /// Time goes on until nothing is waited for; nobody has any address.
        fn settle(&mut self) -> Vec<Act> {
            let mut acts = Vec::new();
            while let Some(due) = self.pool.wakes() {
                self.now = due;
                acts.extend(self.pool.wake(&self.plan, self.now, |_| None));
            }
            acts
        }

        fn discover(&mut self, last: u8) -> Option<Ipv4Addr> {
            let mut acts = self.send(&request(MessageType::Discover, mac(last), &[]));
            acts.extend(self.settle());
            replies(&acts).first().map(v4::Message::yiaddr)
        }

        fn select(&mut self, last: u8, address: Ipv4Addr) -> Option<MessageType> {
            let acts = self.send(&request(
                MessageType::Request,
                mac(last),
                &[
                    DhcpOption::ServerIdentifier(SERVER),
                    DhcpOption::RequestedIpAddress(address),
                ],
            ));
            replies(&acts).first()?.opts().msg_type()
        }
    }

    fn replies(acts: &[Act]) -> Vec<v4::Message> {
        let sent = acts.iter().filter_map(|act| match act {
            Act::Send(reply) => Some(reply.encode()),
            _ => None,
        });
        sent.map(|bytes| v4::Message::decode(&mut Decoder::new(&bytes)).unwrap())
            .collect()
    }

    fn told(acts: &[Act]) -> Vec<Told> {
        let told = acts.iter().filter_map(|act| match act {
            Act::Tell(told) => Some(told.clone()),
            _ => None,
        });
        told.collect()
    }

    #[test]
    fn an_address_is_looked_for_offered_and_leased() {
        let mut lab = Lab::new(199, "");
        let message = request(MessageType::Discover, mac(1), &[class("PXEClient")]);
        let acts = lab.send(&message);
        assert!(matches!(acts.as_slice(), [Act::Probe(address)] if *address == at(100)));
        let acts = lab.settle();
        let offer = &replies(&acts)[0];
        assert_eq!(offer.yiaddr(), at(100));
        assert_eq!(offer.fname(), Some(b"undionly.kpxe\0".as_slice()));
        for (code, option) in [
            (
                OptionCode::SubnetMask,
                DhcpOption::SubnetMask([255, 255, 255, 0].into()),
            ),
            (
                OptionCode::BroadcastAddr,
                DhcpOption::BroadcastAddr(at(255)),
            ),
            (OptionCode::Router, DhcpOption::Router(vec![at(254)])),
            (
                OptionCode::DomainNameServer,
                DhcpOption::DomainNameServer(vec![at(253)]),
            ),
            (
                OptionCode::AddressLeaseTime,
                DhcpOption::AddressLeaseTime(3600),
            ),
        ] {
            assert_eq!(offer.opts().get(code), Some(&option));
        }
        assert!(!lab.pool.take_changed());
        assert_eq!(lab.select(1, at(100)), Some(MessageType::Ack));
        assert!(lab.pool.take_changed());
        // The same machine again, under another client identifier: the same address, at once.
        let id = DhcpOption::ClientIdentifier(vec![0, 7, 7, 7]);
        let acts = lab.send(&request(MessageType::Discover, mac(1), &[id]));
        assert_eq!(replies(&acts)[0].yiaddr(), at(100));
    }

    /// Nobody else says what boots where the addresses are ours.
    #[test]
    fn ipxe_heeds_nobody_else() {
        let mut lab = Lab::new(199, "");
        let alone = |acts: &[Act]| {
            let offers = replies(acts);
            let option = offers[0].opts().get(OptionCode::Unknown(175)).cloned();
            option.map(|option| match option {
                DhcpOption::Unknown(option) => option.data().to_vec(),
                other => panic!("{other:?}"),
            })
        };
        let options = [class("PXEClient"), ipxe(&[0x13, 1, 1, 0x1a, 1, 1])];
        let user = DhcpOption::UserClass(b"iPXE".to_vec());
        let options = [&options[..], &[user]].concat();
        let mut acts = lab.send(&request(MessageType::Discover, mac(1), &options));
        acts.extend(lab.settle());
        assert_eq!(alone(&acts[1..]), Some(vec![176, 1, 1]));
        let mut acts = lab.send(&request(MessageType::Discover, mac(2), &options[..1]));
        acts.extend(lab.settle());
        assert_eq!(alone(&acts[1..]), None, "firmware knows nothing of it");
    }

    #[test]
    fn fifty_at_once_get_fifty_addresses() {
        let mut lab = Lab::new(199, "");
        let mut acts = Vec::new();
        for last in 1..=50 {
            acts.extend(lab.send(&request(MessageType::Discover, mac(last), &[])));
        }
        assert!(acts.iter().all(|act| matches!(act, Act::Probe(_))));
        let offers = lab.settle();
        let offered: std::collections::BTreeSet<_> =
            replies(&offers).iter().map(v4::Message::yiaddr).collect();
        assert_eq!(offered.len(), 50);
    }

    /// UEFI's HTTP boot with no other DHCP server: address, name and URL in one offer (UEFI 2.10,
    /// section 24.7.3.1), and what tells it from PXE's.
    #[test]
    fn http_boot_gets_address_and_url_at_once() {
        let mut lab = Lab::new(199, "[dhcp]\nmode = \"pool\"\n");
        let options = [
            class("HTTPClient:Arch:00016:UNDI:003016"),
            DhcpOption::ClientSystemArchitecture(16.into()),
        ];
        let mut acts = lab.send(&request(MessageType::Discover, mac(1), &options));
        acts.extend(lab.settle());
        let selecting = [
            options.as_slice(),
            &[
                DhcpOption::ServerIdentifier(SERVER),
                DhcpOption::RequestedIpAddress(at(100)),
            ],
        ]
        .concat();
        acts.extend(lab.send(&request(MessageType::Request, mac(1), &selecting)));
        let replies = replies(&acts);
        let kinds: Vec<_> = replies.iter().map(|r| r.opts().msg_type()).collect();
        assert_eq!(kinds, [Some(MessageType::Offer), Some(MessageType::Ack)]);
        for reply in replies {
            let option = |code| reply.opts().get(code).cloned();
            assert_eq!(reply.yiaddr(), at(100));
            assert_eq!(
                option(OptionCode::ClassIdentifier),
                Some(DhcpOption::ClassIdentifier(b"HTTPClient".to_vec()))
            );
            let url = b"http://10.77.0.1:8080/firmware/snponly.efi".to_vec();
            assert_eq!(
                option(OptionCode::BootfileName),
                Some(DhcpOption::BootfileName(url))
            );
            assert_eq!(option(OptionCode::VendorExtensions), None);
            assert_eq!(
                option(OptionCode::DomainNameServer),
                Some(DhcpOption::DomainNameServer(vec![at(253)]))
            );
        }
    }

    #[test]
    fn what_somebody_has_is_not_offered() {
        let mut lab = Lab::new(199, "");
        lab.send(&request(MessageType::Discover, mac(1), &[]));
        lab.now = lab.pool.wakes().unwrap();
        let holder = Mac::new(mac(77));
        let found = |address| (address == at(100)).then_some(holder);
        let acts = lab.pool.wake(&lab.plan, lab.now, found);
        assert_eq!(told(&acts), [Told::Taken { address: at(100) }]);
        assert!(matches!(acts[1], Act::Probe(address) if address == at(101)));
        // The client itself answers: that is no conflict.
        lab.now = lab.pool.wakes().unwrap();
        let acts = lab
            .pool
            .wake(&lab.plan, lab.now, |_| Some(Mac::new(mac(1))));
        assert_eq!(replies(&acts)[0].yiaddr(), at(101));
    }

    #[test]
    fn what_is_declined_is_left_alone() {
        let mut lab = Lab::new(199, "");
        assert_eq!(lab.discover(1), Some(at(100)));
        lab.select(1, at(100));
        // Only the holder can decline it.
        let decline = |last| {
            let options = [
                DhcpOption::ServerIdentifier(SERVER),
                DhcpOption::RequestedIpAddress(at(100)),
            ];
            request(MessageType::Decline, mac(last), &options)
        };
        assert!(lab.send(&decline(2)).is_empty());
        let acts = lab.send(&decline(1));
        assert_eq!(told(&acts), [Told::Taken { address: at(100) }]);
        assert_eq!(lab.discover(1), Some(at(101)));
        lab.now += TAKEN;
        assert_eq!(lab.discover(3), Some(at(100)));
    }

    #[test]
    fn an_empty_pool_says_so_and_takes_the_longest_expired() {
        let mut lab = Lab::new(101, "");
        for last in [1, 2] {
            let address = lab.discover(last).unwrap();
            assert_eq!(lab.select(last, address), Some(MessageType::Ack));
            lab.now += Duration::from_mins(1);
        }
        let acts = lab.send(&request(MessageType::Discover, mac(3), &[]));
        let mac3 = Mac::new(mac(3));
        assert_eq!(told(&acts), [Told::Exhausted { mac: mac3 }]);
        lab.now += Duration::from_hours(1);
        assert_eq!(lab.discover(3), Some(at(100)));
        assert_eq!(lab.discover(2), Some(at(101)));
    }

    #[test]
    fn an_offer_that_nobody_took_is_free_again() {
        let mut lab = Lab::new(100, "");
        assert_eq!(lab.discover(1), Some(at(100)));
        assert_eq!(lab.discover(2), None);
        lab.now += OFFER;
        assert_eq!(lab.discover(2), Some(at(100)));
        assert_eq!(lab.select(1, at(100)), Some(MessageType::Nak));
    }

    #[test]
    fn reservations_are_kept_for_their_hosts() {
        let rules = "[[host]]\nmac = \"52:54:00:00:00:01\"\naddress = \"10.77.0.100\"\n\
                     [[host]]\nmac = \"52:54:00:00:00:02\"\naddress = \"10.77.0.9\"\n";
        let mut lab = Lab::new(199, rules);
        assert_eq!(lab.discover(3), Some(at(101)));
        assert_eq!(lab.discover(1), Some(at(100)));
        assert_eq!(lab.discover(2), Some(at(9)));
        assert_eq!(lab.select(2, at(9)), Some(MessageType::Ack));
        assert_eq!(lab.select(2, at(150)), Some(MessageType::Nak));
        assert_eq!(lab.select(4, at(9)), Some(MessageType::Nak));
    }

    #[test]
    fn renewing_and_coming_back() {
        let mut lab = Lab::new(199, "");
        lab.discover(1);
        lab.select(1, at(100));
        lab.now += Duration::from_mins(30);
        let mut renew = request(MessageType::Request, mac(1), &[]);
        renew.set_ciaddr(at(100));
        let acts = lab.send(&renew);
        assert_eq!(replies(&acts)[0].opts().msg_type(), Some(MessageType::Ack));
        assert_eq!(told(&acts), []);
        let expires = lab.pool.leases().of(Mac::new(mac(1))).unwrap().expires;
        assert_eq!(expires, lab.now + Duration::from_hours(1));
        let reboot = |last, address| {
            request(
                MessageType::Request,
                mac(last),
                &[DhcpOption::RequestedIpAddress(address)],
            )
        };
        let kind = |acts: Vec<Act>| replies(&acts).first().and_then(|r| r.opts().msg_type());
        assert_eq!(kind(lab.send(&reboot(1, at(100)))), Some(MessageType::Ack));
        // Another's address; one of another network; somebody that we do not know.
        assert_eq!(kind(lab.send(&reboot(1, at(101)))), Some(MessageType::Nak));
        let foreign = Ipv4Addr::new(192, 168, 1, 5);
        assert_eq!(kind(lab.send(&reboot(2, foreign))), Some(MessageType::Nak));
        assert_eq!(kind(lab.send(&reboot(2, at(120)))), None);
    }

    #[test]
    fn a_released_address_comes_back_to_its_client() {
        let mut lab = Lab::new(199, "");
        lab.discover(1);
        lab.select(1, at(100));
        let id = DhcpOption::ServerIdentifier(SERVER);
        lab.send(&request(MessageType::Release, mac(1), &[id]));
        assert!(
            lab.pool
                .leases()
                .is_free(at(100), Mac::new(mac(9)), lab.now)
        );
        assert_eq!(lab.discover(2), Some(at(101)));
        assert_eq!(lab.discover(1), Some(at(100)));
    }

    #[test]
    fn a_restart_forgets_nothing_that_still_fits() {
        let mut lab = Lab::new(199, "");
        for last in [1, 2] {
            let address = lab.discover(last).unwrap();
            lab.select(last, address);
        }
        let text = lab.pool.leases().to_text();
        let read = Leases::from_text(&text).unwrap();
        let pool = Pool::new(networks(199), read.clone(), &lab.plan, lab.now);
        assert_eq!(pool.leases().iter().count(), 2);
        let fewer = Pool::new(networks(100), read.clone(), &lab.plan, lab.now);
        assert_eq!(fewer.leases().iter().count(), 1);
        let reserved = plan("[[host]]\nmac = \"52:54:00:00:00:09\"\naddress = \"10.77.0.100\"\n");
        let moved = Pool::new(networks(199), read, &reserved, lab.now);
        assert_eq!(moved.leases().iter().count(), 1);
    }

    #[test]
    fn a_rival_is_told() {
        let mut lab = Lab::new(199, "");
        let other = DhcpOption::ServerIdentifier(RIVAL);
        let acts = lab.send(&request(MessageType::Request, mac(1), &[other]));
        assert_eq!(told(&acts), [Told::Rival { server: RIVAL }]);
    }

    #[test]
    fn strict_leases_nothing_to_strangers() {
        let rules = "[dhcp]\nstrict = true\n[[host]]\nmac = \"52:54:00:00:00:01\"\n";
        let mut lab = Lab::new(199, rules);
        assert_eq!(lab.discover(2), None);
        assert_eq!(lab.discover(1), Some(at(100)));
        let stranger = request(MessageType::Discover, mac(2), &[class("PXEClient")]);
        let acts = lab.send(&stranger);
        assert!(matches!(
            told(&acts)[..],
            [Told::Silence {
                why: Silence::Stranger,
                ..
            }]
        ));
        assert!(replies(&acts).is_empty());
    }

    /// Whatever clients send, no two of them hold one address, and memory stays within the pool.
    #[test]
    fn any_order_of_messages() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut lab = Lab::new(110, "");
            for _ in 0..200 {
                let kinds = [
                    MessageType::Discover,
                    MessageType::Request,
                    MessageType::Decline,
                    MessageType::Release,
                    MessageType::Inform,
                ];
                let kind = kinds[random.usize(..kinds.len())];
                let mut message = request(kind, mac(random.u8(1..30)), &[]);
                if random.bool() {
                    let server = if random.u8(..8) == 0 { RIVAL } else { SERVER };
                    let id = DhcpOption::ServerIdentifier(server);
                    message.opts_mut().insert(id);
                }
                if random.bool() {
                    let wanted = DhcpOption::RequestedIpAddress(at(random.u8(95..115)));
                    message.opts_mut().insert(wanted);
                }
                if random.u8(..4) == 0 {
                    message.set_ciaddr(at(random.u8(95..115)));
                }
                lab.send(&message);
                if random.bool() {
                    lab.settle();
                }
                lab.now += Duration::from_secs(random.u64(..120));
                let leases = lab.pool.leases();
                let held: Vec<_> = leases.iter().map(|(_, lease)| lease.address).collect();
                let mut once = held.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(held.len(), once.len(), "seed {seed}");
                assert!(held.iter().all(|a| lab.pool.networks.lease(*a)));
                assert!(lab.pool.offers.len() <= 30, "seed {seed}");
            }
        }
    }
}
