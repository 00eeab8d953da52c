// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rooms as they are seen, from events and looks alone; time is a number.

use std::net::Ipv4Addr;

use site::BitRate;
use slam_client::Timestamp;

use super::*;
use crate::boot::arch::{ClientArch, Fetch, Program};
use crate::boot::plan::{BootFile, Silence};
use crate::observe::{Card, LookedAt};
use crate::slam::{ClientView, LaneView, PartView, Phase, TransferView};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 100 * MIB;
const BLOCK: u64 = 1024;

/// A model with a room of clients, all of it driven by hand.
struct Room {
    model: Model,
    now: Moment,
    clients: Vec<(SocketAddr, u64)>,
    sent: u64,
    waiting: bool,
}

impl Room {
    fn new() -> Room {
        let now = Moment::from_hours(490_000);
        Room {
            model: Model::new(vec!["10.0.0.1".to_owned()], now),
            now,
            clients: Vec::new(),
            sent: 0,
            waiting: false,
        }
    }

    fn client(number: u32) -> SocketAddr {
        let address = Ipv4Addr::from(0x0a00_0100 + number);
        SocketAddr::from((address, 1024))
    }

    fn tell(&mut self, kind: EventKind) -> Option<Record> {
        let event = Event {
            at: Timestamp::ZERO,
            transfer: Some("demo".to_owned()),
            kind,
        };
        self.model.event(&event, self.now)
    }

    fn join(&mut self, number: u32) {
        let client = Room::client(number);
        self.tell(EventKind::ClientJoined { client });
        self.clients.push((client, 0));
    }

    fn finish(&mut self, number: u32) {
        let client = Room::client(number);
        self.clients.retain(|(known, _)| *known != client);
        self.tell(EventKind::ClientFinished {
            client,
            file_bytes: SIZE,
            took: Duration::from_secs(10),
        });
    }

    fn idle(&mut self) -> Option<Record> {
        let record = self.tell(EventKind::SessionIdle {
            sent_blocks: self.sent / BLOCK,
            sent_bytes: self.sent,
            file_bytes: SIZE,
            took: Duration::from_secs(10),
        });
        self.sent = 0;
        record
    }

    /// A quarter of a second later.
    fn look(&mut self) -> Status {
        self.now += Duration::from_millis(250);
        let at = Timestamp::from_start(self.now);
        let clients = self.clients.iter().map(|(address, held)| ClientView {
            address: *address,
            lane: 0,
            joined: at,
            held_blocks: held / BLOCK,
            lost: Some(0.01),
            stuck: false,
        });
        let phase = match (self.clients.len(), self.waiting) {
            (0, _) => Phase::Idle,
            (_, true) => Phase::Waiting {
                for_clients: Some(3),
                opens_at: Some(at + Duration::from_secs(30)),
            },
            (_, false) => Phase::Sending,
        };
        let view = TransferView {
            phase,
            held: false,
            total_bytes: SIZE,
            blocks: SIZE / BLOCK,
            since: None,
            sent_blocks: self.sent / BLOCK,
            sent_bytes: self.sent,
            first_blocks: (self.sent / BLOCK).min(SIZE / BLOCK),
            lanes: vec![LaneView {
                rate: BitRate::from_bits_per_second(900_000_000),
                clients: self.clients.len(),
            }],
            clients: clients.collect(),
            map: vec![PartView { sent: 100, held: 0 }; 512],
        };
        let seen = LookedAt {
            transfer: "demo".to_owned(),
            image: "demo".to_owned(),
            address: Ipv4Addr::new(10, 0, 0, 1),
            group: "239.255.1.1:10000".parse().unwrap(),
            expected: Some(3),
            bytes: Some(SIZE),
            view: Some(view),
        };
        let transfers = vec![seen];
        self.model.look(Look { at, transfers }, self.now);
        self.model.status(self.now)
    }
}

