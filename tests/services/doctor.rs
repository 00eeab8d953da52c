// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot doctor`, with each fault made real.

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use xtask::cmd::Cmd;
use xtask::host;
use xtask::netlab::{INTERFACE, SERVER};

use super::crowd::client_socket;
use super::{Room, firmware, small};
use crate::support::Outcome;

/// The findings, and whether the command says that all is well.
fn doctor(room: &Room, config: &str) -> anyhow::Result<(Vec<Value>, bool)> {
    let file = room.path("doctor.toml");
    let memdisk = room.path("memdisk");
    if !memdisk.exists() {
        // What it is known by: a bzImage's marks, and its name.
        let mut bytes = vec![1; 26_000];
        bytes[0x1FE..0x206].copy_from_slice(b"\x55\xAA\xEB\x3EHdrS");
        bytes[25_000..25_007].copy_from_slice(b"MEMDISK");
        fs::write(&memdisk, bytes)?;
    }
    let server = format!(
        "[server]\ninterface = \"{INTERFACE}\"\nmemdisk = \"{}\"\nfirmware = \"{}\"\n",
        memdisk.display(),
        firmware(room.dir.path()).display()
    );
    fs::write(&file, format!("{server}{config}"))?;
    let (out, status) = (room.path("doctor.json"), room.path("doctor.status"));
    // Its exit status is part of what is tested.
    let script = format!(
        "{} doctor --json --config {} >{}; echo $? >{}",
        env!("CARGO_BIN_EXE_slamboot"),
        file.display(),
        out.display(),
        status.display()
    );
    room.lab.server().cmd("sh").args(["-c", &script]).read()?;
    let said: Value = serde_json::from_slice(&fs::read(out)?)?;
    let findings = said["findings"].as_array().context("findings")?.clone();
    let well = fs::read_to_string(status)?.trim() == "0";
    ensure!(well == (said["problems"] == 0), "{said}");
    Ok((findings, well))
}

fn has(findings: &[Value], level: &str, check: &str, words: &str) -> Outcome {
    let found = findings.iter().any(|finding| {
        finding["level"] == level
            && finding["check"] == check
            && finding["what"]
                .as_str()
                .is_some_and(|what| what.contains(words))
            && (level == "ok" || finding["remedy"].is_string())
    });
    ensure!(
        found,
        "no {level} of {check} with {words:?} in {findings:#?}"
    );
    Ok(())
}

pub fn all_is_well() -> Outcome {
    let room = Room::new()?;
    let config = small(&room)?;
    let _dhcp = room.lab.dhcp_addresses(room.dir.path())?;
    let (findings, well) = doctor(&room, &config)?;
    ensure!(well, "{findings:#?}");
    has(&findings, "ok", "DHCP", "10.77.0.254 gives addresses")?;
    has(
        &findings,
        "ok",
        "ports",
        "UDP 67, UDP 4011, UDP 69, TCP 8080, UDP 10000",
    )?;
    has(&findings, "ok", "image", "small.img")?;
    has(&findings, "ok", "multicast", "leaves by eth0")?;
    has(&findings, "ok", "snooping", "no querier")?;
    has(&findings, "ok", "clock", "not behind any image")
}

/// A firewall that lets no multicast out. A route that leads nowhere would keep none in: the kernel takes
/// none where the interface is given, as the server gives it (tried).
pub fn no_multicast_leaves() -> Outcome {
    if host::program("nft").is_none() {
        // The host's setup installs it (Need::Test).
        eprintln!("skipped: doctor_finds_that_no_multicast_leaves: no nft");
        return Ok(());
    }
    let room = Room::new()?;
    let config = small(&room)?;
    let server = room.lab.server();
    for rule in [
        "add table ip closed",
        "add chain ip closed output { type filter hook output priority 0; }",
        "add rule ip closed output ip daddr 239.0.0.0/8 udp dport 1-65535 drop",
    ] {
        server.cmd("nft").arg(rule).read()?;
    }
    let (findings, well) = doctor(&room, &config)?;
    ensure!(!well);
    let words = "cannot be sent by eth0: Operation not permitted (os error 1): a firewall on this host drops it";
    has(&findings, "problem", "multicast", words)
}

