// SPDX-License-Identifier: MIT OR Apache-2.0
//! An image made anew with other files: the WIM swapped, files added or removed.
//!
//! The whole disk is built again, its unchanged files read from the old image, so that boot sector,
//! extent table and stores always fit; the old image stays until the new one is verified.

mod fit;
mod wim;

pub use wim::{ChangedWim, changed_wim};

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bootmgr::Machine;
use super::inspect::{InspectError, Report, STORES};
use super::late::{Late, RebasedStore};
use super::plan::{self, PlanError};
use super::regf::Hive;
use super::size::ByteSize;
use super::source::{self, Inside, SourceError};
use super::spec::{
    Attributes, DiskPath, DiskPathError, DiskSize, FileSpec, FileSystem, FolderSpec, ImageSpec,
    SourceSpec,
};
use super::volume::{Content, Kind, Loss, Node, Volume};
use super::wim::Architecture;
use super::winpe::{ChangeError, PartsError};

/// What shall be different.
#[derive(Debug, Default)]
pub struct Changes {
    /// Takes the place of the WIM that the store names.
    pub wim: Option<PathBuf>,
    /// Are added, or take the place of those of the same path.
    pub add: Vec<FileSpec>,
    /// Files or folders that go.
    pub remove: Vec<DiskPath>,
    /// At least as large.
    pub size: Option<ByteSize>,
}

