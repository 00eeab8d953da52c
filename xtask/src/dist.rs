// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask dist`: everything that a site needs, in one directory, each piece with its proof.

mod place;
mod prebuilt;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use firmware::manifest::{Artefact, ArtefactKind, Manifest};
use xtask::cmd::Cmd;
use xtask::firmware::{self as build, source::SourceError};
use xtask::host::{self, Need};
use xtask::paths::Paths;
use xtask::programs;
use xtask::table::Table;

use self::place::Placed;

/// What is built and put into `bin/`.
const PROGRAMS: [&str; 2] = ["slamboot", "slam-client"];
/// What a site starts from.
const EXAMPLE_CONFIG: &str = include_str!("dist/slamboot.toml");
const NO_MULTICAST: &str = "NO MULTICAST in this set: iPXE's source is not at hand, so the firmware is the \
     distribution's own, which boots over HTTP; this adds it: cargo xtask dist --source DIR|URL|FILE";

/// Make everything that a site needs, in dist/: firmware, server, client, a demo disk, memdisk, an
/// example configuration, and a manifest with a proof for each.
///
/// The firmware is built from iPXE's source. Where that cannot be had, the distribution's own iPXE
/// takes its place, without multicast: the first line, the last line and the manifest say so.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where iPXE's source is: a clone, a git URL, or a tarball [default: the cache, then upstream].
    #[arg(long, value_name = "DIR|URL|FILE")]
    source: Option<String>,
    /// No source is an error, not a set without multicast.
    #[arg(long)]
    strict: bool,
    /// The site that the firmware is for [default: slamboot.toml, where there is one].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Arguments {
    /// As typed with nothing but a source.
    pub fn of(source: Option<String>) -> Arguments {
        Arguments {
            source,
            strict: false,
            config: None,
        }
    }

    /// For the verb that builds the firmware.
    pub fn firmware(&self) -> build::Arguments {
        build::Arguments {
            source: self.source.clone(),
            config: self.config.clone(),
            ..build::Arguments::default()
        }
    }
}

/// Runs the verb.
pub fn run(arguments: &Arguments, paths: &Paths) -> Result<()> {
    let multicast = make(arguments, paths)?;
    println!("\nnext: cargo xtask boot -n 3     three machines boot this, in QEMU");
    println!(
        "      cargo xtask serve --config {}     serves it to real ones",
        paths.shown(&paths.dist.join("slamboot.toml")),
    );
    if !multicast {
        println!("{NO_MULTICAST}");
    }
    Ok(())
}

/// What the verb does but for its last lines; whether the set has multicast.
pub fn make(arguments: &Arguments, paths: &Paths) -> Result<bool> {
    let build = arguments.firmware();
    host::ensure(&[Need::Firmware, Need::Serve])?;
    build::writable(&paths.dist)?;
    match build::find_source(&build, paths) {
        Ok(()) => {
            build::build(&build, paths)?;
        }
        Err(error) => {
            let absent = matches!(error.downcast_ref(), Some(SourceError::Nowhere { .. }));
            if arguments.strict || !absent {
                return Err(error);
            }
            println!("{NO_MULTICAST}");
            println!("{error:#}\n");
            host::ensure(&[Need::Prebuilt])?;
            prebuilt::package(paths, NO_MULTICAST)?;
        }
    }
    let programs = programs::build(paths, PROGRAMS).context("building server and client")?;
    let mut manifest = Manifest::read(&paths.manifest())?;
    for placed in rest(paths, &programs)? {
        manifest.put(placed.artefact());
    }
    // What somebody deleted is not there to be described.
    manifest.remove(|artefact| !paths.dist.join(&artefact.path).exists());
    manifest.write(&paths.manifest())?;
    verify(paths)?;
    Ok(manifest.multicast)
}

/// Everything but firmware, put into its place.
fn rest(paths: &Paths, programs: &[PathBuf]) -> Result<Vec<Placed>> {
    let mut placed = Vec::new();
    for (program, from) in PROGRAMS.iter().zip(programs) {
        let path = format!("bin/{program}");
        let file = place::copy(from, &paths.dist.join(&path))?;
        let version = Cmd::new(&file)
            .arg("--version")
            .read()
            .with_context(|| format!("{program} does not start"))?;
        let proof = format!("it starts: {version}");
        placed.push(Placed::new(paths, &path, ArtefactKind::Program, &proof)?);
    }

    Cmd::new(paths.dist.join("bin/slamboot"))
        .arg("generate")
        .arg(&paths.dist)
        .read()
        .context("making man pages and completions")?;
    Cmd::new(paths.dist.join("bin/slam-client"))
        .arg("--generate")
        .arg(&paths.dist)
        .read()
        .context("making slam-client's man page and completions")?;
    let slamboot = paths.dist.join("bin/slamboot");
    let image = paths.demo_image();
    place::directory_of(&image)?;
    Cmd::new(&slamboot)
        .args(["image", "demo", "--output"])
        .arg(&image)
        .read()
        .context("making the demo disk")?;
    let proof = "read back by its builder; boots and reads itself";
    #[rustfmt::skip]
    placed.push(Placed::new(paths, "images/demo.img", ArtefactKind::Image, proof)?);

    let memdisk = host::memdisk().context("memdisk vanished while we looked")?;
    place::copy(&memdisk, &paths.dist.join("memdisk"))?;
    let proof = format!("the distribution's {}, GPL-2.0-or-later", memdisk.display());
    placed.push(Placed::new(paths, "memdisk", ArtefactKind::Other, &proof)?);

    let config = paths.dist.join("slamboot.toml");
    // It is there to be edited: an edited one stays.
    if !config.exists() {
        place::write(&config, EXAMPLE_CONFIG.as_bytes())?;
    }
    let proof = match site::Site::load(&config) {
        Ok(_) => "read by the server's own parser".to_owned(),
        Err(error) => bail!("{error}\nhelp: mend it, or delete it to get the example again"),
    };
    #[rustfmt::skip]
    placed.push(Placed::new(paths, "slamboot.toml", ArtefactKind::Other, &proof)?);
    Ok(placed)
}

