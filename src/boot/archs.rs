// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which processor and firmware machines have, as their DHCP requests said (option 93): a script is
//! asked for by a machine's card, and the groups that name an architecture hold for it, too.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use site::{Arch, Mac};

/// Machines of which it is known. A room has hundreds; whoever floods with cards of nobody makes the
/// oldest ones forgotten, which ask by DHCP again before they ask for a script.
const MOST: usize = 8192;

/// The architectures that were heard of, of the machines heard last.
#[derive(Debug, Default)]
pub struct Archs(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    by_mac: HashMap<Mac, Arch>,
    /// What was heard before the last [`MOST`] machines began.
    before: HashMap<Mac, Arch>,
}

impl Archs {
    /// A machine has said what it is.
    pub fn heard(&self, mac: Mac, arch: Arch) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.by_mac.len() >= MOST && !heard.by_mac.contains_key(&mac) {
            heard.before = std::mem::take(&mut heard.by_mac);
        }
        heard.by_mac.insert(mac, arch);
    }

    /// What a machine said last, if it was heard.
    pub fn of(&self, mac: Mac) -> Option<Arch> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = heard.by_mac.get(&mac).or_else(|| heard.before.get(&mac));
        known.copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(number: u32) -> Mac {
        let [a, b, c, d] = number.to_be_bytes();
        Mac::new([0x52, 0x54, a, b, c, d])
    }

    #[test]
    fn the_latest_word_counts_and_memory_is_bounded() {
        let archs = Archs::default();
        assert_eq!(archs.of(mac(0)), None);
        archs.heard(mac(0), Arch::Bios);
        archs.heard(mac(0), Arch::EfiX64);
        assert_eq!(archs.of(mac(0)), Some(Arch::EfiX64));
        for number in 1..=MOST as u32 {
            archs.heard(mac(number), Arch::EfiArm64);
        }
        // As many are remembered as there are places, and never twice as many.
        assert_eq!(archs.of(mac(1)), Some(Arch::EfiArm64));
        assert_eq!(archs.of(mac(0)), Some(Arch::EfiX64));
        for number in 0..2 * MOST as u32 {
            archs.heard(mac(1_000_000 + number), Arch::Bios);
        }
        assert_eq!(archs.of(mac(1)), None);
        let heard = archs.0.lock().unwrap();
        assert!(heard.by_mac.len() + heard.before.len() <= 2 * MOST);
    }
}
