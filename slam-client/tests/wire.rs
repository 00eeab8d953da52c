// SPDX-License-Identifier: MIT OR Apache-2.0
//! The codec, by its properties: both directions are inverse, encodings are canonical, and no
//! bytes at all make it panic.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use proptest::prelude::*;
use slam_client::wire::{
    BlockSize, ClientPacket, MAX_HEADER_LEN, MAX_NACK_LEN, Nack, ServerPacket, TransactionId,
    TransferHeader, VarInt, WireError,
};
use slam_client::{BlockIndex, BlockSet};

/// Values of every encoded length alike, with both ends of each length.
fn int() -> impl Strategy<Value = u64> {
    (1_u32..=7).prop_flat_map(|len| {
        let top = (1_u64 << (8 * len - 3)) - 1;
        let bottom = if len == 1 { 0 } else { 1 << (8 * len - 11) };
        prop_oneof![Just(bottom), Just(top), bottom..=top]
    })
}

fn header() -> impl Strategy<Value = TransferHeader> {
    (int(), int(), 1_u64..=u64::from(BlockSize::MAX)).prop_map(|(id, total, block_size)| {
        TransferHeader::new(
            TransactionId(VarInt::new(id).expect("53 bits")),
            total.max(1),
            BlockSize::new(block_size).expect("in range"),
        )
        .expect("not empty, 53 bits")
    })
}

/// Runs near each other and far apart, touching and overlapping.
fn blocks(below: u64) -> impl Strategy<Value = BlockSet> {
    proptest::collection::vec((0..below, 0_u64..40), 0..60).prop_map(move |runs| {
        runs.into_iter()
            .map(|(start, len)| start..(start + len).min(below))
            .collect()
    })
}

fn encoded(packet: &ClientPacket) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out
}

/// The Ints of a datagram, read in the plainest way.
fn naive_ints(mut bytes: &[u8]) -> Option<Vec<(usize, u64)>> {
    let mut ints = Vec::new();
    while let [first, ..] = bytes {
        let len = usize::from(first >> 5);
        if len == 0 || len > bytes.len() {
            return None;
        }
        let mut value = u64::from(first & 31);
        for byte in &bytes[1..len] {
            value = value * 256 + u64::from(*byte);
        }
        ints.push((len, value));
        bytes = &bytes[len..];
    }
    Some(ints)
}

fn fewest_bytes(value: u64) -> usize {
    (1..=7)
        .find(|len| value < 1 << (8 * len - 3))
        .expect("53 bits")
}