#[test]
fn a_room_fills_receives_and_becomes_history() {
    let mut room = Room::new();
    room.waiting = true;
    room.tell(EventKind::SessionWaiting {
        for_clients: Some(3),
        at_most: None,
    });
    room.join(1);
    room.join(2);
    let status = room.look();
    let transfer = &status.transfers[0];
    assert_eq!(transfer.state, TransferState::Waiting);
    assert_eq!((transfer.present, transfer.expected), (2, Some(3)));
    assert_eq!(transfer.begins_in_seconds, Some(30.0));
    assert_eq!(status.clients[0].state, ClientState::Waiting);

    room.waiting = false;
    room.join(3);
    room.tell(EventKind::SessionStarted);
    // The second gets 1 MiB each quarter of a second, the others 2: it is the slowest.
    let mut status = Status::default();
    for _ in 0..20 {
        room.sent += 2 * MIB;
        for (at, (_, held)) in room.clients.iter_mut().enumerate() {
            *held += if at == 1 { MIB } else { 2 * MIB };
        }
        status = room.look();
    }
    let transfer = &status.transfers[0];
    assert_eq!(transfer.state, TransferState::Sending);
    let mbit = transfer.bits_per_second as f64 / 1e6;
    assert!((55.0..70.0).contains(&mbit), "{mbit}");
    let slowest = &status.clients[0];
    assert_eq!(slowest.address.as_deref(), Some("10.0.1.2"));
    assert_eq!(slowest.slowness, Some(1));
    assert!((slowest.progress - 0.2).abs() < 1e-9, "{slowest:?}");
    let left = slowest.seconds_left.unwrap();
    // 80 MiB at 4 MiB/s, as far as the smoothed rate has found out.
    assert!((20.0..26.0).contains(&left), "{left}");
    assert_eq!(transfer.seconds_left, slowest.seconds_left);
    assert!((transfer.progress - (0.4 + 0.4 + 0.2) / 3.0).abs() < 1e-9);
    assert_eq!(transfer.map.len(), 512);

    for number in 1..=3 {
        room.finish(number);
    }
    let record = room.idle().unwrap();
    assert_eq!((record.id, record.joined, record.finished), (1, 3, 3));
    assert_eq!(record.clients.len(), 3);
    assert_eq!(record.started, "2025-11-24T16:00:00Z");
    let status = room.look();
    assert_eq!(status.transfers[0].state, TransferState::Idle);
    assert_eq!(status.transfers[0].totals.sent_bytes, 40 * MIB);
    assert!(
        status
            .clients
            .iter()
            .all(|c| c.state == ClientState::Finished)
    );
    assert!(
        status
            .clients
            .iter()
            .all(|c| (c.progress - 1.0).abs() < 1e-9 && c.slowness.is_none())
    );

    room.join(1);
    assert_eq!(room.idle().unwrap().id, 2);
}

#[test]
fn repeats_count_as_repairs_and_totals_never_go_back() {
    let mut room = Room::new();
    room.join(1);
    room.tell(EventKind::SessionStarted);
    let mut last = 0;
    for sent in [50 * MIB, SIZE, SIZE * 5 / 4] {
        room.sent = sent;
        let status = room.look();
        assert!(status.transfers[0].totals.sent_bytes > last);
        last = status.transfers[0].totals.sent_bytes;
    }
    let status = room.look();
    assert!((status.transfers[0].repair_share - 0.2).abs() < 1e-9);
    room.idle();
    assert_eq!(
        room.model.status(room.now).transfers[0].totals.sent_bytes,
        last
    );
    room.clients.clear();
    assert_eq!(room.look().transfers[0].totals.sent_bytes, last);
}

#[test]
fn whoever_is_gone_without_a_word_is_told_so() {
    let mut room = Room::new();
    room.join(1);
    room.join(2);
    room.finish(1);
    let record = room.idle().unwrap();
    let outcomes: Vec<_> = record.clients.iter().map(|client| client.outcome).collect();
    assert!(outcomes.contains(&ClientState::Finished) && outcomes.contains(&ClientState::Silent));
}

fn mac(number: u8) -> Mac {
    Mac::new([0x52, 0x54, 0, 0, 0, number])
}

fn offered(number: u8) -> BootEvent {
    BootEvent::BootOffered {
        mac: Card(mac(number)),
        arch: ClientArch::BIOS,
        program: Program::Vendor(Fetch::Tftp),
        file: BootFile::RomByTftp {
            name: "undionly.kpxe".to_owned(),
        },
    }
}

fn script(number: u8, known: bool) -> BootEvent {
    BootEvent::ScriptServed {
        mac: known.then(|| Card(mac(number))),
        client: Ipv4Addr::new(10, 0, 1, number),
        boots: "demo".to_owned(),
        agent: Some("iPXE/2.0.0 (g4c1d)".to_owned()),
    }
}

