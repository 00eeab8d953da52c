// SPDX-License-Identifier: MIT OR Apache-2.0
//! What reading costs. Measured by hand, in a release build and a process of its own:
//! `cargo test --release --test regf large -- --ignored --nocapture`.
//!
//! Two cores of a virtual machine at a load of 7: 95 MiB with 224,476 keys and 657,054 values, read
//! from the file in 94 ms and checked after 284 and 323 ms (two runs), with 99 MiB more memory.

use std::time::Instant;

use slamboot::image::regf::{Hive, ValueType};

const MIB: usize = 1 << 20;

/// About 100 MB of small keys and values, as in SOFTWARE, and some large ones.
fn large() -> Vec<u8> {
    let mut hive = Hive::new("large");
    let mut random = fastrand::Rng::with_seed(1);
    let root = hive.root();
    let mut number = 0;
    while hive.bytes().len() < 100_000_000 {
        let class = hive.create_key(root, &format!("Class {number}")).unwrap();
        for _ in 0..40 {
            number += 1;
            let guid = format!("{{{:08x}-{:04x}}}", random.u32(..), random.u16(..));
            let key = hive.create_key(class, &guid).unwrap();
            for name in ["", "ThreadingModel", "Version"] {
                let data = vec![0x41; random.usize(2..120)];
                hive.set_value(key, name, ValueType::Binary, &data).unwrap();
            }
        }
        if number % 4000 == 0 {
            let data = vec![0x42; random.usize(20_000..200_000)];
            hive.set_value(class, "big", ValueType::Binary, &data)
                .unwrap();
        }
    }
    hive.bytes().to_vec()
}

/// Most memory that this process ever had, in bytes, since it was last reset.
fn peak(reset: bool) -> usize {
    if reset {
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse::<usize>().unwrap() * 1024
}

#[test]
#[ignore = "measures a release build, alone in its process"]
#[expect(clippy::disallowed_methods, reason = "it measures time")]
fn a_large_hive_is_read_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    std::fs::write(&path, large()).unwrap();
    let before = peak(true);
    let start = Instant::now();
    let bytes = std::fs::read(&path).unwrap();
    let opened = start.elapsed();
    let hive = Hive::read(bytes).unwrap();
    let read = start.elapsed();
    let memory = peak(false).saturating_sub(before);
    let size = hive.bytes().len();

    let start = Instant::now();
    let (mut keys, mut values, mut left) = (0, 0, vec![hive.root()]);
    while let Some(key) = left.pop() {
        keys += 1;
        values += hive
            .values(key)
            .map(|value| value.data.len().min(1))
            .sum::<usize>();
        left.extend(hive.subkeys(key));
    }
    let walked = start.elapsed();
    println!(
        "{} MiB, {keys} keys, {values} values: file read in {opened:?}, all of it checked after \
         {read:?}, {} MiB more memory at most; walked in {walked:?}",
        size / MIB,
        memory / MIB,
    );
    assert!(memory < 2 * size, "{memory} bytes for {size}");
    if !cfg!(debug_assertions) {
        assert!(read.as_millis() < 1000, "{read:?} for {size} bytes");
    }

    let mut hive = hive;
    let start = Instant::now();
    hive.set_value(hive.root(), "new", ValueType::Binary, &[1; 100])
        .unwrap();
    println!(
        "first edit after {:?}, {} MiB at most",
        start.elapsed(),
        peak(false).saturating_sub(before) / MIB
    );
}
