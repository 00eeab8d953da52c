// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot doctor`: what stands in the way, and what to do about it.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use site::{DhcpMode, Site};

use super::serve::{ServeArgs, beside, resolve_site};
use crate::doctor::firewall::{self, Packet};
use crate::doctor::offers::Asker;
use crate::doctor::{Diagnosis, Finding, files, multicast, offers, ports, split};
use crate::net::interface::{self, Chosen, Link};

/// Look for what keeps machines from booting: on this host and on the wire.
///
/// Sends DHCP requests as three kinds of machines would, takes nothing of what is offered, and joins a multicast group for a
/// moment. Everything else is only read. Ports are tried: stop `slamboot serve` first, or know that
/// its own ports are told as taken.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo slamboot doctor                          by ./slamboot.toml, or the only interface
  sudo slamboot doctor --interface eth0 lab.img

Exit codes: 0 no problem (there may be warnings), 1 problems, 2 wrong options.")]
pub(super) struct DoctorArgs {
    /// Disk images that are to be served, instead of those in the configuration
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Configuration [default: without FILE, ./slamboot.toml, else that of dist/, else /etc/slamboot/slamboot.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Network interface to look at; again for each further one
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,

    /// Print the findings as one JSON object
    #[arg(long)]
    json: bool,
}

/// Looks at everything; whether there is no problem.
pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<bool> {
    let serve = ServeArgs::of(
        args.files.clone(),
        args.config.clone(),
        args.interface.clone(),
    );
    let mut findings = Vec::new();
    let site = match resolve_site(&serve) {
        Ok(site) => site,
        Err(error) => {
            let (what, remedy) = split(&format!("{error:#}"));
            findings.push(Finding::problem("site", what, remedy));
            let mut site = Site::default();
            site.server.interfaces.clone_from(&args.interface);
            site
        }
    };
    for chosen in interfaces(&site, &mut findings) {
        at(&site, &chosen, &mut findings);
    }
    findings.extend(files::look(&site, &beside(&serve), now()));
    let diagnosis = Diagnosis::of(findings);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&diagnosis)?);
    } else {
        for finding in &diagnosis.findings {
            println!("{finding}");
        }
        println!(
            "\n{} problems, {} warnings",
            diagnosis.problems, diagnosis.warnings
        );
    }
    Ok(diagnosis.problems == 0)
}

#[expect(clippy::disallowed_methods, reason = "the edge: is the clock right?")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn interfaces(site: &Site, findings: &mut Vec<Finding>) -> Vec<Chosen> {
    let mut wrong = |error: &dyn std::fmt::Display| {
        let (what, remedy) = split(&error.to_string());
        findings.push(Finding::problem("interface", what, remedy));
    };
    let all = match interface::list_interfaces() {
        Ok(all) => all,
        Err(error) => {
            wrong(&error);
            return Vec::new();
        }
    };
    let names: Vec<Option<&str>> = match site.server.interfaces.as_slice() {
        [] => vec![None],
        names => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    names
        .into_iter()
        .filter_map(|name| {
            interface::choose(&all, name, site.server.address)
                .map_err(|error| wrong(&error))
                .ok()
        })
        .collect()
}

/// Everything about one interface.
fn at(site: &Site, chosen: &Chosen, findings: &mut Vec<Finding>) {
    let name = &chosen.interface;
    findings.push(match chosen.link {
        Link::Up => Finding::ok("interface", format!("{name}, {}", chosen.address)),
        _ => Finding::warning(
            "interface",
            format!("{name} has no carrier"),
            "plug it in, or switch the clients on",
        ),
    });
    if let Some(mtu) = chosen.mtu {
        findings.push(if mtu < 1500 {
            Finding::warning(
                "MTU",
                format!("{name} carries packets of at most {mtu} bytes: blocks become smaller"),
                format!("ip link set {name} mtu 1500, where the network carries it"),
            )
        } else {
            Finding::ok("MTU", format!("{mtu} bytes"))
        });
    }
    findings.extend(ports::look(site, chosen));
    if chosen.address.is_loopback() {
        return;
    }
    let asked = Asker::open(name, chosen.index, chosen.address).and_then(|mut asker| asker.ask());
    match asked {
        Ok(offers) => findings.extend(offers::judge(&offers, site.dhcp.mode, chosen.address)),
        Err(error) => findings.push(Finding::skipped(
            "DHCP",
            format!("servers cannot be asked: {error}"),
        )),
    }
    findings.extend(firewall::look(&packets(site, name)));
    findings.extend(multicast::look(chosen));
}

/// `auto` is a proxy, where it is anything.
/// What clients send to this server.
fn packets(site: &Site, interface: &str) -> Vec<Packet> {
    let packet = |protocol, port, purpose| Packet {
        interface: interface.to_owned(),
        protocol,
        port,
        purpose,
    };
    let mut packets = Vec::new();
    if site.dhcp.mode != DhcpMode::Off {
        packets.push(packet("udp", site.dhcp.port, "DHCP"));
        packets.push(packet("udp", site.dhcp.pxe_port, "PXE"));
    }
    packets.extend(site.tftp.port.map(|port| packet("udp", port, "TFTP")));
    packets.extend(
        site.server
            .http_port
            .map(|port| packet("tcp", port, "HTTP")),
    );
    let https = site.server.https.as_ref();
    packets.extend(https.map(|https| packet("tcp", https.port, "HTTPS")));
    let mut slam: Vec<u16> = site.transfers().iter().map(|t| t.port).collect();
    slam.dedup();
    packets.extend(slam.into_iter().map(|port| packet("udp", port, "SLAM")));
    packets
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_firewall_is_asked_of_every_port() {
        let text = "[server]\ncertificate = \"crt\"\n[[image]]\nname = \"a\"\nkind = \"linux\"\n\
                    kernel = \"k\"\ninitrd = \"i\"\n";
        let site = Site::parse(text, Path::new("slamboot.toml")).unwrap();
        let asked: Vec<String> = packets(&site, "eth0")
            .iter()
            .map(|packet| format!("{} {} {}", packet.protocol, packet.port, packet.purpose))
            .collect();
        let expected = [
            "udp 67 DHCP",
            "udp 4011 PXE",
            "udp 69 TFTP",
            "tcp 8080 HTTP",
            "tcp 8443 HTTPS",
            "udp 10000 SLAM",
            "udp 10001 SLAM",
        ];
        assert_eq!(asked, expected);
    }
}
