// SPDX-License-Identifier: MIT OR Apache-2.0
//! SLAM on the wire, both directions.
//!
//! No specification exists; this is what iPXE's `src/net/udp/slam.c` and mini-slamd speak:
//!
//! | packet | from → to | content |
//! |---|---|---|
//! | data | server → group | Int transaction, Int total bytes, Int block size, Int block number, the block |
//! | parity | server → group | the same, with a number beyond the last block ([`crate::parity`]) |
//! | solicit | server → client | Int transaction, Int total bytes, Int block size |
//! | dismissal | server → client | a solicit, then one zero byte |
//! | move | server → client | a dismissal, then a group: its address (4 or 16 bytes) and port (2 bytes) |
//! | NACK | client → server | Int received run, Int missing run, … , one zero byte; an Int of flags follows where there are any: 1 takes parity, 2 can be moved |
//! | disconnect | client → server | one zero byte |
//!
//! An Int is big endian, 1 to 7 bytes; the top 3 bits of its first byte give its length in bytes.
//! Decoding takes Ints of any length, encoding uses the fewest bytes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::ops::Range;

use crate::blocks::{BlockIndex, BlockSet};
use crate::window::ParityIndex;

/// Longest Int in bytes: its length has 3 bits.
pub const MAX_INT_LEN: usize = 7;
/// Longest transfer header in bytes: three Ints.
pub const MAX_HEADER_LEN: usize = 3 * MAX_INT_LEN;
/// Largest file in bytes that a 32-bit stock iPXE takes: it ignores Ints longer than its 4-byte
/// `long` (iPXE `slam.c`, `slam_pull_value`), and 4 bytes hold 29 bits.
pub const MAX_STOCK_32BIT_BYTES: u64 = (1 << 29) - 1;
/// Largest NACK in bytes: one unfragmented datagram at an MTU of 1,500, less IPv6 (40) and UDP (8).
/// Over IPv4 there is room for 20 more, which mini-slamd takes (`SLAM_MAX_NACK`).
pub const MAX_NACK_LEN: usize = 1452;

/// The byte that ends a NACK and that alone is a disconnect.
const END: u8 = 0;
/// After [`END`]: an Int of one byte, what the client can do.
const FLAGS: u8 = 0x20;
/// The client takes parity blocks.
const TAKES_PARITY: u8 = 1;
/// The client can be moved to another group.
const CAN_MOVE: u8 = 2;
/// Bytes of a group's port.
const PORT_LEN: usize = 2;

/// Why a datagram is not SLAM. Offsets count bytes from the start of the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The datagram ends inside an Int, or before one that must be there.
    #[error("byte {offset}: expected an Int of {expected} byte(s), found {found}")]
    Truncated {
        /// Where the Int begins.
        offset: usize,
        /// Bytes that it needs.
        expected: usize,
        /// Bytes that are left.
        found: usize,
    },
    /// The length bits of an Int are zero.
    #[error("byte {offset}: expected an Int of 1 to 7 bytes, found length 0")]
    IntLength {
        /// Where the Int begins.
        offset: usize,
    },
    /// A transfer of no bytes, which no client can complete.
    #[error("expected a transfer of at least 1 byte, found 0")]
    EmptyTransfer,
    /// A transfer longer than an Int can say. Only a sender meets this.
    #[error("expected a transfer of at most 2^53 - 1 bytes, found {found}")]
    TransferTooLong {
        /// Bytes to be sent.
        found: u64,
    },
    /// A block size that no datagram can carry.
    #[error("expected a block size of 1 to 65507 bytes (UDP's limit), found {found}")]
    BlockSize {
        /// The value on the wire.
        found: u64,
    },
    /// A block number beyond the transfer and its parity.
    #[error("expected one of {count} blocks or their parity, found block number {found}")]
    BlockNumber {
        /// Blocks in the transfer.
        count: u64,
        /// The value on the wire.
        found: u64,
    },
    /// A block that is shorter or longer than it must be.
    #[error("block {block}: expected {expected} byte(s), found {found}")]
    BlockLength {
        /// Which block.
        block: u64,
        /// Bytes that this block has.
        expected: usize,
        /// Bytes in the datagram.
        found: usize,
    },
    /// Runs of a NACK that add up to more than a block number can be.
    #[error("byte {offset}: the runs of the NACK add up to more than 2^53 - 1 blocks")]
    RunOverflow {
        /// Where the run begins that is too long.
        offset: usize,
    },
    /// A group that a client is moved to and that is none.
    #[error("byte {offset}: expected a multicast group and its port, found {found}")]
    Group {
        /// Where its address begins.
        offset: usize,
        /// What is there.
        found: SocketAddr,
    },
    /// Bytes after the zero byte that ends a NACK, other than one of flags.
    #[error("byte {offset}: expected the end of the NACK, found {found} more byte(s)")]
    TrailingBytes {
        /// Where they begin.
        offset: usize,
        /// How many there are.
        found: usize,
    },
}

