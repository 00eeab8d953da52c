// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who answers a machine that boots here: DHCP and PXE servers on the wire.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Encodable as _, Encoder};
use site::DhcpMode;

use super::Finding;
use super::frames::Frames;
use crate::boot::dhcp::message::decode;
use crate::boot::dhcp::socket::{InterfaceSocket, PortError};

const CHECK: &str = "DHCP";
/// A server may look for an address by ping for a second or two before it offers it.
const PATIENCE: Duration = Duration::from_secs(4);
/// Asked again after so long.
const AGAIN: Duration = Duration::from_secs(1);

/// A server that offered something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Who.
    pub server: Ipv4Addr,
    /// The address that it offered.
    pub address: Option<Ipv4Addr>,
    /// What it said that boots.
    pub file: Option<String>,
    /// Whether it said that it is a PXE server.
    pub pxe: bool,
}

/// Who may boot: a server may answer one and not the other, and name another file to each. Firmware that
/// boots over HTTP is answered by those alone that say that they are HTTP boot servers.
const MACHINES: [(&str, u16); 3] = [
    ("PXEClient:Arch:00000:UNDI:002001", 0),
    ("PXEClient:Arch:00007:UNDI:003016", 7),
    ("HTTPClient:Arch:00016:UNDI:003016", 16),
];

/// A place to ask from, and the numbers of its questions.
#[derive(Debug)]
pub struct Asker {
    socket: InterfaceSocket,
    /// Where answers are heard that the socket does not hear.
    frames: Option<Frames>,
    interface: String,
    first: u32,
}

impl Asker {
    /// Listens where clients hear: beside them where that is permitted, else on their port, which then must
    /// be free.
    pub fn open(interface: &str, index: u32, own: Ipv4Addr) -> Result<Asker, PortError> {
        let mut random = [0; 4];
        // Best effort: numbers that others have, too, mix up answers and nothing else.
        let _ = rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty());
        let frames = Frames::open(interface).ok();
        // Answers go to the clients' port, whichever asked (RFC 2131, section 4.1).
        let port = if frames.is_some() { 0 } else { 68 };
        Ok(Asker {
            socket: InterfaceSocket::open(interface, index, own, port)?,
            frames,
            interface: interface.to_owned(),
            first: u32::from_ne_bytes(random),
        })
    }

    /// The questions' transaction numbers: whoever serves DHCP here need not answer itself.
    pub fn numbers(&self) -> [u32; MACHINES.len()] {
        std::array::from_fn(|machine| self.first.wrapping_add(machine as u32))
    }

    /// Asks as PCs of every kind would, takes nothing of what is offered, and lists who offered.
    #[expect(clippy::disallowed_methods, reason = "the edge: how long is waited")]
    pub fn ask(&mut self) -> Result<Vec<Offer>, PortError> {
        let (start, mut sent) = (Instant::now(), 0);
        let mut offers: Vec<Offer> = Vec::new();
        while start.elapsed() < PATIENCE {
            if start.elapsed() >= AGAIN * sent {
                sent += 1;
                let to = std::net::SocketAddrV4::new(Ipv4Addr::BROADCAST, 67);
                for (number, (class, arch)) in self.numbers().into_iter().zip(MACHINES) {
                    let request = question(number, class, arch);
                    self.socket.send(&request, to).map_err(|source| {
                        let interface = self.interface.clone();
                        PortError::System {
                            port: 68,
                            interface,
                            step: "send to all",
                            source,
                        }
                    })?;
                }
            }
            let mut buffer = [0; 1500];
            let heard = match &mut self.frames {
                Some(frames) => frames.receive(&mut buffer),
                None => self.socket.receive(&mut buffer).map(|heard| {
                    let length = heard.map(|(length, _)| length);
                    length.map(|length| buffer[..length].to_vec())
                }),
            };
            match heard {
                Ok(Some(answer)) => {
                    let parsed = |number| parse(&answer, number);
                    if let Some(offer) = self.numbers().into_iter().find_map(parsed)
                        && !offers.contains(&offer)
                    {
                        offers.push(offer);
                    }
                }
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        Ok(offers)
    }
}

/// What a machine asks that wants to boot.
fn question(number: u32, class: &str, arch: u16) -> Vec<u8> {
    let none = Ipv4Addr::UNSPECIFIED;
    // Addresses of nobody: locally administered, and told apart from all cards.
    let card = [0x02, 0x53, 0x4c, 0x41, 0x4d, arch as u8];
    let mut message = Message::new_with_id(number, none, none, none, none, &card);
    let flags = message.flags().set_broadcast();
    message.set_flags(flags);
    let opts = message.opts_mut();
    for option in [
        DhcpOption::MessageType(MessageType::Discover),
        DhcpOption::ClassIdentifier(class.as_bytes().to_vec()),
        DhcpOption::ClientSystemArchitecture(arch.into()),
        DhcpOption::ClientNetworkInterface(1, 2, 1),
        DhcpOption::ParameterRequestList(vec![
            OptionCode::SubnetMask,
            OptionCode::Router,
            OptionCode::VendorExtensions,
            OptionCode::ClassIdentifier,
            OptionCode::TFTPServerName,
            OptionCode::BootfileName,
        ]),
    ] {
        opts.insert(option);
    }
    let mut request = Vec::new();
    // A message of fixed fields and short options always has an encoding.
    let _ = message.encode(&mut Encoder::new(&mut request));
    request
}

fn parse(datagram: &[u8], xid: u32) -> Option<Offer> {
    let message = decode(datagram).ok()?;
    if message.opcode() != Opcode::BootReply || message.xid() != xid {
        return None;
    }
    if message.opts().msg_type()? != MessageType::Offer {
        return None;
    }
    let opts = message.opts();
    let server = match opts.get(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(server)) => *server,
        _ => message.siaddr(),
    };
    let name = match opts.get(OptionCode::BootfileName) {
        Some(DhcpOption::BootfileName(name)) => name.as_slice(),
        _ => message.fname().unwrap_or_default(),
    };
    let name = String::from_utf8_lossy(name);
    let name: String = name
        .trim_end_matches('\0')
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    let pxe = matches!(
        opts.get(OptionCode::ClassIdentifier),
        Some(DhcpOption::ClassIdentifier(class))
            if class.starts_with(b"PXEClient") || class.starts_with(b"HTTPClient")
    );
    Some(Offer {
        server,
        address: Some(message.yiaddr()).filter(|a| !a.is_unspecified()),
        file: (!name.is_empty()).then_some(name),
        pxe,
    })
}

