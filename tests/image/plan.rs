// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plan alone: whatever is asked, nothing overlaps and everything has its place.

use proptest::prelude::*;
use slamboot::image::fat::{FatContent, FatError, FatFile, FileLength, MAX_FILE};
use slamboot::image::geometry::CYLINDER;
use slamboot::image::plan::{Content, draft};
use slamboot::image::{
    Attributes, ByteSize, DiskPlan, DiskSize, FileSpec, ImageSpec, PlanError, SourceSpec, demo,
    source,
};

use crate::support::{Image, demo_with, fat_plan, file};

fn planned(spec: &ImageSpec) -> Result<DiskPlan, PlanError> {
    let draft = draft(spec, source::open(&spec.files).unwrap())?;
    let checksum = |file: &FileSpec| match &file.source {
        SourceSpec::Bytes(bytes) => Some(crc32fast::hash(bytes)),
        _ => None,
    };
    let checksums: Vec<_> = spec.files.iter().map(checksum).collect();
    Ok(draft.complete(&checksums))
}

fn file_sets() -> impl Strategy<Value = Vec<FileSpec>> {
    let path = proptest::collection::vec("[a-zA-Z0-9 ._~ü-]{0,20}[a-z0-9]", 1..4);
    let length = prop_oneof![Just(0usize), 1usize..2000, 1usize..300_000];
    proptest::collection::vec((path, length, any::<u8>()), 0..40).prop_map(|files| {
        let mut seen = std::collections::HashSet::new();
        files
            .into_iter()
            .enumerate()
            // A number makes each path a new one and no file's name a directory's.
            .map(|(n, (names, length, byte))| {
                let last = names.len() - 1;
                let names: Vec<String> = names
                    .iter()
                    .enumerate()
                    .map(|(at, name)| {
                        if at == last {
                            format!("{name}{n}.f")
                        } else {
                            format!("{name}.d")
                        }
                    })
                    .collect();
                (names.join("\\"), length, byte)
            })
            .filter(|(path, ..)| seen.insert(path.to_uppercase()))
            .map(|(path, length, byte)| file(&path, SourceSpec::Bytes(vec![byte; length])))
            .collect()
    })
}

