// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lines that fetch, verify and boot one image.

use site::{Image, ImageKind, Site, Transfer, TransferPart};

use super::{ScriptError, check_args, check_name, fill, http_prefix, medium};

const DISK: &str = include_str!("../../scripts/disk.ipxe");
const DISK_EFI: &str = include_str!("../../scripts/disk-efi.ipxe");
const DISK_EFI_TRUST: &str = include_str!("../../scripts/disk-efi-trust.ipxe");
const LINUX: &str = include_str!("../../scripts/linux.ipxe");
const FETCH: &str = include_str!("../../scripts/fetch.ipxe");
const FETCH_HTTP: &str = include_str!("../../scripts/fetch-http.ipxe");
const FETCH_SLAM: &str = include_str!("../../scripts/fetch-slam.ipxe");
const REPORT: &str = include_str!("../../scripts/report.ipxe");
const VERIFY: &str = include_str!("../../scripts/verify.ipxe");

/// The script that an image's lines stand in.
pub(super) struct Scope {
    /// Stands before every label, where a script boots several images.
    prefix: String,
    /// Whether every file is verified. Scripts that a server hands out verify nothing: who cannot
    /// trust what was fetched cannot trust them.
    verify: bool,
    /// Whether the server is told how it goes. The script in a ROM runs where the server had none to
    /// give.
    reports: bool,
}

impl Scope {
    /// Of a script for one image, from the server.
    pub(super) fn served() -> Scope {
        Scope {
            prefix: String::new(),
            verify: false,
            reports: true,
        }
    }

    /// Of the script in a ROM that boots one image.
    pub(super) fn alone(site: &Site) -> Scope {
        Scope {
            prefix: String::new(),
            verify: site.firmware.trust.is_some(),
            reports: false,
        }
    }

    /// Of the script in a ROM that boots several.
    pub(super) fn among(site: &Site, image: &Image) -> Scope {
        Scope {
            prefix: format!("{}_", image.name),
            ..Scope::alone(site)
        }
    }

    /// Tells the server, over HTTP, how it goes, with the last error code that iPXE had. Whether it hears
    /// that changes nothing.
    pub(super) fn report(&self, http: Option<&str>, step: &str, what: &str) -> String {
        match http {
            Some(http) if self.reports => {
                fill(REPORT, &[("http", http), ("step", step), ("what", what)])
            }
            _ => String::new(),
        }
    }

    /// Verifies what was fetched under the name `file`.
    fn verification(&self, http: &str, file: &str, what: &str, signature: &str) -> String {
        if !self.verify {
            return String::new();
        }
        fill(
            VERIFY,
            &[
                ("file", file),
                ("what", what),
                ("signature", &format!("{http}{signature}")),
                ("label", &format!("{}{file}", self.prefix)),
            ],
        )
    }
}