/// What the offers mean for a server at `own` that serves DHCP in this mode.
pub fn judge(offers: &[Offer], mode: DhcpMode, own: Ipv4Addr) -> Vec<Finding> {
    let others = || offers.iter().filter(|offer| offer.server != own);
    let mut findings = Vec::new();
    // Each offers several times: to machines of every kind.
    let givers: BTreeSet<Ipv4Addr> = others()
        .filter(|offer| offer.address.is_some())
        .map(|offer| offer.server)
        .collect();
    let givers = Vec::from_iter(givers);
    let listed = |servers: &[Ipv4Addr]| {
        let texts: Vec<String> = servers.iter().map(ToString::to_string).collect();
        texts.join(", ")
    };
    match (givers.as_slice(), mode) {
        ([], DhcpMode::Pool) => {
            findings.push(Finding::ok(CHECK, "nobody else gives addresses"));
        }
        ([], _) => findings.push(Finding::problem(
            CHECK,
            "nobody gives addresses here: no machine gets as far as booting",
            "switch the network's DHCP server on, or let this one give addresses: --dhcp pool, or mode = \"pool\" under [dhcp]",
        )),
        (several, DhcpMode::Pool) => findings.push(Finding::problem(
            CHECK,
            format!("{} gives addresses here, too", listed(several)),
            "use mode = \"proxy\" under [dhcp], or switch the other server off",
        )),
        ([one], _) => findings.push(Finding::ok(CHECK, format!("{one} gives addresses"))),
        (several, _) => findings.push(Finding::warning(
            CHECK,
            format!("several servers give addresses: {}", listed(several)),
            "one is a mistake, often a home router: unplug it, or switch its DHCP off",
        )),
    }
    let files: BTreeSet<(Ipv4Addr, &String)> = others()
        .filter_map(|offer| Some((offer.server, offer.file.as_ref()?)))
        .collect();
    for (server, file) in files {
        findings.push(match mode {
            DhcpMode::Off => Finding::ok("PXE", format!("{server} says that {file} boots")),
            _ => Finding::warning(
                "PXE",
                format!("{server} says, too, what boots: {file}"),
                format!(
                    "take the boot file (options 66 and 67, next-server) out of {server}, or leave it to that server: --dhcp off"
                ),
            ),
        });
    }
    let silent: BTreeSet<Ipv4Addr> = others()
        .filter(|offer| offer.pxe && offer.file.is_none())
        .map(|offer| offer.server)
        .collect();
    for server in silent {
        findings.push(Finding::warning(
            "PXE",
            format!("{server} is another PXE server (WDS, FOG, a proxyDHCP)"),
            "switch it off for this network, or name machines that are yours: [[host]] with strict = true, and the like there",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::boot::arch::{ClientArch, Fetch, Program};
    use crate::boot::dhcp::message::Request;
    use crate::boot::dhcp::message::tests::{CODES, bytes, request};
    use crate::boot::fuzz;

    const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

    fn offer(last: u8, gives: bool, file: Option<&str>) -> Offer {
        Offer {
            server: Ipv4Addr::new(10, 77, 0, last),
            address: gives.then_some(Ipv4Addr::new(10, 77, 0, 99)),
            file: file.map(str::to_owned),
            pxe: false,
        }
    }

    #[test]
    fn what_offers_mean_depends_on_the_mode() {
        let levels = |offers: &[Offer], mode| {
            let found = judge(offers, mode, OWN);
            found.iter().map(|f| f.level).collect::<Vec<_>>()
        };
        let (proxy, pool) = (DhcpMode::Proxy, DhcpMode::Pool);
        assert_eq!(levels(&[], proxy), [Level::Problem]);
        assert_eq!(levels(&[], pool), [Level::Ok]);
        // Our own answers are no rival's.
        assert_eq!(levels(&[offer(1, true, Some("x"))], pool), [Level::Ok]);
        assert_eq!(levels(&[offer(254, true, None)], proxy), [Level::Ok]);
        assert_eq!(levels(&[offer(254, true, None)], pool), [Level::Problem]);
        assert_eq!(
            levels(&[offer(254, true, None), offer(253, true, None)], proxy),
            [Level::Warning]
        );
        let files = [offer(254, true, Some("pxelinux.0"))];
        assert_eq!(levels(&files, proxy), [Level::Ok, Level::Warning]);
        assert_eq!(levels(&files, DhcpMode::Off), [Level::Ok, Level::Ok]);
    }

    /// A server offers to machines of every kind, and is told of once.
    #[test]
    fn one_server_is_one_server() {
        let uefi = |file: Option<&str>| Offer {
            pxe: true,
            ..offer(254, true, file)
        };
        let (bios, http) = (offer(254, true, Some("pxelinux.0")), uefi(None));
        let found = judge(
            &[bios.clone(), uefi(Some("boot.efi")), http.clone(), http],
            DhcpMode::Proxy,
            OWN,
        );
        let texts: Vec<&str> = found.iter().map(|finding| finding.what.as_str()).collect();
        let expected = [
            "10.77.0.254 gives addresses",
            "10.77.0.254 says, too, what boots: boot.efi",
            "10.77.0.254 says, too, what boots: pxelinux.0",
            "10.77.0.254 is another PXE server (WDS, FOG, a proxyDHCP)",
        ];
        assert_eq!(texts, expected);
        assert_eq!(judge(&[bios], DhcpMode::Pool, OWN)[0].level, Level::Problem);
    }

    #[test]
    fn every_kind_of_machine_asks() {
        for (class, arch) in MACHINES {
            let request = Request::decode(&question(7, class, arch)).unwrap();
            let client = request.client().unwrap();
            assert_eq!(client.arch, ClientArch::from_code(arch));
            let fetch = if class.starts_with("HTTP") {
                Fetch::Http
            } else {
                Fetch::Tftp
            };
            assert_eq!(client.program, Program::Vendor(fetch));
        }
    }

    /// Whatever answers, nothing panics, and what is printed is fit for a terminal.
    #[test]
    fn any_answer() {
        let mut seed = bytes(&request(MessageType::Offer, [2, 0, 0, 0, 0, 1], &[]));
        seed[0] = 2;
        let mut files = 0;
        for number in 0..fuzz::cases(5_000) {
            let mut random = fastrand::Rng::with_seed(number);
            let mut datagram = fuzz::dhcp(&mut random, &seed, CODES);
            if random.bool() && datagram.len() > 140 {
                datagram[108..140].fill_with(|| random.u8(..));
            }
            if let Some(offer) = parse(&datagram, 0x1234_5678)
                && let Some(file) = offer.file
            {
                assert!(!file.is_empty() && !file.contains(char::is_control));
                files += 1;
            }
        }
        assert!(
            files > 500,
            "{files} offers with a file: too few got so far"
        );
    }

    #[test]
    fn nonsense_is_no_offer() {
        assert_eq!(parse(&[], 1), None);
        let mut bytes = vec![2; 300];
        bytes[2] = 255;
        assert_eq!(parse(&bytes, 0x0202_0202), None);
    }
}
