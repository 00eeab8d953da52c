// SPDX-License-Identifier: MIT OR Apache-2.0
//! The script in the ROM.

use std::net::Ipv4Addr;

use site::{Boot, Host, Image, Ipv4Net, Site};

use super::image::{Scope, image_lines};
use super::{ScriptError, check_name, fill, http_prefix, kind_words, menu_timeout, script};
use crate::pins::{Dialect, Release};

const EMBEDDED: &str = include_str!("../../scripts/embedded.ipxe");
const TRUST: &str = include_str!("../../scripts/trust.ipxe");
const NETWORK_STATIC: &str = include_str!("../../scripts/network-static.ipxe");
const VLAN: &str = include_str!("../../scripts/vlan.ipxe");
const SERVER_NEXT: &str = include_str!("../../scripts/server-next.ipxe");
const REMOTE: &str = include_str!("../../scripts/remote.ipxe");
const CHOICE: &str = include_str!("../../scripts/choice.ipxe");
const CHOICE_MENU: &str = include_str!("../../scripts/choice-menu.ipxe");

/// Where the script ends, for whoever stands before the machine. A shell would run what nobody signed.
const SHELL: &str = "prompt --key s --timeout 10000 slamboot: press s for a shell, or wait 10 s for the next boot device && shell ||";
const NO_SHELL: &str = "sleep 10";

/// Settings of a site that cannot be had together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}\nhelp: {help}")]
pub struct Contradiction {
    /// The key in slamboot.toml.
    pub key: &'static str,
    /// What it contradicts, and why.
    pub why: String,
    /// What to do instead.
    pub help: &'static str,
}

/// What of the site's wishes for its ROMs cannot be, with `release`: said before make starts.
pub fn contradictions(site: &Site, release: &Release) -> Result<(), Contradiction> {
    let refuse = |key, why: &str, help| {
        Err(Contradiction {
            key,
            why: why.to_owned(),
            help,
        })
    };
    let (firmware, own) = (&site.firmware, &site.firmware.script);
    if firmware.trust.is_some() {
        const KEY: &str = "[firmware] trust";
        if release.dialect == Dialect::Gpxe {
            return refuse(
                KEY,
                "gPXE verifies no signatures",
                "choose another --release",
            );
        }
        if site.server.http_port.is_none() {
            return refuse(
                KEY,
                "signatures come over HTTP, which [server] http_port = 0 switches off",
                "give http_port a port",
            );
        }
        if firmware.knobs.banner_timeout > 0 {
            return refuse(
                KEY,
                "[firmware] banner_timeout gives whoever presses Ctrl-B a shell, which boots what nobody signed",
                "leave banner_timeout out",
            );
        }
    }
    if release.dialect == Dialect::Gpxe && own.file.is_some() {
        return refuse(
            "[firmware.script] file",
            "gPXE scripts are another language, which nothing here reads and checks",
            "leave it out, or choose another --release",
        );
    }
    if release.dialect == Dialect::Gpxe && own.vlan.is_some() {
        return refuse(
            "[firmware.script] vlan",
            "gPXE scripts know no conditions, and so cannot try again in a VLAN that they made",
            "leave it out and give the port no tags, or choose another --release",
        );
    }
    if release.dialect == Dialect::Gpxe && (!own.ask_server || own.static_network.is_some()) {
        return refuse(
            "[firmware.script]",
            "gPXE scripts know neither labels nor conditions: they can only ask the server",
            "leave ask_server and static_network out, or choose another --release",
        );
    }
    if !own.ask_server && !site.groups.is_empty() {
        return refuse(
            "[[group]]",
            "iPXE's scripts know no patterns and no networks, and this ROM does not ask the server, which does ([firmware] trust, or [firmware.script] ask_server = false)",
            "name the machines in [[host]] sections, or let the ROM ask the server",
        );
    }
    match own.static_network {
        Some(network) => static_addresses(site, network),
        None => Ok(()),
    }
}

fn static_addresses(site: &Site, network: Ipv4Net) -> Result<(), Contradiction> {
    const KEY: &str = "[firmware.script] static_network";
    let refuse = |why: String, help| {
        Err(Contradiction {
            key: KEY,
            why,
            help,
        })
    };
    if site.server.address.is_none() {
        return refuse(
            "a machine that asks no DHCP server is told no boot server either".to_owned(),
            "set [server] address",
        );
    }
    let mut known = addresses(site).peekable();
    if known.peek().is_none() {
        return refuse(
            "no [[host]] has an address".to_owned(),
            "give the machines [[host]] sections with mac and address, or leave the key out",
        );
    }
    let hosts = known.map(|(host, address)| (host.label(), address));
    let router = site.dhcp.router.map(|at| ("[dhcp] router".to_owned(), at));
    for (who, address) in hosts.chain(router) {
        let last = network.broadcast();
        let edge = network.prefix_len() < 31 && (address == network.network() || address == last);
        if !network.contains(&address) || edge {
            return refuse(
                format!("{address} of {who} is no machine's address in {network}"),
                "name the network that the machines are in",
            );
        }
    }
    Ok(())
}

