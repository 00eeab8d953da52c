// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the machines boot, and the site that serves it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use toml::Table;
use xtask::cmd::Cmd;
use xtask::netlab;
use xtask::paths::Paths;

use super::Arguments;
use super::progress::Proof;

/// What memdisk, iPXE and a guest that only reads need beside the image, generously.
const MEMORY_BESIDE_MIB: u64 = 320;
const LEAST_MEMORY_MIB: u64 = 512;
/// No cable limits anybody here, nor does anything limit HTTP: what a machine takes is to be found.
const NO_CABLE: &str = "10 Gbit/s";
/// A stock 32-bit iPXE takes no file beyond 2^29 - 1 bytes; slamboot's client does.
const STOCK_LIMIT: u64 = (1 << 29) - 1;

/// An image, served under a name.
pub(super) struct Guest {
    pub(super) name: String,
    kind: Kind,
    /// Length of all its files.
    pub(super) bytes: u64,
    pub(super) proof: Proof,
}

enum Kind {
    Disk(PathBuf),
    Linux {
        kernel: PathBuf,
        initrd: Option<PathBuf>,
    },
}

impl Guest {
    /// What the command line asks for.
    pub(super) fn choose(
        arguments: &Arguments,
        paths: &Paths,
        slamboot: &Path,
        run: &Path,
    ) -> Result<Guest> {
        if let Some(kernel) = &arguments.kernel {
            return Guest::linux(kernel, arguments.initrd.as_deref());
        }
        let ready = paths.demo_image();
        let disk = match (&arguments.image, &arguments.size) {
            (Some(image), _) => image.clone(),
            (None, None) if ready.exists() => ready,
            (None, size) => {
                let image = run.join("demo.img");
                demo_image(slamboot, &image, size.as_deref())?;
                image
            }
        };
        let guest = Guest::disk(&disk)?;
        Ok(if arguments.stand_in {
            Guest {
                name: "winpe".to_owned(),
                proof: Proof::StandIn,
                ..guest
            }
        } else {
            guest
        })
    }

    fn disk(path: &Path) -> Result<Guest> {
        let path = absolute(path)?;
        let (crc32, bytes) = crc32(&path)?;
        ensure!(
            bytes > 0 && bytes % 512 == 0,
            "{}: {bytes} bytes are no disk: expected whole sectors of 512 bytes",
            path.display()
        );
        Ok(Guest {
            name: "demo".to_owned(),
            kind: Kind::Disk(path),
            bytes,
            proof: Proof::Disk {
                crc32,
                sectors: bytes / 512,
            },
        })
    }

    fn linux(kernel: &Path, initrd: Option<&Path>) -> Result<Guest> {
        let kernel = absolute(kernel)?;
        let initrd = initrd.map(absolute).transpose()?;
        let mut bytes = 0;
        for file in std::iter::once(&kernel).chain(&initrd) {
            bytes += file
                .metadata()
                .with_context(|| file.display().to_string())?
                .len();
        }
        Ok(Guest {
            name: "linux".to_owned(),
            kind: Kind::Linux { kernel, initrd },
            bytes,
            proof: Proof::Linux,
        })
    }

    /// Names of the files as they travel (see `site::Transfer::name`).
    pub(super) fn transfers(&self) -> Vec<String> {
        match &self.kind {
            Kind::Disk(_) => vec![self.name.clone()],
            Kind::Linux { initrd, .. } => std::iter::once("kernel")
                .chain(initrd.as_ref().map(|_| "initrd"))
                .map(|part| format!("{}/{part}", self.name))
                .collect(),
        }
    }

    /// For people.
    pub(super) fn describe(&self, paths: &Paths) -> String {
        let mib = self.bytes as f64 / f64::from(1 << 20);
        match &self.kind {
            Kind::Disk(path) => format!("{}, {mib:.1} MiB", paths.shown(path)),
            Kind::Linux {
                kernel,
                initrd: Some(initrd),
            } => format!(
                "{} and {}, {mib:.1} MiB",
                kernel.display(),
                initrd.display()
            ),
            Kind::Linux { kernel, .. } => format!("{}, {mib:.1} MiB", kernel.display()),
        }
    }

    /// RAM for a machine that boots it: the image lies there whole.
    pub(super) fn memory_mib(&self) -> u64 {
        (self.bytes.div_ceil(1 << 20) + MEMORY_BESIDE_MIB).max(LEAST_MEMORY_MIB)
    }

