// SPDX-License-Identifier: MIT OR Apache-2.0
//! DHCP as far as booting needs it: beside another server, or with addresses of its own.

pub mod lease;
pub mod message;
pub mod network;
pub mod pool;
pub mod proxy;
pub mod server;
pub mod socket;
