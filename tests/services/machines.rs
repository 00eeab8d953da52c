// SPDX-License-Identifier: MIT OR Apache-2.0
//! Machines from power-on to what they boot.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use xtask::cmd::Running;
use xtask::console::Console;
use xtask::host;
use xtask::netlab::Tap;
use xtask::qemu::{DEBUG, Nic, QEMU, SERIAL};

use super::{Room, Served, demo, small};
use crate::support::Outcome;

/// From power-on; emulated, beside other work.
pub const BOOT: Duration = Duration::from_mins(6);

const OVMF: &str = "/usr/share/ovmf/OVMF.fd";

pub struct Machine {
    pub console: Console,
    _running: Running,
}

/// A PC whose card carries the distribution's iPXE, which has no SLAM.
fn bios(room: &Room, tap: &Tap) -> anyhow::Result<Machine> {
    let stock = host::prebuilt_roms()
        .context("no ROMs")?
        .join(Nic::E1000.stock_rom());
    bios_with(room, tap, &stock)
}

/// A PC whose card carries `firmware`.
pub fn bios_with(room: &Room, tap: &Tap, firmware: &Path) -> anyhow::Result<Machine> {
    #[rustfmt::skip]
    let arguments = [
        "-machine", "pc,graphics=on", "-m", "512",
        "-device", &format!("e1000,netdev=net,mac={},romfile={}", tap.mac, firmware.display()),
    ].map(str::to_owned);
    machine(room, tap, "bios", &arguments)
}

/// A machine with UEFI, whose own drivers and PXE client are EDK II's.
pub fn uefi(room: &Room, tap: &Tap) -> anyhow::Result<Machine> {
    #[rustfmt::skip]
    let arguments = [
        "-machine", "q35", "-m", "1024", "-bios", OVMF, "-vga", "none",
        "-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
        "-device", &format!("virtio-net-pci,netdev=net,mac={},romfile=,bootindex=1", tap.mac),
    ].map(str::to_owned);
    machine(room, tap, "uefi", &arguments)
}

fn machine(room: &Room, tap: &Tap, name: &str, arguments: &[String]) -> anyhow::Result<Machine> {
    let log = format!("{name}-{}.log", tap.interface);
    let console = Console::open(name, &room.path(&log))?;
    let (serial, debug) = (console.pipe(SERIAL)?, console.pipe(DEBUG)?);
    let running = room
        .lab
        .switch()
        .cmd(QEMU)
        .args(["-accel", "tcg", "-nodefaults", "-no-user-config"])
        .args(["-display", "none", "-no-reboot", "-boot", "order=n"])
        .args([
            "-serial",
            "stdio",
            "-chardev",
            "file,id=debug,path=/dev/stderr",
        ])
        .args(["-device", "isa-debugcon,iobase=0xe9,chardev=debug"])
        .arg("-netdev")
        .arg(format!(
            "tap,id=net,ifname={},script=no,downscript=no",
            tap.interface
        ))
        .args(arguments)
        .spawn_into(serial, debug)?;
    Ok(Machine {
        console,
        _running: running,
    })
}

impl Machine {
    pub fn says(&self, text: &str, server: &Served) -> Outcome {
        let waited = self.console.wait_for(text, BOOT);
        waited.map(drop).with_context(|| {
            format!(
                "the machine never said {text:?}\nthe server said:{}",
                server.console.tail()
            )
        })
    }
}

/// What the server said of a machine.
fn said(server: &Served, words: &[&str]) -> bool {
    let lines = server.console.lines();
    lines
        .iter()
        .any(|line| words.iter().all(|word| line.text.contains(word)))
}

/// The server said that of a machine.
pub fn told(server: &Served, words: &[&str]) -> Outcome {
    ensure!(said(server, words), "{}", server.console.tail());
    Ok(())
}

pub fn bios_beside_dnsmasq() -> Outcome {
    let mut room = Room::new()?;
    let config = demo(&room)?;
    let server = room.serve("serve", &config)?;
    let _dhcp = room.lab.dhcp_addresses(room.dir.path())?;
    let tap = room.lab.tap()?;
    let machine = bios(&room, &tap)?;
    machine.says("slamboot: rom up", &server)?;
    machine.says("slamboot: fetched demo over x-slam", &server)?;
    machine.says("slamboot demo: ok", &server)?;
    // The chain, link by link: the distribution's iPXE, ours, the script.
    told(
        &server,
        &[
            &tap.mac,
            "iPXE without SLAM on bios boots http://10.77.0.1:8080/firmware/undionly.kpxe",
        ],
    )?;
    told(
        &server,
        &[
            &tap.mac,
            "iPXE with SLAM on bios boots http://10.77.0.1:8080/boot.ipxe?mac=",
        ],
    )?;
    Ok(())
}

pub fn bios_from_our_pool() -> Outcome {
    let mut room = Room::new()?;
    let config = demo(&room)?;
    let pool = "[dhcp]\nmode = \"pool\"\npool = \"10.77.0.50-10.77.0.60\"\n";
    let server = room.serve("serve", &format!("{pool}{config}"))?;
    let tap = room.lab.tap()?;
    let machine = bios(&room, &tap)?;
    machine.says(
        "slamboot: this machine is 10.77.0.50, the server is 10.77.0.1",
        &server,
    )?;
    machine.says("slamboot demo: ok", &server)?;
    told(&server, &[&tap.mac, "leases 10.77.0.50"])?;
    Ok(())
}

