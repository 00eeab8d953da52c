// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot image disk`, `iso` and `linux`: what is served, and what is refused.

use std::path::Path;
use std::process::Command;

use crate::judge::{has_tool, skip};
use crate::support::{Image, run, slamboot};
use crate::winpe_parts::{done, text};

fn refused(arguments: &[&str]) -> String {
    let output = slamboot(arguments);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// The image of that name in a configuration.
fn configured(config: &Path, name: &str) -> site::ImageKind {
    let site = site::Site::load(config).unwrap();
    let image = site.images.iter().find(|image| image.name == name);
    image.unwrap().kind.clone()
}

#[test]
fn disks_of_every_format() {
    let image = Image::demo();
    let folder = image.folder.path();
    let config = folder.join("slamboot.toml");
    let said = done(&[
        "image",
        "disk",
        text(image.path()),
        "--config",
        text(&config),
    ]);
    assert!(said.contains("configured:  image \"disk\""), "{said}");
    assert!(
        matches!(configured(&config, "disk"), site::ImageKind::Disk { path } if path == image.path())
    );
    // Under the same name again it is refused, and the configuration stays.
    let before = std::fs::read(&config).unwrap();
    let said = refused(&[
        "image",
        "disk",
        text(image.path()),
        "--config",
        text(&config),
    ]);
    assert!(said.contains("disk"), "{said}");
    assert_eq!(std::fs::read(&config).unwrap(), before);
    if !has_tool("disks_of_every_format", "qemu-img") {
        return;
    }
    let whole = std::fs::read(image.path()).unwrap();
    for (format, name) in [
        ("qcow2", "a.qcow2"),
        ("vpc", "a.vhd"),
        ("vhdx", "a.vhdx"),
        ("vmdk", "a.vmdk"),
        ("vdi", "a.vdi"),
    ] {
        let other = folder.join(name);
        let raw = folder.join(format!("{name}.img"));
        run(Command::new("qemu-img")
            .args(["convert", "-f", "raw", "-O", format])
            .args([image.path(), &other]));
        let said = refused(&["image", "disk", text(&other)]);
        assert!(
            said.contains("clients read raw disks") && said.contains("-o DISK.img"),
            "{said}"
        );
        done(&[
            "image",
            "disk",
            text(&other),
            "-o",
            text(&raw),
            "--config",
            text(&config),
        ]);
        let found = std::fs::read(&raw).unwrap();
        // A VHD is as long as its geometry says.
        assert!(
            found.len() >= whole.len() && found[..whole.len()] == whole,
            "{format}"
        );
    }
    assert_eq!(site::Site::load(&config).unwrap().images.len(), 6);
    // A qcow2 that boots nothing makes nothing.
    let empty = folder.join("empty.qcow2");
    let raw = folder.join("empty.img");
    run(Command::new("qemu-img").args(["create", "-q", "-f", "qcow2", text(&empty), "16M"]));
    let said = refused(&["image", "disk", text(&empty), "-o", text(&raw)]);
    assert!(
        said.contains("expected 0xaa55, found 0x0000") && !raw.exists(),
        "{said}"
    );
}

#[test]
fn disks_that_do_not_boot() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("a.img");
    let whole = std::fs::read(Image::demo().path()).unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        std::fs::write(&disk, bytes).unwrap();
        refused(&["image", "disk", text(&disk)])
    };
    for (expected, change) in [
        (
            "whole sectors of 512 bytes",
            &(|disk: &mut Vec<u8>| disk.truncate(1000)) as &dyn Fn(&mut Vec<u8>),
        ),
        ("whole sectors of 512 bytes", &|disk| disk.clear()),
        ("at byte 0x1fe: expected 0xaa55", &|disk| disk[510] = 0),
        ("expected boot code for BIOS, found zeros", &|disk| {
            disk[..440].fill(0);
        }),
        ("boots on UEFI only", &|disk| {
            disk[..440].fill(0);
            disk[0x1C2] = 0xEE;
        }),
        ("at byte 0x1ce: expected one active partition", &|disk| {
            disk.copy_within(0x1BE..0x1CE, 0x1CE);
        }),
        ("partitions within the image", &|disk| {
            disk.truncate(512 * 4096);
        }),
        ("a boot sector in the active partition", &|disk| {
            disk[(1 << 20) + 0x5A..(1 << 20) + 0x1F0].fill(0);
        }),
    ] {
        let said = with(change);
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
    let said = refused(&["image", "disk", "/dev/null"]);
    assert!(said.contains("expected a regular file"), "{said}");
}

