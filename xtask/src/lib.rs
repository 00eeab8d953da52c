// SPDX-License-Identifier: MIT OR Apache-2.0
//! The parts of the hallway that the tests of the whole system use, too: programs, what they say,
//! what the host lacks, network namespaces and machines.

pub mod capture;
pub mod certificate;
pub mod cmd;
pub mod console;
pub mod firmware;
pub mod host;
pub mod netlab;
pub mod paths;
pub mod programs;
pub mod qemu;
pub mod sdi;
pub mod table;
pub mod trust;
