// SPDX-License-Identifier: MIT OR Apache-2.0
//! DHCP messages as this server reads and writes them (RFC 2131, RFC 2132, RFC 4578, PXE 2.1).
//!
//! The codec is `dhcproto`; here is what a boot server makes of its options.

use std::net::{Ipv4Addr, SocketAddrV4};

use dhcproto::v4::{self, DhcpOption, MessageType, OptionCode, UnknownOption};
use dhcproto::{Decodable as _, Decoder, Encodable as _, Encoder};
use site::Mac;

use crate::boot::arch::{ClientArch, Program};
use crate::boot::plan::{BootFile, Client};

/// Where clients listen (RFC 2131, section 4.1).
const CLIENT_PORT: u16 = 68;
/// The fixed part, up to the magic cookie and with it.
const FIXED: usize = 240;
/// Shortest message: BOOTP's (RFC 951), which old relay agents and ROMs insist on.
const SHORTEST: usize = 300;
/// Longest message that is looked at: what fits an Ethernet frame.
pub const LONGEST: usize = 1500;
/// `file` of the fixed part, with its final zero.
const FILE_FIELD: usize = 128;
const ETHERNET: u8 = 1;
/// The suboption of option 82 that names the client's network (RFC 3527).
const LINK_SELECTION: u8 = 5;

/// A request of a client.
#[derive(Clone, Debug)]
pub struct Request {
    message: v4::Message,
    kind: MessageType,
    mac: Mac,
    /// Option 82 as it came: it goes back as it came (RFC 3046, section 2.2).
    relay_information: Option<Vec<u8>>,
}

/// Why a datagram is no request that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotRequest {
    /// Shorter than the fixed part.
    #[error("shorter than a DHCP message")]
    Short,
    /// Longer than an Ethernet frame.
    #[error("longer than a DHCP message may be here")]
    Long,
    /// Another server's answer, or no DHCP at all.
    #[error("not a request")]
    NotRequest,
    /// No Ethernet card.
    #[error("the hardware address is not Ethernet's")]
    NotEthernet,
    /// BOOTP, or options that cannot be read.
    #[error("without a DHCP message type")]
    NoType,
}

impl Request {
    /// Reads a datagram.
    pub fn decode(datagram: &[u8]) -> Result<Request, NotRequest> {
        if datagram.len() > LONGEST {
            return Err(NotRequest::Long);
        }
        let Some((fixed, options)) = datagram.split_at_checked(FIXED) else {
            return Err(NotRequest::Short);
        };
        if fixed[0] != 1 {
            return Err(NotRequest::NotRequest);
        }
        let mut mac = [0; 6];
        mac.copy_from_slice(&fixed[28..34]);
        let message = decode(datagram)?;
        let kind = message.opts().msg_type().ok_or(NotRequest::NoType)?;
        Ok(Request {
            message,
            kind,
            mac: Mac::new(mac),
            relay_information: raw_option(options, 82),
        })
    }

    /// Which request.
    pub fn kind(&self) -> MessageType {
        self.kind
    }

    /// The number by which the client knows the answer.
    pub fn number(&self) -> u32 {
        self.message.xid()
    }

    /// The client's card.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// The client's own address, if it has one and can be reached by it.
    pub fn ciaddr(&self) -> Option<Ipv4Addr> {
        some(self.message.ciaddr())
    }

    /// The relay agent.
    pub fn relay(&self) -> Option<Ipv4Addr> {
        some(self.message.giaddr())
    }

    /// An address of the network that a relay agent brings this from: the one that it names, where its
    /// own is not there (RFC 3527: option 82, suboption 5), else its own.
    pub fn link(&self) -> Option<Ipv4Addr> {
        let own = self.relay()?;
        let named = self.relay_information.as_deref();
        let named = named.and_then(|options| suboption(options, LINK_SELECTION));
        let named = named.and_then(|link| <[u8; 4]>::try_from(link).ok());
        Some(named.map(Ipv4Addr::from).and_then(some).unwrap_or(own))
    }

