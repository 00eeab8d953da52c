// SPDX-License-Identifier: MIT OR Apache-2.0
//! What iPXE is told by headers in `src/config/local`, which it includes after its own defaults.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use site::{Client, Commands, Console, Firmware, Protocol};

use crate::pins::{Configuration, Release};
use crate::record;
use crate::target::{Misfit, Platform, Target};

/// One header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// File name in `src/config/local`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// One line of a header.
#[derive(Clone, Copy)]
enum Line {
    /// Defined, whatever it was before.
    Define(&'static str, &'static str),
    /// Defined on PC BIOS only, which every release tells by the guard of the defaults that it
    /// includes first (`config/defaults/pcbios.h`); `PLATFORM_pcbios` is younger than v1.20.1.
    DefineOnBios(&'static str),
    /// Switched off, whatever it was before.
    Undefine(&'static str),
    /// An object of our overlay that is linked into every ROM.
    Require(&'static str),
}

/// Protocols and commands that our scripts need. Most are defaults of the pinned releases; saying
/// so keeps scripts from depending on a release's taste.
const GENERAL: [Line; 9] = [
    Line::Define("DOWNLOAD_PROTO_HTTP", ""),
    Line::Define("DOWNLOAD_PROTO_TFTP", ""),
    Line::Define("IMAGE_SCRIPT", ""),
    Line::Define("DHCP_CMD", ""),
    Line::Define("IMAGE_CMD", ""),
    Line::Define("NVO_CMD", ""),
    Line::Define("SANBOOT_CMD", ""),
    // No wait for Ctrl-B; ROM_BANNER_TIMEOUT must stay defined (romprefix.S uses its value).
    Line::Define("BANNER_TIMEOUT", "0"),
    Line::Define("ROM_BANNER_TIMEOUT", "0"),
];

/// Who opens `x-slam` URIs: upstream's client, or ours in its place.
const STOCK: [Line; 1] = [Line::Define("DOWNLOAD_PROTO_SLAM", "")];
const SLAMBOOT: [Line; 2] = [
    Line::Undefine("DOWNLOAD_PROTO_SLAM"),
    Line::Require("slamboot_slam"),
];

/// The headers for a site's ROMs, as far as `release` can follow the site's wishes.
pub fn headers(firmware: &Firmware, release: &Release) -> Vec<Header> {
    let mut general = GENERAL.to_vec();
    match (release.client(firmware.client), release.configuration) {
        // Its line in config/general.h says it.
        (Client::Stock, Configuration::Line) => {}
        (Client::Stock, Configuration::Local) => general.extend(STOCK),
        (Client::Slamboot, _) => general.extend(SLAMBOOT),
    }
    if firmware.ipv6 {
        general.push(Line::Define("NET_PROTO_IPV6", ""));
    }
    if release.membership(firmware.igmp) {
        // By name: the client's weak stand-ins would satisfy whoever calls it, and a linker draws
        // nothing from an archive for a symbol that it has.
        general.push(Line::Require("mcast"));
        general.push(Line::Require("mcast_cmd"));
    }
    if firmware.trust.is_some() {
        general.push(Line::Define("IMAGE_TRUST_CMD", ""));
    }
    if record::kept(release) {
        general.push(Line::Require("slamboot_record"));
    }
    let knobs = &firmware.knobs;
    general.extend(
        knobs
            .protocols
            .iter()
            .map(|p| Line::Define(p.macro_name(), "")),
    );
    general.extend(
        knobs
            .commands
            .iter()
            .map(|c| Line::Define(c.macro_name(), "")),
    );
    let mut texts = BTreeMap::from([("general", render(&general))]);
    let timeout = knobs.banner_timeout;
    if timeout > 0 {
        let text = texts.entry("general").or_default();
        for name in ["BANNER_TIMEOUT", "ROM_BANNER_TIMEOUT"] {
            let timeout = timeout.to_string();
            text.extend(["#undef ", name, "\n#define ", name, " ", &timeout, "\n"]);
        }
    }
    let mut console = Vec::new();
    if firmware.serial {
        // EFI firmware copies its own console to the serial port: there, each character would
        // come twice.
        console.push(Line::DefineOnBios("CONSOLE_SERIAL"));
    }
    console.extend(
        knobs
            .consoles
            .iter()
            .map(|c| Line::Define(c.macro_name(), "")),
    );
    if !console.is_empty() {
        texts.insert("console", render(&console));
    }
    if let Some(banner) = &knobs.banner {
        let text = format!(
            "{}#undef PRODUCT_NAME\n#define PRODUCT_NAME \"{banner}\"\n",
            render(&[])
        );
        texts.insert("branding", text);
    }
    if let Some(seconds) = knobs.dhcp_timeout {
        let name = "DHCP_DISC_END_TIMEOUT_SEC";
        texts.insert(
            "dhcp",
            format!("{}#undef {name}\n#define {name} {seconds}\n", render(&[])),
        );
    }
    for (name, lines) in &knobs.raw {
        let text = texts.entry(name).or_insert_with(|| render(&[]));
        text.push_str(lines);
        text.push('\n');
    }
    if record::kept(release) {
        texts.insert("slamboot_record", record::header(firmware));
    }
    let header = |(name, text): (&str, String)| Header {
        name: format!("{name}.h"),
        text,
    };
    texts.into_iter().map(header).collect()
}

/// A command of each group: it is in the finished file, or the group did not take effect.
pub fn witness(commands: Commands) -> &'static str {
    match commands {
        Commands::Cert => "certstat",
        Commands::Console => "console",
        Commands::Digest => "sha1sum",
        Commands::Crypt => "imgdecrypt",
        Commands::Memory => "imgmem",
        Commands::Ipstat => "ipstat",
        Commands::Lotest => "lotest",
        Commands::Neighbour => "nstat",
        Commands::Nslookup => "nslookup",
        Commands::Ntp => "ntp",
        Commands::Param => "params",
        Commands::Pci => "pciscan",
        Commands::Ping => "ping",
        Commands::Poweroff => "poweroff",
        Commands::Profstat => "profstat",
        Commands::Reboot => "reboot",
        Commands::Time => "time",
        Commands::Usb => "usbscan",
        Commands::Vlan => "vcreate",
    }
}

/// Commands that scripts may use in every ROM of this site.
pub fn scripts(firmware: &Firmware, release: &Release) -> BTreeSet<&'static str> {
    // What GENERAL switches on, and iPXE's own defaults on every platform (config/general.h).
    let mut commands = BTreeSet::from([
        "autoboot",
        "boot",
        "chain",
        "choose",
        "clear",
        "config",
        "dhcp",
        "echo",
        "exit",
        "form",
        "goto",
        "help",
        "ifclose",
        "ifconf",
        "iflinkwait",
        "ifopen",
        "ifstat",
        "imgargs",
        "imgexec",
        "imgfetch",
        "imgfree",
        "imgload",
        "imgselect",
        "imgstat",
        "inc",
        "initrd",
        "iseq",
        "isset",
        "item",
        "kernel",
        "login",
        "menu",
        "module",
        "prompt",
        "read",
        "route",
        "sanboot",
        "sanhook",
        "sanunhook",
        "set",
        "shell",
        "show",
        "sleep",
    ]);
    commands.extend(firmware.knobs.commands.iter().map(|group| witness(*group)));
    if firmware.knobs.commands.contains(&Commands::Vlan) {
        commands.insert("vdestroy");
    }
    if firmware.knobs.commands.contains(&Commands::Param) {
        commands.insert("param");
    }
    if release.membership(firmware.igmp) {
        commands.extend(["mcjoin", "mcleave"]);
    }
    if firmware.trust.is_some() {
        commands.extend(["imgtrust", "imgverify"]);
    }
    commands
}

/// What a site asks for and a target cannot have, said before make starts.
pub fn check(firmware: &Firmware, target: &Target) -> Result<(), Misfit> {
    let knobs = &firmware.knobs;
    let misfit = |why: String, help: &str| {
        Err(Misfit {
            target: target.name().to_owned(),
            why,
            help: help.to_owned(),
        })
    };
    if target.platform() == Platform::Bios && knobs.protocols.contains(&Protocol::Https) {
        return misfit(
            "[firmware] protocols asks for https, which iPXE leaves out of BIOS builds, as TLS does not fit many option ROMs".to_owned(),
            "build UEFI targets, which have it",
        );
    }
    // iPXE links them with their bus alone (`config/config_usb.c`, `config/config_pci.c`).
    let buses = [(Commands::Usb, "USB"), (Commands::Pci, "PCI")].into_iter();
    let mut absent =
        buses.filter(|(group, _)| knobs.commands.contains(group) && !drives(target, *group));
    if let Some((group, bus)) = absent.next() {
        return misfit(
            format!(
                "[firmware] commands asks for {:?}, which only programs that drive {bus} by themselves have",
                group.word()
            ),
            "leave it out, or build ipxe.lkrn or ipxe.efi, which have all buses",
        );
    }
    let x86 = [Console::Debugcon, Console::Vmware].into_iter();
    let mut x86 = x86.filter(|console| knobs.consoles.contains(console));
    if let (Platform::EfiArm64, Some(console)) = (target.platform(), x86.next()) {
        return misfit(
            format!(
                "[firmware] consoles asks for {:?}, which only x86 machines have",
                console.word()
            ),
            "leave it out, or build without arm64 targets",
        );
    }
    Ok(())
}

/// Whether `target` may drive the bus that `group` is about: one card does not need USB, the firmware's own drivers
/// need neither.
fn drives(target: &Target, group: Commands) -> bool {
    let efi = target.platform().efi();
    let any = |part: &str| match part {
        "undionly" | "undi" | "tap" => false,
        "snponly" | "snp" | "mnponly" => efi && group == Commands::Pci,
        // A driver by its name may be one of a bus.
        other => group == Commands::Pci || crate::target::pci_id(other).is_none(),
    };
    target.stem().split("--").any(any)
}

/// Where the line stands that [`switch_on_slam`] edits.
pub const GENERAL_H: &str = "src/config/general.h";

/// A `config/general.h` that cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{GENERAL_H}: expected one line `#undef DOWNLOAD_PROTO_SLAM`, found {found} such line{}: another release than its pin says?",
    if *.found == 1 { "" } else { "s" }
)]
pub struct NoSwitch {
    found: usize,
}

