// SPDX-License-Identifier: MIT OR Apache-2.0
//! A ROM with `trust = true`, which tries for ever, and a server whose signatures become right one by
//! one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use xtask::console::Deadline;
use xtask::host;

use super::machines::{BOOT, Machine, bios_with, uefi};
use super::{Room, Served, demo, xtask};
use crate::support::{Outcome, paths};

/// Keys are kept from run to run: each new root compiles iPXE anew.
fn keys(name: &str, algorithm: &str) -> anyhow::Result<PathBuf> {
    let dir = paths().target.join("test/trust").join(name);
    if !dir.exists() {
        fs::create_dir_all(dir.parent().context("a parent")?)?;
        let text = dir.display().to_string();
        xtask(
            &paths().target.join("test/trust/dist"),
            &["trust", "init", "--dir", &text, "--algorithm", algorithm],
        )
        .read()?;
    }
    Ok(dir)
}

fn sign(keys: &Path, file: &Path) -> anyhow::Result<PathBuf> {
    let (keys, text) = (keys.display().to_string(), file.display().to_string());
    let dist = paths().target.join("test/trust/dist");
    xtask(&dist, &["trust", "sign", "--dir", &keys, &text]).read()?;
    Ok(site::signature_of(file))
}

pub fn only_what_is_signed() -> Outcome {
    let mut room = Room::new()?;
    let (ours, strangers) = (keys("ours", "rsa")?, keys("strangers", "rsa")?);
    let image = demo(&room)?;
    let image_file = room.path("demo.img");
    let memdisk = room.path("memdisk");
    fs::copy(host::memdisk().context("no memdisk")?, &memdisk)?;
    // What somebody signed before a byte of the disk was changed.
    let before = room.path("before.img");
    let mut bytes = fs::read(&image_file)?;
    *bytes.last_mut().context("an empty disk")? ^= 1;
    fs::write(&before, bytes)?;
    let tampered = sign(&ours, &before)?;

    let firmware = format!(
        "[firmware]\ntrust = true\ntrust_root = \"{}\"\nretries = 0\n",
        ours.join("root.crt").display()
    );
    let config = room.path("rom.toml");
    fs::write(&config, format!("{firmware}{image}"))?;
    let config = config.display().to_string();
    let dist = paths().target.join("test/trust/dist");
    xtask(
        &dist,
        &["firmware", "--config", &config, "--target", "8086100e.mrom"],
    )
    .read()?;

    let config = room.path("serve.toml");
    let server = format!(
        "[server]\ninterface = \"{}\"\nmemdisk = \"{}\"\nstate = \"{}\"\n",
        xtask::netlab::INTERFACE,
        memdisk.display(),
        room.path("state").display()
    );
    fs::write(&config, format!("{server}{firmware}{image}"))?;
    let arguments = ["--config", &config.display().to_string()];
    let server = super::serve(room.lab.server(), room.dir.path(), "serve", &arguments)?;
    ensure!(
        server.console.tail().contains("has no signature"),
        "unsigned files are not told{}",
        server.console.tail()
    );
    let _dhcp = room.lab.dhcp_addresses(room.dir.path())?;
    let tap = room.lab.tap()?;
    let machine = bios_with(&room, &tap, &dist.join("firmware/8086100e.mrom"))?;
    machine.says("slamboot: only what is signed for this ROM runs", &server)?;

    let mut cursor = 0;
    let mut says = |text: &str| says(&machine, &mut cursor, text, &server);
    says("slamboot: REFUSED memdisk")?;
    sign(&ours, &memdisk)?;
    says("slamboot: verified memdisk")?;
    says("slamboot: fetched demo over x-slam")?;
    says("slamboot: REFUSED demo")?;
    // Right, and by somebody else; then ours, of what the disk was before.
    let signature = sign(&strangers, &image_file)?;
    says("slamboot: fetched demo over x-slam")?;
    says("slamboot: REFUSED demo")?;
    fs::copy(tampered, &signature)?;
    says("slamboot: fetched demo over x-slam")?;
    says("slamboot: REFUSED demo")?;
    let never = machine.console.lines();
    let ran = never
        .iter()
        .find(|line| line.text.contains("slamboot: boot demo"));
    ensure!(
        ran.is_none(),
        "it ran what it refused{}",
        machine.console.tail()
    );
    sign(&ours, &image_file)?;
    says("slamboot: verified demo")?;
    says("slamboot: boot demo")?;
    says("slamboot demo: ok")
}

