// SPDX-License-Identifier: MIT OR Apache-2.0
//! A store: its objects, and how they lie in a registry hive.
//!
//! `Description\KeyName`; `Objects\{guid}\Description\Type` (a u32);
//! `Objects\{guid}\Elements\<8 hexadecimal digits>\Element`.

use std::collections::BTreeMap;

use super::alias::{self, BOOTMGR};
use super::code;
use super::element::{self, ElementCode, ElementError, Value};
use super::guid::Guid;
use super::object::{Object, ObjectType};
use crate::image::regf::{EditError, Hive, KeyId, ValueType};

/// What a new store's `KeyName` says. Windows mounts its hive under that name.
pub const KEY_NAME: &str = "BCD00000000";

mod key {
    pub const DESCRIPTION: &str = "Description";
    pub const KEY_NAME: &str = "KeyName";
    pub const OBJECTS: &str = "Objects";
    pub const TYPE: &str = "Type";
    pub const ELEMENTS: &str = "Elements";
    pub const ELEMENT: &str = "Element";
}

/// The objects of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// `KeyName`.
    pub key_name: String,
    /// The objects, in the order of their identifiers.
    pub objects: BTreeMap<Guid, Object>,
}

/// A hive that is no store, or one with something in it that contradicts itself. Offsets are those
/// of the record in the hive's file, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Some other hive.
    #[error("expected the key \\Objects, found none: this hive is no boot configuration store")]
    NoObjects,
    /// A key that should not be there.
    #[error(
        "offset {offset:#x}: {path}: expected {expected} for the name of a key, found {name:?}"
    )]
    KeyName {
        /// Of the key.
        offset: u64,
        /// The key above it.
        path: String,
        /// Its name.
        name: String,
        /// What it should have been.
        expected: &'static str,
    },
    /// A value that should be there.
    #[error("offset {offset:#x}: {path}: expected the value {name:?}, found none")]
    Missing {
        /// Of the key, or of the nearest above it that is there.
        offset: u64,
        /// The key.
        path: String,
        /// The value.
        name: &'static str,
    },
    /// An object's type that is no number.
    #[error(
        "offset {offset:#x}: {path}: expected REG_DWORD of 4 bytes for \"Type\", found {kind} of \
         {length} bytes"
    )]
    Type {
        /// Of the value.
        offset: u64,
        /// The key.
        path: String,
        /// Its type in the registry.
        kind: ValueType,
        /// Its length.
        length: usize,
    },
    /// A value that is not what its element's code says.
    #[error("offset {offset:#x}: {path}: {source}")]
    Element {
        /// Of the value.
        offset: u64,
        /// The key.
        path: String,
        /// What is wrong.
        source: ElementError,
    },
}

impl Default for Store {
    fn default() -> Self {
        Store::new()
    }
}

impl Store {
    /// A store without objects.
    pub fn new() -> Self {
        Store {
            key_name: KEY_NAME.to_owned(),
            objects: BTreeMap::new(),
        }
    }

    /// What {bootmgr}'s `default` names: what `{default}` stands for.
    pub fn default_object(&self) -> Option<Guid> {
        self.objects.get(&BOOTMGR)?.object(code::DEFAULT)
    }

    /// An identifier that is free, the same for the same store, type and description.
    pub fn free_guid(&self, kind: ObjectType, description: &str) -> Guid {
        // More than can be taken.
        (0..=self.objects.len() + alias::WELL_KNOWN.len())
            .map(|number| {
                let seed = format!(
                    "slamboot bcd object\0{:08x}\0{number}\0{description}",
                    kind.0
                );
                Guid::derived(seed.as_bytes())
            })
            .find(|guid| !self.objects.contains_key(guid) && alias::by_guid(*guid).is_none())
            .unwrap_or(Guid::ZERO)
    }

    /// Removes an object and, if `cleanup`, whatever names it; tells whether it was there.
    pub fn remove(&mut self, guid: Guid, cleanup: bool) -> bool {
        let there = self.objects.remove(&guid).is_some();
        if cleanup {
            for object in self.objects.values_mut() {
                object.elements.retain(|_, value| match value {
                    Value::Object(other) => *other != guid,
                    Value::ObjectList(list) => {
                        let before = list.len();
                        list.retain(|other| *other != guid);
                        // A list that was empty before stays.
                        !list.is_empty() || before == 0
                    }
                    _ => true,
                });
            }
        }
        there
    }

    /// What a hive says. Whatever is in it beside objects is not read, and not touched by
    /// [`Store::write_into`].
    pub fn read(hive: &Hive) -> Result<Self, StoreError> {
        let root = hive.root();
        let objects_key = hive.find(root, key::OBJECTS).ok_or(StoreError::NoObjects)?;
        let mut objects = BTreeMap::new();
        for object in hive.subkeys(objects_key) {
            let name = hive.key_name(object);
            let guid = braced(&name).ok_or_else(|| StoreError::KeyName {
                offset: hive.offset(object),
                path: format!("\\{}", key::OBJECTS),
                name: name.clone(),
                expected: "a GUID in braces",
            })?;
            let path = format!("\\{}\\{name}", key::OBJECTS);
            objects.insert(guid, read_object(hive, object, &path)?);
        }
        Ok(Store {
            key_name: read_key_name(hive)?.unwrap_or_else(|| KEY_NAME.to_owned()),
            objects,
        })
    }

    /// A hive that holds this store and nothing else; the same store gives the same bytes.
    pub fn to_hive(&self) -> Result<Hive, EditError> {
        let mut hive = Hive::new("BCD");
        self.write_into(&mut hive)?;
        Ok(hive)
    }

