// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask tidy`: the rules of the house, executed.

mod arrows;
mod code;
mod layers;
mod licences;
mod sizes;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::codegen;
use crate::test::PROOFS;
use xtask::cmd::Cmd;
use xtask::paths::Paths;

/// Check format, lints, layers, licences and sizes.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only the rules on files: no rustfmt, no clippy, no cargo-deny.
    #[arg(long)]
    files: bool,
}

/// A file of the house, as text.
struct Source {
    /// From the workspace's root, with `/`.
    path: String,
    text: String,
}

/// A rule that a line does not keep.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    path: String,
    /// From 1.
    line: usize,
    rule: &'static str,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation {
            path,
            line,
            rule,
            what,
        } = self;
        write!(f, "{path}:{line}: {rule}: {what}")
    }
}

/// Every rule on one file.
fn check(source: &Source) -> Vec<Violation> {
    let mut violations = layers::check(source);
    violations.extend(arrows::crates(source));
    violations.extend(arrows::wire(source));
    violations.extend(licences::check(source));
    violations.extend(sizes::check(source));
    violations
}

/// Runs the verb.
pub fn run(arguments: &Arguments, paths: &Paths) -> Result<()> {
    let sources = sources(&paths.root)?;
    let mut violations: Vec<Violation> = sources.iter().flat_map(check).collect();
    violations.extend(changelog(&sources));
    for violation in &violations {
        eprintln!("error: {violation}");
    }
    if !violations.is_empty() {
        bail!("{} broken", count(violations.len(), "rule"));
    }
    println!("tidy: {} files keep the rules", sources.len());
    if arguments.files {
        return Ok(());
    }
    codegen::run(&codegen::Arguments::CHECK, paths)?;
    let cargo = |args: &[&str]| Cmd::new("cargo").dir(&paths.root).args(args);
    let installed = |command: &str, help: &str| {
        let there = cargo(&[command, "--version"]).read().is_ok();
        if !there {
            println!("skipped: cargo {command} is not installed; {help}");
        }
        there
    };
    if installed("fmt", "rustup component add rustfmt") {
        cargo(&["fmt", "--all", "--check"])
            .run()
            .context("format: `cargo fmt --all` mends it")?;
    }
    if installed("clippy", "rustup component add clippy") {
        let all = ["clippy", "--quiet", "--workspace", "--all-targets"];
        // `--all-targets` leaves them out, too.
        let mut proofs = vec!["clippy", "--quiet", "--workspace"];
        for name in PROOFS {
            proofs.extend(["--test", name]);
        }
        for targets in [&all[..], &proofs] {
            cargo(targets)
                .args(["--", "-D", "warnings"])
                .run()
                .context("lints")?;
        }
    }
    if installed("deny", "cargo install cargo-deny") {
        let deny = ["deny", "--offline", "check", "bans", "licenses", "sources"];
        cargo(&deny).run().context("dependencies: see deny.toml")?;
    }
    println!("tidy");
    Ok(())
}

/// `1 rule`, `2 rules`.
fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// A changelog with something in it.
fn changelog(sources: &[Source]) -> Option<Violation> {
    let kept = sources
        .iter()
        .any(|source| source.path == "CHANGELOG.md" && source.text.contains("\n## "));
    (!kept).then(|| Violation {
        path: "CHANGELOG.md".to_owned(),
        line: 1,
        rule: "changelog",
        what: "there is none, or it has no section".to_owned(),
    })
}

/// Every text file of the house.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(dir) = left.pop() {
        let entries = fs::read_dir(&dir).with_context(|| dir.display().to_string())?;
        let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        for path in entries {
            let shown = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                let ours = !["target", "dist", ".git"].contains(&&*shown);
                left.extend(ours.then_some(path));
            } else if let Ok(text) = fs::read_to_string(&path) {
                // What is no text (test fixtures) has no lines to keep rules.
                sources.push(Source { path: shown, text });
            }
        }
    }
    Ok(sources)
}

#[cfg(test)]
fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_names_file_line_and_rule() {
        let violation = changelog(&[]).unwrap();
        assert_eq!(
            violation.to_string(),
            "CHANGELOG.md:1: changelog: there is none, or it has no section"
        );
        let kept = source("CHANGELOG.md", "# Changelog\n\n## Unreleased\n");
        assert_eq!(changelog(&[kept]), None);
    }

    #[test]
    fn this_house_is_found_whole() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let sources = sources(root).unwrap();
        for path in ["Cargo.toml", "xtask/src/tidy.rs", "site/src/lib.rs"] {
            assert!(sources.iter().any(|source| source.path == path), "{path}");
        }
        assert!(
            !sources
                .iter()
                .any(|source| source.path.starts_with("target/"))
        );
    }
}