/// UEFI, Linux, and a root on P-256: kernel and initial RAM disk are both verified.
pub fn linux_on_uefi_with_p256() -> Outcome {
    let mut room = Room::new()?;
    let (ours, strangers) = (keys("p256", "p256")?, keys("p256-strangers", "p256")?);
    let (kernel, initrd) = (room.path("linux"), room.path("initrd.gz"));
    let netboot = host::netboot().context("no netboot files")?;
    fs::copy(netboot.0, &kernel)?;
    fs::copy(netboot.1, &initrd)?;
    let before = room.path("before");
    let mut bytes = fs::read(&initrd)?;
    *bytes.last_mut().context("an empty file")? ^= 1;
    fs::write(&before, bytes)?;
    let tampered = sign(&ours, &before)?;

    let site = format!(
        "[firmware]\ntrust = true\ntrust_root = \"{}\"\nretries = 0\n\
         [firmware.script]\nhttp_fallback = false\n\
         [[image]]\nname = \"debian\"\nkind = \"linux\"\nkernel = \"{}\"\ninitrd = \"{}\"\n\
         args = \"console=ttyS0 earlyprintk=ttyS0\"\n",
        ours.join("root.crt").display(),
        kernel.display(),
        initrd.display()
    );
    let config = room.path("rom.toml");
    fs::write(&config, &site)?;
    let dist = paths().target.join("test/trust/p256-dist");
    let config = config.display().to_string();
    xtask(
        &dist,
        &["firmware", "--config", &config, "--target", "snponly.efi"],
    )
    .read()?;

    let config = room.path("serve.toml");
    let server = format!(
        "[server]\ninterface = \"{}\"\nfirmware = \"{}\"\nstate = \"{}\"\n",
        xtask::netlab::INTERFACE,
        dist.join("firmware").display(),
        room.path("state").display()
    );
    fs::write(&config, format!("{server}{site}"))?;
    let arguments = ["--config", &config.display().to_string()];
    let server = super::serve(room.lab.server(), room.dir.path(), "serve", &arguments)?;
    let _dhcp = room.lab.dhcp_addresses(room.dir.path())?;
    let tap = room.lab.tap()?;
    let machine = uefi(&room, &tap)?;
    machine.says("slamboot: only what is signed for this ROM runs", &server)?;

    let mut cursor = 0;
    let mut says = |text: &str| says(&machine, &mut cursor, text, &server);
    says("slamboot: REFUSED debian/kernel")?;
    sign(&ours, &kernel)?;
    says("slamboot: verified debian/kernel")?;
    says("slamboot: fetched debian/initrd over x-slam")?;
    says("slamboot: REFUSED debian/initrd")?;
    let signature = sign(&strangers, &initrd)?;
    says("slamboot: fetched debian/initrd over x-slam")?;
    says("slamboot: REFUSED debian/initrd")?;
    fs::copy(tampered, &signature)?;
    says("slamboot: fetched debian/initrd over x-slam")?;
    says("slamboot: REFUSED debian/initrd")?;
    let lines = machine.console.lines();
    let ran = |line: &str| line.contains("slamboot: boot debian") || line.contains("Linux version");
    ensure!(
        !lines.iter().any(|line| ran(&line.text)),
        "it ran what it refused{}",
        machine.console.tail()
    );
    sign(&ours, &initrd)?;
    says("slamboot: verified debian/initrd")?;
    says("slamboot: boot debian")?;
    says("Linux version")
}

/// What it says next.
fn says(machine: &Machine, cursor: &mut usize, text: &str, server: &Served) -> Outcome {
    let line = machine
        .console
        .wait(cursor, Deadline::after(BOOT), text, |line| {
            line.text.contains(text).then_some(())
        });
    line.with_context(|| format!("the server said:{}", server.console.tail()))
}
