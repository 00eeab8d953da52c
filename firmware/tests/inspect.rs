// SPDX-License-Identifier: MIT OR Apache-2.0
//! The inspector on real files: Debian's prebuilt iPXE, which has no SLAM, what
//! `cargo xtask firmware` left in `dist/`, and any bytes at all.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use firmware::inspect::{InspectError, Kind, ProtocolSupport, RomError, inspect, rom};
use firmware::manifest::{ArtefactKind, Manifest};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// Tells of a skipped test even where it passes: the test runner keeps what `println!` says.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

fn files_in(directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut files: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

/// Debian's packages `ipxe` and `ipxe-qemu`.
fn prebuilt() -> Vec<PathBuf> {
    let mut files = files_in("/usr/lib/ipxe");
    files.extend(files_in("/usr/lib/ipxe/qemu"));
    // A disk image that holds a file system that holds iPXE: no iPXE by itself.
    files.retain(|path| path.extension().is_some_and(|ending| ending != "iso"));
    files
}

fn dist() -> Option<(PathBuf, Manifest)> {
    let dist = std::env::var_os("SLAMBOOT_DIST").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist"),
        PathBuf::from,
    );
    let manifest = Manifest::read(&dist.join("manifest.json")).unwrap();
    (manifest.ipxe.is_some()).then_some((dist, manifest))
}

#[test]
fn prebuilt_images_hold_no_slam() {
    let files = prebuilt();
    if files.is_empty() {
        skipped("no prebuilt iPXE in /usr/lib/ipxe (apt-get install ipxe ipxe-qemu)");
        return;
    }
    for path in files {
        let report = inspect(&std::fs::read(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(report.slam, ProtocolSupport::Absent, "{}", path.display());
        assert!(!report.membership, "{}", path.display());
        for expected in ["http", "tftp"] {
            let found = report.protocols.iter().any(|protocol| protocol == expected);
            assert!(found, "{}: {:?}", path.display(), report.protocols);
        }
        for expected in ["DNS", "HTTP", "TFTP", "Menu"] {
            let found = report.features.iter().any(|feature| feature == expected);
            assert!(found, "{}: {:?}", path.display(), report.features);
        }
        assert_eq!(report.script, None, "{}", path.display());
    }
}

#[test]
fn a_prebuilt_rom_is_for_its_own_card_only() {
    let path = Path::new("/usr/lib/ipxe/qemu/pxe-e1000.rom");
    let Ok(file) = std::fs::read(path) else {
        skipped(&format!(
            "no {} (apt-get install ipxe-qemu)",
            path.display()
        ));
        return;
    };
    let images = rom::read(&file).unwrap();
    rom::check_ids(&file, &images, (0x8086, 0x100e)).unwrap();
    let error = rom::check_ids(&file, &images, (0x1af4, 0x1000)).unwrap_err();
    assert!(error.to_string().contains("8086:100e"), "{error}");

    let mut damaged = file.clone();
    damaged[0x200] ^= 1;
    let error = rom::read(&damaged).unwrap_err();
    assert!(matches!(error, RomError::Sum { offset: 0, .. }), "{error}");

    let mut longer = file.clone();
    longer.extend([0; 512]);
    let error = rom::read(&longer).unwrap_err();
    assert!(matches!(error, RomError::Chain { .. }), "{error}");

    let error = rom::read(&file[..file.len() - 512]).unwrap_err();
    assert!(matches!(error, RomError::Outside { .. }), "{error}");
}

#[test]
fn built_firmware_holds_what_the_manifest_says() {
    let Some((dist, manifest)) = dist() else {
        skipped("no iPXE source (cargo xtask firmware --source DIR makes dist/)");
        return;
    };
    assert!(manifest.multicast);
    let mut seen = 0;
    for artefact in &manifest.artefacts {
        let ArtefactKind::Firmware(kind) = artefact.kind else {
            continue;
        };
        let file = std::fs::read(dist.join(&artefact.path)).unwrap();
        assert_eq!(artefact.bytes, file.len() as u64, "{}", artefact.path);
        assert_eq!(artefact.sha256, hex::encode(Sha256::digest(&file)));
        assert_eq!(artefact.crc32, format!("{:08x}", crc32fast::hash(&file)));
        let report = inspect(&file).unwrap();
        assert_eq!(report.kind, kind, "{}", artefact.path);
        let registered = matches!(
            report.slam,
            ProtocolSupport::Registered {
                announced: true,
                ..
            }
        );
        assert!(
            registered && artefact.slam,
            "{}: {}",
            artefact.path,
            report.slam
        );
        assert_eq!(
            report.script.map(|script| script.sha256),
            manifest.script_digest,
            "{}",
            artefact.path
        );
        seen += 1;
    }
    assert!(seen > 0, "a manifest of a build without firmware");
}

#[test]
fn what_cannot_be_read_is_said() {
    assert_eq!(inspect(&[]), Err(InspectError::Empty));
    let error = inspect(b"not firmware at all").unwrap_err();
    assert!(
        matches!(
            error,
            InspectError::NoPayload {
                kind: Kind::BootProgram,
                ..
            }
        ),
        "{error}"
    );
    let error = inspect(&vec![0; (64 << 20) + 1]).unwrap_err();
    assert!(matches!(error, InspectError::TooLarge { .. }), "{error}");
    for start in [&b"MZ"[..], b"\x7fELF", &[0x55, 0xaa]] {
        assert!(inspect(start).is_err());
    }
}

/// Files to damage: small ones of each kind, real where the host has them.
fn samples() -> &'static [Vec<u8>] {
    static SAMPLES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let mut samples: Vec<Vec<u8>> = [
            "/usr/lib/ipxe/undionly.kpxe",
            "/usr/lib/ipxe/qemu/pxe-e1000.rom",
            "/usr/lib/ipxe/qemu/efi-e1000.rom",
            "/usr/lib/ipxe/snponly.efi",
            "/usr/lib/ipxe/ipxe.lkrn",
        ]
        .iter()
        .filter_map(|path| std::fs::read(path).ok())
        .collect();
        if let Ok(own) = std::env::current_exe().and_then(std::fs::read) {
            // Any ELF file does for the ELF reader.
            samples.push(own[..own.len().min(1 << 20)].to_vec());
        }
        samples.push(vec![0; 4096]);
        samples
    })
}

