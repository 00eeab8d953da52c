// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real sockets, on loopback: the driver against a small server.
#![cfg(feature = "socket")]

#[expect(dead_code, reason = "shared with the tests of the command")]
mod support;

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::ControlFlow;
use std::time::Duration;

use slam_client::wire::{ServerPacket, TransferHeader};
use slam_client::{
    BlockIndex, Clock, Config, DriveError, Ended, Failure, Receiver, Sink, SlamUri, SocketError,
    SocketOptions, Sockets, Timestamp, drive,
};
use support::{TestServer, content, multicast_sender};

/// A file in memory.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    begun: usize,
    /// Refuses to write beyond this.
    limit: Option<u64>,
    stop: bool,
}

impl Sink for Memory {
    fn begin(&mut self, _: Timestamp, header: &TransferHeader, anew: bool) -> io::Result<()> {
        assert_eq!(anew, self.begun > 0);
        self.begun += 1;
        self.bytes = vec![0; header.total_bytes() as usize];
        Ok(())
    }

    fn write(&mut self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut at = offset as usize;
        for part in parts {
            if self
                .limit
                .is_some_and(|limit| at as u64 + part.len() as u64 > limit)
            {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes[at..][..part.len()].copy_from_slice(part);
            at += part.len();
        }
        Ok(())
    }

    fn read(&mut self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        data.copy_from_slice(&self.bytes[offset as usize..][..data.len()]);
        Ok(())
    }

    fn observe(&mut self, _: Timestamp, _: &Receiver) -> ControlFlow<()> {
        if self.stop {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

fn config() -> Config {
    Config {
        give_up: Duration::from_secs(10),
        ..Config::default()
    }
}

fn receive(uri: &SlamUri, options: &SocketOptions, config: Config, memory: &mut Memory) -> Ended {
    let mut sockets = Sockets::open(uri, options).expect("sockets on loopback");
    let clock = Clock::start();
    let mut receiver = Receiver::new(clock.now(), config, fastrand::u64(..));
    drive(&mut sockets, clock, &mut receiver, memory).expect("no I/O error")
}

fn uri(server: &TestServer) -> SlamUri {
    server.uri().parse().expect("a URI")
}

#[test]
fn a_file_arrives_whole() {
    let file = content(5_000_123, 1);
    let server = TestServer::start(file.clone(), 1);
    let mut memory = Memory::default();
    let ended = receive(
        &uri(&server),
        &SocketOptions::default(),
        config(),
        &mut memory,
    );
    assert_eq!(ended, Ended::Complete);
    assert!(memory.bytes == file);
    assert_eq!(memory.begun, 1);
}

#[test]
fn several_clients_on_one_host() {
    let file = content(3_000_000, 2);
    let server = TestServer::start(file.clone(), 2);
    let uri = uri(&server);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let uri = uri.clone();
            std::thread::spawn(move || {
                let mut memory = Memory::default();
                let ended = receive(&uri, &SocketOptions::default(), config(), &mut memory);
                (ended, memory.bytes)
            })
        })
        .collect();
    for client in clients {
        let (ended, bytes) = client.join().expect("no panic");
        assert_eq!(ended, Ended::Complete);
        assert!(bytes == file);
    }
}

#[test]
fn strangers_are_not_listened_to() {
    // Everything to be had, but from 127.0.0.9 instead of from the server.
    let server = TestServer::start(content(1000, 3), 3);
    server.allow(0);
    let stranger = multicast_sender(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 9), 0)).unwrap();
    let header = server.header;
    let mut datagram = Vec::new();
    ServerPacket::Data {
        header,
        block: BlockIndex(0),
        payload: &[7; 1000],
    }
    .encode(&mut datagram);

    for any_source in [false, true] {
        let options = SocketOptions {
            any_source,
            ..SocketOptions::default()
        };
        let mut sockets = Sockets::open(&uri(&server), &options).unwrap();
        stranger.send_to(&datagram, server.group).unwrap();
        let clock = Clock::start();
        let config = Config {
            give_up: Duration::from_millis(300),
            ..Config::default()
        };
        let mut receiver = Receiver::new(clock.now(), config, 1);
        let mut memory = Memory::default();
        let ended = drive(&mut sockets, clock, &mut receiver, &mut memory).unwrap();
        if any_source {
            assert_eq!(ended, Ended::Complete);
            assert_eq!(memory.bytes, [7; 1000]);
        } else {
            assert!(
                matches!(
                    ended,
                    Ended::Failed {
                        failure: Failure::NoServer { .. },
                        ..
                    }
                ),
                "{ended:?}"
            );
            assert_eq!(memory.begun, 0);
        }
    }
}

#[test]
fn a_port_without_a_server_is_noticed() {
    let server = TestServer::start(content(10, 4), 4);
    let uri = uri(&server);
    drop(server);
    let config = Config {
        give_up: Duration::from_millis(400),
        ..Config::default()
    };
    let ended = receive(
        &uri,
        &SocketOptions::default(),
        config,
        &mut Memory::default(),
    );
    let Ended::Failed {
        failure: Failure::NoServer { nacks },
        refusals,
    } = ended
    else {
        panic!("{ended:?}")
    };
    assert!(nacks > 0 && refusals > 0, "{ended:?}");
}

#[test]
fn a_sink_that_fails_ends_it() {
    let server = TestServer::start(content(1_000_000, 5), 5);
    let mut sockets = Sockets::open(&uri(&server), &SocketOptions::default()).unwrap();
    let clock = Clock::start();
    let mut receiver = Receiver::new(clock.now(), config(), 1);
    let mut memory = Memory {
        limit: Some(500_000),
        ..Memory::default()
    };
    let error = drive(&mut sockets, clock, &mut receiver, &mut memory).unwrap_err();
    assert!(
        matches!(&error, DriveError::Sink(error) if error.kind() == io::ErrorKind::StorageFull),
        "{error}"
    );
}

#[test]
fn the_observer_can_stop_it() {
    let server = TestServer::start(content(1000, 6), 6);
    let mut memory = Memory {
        stop: true,
        ..Memory::default()
    };
    let ended = receive(
        &uri(&server),
        &SocketOptions::default(),
        config(),
        &mut memory,
    );
    assert_eq!(ended, Ended::Stopped);
}

#[test]
fn the_interface_can_be_chosen() {
    let server = TestServer::start(content(1000, 7), 7);
    for interface in ["lo", "127.0.0.1"] {
        let options = SocketOptions {
            interfaces: vec![interface.into()],
            ..SocketOptions::default()
        };
        let mut memory = Memory::default();
        let ended = receive(&uri(&server), &options, config(), &mut memory);
        assert_eq!(ended, Ended::Complete, "{interface}");
    }
    let options = SocketOptions {
        interfaces: vec!["nosuch0".into()],
        ..SocketOptions::default()
    };
    let error = Sockets::open(&uri(&server), &options).unwrap_err();
    assert!(matches!(error, SocketError::Interface { .. }), "{error}");
    assert!(
        error.to_string().contains("lo"),
        "names what there is: {error}"
    );
}

#[test]
fn a_port_that_is_not_shared_is_explained() {
    let server = TestServer::start(content(1000, 8), 8);
    let _greedy = std::net::UdpSocket::bind(server.group).expect("bind");
    let error = Sockets::open(&uri(&server), &SocketOptions::default()).unwrap_err();
    assert!(matches!(error, SocketError::Bind { .. }), "{error}");
}
