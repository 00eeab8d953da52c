// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes to what is inside the WIM, in a copy of it.

use std::fs::{self, FileTimes};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::parts::{Part, Parts, PartsError, check_wim};
use super::wimlib::{self, Addition};
use crate::image::tool::ToolError;
use crate::image::wim::WimImage;
use crate::image::write::{Progress, Step, Watch};

/// What is to be changed inside the WIM's boot image.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Becomes `\Windows\System32\startnet.cmd`, which WinPE runs first.
    pub startnet: Option<PathBuf>,
    /// Folders whose content goes to the image's root.
    pub inject: Vec<PathBuf>,
    /// Folders of drivers, loaded before anything else runs.
    pub drivers: Vec<PathBuf>,
}

/// A change that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// An input.
    #[error("{}: cannot read it", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Neither file nor folder where one of these is needed.
    #[error("{}: expected a {expected}", path.display())]
    Kind {
        /// Which.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
    },
    /// A folder of drivers without any.
    #[error(
        "{}: expected drivers, found no .inf file in it; unpack the driver's installer first", path.display()
    )]
    NoDriver {
        /// Which.
        path: PathBuf,
    },
    /// The copy of the WIM, and what goes into it.
    #[error("{}: cannot write it", path.display())]
    Copy {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// wimlib.
    #[error("{}: the boot image was not changed", wim.display())]
    Tool {
        /// The WIM.
        wim: PathBuf,
        /// Why.
        source: ToolError,
    },
    /// What wimlib made does not boot.
    #[error(transparent)]
    Parts(#[from] PartsError),
    /// The watcher said so.
    #[error("interrupted; nothing is left behind")]
    Interrupted,
}

const SYSTEM32: &str = "/Windows/System32";
const STARTNET: &str = "/Windows/System32/startnet.cmd";
/// Where drivers are put.
const DRIVERS: &str = "/slamboot-drivers";
/// What a WinPE without a startnet.cmd of its own would run.
const DEFAULT_STARTNET: &str = "wpeinit\r\n";

impl Changes {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.startnet.is_none() && self.inject.is_empty() && self.drivers.is_empty()
    }

    /// Changes a copy of the WIM, which then takes its place; the WIM itself stays as it is.
    pub fn apply(&self, parts: &mut Parts, watch: &mut Watch) -> Result<(), ChangeError> {
        if self.is_empty() {
            return Ok(());
        }
        let workspace = parts.workspace.path();
        let (wim, image) = (&parts.wim.path, &parts.image);
        let changed = self.copy_of(wim, image, workspace, &mut parts.doubts, watch)?;
        let (says, image) = check_wim(&changed)?;
        parts.wim = Part {
            path: changed,
            origin: format!("{}, changed", parts.wim.origin),
        };
        parts.wim_says = says;
        parts.image = image;
        Ok(())
    }

    /// A changed copy of a WIM, in a directory of ours.
    pub fn copy_of(
        &self,
        wim: &Path,
        image: &WimImage,
        workspace: &Path,
        doubts: &mut Vec<String>,
        watch: &mut Watch,
    ) -> Result<PathBuf, ChangeError> {
        let copy = |path: &Path| {
            let path = path.to_owned();
            move |source| ChangeError::Copy { path, source }
        };
        let stage = workspace.join("changes");
        fs::create_dir_all(&stage).map_err(copy(&stage))?;
        let mut additions = Vec::new();
        for (number, folder) in self.inject.iter().enumerate() {
            let staged = stage.join(format!("inject{number}"));
            stage_folder(folder, &staged)?;
            additions.push(Addition {
                source: staged,
                target: "/".to_owned(),
            });
        }
        let drivers = stage.join("drivers");
        for (number, folder) in self.drivers.iter().enumerate() {
            let staged = drivers.join(number.to_string());
            if !stage_folder(folder, &staged)? {
                return Err(ChangeError::NoDriver {
                    path: folder.clone(),
                });
            }
        }
        if !self.drivers.is_empty() {
            // In one folder, which wimlib would date by the clock if it had to make it.
            fix_times(&drivers).map_err(copy(&drivers))?;
            additions.push(Addition {
                source: drivers,
                target: DRIVERS.to_owned(),
            });
        }
        if let Some(text) = self.startnet(wim, image.index, workspace, doubts)? {
            let staged = stage.join("startnet.cmd");
            fs::write(&staged, text)
                .and_then(|()| fix_times(&staged))
                .map_err(copy(&staged))?;
            additions.push(Addition {
                source: staged,
                target: STARTNET.to_owned(),
            });
        }

        let changed = workspace.join("changed.wim");
        copy_watched(wim, &changed, watch)?;
        let modified = image.modified.clone();
        wimlib::update(&changed, image.index, &additions, modified, watch).map_err(|source| {
            ChangeError::Tool {
                wim: wim.to_owned(),
                source,
            }
        })?;
        Ok(changed)
    }

    /// What WinPE runs first, where that changes: the drivers, then what it ran before.
    fn startnet(
        &self,
        wim: &Path,
        index: u32,
        workspace: &Path,
        doubts: &mut Vec<String>,
    ) -> Result<Option<Vec<u8>>, ChangeError> {
        let own = match &self.startnet {
            Some(path) => Some(read_file(path)?),
            None if self.drivers.is_empty() => return Ok(None),
            None => None,
        };
        let tool = |source| ChangeError::Tool {
            wim: wim.to_owned(),
            source,
        };
        let listed = wimlib::list(wim, index).map_err(tool)?;
        let has = |path: &str| listed.iter().find(|file| file.eq_ignore_ascii_case(path));
        if let Some(shell) = has(&format!("{SYSTEM32}/winpeshl.ini")) {
            doubts.push(format!(
                "{}: it has {}, which WinPE follows instead of startnet.cmd",
                wim.display(),
                shell.replace('/', "\\")
            ));
        }
        let before = match own {
            Some(own) => own,
            None => match has(STARTNET) {
                Some(path) => {
                    let found = wimlib::extract(wim, index, &[path], workspace).map_err(tool)?;
                    read_file(&found[0])?
                }
                None => DEFAULT_STARTNET.into(),
            },
        };
        let mut text = Vec::new();
        if !self.drivers.is_empty() {
            // drvload installs into the running system; wpeinit then finds the devices.
            let folder = DRIVERS.replace('/', "\\");
            text.extend(
                format!("@for /r %SystemDrive%{folder} %%i in (*.inf) do @drvload \"%%i\"\r\n")
                    .bytes(),
            );
        }
        text.extend(before);
        Ok(Some(text))
    }
}

