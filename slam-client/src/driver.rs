// SPDX-License-Identifier: MIT OR Apache-2.0
//! Drives a [`Receiver`] with sockets and the clock.

use std::io::{self, IoSlice, IoSliceMut};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use quinn_udp::{BATCH_SIZE, RecvMeta};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::event::{Failure, Input, Output, Outputs};
use crate::parity::Rebuild;
use crate::receiver::Receiver;
use crate::socket::Sockets;
use crate::time::Timestamp;
use crate::wire::TransferHeader;

/// Largest datagram, or several that the kernel has joined into one (GRO): 64 KiB.
const BUFFER_LEN: usize = 1 << 16;
/// More than any solicit or move: three Ints, and a group.
const SOLICIT_BUFFER_LEN: usize = 64;
/// Solicits to answer before looking for data again.
const SOLICITS_AT_ONCE: usize = 16;
/// Longest wait without letting the sink observe.
const OBSERVE_EVERY: Duration = Duration::from_millis(100);
/// While data flows, it is read so often: a wake-up for each batch of the server's would cost more
/// than what is in it. A solicit is answered at once all the same.
const READ_EVERY: Duration = Duration::from_millis(2);
/// The fastest that data is thought to come, in bytes per second: 10 Gbit/s.
const FASTEST: usize = 1_250_000_000;
/// What waits to be read may take so large a part of the receive buffer. Its accounting charges each
/// datagram two or three times its length.
const BUFFER_PART: usize = 8;
/// Most parts that one system call writes (`IOV_MAX`, writev(2)).
const MAX_PARTS: usize = 1024;

/// Where blocks go.
pub trait Sink {
    /// A transfer begins. `anew`: nothing that was stored before belongs to it.
    fn begin(&mut self, now: Timestamp, header: &TransferHeader, anew: bool) -> io::Result<()>;

    /// Stores the parts, one right after the other, from `offset` bytes after the start of the
    /// file.
    fn write(&mut self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Reads back what was stored from `offset` bytes after the start of the file; what was never
    /// stored may read as anything. Asked for only where the receiver takes parity
    /// ([`Config::max_parity`](crate::Config::max_parity)).
    fn read(&mut self, offset: u64, data: &mut [u8]) -> io::Result<()>;

    /// Called at least every 100 ms, and once after the end: a look at how it goes. May stop it.
    fn observe(&mut self, now: Timestamp, receiver: &Receiver) -> ControlFlow<()>;
}

/// How a run ended, when nothing broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every block was stored.
    Complete,
    /// The transfer failed.
    Failed {
        /// Why.
        failure: Failure,
        /// How often the server's host said that nothing listens there (ICMP port unreachable).
        refusals: u64,
    },
    /// [`Sink::observe`] stopped it.
    Stopped,
}

/// Why a run broke off.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The sink could not take what came.
    #[error("cannot store what came: {0}")]
    Sink(#[source] io::Error),
    /// Receiving failed, or sending.
    #[error("the network failed: {0}")]
    Network(#[from] io::Error),
}

/// The only reader of the clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
}

impl Clock {
    /// A clock that shows zero now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the edge: protocol code is given the time"
    )]
    pub fn start() -> Self {
        Clock {
            began: Instant::now(),
        }
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_start(self.began.elapsed())
    }
}

/// Runs `receiver`, which must be fresh, until its end.
pub fn drive(
    sockets: &mut Sockets,
    clock: Clock,
    receiver: &mut Receiver,
    sink: &mut impl Sink,
) -> Result<Ended, DriveError> {
    let nap = nap(sockets.receive_buffer());
    let mut driver = Driver {
        sockets,
        sink,
        next: Timestamp::ZERO,
        end: None,
        refusals: 0,
        nap,
        flowing: false,
    };
    let mut buffers = vec![0; BATCH_SIZE * BUFFER_LEN];
    driver.give(receiver, clock.now(), Input::Timeout)?;
    // Bytes read from the group since solicits were last looked for.
    let mut drained = 0;
    loop {
        let now = clock.now();
        let stop = driver.sink.observe(now, receiver).is_break();
        match driver.end {
            Some(Ok(())) => return Ok(Ended::Complete),
            Some(Err(failure)) => {
                let refusals = driver.refusals;
                return Ok(Ended::Failed { failure, refusals });
            }
            None if stop => {
                driver.follow(now, receiver.stop(), &mut Gather::default())?;
                return Ok(Ended::Stopped);
            }
            None => {}
        }
        if drained == 0 {
            driver.wait(now)?;
        }
        // All data before any solicit: the answer must not ask for what has arrived but lies
        // unread. But at most one receive buffer of it, lest the server wait for ever.
        let read = driver.receive_data(receiver, clock.now(), &mut buffers)?;
        if drained == 0 {
            driver.flowing = read > 0;
        }
        drained += read;
        if driver.end.is_none() && (read == 0 || drained > driver.sockets.receive_buffer()) {
            drained = 0;
            let now = clock.now();
            driver.receive_solicits(receiver, now)?;
            if driver.next <= now {
                driver.give(receiver, now, Input::Timeout)?;
            }
        }
    }
}

