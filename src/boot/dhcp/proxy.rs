// SPDX-License-Identifier: MIT OR Apache-2.0
//! proxyDHCP: telling PXE clients what to boot beside a server that gives them addresses
//! (PXE 2.1, section 2.2).
//!
//! On port 67 only a DISCOVER is answered, by an offer without an address. On port 4011 a client
//! that has its address already asks for the boot file itself.

use std::net::Ipv4Addr;

use dhcproto::v4::MessageType;

use super::message::{Reply, Request};
use crate::boot::arch::{Fetch, Program};
use crate::boot::plan::{BootFile, BootPlan, Client, Decision, Silence};

/// By which port a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// 67
    Dhcp,
    /// 4011
    Pxe,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The client is told what to boot, at once or when it asks on port 4011.
    Boot {
        /// Who.
        client: Client,
        /// What.
        file: BootFile,
        /// The answer.
        reply: Reply,
    },
    /// A client that boots from the network is told nothing.
    Silence {
        /// Who.
        client: Client,
        /// Why.
        why: Silence,
    },
    /// It is not for us.
    Ignore,
}

/// Answers a request that came to the server at `server`.
pub fn answer(request: &Request, port: Port, plan: &BootPlan, server: Ipv4Addr) -> Answer {
    let Some(client) = request.client() else {
        return Answer::Ignore;
    };
    let kind = match (request.kind(), port) {
        (MessageType::Discover, Port::Dhcp) => MessageType::Offer,
        // Some firmware asks port 4011 as if it looked for a server there.
        (MessageType::Discover | MessageType::Request | MessageType::Inform, Port::Pxe) => {
            MessageType::Ack
        }
        // A client that picked a boot server from a menu asks everybody for it; one that took our
        // offer for a server's asks us.
        (MessageType::Request, Port::Dhcp)
            if request.server() == Some(server)
                || (request.server().is_none() && request.boot_item().is_some()) =>
        {
            MessageType::Ack
        }
        _ => return Answer::Ignore,
    };
    match plan.decide(&client, server) {
        Decision::Boot(file) => {
            let reply = request.reply(kind, server);
            let reply = match port {
                Port::Dhcp if client.link.is_none() => reply.broadcast(),
                _ => reply.keeps_ciaddr(),
            };
            // Much UEFI firmware takes a boot file only from port 4011; it is sent there by an
            // offer that names the server and nothing else (so does dnsmasq). iPXE and HTTP boot
            // take it from the offer.
            let asks_again = port == Port::Dhcp
                && client.arch.is_efi()
                && client.program == Program::Vendor(Fetch::Tftp)
                && kind == MessageType::Offer;
            let reply = if asks_again {
                reply.boot_server(server)
            } else {
                boots(reply, request, &client, &file, server)
            };
            Answer::Boot {
                client,
                file,
                reply,
            }
        }
        Decision::Silence(why) => Answer::Silence { client, why },
    }
}

