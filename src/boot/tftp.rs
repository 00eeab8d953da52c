// SPDX-License-Identifier: MIT OR Apache-2.0
//! TFTP, read only (RFC 1350), with the options that make it bearable: block size (RFC 2348), size
//! and time-out (RFC 2349), windows (RFC 7440).
//!
//! No crate fits: async-tftp knows all four options, but it comes with a runtime of its own beside
//! tokio, takes any number of transfers at once, and lets a client hold each of them for hours by
//! the time-out it asks for; tftpd serves a directory, with a thread for each client.

pub mod packet;
pub mod server;
pub mod transfer;
