// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot serve`: from options and configuration to running servers, and to a clean stop.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use site::{BitRate, Groups, Image, ImageKind, IpNet, Key, Priority, Site, SlowClients};

use crate::boot::http::{HttpServer, HttpStand, Loader};
use crate::net::interface::{self, Chosen, Link};
use crate::net::{Driver, Plan, Planned, Reload, Served, Shelf, Stand};
use crate::observe::{
    Event, Memdisk, Summary, SummaryHttp, SummaryInterface, SummaryTransfer, Tally,
};

/// The configuration that is used when nothing is said.
const DEFAULT_CONFIG: &str = "slamboot.toml";

/// Serve images by multicast (SLAM), and memdisk and boot scripts by HTTP.
///
/// Without any configuration, `slamboot serve FILE` serves one file as mini-slamd would: server
/// port 10000, group 239.255.1.1:10000. With a configuration (./slamboot.toml, or --config) it
/// serves the images named there; docs/slamboot.toml is an example with every key. Options given
/// here override the configuration.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  slamboot serve winpe.img --interface eth0     one file, no configuration
  slamboot serve                                what ./slamboot.toml names
  slamboot serve --config room.toml --json      events as JSON, one object per line
  slamboot serve lab.img --min-clients 30 --max-wait 120
                                                start when 30 PCs are there, or after 2 minutes

SIGHUP reads the configuration again; what is under way goes on as it began.

Exit codes: 0 stopped by SIGINT or SIGTERM, 1 failed, 2 wrong options.")]
pub(super) struct ServeArgs {
    /// Disk images to serve, instead of those in the configuration
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Configuration [default: ./slamboot.toml, if it exists and no FILE is given]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Network interface to serve on; again for each further one [default: the only one that can]
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    interface: Vec<String>,

    /// Address of the interface that clients are told [default: its first]
    #[arg(long, value_name = "IPV4", help_heading = "Network")]
    address: Option<Ipv4Addr>,

    /// TCP port for memdisk, scripts and downloads by HTTP [default: 8080]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "Network"
    )]
    http_port: Option<u16>,

    /// Serve no HTTP
    #[arg(long, conflicts_with = "http_port", help_heading = "Network")]
    no_http: bool,

    /// Server UDP port of the first file; each further one takes the next [default: 10000]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "SLAM"
    )]
    port: Option<u16>,

    /// Multicast group of the first file, IPv4, IPv6 or one of each with a comma between; each
    /// further file takes the next [default: 239.255.1.1]
    #[arg(long, value_name = "GROUP", help_heading = "SLAM")]
    group: Option<Groups>,

    /// UDP port of the first group [default: 10000]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "SLAM"
    )]
    group_port: Option<u16>,

    /// Ceiling of what is sent for one file, such as "900 Mbit/s" [default: 900 Mbit/s]
    #[arg(long, value_name = "RATE", help_heading = "SLAM")]
    max_rate: Option<BitRate>,

    /// Ceiling of what all files together may take, shared by priority [default: none]
    #[arg(long, value_name = "RATE", help_heading = "SLAM")]
    total_rate: Option<BitRate>,

    /// Network whose clients are heard, such as 192.0.2.0/24; again for each further one [default:
    /// those of the interface; everybody with a TTL above 1]
    #[arg(long, value_name = "NETWORK", help_heading = "SLAM")]
    allowed: Vec<IpNet>,

    /// Begin to send when so many clients are there [default: at once]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=4096),
        help_heading = "Rooms"
    )]
    min_clients: Option<u32>,

    /// Begin to send so long after the first client came, even if not all are there [default: 60
    /// with --min-clients]
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(0..=86_400),
        help_heading = "Rooms"
    )]
    max_wait: Option<u32>,

    /// What becomes of clients slower than their room: "none", "drop below 50 Mbit/s", "cap at the
    /// slowest" [default: none]
    #[arg(long, value_name = "POLICY", help_heading = "Rooms")]
    slow_clients: Option<SlowClients>,

    /// Bytes in one block [default: 1451]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=i64::from(site::MAX_BLOCK_SIZE)),
        help_heading = "SLAM"
    )]
    block_size: Option<u16>,

    /// Multicast time to live, or hop limit; 1 stays on the network segment [default: 1]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u8).range(1..),
        help_heading = "SLAM"
    )]
    ttl: Option<u8>,

    /// Print the summary and events as JSON, one object per line
    #[arg(long)]
    json: bool,
}