/// SLAM switched on the old way: upstream's text with the line's `#undef` made a `#define`, its
/// comment kept, nothing else changed.
pub fn switch_on_slam(general: &str) -> Result<String, NoSwitch> {
    let mut found = 0;
    let mut text = String::with_capacity(general.len() + 1);
    for line in general.split_inclusive('\n') {
        let mut words = line.split_whitespace();
        if (words.next(), words.next()) == (Some("#undef"), Some("DOWNLOAD_PROTO_SLAM")) {
            found += 1;
            text.push_str(&line.replacen("#undef", "#define", 1));
        } else {
            text.push_str(line);
        }
    }
    if found == 1 {
        Ok(text)
    } else {
        Err(NoSwitch { found })
    }
}

/// Identifies the headers' content.
pub fn digest(headers: &[Header]) -> String {
    let mut digest = Sha256::new();
    for header in headers {
        let text = hex::encode(Sha256::digest(&header.text));
        digest.update(format!("{text} {}\n", header.name));
    }
    hex::encode(digest.finalize())
}

fn render(lines: &[Line]) -> String {
    let mut text = String::from("/* Written by slamboot; changes are lost. */\n");
    for line in lines {
        match line {
            Line::Define(name, value) => {
                let define = format!("#define {name} {value}");
                text.extend(["#undef ", name, "\n", define.trim_end(), "\n"]);
            }
            // Whatever includes config/general.h comes by here; config.o is in every link, and is
            // where iPXE itself names what is to be linked (config/config.c).
            Line::Require(object) => {
                text.push_str("#undef SLAMBOOT_OBJECT_config\n#define SLAMBOOT_OBJECT_config 1\n");
                text.push_str("#if _C2 ( SLAMBOOT_OBJECT_, OBJECT )\n");
                text.extend(["REQUIRE_OBJECT ( ", object, " );\n#endif\n"]);
            }
            Line::DefineOnBios(name) => {
                text.extend(["#ifdef CONFIG_DEFAULTS_PCBIOS_H\n#undef ", name]);
                text.extend(["\n#define ", name, "\n#endif\n"]);
            }
            Line::Undefine(name) => text.extend(["#undef ", name, "\n"]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use site::{Knobs, Site};

    fn release(name: &str) -> Release {
        crate::pins::Pins::builtin()
            .unwrap()
            .release(name)
            .unwrap()
            .clone()
    }

    fn text(headers: &[Header], name: &str) -> String {
        let header = headers.iter().find(|header| header.name == name);
        header.unwrap_or_else(|| panic!("no {name}")).text.clone()
    }

    #[test]
    fn knobs_are_lines_of_headers() {
        let mut firmware = Site::default().firmware;
        let plain = headers(&firmware, &release("v2.0.0"));
        firmware.knobs = Knobs {
            protocols: vec![Protocol::Nfs],
            commands: vec![Commands::Vlan, Commands::Ping],
            consoles: vec![Console::Debugcon],
            banner: Some("Room 12:".to_owned()),
            banner_timeout: 20,
            dhcp_timeout: Some(30),
            raw: [("usb".to_owned(), "#undef USB_KEYBOARD".to_owned())].into(),
        };
        let turned = headers(&firmware, &release("v2.0.0"));
        assert_ne!(digest(&plain), digest(&turned));
        for (name, line) in [
            ("general.h", "#define DOWNLOAD_PROTO_NFS\n"),
            ("general.h", "#define VLAN_CMD\n"),
            ("general.h", "#define PING_CMD\n"),
            ("general.h", "#define ROM_BANNER_TIMEOUT 20\n"),
            ("console.h", "#define CONSOLE_DEBUGCON\n"),
            ("branding.h", "#define PRODUCT_NAME \"Room 12:\"\n"),
            ("dhcp.h", "#define DHCP_DISC_END_TIMEOUT_SEC 30\n"),
            ("usb.h", "#undef USB_KEYBOARD\n"),
        ] {
            assert!(text(&turned, name).contains(line), "{line} in {turned:?}");
        }
    }

    #[test]
    fn what_a_target_cannot_have_is_refused() {
        let mut firmware = Site::default().firmware;
        firmware.knobs.protocols = vec![Protocol::Https];
        firmware.knobs.consoles = vec![Console::Vmware];
        for (name, part) in [
            ("8086100e.mrom", "does not fit many option ROMs"),
            ("ipxe-arm64.efi", "only x86"),
        ] {
            let target = Target::parse(name).unwrap();
            let error = check(&firmware, &target).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("help:"), "{error}");
        }
        check(&firmware, &Target::parse("ipxe.efi").unwrap()).unwrap();
        firmware.knobs = Knobs::default();
        for (group, fits, not) in [
            (
                Commands::Usb,
                &["ipxe.lkrn", "ipxe.efi", "xhci.rom", "8086100e--xhci.mrom"][..],
                &["8086100e.rom", "undionly.kpxe", "snponly.efi", "tap.linux"][..],
            ),
            (
                Commands::Pci,
                &["8086100e.rom", "snponly.efi", "ipxe.pxe"],
                &["undionly.kpxe", "tap.linux"],
            ),
        ] {
            firmware.knobs.commands = vec![group];
            for name in fits {
                check(&firmware, &Target::parse(name).unwrap()).unwrap();
            }
            for name in not {
                let error = check(&firmware, &Target::parse(name).unwrap()).unwrap_err();
                let said = error.to_string();
                assert!(
                    said.contains(group.word()) && said.contains("ipxe.lkrn"),
                    "{said}"
                );
            }
        }
        check(
            &Site::default().firmware,
            &Target::parse("ipxe.rom").unwrap(),
        )
        .unwrap();
    }

    #[test]
    fn old_releases_get_neither_our_c_nor_a_header_that_switches_slam_on() {
        for name in ["v1.20.1", "gpxe"] {
            let text = text(
                &headers(&Site::default().firmware, &release(name)),
                "general.h",
            );
            for part in ["SLAM", "REQUIRE_OBJECT", "mcast"] {
                assert!(!text.contains(part), "{name}: {text}");
            }
        }
    }

    /// Lines as they stand in gPXE, and in iPXE v1.20.1.
    #[test]
    fn the_old_way_changes_one_word() {
        let gpxe = "/*\n */\n#undef\tDOWNLOAD_PROTO_TFTM\t/* Multicast TFTP */\n\
                    #undef\tDOWNLOAD_PROTO_SLAM\t/* Scalable Local Area Multicast */\n\
                    \n#include <config/local/general.h>\n";
        let edited = switch_on_slam(gpxe).unwrap();
        assert_eq!(
            edited,
            gpxe.replace(
                "#undef\tDOWNLOAD_PROTO_SLAM",
                "#define\tDOWNLOAD_PROTO_SLAM"
            )
        );
        assert!(edited.contains("#undef\tDOWNLOAD_PROTO_TFTM"), "{edited}");
        for (text, found) in [
            ("", "0 such lines"),
            (edited.as_str(), "0 such lines"),
            ("#undef DOWNLOAD_PROTO_SLAMX\n", "0 such lines"),
            ("//#undef DOWNLOAD_PROTO_SLAM\n", "0 such lines"),
            (&gpxe.repeat(2), "2 such lines"),
        ] {
            let error = switch_on_slam(text).unwrap_err().to_string();
            assert!(error.contains(found), "{error}");
        }
    }

    #[test]
    fn one_slam_client_is_on_and_banners_are_off() {
        let general = |client| {
            let mut firmware = Site::default().firmware;
            firmware.client = client;
            text(&headers(&firmware, &release("v2.0.0")), "general.h")
        };
        let stock = general(Client::Stock);
        assert!(stock.contains("#define DOWNLOAD_PROTO_SLAM\n"), "{stock}");
        assert!(!stock.contains("slamboot_slam"), "{stock}");
        let general = general(Client::Slamboot);
        assert!(
            !general.contains("#define DOWNLOAD_PROTO_SLAM"),
            "{general}"
        );
        assert!(
            general.contains("REQUIRE_OBJECT ( slamboot_slam );\n"),
            "{general}"
        );
        assert!(
            general.contains("#define ROM_BANNER_TIMEOUT 0\n"),
            "{general}"
        );
    }

    #[test]
    fn membership_is_linked_by_choice() {
        let mut firmware = Site::default().firmware;
        firmware.client = Client::Stock;
        let with = headers(&firmware, &release("v2.0.0"));
        assert!(
            text(&with, "general.h").contains("REQUIRE_OBJECT ( mcast );\n")
                && text(&with, "general.h").contains("REQUIRE_OBJECT ( mcast_cmd );\n"),
            "{with:?}"
        );
        firmware.igmp = false;
        let without = headers(&firmware, &release("v2.0.0"));
        assert!(!text(&without, "general.h").contains("mcast"));
        assert_ne!(digest(&with), digest(&without));
    }

    #[test]
    fn serial_is_for_bios_and_by_choice() {
        let mut firmware = Site::default().firmware;
        let with = headers(&firmware, &release("v2.0.0"));
        assert_eq!(
            text(&with, "console.h").lines().skip(1).collect::<Vec<_>>(),
            [
                "#ifdef CONFIG_DEFAULTS_PCBIOS_H",
                "#undef CONSOLE_SERIAL",
                "#define CONSOLE_SERIAL",
                "#endif"
            ]
        );
        firmware.serial = false;
        let without = headers(&firmware, &release("v2.0.0"));
        assert!(
            without
                .iter()
                .all(|header| !header.text.contains("define CONSOLE_SERIAL"))
        );
        assert_ne!(digest(&with), digest(&without));
    }
}
