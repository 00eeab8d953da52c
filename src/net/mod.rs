// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where slamboot touches the network, the file system and the clock.

mod batch;
mod content;
mod desk;
mod driver;
mod endpoint;
pub mod interface;
mod library;
mod plan;
mod shelf;
mod socket;

pub use content::{Content, ContentError};
pub use desk::{Desk, Ungranted, Wish};
pub use driver::{Driver, DriverError, Reload, Served, Watch};
pub use plan::{Plan, Planned, Stand};
pub use shelf::Shelf;
pub use socket::{ReceiveBuffers, SessionSocket, SocketError};
