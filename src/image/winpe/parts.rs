// SPDX-License-Identifier: MIT OR Apache-2.0
//! The parts that a WinPE disk is made of: found, and checked before anything is written.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::media::{Media, MediaError};
use super::wimlib;
use crate::image::bootmgr::{BootManager, Machine};
use crate::image::sdi::{Sdi, SdiError};
use crate::image::source::open_regular;
use crate::image::tool::ToolError;
use crate::image::vbr;
use crate::image::wim::{Architecture, BootFault, Wim, WimError, WimImage};

/// Where the parts are to be looked for.
#[derive(Clone, Debug, Default)]
pub struct Where {
    /// A folder or an ISO of Windows media.
    pub media: Option<PathBuf>,
    /// The WIM.
    pub wim: Option<PathBuf>,
    /// The boot manager for BIOS.
    pub bootmgr: Option<PathBuf>,
    /// boot.sdi.
    pub sdi: Option<PathBuf>,
    /// A folder of fonts.
    pub fonts: Option<PathBuf>,
    /// The boot manager for UEFI.
    pub efi: Option<PathBuf>,
    /// Whether UEFI shall boot it, too.
    pub uefi: bool,
}

/// One part, and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it can be read.
    pub path: PathBuf,
    /// For people: whence it came.
    pub origin: String,
}

/// All parts.
#[derive(Debug)]
pub struct Parts {
    /// The WIM.
    pub wim: Part,
    /// What it says of itself.
    pub wim_says: Wim,
    /// Its image that boots.
    pub image: WimImage,
    /// The boot manager for BIOS.
    pub bootmgr: Part,
    /// boot.sdi.
    pub sdi: Part,
    /// Names and places of fonts.
    pub fonts: Vec<(String, Part)>,
    /// The boot manager for UEFI, and the machines that it is for.
    pub efi: Option<(Part, Machine)>,
    /// What may not work.
    pub doubts: Vec<String>,
    /// Extracted parts; gone when this is dropped.
    pub(super) workspace: TempDir,
}

/// A part that is not there, or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    /// It cannot be read.
    #[error("{}: cannot read it", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nowhere to extract to.
    #[error("cannot make a directory for extracted parts in {}", path.display())]
    Workspace {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The media.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The WIM is none.
    #[error("{}: no WIM that can be used", path.display())]
    Wim {
        /// Which.
        path: PathBuf,
        /// Why.
        source: WimError,
    },
    /// The WIM does not boot.
    #[error("{}: this WIM would not boot", path.display())]
    WimBoot {
        /// Which.
        path: PathBuf,
        /// Why.
        source: BootFault,
    },
    /// boot.sdi is none.
    #[error("{}: no boot.sdi that can be used", path.display())]
    Sdi {
        /// Which.
        path: PathBuf,
        /// Why.
        source: SdiError,
    },
    /// The WIM cannot be looked into.
    #[error(
        "{}: {part} was not given, and cannot be taken from inside this WIM; give it with {option}, or install what is missing", wim.display()
    )]
    Inside {
        /// The WIM.
        wim: PathBuf,
        /// The part.
        part: &'static str,
        /// The option that names it.
        option: &'static str,
        /// Why.
        source: Box<ToolError>,
    },
    /// Nobody said where, and it is not where it usually is.
    #[error("no {part}: expected it at {looked}; give it with {option}{remedy}")]
    Missing {
        /// What is missing.
        part: &'static str,
        /// Where it was looked for.
        looked: String,
        /// The option that names it.
        option: &'static str,
        /// What else helps.
        remedy: &'static str,
    },
    /// A boot manager of another kind.
    #[error("{}: expected {expected}, found {found}{remedy}", path.display())]
    Kind {
        /// Which file.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
        /// What it is.
        found: BootManager,
        /// What helps.
        remedy: &'static str,
    },
    /// A boot manager that the boot sector cannot load.
    #[error("{}: the boot sector cannot load it", path.display())]
    Size {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: vbr::BootFileError,
    },
    /// The WIM and the boot manager for UEFI are for different machines.
    #[error(
        "{}: this boot manager is for {machine}, the WIM for {architecture}: on UEFI it cannot start winload.efi (0xc000007b); take both from the same media", path.display()
    )]
    Machine {
        /// The boot manager.
        path: PathBuf,
        /// Its machines.
        machine: Machine,
        /// The WIM's.
        architecture: Architecture,
    },
}

