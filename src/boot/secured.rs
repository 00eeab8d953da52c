// SPDX-License-Identifier: MIT OR Apache-2.0
//! What carries HTTP: a connection as it is, or TLS on it.
//!
//! The handshake goes on while its connection is read, so that a slow one holds up nobody who is to be
//! accepted, and it counts for the bounds on connections like any other.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use super::guarded::Connection;
use super::identity::Identity;

/// A handshake is done in so long, or not at all: iPXE needs a second of an old machine's processor.
const HANDSHAKE: Duration = Duration::from_secs(15);

/// With what handshakes are answered; it can be renewed while the server runs.
#[derive(Clone, Debug)]
pub(super) struct Shown(Arc<RwLock<Arc<ServerConfig>>>);

impl Shown {
    pub(super) fn new(identity: &Identity) -> Shown {
        Shown(Arc::new(RwLock::new(identity.config())))
    }

    /// Connections that are open go on with what they began with.
    pub(super) fn renew(&self, identity: &Identity) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = identity.config();
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection, plain or secured.
pub(super) enum Carrier {
    Plain(Connection),
    Secured(Secured),
}

impl Carrier {
    pub(super) fn new(connection: Connection, shown: Option<&Shown>) -> Carrier {
        match shown {
            None => Carrier::Plain(connection),
            Some(shown) => {
                let accept = TlsAcceptor::from(shown.config()).accept(connection);
                Carrier::Secured(Secured::Handshake {
                    accept: Box::new(accept),
                    deadline: Box::pin(tokio::time::sleep(HANDSHAKE)),
                })
            }
        }
    }
}

/// TLS, from the first byte to the last.
pub(super) enum Secured {
    Handshake {
        accept: Box<Accept<Connection>>,
        deadline: Pin<Box<Sleep>>,
    },
    Open(Box<TlsStream<Connection>>),
    /// It came to nothing; the connection is closed.
    Failed,
}

impl Secured {
    /// What can be read from and written to, once the handshake is done.
    fn open(
        &mut self,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<Pin<&mut TlsStream<Connection>>>> {
        if let Secured::Handshake { accept, deadline } = self {
            let done = match deadline.as_mut().poll(task) {
                Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
                Poll::Pending => ready!(Pin::new(accept.as_mut()).poll(task)),
            };
            match done {
                Ok(stream) => *self = Secured::Open(Box::new(stream)),
                Err(error) => {
                    *self = Secured::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        match self {
            Secured::Open(stream) => Poll::Ready(Ok(Pin::new(stream.as_mut()))),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for Carrier {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Carrier::Plain(connection) => Pin::new(connection).poll_read(task, buffer),
            Carrier::Secured(secured) => ready!(secured.open(task))?.poll_read(task, buffer),
        }
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Carrier::Plain(connection) => Pin::new(connection).poll_write(task, bytes),
            Carrier::Secured(secured) => ready!(secured.open(task))?.poll_write(task, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Carrier::Plain(connection) => Pin::new(connection).poll_write_vectored(task, bytes),
            Carrier::Secured(secured) => {
                ready!(secured.open(task))?.poll_write_vectored(task, bytes)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Carrier::Plain(connection) => connection.is_write_vectored(),
            Carrier::Secured(_) => true,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Carrier::Plain(connection) => Pin::new(connection).poll_flush(task),
            Carrier::Secured(Secured::Open(stream)) => Pin::new(stream.as_mut()).poll_flush(task),
            // Nothing of HTTP's was written yet.
            Carrier::Secured(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Carrier::Plain(connection) => Pin::new(connection).poll_shutdown(task),
            Carrier::Secured(Secured::Open(stream)) => {
                Pin::new(stream.as_mut()).poll_shutdown(task)
            }
            Carrier::Secured(_) => Poll::Ready(Ok(())),
        }
    }
}