struct Driver<'s, S> {
    sockets: &'s mut Sockets,
    sink: &'s mut S,
    /// When the receiver wants to be called at the latest.
    next: Timestamp,
    end: Option<Result<(), Failure>>,
    refusals: u64,
    /// How long data may lie unread.
    nap: Duration,
    /// Whether there was data at the last look.
    flowing: bool,
}

/// How long data may lie unread in a receive buffer of so many bytes; zero for a small one.
fn nap(receive_buffer: usize) -> Duration {
    let fills = receive_buffer as f64 / BUFFER_PART as f64 / FASTEST as f64;
    let nap = Duration::from_secs_f64(fills).min(READ_EVERY);
    if nap < READ_EVERY / 4 {
        Duration::ZERO
    } else {
        nap
    }
}

/// Blocks that lie one right after the other in the file, not written yet.
#[derive(Default)]
struct Gather<'d> {
    offset: u64,
    len: u64,
    parts: Vec<IoSlice<'d>>,
}

impl<'d> Gather<'d> {
    fn takes(&self, offset: u64) -> bool {
        offset == self.offset + self.len && self.parts.len() < MAX_PARTS
    }

    fn push(&mut self, offset: u64, payload: &'d [u8]) {
        if self.parts.is_empty() {
            self.offset = offset;
        }
        self.len += payload.len() as u64;
        self.parts.push(IoSlice::new(payload));
    }

    fn flush(&mut self, sink: &mut impl Sink) -> Result<(), DriveError> {
        if self.parts.is_empty() {
            return Ok(());
        }
        let written = sink.write(self.offset, &mut self.parts);
        self.parts.clear();
        self.len = 0;
        written.map_err(DriveError::Sink)
    }
}

