// SPDX-License-Identifier: MIT OR Apache-2.0
//! The edge to the network: interfaces, sockets, and the driver that owns them.

pub mod interface;
