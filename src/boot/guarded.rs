// SPDX-License-Identifier: MIT OR Apache-2.0
//! TCP connections, bounded: how many there are, how many of one address, how long one may stay that
//! gets nothing, and how much it may say.

use std::future::Future as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, Sleep, timeout};

use super::crowd::{Crowd, Room};
use super::secured::{Carrier, Shown};

/// A connection ends when so long nothing could be written to it: neither a request that never
/// becomes whole nor a client that takes nothing holds it for longer.
const IDLE: Duration = Duration::from_secs(30);
/// Who waits for room looks for it again after this time.
const AGAIN: Duration = Duration::from_millis(100);
/// Bytes that a client may say before anything is written to it: more than any request of firmware
/// or of a browser has.
const REQUEST: usize = 64 << 10;

/// Accepts within bounds.
pub(super) struct Guarded {
    listener: TcpListener,
    shown: Option<Shown>,
    slots: Arc<Semaphore>,
    counts: Arc<Mutex<Crowd>>,
}

impl Guarded {
    /// At most `most` connections at a time; further ones wait in the system's queue. With TLS where
    /// there is something to show.
    pub(super) fn new(listener: TcpListener, shown: Option<Shown>, most: usize) -> Guarded {
        Guarded {
            listener,
            shown,
            slots: Arc::new(Semaphore::new(most)),
            counts: Arc::default(),
        }
    }

    /// A slot for who sits here, which may mean that another one must go.
    async fn slot(&self, seat: &Seat) -> Option<OwnedSemaphorePermit> {
        loop {
            let slot = Arc::clone(&self.slots);
            if let Ok(slot) = slot.try_acquire_owned() {
                return Some(slot);
            }
            if seat.make_room() == Room::None {
                return None;
            }
            let slot = Arc::clone(&self.slots).acquire_owned();
            // The semaphore is never closed.
            if let Ok(Ok(slot)) = timeout(AGAIN, slot).await {
                return Some(slot);
            }
        }
    }
}

impl Listener for Guarded {
    type Io = Carrier;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Carrier, SocketAddr) {
        loop {
            // axum's own listener waits after an error that is not one connection's, such as no
            // descriptors.
            let (stream, from) = Listener::accept(&mut self.listener).await;
            // A socket that was handed over may be IPv6's, for both.
            let from = SocketAddr::new(from.ip().to_canonical(), from.port());
            let Some(seat) = Seat::take(&self.counts, from.ip()) else {
                continue;
            };
            let Some(slot) = self.slot(&seat).await else {
                continue;
            };
            // iPXE asks for small things one after the other: do not wait to fill a segment.
            let _ = stream.set_nodelay(true);
            let connection = Connection {
                stream,
                idle: Box::pin(tokio::time::sleep(IDLE)),
                unanswered: 0,
                _slot: slot,
                seat,
            };
            return (Carrier::new(connection, self.shown.as_ref()), from);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Connected<IncomingStream<'_, Guarded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Guarded>) -> Peer {
        Peer(*stream.remote_addr())
    }
}

/// One of an address's connections.
struct Seat {
    counts: Arc<Mutex<Crowd>>,
    address: IpAddr,
    id: u64,
    /// Says that it must end; `None`: it was said.
    left: Option<oneshot::Receiver<()>>,
}

impl Seat {
    fn take(counts: &Arc<Mutex<Crowd>>, address: IpAddr) -> Option<Seat> {
        let mut all = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, left) = all.enter(address, Instant::now())?;
        Some(Seat {
            counts: Arc::clone(counts),
            address,
            id,
            left: Some(left),
        })
    }

    fn all(&self) -> MutexGuard<'_, Crowd> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_room(&self) -> Room {
        self.all().make_room(self.address, self.id, Instant::now())
    }

    fn served(&self) {
        self.all().served(self.address, self.id, Instant::now());
    }

    /// Whether it must end, to make room for another; else `task` is woken when it must.
    fn must_end(&mut self, task: &mut Context<'_>) -> bool {
        let told = |left: &mut oneshot::Receiver<()>| Pin::new(left).poll(task).is_ready();
        if self.left.as_mut().is_some_and(told) {
            self.left = None;
        }
        self.left.is_none()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.all().leave(self.address, self.id);
    }
}

/// A connection that ends by itself when it gets nothing.
pub(super) struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    /// Bytes that came since something was written.
    unanswered: usize,
    _slot: OwnedSemaphorePermit,
    seat: Seat,
}

impl Connection {
    fn check(&mut self, task: &mut Context<'_>) -> io::Result<()> {
        if self.seat.must_end(task) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        match self.idle.as_mut().poll(task) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// What came of a write: progress begins the time anew, too long without any is an error.
    fn written(
        &mut self,
        polled: Poll<io::Result<usize>>,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Pending => match self.check(task) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
            ready @ Poll::Ready(_) => {
                self.idle.as_mut().reset(Instant::now() + IDLE);
                self.unanswered = 0;
                self.seat.served();
                ready
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(task, buffer) {
            Poll::Pending => match self.check(task) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
            ready @ Poll::Ready(_) => {
                self.unanswered += buffer.filled().len() - before;
                if self.unanswered > REQUEST {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                ready
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(task, bytes);
        self.written(polled, task)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(task, bytes);
        self.written(polled, task)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}
