// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `cargo xtask flash` makes of finished files, started: sticks that it wrote, and its lines for virtual machines.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use xtask::cmd::Cmd;
use xtask::console::Console;
use xtask::paths::Paths;
use xtask::qemu::QEMU;

use crate::loopback::Loop;
use crate::support::{Outcome, paths};
use crate::{place, typed};

/// arm64's UEFI, emulated on a machine that does other work.
const LIMIT: Duration = Duration::from_mins(10);
const STICK: u64 = 64 << 20;
const OVMF: &str = "/usr/share/ovmf/OVMF.fd";

/// Why no stick can be written here, if none can.
pub fn no_stick() -> Option<String> {
    let free = Cmd::new("losetup").arg("--find").read();
    free.err().map(|error| format!("no loop device: {error}"))
}

/// Built in the trees that the default configuration has anyway.
fn files(name: &str, targets: &[&str]) -> anyhow::Result<Paths> {
    let at = place(name)?;
    let config = at.target.join("slamboot.toml");
    fs::write(&config, "")?;
    typed(&config, targets, &at.dist).run()?;
    Ok(at)
}

fn flash(arguments: &[&str]) -> Cmd {
    Cmd::new("cargo")
        .dir(&paths().root)
        .args(["xtask", "flash"])
        .args(arguments)
}

/// Its banner says what was read from its bytes.
fn starts(name: &str, machine: &Cmd, file: &Path, at: &Paths) -> Outcome {
    let report = firmware::inspect::inspect(&fs::read(file)?)?;
    let features = format!("Features: {}", report.program.features.join(" "));
    let console = Console::open(name, &at.target.join(format!("{name}.log")))?;
    let (out, err) = (console.pipe("serial")?, console.pipe("qemu")?);
    let _running = machine.spawn_into(out, err)?;
    console.wait_for(&features, LIMIT)?;
    Ok(())
}

/// Each on a USB bus, the only thing that the machine could start.
pub fn sticks() -> Outcome {
    let images: [(&str, &[&str]); 2] = [
        ("ipxe.usb", &["-machine", "pc"]),
        ("ipxe-efi.usb", &["-machine", "q35", "-bios", OVMF]),
    ];
    let at = files("sticks", &images.map(|(name, _)| name))?;
    for (name, machine) in images {
        let image = at.dist_firmware().join(name);
        let stick = at.target.join("stick.img");
        fs::File::create(&stick)?.set_len(STICK)?;
        let device = Loop::of(&stick)?;
        let (from, to) = (image.display().to_string(), device.0.display().to_string());
        let said = flash(&["stick", &from, &to, "--force"]).read()?;
        ensure!(said.contains("identical"), "{said}");
        drop(device);
        let machine = Cmd::new(QEMU)
            .args([
                "-accel",
                "tcg",
                "-m",
                "512",
                "-nodefaults",
                "-no-user-config",
            ])
            .args(["-display", "none", "-serial", "stdio", "-no-reboot"])
            .args(machine)
            .args(["-device", "qemu-xhci", "-drive"])
            .arg(format!(
                "if=none,id=stick,format=raw,file={}",
                stick.display()
            ))
            .args(["-device", "usb-storage,drive=stick,bootindex=0"]);
        starts(name, &machine, &image, &at).with_context(|| name.to_owned())?;
    }
    Ok(())
}

/// As it is printed, but for where it shows what it says, in a network of its own.
pub fn virtual_machines() -> Outcome {
    let names = [
        "8086100e.mrom",
        "1af41000.rom",
        "ipxe.lkrn",
        "ipxe.iso",
        "ipxe.usb",
        "8086100e.efirom",
        "ipxe-efi.iso",
        "ipxe-efi.usb",
        "ipxe-arm64.iso",
        "ipxe-arm64.usb",
    ];
    let at = files("virtual-machines", &names)?;
    for name in names {
        let file = at.dist_firmware().join(name);
        let said = flash(&["vm", &file.display().to_string()]).read()?;
        let mut lines = said.lines().skip_while(|line| *line != "# QEMU");
        let line = lines.nth(1).with_context(|| said.clone())?;
        let line = format!("exec {line} -accel tcg -display none -serial stdio -no-reboot");
        let machine = Cmd::new("unshare").args(["--net", "sh", "-c", &line]);
        starts(name, &machine, &file, &at).with_context(|| line)?;
    }
    Ok(())
}
