// SPDX-License-Identifier: MIT OR Apache-2.0
//! TFTP packets (RFC 1350, section 5; RFC 2347).

use std::time::Duration;

/// Longest request that is read: "a request packet is 512 octets" at most (RFC 2347).
pub const LONGEST_REQUEST: usize = 512;
/// Block size without negotiation (RFC 1350, section 2).
pub const DEFAULT_BLOCK_SIZE: u16 = 512;

const RRQ: u16 = 1;
const WRQ: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// A request to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// What is wanted, as it was written.
    pub name: String,
    /// Options that are known and valid; others are ignored, as RFC 2347 wants.
    pub options: Options,
}

/// Options of a request, or of what is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `blksize`, 8 to 65464 bytes (RFC 2348).
    pub block_size: Option<u16>,
    /// `timeout`, 1 to 255 seconds (RFC 2349).
    pub timeout: Option<u8>,
    /// `tsize`, bytes (RFC 2349).
    pub size: Option<u64>,
    /// `windowsize`, 1 to 65535 blocks (RFC 7440).
    pub window: Option<u16>,
}

/// Error codes (RFC 1350, appendix I).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// 0: see the text.
    Undefined,
    /// 1
    NotFound,
    /// 2
    AccessViolation,
    /// 4
    IllegalOperation,
    /// 5
    UnknownTransfer,
}

impl ErrorCode {
    const fn code(self) -> u16 {
        match self {
            ErrorCode::Undefined => 0,
            ErrorCode::NotFound => 1,
            ErrorCode::AccessViolation => 2,
            ErrorCode::IllegalOperation => 4,
            ErrorCode::UnknownTransfer => 5,
        }
    }
}

/// Why a datagram begins no transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// A request to write.
    #[error("read only")]
    Write,
    /// A mode that is not binary.
    #[error("octet mode only")]
    Mode,
    /// A request that cannot be read.
    #[error("malformed request")]
    Malformed,
    /// No request: nothing is answered.
    #[error("no request")]
    NoRequest,
}

impl Refusal {
    /// What the client is told.
    pub fn answer(self) -> Option<Vec<u8>> {
        let code = match self {
            Refusal::Write => ErrorCode::AccessViolation,
            Refusal::Mode | Refusal::Malformed => ErrorCode::IllegalOperation,
            Refusal::NoRequest => return None,
        };
        Some(error(code, &self.to_string()))
    }
}

impl ReadRequest {
    /// Reads what came to the server's port.
    pub fn decode(datagram: &[u8]) -> Result<ReadRequest, Refusal> {
        let Some((opcode, rest)) = take_u16(datagram) else {
            return Err(Refusal::NoRequest);
        };
        match opcode {
            RRQ => {}
            WRQ => return Err(Refusal::Write),
            _ => return Err(Refusal::NoRequest),
        }
        if datagram.len() > LONGEST_REQUEST {
            return Err(Refusal::Malformed);
        }
        let mut texts = Texts(rest);
        let name = texts.next().ok_or(Refusal::Malformed)?;
        let mode = texts.next().ok_or(Refusal::Malformed)?;
        if name.is_empty() {
            return Err(Refusal::Malformed);
        }
        // Text modes would have to change what is sent; nobody boots from text.
        if !mode.eq_ignore_ascii_case("octet") {
            return Err(Refusal::Mode);
        }
        let mut options = Options::default();
        while let (Some(key), Some(value)) = (texts.next(), texts.next()) {
            options.set(key, value);
        }
        Ok(ReadRequest {
            name: name.to_owned(),
            options,
        })
    }
}

impl Options {
    /// What is out of range is as if it were not there (RFC 2347).
    fn set(&mut self, key: &str, value: &str) {
        let is = |name: &str| key.eq_ignore_ascii_case(name);
        if is("blksize") {
            let valid = value.parse().ok().filter(|n| (8..=65_464).contains(n));
            self.block_size = valid.or(self.block_size);
        } else if is("timeout") {
            self.timeout = value.parse().ok().filter(|n| *n > 0).or(self.timeout);
        } else if is("tsize") {
            self.size = value.parse().ok().or(self.size);
        } else if is("windowsize") {
            self.window = value.parse().ok().filter(|n| *n > 0).or(self.window);
        }
    }