/// Machines with an address of their own.
fn addresses(site: &Site) -> impl Iterator<Item = (&Host, Ipv4Addr)> {
    let hosts = site.hosts.iter();
    hosts.filter_map(|host| Some((host, host.address?)))
}

/// The script in the ROM: finds its server, asks it for a script where it may, and boots what the site
/// says by itself where the server has none.
pub fn embedded(site: &Site) -> Result<String, ScriptError> {
    let server = match site.server.address {
        Some(address) => format!("set server {address}"),
        None => SERVER_NEXT.trim_end().to_owned(),
    };
    let own = &site.firmware.script;
    let http = http_prefix(site, "${server}").filter(|_| own.ask_server);
    let remote = http
        .as_ref()
        .map_or_else(String::new, |http| fill(REMOTE, &[("http", http)]));
    let trust = site.firmware.trust.is_some();
    let (choice, image) = if own.ask_server {
        (String::new(), default_image(site)?)
    } else {
        decided_here(site)?
    };
    let network = match own.static_network {
        Some(network) => static_network(site, network),
        None => dhcp(own.vlan),
    };
    let (limit, of) = match site.firmware.retries {
        0 => (String::new(), String::new()),
        n => (
            format!("iseq ${{attempt}} {n} && goto give_up ||"),
            format!(" of {n}"),
        ),
    };
    Ok(script(
        EMBEDDED,
        &[
            ("trust", if trust { TRUST } else { "" }),
            ("network", &network),
            ("server", &server),
            ("remote", &remote),
            ("choice", &choice),
            ("image", &image),
            ("limit", &limit),
            ("of", &of),
            ("last", if trust { NO_SHELL } else { SHELL }),
        ],
    ))
}

/// One image for all.
fn default_image(site: &Site) -> Result<String, ScriptError> {
    match site.default_image() {
        Some(image) => image_lines(site, image, "${server}", &Scope::alone(site)),
        None => Ok([
            "echo slamboot: this ROM names no image: add one to slamboot.toml and build it again",
            "goto failed",
        ]
        .join("\n")),
    }
}

/// Asks for an address: on any card, or in the first one's VLAN.
fn dhcp(vlan: Option<u16>) -> String {
    match vlan {
        None => "dhcp || goto failed".to_owned(),
        Some(_) => format!(
            "{}dhcp {} || goto failed",
            made("net0", vlan),
            device("net0", vlan)
        ),
    }
}

/// What an interface is called (iPXE `net/vlan.c`, `vlan_create`).
fn device(card: &str, vlan: Option<u16>) -> String {
    match vlan {
        Some(vlan) => format!("{card}-{vlan}"),
        None => card.to_owned(),
    }
}

/// Makes the VLAN's interface, where there is one to be made.
fn made(card: &str, vlan: Option<u16>) -> String {
    let Some(tag) = vlan else {
        return String::new();
    };
    let values = [
        ("made", &*format!("${{{}/mac}}", device(card, vlan))),
        ("tag", &*tag.to_string()),
        ("card", card),
    ];
    fill(VLAN, &values) + "\n"
}

/// Addresses by card.
fn static_network(site: &Site, network: Ipv4Net) -> String {
    let mut lines = Vec::new();
    for (host, address) in addresses(site) {
        for mac in &host.macs {
            lines.push(format!(
                "iseq ${{card}} {mac} && set address {address} && goto static ||"
            ));
        }
    }
    let vlan = site.firmware.script.vlan;
    let device = device("net${nic}", vlan);
    let router = site.dhcp.router;
    let router = router.map(|router| format!("set {device}/gateway {router}"));
    let dns = site.dhcp.dns.first();
    let dns = dns.map(|dns| format!("set {device}/dns {dns}"));
    fill(
        NETWORK_STATIC,
        &[
            ("hosts", &lines.join("\n")),
            ("vlan", &made("net${nic}", vlan)),
            ("device", &device),
            ("dhcp", &dhcp(vlan)),
            ("netmask", &network.netmask().to_string()),
            ("router", &router.unwrap_or_default()),
            ("dns", &dns.unwrap_or_default()),
            ("network", &network.to_string()),
        ],
    )
}

