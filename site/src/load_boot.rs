// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the sections about boot services to their validated values.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use ipnet::Ipv4Net;
use toml::Spanned;

use crate::boot::{
    Arch, Boot, Dhcp, DhcpMode, Group, Host, Http, Menu, RelayedNetwork, StatusPage, Tftp,
};
use crate::error::{Complaint, nearest};
use crate::load::{Located, Span, file, filled, ipv4, networks, number};
use crate::mac::{Mac, MacPattern};
use crate::raw::{
    Names, RawBoot, RawDhcp, RawGroup, RawHost, RawHttp, RawRelay, RawStatus, RawTftp,
};
use crate::site::Image;

/// Longest lease: a month.
const MAX_LEASE: u64 = 31 * 86_400;
/// Shortest: clients renew at half of it.
const MIN_LEASE: u64 = 120;
/// Most addresses of a pool: a /16.
const MAX_POOL: u32 = 65_536;

pub(crate) fn dhcp(raw: RawDhcp) -> Result<Dhcp, Located> {
    let default = Dhcp::default();
    let mode = raw.mode.map(|text| {
        let modes = [
            ("auto", DhcpMode::Auto),
            ("off", DhcpMode::Off),
            ("proxy", DhcpMode::Proxy),
            ("pool", DhcpMode::Pool),
        ];
        one_of("[dhcp] mode", "mode", &text, &modes)
    });
    let mode = mode.transpose()?.unwrap_or(default.mode);
    let pool_span = raw.pool.as_ref().map(Spanned::span);
    let pool = raw
        .pool
        .map(|text| pool("[dhcp] pool", &text))
        .transpose()?;
    let relay_span = raw.relay.first().map(Spanned::span);
    let relays = relays(raw.relay)?;
    let leased = [
        (pool_span, "[dhcp] pool", "`pool`"),
        (relay_span, "[[dhcp.relay]]", "[[dhcp.relay]]"),
    ];
    for (span, what, key) in leased {
        if let (Some(span), false) = (span, mode == DhcpMode::Pool) {
            let complaint = Complaint::new(format!("{what}: addresses that nobody leases"))
                .expected("mode = \"pool\" under [dhcp]")
                .help(format!("write mode = \"pool\" if this is to be the network's only DHCP server, or leave {key} out"));
            return Err((complaint, span));
        }
    }
    let ports = 1..=u16::MAX;
    let lease = number(
        "[dhcp] lease_time",
        raw.lease_time,
        MIN_LEASE..=MAX_LEASE,
        " seconds",
    )?;
    let dns = raw.dns.map_or_else(Vec::new, |names| names.0);
    Ok(Dhcp {
        mode,
        port: number("[dhcp] port", raw.port, ports.clone(), "")?.unwrap_or(default.port),
        pxe_port: number("[dhcp] pxe_port", raw.pxe_port, ports, "")?.unwrap_or(default.pxe_port),
        strict: raw.strict.map_or(default.strict, Spanned::into_inner),
        pool,
        lease_time: lease.map_or(default.lease_time, Duration::from_secs),
        router: raw
            .router
            .map(|text| ipv4("[dhcp] router", &text))
            .transpose()?,
        dns: dns
            .iter()
            .map(|text| ipv4("[dhcp] dns", text))
            .collect::<Result<_, _>>()?,
        relays,
    })
}

/// Every `[[dhcp.relay]]`; no address is in two of them.
fn relays(raw: Vec<Spanned<RawRelay>>) -> Result<Vec<RelayedNetwork>, Located> {
    let mut relays: Vec<RelayedNetwork> = Vec::new();
    for raw in raw {
        let whole = raw.span();
        let raw = raw.into_inner();
        let Some(text) = raw.network else {
            let complaint = Complaint::new("[[dhcp.relay]] without `network`")
                .expected("network = \"198.51.100.0/24\", the one that the relay agent is in");
            return Err((complaint, whole));
        };
        let key = "[[dhcp.relay]] network";
        let wrong = |complaint: Complaint| {
            let said = text.get_ref();
            (complaint.found(format!("{said:?}")), text.span())
        };
        // Leases need addresses beside the network's own and its broadcast.
        let network = text.get_ref().parse::<Ipv4Net>().ok();
        let network = network.filter(|network| (8..=30).contains(&network.prefix_len()));
        let network =
            network.map(|network| network.trunc()).ok_or_else(|| {
                wrong(Complaint::new(format!("{key}: not an IPv4 network")).expected(
                "an address and the length of its prefix, 8 to 30, such as \"198.51.100.0/24\"",
            ))
            })?;
        let overlaps = |other: &&RelayedNetwork| {
            other.network.contains(&network) || network.contains(&other.network)
        };
        if let Some(other) = relays.iter().find(overlaps) {
            return Err(wrong(
                Complaint::new(format!("{key}: addresses of another [[dhcp.relay]], too"))
                    .expected(format!("a network beside {}", other.network)),
            ));
        }
        let inside = |key: &str, span: Span, addresses: &[Ipv4Addr]| {
            let outside = addresses.iter().find(|address| !network.contains(*address));
            outside.map_or(Ok(()), |outside| {
                let complaint = Complaint::new(format!("[[dhcp.relay]] {key}: of another network"))
                    .expected(format!("an address in {network}"))
                    .found(outside.to_string());
                Err((complaint, span))
            })
        };
        let range = raw.pool.map(|text| {
            let range = pool("[[dhcp.relay]] pool", &text)?;
            inside("pool", text.span(), &[range.0, range.1])?;
            Ok(range)
        });
        let router = raw.router.map(|text| {
            let router = ipv4("[[dhcp.relay]] router", &text)?;
            inside("router", text.span(), &[router])?;
            Ok(router)
        });
        let dns = raw.dns.map(|Names(names)| {
            let addresses = names.iter().map(|text| ipv4("[[dhcp.relay]] dns", text));
            addresses.collect::<Result<_, _>>()
        });
        let interface = raw.interface;
        relays.push(RelayedNetwork {
            network,
            pool: range.transpose()?,
            router: router.transpose()?,
            dns: dns.transpose()?,
            interface: interface
                .map(|text| filled("[[dhcp.relay]] interface", text))
                .transpose()?,
        });
    }
    Ok(relays)
}

