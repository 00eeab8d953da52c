// SPDX-License-Identifier: MIT OR Apache-2.0
//! The distribution's own iPXE in place of ours: real firmware, without multicast.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use firmware::inspect::inspect;
use firmware::manifest::{Artefact, ArtefactKind, Manifest};
use xtask::host;
use xtask::paths::Paths;

use super::place;

/// What is taken, where it is there.
const BOOT_PROGRAMS: [&str; 3] = ["undionly.kpxe", "snponly.efi", "ipxe.lkrn"];
const ROMS: [&str; 2] = ["pxe-e1000.rom", "pxe-virtio.rom"];

/// Puts it into `dist/firmware/` and says so in the manifest, in place of all other firmware: one
/// set, one origin.
pub(super) fn package(paths: &Paths, note: &str) -> Result<()> {
    let programs = host::prebuilt_ipxe().context("the distribution's iPXE vanished")?;
    let roms = host::prebuilt_roms().context("the distribution's iPXE ROMs vanished")?;
    let named = |dir: &Path, names: &[&str]| -> Vec<PathBuf> {
        let files = names.iter().map(|name| dir.join(name));
        files.filter(|file| file.exists()).collect()
    };
    let files = [named(&programs, &BOOT_PROGRAMS), named(&roms, &ROMS)].concat();

    let mut manifest = Manifest::read(&paths.manifest())?;
    let firmware = |a: &&Artefact| matches!(a.kind, ArtefactKind::Firmware(_));
    let old: Vec<String> = manifest
        .artefacts
        .iter()
        .filter(firmware)
        .map(|artefact| artefact.path.clone())
        .collect();
    let mut new = Vec::new();
    for file in files {
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let report = inspect(&content).with_context(|| file.display().to_string())?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let path = format!("firmware/{name}");
        place::write(&paths.dist.join(&path), &content)?;
        new.push(Artefact {
            slam: report.program.slam.works(),
            proof: Some(format!("{}; SLAM {}", file.display(), report.program.slam)),
            ..Artefact::of(&path, &content, ArtefactKind::Firmware(report.kind))
        });
    }
    ensure!(
        !new.is_empty(),
        "the distribution's iPXE has none of the files that we know"
    );
    manifest.remove(|artefact| old.contains(&artefact.path));
    manifest.ipxe = None;
    manifest.overlay_digest = None;
    manifest.config = None;
    manifest.script_digest = None;
    manifest.script = None;
    manifest.root = None;
    manifest.make = Vec::new();
    manifest.inputs_digest = None;
    manifest.tools.clear();
    manifest.note = Some(note.to_owned());
    for artefact in new {
        manifest.put(artefact);
    }
    manifest.write(&paths.manifest())?;
    let listed = |path: &String| manifest.artefacts.iter().any(|a| a.path == *path);
    for path in old.iter().filter(|path| !listed(path)) {
        // It is not in the manifest any more; a file that stays is no harm.
        let _ = fs::remove_file(paths.dist.join(path));
    }
    Ok(())
}
