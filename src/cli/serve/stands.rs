// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where to serve, and what scripts say there.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use anyhow::{anyhow, bail};
use site::{Image, Site};

use crate::boot::http::Loader;
use crate::net::Stand;
use crate::net::interface::{self, Chosen};

/// The script as ROMs carry it too.
pub(super) fn boot_script(
    loader: Loader,
    site: &Site,
    image: &Image,
    server: Ipv4Addr,
) -> Result<String, String> {
    let script = match loader {
        Loader::Ipxe => firmware::script::boot(site, image, server),
        Loader::Gpxe => firmware::script::boot_gpxe(site, image, server),
    };
    script.map_err(|error| error.to_string())
}

/// Decides where to serve.
pub(super) fn choose_interfaces(site: &Site) -> anyhow::Result<Vec<(Chosen, Stand)>> {
    let all = interface::list_interfaces()?;
    let chosen = match site.server.interfaces.as_slice() {
        [] => vec![interface::choose(&all, None, site.server.address)?],
        [name] => vec![interface::choose(&all, Some(name), site.server.address)?],
        names => names
            .iter()
            .map(|name| interface::choose(&all, Some(name), None))
            .collect::<Result<_, _>>()?,
    };
    let mut taken = HashMap::new();
    for one in &chosen {
        if let Some(other) = taken.insert(one.address, &one.interface) {
            bail!(
                "{other} and {} both have the address {}\n  expected: an address of its own for \
                 each interface\n  help: serve on one of them",
                one.interface,
                one.address
            );
        }
    }
    let several = chosen.len() > 1;
    chosen
        .into_iter()
        .map(|chosen| {
            let slam = &site.slam;
            let mut block_size = slam.block_size;
            // Clients learn the block size from the server: nobody who did not choose one need
            // know.
            if block_size == site::DEFAULT_BLOCK_SIZE {
                block_size = chosen
                    .smaller_block(block_size, slam.group)
                    .unwrap_or(block_size);
            }
            chosen.check_mtu(block_size, slam.group)?;
            let wanted6 = site.server.address6.filter(|address| {
                // With several interfaces it is that of the one that has it.
                !several || chosen.addresses6.contains(address)
            });
            let host6 = match slam.group.v6() {
                Some(_) => Some(chosen.address6(wanted6)?),
                None => None,
            };
            let stand = Stand {
                interface: chosen.interface.clone(),
                host: chosen.address,
                host6,
                networks: chosen.networks.clone(),
                block_size,
            };
            Ok((chosen, stand))
        })
        .collect()
}

/// The site as clients at one interface see it: scripts name the address by which they came.
pub(super) fn site_at(site: &Site, stand: &Stand) -> Site {
    let mut site = site.clone();
    site.server.address = Some(stand.host);
    site.server.address6 = stand.host6.map(|address| *address.ip());
    site.slam.block_size = stand.block_size;
    site
}

/// What cannot stand in a script is told before gigabytes are digested.
pub(super) fn check_scripts(site: &Site, stands: &[Stand]) -> anyhow::Result<()> {
    let (Some(_), [stand, ..]) = (site.server.http_port, stands) else {
        return Ok(());
    };
    let site = site_at(site, stand);
    for image in &site.images {
        boot_script(Loader::Ipxe, &site, image, stand.host).map_err(|what| anyhow!(what))?;
    }
    Ok(())
}