/// Serves until SIGINT or SIGTERM; SIGHUP reads the configuration again.
#[expect(
    clippy::disallowed_methods,
    reason = "the edge: how long it all took is told at the end"
)]
pub(super) fn run(args: ServeArgs) -> anyhow::Result<()> {
    let output = if args.json {
        Output::Programs
    } else {
        Output::People
    };
    let site = resolve_site(&args)?;
    let (chosen, stands): (Vec<Chosen>, Vec<Stand>) = choose_interfaces(&site)?.into_iter().unzip();
    // A taken port, too, is told before gigabytes are digested.
    check_scripts(&site, &stands)?;
    let shelf = Arc::new(Shelf::default());
    let http = site
        .server
        .http_port
        .map(|port| {
            let http_stand = |stand: &Stand| HttpStand {
                address: SocketAddrV4::new(stand.host, port),
                site: site_at(&site, stand),
            };
            let http_stands: Vec<HttpStand> = stands.iter().map(http_stand).collect();
            HttpServer::start(&http_stands, &shelf, boot_script)
        })
        .transpose()?;
    // A SIGHUP that comes while files are digested is not the end.
    let asked = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&asked))
        .context("cannot listen for signals")?;
    raise_descriptor_limit();
    let mut progress = DigestProgress::default();
    let plan = Plan::new(&site, &stands);
    let driver = Driver::open(&plan, shelf, &mut |name, done, total| {
        progress.show(name, done, total);
    });
    progress.finish();
    let driver = driver?;

    // From here on a signal ends the server cleanly; a second one ends the process at once.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen for signals")?;
    }

    let served = driver.served();
    output.line(&summarise(&site, &chosen, &stands, &served, http.as_ref()));
    let mut reloader = Reloader {
        asked,
        args,
        site,
        stands,
        chosen,
    };
    let start = Instant::now();
    let mut tally = Tally::default();
    let mut reload = || reloader.reload(http.as_ref());
    driver.run(&stop, &mut reload, &mut |event| {
        tally.count(event);
        output.event(event);
    })?;
    if let Some(http) = http {
        http.stop();
    }
    tally.ends_after(start.elapsed());
    output.line(&tally);
    Ok(())
}

/// Each session has a socket and each image a file: take as many as this process may. Best effort:
/// where they do not suffice, opening one of them says so.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
}

