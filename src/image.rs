// SPDX-License-Identifier: MIT OR Apache-2.0
//! The image builder: bootable disks, made without root, mounts or a virtual machine.
//!
//! One straight line: [`ImageSpec`] (what is wanted) → [`source`] (inputs opened and checked) →
//! [`Draft`](plan::Draft) (every sector decided, nothing written) → [`write`](mod@write) (to a file
//! beside the target; it is a [`DiskPlan`] when the content is known) → [`verify`](mod@verify) (read back by code that did not write it) →
//! rename. Nothing bears the target's name before it is whole.

pub mod bcd;
pub mod bootmgr;
pub mod crc;
pub mod demo;
mod durable;
pub mod existing;
pub mod facts;
pub mod fat;
pub mod geometry;
pub mod inspect;
pub mod late;
mod le;
pub mod mbr;
pub mod ntfs;
pub mod plan;
pub mod regf;
pub mod sdi;
pub mod size;
pub mod source;
pub mod spec;
pub mod standin;
pub mod target;
pub mod times;
pub mod tool;
pub mod unit;
pub mod update;
pub mod vbr;
pub mod verify;
pub mod volume;
pub mod wim;
pub mod winpe;
pub mod write;

use std::path::{Path, PathBuf};

pub use facts::{DiskFacts, Identity};
pub use plan::{DiskPlan, PlanError, VolumePlan};
pub use size::{ByteSize, ByteSizeError};
pub use source::SourceError;
pub use spec::{
    Attributes, DiskPath, DiskPathError, DiskSize, FileSpec, FileSystem, FolderSpec, ImageSpec,
    SourceSpec, VolumeLabel,
};
pub use target::TargetError;
pub use unit::{Lba, SectorCount};
pub use verify::VerifyError;
pub use write::{Progress, Step, Watch, WriteError};

use durable::Durable;
use target::Target;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// An input.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The layout.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The file to be made.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Writing it.
    #[error("{}: the image was not made", path.display())]
    Write {
        /// The target.
        path: PathBuf,
        /// Why.
        source: WriteError,
    },
    /// Reading it back.
    #[error("{}: the image was not made", path.display())]
    Verify {
        /// The target.
        path: PathBuf,
        /// Why.
        source: VerifyError,
    },
}

/// A finished image.
#[derive(Debug)]
pub struct Built {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is.
    pub plan: DiskPlan,
    /// The CRC-32 of all of it (IEEE 802.3).
    pub crc32: u32,
}

/// Builds an image: all of the line above. On any error, and where `watch` breaks off, no file
/// is left and an old one under the target's name stays as it was.
pub fn build(spec: &ImageSpec, target: &Path, watch: &mut Watch) -> Result<Built, ImageError> {
    let sources = source::open(&spec.files)?;
    let draft = plan::draft(spec, sources)?;
    let target = Target::open(target)?;
    let path = || target.path().to_owned();
    let (plan, crc32) = std::thread::scope(|scope| {
        let write = |source| ImageError::Write {
            path: path(),
            source,
        };
        let durable = Durable::start(scope, target.file());
        let (plan, crc32) = write::write(draft, target.file(), &durable, watch).map_err(write)?;
        let settling = durable.written();
        let verified = verify::verify(&plan, target.file(), crc32, watch);
        verified.map_err(|source| ImageError::Verify {
            path: path(),
            source,
        })?;
        let total = plan.facts.sectors.bytes();
        // Nothing is to be broken off now.
        let _ = watch(Progress {
            step: Step::Settle,
            done: total,
            total,
        });
        let settled = settling.wait().map_err(WriteError::Sync);
        settled.map_err(write)?;
        Ok::<_, ImageError>((plan, crc32))
    })?;
    Ok(Built {
        path: target.publish()?,
        plan,
        crc32,
    })
}
