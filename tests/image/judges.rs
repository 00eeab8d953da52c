// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tools of other authors look at our disks.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use slamboot::image::{ByteSize, DiskSize, demo};

use crate::judge::has_tool;
use crate::support::{Image, demo_with, fat_plan, rich_tree, run};

fn at_least(text: &str) -> DiskSize {
    DiskSize::AtLeast(text.parse::<ByteSize>().unwrap())
}

fn fsck(name: &str, image: &Image) {
    if has_tool(name, "fsck.vfat") {
        let text = run(Command::new("fsck.vfat").arg("-nv").arg(image.volume()));
        // It exits 0 for some complaints; these are all the lines that it has for a clean one.
        let clean = |line: &str| {
            [
                "fsck.fat ",
                "Checking ",
                "Boot sector contents:",
                "System ID",
                "Media byte",
                "First FAT starts",
                "Root directory start",
                "Data area starts",
                "63 sectors/track",
            ]
            .iter()
            .any(|start| line.starts_with(start))
                || [
                    "per logical sector",
                    "per cluster",
                    "reserved sector",
                    "FATs, 32 bit entries",
                    "per FAT",
                    "data clusters",
                    "2048 hidden sectors",
                    "sectors total",
                    " files, ",
                ]
                .iter()
                .any(|part| line.contains(part))
        };
        for line in text.lines() {
            assert!(clean(line.trim()), "fsck.vfat says {line:?} in\n{text}");
        }
    }
}

fn sfdisk(name: &str, image: &Image) {
    if !has_tool(name, "sfdisk") {
        return;
    }
    let text = run(Command::new("sfdisk").arg("-V").arg(image.path()));
    assert!(text.contains("No errors detected"), "{text}");
    let text = run(Command::new("sfdisk").arg("--dump").arg(image.path()));
    let facts = &image.plan().facts;
    let words: Vec<&str> = text.split_whitespace().collect();
    let words = words.join(" ");
    assert!(
        words.contains(&format!(
            "start= 2048, size= {}, type=c, bootable",
            facts.sectors.0 - 2048
        )),
        "{text}"
    );
    let signature = format!("label-id: 0x{:08x}", facts.identity.signature);
    assert!(text.contains(&signature), "{text}");
    assert_eq!(text.matches("type=").count(), 1);
    assert_eq!(facts.sectors.0 % (255 * 63), 0);
}

/// mtools reads every file back.
fn mtools(name: &str, image: &Image) {
    if !has_tool(name, "mcopy") {
        return;
    }
    let mtools = |tool: &str| {
        let mut command = Command::new(tool);
        // A German character set would be as good; mtools must only know how names are written.
        command
            .env("LC_ALL", "C.UTF-8")
            .env("MTOOLS_SKIP_CHECK", "0");
        command
            .arg("-i")
            .arg(format!("{}@@1M", image.path().display()));
        command
    };
    let listed = run(mtools("mdir").args(["-a", "-/", "-b", "::/"]));
    let names = listed.lines().filter(|line| !line.ends_with('/')).count();
    assert_eq!(names, image.plan().files.len(), "{listed}");
    let out = image.folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    run(mtools("mcopy").args(["-s", "-n", "-b", "::/*"]).arg(&out));
    for file in &image.plan().files {
        let path = file.path.to_string().replace('\\', "/");
        // mtools takes UTF-16 for UCS-2: it lists such a name, but spells it wrong.
        if path.chars().any(|c| c > '\u{FFFF}') {
            continue;
        }
        let found = find_without_case(&out, path.trim_start_matches('/'));
        let bytes = std::fs::read(&found).unwrap();
        assert_eq!(bytes.len() as u64, file.data.bytes(), "{path}");
        let mut expected = vec![0; bytes.len()];
        file.data.read_at(0, &mut expected).unwrap();
        assert!(bytes == expected, "{path} differs");
    }
}

/// Directories have the spelling of the first path that named them.
fn find_without_case(root: &Path, path: &str) -> std::path::PathBuf {
    path.split('/').fold(root.to_owned(), |at, name| {
        let folded = name.to_uppercase();
        std::fs::read_dir(&at)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| {
                let found = path.file_name().unwrap_or_default().to_string_lossy();
                found.to_uppercase() == folded
            })
            .unwrap_or_else(|| panic!("no {name} in {}", at.display()))
    })
}

fn all(name: &str, image: &Image) {
    fsck(name, image);
    sfdisk(name, image);
    mtools(name, image);
}

#[test]
fn the_smallest_demo() {
    let image = Image::demo();
    all("the_smallest_demo", &image);
    let hidden = image.plan();
    assert!(hidden.files[0].attributes.hidden && hidden.files[0].attributes.system);
    if has_tool("the_smallest_demo", "mattrib") {
        let text = run(Command::new("mattrib")
            .arg("-i")
            .arg(format!("{}@@1M", image.path().display()))
            .arg("::/SLAMBOOT.BIN"));
        assert!(text.contains("SH"), "{text}");
    }
}

#[test]
fn a_full_volume() {
    let image = Image::of(&demo::spec(at_least("60MiB"), Some("judges")));
    all("a_full_volume", &image);
    // Every cluster has an owner.
    let plan = image.plan();
    assert_eq!(
        fat_plan(plan).table.used(),
        fat_plan(plan).geometry.clusters() + 2
    );
}

#[test]
fn a_rich_tree() {
    let image = Image::of(&demo_with(DiskSize::Smallest, rich_tree()));
    all("a_rich_tree", &image);
}

#[test]
fn larger_clusters() {
    for (size, cluster) in [("100MiB", 1024), ("200MiB", 2048), ("300MiB", 4096)] {
        let image = Image::of(&demo_with(at_least(size), rich_tree()));
        assert_eq!(image.plan().volume.cluster_bytes(), cluster, "{size}");
        all("larger_clusters", &image);
    }
}

#[test]
fn beyond_two_gibibytes() {
    let image = Image::of(&demo::spec(at_least("2.5GiB"), None));
    assert!(image.plan().facts.sectors.bytes() > 5 << 29);
    all("beyond_two_gibibytes", &image);
    // Sparse: what is zero takes no room.
    let metadata = std::fs::metadata(image.path()).unwrap();
    assert!(metadata.blocks() * 512 < 8 << 20, "{}", metadata.blocks());
}
