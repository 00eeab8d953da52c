// SPDX-License-Identifier: MIT OR Apache-2.0
//! The firmware's own client, as the C that ROMs carry, against servers and neighbours that lie.
//!
//! Whatever they do, one of two things comes of it: the file, byte for byte, or a failure that says
//! why, after which the script goes on.

use std::net::SocketAddr;
use std::time::Duration;

use slam_client::window;
use xtask::netlab::{HOST, SERVER};

use crate::Test;
use crate::foe::{self, File, Foe};
use crate::rig::{self, Rig};
use crate::support::Outcome;

/// The slow ones first: they wait for the client's patience to end.
pub const TESTS: [(&str, Test); 15] = [
    ("a_server_that_goes_away_for_good", goes_away),
    ("a_file_shorter_than_it_claims", claims_too_much),
    ("no_server_at_all", no_server),
    ("progress_is_shown", progress),
    ("questions_but_no_multicast", no_multicast),
    ("nothing_but_garbage", nothing_but_garbage),
    ("more_blocks_than_there_is_memory_for", too_many_blocks),
    ("a_server_that_stops_for_a_while", stops_for_a_while),
    ("forged_truncated_oversized_and_replayed", noise),
    ("a_file_that_changes", changes),
    ("a_file_longer_than_it_claims", claims_too_little),
    ("another_server_on_the_same_group", two_servers),
    ("two_transfers_of_one_server_on_one_group", two_transfers),
    ("a_group_that_is_no_group", no_group),
    ("an_image_larger_than_memory", too_large),
];

fn uri() -> String {
    format!("x-slam://{SERVER}")
}

/// Datagrams that are none: cut, stretched, empty, of other lengths, at random.
fn malformed(file: &File, random: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let data = file.data(3);
    let mut longer = data.clone();
    longer.extend([0xee; 64]);
    let mut noise = vec![0; random.usize(1..1400)];
    random.fill(&mut noise);
    // Beyond the end and the sums that are numbered after it, by a little and by far: the block
    // number is behind the header.
    let end = file.blocks() + window::windows(file.blocks()) * window::ROWS;
    let past = [end, end + 1, 1 << 31, 1 << 52].map(|block| {
        let mut datagram = Vec::new();
        let index = slam_client::BlockIndex(block);
        file.header
            .encode()
            .encode_data_prefix(index, &mut datagram);
        datagram.extend([0xee; foe::BLOCK]);
        datagram
    });
    let mut all = vec![
        Vec::new(),
        vec![0],
        // Transaction, no bytes, blocks of 1: what upstream's client takes for a whole empty file.
        vec![0x20, 0x20, 0x21],
        vec![0x00, 0x20],
        // A block size of 0, Ints of length 0, Ints that end nowhere.
        vec![0x21, 0x25, 0x20],
        vec![0xff; 3],
        data[..data.len() - 1].to_vec(),
        data[..7].to_vec(),
        longer,
        noise,
        // Good for a client, not for the group.
        file.solicit(),
    ];
    all.extend(past);
    all
}

fn noise() -> Outcome {
    let mut rig = Rig::new()?;
    let server = rig.server()?;
    let file = File::new(1, 300);
    let client = rig.client(&uri(), None)?;
    let from = server.first_nack()?;
    let mut random = fastrand::Rng::with_seed(1);
    // The neighbour knows the transfer: it forges blocks with the right header and wrong bytes.
    let neighbour = SocketAddr::from((HOST, 10000));
    let neighbour = Foe::new(rig.lab.host()?, neighbour, rig::group())?;
    let mut forged = file.clone();
    forged.content.iter_mut().for_each(|byte| *byte ^= 0x55);
    neighbour.stream(&forged, 0..20)?;
    // As are sums over a window of which it forges the rest.
    for block in [0, 1, 128].map(|beyond| file.blocks() + beyond) {
        let mut sum = Vec::new();
        let index = slam_client::BlockIndex(block);
        file.header.encode().encode_data_prefix(index, &mut sum);
        sum.extend([0xee; foe::BLOCK]);
        neighbour.send(&sum)?;
    }
    server.send_to(&file.solicit(), from)?;
    for block in 0..file.blocks() {
        for datagram in malformed(&file, &mut random) {
            if random.u8(..) < 64 {
                server.send(&datagram)?;
                // A block that is not sent to the group, and whatever else a unicast may carry.
                server.send_to(&datagram, from)?;
            }
        }
        neighbour.send(&forged.data(block))?;
        server.send_to(&file.data(block), from)?;
        if block % 5 != 0 {
            server.send(&file.data(block))?;
            server.send(&file.data(block / 2))?;
        }
        neighbour.send(&forged.data(random.u64(..file.blocks())))?;
        std::thread::sleep(Duration::from_micros(500));
    }
    server.serve(&file)?;
    client.has(&file)?;
    Ok(())
}

