// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a verb needs of the host: what is missing, and how this distribution installs it.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cmd::{Cmd, CmdError};

/// Something that needs parts of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Need {
    /// Building iPXE.
    Firmware,
    /// ISO images of it.
    Media,
    /// USB images of it for UEFI.
    UefiUsb,
    /// The same for arm64.
    Arm64,
    /// The distribution's own iPXE, where no source is at hand.
    Prebuilt,
    /// memdisk, which boots disk images on BIOS machines.
    Serve,
    /// Machines in a network of their own.
    Boot,
    /// arm64 machines with UEFI.
    BootArm64,
    /// Keys, certificates and signatures.
    Trust,
    /// EFI programs signed for a site's own Secure Boot key.
    SecureBoot,
    /// Flash chips.
    Flash,
    /// Independent judges of what we write.
    Test,
    /// A foreign operating system to boot.
    Guest,
    /// A browser that looks at the status page.
    Browser,
    /// A Debian to install the package on.
    Package,
    /// Programs to be compared with, and the network that they are compared in.
    Bench,
}

impl Need {
    /// What building and testing want. Not [`Bench`](Need::Bench), which brings packages whose services
    /// nobody wants who only builds, nor [`Package`](Need::Package), which few want to judge.
    pub const ALL: [Need; 14] = [
        Need::Firmware,
        Need::Media,
        Need::UefiUsb,
        Need::Arm64,
        Need::Prebuilt,
        Need::Serve,
        Need::Boot,
        Need::BootArm64,
        Need::Trust,
        Need::SecureBoot,
        Need::Flash,
        Need::Test,
        Need::Guest,
        Need::Browser,
    ];

    fn purpose(self) -> &'static str {
        match self {
            Need::Firmware => "building iPXE",
            Need::Media => "ISO images of iPXE",
            Need::UefiUsb => "USB images of iPXE for UEFI",
            Need::Arm64 => "building iPXE for arm64",
            Need::Prebuilt => "iPXE without multicast, where no source is at hand",
            Need::Serve => "booting disk images on BIOS machines",
            Need::Boot => "booting machines in a network of their own",
            Need::BootArm64 => "starting what was built for arm64",
            Need::Trust => "keys, certificates and signatures",
            Need::SecureBoot => "signing EFI programs for a site's own Secure Boot key",
            Need::Flash => "writing option ROMs to cards",
            Need::Test => "judging what we wrote with programs that did not write it",
            Need::Guest => "booting an operating system that is not ours",
            Need::Browser => "looking at the status page in a browser",
            Need::Package => "installing the Debian package on a Debian",
            Need::Bench => "measuring side by side with other programs",
        }
    }
}

/// How a tool is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// A program on PATH, or in the directories that only root's PATH names.
    Program,
    /// One of these files.
    File(&'static [&'static str]),
}

/// One part of the host.
#[derive(Debug)]
pub struct Tool {
    /// The program's name, or the file's.
    pub name: &'static str,
    probe: Probe,
    need: Need,
    /// Package names; `None` where the family has none.
    debian: &'static str,
    fedora: Option<&'static str>,
    arch: Option<&'static str>,
}

const MEMDISK: &[&str] = &[
    "/usr/lib/syslinux/memdisk",
    "/usr/share/syslinux/memdisk",
    "/usr/lib/syslinux/bios/memdisk",
];

const PREBUILT: &[&str] = &["/usr/lib/ipxe", "/usr/share/ipxe"];

const PREBUILT_QEMU: &[&str] = &[
    "/usr/lib/ipxe/qemu",
    "/usr/share/ipxe/qemu",
    "/usr/share/qemu",
];

const NETBOOT: &str =
    "/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/initrd.gz";

macro_rules! tools {
    ($($need:ident: $name:literal $probe:expr, $debian:literal $fedora:literal $arch:literal;)*) => {
        &[$(Tool {
            name: $name,
            probe: $probe,
            need: Need::$need,
            debian: $debian,
            fedora: package($fedora),
            arch: package($arch),
        }),*]
    };
}

