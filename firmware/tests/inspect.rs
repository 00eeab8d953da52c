// SPDX-License-Identifier: MIT OR Apache-2.0
//! The inspector on real files: Debian's prebuilt iPXE, which has no SLAM, what
//! `cargo xtask firmware` left in `dist/`, and any bytes at all.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use firmware::inspect::{
    EfiError, InspectError, Kind, Part, ProtocolSupport, RomError, inspect, rom,
};
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
        assert_eq!(
            report.program.slam,
            ProtocolSupport::Absent,
            "{}",
            path.display()
        );
        assert!(!report.program.membership, "{}", path.display());
        for expected in ["http", "tftp"] {
            let found = report
                .program
                .protocols
                .iter()
                .any(|protocol| protocol == expected);
            assert!(found, "{}: {:?}", path.display(), report.program.protocols);
        }
        for expected in ["DNS", "HTTP", "TFTP", "Menu"] {
            let found = report
                .program
                .features
                .iter()
                .any(|feature| feature == expected);
            assert!(found, "{}: {:?}", path.display(), report.program.features);
        }
        assert_eq!(report.program.script, None, "{}", path.display());
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
    rom::check_ids(&images, (0x8086, 0x100e)).unwrap();
    let error = rom::check_ids(&images, (0x1af4, 0x1000)).unwrap_err();
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

/// What a program of this kind is known to have, by the package's own build.
#[test]
fn prebuilt_images_tell_their_version_commands_and_cards() {
    let read = |name: &str| std::fs::read(Path::new("/usr/lib/ipxe").join(name)).ok();
    let Some(e1000) = read("qemu/pxe-e1000.rom") else {
        skipped("no prebuilt iPXE in /usr/lib/ipxe (apt-get install ipxe ipxe-qemu)");
        return;
    };
    let report = inspect(&e1000).unwrap();
    assert!(
        report.program.version.unwrap().starts_with("1."),
        "a 1.x release"
    );
    for command in ["dhcp", "chain", "imgfetch", "sanboot", "menu"] {
        assert!(
            report.program.commands.iter().any(|known| known == command),
            "{command}"
        );
    }
    assert!(
        report
            .program
            .commands
            .iter()
            .all(|command| command != "mcleave")
    );
    let drives = |vendor, device| {
        let id = |d: &firmware::inspect::Driver| (d.vendor, d.device) == (vendor, device);
        report.program.drivers.iter().any(id)
    };
    assert!(drives(0x8086, 0x100e) && !drives(0x1af4, 0x1000));
    let image = report.images.iter().find_map(|part| match part {
        Part::RomImage { image, .. } => Some(image),
        _ => None,
    });
    let image = image.unwrap();
    assert!(image.undi && image.build_id.is_some());
    assert!(
        image
            .pnp
            .as_ref()
            .is_some_and(|pnp| pnp.boots && pnp.product.starts_with("iPXE"))
    );

    // Drivers of the firmware: no card of its own.
    for name in ["undionly.kpxe", "snponly.efi"] {
        let report = inspect(&read(name).unwrap()).unwrap();
        assert_eq!(report.program.drivers, [], "{name}");
    }
    // BIOS and EFI in one ROM, and in one ISO.
    let both = inspect(&read("qemu/efi-e1000.rom").unwrap()).unwrap();
    assert_eq!(both.rom_images().count(), 2);
    let iso = inspect(&read("ipxe.iso").unwrap()).unwrap();
    assert_eq!(iso.kind, Kind::Iso);
    let files = iso.images.iter().filter_map(|part| match part {
        Part::File { path, report } => Some((path.as_str(), report.kind)),
        _ => None,
    });
    let mut files: Vec<_> = files.collect();
    files.sort_unstable_by_key(|(path, _)| *path);
    assert_eq!(files, [("/EFI.IMG", Kind::Disk), ("/IPXE.KRN", Kind::Lkrn)]);
}

