// SPDX-License-Identifier: MIT OR Apache-2.0
//! A ROM that looks the same from outside and has no SLAM: the header that switches it on, switched off.

use std::fs;

use anyhow::{Context, ensure};
use xtask::cmd::Cmd;

use crate::BUILD_LIMIT;
use crate::support::{Outcome, paths};

const ON: &str = "#define DOWNLOAD_PROTO_SLAM\n";
const TARGET: &str = "undionly.kpxe";

pub fn is_told_apart() -> Outcome {
    let dir = tempfile::tempdir()?;
    let config = dir.path().join("slamboot.toml");
    fs::write(&config, "[firmware]\nclient = \"stock\"\n")?;
    let dist = paths().target.join("test/off");
    let said = Cmd::new("cargo")
        .dir(&paths().root)
        .args(["xtask", "firmware", "--target", TARGET, "--config"])
        .arg(&config)
        .env("SLAMBOOT_DIST", &dist)
        .limit(BUILD_LIMIT)
        .read()?;
    inspect(&dist.join("firmware").join(TARGET)).context("with SLAM")?;

    let tree = said.lines().find_map(|line| line.strip_prefix("tree "));
    let tree = tree.and_then(|line| line.split_whitespace().next());
    let tree = paths().root.join(tree.context("no tree named")?);
    let off = dir.path().join("off");
    Cmd::new("cp").arg("-a").args([&tree, &off]).read()?;
    let header = off.join("src/config/local/general.h");
    let text = fs::read_to_string(&header)?;
    ensure!(text.contains(ON), "{text}");
    fs::write(&header, text.replace(ON, ""))?;
    Cmd::new("make")
        .dir(off.join("src"))
        .args(["-j2", "EMBED=../slamboot.ipxe", &format!("bin/{TARGET}")])
        .limit(BUILD_LIMIT)
        .read()?;
    let Err(error) = inspect(&off.join("src/bin").join(TARGET)) else {
        anyhow::bail!("a build without SLAM passes for one with it");
    };
    let said = error.to_string();
    ensure!(
        said.contains("no slam") && said.contains("absent"),
        "{said}"
    );
    Ok(())
}

fn inspect(file: &std::path::Path) -> anyhow::Result<()> {
    let inspect = Cmd::new(env!("CARGO_BIN_EXE_slamboot"))
        .args(["rom", "inspect", "--require", "slam"])
        .arg(file);
    Ok(inspect.read().map(drop)?)
}
