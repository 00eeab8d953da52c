// SPDX-License-Identifier: MIT OR Apache-2.0
//! Listening TCP sockets that systemd opened and hands over (`sd_listen_fds(3)`, a `.socket` unit).

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use listenfd::ListenFd;

/// Why what was handed over cannot be served at.
#[derive(Debug, thiserror::Error)]
pub enum HandedError {
    /// UDP, a pipe, or a socket that does not listen.
    #[error(
        "systemd handed over descriptor {number}, which is no listening TCP socket: {source}\n  expected: ListenStream=PORT, or ADDRESS:PORT, in the .socket unit, and nothing else\n  help: DHCP, TFTP and SLAM open their sockets themselves; take them out of the unit"
    )]
    NotTcp {
        /// From 3 on.
        number: usize,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody took it.
    #[error(
        "systemd handed over a listening socket at {address}, where nothing is to be served\n  expected: {expected}\n  help: let ListenStream= in the .socket unit and http_port (https_port) under [server] name the same port; with several interfaces, give each one's address: ListenStream=ADDRESS:PORT"
    )]
    Unwanted {
        /// Where it listens.
        address: SocketAddr,
        /// Where something is.
        expected: String,
    },
}

/// Those that nobody took yet.
#[derive(Clone, Debug, Default)]
pub struct Handed(Arc<Mutex<Vec<(SocketAddr, TcpListener)>>>);

impl Handed {
    /// Takes them over, once: the environment does not name them afterwards.
    pub fn from_environment() -> Result<Handed, HandedError> {
        let mut given = ListenFd::from_env();
        let mut sockets = Vec::new();
        for number in 0..given.len() {
            let taken = given.take_tcp_listener(number).and_then(|taken| {
                let Some(listener) = taken else {
                    return Ok(None);
                };
                rustix::net::sockopt::socket_acceptconn(&listener)?
                    .then_some(())
                    .ok_or_else(|| io::Error::other("it does not listen"))?;
                Ok(Some((listener.local_addr()?, listener)))
            });
            match taken {
                Ok(socket) => sockets.extend(socket),
                Err(source) => {
                    return Err(HandedError::NotTcp {
                        number: number + 3,
                        source,
                    });
                }
            }
        }
        Ok(Handed(Arc::new(Mutex::new(sockets))))
    }

    /// The one at `address`; also one at every address, where nobody else could mean it.
    pub(super) fn take(&self, address: SocketAddrV4, alone: bool) -> Option<TcpListener> {
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |at: &SocketAddr| {
            let here = at.ip().to_canonical() == IpAddr::V4(*address.ip());
            at.port() == address.port() && (here || (alone && at.ip().is_unspecified()))
        };
        let found = sockets.iter().position(|(at, _)| fits(at))?;
        Some(sockets.swap_remove(found).1)
    }

    /// An error where one is left.
    pub fn check_all_taken(&self, served: &[SocketAddr]) -> Result<(), HandedError> {
        let sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((address, _)) = sockets.first() else {
            return Ok(());
        };
        let served: Vec<String> = served.iter().map(ToString::to_string).collect();
        Err(HandedError::Unwanted {
            address: *address,
            expected: match served.as_slice() {
                [] => "none: HTTP is off".to_owned(),
                served => served.join(", "),
            },
        })
    }
}