/// An image that cannot be updated.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// It cannot be looked at.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// It is no disk of one volume that boots.
    #[error("{}: it cannot be updated: {why}", path.display())]
    Disk {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Something on it cannot be kept.
    #[error("{}: {file} cannot be kept: {why}; leave it out with --remove '{file}'", path.display())]
    Keep {
        /// The image.
        path: PathBuf,
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// What shall go is not there.
    #[error("{}: --remove {file}: there is no such file or folder; slamboot image inspect shows what there is", path.display())]
    Nothing {
        /// The image.
        path: PathBuf,
        /// The file.
        file: DiskPath,
    },
    /// No WIM is named that could be swapped.
    #[error(
        "{}: --wim: no store on it names a WIM; say which file it is: --add NEW.wim=\\sources\\boot.wim", path.display()
    )]
    NoWim {
        /// The image.
        path: PathBuf,
    },
    /// The image.
    #[error("{}: cannot read it", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An input.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The layout.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A store that is none.
    #[error(
        "{}: {file} is no store that bootmgr reads (0xc000014c): {why}; put a good one in its place, as slamboot bcd create BCD --winpe --wim PATH --sdi PATH makes it: --add BCD='{file}'", path.display()
    )]
    Store {
        /// The image.
        path: PathBuf,
        /// The store.
        file: &'static str,
        /// What is wrong with it, and where.
        why: String,
    },
    /// The WIM and the boot manager for UEFI are for different machines.
    #[error(
        "{}: {manager} is for {machine}, {wim} for {architecture}: on UEFI the one cannot start winload.efi of the other (0xc000007b); take both from the same media, or leave UEFI out: --remove \\EFI", path.display()
    )]
    Machine {
        /// The image.
        path: PathBuf,
        /// The boot manager.
        manager: &'static str,
        /// Its machines.
        machine: Machine,
        /// The WIM.
        wim: String,
        /// Its machines.
        architecture: Architecture,
    },
    /// A directory to change a WIM in, or the WIM itself.
    #[error(transparent)]
    Parts(#[from] PartsError),
    /// What shall be changed in it.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// A copy of the WIM.
    #[error("{}: cannot write it", path.display())]
    Copy {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The watcher said so.
    #[error("interrupted; nothing is left behind")]
    Interrupted,
}

/// What the updated disk shall be, and what cannot be kept though nothing needs it.
pub fn spec(image: &Path, changes: &Changes) -> Result<(ImageSpec, Vec<String>), UpdateError> {
    let report = Report::of(image)?;
    let volume = volume(&report)?;
    let file = File::open(image).map_err(|source| UpdateError::Read {
        path: image.to_owned(),
        source,
    })?;
    let file = Arc::new(file);
    let boot = boot_file(image, volume, changes)?;
    let mut files = Vec::new();
    for node in &volume.nodes {
        if let Some(kept) = keep(image, &file, &report, node)? {
            files.push(kept);
        }
    }
    for removed in &changes.remove {
        let before = files.len();
        let folded = removed.folded();
        let inside = format!("{folded}\\");
        files.retain(|file| {
            let path = file.path.folded();
            path != folded && !path.starts_with(&inside)
        });
        if files.len() == before && volume.find(&removed.to_string()).is_none() {
            return Err(UpdateError::Nothing {
                path: image.to_owned(),
                file: removed.clone(),
            });
        }
    }
    let gone = |node: &Node| {
        let path = format!("{}\\", node.path.to_uppercase());
        let removed = |gone: &DiskPath| path.starts_with(&format!("{}\\", gone.folded()));
        changes.remove.iter().any(removed)
    };
    let kept = volume.nodes.iter().filter(|node| !gone(node));
    let folders = kept
        .clone()
        .filter(|node| node.content == Content::Directory);
    let folders = folders.map(|node| {
        let path = node
            .path
            .parse()
            .map_err(|error: DiskPathError| UpdateError::Keep {
                path: image.to_owned(),
                file: node.path.clone(),
                why: error.to_string(),
            })?;
        let attributes = node.attributes;
        Ok(FolderSpec { path, attributes })
    });
    let folders = folders.collect::<Result<Vec<_>, UpdateError>>()?;
    let lost = losses(kept);
    let mut add: Vec<FileSpec> = Vec::new();
    if let Some(wim) = &changes.wim {
        let named = report.wims.first().map(|(path, _)| path.parse());
        let Some(Ok(path)) = named else {
            return Err(UpdateError::NoWim {
                path: image.to_owned(),
            });
        };
        add.push(FileSpec {
            path,
            attributes: Attributes::default(),
            source: SourceSpec::File(wim.clone()),
        });
    }
    add.extend(changes.add.iter().cloned());
    for mut added in add {
        if let SourceSpec::File(path) = &added.source
            && let Some(store) = rebased(&added.path, &report, || std::fs::read(path).ok())
        {
            added.source = store;
        }
        // Spelled and marked as it was.
        match files
            .iter_mut()
            .find(|file| file.path.folded() == added.path.folded())
        {
            Some(old) => old.source = added.source,
            None => files.push(added),
        }
    }
    // The WIM last, so that it alone moves the next time.
    if let Some((wim, _)) = report.wims.first()
        && let Some(at) = files
            .iter()
            .position(|file| file.path.folded() == wim.to_uppercase())
    {
        let wim = files.remove(at);
        files.push(wim);
    }
    fit::check(&report, &files)?;
    let label = volume.label.to_uppercase().parse();
    let least = changes.size.map_or(0, ByteSize::bytes).max(report.bytes);
    let spec = ImageSpec {
        size: ByteSize::new(least).map_or(DiskSize::Smallest, DiskSize::AtLeast),
        // Of the same kind; what has not been FAT32 becomes it.
        file_system: match volume.kind {
            Kind::Ntfs => FileSystem::Ntfs,
            Kind::Fat12 | Kind::Fat16 | Kind::Fat32 => FileSystem::Fat32,
        },
        label: label.unwrap_or_else(|_| default_label()),
        files,
        folders,
        boot,
        self_check: false,
    };
    Ok((grown(spec)?, lost))
}

/// What cannot be kept, and of which files.
fn losses<'a>(nodes: impl Iterator<Item = &'a Node>) -> Vec<String> {
    const SHOWN: usize = 3;
    let mut of: BTreeMap<Loss, Vec<&str>> = BTreeMap::new();
    for node in nodes {
        for loss in &node.losses {
            of.entry(*loss).or_default().push(&node.path);
        }
    }
    let lines = of.iter().map(|(loss, paths)| {
        let shown = paths[..paths.len().min(SHOWN)].join(", ");
        let more = match paths.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{shown}{more}: {}", loss.consequence())
    });
    lines.collect()
}

fn default_label() -> super::spec::VolumeLabel {
    "WINPE".parse().expect("a label written here")
}

