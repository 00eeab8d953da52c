// SPDX-License-Identifier: MIT OR Apache-2.0
//! From make's output, judged, to `dist/`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use firmware::inspect::Kind;
use firmware::manifest::{Artefact, ArtefactKind, Manifest};
use firmware::recipe::Recipe;

use super::proof::Proven;
use super::tools::Tools;
use crate::paths::Paths;

/// What the whole set was made from.
pub struct Origin<'a> {
    /// The inputs.
    pub recipe: &'a Recipe,
    /// The tools.
    pub(super) tools: &'a Tools,
}

/// Puts the files into `dist/firmware/` and says so in the manifest. Firmware there that was made
/// from something else goes: one set, one origin.
///
/// Whenever this is cut short, every file that the manifest lists is as it says: all are written beside their names,
/// then the manifest loses those that are about to change, then they get their names, then the manifest lists them.
pub fn package(proven: &[Proven], origin: &Origin<'_>, paths: &Paths) -> Result<Manifest> {
    let _lock = super::lock(&paths.build().join("dist.lock")).context("cannot lock dist/")?;
    remove_staged(&paths.dist_firmware());
    let mut manifest = Manifest::read(&paths.manifest())?;
    let stale = stale(&manifest, origin);
    let staged = proven
        .iter()
        .map(|file| Staged::write(file, paths))
        .collect::<Result<Vec<_>>>()?;
    let leaves = |artefact: &Artefact| {
        let changes = staged.iter().any(|file| file.changes(artefact));
        changes || stale.contains(&artefact.path)
    };
    let made_from = origin.recipe.describe();
    manifest.remove(leaves);
    manifest.note = None;
    manifest.ipxe = made_from.ipxe;
    manifest.overlay_digest = made_from.overlay_digest;
    manifest.config = made_from.config;
    manifest.script_digest = made_from.script_digest;
    manifest.script = made_from.script;
    manifest.root = made_from.root;
    manifest.make = made_from.make;
    manifest.inputs_digest = made_from.inputs_digest;
    for (tool, version) in origin.tools.all() {
        manifest.tools.insert((*tool).to_owned(), version.clone());
    }
    manifest.write(&paths.manifest())?;
    for file in staged {
        manifest.put(file.put()?);
    }
    manifest.write(&paths.manifest())?;
    let listed = |path: &String| manifest.artefacts.iter().any(|a| a.path == *path);
    for path in stale.iter().filter(|path| !listed(path)) {
        let _ = fs::remove_file(paths.dist.join(path));
    }
    Ok(manifest)
}

/// Firmware that was made from other inputs, or with other tools.
fn stale(manifest: &Manifest, origin: &Origin<'_>) -> Vec<String> {
    let tool = |(name, version): &(&str, String)| {
        let then = manifest.tools.get(*name);
        then.is_none_or(|then| then == version)
    };
    let same = manifest.inputs_digest == Some(origin.recipe.digest());
    if same && origin.tools.all().iter().all(tool) {
        return Vec::new();
    }
    let firmware = |a: &&Artefact| matches!(a.kind, ArtefactKind::Firmware(_));
    let stale = manifest.artefacts.iter().filter(firmware);
    stale.map(|artefact| artefact.path.clone()).collect()
}

/// What files are called until they are whole and the manifest is ready for them.
const STAGED: &str = ".staged";

/// A file beside the place that it will have; gone when dropped before that.
struct Staged {
    beside: tempfile::TempPath,
    file: PathBuf,
    artefact: Artefact,
}

impl Staged {
    fn write(proven: &Proven, paths: &Paths) -> Result<Staged> {
        let Proven {
            target,
            report,
            content,
        } = proven;
        let path = format!("firmware/{}", target.name());
        let file = paths.dist.join(&path);
        let context = || {
            format!(
                "cannot write {}; make dist/ writable and give it room, or set SLAMBOOT_DIST to a directory elsewhere",
                file.display()
            )
        };
        let beside = paths
            .dist_firmware()
            .join(format!(".{}{STAGED}", target.name()));
        let beside = tempfile::TempPath::try_from_path(beside).with_context(context)?;
        firmware::manifest::replace(&beside, content).with_context(context)?;
        if report.kind == Kind::Elf {
            // The one kind that this machine runs itself.
            fs::set_permissions(&beside, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("cannot make {} a program", file.display()))?;
        }
        let artefact = Artefact {
            slam: report.program.slam.works(),
            target: Some(target.name().to_owned()),
            proof: Some(report.program.slam.to_string()),
            ..Artefact::of(&path, content, ArtefactKind::Firmware(report.kind))
        };
        Ok(Staged {
            beside,
            file,
            artefact,
        })
    }

    /// Whether `listed` would no longer be true.
    fn changes(&self, listed: &Artefact) -> bool {
        listed.path == self.artefact.path && listed.sha256 != self.artefact.sha256
    }

    fn put(self) -> Result<Artefact> {
        let file = self.file;
        self.beside
            .persist(&file)
            // What could not be put there goes with the rest of the error.
            .map_err(|failed| failed.error)
            .with_context(|| format!("cannot put {} in its place", file.display()))?;
        Ok(self.artefact)
    }
}

/// What a build that was killed left; ours holds the lock.
fn remove_staged(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().ends_with(STAGED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

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
            tools: &Tools::said(&[("gcc", "12")]),
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

    /// Cut short by a name that cannot be had: what is listed is as it is said to be, all the same.
    #[test]
    fn a_manifest_never_lists_what_is_not_so() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        let first = [proven("a.kpxe", b"a1"), proven("b.kpxe", b"b1")];
        put(&first, "one", &paths).unwrap();
        // A directory with something in it takes no file's name.
        let blocked = paths.dist.join("firmware/c.kpxe");
        fs::create_dir_all(blocked.join("x")).unwrap();
        let second = [
            proven("a.kpxe", b"a2"),
            proven("b.kpxe", b"b1"),
            proven("c.kpxe", b"c1"),
        ];
        let error = put(&second, "one", &paths).unwrap_err();
        assert!(format!("{error:#}").contains("c.kpxe"), "{error:#}");
        let manifest = Manifest::read(&paths.manifest()).unwrap();
        let listed: Vec<_> = manifest.artefacts.iter().map(|a| &a.path).collect();
        assert_eq!(listed, ["firmware/b.kpxe"]);
        assert_eq!(
            names(&paths),
            ["a.kpxe", "b.kpxe", "c.kpxe"],
            "nothing staged"
        );
        fs::remove_dir_all(&blocked).unwrap();
        let manifest = put(&second, "one", &paths).unwrap();
        assert_eq!(manifest.artefacts.len(), 3);
        for artefact in &manifest.artefacts {
            let content = fs::read(paths.dist.join(&artefact.path)).unwrap();
            assert_eq!(
                artefact.sha256,
                Artefact::of("", &content, artefact.kind).sha256
            );
        }
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
