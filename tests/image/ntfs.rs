// SPDX-License-Identifier: MIT OR Apache-2.0
//! NTFS volumes: other authors' tools judge them, the verification finds damage, and what cannot
//! be is refused. Every image that is built here was also read back by the crate `ntfs`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use slamboot::image::ntfs::{NtfsError, UpCase};
use slamboot::image::plan::draft;
use slamboot::image::verify::{Structure, verify};
use slamboot::image::{
    ByteSize, DiskSize, FileSpec, FileSystem, ImageError, ImageSpec, PlanError, SourceSpec,
    VerifyError, VolumePlan, demo, source,
};

use crate::judge::{has_tool, skip};
use crate::support::{Image, demo_with, file, flip, go_on, rich_tree, run};

fn spec(size: DiskSize, files: Vec<FileSpec>) -> ImageSpec {
    ImageSpec {
        file_system: FileSystem::Ntfs,
        // So that the boot sector's copy lies where Windows looks for it.
        self_check: false,
        ..demo_with(size, files)
    }
}

fn bytes(path: &str, length: usize) -> FileSpec {
    let content = path.bytes().cycle().take(length).collect();
    file(path, SourceSpec::Bytes(content))
}

/// Is every tool of ntfs-3g there? They come in one package.
fn judges(name: &str) -> bool {
    has_tool(name, "ntfsinfo")
}

/// All judges that need no mount.
fn judge(name: &str, image: &Image) -> PathBuf {
    let volume = image.volume();
    if !judges(name) {
        return volume;
    }
    judge_volume(&volume);
    let listed = run(Command::new("ntfsls").args(["-R", "-f"]).arg(&volume));
    let names = listed
        .lines()
        .filter(|line| !line.is_empty() && !line.ends_with(':'));
    assert!(names.count() >= image.plan().files.len(), "{listed}");
    for file in &image.plan().files {
        let path = file.path.to_string().replace('\\', "/");
        // It minds the case, and directories keep their first spelling.
        let path = path.replace("/boot/", "/Boot/");
        let output = Command::new("ntfscat")
            .env("LC_ALL", "C.UTF-8")
            .args(["-f".as_ref(), volume.as_os_str(), path.as_ref()])
            .output()
            .unwrap();
        assert!(output.status.success(), "ntfscat {path}: {output:?}");
        let mut expected = vec![0; file.data.bytes() as usize];
        file.data.read_at(0, &mut expected).unwrap();
        assert!(output.stdout == expected, "ntfscat {path} differs");
    }
    if has_tool(name, "7z") {
        let text = run(Command::new("7z").arg("t").arg(&volume));
        assert!(text.contains("Everything is Ok"), "{text}");
        assert!(!text.contains("WARNING"), "{text}");
    }
    volume
}

