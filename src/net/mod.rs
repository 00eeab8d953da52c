// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where slamboot touches the network, the file system and the clock.

mod batch;
mod content;
mod driver;
mod endpoint;
pub mod interface;
mod library;
mod plan;
mod shelf;
mod socket;

pub use content::{Content, ContentError};
pub use driver::{Driver, DriverError, Reload, Served};
pub use plan::{Plan, Planned, Stand};
pub use shelf::Shelf;
pub use socket::{ReceiveBuffers, SessionSocket, SocketError};
