// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hives with damage that looks right: fields changed where they lie, the checksum mended, so
//! that it gets deep. Whatever is read must be usable, whatever is not must say where.

use std::path::Path;
use std::time::{Duration, Instant};

use slamboot::image::regf::{Hive, ValueType};

use crate::support::{cells, empty, files, number, put_u32, seal};

/// Some of everything.
fn grown(minor: u32, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut hive = empty(minor);
    let mut keys = vec![hive.root()];
    for at in 0..random.usize(3..60) {
        let parent = keys[random.usize(0..keys.len())];
        let name = ["Objects", "Elements", "ж", "Größe", "{9dea862c}"][random.usize(0..5)];
        keys.push(hive.create_key(parent, &format!("{name}{at}")).unwrap());
        let key = keys[random.usize(0..keys.len())];
        let size = [0, 2, 4, 8, 88, 300, 16_345, 40_000][random.usize(0..8)];
        let data = vec![random.u8(..); size];
        let name = ["", "Element", "ж"][random.usize(0..3)];
        hive.set_value(key, name, ValueType::Binary, &data).unwrap();
    }
    for at in 0..random.usize(0..2) * 600 {
        hive.create_key(keys[1], &at.to_string()).unwrap();
    }
    hive.bytes().to_vec()
}

fn damage(bytes: &mut [u8], random: &mut fastrand::Rng) {
    let places: Vec<(u32, usize)> = cells(bytes)
        .iter()
        .map(|(offset, data)| (*offset, data.len()))
        .collect();
    for _ in 0..random.usize(1..4) {
        let (offset, len) = places[random.usize(0..places.len())];
        let start = 0x1000 + offset as usize;
        // Fields lie in the first bytes, mostly.
        let reach = if random.bool() { len.min(80) } else { len };
        let at = start + 4 + 2 * random.usize(0..reach.div_ceil(2));
        let other = places[random.usize(0..places.len())];
        let value = match random.u8(0..10) {
            0 => 0,
            1 => u32::MAX,
            2 => random.u32(..),
            3 => random.u32(0..64),
            4..7 => other.0,
            7 => 0x8000_0000 | random.u32(0..8),
            8 => bytes.len() as u32 - random.u32(0..0x2000),
            _ => u32::from_le_bytes(
                *[
                    b"nk\x20\0",
                    b"lf\x01\0",
                    b"lh\x02\0",
                    b"ri\x01\0",
                    b"db\x02\0",
                    b"sk\0\0",
                ][random.usize(0..6)],
            ),
        };
        match random.u8(0..12) {
            0 => bytes[at] ^= 1 << random.u8(0..8),
            1..5 => put_u32(bytes, at.min(bytes.len() - 4) & !3, value),
            5 => bytes[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes()),
            6 => put_u32(bytes, start, value.wrapping_neg() & !7),
            7 => put_u32(bytes, start, (len as u32 + 4) * (1 + random.u32(0..2))),
            8 => put_u32(bytes, 4 * random.usize(0..127), value),
            9 => put_u32(bytes, 0x1000 + 4 * random.usize(0..8), value),
            10 => {
                // One cell's content over another's.
                let len = len.min(other.1);
                let from = 0x1004 + other.0 as usize;
                bytes.copy_within(from..from + len, start + 4);
            }
            // Offsets in nodes.
            _ => put_u32(
                bytes,
                start + 4 + 4 * random.usize(3..16).min(len / 4 - 1),
                value,
            ),
        }
    }
    if random.u8(0..16) > 0 {
        put_u32(bytes, 4, 7);
        put_u32(bytes, 8, 7);
        seal(bytes);
    }
}