/// Fetches and boots one image, or goes to `failed`.
pub(super) fn image_lines(
    site: &Site,
    image: &Image,
    server: &str,
    scope: &Scope,
) -> Result<String, ScriptError> {
    check_name(&image.name)?;
    let http = http_prefix(site, server);
    let transfers = site.transfers();
    let part = |part: TransferPart| {
        let mine = |t: &&Transfer| t.image == image.name && t.part == part;
        transfers.iter().find(mine)
    };
    let fetch = |command: &str, transfer: &Transfer, args: &str| {
        fetch(
            site,
            http.as_deref(),
            server,
            scope,
            command,
            transfer,
            args,
        )
    };
    match &image.kind {
        ImageKind::Disk { .. } | ImageKind::Iso { .. } => {
            let (Some(http), Some(disk)) = (&http, part(TransferPart::Disk)) else {
                return Ok([
                    "echo slamboot: a disk image boots through memdisk, which comes over HTTP:",
                    "echo slamboot: set http_port in slamboot.toml and build the ROM again",
                    "goto failed",
                ]
                .join("\n"));
            };
            let efi = if scope.verify {
                DISK_EFI_TRUST
            } else {
                DISK_EFI
            };
            let report = scope.report(Some(http), "booting", &image.name);
            let values = [
                ("report", report.as_str()),
                ("http", http.as_str()),
                ("path", &disk.http_path()),
                ("name", &image.name),
            ];
            Ok(fill(
                DISK,
                &[
                    ("http", http),
                    ("prefix", &scope.prefix),
                    ("medium", medium(&image.kind)),
                    (
                        "verify",
                        &scope.verification(http, "memdisk", "memdisk", "/memdisk.sig"),
                    ),
                    ("fetch", &fetch("initrd --name disk", disk, "")),
                    ("efi", &fill(efi, &values)),
                    ("name", &image.name),
                    ("report", &report),
                ],
            ))
        }
        ImageKind::Linux { args, .. } => {
            check_args(&image.name, args)?;
            let initrd = part(TransferPart::Initrd);
            // The kernel's EFI stub finds its initial RAM disk by name.
            let mut words: Vec<&str> = initrd.iter().map(|_| "initrd=initrd").collect();
            words.extend(args.split_whitespace());
            let args: String = words.iter().flat_map(|word| [" ", word]).collect();
            let mut lines = Vec::new();
            if let Some(kernel) = part(TransferPart::Kernel) {
                lines.push(fetch("kernel --name kernel", kernel, &args));
            }
            if let Some(initrd) = initrd {
                lines.push(fetch("initrd --name initrd", initrd, ""));
            }
            Ok(fill(
                LINUX,
                &[
                    ("fetch", &lines.join("\n")),
                    ("name", &image.name),
                    (
                        "report",
                        &scope.report(http.as_deref(), "booting", &image.name),
                    ),
                ],
            ))
        }
    }
}

/// Fetches one file by multicast, and over HTTP where that brings nothing.
fn fetch(
    site: &Site,
    http: Option<&str>,
    server: &str,
    scope: &Scope,
    command: &str,
    transfer: &Transfer,
    args: &str,
) -> String {
    // An address that only routers know comes by their advertisement, which is waited for.
    let (slam, ipv6) = match (transfer.group.is_ipv6(), site.server.address6) {
        (false, _) => (transfer.uri(server), ""),
        (true, Some(address)) => (
            transfer.uri(format_args!("[{address}]")),
            "ifconf --configurator ipv6 ||",
        ),
        (true, None) => (String::new(), ""),
    };
    let file = transfer.part.to_string();
    let verify = scope.verification(
        http.unwrap_or_default(),
        &file,
        &transfer.name(),
        &transfer.signature_path(),
    );
    let fallback = site.firmware.script.http_fallback;
    fill(
        match http {
            Some(_) if slam.is_empty() => FETCH_HTTP,
            None if slam.is_empty() => {
                "echo slamboot: no IPv6 address of the server is known: set address6 in slamboot.toml\ngoto failed\n"
            }
            Some(_) if fallback => FETCH,
            Some(_) | None => FETCH_SLAM,
        },
        &[
            ("transfer", &transfer.name()),
            ("report", &scope.report(http, "fell_back", &transfer.name())),
            ("command", command),
            ("slam", &slam),
            ("ipv6", ipv6),
            ("room", &room(site)),
            ("group", &transfer.group.ip().to_string()),
            ("http", http.unwrap_or_default()),
            ("path", &transfer.http_path()),
            ("args", args),
            ("label", &format!("{}{file}", scope.prefix)),
            ("verify", &verify),
        ],
    )
}

/// The server keeps those who wait alive until their room is full: here people learn why nothing
/// moves.
fn room(site: &Site) -> String {
    let Some(clients) = site.slam.min_clients.filter(|clients| *clients > 1) else {
        return String::new();
    };
    let longest = site.slam.gathering().unwrap_or_default().as_secs();
    format!("echo slamboot: waiting for a room of {clients} machines, {longest} s at most")
}
