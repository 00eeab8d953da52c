// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a slamboot ROM is: pins, configuration, scripts, and proof from the finished file.
//!
//! Nothing here starts a program: `xtask` fetches, builds and packages what this crate decides.

pub mod cards;
pub mod config;
pub mod core;
#[rustfmt::skip]
#[expect(
    unsafe_code,
    dead_code,
    non_camel_case_types,
    reason = "made by bindgen from C"
)]
mod ffi;
pub mod inspect;
pub mod manifest;
pub mod overlay;
pub mod pins;
pub mod recipe;
pub mod record;
pub mod script;
pub mod target;
pub mod tree;