fn changes() -> Outcome {
    let mut rig = Rig::new()?;
    let server = rig.server()?;
    let (longer, shorter) = (File::new(2, 400), File::new(3, 100));
    let client = rig.client(&uri(), None)?;
    server.first_nack()?;
    server.stream(&longer, 0..350)?;
    server.serve(&shorter)?;
    let said = client.has(&shorter)?;
    anyhow::ensure!(said.contains("another file now"), "{said}");
    Ok(())
}

/// The rest never comes.
fn claims_too_much() -> Outcome {
    let mut rig = Rig::new()?;
    let server = rig.server()?;
    let honest = File::new(4, 100);
    let length = 200 * foe::BLOCK as u64;
    let file = File::claiming(4, honest.content, length);
    let client = rig.client(&uri(), None)?;
    server.first_nack()?;
    server.stream(&file, 0..100)?;
    client.fails(&["SLAM: the server fell silent with 100 of 200 blocks received"])
}

/// What was announced is what counts: blocks beyond it are refused.
fn claims_too_little() -> Outcome {
    let mut rig = Rig::new()?;
    let server = rig.server()?;
    let whole = File::new(5, 100);
    let mut file = whole.clone();
    file.content.truncate(50 * foe::BLOCK + 7);
    let length = file.content.len() as u64;
    file = File::claiming(5, file.content, length);
    let client = rig.client(&uri(), None)?;
    server.first_nack()?;
    let header = file.header.encode();
    for block in (20..100).rev() {
        let mut datagram = Vec::new();
        header.encode_data_prefix(slam_client::BlockIndex(block), &mut datagram);
        let start = block as usize * foe::BLOCK;
        datagram.extend(&whole.content[start..start + foe::BLOCK]);
        server.send(&datagram)?;
    }
    server.serve(&file)?;
    client.has(&file)?;
    Ok(())
}

fn stops_for_a_while() -> Outcome {
    let mut rig = Rig::new()?;
    let server = rig.server()?;
    let file = File::new(6, 200);
    let client = rig.client(&uri(), None)?;
    server.first_nack()?;
    server.stream(&file, 0..120)?;
    std::thread::sleep(Duration::from_secs(24));
    server.serve(&file)?;
    client.has(&file)?;
    Ok(())
}

fn goes_away() -> Outcome {
    let mut rig = Rig::new()?;
    let server = rig.server()?;
    let file = File::new(7, 200);
    let client = rig.client(&uri(), None)?;
    server.first_nack()?;
    server.stream(&file, 0..120)?;
    drop(server);
    client.fails(&["SLAM: the server fell silent with 120 of 201 blocks received"])
}

/// A forgotten server elsewhere, on the group that is everybody's default.
fn two_servers() -> Outcome {
    let mut rig = Rig::new()?;
    let server = rig.server()?;
    let (file, other) = (File::new(8, 200), File::new(9, 300));
    let client = rig.client(&uri(), None)?;
    let neighbour = SocketAddr::from((HOST, 10000));
    let neighbour = Foe::new(rig.lab.host()?, neighbour, rig::group())?;
    let from = server.first_nack()?;
    // It is even the first.
    neighbour.stream(&other, 0..30)?;
    neighbour.send_to(&other.solicit(), from)?;
    for block in 0..file.blocks() {
        neighbour.send(&other.data(block))?;
        server.send(&file.data(block))?;
        std::thread::sleep(Duration::from_micros(300));
    }
    server.serve(&file)?;
    client.has(&file)?;
    Ok(())
}

/// A server that was told to send two files to one group: nobody can have either.
fn two_transfers() -> Outcome {
    let mut rig = Rig::new()?;
    let server = rig.server()?;
    let (file, other) = (File::new(10, 200), File::new(11, 300));
    let client = rig.client(&uri(), None)?;
    server.first_nack()?;
    for block in 0..file.blocks() {
        server.send(&other.data(block))?;
        server.send(&file.data(block))?;
        std::thread::sleep(Duration::from_micros(300));
    }
    client.fails(&["SLAM: the transfer changed 65 times: more than one server"])
}

