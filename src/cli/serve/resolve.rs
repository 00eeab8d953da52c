// SPDX-License-Identifier: MIT OR Apache-2.0
//! Options and configuration, as one validated site.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{anyhow, bail};
use site::{
    Boot, DEFAULT_CONFIG, DEFAULT_HTTPS_PORT, DhcpMode, Https, Image, ImageKind, IpNet, Key,
    Priority, Site,
};

use super::args::ServeArgs;

/// The configuration where none is named; this program may lie in a set that `cargo xtask dist` made.
fn default_config() -> Option<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    site::default_config(program.parent().and_then(Path::parent))
}

/// The configuration that is read, if one is.
pub(super) fn config(args: &ServeArgs) -> Option<PathBuf> {
    match &args.config {
        Some(config) => Some(config.clone()),
        None if args.files.is_empty() => default_config(),
        None => None,
    }
}

/// The directory that relative places are looked for in: the configuration's.
pub(in crate::cli) fn beside(args: &ServeArgs) -> PathBuf {
    let config = config(args);
    let folder = config.as_deref().and_then(Path::parent);
    folder.map(Path::to_owned).unwrap_or_default()
}

/// Rules that name images which are not served any more say nothing.
fn forget_missing(site: &mut Site) {
    let names: HashSet<String> = site.images.iter().map(|image| image.name.clone()).collect();
    let hosts = site.hosts.iter_mut().map(|host| &mut host.boot);
    let groups = site.groups.iter_mut().map(|group| &mut group.boot);
    for boot in hosts.chain(groups) {
        if matches!(boot, Boot::Image(name) if !names.contains(name)) {
            *boot = Boot::Default;
        }
    }
}

/// Options and configuration, as one validated site.
pub(in crate::cli) fn resolve_site(args: &ServeArgs) -> anyhow::Result<Site> {
    let mut site = match (&args.config, args.files.is_empty()) {
        (Some(config), _) => Site::load(config)?,
        (None, false) => Site::default(),
        (None, true) => match default_config() {
            Some(config) => Site::load(config)?,
            None => bail!(
                "nothing to serve: no FILE given, and no ./{DEFAULT_CONFIG} here\n  \
             help: slamboot serve FILE --interface NAME    serves one disk image\n        \
             slamboot serve --config FILE            serves what a configuration names \
             (docs/slamboot.toml is an example)"
            ),
        },
    };
    if !args.files.is_empty() {
        site.images = images_of(&args.files);
        site.default_image = 0;
        forget_missing(&mut site);
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
    server.https = https(args, server.https.take())?;
    if let Some(mode) = args.dhcp {
        site.dhcp.mode = mode;
        if mode != DhcpMode::Pool {
            site.dhcp.pool = None;
            site.dhcp.relays.clear();
        }
    }
    if args.no_tftp {
        site.tftp.port = None;
    }
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
    slam.slow_group = args.slow_group.or(slam.slow_group);
    slam.block_size = args.block_size.unwrap_or(slam.block_size);
    slam.ttl = args.ttl.unwrap_or(slam.ttl);
    site.check().map_err(|conflict| {
        let option = match conflict.key {
            Key::Address => "--address",
            Key::HttpsPort => "--https-port",
            Key::Port => "--port",
            Key::Group => "--group",
            Key::GroupPort => "--group-port",
            Key::SlowGroup => "--slow-group",
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

/// A certificate that is given here comes with its key; the port may stay as it was.
fn https(args: &ServeArgs, configured: Option<Https>) -> anyhow::Result<Option<Https>> {
    if args.no_http {
        return Ok(None);
    }
    let port = args
        .https_port
        .or(configured.as_ref().map(|https| https.port));
    match (&args.certificate, configured) {
        (Some(certificate), _) => Ok(Some(Https {
            port: port.unwrap_or(DEFAULT_HTTPS_PORT),
            certificate: certificate.clone(),
            key: args.key.clone().unwrap_or_else(|| certificate.clone()),
        })),
        (None, Some(https)) => Ok(Some(Https {
            port: port.unwrap_or(https.port),
            ..https
        })),
        (None, None) if args.https_port.is_some() => bail!(
            "--https-port: HTTPS needs a certificate\n  help: --certificate FILE --key FILE, or \
             certificate and key under [server]"
        ),
        (None, None) => Ok(None),
    }
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
pub(in crate::cli) fn image_name(path: &Path) -> String {
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