/// Another proxyDHCP server says what boots, beside our pool.
pub fn a_proxy_beside_our_pool_is_not_heeded() -> Outcome {
    let mut room = Room::new()?;
    let config = demo(&room)?;
    let pool = "[dhcp]\nmode = \"pool\"\npool = \"10.77.0.50-10.77.0.60\"\n";
    let server = room.serve("serve", &format!("{pool}{config}"))?;
    let console = Console::open("proxy", &room.path("proxy.log"))?;
    let (out, err) = (console.pipe("out")?, console.pipe("err")?);
    let _proxy = room
        .lab
        .switch()
        .cmd("dnsmasq")
        .args(["--no-daemon", "--conf-file=/dev/null", "--user=root"])
        .args(["--pid-file=", "--port=0", "--no-hosts", "--no-resolv"])
        .args([
            "--interface=br0",
            "--dhcp-range=10.77.0.0,proxy",
            "--log-dhcp",
        ])
        .arg("--pxe-service=x86PC,rival,rival")
        .spawn_into(out, err)?;
    console.wait_for("DHCP, proxy on subnet", BOOT)?;
    let tap = room.lab.tap()?;
    let machine = bios(&room, &tap)?;
    // It offered what it has, and was not heeded.
    console.wait_for("vendor class: PXEClient", BOOT)?;
    machine.says("slamboot: rom up", &server)?;
    machine.says("slamboot demo: ok", &server)
}

/// A host's own image goes before the default, which here could not boot at all.
pub fn bios_by_rule() -> Outcome {
    let mut room = Room::new()?;
    let (other, own) = (small(&room)?, demo(&room)?);
    let tap = room.lab.tap()?;
    let host = format!(
        "[[host]]\nmac = \"{}\"\nname = \"pc-1\"\naddress = \"10.77.0.77\"\nimage = \"demo\"\n",
        tap.mac
    );
    let pool = "[dhcp]\nmode = \"pool\"\nstrict = true\npool = \"10.77.0.50-10.77.0.60\"\n";
    let server = room.serve("serve", &format!("{pool}{other}{own}{host}"))?;
    let machine = bios(&room, &tap)?;
    machine.says("slamboot: this machine is 10.77.0.77", &server)?;
    machine.says("slamboot demo: ok", &server)?;
    Ok(())
}

/// A vendor's PXE ROM and the site's own DHCP server, which names the program for it; ours only has
/// it, for TFTP. QEMU's cards carry iPXE in that ROM's place, of which no more is used than of any other.
pub fn bios_pxe_by_tftp() -> Outcome {
    let mut room = Room::new()?;
    let config = demo(&room)?;
    let fixed = "[firmware.script]\nhttp_fallback = false\n[dhcp]\nmode = \"off\"\n";
    let server = room.serve("serve", &format!("{fixed}{config}"))?;
    let _dhcp = room.lab.dhcp("undionly.kpxe", room.dir.path())?;
    let tap = room.lab.tap()?;
    let machine = bios(&room, &tap)?;
    machine.says("slamboot: rom up", &server)?;
    machine.says("slamboot: fetched demo over x-slam", &server)?;
    machine.says("slamboot demo: ok", &server)?;
    told(&server, &["got undionly.kpxe by TFTP"])?;
    Ok(())
}

/// Debian's installer, by multicast or not at all: memdisk is the BIOS's.
pub fn linux() -> anyhow::Result<String> {
    let (kernel, initrd) = host::netboot().context("no netboot files")?;
    Ok(format!(
        "[firmware.script]\nhttp_fallback = false\n\
         [[image]]\nname = \"debian\"\nkind = \"linux\"\nkernel = \"{}\"\ninitrd = \"{}\"\nargs = \"console=ttyS0 earlyprintk=ttyS0\"\n",
        kernel.display(),
        initrd.display()
    ))
}

/// Both parts came by multicast, and the kernel runs.
fn boots_linux_by_multicast(machine: &Machine, server: &Served) -> Outcome {
    for part in ["kernel", "initrd"] {
        machine.says(
            &format!("slamboot: fetched debian/{part} over x-slam"),
            server,
        )?;
    }
    machine.says("Linux version", server)
}

pub fn uefi_pxe_beside_dnsmasq() -> Outcome {
    let mut room = Room::new()?;
    let server = room.serve("serve", &linux()?)?;
    let _dhcp = room.lab.dhcp_addresses(room.dir.path())?;
    let tap = room.lab.tap()?;
    let machine = uefi(&room, &tap)?;
    boots_linux_by_multicast(&machine, &server)?;
    told(
        &server,
        &[&tap.mac, "PXE firmware on efi-x64 boots snponly.efi"],
    )?;
    told(&server, &["got snponly.efi by TFTP"])?;
    Ok(())
}

pub fn uefi_pxe_from_our_pool() -> Outcome {
    let mut room = Room::new()?;
    let pool = "[dhcp]\nmode = \"pool\"\npool = \"10.77.0.50-10.77.0.60\"\n";
    let server = room.serve("serve", &format!("{pool}{}", linux()?))?;
    let tap = room.lab.tap()?;
    let machine = uefi(&room, &tap)?;
    boots_linux_by_multicast(&machine, &server)?;
    told(&server, &[&tap.mac, "leases 10.77.0.50"])?;
    Ok(())
}

/// Without TFTP the firmware's PXE finds nothing, and goes on to HTTP by itself.
pub fn uefi_http_boot() -> Outcome {
    let mut room = Room::new()?;
    let server = room.serve("serve", &format!("[tftp]\nport = 0\n{}", linux()?))?;
    let _dhcp = room.lab.dhcp_addresses(room.dir.path())?;
    let tap = room.lab.tap()?;
    let machine = uefi(&room, &tap)?;
    boots_linux_by_multicast(&machine, &server)?;
    told(
        &server,
        &[
            &tap.mac,
            "UEFI HTTP boot on efi-x64 (HTTP boot) boots http://10.77.0.1:8080/firmware/snponly.efi",
        ],
    )?;
    Ok(())
}