/// A SLAM Int: an unsigned number below 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VarInt(u64);

impl VarInt {
    /// Largest value: 7 bytes less the 3 bits of the length.
    pub const MAX: u64 = (1 << 53) - 1;

    /// `value`, if an Int can hold it.
    pub const fn new(value: u64) -> Option<Self> {
        if value <= Self::MAX {
            Some(VarInt(value))
        } else {
            None
        }
    }

    /// The value.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Bytes that the encoding takes: the fewest that hold the value beside 3 bits of length.
    pub const fn encoded_len(self) -> usize {
        let bits = (u64::BITS - self.0.leading_zeros()) as usize;
        // One byte holds 5 bits, each further one 8; zero takes a byte too.
        if bits <= 5 { 1 } else { (bits + 3).div_ceil(8) }
    }

    /// Appends the encoding.
    pub fn encode(self, out: &mut Vec<u8>) {
        let len = self.encoded_len();
        let bytes = self.0.to_be_bytes();
        let at = out.len();
        out.extend_from_slice(&bytes[bytes.len() - len..]);
        out[at] |= (len as u8) << 5;
    }
}

/// Which content a transfer carries; opaque to clients, who forget all they hold when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub VarInt);

impl TransactionId {
    /// Derived from the content, so that a restarted server resumes and never mixes two files:
    /// the first 53 bits of its SHA-256.
    pub fn from_digest(sha256: &[u8; 32]) -> Self {
        let first = sha256[..8]
            .iter()
            .fold(0, |bits, &byte| bits << 8 | u64::from(byte));
        TransactionId(VarInt(first >> 11))
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:014x}", self.0.get())
    }
}

/// Bytes in every block but the last; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize(NonZeroU16);

impl BlockSize {
    /// Largest block: what UDP over IPv4 carries (RFC 768, RFC 791).
    pub const MAX: u16 = 65507;

    /// `bytes`, if a datagram can carry it.
    pub fn new(bytes: u64) -> Result<Self, WireError> {
        u16::try_from(bytes)
            .ok()
            .filter(|&bytes| bytes <= Self::MAX)
            .and_then(NonZeroU16::new)
            .map(BlockSize)
            .ok_or(WireError::BlockSize { found: bytes })
    }

    /// In bytes.
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

/// What every server packet begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferHeader {
    transaction: TransactionId,
    total_bytes: VarInt,
    block_size: BlockSize,
}

impl TransferHeader {
    /// A transfer of `total_bytes` bytes, 1 to 2^53 - 1.
    pub fn new(
        transaction: TransactionId,
        total_bytes: u64,
        block_size: BlockSize,
    ) -> Result<Self, WireError> {
        let total_bytes =
            VarInt::new(total_bytes).ok_or(WireError::TransferTooLong { found: total_bytes })?;
        if total_bytes.get() == 0 {
            return Err(WireError::EmptyTransfer);
        }
        Ok(TransferHeader {
            transaction,
            total_bytes,
            block_size,
        })
    }

    /// Which content this is.
    pub fn transaction(&self) -> TransactionId {
        self.transaction
    }

