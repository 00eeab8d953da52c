// SPDX-License-Identifier: MIT OR Apache-2.0
//! From make's output to `dist/`: every file is judged by its own bytes before the first one is
//! put in place.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use firmware::config::Header;
use firmware::inspect::{self, InspectError, Kind, Program, ProtocolSupport, Report, RomError};
use firmware::manifest::{Artefact, ArtefactKind, Config, Ipxe, Manifest};
use firmware::pins::{Pins, Release};
use firmware::target::Target;
use sha2::{Digest, Sha256};
use site::Knobs;

use super::tree::BuildTree;
use crate::paths::Paths;

/// A finished file that must not be shipped.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// make said that it made it.
    #[error("{path}: make ended well and did not make it: {source}")]
    Missing {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It cannot be read as what it should be.
    #[error("{path}: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: InspectError,
    },
    /// Something else.
    #[error("{path}: expected {expected}, found {found}")]
    Kind {
        /// Which file.
        path: PathBuf,
        /// By the target's name.
        expected: Kind,
        /// By its bytes.
        found: Kind,
    },
    /// The header that switches it on did not take effect.
    #[error(
        "{path}: expected SLAM in the finished file, found it {found}; it opens {}\nhelp: DOWNLOAD_PROTO_SLAM in config/local/general.h did not take effect: delete the build directory {tree} and build again", .protocols.join(", ")
    )]
    NoSlam {
        /// Which file.
        path: PathBuf,
        /// What there is of it.
        found: ProtocolSupport,
        /// What else it opens.
        protocols: Vec<String>,
        /// The build directory.
        tree: PathBuf,
    },
    /// The object that holds it was not linked, or was, against the configuration.
    #[error(
        "{path}: expected {} group membership (IGMP) in the finished file, found the opposite\nhelp: delete the build directory {tree} and build again",
        if *.wanted { "some" } else { "no" }
    )]
    Membership {
        /// Which file.
        path: PathBuf,
        /// `igmp` in `[firmware]`.
        wanted: bool,
        /// The build directory.
        tree: PathBuf,
    },
    /// Another script, or none.
    #[error(
        "{path}: expected the embedded script {expected}, found {found}\nhelp: delete the build directory {tree} and build again"
    )]
    Script {
        /// Which file.
        path: PathBuf,
        /// SHA-256 of what was rendered.
        expected: String,
        /// SHA-256 of what is in it.
        found: String,
        /// The build directory.
        tree: PathBuf,
    },
    /// More than its target may have.
    #[error(
        "{path}: expected at most {ceiling} bytes (firmware/ipxe.toml), found {bytes}\nhelp: drop features, or raise the ceiling where the machines can take it"
    )]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The ceiling.
        ceiling: u64,
        /// Its size.
        bytes: usize,
    },
    /// A setting of the site that the finished file does not show.
    #[error(
        "{path}: {key} did not take effect: expected {expected}, found none\nhelp: something in [firmware.raw] may undo it; else delete the build directory {tree} and build again"
    )]
    Knob {
        /// Which file.
        path: PathBuf,
        /// The key in slamboot.toml.
        key: &'static str,
        /// What the file should have.
        expected: String,
        /// The build directory.
        tree: PathBuf,
    },
    /// The script uses a command that is not there.
    #[error(
        "{path}: the embedded script uses {command:?}, which this file has not\nhelp: add its group to [firmware] commands, or write || behind it in the script"
    )]
    Command {
        /// Which file.
        path: PathBuf,
        /// The command.
        command: String,
    },
    /// The wrong card.
    #[error("{path}: {source}")]
    Card {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: RomError,
    },
    /// The linked program says otherwise.
    #[error("{path}: it does not hold the program in {linked}: {why}")]
    Linked {
        /// Which file.
        path: PathBuf,
        /// The ELF file.
        linked: PathBuf,
        /// How they differ.
        why: String,
    },
}

/// A file that may be shipped.
#[derive(Debug)]
pub struct Proven {
    /// What it was built as.
    pub target: Target,
    /// What it was found to be.
    pub report: Report,
    content: Vec<u8>,
}

