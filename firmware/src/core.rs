// SPDX-License-Identifier: MIT OR Apache-2.0
//! The safe face of the firmware's SLAM client: the C that the ROM runs, compiled for this host.
//!
//! Shapes follow `slam-client`'s receiver, so that a simulation can drive either.
#![expect(unsafe_code, reason = "the core is C; each call says why it is sound")]

use std::alloc::{self, Layout};
use std::ffi::c_void;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr;

use crate::ffi;

/// Longest datagram that the client sends, in bytes.
pub const MAX_PACKET: usize = ffi::SLAM_CORE_MAX_PACKET as usize;

/// A wait of random length: shortest and longest, in milliseconds.
pub type Wait = (u32, u32);

/// Limits and waits; times are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Before the first NACK, when nothing is heard.
    pub first_nack: Wait,
    /// Before making oneself known to a server that is heard already.
    pub introduce: Wait,
    /// How long a silence lasts before a NACK.
    pub silence: Wait,
    /// How long known blocks alone may come before a NACK.
    pub stall: Wait,
    /// How often waits double while NACKs bring nothing.
    pub max_doublings: u32,
    /// How often the transfer may change.
    pub max_restarts: u32,
    /// How long to go on without data.
    pub give_up: u64,
    /// Largest file in bytes.
    pub max_bytes: u64,
    /// Most parity blocks to keep; 0: none is taken.
    pub max_parity: u32,
    /// Bytes on the wire of a group that it can be moved to: 6 for IPv4, 18 for IPv6; 0: it stays.
    pub group_len: u32,
}

impl Default for Config {
    /// What the firmware uses (`slam_core_defaults`).
    fn default() -> Self {
        let wait = || ffi::slam_core_wait {
            shortest: 0,
            longest: 0,
        };
        let mut config = ffi::slam_core_config {
            first_nack: wait(),
            introduce: wait(),
            silence: wait(),
            stall: wait(),
            max_doublings: 0,
            max_restarts: 0,
            max_parity: 0,
            group_len: 0,
            give_up: 0,
            max_bytes: 0,
        };
        // SAFETY: it fills in the structure that the reference names, and keeps nothing.
        unsafe { ffi::slam_core_defaults(&raw mut config) };
        let wait = |wait: ffi::slam_core_wait| (wait.shortest, wait.longest);
        Config {
            first_nack: wait(config.first_nack),
            introduce: wait(config.introduce),
            silence: wait(config.silence),
            stall: wait(config.stall),
            max_doublings: config.max_doublings,
            max_restarts: config.max_restarts,
            give_up: config.give_up,
            max_bytes: config.max_bytes,
            max_parity: config.max_parity,
            group_len: config.group_len,
        }
    }
}

impl Config {
    fn to_c(self) -> ffi::slam_core_config {
        let wait = |(shortest, longest)| ffi::slam_core_wait { shortest, longest };
        ffi::slam_core_config {
            first_nack: wait(self.first_nack),
            introduce: wait(self.introduce),
            silence: wait(self.silence),
            stall: wait(self.stall),
            max_doublings: self.max_doublings,
            max_restarts: self.max_restarts,
            max_parity: self.max_parity,
            group_len: self.group_len,
            give_up: self.give_up,
            max_bytes: self.max_bytes,
        }
    }
}

/// Why a datagram was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It ends inside an Int, or before one that must be there.
    Truncated,
    /// The length bits of an Int are zero.
    IntLength,
    /// A block size that no datagram can carry.
    BlockSize,
    /// A transfer of no bytes.
    EmptyTransfer,
    /// A block number beyond the transfer.
    BlockNumber,
    /// A block that is shorter or longer than it must be.
    BlockLength,
    /// The file is larger than this client takes.
    TooLarge,
    /// No memory to note which of so many blocks came.
    NoMemory,
    /// A solicit to the group instead of to one client.
    SolicitToGroup,
    /// A block to one client instead of to the group.
    DataToClient,
    /// It came from elsewhere, and the server was heard.
    Foreign,
    /// A group to move to that is none, or that this client cannot join.
    Group,
}

