// SPDX-License-Identifier: MIT OR Apache-2.0
//! The WIM that boots, with other things in it: the recipe's "Customizing WinPE.wim".

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::UpdateError;
use crate::image::inspect::Report;
use crate::image::winpe::{self, check_wim};
use crate::image::write::{Progress, Step, Watch};

/// A changed WIM, in a directory that goes when this does.
#[derive(Debug)]
pub struct ChangedWim {
    /// Where it is.
    pub path: PathBuf,
    /// What may not work.
    pub doubts: Vec<String>,
    _workspace: TempDir,
}

/// Changes a copy of `wim`, or else of the one that the image boots; in a directory in `beside`.
pub fn changed_wim(
    image: &Path,
    wim: Option<&Path>,
    changes: &winpe::Changes,
    beside: &Path,
    watch: &mut Watch,
) -> Result<ChangedWim, UpdateError> {
    let workspace = winpe::workspace(beside)?;
    let wim = match wim {
        Some(wim) => wim.to_owned(),
        None => take_out(image, workspace.path(), watch)?,
    };
    let (_, boots) = check_wim(&wim)?;
    let mut doubts = Vec::new();
    let path = changes.copy_of(&wim, &boots, workspace.path(), &mut doubts, watch)?;
    check_wim(&path)?;
    Ok(ChangedWim {
        path,
        doubts,
        _workspace: workspace,
    })
}

fn take_out(image: &Path, into: &Path, watch: &mut Watch) -> Result<PathBuf, UpdateError> {
    let report = Report::of(image)?;
    let none = || UpdateError::NoWim {
        path: image.to_owned(),
    };
    let volume = super::volume(&report)?;
    let (named, _) = report.wims.first().ok_or_else(none)?;
    let bytes = volume.file(named).ok_or_else(none)?;
    let read = |source| UpdateError::Read {
        path: image.to_owned(),
        source,
    };
    let path = into.join("boot.wim");
    let write = |source| UpdateError::Copy {
        path: path.clone(),
        source,
    };
    let file = File::open(image).map_err(read)?;
    let mut reader = bytes.reader(&file);
    let mut output = File::create_new(&path).map_err(write)?;
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let length = reader.read(&mut buffer).map_err(read)?;
        output.write_all(&buffer[..length]).map_err(write)?;
        done += length as u64;
        let progress = Progress {
            step: Step::Copy,
            done,
            total: bytes.length,
        };
        if watch(progress).is_break() {
            return Err(UpdateError::Interrupted);
        }
        if length == 0 {
            return Ok(path);
        }
    }
}
