// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot services of `slamboot serve`: bound at the start, answering when images are ready.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, anyhow};
use site::{DhcpMode, IpNet, RelayedNetwork, Site};

use super::rivals::Rivals;
use super::stands::{boot_script, site_at};
use crate::boot::archs::Archs;
use crate::boot::assign::Assignments;
use crate::boot::dhcp::network::{Network, networks};
use crate::boot::dhcp::server::{DhcpServer, DhcpSockets, DhcpStand, SharedPlan, Tell};
use crate::boot::http::HttpServer;
use crate::boot::plan::{BootPlan, Services};
use crate::boot::roms::RomShelf;
use crate::boot::script::{Asks, Loader, Scripts};
use crate::boot::tftp::server::{TftpFile, TftpFiles, TftpServer, TftpSockets, TftpStand};
use crate::net::interface::Chosen;
use crate::net::{Shelf, Stand};
use crate::observe::{SummaryBoot, SummaryDhcp, SummaryRom};

/// Ports that are bound, and what will answer there.
pub(super) struct Bound {
    pub(super) roms: Arc<RomShelf>,
    pub(super) assignments: Arc<Assignments>,
    pub(super) archs: Arc<Archs>,
    state: Option<PathBuf>,
    dhcp: Option<DhcpSockets>,
    rivals: Option<Rivals>,
    own_questions: Vec<u32>,
    tftp: Option<TftpSockets>,
    services: Services,
    summary: SummaryBoot,
}

/// What answers; it ends when it is dropped.
pub(super) struct Running {
    plan: SharedPlan,
    roms: Arc<RomShelf>,
    assignments: Arc<Assignments>,
    services: Services,
    _dhcp: Option<DhcpServer>,
    _tftp: Option<TftpServer>,
}

impl Bound {
    /// Binds what the site wants; what was not asked for by name may be missing, and the summary
    /// says why.
    pub(super) fn bind(site: &Site, beside: &Path, chosen: &[Chosen]) -> anyhow::Result<Bound> {
        let roms = RomShelf::find(site.server.firmware.as_deref(), beside)?;
        let state = state_directory(site)?;
        let assignments = match &state {
            Some(directory) => Assignments::open(directory.join("assignments.json"))
                .context("cannot read assignments")?,
            None => Assignments::default(),
        };
        let mut summary = SummaryBoot {
            roms: roms
                .roms()
                .iter()
                .map(|(arch, rom)| SummaryRom {
                    arch: arch.to_string(),
                    name: rom.name.clone(),
                    slam: rom.slam,
                })
                .collect(),
            firmware: roms.directory().map(|path| path.display().to_string()),
            ..SummaryBoot::default()
        };
        let tftp = bind_tftp(site, chosen, &mut summary)?;
        let (dhcp, rivals) = bind_dhcp(site, chosen, &mut summary)?.unzip();
        Ok(Bound {
            roms: Arc::new(roms),
            assignments: Arc::new(assignments),
            archs: Arc::default(),
            state,
            services: Services {
                http: site.server.http_port,
                tftp: tftp.is_some(),
            },
            dhcp,
            own_questions: rivals.as_ref().map(Rivals::numbers).unwrap_or_default(),
            rivals,
            tftp,
            summary,
        })
    }