    /// Transfer length in bytes; below 2^29 while a stock 32-bit iPXE takes part
    /// ([`MAX_STOCK_32BIT_BYTES`]).
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes.get()
    }

    /// Bytes in every block but the last.
    pub fn block_size(&self) -> BlockSize {
        self.block_size
    }

    /// Blocks in the transfer, at least 1.
    pub fn block_count(&self) -> u64 {
        self.total_bytes()
            .div_ceil(u64::from(self.block_size.get()))
    }

    /// Bytes from the start of the file to the start of `block`.
    pub fn block_offset(&self, block: BlockIndex) -> u64 {
        block.0.saturating_mul(u64::from(self.block_size.get()))
    }

    /// Bytes in `block`; 0 beyond the last.
    pub fn block_len(&self, block: BlockIndex) -> usize {
        let left = self.total_bytes().saturating_sub(self.block_offset(block));
        left.min(u64::from(self.block_size.get())) as usize
    }

    /// The bytes that every packet of this transfer begins with.
    pub fn encode(&self) -> EncodedHeader {
        let mut bytes = Vec::with_capacity(MAX_HEADER_LEN);
        self.transaction.0.encode(&mut bytes);
        self.total_bytes.encode(&mut bytes);
        VarInt(u64::from(self.block_size.get())).encode(&mut bytes);
        EncodedHeader(bytes)
    }
}

/// A header as bytes, encoded once per transfer: a stock client forgets every block it holds if
/// one header byte differs (iPXE `slam.c`, `slam_pull_header`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedHeader(Vec<u8>);

impl EncodedHeader {
    /// A solicit is the header and nothing more.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A dismissal.
    pub fn dismissal(&self) -> Vec<u8> {
        let mut datagram = self.0.clone();
        datagram.push(END);
        datagram
    }

    /// A move: what do you miss, and listen to `group` from now on.
    pub fn move_to(&self, group: SocketAddr) -> Vec<u8> {
        let mut datagram = self.dismissal();
        match group.ip() {
            IpAddr::V4(address) => datagram.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => datagram.extend_from_slice(&address.octets()),
        }
        datagram.extend_from_slice(&group.port().to_be_bytes());
        datagram
    }

    /// Appends what stands before a block in a data packet: header and block number.
    pub fn encode_data_prefix(&self, block: BlockIndex, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
        VarInt(block.0 & VarInt::MAX).encode(out);
    }
}

/// What a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerPacket<'a> {
    /// A block, to the group.
    Data {
        /// The transfer that it belongs to.
        header: TransferHeader,
        /// Its number, below the block count.
        block: BlockIndex,
        /// Its bytes, exactly as many as this block has.
        payload: &'a [u8],
    },
    /// A sum of blocks, to the group: a data packet with a number beyond the last block, which
    /// stock clients discard.
    Parity {
        /// The transfer that it belongs to.
        header: TransferHeader,
        /// Which sum.
        parity: ParityIndex,
        /// Its bytes: a whole block, also where the blocks summed up are shorter.
        payload: &'a [u8],
    },
    /// "What do you miss?", to one client.
    Solicit {
        /// The transfer that is asked about.
        header: TransferHeader,
    },
    /// "I no longer wait for you", to one client, which does better to fetch the file elsewhere. A
    /// solicit with a zero byte after it, which stock clients discard.
    Dismissal {
        /// The transfer that it is no longer part of.
        header: TransferHeader,
    },
    /// "What do you miss? Listen to this group from now on", to one client that said that it can
    /// ([`Nack::can_move`]). A dismissal with a group after it, which stock clients discard. A
    /// solicit is for clients at the group of their URI, and brings one that was moved back.
    Move {
        /// The transfer that is asked about.
        header: TransferHeader,
        /// Where its blocks are sent to for this client.
        group: SocketAddr,
    },
}