/// What boots by card or for all, with the menu where somebody gets one, and the images that can be
/// had.
fn decided_here(site: &Site) -> Result<(String, String), ScriptError> {
    let Some(first) = site.default_image() else {
        return Ok((String::new(), default_image(site)?));
    };
    let label = |boot: &Boot| match boot {
        Boot::Default => None,
        Boot::Image(name) => Some(image_label(name)),
        Boot::Menu => Some("menu".to_owned()),
        Boot::Local => Some("local".to_owned()),
    };
    let default = image_label(&first.name);
    let mut lines = Vec::new();
    for host in &site.hosts {
        let Some(label) = label(&host.boot) else {
            continue;
        };
        for mac in &host.macs {
            lines.push(format!(
                "iseq ${{card}} {mac} && set what {label} && goto decided ||"
            ));
        }
    }
    let has_menu = site.menu.shown || site.hosts.iter().any(|host| host.boot == Boot::Menu);
    let wanted = |image: &&Image| {
        let named = |host: &Host| host.boot == Boot::Image(image.name.clone());
        has_menu || image.name == first.name || site.hosts.iter().any(named)
    };
    let mut items = Vec::new();
    let mut images = Vec::new();
    for image in site.images.iter().filter(wanted) {
        check_name(&image.name)?;
        let label = image_label(&image.name);
        items.push(format!(
            "item {label} {} ({})",
            image.name,
            kind_words(&image.kind)
        ));
        images.push(format!(":{label}"));
        let scope = Scope::among(site, image);
        images.push(image_lines(site, image, "${server}", &scope)?);
    }
    let menu = if has_menu {
        let values = [
            ("items", items.join("\n")),
            ("default", default.clone()),
            ("timeout", menu_timeout(site)),
        ];
        let values = values.each_ref().map(|(key, value)| (*key, value.as_str()));
        fill(CHOICE_MENU, &values)
    } else {
        String::new()
    };
    let shown = if site.menu.shown { "menu" } else { &default };
    let choice = fill(
        CHOICE,
        &[
            ("default", shown),
            ("hosts", &lines.join("\n")),
            ("menu", &menu),
        ],
    );
    Ok((choice, images.join("\n")))
}