    /// The address that is asked for.
    pub fn requested(&self) -> Option<Ipv4Addr> {
        match self.message.opts().get(OptionCode::RequestedIpAddress) {
            Some(DhcpOption::RequestedIpAddress(address)) => some(*address),
            _ => None,
        }
    }

    /// The server that is meant.
    pub fn server(&self) -> Option<Ipv4Addr> {
        match self.message.opts().get(OptionCode::ServerIdentifier) {
            Some(DhcpOption::ServerIdentifier(address)) => some(*address),
            _ => None,
        }
    }

    /// What the client calls itself, as far as it is a name.
    pub fn host_name(&self) -> Option<String> {
        let Some(DhcpOption::Hostname(name)) = self.message.opts().get(OptionCode::Hostname) else {
            return None;
        };
        let fits = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
        let name: String = name.chars().filter(fits).take(63).collect();
        (!name.is_empty()).then_some(name)
    }

    /// The client, if it boots from the network.
    pub fn client(&self) -> Option<Client> {
        let opts = self.message.opts();
        let program = Program::recognise(
            self.vendor_class(),
            match opts.get(OptionCode::UserClass) {
                Some(DhcpOption::UserClass(class)) => class,
                _ => &[],
            },
            match opts.get(OptionCode::Unknown(175)) {
                Some(DhcpOption::Unknown(option)) => Some(option.data()),
                _ => None,
            },
        )?;
        Some(Client {
            mac: self.mac,
            arch: self.arch(),
            program,
            link: self.link(),
        })
    }

    /// Option 93, else what the vendor class says, else a BIOS.
    pub fn arch(&self) -> ClientArch {
        if let Some(DhcpOption::ClientSystemArchitecture(arch)) = self
            .message
            .opts()
            .get(OptionCode::ClientSystemArchitecture)
        {
            return ClientArch::from_code((*arch).into());
        }
        // `PXEClient:Arch:00007:UNDI:003016`
        let class = String::from_utf8_lossy(self.vendor_class());
        let code = class.split(':').skip_while(|word| *word != "Arch").nth(1);
        code.and_then(|code| code.parse().ok())
            .map_or(ClientArch::BIOS, ClientArch::from_code)
    }

    fn vendor_class(&self) -> &[u8] {
        match self.message.opts().get(OptionCode::ClassIdentifier) {
            Some(DhcpOption::ClassIdentifier(class)) => class,
            _ => &[],
        }
    }

    /// `PXE_BOOT_ITEM`: the boot server and layer that were chosen (PXE 2.1, table 2-1, option 43.71).
    pub fn boot_item(&self) -> Option<Vec<u8>> {
        match self.message.opts().get(OptionCode::VendorExtensions) {
            Some(DhcpOption::VendorExtensions(options)) => {
                raw_option(options, 71).filter(|item| item.len() == 4)
            }
            _ => None,
        }
    }

    /// The class that PXE and HTTP clients look for in answers.
    fn answer_class(&self) -> Option<&'static [u8]> {
        let class = self.vendor_class();
        if class.starts_with(b"HTTPClient") {
            Some(b"HTTPClient")
        } else if class.starts_with(b"PXEClient") || self.client().is_some() {
            Some(b"PXEClient")
        } else {
            None
        }
    }

    /// An answer of this kind, from the server at `server`, with nothing in it yet.
    pub fn reply(&self, kind: MessageType, server: Ipv4Addr) -> Reply {
        let mut message = v4::Message::new_with_id(
            self.message.xid(),
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::UNSPECIFIED,
            self.message.giaddr(),
            &self.mac.bytes(),
        );
        message.set_opcode(v4::Opcode::BootReply);
        message.set_flags(self.message.flags());
        let opts = message.opts_mut();
        opts.insert(DhcpOption::MessageType(kind));
        opts.insert(DhcpOption::ServerIdentifier(server));
        if let Some(class) = self.answer_class() {
            opts.insert(DhcpOption::ClassIdentifier(class.to_vec()));
        }
        // "The server must return it" (RFC 4578, section 2.1).
        let uuid = self.message.opts().get(OptionCode::ClientMachineIdentifier);
        if let Some(uuid) = uuid {
            opts.insert(uuid.clone());
        }
        Reply {
            message,
            kind,
            relay_information: self.relay_information.clone(),
            relay: self.relay(),
            ciaddr: self.ciaddr(),
        }
    }
}