impl Rejection {
    fn from_c(rejection: ffi::slam_core_rejection) -> Option<Rejection> {
        Some(match rejection {
            ffi::SLAM_CORE_TRUNCATED => Rejection::Truncated,
            ffi::SLAM_CORE_INT_LENGTH => Rejection::IntLength,
            ffi::SLAM_CORE_BLOCK_SIZE => Rejection::BlockSize,
            ffi::SLAM_CORE_EMPTY_TRANSFER => Rejection::EmptyTransfer,
            ffi::SLAM_CORE_BLOCK_NUMBER => Rejection::BlockNumber,
            ffi::SLAM_CORE_BLOCK_LENGTH => Rejection::BlockLength,
            ffi::SLAM_CORE_TOO_LARGE => Rejection::TooLarge,
            ffi::SLAM_CORE_NO_MEMORY => Rejection::NoMemory,
            ffi::SLAM_CORE_SOLICIT_TO_GROUP => Rejection::SolicitToGroup,
            ffi::SLAM_CORE_DATA_TO_CLIENT => Rejection::DataToClient,
            ffi::SLAM_CORE_FOREIGN => Rejection::Foreign,
            ffi::SLAM_CORE_GROUP => Rejection::Group,
            _ => return None,
        })
    }
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every block has been handed out.
    Complete,
    /// It was told to stop.
    Stopped,
    /// Nothing at all was heard.
    NoServer,
    /// The server asks, but what it sends to the group does not arrive.
    NoData,
    /// Data came, then no more.
    Silent,
    /// Something was heard, and none of it was acceptable.
    Refused,
    /// The transfer changed again and again.
    Unstable,
    /// The server no longer waits for this client.
    Dismissed,
}

impl End {
    fn from_c(end: ffi::slam_core_end) -> Option<End> {
        Some(match end {
            ffi::SLAM_CORE_COMPLETE => End::Complete,
            ffi::SLAM_CORE_STOPPED => End::Stopped,
            ffi::SLAM_CORE_NO_SERVER => End::NoServer,
            ffi::SLAM_CORE_NO_DATA => End::NoData,
            ffi::SLAM_CORE_SILENT => End::Silent,
            ffi::SLAM_CORE_REFUSED => End::Refused,
            ffi::SLAM_CORE_UNSTABLE => End::Unstable,
            ffi::SLAM_CORE_DISMISSED => End::Dismissed,
            _ => return None,
        })
    }
}

/// What every datagram from the server begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which content it is.
    pub transaction: u64,
    /// Length of the file in bytes.
    pub total_bytes: u64,
    /// Bytes in every block but the last.
    pub block_size: u32,
}

impl Header {
    fn from_c(header: &ffi::slam_core_header) -> Header {
        Header {
            transaction: header.transaction,
            total_bytes: header.total_bytes,
            block_size: header.block_size,
        }
    }
}

/// A datagram from the server, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'d> {
    /// Its transfer.
    pub header: Header,
    /// What it carries.
    pub content: Content<'d>,
}

/// What a datagram from the server carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'d> {
    /// A block and its number.
    Block(u64, &'d [u8]),
    /// A sum over the blocks of a window: window, row, sum.
    Parity(u64, u8, &'d [u8]),
    /// Nothing: it is a solicit.
    Solicit,
    /// That the server no longer waits.
    Dismissal,
    /// That its blocks are sent to this group from now on.
    Move(SocketAddr),
}

/// A group as it stands on the wire; a panic where it is none.
fn group(bytes: &[u8]) -> SocketAddr {
    let (address, port) = bytes.split_last_chunk().expect("a port");
    let address: IpAddr = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
        (Ok(octets), _) => Ipv4Addr::from(octets).into(),
        (_, octets) => Ipv6Addr::from(octets.expect("of one family or the other")).into(),
    };
    SocketAddr::new(address, u16::from_be_bytes(*port))
}

/// Takes a datagram from the server apart; every length and number in it is checked.
pub fn decode(datagram: &[u8]) -> Result<Packet<'_>, Rejection> {
    let mut packet = ffi::slam_core_packet {
        header: ffi::slam_core_header {
            transaction: 0,
            total_bytes: 0,
            block_size: 0,
        },
        is_data: 0,
        is_dismissal: 0,
        group: ptr::null(),
        group_len: 0,
        is_parity: 0,
        block: 0,
        row: 0,
        payload: ptr::null(),
        payload_len: 0,
    };
    // SAFETY: it reads `len` bytes of `datagram` and fills in `packet`, both borrowed for the call.
    let rejection =
        unsafe { ffi::slam_core_decode(datagram.as_ptr(), datagram.len(), &raw mut packet) };
    if let Some(rejection) = Rejection::from_c(rejection) {
        return Err(rejection);
    }
    let payload = || part(datagram, packet.payload, packet.payload_len);
    Ok(Packet {
        header: Header::from_c(&packet.header),
        content: match (packet.is_data != 0, packet.is_parity != 0) {
            (false, _) if packet.is_dismissal != 0 => Content::Dismissal,
            (false, _) if !packet.group.is_null() => {
                Content::Move(group(part(datagram, packet.group, packet.group_len)))
            }
            (false, _) => Content::Solicit,
            (true, false) => Content::Block(packet.block, payload()),
            (true, true) => Content::Parity(packet.block, packet.row, payload()),
        },
    })
}

