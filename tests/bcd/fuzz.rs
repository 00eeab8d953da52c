// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scripts and hives that nobody wrote. For so many seconds each as `SLAMBOOT_FUZZ_SECONDS` says
//! (2 otherwise), from the seed `SLAMBOOT_FUZZ_SEED` on.

use std::time::{Duration, Instant};

use fastrand::Rng;
use slamboot::image::bcd::bcdedit;
use slamboot::image::bcd::drives::Drives;
use slamboot::image::bcd::show::{self, View};
use slamboot::image::bcd::winpe::{self, Style};
use slamboot::image::bcd::{Store, Value, json, warn};
use slamboot::image::regf::{Hive, KeyId, ValueType};

use crate::random;
use crate::recipe::{self, context};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Calls `live` with one seed after the other; it tells whether the input was good.
#[expect(
    clippy::disallowed_methods,
    reason = "runs for a time, not for a count"
)]
fn fuzz(name: &str, live: impl Fn(&mut Rng) -> bool + std::panic::RefUnwindSafe) {
    let time = Duration::from_secs(number("SLAMBOOT_FUZZ_SECONDS", 2));
    let first = number("SLAMBOOT_FUZZ_SEED", 1);
    let start = Instant::now();
    let (mut lives, mut good) = (0, 0);
    while lives < 200 || start.elapsed() < time {
        let seed = first + lives;
        let was_good = std::panic::catch_unwind(|| live(&mut Rng::with_seed(seed)));
        let Ok(was_good) = was_good else {
            panic!(
                "seed {seed}: SLAMBOOT_FUZZ_SECONDS=0 SLAMBOOT_FUZZ_SEED={seed} \
                 cargo test --test bcd fuzz::{name}"
            );
        };
        good += u64::from(was_good);
        lives += 1;
    }
    println!(
        "{name}: seeds {first} to {}: {lives} lives, {good} of them good",
        first + lives - 1
    );
    // Where nothing is good, or all is, little was tried.
    assert!(
        good > lives / 50 && good < lives * 49 / 50,
        "{good} of {lives}"
    );
}

/// Whatever is done to a store works on one that was read.
fn look(store: &Store) {
    let drives = context().drives;
    for drives in [&Drives::none(), &drives] {
        show::store(
            store,
            View {
                full: false,
                drives,
            },
        );
    }
    for warning in warn::check(store) {
        assert!(!warning.to_string().is_empty());
    }
    assert_eq!(&json::read(&json::write(store)).unwrap(), store);
    let hive = store.to_hive().unwrap();
    let again = Hive::read(hive.bytes().to_vec()).unwrap();
    assert_eq!(&Store::read(&again).unwrap(), store);
}

const LINES: [&str; 29] = [
    "bcdedit /enum all /v",
    "bcdedit /timeout 5",
    "bcdedit /displayorder {default} /addlast",
    "bcdedit /copy {default} /d \"x y\"",
    "bcdedit /delete {default} /cleanup",
    "bcdedit /deletevalue {bootmgr} default",
    "bcdedit /store c:\\boot\\BCD /set {default} nx optin",
    "bcdedit /set {default} device file=[boot]\\a.vhd",
    "bcdedit /set {bootmgr} custom:27000030 1 2",
    "bcdedit /create /inherit osloader /d ^",
    "bcdedit /create {memdiag}",
    "set x=%y% \"z\"",
    "set \"x=1\"",
    "rem ^",
    ":: x",
    "C:\\>bcdedit /v",
    "bcdedit /set {default} osdevice boot,{bootmgr}",
    "bcdedit /set {default} device hex:0600000000000000480000000000000000000000000000000000000000000000",
    "bcdedit /set {default} device ramdisk=[file=[gpt:x/y]\\a]\\b,{ramdiskoptions}",
    "bcdedit /toolsdisplayorder {memdiag} {bootmgr} /remove",
    "bcdedit /default %guid%",
    "bcdedit /ems {default} on > nul 2>&1",
    "bcdedit /export c:\\boot\\BCD",
    "bcdedit \"\" ''",
    "bcdedit /set {fwbootmgr} displayorder {bootmgr} /addfirst",
    "bcdedit /enum \\\\\"x\\\"",
    "bcdedit /create {dbgsettings}\nbcdedit /dbgsettings serial debugport:1 /start active /noumex",
    "bcdedit /create {emssettings}\nbcdedit -emssettings EMSPORT:2 emsbaudrate:9600",
    "bcdedit /event {default} on",
];

