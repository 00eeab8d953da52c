// SPDX-License-Identifier: MIT OR Apache-2.0
//! Virtual machines take firmware by a line of their configuration.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use firmware::inspect::{self, Kind, Report};

/// Print what makes a virtual machine start from a firmware file: QEMU, libvirt and `VMware`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The firmware.
    firmware: PathBuf,
}

/// A card: its PCI id, QEMU's name and libvirt's, and the key that names its ROM in a `.vmx`.
type Card = ((u16, u16), &'static str, &'static str, Option<&'static str>);

/// Cards that virtual machines have.
const CARDS: [Card; 7] = [
    (
        (0x8086, 0x100e),
        "e1000",
        "e1000",
        Some("e1000bios.filename"),
    ),
    (
        (0x8086, 0x10d3),
        "e1000e",
        "e1000e",
        Some("e1000ebios.filename"),
    ),
    ((0x1af4, 0x1000), "virtio-net-pci", "virtio", None),
    (
        (0x1af4, 0x1041),
        "virtio-net-pci-non-transitional",
        "virtio-non-transitional",
        None,
    ),
    ((0x10ec, 0x8139), "rtl8139", "rtl8139", None),
    (
        (0x15ad, 0x07b0),
        "vmxnet3",
        "vmxnet3",
        Some("nx3bios.filename"),
    ),
    ((0x1022, 0x2000), "pcnet", "pcnet", Some("nbios.filename")),
];

/// Runs `cargo xtask flash vm`.
pub fn run(arguments: &Arguments) -> Result<()> {
    let name = arguments.firmware.display();
    let content = inspect::read_file(&arguments.firmware)?;
    let report = inspect::inspect(&content).with_context(|| format!("{name} is no firmware"))?;
    let path = arguments.firmware.canonicalize()?;
    print!("{}", snippets(&report, &path)?);
    Ok(())
}

/// What starts firmware of one kind of machine.
struct Machine {
    /// QEMU's program, and what of its machine has a default that does not do.
    qemu: &'static str,
    /// The firmware that QEMU loads, where it is not its own.
    loader: &'static str,
    /// libvirt's, beside the device.
    os: &'static str,
    /// `VMware`'s.
    vmx: &'static str,
    /// How QEMU's starts from a CD and from a disk that are in `FILE`.
    cdrom: &'static str,
    disk: &'static str,
    /// libvirt's bus for both.
    bus: &'static str,
}

impl Machine {
    const PC: Machine = Machine {
        qemu: "qemu-system-x86_64 -m 2048",
        loader: "",
        os: "",
        vmx: "firmware = \"bios\"\n",
        cdrom: "-boot d -cdrom FILE",
        disk: "-drive format=raw,file=FILE",
        bus: "sata",
    };
    const PC_WITH_UEFI: Machine = Machine {
        loader: " -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
        os: "<os firmware='efi'>\n  <type arch='x86_64' machine='q35'>hvm</type>\n</os>\n",
        vmx: "firmware = \"efi\"\n",
        ..Machine::PC
    };
    /// It has not the bus that a PC's CD and disk are on.
    const ARM64: Machine = Machine {
        qemu: "qemu-system-aarch64 -M virt -cpu max -m 2048",
        loader: " -bios /usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
        os: "<os firmware='efi'>\n  <type arch='aarch64' machine='virt'>hvm</type>\n</os>\n",
        cdrom: "-device virtio-scsi-pci -drive if=none,id=cd,media=cdrom,readonly=on,format=raw,file=FILE -device scsi-cd,drive=cd,bootindex=0",
        disk: "-drive if=none,id=disk,format=raw,file=FILE -device virtio-blk-pci,drive=disk,bootindex=0",
        bus: "scsi",
        ..Machine::PC_WITH_UEFI
    };

    /// By what the inspector calls the architecture.
    fn of(arch: &str) -> Result<Machine> {
        Ok(match arch {
            "i386" => Machine::PC,
            "x86_64" => Machine::PC_WITH_UEFI,
            "arm64" => Machine::ARM64,
            other => bail!("a program for {other}: expected i386, x86_64 or arm64"),
        })
    }
}

fn snippets(report: &Report, path: &Path) -> Result<String> {
    let (shown, escaped) = (path.display().to_string(), xml(&path.display().to_string()));
    let comma = shown.replace(',', ",,");
    let Machine {
        qemu: machine,
        loader,
        os,
        vmx,
        cdrom,
        disk,
        bus,
    } = Machine::of(report.arch)?;
    let [cdrom, disk] = [cdrom, disk].map(|device| device.replace("FILE", &comma));
    Ok(match report.kind {
        Kind::Rom => {
            let ids: Vec<(u16, u16)> = report
                .rom_images()
                .flat_map(|image| {
                    let devices = std::iter::once(&image.device).chain(&image.devices);
                    devices.map(|device| (image.vendor, *device))
                })
                .collect();
            let Some((_, qemu, libvirt, vmware)) =
                CARDS.into_iter().find(|(card, ..)| ids.contains(card))
            else {
                let (vendor, device) = ids.first().copied().unwrap_or_default();
                let names = CARDS.map(|((vendor, device), name, ..)| {
                    format!("{vendor:04x}{device:04x} ({name})")
                });
                bail!(
                    "no virtual machine has a card {vendor:04x}:{device:04x}; they have {}",
                    names.join(", ")
                );
            };
            let vmware = match vmware {
                Some(key) => format!(
                    "ethernet0.virtualDev = \"{libvirt}\"\nethernet0.opromsize = \"{}\"\n{key} = \"{shown}\"\n",
                    report.bytes
                ),
                None => format!("# it has no {qemu}\n"),
            };
            format!(
                "# QEMU\n{machine}{loader} -boot n -netdev tap,id=n -device {qemu},netdev=n,romfile={comma}\n\n\
                 # libvirt (virsh edit)\n{os}<interface type='network'>\n  <source network='default'/>\n  <model type='{libvirt}'/>\n  <rom file='{escaped}'/>\n  <boot order='1'/>\n</interface>\n\n\
                 # VMware (.vmx)\n{vmx}{vmware}"
            )
        }
        Kind::Iso => format!(
            "# QEMU\n{machine}{loader} {cdrom} -nic tap,model=virtio-net-pci\n\n\
             # libvirt (virsh edit)\n{os}<disk type='file' device='cdrom'>\n  <source file='{escaped}'/>\n  <target dev='sda' bus='{bus}'/>\n  <readonly/>\n  <boot order='1'/>\n</disk>\n\n\
             # VMware (.vmx)\n{vmx}sata0.present = \"TRUE\"\nsata0:0.present = \"TRUE\"\nsata0:0.deviceType = \"cdrom-image\"\nsata0:0.fileName = \"{shown}\"\n"
        ),
        Kind::Disk => format!(
            "# QEMU\n{machine}{loader} {disk} -nic tap,model=virtio-net-pci\n\n\
             # libvirt (virsh edit)\n{os}<disk type='file' device='disk'>\n  <driver name='qemu' type='raw'/>\n  <source file='{escaped}'/>\n  <target dev='sda' bus='{bus}'/>\n  <boot order='1'/>\n</disk>\n\n\
             # VMware: qemu-img convert -O vmdk {shown} ipxe.vmdk\n{vmx}"
        ),
        Kind::Lkrn => format!(
            "# QEMU\n{machine} -kernel {comma} -nic tap,model=virtio-net-pci\n\n\
             # libvirt (virsh edit)\n<os>\n  <type arch='x86_64'>hvm</type>\n  <kernel>{escaped}</kernel>\n</os>\n"
        ),
        Kind::BootProgram | Kind::Efi => format!(
            "# Its own network boots it: let the site's DHCP server name it.\n# dnsmasq\ndhcp-boot={}\nenable-tftp\ntftp-root={}\n\n\
             # libvirt (virsh net-edit)\n<ip address='192.168.122.1' netmask='255.255.255.0'>\n  <tftp root='{}'/>\n  <dhcp>\n    <bootp file='{}'/>\n  </dhcp>\n</ip>\n",
            name(path),
            directory(path),
            xml(&directory(path)),
            xml(&name(path))
        ),
        Kind::Elf => {
            bail!("a program of this machine: it runs by itself, no virtual machine is needed")
        }
    })
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn directory(path: &Path) -> String {
    path.parent()
        .unwrap_or(Path::new("/"))
        .display()
        .to_string()
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn report(kind: Kind, arch: &'static str) -> Report {
        Report {
            kind,
            arch,
            bytes: 1,
            program: inspect::Program {
                version: None,
                unpacked: 0,
                blocks: 0,
                protocols: Vec::new(),
                features: Vec::new(),
                commands: Vec::new(),
                drivers: Vec::new(),
                slam: inspect::ProtocolSupport::Absent,
                membership: false,
                script: None,
                settings: None,
            },
            images: Vec::new(),
        }
    }

    #[test]
    fn each_machine_gets_its_emulator_and_firmware() {
        for (arch, kind, parts, none) in [
            (
                "i386",
                Kind::Disk,
                &["qemu-system-x86_64 -m 2048 -drive", "firmware = \"bios\""][..],
                &["efi", "OVMF"][..],
            ),
            (
                "x86_64",
                Kind::Iso,
                &[
                    "OVMF_CODE_4M.fd -boot d -cdrom",
                    "<os firmware='efi'>",
                    "firmware = \"efi\"",
                ],
                &["aarch64"],
            ),
            (
                "arm64",
                Kind::Iso,
                &[
                    "qemu-system-aarch64 -M virt",
                    "QEMU_EFI.fd",
                    "scsi-cd",
                    "arch='aarch64'",
                    "bus='scsi'",
                ],
                &["x86_64", "OVMF", "-cdrom"],
            ),
            (
                "arm64",
                Kind::Disk,
                &[
                    "qemu-system-aarch64 -M virt",
                    "virtio-blk-pci",
                    "<os firmware='efi'>",
                ],
                &["x86_64", "OVMF"],
            ),
        ] {
            let text = snippets(&report(kind, arch), Path::new("/f")).unwrap();
            for part in parts {
                assert!(text.contains(part), "{part} in {text}");
            }
            for part in none {
                assert!(!text.contains(part), "{part} in {text}");
            }
        }
        let error = snippets(&report(Kind::Disk, "riscv64"), Path::new("/f")).unwrap_err();
        assert!(error.to_string().contains("riscv64"), "{error}");
    }

    #[test]
    fn each_format_gets_its_line() {
        for (file, parts) in [
            (
                "qemu/pxe-e1000.rom",
                &[
                    "-device e1000,netdev=n,romfile=/a,,b",
                    "<rom file='/a,b'/>",
                    "e1000bios.filename",
                ][..],
            ),
            (
                "qemu/pxe-virtio.rom",
                &["virtio-net-pci-non-transitional", "it has no virtio"],
            ),
            ("ipxe.lkrn", &["-kernel /a,,b", "<kernel>/a,b</kernel>"]),
            ("undionly.kpxe", &["dhcp-boot=a,b", "tftp-root=/"]),
            ("ipxe.iso", &["-cdrom /a,,b", "device='cdrom'"]),
        ] {
            let Ok(content) = std::fs::read(Path::new("/usr/lib/ipxe").join(file)) else {
                let _ = writeln!(std::io::stderr(), "skipped: no /usr/lib/ipxe/{file}");
                continue;
            };
            let report = inspect::inspect(&content).unwrap();
            let text = snippets(&report, Path::new("/a,b")).unwrap();
            for part in parts {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
    }
}
