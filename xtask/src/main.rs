// SPDX-License-Identifier: MIT OR Apache-2.0
//! slamboot's verbs: they put the rooms to work.
fn main() {}
