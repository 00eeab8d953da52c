// SPDX-License-Identifier: MIT OR Apache-2.0
//! The three kinds of clients behind one face.

use slam_client::stock::{Build, StockClient};
use slam_client::wire::{BlockSize, TransactionId, TransferHeader, VarInt};
use slam_client::{Config, Failure, Input, Output as Deed, Receiver, Timestamp};

use super::network::BLOCK;
use super::world::Kind;

/// A client, whichever it is.
pub enum Client {
    Ours(Box<Receiver>),
    Stock(Box<StockClient>),
    Firmware(firmware::core::Client),
}

/// What a client does.
pub enum Act<'d> {
    Deed(Deed<'d>),
    /// It has computed blocks from parity: the number of each.
    Rebuilt(Vec<u64>),
}

impl Client {
    /// A client that takes parity, if it is told to and can.
    pub fn new(kind: Kind, parity: bool, now: Timestamp, seed: u64) -> Self {
        match kind {
            Kind::Ours => {
                let config = Config {
                    max_parity: if parity { 4096 } else { 0 },
                    ..Config::default()
                };
                Client::Ours(Box::new(Receiver::new(now, config, seed)))
            }
            Kind::Stock => Client::Stock(Box::new(StockClient::new(now, Build::Bits32))),
            Kind::Firmware => {
                let mut config = firmware::core::Config::default();
                if !parity {
                    config.max_parity = 0;
                }
                Client::Firmware(firmware::core::Client::new(millis(now), &config, seed))
            }
        }
    }

    pub fn handle<'d>(&mut self, now: Timestamp, input: Input<'d>, mut each: impl FnMut(Act<'d>)) {
        let mut deed = |deed| match deed {
            Deed::Rebuild(rebuild) => {
                each(Act::Rebuilt(
                    rebuild.missing().map(|block| block.0).collect(),
                ));
            }
            deed => each(Act::Deed(deed)),
        };
        match self {
            Client::Ours(client) => client.handle(now, input).for_each(deed),
            Client::Stock(client) => client.handle(now, input).for_each(&mut deed),
            Client::Firmware(client) => firmware_acts(client, now, input, each),
        }
    }
}

fn millis(now: Timestamp) -> u64 {
    now.since_start().as_millis() as u64
}

/// The firmware counts milliseconds, and learns of a moment when it is over.
fn firmware_acts<'d>(
    client: &mut firmware::core::Client,
    now: Timestamp,
    input: Input<'d>,
    mut act: impl FnMut(Act<'d>),
) {
    use firmware::core::{End, Input as In};
    let input = match input {
        Input::Multicast(datagram) => In::Multicast(datagram),
        Input::Unicast(datagram) => In::Unicast(datagram),
        Input::Timeout => In::Timeout,
    };
    let actions = client.handle(millis(now), input);
    if actions.rebuild {
        // Every file is zeros here, and so are its sums: what is computed must be, too.
        let blocks = client.rebuild(|_, block| block.fill(0));
        assert!(
            blocks
                .iter()
                .all(|(_, block)| block.iter().all(|&byte| byte == 0))
        );
        let number = |(offset, _): (u64, Vec<u8>)| offset / u64::from(BLOCK);
        act(Act::Rebuilt(blocks.into_iter().map(number).collect()));
    }
    let mut each = |deed| act(Act::Deed(deed));
    if let Some(header) = actions.started.map(header_of) {
        each(Deed::Started { header });
    }
    if let Some(header) = actions.restarted.map(header_of) {
        each(Deed::Restarted { header });
    }
    if let Some((offset, payload)) = actions.write {
        each(Deed::Write { offset, payload });
    }
    if let Some(group) = actions.join {
        each(Deed::Join(group));
    }
    if let Some(datagram) = actions.send {
        each(Deed::Send(datagram));
    }
    match actions.end {
        Some(End::Complete) => each(Deed::Complete),
        // Which failure it is does not matter to the network.
        Some(_) => each(Deed::Failed(Failure::NoServer { nacks: 0 })),
        None => {}
    }
    if let Some(wake) = actions.wake {
        let wake = Timestamp::from_start(std::time::Duration::from_millis(wake));
        each(Deed::Timeout(wake.max(now)));
    }
}

fn header_of(header: firmware::core::Header) -> TransferHeader {
    TransferHeader::new(
        TransactionId(VarInt::new(header.transaction).expect("it was an Int")),
        header.total_bytes,
        BlockSize::new(header.block_size.into()).expect("the core checked it"),
    )
    .expect("the core checked it")
}
