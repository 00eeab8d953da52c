// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clients that mean no good, or do not know what they send.

use super::super::super::message::tests::CODES;
use super::*;
use crate::boot::fuzz;

/// Whatever arrives, nothing panics, what is answered can be read, and memory stays within the pool.
#[test]
fn any_datagram() {
    let mut lab = Lab::new(110, "");
    let kinds = [
        MessageType::Discover,
        MessageType::Request,
        MessageType::Inform,
        MessageType::Decline,
    ];
    let seeds = kinds.map(|kind| {
        let options = [
            class("PXEClient:Arch:00000:UNDI:002001"),
            DhcpOption::ServerIdentifier(SERVER),
            DhcpOption::RequestedIpAddress(at(104)),
        ];
        bytes(&request(kind, mac(1), &options))
    });
    let mut answered = 0;
    for seed in 0..fuzz::cases(5_000) {
        let mut random = fastrand::Rng::with_seed(seed);
        let whole = &seeds[random.usize(..seeds.len())];
        let mut datagram = fuzz::dhcp(&mut random, whole, CODES);
        if let Some(last) = datagram.get_mut(33) {
            *last = random.u8(..30);
        }
        let mut acts = match Request::decode(&datagram) {
            Ok(request) => lab.pool.receive(&request, &lab.plan, lab.now),
            Err(_) => Vec::new(),
        };
        lab.now += Duration::from_millis(random.u64(..900));
        acts.extend(lab.pool.wake(&lab.plan, lab.now, |_| None));
        for act in acts {
            if let Act::Send(reply) = act {
                let read = v4::Message::decode(&mut Decoder::new(&reply.encode()));
                let read = read.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                assert_eq!(read.opcode(), v4::Opcode::BootReply, "seed {seed}");
                answered += 1;
            }
        }
        assert!(lab.pool.offers.len() <= 11, "seed {seed}");
        assert!(lab.pool.leases().iter().count() <= 11, "seed {seed}");
    }
    assert!(answered > 500, "{answered} answers: too few got so far");
}

/// Cards without end ask, and take nothing: who has an address of its own gets it all the same.
#[test]
fn a_flood_of_strangers_is_bounded() {
    let own = "[[host]]\nmac = \"52:54:00:00:00:63\"\naddress = \"10.77.0.99\"\n";
    let mut lab = Lab::new(199, own);
    let networks = Arc::make_mut(&mut lab.pool.networks);
    networks.own.subnet = "10.77.0.0/16".parse().unwrap();
    networks.own.range = Some((at(100), Ipv4Addr::new(10, 77, 63, 250)));
    for number in 0..1_200u32 {
        let [_, _, high, low] = number.to_be_bytes();
        lab.send(&request(
            MessageType::Discover,
            [2, 0, 0, 0, high, low],
            &[],
        ));
        assert!(lab.pool.offers.len() <= MOST_OFFERS, "{number}");
    }
    assert_eq!(lab.pool.offers.len(), MOST_OFFERS);
    // Those behind a relay agent are promised theirs without being looked for.
    let far = Network {
        subnet: "10.78.0.0/16".parse().unwrap(),
        range: Some((Ipv4Addr::new(10, 78, 0, 1), Ipv4Addr::new(10, 78, 63, 250))),
        ..lab.pool.networks.own.clone()
    };
    Arc::make_mut(&mut lab.pool.networks).relayed.push(far);
    for number in 0..50u8 {
        let mut message = request(MessageType::Discover, [2, 1, 0, 0, 0, number], &[]);
        message.set_giaddr([10, 78, 0, 254]);
        assert_eq!(replies(&lab.send(&message)).len(), 1);
        assert_eq!(lab.pool.offers.len(), MOST_OFFERS, "{number}");
    }
    let mut acts = lab.send(&request(MessageType::Discover, mac(99), &[]));
    acts.extend(lab.settle());
    assert!(replies(&acts).iter().any(|offer| offer.yiaddr() == at(99)));
    assert_eq!(lab.select(99, at(99)), Some(MessageType::Ack));
}
