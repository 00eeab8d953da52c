// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server tells the people who run it.

mod event;

pub use event::{Bytes, Event, EventKind};
