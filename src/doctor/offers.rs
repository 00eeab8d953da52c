// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who answers a machine that boots here: DHCP and PXE servers on the wire.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Encodable as _, Encoder};
use site::DhcpMode;

use super::Finding;
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

/// Asks as a PC with a BIOS would, takes nothing of what is offered, and lists who offered.
#[expect(clippy::disallowed_methods, reason = "the edge: how long is waited")]
pub fn ask(interface: &str, index: u32, own: Ipv4Addr) -> Result<Vec<Offer>, PortError> {
    let socket = InterfaceSocket::open(interface, index, own, 68)?;
    let none = Ipv4Addr::UNSPECIFIED;
    // An address of nobody: locally administered, and told apart from all cards.
    let mut message = Message::new_with_id(
        std::process::id() ^ 0x5a5a_0000,
        none,
        none,
        none,
        none,
        &[0x02, 0x53, 0x4c, 0x41, 0x4d, 0x00],
    );
    let flags = message.flags().set_broadcast();
    message.set_flags(flags);
    let opts = message.opts_mut();
    for option in [
        DhcpOption::MessageType(MessageType::Discover),
        DhcpOption::ClassIdentifier(b"PXEClient:Arch:00000:UNDI:002001".to_vec()),
        DhcpOption::ClientSystemArchitecture(0.into()),
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
    let (start, mut sent) = (Instant::now(), 0);
    let mut offers: Vec<Offer> = Vec::new();
    while start.elapsed() < PATIENCE {
        if start.elapsed() >= AGAIN * sent {
            sent += 1;
            let to = std::net::SocketAddrV4::new(Ipv4Addr::BROADCAST, 67);
            if let Err(source) = socket.send(&request, to) {
                return Err(PortError::System {
                    port: 68,
                    interface: interface.to_owned(),
                    step: "send to all",
                    source,
                });
            }
        }
        let mut buffer = [0; 1500];
        match socket.receive(&mut buffer) {
            Ok(Some((length, _))) => {
                if let Some(offer) = parse(&buffer[..length], message.xid())
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
        Some(DhcpOption::ClassIdentifier(class)) if class.starts_with(b"PXEClient")
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
    let givers: Vec<Ipv4Addr> = others()
        .filter(|offer| offer.address.is_some())
        .map(|offer| offer.server)
        .collect();
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
    for offer in others() {
        let Some(file) = &offer.file else { continue };
        let server = offer.server;
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
    for offer in others().filter(|offer| offer.pxe && offer.file.is_none()) {
        findings.push(Finding::warning(
            "PXE",
            format!("{} is another PXE server (WDS, FOG, a proxyDHCP)", offer.server),
            "switch it off for this network, or name machines that are yours: [[host]] with strict = true, and the like there",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
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