/// `-`: the family has no such package.
const fn package(name: &'static str) -> Option<&'static str> {
    match name.as_bytes() {
        b"-" => None,
        _ => Some(name),
    }
}

#[rustfmt::skip]
const TOOLS: &[Tool] = tools![
    // need: name, how it is recognised, packages in Debian, Fedora, Arch
    Firmware: "gcc" Probe::Program, "gcc" "gcc" "gcc";
    Firmware: "stdio.h" Probe::File(&["/usr/include/stdio.h"]), "libc6-dev" "glibc-devel" "glibc";
    Firmware: "ld" Probe::Program, "binutils" "binutils" "binutils";
    Firmware: "make" Probe::Program, "make" "make" "make";
    Firmware: "perl" Probe::Program, "perl" "perl" "perl";
    Firmware: "git" Probe::Program, "git" "git" "git";
    Firmware: "lzma.h" Probe::File(&["/usr/include/lzma.h"]), "liblzma-dev" "xz-devel" "xz";
    Media: "xorriso" Probe::Program, "xorriso" "xorriso" "libisoburn";
    Media: "isolinux.bin" Probe::File(&["/usr/lib/ISOLINUX/isolinux.bin", "/usr/share/syslinux/isolinux.bin", "/usr/lib/syslinux/bios/isolinux.bin"]), "isolinux" "syslinux-nonlinux" "syslinux";
    Media: "ldlinux.c32" Probe::File(&["/usr/lib/syslinux/modules/bios/ldlinux.c32", "/usr/share/syslinux/ldlinux.c32", "/usr/lib/syslinux/bios/ldlinux.c32"]), "syslinux-common" "syslinux-nonlinux" "syslinux";
    Media: "mformat" Probe::Program, "mtools" "mtools" "mtools";
    UefiUsb: "mformat" Probe::Program, "mtools" "mtools" "mtools";
    UefiUsb: "syslinux" Probe::Program, "syslinux" "syslinux" "syslinux";
    Arm64: "aarch64-linux-gnu-gcc" Probe::Program, "gcc-aarch64-linux-gnu" "gcc-aarch64-linux-gnu" "aarch64-linux-gnu-gcc";
    Prebuilt: "undionly.kpxe" Probe::File(&["/usr/lib/ipxe/undionly.kpxe", "/usr/share/ipxe/undionly.kpxe"]), "ipxe" "ipxe-bootimgs-x86" "ipxe";
    Prebuilt: "pxe-e1000.rom" Probe::File(&["/usr/lib/ipxe/qemu/pxe-e1000.rom", "/usr/share/ipxe/qemu/pxe-e1000.rom", "/usr/share/qemu/pxe-e1000.rom"]), "ipxe-qemu" "ipxe-roms-qemu" "qemu-system-x86-firmware";
    Serve: "memdisk" Probe::File(MEMDISK), "syslinux-common" "syslinux-nonlinux" "syslinux";
    Boot: "qemu-system-x86_64" Probe::Program, "qemu-system-x86" "qemu-system-x86-core" "qemu-system-x86";
    Boot: "ip" Probe::Program, "iproute2" "iproute" "iproute2";
    Boot: "dnsmasq" Probe::Program, "dnsmasq-base" "dnsmasq" "dnsmasq";
    BootArm64: "qemu-system-aarch64" Probe::Program, "qemu-system-arm" "qemu-system-aarch64-core" "qemu-system-aarch64";
    BootArm64: "QEMU_EFI.fd" Probe::File(&["/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"]), "qemu-efi-aarch64" "-" "-";
    Trust: "openssl" Probe::Program, "openssl" "openssl" "openssl";
    SecureBoot: "sbsign" Probe::Program, "sbsigntool" "sbsigntools" "sbsigntools";
    SecureBoot: "sbverify" Probe::Program, "sbsigntool" "sbsigntools" "sbsigntools";
    SecureBoot: "openssl" Probe::Program, "openssl" "openssl" "openssl";
    Flash: "flashrom" Probe::Program, "flashrom" "flashrom" "flashrom";
    Flash: "lspci" Probe::Program, "pciutils" "pciutils" "pciutils";
    Test: "fsck.vfat" Probe::Program, "dosfstools" "dosfstools" "dosfstools";
    Test: "mdir" Probe::Program, "mtools" "mtools" "mtools";
    Test: "ntfsinfo" Probe::Program, "ntfs-3g" "ntfsprogs" "ntfs-3g";
    Test: "ntfs-3g" Probe::Program, "ntfs-3g" "ntfs-3g" "ntfs-3g";
    Test: "7z" Probe::Program, "p7zip-full" "p7zip-plugins" "7zip";
    Test: "sfdisk" Probe::Program, "fdisk" "util-linux" "util-linux";
    Test: "wimlib-imagex" Probe::Program, "wimtools" "wimlib-utils" "wimlib";
    Test: "7zz" Probe::Program, "7zip" "7zip-standalone-all" "7zip";
    Test: "xorriso" Probe::Program, "xorriso" "xorriso" "libisoburn";
    Test: "genisoimage" Probe::Program, "genisoimage" "genisoimage" "cdrtools";
    Test: "qemu-img" Probe::Program, "qemu-utils" "qemu-img" "qemu-img";
    Test: "tcpdump" Probe::Program, "tcpdump" "tcpdump" "tcpdump";
    Test: "nft" Probe::Program, "nftables" "nftables" "nftables";
    Test: "iptables-nft" Probe::Program, "iptables" "iptables-nft" "iptables";
    Test: "hivexsh" Probe::Program, "libhivex-bin" "hivex" "hivex";
    Test: "hivexregedit" Probe::Program, "libwin-hivex-perl" "perl-hivex" "hivex";
    Test: "reglookup" Probe::Program, "reglookup" "reglookup" "-";
    Test: "openssl" Probe::Program, "openssl" "openssl" "openssl";
    Test: "curl" Probe::Program, "curl" "curl" "curl";
    Test: "systemd-socket-activate" Probe::Program, "systemd" "systemd" "systemd";
    Guest: "OVMF_CODE.fd" Probe::File(&["/usr/share/OVMF/OVMF_CODE.fd"]), "ovmf" "edk2-ovmf" "edk2-ovmf";
    Guest: "netboot initrd" Probe::File(&[NETBOOT]), "debian-installer-12-netboot-amd64" "-" "-";
    Browser: "chromium" Probe::Program, "chromium" "chromium" "chromium";
    Browser: "node" Probe::Program, "nodejs" "nodejs" "nodejs";
    Browser: "npm" Probe::Program, "npm" "nodejs-npm" "npm";
    Package: "debootstrap" Probe::Program, "debootstrap" "debootstrap" "debootstrap";
    Package: "mke2fs" Probe::Program, "e2fsprogs" "e2fsprogs" "e2fsprogs";
    Package: "dpkg-deb" Probe::Program, "dpkg" "dpkg" "dpkg";
    Package: "lintian" Probe::Program, "lintian" "lintian" "-";
    Bench: "tc" Probe::Program, "iproute2" "iproute-tc" "iproute2";
    Bench: "nft" Probe::Program, "nftables" "nftables" "nftables";
    Bench: "udp-sender" Probe::Program, "udpcast" "-" "-";
    Bench: "uftp" Probe::Program, "uftp" "-" "-";
    Bench: "nginx" Probe::Program, "nginx" "nginx" "nginx";
    Bench: "curl" Probe::Program, "curl" "curl" "curl";
    Bench: "rsvg-convert" Probe::Program, "librsvg2-bin" "librsvg2-tools" "librsvg";
];

/// Directories that a plain user's PATH may lack.
const SBIN: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

impl Tool {
    /// Where it is, if it is there.
    fn find(&self) -> Option<PathBuf> {
        match self.probe {
            Probe::Program => program(self.name),
            Probe::File(files) => first_existing(files),
        }
    }
}

fn first_existing(paths: &[&str]) -> Option<PathBuf> {
    paths.iter().map(PathBuf::from).find(|path| path.exists())
}

/// Where the part of this name is.
pub fn find(name: &str) -> Option<PathBuf> {
    let tool = TOOLS.iter().find(|tool| tool.name == name)?;
    tool.find()
}

/// tcpdump, which root's PATH alone may name.
pub fn tcpdump() -> Option<PathBuf> {
    find("tcpdump")
}

/// The distribution's memdisk.
pub fn memdisk() -> Option<PathBuf> {
    first_existing(MEMDISK)
}

/// Syslinux's boot code, which starts a disk's active partition.
pub fn mbr() -> Option<PathBuf> {
    first_existing(&[
        "/usr/lib/syslinux/mbr/mbr.bin",
        "/usr/share/syslinux/mbr.bin",
        "/usr/lib/syslinux/bios/mbr.bin",
    ])
}

/// The directory of the distribution's own iPXE images.
pub fn prebuilt_ipxe() -> Option<PathBuf> {
    PREBUILT
        .iter()
        .map(PathBuf::from)
        .find(|dir| dir.join("undionly.kpxe").exists())
}

/// The directory of the distribution's own iPXE ROMs for QEMU's cards.
pub fn prebuilt_roms() -> Option<PathBuf> {
    PREBUILT_QEMU
        .iter()
        .map(PathBuf::from)
        .find(|dir| dir.join("pxe-e1000.rom").exists())
}

/// Kernel and initial RAM disk of Debian's installer.
pub fn netboot() -> Option<(PathBuf, PathBuf)> {
    let initrd = first_existing(&[NETBOOT])?;
    let kernel = initrd.with_file_name("linux");
    kernel.exists().then_some((kernel, initrd))
}

/// How packages are installed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Debian,
    Fedora,
    Arch,
    Other,
}

