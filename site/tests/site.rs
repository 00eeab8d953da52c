// SPDX-License-Identifier: MIT OR Apache-2.0
//! What good files mean.

use std::path::{Path, PathBuf};

use site::{Image, ImageKind, Key, Priority, Site};

fn parse(text: &str) -> Site {
    Site::parse(text, Path::new("/srv/room/slamboot.toml")).unwrap_or_else(|e| panic!("{e}"))
}

fn example() -> &'static str {
    include_str!("../../docs/slamboot.toml")
}

#[test]
fn the_example_is_the_defaults() {
    assert_eq!(parse(example()), Site::default());
    assert_eq!(parse(""), Site::default());
}

/// With its comment signs taken off the example still parses, and names every key there is.
#[test]
fn the_example_names_every_key() {
    let mut text = String::new();
    for line in example().lines() {
        let code = line.strip_prefix("# ").unwrap_or(line);
        let is_code = code.starts_with('[')
            || code.split_once(" = ").is_some_and(|(key, _)| {
                key.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            });
        if is_code {
            // A range of addresses goes with one mode only.
            text.push_str(&code.replace("mode = \"auto\"", "mode = \"pool\""));
            text.push('\n');
        }
    }
    // A script of the site's own goes with no key that is for ours.
    let own = "file = \"room.ipxe\"\n";
    assert!(text.contains(own));
    parse(&format!("[firmware.script]\n{own}"));
    let site = parse(&text.replace(own, ""));
    assert_eq!(site.images.len(), 3, "{text}");
    assert_eq!(site.server.interfaces, ["eth0"]);
    let keys: Vec<&str> = text
        .lines()
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .collect();
    // An unknown key makes the parser list the known ones: all of them must be in the example.
    for section in [
        "[server]",
        "[dhcp]",
        "[tftp]",
        "[http]",
        "[status]",
        "[slam]",
        "[firmware]",
        "[firmware.script]",
        "[boot]",
        "[[image]]",
        "[[host]]",
        "[[group]]",
        "[[dhcp.relay]]",
    ] {
        let error = Site::parse(&format!("{section}\nqqq = 1\n"), Path::new("x")).unwrap_err();
        let error = error.to_string();
        let known = error
            .split_once("expected: ")
            .unwrap()
            .1
            .lines()
            .next()
            .unwrap();
        for key in known.split(", ") {
            let table = format!("{}.{key}]", section.trim_end_matches(']'));
            assert!(
                keys.contains(&key) || text.contains(&table),
                "{section} {key} is not in docs/slamboot.toml"
            );
        }
    }
}

#[test]
fn paths_are_relative_to_the_file() {
    let site = parse(
        "[server]\nmemdisk = \"bin/memdisk\"\n\
         [[image]]\nname = \"a\"\nkind = \"disk\"\npath = \"a.img\"\n\
         [[image]]\nname = \"b\"\nkind = \"linux\"\nkernel = \"/boot/linux\"\nargs = \"quiet\"\n",
    );
    assert_eq!(site.server.memdisk, PathBuf::from("/srv/room/bin/memdisk"));
    assert_eq!(
        site.images,
        [
            Image {
                name: "a".into(),
                kind: ImageKind::Disk {
                    path: "/srv/room/a.img".into()
                },
                priority: Priority::default(),
            },
            Image {
                name: "b".into(),
                kind: ImageKind::Linux {
                    kernel: "/boot/linux".into(),
                    initrd: None,
                    args: "quiet".into(),
                },
                priority: Priority::default(),
            },
        ]
    );
}

#[test]
fn the_default_image_is_found_by_name() {
    let images = "[[image]]\nname = \"a\"\nkind = \"disk\"\npath = \"a\"\n\
                  [[image]]\nname = \"b\"\nkind = \"disk\"\npath = \"b\"\n";
    assert_eq!(parse(images).default_image().unwrap().name, "a");
    let named = parse(&format!("[boot]\ndefault = \"b\"\n{images}"));
    assert_eq!(named.default_image().unwrap().name, "b");
}

#[test]
fn zero_switches_http_off() {
    assert_eq!(parse("[server]\nhttp_port = 0\n").server.http_port, None);
}

