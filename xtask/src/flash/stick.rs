// SPDX-License-Identifier: MIT OR Apache-2.0
//! USB sticks and other block devices.

use std::fs::{self, File};
use std::io::{Read, Seek as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use firmware::inspect::{self, Kind, Part, Report};

/// Read and written at once.
const CHUNK: usize = 1 << 20;

/// Write an image to a USB stick.
///
/// What is mounted and what is not removable is refused without --force; what was written is read back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask flash stick dist/firmware/ipxe.usb /dev/sdX
  cargo xtask flash stick dist/firmware/ipxe-efi.usb /dev/sdX")]
pub struct Arguments {
    /// The image: .usb, or an .iso whose first sector starts it from a stick, too.
    image: PathBuf,
    /// The stick's device: /dev/sdX, not a partition of it. Everything on it is lost.
    device: PathBuf,
    /// Write although it is mounted, or not removable.
    #[arg(long)]
    force: bool,
}

/// What the system says of a block device.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Device {
    name: String,
    bytes: u64,
    removable: bool,
    partition: bool,
    /// Where it, or a part of it, is mounted or used.
    used: Vec<String>,
}

/// Runs `cargo xtask flash stick`.
pub fn run(arguments: &Arguments) -> Result<()> {
    let name = arguments.image.display();
    let image = inspect::read_file(&arguments.image)?;
    let report = inspect::inspect(&image).with_context(|| format!("{name} is no iPXE image"))?;
    ensure!(
        matches!(report.kind, Kind::Disk | Kind::Iso),
        "{name}: expected a disk or ISO image, found {}: cargo xtask firmware --target ipxe.usb (BIOS) or ipxe-efi.usb (UEFI) builds one",
        report.kind
    );
    starts(&report, &image).with_context(|| name.to_string())?;
    let device = Device::read(&arguments.device)?;
    device.judge(image.len() as u64, arguments.force)?;
    println!(
        "image   {name}: {}, {}, {} bytes, SLAM {}",
        report.kind,
        report.arch,
        image.len(),
        report.program.slam
    );
    println!(
        "device  {}: {} bytes",
        arguments.device.display(),
        device.bytes
    );
    write(&image, &arguments.device)
        .with_context(|| format!("cannot write {}", arguments.device.display()))?;
    println!("done    written, read back, identical");
    Ok(())
}

/// Whether a machine would start from it on a whole device. A BIOS runs the first sector; UEFI wants a
/// partition, or a FAT file system in place of one.
fn starts(report: &Report, image: &[u8]) -> Result<()> {
    let mut archs = vec![report.arch];
    archs_within(report, &mut archs);
    let bios = archs.contains(&"i386");
    let sector = Sector::of(image);
    match report.kind {
        Kind::Iso if bios => ensure!(
            sector.code,
            "no boot code in its first sector: a BIOS starts it from a CD, not from a stick\nhelp: cargo xtask firmware --target ipxe.usb builds what it does start; isohybrid (Debian: syslinux-utils) gives an ISO such a sector"
        ),
        Kind::Iso => ensure!(
            sector.partitions > 0,
            "no partition table in its first sector: UEFI starts it from a CD, not from a stick\nhelp: cargo xtask firmware --target ipxe-efi.usb builds what it does start"
        ),
        // A file system on the whole device has no table; where one is, it is the BIOS's.
        _ if bios && report.images.is_empty() => ensure!(
            sector.code && sector.active == 1,
            "no active partition in its first sector: this is for a disk's partition (.hd) or a floppy (.dsk), and starts from no stick\nhelp: cargo xtask firmware --target ipxe.usb builds what does"
        ),
        _ => {}
    }
    Ok(())
}

/// The machines that the files in it are for.
fn archs_within(report: &Report, archs: &mut Vec<&'static str>) {
    for part in &report.images {
        if let Part::File { report, .. } = part {
            archs.push(report.arch);
            archs_within(report, archs);
        }
    }
}

/// The first sector, as a BIOS and a partition table have it.
#[derive(Debug, PartialEq, Eq)]
struct Sector {
    /// Whether it is marked as bootable, and there is something to run.
    code: bool,
    /// Partitions in its table; 0 where what stands there is none.
    partitions: usize,
    /// Those of them that are marked as the one to start from.
    active: usize,
}