impl Family {
    fn of_this_host() -> Family {
        fs::read_to_string("/etc/os-release").map_or(Family::Other, |text| Family::parse(&text))
    }

    /// From os-release(5).
    fn parse(os_release: &str) -> Family {
        let value = |key: &str| {
            os_release
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .map_or("", |value| value.trim_matches('"'))
        };
        [value("ID"), value("ID_LIKE")]
            .iter()
            .flat_map(|ids| ids.split_whitespace())
            .find_map(|id| match id {
                "debian" | "ubuntu" => Some(Family::Debian),
                "fedora" | "rhel" => Some(Family::Fedora),
                "arch" => Some(Family::Arch),
                _ => None,
            })
            .unwrap_or(Family::Other)
    }

    fn package(self, tool: &Tool) -> Option<&'static str> {
        match self {
            Family::Debian => Some(tool.debian),
            Family::Fedora => tool.fedora,
            Family::Arch => tool.arch,
            Family::Other => None,
        }
    }

    /// What installs `packages`, as typed by root; `None` where we do not know.
    fn install(self, packages: &BTreeSet<&str>) -> Option<String> {
        let command = match self {
            Family::Debian => "apt-get install --no-install-recommends",
            Family::Fedora => "dnf install",
            Family::Arch => "pacman -S --needed",
            Family::Other => return None,
        };
        let packages: Vec<&str> = packages.iter().copied().collect();
        (!packages.is_empty()).then(|| format!("{command} {}", packages.join(" ")))
    }
}