fn some(address: Ipv4Addr) -> Option<Ipv4Addr> {
    (!address.is_unspecified()).then_some(address)
}

/// A message of either direction, as far as its options are looked at.
pub(crate) fn decode(datagram: &[u8]) -> Result<v4::Message, NotRequest> {
    let Some((fixed, options)) = datagram.split_at_checked(FIXED) else {
        return Err(NotRequest::Short);
    };
    if fixed[FIXED - 4..] != v4::MAGIC {
        return Err(NotRequest::NotRequest);
    }
    // The codec's `chaddr` trusts the length.
    if fixed[1] != ETHERNET || fixed[2] != 6 {
        return Err(NotRequest::NotEthernet);
    }
    let known = [fixed, &readable(options)].concat();
    v4::Message::decode(&mut Decoder::new(&known)).map_err(|_| NotRequest::NoType)
}

/// The options that are looked at, with the lengths that their values have.
const READ: &[(u8, std::ops::RangeInclusive<usize>)] = &[
    (43, 1..=255),  // vendor options
    (50, 4..=4),    // requested address
    (53, 1..=1),    // message type
    (54, 4..=4),    // server identifier
    (60, 1..=255),  // vendor class
    (77, 1..=255),  // user class
    (93, 2..=254),  // architecture
    (97, 1..=255),  // machine identifier
    (67, 1..=255),  // boot file
    (175, 1..=255), // iPXE
    (12, 1..=255),  // host name; last, for what is no UTF-8 ends the codec's reading
];

/// Options without those that nobody asks for, and without malformed ones: the codec panics at some
/// (dhcproto 0.15.0 asserts the lengths of 152 to 155 in debug builds), and stops at others, losing
/// what follows.
fn readable(options: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(options.len());
    for (code, lengths) in READ {
        if let Some(value) = raw_option(options, *code)
            && lengths.contains(&value.len())
        {
            kept.extend([*code, value.len() as u8]);
            kept.extend(value);
        }
    }
    kept.push(255);
    kept
}

/// The bytes of an option in a list of options, those of one that was split put together
/// (RFC 3396).
fn raw_option(mut options: &[u8], wanted: u8) -> Option<Vec<u8>> {
    let mut found: Option<Vec<u8>> = None;
    loop {
        match *options {
            [0, ref rest @ ..] => options = rest,
            [255, ..] | [] | [_] => return found,
            [code, length, ref rest @ ..] => {
                let Some((value, rest)) = rest.split_at_checked(length.into()) else {
                    return found;
                };
                if code == wanted {
                    found.get_or_insert_default().extend_from_slice(value);
                }
                options = rest;
            }
        }
    }
}

/// The value of a suboption of option 82, where 0 and 255 are codes as any other (RFC 3046, section 2.0).
fn suboption(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    while let [code, length, ref rest @ ..] = *options {
        let (value, rest) = rest.split_at_checked(length.into())?;
        if code == wanted {
            return Some(value);
        }
        options = rest;
    }
    None
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    message: v4::Message,
    kind: MessageType,
    relay_information: Option<Vec<u8>>,
    relay: Option<Ipv4Addr>,
    ciaddr: Option<Ipv4Addr>,
}

impl Reply {
    /// Which answer.
    pub fn kind(&self) -> MessageType {
        self.kind
    }

    /// With an option.
    #[must_use]
    pub fn option(mut self, option: DhcpOption) -> Reply {
        self.message.opts_mut().insert(option);
        self
    }

    /// Leases `address`.
    #[must_use]
    pub fn yours(mut self, address: Ipv4Addr) -> Reply {
        self.message.set_yiaddr(address);
        self
    }

    /// Keeps the client's own address (RFC 2131, table 3: DHCPACK).
    #[must_use]
    pub fn keeps_ciaddr(mut self) -> Reply {
        if let Some(address) = self.ciaddr {
            self.message.set_ciaddr(address);
        }
        self
    }