/// ntfs-3g finds nothing to repair, and every cluster where it belongs.
fn judge_volume(volume: &Path) {
    let text = run(Command::new("ntfsinfo").arg("-m").arg(volume));
    for part in [
        "Volume Version: 3.1",
        "Volume Flags: 0x0000",
        "FILE_MFTMirr Size: 4",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let text = run(Command::new("ntfsfix").arg("-n").arg(volume));
    for part in [
        "Processing of $MFT and $MFTMirr completed successfully.",
        "Checking the alternate boot sector... OK",
        "was processed successfully.",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    // Compares the runs of every record with $Bitmap before it answers.
    let output = Command::new("ntfsresize")
        .args(["-i", "-f", "-P"])
        .arg(volume)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let answers = ["You might resize at", "Volume is full"];
    assert!(answers.iter().any(|answer| text.contains(answer)), "{text}");
    for record in [0, 3, 5, 9, 11, 24, 25, 26] {
        let text = run(Command::new("ntfsinfo")
            .args(["-v", "-f", "-i", &record.to_string()])
            .arg(volume));
        assert!(text.contains("End of inode reached"), "{text}");
        assert!(!text.contains("ERROR"), "{text}");
    }
}

/// Many files, deep directories, long names, and lengths around what a record holds.
fn large_tree() -> Vec<FileSpec> {
    let mut files: Vec<FileSpec> = (0..5000)
        .map(|n| bytes(&format!("\\many\\number {n} of many files.dat"), n % 40))
        .collect();
    let deep: Vec<String> = (0..60).map(|n| format!("\\level {n}")).collect();
    let deep = deep.concat();
    files.push(bytes(&format!("{deep}\\at the bottom"), 12_345));
    let long = "ü".repeat(255);
    // Of that name no short one fits into the record beside it.
    files.extend((0..300).map(|n| bytes(&format!("\\{long}\\{n:0>250}"), 1)));
    files.extend((690..760).map(|n| bytes(&format!("\\EDGE\\{n}"), n)));
    files.extend([4095, 4096, 4097].map(|n| bytes(&format!("\\EDGE\\{n}"), n)));
    files
}

#[test]
fn the_smallest_ntfs() {
    let image = Image::of(&spec(DiskSize::Smallest, Vec::new()));
    assert_eq!(image.plan().facts.sectors.0, 16_065);
    judge("the_smallest_ntfs", &image);
}

#[test]
fn a_rich_tree_on_ntfs() {
    let image = Image::of(&spec(DiskSize::Smallest, rich_tree()));
    let volume = judge("a_rich_tree_on_ntfs", &image);
    if !judges("a_rich_tree_on_ntfs") {
        return;
    }
    // The tables that every NTFS 3.1 volume of Windows 7 and later has alike.
    let other = image.folder.path().join("other.img");
    File::create(&other).unwrap().set_len(10 << 20).unwrap();
    run(Command::new("mkntfs").args(["-F", "-Q", "-q"]).arg(&other));
    let stream = |volume: &Path, arguments: &[&str]| {
        let output = Command::new("ntfscat")
            .arg("-f")
            .args(arguments)
            .arg(volume)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    for arguments in [
        &["-i", "4"][..],
        &["-i", "10"],
        &["-i", "10", "-n", "$Info"],
    ] {
        let (ours, theirs) = (stream(&volume, arguments), stream(&other, arguments));
        assert!(ours == theirs, "ntfscat {arguments:?} differs");
    }
    assert!(stream(&other, &["-i", "10"]) == UpCase::default().bytes());
}

#[test]
fn thousands_of_files_on_ntfs() {
    let name = "thousands_of_files_on_ntfs";
    let image = Image::of(&spec(DiskSize::Smallest, large_tree()));
    let volume = image.volume();
    if !judges(name) {
        return;
    }
    judge_volume(&volume);
    mounted(name, &image, &volume);
}

/// A driver that writes: it reads everything, adds, removes, and leaves a sound volume.
fn mounted(name: &str, image: &Image, volume: &Path) {
    if !has_tool(name, "ntfs-3g") || !Path::new("/dev/fuse").exists() {
        return skip(name, "no ntfs-3g or no /dev/fuse to mount with");
    }
    let at = image.folder.path().join("mounted");
    std::fs::create_dir(&at).unwrap();
    let mount = Command::new("ntfs-3g")
        .arg(volume)
        .arg(&at)
        .output()
        .unwrap();
    if !mount.status.success() {
        let text = String::from_utf8_lossy(&mount.stderr).into_owned();
        return skip(name, &format!("cannot mount: {text}"));
    }
    let worked = std::panic::catch_unwind(|| {
        for file in &image.plan().files {
            let path = file.path.to_string().replace('\\', "/");
            let found = std::fs::read(at.join(path.trim_start_matches('/'))).unwrap();
            let mut expected = vec![0; file.data.bytes() as usize];
            file.data.read_at(0, &mut expected).unwrap();
            assert!(found == expected, "{path} differs");
        }
        std::fs::write(at.join("many/added later.txt"), vec![7; 100_000]).unwrap();
        std::fs::remove_file(at.join("many/number 2500 of many files.dat")).unwrap();
        std::fs::create_dir(at.join("new")).unwrap();
    });
    run(Command::new("umount").arg(&at));
    worked.unwrap();
    judge_volume(volume);
}

#[test]
fn a_file_beyond_four_gibibytes() {
    let name = "a_file_beyond_four_gibibytes";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    let large = File::create(&path).unwrap();
    let length = (4 << 30) + 4097;
    large.set_len(length).unwrap();
    large.write_all_at(b"the end", length - 7).unwrap();
    let files = vec![file("\\winpe.wim", SourceSpec::File(path))];
    let image = Image::of(&spec(DiskSize::Smallest, files));
    let volume = image.volume();
    if judges(name) {
        judge_volume(&volume);
        let text = run(Command::new("ntfsinfo")
            .args(["-f", "-F", "/winpe.wim"])
            .arg(&volume));
        assert!(text.contains("Data size:\t\t 4294971393"), "{text}");
    }
    // Sparse: what is zero takes no room.
    let blocks = std::fs::metadata(image.path()).unwrap().blocks();
    assert!(blocks * 512 < 16 << 20, "{blocks}");
}

#[test]
fn a_full_ntfs() {
    let size = DiskSize::AtLeast("60MiB".parse().unwrap());
    let mut spec = demo::spec(size, Some("judges"));
    spec.file_system = FileSystem::Ntfs;
    spec.self_check = false;
    let image = Image::of(&spec);
    judge("a_full_ntfs", &image);
    let VolumePlan::Ntfs(volume) = &image.plan().volume else {
        panic!("not an NTFS")
    };
    assert_eq!(volume.used(), volume.geometry.clusters());
}

#[test]
fn the_same_inputs_give_the_same_ntfs() {
    let digest = || {
        Image::of(&spec(DiskSize::Smallest, rich_tree()))
            .built
            .crc32
    };
    assert_eq!(digest(), digest());
}

#[test]
fn two_tebibytes() {
    let size = ByteSize::new((2 << 40) - (16 << 20)).unwrap();
    let spec = spec(DiskSize::AtLeast(size), rich_tree());
    // Planned only: reading all of it back takes its time.
    let draft = draft(&spec, source::open(&spec.files).unwrap()).unwrap();
    let plan = draft.complete(&vec![Some(0); spec.files.len()]);
    let last = plan.extents.last().unwrap();
    assert_eq!(last.run.start.0 + 1, plan.facts.sectors.0);
    assert_eq!(last.what, "boot sector");
}

#[test]
fn what_ntfs_refuses() {
    let planned = |files: Vec<FileSpec>| {
        let spec = spec(DiskSize::Smallest, files);
        let planned = draft(&spec, source::open(&spec.files).unwrap());
        planned.map(|_| "a plan").unwrap_err()
    };
    let error = planned(vec![bytes("\\a", 1), bytes("\\A", 1)]);
    assert!(matches!(
        error,
        PlanError::Ntfs(NtfsError::Duplicate { .. })
    ));
    let error = planned(vec![bytes("\\a", 1), bytes("\\A\\b", 1)]);
    assert!(matches!(
        error,
        PlanError::Ntfs(NtfsError::Duplicate { .. })
    ));
    let error = planned(vec![bytes("\\$mft", 1)]);
    assert!(matches!(error, PlanError::Ntfs(NtfsError::Reserved { .. })));
    assert_eq!(
        error.to_string(),
        "\\$mft: the name is NTFS's own; choose another"
    );
    let fill = |name: &str| file(name, SourceSpec::Fill { seed: "a".into() });
    let error = planned(vec![fill("\\a"), fill("\\b")]);
    assert!(matches!(
        error,
        PlanError::Ntfs(NtfsError::SecondRest { .. })
    ));
    let long = "n".repeat(255);
    // The longest name and a large index: all that a record can be asked to describe.
    let crowd = (0..6000).map(|n| bytes(&format!("\\{long}\\a rather long name {n}"), 0));
    // Elsewhere the system's names are anybody's.
    let files = crowd.chain([bytes("\\x\\$MFT", 1)]).collect();
    Image::of(&spec(DiskSize::Smallest, files));

    let small = DiskSize::AtLeast("1MiB".parse().unwrap());
    let Err(ImageError::Plan(PlanError::TooSmall { minimum, .. })) =
        Image::try_of(&spec(small, vec![bytes("\\b", 20 << 20)])).map(|image| image.built.plan)
    else {
        panic!("20 MiB in 8");
    };
    Image::of(&spec(
        DiskSize::AtLeast(minimum),
        vec![bytes("\\b", 20 << 20)],
    ));
}

#[test]
fn each_structure_of_ntfs_is_blamed_for_its_own_damage() {
    let files = vec![
        bytes("\\A long directory\\A long name.data", 70_000),
        bytes("\\SMALL", 100),
    ];
    let mut spec = spec(DiskSize::Smallest, files);
    spec.self_check = true;
    let image = Image::of(&spec);
    let file = image.file();
    let plan = image.plan();
    let VolumePlan::Ntfs(ntfs) = &plan.volume else {
        panic!("not an NTFS")
    };
    let volume = 2048 * 512;
    let area = |what: &str| {
        let area = ntfs.areas.iter().find(|area| area.what == what).unwrap();
        volume + area.offset
    };
    let check = || verify(plan, &file, image.built.crc32, &mut go_on);
    check().unwrap();
    let data = image.offset_of("\\A long directory\\A long name.data");
    let backup = volume + u64::from(ntfs.geometry.backup()) * 512;
    let mft = area("$MFT");
    // Values of $Secure's indexes: after each one's name, padded to eight bytes.
    let mut secure = [0; 1024];
    file.read_exact_at(&mut secure, mft + 9 * 1024).unwrap();
    let root = |name: &str| {
        let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let at = secure.windows(8).rposition(|part| part == units).unwrap() as u64;
        mft + 9 * 1024 + at + 8
    };
    for (offset, expected) in [
        (volume, Structure::BootSector),
        (volume + 0x1C, Structure::BootSector),
        (volume + 0x28, Structure::BootSector),
        (volume + 0x30, Structure::BackupBootSector), // another cluster, in one copy only
        (volume + 0x48, Structure::BootSector),
        (volume + 0x60, Structure::BootSector),
        (volume + 600, Structure::BootSector),
        (backup, Structure::BackupBootSector),
        (backup + 0x1FE, Structure::BackupBootSector),
        (mft, Structure::Mft),                          // magic
        (mft + 5 * 1024 + 0x10, Structure::Mft),        // sequence
        (mft + 5 * 1024 + 0x1FE, Structure::Mft),       // end of a sector
        (mft + 27 * 1024 + 0x12, Structure::Mft),       // links
        (root("$SDH") + 0x30, Structure::Security),     // the first key's hash
        (root("$SDH") + 0x40, Structure::Security),     // where it leads
        (root("$SII") + 0x04, Structure::Security),     // its order
        (root("$SII") + 0x58, Structure::Security),     // the second key
        (mft + 27 * 1024 + 0x16, Structure::Disk),      // a flag that nobody knows
        (mft + 3 * 1024 + 0x300, Structure::MftMirror), // past what is used
        (area("$MFTMirr") + 0x100, Structure::MftMirror),
        (area("bitmap of the MFT"), Structure::MftBitmap),
        (area("$Bitmap"), Structure::ClusterBitmap),
        (
            area("$Bitmap") + ntfs.geometry.bitmap_bytes() - 1,
            Structure::ClusterBitmap,
        ),
        (area("$LogFile") + 70_000, Structure::LogFile),
        (area("$Secure"), Structure::Security),
        (area("$Secure") + 0x4_0000 + 24, Structure::Security),
        (area("$AttrDef"), Structure::Disk),
        (area("directory") + 0x1FE, Structure::Directory),
        (area("directory") + 0x40, Structure::Directory), // what an entry refers to
        (
            data + 69_999,
            Structure::File("\\A long directory\\A long name.data".into()),
        ),
        (data + 70_000, Structure::Disk), // slack
    ] {
        flip(&file, offset);
        let result = check();
        flip(&file, offset);
        match result {
            Err(
                VerifyError::Mismatch { structure, .. } | VerifyError::Volume { structure, .. },
            ) => assert_eq!(structure, expected, "byte {offset:#x}"),
            other => panic!("byte {offset:#x}: {other:?}"),
        }
    }
    check().unwrap();
}

/// Whatever byte of the volume's structures is damaged, an error comes of it, not a panic.
#[test]
fn damage_anywhere_on_ntfs() {
    let mut spec = spec(DiskSize::Smallest, vec![bytes("\\d\\f", 5000)]);
    spec.self_check = true;
    let image = Image::of(&spec);
    let file = image.file();
    let VolumePlan::Ntfs(ntfs) = &image.plan().volume else {
        panic!("not an NTFS")
    };
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let areas: Vec<_> = ntfs
        .areas
        .iter()
        .filter(|area| !matches!(area.what, "$LogFile" | "$UpCase"))
        .collect();
    for _ in 0..200 {
        let area = areas[random.usize(..areas.len())];
        let offset = 2048 * 512 + area.offset + random.u64(..area.bytes);
        flip(&file, offset);
        let result = verify(image.plan(), &file, image.built.crc32, &mut go_on);
        flip(&file, offset);
        assert!(
            result.is_err(),
            "{}, byte {offset:#x}, seed {seed}",
            area.what
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_tree_on_ntfs(
        names in proptest::collection::vec(
            (proptest::collection::vec("[a-zA-Zäß世🌍 ~.+]{0,40}[a-z0-9]", 1..5), 0usize..9000),
            1..200,
        )
    ) {
        let mut seen = std::collections::HashSet::new();
        let files = names
            .iter()
            .enumerate()
            .map(|(n, (names, length))| {
                let (last, parents) = names.split_last().unwrap();
                let parents: Vec<String> = parents.iter().map(|name| format!("{name}.d\\")).collect();
                let parents = parents.concat();
                bytes(&format!("\\{parents}{last}{n}"), *length)
            })
            .filter(|file| seen.insert(file.path.folded()))
            .collect();
        let image = Image::of(&spec(DiskSize::Smallest, files));
        if judges("any_tree_on_ntfs") {
            judge_volume(&image.volume());
        }
    }
}
