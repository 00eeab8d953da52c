// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the files of an updated disk fit together, before anything is written.

use std::fs::File;
use std::path::Path;

use super::UpdateError;
use crate::image::bcd::Store;
use crate::image::bootmgr::BootManager;
use crate::image::inspect::trouble::MANAGERS;
use crate::image::inspect::{MOST, Report, STORES, chain};
use crate::image::regf::Hive;
use crate::image::source::open_regular;
use crate::image::spec::{FileSpec, SourceSpec};
use crate::image::wim::{Architecture, Wim};

/// Stores are stores, and on UEFI boot manager and WIM are for the same machines.
pub(super) fn check(report: &Report, files: &[FileSpec]) -> Result<(), UpdateError> {
    stores(report, files)?;
    machines(report, files)
}

fn find<'a>(files: &'a [FileSpec], path: &str) -> Option<&'a FileSpec> {
    let folded = path.to_uppercase();
    files.iter().find(|file| file.path.folded() == folded)
}

fn stores(report: &Report, files: &[FileSpec]) -> Result<(), UpdateError> {
    for (_, path) in STORES {
        let why = match find(files, path).map(|file| &file.source) {
            Some(SourceSpec::File(source)) => read_store(source).err(),
            Some(SourceSpec::Inside(_)) => {
                let found = report.stores.iter().find(|store| store.path == path);
                found.and_then(|found| found.store.as_ref().err().cloned())
            }
            _ => None,
        };
        if let Some(why) = why {
            return Err(UpdateError::Store {
                path: report.path.clone(),
                file: path,
                why,
            });
        }
    }
    Ok(())
}

fn read_store(path: &Path) -> Result<Store, String> {
    let content = whole(path).map_err(|error| chain(&error))?;
    let hive = Hive::read(content).map_err(|error| chain(&error))?;
    Store::read(&hive).map_err(|error| chain(&error))
}

fn whole(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let (file, _) = open_regular(path)?;
    let mut content = Vec::new();
    file.take(MOST).read_to_end(&mut content)?;
    Ok(content)
}

/// What was wrong before and is not touched is not judged: `inspect` does.
fn machines(report: &Report, files: &[FileSpec]) -> Result<(), UpdateError> {
    let Some((wim, known)) = report.wims.first() else {
        return Ok(());
    };
    let Some(file) = find(files, wim) else {
        return Ok(());
    };
    let architecture = match &file.source {
        SourceSpec::File(path) => File::open(path)
            .ok()
            .and_then(|mut file| architecture(&Wim::read(&mut file).ok()?)),
        _ => known.as_ref().ok().and_then(architecture),
    };
    let Some(architecture) = architecture else {
        return Ok(());
    };
    let new_wim = matches!(file.source, SourceSpec::File(_));
    for manager in MANAGERS {
        let Some(file) = find(files, manager) else {
            continue;
        };
        let known = || {
            let known = report.managers.iter().find(|(path, _)| path == manager);
            known.map(|(_, kind)| *kind)
        };
        let (kind, new) = if let SourceSpec::File(path) = &file.source {
            let kind = whole(path).ok().map(|bytes| BootManager::of(&bytes));
            (kind, true)
        } else {
            (known(), false)
        };
        if let Some(BootManager::Efi(machine)) = kind
            && (new || new_wim)
            && !machine.starts(architecture)
        {
            return Err(UpdateError::Machine {
                path: report.path.clone(),
                manager,
                machine,
                wim: wim.clone(),
                architecture,
            });
        }
    }
    Ok(())
}

fn architecture(wim: &Wim) -> Option<Architecture> {
    wim.bootable().ok()??.architecture
}
