// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot bcd run`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;

use super::drives::DriveArgs;
use crate::image::bcd::bcdedit::{self, Context, ScriptError};
use crate::image::bcd::file::StoreFile;
use crate::image::bcd::{Guid, Store};

/// Execute bcdedit's command lines on a store.
///
/// The script may be pasted as it stands: `-create` and `/create`, quotation marks, `^` at a
/// line's end, rem and ::, a prompt before the command, `set NAME=VALUE`. The store is the one
/// file that --store names, whatever the script calls it, and is written when the last line has
/// been executed. A line for another program (copy, attrib, diskpart's) is passed over with a
/// note.
///
/// %NAME% is what --var, the script or the environment says. A name with GUID in it that nobody
/// has defined, such as %WinPE GUID%, is the object that the script made and described so, or the
/// only one that it made; a note says which.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slamboot bcd run recipe.txt --store BCD --disk disk.img        C: is the disk's active partition
  slamboot bcd run recipe.txt --store BCD --drive C:=boot        C: is wherever bootmgr is
  slamboot bcd run recipe.txt --store BCD --signature 1a2b3c4d --offset 1048576
  echo 'bcdedit /timeout 5' | slamboot bcd run - --store BCD     edits the store")]
pub(super) struct RunArgs {
    /// The script; - is standard input.
    script: PathBuf,

    /// The store to edit, or to make where the script says /createstore.
    #[arg(long, value_name = "FILE")]
    store: PathBuf,

    /// What a variable stands for.
    #[arg(long = "var", value_name = "NAME=VALUE")]
    variables: Vec<String>,

    /// The GUID of the first object that the script makes without one, then of the second, and so
    /// on, instead of derived ones.
    #[arg(long = "guid", value_name = "GUID")]
    guids: Vec<Guid>,

    /// The file of a second store, by the path that the script has for it in /import or /export.
    #[arg(long = "map", value_name = "PATH=FILE")]
    mapped: Vec<String>,

    /// Let /createstore empty a store that exists.
    #[arg(long)]
    replace: bool,

    /// Take a line for another program for an error.
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    drives: DriveArgs,
}

/// Runs `slamboot bcd run`.
pub(super) fn run(args: &RunArgs) -> Result<()> {
    let script = read_script(&args.script)?;
    let files = pairs("--map", "PATH=FILE", &args.mapped)?;
    let mut mapped = BTreeMap::new();
    for (path, file) in &files {
        let file = Path::new(file);
        let content = file.exists().then(|| StoreFile::open(file)).transpose()?;
        mapped.insert(path.clone(), content.map(|file| file.store));
    }
    let context = Context {
        drives: args.drives.resolve()?,
        variables: pairs("--var", "NAME=VALUE", &args.variables)?,
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        guids: args.guids.clone(),
        strict: args.strict,
        replace: args.replace,
        mapped,
    };
    let there = args.store.symlink_metadata().is_ok();
    // Told before the script is run, which would complain of objects that are missing.
    let lower = script.to_ascii_lowercase();
    if !there && lower.contains("bcdedit") && !lower.contains("createstore") {
        return Err(no_store(&args.store));
    }
    let mut file = if there {
        StoreFile::open(&args.store)?
    } else {
        StoreFile::create(&args.store, Store::new(), false)?
    };
    let done = bcdedit::run(&script, file.store.clone(), &context)
        .map_err(|error| anyhow!(point(&args.script, &script, &error)))?;
    if done.commands == 0 {
        bail!(
            "{}: expected bcdedit commands, found none; the store was not written",
            args.script.display()
        );
    }
    if !there && !done.created {
        return Err(no_store(&args.store));
    }
    let mut told = String::new();
    for note in &done.notes {
        let _ = writeln!(told, "line {:>3}:    {}", note.at.line, note.what);
    }
    super::print(&(told + &done.shown))?;
    println!(
        "executed:    {} command{}{}",
        done.commands,
        if done.commands == 1 { "" } else { "s" },
        match done.skipped {
            0 => String::new(),
            n => format!(
                "; {n} other line{} passed over",
                if n == 1 { "" } else { "s" }
            ),
        }
    );
    for (path, store) in done.exported {
        let named = files
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(&path));
        if let Some((_, file)) = named {
            let written = StoreFile::create(Path::new(file), store, true)?.save()?;
            println!("exported:    {} to {}", path, written.display());
        }
    }
    if there && done.store == file.store {
        println!("unchanged:   {}", args.store.display());
        super::tell_warnings(&done.store);
        return Ok(());
    }
    if done.created && there {
        file = StoreFile::create(&args.store, done.store, true)?;
    } else {
        file.store = done.store;
    }
    super::finish(file)
}

fn no_store(path: &Path) -> anyhow::Error {
    let path = path.display();
    anyhow!(
        "{path}: no such store; begin the script with bcdedit /createstore, or make the store \
         first: slamboot bcd create {path}"
    )
}

fn pairs(option: &str, form: &str, texts: &[String]) -> Result<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    for text in texts {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| anyhow!("{option} {text}: expected {form}"))?;
        // `%NAME%` as it stands in the script is taken, too.
        let name = name
            .strip_prefix('%')
            .and_then(|name| name.strip_suffix('%'))
            .unwrap_or(name);
        pairs.insert(name.to_owned(), value.to_owned());
    }
    Ok(pairs)
}

/// The text of a script: UTF-8, or UTF-16 with a byte order mark, as Windows' Notepad has it.
fn read_script(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("cannot read the script from standard input")?;
    } else {
        bytes = std::fs::read(path)
            .with_context(|| format!("{}: cannot read this script", path.display()))?;
    }
    if let Some(rest) = bytes.strip_prefix(&[0xFF, 0xFE]) {
        let (units, odd) = rest.as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        return match String::from_utf16(&units) {
            Ok(text) if odd.is_empty() => Ok(text),
            _ => bail!(
                "{}: expected UTF-16, as its byte order mark says, found something else",
                path.display()
            ),
        };
    }
    String::from_utf8(bytes).map_err(|error| {
        anyhow!(
            "{}: expected UTF-8 (or UTF-16 with a byte order mark), found another byte at offset \
             {}; save the script as UTF-8",
            path.display(),
            error.utf8_error().valid_up_to()
        )
    })
}

/// The error, and the line that it is in, with a mark below the place.
fn point(path: &Path, script: &str, error: &ScriptError) -> String {
    let line = script
        .strip_prefix('\u{FEFF}')
        .unwrap_or(script)
        .split('\n')
        .nth(error.at.line - 1)
        .unwrap_or_default()
        .trim_end();
    // Tabs would put the mark elsewhere; very long lines would bury the message.
    let line: String = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mark = if line.chars().count() <= 200 {
        format!("\n  {line}\n  {}^", " ".repeat(error.at.column - 1))
    } else {
        String::new()
    };
    format!(
        "{}: {error}; the store was not written{mark}",
        path.display()
    )
}