/// Truncated, and one byte flipped: whatever a checksum covers is told.
#[test]
fn damage_is_told() {
    for (name, payload) in [
        ("undionly.kpxe", 0x6000),
        ("ipxe.lkrn", 0x20000),
        ("qemu/pxe-e1000.rom", 0x6000),
        ("qemu/efi-e1000.rom", 0x20000),
        ("rtl8139.rom", 0x100),
    ] {
        let Ok(file) = std::fs::read(Path::new("/usr/lib/ipxe").join(name)) else {
            skipped(&format!(
                "no /usr/lib/ipxe/{name} (apt-get install ipxe ipxe-qemu)"
            ));
            continue;
        };
        inspect(&file).unwrap();
        let mut flipped = file.clone();
        flipped[payload] ^= 0x10;
        let error = inspect(&flipped).expect_err(name);
        let told = match error {
            InspectError::Rom(RomError::Sum { .. }) => name.contains("rom"),
            InspectError::Damaged { .. } | InspectError::NoPayload { .. } => true,
            _ => false,
        };
        assert!(told, "{name}: {error}");
        for length in [file.len() / 2, file.len() - 1, 600, 3] {
            assert!(
                inspect(&file[..length]).is_err(),
                "{name} of {length} bytes"
            );
        }
    }
}

/// Debian's packed files, and ours where they were built.
fn packed_files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = ["undionly.kpxe", "ipxe.pxe", "ipxe.iso"]
        .iter()
        .map(|name| Path::new("/usr/lib/ipxe").join(name))
        .filter(|path| path.exists())
        .collect();
    if let Some((dist, manifest)) = dist() {
        let packed = |kind| {
            matches!(
                kind,
                ArtefactKind::Firmware(
                    Kind::BootProgram | Kind::Lkrn | Kind::Disk | Kind::Rom | Kind::Iso
                )
            )
        };
        let listed = manifest.artefacts.iter().filter(|a| packed(a.kind));
        files.extend(listed.map(|artefact| dist.join(&artefact.path)));
    }
    files
}

/// Each packed block by itself: the small ones that set up the machine are no part of the program that is read,
/// and a bit in one of them stops it from starting all the same.
#[test]
fn a_flipped_bit_in_any_block_is_told() {
    let files = packed_files();
    if files.is_empty() {
        skipped("no packed iPXE (apt-get install ipxe, or cargo xtask firmware)");
    }
    for path in files {
        let file = std::fs::read(&path).unwrap();
        let name = path.display();
        let Ok(report) = inspect(&file) else {
            panic!("{name}: not read as it is");
        };
        let blocks = blocks(&file);
        // UEFI's media, and EFI images beside others, have none.
        if blocks.is_empty() {
            assert_ne!(report.arch, "i386", "{name}: no block");
            continue;
        }
        assert!(blocks.len().is_multiple_of(4), "{name}: {blocks:x?}");
        for (at, end) in blocks {
            // Its length, the first and a middle byte of what is packed, and its checksum.
            for place in [
                at,
                at + 4,
                at + 5,
                usize::midpoint(at, end),
                end - 1,
                end + 3,
            ] {
                let mut flipped = file.clone();
                flipped[place] ^= 0x40;
                if file.starts_with(&[0x55, 0xaa]) {
                    // The ROM's own sum would tell, too.
                    flipped[6] = flipped[6].wrapping_sub(0x40);
                }
                assert!(
                    inspect(&flipped).is_err(),
                    "{name}: {place:#x}, in the block at {at:#x}"
                );
            }
        }
    }
}

/// Where each packed block begins, and where its checksum does.
fn blocks(file: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(length) = file.get(at..).and_then(<[u8]>::first_chunk::<4>) {
        let end = at.saturating_add(u32::from_le_bytes(*length) as usize);
        let crc = file.get(end..).and_then(<[u8]>::first_chunk::<4>);
        let packed = file
            .get(at + 4..end)
            .filter(|packed| packed.first() == Some(&0));
        let right = packed
            .zip(crc)
            .is_some_and(|(packed, crc)| !crc32fast::hash(packed) == u32::from_le_bytes(*crc));
        if right {
            found.push((at, end));
            at = end.next_multiple_of(16);
        } else {
            at += 16;
        }
    }
    found
}

