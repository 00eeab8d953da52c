// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host's programs and files that firmware is made with: what another version of them makes is something
//! else, so they are named in the manifest, and what was made with others is made again.

use std::path::{Path, PathBuf};

use firmware::target::{Platform, Target};
use sha2::{Digest as _, Sha256};

use crate::cmd::Cmd;
use crate::host;

/// iPXE takes the first of these that is there and can give files a time of its choosing (`util/genfsimg`).
const ISO_MAKERS: [&str; 3] = ["genisoimage", "mkisofs", "xorrisofs"];
/// Of these are objects and packed programs made, for every machine.
const COMPILING: [&str; 3] = ["gcc", "ld", "liblzma"];
/// Of these are ISO and USB images made.
const MEDIA: [&str; 6] = [
    "iso-maker",
    "isohybrid",
    "mformat",
    "syslinux",
    "isolinux.bin",
    "ldlinux.c32",
];

/// Each tool, and what is known of it: the first line of its `--version`, or a digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tools(Vec<(&'static str, String)>);

impl Tools {
    /// Asks those that making `targets` takes.
    pub(crate) fn of(targets: &[Target]) -> Tools {
        let mut tools = vec![
            ("gcc", version("gcc", "--version")),
            ("ld", version("ld", "--version")),
            ("make", version("make", "--version")),
            ("perl", version("perl", "-V:version")),
            ("liblzma", liblzma()),
        ];
        if targets.iter().any(|t| t.platform() == Platform::EfiArm64) {
            for tool in ["aarch64-linux-gnu-gcc", "aarch64-linux-gnu-ld"] {
                tools.push((tool, version(tool, "--version")));
            }
        }
        if targets.iter().any(Target::is_medium) {
            tools.extend([
                ("iso-maker", iso_maker()),
                ("isohybrid", version("isohybrid", "--version")),
                ("mformat", version("mformat", "--version")),
                ("syslinux", version("syslinux", "--version")),
            ]);
            for file in ["isolinux.bin", "ldlinux.c32"] {
                tools.push((file, digest(host::find(file))));
            }
        }
        Tools(tools)
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[(&'static str, String)] {
        &self.0
    }

    /// What objects for `platform` are made with.
    pub(crate) fn compiling(&self, platform: Platform) -> String {
        let cross = platform.cross().unwrap_or("-");
        self.lines(|name| COMPILING.contains(&name) || name.starts_with(cross))
    }

    /// What ISO and USB images are made with; `None` where none was asked for.
    pub(crate) fn media(&self) -> Option<String> {
        let lines = self.lines(|name| MEDIA.contains(&name));
        (!lines.is_empty()).then_some(lines)
    }

    fn lines(&self, wanted: impl Fn(&str) -> bool) -> String {
        let mut lines = String::new();
        for (name, version) in self.0.iter().filter(|(name, _)| wanted(name)) {
            lines.extend([*name, " ", version.as_str(), "\n"]);
        }
        lines
    }

    #[cfg(test)]
    pub(crate) fn said(tools: &[(&'static str, &str)]) -> Tools {
        let tools = tools.iter().map(|(name, said)| (*name, (*said).to_owned()));
        Tools(tools.collect())
    }
}

/// The first line of what a tool says of itself, on either output; some begin with an empty one. `None` where it is
/// not there.
fn says(tool: &str, argument: &str) -> Option<String> {
    let mut first = None;
    let asked = Cmd::new(tool).arg(argument).env("LC_ALL", "C");
    let whole = asked.lines(|line| {
        let line = line.trim();
        if first.is_none() && !line.is_empty() {
            first = Some(line.to_owned());
        }
    });
    whole.ok().map(|()| first.unwrap_or_default())
}

fn version(tool: &str, argument: &str) -> String {
    says(tool, argument).unwrap_or_else(|| "none".to_owned())
}

fn iso_maker() -> String {
    let dates = |name: &&&str| {
        let asked = Cmd::new(name).args(["--set_all_file_dates", "1970010100000000", "--version"]);
        host::program(name).is_some() && asked.read().is_ok()
    };
    let found = ISO_MAKERS.iter().find(dates).map(|name| {
        let said = says(name, "--version").unwrap_or_else(|| "(says no version)".to_owned());
        format!("{name}: {said}")
    });
    found.unwrap_or_else(|| "none".to_owned())
}

/// iPXE packs with it (`util/zbin.c`), so its version may show in every byte; the library's name has it.
fn liblzma() -> String {
    let asked = Cmd::new("gcc")
        .args(["-print-file-name=liblzma.so"])
        .read()
        .ok();
    let real = asked.and_then(|path| Path::new(&path).canonicalize().ok());
    let name = real.as_deref().and_then(Path::file_name);
    name.map_or_else(
        || "unknown".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

fn digest(file: Option<PathBuf>) -> String {
    let content = file.and_then(|path| std::fs::read(path).ok());
    content.map_or_else(
        || "none".to_owned(),
        |content| format!("sha256 {}", hex::encode(Sha256::digest(content))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_names_what_it_is_made_with() {
        let of = |names: &[&str]| {
            let targets: Vec<Target> = names.iter().map(|n| Target::parse(n).unwrap()).collect();
            let names = Tools::of(&targets).0.into_iter().map(|(name, _)| name);
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(&["undionly.kpxe"]), "gcc ld make perl liblzma");
        assert!(
            of(&["ipxe.iso"])
                .ends_with(" iso-maker isohybrid mformat syslinux isolinux.bin ldlinux.c32")
        );
        assert!(of(&["snponly-arm64.efi"]).contains("aarch64-linux-gnu-gcc aarch64-linux-gnu-ld"));
    }

    /// genisoimage comes first in iPXE's list, and is passed over.
    #[test]
    fn the_iso_maker_can_date_files() {
        let found = iso_maker();
        if host::program("xorrisofs").is_some() {
            assert!(found.contains(": ") && !found.ends_with(": "), "{found}");
        }
        assert!(!found.starts_with("genisoimage"), "{found}");
    }

    #[test]
    fn another_compiler_shows_where_it_is_used() {
        let tools = |gcc, cross, iso| {
            Tools::said(&[
                ("gcc", gcc),
                ("make", "4.3"),
                ("aarch64-linux-gnu-gcc", cross),
                ("isolinux.bin", iso),
            ])
        };
        let one = tools("12", "12", "a");
        let cross = tools("12", "13", "a");
        assert_eq!(one.compiling(Platform::Bios), "gcc 12\n");
        assert_eq!(
            one.compiling(Platform::Bios),
            cross.compiling(Platform::Bios)
        );
        assert_ne!(
            one.compiling(Platform::EfiArm64),
            cross.compiling(Platform::EfiArm64)
        );
        assert_ne!(one.media(), tools("12", "12", "b").media());
        assert_eq!(Tools::said(&[("gcc", "12")]).media(), None);
    }
}
