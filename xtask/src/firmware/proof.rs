// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every finished file is judged by its own bytes before the first one is put in place.

use std::fs;
use std::path::{Path, PathBuf};

use firmware::inspect::elf::{ElfError, Linked};
use firmware::inspect::{self, InspectError, Kind, Program, ProtocolSupport, Report, RomError};
use firmware::pins::Pins;
use firmware::recipe::Recipe;
use firmware::record;
use firmware::target::Target;
use sha2::{Digest, Sha256};
use site::{Client, Firmware, Knobs};

use super::tree::BuildTree;

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
        "{path}: {key} did not take effect: expected {expected}, found otherwise\nhelp: something in [firmware.raw] may undo it; else delete the build directory {tree} and build again"
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
    /// Two ROMs that one machine would take for the same.
    #[error(
        "{one} and {other}: both have the build id {id:08x}, and are different programs: a machine with both cards would run one of them twice (it keys the images that ROMs share in memory)\nhelp: delete the build directory and build again"
    )]
    BuildId {
        /// One target.
        one: String,
        /// The other.
        other: String,
        /// Their build id.
        id: u32,
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
    /// Its bytes.
    pub content: Vec<u8>,
}

/// Judges the finished file of `target`. `wishes` are the site's; a manifest does not say them.
pub fn prove(
    target: &Target,
    tree: &BuildTree,
    recipe: &Recipe,
    wishes: Option<&Firmware>,
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
        &recipe.script,
        pins.ceiling(target.name()),
    )?;
    let igmp = recipe.parts.igmp;
    if report.program.membership != igmp {
        return Err(Unfit::Membership {
            path,
            wanted: igmp,
            tree: tree.root.clone(),
        });
    }
    let knob = |(key, expected)| Unfit::Knob {
        path: path.clone(),
        key,
        expected,
        tree: tree.root.clone(),
    };
    let linked = tree.src().join(target.linked());
    let program = fs::read(&linked).ok().map(|elf| inspect::elf::read(&elf));
    if let Some(wishes) = wishes {
        let mut lacks = lacking(&wishes.knobs, &report.program, &content);
        if record::kept(&recipe.release) {
            let settings = record::settings(wishes, target.platform());
            lacks = lacks.or_else(|| unset(&settings, &report.program));
        }
        let program = program.as_ref().and_then(|program| program.as_ref().ok());
        lacks = lacks.or_else(|| unlinked(&wishes.knobs, program));
        lacks.map_or(Ok(()), |lack| Err(knob(lack)))?;
    }
    if let Some(root) = &recipe.root
        && inspect::holds(&content, &root.fingerprint) != Ok(true)
    {
        let expected = format!("the root's fingerprint {}", hex::encode(root.fingerprint));
        return Err(knob(("[firmware] trust", expected)));
    }
    let commands = &report.program.commands;
    let used = firmware::script::used(&recipe.script);
    let missing = used
        .iter()
        .find(|used| !commands.iter().any(|c| c == *used));
    if let Some(command) = missing {
        let command = (*command).to_owned();
        return Err(Unfit::Command { path, command });
    }
    if let Some(program) = program {
        compare(&path, &content, &linked, program, recipe.parts.client)?;
    }
    Ok(Proven {
        target: target.clone(),
        report,
        content,
    })
}

/// ROMs of different programs have different build ids.
pub(super) fn distinct(proven: &[Proven]) -> Result<(), Unfit> {
    let mut seen: Vec<(u32, &Proven)> = Vec::new();
    for file in proven {
        for id in file.report.rom_images().filter_map(|image| image.build_id) {
            let same = |(other, earlier): &&(u32, &Proven)| {
                *other == id
                    && inspect::textdata(&earlier.content) != inspect::textdata(&file.content)
            };
            if let Some((_, earlier)) = seen.iter().find(same) {
                return Err(Unfit::BuildId {
                    one: earlier.target.name().to_owned(),
                    other: file.target.name().to_owned(),
                    id,
                });
            }
            seen.push((id, file));
        }
    }
    Ok(())
}

