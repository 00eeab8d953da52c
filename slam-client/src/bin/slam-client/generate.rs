// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slam-client --generate DIR`: man page and completions, made of the options themselves.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;

const NAME: &str = "slam-client";

/// The directory, where that is all that is asked. No option of [`Args`], which asks for an image always.
pub(crate) fn asked() -> Option<PathBuf> {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next()?;
    let directory = arguments.next()?;
    let alone = arguments.next().is_none();
    (first == OsStr::new("--generate") && alone).then(|| directory.into())
}

/// Writes `man/` and `completions/` into a directory.
pub(crate) fn run(directory: &Path) -> ExitCode {
    match write(directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn write(directory: &Path) -> anyhow::Result<()> {
    let mut command = Args::command().name(NAME);
    let make = |name: &str| {
        let path = directory.join(name);
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make {}", path.display()))
            .map(|()| path)
    };
    let (man, completions) = (make("man")?, make("completions")?);
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(NAME.to_uppercase())
        .render(&mut page)?;
    let path = man.join(format!("{NAME}.1"));
    std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, NAME, &completions)
            .with_context(|| format!("cannot write to {}", completions.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_and_three_shells() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path()).unwrap();
        for (name, holds) in [
            ("man/slam-client.1", "Receive one image by SLAM"),
            ("completions/slam-client.bash", "--output"),
            ("completions/_slam-client", "--output"),
            ("completions/slam-client.fish", "output"),
        ] {
            let text = std::fs::read_to_string(directory.path().join(name)).unwrap();
            assert!(text.contains(holds), "{name}");
        }
    }
}