/// UEFI's files and disks have no sums: their headers tell what is cut off. What nothing tells is left to a manifest.
#[test]
fn what_is_cut_off_is_told() {
    for (name, least) in [
        ("ipxe.efi", 0x400),
        ("snponly.efi", 0x400),
        ("ipxe.iso", 0x9000),
        ("ipxe.pxe", 0x400),
        ("undionly.kkpxe", 0x400),
    ] {
        let Ok(file) = std::fs::read(Path::new("/usr/lib/ipxe").join(name)) else {
            skipped(&format!("no /usr/lib/ipxe/{name} (apt-get install ipxe)"));
            continue;
        };
        inspect(&file).unwrap();
        // An ISO is padded by an eighth, and more.
        for length in [3, least, file.len() / 3, file.len() / 2, file.len() * 3 / 4] {
            assert!(
                inspect(&file[..length]).is_err(),
                "{name} of {length} bytes"
            );
        }
        if name.ends_with("efi") {
            let mut flipped = file.clone();
            flipped[0] ^= 0x10;
            assert!(inspect(&flipped).is_err(), "{name}: its first header");
        }
    }
}

/// A packed file of a few bytes that unpacks to gigabytes, as LZMA and EFI compression can.
#[test]
fn what_would_unpack_without_bound_is_refused() {
    // All zeroes under the range coder: one literal after the other, for ever.
    let mut lzma = vec![0; 4 << 20];
    let packed = lzma.len() as u32;
    let crc = !crc32fast::hash(&lzma);
    lzma.splice(0..0, (packed + 4).to_le_bytes());
    lzma.extend(crc.to_le_bytes());
    assert!(inspect(&lzma).is_err());
    let Ok(mut rom) = std::fs::read("/usr/lib/ipxe/qemu/efi-e1000.rom") else {
        skipped("no /usr/lib/ipxe/qemu/efi-e1000.rom (apt-get install ipxe-qemu)");
        return;
    };
    // Its EFI image said to be packed, of 4 GiB.
    let images = rom::read(&rom).unwrap();
    let efi = images.iter().find(|image| image.efi.is_some()).unwrap();
    let (at, end) = (efi.offset, efi.offset + efi.bytes);
    rom[at + 0x0c] = 1;
    let body = at + efi.efi.unwrap().at;
    rom[body..body + 4].copy_from_slice(&1000u32.to_le_bytes());
    rom[body + 4..body + 8].copy_from_slice(&u32::MAX.to_le_bytes());
    let sum = rom[at..end]
        .iter()
        .fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    rom[end - 1] = rom[end - 1].wrapping_sub(sum);
    let error = inspect(&rom).unwrap_err();
    assert!(
        matches!(
            error,
            InspectError::Efi(EfiError::Sizes {
                unpacked: u32::MAX,
                ..
            })
        ),
        "{error}"
    );
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
            report.program.slam,
            ProtocolSupport::Registered {
                announced: true,
                ..
            } | ProtocolSupport::Linked
        );
        assert!(
            registered && artefact.slam,
            "{}: {}",
            artefact.path,
            report.program.slam
        );
        assert_eq!(
            report.program.script.map(|script| script.sha256),
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

/// Seeded damage to real files and to the containers made of them. `SLAMBOOT_FUZZ=1000000`, which
/// `cargo xtask test --thorough` sets, takes as many inputs; the seed of a failure is printed.
#[test]
fn seeded_damage_is_read_without_a_panic() {
    /// Of so many inputs one is a whole real file: to unpack it takes as long as hundreds of small ones.
    const REAL: u64 = 64;
    let count: u64 = std::env::var("SLAMBOOT_FUZZ")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(300);
    let (small, real) = (containers(), samples());
    let mut understood = 0;
    for seed in 0..count {
        let mut random = fastrand::Rng::with_seed(seed);
        let whole = seed.is_multiple_of(REAL);
        let samples = if whole { real } else { &small[..] };
        let mut file = samples[random.usize(..samples.len())].clone();
        // Half of the damage goes to the first sectors, where headers are.
        for _ in 0..random.usize(1..12) {
            let end = if random.bool() {
                file.len()
            } else {
                file.len().min(0x300)
            };
            let at = random.usize(..end);
            file[at] = match random.u8(..4) {
                0 => 0,
                1 => 0xff,
                2 => file[at].wrapping_add(1),
                _ => random.u8(..),
            };
        }
        if random.u8(..8) == 0 {
            file.truncate(random.usize(1..=file.len()));
        }
        // So that damage gets past the checksums, to what is unpacked and to the tables in it.
        if whole && random.bool() {
            reseal(&mut file);
        }
        if random.bool() {
            resum(&mut file);
        }
        let result = std::panic::catch_unwind(|| inspect(&file).map(|report| report.bytes));
        let Ok(report) = result else {
            panic!("seed {seed} panics");
        };
        understood += u64::from(report.is_ok());
    }
    // Damage that is always refused at the door would prove nothing of the rooms behind it.
    assert!(
        understood * 100 > count,
        "{understood} of {count} were read"
    );
}

/// Makes the first ROM image's sum right again, so that damage reaches what is behind it.
fn resum(file: &mut [u8]) {
    let Some(units) = file.get(2).filter(|_| file.starts_with(&[0x55, 0xaa])) else {
        return;
    };
    let end = usize::from(*units) * 512;
    if let Some(image) = file.get_mut(..end).filter(|image| !image.is_empty()) {
        zero_sum(image, end - 1);
    }
}

/// Sets the byte at `at` so that all sum to zero.
fn zero_sum(bytes: &mut [u8], at: usize) {
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[at] = bytes[at].wrapping_sub(sum);
}

/// Small ones of every format that is taken apart, most made here: a million of them are quick.
fn containers() -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    let mut rom = vec![0u8; 1024];
    rom[..3].copy_from_slice(&[0x55, 0xaa, 2]);
    rom[0x10..0x1c].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0x60, 0, 0x20, 0, 0x40, 0]);
    rom[0x20..0x24].copy_from_slice(b"PCIR");
    rom[0x24..0x2c].copy_from_slice(&[0x86, 0x80, 0x0e, 0x10, 0x1c, 0, 0x1c, 0]);
    rom[0x2c] = 3;
    rom[0x30] = 2;
    rom[0x35] = 0x80;
    rom[0x40..0x46].copy_from_slice(b"$PnP\x01\x02");
    rom[0x60..0x65].copy_from_slice(b"UNDI\x16");
    rom[0x80..0x85].copy_from_slice(b"iPXE\x0c");
    for (start, length, sum) in [(0x40, 0x20, 9), (0x60, 0x16, 5), (0x80, 0x0c, 5)] {
        zero_sum(&mut rom[start..start + length], sum);
    }
    resum(&mut rom);
    // Whole but for a program.
    assert!(matches!(inspect(&rom), Err(InspectError::NoPayload { .. })));
    samples.push(rom.clone());
    // The same for EFI, packed.
    rom[0x04..0x08].copy_from_slice(&0x0ef1u32.to_le_bytes());
    rom[0x0c] = 1;
    rom[0x16] = 0x80;
    rom[0x34] = 3;
    rom[0x80..0x88].copy_from_slice(&[0x40, 1, 0, 0, 0, 0x10, 0, 0]);
    resum(&mut rom);
    let result = inspect(&rom);
    assert!(matches!(
        result,
        Err(InspectError::Efi(EfiError::Packed { .. }) | InspectError::Pe(_))
    ));
    samples.push(rom);
    // A floppy's FAT12 with a directory and a file that says it is EFI.
    let mut fat = vec![0u8; 64 * 512];
    fat[..3].copy_from_slice(&[0xeb, 0x3c, 0x90]);
    fat[11..24].copy_from_slice(&[0, 2, 1, 1, 0, 1, 16, 0, 64, 0, 0xf0, 1, 0]);
    fat[512..520].copy_from_slice(&[0xf0, 0xff, 0xff, 0xff, 0x4f, 0x00, 0xff, 0x0f]);
    fat[1024..1035].copy_from_slice(b"EFI        ");
    fat[1035] = 0x10;
    fat[1050] = 2;
    fat[1536..1547].copy_from_slice(b"BOOTX64 EFI");
    fat[1562] = 3;
    fat[1564..1566].copy_from_slice(&[0, 4]);
    fat[2048..2050].copy_from_slice(b"MZ");
    samples.push(fat.clone());
    // The same within an ISO.
    let mut iso = vec![0u8; 20 * 2048 + fat.len()];
    iso[0x8000..0x8006].copy_from_slice(b"\x01CD001");
    iso[0x8000 + 156 + 2] = 18;
    iso[0x8000 + 156 + 11] = 8;
    iso[0x8800..0x8806].copy_from_slice(b"\0CD001");
    iso[0x8847] = 19;
    let entry = &mut iso[18 * 2048..][..46];
    (entry[0], entry[2], entry[32]) = (46, 20, 9);
    entry[10..14].copy_from_slice(&(fat.len() as u32).to_le_bytes());
    entry[33..42].copy_from_slice(b"ESP.IMG;1");
    iso[19 * 2048 + 1] = 0xef;
    iso[19 * 2048 + 32] = 0x88;
    iso[20 * 2048..].copy_from_slice(&fat);
    samples.push(iso);
    samples.push(linked());
    // Of real ones the beginnings, for headers; `samples` has them whole.
    samples.extend(
        self::samples()
            .iter()
            .map(|file| file[..file.len().min(4096)].to_vec()),
    );
    samples
}

