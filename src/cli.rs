// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the command line says.

pub mod image;
