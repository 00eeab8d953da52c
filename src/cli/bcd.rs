// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot bcd`: boot configuration stores without Windows.

mod drives;
mod edit;
mod make;
mod script;

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

use crate::image::bcd::file::{StoreFile, read_any};
use crate::image::bcd::show::View;
use crate::image::bcd::{Store, change, json, show, warn};
use crate::image::regf::{Recovery, Repair};
use crate::image::target::Target;
use drives::DriveArgs;

/// Make, read and edit a BCD store, the file \Boot\BCD from which Windows boots.
///
/// A store is a registry hive that tells bootmgr what there is to boot. Windows edits it with
/// bcdedit; this does it anywhere, and `slamboot bcd run` executes bcdedit's own command lines.
///
/// Names, identifiers and values are bcdedit's. Devices are boot, partition=C:,
/// partition=mbr:SIGNATURE@OFFSET, partition=gpt:DISK/PARTITION,
/// ramdisk=[DEVICE]\FILE,{ramdiskoptions}, file=[DEVICE]\FILE or hex:BYTES. What bootmgr is known
/// to refuse is a warning. No store is ever half-written.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slamboot bcd create BCD --winpe                    the store that boots \\winpe.wim
  slamboot bcd show BCD                              as bcdedit /enum would
  slamboot bcd set BCD bootmgr timeout 5
  slamboot bcd run recipe.txt --store BCD --disk disk.img")]
pub struct BcdArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(make::CreateArgs),
    Show(ShowArgs),
    Set(edit::SetArgs),
    Delete(edit::DeleteArgs),
    CreateObject(edit::CreateObjectArgs),
    Copy(edit::CopyArgs),
    Export(ExportArgs),
    Import(ImportArgs),
    Run(script::RunArgs),
}

/// Show a store, or one object of it.
///
/// The layout is that of `bcdedit /enum all`; --json is complete and can be imported again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slamboot bcd show BCD
  slamboot bcd show BCD '{default}'
  slamboot bcd show BCD --disk disk.img      tells partition=C: where the disk's partition is meant
  slamboot bcd show BCD --json | jq '.objects[].id'")]
struct ShowArgs {
    /// The store.
    store: PathBuf,

    /// The object: a GUID, or a name such as {bootmgr}.
    #[arg(value_name = "ID", conflicts_with = "json")]
    id: Option<String>,

    /// Show it as JSON.
    #[arg(long)]
    json: bool,

    /// Show identifiers in full, not by their names.
    #[arg(short = 'v', long)]
    full: bool,

    #[command(flatten)]
    drives: DriveArgs,
}

/// Write a store to another file: a new hive, or JSON.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slamboot bcd export BCD backup.bcd         a hive with nothing in it but the store
  slamboot bcd export BCD store.json         to read, compare and edit
  slamboot bcd export BCD - | less")]
struct ExportArgs {
    /// The store.
    store: PathBuf,

    /// The file to write; - is standard output, in JSON.
    file: PathBuf,

    /// Write JSON; what a file named *.json gets anyway.
    #[arg(long)]
    json: bool,

    /// Replace a file of that name.
    #[arg(long)]
    replace: bool,
}

/// Make a store from an exported one: a hive, or JSON.
///
/// With --replace the store may exist: its objects become those that are imported, and what says
/// the same in both keeps its place in the hive. A hive whose writing was interrupted is recovered,
/// with its transaction logs (FILE.LOG1, FILE.LOG2) if they lie beside it, and one whose keys
/// another program wrote in an order that Windows does not search in is sorted.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  slamboot bcd import store.json BCD")]
struct ImportArgs {
    /// The file to read.
    file: PathBuf,

    /// The store to make.
    store: PathBuf,

    /// The store may exist.
    #[arg(long)]
    replace: bool,
}

/// Runs `slamboot bcd`.
pub fn run(args: BcdArgs) -> Result<()> {
    match args.verb {
        Verb::Create(args) => make::create(&args),
        Verb::Show(args) => show(&args),
        Verb::Set(args) => edit::set(&args),
        Verb::Delete(args) => edit::delete(&args),
        Verb::CreateObject(args) => edit::create_object(&args),
        Verb::Copy(args) => edit::copy(&args),
        Verb::Export(args) => export(&args),
        Verb::Import(args) => import(&args),
        Verb::Run(args) => script::run(&args),
    }
}

fn show(args: &ShowArgs) -> Result<()> {
    let drives = args.drives.resolve()?;
    let store = StoreFile::open(&args.store)?.store;
    let view = View {
        full: args.full,
        drives: &drives,
    };
    match &args.id {
        Some(id) => {
            let guid = change::object(&store, id)?;
            print(&show::object(guid, &store.objects[&guid], view))?;
        }
        None if args.json => print(&json::write(&store))?,
        None => {
            print(&show::store(&store, view))?;
            tell_warnings(&store);
        }
    }
    Ok(())
}

fn export(args: &ExportArgs) -> Result<()> {
    let store = StoreFile::open(&args.store)?.store;
    if args.file.as_os_str() == "-" {
        return print(&json::write(&store));
    }
    if args.json || args.file.extension().is_some_and(|end| end == "json") {
        if !args.replace && args.file.symlink_metadata().is_ok() {
            anyhow::bail!(
                "{}: expected no file of this name, found one; name another, or add --replace",
                args.file.display()
            );
        }
        let target = Target::open(&args.file)?;
        target
            .file()
            .write_all(json::write(&store).as_bytes())
            .with_context(|| format!("{}: cannot be written", args.file.display()))?;
        println!("written:     {}", target.publish()?.display());
        return Ok(());
    }
    let path = StoreFile::create(&args.file, store, args.replace)?.save()?;
    println!("written:     {}", path.display());
    Ok(())
}

fn import(args: &ImportArgs) -> Result<()> {
    let (store, repair) = read_any(&args.file)?;
    tell_repair(&args.file, repair);
    let file = if args.replace && args.store.exists() {
        let mut file = StoreFile::open(&args.store)?;
        file.store = store;
        file
    } else {
        StoreFile::create(&args.store, store, args.replace)?
    };
    finish(file)
}

/// Writes a text to standard output. Whoever reads it may have seen enough: `| head`.
fn print(text: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// Saves a store, says so, and tells what is wrong with it.
fn finish(file: StoreFile) -> Result<()> {
    let store = file.store.clone();
    let path = file.save()?;
    let objects = store.objects.len();
    println!(
        "written:     {} ({objects} object{})",
        path.display(),
        if objects == 1 { "" } else { "s" }
    );
    println!("next:        slamboot bcd show {}", path.display());
    tell_warnings(&store);
    Ok(())
}

/// Says how a hive that was interrupted in its writing, or is out of order, was made whole.
fn tell_repair(path: &Path, repair: Repair) {
    let path = path.display();
    match repair.sorted {
        0 => {}
        1 => println!("sorted:      the keys below one key of {path}"),
        keys => println!("sorted:      the keys below {keys} keys of {path}"),
    }
    match repair.recovery {
        Recovery::NotNeeded => {}
        Recovery::Sectors(count) => println!("recovered:   {count} sectors of {path} from its log"),
        Recovery::Entries(count) => {
            println!("recovered:   {count} entries of {path}'s logs had not been written");
        }
        Recovery::BaseBlockOnly => eprintln!(
            "warning: {path}: its writing was interrupted, and no log says what was being \
             written; it may be there in part or not at all"
        ),
    }
}

fn tell_warnings(store: &Store) {
    for warning in warn::check(store) {
        eprintln!("warning: {warning}");
    }
}