#[test]
fn one_machine_is_one_row_from_dhcp_to_the_last_block() {
    let mut room = Room::new();
    let names = HashMap::from([(mac(1), "pc-01".to_owned())]);
    room.model.set_names(names);
    room.model.boot(&offered(1), room.now);
    room.model.boot(&script(1, true), room.now);
    room.join(1);
    let status = room.look();
    let [client] = status.clients.as_slice() else {
        panic!("{:?}", status.clients);
    };
    assert_eq!(client.name.as_deref(), Some("pc-01"));
    assert_eq!(client.mac.as_deref(), Some("52:54:00:00:00:01"));
    assert_eq!(client.address.as_deref(), Some("10.0.1.1"));
    assert_eq!(client.program.as_deref(), Some("iPXE/2.0.0 (g4c1d)"));
    assert_eq!(client.state, ClientState::Receiving);
    assert_eq!(client.boots.as_deref(), Some("demo"));
    // What DHCP hears later does not take the version away.
    let ipxe = Program::recognise(b"PXEClient", b"iPXE", None).unwrap();
    let again = BootEvent::BootOffered {
        mac: Card(mac(1)),
        arch: ClientArch::BIOS,
        program: ipxe,
        file: BootFile::Script { url: String::new() },
    };
    room.model.boot(&again, room.now);
    let status = room.look();
    assert_eq!(
        status.clients[0].program.as_deref(),
        Some("iPXE/2.0.0 (g4c1d)")
    );
}

/// What multicast did not bring is seen as it goes on, too.
#[test]
fn a_download_over_http_is_seen() {
    let mut room = Room::new();
    room.model.boot(&script(1, true), room.now);
    let client = SocketAddr::from(([10, 0, 1, 1], 2071));
    let file = || "demo".to_owned();
    let lines = room.look().events.len();
    for megabytes in 0..=50 {
        let goes_on = BootEvent::Downloading {
            client,
            file: file(),
            held: megabytes * 1_000_000,
            bytes: 100_000_000,
        };
        room.now += Duration::from_secs(1);
        room.model.boot(&goes_on, room.now);
    }
    let status = room.look();
    assert_eq!(status.events.len(), lines, "no line for every second");
    let shown = &status.clients[0];
    assert_eq!(shown.state, ClientState::Loading);
    assert_eq!(shown.detail, "downloads demo over HTTP");
    assert_eq!(shown.download.as_deref(), Some("demo"));
    assert_eq!((shown.transfer.as_ref(), shown.slowness), (None, None));
    assert!((shown.progress - 0.5).abs() < 1e-9, "{shown:?}");
    let rate = shown.bits_per_second;
    assert!((7_900_000..=8_100_000).contains(&rate), "{rate}");
    let left = shown.seconds_left.unwrap();
    assert!((49.0..51.0).contains(&left), "{left}");
    let broke_off = BootEvent::HttpBrokeOff {
        client,
        file: file(),
        held: 60_000_000,
        bytes: 100_000_000,
    };
    room.model.boot(&broke_off, room.now);
    let status = room.look();
    let shown = &status.clients[0];
    assert_eq!(shown.detail, "broke off demo, over HTTP");
    assert_eq!((shown.bits_per_second, shown.seconds_left), (0, None));
    assert_eq!(status.events.len(), lines + 1);
    // It asks for the rest.
    for (held, took) in [(61_000_000, None), (100_000_000, Some(20))] {
        let event = match took {
            None => BootEvent::Downloading {
                client,
                file: file(),
                held,
                bytes: 100_000_000,
            },
            Some(took) => BootEvent::HttpSent {
                client,
                file: file(),
                bytes: 40_000_000,
                took: Duration::from_secs(took),
            },
        };
        room.model.boot(&event, room.now);
    }
    let status = room.look();
    assert!((status.clients[0].progress - 1.0).abs() < 1e-9);
    let counters = status.server.counters;
    assert_eq!(
        (
            counters.http_sent,
            counters.http_sent_bytes,
            counters.http_broken_off
        ),
        (1, 40_000_000, 1)
    );
    // A new script is a new start; multicast is what is shown where there is some.
    room.model.boot(&script(1, true), room.now);
    assert_eq!(room.look().clients[0].download, None);
}

#[test]
fn a_name_that_a_machine_gives_itself_is_a_claim() {
    let mut room = Room::new();
    let claim = BootEvent::ClientNamed {
        mac: Card(mac(1)),
        name: "pc-99".to_owned(),
    };
    room.model.boot(&offered(1), room.now);
    room.model.boot(&claim, room.now);
    // The script joins the card to an address; the name stays.
    room.model.boot(&script(1, true), room.now);
    let status = room.look();
    let client = &status.clients[0];
    assert_eq!(client.name.as_deref(), Some("pc-99"));
    assert!(client.name_is_claimed);
    // The configuration knows better.
    let names = HashMap::from([(mac(1), "pc-01".to_owned())]);
    room.model.set_names(names);
    let status = room.look();
    let client = &status.clients[0];
    assert_eq!(client.name.as_deref(), Some("pc-01"));
    assert!(!client.name_is_claimed);
}