/// Where the program of this name is: on PATH, or in a directory that only root's PATH names.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SBIN.map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// The parts that these needs lack.
pub fn missing(needs: &[Need]) -> Vec<&'static Tool> {
    TOOLS
        .iter()
        .filter(|tool| needs.contains(&tool.need) && tool.find().is_none())
        .collect()
}

/// What these needs lack, in one line: tools, and the packages that bring them; `None` where nothing.
pub fn lacking(needs: &[Need]) -> Option<String> {
    let family = Family::of_this_host();
    let tools = missing(needs);
    let names: Vec<String> = tools
        .iter()
        .map(|tool| match family.package(tool) {
            Some(package) => format!("{} (package {package})", tool.name),
            None => tool.name.to_owned(),
        })
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Sees to it that these needs are met: installs what is missing where that is Debian and we are
/// root, says so, and is otherwise an error that names the one command that helps.
pub fn ensure(needs: &[Need]) -> Result<()> {
    let debian = Family::of_this_host() == Family::Debian && rustix::process::geteuid().is_root();
    let lacking = missing(needs);
    if debian && !lacking.is_empty() {
        let had = present();
        apt(&["update", "-qq"]).context("package lists could not be refreshed")?;
        install_on_debian(&lacking)?;
        // A package of another release gives way to what is installed beside it (qemu-utils from backports
        // to this release's qemu-system-x86): it comes back in this release's version.
        let lost: Vec<&Tool> = had
            .into_iter()
            .filter(|tool| tool.find().is_none())
            .collect();
        if !lost.is_empty() {
            println!(
                "some packages gave way to these, and are installed again in this release's version"
            );
            install_on_debian(&lost)?;
        }
    }
    check(needs)
}

/// The tools that are there, whatever they are for.
fn present() -> Vec<&'static Tool> {
    TOOLS.iter().filter(|tool| tool.find().is_some()).collect()
}