/// Judges the finished file of `target`.
pub fn prove(
    target: &Target,
    tree: &BuildTree,
    script: &str,
    igmp: bool,
    knobs: &Knobs,
    pins: &Pins,
) -> Result<Proven, Unfit> {
    let path = tree.src().join(target.path());
    let content = fs::read(&path).map_err(|source| Unfit::Missing {
        path: path.clone(),
        source,
    })?;
    let report = judge(
        target,
        &path,
        &content,
        &tree.root,
        script,
        pins.ceiling(target.name()),
    )?;
    if report.program.membership != igmp {
        return Err(Unfit::Membership {
            path,
            wanted: igmp,
            tree: tree.root.clone(),
        });
    }
    if let Some((key, expected)) = lacking(knobs, &report.program, &content) {
        let tree = tree.root.clone();
        return Err(Unfit::Knob {
            path,
            key,
            expected,
            tree,
        });
    }
    let commands = &report.program.commands;
    let used = firmware::script::used(script);
    let missing = used
        .iter()
        .find(|used| !commands.iter().any(|c| c == *used));
    // gPXE keeps its commands in a table of another shape.
    if let Some(command) = missing.filter(|_| !commands.is_empty()) {
        let command = (*command).to_owned();
        return Err(Unfit::Command { path, command });
    }
    let linked = path.with_file_name(format!("{}.{}.tmp", target.stem(), target.ending()));
    if let Ok(elf) = fs::read(&linked) {
        compare(&path, &content, &linked, &elf)?;
    }
    Ok(Proven {
        target: target.clone(),
        report,
        content,
    })
}

/// What a site asked for and the finished file has not: the key, and what was expected.
fn lacking(knobs: &Knobs, program: &Program, content: &[u8]) -> Option<(&'static str, String)> {
    let protocols = knobs.protocols.iter().map(|protocol| protocol.word());
    for word in protocols {
        if !program.protocols.iter().any(|known| known == word) {
            return Some(("[firmware] protocols", format!("the protocol {word}")));
        }
    }
    for group in &knobs.commands {
        let command = firmware::config::witness(*group);
        if !program.commands.iter().any(|known| known == command) {
            return Some(("[firmware] commands", format!("the command {command}")));
        }
    }
    let banner = knobs.banner.as_ref()?;
    let shown = inspect::has_text(content, banner) == Some(false);
    shown.then(|| ("[firmware] banner", format!("the text {banner:?}")))
}

fn judge(
    target: &Target,
    path: &Path,
    content: &[u8],
    tree: &Path,
    script: &str,
    ceiling: Option<u64>,
) -> Result<Report, Unfit> {
    let path = path.to_owned();
    let report = match inspect::inspect(content) {
        Ok(report) => report,
        Err(source) => return Err(Unfit::Unreadable { path, source }),
    };
    if report.kind != target.kind() {
        return Err(Unfit::Kind {
            path,
            expected: target.kind(),
            found: report.kind,
        });
    }
    if !report.program.slam.works() {
        return Err(Unfit::NoSlam {
            path,
            found: report.program.slam,
            protocols: report.program.protocols,
            tree: tree.to_owned(),
        });
    }
    let expected = hex::encode(Sha256::digest(script));
    let found = report
        .program
        .script
        .as_ref()
        .map(|script| script.sha256.as_str());
    if found != Some(&expected) {
        return Err(Unfit::Script {
            path,
            found: found.unwrap_or("none").to_owned(),
            expected,
            tree: tree.to_owned(),
        });
    }
    if let Some(ceiling) = ceiling.filter(|ceiling| report.bytes as u64 > *ceiling) {
        return Err(Unfit::TooLarge {
            path,
            ceiling,
            bytes: report.bytes,
        });
    }
    if let Some(card) = target.pci() {
        let images: Vec<_> = report.rom_images().cloned().collect();
        inspect::rom::check_ids(&images, card).map_err(|source| Unfit::Card { path, source })?;
    }
    Ok(report)
}

/// The program before packing is a second witness: by symbols, not by tables.
fn compare(path: &Path, content: &[u8], linked: &Path, elf: &[u8]) -> Result<(), Unfit> {
    let differ = |why: String| Unfit::Linked {
        path: path.to_owned(),
        linked: linked.to_owned(),
        why,
    };
    let program = inspect::elf::read(elf).map_err(|error| differ(error.to_string()))?;
    if !program.slam {
        return Err(differ("its symbols know no SLAM".to_owned()));
    }
    if program.textdata.is_some() && program.textdata != inspect::textdata(content) {
        return Err(differ(".textdata differs".to_owned()));
    }
    Ok(())
}

/// What the whole set was made from.
pub struct Origin<'a> {
    /// The pinned release.
    pub release: &'a Release,
    /// What the site wishes.
    pub site: &'a site::Firmware,
    /// The headers.
    pub headers: &'a [Header],
    /// The embedded script.
    pub script: &'a str,
    /// The tools' versions.
    pub tools: Vec<(&'static str, String)>,
}