/// What a part is called, and where it usually is.
struct Kind {
    part: &'static str,
    option: &'static str,
    /// On media; `{name}` stands for nothing: these are whole paths.
    media: &'static [&'static str],
    /// In a WIM.
    inside: &'static [&'static str],
    /// Its name, where it is anywhere else in a WIM (`\Windows\WinSxS` has all parts once more).
    leaf: &'static str,
    remedy: &'static str,
}

const WIM: Kind = Kind {
    part: "WIM",
    option: "--wim",
    media: &["sources/boot.wim", "winpe.wim", "boot.wim"],
    inside: &[],
    leaf: "",
    remedy: "",
};
const BOOTMGR: Kind = Kind {
    part: "boot manager for BIOS",
    option: "--bootmgr",
    media: &["bootmgr"],
    // bcdboot takes it from the first.
    inside: &[
        "/Windows/Boot/PCAT/bootmgr",
        "/Windows/Boot/DVD/PCAT/bootmgr",
        "/bootmgr",
    ],
    leaf: "bootmgr",
    remedy: " (Windows media have it as \\bootmgr; bootmgr.exe is only its second half)",
};
const SDI: Kind = Kind {
    part: "boot.sdi",
    option: "--sdi",
    media: &["boot/boot.sdi", "boot.sdi"],
    inside: &[
        "/Windows/Boot/DVD/PCAT/boot.sdi",
        "/Windows/Boot/DVD/EFI/boot.sdi",
        "/boot/boot.sdi",
    ],
    leaf: "boot.sdi",
    remedy: " (Windows media have it as \\boot\\boot.sdi)",
};
const EFI: Kind = Kind {
    part: "boot manager for UEFI",
    option: "--bootx64",
    media: &[
        "efi/boot/bootx64.efi",
        "efi/boot/bootia32.efi",
        "efi/boot/bootaa64.efi",
        "bootmgr.efi",
    ],
    // Media of 2024 and later have one of a newer signature, too.
    inside: &[
        "/Windows/Boot/EFI/bootmgfw.efi",
        "/Windows/Boot/EFI_EX/bootmgfw_EX.efi",
    ],
    leaf: "bootmgfw.efi",
    remedy: " (Windows media have it as \\efi\\boot\\bootx64.efi)",
};
/// Directories of fonts, on media and in a WIM.
const FONTS: [&str; 2] = ["boot/fonts", "efi/microsoft/boot/fonts"];
const FONTS_INSIDE: &str = "/Windows/Boot/Fonts/";

/// Looks for parts: where they were said to be, then on the media, then inside the WIM.
struct Search {
    media: Option<Media>,
    workspace: TempDir,
    /// The WIM, its boot image, and what is in that, once it was asked for.
    wim: Option<(PathBuf, u32)>,
    inside: Option<Vec<String>>,
}

impl Search {
    fn part(&mut self, kind: &Kind, given: Option<&Path>) -> Result<Part, PartsError> {
        if let Some(path) = given {
            return Ok(Part {
                path: path.to_owned(),
                origin: path.display().to_string(),
            });
        }
        let mut looked = Vec::new();
        if let Some(media) = &self.media {
            let path = media.path().display();
            if let Some(file) = kind.media.iter().find_map(|file| media.find(file)) {
                let mut fetched = media.fetch(&[file], self.workspace.path())?;
                return Ok(Part {
                    path: fetched.remove(0),
                    origin: format!("{file} of {path}"),
                });
            }
            looked.push(format!("{} of {path}", kind.media.join(", ")));
        }
        if let Some((wim, image)) = self.wim.clone()
            && !kind.inside.is_empty()
        {
            let failed = |error| PartsError::Inside {
                wim: wim.clone(),
                part: kind.part,
                option: kind.option,
                source: Box::new(error),
            };
            let files = self.inside().map_err(failed)?;
            let same = |path: &str| files.iter().find(|file| file.eq_ignore_ascii_case(path));
            let elsewhere = || {
                let leaf = |file: &&String| {
                    let name = file.rsplit('/').next().unwrap_or_default();
                    name.eq_ignore_ascii_case(kind.leaf)
                };
                files.iter().find(leaf)
            };
            let usual = kind.inside.iter().find_map(|path| same(path));
            if let Some(file) = usual.or_else(elsewhere).cloned() {
                let into = self.workspace.path();
                let mut paths = wimlib::extract(&wim, image, &[&file], into).map_err(failed)?;
                return Ok(Part {
                    path: paths.remove(0),
                    origin: format!("{} in the WIM", file.replace('/', "\\")),
                });
            }
            let places = kind.inside.join(", ").replace('/', "\\");
            looked.push(format!("{places} or another \"{}\" in the WIM", kind.leaf));
        }
        if looked.is_empty() {
            looked.push("a path that you give".to_owned());
        }
        Err(PartsError::Missing {
            part: kind.part,
            looked: looked.join(", or "),
            option: kind.option,
            remedy: kind.remedy,
        })
    }

