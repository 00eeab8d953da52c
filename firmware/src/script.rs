// SPDX-License-Identifier: MIT OR Apache-2.0
//! iPXE scripts from `scripts/` and the site: the one in the ROM, and the one that the server hands
//! out.
//!
//! iPXE scripts know no quoting, a failing command ends the script unless `||` follows, and
//! `${…}` is expanded in every line (<https://ipxe.org/scripting>). The boot lab reads the lines
//! `slamboot: rom up`, `slamboot: fetch NAME over PROTOCOL`, `slamboot: fetched NAME over
//! PROTOCOL` and `slamboot: boot IMAGE` from the console.

mod check;
mod embedded;
mod flow;
mod image;
mod lines;
mod own;
mod schemes;

use std::net::Ipv4Addr;

pub use check::{Fault, FaultKind, Faults, check};
pub use embedded::{Contradiction, contradictions, embedded};
use image::{Scope, image_lines};
pub use lines::used;
pub use own::{OwnError, own};
pub use schemes::schemes;
use site::{Image, ImageKind, Site, TransferPart};

const GPXE: &str = include_str!("../scripts/embedded.gpxe");
const BOOT_GPXE: &str = include_str!("../scripts/boot.gpxe");
const BOOT: &str = include_str!("../scripts/boot.ipxe");
const LOCAL: &str = include_str!("../scripts/local.ipxe");
const MENU: &str = include_str!("../scripts/menu.ipxe");

/// What a script cannot say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// An image's name that is more than one word, or is none.
    #[error(
        "image {found:?}: an iPXE script has no quoting: expected letters, digits, `-`, `_` and `.`"
    )]
    Name {
        /// The name.
        found: String,
    },
    /// A gPXE ROM's script is the server's alone.
    #[error(
        "gPXE scripts come from the server, over HTTP: set http_port in slamboot.toml and build the ROM again"
    )]
    NoHttp,
    /// An image that gPXE's script cannot boot.
    #[error("image {image}: gPXE boots disk images only, by this server's scripts; iPXE boots all")]
    GpxeLinux {
        /// The image's name.
        image: String,
    },
    /// Kernel arguments that iPXE would take for its own syntax.
    #[error(
        "image {image}: args hold {found:?}, which iPXE takes for the end of the command; it has no quoting, so leave it out"
    )]
    Args {
        /// The image's name.
        image: String,
        /// The first offending piece.
        found: String,
    },
}

/// The script in a gPXE ROM, which knows neither labels nor conditions: it asks the server for the
/// rest.
pub fn embedded_gpxe(site: &Site) -> Result<String, ScriptError> {
    let server = site
        .server
        .address
        .map_or("${next-server}".to_owned(), |address| address.to_string());
    let http = http_prefix(site, &server).ok_or(ScriptError::NoHttp)?;
    Ok(script(GPXE, &[("http", &http)]))
}

/// What the server at `server` hands out as `/boot.gpxe` for `image`.
pub fn boot_gpxe(site: &Site, image: &Image, server: Ipv4Addr) -> Result<String, ScriptError> {
    check_name(&image.name)?;
    let server = server.to_string();
    let http = http_prefix(site, &server).ok_or(ScriptError::NoHttp)?;
    let transfers = site.transfers();
    let disk = transfers
        .iter()
        .find(|t| t.image == image.name && t.part == TransferPart::Disk)
        .ok_or_else(|| ScriptError::GpxeLinux {
            image: image.name.clone(),
        })?;
    Ok(script(
        BOOT_GPXE,
        &[
            ("name", &image.name),
            ("http", &http),
            ("medium", medium(&image.kind)),
            ("transfer", &disk.name()),
            ("slam", &disk.uri(&server)),
        ],
    ))
}

/// What the server at `server` hands out as `/boot.ipxe` for `image`.
pub fn boot(site: &Site, image: &Image, server: Ipv4Addr) -> Result<String, ScriptError> {
    let server = server.to_string();
    let scope = Scope::served();
    let lines = image_lines(site, image, &server, &scope)?;
    let http = http_prefix(site, &server);
    Ok(script(
        BOOT,
        &[
            ("name", &image.name),
            ("server", &server),
            ("image", &lines),
            (
                "report",
                &scope.report(http.as_deref(), "failed", &image.name),
            ),
        ],
    ))
}

/// What the server hands out to a machine that boots its own disk: the script ends, and the
/// firmware goes on to its next boot device.
pub fn local() -> String {
    script(LOCAL, &[])
}