/// Puts the files into `dist/firmware/` and says so in the manifest. Firmware there that was made
/// from something else goes: one set, one origin.
pub fn package(proven: &[Proven], origin: &Origin<'_>, paths: &Paths) -> Result<Manifest> {
    let _lock = super::lock(&paths.build().join("dist.lock")).context("cannot lock dist/")?;
    let mut manifest = Manifest::read(&paths.manifest())?;
    let made_from = Manifest {
        ipxe: Some(Ipxe {
            release: origin.release.name.clone(),
            commit: origin.release.commit.clone(),
            digest: origin.release.digest,
        }),
        overlay_digest: Some(firmware::overlay::digest(origin.site, origin.release)),
        config: Some(Config {
            digest: firmware::config::digest(origin.headers),
            headers: origin
                .headers
                .iter()
                .map(|header| (format!("config/local/{}", header.name), header.text.clone()))
                .collect::<BTreeMap<_, _>>(),
        }),
        script_digest: Some(hex::encode(Sha256::digest(origin.script))),
        ..Manifest::default()
    };
    let same = |old: &Manifest| {
        (
            &old.ipxe,
            &old.overlay_digest,
            &old.config,
            &old.script_digest,
        ) == (
            &made_from.ipxe,
            &made_from.overlay_digest,
            &made_from.config,
            &made_from.script_digest,
        )
    };
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
mod tests {
    use super::*;
    use crate::firmware::tests::SmallDisk;
    use std::io::Write as _;

    fn paths(root: &Path) -> Paths {
        Paths {
            root: root.to_owned(),
            target: root.join("target"),
            dist: root.join("dist"),
            cache: root.join("cache"),
        }
    }

    fn proven(name: &str, content: &[u8]) -> Proven {
        let target = Target::parse(name).unwrap();
        Proven {
            report: Report {
                kind: target.kind(),
                bytes: content.len(),
                arch: "i386",
                program: Program {
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
                },
                images: Vec::new(),
            },
            target,
            content: content.to_vec(),
        }
    }

    fn put(files: &[Proven], script: &str, paths: &Paths) -> Result<Manifest> {
        let pins = Pins::builtin().unwrap();
        let origin = Origin {
            release: pins.release(&pins.default).unwrap(),
            site: &site::Site::default().firmware,
            headers: &[],
            script,
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

    /// A real file without SLAM is what a header without effect would give.
    #[test]
    fn a_header_without_effect_is_found_in_the_finished_file() {
        let path = Path::new("/usr/lib/ipxe/undionly.kpxe");
        let Ok(content) = fs::read(path) else {
            let _ = writeln!(std::io::stderr(), "skipped: no {}", path.display());
            return;
        };
        let judged = |name: &str| {
            let target = Target::parse(name).unwrap();
            let error = judge(&target, path, &content, Path::new("/tree"), "", None);
            error.unwrap_err().to_string()
        };
        let error = judged("undionly.kpxe");
        for part in [
            "undionly.kpxe",
            "absent",
            "http, ",
            "DOWNLOAD_PROTO_SLAM",
            "/tree",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
        let error = judged("8086100e.mrom");
        assert!(error.contains("expected option ROM"), "{error}");
    }

    /// The same for protocols, commands and the banner.
    #[test]
    fn a_knob_without_effect_is_found_in_the_finished_file() {
        let path = Path::new("/usr/lib/ipxe/undionly.kpxe");
        let Ok(content) = fs::read(path) else {
            let _ = writeln!(std::io::stderr(), "skipped: no {}", path.display());
            return;
        };
        let report = inspect::inspect(&content).unwrap();
        let lacking = |knobs: &Knobs| lacking(knobs, &report.program, &content);
        assert_eq!(lacking(&Knobs::default()), None);
        let knobs = Knobs {
            protocols: vec![site::Protocol::Https],
            ..Knobs::default()
        };
        assert_eq!(lacking(&knobs).unwrap().1, "the protocol https");
        let knobs = Knobs {
            commands: vec![site::Commands::Lotest],
            ..Knobs::default()
        };
        assert_eq!(lacking(&knobs).unwrap().1, "the command lotest");
        let knobs = Knobs {
            banner: Some("Room 12".to_owned()),
            ..Knobs::default()
        };
        assert_eq!(lacking(&knobs).unwrap().0, "[firmware] banner");
        let there = Knobs {
            commands: vec![site::Commands::Reboot],
            banner: Some("iPXE".to_owned()),
            ..Knobs::default()
        };
        assert_eq!(lacking(&there), None);
    }

    #[test]
    fn what_make_did_not_make_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let tree = BuildTree {
            root: dir.path().to_owned(),
            key: "k".into(),
            client: site::Client::Slamboot,
            reused: false,
        };
        let target = Target::parse("ipxe.lkrn").unwrap();
        let error = prove(
            &target,
            &tree,
            "",
            true,
            &Knobs::default(),
            &Pins::builtin().unwrap(),
        )
        .unwrap_err();
        assert!(matches!(error, Unfit::Missing { .. }), "{error}");
    }
}
