// SPDX-License-Identifier: MIT OR Apache-2.0
//! Registry hives (the file format regf): read, edited in place, and made from nothing.
//!
//! A [`Hive`] owns the bytes of a primary file. [`Hive::read`] proves once that they are whole
//! (bounds, sizes, order, references, no cell in two roles), so that nothing fails later; edits
//! change the cells that they must and no other, and whatever is not understood stays as it was.
//! There is no clock and no chance here: the same edits give the same bytes.
//!
//! Sections in comments are those of the "Windows registry file format specification" by Maxim
//! Suhanov, <https://github.com/msuhanov/regf>.
//!
//! ```
//! use slamboot::image::regf::{Hive, ValueType};
//!
//! let mut hive = Hive::new("BCD");
//! let key = hive.create_key(hive.root(), "Description")?;
//! hive.set_value(key, "KeyName", ValueType::Sz, b"B\0C\0D\0\0\0")?;
//!
//! let again = Hive::read(hive.bytes().to_vec())?;
//! let key = again.find(again.root(), "DESCRIPTION").unwrap();
//! assert_eq!(again.value(key, "keyname").unwrap().kind, ValueType::Sz);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod base;
mod bitmap;
mod cell;
mod check;
mod edit;
mod error;
mod hive;
mod key;
use super::le;
mod list;
mod log;
mod marvin;
mod name;
mod recover;
mod security;
mod value;

pub use error::{Dirt, EditError, Error};
pub use hive::{Hive, KeyId, SaveError, Subkeys};
pub use recover::{Recovery, Repair};
pub use value::{Value, ValueType, Values};
