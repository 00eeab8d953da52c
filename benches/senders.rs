// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a datagram costs by each way of handing it to the kernel: one `sendto` each, one `sendmmsg`
//! for a batch, one segmented send (`UDP_SEGMENT`, udp(7)) as `slamboot serve` does.
//!
//! ```text
//! cargo bench --bench senders        (as root: it makes a network of its own)
//! ```
//!
//! Paced, each sends batches of 43 datagrams at 1 Gbit/s, and its processor time is what counts;
//! flat out, its rate. One receiver behind a bridge drops what comes: no file is read, no client
//! asks.

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use quinn_udp::{Transmit, UdpSocketState};
use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, Protocol, Socket, Type};
use xtask::console::now;
use xtask::netlab::{self, INTERFACE, Netlab, SERVER};

/// UDP payload of a block with its header.
const DATAGRAM: usize = 1472;
/// What one segmented send takes, and the pacer's batch at 1 Gbit/s.
const BATCH: usize = 43;
/// Ethernet, IPv4 and UDP around it, on the wire.
const ON_WIRE: usize = DATAGRAM + 66;
const LONG: Duration = Duration::from_millis(1_500);
const ROUNDS: usize = 3;
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 1, 1);
const PORT: u16 = 10_000;

/// One way to send a batch.
type Send = fn(&UdpSocket, &UdpSocketState, &[u8]) -> Result<()>;

const SENDERS: [(&str, Send); 3] = [
    ("sendto", one_by_one),
    ("sendmmsg", many),
    ("UDP_SEGMENT (quinn-udp)", segmented),
];

fn to() -> SocketAddrV4 {
    SocketAddrV4::new(GROUP, PORT)
}

fn one_by_one(socket: &UdpSocket, _: &UdpSocketState, batch: &[u8]) -> Result<()> {
    for datagram in batch.chunks(DATAGRAM) {
        socket.send_to(datagram, to())?;
    }
    Ok(())
}

fn many(socket: &UdpSocket, _: &UdpSocketState, batch: &[u8]) -> Result<()> {
    let slices: Vec<_> = batch
        .chunks(DATAGRAM)
        .map(|one| [IoSlice::new(one)])
        .collect();
    let mut headers = MultiHeaders::preallocate(slices.len(), None);
    let to = vec![Some(SockaddrIn::from(to())); slices.len()];
    let fd = socket.as_raw_fd();
    let sent = sendmmsg(fd, &mut headers, &slices, to, [], MsgFlags::empty())?;
    if sent.count() < slices.len() {
        bail!("the kernel took a part of the batch only");
    }
    Ok(())
}

fn segmented(socket: &UdpSocket, state: &UdpSocketState, batch: &[u8]) -> Result<()> {
    let transmit = Transmit {
        destination: to().into(),
        ecn: None,
        contents: batch,
        segment_size: Some(DATAGRAM),
        src_ip: None,
    };
    Ok(state.try_send(socket.into(), &transmit)?)
}

/// Processor time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What a run came to, for each GiB of payload.
struct Run {
    cpu: f64,
    gbit_per_s: f64,
}

fn run(socket: &UdpSocket, state: &UdpSocketState, send: Send, paced: bool) -> Result<Run> {
    let batch = vec![0x5a; BATCH * DATAGRAM];
    let each = Duration::from_secs_f64((BATCH * ON_WIRE * 8) as f64 / 1e9);
    let (start, before) = (now(), cpu());
    let mut batches: u32 = 0;
    while start.elapsed() < LONG {
        let due = each * batches;
        if let Some(early) = due.checked_sub(start.elapsed()).filter(|_| paced) {
            std::thread::sleep(early);
        }
        send(socket, state, &batch)?;
        batches += 1;
    }
    let payload = f64::from(batches) * batch.len() as f64;
    Ok(Run {
        cpu: cpu().saturating_sub(before).as_secs_f64() / payload * f64::from(1 << 30),
        gbit_per_s: f64::from(batches) * (BATCH * ON_WIRE * 8) as f64
            / start.elapsed().as_secs_f64()
            / 1e9,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> Result<()> {
    if let Some(why) = netlab::unavailable() {
        bail!("no network can be made here: {why}");
    }
    let mut lab = Netlab::new()?;
    let receiver = lab.host()?.enter(|| -> std::io::Result<UdpSocket> {
        let socket = UdpSocket::bind((GROUP, PORT))?;
        socket.join_multicast_v4(&GROUP, &netlab::HOST)?;
        Ok(socket)
    })??;
    let open = || -> std::io::Result<UdpSocket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_multicast_if_v4(&SERVER)?;
        socket.bind(&SocketAddrV4::new(SERVER, 0).into())?;
        Ok(socket.into())
    };
    let socket = lab.server().enter(open)??;
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    let state = UdpSocketState::new((&socket).into())?;
    // It waits as long as the queue is full.
    socket.set_nonblocking(false)?;
    let mut all: Vec<[Vec<f64>; 2]> = vec![Default::default(); SENDERS.len()];
    for _ in 0..ROUNDS {
        for ((_, send), [cpu, rate]) in SENDERS.iter().zip(&mut all) {
            cpu.push(run(&socket, &state, *send, true)?.cpu);
            rate.push(run(&socket, &state, *send, false)?.gbit_per_s);
        }
    }
    drop(receiver);
    println!(
        "1,472 bytes to a group on {INTERFACE}, one receiver that drops them, {ROUNDS} rounds, medians\n\n\
         {:<26}{:>22}{:>9}{:>18}{:>9}",
        "", "CPU s/GiB at 1 Gbit/s", "ratio", "flat out Gbit/s", "ratio"
    );
    let medians: Vec<[f64; 2]> = all.into_iter().map(|both| both.map(median)).collect();
    let [least, most] = *medians.last().context("a sender")?;
    for ((name, _), [cpu, rate]) in SENDERS.iter().zip(&medians) {
        println!(
            "{name:<26}{cpu:>22.2}{:>9.2}{rate:>18.2}{:>9.2}",
            cpu / least,
            rate / most
        );
    }
    Ok(())
}
