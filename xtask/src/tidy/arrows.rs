// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arrows between the rooms point one way.

use super::{Source, Violation, code};

/// Each crate's manifest and the crates of this house that it may use. What only tests use
/// (`[dev-dependencies]`) is free, for cargo refuses circles by itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("site/Cargo.toml", &[]),
    ("slam-client/Cargo.toml", &[]),
    ("slam-server/Cargo.toml", &["site", "slam-client"]),
    ("firmware/Cargo.toml", &["site"]),
    (
        "Cargo.toml",
        &["site", "slam-client", "slam-server", "firmware"],
    ),
    ("xtask/Cargo.toml", &["site", "firmware"]),
];

const HOUSE: &[&str] = &[
    "site",
    "slam-client",
    "slam-server",
    "firmware",
    "slamboot",
    "xtask",
];

/// The codec uses nothing of its own crate but these, so that everything else may use it.
const BELOW_WIRE: &[&str] = &["blocks::", "window::"];
const WIRE: &str = "slam-client/src/wire.rs";

pub(super) fn crates(source: &Source) -> Vec<Violation> {
    let Some((_, allowed)) = ARROWS.iter().find(|(path, _)| source.path == *path) else {
        return Vec::new();
    };
    let mut section = "";
    let mut violations = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        let line = line.trim();
        if let Some(heading) = line.strip_prefix('[') {
            section = heading.trim_end_matches(']');
            continue;
        }
        let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
        let used = matches!(section, "dependencies" | "build-dependencies");
        if used && HOUSE.contains(&name) && !allowed.contains(&name) {
            violations.push(Violation {
                path: source.path.clone(),
                line: number + 1,
                rule: "arrows",
                what: match allowed {
                    [] => format!("depends on `{name}`; this crate is a leaf of the house"),
                    allowed => format!("depends on `{name}`; it may use {}", allowed.join(", ")),
                },
            });
        }
    }
    violations
}

pub(super) fn wire(source: &Source) -> Vec<Violation> {
    if source.path != WIRE {
        return Vec::new();
    }
    code::lines(&source.text)
        .into_iter()
        .filter(|(_, line)| {
            ["crate::", "super::"].iter().any(|root| {
                line.match_indices(root)
                    .map(|(at, _)| &line[at + root.len()..])
                    .any(|name| !BELOW_WIRE.iter().any(|below| name.starts_with(below)))
            })
        })
        .map(|(line, text)| Violation {
            path: source.path.clone(),
            line,
            rule: "arrows",
            what: format!(
                "`{}`; the codec may use only `crate::blocks` and `crate::window`",
                text.trim()
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    #[test]
    fn no_arrow_points_back() {
        let text = "[package]\nname = \"slam-client\"\n[dependencies]\nslamboot.workspace = true\n";
        let found = crates(&source("slam-client/Cargo.toml", text));
        assert_eq!((found.len(), found[0].line), (1, 4));
        assert!(found[0].what.contains("leaf"), "{found:?}");

        let text = "[dependencies]\nslamboot = { path = \"..\" }\nsite.workspace = true\n";
        let found = crates(&source("firmware/Cargo.toml", text));
        assert_eq!((found.len(), found[0].line), (1, 2));
        assert!(found[0].what.ends_with("it may use site"), "{found:?}");

        let text = "[dependencies]\nsite-maps = \"1\"\n[dev-dependencies]\nxtask.workspace = true\n\
                    [workspace.dependencies]\nslamboot = { path = \".\" }\n";
        assert_eq!(crates(&source("Cargo.toml", text)), []);
    }

    #[test]
    fn the_codec_stands_on_numbers_alone() {
        let text = "use crate::blocks::BlockSet;\nuse crate::receiver::Receiver;\n";
        let found = wire(&source(WIRE, text));
        assert_eq!((found.len(), found[0].line), (1, 2));
        assert_eq!(wire(&source("slam-client/src/socket.rs", text)), []);
        assert_eq!(wire(&source(WIRE, "use std::fmt;\n")), []);
    }
}