    /// To all on the segment, where the client cannot be reached by an address, or says so.
    #[must_use]
    pub fn broadcast(mut self) -> Reply {
        let flags = self.message.flags().set_broadcast();
        self.message.set_flags(flags);
        self.ciaddr = None;
        self
    }

    /// Names the boot server, and no file yet: UEFI firmware asks it on port 4011 then.
    #[must_use]
    pub fn boot_server(mut self, server: Ipv4Addr) -> Reply {
        self.message.set_siaddr(server);
        self
    }

    /// Names what boots: `siaddr` and `file` for old ROMs, options 66 and 67 for new ones.
    #[must_use]
    pub fn boots(mut self, file: &BootFile, server: Ipv4Addr) -> Reply {
        let name = file.name();
        self.message.set_siaddr(server);
        if name.len() < FILE_FIELD {
            self.message.set_fname_str(name);
        }
        let address = server.to_string();
        self.option(DhcpOption::TFTPServerName(address.into_bytes()))
            .option(DhcpOption::BootfileName(name.as_bytes().to_vec()))
    }

    /// PXE options (43): `boot_item` is the choice that is answered; without one the client is
    /// told to look for no further boot servers (`PXE_DISCOVERY_CONTROL`, bit 3: "just use the boot
    /// file name").
    #[must_use]
    pub fn pxe(self, boot_item: Option<&[u8]>) -> Reply {
        let mut options = Vec::new();
        match boot_item {
            Some(item) => {
                options.extend([71, item.len() as u8]);
                options.extend(item);
            }
            None => options.extend([6, 1, 8]),
        }
        options.push(255);
        self.option(DhcpOption::VendorExtensions(options))
    }

    /// Tells iPXE to heed no proxyDHCP server's word on what boots (iPXE `include/ipxe/dhcp.h`,
    /// `DHCP_EB_NO_PXEDHCP`: option 175.176).
    #[must_use]
    pub fn alone(self) -> Reply {
        let alone = UnknownOption::new(OptionCode::Unknown(175), vec![176, 1, 1]);
        self.option(DhcpOption::Unknown(alone))
    }