/// An error that names what is missing and the one command that helps, if anything is.
pub fn check(needs: &[Need]) -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    match describe(&missing(needs), Family::of_this_host(), root) {
        None => Ok(()),
        Some(complaint) => bail!(complaint),
    }
}

fn apt(args: &[&str]) -> Result<String, CmdError> {
    let command = Cmd::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C")
        .args(args)
        .limit(Duration::from_mins(15));
    println!("$ {command}");
    command.read()
}

fn install_on_debian(lacking: &[&Tool]) -> Result<()> {
    let packages: BTreeSet<&str> = lacking.iter().map(|tool| tool.debian).collect();
    let names: Vec<&str> = lacking.iter().map(|tool| tool.name).collect();
    println!(
        "installing what is missing ({}), as this is Debian and we are root",
        names.join(", ")
    );
    let services = lacking.iter().any(|tool| tool.need == Need::Bench);
    let _held = services.then(HeldServices::new);
    let packages: Vec<&str> = packages.into_iter().collect();
    let install = |mode: &str| {
        let install = ["install", mode, "--yes", "--no-install-recommends"];
        apt(&[&install, &packages[..]].concat()).context("packages could not be installed")
    };
    let foreign = strangers(&install("--simulate")?);
    if !foreign.is_empty() {
        bail!(
            "apt-get would remove {}, which are not ours to remove; if nobody needs them, type \
             apt-get install --no-install-recommends {}",
            foreign.join(", "),
            packages.join(" ")
        );
    }
    install("-qq")?;
    if services {
        println!(
            "their services were not started, but Debian starts them with the machine: \
             systemctl disable nginx uftp"
        );
    }
    Ok(())
}

/// Packages that a simulated installation removes (its lines `Remv NAME [VERSION]`) and that [`ensure`] would not
/// bring back.
fn strangers(simulation: &str) -> Vec<String> {
    simulation
        .lines()
        .filter_map(|line| line.strip_prefix("Remv ")?.split_whitespace().next())
        .filter(|package| TOOLS.iter().all(|tool| tool.debian != *package))
        .map(str::to_owned)
        .collect()
}

/// While this lives, packages that are installed start no service: nobody who wants to measure wants
/// a web server, or a daemon that takes files from everybody.
struct HeldServices {
    made: bool,
}

/// What Debian asks whether it may start a service (invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";

impl HeldServices {
    /// A policy that is there already is the host's own, and stays.
    fn new() -> HeldServices {
        let made = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(POLICY)
            .and_then(|mut file| file.write_all(b"#!/bin/sh\nexit 101\n"));
        HeldServices { made: made.is_ok() }
    }
}

impl Drop for HeldServices {
    fn drop(&mut self) {
        if self.made && fs::remove_file(POLICY).is_err() {
            eprintln!("warning: could not remove {POLICY}, which keeps services from starting");
        }
    }
}