/// `FIRST-LAST`
fn pool(key: &str, text: &Spanned<String>) -> Result<(Ipv4Addr, Ipv4Addr), Located> {
    let ends = text.get_ref().split_once('-').and_then(|(first, last)| {
        let first: Ipv4Addr = first.trim().parse().ok()?;
        let last: Ipv4Addr = last.trim().parse().ok()?;
        let count = u32::from(last).checked_sub(first.into())?;
        (count < MAX_POOL).then_some((first, last))
    });
    ends.ok_or_else(|| {
        let complaint = Complaint::new(format!("{key}: not a range of addresses"))
            .expected(format!(
                "the first and the last, such as \"192.0.2.100-192.0.2.199\", at most {MAX_POOL}"
            ))
            .found(format!("{:?}", text.get_ref()));
        (complaint, text.span())
    })
}

pub(crate) fn tftp(raw: RawTftp) -> Result<Tftp, Located> {
    let port = number("[tftp] port", raw.port, 0..=u16::MAX, "")?;
    Ok(match port {
        None => Tftp::default(),
        Some(0) => Tftp {
            port: None,
            required: false,
        },
        Some(port) => Tftp {
            port: Some(port),
            required: true,
        },
    })
}

pub(crate) fn http(raw: RawHttp) -> Result<Http, Located> {
    let connections = number(
        "[http] max_connections",
        raw.max_connections,
        1..=100_000u32,
        "",
    )?;
    Ok(Http {
        max_connections: connections.unwrap_or(Http::default().max_connections),
    })
}

pub(crate) fn status(raw: RawStatus, folder: &Path) -> Result<StatusPage, Located> {
    let default = StatusPage::default();
    let history = number("[status] history", raw.history, 1..=100_000u32, " sessions")?;
    Ok(StatusPage {
        shown: raw.page.map_or(default.shown, Spanned::into_inner),
        token_file: file("[status] token_file", raw.token_file, folder)?,
        history: history.unwrap_or(default.history),
    })
}

pub(crate) fn menu(raw: &RawBoot) -> Result<Menu, Located> {
    let default = Menu::default();
    let timeout = number(
        "[boot] timeout",
        raw.timeout.clone(),
        0..=3600u64,
        " seconds",
    )?;
    Ok(Menu {
        shown: raw
            .menu
            .as_ref()
            .map_or(default.shown, |menu| *menu.get_ref()),
        timeout: timeout.map_or(default.timeout, Duration::from_secs),
    })
}

/// Every `[[host]]`; no card and no address is there twice.
pub(crate) fn hosts(raw: Vec<Spanned<RawHost>>, images: &[Image]) -> Result<Vec<Host>, Located> {
    let mut hosts: Vec<Host> = Vec::new();
    let mut cards: HashMap<Mac, String> = HashMap::new();
    let mut addresses: HashMap<Ipv4Addr, String> = HashMap::new();
    for raw in raw {
        let whole = raw.span();
        let raw = raw.into_inner();
        let mut macs = Vec::new();
        for text in raw.mac.map(|names| names.0).unwrap_or_default() {
            let mac: Mac = text.get_ref().parse().map_err(|_| {
                let complaint = Complaint::new("[[host]] mac: not an Ethernet address")
                    .expected("such as \"52:54:00:12:34:56\", or a list of them")
                    .found(format!("{:?}", text.get_ref()));
                let complaint = if text.get_ref().contains('*') {
                    complaint.help("patterns stand in [[group]]")
                } else {
                    complaint
                };
                (complaint, text.span())
            })?;
            macs.push((mac, text.span()));
        }
        if macs.is_empty() {
            let complaint = Complaint::new("[[host]] without `mac`")
                .expected("mac = \"52:54:00:12:34:56\", or a list, of its network cards");
            return Err((complaint, whole));
        }
        let address_span = raw.address.as_ref().map(Spanned::span);
        let host = Host {
            macs: macs.iter().map(|(mac, _)| *mac).collect(),
            name: raw
                .name
                .map(|text| filled("[[host]] name", text))
                .transpose()?,
            address: raw
                .address
                .map(|text| ipv4("[[host]] address", &text))
                .transpose()?,
            boot: boot("[[host]]", raw.image, raw.boot, images)?,
        };
        let twice = |what: String, first: &str, span: Span| {
            let complaint = Complaint::new(format!("[[host]] {what}: named twice"))
                .expected("each in one [[host]]")
                .found(format!("{first} has it, too"));
            (complaint, span)
        };
        for (mac, span) in macs {
            if let Some(first) = cards.insert(mac, host.label()) {
                return Err(twice("mac".to_owned(), &first, span));
            }
        }
        if let (Some(address), Some(span)) = (host.address, address_span)
            && let Some(first) = addresses.insert(address, host.label())
        {
            return Err(twice("address".to_owned(), &first, span));
        }
        hosts.push(host);
    }
    Ok(hosts)
}

