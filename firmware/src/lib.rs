// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a slamboot ROM is: pins, configuration, scripts, and proof from the finished file.

pub mod inspect;