impl<'a> ServerPacket<'a> {
    /// Reads a datagram from a server; every length and number in it is checked.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader {
            datagram,
            offset: 0,
        };
        let transaction = TransactionId(reader.int()?);
        let total_bytes = reader.int()?.get();
        let block_size = BlockSize::new(reader.int()?.get())?;
        let header = TransferHeader::new(transaction, total_bytes, block_size)?;
        match reader.rest() {
            [] => return Ok(ServerPacket::Solicit { header }),
            [END] => return Ok(ServerPacket::Dismissal { header }),
            [END, group @ ..] => {
                if let Some(group) = decode_group(group, reader.offset + 1)? {
                    return Ok(ServerPacket::Move { header, group });
                }
            }
            _ => {}
        }
        let block = BlockIndex(reader.int()?.get());
        let count = header.block_count();
        let payload = reader.rest();
        let parity = ParityIndex::of_number(block.0, count);
        let expected = match parity {
            Some(_) => usize::from(block_size.get()),
            None if block.0 >= count => {
                let found = block.0;
                return Err(WireError::BlockNumber { count, found });
            }
            None => header.block_len(block),
        };
        if payload.len() != expected {
            return Err(WireError::BlockLength {
                block: block.0,
                expected,
                found: payload.len(),
            });
        }
        Ok(match parity {
            Some(parity) => ServerPacket::Parity {
                header,
                parity,
                payload,
            },
            None => ServerPacket::Data {
                header,
                block,
                payload,
            },
        })
    }

    /// Appends the datagram.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            ServerPacket::Data {
                header,
                block,
                payload,
            } => {
                header.encode().encode_data_prefix(*block, out);
                out.extend_from_slice(payload);
            }
            ServerPacket::Parity {
                header,
                parity,
                payload,
            } => {
                let number = BlockIndex(parity.number(header.block_count()));
                header.encode().encode_data_prefix(number, out);
                out.extend_from_slice(payload);
            }
            ServerPacket::Solicit { header } => out.extend_from_slice(header.encode().as_bytes()),
            ServerPacket::Dismissal { header } => {
                out.extend_from_slice(&header.encode().dismissal());
            }
            ServerPacket::Move { header, group } => {
                out.extend_from_slice(&header.encode().move_to(*group));
            }
        }
    }
}

/// A group of either family, by its length; `None`: it is none.
fn decode_group(bytes: &[u8], offset: usize) -> Result<Option<SocketAddr>, WireError> {
    let Some((address, port)) = bytes.split_last_chunk::<PORT_LEN>() else {
        return Ok(None);
    };
    let address: IpAddr = if let Ok(octets) = <[u8; 4]>::try_from(address) {
        Ipv4Addr::from(octets).into()
    } else if let Ok(octets) = <[u8; 16]>::try_from(address) {
        Ipv6Addr::from(octets).into()
    } else {
        return Ok(None);
    };
    let found = SocketAddr::new(address, u16::from_be_bytes(*port));
    if found.ip().is_multicast() && found.port() > 0 {
        Ok(Some(found))
    } else {
        Err(WireError::Group { offset, found })
    }
}

/// What a client asks for: the missing blocks of a stretch from block 0 on.
///
/// Of blocks at and beyond [`Nack::extent`] it says nothing. A stock client names its first gap
/// alone, at most 4 blocks of it; where `extent` is the block count, the list is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack {
    missing: BlockSet,
    extent: u64,
    takes_parity: bool,
    can_move: bool,
}

impl Nack {
    /// A NACK for the first gaps of `held` in a transfer of `count` blocks: as many as fit
    /// `max_len` bytes, and the received run that follows them.
    pub fn for_gaps(held: &BlockSet, count: u64, max_len: usize) -> Self {
        let mut missing = BlockSet::new();
        let mut extent = 0;
        let (takes_parity, can_move) = (false, false);
        let mut room = max_len.saturating_sub(1);
        let int_len = |value: u64| VarInt(value & VarInt::MAX).encoded_len();
        for gap in held.gaps(count) {
            let cost = int_len(gap.start - extent) + int_len(gap.end - gap.start);
            if cost > room {
                return Nack {
                    missing,
                    extent,
                    takes_parity,
                    can_move,
                };
            }
            room -= cost;
            extent = gap.end;
            missing.insert_run(gap);
        }
        if extent < count && int_len(count - extent) <= room {
            extent = count;
        }
        Nack {
            missing,
            extent,
            takes_parity,
            can_move,
        }
    }