    /// Whether nothing was agreed on.
    pub fn is_empty(&self) -> bool {
        *self == Options::default()
    }

    /// The time after which is sent again.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.map(|s| Duration::from_secs(s.into()))
    }

    /// OACK.
    pub fn encode(&self) -> Vec<u8> {
        let mut packet = OACK.to_be_bytes().to_vec();
        let mut put = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                for text in [key, &value] {
                    packet.extend(text.as_bytes());
                    packet.push(0);
                }
            }
        };
        put("blksize", self.block_size.map(|n| n.to_string()));
        put("timeout", self.timeout.map(|n| n.to_string()));
        put("tsize", self.size.map(|n| n.to_string()));
        put("windowsize", self.window.map(|n| n.to_string()));
        packet
    }
}

/// What comes from a client during a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromClient {
    /// All up to this block has arrived.
    Ack(u16),
    /// It gave up.
    Error,
}

impl FromClient {
    /// Reads it; anything else is `None`.
    pub fn decode(datagram: &[u8]) -> Option<FromClient> {
        let (opcode, rest) = take_u16(datagram)?;
        match opcode {
            ACK => Some(FromClient::Ack(take_u16(rest)?.0)),
            ERROR => Some(FromClient::Error),
            _ => None,
        }
    }
}

/// DATA without its data.
pub fn data(block: u16, capacity: usize) -> Vec<u8> {
    let mut packet = Vec::with_capacity(4 + capacity);
    packet.extend(DATA.to_be_bytes());
    packet.extend(block.to_be_bytes());
    packet
}

/// ERROR.
pub fn error(code: ErrorCode, text: &str) -> Vec<u8> {
    let mut packet = ERROR.to_be_bytes().to_vec();
    packet.extend(code.code().to_be_bytes());
    packet.extend(text.bytes().filter(|byte| *byte != 0));
    packet.push(0);
    packet
}

fn take_u16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*number), rest))
}

/// Texts that each end with a zero.
struct Texts<'a>(&'a [u8]);

