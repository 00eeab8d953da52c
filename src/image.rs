// SPDX-License-Identifier: MIT OR Apache-2.0
//! The image builder: bootable disks, made without root, mounts or a virtual machine.
//!
//! One straight line: [`ImageSpec`] (what is wanted) → [`source`] (inputs opened and checked) →
//! [`DiskPlan`] (every sector decided, nothing written) → [`write`](mod@write) (to a file beside
//! the target, with digests) → [`verify`](mod@verify) (read back by code that did not write it) →
//! rename. Nothing bears the target's name before it is whole.

pub mod bcd;
pub mod crc;
pub mod demo;
pub mod facts;
pub mod fat;
pub mod geometry;
pub mod late;
pub mod mbr;
pub mod plan;
pub mod regf;
pub mod size;
pub mod source;
pub mod spec;
pub mod target;
pub mod unit;
pub mod vbr;
pub mod verify;
pub mod write;

use std::path::{Path, PathBuf};

pub use facts::{DiskFacts, Identity};
pub use plan::{DiskPlan, PlanError};
pub use size::{ByteSize, ByteSizeError};
pub use source::SourceError;
pub use spec::{
    Attributes, DiskPath, DiskPathError, DiskSize, FileSpec, ImageSpec, SourceSpec, VolumeLabel,
};
pub use target::TargetError;
pub use unit::{Lba, SectorCount};
pub use verify::VerifyError;
pub use write::{Digests, Progress, Step, Watch, WriteError};

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
    /// Its digests.
    pub digests: Digests,
}

/// Builds an image: all of the line above. On any error, and where `watch` breaks off, no file
/// is left and an old one under the target's name stays as it was.
pub fn build(spec: &ImageSpec, target: &Path, watch: &mut Watch) -> Result<Built, ImageError> {
    let sources = source::open(&spec.files)?;
    let plan = plan::plan(spec, sources)?;
    let target = Target::open(target)?;
    let digests =
        write::write(&plan, target.file(), watch).map_err(|source| ImageError::Write {
            path: target.path().to_owned(),
            source,
        })?;
    verify::verify(&plan, target.file(), digests.crc32, watch).map_err(|source| {
        ImageError::Verify {
            path: target.path().to_owned(),
            source,
        }
    })?;
    Ok(Built {
        path: target.publish()?,
        plan,
        digests,
    })
}
