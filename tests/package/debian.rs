// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Debian of Debian's own packages, made once, and started as a virtual machine; what is written to its
//! disk is gone when that ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use xtask::cmd::{Cmd, Running};
use xtask::console::Console;
use xtask::netlab::{Namespace, Tap};
use xtask::qemu::{DEBUG, QEMU, SERIAL};

const RELEASE: &str = "bookworm";
/// A mirror, where debootstrap's own choice cannot be reached.
const MIRROR: &str = "SLAMBOOT_DEBIAN_MIRROR";
/// Two hundred packages from a mirror, unpacked and set up.
const MADE: Duration = Duration::from_mins(30);
/// What a small server has, and what the package recommends.
const PACKAGES: &str = "systemd-sysv,udev,init-system-helpers,dbus,iproute2,linux-image-cloud-amd64,\
                        initramfs-tools,syslinux-common,curl,procps";

/// An address by DHCP, and the script of the second disk once there is one.
const FILES: &[(&str, &str)] = &[
    (
        "etc/systemd/network/lab.network",
        "[Match]\nType=ether\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n",
    ),
    (
        "etc/systemd/system/trial.service",
        "[Unit]\nAfter=network-online.target\nWants=network-online.target\n\
         [Service]\nExecStartPre=/bin/mount -o ro /dev/vdb /trial\nExecStart=/trial/guest.sh\n\
         StandardOutput=tty\nStandardError=tty\nTTYPath=/dev/ttyS0\n\
         [Install]\nWantedBy=multi-user.target\n",
    ),
];

/// Its disk, kernel and initial RAM disk.
pub struct Debian {
    disk: PathBuf,
    kernel: PathBuf,
    initrd: PathBuf,
}

/// A running one; it is switched off when this is dropped.
pub struct Machine {
    console: Console,
    _running: Running,
}

impl std::ops::Deref for Machine {
    type Target = Console;

    fn deref(&self) -> &Console {
        &self.console
    }
}

impl Debian {
    /// The one in this folder, made if it is not there.
    pub fn at(folder: &Path) -> anyhow::Result<Debian> {
        let debian = Debian {
            disk: folder.join("disk.img"),
            kernel: folder.join("vmlinuz"),
            initrd: folder.join("initrd.img"),
        };
        // The disk is written last.
        if !debian.disk.exists() {
            debian.make(folder)?;
        }
        Ok(debian)
    }

    fn make(&self, folder: &Path) -> anyhow::Result<()> {
        let root = folder.join("root");
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(folder)?;
        println!(
            "making a Debian in {}: some minutes, once",
            folder.display()
        );
        let mut debootstrap = Cmd::new("debootstrap")
            .args([
                "--variant=minbase",
                &format!("--include={PACKAGES}"),
                RELEASE,
            ])
            .arg(&root)
            .limit(MADE);
        if let Some(mirror) = std::env::var_os(MIRROR) {
            debootstrap = debootstrap.arg(mirror);
        }
        debootstrap.read().context("debootstrap makes no Debian")?;
        for (path, text) in FILES {
            fs::write(root.join(path), text)?;
        }
        fs::create_dir(root.join("trial"))?;
        Cmd::new("systemctl")
            .arg(format!("--root={}", root.display()))
            .args(["enable", "systemd-networkd.service", "trial.service"])
            .read()?;
        // Links that the kernel's package keeps to its newest files.
        for (link, to) in [("vmlinuz", &self.kernel), ("initrd.img", &self.initrd)] {
            fs::copy(root.join(link), to).with_context(|| format!("no {link}"))?;
        }
        disk(&root, &self.disk, "3G")?;
        fs::remove_dir_all(&root)?;
        Ok(())
    }

    /// Starts it with a second disk, which holds its script.
    pub fn start(
        &self,
        place: &Namespace,
        tap: &Tap,
        trial: &Path,
        log: &Path,
    ) -> anyhow::Result<Machine> {
        let console = Console::open("debian", log)?;
        let drive = |path: &Path| {
            let path = path.display().to_string().replace(',', ",,");
            format!("file={path},if=virtio,format=raw,snapshot=on")
        };
        let append = "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=0 \
                      systemd.mask=serial-getty@ttyS0.service";
        let running = place
            .cmd(QEMU)
            .args([
                "-accel",
                "tcg",
                "-machine",
                "pc",
                "-m",
                "1024",
                "-nodefaults",
            ])
            .args(["-no-user-config", "-display", "none", "-no-reboot"])
            .args(["-serial", "stdio"])
            .args(["-object", "rng-random,id=rng,filename=/dev/urandom"])
            .args(["-device", "virtio-rng-pci,rng=rng"])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&self.initrd)
            .args(["-append", append])
            .args(["-drive", &drive(&self.disk), "-drive", &drive(trial)])
            .arg("-netdev")
            .arg(format!(
                "tap,id=net,ifname={},script=no,downscript=no",
                tap.interface
            ))
            .arg("-device")
            .arg(format!(
                "virtio-net-pci,netdev=net,mac={},romfile=",
                tap.mac
            ))
            .spawn_into(console.pipe(SERIAL)?, console.pipe(DEBUG)?)?;
        Ok(Machine {
            console,
            _running: running,
        })
    }
}

/// A file system of all that is in a folder, as a disk; whole or not at all.
pub fn disk(of: &Path, to: &Path, size: &str) -> anyhow::Result<PathBuf> {
    let partial = to.with_extension("partial");
    let _ = fs::remove_file(&partial);
    Cmd::new("mke2fs")
        .args(["-q", "-t", "ext4", "-d"])
        .arg(of)
        .arg(&partial)
        .arg(size)
        .read()?;
    fs::rename(&partial, to)?;
    Ok(to.to_owned())
}