    /// Makes a hive say what this store says. Cells of what it says already, and of whatever is
    /// no part of a store, stay as they are. An element whose bytes are wrong counts as
    /// different.
    pub fn write_into(&self, hive: &mut Hive) -> Result<(), EditError> {
        let root = hive.root();
        let description = hive.create_key(root, key::DESCRIPTION)?;
        if read_key_name(hive).as_ref() != Ok(&Some(self.key_name.clone())) {
            let (kind, data) = Value::String(self.key_name.clone()).encode();
            hive.set_value(description, key::KEY_NAME, kind, &data)?;
        }
        let objects = hive.create_key(root, key::OBJECTS)?;
        remove_subkeys(hive, objects, |name| {
            braced(name).is_some_and(|guid| !self.objects.contains_key(&guid))
        })?;
        for (guid, object) in &self.objects {
            let at = hive.create_key(objects, &guid.to_string())?;
            write_object(hive, at, object)?;
        }
        Ok(())
    }
}

/// A GUID as keys have it; those in other forms are not bootmgr's.
fn braced(name: &str) -> Option<Guid> {
    name.starts_with('{').then(|| name.parse().ok())?
}

/// Of a value that is there.
fn value_offset(hive: &Hive, at: KeyId, name: &str) -> u64 {
    hive.value_offset(at, name)
        .unwrap_or_else(|| hive.offset(at))
}

fn read_key_name(hive: &Hive) -> Result<Option<String>, StoreError> {
    let Some((at, value)) = hive
        .find(hive.root(), key::DESCRIPTION)
        .and_then(|at| Some((at, hive.value(at, key::KEY_NAME)?)))
    else {
        return Ok(None);
    };
    let wrong = |source| StoreError::Element {
        offset: value_offset(hive, at, key::KEY_NAME),
        path: format!("\\{}\\{}", key::DESCRIPTION, key::KEY_NAME),
        source,
    };
    if value.kind != ValueType::Sz {
        return Err(wrong(ElementError::Type {
            format: element::Format::String,
            expected: ValueType::Sz,
            found: value.kind,
        }));
    }
    element::string(&value.data).map(Some).map_err(wrong)
}

fn read_object(hive: &Hive, at: KeyId, path: &str) -> Result<Object, StoreError> {
    let description = format!("{path}\\{}", key::DESCRIPTION);
    let described = hive.find(at, key::DESCRIPTION).unwrap_or(at);
    let kind = hive
        .value(described, key::TYPE)
        .filter(|_| described != at)
        .ok_or_else(|| StoreError::Missing {
            offset: hive.offset(described),
            path: description.clone(),
            name: key::TYPE,
        })?;
    let number = <[u8; 4]>::try_from(&*kind.data)
        .ok()
        .filter(|_| kind.kind == ValueType::Dword)
        .ok_or_else(|| StoreError::Type {
            offset: value_offset(hive, described, key::TYPE),
            path: description,
            kind: kind.kind,
            length: kind.data.len(),
        })?;
    let mut object = Object::new(ObjectType(u32::from_le_bytes(number)));
    let Some(elements) = hive.find(at, key::ELEMENTS) else {
        return Ok(object);
    };
    for key in hive.subkeys(elements) {
        let name = hive.key_name(key);
        let code = ElementCode::from_key(&name).ok_or_else(|| StoreError::KeyName {
            offset: hive.offset(key),
            path: format!("{path}\\{}", key::ELEMENTS),
            name: name.clone(),
            expected: "eight hexadecimal digits",
        })?;
        let path = || format!("{path}\\{}\\{name}", key::ELEMENTS);
        let value = hive
            .value(key, key::ELEMENT)
            .ok_or_else(|| StoreError::Missing {
                offset: hive.offset(key),
                path: path(),
                name: key::ELEMENT,
            })?;
        let value =
            Value::decode(code, value.kind, &value.data).map_err(|source| StoreError::Element {
                offset: value_offset(hive, key, key::ELEMENT),
                path: path(),
                source,
            })?;
        object.elements.insert(code, value);
    }
    Ok(object)
}

fn write_object(hive: &mut Hive, at: KeyId, object: &Object) -> Result<(), EditError> {
    let description = hive.create_key(at, key::DESCRIPTION)?;
    let kind = object.kind.0.to_le_bytes();
    let same = hive
        .value(description, key::TYPE)
        .is_some_and(|value| value.kind == ValueType::Dword && *value.data == kind);
    if !same {
        hive.set_value(description, key::TYPE, ValueType::Dword, &kind)?;
    }
    let elements = hive.create_key(at, key::ELEMENTS)?;
    remove_subkeys(hive, elements, |name| {
        ElementCode::from_key(name).is_some_and(|code| !object.elements.contains_key(&code))
    })?;
    for (code, value) in &object.elements {
        let key = hive.create_key(elements, &code.to_string())?;
        // By meaning, so that another way to write the same stays as it is.
        let same = hive.value(key, key::ELEMENT).is_some_and(|there| {
            Value::decode(*code, there.kind, &there.data).as_ref() == Ok(value)
        });
        if !same {
            let (kind, data) = value.encode();
            hive.set_value(key, key::ELEMENT, kind, &data)?;
        }
    }
    Ok(())
}

fn remove_subkeys(
    hive: &mut Hive,
    at: KeyId,
    doomed: impl Fn(&str) -> bool,
) -> Result<(), EditError> {
    let names: Vec<String> = hive
        .subkeys(at)
        .map(|key| hive.key_name(key))
        .filter(|name| doomed(name))
        .collect();
    for name in names {
        hive.remove_key(at, &name)?;
    }
    Ok(())
}
