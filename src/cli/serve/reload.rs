// SPDX-License-Identifier: MIT OR Apache-2.0
//! SIGHUP: the configuration, read again while rooms are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::args::ServeArgs;
use super::boot::Running;
use super::face::Watching;
use super::read_identity;
use super::resolve::resolve_site;
use super::stands::{check_scripts, site_at};
use super::systemd;
use crate::boot::http::HttpServer;
use crate::boot::identity::Identity;
use crate::net::interface::Chosen;
use crate::net::{Plan, Reload, Stand};
use site::{Https, Site};

/// Reads the configuration again whenever SIGHUP came.
pub(super) struct Reloader {
    pub(super) asked: Arc<AtomicBool>,
    pub(super) args: ServeArgs,
    /// The configuration in force.
    pub(super) site: Site,
    pub(super) stands: Vec<Stand>,
    pub(super) chosen: Vec<Chosen>,
}

impl Reloader {
    pub(super) fn reload(
        &mut self,
        http: Option<&HttpServer>,
        boot: &Running,
        watching: &Watching,
    ) -> Reload {
        if !self.asked.swap(false, Ordering::Relaxed) {
            return None;
        }
        systemd::reloading();
        let read = self.read().map(|(plan, later, identity)| {
            if let Some(http) = http {
                if let Some(identity) = &identity {
                    http.renew(identity);
                }
                http.show(self.stands.iter().map(|stand| site_at(&self.site, stand)));
            }
            boot.show(&self.site);
            watching.show(&self.site);
            (plan, later)
        });
        // With what was read, or with what there was.
        systemd::ready();
        Some(read)
    }

    fn read(&mut self) -> Result<(Plan, Vec<String>, Option<Identity>), String> {
        let told = |error: anyhow::Error| format!("{error:#}");
        let mut site = resolve_site(&self.args).map_err(told)?;
        // What is bound at the start stays as it was.
        let mut later = Vec::new();
        let (old, new) = (&self.site.server, &mut site.server);
        if old.interfaces != new.interfaces || old.address != new.address {
            later.push("[server] interface and address".to_owned());
        }
        if old.address6 != new.address6 {
            later.push("[server] address6".to_owned());
        }
        if old.http_port != new.http_port {
            later.push("[server] http_port".to_owned());
        }
        let port = |server: &site::Server| server.https.as_ref().map(|https| https.port);
        if port(old) != port(new) {
            later.push("[server] https_port".to_owned());
        }
        // A renewed certificate may be in another file.
        let https = match (old.https.clone(), new.https.take()) {
            (Some(old), Some(new)) => Some(Https {
                port: old.port,
                ..new
            }),
            (old, _) => old,
        };
        if old.memdisk != new.memdisk {
            later.push("[server] memdisk".to_owned());
        }
        let fixed = [
            ("[server] firmware, state and user", {
                let (old, new) = (old, &*new);
                old.firmware != new.firmware || old.state != new.state || old.user != new.user
            }),
            // Whom it answers can change, what it leases cannot.
            ("[dhcp]", {
                let same = site::Dhcp {
                    strict: self.site.dhcp.strict,
                    ..site.dhcp.clone()
                };
                same != self.site.dhcp
            }),
            ("[tftp]", self.site.tftp != site.tftp),
            ("[http]", self.site.http != site.http),
            ("[status]", self.site.status != site.status),
        ];
        for (what, _) in fixed.iter().filter(|(_, changed)| *changed) {
            later.push((*what).to_owned());
        }
        *new = old.clone();
        new.https = https;
        let identity = read_identity(&site).map_err(|error| error.to_string())?;
        check_scripts(&site, &self.stands).map_err(told)?;
        let mut stands = self.stands.clone();
        for (stand, chosen) in stands.iter_mut().zip(&self.chosen) {
            let (slam, wanted) = (&site.slam, site.slam.block_size);
            let fits = chosen.smaller_block(wanted, slam.group);
            stand.block_size = match fits {
                Some(fits) if wanted == site::DEFAULT_BLOCK_SIZE => fits,
                _ => wanted,
            };
            let checked = chosen.check_mtu(stand.block_size, slam.group);
            checked.map_err(|error| error.to_string())?;
            stand.host6 = match slam.group.v6() {
                Some(_) => {
                    let wanted = site
                        .server
                        .address6
                        .filter(|a| chosen.addresses6.contains(a));
                    Some(chosen.address6(wanted).map_err(|error| error.to_string())?)
                }
                None => None,
            };
        }
        let plan = Plan::new(&site, &stands);
        self.site = site;
        self.stands = stands;
        Ok((plan, later, identity))
    }
}
