// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--measure`: what each key of `[firmware]` adds to a `.rom`, for `least_rom` of a release in `firmware/ipxe.toml`.
//!
//! Keys share code (all that verifies has digests): the more of them are there, the less another one adds. So each is
//! added to those before it, and whatever is chosen of them, the sum is a bound from below. Those that share most stand
//! first, in several orders, of which each gives a bound, and the largest is taken. A few keys add more beside others: each
//! is measured alone, too, and the less counts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use firmware::inspect;
use firmware::pins::Pins;
use firmware::recipe::{ROOT, Recipe, Root};
use firmware::target::{Platform, Target};
use site::{Commands, Console, Firmware, Protocol, Site, Trust};

use super::make::{self, MakeCommand};
use super::source::{self, Source};
use super::tools::Tools;
use super::tree::{self, BuildTree};
use super::{Arguments, fit};
use crate::paths::Paths;

/// Has what the `.rom` has, and is made where that would be too large.
const TARGET: &str = "8086100e.mrom";
/// What the orders begin with: the keys that share most.
const FIRST: [[&str; 4]; 3] = [
    ["trust", "digest", "crypt", "cert"],
    ["crypt", "cert", "digest", "trust"],
    ["digest", "cert", "crypt", "trust"],
];
/// One in so many of the bytes that were measured does not count.
const MARGIN: usize = 32;

pub(super) fn run(arguments: &Arguments, paths: &Paths) -> Result<()> {
    let site = super::site(arguments.config.as_deref(), paths)?;
    let pins = Pins::builtin()?;
    let name = arguments.release.as_ref().unwrap_or(&site.firmware.release);
    let release = pins.release(name)?;
    let trust = site.firmware.trust.clone().context(
        "no [firmware] trust: expected a root, whose trust is measured, too\nhelp: cargo xtask trust init, and trust = true in slamboot.toml",
    )?;
    let root = crate::trust::root(&trust, release)?;
    let source = arguments.source.as_deref().map(Source::parse).transpose()?;
    let located = source::locate(release, &pins.upstream, source.as_ref(), paths)?;
    let build = paths.target.join("measure");
    if build.exists() {
        fs::remove_dir_all(&build).with_context(|| build.display().to_string())?;
    }
    let target = Target::parse(TARGET)?;
    let recipe = Recipe::new(&Site::default(), release, None)?;
    let measuring = Measuring {
        tree: tree::prepare(located.tree, &recipe, &build)?,
        tools: Tools::of(std::slice::from_ref(&target)),
        recipe,
        target,
        root,
        logs: &build.join("logs"),
    };
    let all = all(trust);
    let nothing = measuring.packed(&[])?;
    let mut alone = BTreeMap::new();
    for (word, turn) in &all {
        alone.insert(*word, measuring.packed(&[turn])?.saturating_sub(nothing));
    }
    let mut sharing = String::new();
    let mut keys = String::new();
    for first in FIRST {
        let place = |word: &str| first.iter().position(|of| *of == word);
        let mut order: Vec<_> = all.iter().collect();
        order.sort_by_key(|(word, _)| place(word).unwrap_or(first.len()));
        // The others are measured beside all that share, whose order does not matter to them.
        if !keys.is_empty() {
            order.truncate(first.len());
        }
        let (mut turned, mut shared) = (Vec::new(), Vec::new());
        let mut before = nothing;
        for (word, turn) in order {
            turned.push(turn);
            let packed = measuring.packed(&turned)?;
            let added = packed.saturating_sub(before).min(alone[word]);
            let line = format!("{word} = {}", added - added / MARGIN);
            if place(word).is_some() {
                shared.push(line);
            } else {
                keys.extend([line.as_str(), "\n"]);
            }
            before = packed;
        }
        sharing.extend(["    { ", &shared.join(", "), " },\n"]);
    }
    println!("sharing = [\n{sharing}]\n\n[releases.\"{name}\".least_rom.keys]\n{keys}");
    fs::remove_dir_all(&build).with_context(|| build.display().to_string())
}

/// Turns a key of `[firmware]`.
type Turn = Box<dyn Fn(&mut Firmware)>;

/// All keys that a card's own BIOS ROM can have, by their words.
fn all(trust: Trust) -> Vec<(&'static str, Turn)> {
    let mut all: Vec<(&'static str, Turn)> = vec![
        ("trust", Box::new(move |f| f.trust = Some(trust.clone()))),
        ("serial", Box::new(|f| f.serial = true)),
        ("ipv6", Box::new(|f| f.ipv6 = true)),
    ];
    for &of in Protocol::ALL.iter().filter(|of| **of != Protocol::Https) {
        all.push((of.word(), Box::new(move |f| f.knobs.protocols.push(of))));
    }
    for &of in Commands::ALL.iter().filter(|of| **of != Commands::Usb) {
        all.push((of.word(), Box::new(move |f| f.knobs.commands.push(of))));
    }
    for &of in Console::ALL {
        all.push((of.word(), Box::new(move |f| f.knobs.consoles.push(of))));
    }
    all
}

/// One tree, in which headers change and make follows.
struct Measuring<'a> {
    tree: BuildTree,
    tools: Tools,
    recipe: Recipe,
    target: Target,
    root: Root,
    logs: &'a Path,
}

impl Measuring<'_> {
    /// How many bytes all packed blocks have with these keys: a ROM's own size is in whole units.
    fn packed(&self, turned: &[&Turn]) -> Result<usize> {
        let mut site = Site::default();
        site.firmware.serial = false;
        for turn in turned {
            turn(&mut site.firmware);
        }
        let mut recipe = self.recipe.clone();
        recipe.root = site.firmware.trust.as_ref().map(|_| self.root.clone());
        recipe.headers = firmware::config::headers(&site.firmware, &recipe.release);
        let src = self.tree.src();
        fs::write(src.join(ROOT), &self.root.pem)?;
        for name in ["general.h", "console.h", "slamboot_record.h"] {
            let path = src.join("config/local").join(name);
            let header = recipe.headers.iter().find(|header| header.name == name);
            let text = header.map_or("", |header| &header.text);
            if fs::read_to_string(&path).ok().as_deref() != Some(text) {
                fs::write(&path, text).with_context(|| path.display().to_string())?;
            }
        }
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let targets = [&self.target];
        let make = MakeCommand::new(
            &recipe,
            Platform::Bios,
            &targets,
            &self.tree,
            jobs,
            self.logs,
        );
        make::run_all(&[make], &self.tree, &self.tools)?;
        let file = fs::read(src.join(self.target.path()))?;
        let packed = inspect::packed_bytes(&file);
        println!("{packed} with {}", fit::words(&site.firmware).join(" "));
        Ok(packed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is measured under a word is what the bound counts under it, and nothing is left out.
    #[test]
    fn each_key_has_the_word_that_the_bound_goes_by() {
        let root = "root.crt".into();
        let all = all(Trust { root });
        let nothing = || Firmware {
            serial: false,
            ..Site::default().firmware
        };
        let mut everything = nothing();
        for (word, turn) in &all {
            let mut alone = nothing();
            turn(&mut alone);
            assert_eq!(fit::words(&alone), [*word]);
            turn(&mut everything);
        }
        let mut measured: Vec<_> = all.iter().map(|(word, _)| *word).collect();
        let mut counted = fit::words(&everything);
        measured.sort_unstable();
        counted.sort_unstable();
        assert_eq!(measured, counted);
    }
}