/// What the compiler saw otherwise, by the record that it left in the finished file.
fn unset(settings: &[record::Setting], program: &Program) -> Option<(&'static str, String)> {
    let Some(record) = &program.settings else {
        let first = settings.first()?;
        return Some((first.key, "the record of what the compiler saw".to_owned()));
    };
    let wrong = settings.iter().find(|setting| !setting.holds(record))?;
    Some((wrong.key, format!("{} {}", wrong.name, wrong.expected)))
}

/// A console of which no object was linked, or nobody can tell.
fn unlinked(knobs: &Knobs, program: Option<&Linked>) -> Option<(&'static str, String)> {
    let mut consoles = knobs.consoles.iter();
    let console = consoles.find(|console| {
        let any = record::console_objects(**console);
        let linked = |object: &&str| program.is_some_and(|p| p.objects.contains(*object));
        !any.iter().any(linked)
    })?;
    Some((
        "[firmware] consoles",
        format!("the console {}", console.word()),
    ))
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
    let shown = inspect::holds(content, banner.as_bytes()) == Ok(true);
    (!shown).then(|| ("[firmware] banner", format!("the text {banner:?}")))
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
fn compare(
    path: &Path,
    content: &[u8],
    linked: &Path,
    program: Result<Linked, ElfError>,
    client: Client,
) -> Result<(), Unfit> {
    let differ = |why: String| Unfit::Linked {
        path: path.to_owned(),
        linked: linked.to_owned(),
        why,
    };
    let program = program.map_err(|error| differ(error.to_string()))?;
    if !program.slam {
        return Err(differ("its symbols know no SLAM".to_owned()));
    }
    let objects = ["obj_slam", "obj_slamboot_slam"].map(|object| program.objects.contains(object));
    if objects != [client == Client::Stock, client == Client::Slamboot] {
        return Err(differ(format!(
            "expected the SLAM client {client:?} in it, found {objects:?} of iPXE's own and slamboot's"
        )));
    }
    if program.textdata.is_some() && program.textdata != inspect::textdata(content) {
        return Err(differ(".textdata differs".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

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
            reused: false,
        };
        let target = Target::parse("ipxe.lkrn").unwrap();
        let pins = Pins::builtin().unwrap();
        let site = site::Site::default();
        let recipe = Recipe::new(&site, pins.release("v2.0.0").unwrap(), None).unwrap();
        let error = prove(&target, &tree, &recipe, Some(&site.firmware), &pins).unwrap_err();
        assert!(matches!(error, Unfit::Missing { .. }), "{error}");
    }

    #[test]
    fn a_setting_that_the_compiler_did_not_see_is_named() {
        let mut firmware = site::Site::default().firmware;
        firmware.knobs.dhcp_timeout = Some(20);
        let settings = record::settings(&firmware, firmware::target::Platform::EfiX64);
        let mut program = super::super::package::tests::program();
        assert!(unset(&settings, &program).unwrap().1.contains("record"));
        let seen = |pairs: &[(&str, &str)]| {
            let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            Some(pairs.iter().map(pair).collect())
        };
        let mut pairs = vec![("BANNER_TIMEOUT", "0"), ("ROM_BANNER_TIMEOUT", "0")];
        assert_eq!(firmware.client, Client::Slamboot);
        program.settings = seen(&pairs);
        assert_eq!(
            unset(&settings, &program),
            Some((
                "[firmware] dhcp_timeout",
                "DHCP_DISC_END_TIMEOUT_SEC defined as 20".to_owned()
            ))
        );
        pairs.push(("DHCP_DISC_END_TIMEOUT_SEC", "20"));
        program.settings = seen(&pairs);
        assert_eq!(unset(&settings, &program), None);
    }
}
