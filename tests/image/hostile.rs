// SPDX-License-Identifier: MIT OR Apache-2.0
//! Volumes that exist are read whatever is in them: in several pieces, with holes, damaged.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use slamboot::image::volume::{Content, Volume};
use slamboot::image::{DiskSize, FileSystem, ImageSpec};

use crate::judge::has_tool;
use crate::support::{Image, demo_with, rich_tree, run};

const START: u64 = 2048 * 512;

fn read(file: &File) -> Volume {
    let length = file.metadata().unwrap().len();
    Volume::read(file, START, length - START).unwrap()
}

/// All that was planned is found again, on either file system.
#[test]
fn our_volumes_are_read_back() {
    for file_system in [FileSystem::Fat32, FileSystem::Ntfs] {
        let image = image(file_system);
        let file = image.file();
        let volume = read(&file);
        assert_eq!(volume.kind.name(), file_system.to_string());
        assert_eq!(volume.label, "SLAMBOOT");
        for planned in &image.plan().files {
            let node = volume.find(&planned.path.to_string()).unwrap();
            assert_eq!(node.attributes, planned.attributes, "{}", node.path);
            let found = volume.file(&node.path).unwrap();
            let found = found.whole(&file, 1 << 30).unwrap();
            let mut bytes = vec![0; planned.data.bytes() as usize];
            planned.data.read_at(0, &mut bytes).unwrap();
            assert!(found == bytes, "{} differs", node.path);
        }
        let files = volume.nodes.iter();
        let files = files.filter(|node| matches!(node.content, Content::File(_)));
        assert_eq!(files.count(), image.plan().files.len());
    }
}

fn image(file_system: FileSystem) -> Image {
    Image::of(&ImageSpec {
        file_system,
        ..demo_with(DiskSize::Smallest, rich_tree())
    })
}

/// Files in so many pieces that they need several records, holes, lengths past what was written.
#[test]
fn files_that_a_driver_made() {
    let name = "files_that_a_driver_made";
    if !has_tool(name, "ntfs-3g") || !std::path::Path::new("/dev/fuse").exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume.img");
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    file.set_len(20 << 20).unwrap();
    run(Command::new("mkntfs").args(["-F", "-Q", "-q"]).arg(&path));
    let at = folder.path().join("mounted");
    std::fs::create_dir(&at).unwrap();
    let mounted = Command::new("ntfs-3g")
        .arg(&path)
        .arg(&at)
        .output()
        .unwrap();
    if !mounted.status.success() {
        return crate::judge::skip(name, "cannot mount");
    }
    // Every second cluster, from both ends to the middle.
    let scattered = File::create(at.join("scattered")).unwrap();
    let piece = |n: u64| vec![n as u8 | 1; 4096];
    for n in (0..400).chain((400..800).rev()) {
        scattered.write_all_at(&piece(n), n * 8192).unwrap();
    }
    let hole = File::create(at.join("hole")).unwrap();
    hole.set_len(3_000_000).unwrap();
    drop((scattered, hole));
    run(Command::new("umount").arg(&at));

    let volume = Volume::read(&file, 0, 20 << 20).unwrap();
    let found = volume.file("\\scattered").unwrap();
    let found = found.whole(&file, 1 << 30).unwrap();
    assert_eq!(found.len(), 799 * 8192 + 4096);
    for n in 0..800u64 {
        let at = n as usize * 8192;
        assert!(found[at..at + 4096] == piece(n), "piece {n}");
        let gap = found.get(at + 4096..at + 8192).unwrap_or_default();
        assert!(gap.iter().all(|byte| *byte == 0), "gap {n}");
    }
    let hole = volume.file("\\hole").unwrap();
    assert_eq!(hole.whole(&file, 1 << 30).unwrap(), vec![0; 3_000_000]);
}

/// Whatever the bytes are: an answer or an error, soon, and no panic.
#[test]
fn hostile_volumes() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for file_system in [FileSystem::Fat32, FileSystem::Ntfs] {
        let image = image(file_system);
        let file = image.file();
        let length = file.metadata().unwrap().len();
        let sound = read(&file);
        // Where structures are: everything before the first file's data.
        let end = image.offset_of("\\SLAMBOOT.BIN");
        for _ in 0..400 {
            let mut undo = Vec::new();
            for _ in 0..random.usize(1..12) {
                // Mostly where it hurts: the boot sector, the first records, the table's start.
                let at = match random.u8(..4) {
                    0 => START + random.u64(..512),
                    1 => START + 0x4000 + random.u64(..0x1_0000),
                    _ => START + random.u64(..end - START),
                };
                let mut old = [0];
                file.read_exact_at(&mut old, at).unwrap();
                let new = match random.u8(..4) {
                    0 => 0xFF,
                    1 => 0,
                    _ => random.u8(..),
                };
                file.write_all_at(&[new], at).unwrap();
                undo.push((at, old));
            }
            if let Ok(volume) = Volume::read(&file, START, length - START) {
                for node in volume.nodes.iter().take(20) {
                    if let Content::File(bytes) = &node.content {
                        let _ = bytes.whole(&file, 1 << 20);
                    }
                }
            }
            for (at, old) in undo.into_iter().rev() {
                file.write_all_at(&old, at).unwrap();
            }
        }
        assert_eq!(read(&file).nodes, sound.nodes);
    }
    // No volume at all, or the start of one.
    let image = image(FileSystem::Ntfs);
    let file = image.file();
    for bytes in [0, 512, 4096, 1 << 20] {
        Volume::read(&file, START, bytes).unwrap_err();
    }
    Volume::read(&file, 0, 1 << 20).unwrap_err();
}