/// What the server at `server` hands out where people may choose among the site's images.
pub fn menu(site: &Site, server: Ipv4Addr) -> Result<String, ScriptError> {
    let server = server.to_string();
    let http = http_prefix(site, &server).ok_or(ScriptError::NoHttp)?;
    let mut items = Vec::new();
    for image in &site.images {
        check_name(&image.name)?;
        let kind = kind_words(&image.kind);
        items.push(format!("item {0} {0} ({kind})", image.name));
    }
    let default = site
        .default_image()
        .map_or("local", |image| image.name.as_str());
    Ok(script(
        MENU,
        &[
            ("server", &server),
            ("items", &items.join("\n")),
            ("default", default),
            ("timeout", &menu_timeout(site)),
            ("http", &http),
        ],
    ))
}

/// What people call an image of this kind.
fn kind_words(kind: &ImageKind) -> &'static str {
    match kind {
        ImageKind::Disk { .. } => "disk image",
        ImageKind::Iso { .. } => "ISO image",
        ImageKind::Linux { .. } => "Linux",
    }
}

/// How long a menu waits, as `choose` takes it.
fn menu_timeout(site: &Site) -> String {
    match site.menu.timeout.as_millis() {
        0 => String::new(),
        milliseconds => format!(" --timeout {milliseconds}"),
    }
}

/// What memdisk shall present the image as (syslinux, doc/memdisk.txt).
fn medium(kind: &ImageKind) -> &'static str {
    match kind {
        ImageKind::Iso { .. } => "iso",
        ImageKind::Disk { .. } | ImageKind::Linux { .. } => "harddisk",
    }
}

fn http_prefix(site: &Site, server: &str) -> Option<String> {
    let port = site.server.http_port?;
    Some(format!("http://{server}:{port}"))
}

fn check_name(name: &str) -> Result<(), ScriptError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && !name.starts_with('-') && name.chars().all(plain) {
        Ok(())
    } else {
        Err(ScriptError::Name {
            found: name.to_owned(),
        })
    }
}

/// Line ends end a command, and so do these words (iPXE `core/exec.c`, `system`).
fn check_args(image: &str, args: &str) -> Result<(), ScriptError> {
    let control = args.chars().find(|c| c.is_control() && *c != '\t');
    let operator = args.split_whitespace().find(|w| matches!(*w, "&&" | "||"));
    match control.map(String::from).or(operator.map(str::to_owned)) {
        None => Ok(()),
        Some(found) => Err(ScriptError::Args {
            image: image.to_owned(),
            found,
        }),
    }
}