/// Larger, where the old size is too small.
fn grown(spec: ImageSpec) -> Result<ImageSpec, UpdateError> {
    match plan::draft(&spec, source::open(&spec.files)?) {
        Err(PlanError::TooSmall { minimum, .. }) => Ok(ImageSpec {
            size: DiskSize::AtLeast(minimum),
            ..spec
        }),
        planned => planned.map(|_| spec).map_err(UpdateError::from),
    }
}

/// The one volume, of a disk that is what this tool makes or the old recipe made.
fn volume(report: &Report) -> Result<&Volume, UpdateError> {
    let wrong = |why: String| UpdateError::Disk {
        path: report.path.clone(),
        why,
    };
    let table = &report.table;
    if table.gpt {
        let why = "it has a GPT; expected an MBR with one active partition";
        return Err(wrong(why.to_owned()));
    }
    if table.active().is_none() {
        let active: Vec<_> = table
            .partitions
            .iter()
            .filter(|entry| entry.active)
            .collect();
        let numbers: Vec<_> = active.iter().map(|entry| entry.number).collect();
        return Err(wrong(format!(
            "expected one active partition, found {} {numbers:?}; sfdisk --activate IMAGE NUMBER \
             leaves one",
            active.len()
        )));
    }
    if table.partitions.len() > 1 {
        let found = table.partitions.len();
        return Err(wrong(format!(
            "expected one partition, found {found}: the others would be lost"
        )));
    }
    match &report.volume {
        Some(Ok(volume)) => Ok(volume),
        Some(Err(error)) => Err(wrong(error.to_string())),
        None => Err(wrong("its partition lies past its end".to_owned())),
    }
}

fn boot_file(image: &Path, volume: &Volume, changes: &Changes) -> Result<DiskPath, UpdateError> {
    let path: DiskPath = "\\bootmgr".parse().expect("a path written here");
    let added = changes
        .add
        .iter()
        .any(|file| file.path.folded() == path.folded());
    if added || volume.file("\\bootmgr").is_some() {
        return Ok(path);
    }
    let why = if volume.file("\\SLAMBOOT.BIN").is_some() {
        "it is a demo disk; slamboot image demo makes it anew"
    } else {
        "there is no \\bootmgr on it; add one: --add bootmgr=\\bootmgr"
    };
    Err(UpdateError::Disk {
        path: image.to_owned(),
        why: why.to_owned(),
    })
}

/// A file as it is, or a store that shall name the new disk; `None` for a folder.
fn keep(
    image: &Path,
    file: &Arc<File>,
    report: &Report,
    node: &Node,
) -> Result<Option<FileSpec>, UpdateError> {
    let cannot = |why: String| UpdateError::Keep {
        path: image.to_owned(),
        file: node.path.clone(),
        why,
    };
    let bytes = match &node.content {
        Content::Directory => return Ok(None),
        Content::Unreadable(why) => return Err(cannot((*why).to_owned())),
        Content::File(bytes) => bytes,
    };
    let path: DiskPath = node
        .path
        .parse()
        .map_err(|error: DiskPathError| cannot(error.to_string()))?;
    let content = || bytes.whole(file, super::inspect::MOST).ok();
    let source = rebased(&path, report, content).unwrap_or_else(|| {
        SourceSpec::Inside(Inside {
            image: image.to_owned(),
            file: Arc::clone(file),
            bytes: bytes.clone(),
        })
    });
    Ok(Some(FileSpec {
        path,
        attributes: node.attributes,
        source,
    }))
}

/// A store that names the old disk, so that it names the new one; `None` for other files.
fn rebased(
    path: &DiskPath,
    report: &Report,
    content: impl FnOnce() -> Option<Vec<u8>>,
) -> Option<SourceSpec> {
    let folded = path.folded();
    let known = STORES
        .iter()
        .any(|(_, store)| folded == store.to_uppercase());
    let hive = Hive::read(known.then(content)??).ok()?;
    let store = RebasedStore::new(hive, report.table.signature)?;
    Some(SourceSpec::Late(Late::Rebased(Box::new(store))))
}