/// The part of `datagram` that C points to; a panic where it is none.
fn part(datagram: &[u8], at: *const u8, len: usize) -> &[u8] {
    let offset = (at as usize).wrapping_sub(datagram.as_ptr() as usize);
    &datagram[offset..offset + len]
}

/// Encodes an Int.
///
/// # Panics
///
/// Where `value` is 2^53 or more, which no Int holds.
pub fn encode_int(value: u64) -> Vec<u8> {
    assert!(value < 1 << 53, "{value} does not fit an Int");
    let mut bytes = [0; ffi::SLAM_CORE_MAX_INT as usize];
    // SAFETY: it writes at most seven bytes, which there are, for a value below 2^53.
    let len = unsafe { ffi::slam_core_put_int(value, bytes.as_mut_ptr()) };
    bytes[..len].to_vec()
}

/// Reads an Int; its value and the bytes that it took.
pub fn decode_int(bytes: &[u8]) -> Result<(u64, usize), Rejection> {
    let (mut used, mut value) = (0, 0);
    // SAFETY: it reads `len` bytes of `bytes` and fills in two numbers, all borrowed for the call.
    let rejection = unsafe {
        ffi::slam_core_pull_int(bytes.as_ptr(), bytes.len(), &raw mut used, &raw mut value)
    };
    Rejection::from_c(rejection).map_or(Ok((value, used)), Err)
}

/// The NACK of a client that holds the blocks whose bits in `held` are set, of `held.len()`
/// blocks, in at most `max_len` bytes.
///
/// # Panics
///
/// Where there is no block, or room for less than 16 bytes.
pub fn nack(held: &[bool], max_len: usize) -> Vec<u8> {
    assert!(
        !held.is_empty() && max_len >= 16,
        "nothing to say, or no room"
    );
    let mut map = vec![0u8; held.len().div_ceil(8)];
    for (block, _) in held.iter().enumerate().filter(|(_, held)| **held) {
        map[block / 8] |= 1 << (block % 8);
    }
    let mut bytes = vec![0; max_len];
    // SAFETY: the map has a bit for each block, the buffer `max_len` bytes.
    let len = unsafe {
        ffi::slam_core_build_nack(
            map.as_ptr(),
            0,
            held.len() as u64,
            bytes.as_mut_ptr(),
            max_len,
        )
    };
    bytes.truncate(len);
    bytes
}