    /// `slamboot.toml` of the lab.
    pub(super) fn site(&self) -> String {
        let text = |value: &str| toml::Value::String(value.to_owned());
        let file = |path: &Path| text(&path.display().to_string());
        let mut server = Table::new();
        server.insert("interface".into(), text(netlab::INTERFACE));
        server.insert("address".into(), text(&netlab::SERVER.to_string()));
        // Beside the configuration, not among what this machine's own server keeps.
        server.insert("state".into(), text("state"));
        if let Some(memdisk) = xtask::host::memdisk() {
            server.insert("memdisk".into(), file(&memdisk));
        }
        let mut image = Table::new();
        image.insert("name".into(), text(&self.name));
        match &self.kind {
            Kind::Disk(path) => {
                image.insert("kind".into(), text("disk"));
                image.insert("path".into(), file(path));
            }
            Kind::Linux { kernel, initrd } => {
                image.insert("kind".into(), text("linux"));
                image.insert("kernel".into(), file(kernel));
                if let Some(initrd) = initrd {
                    image.insert("initrd".into(), file(initrd));
                }
                // The banner comes first, even so; the rest helps whoever reads the log.
                image.insert("args".into(), text("console=ttyS0 earlyprintk=ttyS0"));
            }
        }
        let mut site = Table::new();
        site.insert("server".into(), server.into());
        // Here the lab's DHCP server says what boots; tests/services is where ours does.
        let mut dhcp = Table::new();
        dhcp.insert("mode".into(), text("off"));
        site.insert("dhcp".into(), dhcp.into());
        let mut slam = Table::new();
        slam.insert("max_rate".into(), text(NO_CABLE));
        if self.bytes > STOCK_LIMIT {
            slam.insert("stock_clients".into(), false.into());
        }
        site.insert("slam".into(), slam.into());
        site.insert("image".into(), toml::Value::Array(vec![image.into()]));
        site.to_string()
    }
}

/// Makes a demo disk; with a size it is filled with bytes that do not compress.
pub(crate) fn demo_image(slamboot: &Path, image: &Path, size: Option<&str>) -> Result<()> {
    let mut cmd = Cmd::new(slamboot)
        .args(["image", "demo", "--output"])
        .arg(image);
    if let Some(size) = size {
        cmd = cmd.args(["--size", size, "--fill"]);
    }
    println!("$ {cmd}");
    cmd.read().context("making the demo disk")?;
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("cannot open {}", path.display()))
}

/// CRC-32 and length of a file, read by us: the server and the builder are not asked.
fn crc32(path: &Path) -> Result<(u32, u64)> {
    let context = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(context)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut chunk = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut chunk).with_context(context)? {
            0 => return Ok((hasher.finalize(), bytes)),
            length => {
                hasher.update(&chunk[..length]);
                bytes += length as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_site_of_a_disk_is_one_that_the_server_reads() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("a \"disk\".img");
        fs::write(&disk, [7; 1024]).unwrap();
        let guest = Guest::disk(&disk).unwrap();
        let proof = Proof::Disk {
            crc32: crc32fast::hash(&[7; 1024]),
            sectors: 2,
        };
        assert_eq!(guest.proof, proof);
        assert_eq!(guest.memory_mib(), LEAST_MEMORY_MIB);

        let config = dir.path().join("slamboot.toml");
        fs::write(&config, guest.site()).unwrap();
        let site = site::Site::load(&config).unwrap();
        assert_eq!(site.server.address, Some(netlab::SERVER));
        let names: Vec<String> = site.transfers().iter().map(site::Transfer::name).collect();
        assert_eq!(names, guest.transfers());
    }

    #[test]
    fn the_site_of_a_kernel_has_both_its_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["linux", "initrd.gz"] {
            fs::write(dir.path().join(name), [1; 100]).unwrap();
        }
        let initrd = dir.path().join("initrd.gz");
        let guest = Guest::linux(&dir.path().join("linux"), Some(&initrd)).unwrap();
        assert_eq!(guest.bytes, 200);
        let config = dir.path().join("slamboot.toml");
        fs::write(&config, guest.site()).unwrap();
        let site = site::Site::load(&config).unwrap();
        let names: Vec<String> = site.transfers().iter().map(site::Transfer::name).collect();
        assert_eq!(names, guest.transfers());
        assert_eq!(names, ["linux/kernel", "linux/initrd"]);
    }

    #[test]
    fn what_no_stock_client_takes_is_served_to_ours() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("large.img");
        File::create(&disk).unwrap().set_len(1 << 29).unwrap();
        let guest = Guest {
            name: "demo".to_owned(),
            kind: Kind::Disk(disk),
            bytes: 1 << 29,
            proof: Proof::Linux,
        };
        let config = dir.path().join("slamboot.toml");
        fs::write(&config, guest.site()).unwrap();
        assert!(!site::Site::load(&config).unwrap().slam.stock_clients);
    }

    #[test]
    fn half_a_sector_is_no_disk() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk.img");
        for length in [0, 513] {
            fs::write(&disk, vec![0; length]).unwrap();
            let error = Guest::disk(&disk).err().unwrap().to_string();
            assert!(error.contains("expected whole sectors"), "{error}");
        }
    }
}
