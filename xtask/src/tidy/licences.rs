// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every source file names its licence, and GPL stays where it links into iPXE.

use super::{Source, Violation};

const OURS: &str = "MIT OR Apache-2.0";
const GPL: &str = "GPL-2.0-or-later";
const OVERLAY: &str = "firmware/overlay/";
const TAG: &str = "SPDX-License-Identifier: ";

/// A shebang or `#!ipxe` may stand first.
const WITHIN: usize = 3;

pub(super) fn check(source: &Source) -> Option<Violation> {
    if !is_source(&source.path) {
        return None;
    }
    let violation = |line: usize, what: String| {
        Some(Violation {
            path: source.path.clone(),
            line,
            rule: "licences",
            what,
        })
    };
    let tagged = source
        .text
        .lines()
        .take(WITHIN)
        .enumerate()
        .find_map(|(number, line)| Some((number + 1, line.split_once(TAG)?.1)));
    let Some((line, licence)) = tagged else {
        return violation(1, format!("no `{TAG}{OURS}` in the first lines"));
    };
    let licence = licence.trim().trim_end_matches("*/").trim();
    let overlay = source.path.starts_with(OVERLAY);
    let links = source.text.contains("#include <ipxe/");
    match licence {
        OURS if overlay && links => violation(
            line,
            format!("it includes iPXE's headers and so links into iPXE: {GPL}, not {OURS}"),
        ),
        OURS => None,
        GPL if overlay => None,
        GPL => violation(line, format!("{GPL} outside {OVERLAY}")),
        other => violation(line, format!("expected {OURS}, found {other}")),
    }
}

fn is_source(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    // What rustc or cargo alone reads has no licence of its own.
    let settings = name == "Cargo.toml" || !path.contains('/') || path.starts_with(".cargo/");
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension {
        "rs" | "c" | "h" | "S" | "ipxe" | "sh" | "css" | "js" | "cjs" => true,
        "toml" => !settings && !path.starts_with("docs/"),
        _ => path == ".ci/run",
    }
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    #[test]
    fn every_source_file_names_its_licence() {
        let ours = "// SPDX-License-Identifier: MIT OR Apache-2.0\n";
        for (path, text) in [
            ("src/lib.rs", ours),
            (
                "firmware/overlay/net/slam_core.c",
                "/* SPDX-License-Identifier: MIT OR Apache-2.0 */\n",
            ),
            (
                "firmware/scripts/boot.ipxe",
                "#!ipxe\n# SPDX-License-Identifier: MIT OR Apache-2.0\n",
            ),
            ("README.md", "# no licence\n"),
            ("xtask/Cargo.toml", "[package]\n"),
            ("clippy.toml", ""),
            (
                "firmware/overlay/net/igmp.c",
                "/* SPDX-License-Identifier: GPL-2.0-or-later */\n#include <ipxe/tcpip.h>\n",
            ),
        ] {
            assert_eq!(check(&source(path, text)), None, "{path}");
        }
        for (path, text, what) in [
            ("src/lib.rs", "//! No licence.\n", "no `SPDX"),
            ("firmware/ipxe.toml", "[release]\n", "no `SPDX"),
            (".ci/run", "#!/usr/bin/env bash\nset -e\n", "no `SPDX"),
            (
                "src/lib.rs",
                "// SPDX-License-Identifier: Zlib\n",
                "expected MIT",
            ),
            (
                "slam-server/src/x.rs",
                "// SPDX-License-Identifier: GPL-2.0-or-later\n",
                "GPL-2.0-or-later outside",
            ),
            (
                "firmware/overlay/net/igmp.c",
                "/* SPDX-License-Identifier: MIT OR Apache-2.0 */\n#include <ipxe/tcpip.h>\n",
                "it includes iPXE's headers",
            ),
        ] {
            let found = check(&source(path, text)).unwrap();
            assert!(found.what.starts_with(what), "{path}: {found}");
        }
    }
}
