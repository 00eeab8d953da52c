// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is served, for whoever reads it: addresses, digests, warnings.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use site::Site;

use crate::boot::http::HttpServer;
use crate::net::interface::{Chosen, Link};
use crate::net::{Planned, Served, Stand};
use crate::observe::{
    Memdisk, Summary, SummaryBoot, SummaryHttp, SummaryInterface, SummaryTransfer,
};

pub(super) fn summarise(
    site: &Site,
    chosen: &[Chosen],
    stands: &[Stand],
    served: &[Served],
    http: Option<&HttpServer>,
    boot: SummaryBoot,
) -> Summary {
    let addresses = http.map(HttpServer::addresses).unwrap_or_default();
    let secure = http.map(HttpServer::secure_addresses).unwrap_or_default();
    let interfaces: Vec<SummaryInterface> = stands
        .iter()
        .enumerate()
        .map(|(number, stand)| SummaryInterface {
            interface: stand.interface.clone(),
            address: stand.host,
            http: addresses
                .get(number)
                .map(|address| format!("http://{address}")),
            https: secure
                .get(number)
                .map(|address| format!("https://{address}")),
            allowed: stand
                .allowed(site)
                .map(|networks| networks.iter().map(ToString::to_string).collect()),
        })
        .collect();
    let transfers = served.iter().map(|served| {
        let Planned { transfer, host, .. } = &served.planned;
        let stand = stands.iter().position(|stand| stand.host == *host);
        let here = stand.map(|number| &interfaces[number]);
        let host6 = stand.and_then(|number| stands[number].host6);
        SummaryTransfer {
            name: transfer.name(),
            interface: here.map_or_else(String::new, |here| here.interface.clone()),
            path: transfer.path.clone(),
            bytes: served.bytes,
            sha256: hex::encode(served.sha256),
            transaction: served.transaction.to_string(),
            group: transfer.group.to_string(),
            slam: match (transfer.group, host6) {
                (SocketAddr::V6(_), Some(address)) => {
                    transfer.uri(format_args!("[{}]", address.ip()))
                }
                _ => transfer.uri(host),
            },
            http: here
                .and_then(|here| here.http.as_ref())
                .map(|base| base.clone() + &transfer.http_path()),
        }
    });
    let (interface, address) = stands.first().map_or_else(
        || (String::new(), Ipv4Addr::UNSPECIFIED),
        |first| (first.interface.clone(), first.host),
    );
    let mut slam = site.slam.clone();
    slam.block_size = stands
        .first()
        .map_or(slam.block_size, |first| first.block_size);
    Summary {
        config: None,
        interface,
        address,
        transfers: transfers.collect(),
        http: interfaces
            .first()
            .and_then(|first| first.http.clone())
            .map(|base| SummaryHttp {
                base,
                default_image: site
                    .default_image()
                    .map(|image| image.name.clone())
                    .unwrap_or_default(),
                memdisk: find_memdisk(&site.server.memdisk),
            }),
        interfaces,
        boot,
        status: None,
        slam,
        warnings: chosen
            .iter()
            .zip(stands)
            .flat_map(|(chosen, stand)| warnings(chosen, stand))
            .chain(unsigned(site))
            .collect(),
    }
}

fn warnings(chosen: &Chosen, stand: &Stand) -> Vec<String> {
    let mut warnings = Vec::new();
    if chosen.link == Link::NoCarrier {
        warnings.push(format!(
            "{} has no carrier: plug it in, or switch the clients on",
            chosen.interface
        ));
    }
    if let Some(mtu) = chosen.mtu.filter(|&mtu| mtu < 1500) {
        warnings.push(format!(
            "{} carries packets of at most {mtu} bytes: blocks have {} bytes so that none is fragmented",
            chosen.interface, stand.block_size
        ));
    }
    if !chosen.others.is_empty() {
        let others: Vec<_> = chosen.others.iter().map(Ipv4Addr::to_string).collect();
        warnings.push(format!(
            "{} has other addresses ({}): clients must reach {}, or choose with --address",
            chosen.interface,
            others.join(", "),
            chosen.address
        ));
    }
    if chosen.address.is_loopback() {
        warnings.push("loopback: only clients on this host can be served".to_owned());
    }
    warnings
}

/// What ROMs that trust signatures only would refuse.
fn unsigned(site: &Site) -> Vec<String> {
    if site.firmware.trust.is_none() {
        return Vec::new();
    }
    let disks = |image: &site::Image| !matches!(image.kind, site::ImageKind::Linux { .. });
    let memdisk = site
        .images
        .iter()
        .any(disks)
        .then(|| site.server.memdisk.clone());
    let mut files: Vec<_> = site.transfers().into_iter().map(|t| t.path).collect();
    files.extend(memdisk);
    files.sort();
    files.dedup();
    files.retain(|file| file.exists() && !site::signature_of(file).exists());
    let warning = |file: std::path::PathBuf| {
        let file = file.display();
        format!(
            "{file} has no signature, and ROMs with trust = true refuse it: cargo xtask trust sign {file}"
        )
    };
    files.into_iter().map(warning).collect()
}

fn find_memdisk(path: &Path) -> Memdisk {
    let path = path.to_owned();
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => Memdisk::Found {
            bytes: metadata.len(),
            path,
        },
        _ => Memdisk::Missing { path },
    }
}