fn no_group() -> Outcome {
    for (path, reason) in [
        ("10.0.0.5", "SLAM: 10.0.0.5 is not a multicast group"),
        (
            "239.255.1:10000",
            "SLAM: \"239.255.1:10000\" is not a group",
        ),
    ] {
        let mut rig = Rig::new()?;
        let client = rig.client(&format!("{}/{path}", uri()), None)?;
        client.fails(&[reason, "Not a multicast group"])?;
    }
    Ok(())
}

fn too_large() -> Outcome {
    let mut rig = Rig::new()?;
    let server = rig.server()?;
    let file = File::claiming(12, vec![7; 4096], 600 << 20);
    let client = rig.client(&uri(), Some(256 << 20))?;
    server.first_nack()?;
    server.stream(&file, 0..4)?;
    client.fails(&[
        "SLAM: no memory for an image of 601 MiB",
        "No memory for the image",
    ])
}

/// The list of blocks alone would not fit: no reason to give up what may yet come from others.
fn too_many_blocks() -> Outcome {
    let mut rig = Rig::new()?;
    let server = rig.server()?;
    let file = File::claiming(13, vec![7; 4096], (1 << 53) - 1);
    let client = rig.client(&uri(), None)?;
    let from = server.first_nack()?;
    server.stream(&file, 0..4)?;
    server.send_to(&file.solicit(), from)?;
    client.fails(&[
        "SLAM: refused all 5 datagram(s); the last: no memory for so many blocks",
        "SLAM: a file of 8589934591 MiB was offered",
    ])
}

fn nothing_but_garbage() -> Outcome {
    let mut rig = Rig::new()?;
    let server = rig.server()?;
    let file = File::new(14, 10);
    let client = rig.client(&uri(), None)?;
    server.first_nack()?;
    let mut random = fastrand::Rng::with_seed(14);
    // For longer than the client's patience: garbage must not extend it.
    let deadline = rig::until(Duration::from_secs(33));
    while deadline.left().is_some() {
        for datagram in malformed(&file, &mut random) {
            server.send(&datagram)?;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    client.fails(&["SLAM: refused all "])
}

fn no_server() -> Outcome {
    let mut rig = Rig::new()?;
    let client = rig.client(&uri(), None)?;
    client.fails(&["SLAM: no server answered", "No SLAM server answered"])
}

/// iPXE shows what a job says of itself once a second: what is waited for, then how much is there.
fn progress() -> Outcome {
    let mut rig = Rig::new()?;
    let server = rig.server()?;
    let file = File::new(16, 400);
    let client = rig.client(&uri(), None)?;
    server.first_nack()?;
    std::thread::sleep(Duration::from_millis(2500));
    for step in 0..10 {
        server.stream(&file, step * 40..(step + 1) * 40)?;
        std::thread::sleep(Duration::from_millis(500));
    }
    server.serve(&file)?;
    client.has(&file)?;
    // One line, rubbed out again and again: as bytes.
    let log = std::fs::read(rig.dir.path().join("client.log"))?;
    let said = String::from_utf8_lossy(&log).into_owned();
    anyhow::ensure!(said.contains("[asking the server]"), "{said}");
    let shown: Vec<u8> = said
        .split('%')
        .filter_map(|before| before.rsplit(|c: char| !c.is_ascii_digit()).next())
        .filter_map(|digits| digits.parse().ok())
        .filter(|percent| (1..100).contains(percent))
        .collect();
    anyhow::ensure!(
        shown.len() >= 3 && shown.is_sorted() && shown.first() < shown.last(),
        "{shown:?} in {said}"
    );
    Ok(())
}

fn no_multicast() -> Outcome {
    let mut rig = Rig::new()?;
    let server = rig.server()?;
    let file = File::new(15, 10);
    let client = rig.client(&uri(), None)?;
    let from = server.first_nack()?;
    for _ in 0..30 {
        server.send_to(&file.solicit(), from)?;
        std::thread::sleep(Duration::from_secs(1));
    }
    client.says("TEST failed")?;
    client.fails(&["SLAM: the server answers, but no multicast arrives"])
}
