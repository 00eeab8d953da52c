// SPDX-License-Identifier: MIT OR Apache-2.0
//! What changes a hive. An edit is possible and made, or impossible and nothing is changed.

use super::base;
use super::cell::NONE;
use super::error::EditError;
use super::hive::{Hive, KeyId};
use super::key::{self, KeyNode};
use super::le::{put_u16, put_u32, u32_at, u64_at};
use super::list;
use super::name::{MOST_IN_KEY, MOST_IN_VALUE, NameBuf};
use super::security;
use super::value::{self, ValueNode, ValueType};

/// Keys from the root to the deepest ("Registry element size limits", Microsoft).
pub(super) const MOST_LEVELS: usize = 512;

impl Hive {
    /// The key right below with this name, made if it is not there, as `RegCreateKeyEx` does. A
    /// new key has its parent's security descriptor and the hive's time.
    pub fn create_key(&mut self, parent: KeyId, name: &str) -> Result<KeyId, EditError> {
        self.expect_key(parent)?;
        if let Some(key) = self.find(parent, name) {
            return Ok(key);
        }
        let units = name.encode_utf16().count();
        if units == 0 || units > MOST_IN_KEY || name.contains('\\') {
            return Err(EditError::KeyName { name: name.into() });
        }
        if self.level(parent) >= MOST_LEVELS {
            return Err(EditError::TooDeep { name: name.into() });
        }
        let stored = NameBuf::new(name);
        let stored = stored.name();
        let node = self.node(parent);
        let (subkeys, list, security) = (node.subkeys(), node.subkeys_list(), node.security());
        // The key, two leaves and an index root, each as large as they get.
        let bytes = key::size(stored) + 3 * 8 * (list::HEADER + 65_536) + 4 * 65_536;
        if subkeys >= list::MOST_KEYS || !self.cells.room_for(8, bytes) {
            return Err(EditError::Full);
        }
        self.begin();
        let written = u64_at(self.bytes(), base::WRITTEN);
        let key = self.cells.allocate(key::size(stored));
        let node = self.cells.get_mut(key);
        key::init(node, 0, written, parent.0, security, stored);
        security::hold(&mut self.cells, security);
        let list = list::insert(&mut self.cells, list, self.minor, key, stored);
        let node = self.cells.get_mut(parent.0);
        put_u32(node, key::field::SUBKEYS, subkeys + 1);
        put_u32(node, key::field::SUBKEYS_LIST, list);
        key::note_subkey(node, stored);
        self.keys.insert(key);
        self.end();
        Ok(KeyId(key))
    }

    /// Removes the key right below with this name, and everything below it.
    pub fn remove_key(&mut self, parent: KeyId, name: &str) -> Result<(), EditError> {
        self.expect_key(parent)?;
        let Some(key) = self.find(parent, name) else {
            return Err(EditError::NoKey { name: name.into() });
        };
        // Each after its parent; no recursion, however deep.
        let mut doomed = vec![key];
        let mut at = 0;
        while let Some(&key) = doomed.get(at) {
            if self.node(key).flags() & key::NO_DELETE != 0 {
                let name = self.key_name(key);
                return Err(EditError::Undeletable { name });
            }
            doomed.extend(self.subkeys(key));
            at += 1;
        }
        let node = self.node(parent);
        let (subkeys, old) = (node.subkeys(), node.subkeys_list());
        if !self.cells.room_for(3, 8 * 65_536) {
            return Err(EditError::Full);
        }
        self.begin();
        // While the node is there, which has the name to search for.
        let list = list::remove(&mut self.cells, old, NameBuf::new(name).name());
        let node = self.cells.get_mut(parent.0);
        put_u32(node, key::field::SUBKEYS, subkeys - 1);
        put_u32(node, key::field::SUBKEYS_LIST, list);
        if subkeys == 1 {
            // As in Windows, which never lowers it before. The other half are flags.
            put_u16(node, key::field::LARGEST_SUBKEY_NAME, 0);
        }
        for key in doomed.into_iter().rev() {
            self.free_key(key);
        }
        self.end();
        Ok(())
    }