    /// Where it goes (RFC 2131, section 4.1), if not back to where a boot server was asked.
    ///
    /// A client without an address could be sent a frame of its own, but only past the kernel,
    /// which cannot ask such a client for its Ethernet address. A broadcast reaches it, too, needs
    /// no raw socket, and RFC 2131 allows it.
    pub fn destination(&self) -> SocketAddrV4 {
        match (self.relay, self.ciaddr) {
            (Some(relay), _) => SocketAddrV4::new(relay, v4::SERVER_PORT),
            // A client that is refused its address does not have it.
            (None, Some(address)) if self.kind != MessageType::Nak => {
                SocketAddrV4::new(address, CLIENT_PORT)
            }
            _ => SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT),
        }
    }

    /// Its bytes. What does not fit an encoding is left out, never half written.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SHORTEST);
        // The codec fails for texts that are longer than their fields; those are checked above.
        if self.message.encode(&mut Encoder::new(&mut bytes)).is_err() {
            return Vec::new();
        }
        // The last option (RFC 3046, section 2.1), before the end.
        if let Some(information) = &self.relay_information {
            let end = bytes.pop();
            for part in information.chunks(255) {
                bytes.extend([82, part.len() as u8]);
                bytes.extend(part);
            }
            bytes.extend(end);
        }
        if bytes.len() < SHORTEST {
            bytes.resize(SHORTEST, 0);
        }
        bytes
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::boot::arch::{Features, Fetch};

    /// Options that are looked at, and those that come back as they came.
    pub const CODES: &[u8] = &[
        12, 43, 50, 53, 54, 55, 60, 61, 66, 67, 77, 82, 93, 94, 97, 152, 175, 0, 255,
    ];

    /// A request as a client would send it.
    pub fn request(kind: MessageType, mac: [u8; 6], options: &[DhcpOption]) -> v4::Message {
        let none = Ipv4Addr::UNSPECIFIED;
        let mut message = v4::Message::new_with_id(0x1234_5678, none, none, none, none, &mac);
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        for option in options {
            message.opts_mut().insert(option.clone());
        }
        message
    }

    pub fn bytes(message: &v4::Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.encode(&mut Encoder::new(&mut bytes)).unwrap();
        bytes
    }

    pub fn class(text: &str) -> DhcpOption {
        DhcpOption::ClassIdentifier(text.as_bytes().to_vec())
    }

    pub fn ipxe(features: &[u8]) -> DhcpOption {
        DhcpOption::Unknown(UnknownOption::new(
            OptionCode::Unknown(175),
            features.to_vec(),
        ))
    }

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

    #[test]
    fn a_request_is_what_its_options_say() {
        let uuid = DhcpOption::ClientMachineIdentifier(vec![0; 17]);
        let message = request(
            MessageType::Discover,
            MAC,
            &[
                class("PXEClient:Arch:00007:UNDI:003016"),
                DhcpOption::ClientSystemArchitecture(7.into()),
                uuid,
            ],
        );
        let request = Request::decode(&bytes(&message)).unwrap();
        let client = request.client().unwrap();
        assert_eq!(client.program, Program::Vendor(Fetch::Tftp));
        assert_eq!(client.arch, ClientArch::from_code(7));
        assert_eq!(client.mac, Mac::new(MAC));
        assert_eq!(client.link, None);
    }

    #[test]
    fn without_option_93_the_class_tells_the_architecture() {
        let arch = |text: &str| {
            let message = request(MessageType::Discover, MAC, &[class(text)]);
            Request::decode(&bytes(&message)).unwrap().arch().code()
        };
        assert_eq!(arch("PXEClient:Arch:00009:UNDI:003016"), 9);
        assert_eq!(arch("PXEClient"), 0);
        assert_eq!(arch("PXEClient:Arch:99999999:UNDI"), 0);
    }

    #[test]
    fn ipxe_is_known_by_its_options() {
        let message = request(
            MessageType::Discover,
            MAC,
            &[
                class("PXEClient:Arch:00000:UNDI:002001"),
                DhcpOption::UserClass(b"iPXE".to_vec()),
                ipxe(&[0x13, 1, 1, 0x1a, 1, 1]),
            ],
        );
        let client = Request::decode(&bytes(&message)).unwrap().client().unwrap();
        let features = Features::Told {
            http: true,
            slam: true,
        };
        assert_eq!(client.program, Program::Ipxe(features));
    }

    #[test]
    fn what_is_no_request_is_told() {
        let good = bytes(&request(MessageType::Discover, MAC, &[]));
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            Request::decode(&bytes).err()
        };
        assert_eq!(Request::decode(&good).err(), None);
        assert_eq!(with(0, 2), Some(NotRequest::NotRequest));
        assert_eq!(with(236, 0), Some(NotRequest::NotRequest));
        assert_eq!(with(1, 6), Some(NotRequest::NotEthernet));
        // A length beyond the field.
        assert_eq!(with(2, 255), Some(NotRequest::NotEthernet));
        assert_eq!(Request::decode(&good[..239]).err(), Some(NotRequest::Short));
        assert_eq!(
            Request::decode(&good[..240]).err(),
            Some(NotRequest::NoType)
        );
        assert_eq!(
            Request::decode(&[good, vec![0; 2000]].concat()).err(),
            Some(NotRequest::Long)
        );
    }

    #[test]
    fn an_answer_carries_what_must_come_back() {
        let relay = [1, 4, 9, 8, 7, 6, 200, 0, 1, 2, 5, 5];
        let mut message = request(
            MessageType::Discover,
            MAC,
            &[
                class("PXEClient:Arch:00000:UNDI:002001"),
                DhcpOption::ClientMachineIdentifier((0..17).collect()),
            ],
        );
        message.set_giaddr(Ipv4Addr::new(10, 9, 0, 1));
        let mut raw = bytes(&message);
        // In the place of the end: 82, as no codec of ours would order it.
        raw.pop();
        raw.extend([82, relay.len() as u8]);
        raw.extend(relay);
        raw.push(255);
        let request = Request::decode(&raw).unwrap();
        let file = BootFile::RomByTftp {
            name: "undionly.kpxe".into(),
        };
        let reply = request
            .reply(MessageType::Offer, SERVER)
            .boots(&file, SERVER)
            .pxe(None);
        assert_eq!(
            reply.destination(),
            "10.9.0.1:67".parse::<SocketAddrV4>().unwrap()
        );
        let sent = reply.encode();
        assert!(sent.len() >= SHORTEST);
        let read = v4::Message::decode(&mut Decoder::new(&sent)).unwrap();
        assert_eq!(read.xid(), 0x1234_5678);
        assert_eq!(read.siaddr(), SERVER);
        assert_eq!(read.fname(), Some(b"undionly.kpxe\0".as_slice()));
        let raw = |code| raw_option(&sent[FIXED..], code);
        assert_eq!(raw(82).unwrap(), relay);
        assert_eq!(raw(97).unwrap(), (0..17).collect::<Vec<u8>>());
        assert_eq!(raw(60).unwrap(), b"PXEClient");
        assert_eq!(raw(66).unwrap(), b"10.77.0.1");
        assert_eq!(raw(67).unwrap(), b"undionly.kpxe");
        assert_eq!(raw(43).unwrap(), [6, 1, 8, 255]);
        assert_eq!(raw(54).unwrap(), SERVER.octets());
    }

    #[test]
    fn a_relay_agent_names_the_link() {
        let relay = Ipv4Addr::new(10, 9, 0, 1);
        let link = |giaddr: Ipv4Addr, information: &[u8]| {
            let mut message = request(MessageType::Discover, MAC, &[class("PXEClient")]);
            message.set_giaddr(giaddr);
            let mut raw = bytes(&message);
            raw.pop();
            raw.extend([82, information.len() as u8]);
            raw.extend(information);
            raw.push(255);
            let request = Request::decode(&raw).unwrap();
            assert_eq!(request.client().unwrap().link, request.link());
            request.link()
        };
        let named = [1, 2, 5, 4, 0, 1, 7, 255, 1, 9, 5, 4, 10, 78, 0, 254];
        assert_eq!(link(relay, &named), Some(Ipv4Addr::new(10, 78, 0, 254)));
        // What names nothing, and a client that writes the option itself.
        for odd in [
            &[5, 3, 10, 78, 0][..],
            &[5, 4, 0, 0, 0, 0],
            &[5, 9, 1],
            &[5],
            &[],
        ] {
            assert_eq!(link(relay, odd), Some(relay), "{odd:?}");
        }
        assert_eq!(link(Ipv4Addr::UNSPECIFIED, &named), None);
    }

    #[test]
    fn an_answer_finds_its_way() {
        let to = |ciaddr: [u8; 4], kind| {
            let mut message = request(MessageType::Request, MAC, &[]);
            message.set_ciaddr(ciaddr);
            let request = Request::decode(&bytes(&message)).unwrap();
            request.reply(kind, SERVER).destination().to_string()
        };
        assert_eq!(to([0; 4], MessageType::Offer), "255.255.255.255:68");
        assert_eq!(to([10, 77, 0, 9], MessageType::Ack), "10.77.0.9:68");
        assert_eq!(to([10, 77, 0, 9], MessageType::Nak), "255.255.255.255:68");
    }

    #[test]
    fn a_name_that_is_too_long_for_its_field_is_an_option_only() {
        let request = Request::decode(&bytes(&request(MessageType::Discover, MAC, &[]))).unwrap();
        let url = format!("http://10.77.0.1/{}", "x".repeat(300));
        let file = BootFile::Script { url: url.clone() };
        let sent = request
            .reply(MessageType::Offer, SERVER)
            .boots(&file, SERVER)
            .encode();
        let read = v4::Message::decode(&mut Decoder::new(&sent)).unwrap();
        assert_eq!(read.fname(), None);
        assert_eq!(raw_option(&sent[FIXED..], 67).unwrap(), url.as_bytes());
    }
}