/// Copies a file, which may be large.
fn copy_watched(from: &Path, to: &Path, watch: &mut Watch) -> Result<(), ChangeError> {
    const PART: u64 = 16 << 20;
    let read = |source| ChangeError::Read {
        path: from.to_owned(),
        source,
    };
    let copy = |source| ChangeError::Copy {
        path: to.to_owned(),
        source,
    };
    let input = fs::File::open(from).map_err(read)?;
    let total = input.metadata().map_err(read)?.len();
    let mut output = fs::File::create_new(to).map_err(copy)?;
    let mut done = 0;
    loop {
        // The kernel copies from file to file.
        let part = io::copy(&mut (&input).take(PART), &mut output).map_err(copy)?;
        done += part;
        let progress = Progress {
            step: Step::Copy,
            done,
            total: total.max(done),
        };
        if watch(progress).is_break() {
            return Err(ChangeError::Interrupted);
        }
        if part == 0 {
            return Ok(());
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, ChangeError> {
    let read = |source| ChangeError::Read {
        path: path.to_owned(),
        source,
    };
    if !fs::metadata(path).map_err(read)?.is_file() {
        return Err(ChangeError::Kind {
            path: path.to_owned(),
            expected: "regular file",
        });
    }
    fs::read(path).map_err(read)
}

/// Copies a folder with times that are always the same, as wimlib stores them; whether it has a
/// driver.
fn stage_folder(from: &Path, to: &Path) -> Result<bool, ChangeError> {
    let read = |source| ChangeError::Read {
        path: from.to_owned(),
        source,
    };
    let copy = |source| ChangeError::Copy {
        path: to.to_owned(),
        source,
    };
    if !fs::metadata(from).map_err(read)?.is_dir() {
        return Err(ChangeError::Kind {
            path: from.to_owned(),
            expected: "folder",
        });
    }
    fs::create_dir_all(to).map_err(copy)?;
    let mut driver = false;
    for entry in fs::read_dir(from).map_err(read)? {
        let name = entry.map_err(read)?.file_name();
        let (source, target) = (from.join(&name), to.join(&name));
        let kind = fs::metadata(&source).map_err(read)?;
        if kind.is_dir() {
            driver |= stage_folder(&source, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target)
                .and_then(|_| fix_times(&target))
                .map_err(copy)?;
            driver |= source
                .extension()
                .is_some_and(|end| end.eq_ignore_ascii_case("inf"));
        } else {
            return Err(ChangeError::Kind {
                path: source,
                expected: "regular file or folder",
            });
        }
    }
    fix_times(to).map_err(copy)?;
    Ok(driver)
}

fn fix_times(path: &Path) -> io::Result<()> {
    let times = FileTimes::new()
        .set_accessed(UNIX_EPOCH)
        .set_modified(UNIX_EPOCH);
    fs::File::open(path)?.set_times(times)
}