/// A program of a few hundred bytes as it is linked, not packed: all of iPXE's tables that are read, a script, a record
/// of settings and a driver.
fn linked() -> Vec<u8> {
    let mut memory = vec![0u8; 0x600];
    let mut put = |at: usize, bytes: &[u8]| memory[at..at + bytes.len()].copy_from_slice(bytes);
    for (at, text) in [
        (0x100, "http"),
        (0x110, "x-slam"),
        (0x120, "SLAM"),
        (0x130, "DNS"),
        (0x140, "dhcp"),
        (0x150, "echo"),
        (0x160, "goto"),
        (0x170, "mcleave"),
        (0x180, "IGMP"),
        (0x190, "e1000"),
        (0x1a0, "2.0.0"),
        (0x1b0, "#!ipxe\necho x\n"),
        (0x1d0, "slamboot-config|A=1|B=|"),
    ] {
        put(at, text.as_bytes());
    }
    let mut words = |at: usize, words: &[u32]| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        put(at, &bytes);
    };
    words(0x300, &[0x100, 0x10, 0x110, 0x20]); // openers
    words(0x340, &[0x130, 0x120]); // features
    words(0x380, &[0x140, 0x10, 0x150, 0x20, 0x160, 0x30, 0x170, 0x40]); // commands
    words(0x3c0, &[0x1b0, 14]); // embedded image
    words(0x400, &[0x440, 1, 0, 0, 0x10, 0x20]); // PCI driver
    words(0x440, &[0x190, 0x100e_8086, 0]); // its id
    let mut file = vec![0u8; 52];
    file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 1, 1, 1]);
    file[16..24].copy_from_slice(&[2, 0, 3, 0, 1, 0, 0, 0]);
    let names = b"\0.textdata\0.shstrtab\0";
    let sections = 52 + memory.len() + names.len().next_multiple_of(4);
    file[32..36].copy_from_slice(&(sections as u32).to_le_bytes());
    file[40..42].copy_from_slice(&[52, 0]);
    file[46..52].copy_from_slice(&[40, 0, 3, 0, 2, 0]);
    file.extend(&memory);
    file.extend(names);
    file.resize(sections, 0);
    let section = |name: u32, kind: u32, at: usize, size: usize| {
        [name, kind, 0, 0, at as u32, size as u32, 0, 0, 4, 0]
    };
    for section in [
        [0; 10],
        section(1, 1, 52, memory.len()),
        section(11, 3, 52 + memory.len(), names.len()),
    ] {
        file.extend(section.iter().flat_map(|word: &u32| word.to_le_bytes()));
    }
    let program = inspect(&file).unwrap().program;
    assert_eq!(program.protocols, ["http", "x-slam"]);
    assert_eq!(program.features, ["DNS", "SLAM"]);
    assert_eq!(program.commands, ["dhcp", "echo", "goto", "mcleave"]);
    assert_eq!(program.drivers.len(), 1);
    assert_eq!(program.version.as_deref(), Some("2.0.0"));
    assert_eq!(program.script.unwrap().text, "#!ipxe\necho x\n");
    assert_eq!(program.settings.unwrap().len(), 2);
    file
}