/// Makes the checksums of packed blocks right again, so that damage reaches the LZMA decoder.
fn reseal(file: &mut [u8]) {
    let mut offset = 0;
    while let Some(length) = file.get(offset..).and_then(<[u8]>::first_chunk::<4>) {
        let length = u32::from_le_bytes(*length) as usize;
        let end = offset.saturating_add(length);
        // Only blocks that look like real ones: sealing takes time.
        if (256..1 << 20).contains(&length) && file.len() >= end + 4 && file[offset + 4] == 0 {
            let crc = !crc32fast::hash(&file[offset + 4..end]);
            file[end..end + 4].copy_from_slice(&crc.to_le_bytes());
            offset = end.next_multiple_of(16);
        } else {
            offset += 16;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_a_panic(
        start in prop::sample::select(vec![
            &b""[..], b"MZ", b"\x7fELF", b"\x7fELF\x02\x01\x01", &[0x55, 0xaa, 1],
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..4096),
    ) {
        let _ = inspect(&[start, &rest].concat());
    }

    #[test]
    fn damaged_files_are_read_without_a_panic(
        sample in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        header in prop::collection::vec((0usize..512, any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        sealed in any::<bool>(),
    ) {
        let mut file = samples()[sample.index(samples().len())].clone();
        for (at, byte) in damage {
            let at = at.index(file.len());
            file[at] = byte;
        }
        for (at, byte) in header {
            file[at] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()).max(1));
        }
        if sealed {
            reseal(&mut file);
        }
        let _ = inspect(&file);
    }
}
