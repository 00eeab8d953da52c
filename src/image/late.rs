// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that say where they lie: of a fixed length, completed once the disk is laid out.

use super::bcd::winpe::{self, BootDevice, WinPe};
use super::bcd::{Descriptor, Store, Value};
use super::demo;
use super::facts::DiskFacts;
use super::regf::{EditError, Hive};

/// A file whose bytes depend on the layout, and whose length does not.
#[derive(Clone, Debug)]
pub enum Late {
    /// The demo's second stage.
    Demo,
    /// A boot configuration store for WinPE.
    Store(LateStore),
    /// A store that is there already, and shall name another disk.
    Rebased(Box<RebasedStore>),
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

/// A store of an image that is made anew: devices on its disk are found on the new one.
#[derive(Clone, Debug)]
pub struct RebasedStore {
    hive: Hive,
    /// By which devices name the old disk.
    signature: u32,
}

impl RebasedStore {
    /// `None` where nothing in the store names that disk, and it can stay as it is.
    pub fn new(hive: Hive, signature: u32) -> Option<Self> {
        let mut store = Store::read(&hive).ok()?;
        let named = rebase(&mut store, signature, 0, 0) > 0;
        named.then_some(RebasedStore { hive, signature })
    }

    fn render(&self, facts: &DiskFacts) -> Vec<u8> {
        let old = self.hive.bytes().to_vec();
        let Ok(mut store) = Store::read(&self.hive) else {
            return old;
        };
        let offset = facts.partition.start.byte_offset();
        rebase(&mut store, self.signature, facts.identity.signature, offset);
        let mut hive = self.hive.clone();
        match store.write_into(&mut hive) {
            // Numbers of a fixed length: no cell moves.
            Ok(()) if hive.bytes().len() == old.len() => hive.bytes().to_vec(),
            _ => old,
        }
    }
}

/// Names another disk where the old one is named; how often.
fn rebase(store: &mut Store, old: u32, signature: u32, offset: u64) -> usize {
    fn devices(descriptor: &mut Descriptor, act: &mut impl FnMut(&mut Descriptor)) {
        match descriptor {
            Descriptor::Ramdisk(file) | Descriptor::File(file) => devices(&mut file.parent, act),
            other => act(other),
        }
    }
    let mut count = 0;
    let values = store
        .objects
        .values_mut()
        .flat_map(|object| object.elements.values_mut());
    for value in values {
        if let Value::Device(device) = value {
            devices(&mut device.descriptor, &mut |descriptor| {
                if let Descriptor::Mbr(partition) = descriptor
                    && partition.signature == old
                {
                    partition.signature = signature;
                    partition.offset = offset;
                    count += 1;
                }
            });
        }
    }
    count
}

impl Late {
    /// How long it will be.
    pub fn bytes(&self) -> u64 {
        match self {
            Late::Demo => demo::BYTES,
            Late::Store(store) => store.draft.len() as u64,
            Late::Rebased(store) => store.hive.bytes().len() as u64,
        }
    }

    /// A number that differs where what is known of the content does.
    pub fn fingerprint(&self) -> u64 {
        match self {
            Late::Demo => demo::fingerprint(),
            Late::Store(store) => crc32fast::hash(&store.draft).into(),
            Late::Rebased(store) => crc32fast::hash(store.hive.bytes()).into(),
        }
    }

    /// The bytes for the disk that has been laid out.
    pub fn render(&self, facts: &DiskFacts) -> Vec<u8> {
        match self {
            Late::Demo => demo::render(facts),
            Late::Store(store) => store.render(facts),
            Late::Rebased(store) => store.render(facts),
        }
    }
}