    /// Says, too, that this client can be moved to another group ([`ServerPacket::Move`]): in the
    /// same byte as [`Nack::taking_parity`].
    #[must_use]
    pub fn able_to_move(mut self) -> Self {
        self.can_move = true;
        self
    }

    /// Whether the client can be moved to another group.
    pub fn can_move(&self) -> bool {
        self.can_move
    }

    /// Says, too, that this client takes parity blocks: one byte after the end of the list, where
    /// mini-slamd no longer reads.
    #[must_use]
    pub fn taking_parity(mut self) -> Self {
        self.takes_parity = true;
        self
    }

    /// Whether the client takes parity blocks ([`ServerPacket::Parity`]).
    pub fn takes_parity(&self) -> bool {
        self.takes_parity
    }

    /// The first NACK of a client that has heard nothing yet: block 0, of unknown many
    /// (`20 21 00` on the wire).
    pub fn initial() -> Self {
        Nack {
            missing: BlockSet::from_run(0..1),
            extent: 1,
            takes_parity: false,
            can_move: false,
        }
    }

    /// The blocks asked for.
    pub fn missing(&self) -> &BlockSet {
        &self.missing
    }

    /// One past the last block that the list speaks of.
    pub fn extent(&self) -> u64 {
        self.extent
    }

    fn decode(datagram: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader {
            datagram,
            offset: 0,
        };
        let mut missing = BlockSet::new();
        let mut extent = 0;
        let mut received = true;
        let flags = loop {
            match reader.rest() {
                [END] => break 0,
                // Of flags that are not known yet, nothing follows.
                [END, flags] if flags >> 5 == 1 => break *flags,
                [END, after @ ..] => {
                    return Err(WireError::TrailingBytes {
                        offset: reader.offset + 1,
                        found: after.len(),
                    });
                }
                _ => {}
            }
            let offset = reader.offset;
            let end = extent + reader.int()?.get();
            if end > VarInt::MAX {
                return Err(WireError::RunOverflow { offset });
            }
            if !received {
                missing.insert_run(extent..end);
            }
            extent = end;
            received = !received;
        };
        Ok(Nack {
            missing,
            extent,
            takes_parity: flags & TAKES_PARITY != 0,
            can_move: flags & CAN_MOVE != 0,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let mut at = 0;
        for Range { start, end } in self.missing.runs() {
            VarInt((start - at) & VarInt::MAX).encode(out);
            VarInt((end - start) & VarInt::MAX).encode(out);
            at = end;
        }
        if self.extent > at {
            VarInt((self.extent - at) & VarInt::MAX).encode(out);
        }
        if self.missing.is_empty() && self.extent == 0 {
            // Without a run this would read as a disconnect.
            VarInt(0).encode(out);
        }
        out.push(END);
        let parity = if self.takes_parity { TAKES_PARITY } else { 0 };
        let moves = if self.can_move { CAN_MOVE } else { 0 };
        if parity | moves != 0 {
            out.push(FLAGS | parity | moves);
        }
    }
}

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientPacket {
    /// What is missing.
    Nack(Nack),
    /// The client has finished or given up.
    Disconnect,
}

impl ClientPacket {
    /// Reads a datagram from a client.
    pub fn decode(datagram: &[u8]) -> Result<Self, WireError> {
        match datagram {
            [END] => Ok(ClientPacket::Disconnect),
            _ => Nack::decode(datagram).map(ClientPacket::Nack),
        }
    }

    /// Appends the datagram.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            ClientPacket::Nack(nack) => nack.encode(out),
            ClientPacket::Disconnect => out.push(END),
        }
    }
}

