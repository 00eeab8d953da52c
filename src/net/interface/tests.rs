// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;

fn interface(name: &str, addresses: &[[u8; 4]]) -> Interface {
    Interface {
        name: name.to_owned(),
        link: Link::Up,
        multicast: true,
        loopback: false,
        addresses: addresses.iter().copied().map(Ipv4Addr::from).collect(),
        addresses6: Vec::new(),
        networks: Vec::new(),
        index: 2,
        mtu: Some(1500),
    }
}

fn lo() -> Interface {
    Interface {
        multicast: false,
        loopback: true,
        mtu: Some(65536),
        ..interface("lo", &[[127, 0, 0, 1]])
    }
}

fn eth0() -> Interface {
    interface("eth0", &[[192, 0, 2, 2], [192, 0, 2, 3]])
}

fn eth1() -> Interface {
    interface("enp5s0", &[[10, 0, 0, 1]])
}

fn error(interfaces: &[Interface], name: Option<&str>, address: Option<[u8; 4]>) -> String {
    choose(interfaces, name, address.map(Ipv4Addr::from))
        .unwrap_err()
        .to_string()
}

#[test]
fn the_only_usable_one_is_taken() {
    let down = Interface {
        link: Link::Down,
        ..eth1()
    };
    let bare = interface("eth2", &[]);
    let chosen = choose(&[lo(), eth0(), down, bare], None, None).unwrap();
    assert_eq!(chosen.interface, "eth0");
    assert_eq!(chosen.address, Ipv4Addr::new(192, 0, 2, 2));
    assert_eq!(chosen.others, [Ipv4Addr::new(192, 0, 2, 3)]);
}

#[test]
fn a_name_or_an_address_decides() {
    let all = [lo(), eth0(), eth1()];
    let by = |name, address: Option<[u8; 4]>| {
        let chosen = choose(&all, name, address.map(Ipv4Addr::from)).unwrap();
        (chosen.interface, chosen.address.octets())
    };
    assert_eq!(by(Some("lo"), None), ("lo".into(), [127, 0, 0, 1]));
    assert_eq!(by(Some("enp5s0"), None), ("enp5s0".into(), [10, 0, 0, 1]));
    assert_eq!(
        by(None, Some([192, 0, 2, 3])),
        ("eth0".into(), [192, 0, 2, 3])
    );
    assert_eq!(
        by(Some("eth0"), Some([192, 0, 2, 3])),
        ("eth0".into(), [192, 0, 2, 3])
    );
}

#[test]
fn several_are_refused_with_the_options_to_type() {
    let dark = Interface {
        link: Link::NoCarrier,
        ..eth1()
    };
    assert_eq!(
        error(&[lo(), eth0(), dark], None, None),
        "2 interfaces could serve, and none is guessed\n  \
         interface  IPv4 address          state       option\n  \
         eth0       192.0.2.2, 192.0.2.3  up          --interface eth0\n  \
         enp5s0     10.0.0.1              no carrier  --interface enp5s0\n  \
         help: type one or more of these, or name them in slamboot.toml: [server] interface = \"...\""
    );
}

#[test]
fn none_usable_shows_why() {
    let down = Interface {
        link: Link::Down,
        ..eth1()
    };
    assert_eq!(
        error(&[lo(), down, interface("eth2", &[])], None, None),
        "no interface can serve: it must be up, carry multicast and have an IPv4 address\n  \
         interface  IPv4 address  state           option\n  \
         lo         127.0.0.1     this host only  --interface lo\n  \
         enp5s0     10.0.0.1      down\n  \
         eth2       none          up\n  \
         help: repair one of them, or try on this host alone with --interface lo"
    );
}

#[test]
fn wrong_names_and_addresses_are_explained() {
    let all = [lo(), eth0()];
    assert_eq!(
        error(&all, Some("eht0"), None),
        "no interface \"eht0\"; did you mean \"eth0\"?\n  \
         interface  IPv4 address          state           option\n  \
         lo         127.0.0.1             this host only  --interface lo\n  \
         eth0       192.0.2.2, 192.0.2.3  up              --interface eth0"
    );
    assert_eq!(
        error(&all, Some("192.0.2.2"), None),
        "192.0.2.2 is an address\n  expected: the name of an interface\n  \
         help: --address 192.0.2.2"
    );
    assert!(
        error(&all, None, Some([10, 9, 9, 9]))
            .starts_with("no interface has the address 10.9.9.9\n  interface")
    );
    assert_eq!(
        error(&all, Some("eth0"), Some([127, 0, 0, 1])),
        "eth0 does not have the address 127.0.0.1\n  expected: 192.0.2.2, 192.0.2.3\n  \
         help: leave out --address or --interface"
    );
}