proptest! {
    #[test]
    fn ints_are_canonical(value in int()) {
        let mut out = Vec::new();
        let int = VarInt::new(value).unwrap();
        int.encode(&mut out);
        prop_assert_eq!(out.len(), fewest_bytes(value));
        prop_assert_eq!(out.len(), int.encoded_len());
        prop_assert_eq!(naive_ints(&out), Some(vec![(out.len(), value)]));
    }

    #[test]
    fn a_header_survives_as_a_solicit(header in header()) {
        let bytes = header.encode();
        prop_assert!(bytes.as_bytes().len() <= MAX_HEADER_LEN);
        prop_assert_eq!(
            ServerPacket::decode(bytes.as_bytes()),
            Ok(ServerPacket::Solicit { header })
        );
        let ints = naive_ints(bytes.as_bytes()).unwrap();
        prop_assert!(ints.iter().all(|&(len, value)| len == fewest_bytes(value)));
        for end in 0..bytes.as_bytes().len() {
            let truncated = matches!(
                ServerPacket::decode(&bytes.as_bytes()[..end]),
                Err(WireError::Truncated { .. })
            );
            prop_assert!(truncated, "cut at {}", end);
        }
    }

    #[test]
    fn a_move_survives(header in header(), v4 in any::<[u8; 4]>(), v6 in any::<[u8; 16]>(), port in any::<u16>()) {
        for ip in [IpAddr::from(v4), IpAddr::from(v6)] {
            let group = SocketAddr::new(ip, port);
            let bytes = header.encode().move_to(group);
            match ServerPacket::decode(&bytes) {
                Ok(packet) => {
                    prop_assert!(ip.is_multicast() && port > 0);
                    prop_assert_eq!(packet, ServerPacket::Move { header, group });
                    let mut again = Vec::new();
                    packet.encode(&mut again);
                    prop_assert_eq!(again, bytes);
                }
                Err(WireError::Group { found, .. }) => {
                    prop_assert!(!ip.is_multicast() || port == 0);
                    prop_assert_eq!(found, group);
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn data_survives(header in header(), at in any::<prop::sample::Index>(), fill in any::<u8>()) {
        let block = BlockIndex(at.index(header.block_count() as usize) as u64);
        let payload = vec![fill; header.block_len(block)];
        let packet = ServerPacket::Data { header, block, payload: &payload };
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        prop_assert_eq!(ServerPacket::decode(&bytes), Ok(packet));
        // Every truncation is an error, but for the one that is a solicit.
        let header_len = header.encode().as_bytes().len();
        let prefix = bytes.len() - payload.len();
        let cuts = (0..=prefix).chain((prefix..bytes.len()).step_by(97)).chain([bytes.len() - 1]);
        for end in cuts.filter(|&end| end != header_len) {
            prop_assert!(ServerPacket::decode(&bytes[..end]).is_err(), "cut at {}", end);
        }
        bytes.push(0);
        prop_assert!(ServerPacket::decode(&bytes).is_err(), "a byte too many");
    }

    #[test]
    fn a_nack_survives_and_fits(held in blocks(3000), count in 0_u64..3000, room in 2..=MAX_NACK_LEN) {
        let nack = Nack::for_gaps(&held, count, room);
        let bytes = encoded(&ClientPacket::Nack(nack.clone()));
        prop_assert!(bytes.len() <= room);
        prop_assert_eq!(ClientPacket::decode(&bytes), Ok(ClientPacket::Nack(nack.clone())));
        // What it names are the first gaps, whole, in order.
        let named: Vec<Range<u64>> = nack.missing().runs().collect();
        let gaps: Vec<Range<u64>> = held.gaps(count).take(named.len()).collect();
        prop_assert_eq!(named, gaps);
        prop_assert!(nack.extent() <= count);
        for end in 0..bytes.len() {
            prop_assert!(ClientPacket::decode(&bytes[..end]).is_err(), "cut at {}", end);
        }
        let mut long = bytes;
        long.push(0x40);
        prop_assert!(ClientPacket::decode(&long).is_err(), "a byte too many");
        for (can, flags) in [(nack.clone().taking_parity(), 0x21), (nack.clone().able_to_move(), 0x22),
            (nack.clone().able_to_move().taking_parity(), 0x23)] {
            *long.last_mut().unwrap() = flags;
            let packet = ClientPacket::Nack(can);
            prop_assert_eq!(encoded(&packet), long.clone());
            prop_assert_eq!(ClientPacket::decode(&long), Ok(packet));
        }
    }

    #[test]
    fn any_bytes_from_a_server(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(packet) = ServerPacket::decode(&bytes) {
            // Not canonical perhaps, but never longer once it is, and of the same meaning.
            let mut again = Vec::new();
            packet.encode(&mut again);
            prop_assert!(again.len() <= bytes.len());
            prop_assert_eq!(ServerPacket::decode(&again), Ok(packet));
        }
    }

    #[test]
    fn ints_from_a_server(ints in proptest::collection::vec(int(), 3..6), tail in 0_usize..4) {
        let mut bytes = Vec::new();
        for &int in &ints {
            VarInt::new(int).unwrap().encode(&mut bytes);
        }
        bytes.extend(std::iter::repeat_n(0xa5, tail));
        if let Ok(packet) = ServerPacket::decode(&bytes) {
            let mut again = Vec::new();
            packet.encode(&mut again);
            prop_assert_eq!(again, bytes, "canonical bytes come back");
        }
    }

    #[test]
    fn any_bytes_from_a_client(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(packet) = ClientPacket::decode(&bytes) {
            let again = encoded(&packet);
            prop_assert!(again.len() <= bytes.len());
            prop_assert_eq!(ClientPacket::decode(&again), Ok(packet));
        }
    }

    #[test]
    fn runs_from_a_client(runs in proptest::collection::vec(int(), 1..40)) {
        let mut bytes = Vec::new();
        for &run in &runs {
            VarInt::new(run).unwrap().encode(&mut bytes);
        }
        bytes.push(0);
        let total: u128 = runs.iter().map(|&run| u128::from(run)).sum();
        match ClientPacket::decode(&bytes) {
            Ok(ClientPacket::Nack(nack)) => {
                prop_assert_eq!(u128::from(nack.extent()), total);
                let missing: u64 = runs.iter().skip(1).step_by(2).sum();
                prop_assert_eq!(nack.missing().len(), missing);
            }
            Err(WireError::RunOverflow { .. }) => prop_assert!(total > u128::from(VarInt::MAX)),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

#[test]
fn impossible_headers_cannot_be_made() {
    let id = TransactionId(VarInt::new(1).unwrap());
    let size = BlockSize::new(1451).unwrap();
    assert_eq!(
        TransferHeader::new(id, 0, size),
        Err(WireError::EmptyTransfer)
    );
    assert_eq!(
        TransferHeader::new(id, 1 << 53, size),
        Err(WireError::TransferTooLong { found: 1 << 53 })
    );
    for found in [0, 65508, u64::MAX] {
        assert_eq!(BlockSize::new(found), Err(WireError::BlockSize { found }));
    }
}
