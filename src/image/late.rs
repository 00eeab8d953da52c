// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that say where they lie: of a fixed length, completed once the disk is laid out.

use super::bcd::winpe::{self, BootDevice, WinPe};
use super::demo;
use super::facts::DiskFacts;
use super::regf::EditError;

/// A file whose bytes depend on the layout, and whose length does not.
#[derive(Clone, Debug)]
pub enum Late {
    /// The demo's second stage.
    Demo,
    /// A boot configuration store for WinPE.
    Store(LateStore),
}

/// A store that, where it names a partition, names the one of the disk that it lies on.
#[derive(Clone, Debug)]
pub struct LateStore {
    winpe: WinPe,
    /// With no signature yet.
    draft: Vec<u8>,
}

impl LateStore {
    /// The store; a partition in it is only a place to be filled in.
    pub fn new(winpe: WinPe) -> Result<Self, EditError> {
        let draft = winpe::store(&winpe).to_hive()?.bytes().to_vec();
        Ok(LateStore { winpe, draft })
    }

    fn render(&self, facts: &DiskFacts) -> Vec<u8> {
        let BootDevice::Mbr(mut partition) = self.winpe.device else {
            return self.draft.clone();
        };
        partition.signature = facts.identity.signature;
        partition.offset = facts.partition.start.byte_offset();
        let winpe = WinPe {
            device: BootDevice::Mbr(partition),
            ..self.winpe.clone()
        };
        let hive = winpe::store(&winpe).to_hive();
        // It differs from the draft in numbers of a fixed length only, so it can be made, too.
        hive.map_or_else(|_| self.draft.clone(), |hive| hive.bytes().to_vec())
    }
}

impl Late {
    /// How long it will be.
    pub fn bytes(&self) -> u64 {
        match self {
            Late::Demo => demo::BYTES,
            Late::Store(store) => store.draft.len() as u64,
        }
    }

    /// A number that differs where what is known of the content does.
    pub fn fingerprint(&self) -> u64 {
        match self {
            Late::Demo => demo::fingerprint(),
            Late::Store(store) => crc32fast::hash(&store.draft).into(),
        }
    }

    /// The bytes for the disk that has been laid out.
    pub fn render(&self, facts: &DiskFacts) -> Vec<u8> {
        match self {
            Late::Demo => demo::render(facts),
            Late::Store(store) => store.render(facts),
        }
    }
}