/// A number from 0 to `span`, drawn evenly, or with late ones far more likely than early ones
/// (RFC 5740 section 5.3).
pub fn draw(random: &mut u64, span: u32, late: bool) -> u32 {
    // SAFETY: both change the one number that they are lent.
    unsafe {
        if late {
            ffi::slam_core_draw_late(random, span)
        } else {
            ffi::slam_core_draw(random, span)
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'d> {
    /// A datagram came to the group.
    Multicast(&'d [u8]),
    /// A datagram came from the server to this client alone.
    Unicast(&'d [u8]),
    /// The moment asked for has come, or the client has just begun.
    Timeout,
    /// Nobody wants the file any more.
    Stop,
}

/// What follows, to be done in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actions<'d> {
    /// A transfer has begun.
    pub started: Option<Header>,
    /// Another transfer has begun: what was stored is void.
    pub restarted: Option<Header>,
    /// A block to store: bytes from the start of the file, and the block.
    pub write: Option<(u64, &'d [u8])>,
    /// A window is to be completed ([`Client::rebuild`]).
    pub rebuild: bool,
    /// Leave the group and join this one, or that of the URI (`None`).
    pub join: Option<Option<SocketAddr>>,
    /// A datagram to send to the server.
    pub send: Option<Vec<u8>>,
    /// How it ended.
    pub end: Option<End>,
    /// When to come again, unless it has ended.
    pub wake: Option<u64>,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    core: Box<ffi::slam_core>,
}

// SAFETY: the core owns what it points to (its map, given by `give`), and shares nothing.
unsafe impl Send for Client {}

impl Client {
    /// Begins at `now` (milliseconds, from whenever). Clients of one group differ in their `seed`.
    pub fn new(now: u64, config: &Config, seed: u64) -> Client {
        let hooks = ffi::slam_core_hooks {
            alloc: Some(give),
            free: Some(take),
            context: ptr::null_mut(),
        };
        let mut core = Box::<ffi::slam_core>::new_uninit();
        // SAFETY: it fills in the whole structure, and copies what the references name.
        let core = unsafe {
            ffi::slam_core_init(
                core.as_mut_ptr(),
                &config.to_c(),
                &raw const hooks,
                seed,
                now,
            );
            core.assume_init()
        };
        Client { core }
    }

    /// Whether to [`handle`](Client::handle) a datagram that came from the server's own address, or
    /// from elsewhere: nobody else is believed once the server was heard.
    pub fn heed(&mut self, from_server: bool) -> bool {
        // SAFETY: the core is borrowed for the call.
        unsafe { ffi::slam_core_heed(&raw mut *self.core, from_server.into()) != 0 }
    }

    /// Takes what happened at `now`; gives what follows.
    pub fn handle<'d>(&mut self, now: u64, input: Input<'d>) -> Actions<'d> {
        let (kind, datagram): (_, &'d [u8]) = match input {
            Input::Multicast(datagram) => (ffi::SLAM_CORE_MULTICAST, datagram),
            Input::Unicast(datagram) => (ffi::SLAM_CORE_UNICAST, datagram),
            Input::Timeout => (ffi::SLAM_CORE_TIMEOUT, &[]),
            Input::Stop => (ffi::SLAM_CORE_STOP, &[]),
        };
        let mut actions = ffi::slam_core_actions {
            started: 0,
            restarted: 0,
            payload: ptr::null(),
            payload_len: 0,
            offset: 0,
            rebuild: 0,
            regroup: 0,
            send: ptr::null(),
            send_len: 0,
            end: 0,
            wake: 0,
        };
        // SAFETY: core, datagram and actions are borrowed for the call; the core keeps none of
        // the datagram.
        unsafe {
            ffi::slam_core_input(
                &raw mut *self.core,
                kind,
                datagram.as_ptr(),
                datagram.len(),
                now,
                &raw mut actions,
            );
        }
        let header = Header::from_c(&self.core.header);
        let end = End::from_c(actions.end);
        Actions {
            started: (actions.started != 0).then_some(header),
            restarted: (actions.restarted != 0).then_some(header),
            write: (!actions.payload.is_null()).then(|| {
                let payload = part(datagram, actions.payload, actions.payload_len);
                (actions.offset, payload)
            }),
            rebuild: actions.rebuild != 0,
            join: (actions.regroup != 0).then(|| {
                let len = self.core.config.group_len as usize;
                (self.core.moved != 0).then(|| group(&self.core.group[..len]))
            }),
            // What is to be sent lies in the core's own buffer.
            send: (actions.send_len > 0).then(|| self.core.packet[..actions.send_len].to_vec()),
            end,
            wake: end.is_none().then_some(actions.wake),
        }
    }

    /// Completes a window, as the last [`Actions`] said: reads the blocks that are stored (offset
    /// and where to), gives those that were missing.
    pub fn rebuild(&mut self, mut read: impl FnMut(u64, &mut [u8])) -> Vec<(u64, Vec<u8>)> {
        for column in 0..ffi::SLAM_PARITY_WINDOW {
            let mut offset = 0;
            // SAFETY: it fills in one number.
            let len = unsafe {
                ffi::slam_core_rebuild_read(&raw const *self.core, column, &raw mut offset)
            };
            if len == 0 {
                continue;
            }
            let mut block = vec![0; len];
            read(offset, &mut block);
            // SAFETY: it reads `len` bytes of `block`.
            unsafe {
                ffi::slam_core_rebuild_add(&raw mut *self.core, column, block.as_ptr(), len);
            }
        }
        let mut blocks = Vec::new();
        loop {
            let (mut offset, mut len) = (0, 0);
            // SAFETY: it fills in two numbers; the block is copied before the next call.
            let block = unsafe {
                let data = ffi::slam_core_rebuild_block(
                    &raw mut *self.core,
                    &raw mut offset,
                    &raw mut len,
                );
                if data.is_null() {
                    return blocks;
                }
                std::slice::from_raw_parts(data, len).to_vec()
            };
            blocks.push((offset, block));
        }
    }

    /// Datagrams ignored, and why the last one was.
    pub fn rejected(&self) -> (u64, Option<Rejection>) {
        let last = Rejection::from_c(self.core.last_rejection);
        (self.core.rejected, last)
    }

    /// NACKs sent.
    pub fn nacks(&self) -> u64 {
        self.core.nacks
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: the core is not used after this.
        unsafe { ffi::slam_core_free(&raw mut *self.core) };
    }
}

/// More than any test needs; a header that claims more blocks meets "no memory", as on a real
/// machine.
const HEAP: usize = 64 << 20;

unsafe extern "C" fn give(_: *mut c_void, len: usize) -> *mut c_void {
    match Layout::array::<u8>(len) {
        // SAFETY: the size is not zero.
        Ok(layout) if (1..=HEAP).contains(&len) => unsafe { alloc::alloc(layout).cast() },
        _ => ptr::null_mut(),
    }
}

unsafe extern "C" fn take(_: *mut c_void, data: *mut c_void, len: usize) {
    if let Ok(layout) = Layout::array::<u8>(len) {
        // SAFETY: `data` came from `give` with the same length.
        unsafe { alloc::dealloc(data.cast(), layout) };
    }
}