/// What is missing and what to do, in one error's text.
fn describe(lacking: &[&Tool], family: Family, root: bool) -> Option<String> {
    if lacking.is_empty() {
        return None;
    }
    let mut text = "missing on this host:".to_owned();
    for tool in lacking {
        let _ = write!(text, "\n  {:20} for {}", tool.name, tool.need.purpose());
    }
    let packages: BTreeSet<&str> = lacking
        .iter()
        .filter_map(|tool| family.package(tool))
        .collect();
    let unpackaged: Vec<&str> = lacking
        .iter()
        .filter(|tool| family.package(tool).is_none())
        .map(|tool| tool.name)
        .collect();
    if let Some(command) = family.install(&packages) {
        let sudo = if root { "" } else { "sudo " };
        let _ = write!(text, "\ninstall it with: {sudo}{command}");
    }
    if !unpackaged.is_empty() {
        let hint: Vec<&str> = lacking.iter().map(|tool| tool.debian).collect();
        let _ = write!(
            text,
            "\nno package of this distribution is known for {} (Debian: {})",
            unpackaged.join(", "),
            hint.join(" ")
        );
    }
    Some(text)
}

/// One row for each part of the host: name, purpose, where it is or which package has it.
pub fn table(needs: &[Need]) -> Vec<[String; 3]> {
    let family = Family::of_this_host();
    TOOLS
        .iter()
        .filter(|tool| needs.contains(&tool.need))
        .map(|tool| {
            let state = match (tool.find(), family.package(tool)) {
                (Some(path), _) => path.display().to_string(),
                (None, Some(package)) => format!("MISSING: package {package}"),
                (None, None) => "MISSING: no package known here".to_owned(),
            };
            [tool.name.to_owned(), tool.need.purpose().to_owned(), state]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_by_id_and_by_likeness() {
        for (text, family) in [
            ("PRETTY_NAME=\"Debian\"\nID=debian\n", Family::Debian),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Family::Debian),
            (
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
                Family::Fedora,
            ),
            ("ID=manjaro\nID_LIKE=arch\n", Family::Arch),
            ("ID=nixos\n", Family::Other),
            ("", Family::Other),
        ] {
            assert_eq!(Family::parse(text), family, "{text}");
        }
    }

    fn boot() -> Vec<&'static Tool> {
        TOOLS.iter().filter(|t| t.need == Need::Boot).collect()
    }

    #[test]
    fn one_command_installs_everything() {
        let text = describe(&boot(), Family::Debian, false).unwrap();
        assert!(
            text.contains("dnsmasq              for booting machines"),
            "{text}"
        );
        assert!(
            text.ends_with(
                "install it with: sudo apt-get install --no-install-recommends \
                 dnsmasq-base iproute2 qemu-system-x86"
            ),
            "{text}"
        );
        let text = describe(&boot(), Family::Fedora, true).unwrap();
        assert!(
            text.ends_with("install it with: dnf install dnsmasq iproute qemu-system-x86-core"),
            "{text}"
        );
        let text = describe(&boot(), Family::Arch, false).unwrap();
        assert!(text.contains("sudo pacman -S --needed "), "{text}");
    }

    #[test]
    fn an_unknown_distribution_gets_names_to_look_for() {
        let text = describe(&boot(), Family::Other, false).unwrap();
        assert!(!text.contains("install it with"), "{text}");
        assert!(
            text.contains("(Debian: qemu-system-x86 iproute2 dnsmasq-base)"),
            "{text}"
        );
        assert_eq!(describe(&[], Family::Other, false), None);
    }

    #[test]
    fn what_would_be_removed_for_good_is_told() {
        let simulation = "Reading package lists...\n\
             Remv qemu-utils [1:10.0.2+ds-2+deb13u1~bpo12+1]\n\
             Remv somebodys-desktop [4.2] [other:amd64 ]\n\
             Inst qemu-system-x86 (1:7.2 Debian:12.15/oldstable [amd64])\n\
             Conf qemu-system-x86 (1:7.2 Debian:12.15/oldstable [amd64])\n";
        assert_eq!(strangers(simulation), ["somebodys-desktop"]);
    }

    #[test]
    fn a_tool_that_is_nowhere_is_missing() {
        let tool = Tool {
            name: "slamboot-no-such-tool",
            probe: Probe::Program,
            need: Need::Boot,
            debian: "x",
            fedora: None,
            arch: None,
        };
        assert_eq!(tool.find(), None);
    }
}
