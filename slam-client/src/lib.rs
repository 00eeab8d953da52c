// SPDX-License-Identifier: MIT OR Apache-2.0
//! SLAM (Scalable Local Area Multicast): the wire format, and a receiver that makes no syscalls.

mod blocks;
mod event;
mod patience;
mod receiver;
#[cfg(feature = "test-double")]
pub mod stock;
mod time;
pub mod wire;

pub use blocks::{BlockIndex, BlockSet};
pub use event::{Failure, Input, Output, Outputs, Rejection};
pub use patience::{Config, Wait};
pub use receiver::{Receiver, Stats};
pub use time::Timestamp;
