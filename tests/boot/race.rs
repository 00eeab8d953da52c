// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our client against iPXE's own and against HTTP: when the first block comes, and the last.

use std::sync::OnceLock;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::support::{Outcome, only_if_thorough};
use crate::{report, say};

/// From the script's fetch to the first block, in seconds: what a room waits for nothing.
const AT_ONCE: f64 = 0.1;
/// iPXE's own client listens for a second before it asks (`slam.c`, `SLAM_SLAVE_TIMEOUT`); timers
/// of a guest may be a little fast.
const STOCK_LEAST: f64 = 0.9;
/// A machine that is busy with something else may hold one boot up, but not each.
const TRIES: usize = 3;

/// MiB that are raced for: what WinPE is, or less where nobody asked for what takes minutes.
fn size() -> u64 {
    if only_if_thorough().is_none() {
        200
    } else {
        64
    }
}

/// The race, once for all who ask.
fn race() -> anyhow::Result<&'static Value> {
    static RACE: OnceLock<Result<Value, String>> = OnceLock::new();
    RACE.get_or_init(|| {
        let size = format!("{}MiB", size());
        report(&["--race", "--size", &size]).map_err(|error| format!("{error:#}"))
    })
    .as_ref()
    .map_err(|error| anyhow::anyhow!("{error}"))
}

fn client<'a>(race: &'a Value, name: &str) -> anyhow::Result<&'a Value> {
    let contenders = race["contenders"].as_array().context("no contenders")?;
    let contender = contenders.iter().find(|c| c["name"] == name);
    let contender = contender.with_context(|| format!("no {name} in {race}"))?;
    ensure!(
        contender["bytes"].as_u64() >= Some(size() << 20),
        "{contender}"
    );
    let client = &contender["clients"][0];
    ensure!(client["verified"] == true, "{client}");
    Ok(client)
}

fn figure(client: &Value, name: &str) -> anyhow::Result<f64> {
    let figure = client[name].as_f64();
    figure.with_context(|| format!("no {name} in {client}"))
}

/// All three bring the whole image; ours is not slower than upstream's.
pub fn not_slower_than_upstreams() -> Outcome {
    let race = race()?;
    let protocol = |name: &str| anyhow::Ok(client(race, name)?["protocol"].clone());
    ensure!(protocol("slamboot")? == "x-slam" && protocol("stock")? == "x-slam");
    ensure!(protocol("http")? == "http");
    let seconds = |name: &str| figure(client(race, name)?, "seconds");
    let (ours, stock, http) = (seconds("slamboot")?, seconds("stock")?, seconds("http")?);
    say(format!(
        "{} MiB: ours {ours:.2} s, iPXE's own {stock:.2} s, HTTP {http:.2} s: \
         {:.2} of iPXE's own, {:.2} of HTTP",
        size(),
        ours / stock,
        ours / http
    ));
    let mut best = ours;
    for _ in 1..TRIES {
        if best <= stock {
            return Ok(());
        }
        // Whatever held it up; iPXE's own may have been lucky, and keeps its time.
        let again = report(&["--size", &format!("{}MiB", size())])?;
        best = best.min(figure(&again["clients"][0], "seconds")?);
    }
    ensure!(
        best <= stock,
        "ours took {best} s at best, iPXE's own client {stock} s"
    );
    Ok(())
}

/// Ours gets its first block within a tenth of a second; upstream's waits for one.
pub fn the_first_block_comes_at_once() -> Outcome {
    let race = race()?;
    let stock = figure(client(race, "stock")?, "seconds_to_block")?;
    let mut found = vec![figure(client(race, "slamboot")?, "seconds_to_block")?];
    while found.len() < TRIES && found.iter().all(|seconds| *seconds >= AT_ONCE) {
        let again = report(&[])?;
        found.push(figure(&again["clients"][0], "seconds_to_block")?);
    }
    let ours = found.iter().copied().fold(f64::INFINITY, f64::min);
    say(format!(
        "from the script's fetch to the first block: ours {:.0} ms, iPXE's own {:.0} ms",
        ours * 1_000.0,
        stock * 1_000.0
    ));
    if ours >= AT_ONCE {
        bail!("expected the first block within {AT_ONCE} s, found {found:?} s");
    }
    ensure!(
        stock >= STOCK_LEAST,
        "iPXE's own client got a block after {stock} s: not the client that it should be?"
    );
    Ok(())
}