    /// Sets a key's value; `""` names its default value. What was there is replaced, type and
    /// all.
    pub fn set_value(
        &mut self,
        key: KeyId,
        name: &str,
        kind: ValueType,
        data: &[u8],
    ) -> Result<(), EditError> {
        self.expect_values(key)?;
        let stored = NameBuf::new(name);
        let stored = stored.name();
        let units = stored.units().count();
        if units > MOST_IN_VALUE {
            return Err(EditError::ValueName { units });
        }
        let old = self.find_value(key, stored);
        let node = self.node(key);
        let (values, list) = (node.values(), node.values_list());
        let (cells, bytes) = value::needs(stored, data.len());
        let list_bytes = (values as usize + 1).saturating_mul(4);
        if data.len() > value::most_data(self.minor)
            || !self
                .cells
                .room_for(cells + 1, bytes.saturating_add(list_bytes))
        {
            return Err(EditError::Full);
        }
        self.begin();
        let offset = if let Some((_, offset)) = old {
            offset
        } else {
            let offset = value::create(&mut self.cells, stored);
            let list = if list == NONE {
                self.cells.allocate(list_bytes)
            } else {
                self.cells.resize(list, list_bytes)
            };
            put_u32(self.cells.get_mut(list), list_bytes - 4, offset);
            let node = self.cells.get_mut(key.0);
            put_u32(node, key::field::VALUES, values + 1);
            put_u32(node, key::field::VALUES_LIST, list);
            offset
        };
        value::fill(&mut self.cells, offset, self.minor, kind, data);
        key::note_value(self.cells.get_mut(key.0), stored, data.len());
        self.end();
        Ok(())
    }

    /// Removes a key's value.
    pub fn remove_value(&mut self, key: KeyId, name: &str) -> Result<(), EditError> {
        self.expect_values(key)?;
        let Some((at, offset)) = self.find_value(key, NameBuf::new(name).name()) else {
            return Err(EditError::NoValue { name: name.into() });
        };
        let node = self.node(key);
        let (values, list) = (node.values(), node.values_list());
        let rest = values as usize - 1;
        if !self.cells.room_for(1, 4 * rest) {
            return Err(EditError::Full);
        }
        self.begin();
        value::free(&mut self.cells, offset);
        self.cells
            .get_mut(list)
            .copy_within(4 * (at + 1)..4 * (rest + 1), 4 * at);
        let list = if rest == 0 {
            self.cells.free(list);
            NONE
        } else {
            self.cells.resize(list, 4 * rest)
        };
        let node = self.cells.get_mut(key.0);
        put_u32(node, key::field::VALUES, rest as u32);
        put_u32(node, key::field::VALUES_LIST, list);
        if rest == 0 {
            // As in Windows, which never lowers them before.
            put_u32(node, key::field::LARGEST_VALUE_NAME, 0);
            put_u32(node, key::field::LARGEST_VALUE_DATA, 0);
        }
        self.end();
        Ok(())
    }

    fn expect_key(&self, key: KeyId) -> Result<(), EditError> {
        if self.keys.contains(key.0) {
            Ok(())
        } else {
            Err(EditError::StaleKey)
        }
    }

    fn expect_values(&self, key: KeyId) -> Result<(), EditError> {
        self.expect_key(key)?;
        if self.node(key).flags() & key::PREDEF_HANDLE == 0 {
            Ok(())
        } else {
            Err(EditError::PredefinedHandle)
        }
    }

    /// Keys from the root to this one.
    fn level(&self, key: KeyId) -> usize {
        std::iter::successors(Some(key), |key| self.parent(*key))
            .take(MOST_LEVELS + 1)
            .count()
    }

    /// Gives back a key that nothing lists any more, with all that is its own.
    fn free_key(&mut self, key: KeyId) {
        let node = KeyNode(self.cells.get(key.0));
        let (class, security) = (node.class(), node.security());
        let (subkeys, values) = (node.subkeys_list(), node.values_list());
        let mut offsets = Vec::new();
        let mut iterator = self.values(key);
        while let Some((offset, ValueNode(_))) = iterator.next_node() {
            offsets.push(offset);
        }
        for offset in offsets {
            value::free(&mut self.cells, offset);
        }
        self.cells.free(values);
        list::free(&mut self.cells, subkeys);
        self.cells.free(class);
        security::release(&mut self.cells, security);
        self.cells.free(key.0);
        self.keys.remove(key.0);
    }

    /// The first edit counts as one write: both sequence numbers go up by one (section "Base
    /// block").
    pub(super) fn begin(&mut self) {
        if self.edited {
            return;
        }
        self.edited = true;
        let block = self.cells.base_block();
        let number = u32_at(block, base::PRIMARY).wrapping_add(1);
        put_u32(block, base::PRIMARY, number);
        put_u32(block, base::SECONDARY, number);
    }

    /// The checksum is right again.
    pub(super) fn end(&mut self) {
        base::seal(self.cells.base_block());
    }
}
