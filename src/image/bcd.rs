// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boot configuration (BCD) stores: read, made, edited and shown, on any system.
//!
//! A [`Store`] is objects with typed elements. It is read from a registry hive and written into
//! one ([`Store::read`], [`Store::write_into`]); a hive that held it before keeps every cell that
//! says the same. [`bcdedit`] executes bcdedit's command lines on it, [`winpe`] builds the one
//! that boots WinPE, [`warn`] tells what is known to fail at boot.
//!
//! ```
//! use slamboot::image::bcd::{Store, code, table, Value, alias::BOOTMGR};
//! use slamboot::image::bcd::bcdedit::{self, Context};
//!
//! let script = "bcdedit /create {bootmgr} /d \"Boot Manager\"\nbcdedit /timeout 5\n";
//! let done = bcdedit::run(script, Store::new(), &Context::default())?;
//! assert_eq!(done.store.objects[&BOOTMGR].elements[&code::TIMEOUT], Value::Integer(5));
//!
//! let hive = done.store.to_hive()?;
//! assert_eq!(Store::read(&hive)?, done.store);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod alias;
pub mod bcdedit;
pub mod change;
pub mod code;
pub mod device;
pub mod drives;
pub mod element;
pub mod file;
pub mod guid;
pub mod json;
pub mod literal;
pub mod notation;
pub mod object;
pub mod show;
pub mod store;
pub mod table;
pub mod warn;
pub mod winpe;

pub use device::{Descriptor, Device};
pub use element::{ElementCode, Format, Value};
pub use guid::Guid;
pub use object::{Object, ObjectType};
pub use store::{Store, StoreError};