/// Everything that can be asked.
fn look(hive: &Hive) -> usize {
    let mut seen = 0;
    let mut left = vec![hive.root()];
    while let Some(key) = left.pop() {
        seen += hive.key_name(key).len() + hive.class(key).len() + hive.security(key).len();
        seen += hive
            .values(key)
            .map(|value| value.data.len())
            .sum::<usize>();
        seen += usize::from(hive.value(key, "element").is_some());
        for subkey in hive.subkeys(key) {
            assert_eq!(hive.parent(subkey), Some(key));
            let name = hive.key_name(subkey);
            if !name.contains(char::REPLACEMENT_CHARACTER) {
                assert_eq!(hive.find(key, &name), Some(subkey), "{name:?}");
            }
            left.push(subkey);
        }
    }
    seen
}

/// Whatever was read stays whole.
fn edit(hive: &mut Hive, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..12) {
        let mut key = hive.root();
        for _ in 0..random.usize(0..4) {
            let subkeys: Vec<_> = hive.subkeys(key).collect();
            if !subkeys.is_empty() {
                key = subkeys[random.usize(0..subkeys.len())];
            }
        }
        match random.u8(0..4) {
            0 => drop(hive.create_key(key, &random.u8(..).to_string())),
            1 => {
                let name = hive.subkeys(key).last().map(|key| hive.key_name(key));
                let _ = hive.remove_key(key, &name.unwrap_or_default());
            }
            2 => {
                let name = hive.values(key).last().map(|value| value.name);
                let _ = hive.remove_value(key, &name.unwrap_or_default());
            }
            _ => {
                let data = vec![0xA5; [0, 4, 5, 100, 20_000][random.usize(0..5)]];
                let name = hive.values(key).last().map(|value| value.name);
                let _ = hive.set_value(key, &name.unwrap_or_default(), ValueType::Sz, &data);
            }
        }
    }
    let bytes = hive.bytes().to_vec();
    Hive::read(bytes).unwrap_or_else(|error| panic!("an edit broke the hive: {error}"));
}

/// One life: a hive, its damage, what is made of it. True if it was read all the same.
fn life(seed: u64, real: &[Vec<u8>]) -> bool {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = if real.is_empty() || random.bool() {
        grown(random.u32(3..7), &mut random)
    } else {
        real[random.usize(0..real.len())].clone()
    };
    damage(&mut bytes, &mut random);
    if random.u8(0..32) == 0 {
        bytes.truncate(random.usize(0..=bytes.len()));
    }
    let damaged = bytes.clone();
    match Hive::read(bytes) {
        Ok(mut hive) => {
            look(&hive);
            edit(&mut hive, &mut random);
            look(&hive);
            true
        }
        Err(error) => {
            if let Ok((mut hive, _)) = Hive::repair(damaged, &[]) {
                look(&hive);
                edit(&mut hive, &mut random);
            }
            assert!(error.to_string().contains("offset 0x"), "{error}");
            false
        }
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "runs for a time, not for a count"
)]
fn the_reader_takes_anything() {
    let time = Duration::from_secs(number("SLAMBOOT_FUZZ_SECONDS", 3));
    let first = number("SLAMBOOT_FUZZ_SEED", 1);
    let real: Vec<Vec<u8>> = std::env::var_os("SLAMBOOT_HIVES")
        .map_or(Vec::new(), |directory| files(Path::new(&directory)))
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .filter(|bytes| bytes.len() < 600_000 && Hive::read(bytes.clone()).is_ok())
        .collect();
    let start = Instant::now();
    let (mut lives, mut whole) = (0, 0);
    while lives < 100 || start.elapsed() < time {
        let seed = first + lives;
        let life = std::panic::catch_unwind(|| life(seed, &real));
        let Ok(usable) = life else {
            panic!(
                "seed {seed}: SLAMBOOT_FUZZ_SECONDS=0 SLAMBOOT_FUZZ_SEED={seed} \
                 cargo test --test regf fuzz"
            );
        };
        whole += u64::from(usable);
        lives += 1;
    }
    println!(
        "seeds {first} to {}: {lives} hives, {whole} of them read all the same, {} real ones among \
         the seeds",
        first + lives - 1,
        real.len()
    );
    // Damage that is never seen, or always, finds nothing.
    assert!(
        whole > lives / 20 && whole < lives * 19 / 20,
        "{whole} of {lives}"
    );
}
