// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where slamboot touches the network, the file system and the clock.

mod content;
mod driver;
pub mod interface;
mod socket;

pub use content::{Content, ContentError};
pub use driver::{Driver, DriverError, Served};
pub use socket::{SessionSocket, SocketError};
