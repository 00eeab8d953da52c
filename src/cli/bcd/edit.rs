// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot bcd set`, `delete`, `create-object` and `copy`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::drives::DriveArgs;
use crate::image::bcd::change::{self, ListEdit, New, NewKind};
use crate::image::bcd::file::StoreFile;
use crate::image::bcd::{Guid, alias};

/// Set an element of an object.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slamboot bcd set BCD bootmgr timeout 5
  slamboot bcd set BCD '{default}' description 'WinPE, room 12'
  slamboot bcd set BCD '{default}' device 'ramdisk=[boot]\\winpe.wim,{ramdiskoptions}'
  slamboot bcd set BCD bootmgr displayorder '{memdiag}' --add-last
  slamboot bcd set BCD bootmgr custom:26000020 yes")]
pub(super) struct SetArgs {
    /// The store.
    store: PathBuf,

    /// The object: a GUID, or a name such as {bootmgr}; the braces may be left out.
    #[arg(value_name = "ID")]
    id: String,

    /// The element: a name of bcdedit's, or custom:CODE.
    element: String,

    /// Its value; a list has several. Put -- before one that begins with a dash.
    #[arg(value_name = "VALUE", required = true)]
    values: Vec<String>,

    /// Add to a list, at its front.
    #[arg(long, conflicts_with_all = ["add_last", "remove"])]
    add_first: bool,

    /// Add to a list, at its end.
    #[arg(long, conflicts_with = "remove")]
    add_last: bool,

    /// Remove from a list.
    #[arg(long)]
    remove: bool,

    #[command(flatten)]
    drives: DriveArgs,
}

/// Delete an element of an object, or an object.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slamboot bcd delete BCD '{ramdiskoptions}' description     an element
  slamboot bcd delete BCD '{memdiag}' --force                an object")]
pub(super) struct DeleteArgs {
    /// The store.
    store: PathBuf,

    /// The object: a GUID, or a name such as {bootmgr}; the braces may be left out.
    #[arg(value_name = "ID")]
    id: String,

    /// The element; without one, the object is deleted, and with it what names it.
    #[arg(conflicts_with_all = ["force", "keep_references"])]
    element: Option<String>,

    /// Delete a well-known object, too.
    #[arg(long)]
    force: bool,

    /// Leave what names the object as it is.
    #[arg(long)]
    keep_references: bool,
}

/// Make an object in a store.
///
/// A well-known one needs no type. The GUID of another is derived from its type and description,
/// so that the same commands make the same store.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slamboot bcd create-object BCD bootmgr -d 'Boot Manager'
  slamboot bcd create-object BCD --application osloader -d WinPE
  slamboot bcd create-object BCD --device -d 'second RAM disk'")]
pub(super) struct CreateObjectArgs {
    /// The store.
    store: PathBuf,

    /// Its identifier: a GUID, or a name such as {bootmgr}; the braces may be left out.
    #[arg(value_name = "ID")]
    id: Option<String>,

    /// What the menu says.
    #[arg(short, long, value_name = "TEXT")]
    description: Option<String>,

    /// An application: osloader, resume, bootsector, startup, ntldr, memdiag or a number.
    #[arg(long, value_name = "TYPE", conflicts_with_all = ["inherit", "device"])]
    application: Option<String>,

    /// Settings to inherit, by any object or by applications of one type.
    #[arg(
        long,
        value_name = "TYPE",
        num_args = 0..=1,
        default_missing_value = "",
        conflicts_with = "device"
    )]
    inherit: Option<String>,

    /// Options of a device.
    #[arg(long)]
    device: bool,

    /// The GUID, instead of a derived one.
    #[arg(long, conflicts_with = "id")]
    guid: Option<Guid>,
}

/// Make an object like another one.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  slamboot bcd copy BCD '{default}' -d 'WinPE, debugging'
  then: slamboot bcd set BCD bootmgr displayorder '{THE NEW GUID}' --add-last")]
pub(super) struct CopyArgs {
    /// The store.
    store: PathBuf,

    /// The object to copy.
    #[arg(value_name = "ID")]
    id: String,

    /// What the menu says of the copy.
    #[arg(short, long, value_name = "TEXT")]
    description: String,

    /// The GUID, instead of a derived one.
    #[arg(long)]
    guid: Option<Guid>,
}

/// Runs `slamboot bcd set`.
pub(super) fn set(args: &SetArgs) -> Result<()> {
    let drives = args.drives.resolve()?;
    let mut file = StoreFile::open(&args.store)?;
    let edit = match (args.add_first, args.add_last, args.remove) {
        (true, ..) => ListEdit::AddFirst,
        (_, true, _) => ListEdit::AddLast,
        (.., true) => ListEdit::Remove,
        _ => ListEdit::Replace,
    };
    let values: Vec<&str> = args.values.iter().map(String::as_str).collect();
    let store = &mut file.store;
    change::set(store, &args.id, &args.element, &values, edit, &drives)?;
    println!("set:         {} {}", args.id, args.element);
    super::finish(file)
}

/// Runs `slamboot bcd delete`.
pub(super) fn delete(args: &DeleteArgs) -> Result<()> {
    let mut file = StoreFile::open(&args.store)?;
    if let Some(element) = &args.element {
        change::delete_value(&mut file.store, &args.id, element)?;
        println!("deleted:     {} {element}", args.id);
    } else {
        let cleanup = !args.keep_references;
        let guid = change::delete(&mut file.store, &args.id, args.force, cleanup)?;
        println!("deleted:     {}", alias::display(guid));
    }
    super::finish(file)
}

/// Runs `slamboot bcd create-object`.
pub(super) fn create_object(args: &CreateObjectArgs) -> Result<()> {
    let mut file = StoreFile::open(&args.store)?;
    let new = New {
        id: args.id.as_deref(),
        kind: match (&args.application, &args.inherit, args.device) {
            (Some(kind), ..) => NewKind::Application(kind),
            (_, Some(kind), _) => NewKind::Inherit(Some(&**kind).filter(|kind| !kind.is_empty())),
            (.., true) => NewKind::Device,
            _ => NewKind::OfIdentifier,
        },
        description: args.description.as_deref(),
        guid: args.guid,
    };
    let guid = change::create(&mut file.store, &new)?;
    println!("made:        {}", alias::display(guid));
    super::finish(file)
}

/// Runs `slamboot bcd copy`.
pub(super) fn copy(args: &CopyArgs) -> Result<()> {
    let mut file = StoreFile::open(&args.store)?;
    let guid = change::copy(&mut file.store, &args.id, &args.description, args.guid)?;
    println!("made:        {guid}");
    super::finish(file)
}
