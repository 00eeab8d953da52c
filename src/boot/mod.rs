// SPDX-License-Identifier: MIT OR Apache-2.0
//! The services around the transfers: how a client gets its boot loader, script and memdisk.

mod body;
pub mod http;
