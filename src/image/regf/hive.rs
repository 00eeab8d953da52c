// SPDX-License-Identifier: MIT OR Apache-2.0
//! A hive, looked at. What changes it is in `edit.rs`.

use std::fmt;
use std::path::{Path, PathBuf};

use super::base::{self, BaseBlock};
use super::bitmap::CellSet;
use super::cell::{Cells, NONE};
use super::check::{self, Order};
use super::error::Error;
use super::key::{self, KeyNode};
use super::le::put_u32;
use super::list;
use super::name::NameBuf;
use super::security;
use super::value::{Value, Values};
use crate::image::target::{Target, TargetError};

/// A key of one hive, as long as it is not removed; asked of another hive, or after that, it
/// has no name, no subkeys and no values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(super) u32);

/// A registry hive: the bytes of its primary file, proven to be whole.
#[derive(Clone)]
pub struct Hive {
    pub(super) cells: Cells,
    pub(super) root: u32,
    pub(super) minor: u32,
    /// The cells that are keys, so that a key that was removed cannot be mistaken for one.
    pub(super) keys: CellSet,
    /// The sequence numbers have been counted up.
    pub(super) edited: bool,
}

impl fmt::Debug for Hive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hive")
            .field("cells", &self.cells)
            .field("minor", &self.minor)
            .finish_non_exhaustive()
    }
}

impl Hive {
    /// An empty hive: a root key that only administrators and the system may use. `name` goes
    /// into the base block, for people who look there. Version 1.5; no times.
    pub fn new(name: &str) -> Hive {
        let mut cells = Cells::new(base::new(name), 0);
        let root_name = NameBuf::new("ROOT");
        let root = cells.allocate(key::size(root_name.name()));
        let security = security::create(&mut cells);
        security::hold(&mut cells, security);
        key::init(
            cells.get_mut(root),
            key::HIVE_ENTRY | key::NO_DELETE,
            0,
            NONE,
            security,
            root_name.name(),
        );
        put_u32(cells.base_block(), base::ROOT, root);
        base::seal(cells.base_block());
        let mut keys = CellSet::default();
        keys.insert(root);
        Hive {
            cells,
            root,
            minor: 5,
            keys,
            edited: true,
        }
    }

    /// Reads the bytes of a primary file, which are kept as they are, and proves that they are
    /// whole, so that nothing fails later.
    ///
    /// # Errors
    ///
    /// A dirty hive ([`Error::Dirty`]), subkeys out of order ([`Error::Unsorted`]), both of which
    /// [`Hive::repair`] mends, or the first field that is wrong. Hints in lists of subkeys that
    /// do not match their names are no error: they are not used. Nor are two values with one
    /// name: the first one counts, as in Windows.
    pub fn read(bytes: Vec<u8>) -> Result<Hive, Error> {
        Self::read_in(bytes, Order::Sorted)
    }

    /// The same, with subkeys in this order.
    pub(super) fn read_in(bytes: Vec<u8>, order: Order) -> Result<Hive, Error> {
        base::identify(&bytes)?;
        if let Some(dirt) = base::dirt(&bytes) {
            return Err(Error::Dirty(dirt));
        }
        let BaseBlock {
            minor,
            root,
            bins_size,
        } = base::parse(&bytes)?;
        let keys = check::check(&bytes, root, bins_size, order)?;
        Ok(Hive {
            cells: Cells::new(bytes, bins_size),
            root,
            minor,
            keys,
            edited: false,
        })
    }

    /// The bytes of the primary file: checksum and sequence numbers are right at any time.
    pub fn bytes(&self) -> &[u8] {
        self.cells.bytes()
    }

    /// Writes it to a file: beside it first, onto the disk, then renamed. An old file is replaced;
    /// on an error it stays.
    pub fn save(&self, path: &Path) -> Result<PathBuf, SaveError> {
        let target = Target::open(path)?;
        std::io::Write::write_all(&mut target.file(), self.bytes()).map_err(|source| {
            SaveError::Write {
                path: path.to_owned(),
                source,
            }
        })?;
        Ok(target.publish()?)
    }

    /// The key above all others.
    pub fn root(&self) -> KeyId {
        KeyId(self.root)
    }