impl Sector {
    fn of(image: &[u8]) -> Sector {
        let marked = image.get(510..512) == Some(&[0x55, 0xaa]);
        let code = image.get(..440).unwrap_or_default();
        let table = image.get(446..510).unwrap_or_default();
        let entries = || table.chunks_exact(16);
        let sound = marked && entries().all(|entry| matches!(entry[0], 0 | 0x80));
        let used = |entry: &&[u8]| sound && entry[4] != 0 && entry[12..] != [0; 4];
        Sector {
            code: marked && code.iter().any(|byte| *byte != 0),
            partitions: entries().filter(used).count(),
            active: entries()
                .filter(used)
                .filter(|entry| entry[0] == 0x80)
                .count(),
        }
    }
}

impl Device {
    fn read(path: &Path) -> Result<Device> {
        let shown = path.display();
        let metadata = fs::metadata(path).with_context(|| format!("cannot open {shown}"))?;
        ensure!(
            metadata.file_type().is_block_device(),
            "{shown}: expected a block device such as /dev/sdb; lsblk lists them"
        );
        let number = metadata.rdev();
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let sys = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"))
            .with_context(|| format!("{shown}: the system knows no such device"))?;
        let field = |name: &str| {
            let text = fs::read_to_string(sys.join(name)).unwrap_or_default();
            text.trim().parse::<u64>().unwrap_or(0)
        };
        let name = sys
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut parts = vec![name.clone()];
        for entry in fs::read_dir(&sys).into_iter().flatten().flatten() {
            if entry.path().join("partition").exists() {
                parts.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
        let mut used = used_by(&parts, &mounts, &swaps);
        for part in &parts {
            let holders = Path::new("/sys/class/block").join(part).join("holders");
            for holder in fs::read_dir(holders).into_iter().flatten().flatten() {
                used.push(format!(
                    "{part} is part of {}",
                    holder.file_name().to_string_lossy()
                ));
            }
        }
        Ok(Device {
            name,
            bytes: field("size") * 512,
            removable: field("removable") == 1,
            partition: sys.join("partition").exists(),
            used,
        })
    }

    /// Whether `bytes` may be written to it.
    fn judge(&self, bytes: u64, force: bool) -> Result<()> {
        let name = &self.name;
        if bytes > self.bytes {
            bail!("{name} has {} bytes, the image {bytes}", self.bytes);
        }
        if force {
            return Ok(());
        }
        if !self.used.is_empty() {
            bail!(
                "{name} is in use: {}\nhelp: unmount it first; --force writes anyway, and destroys what is there",
                self.used.join(", ")
            );
        }
        if self.partition {
            bail!(
                "{name} is a partition: machines start from whole devices\nhelp: name the device that it is a part of; --force writes anyway"
            );
        }
        if !self.removable {
            bail!(
                "{name} is not removable: it may be this machine's own disk\nhelp: lsblk lists devices; --force writes anyway"
            );
        }
        Ok(())
    }
}

/// Which of `parts` (names of devices) stand in /proc/mounts and /proc/swaps.
fn used_by(parts: &[String], mounts: &str, swaps: &str) -> Vec<String> {
    let device = |line: &str| {
        let path = line.split_whitespace().next()?;
        let real = fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
        let name = real
            .strip_prefix("/dev")
            .ok()?
            .to_string_lossy()
            .into_owned();
        parts.contains(&name).then_some(name)
    };
    let mounted = mounts.lines().filter_map(|line| {
        let place = line.split_whitespace().nth(1)?;
        Some(format!("{} is mounted on {place}", device(line)?))
    });
    let swapped = swaps
        .lines()
        .filter_map(|line| Some(format!("{} is swap", device(line)?)));
    mounted.chain(swapped).collect()
}

fn write(image: &[u8], device: &Path) -> Result<()> {
    let mut file = File::options().read(true).write(true).open(device)?;
    file.write_all(image)?;
    file.sync_all()?;
    // From the device, not from what the system still holds of it.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    file.rewind()?;
    let mut buffer = vec![0; CHUNK];
    for (number, chunk) in image.chunks(CHUNK).enumerate() {
        let read = &mut buffer[..chunk.len()];
        file.read_exact(read)?;
        ensure!(
            read == chunk,
            "it does not hold what was written, within the MiB at {:#x}: a worn-out stick?",
            number * CHUNK
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stick() -> Device {
        Device {
            name: "sdx".to_owned(),
            bytes: 1 << 20,
            removable: true,
            partition: false,
            used: Vec::new(),
        }
    }

    /// A first sector with this code and these entries: flag, type, sectors.
    fn sector(code: u8, entries: &[(u8, u8, u8)]) -> Vec<u8> {
        let mut sector = vec![0; 512];
        sector[..440].fill(code);
        for (n, (flag, kind, sectors)) in entries.iter().enumerate() {
            let at = 446 + 16 * n;
            (sector[at], sector[at + 4], sector[at + 12]) = (*flag, *kind, *sectors);
        }
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    #[test]
    fn the_first_sector_says_what_starts() {
        let of = |image: &[u8]| {
            let Sector {
                code,
                partitions,
                active,
            } = Sector::of(image);
            (code, partitions, active)
        };
        assert_eq!(of(&sector(1, &[(0, 0, 0), (0x80, 0xeb, 9)])), (true, 1, 1));
        assert_eq!(of(&sector(0, &[(0, 0xee, 9)])), (false, 1, 0));
        // Code goes on where a table would be.
        assert_eq!(
            of(&sector(1, &[(0x66, 0x31, 9), (0x80, 1, 9)])),
            (true, 0, 0)
        );
        assert_eq!(of(&[0; 512]), (false, 0, 0));
        assert_eq!(of(b"short"), (false, 0, 0));
    }

    #[test]
    fn what_starts_from_no_stick_is_refused_with_what_does() {
        let Ok(iso) = fs::read("/usr/lib/ipxe/ipxe.iso") else {
            let _ = std::io::stderr().write_all(b"skipped: no /usr/lib/ipxe/ipxe.iso\n");
            return;
        };
        let mut report = inspect::inspect(&iso).unwrap();
        starts(&report, &iso).unwrap();
        let refused = |report: &Report, sector: &[u8]| {
            let error = starts(report, sector).unwrap_err().to_string();
            assert!(
                error.contains("help: cargo xtask firmware --target"),
                "{error}"
            );
            error
        };
        let usb = sector(1, &[(0x80, 0xeb, 9)]);
        let hd = sector(1, &[]);
        let plain = vec![0; 512];
        assert!(refused(&report, &plain).contains("ipxe.usb"));
        (report.kind, report.arch) = (Kind::Iso, "x86_64");
        report.images.clear();
        assert!(refused(&report, &plain).contains("ipxe-efi.usb"));
        starts(&report, &sector(0, &[(0, 0xef, 9)])).unwrap();
        (report.kind, report.arch) = (Kind::Disk, "i386");
        assert!(refused(&report, &hd).contains("(.hd)"));
        starts(&report, &usb).unwrap();
        // A FAT file system on the whole device, for UEFI.
        report.arch = "x86_64";
        starts(&report, &hd).unwrap();
    }

    #[test]
    fn only_a_free_stick_is_written_without_force() {
        stick().judge(1 << 20, false).unwrap();
        assert!(
            stick().judge((1 << 20) + 1, true).is_err(),
            "force does not make room"
        );
        let disk = Device {
            removable: false,
            ..stick()
        };
        let mounted = Device {
            used: vec!["sdx1 is mounted on /mnt".to_owned()],
            ..stick()
        };
        let partition = Device {
            partition: true,
            ..stick()
        };
        for (device, part) in [
            (disk, "not removable"),
            (mounted, "/mnt"),
            (partition, "partition"),
        ] {
            let error = device.judge(1, false).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("--force"), "{error}");
            device.judge(1, true).unwrap();
        }
    }

    #[test]
    fn mounted_parts_are_found() {
        let parts = ["sdq".to_owned(), "sdq1".to_owned()];
        let mounts =
            "proc /proc proc rw 0 0\n/dev/sdq1 /mnt/a ext4 rw 0 0\n/dev/sdr1 /b ext4 rw 0 0\n";
        let swaps = "Filename Type Size\n/dev/sdq partition 1\n";
        assert_eq!(
            used_by(&parts, mounts, swaps),
            ["sdq1 is mounted on /mnt/a", "sdq is swap"]
        );
    }

    #[test]
    fn a_file_is_no_device() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Device::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("expected a block device"), "{error}");
        // What is written is read back, on whatever it is.
        write(b"an image", file.path()).unwrap();
        assert_eq!(fs::read(file.path()).unwrap(), b"an image");
    }
}
