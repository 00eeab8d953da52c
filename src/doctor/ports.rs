// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the ports that are to be served can be had.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, UdpSocket};

use site::{DhcpMode, Site};

use super::Finding;
use crate::boot::dhcp::socket::{InterfaceSocket, PortError};
use crate::net::interface::Chosen;

const CHECK: &str = "ports";

/// Binds each and lets go.
pub fn look(site: &Site, chosen: &Chosen) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut free = Vec::new();
    let address = chosen.address;
    if site.dhcp.mode != DhcpMode::Off {
        for port in [site.dhcp.port, site.dhcp.pxe_port] {
            match InterfaceSocket::open(&chosen.interface, chosen.index, address, port) {
                Ok(_) => free.push(format!("UDP {port}")),
                Err(PortError::NotPermitted { .. }) => findings.push(not_permitted("UDP", port)),
                Err(error) => findings.push(Finding::problem(
                    CHECK,
                    error.to_string(),
                    "if it is slamboot itself, all is well; else stop it here, or run DHCP on one of the two only: --dhcp off",
                )),
            }
        }
    }
    let mut tell = |result: io::Result<()>, protocol: &str, port: u16, remedy: &str| match result {
        Ok(()) => free.push(format!("{protocol} {port}")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            findings.push(not_permitted(protocol, port));
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let flag = if protocol == "TCP" { "-ltnp" } else { "-lunp" };
            findings.push(Finding::problem(
                CHECK,
                format!("{protocol} port {port} of {address} is taken"),
                format!("`ss {flag} 'sport = :{port}'` names the holder; if it is slamboot itself, all is well; else stop it, or {remedy}"),
            ));
        }
        Err(error) => findings.push(Finding::problem(
            CHECK,
            format!("{protocol} port {port} of {address}: {error}"),
            "see what the system means",
        )),
    };
    let at = |port| SocketAddr::V4(SocketAddrV4::new(address, port));
    if let Some(port) = site.tftp.port {
        let bound = UdpSocket::bind(at(port)).map(drop);
        tell(bound, "UDP", port, "do without TFTP: --no-tftp");
    }
    if let Some(port) = site.server.http_port {
        let bound = TcpListener::bind(at(port)).map(drop);
        tell(bound, "TCP", port, "choose another: --http-port N");
    }
    if let Some(https) = &site.server.https {
        let bound = TcpListener::bind(at(https.port)).map(drop);
        tell(bound, "TCP", https.port, "choose another: --https-port N");
    }
    for transfer in site.transfers() {
        let bound = UdpSocket::bind(at(transfer.port)).map(drop);
        tell(bound, "UDP", transfer.port, "choose another: --port N");
    }
    if !free.is_empty() {
        findings.push(Finding::ok(CHECK, format!("free: {}", free.join(", "))));
    }
    findings
}

fn not_permitted(protocol: &str, port: u16) -> Finding {
    Finding::warning(
        CHECK,
        format!("{protocol} port {port} cannot be tried, nor served, by this user"),
        "run as root, or by the systemd unit, which gives what is needed",
    )
}
