// SPDX-License-Identifier: MIT OR Apache-2.0
//! The firmware's client sent to another group in the middle of a transfer, behind a switch that
//! snoops: what a room that is split asks of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::ensure;
use xtask::netlab::SERVER;

use crate::Test;
use crate::foe::{File, Foe};
use crate::membership::{GROUP6, observe, server6, wait_listed};
use crate::rig::{self, Rig};
use crate::support::Outcome;

pub const TESTS: [(&str, Test); 2] = [
    ("a_moved_client_leaves_one_group_and_joins_another", ipv4),
    ("a_client_is_moved_between_ipv6_groups", ipv6),
];

const SLOW: Ipv4Addr = Ipv4Addr::new(239, 255, 2, 1);
const SLOW6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0, 0x5b);

fn ipv4() -> Outcome {
    let mut rig = Rig::new()?;
    observe(&mut rig, ["mcast_igmp_version", "2"])?;
    let server = rig.server()?;
    let uri = format!("x-slam://{SERVER}");
    let slow = SocketAddr::from((SLOW, 10_001));
    moved(&mut rig, &server, "", &uri, rig::group().ip(), slow)
}

fn ipv6() -> Outcome {
    let mut rig = Rig::new()?;
    observe(&mut rig, ["mcast_mld_version", "1"])?;
    let server = server6(&rig)?;
    let uri = format!("x-slam://[{}]/[{GROUP6}]", xtask::netlab::SERVER6);
    let slow = SocketAddr::from((SLOW6, 10_001));
    let configure = "ifconf --configurator ipv6 ||";
    moved(&mut rig, &server, configure, &uri, GROUP6.into(), slow)
}

/// It gets the first half in one group and the second in the other; the switch knows it in one of
/// them at a time, and in none when it is done.
fn moved(
    rig: &mut Rig,
    server: &Foe,
    configure: &str,
    uri: &str,
    first: IpAddr,
    slow: SocketAddr,
) -> Outcome {
    let file = File::new(24, 400);
    let half = file.blocks() / 2;
    let client = rig.client_after(configure, uri, None)?;
    let from = server.first_nack()?;
    wait_listed(rig, &client.port, first, true)?;
    server.stream(&file, 0..half)?;
    let encoded = file.header.encode();
    server.send_to(&encoded.move_to(slow), from)?;
    wait_listed(rig, &client.port, slow.ip(), true)?;
    wait_listed(rig, &client.port, first, false)?;
    // What the room that it left gets is not its business any more, nor does the switch pass it on.
    server.stream(&file, half..half + 10)?;
    let other = server.to(slow)?;
    other.send_to(&encoded.move_to(slow), from)?;
    other.serve(&file)?;
    let said = client.has(&file)?;
    ensure!(!said.contains("SLAM: "), "it complains:\n{said}");
    wait_listed(rig, &client.port, slow.ip(), false)
}
