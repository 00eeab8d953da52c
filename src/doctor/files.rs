// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether what is to be served is there, can be read, and is what it should be.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use site::{Https, Image, ImageKind, Site};

use super::reader::Reader;
use super::{Finding, split};
use crate::boot::identity::Identity;
use crate::boot::roms::RomShelf;
use crate::dashboard::Token;
use crate::observe::Bytes;

/// A certificate that ends within it is to be renewed.
const RENEWAL: Duration = Duration::from_hours(14 * 24);

/// Looks at images, memdisk, boot programs and the clock.
pub fn look(site: &Site, beside: &Path, now: SystemTime) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut newest: Option<(SystemTime, String)> = None;
    for image in &site.images {
        for path in paths(image) {
            findings.push(file("image", &image.name, path));
            let modified = std::fs::metadata(path).and_then(|m| m.modified()).ok();
            if let Some(modified) = modified
                && newest.as_ref().is_none_or(|(other, _)| modified > *other)
            {
                newest = Some((modified, path.display().to_string()));
            }
        }
    }
    if site.images.is_empty() {
        findings.push(Finding::problem(
            "image",
            "none is named",
            "slamboot image demo -o demo.img makes one to begin with; then: slamboot serve demo.img",
        ));
    }
    let disks =
        |image: &Image| matches!(image.kind, ImageKind::Disk { .. } | ImageKind::Iso { .. });
    if site.images.iter().any(disks) {
        let memdisk = &site.server.memdisk;
        findings.push(match std::fs::read(memdisk) {
            Ok(bytes) => match no_memdisk(&bytes) {
                None => Finding::ok("memdisk", memdisk.display().to_string()),
                Some(why) => Finding::problem(
                    "memdisk",
                    format!("{} is no memdisk: {why}", memdisk.display()),
                    "apt-get install syslinux-common, and name it: [server] memdisk = \"FILE\"",
                ),
            },
            Err(error) => Finding::problem(
                "memdisk",
                format!("{}: {error}: disk images will not boot", memdisk.display()),
                "apt-get install syslinux-common, or name it: [server] memdisk = \"FILE\"",
            ),
        });
    }
    findings.extend(
        site.server
            .https
            .as_ref()
            .map(|https| certificate(https, now)),
    );
    roms(site, beside, &mut findings);
    if let Some(reader) = Reader::of(site, beside) {
        rights(site, &reader, &mut findings);
    }
    findings.extend(state(site));
    findings.extend(token(site));
    // A clock that is behind what was written cannot be right; certificates and leases go by it.
    match newest {
        Some((modified, path)) if modified > now => findings.push(Finding::warning(
            "clock",
            format!("{path} is from the future: the clock is wrong"),
            "timedatectl set-ntp true",
        )),
        _ => findings.push(Finding::ok("clock", "not behind any image")),
    }
    findings
}

/// Whether the user that serves can read what is served.
fn rights(site: &Site, reader: &Reader, findings: &mut Vec<Finding>) {
    const CHECK: &str = "rights";
    let mut files: Vec<&Path> = site.images.iter().flat_map(paths).collect();
    files.push(&site.server.memdisk);
    files.extend(site.server.firmware.as_deref());
    if let Some(https) = &site.server.https {
        files.extend([https.certificate.as_path(), &https.key]);
    }
    files.extend(site.status.token_file.as_deref());
    // What `user` gets is given to it, and what systemd makes is the unit's.
    let state = site.server.state.as_ref();
    let state = state.filter(|_| site.server.user.is_none());
    let checked = files.into_iter().map(|path| reader.check_file(path));
    let checked = checked.chain(state.map(|path| reader.check_directory(path)));
    let before = findings.len();
    findings.extend(
        checked
            .filter_map(Result::err)
            .map(|obstacle| Finding::problem(CHECK, obstacle.to_string(), obstacle.remedy)),
    );
    if findings.len() == before {
        findings.push(Finding::ok(CHECK, format!("{reader} reads all of it")));
    }
}

/// Whether what is to be kept can be, where a directory for it is named.
fn state(site: &Site) -> Option<Finding> {
    const CHECK: &str = "state";
    let state = site.server.state.as_ref()?;
    let there = state.ancestors().find(|path| path.exists())?;
    let shown = state.display();
    if !there.is_dir() {
        return Some(Finding::problem(
            CHECK,
            format!("{} is no directory", there.display()),
            "name another: [server] state = \"DIRECTORY\"",
        ));
    }
    Some(match tempfile::tempfile_in(there) {
        Ok(_) => Finding::ok(CHECK, format!("{shown} can be written to")),
        Err(error) => Finding::problem(
            CHECK,
            format!("{shown}: {error}: leases, assignments and history would be lost"),
            format!(
                "chown {}, or name another: [server] state = \"DIRECTORY\"",
                there.display()
            ),
        ),
    })
}

/// Whether the token can be used, where a file for it is named.
fn token(site: &Site) -> Option<Finding> {
    let path = site.status.token_file.as_ref()?;
    Some(match Token::read(path) {
        Ok(_) => Finding::ok("token", path.display().to_string()),
        Err(error) => {
            let (what, remedy) = split(&error.to_string());
            Finding::problem("token", what, remedy)
        }
    })
}