#[test]
fn a_card_that_is_learnt_late_joins_what_was_two() {
    let mut room = Room::new();
    room.model.boot(&offered(1), room.now);
    room.model.boot(&script(1, false), room.now);
    room.join(1);
    assert_eq!(room.look().clients.len(), 2);
    let address = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 1));
    assert_eq!(room.model.strangers(room.now), [address]);
    room.model.is_at(mac(1), address);
    let status = room.look();
    assert_eq!(status.clients.len(), 1);
    assert_eq!(status.clients[0].arch.as_deref(), Some("bios"));
    assert_eq!(status.clients[0].slowness, Some(1));
    assert!(room.model.strangers(room.now).is_empty());
    room.finish(1);
    assert_eq!(room.look().clients[0].state, ClientState::Finished);

    // The address goes to another machine: the first keeps what is known of it.
    room.model.is_at(mac(2), address);
    room.model.boot(&script(2, true), room.now);
    let status = room.look();
    assert_eq!(status.clients.len(), 2);
    let first = status
        .clients
        .iter()
        .find(|c| c.mac == Some(mac(1).to_string()));
    assert_eq!(first.unwrap().address, None);
    assert_eq!(first.unwrap().state, ClientState::Finished);
}

#[test]
fn several_clients_of_one_host_are_several_rows() {
    let mut room = Room::new();
    for port in 1..=3 {
        let client = SocketAddr::from(([127, 0, 0, 1], port));
        room.tell(EventKind::ClientJoined { client });
        room.clients.push((client, u64::from(port) * MIB));
    }
    let status = room.look();
    let ports: Vec<_> = status.clients.iter().map(|client| client.port).collect();
    assert_eq!(ports, [Some(1), Some(2), Some(3)]);
    let part = status.clients[1].taking_part().unwrap();
    assert_eq!(part, ("demo".to_owned(), "127.0.0.1:2".parse().unwrap()));
}

#[test]
fn failures_are_explained() {
    let mut room = Room::new();
    room.model.boot(&script(1, true), room.now);
    let report = |step, code| BootEvent::ClientReported {
        mac: Some(Card(mac(1))),
        client: Ipv4Addr::new(10, 0, 1, 1),
        step,
        what: "demo".to_owned(),
        code,
    };
    room.model
        .boot(&report(Step::FellBack, 0x4c10_6035), room.now);
    let client = room.look().clients.remove(0);
    let failure = client.failure.unwrap();
    assert_eq!(failure.text, "Connection timed out");
    assert!(failure.meaning.contains("snoop"), "{failure:?}");
    assert_eq!(client.state, ClientState::Loading);
    room.model
        .boot(&report(Step::Failed, 0x2d0c_613b), room.now);
    let status = room.look();
    assert_eq!(status.clients[0].state, ClientState::Failed);
    assert_eq!(status.server.counters.failures_reported, 2);
    assert!(
        status.events[0].text.contains("https://ipxe.org/2d0c613b"),
        "{:?}",
        status.events
    );
    // The next time it is forgotten.
    room.model.boot(&script(1, true), room.now);
    room.model.boot(&report(Step::Booting, 0), room.now);
    let client = room.look().clients.remove(0);
    assert_eq!((client.failure, client.state), (None, ClientState::Booting));
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let mut room = Room::new();
    for number in 0..30_000 {
        room.join(number);
        room.finish(number);
        let silent = BootEvent::BootSilent {
            mac: Card(Mac::new([2, 0, 0, 0, (number >> 8) as u8, number as u8])),
            arch: ClientArch::BIOS,
            program: Program::Gpxe,
            why: Silence::NoRom,
        };
        room.model.boot(&silent, room.now);
        room.now += Duration::from_millis(10);
        if number % 500 == 0 {
            room.look();
        }
    }
    // One that takes part is never forgotten.
    room.join(77);
    let status = room.look();
    assert!(
        status.clients.len() <= clients::MOST + 1024,
        "{}",
        status.clients.len()
    );
    assert_eq!(status.clients[0].address.as_deref(), Some("10.0.1.77"));
    assert_eq!(status.events.len(), MOST_LINES);
    let record = room.idle().unwrap();
    assert_eq!(record.clients.len(), transfers::ROSTER);
    assert_eq!(record.joined, 30_001);
    for number in 0..10_000 {
        let event = Event {
            at: Timestamp::ZERO,
            transfer: Some(format!("other-{number}")),
            kind: EventKind::SessionStarted,
        };
        room.model.event(&event, room.now);
    }
    assert_eq!(room.model.transfers.len(), MOST_TRANSFERS);
}

#[test]
fn times_are_rfc_3339() {
    assert_eq!(rfc3339(Moment::ZERO), "1970-01-01T00:00:00Z");
    assert_eq!(
        rfc3339(Moment::from_millis(1_764_182_610_900)),
        "2025-11-26T18:43:30Z"
    );
}
