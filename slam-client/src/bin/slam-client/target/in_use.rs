// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who uses a block device: mounts, swap, and devices on top of it (device mapper, RAID), of the
//! device itself and of its partitions.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Major and minor number.
type Device = (u32, u32);

/// One use of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// The kernel's name: sda1.
    device: String,
    how: How,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum How {
    /// And where.
    Mounted(String),
    Swap,
    /// Part of another device.
    Held(String),
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.how {
            How::Mounted(place) => write!(f, "{} is mounted on {place}", self.device),
            How::Swap => write!(f, "{} is swap", self.device),
            How::Held(holder) => write!(f, "{} is part of {holder}", self.device),
        }
    }
}

/// What the kernel tells about devices and their uses.
struct System {
    /// `/sys`.
    sys: PathBuf,
    /// `/proc/self/mountinfo` (proc(5)).
    mountinfo: String,
    /// `/proc/swaps`.
    swaps: String,
}

/// Every use of `device`, a block device with these numbers.
pub(super) fn uses(device: u64) -> io::Result<Vec<Use>> {
    let system = System {
        sys: "/sys".into(),
        mountinfo: fs::read_to_string("/proc/self/mountinfo")?,
        // A kernel without swap has no such file.
        swaps: fs::read_to_string("/proc/swaps").unwrap_or_default(),
    };
    system.uses(split(device), &number_of)
}

fn split(device: u64) -> Device {
    (rustix::fs::major(device), rustix::fs::minor(device))
}

/// The numbers of a device file.
fn number_of(path: &str) -> Option<Device> {
    let found = fs::metadata(path).ok()?;
    (found.rdev() != 0).then(|| split(found.rdev()))
}

impl System {
    fn uses(
        &self,
        device: Device,
        number_of: &dyn Fn(&str) -> Option<Device>,
    ) -> io::Result<Vec<Use>> {
        let link = self
            .sys
            .join(format!("dev/block/{}:{}", device.0, device.1));
        let mut uses = Vec::new();
        for directory in family(&fs::canonicalize(&link)?)? {
            let device = name(&directory);
            let number = fs::read_to_string(directory.join("dev"))?;
            let number = parse(number.trim());
            let mut found = |how| {
                uses.push(Use {
                    device: device.clone(),
                    how,
                });
            };
            for line in self.mountinfo.lines() {
                // ID, parent, major:minor, root, where, ... - type, source, options.
                let fields: Vec<_> = line.split(' ').collect();
                let source = line
                    .split(" - ")
                    .nth(1)
                    .and_then(|rest| rest.split(' ').nth(1));
                let mounted = [
                    fields.get(2).copied().and_then(parse),
                    // Some filesystems have numbers of their own (btrfs).
                    source.filter(|it| it.starts_with('/')).and_then(number_of),
                ];
                if number.is_some() && mounted.contains(&number) {
                    found(How::Mounted(
                        fields.get(4).copied().unwrap_or("?").to_owned(),
                    ));
                }
            }
            for line in self.swaps.lines().skip(1) {
                let swap = line.split_whitespace().next().and_then(number_of);
                if swap.is_some() && swap == number {
                    found(How::Swap);
                }
            }
            for holder in entries(&directory.join("holders"))? {
                found(How::Held(name(&holder)));
            }
        }
        Ok(uses)
    }
}

/// A device and its partitions, which are directories in its own.
fn family(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut family = vec![directory.to_owned()];
    for entry in entries(directory)? {
        if entry.join("partition").exists() {
            family.push(entry);
        }
    }
    family.sort();
    Ok(family)
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn name(directory: &Path) -> String {
    let name = directory.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn parse(number: &str) -> Option<Device> {
    let (major, minor) = number.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk sda of two partitions, the second of which is part of dm-0.
    fn system(sys: &Path) -> System {
        let disk = sys.join("devices/pci/block/sda");
        for (device, number) in [("", "8:0"), ("sda1", "8:1"), ("sda2", "8:2")] {
            let directory = disk.join(device);
            fs::create_dir_all(directory.join("holders")).unwrap();
            fs::write(directory.join("dev"), format!("{number}\n")).unwrap();
            if !device.is_empty() {
                fs::write(directory.join("partition"), "1\n").unwrap();
            }
            let links = sys.join("dev/block");
            fs::create_dir_all(&links).unwrap();
            std::os::unix::fs::symlink(&directory, links.join(number)).unwrap();
        }
        fs::create_dir_all(disk.join("queue")).unwrap();
        fs::write(disk.join("sda2/holders/dm-0"), "").unwrap();
        System {
            sys: sys.to_owned(),
            mountinfo: String::new(),
            swaps: "Filename Type Size Used Priority\n".to_owned(),
        }
    }

    fn texts(system: &System, device: Device) -> Vec<String> {
        let number_of = |path: &str| match path {
            "/dev/sda1" => Some((8, 1)),
            "/dev/sda2" => Some((8, 2)),
            _ => None,
        };
        let uses = system.uses(device, &number_of).unwrap();
        uses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn partitions_and_what_lies_on_top_count() {
        let sys = tempfile::tempdir().unwrap();
        let mut system = system(sys.path());
        assert_eq!(texts(&system, (8, 1)), [""; 0]);
        assert_eq!(texts(&system, (8, 0)), ["sda2 is part of dm-0"]);
        system.mountinfo = "22 1 8:1 / /boot rw - ext4 /dev/root rw\n\
            23 1 0:40 / /home rw,x shared:1 - btrfs /dev/sda2 rw\n\
            24 1 0:21 / /proc rw - proc proc rw\n\
            25 1 8:16 / /other rw - ext4 /dev/sdb rw\n"
            .to_owned();
        system.swaps += "/dev/sda1 partition 1 0 -2\n/swapfile file 1 0 -3\n";
        assert_eq!(
            texts(&system, (8, 0)),
            [
                "sda1 is mounted on /boot",
                "sda1 is swap",
                "sda2 is mounted on /home",
                "sda2 is part of dm-0",
            ]
        );
        assert_eq!(texts(&system, (8, 1)).len(), 2, "a partition alone");
        assert!(system.uses((9, 9), &|_| None).is_err(), "no such device");
    }
}