    /// Where leases and assignments are kept.
    pub(super) fn state(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    /// Who else may answer is looked for by them, once.
    pub(super) fn take_rivals(&mut self) -> Option<Rivals> {
        self.rivals.take()
    }

    /// Answers from now on.
    pub(super) fn serve(
        self,
        site: &Site,
        stands: &[Stand],
        contents: &Arc<Shelf>,
        http: Option<&HttpServer>,
        tell: Tell,
    ) -> anyhow::Result<(Running, SummaryBoot)> {
        let plan = BootPlan::new(site, self.roms.roms(), self.services)
            .with_assignments(&self.assignments);
        let plan: SharedPlan = Arc::new(RwLock::new(Arc::new(plan)));
        let memdisk: Option<Arc<[u8]>> = std::fs::read(&site.server.memdisk).ok().map(Into::into);
        let tftp = self.tftp.map(|sockets| {
            let files = stands.iter().enumerate().map(|(number, stand)| {
                let scripts = http.and_then(|http| http.scripts().get(number).cloned());
                let scripts = scripts.unwrap_or_else(|| {
                    let site = site_at(site, stand);
                    let made = Scripts::without_http(
                        site,
                        stand.host,
                        boot_script,
                        contents,
                        &self.assignments,
                        &self.archs,
                    );
                    Arc::new(made)
                });
                files(&self.roms, memdisk.clone(), scripts, contents, stand.host)
            });
            sockets
                .serve(files.collect(), Arc::clone(&tell))
                .context("cannot start a thread for TFTP")
        });
        let dhcp = self.dhcp.map(|sockets| {
            let (plan, archs) = (Arc::clone(&plan), Arc::clone(&self.archs));
            let own = self.own_questions;
            sockets.serve(plan, self.state.as_deref(), archs, own, tell)
        });
        let running = Running {
            plan,
            roms: self.roms,
            assignments: self.assignments,
            services: self.services,
            _dhcp: dhcp.transpose()?,
            _tftp: tftp.transpose()?,
        };
        Ok((running, self.summary))
    }
}

impl Running {
    /// Answers by the rules of another site from now on.
    pub(super) fn show(&self, site: &Site) {
        let plan = BootPlan::new(site, self.roms.roms(), self.services)
            .with_assignments(&self.assignments);
        *self.plan.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(plan);
    }
}

/// What TFTP serves at one interface: these names, and no path of anybody's making.
fn files(
    roms: &Arc<RomShelf>,
    memdisk: Option<Arc<[u8]>>,
    scripts: Arc<Scripts>,
    shelf: &Arc<Shelf>,
    host: Ipv4Addr,
) -> TftpFiles {
    let (roms, shelf) = (Arc::clone(roms), Arc::clone(shelf));
    Arc::new(move |name, client| {
        // Some firmware puts a slash before what it was told, some turns it round.
        let name = name.replace('\\', "/");
        let name = name.trim_start_matches('/');
        if let Some(rom) = roms.get(name) {
            return Some(TftpFile::Bytes(Arc::clone(&rom.bytes)));
        }
        if let Some(image) = name.strip_prefix("images/") {
            return shelf.find(host, image).map(TftpFile::Content);
        }
        match name {
            "memdisk" => memdisk.clone().map(TftpFile::Bytes),
            "boot.ipxe" => {
                let asks = Asks {
                    loader: Loader::Ipxe,
                    image: None,
                    mac: None,
                    client: IpAddr::V4(client),
                };
                let script = scripts.answer(&asks).ok()?;
                Some(TftpFile::Bytes(script.script.into_bytes().into()))
            }
            _ => None,
        }
    })
}

fn bind_tftp(
    site: &Site,
    chosen: &[Chosen],
    summary: &mut SummaryBoot,
) -> anyhow::Result<Option<TftpSockets>> {
    let Some(port) = site.tftp.port else {
        summary.no_tftp = Some("as configured".to_owned());
        return Ok(None);
    };
    let loopback = chosen.iter().all(|one| one.address.is_loopback());
    if loopback && !site.tftp.required {
        summary.no_tftp = Some("loopback, where nobody boots".to_owned());
        return Ok(None);
    }
    let stands = chosen.iter().map(|one| TftpStand {
        address: SocketAddrV4::new(one.address, port),
        mtu: one.mtu.unwrap_or(1500),
    });
    match TftpSockets::bind(stands.collect()) {
        Ok(sockets) => {
            summary.tftp = sockets.addresses();
            Ok(Some(sockets))
        }
        Err(error) if site.tftp.required => Err(anyhow!(
            "{error}\n  help: choose another port ([tftp] port), or do without: --no-tftp, or port = 0"
        )),
        Err(error) => {
            summary.no_tftp = Some(error.to_string());
            Ok(None)
        }
    }
}

fn bind_dhcp(
    site: &Site,
    chosen: &[Chosen],
    summary: &mut SummaryBoot,
) -> anyhow::Result<Option<(DhcpSockets, Rivals)>> {
    let mode = site.dhcp.mode;
    let loopback = chosen.iter().all(|one| one.address.is_loopback());
    if loopback && mode == DhcpMode::Auto {
        return Ok(None);
    }
    if mode == DhcpMode::Off {
        let why = "as configured".to_owned();
        summary.dhcp = SummaryDhcp::Off { why };
        return Ok(None);
    }
    let mut pools = Vec::new();
    let mut stands = Vec::new();
    let relayed = relayed(site, chosen)?;
    for (number, one) in chosen.iter().enumerate() {
        let mine = relayed.iter().filter(|(stand, _)| *stand == number);
        let mine = mine.map(|(_, network)| *network);
        let pool = networks(&site.dhcp, one.address, netmask(one), mine);
        if let Some(pool) = &pool {
            let range = |network: &Network| match network.range {
                Some((first, last)) => format!("{first} to {last}"),
                None => "addresses of [[host]] only".to_owned(),
            };
            let on = &one.interface;
            pools.push(format!("{} on {on}", range(&pool.own)));
            for network in &pool.relayed {
                let (range, subnet) = (range(network), network.subnet);
                pools.push(format!("{range} by relay agents in {subnet}, on {on}"));
            }
        }
        stands.push(DhcpStand {
            interface: one.interface.clone(),
            index: one.index,
            server: one.address,
            pool,
        });
    }
    let ranges = stands
        .iter()
        .filter_map(|stand| stand.pool.as_ref()?.own.range);
    if let (Some((first, last)), 0) = (site.dhcp.pool, ranges.count()) {
        let networks: Vec<String> = chosen
            .iter()
            .flat_map(|one| one.networks.iter().map(ToString::to_string))
            .collect();
        return Err(anyhow!(
            "[dhcp] pool: {first} to {last} are addresses of no network here\n  expected: both in \
             one of {}\n  help: leave `pool` out for the upper half of the interface's network",
            networks.join(", ")
        ));
    }
    match DhcpSockets::bind(stands.clone(), &site.dhcp) {
        Ok(sockets) => {
            let rivals = Rivals::at(&stands, mode);
            let ports = [site.dhcp.port, site.dhcp.pxe_port];
            summary.dhcp = match mode {
                DhcpMode::Pool => SummaryDhcp::Pool { ports, pools },
                _ => SummaryDhcp::Proxy { ports },
            };
            Ok(Some((sockets, rivals)))
        }
        Err(error) if mode == DhcpMode::Auto => {
            let why = error.to_string();
            summary.dhcp = SummaryDhcp::Off { why };
            Ok(None)
        }
        Err(error) => Err(anyhow!(
            "{error}\n  help: or do without: --dhcp off, and let the other DHCP server say what boots"
        )),
    }
}

/// The networks behind relay agents, each with the number of the interface by which its requests come.
fn relayed<'a>(
    site: &'a Site,
    chosen: &[Chosen],
) -> anyhow::Result<Vec<(usize, &'a RelayedNetwork)>> {
    let with_interface = |relay: &'a RelayedNetwork| {
        let network = relay.network;
        for one in chosen {
            let own = |own: &IpNet| matches!(own, IpNet::V4(own) if own.contains(&network) || network.contains(own));
            if one.networks.iter().any(own) {
                return Err(anyhow!(
                    "[[dhcp.relay]] network: {network} is a network of {} itself\n  help: for what is \
                     leased there, `pool` under [dhcp]",
                    one.interface
                ));
            }
        }
        let Some(name) = &relay.interface else {
            return Ok((0, relay));
        };
        let number = chosen.iter().position(|one| one.interface == *name);
        let known: Vec<&str> = chosen.iter().map(|one| one.interface.as_str()).collect();
        let number = number.ok_or_else(|| {
            anyhow!(
                "[[dhcp.relay]] interface: {name:?} is not served on\n  expected: one of {}",
                known.join(", ")
            )
        })?;
        Ok((number, relay))
    };
    site.dhcp.relays.iter().map(with_interface).collect()
}

