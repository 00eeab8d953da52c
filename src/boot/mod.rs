// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boot services: which client gets what, and how it gets it.

pub mod arch;
pub mod archs;
pub mod assign;
mod body;
mod crowd;
pub mod dhcp;
mod download;
#[cfg(test)]
pub(crate) mod fuzz;
mod guarded;
pub mod handed;
pub mod http;
pub mod identity;
mod listening;
pub mod neighbour;
pub mod plan;
pub mod report;
pub mod roms;
pub mod script;
mod secured;
pub mod tftp;