impl<'a> Iterator for Texts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(&self.0[..end]).ok()?;
        self.0 = &self.0[end + 1..];
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use slam_client::Timestamp;

    use super::super::transfer::{Send, Transfer};
    use super::*;
    use crate::boot::fuzz;

    fn request(texts: &[&str]) -> Vec<u8> {
        let mut packet = vec![0, 1];
        for text in texts {
            packet.extend(text.as_bytes());
            packet.push(0);
        }
        packet
    }

    #[test]
    fn a_request_with_options() {
        let packet = request(&[
            "snponly.efi",
            "OCTET",
            "tsize",
            "0",
            "BlkSize",
            "1468",
            "windowsize",
            "4",
            "x",
            "y",
            "timeout",
            "3",
        ]);
        let read = ReadRequest::decode(&packet).unwrap();
        assert_eq!(read.name, "snponly.efi");
        assert_eq!(
            read.options,
            Options {
                block_size: Some(1468),
                timeout: Some(3),
                size: Some(0),
                window: Some(4),
            }
        );
        assert_eq!(
            read.options.encode(),
            b"\x00\x06blksize\x001468\x00timeout\x003\x00tsize\x000\x00windowsize\x004\x00"
        );
    }

    #[test]
    fn options_out_of_range_are_not_there() {
        for (key, value) in [
            ("blksize", "7"),
            ("blksize", "65465"),
            ("blksize", "-1"),
            ("timeout", "0"),
            ("timeout", "256"),
            ("windowsize", "0"),
            ("windowsize", "65536"),
            ("tsize", "x"),
        ] {
            let read = ReadRequest::decode(&request(&["f", "octet", key, value])).unwrap();
            assert!(read.options.is_empty(), "{key} {value}");
        }
    }

    #[test]
    fn what_is_refused_is_told_why() {
        let refused = |packet: &[u8]| ReadRequest::decode(packet).unwrap_err();
        assert_eq!(refused(b"\x00\x02f\x00octet\x00"), Refusal::Write);
        assert_eq!(refused(&request(&["f", "netascii"])), Refusal::Mode);
        assert_eq!(refused(&request(&["f"])), Refusal::Malformed);
        assert_eq!(refused(&request(&["", "octet"])), Refusal::Malformed);
        assert_eq!(refused(b"\x00\x01f\x00octet"), Refusal::Malformed);
        assert_eq!(refused(b"\x00\x01\xff\x00octet\x00"), Refusal::Malformed);
        let long = "x".repeat(600);
        assert_eq!(refused(&request(&[&long, "octet"])), Refusal::Malformed);
        for packet in [b"".as_slice(), b"\x00", b"\x00\x04\x00\x01", b"\x00\x05"] {
            assert_eq!(refused(packet), Refusal::NoRequest);
            assert_eq!(refused(packet).answer(), None);
        }
        assert_eq!(
            Refusal::Write.answer().unwrap(),
            b"\x00\x05\x00\x02read only\x00"
        );
    }

    /// Requests with options as clients write them, and such that are damaged: what is understood is
    /// within bounds, and so is what a transfer makes of it.
    #[test]
    fn any_request() {
        const KEYS: [&str; 6] = [
            "blksize",
            "BLKSIZE",
            "timeout",
            "tsize",
            "windowsize",
            "multicast",
        ];
        const VALUES: [&str; 12] = [
            "0", "1", "7", "8", "512", "1468", "65464", "65535", "65536", "-1", "+9", "x",
        ];
        let mut understood = 0;
        for seed in 0..fuzz::cases(5_000) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut pick = |of: &[&'static str]| of[random.usize(..of.len())];
            let name = pick(&["snponly.efi", "/boot.ipxe", "images/demo", "..", "\u{e9}"]);
            let mode = pick(&["octet", "OCTET", "octet", "netascii", ""]);
            let mut texts = vec![name, mode];
            for _ in 0..seed % 6 {
                texts.extend([pick(&KEYS), pick(&VALUES)]);
            }
            let mut packet = request(&texts);
            let whole = random.bool();
            if !whole {
                fuzz::damage(&mut random, &mut packet);
            }
            let Ok(read) = ReadRequest::decode(&packet) else {
                assert!(!whole || !mode.eq_ignore_ascii_case("octet"), "seed {seed}");
                continue;
            };
            understood += 1;
            assert!(!whole || read.name == name, "seed {seed}");
            let (bytes, mtu) = (random.u64(..200_000), 28 + random.u32(..9_000));
            let start = Timestamp::ZERO;
            let (mut transfer, mut send) = Transfer::new(bytes, read.options, mtu, start);
            assert!((8..=1468).contains(&transfer.block_size()), "seed {seed}");
            for _ in 0..8 {
                if let Send::Blocks(blocks) = &send {
                    assert!(blocks.end - blocks.start <= 16, "seed {seed}");
                    for block in blocks.clone() {
                        let range = transfer.range(block);
                        assert!(
                            range.start <= range.end && range.end <= bytes,
                            "seed {seed}"
                        );
                    }
                }
                let mut ack = vec![0, 4, 0, random.u8(..20)];
                if random.u8(..4) == 0 {
                    fuzz::damage(&mut random, &mut ack);
                }
                if let Some(packet) = FromClient::decode(&ack) {
                    send = transfer.receive(packet, start);
                }
            }
        }
        assert!(understood > 1_000, "{understood}: too few got so far");
    }

    proptest! {
        /// No datagram panics, and what is understood is within bounds.
        #[test]
        fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..700), read in any::<bool>()) {
            if read && bytes.len() > 1 {
                bytes[..2].copy_from_slice(&[0, 1]);
            }
            if let Ok(request) = ReadRequest::decode(&bytes) {
                prop_assert!(request.name.len() < LONGEST_REQUEST);
                prop_assert!(request.options.block_size.is_none_or(|n| n >= 8));
            }
            let _ = FromClient::decode(&bytes);
        }
    }
}