/// A whole script: filled in, without the templates' licence lines and the empty lines that a
/// missing part left.
fn script(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let wanted = |line: &&str| !line.is_empty() && !line.starts_with("# SPDX");
    for line in fill(template, values).lines().filter(wanted) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Puts values in place of `{{key}}` in one pass, so that a value cannot bring in another.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let mut rest = template.trim_end();
    while let Some((before, after)) = rest.split_once("{{") {
        let (key, after) = after.split_once("}}").unwrap_or((after, ""));
        let value = values.iter().find(|(known, _)| *known == key);
        debug_assert!(value.is_some(), "template key {key} has no value");
        text.push_str(before);
        text.push_str(value.map_or("", |(_, value)| value));
        rest = after;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site {
            images: vec![
                Image {
                    name: "demo".into(),
                    kind: ImageKind::Disk {
                        path: "demo.img".into(),
                    },
                    priority: site::Priority::default(),
                },
                Image {
                    name: "debian".into(),
                    kind: ImageKind::Linux {
                        kernel: "linux".into(),
                        initrd: Some("initrd.gz".into()),
                        args: "console=ttyS0 quiet".into(),
                    },
                    priority: site::Priority::default(),
                },
            ],
            ..Site::default()
        }
    }

    #[test]
    fn a_menu_names_every_image_and_waits_as_long_as_it_is_told() {
        let mut site = site();
        let server = Ipv4Addr::new(10, 77, 0, 1);
        let text = menu(&site, server).unwrap();
        for line in [
            "item demo demo (disk image)",
            "item debian debian (Linux)",
            "choose --default demo --timeout 10000 chosen || goto local",
            "chain --replace --autofree http://10.77.0.1:8080/boot.ipxe?image=${chosen} || goto failed",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        site.menu.timeout = std::time::Duration::ZERO;
        site.default_image = 1;
        let text = menu(&site, server).unwrap();
        assert!(text.contains("choose --default debian chosen ||"), "{text}");
        site.server.http_port = None;
        assert_eq!(menu(&site, server), Err(ScriptError::NoHttp));
    }

    #[test]
    fn gpxe_gets_commands_and_nothing_else() {
        let mut site = site();
        let embedded = embedded_gpxe(&site).unwrap();
        assert_eq!(
            embedded,
            "#!gpxe\necho slamboot: rom up\ndhcp net0\n\
             chain http://${next-server}:8080/boot.gpxe\n"
        );
        let server = Ipv4Addr::new(10, 77, 0, 1);
        let boot = boot_gpxe(&site, &site.images[0], server).unwrap();
        assert_eq!(
            boot,
            "#!gpxe\n\
             kernel --name memdisk http://10.77.0.1:8080/memdisk harddisk\n\
             echo slamboot: fetch demo over x-slam\n\
             initrd --name disk x-slam://10.77.0.1:10000/239.255.1.1:10000\n\
             echo slamboot: fetched demo over x-slam\n\
             echo slamboot: boot demo\n\
             boot memdisk\n"
        );
        let error = boot_gpxe(&site, &site.images[1], server).unwrap_err();
        assert!(error.to_string().contains("image debian"), "{error}");
        site.server.http_port = None;
        assert_eq!(embedded_gpxe(&site), Err(ScriptError::NoHttp));
    }

    /// What every iPXE can run: labels that exist, no line with `{{`, a first line that says it is
    /// a script, and a command after every failure.
    fn sound(text: &str) {
        assert!(text.starts_with("#!ipxe\n"), "{text}");
        assert!(!text.contains("{{") && !text.contains("}}"), "{text}");
        let labels: Vec<_> = text.lines().filter_map(|l| l.strip_prefix(':')).collect();
        for (n, label) in labels.iter().enumerate() {
            assert!(
                !labels[..n].contains(label),
                "label {label} twice in {text}"
            );
        }
        for line in text.lines() {
            let mut words = line.split_whitespace();
            while let Some(word) = words.next() {
                if word == "goto" {
                    let label = words.next().unwrap();
                    assert!(labels.contains(&label), "no label {label} in {text}");
                }
            }
        }
    }

    #[test]
    fn a_disk_boots_through_memdisk_with_a_fallback() {
        let site = site();
        let text = boot(&site, &site.images[0], Ipv4Addr::new(10, 0, 0, 1)).unwrap();
        sound(&text);
        let wanted = "\
#!ipxe
# slamboot: handed out by the server for image demo.
iseq ${platform} efi && goto efi ||
kernel --name memdisk http://10.0.0.1:8080/memdisk harddisk || goto failed
echo slamboot: fetch demo over x-slam
# An iPXE that is not ours lacks the command, and goes on without.
mcjoin 239.255.1.1 ||
initrd --name disk x-slam://10.0.0.1:10000/239.255.1.1:10000 && goto disk_slam ||
imgfetch --name slamboot-report --timeout 3000 http://10.0.0.1:8080/report?mac=${mac:hexhyp}&step=fell_back&what=demo&code=${errno:hexraw} ||
imgfree slamboot-report ||
mcleave 239.255.1.1 ||
echo slamboot: no demo over x-slam, falling back to http
echo slamboot: fetch demo over http
initrd --name disk http://10.0.0.1:8080/images/demo || goto failed
echo slamboot: fetched demo over http
goto disk_done
:disk_slam
mcleave 239.255.1.1 ||
echo slamboot: fetched demo over x-slam
:disk_done
echo slamboot: boot demo
imgfetch --name slamboot-report --timeout 3000 http://10.0.0.1:8080/report?mac=${mac:hexhyp}&step=booting&what=demo&code=${errno:hexraw} ||
imgfree slamboot-report ||
boot || goto failed
goto failed
:efi
# memdisk hooks the BIOS disk interrupt, which UEFI does not have.
echo slamboot: UEFI cannot use memdisk: attaching demo as a network disk over http
echo slamboot: boot demo
imgfetch --name slamboot-report --timeout 3000 http://10.0.0.1:8080/report?mac=${mac:hexhyp}&step=booting&what=demo&code=${errno:hexraw} ||
imgfree slamboot-report ||
sanboot http://10.0.0.1:8080/images/demo || goto failed
goto failed
:failed
echo slamboot: demo did not boot from 10.0.0.1
imgfetch --name slamboot-report --timeout 3000 http://10.0.0.1:8080/report?mac=${mac:hexhyp}&step=failed&what=demo&code=${errno:hexraw} ||
imgfree slamboot-report ||
exit 1
";
        assert_eq!(text, wanted);
    }

    #[test]
    fn linux_gets_both_parts_and_its_arguments() {
        let site = site();
        let text = boot(&site, &site.images[1], Ipv4Addr::new(10, 0, 0, 1)).unwrap();
        sound(&text);
        for line in [
            "kernel --name kernel x-slam://10.0.0.1:10001/239.255.1.2:10001 initrd=initrd console=ttyS0 quiet && goto kernel_slam ||",
            "initrd --name initrd http://10.0.0.1:8080/images/debian/initrd || goto failed",
            "echo slamboot: fetched debian/initrd over x-slam",
            "echo slamboot: boot debian",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }

    #[test]
    fn the_rom_asks_its_server_first() {
        let mut site = site();
        let text = embedded(&site).unwrap();
        sound(&text);
        let at = |part: &str| {
            text.find(part)
                .unwrap_or_else(|| panic!("{part} in {text}"))
        };
        let order = [
            "slamboot: rom up",
            "dhcp",
            "set server ${next-server}",
            "http://${server}:8080/boot.ipxe",
            "x-slam://${server}:10000/239.255.1.1:10000",
            "iseq ${attempt} 5 && goto give_up",
        ];
        let places: Vec<_> = order.map(at).into();
        assert!(places.is_sorted(), "{places:?} in {text}");

        site.server.address = Some(Ipv4Addr::new(192, 0, 2, 7));
        site.firmware.retries = 0;
        let text = embedded(&site).unwrap();
        sound(&text);
        assert!(text.contains("set server 192.0.2.7\n"), "{text}");
        assert!(
            !text.contains("next-server") && !text.contains("goto give_up"),
            "{text}"
        );
    }

    #[test]
    fn without_http_a_disk_cannot_boot_and_linux_can() {
        let mut site = site();
        site.server.http_port = None;
        let text = embedded(&site).unwrap();
        sound(&text);
        assert!(
            !text.contains("http://") && text.contains("set http_port"),
            "{text}"
        );
        site.default_image = 1;
        let text = embedded(&site).unwrap();
        sound(&text);
        assert!(
            !text.contains("http://") && text.contains("x-slam://${server}:10002"),
            "{text}"
        );
        // However a fetch ends, its group is left.
        let count = |part: &str| text.matches(part).count();
        assert_eq!(
            [
                count("mcjoin 239.255.1.2 ||"),
                count("mcleave 239.255.1.2 ||")
            ],
            [1, 2],
            "{text}"
        );
    }

    #[test]
    fn an_ipv6_group_is_asked_for_at_an_ipv6_address() {
        let mut site = site();
        site.slam.group = "ff15::5a".parse().unwrap();
        site.server.address6 = Some("fd00::1".parse().unwrap());
        let server = Ipv4Addr::new(10, 0, 0, 1);
        let text = boot(&site, &site.images[1], server).unwrap();
        sound(&text);
        for line in [
            "ifconf --configurator ipv6 ||",
            "mcjoin ff15::5b ||",
            "initrd --name initrd x-slam://[fd00::1]:10002/[ff15::5c]:10002 && goto initrd_slam ||",
            "initrd --name initrd http://10.0.0.1:8080/images/debian/initrd || goto failed",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
        // A ROM that nobody told the address, and an IPv4 group beside it.
        site.server.address6 = None;
        let text = embedded(&site).unwrap();
        sound(&text);
        assert!(!text.contains("x-slam://"), "{text}");
        assert!(text.contains("http://${server}:8080/images/"), "{text}");
        site.slam.group = "239.255.1.1, ff15::5a".parse().unwrap();
        let text = embedded(&site).unwrap();
        sound(&text);
        assert!(
            text.contains("x-slam://${server}:10000/239.255.1.1:10000"),
            "{text}"
        );
        assert!(!text.contains("ifconf"), "{text}");
    }

    #[test]
    fn a_site_without_images_says_so() {
        let text = embedded(&Site::default()).unwrap();
        sound(&text);
        assert!(text.contains("names no image"), "{text}");
    }

    #[test]
    fn nothing_breaks_out_of_its_line() {
        let mut site = site();
        site.images[0].name = "a b".into();
        let error = embedded(&site).unwrap_err();
        assert!(matches!(error, ScriptError::Name { .. }), "{error}");
        for args in ["a\nshell", "a && shell", "|| x"] {
            let mut site = self::site();
            site.default_image = 1;
            site.images[1].kind = ImageKind::Linux {
                kernel: "k".into(),
                initrd: None,
                args: args.into(),
            };
            let error = embedded(&site).unwrap_err();
            assert!(matches!(error, ScriptError::Args { .. }), "{error}");
        }
    }
}
