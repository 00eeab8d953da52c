// SPDX-License-Identifier: MIT OR Apache-2.0
//! SLAM (Scalable Local Area Multicast): the wire format, and a receiver that makes no syscalls.

mod blocks;
#[cfg(feature = "socket")]
mod driver;
mod event;
mod field;
pub mod parity;
mod patience;
mod receiver;
#[cfg(feature = "socket")]
mod socket;
mod stash;
#[cfg(feature = "test-double")]
pub mod stock;
mod time;
mod uri;
pub mod window;
pub mod wire;

pub use blocks::{BlockIndex, BlockSet};
#[cfg(feature = "socket")]
pub use driver::{Clock, DriveError, Ended, Sink, drive};
pub use event::{Failure, Input, Output, Outputs, Rejection};
pub use patience::{Config, Wait};
pub use receiver::{Receiver, Stats};
#[cfg(feature = "socket")]
pub use socket::{SocketError, SocketOptions, Sockets};
pub use time::Timestamp;
pub use uri::{DEFAULT_GROUP, DEFAULT_PORT, SlamUri, UriError, UriProblem};