    /// A key's name.
    pub fn key_name(&self, key: KeyId) -> String {
        self.node(key).name().text()
    }

    /// The key above; `None` for the root.
    pub fn parent(&self, key: KeyId) -> Option<KeyId> {
        let parent = KeyId(self.node(key).parent());
        (key.0 != self.root && self.keys.contains(parent.0)).then_some(parent)
    }

    /// A key's class name, which hardly any key has; UTF-16LE as a rule.
    pub fn class(&self, key: KeyId) -> &[u8] {
        let node = self.node(key);
        let class = self.cells.get(node.class());
        &class[..class.len().min(usize::from(node.class_len()))]
    }

    /// A key's security descriptor, self-relative; empty if it has none.
    pub fn security(&self, key: KeyId) -> &[u8] {
        let item = self.cells.get(self.node(key).security());
        let size = super::le::u32_at(item, security::field::SIZE) as usize;
        let item = item.get(security::field::DESCRIPTOR..).unwrap_or_default();
        &item[..item.len().min(size)]
    }

    /// The keys right below, sorted by the upper case of their names.
    pub fn subkeys(&self, key: KeyId) -> Subkeys<'_> {
        Subkeys {
            hive: self,
            list: self.node(key).subkeys_list(),
            leaf: 0,
            at: 0,
        }
    }

    /// The key right below with this name, in whatever case.
    pub fn find(&self, key: KeyId, name: &str) -> Option<KeyId> {
        let name = NameBuf::new(name);
        let list = self.node(key).subkeys_list();
        list::find(&self.cells, list, name.name()).map(KeyId)
    }

    /// A key's values, in stored order, which has no meaning.
    pub fn values(&self, key: KeyId) -> Values<'_> {
        let node = self.node(key);
        Values::new(&self.cells, node.values_list(), node.values())
    }

    /// A key's value with this name, in whatever case; `""` for its default value.
    pub fn value(&self, key: KeyId, name: &str) -> Option<Value<'_>> {
        let (_, offset) = self.find_value(key, NameBuf::new(name).name())?;
        Some(super::value::ValueNode(self.cells.get(offset)).value(&self.cells))
    }

    /// Where a key's record begins in the file, in bytes, for whoever reports something wrong
    /// with it.
    pub fn offset(&self, key: KeyId) -> u64 {
        check::file_offset(key.0) + 4
    }

    /// The same of a value's record.
    pub fn value_offset(&self, key: KeyId, name: &str) -> Option<u64> {
        let (_, offset) = self.find_value(key, NameBuf::new(name).name())?;
        Some(check::file_offset(offset) + 4)
    }

    /// Number and offset of a value.
    pub(super) fn find_value(&self, key: KeyId, name: super::name::Name) -> Option<(usize, u32)> {
        let mut values = self.values(key);
        let mut at = 0;
        while let Some((offset, node)) = values.next_node() {
            if super::name::compare(node.name().units(), name.units()).is_eq() {
                return Some((at, offset));
            }
            at += 1;
        }
        None
    }

    /// Of a key that is none: an empty cell.
    pub(super) fn node(&self, key: KeyId) -> KeyNode<'_> {
        KeyNode(if self.keys.contains(key.0) {
            self.cells.get(key.0)
        } else {
            &[]
        })
    }
}

/// A hive that could not be written to a file.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The file.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Its content.
    #[error("{}: cannot write the hive", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The keys right below a key.
#[derive(Clone, Debug)]
pub struct Subkeys<'a> {
    hive: &'a Hive,
    list: u32,
    leaf: usize,
    at: usize,
}

impl Iterator for Subkeys<'_> {
    type Item = KeyId;

    fn next(&mut self) -> Option<KeyId> {
        if self.list == NONE {
            return None;
        }
        let cells = &self.hive.cells;
        let list = cells.get(self.list);
        while self.leaf < list::leaf_count(list) {
            let leaf = cells.get(list::leaf_at(list, self.list, self.leaf));
            if self.at < list::key_count(leaf) {
                self.at += 1;
                return Some(KeyId(list::entry_at(leaf, self.at - 1).key));
            }
            self.leaf += 1;
            self.at = 0;
        }
        None
    }
}
