// SPDX-License-Identifier: MIT OR Apache-2.0
//! slamboot: the multicast server, the boot services around it, and the image builder.

pub mod boot;
pub mod cli;
pub mod dashboard;
pub mod doctor;
pub mod image;
pub mod net;
pub mod observe;

pub use slam_server as slam;