pub(crate) fn groups(raw: Vec<Spanned<RawGroup>>, images: &[Image]) -> Result<Vec<Group>, Located> {
    raw.into_iter()
        .map(|raw| {
            let whole = raw.span();
            let raw = raw.into_inner();
            let name = raw.name.ok_or_else(|| {
                let complaint =
                    Complaint::new("[[group]] without `name`").expected("name = \"...\"");
                (complaint, whole)
            })?;
            let macs = raw.mac.map(|Names(names)| names).unwrap_or_default();
            let macs = macs.iter().map(pattern).collect::<Result<_, _>>()?;
            let archs = raw.arch.map(|Names(names)| names).unwrap_or_default();
            let known = Arch::ALL.map(|arch| (arch.name(), arch));
            let archs = archs
                .iter()
                .map(|text| one_of("[[group]] arch", "architecture", text, &known))
                .collect::<Result<_, _>>()?;
            Ok(Group {
                name: filled("[[group]] name", name)?,
                macs,
                networks: networks("[[group]] network", raw.network.map(|Names(names)| names))?,
                archs,
                boot: boot("[[group]]", raw.image, raw.boot, images)?,
            })
        })
        .collect()
}

fn pattern(text: &Spanned<String>) -> Result<MacPattern, Located> {
    text.get_ref().parse().map_err(|_| {
        let complaint = Complaint::new("[[group]] mac: not an Ethernet address or pattern")
            .expected("such as \"52:54:00:12:34:56\", or \"52:54:00:*\" for all that begin so")
            .found(format!("{:?}", text.get_ref()));
        (complaint, text.span())
    })
}

fn boot(
    section: &str,
    image: Option<Spanned<String>>,
    boot: Option<Spanned<String>>,
    images: &[Image],
) -> Result<Boot, Located> {
    match (image, boot) {
        (Some(_), Some(boot)) => {
            let complaint = Complaint::new(format!("{section}: both `image` and `boot`"))
                .expected("image = \"NAME\", or boot = \"menu\", \"local\" or \"default\"")
                .help("remove one of them");
            Err((complaint, boot.span()))
        }
        (Some(image), None) => {
            let names = || images.iter().map(|image| image.name.as_str());
            if names().any(|name| name == image.get_ref()) {
                return Ok(Boot::Image(image.into_inner()));
            }
            let known: Vec<String> = names().map(|name| format!("{name:?}")).collect();
            let complaint = Complaint::new(format!("{section} image: no image of this name"))
                .expected(match known.len() {
                    0 => "an [[image]] to boot; there is none".to_owned(),
                    _ => known.join(", "),
                })
                .found(format!("{:?}", image.get_ref()));
            let complaint = match nearest(image.get_ref(), names()) {
                Some(near) => complaint.help(format!("did you mean {near:?}?")),
                None => complaint,
            };
            Err((complaint, image.span()))
        }
        (None, Some(text)) => {
            let known = [
                ("menu", Boot::Menu),
                ("local", Boot::Local),
                ("default", Boot::Default),
            ];
            one_of(&format!("{section} boot"), "way to boot", &text, &known)
        }
        (None, None) => Ok(Boot::Default),
    }
}

/// The value of this name.
fn one_of<T: Clone>(
    key: &str,
    what: &str,
    text: &Spanned<String>,
    known: &[(&str, T)],
) -> Result<T, Located> {
    let found = known.iter().find(|(name, _)| name == text.get_ref());
    found.map(|(_, value)| value.clone()).ok_or_else(|| {
        let names = || known.iter().map(|(name, _)| *name);
        let listed: Vec<String> = names().map(|name| format!("{name:?}")).collect();
        let complaint = Complaint::new(format!("{key}: no such {what}"))
            .expected(listed.join(", "))
            .found(format!("{:?}", text.get_ref()));
        let complaint = match nearest(text.get_ref(), names()) {
            Some(near) => complaint.help(format!("did you mean {near:?}?")),
            None => complaint,
        };
        (complaint, text.span())
    })
}