/// The mask of the network that the server's address is in.
fn netmask(chosen: &Chosen) -> Ipv4Addr {
    let own = chosen.networks.iter().find_map(|network| match network {
        IpNet::V4(network) if network.contains(&chosen.address) => Some(network.netmask()),
        _ => None,
    });
    own.unwrap_or(Ipv4Addr::BROADCAST)
}

/// Where leases and assignments are kept: as configured, what systemd says, or the usual place of
/// this user. A place that cannot be had is an error where it was named, and no place otherwise.
fn state_directory(site: &Site) -> anyhow::Result<Option<PathBuf>> {
    let make = |path: &Path| std::fs::create_dir_all(path);
    if let Some(path) = &site.server.state {
        make(path).with_context(|| format!("[server] state: cannot make {}", path.display()))?;
        return Ok(Some(path.clone()));
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let path = match (set("STATE_DIRECTORY"), set("XDG_STATE_HOME"), set("HOME")) {
        (Some(path), ..) => PathBuf::from(path),
        _ if rustix::process::geteuid().is_root() => PathBuf::from("/var/lib/slamboot"),
        (None, Some(path), _) => PathBuf::from(path).join("slamboot"),
        (None, None, Some(home)) => PathBuf::from(home).join(".local/state/slamboot"),
        (None, None, None) => return Ok(None),
    };
    // It is made when there is something to keep, but for a user who could not.
    let now = site.dhcp.mode == DhcpMode::Pool || site.server.user.is_some();
    let kept = !now || make(&path).is_ok();
    Ok(kept.then_some(path))
}
