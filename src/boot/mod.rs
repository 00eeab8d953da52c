// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boot services: which client gets what, and how it gets it.

pub mod arch;
mod body;
pub mod dhcp;
pub mod http;
pub mod plan;
pub mod tftp;