impl<S: Sink> Driver<'_, S> {
    /// Until a datagram comes, the receiver wants to be called, or the sink wants to observe. While
    /// data flows, until it is time to read it, or a solicit comes.
    fn wait(&self, now: Timestamp) -> Result<(), DriveError> {
        let wait = self.next.since(now).min(OBSERVE_EVERY);
        let mut sockets = [
            PollFd::new(&self.sockets.unicast, PollFlags::IN),
            PollFd::new(&self.sockets.group, PollFlags::IN),
        ];
        let (sockets, wait) = if self.flowing && !self.nap.is_zero() {
            (&mut sockets[..1], wait.min(self.nap))
        } else {
            (&mut sockets[..], wait)
        };
        let wait = Timespec::try_from(wait).expect("at most OBSERVE_EVERY");
        match poll(sockets, Some(&wait)) {
            // A signal: the sink may know what it means.
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(DriveError::Network(error.into())),
        }
    }

    /// One batch from the group; how many bytes it had, 0 where nothing waits.
    fn receive_data(
        &mut self,
        receiver: &mut Receiver,
        now: Timestamp,
        buffers: &mut [u8],
    ) -> Result<usize, DriveError> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let count = {
            let mut slices = buffers.chunks_exact_mut(BUFFER_LEN).map(IoSliceMut::new);
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| slices.next().expect("one for each of the batch"));
            let group = (&self.sockets.group).into();
            match self.sockets.batching.recv(group, &mut slices, &mut metas) {
                Ok(count) => count,
                Err(error) if is_passing(&error) => return Ok(0),
                Err(error) => return Err(error.into()),
            }
        };
        let mut gather = Gather::default();
        let mut bytes = 0;
        for (meta, buffer) in metas[..count].iter().zip(buffers.chunks_exact(BUFFER_LEN)) {
            // An empty datagram counts too, so that it is not taken for an empty socket.
            bytes += meta.len.max(1);
            let source = self.sockets.data_from;
            if source.is_none_or(|server| server == meta.addr.ip()) {
                for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                    let outputs = receiver.handle(now, Input::Multicast(datagram));
                    self.follow(now, outputs, &mut gather)?;
                }
            }
        }
        gather.flush(self.sink)?;
        Ok(bytes)
    }

    fn receive_solicits(
        &mut self,
        receiver: &mut Receiver,
        now: Timestamp,
    ) -> Result<(), DriveError> {
        let mut buffer = [0; SOLICIT_BUFFER_LEN];
        for _ in 0..SOLICITS_AT_ONCE {
            match self.sockets.unicast.recv(&mut buffer) {
                Ok(len) => self.give(receiver, now, Input::Unicast(&buffer[..len]))?,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.refusals += 1;
                }
                Err(error) if is_passing(&error) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn give(
        &mut self,
        receiver: &mut Receiver,
        now: Timestamp,
        input: Input<'_>,
    ) -> Result<(), DriveError> {
        let mut gather = Gather::default();
        self.follow(now, receiver.handle(now, input), &mut gather)?;
        gather.flush(self.sink)
    }

    fn follow<'d>(
        &mut self,
        now: Timestamp,
        outputs: Outputs<'d>,
        gather: &mut Gather<'d>,
    ) -> Result<(), DriveError> {
        for output in outputs {
            match output {
                Output::Write { offset, payload } => {
                    if !gather.takes(offset) {
                        gather.flush(self.sink)?;
                    }
                    gather.push(offset, payload);
                }
                Output::Started { header } => self.begin(now, &header, false)?,
                Output::Restarted { header } => {
                    gather.flush(self.sink)?;
                    self.begin(now, &header, true)?;
                }
                Output::Rebuild(rebuild) => {
                    gather.flush(self.sink)?;
                    self.rebuild(*rebuild).map_err(DriveError::Sink)?;
                }
                // Where it cannot be joined, the present one stays; a server that sees that nothing
                // arrives asks us back.
                Output::Join(group) => drop(self.sockets.join(group)),
                Output::Send(datagram) => self.send(&datagram)?,
                Output::Complete => self.end = Some(Ok(())),
                Output::Failed(failure) => self.end = Some(Err(failure)),
                Output::Timeout(next) => self.next = next,
            }
        }
        Ok(())
    }

    fn rebuild(&mut self, rebuild: Rebuild) -> io::Result<()> {
        let span = rebuild.span();
        let mut window = vec![0; (span.end - span.start) as usize];
        self.sink.read(span.start, &mut window)?;
        for (offset, block) in rebuild.solve(&window) {
            self.sink.write(offset, &mut [IoSlice::new(&block)])?;
        }
        Ok(())
    }

    fn begin(
        &mut self,
        now: Timestamp,
        header: &TransferHeader,
        anew: bool,
    ) -> Result<(), DriveError> {
        self.sink.begin(now, header, anew).map_err(DriveError::Sink)
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), DriveError> {
        // An earlier datagram's ICMP error is reported here first, in place of sending.
        for _ in 0..2 {
            match self.sockets.unicast.send(datagram) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.refusals += 1;
                }
                // Lost, as any datagram may be: the receiver asks again.
                Err(error) if is_passing(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(()),
            }
        }
        Ok(())
    }
}

/// Whether an error passes by itself: nothing to read, no route for the moment.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{
        HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable, WouldBlock,
    };
    matches!(
        error.kind(),
        WouldBlock | Interrupted | NetworkUnreachable | HostUnreachable | NetworkDown
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_lies_unread_only_where_there_is_room() {
        assert_eq!(nap(256 << 20), READ_EVERY);
        // Debian's `net.core.rmem_max`, doubled: under a millisecond of 1 Gbit/s.
        assert_eq!(nap(425_984), Duration::ZERO);
        let some = nap(16 << 20);
        assert!(some > READ_EVERY / 4 && some < READ_EVERY, "{some:?}");
    }
}