/// The boot file, and for PXE the word that no further server is to be looked for.
pub(super) fn boots(
    reply: Reply,
    request: &Request,
    client: &Client,
    file: &BootFile,
    server: Ipv4Addr,
) -> Reply {
    let reply = reply.boots(file, server);
    match client.program {
        Program::Vendor(Fetch::Http) => reply,
        _ => reply.pxe(request.boot_item().as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use dhcproto::v4::{self, DhcpOption};
    use dhcproto::{Decodable as _, Decoder};
    use site::{Arch, Site};

    use super::super::message::tests::{CODES, bytes, class, ipxe, request};
    use super::*;
    use crate::boot::fuzz;
    use crate::boot::plan::{Rom, Roms, Services};

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];

    fn plan() -> BootPlan {
        let rom = |name: &str| Rom {
            name: name.to_owned(),
            slam: true,
        };
        let roms = Roms::new([
            (Arch::Bios, rom("undionly.kpxe")),
            (Arch::EfiX64, rom("snponly.efi")),
        ]);
        let services = Services {
            http: Some(8080),
            tftp: true,
        };
        BootPlan::new(&Site::default(), roms, services)
    }

    fn ask(message: &v4::Message, port: Port) -> Option<(v4::Message, String)> {
        let request = Request::decode(&bytes(message)).unwrap();
        match answer(&request, port, &plan(), SERVER) {
            Answer::Boot { reply, .. } => {
                let to = reply.destination().to_string();
                let sent = reply.encode();
                Some((v4::Message::decode(&mut Decoder::new(&sent)).unwrap(), to))
            }
            Answer::Silence { .. } | Answer::Ignore => None,
        }
    }

    fn pxe(kind: MessageType, arch: u16) -> v4::Message {
        let scheme = if arch == 16 { "HTTP" } else { "PXE" };
        request(
            kind,
            MAC,
            &[
                class(&format!("{scheme}Client:Arch:{arch:05}:UNDI:003016")),
                DhcpOption::ClientSystemArchitecture(arch.into()),
            ],
        )
    }

    fn file(message: &v4::Message) -> Option<String> {
        let name = message.fname()?;
        Some(
            String::from_utf8_lossy(name)
                .trim_end_matches('\0')
                .to_owned(),
        )
    }

    #[test]
    fn a_bios_is_told_its_file_in_the_offer() {
        let (offer, to) = ask(&pxe(MessageType::Discover, 0), Port::Dhcp).unwrap();
        assert_eq!(offer.opts().msg_type(), Some(MessageType::Offer));
        assert_eq!(offer.yiaddr(), Ipv4Addr::UNSPECIFIED);
        assert_eq!(offer.siaddr(), SERVER);
        assert_eq!(file(&offer).as_deref(), Some("undionly.kpxe"));
        assert_eq!(to, "255.255.255.255:68");
        assert!(offer.flags().broadcast());
    }

    #[test]
    fn uefi_is_sent_to_port_4011_and_told_there() {
        let (offer, _) = ask(&pxe(MessageType::Discover, 7), Port::Dhcp).unwrap();
        assert_eq!((offer.siaddr(), file(&offer)), (SERVER, None));
        assert!(offer.opts().get(v4::OptionCode::BootfileName).is_none());
        assert!(offer.opts().get(v4::OptionCode::VendorExtensions).is_none());

        let mut asks = pxe(MessageType::Request, 7);
        asks.set_ciaddr([10, 77, 0, 33]);
        let (ack, to) = ask(&asks, Port::Pxe).unwrap();
        assert_eq!(ack.opts().msg_type(), Some(MessageType::Ack));
        assert_eq!(file(&ack).as_deref(), Some("snponly.efi"));
        assert_eq!(to, "10.77.0.33:68");
    }

    #[test]
    fn http_boot_is_told_a_url_and_its_own_class() {
        let (offer, _) = ask(&pxe(MessageType::Discover, 16), Port::Dhcp).unwrap();
        assert_eq!(
            file(&offer).as_deref(),
            Some("http://10.77.0.1:8080/firmware/snponly.efi")
        );
        let class = offer.opts().get(v4::OptionCode::ClassIdentifier);
        assert_eq!(
            class,
            Some(&DhcpOption::ClassIdentifier(b"HTTPClient".to_vec()))
        );
        assert!(offer.opts().get(v4::OptionCode::VendorExtensions).is_none());
    }

    #[test]
    fn ipxe_is_told_a_script_on_any_firmware() {
        for arch in [0, 7] {
            let mut message = pxe(MessageType::Discover, arch);
            let opts = message.opts_mut();
            opts.insert(DhcpOption::UserClass(b"iPXE".to_vec()));
            opts.insert(ipxe(&[0x13, 1, 1, 0x1a, 1, 1]));
            let (offer, _) = ask(&message, Port::Dhcp).unwrap();
            assert_eq!(
                file(&offer).as_deref(),
                Some("http://10.77.0.1:8080/boot.ipxe?mac=52:54:00:00:00:01")
            );
        }
    }

    #[test]
    fn what_is_for_others_is_left_to_them() {
        let none = |message: &v4::Message, port| assert!(ask(message, port).is_none());
        // Whoever does not boot from the network.
        none(&request(MessageType::Discover, MAC, &[]), Port::Dhcp);
        none(
            &request(MessageType::Discover, MAC, &[class("MSFT 5.0")]),
            Port::Dhcp,
        );
        // The address's own server.
        let mut other = pxe(MessageType::Request, 0);
        let id = DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 77, 0, 254));
        other.opts_mut().insert(id);
        none(&other, Port::Dhcp);
        none(&pxe(MessageType::Release, 0), Port::Dhcp);
        none(&pxe(MessageType::Decline, 0), Port::Pxe);
    }

    #[test]
    fn a_boot_server_that_was_chosen_answers_with_the_choice() {
        let mut asks = pxe(MessageType::Request, 0);
        let item = vec![71, 4, 0, 0, 0, 0, 255];
        asks.opts_mut().insert(DhcpOption::VendorExtensions(item));
        for port in [Port::Dhcp, Port::Pxe] {
            let (ack, _) = ask(&asks, port).unwrap();
            assert_eq!(
                ack.opts().get(v4::OptionCode::VendorExtensions),
                Some(&DhcpOption::VendorExtensions(vec![71, 4, 0, 0, 0, 0, 255]))
            );
        }
    }

    #[test]
    fn a_relay_gets_the_answer() {
        let mut asks = pxe(MessageType::Discover, 0);
        asks.set_giaddr([10, 9, 0, 1]);
        let (offer, to) = ask(&asks, Port::Dhcp).unwrap();
        assert_eq!(to, "10.9.0.1:67");
        assert_eq!(offer.giaddr(), Ipv4Addr::new(10, 9, 0, 1));
        assert!(!offer.flags().broadcast());
    }

    /// Whatever comes, nothing panics, and what is answered can be read again.
    #[test]
    fn any_datagram() {
        let seeds: Vec<Vec<u8>> = [0, 7, 16]
            .into_iter()
            .flat_map(|arch| {
                let kinds = [MessageType::Discover, MessageType::Request];
                kinds.map(|kind| bytes(&pxe(kind, arch)))
            })
            .collect();
        let plan = plan();
        for seed in 0..fuzz::cases(10_000) {
            let mut random = fastrand::Rng::with_seed(seed);
            let whole = &seeds[random.usize(..seeds.len())];
            let datagram = fuzz::dhcp(&mut random, whole, CODES);
            let Ok(request) = Request::decode(&datagram) else {
                continue;
            };
            for port in [Port::Dhcp, Port::Pxe] {
                if let Answer::Boot { reply, .. } = answer(&request, port, &plan, SERVER) {
                    let sent = reply.encode();
                    assert!(sent.len() >= 300, "seed {seed}");
                    let read = v4::Message::decode(&mut Decoder::new(&sent));
                    assert!(read.is_ok_and(|m| m.xid() == xid(&datagram)), "seed {seed}");
                }
            }
        }
    }

    fn xid(datagram: &[u8]) -> u32 {
        u32::from_be_bytes(datagram[4..8].try_into().unwrap())
    }
}
