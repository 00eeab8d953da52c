// SPDX-License-Identifier: MIT OR Apache-2.0
//! From make's output, judged, to `dist/`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context, Result};
use firmware::inspect::Kind;
use firmware::manifest::{Artefact, ArtefactKind, Manifest};
use firmware::recipe::Recipe;

use super::proof::Proven;
use crate::paths::Paths;

/// What the whole set was made from.
pub struct Origin<'a> {
    /// The inputs.
    pub recipe: &'a Recipe,
    /// The tools' versions.
    pub tools: Vec<(&'static str, String)>,
}

/// Puts the files into `dist/firmware/` and says so in the manifest. Firmware there that was made
/// from something else goes: one set, one origin.
pub fn package(proven: &[Proven], origin: &Origin<'_>, paths: &Paths) -> Result<Manifest> {
    let _lock = super::lock(&paths.build().join("dist.lock")).context("cannot lock dist/")?;
    let mut manifest = Manifest::read(&paths.manifest())?;
    let made_from = origin.recipe.describe();
    let same = |old: &Manifest| old.inputs_digest == made_from.inputs_digest;
    let stale: Vec<String> = if same(&manifest) {
        Vec::new()
    } else {
        let firmware = |a: &&Artefact| matches!(a.kind, ArtefactKind::Firmware(_));
        let stale = manifest.artefacts.iter().filter(firmware);
        stale.map(|artefact| artefact.path.clone()).collect()
    };
    let mut new = Vec::new();
    for Proven {
        target,
        report,
        content,
    } in proven
    {
        let path = format!("firmware/{}", target.name());
        let file = paths.dist.join(&path);
        firmware::manifest::replace(&file, content).with_context(|| {
            format!(
                "cannot write {}; make dist/ writable and give it room, or set SLAMBOOT_DIST to a directory elsewhere",
                file.display()
            )
        })?;
        if report.kind == Kind::Elf {
            // The one kind that this machine runs itself.
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("cannot make {} a program", file.display()))?;
        }
        new.push(Artefact {
            slam: report.program.slam.works(),
            target: Some(target.name().to_owned()),
            proof: Some(report.program.slam.to_string()),
            ..Artefact::of(&path, content, ArtefactKind::Firmware(report.kind))
        });
    }
    manifest.remove(|artefact| stale.contains(&artefact.path));
    manifest.note = None;
    manifest.ipxe = made_from.ipxe;
    manifest.overlay_digest = made_from.overlay_digest;
    manifest.config = made_from.config;
    manifest.script_digest = made_from.script_digest;
    manifest.script = made_from.script;
    manifest.root = made_from.root;
    manifest.make = made_from.make;
    manifest.inputs_digest = made_from.inputs_digest;
    for (tool, version) in &origin.tools {
        manifest.tools.insert((*tool).to_owned(), version.clone());
    }
    for artefact in new {
        manifest.put(artefact);
    }
    manifest.write(&paths.manifest())?;
    let listed = |path: &String| manifest.artefacts.iter().any(|a| a.path == *path);
    for path in stale.iter().filter(|path| !listed(path)) {
        let _ = fs::remove_file(paths.dist.join(path));
    }
    Ok(manifest)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::path::Path;

    use firmware::inspect::{Program, ProtocolSupport, Report};
    use firmware::pins::Pins;
    use firmware::target::Target;

    use crate::firmware::tests::SmallDisk;

    fn paths(root: &Path) -> Paths {
        Paths {
            root: root.to_owned(),
            target: root.join("target"),
            dist: root.join("dist"),
            cache: root.join("cache"),
            profile: crate::programs::Profile::Release,
        }
    }

    pub(in crate::firmware) fn program() -> Program {
        Program {
            version: None,
            unpacked: 0,
            blocks: 0,
            protocols: Vec::new(),
            features: Vec::new(),
            commands: Vec::new(),
            drivers: Vec::new(),
            slam: ProtocolSupport::Linked,
            membership: true,
            script: None,
            settings: None,
        }
    }

    fn proven(name: &str, content: &[u8]) -> Proven {
        let target = Target::parse(name).unwrap();
        Proven {
            report: Report {
                kind: target.kind(),
                bytes: content.len(),
                arch: "i386",
                program: program(),
                images: Vec::new(),
            },
            target,
            content: content.to_vec(),
        }
    }

    fn put(files: &[Proven], script: &str, paths: &Paths) -> Result<Manifest> {
        let pins = Pins::builtin().unwrap();
        let release = pins.release(&pins.default).unwrap();
        let site = site::Site::default();
        let mut recipe = Recipe::new(&site, release, None).unwrap();
        script.clone_into(&mut recipe.script);
        let origin = Origin {
            recipe: &recipe,
            tools: vec![("gcc", "12".to_owned())],
        };
        package(files, &origin, paths)
    }

    fn names(paths: &Paths) -> Vec<String> {
        let entries = fs::read_dir(paths.dist_firmware()).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn one_set_has_one_origin() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        put(
            &[proven("a.kpxe", b"a1"), proven("b.kpxe", b"b1")],
            "one",
            &paths,
        )
        .unwrap();
        // The same inputs: another target joins.
        let manifest = put(&[proven("c.kpxe", b"c1")], "one", &paths).unwrap();
        assert_eq!(names(&paths), ["a.kpxe", "b.kpxe", "c.kpxe"]);
        assert_eq!(manifest.artefacts.len(), 3);
        assert!(manifest.multicast);
        // Another script: what has the old one goes.
        let manifest = put(&[proven("a.kpxe", b"a2")], "two", &paths).unwrap();
        assert_eq!(names(&paths), ["a.kpxe"]);
        assert_eq!(manifest, Manifest::read(&paths.manifest()).unwrap());
        assert_eq!(fs::read(paths.dist.join("firmware/a.kpxe")).unwrap(), b"a2");
    }

    #[test]
    fn a_dist_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        fs::write(&paths.dist, "in the way").unwrap();
        let error = super::super::writable(&paths.dist_firmware()).unwrap_err();
        let error = format!("{error:#}");
        for part in ["dist/firmware", "expected a directory", "SLAMBOOT_DIST"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(put(&[proven("a.kpxe", b"a")], "one", &paths).is_err());
    }

    #[test]
    fn a_full_disk_leaves_the_last_good_file() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        let Some(_small) = SmallDisk::new(&paths.dist, "64k") else {
            return;
        };
        put(&[proven("a.kpxe", b"good")], "one", &paths).unwrap();
        let before = fs::read(paths.manifest()).unwrap();
        let error = put(&[proven("a.kpxe", &vec![1; 256 << 10])], "one", &paths).unwrap_err();
        let error = format!("{error:#}");
        for part in ["dist/firmware/a.kpxe", "No space left", "give it room"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert_eq!(
            fs::read(paths.dist.join("firmware/a.kpxe")).unwrap(),
            b"good"
        );
        assert_eq!(fs::read(paths.manifest()).unwrap(), before);
        assert_eq!(names(&paths), ["a.kpxe"], "nothing half-written stays");
    }
}
