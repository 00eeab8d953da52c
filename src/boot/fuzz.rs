// SPDX-License-Identifier: MIT OR Apache-2.0
//! Datagrams that are nearly right, for tests of what reads them: bytes that are merely random get no
//! further than the first check.

use fastrand::Rng;

/// How many to try: so many, and a million with `cargo xtask test --thorough`.
pub(crate) fn cases(some: u64) -> u64 {
    let thorough = std::env::var_os("SLAMBOOT_THOROUGH").is_some_and(|value| !value.is_empty());
    if thorough { 1_000_000 } else { some }
}

/// A DHCP message with the fixed part of `seed`, and its options or others: of these codes and of any,
/// with lengths that are right, too short, and beyond the end.
pub(crate) fn dhcp(random: &mut Rng, seed: &[u8], codes: &[u8]) -> Vec<u8> {
    const FIXED: usize = 240;
    let mut datagram = seed.to_vec();
    if random.bool() {
        // The type, without which nothing is looked at, stays the seed's.
        datagram.truncate(FIXED + 3);
        for _ in 0..random.usize(..12) {
            let known = random.u8(..8) > 0;
            let code = if known {
                codes[random.usize(..codes.len())]
            } else {
                random.u8(..)
            };
            let length = match random.u8(..4) {
                0 => 4,
                1 => random.u8(..5),
                2 => random.u8(..40),
                _ => random.u8(..),
            };
            datagram.extend([code, length]);
            let short = random.u8(..16) == 0;
            let given = if short { random.u8(..=length) } else { length };
            let text = random.bool();
            datagram.extend((0..given).map(|_| {
                if text {
                    random.u8(b' '..=b'~')
                } else {
                    random.u8(..)
                }
            }));
        }
        datagram.push(255);
    }
    if random.bool() {
        // Addresses of the client, the next server, the relay agent.
        let at = [12, 16, 20, 24][random.usize(..4)];
        datagram[at..at + 4].copy_from_slice(&[10, 77, 0, random.u8(..)]);
    }
    if random.u8(..4) == 0 {
        damage(random, &mut datagram);
    }
    datagram
}

/// Changes, cuts or lengthens it in up to five places.
pub(crate) fn damage(random: &mut Rng, datagram: &mut Vec<u8>) {
    for _ in 0..random.usize(..6) {
        let at = random.usize(..datagram.len().max(1));
        match random.u8(..4) {
            0 => datagram.truncate(at.max(1)),
            1 => datagram.insert(at.min(datagram.len()), random.u8(..)),
            _ => {
                if let Some(byte) = datagram.get_mut(at) {
                    *byte = random.u8(..);
                }
            }
        }
    }
}
