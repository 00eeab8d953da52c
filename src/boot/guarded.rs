// SPDX-License-Identifier: MIT OR Apache-2.0
//! TCP connections, bounded: how many there are, how many of one address, and how long one may
//! stay that gets nothing.

use std::collections::HashMap;
use std::future::Future as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::secured::{Carrier, Shown};

/// A connection ends when so long nothing could be written to it: neither a request that never
/// becomes whole nor a client that takes nothing holds it for longer.
const IDLE: Duration = Duration::from_secs(30);
/// Connections of one address: a room behind one router comes with many.
const PER_ADDRESS: usize = 256;

/// Accepts within bounds.
pub(super) struct Guarded {
    listener: TcpListener,
    shown: Option<Shown>,
    slots: Arc<Semaphore>,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
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
}

impl Listener for Guarded {
    type Io = Carrier;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Carrier, SocketAddr) {
        loop {
            let slots = Arc::clone(&self.slots);
            let slot = slots.acquire_owned().await;
            let Ok(slot) = slot else {
                // The semaphore is never closed.
                std::future::pending::<()>().await;
                continue;
            };
            // axum's own listener waits after an error that is not one connection's, such as no
            // descriptors.
            let (stream, from) = Listener::accept(&mut self.listener).await;
            // A socket that was handed over may be IPv6's, for both.
            let from = SocketAddr::new(from.ip().to_canonical(), from.port());
            let Some(seat) = Seat::take(&self.counts, from.ip()) else {
                continue;
            };
            // iPXE asks for small things one after the other: do not wait to fill a segment.
            let _ = stream.set_nodelay(true);
            let connection = Connection {
                stream,
                idle: Box::pin(tokio::time::sleep(IDLE)),
                _slot: slot,
                _seat: seat,
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
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Seat {
    fn take(counts: &Arc<Mutex<HashMap<IpAddr, usize>>>, address: IpAddr) -> Option<Seat> {
        let mut all = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(address).or_default();
        if *count >= PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Seat {
            counts: Arc::clone(counts),
            address,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.address);
            }
        }
    }
}

/// A connection that ends by itself when it gets nothing.
pub(super) struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _slot: OwnedSemaphorePermit,
    _seat: Seat,
}

impl Connection {
    fn check(&mut self, task: &mut Context<'_>) -> io::Result<()> {
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
        match Pin::new(&mut self.stream).poll_read(task, buffer) {
            Poll::Pending => match self.check(task) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
            ready @ Poll::Ready(_) => ready,
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