/// An image that is to be written yet, and a certificate of which a week is left.
pub fn the_clock_and_a_certificate() -> Outcome {
    let room = Room::new()?;
    let config = small(&room)?;
    let image = fs::File::options()
        .write(true)
        .open(room.path("small.img"))?;
    image.set_modified(image.metadata()?.modified()? + Duration::from_hours(48))?;
    let (certificate, key) = (room.path("server.pem"), room.path("server.key"));
    Cmd::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "7"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args([
            "-subj",
            "/CN=boot",
            "-addext",
            "subjectAltName=IP:10.77.0.1",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .read()?;
    let https = format!(
        "certificate = \"{}\"\nkey = \"{}\"\n",
        certificate.display(),
        key.display()
    );
    let (findings, _) = doctor(&room, &format!("{https}{config}"))?;
    has(&findings, "warning", "HTTPS", "ends soon")?;
    has(
        &findings,
        "warning",
        "clock",
        "small.img is from the future",
    )
}

pub fn no_dhcp() -> Outcome {
    let room = Room::new()?;
    let config = small(&room)?;
    let (findings, well) = doctor(&room, &config)?;
    ensure!(!well);
    has(&findings, "problem", "DHCP", "nobody gives addresses")?;
    // With a pool of our own that is as it should be.
    let (findings, _) = doctor(&room, &format!("[dhcp]\nmode = \"pool\"\n{config}"))?;
    has(&findings, "ok", "DHCP", "nobody else gives addresses")
}

/// The clients' port is that of this host's own client, as it is where that has its address by DHCP.
pub fn another_boot_server() -> Outcome {
    let room = Room::new()?;
    let config = small(&room)?;
    let client = room.lab.server().enter(client_socket)??;
    let _dhcp = room.lab.dhcp("pxelinux.0", room.dir.path())?;
    let (findings, _) = doctor(&room, &config)?;
    has(
        &findings,
        "warning",
        "PXE",
        "10.77.0.254 says, too, what boots: pxelinux.0",
    )?;
    let (findings, well) = doctor(&room, &format!("[dhcp]\nmode = \"pool\"\n{config}"))?;
    ensure!(!well);
    has(
        &findings,
        "problem",
        "DHCP",
        "10.77.0.254 gives addresses here, too",
    )?;
    drop(client);
    Ok(())
}

pub fn a_taken_port() -> Outcome {
    let room = Room::new()?;
    let config = small(&room)?;
    let holders = room
        .lab
        .server()
        .enter(|| [(SERVER, 69), (SERVER, 10_000)].map(UdpSocket::bind))?;
    let (findings, well) = doctor(&room, &config)?;
    ensure!(!well && holders.iter().all(Result::is_ok));
    has(
        &findings,
        "problem",
        "ports",
        "UDP port 69 of 10.77.0.1 is taken",
    )?;
    has(
        &findings,
        "problem",
        "ports",
        "UDP port 10000 of 10.77.0.1 is taken",
    )
}

pub fn a_firewall() -> Outcome {
    if host::program("nft").is_none() {
        // The host's setup installs it (Need::Test).
        eprintln!("skipped: doctor_finds_a_firewall: no nft");
        return Ok(());
    }
    let room = Room::new()?;
    let config = small(&room)?;
    let rules = room.path("rules.nft");
    fs::write(
        &rules,
        "table inet filter {\n chain input {\n  type filter hook input priority 0; policy drop;\n  \
         iifname \"lo\" accept\n  ct state established,related accept\n  \
         udp dport { 67, 68, 10000-10010 } accept\n  tcp dport 8080 accept\n }\n}\n",
    )?;
    room.lab
        .server()
        .cmd("nft")
        .args(["-f", &rules.display().to_string()])
        .read()?;
    let (findings, well) = doctor(&room, &config)?;
    ensure!(!well);
    for port in ["udp 69 (TFTP)", "udp 4011 (PXE)"] {
        let text = format!("{port} is dropped by chain inet filter input");
        has(&findings, "problem", "firewall", &text)?;
    }
    let dropped = |port: &str| {
        findings.iter().any(|f| {
            f["check"] == "firewall" && f["what"].as_str().is_some_and(|w| w.starts_with(port))
        })
    };
    ensure!(
        !dropped("udp 67") && !dropped("tcp 8080") && !dropped("udp 10000"),
        "{findings:#?}"
    );
    // The remedy, as typed, is one.
    for finding in findings.iter().filter(|f| f["check"] == "firewall") {
        let remedy = finding["remedy"].as_str().context("a remedy")?;
        let typed = remedy.split_whitespace().collect::<Vec<_>>();
        room.lab.server().cmd(typed[0]).args(&typed[1..]).read()?;
    }
    let (findings, _) = doctor(&room, &config)?;
    has(&findings, "ok", "firewall", "nftables lets clients in")
}

/// Rules of iptables, which nft shows as names alone: what they ask is not known, and what rejects is.
pub fn an_iptables_firewall() -> Outcome {
    if host::program("iptables-nft").is_none() || host::program("nft").is_none() {
        // The host's setup installs them (Need::Test).
        eprintln!("skipped: doctor_finds_an_iptables_firewall: no iptables-nft");
        return Ok(());
    }
    let room = Room::new()?;
    let config = small(&room)?;
    let iptables = |rule: &str| {
        let server = room.lab.server().cmd("iptables-nft");
        server.args(rule.split(' ')).read().map(drop)
    };
    for rule in [
        "-P INPUT DROP",
        "-A INPUT -i lo -j ACCEPT",
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
        "-A INPUT -j LOG --log-prefix in:",
        "-A INPUT -j REJECT",
    ] {
        iptables(rule)?;
    }
    let (findings, well) = doctor(&room, &config)?;
    ensure!(!well);
    for port in ["udp 67 (DHCP)", "tcp 8080 (HTTP)", "udp 10000 (SLAM)"] {
        let text = format!("{port} is dropped by chain ip filter INPUT");
        has(&findings, "problem", "firewall", &text)?;
    }
    for rule in [
        "-I INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-I INPUT -p udp -m multiport --dports 67,69 -j ACCEPT",
        "-I INPUT -p udp -m udp --dport 4011 -j ACCEPT",
        "-I INPUT -p tcp -m tcp --dport 8080 -m comment --comment web -j ACCEPT",
        "-I INPUT -p udp -m udp --dport 10000:10010 -j ACCEPT",
    ] {
        iptables(rule)?;
    }
    let (findings, well) = doctor(&room, &config)?;
    // Of the network's own: nobody gives addresses.
    ensure!(!well);
    let firewall = || findings.iter().filter(|f| f["check"] == "firewall");
    for port in ["udp 67 (DHCP)", "udp 69 (TFTP)"] {
        let text = format!("{port} may be dropped by chain ip filter INPUT");
        has(&findings, "warning", "firewall", &text)?;
    }
    ensure!(firewall().count() == 2, "{findings:#?}");
    for finding in firewall() {
        let remedy = finding["remedy"].as_str().context("a remedy")?;
        iptables(remedy.strip_prefix("iptables ").context("not iptables")?)?;
    }
    let (findings, _) = doctor(&room, &config)?;
    has(&findings, "ok", "firewall", "nftables lets clients in")
}

pub fn a_querier_and_files() -> Outcome {
    let room = Room::new()?;
    room.lab.snoop()?;
    room.lab
        .server()
        .ip(["link", "set", INTERFACE, "mtu", "1400"])?;
    fs::write(room.path("memdisk"), "no")?;
    let config = "[[image]]\nname = \"gone\"\nkind = \"disk\"\npath = \"gone.img\"\n";
    let (findings, well) = doctor(&room, config)?;
    ensure!(!well);
    has(&findings, "warning", "snooping", "asks for members (IGMP)")?;
    has(&findings, "warning", "MTU", "at most 1400 bytes")?;
    has(&findings, "problem", "image", "gone.img: No such file")?;
    has(&findings, "problem", "memdisk", "is no memdisk")
}