    fn inside(&mut self) -> Result<&[String], ToolError> {
        if self.inside.is_none() {
            let listed = match &self.wim {
                Some((wim, image)) => wimlib::list(wim, *image)?,
                None => Vec::new(),
            };
            self.inside = Some(listed);
        }
        Ok(self.inside.as_deref().unwrap_or_default())
    }

    /// Fonts are nice to have: where none are found there are none.
    fn fonts(&mut self, given: Option<&Path>) -> Result<Vec<(String, Part)>, PartsError> {
        let mut fonts = Vec::new();
        if let Some(folder) = given {
            let media = Media::open(folder)?;
            for name in media.in_directory("") {
                let path = folder.join(name);
                let origin = path.display().to_string();
                fonts.push((name.to_owned(), Part { path, origin }));
            }
            return Ok(fonts);
        }
        if let Some(media) = &self.media {
            for directory in FONTS {
                let files = media.in_directory(directory);
                let paths = media.fetch(&files, self.workspace.path())?;
                for (file, path) in files.iter().zip(paths) {
                    let origin = format!("{file} of {}", media.path().display());
                    let name = file.rsplit('/').next().unwrap_or(file);
                    fonts.push((name.to_owned(), Part { path, origin }));
                }
                if !fonts.is_empty() {
                    return Ok(fonts);
                }
            }
        }
        let Some((wim, image)) = self.wim.clone() else {
            return Ok(fonts);
        };
        // Without wimtools there are none; that is no reason to stop.
        let Ok(files) = self.inside() else {
            return Ok(fonts);
        };
        let prefix = FONTS_INSIDE.len();
        let font = |file: &&String| {
            file.get(..prefix)
                .is_some_and(|start| start.eq_ignore_ascii_case(FONTS_INSIDE))
                && !file[prefix..].is_empty()
                && !file[prefix..].contains('/')
        };
        let files: Vec<String> = files.iter().filter(font).cloned().collect();
        let names: Vec<&str> = files.iter().map(String::as_str).collect();
        if let Ok(paths) = wimlib::extract(&wim, image, &names, self.workspace.path()) {
            for (file, path) in files.iter().zip(paths) {
                let origin = format!("{} in the WIM", file.replace('/', "\\"));
                fonts.push((file[prefix..].to_owned(), Part { path, origin }));
            }
        }
        Ok(fonts)
    }
}

/// Finds and checks all parts. What must be extracted goes to a directory of its own in `beside`.
pub fn gather(places: &Where, beside: &Path) -> Result<Parts, PartsError> {
    let media = places.media.as_deref().map(Media::open).transpose()?;
    let workspace = workspace(beside)?;
    let mut search = Search {
        media,
        workspace,
        wim: None,
        inside: None,
    };
    let mut doubts = Vec::new();
    let wim = search.part(&WIM, places.wim.as_deref())?;
    let (wim_says, image) = check_wim(&wim.path)?;
    let doubt = |path: &Path, what: String| format!("{}: {what}", path.display());
    doubts.extend(
        wim_says
            .doubts()
            .into_iter()
            .map(|what| doubt(&wim.path, what)),
    );
    search.wim = Some((wim.path.clone(), image.index));

    let bootmgr = search.part(&BOOTMGR, places.bootmgr.as_deref())?;
    match check_bootmgr(&bootmgr.path)? {
        BootManager::Unrecognised => doubts.push(doubt(
            &bootmgr.path,
            "not recognised as a boot manager; it is loaded at 2000:0000 all the same".to_owned(),
        )),
        BootManager::StandIn => doubts.push(doubt(
            &bootmgr.path,
            "slamboot's stand-in: the disk tests the way up to the boot manager, and boots nothing"
                .to_owned(),
        )),
        _ => {}
    }
    let sdi = search.part(&SDI, places.sdi.as_deref())?;
    let sdi_says = check_sdi(&sdi.path)?;
    doubts.extend(
        sdi_says
            .doubts()
            .into_iter()
            .map(|what| doubt(&sdi.path, what)),
    );
    let efi = if places.uefi {
        let part = search.part(&EFI, places.efi.as_deref())?;
        let machine = check_efi(&part.path, image.architecture)?;
        Some((part, machine))
    } else {
        None
    };
    let fonts = search.fonts(places.fonts.as_deref())?;
    Ok(Parts {
        wim,
        wim_says,
        image,
        bootmgr,
        sdi,
        fonts,
        efi,
        doubts,
        workspace: search.workspace,
    })
}