/// Why a file is not memdisk, which looks like a Linux kernel for PCs (the kernel's
/// Documentation/arch/x86/boot.rst) and says its name.
fn no_memdisk(bytes: &[u8]) -> Option<&'static str> {
    let at = |from: usize, what: &[u8]| bytes.get(from..from + what.len()) == Some(what);
    if !at(0x1FE, &[0x55, 0xAA]) {
        return Some("no 55 AA at offset 0x1FE, where every boot sector has it");
    }
    if !at(0x202, b"HdrS") {
        return Some("no \"HdrS\" at offset 0x202, where every bzImage has it");
    }
    let name = b"MEMDISK";
    let named = bytes.windows(name.len()).any(|text| text == name);
    (!named).then_some("a Linux kernel, and not memdisk: \"MEMDISK\" is nowhere in it")
}

/// Whether it can be served with, and for how long.
fn certificate(https: &Https, now: SystemTime) -> Finding {
    const CHECK: &str = "HTTPS";
    let path = https.certificate.display();
    match Identity::read(https, now) {
        Ok(identity) => {
            let ends = identity.ends();
            let soon = Timestamp::try_from(now + RENEWAL).unwrap_or(Timestamp::MAX);
            if soon > ends {
                return Finding::warning(
                    CHECK,
                    format!("{path} ends soon: {ends}"),
                    "renew it, and systemctl reload slamboot (SIGHUP)",
                );
            }
            Finding::ok(CHECK, format!("{path}, until {ends}"))
        }
        Err(error) => {
            let (what, remedy) = split(&error.to_string());
            Finding::problem(CHECK, what, remedy)
        }
    }
}

fn paths(image: &Image) -> Vec<&Path> {
    match &image.kind {
        ImageKind::Disk { path } | ImageKind::Iso { path } => vec![path],
        ImageKind::Linux { kernel, initrd, .. } => {
            let initrd = initrd.iter().map(AsRef::as_ref);
            std::iter::once(kernel.as_path()).chain(initrd).collect()
        }
    }
}

fn file(check: &'static str, name: &str, path: &Path) -> Finding {
    let shown = path.display();
    let opened = File::open(path).and_then(|file| file.metadata());
    match opened {
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => Finding::problem(
            check,
            format!("{name}: {shown} is empty"),
            "build it again; no client completes an empty file",
        ),
        Ok(metadata) if metadata.is_dir() => Finding::problem(
            check,
            format!("{name}: {shown} is a directory"),
            "name the file in it",
        ),
        Ok(metadata) => Finding::ok(check, format!("{name}: {shown}, {}", Bytes(metadata.len()))),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Finding::problem(
            check,
            format!("{name}: {shown} cannot be read by this user"),
            format!("chmod a+r {shown} (and a+x for each directory above it)"),
        ),
        Err(error) => Finding::problem(
            check,
            format!("{name}: {shown}: {error}"),
            "correct the path in slamboot.toml, or put the file there",
        ),
    }
}

fn roms(site: &Site, beside: &Path, findings: &mut Vec<Finding>) {
    const CHECK: &str = "ROMs";
    const BUILD: &str = "cargo xtask dist builds them, with SLAM proven in each";
    let shelf = match RomShelf::find(site.server.firmware.as_deref(), beside) {
        Ok(shelf) => shelf,
        Err(error) => {
            findings.push(Finding::problem(CHECK, error.to_string(), BUILD));
            return;
        }
    };
    let place = shelf
        .directory()
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    let roms = shelf.roms();
    if roms.is_empty() {
        findings.push(Finding::warning(
            CHECK,
            "none at hand: only machines whose card carries a ROM of ours boot",
            BUILD,
        ));
    }
    for (arch, rom) in roms.iter() {
        let what = format!("{} for {arch} in {place}", rom.name);
        findings.push(if rom.slam {
            Finding::ok(CHECK, format!("{what}, SLAM proven"))
        } else {
            Finding::warning(CHECK, format!("{what} has no multicast"), BUILD)
        });
    }
    for (name, why) in shelf.skipped() {
        findings.push(Finding::warning(
            CHECK,
            format!("{place}/{name}: {why}"),
            BUILD,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memdisk_is_known_by_what_is_in_it() {
        let mut file = vec![0; 27_000];
        assert!(no_memdisk(&[]).unwrap().contains("0x1FE"));
        assert!(no_memdisk(&file).unwrap().contains("0x1FE"));
        file[0x1FE..0x200].copy_from_slice(&[0x55, 0xAA]);
        assert!(no_memdisk(&file).unwrap().contains("HdrS"));
        assert!(no_memdisk(&file[..0x204]).unwrap().contains("HdrS"));
        file[0x202..0x206].copy_from_slice(b"HdrS");
        assert!(no_memdisk(&file).unwrap().contains("a Linux kernel"));
        file[26_993..].copy_from_slice(b"MEMDISK");
        assert_eq!(no_memdisk(&file), None);
    }
}