/// The script as ROMs carry it too.
fn boot_script(
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

/// Options and configuration, as one validated site.
fn resolve_site(args: &ServeArgs) -> anyhow::Result<Site> {
    let mut site = match (&args.config, args.files.is_empty()) {
        (Some(config), _) => Site::load(config)?,
        (None, false) => Site::default(),
        (None, true) if Path::new(DEFAULT_CONFIG).exists() => Site::load(DEFAULT_CONFIG)?,
        (None, true) => bail!(
            "nothing to serve: no FILE given, and no ./{DEFAULT_CONFIG} here\n  \
             help: slamboot serve FILE --interface NAME    serves one disk image\n        \
             slamboot serve --config FILE            serves what a configuration names \
             (docs/slamboot.toml is an example)"
        ),
    };
    if !args.files.is_empty() {
        site.images = images_of(&args.files);
        site.default_image = 0;
    }
    if site.images.is_empty() {
        let config = args.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG));
        bail!(
            "nothing to serve: {} names no image\n  help: add one:\n    [[image]]\n    \
             name = \"demo\"\n    kind = \"disk\"\n    path = \"demo.img\"",
            config.display()
        );
    }
    let server = &mut site.server;
    if !args.interface.is_empty() {
        server.interfaces.clone_from(&args.interface);
    }
    server.address = args.address.or(server.address);
    server.http_port = if args.no_http {
        None
    } else {
        args.http_port.or(server.http_port)
    };
    let slam = &mut site.slam;
    slam.port = args.port.unwrap_or(slam.port);
    slam.group = args.group.unwrap_or(slam.group);
    slam.group_port = args.group_port.unwrap_or(slam.group_port);
    slam.max_rate = args.max_rate.unwrap_or(slam.max_rate);
    slam.total_rate = args.total_rate.or(slam.total_rate);
    if !args.allowed.is_empty() {
        slam.allowed = Some(args.allowed.iter().map(IpNet::trunc).collect());
    }
    slam.min_clients = args.min_clients.or(slam.min_clients);
    let max_wait = args.max_wait.map(u64::from).map(Duration::from_secs);
    slam.max_wait = max_wait.or(slam.max_wait);
    slam.slow_clients = args.slow_clients.unwrap_or(slam.slow_clients);
    slam.block_size = args.block_size.unwrap_or(slam.block_size);
    slam.ttl = args.ttl.unwrap_or(slam.ttl);
    site.check().map_err(|conflict| {
        let option = match conflict.key {
            Key::Address => "--address",
            Key::Port => "--port",
            Key::Group => "--group",
            Key::GroupPort => "--group-port",
            Key::Ttl => "--ttl",
            Key::BlockSize => "--block-size",
            Key::ImageName(_) | Key::ImageArgs(_) => "FILE",
        };
        anyhow!(
            "{option}: {}\n  expected: {}\n  found: {}\n  help: {}",
            conflict.what,
            conflict.expected,
            conflict.found,
            conflict.help
        )
    })?;
    Ok(site)
}

/// Files without a configuration are disk images, named by their stems.
fn images_of(files: &[PathBuf]) -> Vec<Image> {
    let mut taken = HashSet::new();
    files
        .iter()
        .map(|path| {
            let stem = image_name(path);
            let numbered = (2..).map(|number| format!("{stem}-{number}"));
            let name = std::iter::once(stem.clone())
                .chain(numbered)
                .find(|name| !taken.contains(name))
                .unwrap_or_default();
            taken.insert(name.clone());
            Image {
                name,
                kind: ImageKind::Disk { path: path.clone() },
                priority: Priority::default(),
            }
        })
        .collect()
}

/// The stem of a file name, made to fit what [`Site::check`] allows.
pub(super) fn image_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name: String = stem
        .chars()
        .map(|c| match c {
            '-' | '_' | '.' => c,
            c if c.is_ascii_alphanumeric() => c,
            _ => '-',
        })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(56)
        .collect();
    if name.is_empty() {
        return "image".to_owned();
    }
    name
}

