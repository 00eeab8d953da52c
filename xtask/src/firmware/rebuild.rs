// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--rebuild MANIFEST`: whether what a manifest says of its files' inputs is enough to make them again.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use firmware::manifest::{ArtefactKind, Manifest};
use firmware::pins::Pins;
use firmware::recipe::Recipe;
use firmware::target::Target;
use sha2::{Digest, Sha256};

use super::tools::Tools;
use super::{Arguments, Source, Works};
use crate::certificate::Certificate;
use crate::host;
use crate::paths::Paths;
use crate::table::Table;

pub(super) fn run(path: &Path, arguments: &Arguments, paths: &Paths) -> Result<()> {
    ensure!(
        path.is_file(),
        "{}: no such manifest\nhelp: cargo xtask firmware writes dist/manifest.json",
        path.display()
    );
    let manifest = Manifest::read(path)?;
    let pins = Pins::builtin()?;
    let build = Paths {
        target: paths.target.join("rebuild"),
        dist: paths.target.join("rebuild/dist"),
        ..paths.clone()
    };
    if build.target.exists() {
        fs::remove_dir_all(&build.target).with_context(|| build.target.display().to_string())?;
    }
    let fingerprint = |pem: &str| fingerprint(pem, &build).ok();
    let recipe =
        Recipe::of(&manifest, &pins, fingerprint).with_context(|| path.display().to_string())?;
    let mut wanted = Vec::new();
    for artefact in &manifest.artefacts {
        if let (ArtefactKind::Firmware(_), Some(target)) = (artefact.kind, &artefact.target) {
            wanted.push((Target::parse(target)?, artefact));
        }
    }
    ensure!(!wanted.is_empty(), "{} lists no firmware", path.display());
    let targets: Vec<Target> = wanted.iter().map(|(target, _)| target.clone()).collect();
    for (tool, version) in Tools::of(&targets).all() {
        let then = manifest.tools.get(*tool);
        if then.is_some_and(|then| then != version) {
            println!(
                "warning: {tool} is {version}, and was {}: the bytes may differ",
                then.map_or("", String::as_str)
            );
        }
    }
    host::ensure(&super::choice::needs(&targets))?;
    let works = Works {
        pins: &pins,
        paths: &build,
        source: arguments.source.as_deref().map(Source::parse).transpose()?,
        jobs: arguments.jobs.map(std::num::NonZeroUsize::get),
    };
    let (proven, _) = works.build(&recipe, &targets, None, None)?;
    let mut table = Table::new(["firmware", "bytes", "sha256 of both"]);
    let mut differing = Vec::new();
    for ((target, artefact), file) in wanted.iter().zip(&proven) {
        let found = hex::encode(Sha256::digest(&file.content));
        if found == artefact.sha256 {
            let bytes = file.content.len().to_string();
            table.row([target.name().to_owned(), bytes, found]);
        } else {
            differing.push(format!(
                "{}: the manifest says {}, it came to {found}",
                target.name(),
                artefact.sha256
            ));
        }
    }
    if !differing.is_empty() {
        bail!(
            "not the same bytes: {} of {} differ\n  {}\nhelp: other tools than the manifest names, or files signed for Secure Boot",
            differing.len(),
            wanted.len(),
            differing.join("\n  ")
        );
    }
    println!(
        "\nrebuilt from {} alone, inputs {}: the same bytes\n\n{table}",
        path.display(),
        recipe.digest()
    );
    fs::remove_dir_all(&build.target).with_context(|| build.target.display().to_string())
}

fn fingerprint(pem: &str, build: &Paths) -> Result<[u8; 32]> {
    fs::create_dir_all(&build.target)?;
    let path = build.target.join("root.crt");
    fs::write(&path, pem)?;
    Ok(Certificate::read(&path, "")?.fingerprint)
}
