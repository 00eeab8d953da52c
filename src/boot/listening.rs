// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where HTTP listens: bound before anything answers, while this process may still bind any port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};

use super::handed::{Handed, HandedError};

/// What is spoken at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP as it is.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    fn option(self) -> &'static str {
        match self {
            Scheme::Http => "--http-port N (http_port under [server])",
            Scheme::Https => "--https-port N (https_port under [server])",
        }
    }

    fn without(self) -> &'static str {
        match self {
            Scheme::Http => "--no-http",
            Scheme::Https => "https_port = 0",
        }
    }
}

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Somebody listens there.
    #[error(
        "TCP port {port} of {address} is taken\n  help: `ss -ltnp 'sport = :{port}'` names the holder; stop it, or choose another port with {}, or do without with {}",
        scheme.option(), scheme.without()
    )]
    PortTaken {
        /// Where.
        address: Ipv4Addr,
        /// Which.
        port: u16,
        /// For what.
        scheme: Scheme,
    },
    /// A port that only root may bind.
    #[error(
        "no permission for TCP port {port}\n  help: run as root, or choose a port above 1023 with {}",
        scheme.option()
    )]
    NotPermitted {
        /// Which.
        port: u16,
        /// For what.
        scheme: Scheme,
    },
    /// Of systemd's sockets.
    #[error(transparent)]
    Handed(#[from] HandedError),
    /// Anything else.
    #[error("cannot {step} for HTTP at {address}: {source}")]
    System {
        /// Where.
        address: SocketAddrV4,
        /// Doing what.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Ports that are bound, and nothing answered yet.
#[derive(Debug)]
pub struct HttpSockets {
    /// In the order of the stands: plain, and over TLS.
    pub(super) doors: Vec<(Listening, Option<Listening>)>,
}

/// A socket, and where clients are told that it is.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) listener: TcpListener,
    pub(super) at: SocketAddr,
}

impl HttpSockets {
    /// Listens at each address, and over TLS at another port of it where one is given.
    pub fn bind(
        addresses: &[SocketAddrV4],
        secure: Option<u16>,
        handed: &Handed,
    ) -> Result<HttpSockets, HttpError> {
        let alone = addresses.len() == 1;
        let door = |address: &SocketAddrV4| {
            let plain = listen(*address, Scheme::Http, handed, alone)?;
            let at = |port| SocketAddrV4::new(*address.ip(), port);
            let secured = secure.map(|port| listen(at(port), Scheme::Https, handed, alone));
            Ok((plain, secured.transpose()?))
        };
        let doors: Vec<_> = addresses
            .iter()
            .map(door)
            .collect::<Result<_, HttpError>>()?;
        let plain = doors.iter().map(|(plain, _)| plain.at);
        let secured = doors.iter().filter_map(|(_, s)| s.as_ref().map(|s| s.at));
        handed.check_all_taken(&plain.chain(secured).collect::<Vec<_>>())?;
        Ok(HttpSockets { doors })
    }
}

/// Listens at `address`, with a socket that was handed over if one is there.
fn listen(
    address: SocketAddrV4,
    scheme: Scheme,
    handed: &Handed,
    alone: bool,
) -> Result<Listening, HttpError> {
    let system = |step| {
        move |source| HttpError::System {
            address,
            step,
            source,
        }
    };
    let bind = || TcpListener::bind(address);
    let listener = handed.take(address, alone).map_or_else(bind, Ok);
    let listener = listener.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => HttpError::PortTaken {
            address: *address.ip(),
            port: address.port(),
            scheme,
        },
        io::ErrorKind::PermissionDenied => HttpError::NotPermitted {
            port: address.port(),
            scheme,
        },
        _ => system("listen")(source),
    })?;
    listener
        .set_nonblocking(true)
        .map_err(system("prepare the socket"))?;
    let local = listener
        .local_addr()
        .map_err(system("read the socket's address"))?;
    // One that was handed over may listen at every address: clients are told the interface's.
    let at = SocketAddr::V4(SocketAddrV4::new(*address.ip(), local.port()));
    Ok(Listening { listener, at })
}