/// A directory in `beside` for what is taken out or changed; gone when dropped.
pub fn workspace(beside: &Path) -> Result<TempDir, PartsError> {
    tempfile::Builder::new()
        .prefix(".slamboot-winpe.")
        .tempdir_in(beside)
        .map_err(|source| PartsError::Workspace {
            path: beside.to_owned(),
            source: source.kind().into(),
        })
}

fn open(path: &Path) -> Result<File, PartsError> {
    let (file, _) = open_regular(path).map_err(|source| PartsError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(file)
}

/// Checks a WIM: what it says, and which image boots.
pub fn check_wim(path: &Path) -> Result<(Wim, WimImage), PartsError> {
    let wim = Wim::read(&mut open(path)?).map_err(|source| PartsError::Wim {
        path: path.to_owned(),
        source,
    })?;
    let image = wim.bootable().map_err(|source| PartsError::WimBoot {
        path: path.to_owned(),
        source,
    })?;
    // A WIM whose XML data is silent on an image boots all the same.
    let image = image.cloned().unwrap_or(WimImage {
        index: wim.header.boot_index,
        name: String::new(),
        architecture: None,
        version: None,
        files: None,
        bytes: None,
        modified: ["0x00000000".into(), "0x00000000".into()],
    });
    Ok((wim, image))
}

fn check_sdi(path: &Path) -> Result<Sdi, PartsError> {
    Sdi::read(&mut open(path)?).map_err(|source| PartsError::Sdi {
        path: path.to_owned(),
        source,
    })
}

/// Which boot manager it is; an error where the boot sector cannot start it.
fn check_bootmgr(path: &Path) -> Result<BootManager, PartsError> {
    let file = open(path)?;
    let read = |source| PartsError::Read {
        path: path.to_owned(),
        source,
    };
    let length = file.metadata().map_err(read)?.len();
    let bytes = whole(&file, length.min(4 << 20)).map_err(read)?;
    let found = BootManager::of(&bytes);
    if let BootManager::Efi(_) | BootManager::Program(_) = found {
        return Err(PartsError::Kind {
            path: path.to_owned(),
            expected: "a boot manager for BIOS (\\bootmgr of Windows media, without .exe)",
            found,
            remedy: match found {
                BootManager::Efi(_) => "; give it with --bootx64",
                _ => "; a boot sector cannot start that",
            },
        });
    }
    vbr::check_length(length).map_err(|source| PartsError::Size {
        path: path.to_owned(),
        source,
    })?;
    Ok(found)
}

fn check_efi(path: &Path, architecture: Option<Architecture>) -> Result<Machine, PartsError> {
    let file = open(path)?;
    let read = |source| PartsError::Read {
        path: path.to_owned(),
        source,
    };
    let length = file.metadata().map_err(read)?.len();
    let bytes = whole(&file, length.min(4 << 20)).map_err(read)?;
    let found = BootManager::of(&bytes);
    let machine = match found {
        BootManager::Efi(machine) if machine.removable_name().is_some() => machine,
        _ => {
            return Err(PartsError::Kind {
                path: path.to_owned(),
                expected: "a program for UEFI (\\efi\\boot\\bootx64.efi of Windows media)",
                found,
                remedy: "",
            });
        }
    };
    match architecture {
        Some(architecture) if !machine.starts(architecture) => Err(PartsError::Machine {
            path: path.to_owned(),
            machine,
            architecture,
        }),
        _ => Ok(machine),
    }
}

fn whole(file: &File, length: u64) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; length as usize]; // at most 4 MiB
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
