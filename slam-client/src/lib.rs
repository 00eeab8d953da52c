// SPDX-License-Identifier: MIT OR Apache-2.0
//! SLAM (Scalable Local Area Multicast): the wire format, and a receiver that makes no syscalls.

mod blocks;
mod time;
pub mod wire;

pub use blocks::{BlockIndex, BlockSet};
pub use time::Timestamp;
