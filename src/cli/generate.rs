// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot generate`: man pages and completions, made of the options themselves.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;

/// Write man pages and completions for shells
#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// Directory, which gets man/ and completions/
    #[arg(value_name = "DIR")]
    output: PathBuf,
}

pub(super) fn run(args: &GenerateArgs) -> anyhow::Result<()> {
    let mut command = super::Cli::command();
    command.build();
    let make = |path: &Path| {
        std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))
    };
    let (man, completions) = (args.output.join("man"), args.output.join("completions"));
    make(&man)?;
    make(&completions)?;
    pages(&command, "slamboot", &man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "slamboot", &completions)
            .with_context(|| format!("cannot write to {}", completions.display()))?;
    }
    println!(
        "man pages in {}, completions in {}",
        man.display(),
        completions.display()
    );
    Ok(())
}

/// A page for the command, and one for each verb below it that is not hidden.
fn pages(command: &Command, name: &str, directory: &Path) -> anyhow::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        .render(&mut page)?;
    let path = directory.join(format!("{name}.1"));
    std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    for verb in command.get_subcommands() {
        if !verb.is_hide_set() && verb.get_name() != "help" {
            pages(verb, &format!("{name}-{}", verb.get_name()), directory)?;
        }
    }
    Ok(())
}
