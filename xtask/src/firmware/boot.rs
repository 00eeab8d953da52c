// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--boot`: the strongest evidence. Each finished file is started in QEMU the way that its format is
//! started, and the `Features:` line that it prints is compared with what was read from its bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use firmware::target::{Platform, Target};

use crate::cmd::{Cmd, Running};
use crate::console::{Console, Deadline};
use crate::host::{self, Need};
use crate::paths::Paths;
use crate::qemu::QEMU;

/// OVMF without acceleration on a busy machine takes up to a minute to its first boot option.
const LIMIT: Duration = Duration::from_mins(6);
const FEATURES: &str = "Features:";
const OVMF: [(&str, &str); 2] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.fd",
    ),
];
const AAVMF: &str = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd";
const QEMU_ARM64: &str = "qemu-system-aarch64";

/// A file to start.
pub(super) struct Bootable<'a> {
    pub(super) target: &'a Target,
    pub(super) path: PathBuf,
    /// What its bytes say it will print.
    pub(super) features: &'a [String],
}

/// How one file fared.
pub(super) enum Outcome {
    /// It printed what its bytes said.
    Booted(String),
    /// It is not started here, and why.
    Skipped(String),
}

/// Starts it, and an error unless it says what was read from it.
pub(super) fn boot(file: &Bootable<'_>, paths: &Paths) -> Result<Outcome> {
    let name = file.target.name();
    let run = paths.target.join("firmware-boot").join(name);
    if run.exists() {
        fs::remove_dir_all(&run).with_context(|| run.display().to_string())?;
    }
    fs::create_dir_all(&run).with_context(|| format!("cannot create {}", run.display()))?;
    let machine = match arguments(file.target, &file.path, &run)? {
        Ok(machine) => machine,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    let console = Console::open(name, &run.join("console.log"))?;
    let (out, err) = (console.pipe("serial")?, console.pipe("qemu")?);
    let _running: Running = machine.spawn_into(out, err)?;
    let mut cursor = 0;
    let awaited = "the Features: line of iPXE's banner";
    let line = console.wait(&mut cursor, Deadline::after(LIMIT), awaited, |line| {
        let said = line.text.split_once(FEATURES)?.1;
        // A line that is still being written has fewer words; lines come whole.
        Some(
            said.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    })?;
    // A copy of the screen may stand beside it, drawn over.
    let printed = line.get(..file.features.len()).unwrap_or(&line);
    ensure!(
        printed == file.features,
        "{name}: it prints other features than were read from it\n  read:    {}\n  printed: {}",
        file.features.join(" "),
        line.join(" ")
    );
    Ok(Outcome::Booted(printed.join(" ")))
}

/// QEMU's command line, or why there is none.
fn arguments(target: &Target, file: &Path, run: &Path) -> Result<Result<Cmd, String>> {
    // QEMU reads a comma as the end of a value and two as one.
    let path = file
        .canonicalize()?
        .display()
        .to_string()
        .replace(',', ",,");
    let emulator = match target.platform() {
        Platform::EfiArm64 => QEMU_ARM64,
        _ => QEMU,
    };
    let needs = match target.platform() {
        Platform::EfiArm64 => &[Need::BootArm64],
        _ => &[Need::Boot],
    };
    if let Some(lacking) = host::lacking(needs) {
        return Ok(Err(format!("this host lacks {lacking}")));
    }
    let machine = match target.platform() {
        Platform::Bios => Cmd::new(emulator).args(["-accel", "tcg", "-machine", "pc"]),
        Platform::EfiX64 => {
            let Some((code, vars)) = OVMF.into_iter().find(|(code, _)| Path::new(code).exists())
            else {
                return Ok(Err("no OVMF on this host (package ovmf)".to_owned()));
            };
            let mine = run.join("vars.fd");
            fs::copy(vars, &mine).with_context(|| vars.to_owned())?;
            let mine = mine.display();
            Cmd::new(emulator)
                .args(["-accel", "tcg", "-machine", "q35"])
                .args([
                    "-drive",
                    &format!("if=pflash,format=raw,readonly=on,file={code}"),
                ])
                .args(["-drive", &format!("if=pflash,format=raw,file={mine}")])
        }
        Platform::EfiArm64 => Cmd::new(emulator)
            .args(["-accel", "tcg", "-machine", "virt", "-cpu", "cortex-a57"])
            .args(["-bios", AAVMF]),
        Platform::LinuxX64 => {
            return Ok(Err("a program: the tests on taps run it".to_owned()));
        }
    };
    let machine = machine
        .args([
            "-m",
            "512",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
        ])
        .args(["-no-reboot", "-serial", "stdio"]);
    // Nobody answers on this network: nothing is booted by it.
    let net = ["-netdev", "user,id=n,restrict=on"];
    let card = |rom: &str| format!("e1000,netdev=n,romfile={rom}");
    let started = match target.ending() {
        "lkrn" => machine.args(["-kernel", &path]),
        "dsk" => machine
            .args([
                "-drive",
                &format!("if=floppy,format=raw,readonly=on,file={path}"),
            ])
            .args(["-boot", "a"]),
        "hd" => {
            let Some(code) = host::mbr() else {
                return Ok(Err(
                    "no boot code that starts a partition (package syslinux-common)".to_owned(),
                ));
            };
            let disk = run.join("disk.img");
            fs::write(&disk, partitioned(&fs::read(code)?, &fs::read(file)?))?;
            let path = disk
                .canonicalize()?
                .display()
                .to_string()
                .replace(',', ",,");
            machine.args(["-drive", &format!("format=raw,file={path}")])
        }
        "usb" | "iso" if target.platform() == Platform::EfiArm64 => machine.args(virtio(&path)),
        "usb" => machine.args(["-drive", &format!("format=raw,snapshot=on,file={path}")]),
        "iso" => machine.args(["-cdrom", &path]).args(["-boot", "d"]),
        "pxe" | "kpxe" | "kkpxe" => {
            let Some(roms) = host::prebuilt_roms() else {
                return Ok(Err(
                    "no PXE ROM to chainload it from (package ipxe-qemu)".to_owned()
                ));
            };
            // A plain PXE stack of the distribution's, and QEMU's own TFTP server.
            fs::copy(file, run.join("boot.pxe"))?;
            let dir = run.canonicalize()?.display().to_string().replace(',', ",,");
            let rom = roms.join("pxe-e1000.rom");
            machine
                .args([
                    "-netdev",
                    &format!("user,id=n,tftp={dir},bootfile=boot.pxe"),
                ])
                .args(["-device", &card(&rom.display().to_string())])
                .args(["-boot", "n"])
        }
        "isarom" => machine
            .args(["-option-rom", &path])
            .args(net)
            .args(["-device", &card("")])
            .args(["-boot", "n"]),
        "efi" => {
            let boot = match target.platform() {
                Platform::EfiArm64 => "BOOTAA64.EFI",
                _ => "BOOTX64.EFI",
            };
            let directory = run.join("esp/EFI/BOOT");
            fs::create_dir_all(&directory)?;
            fs::copy(file, directory.join(boot))?;
            let esp = run.join("esp").canonicalize()?.display().to_string();
            ensure!(
                !esp.contains([',', ':']),
                "{esp}: QEMU's FAT takes no comma or colon in a path"
            );
            let drive = format!("if=none,id=esp,format=raw,file=fat:rw:{esp}");
            machine
                .args(["-drive", &drive, "-device", "virtio-blk-pci,drive=esp"])
                .args(net)
                .args(["-device", &card("")])
        }
        "rom" | "mrom" | "pcirom" | "efirom" => match target.pci() {
            Some((0x8086, 0x100e)) => machine
                .args(net)
                .args(["-device", &card(&path)])
                .args(["-boot", "n"]),
            Some((0x1af4, 0x1000)) if target.ending() == "mrom" => {
                return Ok(Err(
                    "QEMU's virtio-net has no memory BAR that an .mrom could be read through"
                        .to_owned(),
                ));
            }
            Some((0x1af4, 0x1000)) => machine
                .args(net)
                .args([
                    "-device",
                    &format!("virtio-net-pci,netdev=n,romfile={path}"),
                ])
                .args(["-boot", "n"]),
            Some((vendor, device)) => {
                return Ok(Err(format!("QEMU has no card {vendor:04x}:{device:04x}")));
            }
            None => {
                return Ok(Err(
                    "it names no card, and QEMU's firmware asks for one".to_owned()
                ));
            }
        },
        other => bail!("{}: nobody knows how to start a .{other}", target.name()),
    };
    Ok(Ok(started))
}

/// A disk whose only partition, the active one, is `content`.
fn partitioned(code: &[u8], content: &[u8]) -> Vec<u8> {
    const SECTOR: usize = 512;
    /// Where boot code ends and the partition table begins.
    const TABLE: usize = 0x1be;
    const FIRST: u32 = 2048;
    let sectors = content.len().div_ceil(SECTOR) as u32;
    let mut disk = vec![0; (FIRST + sectors) as usize * SECTOR];
    let code = &code[..code.len().min(0x1b8)];
    disk[..code.len()].copy_from_slice(code);
    // Active, addressed by LBA, of a type that nobody takes for a file system.
    disk[TABLE] = 0x80;
    disk[TABLE + 4] = 0xda;
    disk[TABLE + 8..TABLE + 12].copy_from_slice(&FIRST.to_le_bytes());
    disk[TABLE + 12..TABLE + 16].copy_from_slice(&sectors.to_le_bytes());
    disk[SECTOR - 2..SECTOR].copy_from_slice(&[0x55, 0xaa]);
    let start = FIRST as usize * SECTOR;
    disk[start..start + content.len()].copy_from_slice(content);
    disk
}

fn virtio(path: &str) -> [String; 4] {
    [
        "-drive".to_owned(),
        format!("if=none,id=disk,format=raw,snapshot=on,file={path}"),
        "-device".to_owned(),
        "virtio-blk-pci,drive=disk".to_owned(),
    ]
}

/// What booting takes of the host, beyond what each format does.
pub(super) fn ensure_host() -> Result<()> {
    host::ensure(&[Need::Boot, Need::Prebuilt])
}