const BITS: [&str; 30] = [
    "\"",
    "^",
    "%",
    "%%",
    "\\",
    "\\\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ",{",
    "=",
    ":",
    "/",
    "-",
    " ",
    "\n",
    "\r\n",
    "\0",
    "\u{FEFF}",
    "ü",
    "𝄞",
    "C:",
    "hex:",
    "0x",
    "{default}",
    "&",
    ">nul",
    "^\n",
];

fn script(random: &mut Rng) -> String {
    let recipe: Vec<&str> = recipe::SCRIPT.lines().collect();
    let mut lines: Vec<String> = Vec::new();
    for line in &recipe {
        lines.push((*line).to_owned());
    }
    for _ in 0..random.usize(..6) {
        let line = if random.bool() {
            random.choice(LINES).unwrap_or_default()
        } else {
            random.choice(&recipe).copied().unwrap_or_default()
        };
        let at = random.usize(..=lines.len());
        lines.insert(at, line.to_owned());
    }
    for _ in 0..random.usize(..3) {
        lines.remove(random.usize(..lines.len()));
    }
    let mut chars: Vec<char> = lines.join("\n").chars().collect();
    for _ in 0..random.usize(..4) {
        let at = random.usize(..=chars.len());
        match random.u8(..5) {
            0 | 1 => {
                let bit = random.choice(BITS).unwrap_or_default();
                chars.splice(at..at, bit.chars());
            }
            2 => {
                let end = (at + random.usize(..12)).min(chars.len());
                chars.drain(at..end);
            }
            3 => {
                let end = (at + random.usize(..40)).min(chars.len());
                let piece = chars[at..end].to_vec();
                let to = random.usize(..=chars.len());
                chars.splice(to..to, piece);
            }
            _ => {
                if let Some(c) = chars.get_mut(at) {
                    *c = random.char(..);
                }
            }
        }
    }
    chars.into_iter().collect()
}

#[test]
fn any_script() {
    fuzz("any_script", |random| {
        let script = script(random);
        let mut context = context();
        context.strict = random.u8(..8) == 0;
        context.replace = random.bool();
        match bcdedit::run(&script, Store::new(), &context) {
            Ok(done) => {
                look(&done.store);
                true
            }
            Err(error) => {
                // It points into the script, or just past the end of a line of it.
                let line = script
                    .strip_prefix('\u{FEFF}')
                    .unwrap_or(&script)
                    .split('\n')
                    .nth(error.at.line - 1)
                    .unwrap_or_else(|| panic!("{error} in {script:?}"));
                let end = line.chars().count() + 1;
                assert!(
                    (1..=end).contains(&error.at.column),
                    "{error} in {script:?}"
                );
                assert!(!error.fault.to_string().is_empty());
                false
            }
        }
    });
}

/// Every key of a hive.
fn keys(hive: &Hive) -> Vec<KeyId> {
    let mut keys = vec![hive.root()];
    let mut at = 0;
    while let Some(key) = keys.get(at).copied() {
        keys.extend(hive.subkeys(key));
        at += 1;
    }
    keys
}

fn spoil(hive: &mut Hive, random: &mut Rng) {
    let keys = keys(hive);
    let Some(key) = random.choice(&keys).copied() else {
        return;
    };
    let name = random
        .choice(["Element", "Type", "KeyName"])
        .unwrap_or("Element");
    // Some are refused, such as a key that has just been removed.
    let _ = match random.u8(..12) {
        0 => hive.remove_value(key, name),
        1 => {
            let names: Vec<String> = hive.subkeys(key).map(|key| hive.key_name(key)).collect();
            match random.choice(&names) {
                Some(name) => hive.remove_key(key, name),
                None => Ok(()),
            }
        }
        2 => {
            let name = random.choice(["Elements", "Objects", "12000004", "1F000001", "{}", "x"]);
            hive.create_key(key, name.unwrap_or("x")).map(|_| ())
        }
        kind => {
            // Elements, whose bytes are what matters.
            let elements: Vec<KeyId> = keys
                .iter()
                .copied()
                .filter(|key| hive.value(*key, "Element").is_some())
                .collect();
            let key = random.choice(&elements).copied().unwrap_or(key);
            let there = hive.value(key, "Element");
            let (old, mut bytes) = there.map_or((ValueType::Binary, Vec::new()), |value| {
                (value.kind, value.data.into_owned())
            });
            if kind < 4 {
                bytes = random::bytes(random);
            }
            for _ in 0..random.usize(..3) {
                if !bytes.is_empty() {
                    let at = random.usize(..bytes.len());
                    bytes[at] = random
                        .choice([0, 1, 2, 3, 5, 6, 8, 0x48, 0x7B, 0xD8, 0xFF])
                        .unwrap_or(0);
                }
            }
            if random.u8(..6) == 0 {
                bytes.truncate(random.usize(..=bytes.len()));
            }
            let kind = if random.u8(..10) == 0 {
                ValueType::from(random.u32(..14))
            } else {
                old
            };
            hive.set_value(key, "Element", kind, &bytes)
        }
    };
}

#[test]
fn any_hive() {
    fuzz("any_hive", |random| {
        let store = if random.bool() {
            winpe::store(&recipe::winpe(Style::Menu { timeout: 5 }))
        } else {
            random::store(random)
        };
        let mut hive = store.to_hive().unwrap();
        for _ in 0..=random.usize(..3) {
            spoil(&mut hive, random);
        }
        // Whatever was in it, any store can be written over it, unless keys of other kinds are in
        // its way, which stay.
        let mut over = hive.clone();
        store.write_into(&mut over).unwrap();
        if let Ok(read) = Store::read(&over) {
            assert_eq!(read, store);
        }
        match Store::read(&hive) {
            Ok(read) => {
                look(&read);
                let before = hive.bytes().to_vec();
                let mut same = hive.clone();
                read.write_into(&mut same).unwrap();
                assert_eq!(Store::read(&same).as_ref(), Ok(&read));
                // Every element that reads is left alone.
                for object in read.objects.values() {
                    for (code, value) in &object.elements {
                        let (kind, bytes) = value.encode();
                        assert_eq!(Value::decode(*code, kind, &bytes).as_ref(), Ok(value));
                    }
                }
                assert_eq!(hive.bytes(), before);
                true
            }
            Err(error) => {
                assert!(error.to_string().contains("expected"), "{error}");
                false
            }
        }
    });
}
