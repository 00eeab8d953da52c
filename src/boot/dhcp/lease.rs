// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who has which address until when, and how that survives a restart.
//!
//! A client is known by its Ethernet address, not by its client identifier (option 61): PXE
//! firmware, iPXE and the system that boots give three different ones, and should keep one address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use site::Mac;

/// Time since 1970: leases outlive the process.
pub type Now = Duration;

/// An address that somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which.
    pub address: Ipv4Addr,
    /// Until when.
    pub expires: Now,
    /// What the client calls itself.
    pub name: Option<String>,
    /// An address of its network by the word of a relay agent, which the client writes past when it
    /// renews its lease.
    pub link: Option<Ipv4Addr>,
}

/// All leases of one interface. Expired ones are kept, so that a client finds its address again
/// after a weekend, until somebody else needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    by_mac: BTreeMap<Mac, Lease>,
    by_address: BTreeMap<Ipv4Addr, Mac>,
    /// Addresses that somebody has without a lease, and for how long they are left alone.
    taken: BTreeMap<Ipv4Addr, Now>,
}

/// A file of leases that is none.
#[derive(Debug, thiserror::Error)]
pub enum LeaseFileError {
    /// Not what this program wrote.
    #[error("not a file of leases: {0}")]
    Syntax(#[from] serde_json::Error),
    /// An entry that cannot be.
    #[error("lease {number}: {what}")]
    Entry {
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        what: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// Counted up when older programs cannot read it any more.
    version: u32,
    leases: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    mac: String,
    address: Ipv4Addr,
    /// Seconds since 1970.
    expires: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<Ipv4Addr>,
}

const VERSION: u32 = 1;

impl Leases {
    /// The lease of a client, valid or not.
    pub fn of(&self, mac: Mac) -> Option<&Lease> {
        self.by_mac.get(&mac)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Mac, &Lease)> {
        self.by_mac.iter().map(|(mac, lease)| (*mac, lease))
    }

    /// Who has an address, or had it last.
    pub fn holder(&self, address: Ipv4Addr) -> Option<(Mac, &Lease)> {
        let mac = self.by_address.get(&address)?;
        Some((*mac, self.by_mac.get(mac)?))
    }

    /// Whether an address can be given to `mac`: nobody else has it.
    pub fn is_free(&self, address: Ipv4Addr, mac: Mac, now: Now) -> bool {
        let taken = self.taken.get(&address).is_some_and(|until| *until > now);
        let held = self
            .holder(address)
            .is_some_and(|(holder, lease)| holder != mac && lease.expires > now);
        !taken && !held
    }

    /// Gives an address to a client, which gives back any other that it had.
    pub fn put(&mut self, mac: Mac, lease: Lease) {
        self.remove(mac);
        if let Some(before) = self.by_address.insert(lease.address, mac) {
            self.by_mac.remove(&before);
        }
        self.by_mac.insert(mac, lease);
    }

    /// A client wants its address no more. It is the last to lose it.
    pub fn release(&mut self, mac: Mac, now: Now) {
        if let Some(lease) = self.by_mac.get_mut(&mac) {
            lease.expires = lease.expires.min(now);
        }
    }

    /// Somebody has an address without a lease: nobody gets it until `until`.
    pub fn mark_taken(&mut self, address: Ipv4Addr, until: Now) {
        if let Some(mac) = self.by_address.get(&address).copied() {
            self.remove(mac);
        }
        self.taken.insert(address, until);
    }

    fn remove(&mut self, mac: Mac) {
        if let Some(lease) = self.by_mac.remove(&mac) {
            self.by_address.remove(&lease.address);
        }
    }

    /// Forgets who is not among `addresses` any more, and what was taken long ago.
    pub fn retain(&mut self, now: Now, keep: impl Fn(Mac, Ipv4Addr) -> bool) {
        let gone: BTreeSet<Mac> = self
            .iter()
            .filter(|(mac, lease)| !keep(*mac, lease.address))
            .map(|(mac, _)| mac)
            .collect();
        for mac in gone {
            self.remove(mac);
        }
        self.taken.retain(|_, until| *until > now);
    }

    /// As a file holds them: JSON.
    pub fn to_text(&self) -> String {
        let entry = |(mac, lease): (Mac, &Lease)| Entry {
            mac: mac.to_string(),
            address: lease.address,
            expires: lease.expires.as_secs(),
            name: lease.name.clone(),
            link: lease.link,
        };
        let file = Stored {
            version: VERSION,
            leases: self.iter().map(entry).collect(),
        };
        // Maps of texts and numbers always have a JSON form.
        serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
    }

    /// Reads such a file.
    pub fn from_text(text: &str) -> Result<Leases, LeaseFileError> {
        let file: Stored = serde_json::from_str(text)?;
        let mut leases = Leases::default();
        for (index, entry) in file.leases.into_iter().enumerate() {
            let wrong = |what: String| LeaseFileError::Entry {
                number: index + 1,
                what,
            };
            let mac: Mac = entry
                .mac
                .parse()
                .map_err(|error| wrong(format!("mac {:?} is {error}", entry.mac)))?;
            if leases.of(mac).is_some() || leases.holder(entry.address).is_some() {
                return Err(wrong(format!("{mac} or {} is there twice", entry.address)));
            }
            let lease = Lease {
                address: entry.address,
                expires: Duration::from_secs(entry.expires),
                name: entry.name,
                link: entry.link,
            };
            leases.put(mac, lease);
        }
        Ok(leases)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mac(last: u8) -> Mac {
        Mac::new([0x52, 0x54, 0, 0, 0, last])
    }

    fn lease(last: u8, expires: u64) -> Lease {
        Lease {
            address: Ipv4Addr::new(10, 77, 0, last),
            expires: Duration::from_secs(expires),
            name: None,
            link: None,
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let mut leases = Leases::default();
        leases.put(mac(1), lease(10, 1_700_000_000));
        let mut named = lease(11, 5);
        named.name = Some("pc-11".to_owned());
        named.link = Some(Ipv4Addr::new(10, 77, 0, 254));
        leases.put(mac(2), named);
        assert_eq!(Leases::from_text(&leases.to_text()).unwrap(), leases);
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (text, said) in [
            ("", "not a file of leases: "),
            ("{\"version\":1}", "not a file of leases: "),
            (
                "{\"version\":1,\"leases\":[{\"mac\":\"x\",\"address\":\"10.0.0.1\",\"expires\":1}]}",
                "lease 1: mac \"x\" is not an Ethernet address",
            ),
            (
                "{\"version\":1,\"leases\":[{\"mac\":\"525400000001\",\"address\":\"10.0.0.1\",\"expires\":1},\
                 {\"mac\":\"525400000002\",\"address\":\"10.0.0.1\",\"expires\":1}]}",
                "lease 2: 52:54:00:00:00:02 or 10.0.0.1 is there twice",
            ),
        ] {
            let error = Leases::from_text(text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn an_expired_address_is_free_and_still_known() {
        let mut leases = Leases::default();
        leases.put(mac(1), lease(10, 100));
        let address = Ipv4Addr::new(10, 77, 0, 10);
        let at = Duration::from_secs;
        assert!(!leases.is_free(address, mac(2), at(99)));
        assert!(leases.is_free(address, mac(1), at(99)));
        assert!(leases.is_free(address, mac(2), at(100)));
        assert_eq!(leases.of(mac(1)).unwrap().address, address);
        leases.put(mac(2), lease(10, 200));
        assert_eq!(leases.of(mac(1)), None);
        leases.mark_taken(address, at(300));
        assert!(!leases.is_free(address, mac(2), at(299)));
        assert_eq!(leases.of(mac(2)), None);
        assert!(leases.is_free(address, mac(2), at(300)));
    }

    proptest! {
        /// Whatever happens, no address has two holders, and no holder two addresses.
        #[test]
        fn one_address_for_each(steps in prop::collection::vec((0u8..4, 0u8..6, 0u8..6), 0..200)) {
            let mut leases = Leases::default();
            for (now, (step, m, a)) in steps.into_iter().enumerate() {
                let now = Duration::from_secs(now as u64);
                match step {
                    0 | 1 => leases.put(mac(m), lease(a, now.as_secs() + 5)),
                    2 => leases.release(mac(m), now),
                    _ => leases.mark_taken(Ipv4Addr::new(10, 77, 0, a), now + Duration::from_secs(3)),
                }
                prop_assert_eq!(leases.by_mac.len(), leases.by_address.len());
                for (address, mac) in &leases.by_address {
                    prop_assert_eq!(leases.by_mac[mac].address, *address);
                }
                let whole = Leases::from_text(&leases.to_text()).unwrap();
                prop_assert_eq!(whole.by_mac, leases.by_mac.clone());
            }
        }
    }
}