/// Reads every file of the manifest back, as it now lies there, and prints the table.
fn verify(paths: &Paths) -> Result<()> {
    let manifest = Manifest::read(&paths.manifest())?;
    let mut table = Table::new(["in dist/", "bytes", "sha256", "proof"]);
    for artefact in &manifest.artefacts {
        agree(artefact, &paths.dist)?;
        table.row([
            artefact.path.clone(),
            artefact.bytes.to_string(),
            artefact.sha256[..12].to_owned(),
            artefact.proof.clone().unwrap_or_default(),
        ]);
    }
    println!("\n{table}");
    println!(
        "{} files, read back and equal to {}",
        manifest.artefacts.len(),
        paths.shown(&paths.manifest())
    );
    Ok(())
}

/// Whether the file that `artefact` describes is the one below `dist`.
fn agree(artefact: &Artefact, dist: &Path) -> Result<()> {
    let file = dist.join(&artefact.path);
    let found = Artefact::of_file(&artefact.path, &file, artefact.kind)
        .with_context(|| format!("cannot read {}", file.display()))?;
    ensure!(
        (found.bytes, &found.sha256, &found.crc32)
            == (artefact.bytes, &artefact.sha256, &artefact.crc32),
        "{}: expected {} bytes with sha256 {}, found {} bytes with sha256 {}: somebody else writes \
         to dist/, or its disk is failing; run it again",
        file.display(),
        artefact.bytes,
        artefact.sha256,
        found.bytes,
        found.sha256
    );
    Ok(())
}

/// Whether `dist` holds what its manifest says, for verbs that rely on it.
pub fn check(dist: &Path, path: &str) -> Result<()> {
    let manifest = Manifest::read(&dist.join("manifest.json"))?;
    match manifest.artefacts.iter().find(|a| a.path == path) {
        Some(artefact) => agree(artefact, dist),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_example_is_a_site_that_can_be_served() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("slamboot.toml");
        fs::write(&config, EXAMPLE_CONFIG).unwrap();
        let site = site::Site::load(&config).unwrap();
        assert_eq!(site.images[0].name, "demo");
        assert_eq!(site.server.memdisk, dir.path().join("memdisk"));
    }

    /// Debian package and container are made of what the verb puts into dist/, and of what is here.
    #[test]
    fn packages_are_made_of_what_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
        let container = read("packaging/Containerfile");
        let copied = container
            .lines()
            .filter_map(|line| line.strip_prefix("COPY "))
            .flat_map(|line| {
                let mut words: Vec<&str> = line.split_whitespace().collect();
                words.pop();
                words
            });
        let manifest = read("Cargo.toml");
        let assets = manifest
            .lines()
            .filter_map(|line| line.trim().strip_prefix("[\"")?.strip_suffix("\"],"))
            .filter_map(|line| {
                line.split_once("\", \"usr/")
                    .or(line.split_once("\", \"etc/"))
            })
            .map(|(source, _)| source);
        let made = [
            "bin/slamboot",
            "bin/slam-client",
            "firmware",
            "firmware/*",
            "images/demo.img",
            "man/*",
            "completions/slamboot.bash",
            "completions/_slamboot",
            "completions/slamboot.fish",
            "completions/slam-client.bash",
            "completions/_slam-client",
            "completions/slam-client.fish",
        ];
        let mut counted = 0;
        for source in copied.chain(assets) {
            counted += 1;
            let there = match source.strip_prefix("dist/") {
                Some(of_dist) => made.contains(&of_dist),
                None if source.starts_with("target/release/slam") => true,
                None => root.join(source.split('*').next().unwrap()).exists(),
            };
            assert!(there, "{source} is nowhere");
        }
        assert!(counted > 15, "{counted} sources were read");
    }

    #[test]
    fn a_changed_file_is_found_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("memdisk");
        fs::write(&file, "memdisk").unwrap();
        let artefact = Artefact::of("memdisk", b"memdisk", ArtefactKind::Other);
        agree(&artefact, dir.path()).unwrap();
        let mut manifest = Manifest::default();
        manifest.put(artefact);
        manifest.write(&dir.path().join("manifest.json")).unwrap();
        check(dir.path(), "memdisk").unwrap();
        fs::write(&file, "memdisK").unwrap();
        let error = check(dir.path(), "memdisk").unwrap_err().to_string();
        assert!(
            error.contains("memdisk: expected 7 bytes with sha256"),
            "{error}"
        );
        fs::remove_file(&file).unwrap();
        let error = check(dir.path(), "memdisk").unwrap_err().to_string();
        assert!(error.starts_with("cannot read "), "{error}");
    }
}