fn sizes() -> impl Strategy<Value = DiskSize> {
    prop_oneof![
        Just(DiskSize::Smallest),
        (50u64 << 20..100 << 30).prop_map(|bytes| DiskSize::AtLeast(ByteSize::new(bytes).unwrap())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everything_has_a_place_of_its_own(files in file_sets(), size in sizes(), fill: bool) {
        let mut spec = demo_with(size, files);
        if fill && !matches!(size, DiskSize::AtLeast(size) if size.bytes() > 4 << 30) {
            spec.files.push(file("\\FILL", SourceSpec::Fill { seed: "a".into() }));
        }
        let plan = planned(&spec).unwrap();
        let disk = plan.facts.sectors.0;
        prop_assert_eq!(disk % CYLINDER, 0);
        if let DiskSize::AtLeast(size) = size {
            prop_assert!(plan.facts.sectors.bytes() >= size.bytes());
            prop_assert!(plan.facts.sectors.bytes() < size.bytes() + u64::from(CYLINDER) * 512);
        }
        let partition = plan.facts.partition;
        prop_assert_eq!(partition.start.0 + partition.sectors.0, disk);
        prop_assert_ne!(plan.facts.identity.signature, 0);

        let mut end = 0;
        let volume_end = partition.start.0 + fat_plan(&plan).geometry.sectors().0;
        for extent in &plan.extents {
            prop_assert!(extent.run.start.0 >= end, "{} overlaps", extent.what);
            prop_assert!(extent.run.sectors.0 > 0);
            end = extent.run.start.0 + extent.run.sectors.0;
            prop_assert!(end <= volume_end, "{} leaves the volume", extent.what);
            if let Content::Bytes(bytes) = &extent.content {
                prop_assert_eq!((bytes.len() as u64).div_ceil(512), u64::from(extent.run.sectors.0));
            }
        }
        // The last sector is the balance's.
        prop_assert!(volume_end < disk);

        // Each file's chain in the table goes where the file lies.
        prop_assert_eq!(plan.files.len(), spec.files.len());
        for planned in &plan.files {
            let Some(run) = planned.run else {
                prop_assert_eq!(planned.data.bytes(), 0);
                continue;
            };
            prop_assert_eq!(u64::from(run.sectors.0), planned.data.bytes().div_ceil(512));
            let data = partition.start.0 + fat_plan(&plan).geometry.cluster_sector(2);
            let first = (run.start.0 - data) / fat_plan(&plan).geometry.cluster_sectors() + 2;
            let count = planned.data.bytes().div_ceil(fat_plan(&plan).geometry.cluster_bytes()) as u32;
            for cluster in [first, first + count / 2, first + count - 1] {
                let mut entry = [0; 4];
                fat_plan(&plan).table.read_at(u64::from(cluster) * 4, &mut entry);
                let last = cluster == first + count - 1;
                let expected = if last { 0x0FFF_FFFF } else { cluster + 1 };
                prop_assert_eq!(u32::from_le_bytes(entry), expected);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Building ends with the verification, so a build that succeeds has been read back.
    #[test]
    fn any_file_set_can_be_built_and_read_back(files in file_sets()) {
        Image::of(&demo_with(DiskSize::Smallest, files));
    }
}

#[test]
fn the_smallest_is_smallest() {
    let spec = demo::spec(DiskSize::Smallest, None);
    let smallest = planned(&spec).unwrap().facts.sectors.bytes();
    let one_less = ByteSize::new(smallest - u64::from(CYLINDER) * 512).unwrap();
    let error = planned(&demo::spec(DiskSize::AtLeast(one_less), None)).unwrap_err();
    assert_eq!(
        error,
        PlanError::TooSmall {
            found: one_less,
            minimum: ByteSize::new(smallest).unwrap()
        }
    );
    // What the error advises is enough.
    let minimum = ByteSize::new(smallest).unwrap();
    planned(&demo::spec(DiskSize::AtLeast(minimum), None)).unwrap();
}

#[test]
fn the_smallest_around_content_of_any_size() {
    for mib in [1, 20, 33, 34, 35, 60, 200] {
        let bytes = SourceSpec::Bytes(vec![1; mib << 20]);
        let spec = demo_with(DiskSize::Smallest, vec![file("\\content", bytes)]);
        let disk = planned(&spec).unwrap().facts.sectors.bytes();
        // Tables and rounding take less than two cylinders besides the least legal volume.
        let least = ((mib as u64) << 20).max(33 << 20);
        assert!(disk < least + (18 << 20), "{mib} MiB need {disk}");
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes_and_others_do_not() {
    let digest = |size: &str, seed: Option<&str>| {
        let size = DiskSize::AtLeast(size.parse().unwrap());
        Image::of(&demo::spec(size, seed)).built.crc32
    };
    let first = digest("40MiB", Some("a"));
    assert_eq!(first, digest("40MiB", Some("a")));
    for other in [
        digest("40MiB", Some("b")),
        digest("40MiB", None),
        digest("50MiB", Some("a")),
    ] {
        assert_ne!(first, other);
    }
    let identity = |byte| {
        let bytes = SourceSpec::Bytes(vec![byte]);
        let spec = demo_with(DiskSize::Smallest, vec![file("\\x", bytes)]);
        planned(&spec).unwrap().facts.identity
    };
    assert_ne!(identity(1).signature, identity(2).signature);
    assert_ne!(identity(1).volume_id, identity(2).volume_id);
}

#[test]
fn the_balance_gives_the_planned_crc() {
    let image = Image::demo();
    let bytes = std::fs::read(image.path()).unwrap();
    let expected = image.plan().facts.identity.crc32;
    assert_eq!(crc32fast::hash(&bytes), expected);
    assert_eq!(image.built.crc32, expected);
    // It stands alone at the end, outside the volume.
    let tail = &bytes[bytes.len() - 512..];
    assert!(tail[..508].iter().all(|byte| *byte == 0));
    assert!(tail[508..].iter().any(|byte| *byte != 0));
}

#[test]
fn limits_of_fat() {
    let content = |bytes| {
        FatContent::new(
            vec![FatFile {
                path: "\\winpe.wim".parse().unwrap(),
                attributes: Attributes::default(),
                bytes: FileLength::Bytes(bytes),
            }],
            &[],
        )
    };
    assert!(content(MAX_FILE).is_ok());
    assert!(matches!(
        content(MAX_FILE + 1),
        Err(FatError::FileTooLarge { found, .. }) if found == 1 << 32
    ));
    let fill = |name: &str| file(name, SourceSpec::Fill { seed: "a".into() });
    let spec = demo_with(DiskSize::Smallest, vec![fill("\\a"), fill("\\b")]);
    assert!(matches!(
        planned(&spec),
        Err(PlanError::Fat(FatError::SecondRest { .. }))
    ));
    let twice = vec![
        file("\\a", SourceSpec::Bytes(vec![])),
        file("\\A", SourceSpec::Bytes(vec![])),
    ];
    assert!(matches!(
        planned(&demo_with(DiskSize::Smallest, twice)),
        Err(PlanError::Fat(FatError::Duplicate { .. }))
    ));
}

#[test]
fn boot_files_that_cannot_be_loaded() {
    let boot = |length: usize| {
        let mut spec = demo::spec(DiskSize::Smallest, None);
        spec.files = vec![file("\\bootmgr", SourceSpec::Bytes(vec![1; length]))];
        spec.boot = "\\BOOTMGR".parse().unwrap();
        planned(&spec)
    };
    boot(1).unwrap();
    boot(480 << 10).unwrap();
    for length in [0, (480 << 10) + 1] {
        let error = boot(length).unwrap_err();
        assert!(matches!(error, PlanError::BootFile { .. }), "{error}");
    }
    let mut spec = demo::spec(DiskSize::Smallest, None);
    spec.boot = "\\bootmgr".parse().unwrap();
    assert!(matches!(planned(&spec), Err(PlanError::NoBootFile { .. })));
}