/// Decides where to serve.
fn choose_interfaces(site: &Site) -> anyhow::Result<Vec<(Chosen, Stand)>> {
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
fn site_at(site: &Site, stand: &Stand) -> Site {
    let mut site = site.clone();
    site.server.address = Some(stand.host);
    site.server.address6 = stand.host6.map(|address| *address.ip());
    site.slam.block_size = stand.block_size;
    site
}

/// What cannot stand in a script is told before gigabytes are digested.
fn check_scripts(site: &Site, stands: &[Stand]) -> anyhow::Result<()> {
    let (Some(_), [stand, ..]) = (site.server.http_port, stands) else {
        return Ok(());
    };
    let site = site_at(site, stand);
    for image in &site.images {
        boot_script(Loader::Ipxe, &site, image, stand.host).map_err(|what| anyhow!(what))?;
    }
    Ok(())
}

/// Reads the configuration again whenever SIGHUP came.
struct Reloader {
    asked: Arc<AtomicBool>,
    args: ServeArgs,
    /// The configuration in force.
    site: Site,
    stands: Vec<Stand>,
    chosen: Vec<Chosen>,
}

impl Reloader {
    fn reload(&mut self, http: Option<&HttpServer>) -> Reload {
        if !self.asked.swap(false, Ordering::Relaxed) {
            return None;
        }
        Some(self.read().map(|(plan, later)| {
            if let Some(http) = http {
                http.show(self.stands.iter().map(|stand| site_at(&self.site, stand)));
            }
            (plan, later)
        }))
    }

    fn read(&mut self) -> Result<(Plan, Vec<String>), String> {
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
        if old.memdisk != new.memdisk {
            later.push("[server] memdisk".to_owned());
        }
        *new = old.clone();
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
        Ok((plan, later))
    }
}

fn summarise(
    site: &Site,
    chosen: &[Chosen],
    stands: &[Stand],
    served: &[Served],
    http: Option<&HttpServer>,
) -> Summary {
    let addresses = http.map(HttpServer::addresses).unwrap_or_default();
    let interfaces: Vec<SummaryInterface> = stands
        .iter()
        .enumerate()
        .map(|(number, stand)| SummaryInterface {
            interface: stand.interface.clone(),
            address: stand.host,
            http: addresses
                .get(number)
                .map(|address| format!("http://{address}")),
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
        slam,
        warnings: chosen
            .iter()
            .zip(stands)
            .flat_map(|(chosen, stand)| warnings(chosen, stand))
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

/// Standard output, for people or for programs. Nobody reading it is no reason to stop serving,
/// so errors of writing are not errors of the server.
#[derive(Clone, Copy)]
enum Output {
    /// A page, then a line for each event.
    People,
    /// One JSON object per line.
    Programs,
}

impl Output {
    fn line<T: Serialize + std::fmt::Display>(self, what: &T) {
        match self {
            Output::People => write_line(&what.to_string()),
            Output::Programs => write_json(what),
        }
    }

    fn event(self, event: &Event) {
        match self {
            Output::People => write_line(&format!(
                "{:>9.3} s  {event}",
                event.at.since_start().as_secs_f64()
            )),
            Output::Programs => write_json(event),
        }
    }
}

fn write_json<T: Serialize>(what: &T) {
    match serde_json::to_string(what) {
        Ok(json) => write_line(&json),
        Err(error) => eprintln!("error: this has no JSON form: {error}"),
    }
}

fn write_line(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// A bar on the terminal while files are digested; nothing where there is no terminal.
#[derive(Default)]
struct DigestProgress {
    bar: Option<(String, ProgressBar)>,
}

impl DigestProgress {
    fn show(&mut self, name: &str, done: u64, total: u64) {
        if self.bar.as_ref().is_none_or(|(shown, _)| shown != name) {
            self.finish();
            let bar = ProgressBar::new(total).with_message(format!("digesting {name}"));
            let style = "{msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            self.bar = Some((name.to_owned(), bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(done);
        }
    }

    fn finish(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_stems() {
        let names = |files: &[&str]| -> Vec<String> {
            let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
            images_of(&files)
                .into_iter()
                .map(|image| image.name)
                .collect()
        };
        assert_eq!(names(&["winpe.dd"]), ["winpe"]);
        assert_eq!(
            names(&["a/x.img", "b/x.img", "x-2.img"]),
            ["x", "x-2", "x-2-2"]
        );
        assert_eq!(names(&["Windows 10 für alle.img"]), ["Windows-10-f-r-alle"]);
        assert_eq!(
            names(&[".hidden", "..", "äöü.img"]),
            ["hidden", "image", "image-2"]
        );
        let long = "x".repeat(300);
        let site = Site {
            images: images_of(&[PathBuf::from(&long), PathBuf::from(&long)]),
            ..Site::default()
        };
        assert_eq!(site.check(), Ok(()));
    }
}
