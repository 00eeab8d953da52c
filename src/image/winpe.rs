// SPDX-License-Identifier: MIT OR Apache-2.0
//! The disk that boots WinPE: its parts, and where each goes.
//!
//! [`gather`] finds and checks the parts, [`Changes`] changes what is inside the WIM, [`spec`]
//! says what the disk shall hold; [`build`](super::build) does the rest.

mod add;
mod customize;
mod media;
mod parts;
mod wimlib;

pub use add::{Add, AddError};
pub use customize::{ChangeError, Changes};
pub use media::MediaError;
pub(super) use parts::workspace;
pub use parts::{Part, Parts, PartsError, Where, check_wim, gather};

use super::bcd::device::MbrPartition;
use super::bcd::winpe::{BootDevice, Firmware, Style, WinPe};
use super::bootmgr::Machine;
use super::late::{Late, LateStore};
use super::regf::EditError;
use super::spec::{Attributes, DiskPath, FileSpec, SourceSpec};

/// Seconds that bootmgr's menu waits: with one entry it shows none.
const TIMEOUT: u64 = 30;

/// How the disk shall look.
#[derive(Clone, Debug)]
pub struct Look {
    /// Where each file goes.
    pub layout: Layout,
    /// How the store names the disk.
    pub device: StoreDevice,
    /// What the menu says.
    pub description: String,
}

/// Where files go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As on Windows media: `\Boot\boot.sdi`, `\sources\boot.wim`.
    Media,
    /// As in the old recipe: `\boot.sdi`, `\winpe.wim`, bootmgr read-only, the recipe's store.
    Recipe,
}

/// How a store names the partition that the WIM is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreDevice {
    /// Whichever bootmgr was loaded from.
    Boot,
    /// By the disk's signature and the partition's offset.
    Partition,
}

impl Layout {
    /// bootmgr's path.
    pub fn bootmgr(self) -> &'static str {
        "\\bootmgr"
    }

    /// The store's path, which bootmgr has built in.
    pub fn store(self) -> &'static str {
        match self {
            Layout::Media => "\\Boot\\BCD",
            Layout::Recipe => "\\boot\\BCD",
        }
    }

    /// boot.sdi's path.
    pub fn sdi(self) -> &'static str {
        match self {
            Layout::Media => "\\Boot\\boot.sdi",
            Layout::Recipe => "\\boot.sdi",
        }
    }

    /// The WIM's path.
    pub fn wim(self) -> &'static str {
        match self {
            Layout::Media => "\\sources\\boot.wim",
            Layout::Recipe => "\\winpe.wim",
        }
    }

    fn style(self) -> Style {
        match self {
            Layout::Media => Style::Menu { timeout: TIMEOUT },
            Layout::Recipe => Style::Recipe,
        }
    }
}

/// Where UEFI's boot manager looks for its store.
pub const EFI_STORE: &str = "\\EFI\\Microsoft\\Boot\\BCD";

/// The files of the disk, the WIM last, and which of them the boot sector loads.
///
/// The store of each boot path is made here. An error is a description or path that no registry
/// value holds.
#[expect(
    clippy::missing_panics_doc,
    reason = "paths are written here, and well-formed"
)]
pub fn files(parts: &Parts, look: &Look) -> Result<(Vec<FileSpec>, DiskPath), EditError> {
    let Look {
        layout,
        device,
        description,
    } = look;
    let path = |text: &str| -> DiskPath { text.parse().expect("a path written here") };
    let file = |at: DiskPath, part: &Part| FileSpec {
        path: at,
        attributes: Attributes::default(),
        source: SourceSpec::File(part.path.clone()),
    };
    let store = |at: &str, firmware: Firmware| -> Result<FileSpec, EditError> {
        let winpe = WinPe {
            device: match device {
                StoreDevice::Boot => BootDevice::Boot,
                StoreDevice::Partition => BootDevice::Mbr(MbrPartition {
                    signature: 0,
                    offset: 0,
                }),
            },
            wim: layout.wim().to_owned(),
            sdi: layout.sdi().to_owned(),
            firmware,
            description: description.clone(),
            style: layout.style(),
        };
        Ok(FileSpec {
            path: path(at),
            attributes: Attributes::default(),
            source: SourceSpec::Late(Late::Store(LateStore::new(winpe)?)),
        })
    };
    let boot = path(layout.bootmgr());
    let mut files = vec![FileSpec {
        attributes: Attributes {
            hidden: true,
            system: true,
            // attrib +s +h +r; without +r it can be replaced.
            read_only: *layout == Layout::Recipe,
            ..Attributes::default()
        },
        ..file(boot.clone(), &parts.bootmgr)
    }];
    files.push(store(layout.store(), Firmware::Bios)?);
    files.push(file(path(layout.sdi()), &parts.sdi));
    let mut fonts = vec!["\\Boot\\Fonts"];
    if let Some((part, machine)) = &parts.efi {
        let name = machine.removable_name().unwrap_or("bootx64.efi");
        files.push(file(path(&format!("\\EFI\\Boot\\{name}")), part));
        files.push(store(EFI_STORE, Firmware::Uefi)?);
        fonts.push("\\EFI\\Microsoft\\Boot\\Fonts");
    }
    for directory in fonts {
        for (name, part) in &parts.fonts {
            // A font of a name that Windows refuses came from no Windows.
            if let Ok(at) = format!("{directory}\\{name}").parse() {
                files.push(file(at, part));
            }
        }
    }
    files.push(file(path(layout.wim()), &parts.wim));
    Ok((files, boot))
}

/// The firmware that boots the disk, for people.
pub fn boots_on(parts: &Parts) -> String {
    match &parts.efi {
        None => "BIOS".to_owned(),
        Some((_, Machine::Amd64)) => "BIOS and 64-bit UEFI".to_owned(),
        Some((_, machine)) => format!("BIOS and UEFI ({machine})"),
    }
}