#[test]
fn a_named_interface_must_be_able_to_serve() {
    let down = Interface {
        link: Link::Down,
        ..eth0()
    };
    let deaf = Interface {
        multicast: false,
        ..eth0()
    };
    for (interface, text) in [
        (down, "eth0 is down\n  help: ip link set eth0 up"),
        (
            deaf,
            "eth0 does not carry multicast\n  help: ip link set eth0 multicast on, or choose \
             another interface",
        ),
        (
            interface("eth0", &[]),
            "eth0 has no IPv4 address (DHCP, scripts and HTTP need one)\n  help: ip address add \
             192.168.77.1/24 dev eth0",
        ),
    ] {
        assert_eq!(error(&[interface], Some("eth0"), None), text);
    }
}

#[test]
fn a_block_must_fit_one_packet() {
    let at = |mtu| Chosen {
        interface: "wg0".to_owned(),
        address: Ipv4Addr::LOCALHOST,
        others: Vec::new(),
        addresses6: Vec::new(),
        networks: Vec::new(),
        index: 2,
        link: Link::Up,
        mtu,
    };
    let v4 = Groups::V4(site::DEFAULT_GROUP);
    assert!(at(Some(1500)).check_mtu(1451, v4).is_ok());
    assert!(at(Some(1500)).check_mtu(1454, v4).is_ok());
    assert!(at(None).check_mtu(1454, v4).is_ok());
    let error = at(Some(1420)).check_mtu(1451, v4).unwrap_err().to_string();
    assert_eq!(
        error,
        "wg0 carries packets of at most 1420 bytes\n  expected: 1497 for blocks of 1451 bytes\n  \
         help: --block-size 1374, or ip link set wg0 mtu 1500"
    );
    assert!(at(Some(1420)).check_mtu(1374, v4).is_ok());
    assert_eq!(at(Some(1420)).smaller_block(1451, v4), Some(1374));
    assert_eq!(at(Some(1420)).smaller_block(1374, v4), None);
    assert_eq!(at(Some(65536)).smaller_block(1451, v4), None);
    let both: Groups = "239.255.1.1, ff15::5a".parse().unwrap();
    assert_eq!(at(Some(1500)).smaller_block(1451, both), Some(1434));
    assert!(at(Some(1500)).check_mtu(1434, both).is_ok());
}

#[test]
fn a_routable_ipv6_address_is_preferred() {
    let (local, global): (Ipv6Addr, Ipv6Addr) =
        ("fe80::1".parse().unwrap(), "fd00::1".parse().unwrap());
    let with = |addresses6: &[Ipv6Addr]| {
        let interface = Interface {
            addresses6: addresses6.to_vec(),
            ..eth0()
        };
        choose(&[interface], None, None).unwrap()
    };
    let found = |chosen: &Chosen, wanted| chosen.address6(wanted).map(|a| a.to_string());
    let both = with(&[local, global]);
    assert_eq!(found(&both, None).unwrap(), "[fd00::1%2]:0");
    assert_eq!(found(&both, Some(local)).unwrap(), "[fe80::1%2]:0");
    assert_eq!(found(&with(&[local]), None).unwrap(), "[fe80::1%2]:0");
    let error = found(&with(&[local]), Some(global)).unwrap_err();
    assert!(error.to_string().contains("expected: fe80::1"), "{error}");
    let error = found(&with(&[]), None).unwrap_err();
    assert!(error.to_string().contains("eth0 has no IPv6"), "{error}");
}

/// Whatever this machine has, its loopback is listed and serves when named.
#[test]
fn this_host_has_a_loopback() {
    let interfaces = list_interfaces().unwrap();
    let lo = interfaces.iter().find(|i| i.loopback).unwrap();
    assert!(!lo.is_candidate());
    let chosen = choose(&interfaces, Some(&lo.name), None).unwrap();
    assert!(chosen.address.is_loopback());
    assert!(chosen.networks.contains(&"127.0.0.0/8".parse().unwrap()));
}