#[test]
fn the_last_ports_and_groups_can_be_used() {
    let site = parse(
        "[slam]\nport = 65535\ngroup_port = 65535\ngroup = \"239.255.255.255\"\n\
         [[image]]\nname = \"a\"\nkind = \"disk\"\npath = \"a\"\n",
    );
    let transfers = site.transfers();
    assert_eq!(
        transfers[0].uri("10.0.0.1"),
        "x-slam://10.0.0.1:65535/239.255.255.255:65535"
    );
}

/// What the command line changes is checked by the same rules.
#[test]
fn a_changed_site_is_checked_again() {
    let mut site = parse("[[image]]\nname = \"a\"\nkind = \"disk\"\npath = \"a\"\n");
    assert_eq!(site.check(), Ok(()));
    site.slam.group = site::Groups::V4(std::net::Ipv4Addr::LOCALHOST);
    assert_eq!(site.check().unwrap_err().key, Key::Group);
    site = Site::default();
    site.slam.block_size = site::MAX_BLOCK_SIZE + 1;
    assert_eq!(site.check().unwrap_err().key, Key::BlockSize);
    site = Site::default();
    site.slam.ttl = 0;
    assert_eq!(site.check().unwrap_err().key, Key::Ttl);
    site = Site::default();
    site.slam.port = 0;
    assert_eq!(site.check().unwrap_err().key, Key::Port);
}

#[test]
fn one_interface_or_several() {
    let interfaces = |value: &str| {
        parse(&format!("[server]\ninterface = {value}\n"))
            .server
            .interfaces
    };
    assert_eq!(interfaces("\"eth0\""), ["eth0"]);
    assert_eq!(interfaces("[\"eth0\", \"eth0.20\"]"), ["eth0", "eth0.20"]);
    assert_eq!(interfaces("[]"), [""; 0]);
}

#[test]
fn networks_are_cut_to_their_prefix() {
    let site = parse("[slam]\nallowed = [\"192.0.2.7/24\", \"fd00::1/64\"]\n");
    let allowed: Vec<String> = site
        .slam
        .allowed
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(allowed, ["192.0.2.0/24", "fd00::/64"]);
}

#[test]
fn transfers_have_the_priority_of_their_image() {
    let site = parse(
        "[[image]]\nname = \"a\"\nkind = \"disk\"\npath = \"a\"\npriority = 10\n\
         [[image]]\nname = \"b\"\nkind = \"linux\"\nkernel = \"k\"\ninitrd = \"i\"\n",
    );
    let priorities: Vec<u8> = site.transfers().iter().map(|t| t.priority.get()).collect();
    assert_eq!(priorities, [10, 5, 5]);
}

/// What has a key of its own is not decided a second time, nor what slamboot's scripts rest on.
#[test]
fn raw_lines_leave_alone_what_keys_decide() {
    let raw = |line: &str| {
        let text = format!("[firmware.raw]\ngeneral = \"{line}\"\n");
        Site::parse(&text, Path::new("slamboot.toml")).map_err(|error| error.to_string())
    };
    raw("#define HTTP_HACK_GCE").unwrap();
    let protocols = site::Protocol::ALL.iter().map(|p| p.macro_name());
    let commands = site::Commands::ALL.iter().map(|c| c.macro_name());
    let consoles = site::Console::ALL.iter().map(|c| c.macro_name());
    let typed = protocols.chain(commands).chain(consoles);
    for name in typed.chain(["IMAGE_TRUST_CMD", "NET_PROTO_IPV6", "PRODUCT_NAME"]) {
        let error = raw(&format!("#undef {name}")).unwrap_err();
        assert!(
            error.contains(&format!("{name} is what `")) && error.contains("set `"),
            "{error}"
        );
    }
    for name in ["DOWNLOAD_PROTO_HTTP", "MENU_CMD", "IMAGE_SCRIPT"] {
        let error = raw(&format!("#undef {name}")).unwrap_err();
        assert!(
            error.contains(&format!("{name} is always on")) && error.contains("take it out"),
            "{error}"
        );
    }
}
