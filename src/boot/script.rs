// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot script, as `firmware` renders it for ROMs too.

use std::net::Ipv4Addr;

use site::{Image, Site};

/// The iPXE script that boots `image` of `site` from `server`.
pub fn render(_site: &Site, image: &Image, server: Ipv4Addr) -> Result<String, String> {
    Ok(format!("#!ipxe\n# seam: {} from {server}\n", image.name))
}
