// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `slamboot.toml` says of a site: interface, addresses, groups and images, named once.
//!
//! Firmware scripts, server and image builder all read this, so they cannot disagree.

mod boot;
mod causes;
mod check;
mod error;
mod found;
mod groups;
mod knobs;
mod load;
mod load_boot;
mod mac;
mod rate;
mod raw;
mod reference;
mod site;
mod slow;
mod transfer;

pub use ipnet::{IpNet, Ipv4Net};

pub use boot::{
    Arch, Boot, DEFAULT_DHCP_PORT, DEFAULT_PXE_PORT, DEFAULT_TFTP_PORT, Dhcp, DhcpMode, Group,
    Host, Http, Menu, RelayedNetwork, StatusPage, Tftp,
};
pub use causes::causes;
pub use check::{Conflict, Key, MAX_BLOCK_SIZE};
pub use error::{Problem, SiteError, nearest};
pub use found::{DEFAULT_CONFIG, default_config};
pub use groups::{Groups, GroupsError};
pub use knobs::{Commands, Console, Knobs, Protocol};
pub use mac::{Mac, MacPattern, NotMac};
pub use rate::{BitRate, BitRateError};
pub use reference::{ReferenceError, reference};
pub use site::{
    Client, DEFAULT_BLOCK_SIZE, DEFAULT_GROUP, DEFAULT_HTTP_PORT, DEFAULT_HTTPS_PORT,
    DEFAULT_SLAM_PORT, EmbeddedScript, Firmware, Https, Image, ImageKind, Priority, Server, Site,
    Slam, Trust,
};
pub use slow::{SlowClients, SlowClientsError, SpeedGroups};
pub use transfer::{Transfer, TransferPart, signature_of};