/// Images have names of their own, apart from those of the script's other labels.
fn image_label(name: &str) -> String {
    format!("image_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pins::Pins;
    use site::{EmbeddedScript, ImageKind, Priority, Trust};

    fn site() -> Site {
        let text = "\
            [server]\naddress = \"192.0.2.1\"\n\
            [dhcp]\nrouter = \"192.0.2.254\"\ndns = [\"192.0.2.253\"]\n\
            [boot]\nmenu = true\ntimeout = 5\n\
            [firmware.script]\nask_server = false\nstatic_network = \"192.0.2.0/24\"\n\
            [[image]]\nname = \"demo\"\nkind = \"disk\"\npath = \"demo.img\"\n\
            [[image]]\nname = \"debian\"\nkind = \"linux\"\nkernel = \"k\"\ninitrd = \"i\"\n\
            [[host]]\nmac = [\"52:54:00:00:00:01\", \"52:54:00:00:00:02\"]\naddress = \"192.0.2.51\"\nimage = \"debian\"\n\
            [[host]]\nmac = \"52:54:00:00:00:03\"\nboot = \"local\"\n";
        Site::parse(text, std::path::Path::new("/s/slamboot.toml")).unwrap()
    }

    fn release(name: &str) -> Release {
        Pins::builtin().unwrap().release(name).unwrap().clone()
    }

    fn checked(site: &Site) -> String {
        let release = release("v2.0.0");
        contradictions(site, &release).unwrap();
        let text = embedded(site).unwrap();
        let commands = crate::config::scripts(&site.firmware, &release);
        let bios = [crate::target::Target::parse("undionly.kpxe").unwrap()];
        let schemes = super::super::schemes(&site.firmware, &bios);
        super::super::check(&text, &commands, &schemes)
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        text
    }

    fn has(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_rom_that_asks_nobody_has_menu_hosts_and_images_built_in() {
        let text = checked(&site());
        has(
            &text,
            &[
                "set what menu",
                "iseq ${card} 52:54:00:00:00:01 && set what image_debian && goto decided ||",
                "iseq ${card} 52:54:00:00:00:02 && set what image_debian && goto decided ||",
                "iseq ${card} 52:54:00:00:00:03 && set what local && goto decided ||",
                "item image_demo demo (disk image)",
                "item image_debian debian (Linux)",
                "choose --default image_demo --timeout 5000 what || goto local",
                ":image_demo",
                ":image_debian",
                ":demo_disk_slam",
                ":debian_kernel_slam",
            ],
        );
        assert!(!text.contains("boot.ipxe"), "{text}");
        // Nobody can get the menu, and one image is nobody's.
        let mut site = site();
        site.menu.shown = false;
        site.hosts.remove(0);
        site.firmware.script.static_network = None;
        let text = checked(&site);
        has(&text, &["set what image_demo"]);
        assert!(
            !text.contains("debian") && !text.contains("choose"),
            "{text}"
        );
        // One machine gets the menu, and all that it offers.
        site.hosts[0].boot = Boot::Menu;
        has(&checked(&site), &["item image_debian debian (Linux)"]);
    }

    #[test]
    fn known_machines_need_no_dhcp() {
        let text = checked(&site());
        has(
            &text,
            &[
                "iseq ${card} 52:54:00:00:00:02 && set address 192.0.2.51 && goto static ||",
                "set net${nic}/ip ${address}",
                "set net${nic}/netmask 255.255.255.0",
                "set net${nic}/gateway 192.0.2.254",
                "set net${nic}/dns 192.0.2.253",
                "dhcp || goto failed",
                "set server 192.0.2.1",
            ],
        );
        let mut site = site();
        site.firmware.script.static_network = None;
        let text = checked(&site);
        assert!(!text.contains("netmask"), "{text}");
    }

    #[test]
    fn a_vlan_is_made_once_and_all_goes_through_it() {
        let text = "[firmware.script]\nvlan = 12\n\
                    [[image]]\nname = \"demo\"\nkind = \"disk\"\npath = \"demo.img\"\n";
        let mut vlan = Site::parse(text, std::path::Path::new("/s/slamboot.toml")).unwrap();
        // The command is there without being asked for.
        let text = checked(&vlan);
        let made = "isset ${net0-12/mac} || vcreate --tag 12 net0 || goto failed";
        has(&text, &[made, "dhcp net0-12 || goto failed"]);
        assert!(!text.contains("\ndhcp ||"), "{text}");
        // In each of its networks: known machines have their cards' VLAN, too.
        let known = site();
        (vlan.server, vlan.hosts) = (known.server, known.hosts);
        vlan.dhcp.router = known.dhcp.router;
        vlan.firmware.script.static_network = known.firmware.script.static_network;
        has(
            &checked(&vlan),
            &[
                "isset ${net${nic}-12/mac} || vcreate --tag 12 net${nic} || goto failed",
                "ifopen net${nic}-12 || goto failed",
                "set net${nic}-12/ip ${address}",
                "set net${nic}-12/gateway 192.0.2.254",
                made,
                "dhcp net0-12 || goto failed",
            ],
        );
        vlan.firmware.script.static_network = None;
        let error = contradictions(&vlan, &release("gpxe"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("[firmware.script] vlan"), "{error}");
        vlan.firmware.script.vlan = None;
        vlan.firmware.script.file = Some("x.ipxe".into());
        let error = contradictions(&vlan, &release("gpxe"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("[firmware.script] file"), "{error}");
    }

    #[test]
    fn a_room_is_waited_for_aloud_and_http_is_a_choice() {
        let mut site = site();
        site.slam.min_clients = Some(16);
        let text = checked(&site);
        has(
            &text,
            &["echo slamboot: waiting for a room of 16 machines, 60 s at most"],
        );
        assert!(text.contains("falling back to http"), "{text}");
        site.firmware.script.http_fallback = false;
        let text = checked(&site);
        assert!(!text.contains("falling back to http"), "{text}");
        // memdisk comes by no other way.
        assert!(text.contains("http://${server}:8080/memdisk"), "{text}");
    }

    /// Every file that is fetched is verified between its fetch and the next `boot`.
    #[test]
    fn with_trust_nothing_runs_unverified() {
        let mut site = site();
        site.firmware.trust = Some(Trust {
            root: "trust/root.crt".into(),
        });
        let text = checked(&site);
        let lines: Vec<&str> = text.lines().collect();
        let at = |line: &str| lines.iter().position(|found| *found == line).unwrap();
        assert!(at("imgtrust --permanent") < at(":attempt"), "{text}");
        let mut pending: Vec<&str> = Vec::new();
        let (mut fetched, mut booted) = (0, 0);
        for line in &lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["kernel" | "initrd", "--name", name, ..] => {
                    // Once by multicast, once over HTTP.
                    pending.retain(|pending| pending != name);
                    pending.push(name);
                    fetched += 1;
                }
                ["imgverify", "--timeout", _, name, uri, "&&", ..] => {
                    assert!(uri.starts_with("http://${server}:8080/"), "{line}");
                    pending.retain(|pending| pending != name);
                }
                ["boot", ..] => {
                    assert!(pending.is_empty(), "{pending:?} unverified in {text}");
                    booted += 1;
                }
                ["chain" | "sanboot" | "shell" | "imgexec" | "imgfetch", ..] => {
                    panic!("{line} in {text}")
                }
                _ => {}
            }
        }
        assert_eq!((fetched, booted), (7, 2), "{text}");
        assert!(!text.contains("shell"), "{text}");
        has(
            &text,
            &[
                "imgverify --timeout 10000 memdisk http://${server}:8080/memdisk.sig && goto demo_memdisk_verified ||",
                "imgverify --timeout 10000 disk http://${server}:8080/signatures/demo && goto demo_disk_verified ||",
                "imgverify --timeout 10000 initrd http://${server}:8080/signatures/debian/initrd && goto debian_initrd_verified ||",
            ],
        );
        // What the server hands out to others verifies nothing, and pretends nothing.
        let served = super::super::boot(&site, &site.images[0], Ipv4Addr::new(192, 0, 2, 1));
        assert!(!served.unwrap().contains("imgverify"));
    }

    #[test]
    fn every_combination_is_a_script_that_works() {
        for bits in 0..128u32 {
            let mut site = site();
            let on = |bit: u32| bits & (1 << bit) != 0;
            site.menu.shown = on(0);
            site.firmware.script = EmbeddedScript {
                ask_server: on(1) && !on(2),
                http_fallback: on(3),
                static_network: site.firmware.script.static_network.filter(|_| on(4)),
                vlan: on(6).then_some(7),
                file: None,
            };
            if on(6) {
                site.firmware.knobs.commands = vec![site::Commands::Vlan];
            }
            site.firmware.trust = on(2).then(|| Trust { root: "r".into() });
            if on(5) {
                site.slam.group = "ff15::5a".parse().unwrap();
            }
            site.images.push(Image {
                name: "a.b-c_d".into(),
                kind: ImageKind::Iso { path: "i".into() },
                priority: Priority::default(),
            });
            checked(&site);
        }
    }

    fn trust(site: &mut Site) {
        site.firmware.trust = Some(Trust { root: "r".into() });
    }

    #[test]
    fn contradictions_are_told_with_a_way_out() {
        let refused = |change: fn(&mut Site), release_name: &str| {
            let mut site = site();
            change(&mut site);
            let error = contradictions(&site, &release(release_name)).unwrap_err();
            assert!(!error.help.is_empty());
            error.to_string()
        };
        let group = |site: &mut Site| {
            site.groups.push(site::Group {
                name: "lab".into(),
                macs: Vec::new(),
                networks: Vec::new(),
                archs: Vec::new(),
                boot: Boot::Menu,
            });
        };
        for (said, part) in [
            (refused(trust, "gpxe"), "gPXE verifies no signatures"),
            (
                refused(
                    |site| {
                        trust(site);
                        site.server.http_port = None;
                    },
                    "v2.0.0",
                ),
                "http_port = 0",
            ),
            (
                refused(
                    |site| {
                        trust(site);
                        site.firmware.knobs.banner_timeout = 20;
                    },
                    "v2.0.0",
                ),
                "Ctrl-B",
            ),
            (refused(|_| {}, "gpxe"), "can only ask the server"),
            (refused(group, "v2.0.0"), "[[host]] sections"),
            (
                refused(|site| site.server.address = None, "v2.0.0"),
                "[server] address",
            ),
            (
                refused(|site| site.hosts[0].address = None, "v2.0.0"),
                "no [[host]] has an address",
            ),
            (
                refused(
                    |site| site.hosts[0].address = Some(Ipv4Addr::new(192, 0, 3, 1)),
                    "v2.0.0",
                ),
                "192.0.3.1 of 52:54:00:00:00:01",
            ),
            (
                refused(
                    |site| site.hosts[0].address = Some(Ipv4Addr::new(192, 0, 2, 255)),
                    "v2.0.0",
                ),
                "no machine's address in 192.0.2.0/24",
            ),
            (
                refused(
                    |site| site.dhcp.router = Some(Ipv4Addr::new(10, 0, 0, 1)),
                    "v2.0.0",
                ),
                "[dhcp] router",
            ),
        ] {
            assert!(
                said.contains(part) && said.contains("help:"),
                "{part}\n{said}"
            );
        }
    }
}
