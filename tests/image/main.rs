// SPDX-License-Identifier: MIT OR Apache-2.0
//! The image builder from the outside: other people's tools judge its disks, QEMU boots them,
//! and bad input is met with good errors.

mod bad_input;
mod boot;
mod boot_code;
mod existing;
mod full;
mod hostile;
mod inside;
#[path = "../support/judge.rs"]
mod judge;
mod judges;
mod machine;
mod ntfs;
mod plan;
mod support;
mod verify;
mod winpe;
mod winpe_bad;
mod winpe_boot;
mod winpe_parts;