struct Reader<'a> {
    datagram: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.datagram[self.offset..]
    }

    fn int(&mut self) -> Result<VarInt, WireError> {
        let offset = self.offset;
        let rest = self.rest();
        let Some(&first) = rest.first() else {
            return Err(WireError::Truncated {
                offset,
                expected: 1,
                found: 0,
            });
        };
        let len = usize::from(first >> 5);
        if len == 0 {
            return Err(WireError::IntLength { offset });
        }
        let Some(bytes) = rest.get(1..len) else {
            return Err(WireError::Truncated {
                offset,
                expected: len,
                found: rest.len(),
            });
        };
        self.offset += len;
        let high = u64::from(first & 0x1f);
        Ok(VarInt(
            bytes
                .iter()
                .fold(high, |value, &byte| value << 8 | u64::from(byte)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        VarInt::new(value).unwrap().encode(&mut out);
        out
    }

    #[test]
    fn ints_take_the_fewest_bytes() {
        assert_eq!(int(0), [0x20]);
        assert_eq!(int(1), [0x21]);
        assert_eq!(int(31), [0x3f]);
        assert_eq!(int(32), [0x40, 0x20]);
        assert_eq!(int(8191), [0x5f, 0xff]);
        assert_eq!(int(8192), [0x60, 0x20, 0x00]);
        assert_eq!(int((1 << 29) - 1), [0x9f, 0xff, 0xff, 0xff]);
        assert_eq!(int(1 << 29), [0xa0, 0x20, 0x00, 0x00, 0x00]);
        assert_eq!(int(VarInt::MAX), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(VarInt::new(1 << 53), None);
    }

    #[test]
    fn the_stock_clients_first_nack() {
        let mut out = Vec::new();
        ClientPacket::Nack(Nack::initial()).encode(&mut out);
        assert_eq!(out, [0x20, 0x21, 0x00]);
        assert_eq!(
            ClientPacket::decode(&out),
            Ok(ClientPacket::Nack(Nack::initial()))
        );
    }

    #[test]
    fn nacks_are_told_from_disconnects() {
        assert_eq!(ClientPacket::decode(&[0]), Ok(ClientPacket::Disconnect));
        let mut out = Vec::new();
        ClientPacket::Nack(Nack::for_gaps(&BlockSet::new(), 0, MAX_NACK_LEN)).encode(&mut out);
        assert_eq!(out, [0x20, 0x00]);
        assert!(matches!(
            ClientPacket::decode(&out),
            Ok(ClientPacket::Nack(_))
        ));
        assert_eq!(
            ClientPacket::decode(&[0, 0]),
            Err(WireError::TrailingBytes {
                offset: 1,
                found: 1
            })
        );
        assert_eq!(
            ClientPacket::decode(&[]),
            Err(WireError::Truncated {
                offset: 0,
                expected: 1,
                found: 0
            })
        );
        assert_eq!(
            ClientPacket::decode(&[0x20, 0x21]),
            Err(WireError::Truncated {
                offset: 2,
                expected: 1,
                found: 0
            })
        );
    }

    #[test]
    fn a_full_list_says_where_it_ends() {
        let held: BlockSet = [0..5, 7..9, 10..20].into_iter().collect();
        let nack = Nack::for_gaps(&held, 20, MAX_NACK_LEN);
        assert_eq!(nack.missing().runs().collect::<Vec<_>>(), [5..7, 9..10]);
        assert_eq!(nack.extent(), 20);
        let short = Nack::for_gaps(&held, 20, 4);
        assert_eq!(short.missing().runs().collect::<Vec<_>>(), vec![5..7]);
        assert_eq!(short.extent(), 7);
        let mut out = Vec::new();
        ClientPacket::Nack(nack.clone()).encode(&mut out);
        assert_eq!(out, [0x25, 0x22, 0x22, 0x21, 0x2a, 0x00]);
        assert_eq!(ClientPacket::decode(&out), Ok(ClientPacket::Nack(nack)));
    }

    #[test]
    fn a_nack_cannot_overflow() {
        let mut huge = int(VarInt::MAX);
        huge.extend(int(1));
        huge.push(0);
        assert_eq!(
            ClientPacket::decode(&huge),
            Err(WireError::RunOverflow { offset: 7 })
        );
    }

    #[test]
    fn data_and_solicit() {
        let header = TransferHeader::new(
            TransactionId(VarInt::new(0x1234_5678).unwrap()),
            3000,
            BlockSize::new(1451).unwrap(),
        )
        .unwrap();
        assert_eq!(header.block_count(), 3);
        assert_eq!(header.block_len(BlockIndex(2)), 98);
        assert_eq!(
            header.encode().as_bytes(),
            [0x92, 0x34, 0x56, 0x78, 0x4b, 0xb8, 0x45, 0xab]
        );
        let packet = ServerPacket::Data {
            header,
            block: BlockIndex(2),
            payload: &[7; 98],
        };
        let mut out = Vec::new();
        packet.encode(&mut out);
        assert_eq!(ServerPacket::decode(&out), Ok(packet));
        assert_eq!(
            ServerPacket::decode(&out[..out.len() - 1]),
            Err(WireError::BlockLength {
                block: 2,
                expected: 98,
                found: 97
            })
        );
        assert_eq!(
            ServerPacket::decode(header.encode().as_bytes()),
            Ok(ServerPacket::Solicit { header })
        );
    }

    #[test]
    fn impossible_transfers_are_refused() {
        // Zero bytes: a stock client would report success with nothing (`00 20` trick).
        assert_eq!(
            ServerPacket::decode(&[0x21, 0x20, 0x21]),
            Err(WireError::EmptyTransfer)
        );
        assert_eq!(
            ServerPacket::decode(&[0x21, 0x21, 0x20]),
            Err(WireError::BlockSize { found: 0 })
        );
        assert_eq!(
            ServerPacket::decode(&[0x00, 0x20]),
            Err(WireError::IntLength { offset: 0 })
        );
        assert_eq!(
            ServerPacket::decode(&[0x21, 0x21, 0x21, 0x40, 0x81, 0x55]),
            Err(WireError::BlockNumber {
                count: 1,
                found: 129
            })
        );
    }

    #[test]
    fn parity_is_told_by_its_number_and_is_always_a_whole_block() {
        let size = BlockSize::new(4).expect("in range");
        let header =
            TransferHeader::new(TransactionId(VarInt(1)), 130 * 4 - 1, size).expect("not empty");
        let parity = ParityIndex { window: 1, row: 3 };
        let packet = ServerPacket::Parity {
            header,
            parity,
            payload: &[1, 2, 3, 4],
        };
        let mut datagram = Vec::new();
        packet.encode(&mut datagram);
        assert_eq!(ServerPacket::decode(&datagram), Ok(packet));
        assert_eq!(
            ServerPacket::decode(&datagram[..datagram.len() - 1]),
            Err(WireError::BlockLength {
                block: 130 + 128 + 3,
                expected: 4,
                found: 3
            })
        );
    }

    #[test]
    fn a_dismissal_is_a_solicit_with_a_zero_byte() {
        let size = BlockSize::new(4).expect("in range");
        let header = TransferHeader::new(TransactionId(VarInt(1)), 9, size).expect("not empty");
        let packet = ServerPacket::Dismissal { header };
        let mut datagram = Vec::new();
        packet.encode(&mut datagram);
        assert_eq!(datagram, [0x21, 0x29, 0x24, 0]);
        assert_eq!(ServerPacket::decode(&datagram), Ok(packet));
    }

    #[test]
    fn a_byte_after_the_list_says_that_its_client_takes_parity() {
        let held = [0..10, 20..100].into_iter().collect();
        let nack = Nack::for_gaps(&held, 100, MAX_NACK_LEN).taking_parity();
        let mut datagram = Vec::new();
        ClientPacket::Nack(nack.clone()).encode(&mut datagram);
        assert_eq!(datagram, [0x2a, 0x2a, 0x40, 80, 0, 0x21]);
        assert_eq!(
            ClientPacket::decode(&datagram),
            Ok(ClientPacket::Nack(nack))
        );
        datagram.push(0x21);
        assert_eq!(
            ClientPacket::decode(&datagram),
            Err(WireError::TrailingBytes {
                offset: 5,
                found: 2
            })
        );
    }
}