#[test]
fn isos() {
    if !has_tool("isos", "xorriso") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    std::fs::create_dir_all(&tree).unwrap();
    std::fs::write(tree.join("boot.bin"), vec![0x90; 2048]).unwrap();
    let iso = folder.path().join("a.iso");
    let make = |options: &[&str]| {
        let _ = std::fs::remove_file(&iso);
        run(Command::new("xorriso")
            .args(["-as", "mkisofs", "-quiet", "-V", "A DISC"])
            .args(options)
            .arg("-o")
            .args([&iso, &tree]));
    };
    make(&["-b", "boot.bin", "-no-emul-boot", "-boot-load-size", "4"]);
    let config = folder.path().join("slamboot.toml");
    let said = done(&["image", "iso", text(&iso), "--config", text(&config)]);
    assert!(
        said.contains("\"A DISC\"") && said.contains("on BIOS (no emulation)"),
        "{said}"
    );
    assert!(matches!(
        configured(&config, "a"),
        site::ImageKind::Iso { .. }
    ));
    let whole = std::fs::read(&iso).unwrap();
    let catalog = 2048
        * u64::from(u32::from_le_bytes(
            whole[17 * 2048 + 0x47..][..4].try_into().unwrap(),
        ));
    for (at, byte, expected) in [
        (16 * 2048 + 1, b'X', "expected \"CD001\""),
        (catalog as usize, 0, "validation entry"),
        (catalog as usize + 32, 0, "none that is bootable"),
    ] {
        let mut broken = whole.clone();
        broken[at] = byte;
        std::fs::write(&iso, broken).unwrap();
        let said = refused(&["image", "iso", text(&iso)]);
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
    make(&["-e", "boot.bin", "-no-emul-boot"]);
    let said = refused(&["image", "iso", text(&iso)]);
    assert!(said.contains("found an entry for UEFI alone"), "{said}");
    make(&[]);
    let said = refused(&["image", "iso", text(&iso)]);
    assert!(
        said.contains("a boot record (El Torito)") && said.contains("nothing on it boots"),
        "{said}"
    );
}

#[test]
fn kernels() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // The smallest file that has the header of a kernel.
    let mut kernel = vec![0; 4096];
    kernel[0x1F1] = 1;
    kernel[0x1FE..0x200].copy_from_slice(&[0x55, 0xAA]);
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x206..0x208].copy_from_slice(&0x020Fu16.to_le_bytes());
    kernel[0x20E..0x210].copy_from_slice(&0x0300u16.to_le_bytes());
    kernel[0x238..0x23C].copy_from_slice(&2047u32.to_le_bytes());
    kernel[0x500..0x506].copy_from_slice(b"6.1.0\0");
    let (path, initrd) = (at("vmlinuz-6"), at("initrd.gz"));
    std::fs::write(&path, &kernel).unwrap();
    std::fs::write(&initrd, b"\x1F\x8B\x08").unwrap();
    let config = at("slamboot.toml");
    let said = done(&[
        "image",
        "linux",
        "--kernel",
        text(&path),
        "--initrd",
        text(&initrd),
        "--args",
        "console=ttyS0 quiet",
        "--name",
        "six",
        "--config",
        text(&config),
    ]);
    assert!(
        said.contains("6.1.0") && said.contains("gzip") && said.contains("protocol 2.15"),
        "{said}"
    );
    let site::ImageKind::Linux { args, .. } = configured(&config, "six") else {
        panic!("no kernel");
    };
    assert_eq!(args, "console=ttyS0 quiet");
    let said = done(&["image", "linux", "--kernel", text(&path)]);
    assert!(
        said.contains("[[image]]\nname = \"vmlinuz-6\"\nkind = \"linux\"\nkernel = \"/"),
        "{said}"
    );

    for (change, expected) in [
        (
            &(|kernel: &mut Vec<u8>| kernel[0x202] = 0) as &dyn Fn(&mut Vec<u8>),
            "at byte 0x202: expected \"HdrS\"",
        ),
        (&|kernel| kernel[..4].copy_from_slice(b"\x7FELF"), ""),
        (
            &|kernel| kernel[0x207] = 1,
            "expected 2.03 or later, found 1.15",
        ),
        (&|kernel| kernel[0x1F4..0x1F8].fill(0xFF), "copy it again"),
        (&|kernel| kernel.truncate(100), "\"HdrS\""),
    ] {
        let mut other = kernel.clone();
        change(&mut other);
        std::fs::write(&path, &other).unwrap();
        if !expected.is_empty() {
            let said = refused(&["image", "linux", "--kernel", text(&path)]);
            assert!(said.contains(expected), "{expected:?} is not in {said}");
        }
    }
    std::fs::write(&path, &kernel).unwrap();
    for args in ["a || b", &"x".repeat(3000)] {
        let said = refused(&["image", "linux", "--kernel", text(&path), "--args", args]);
        assert!(said.contains("expected"), "{said}");
    }
    match xtask::host::netboot() {
        Some((kernel, initrd)) => {
            let said = done(&[
                "image",
                "linux",
                "--kernel",
                text(&kernel),
                "--initrd",
                text(&initrd),
            ]);
            assert!(said.contains("amd64"), "{said}");
        }
        None => skip(
            "kernels",
            "no Debian kernel (debian-installer-12-netboot-amd64)",
        ),
    }
}
