// SPDX-License-Identifier: MIT OR Apache-2.0
//! The store that boots WinPE from a WIM in a RAM disk.

use super::alias::{self, BOOTMGR, RAMDISK_OPTIONS};
use super::code;
use super::device::{Descriptor, Device, MbrPartition};
use super::element::Value;
use super::object::{Object, ObjectType};
use super::store::Store;

/// What WinPE boots from, and how its entry reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WinPe {
    /// Where the WIM and boot.sdi are.
    pub device: BootDevice,
    /// The WIM's path there, such as `\winpe.wim`.
    pub wim: String,
    /// boot.sdi's path there, such as `\boot\boot.sdi`.
    pub sdi: String,
    /// Which loader of the WIM is run.
    pub firmware: Firmware,
    /// What the menu says.
    pub description: String,
    /// Which elements there are.
    pub style: Style,
}

/// Where WinPE's files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootDevice {
    /// On the partition that bootmgr was loaded from, whichever disk that is.
    Boot,
    /// On this partition and no other.
    Mbr(MbrPartition),
}

/// The firmware decides which loader there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// `winload.exe`
    Bios,
    /// `winload.efi`
    Uefi,
}

/// Which elements there are beside those that every such store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// What a menu wants: `displayorder`, `timeout`, and no description on {ramdiskoptions},
    /// which would be shown in place of the loader's.
    Menu {
        /// Seconds that the menu waits.
        timeout: u64,
    },
    /// Exactly what the old recipe's bcdedit lines make.
    Recipe,
}

impl BootDevice {
    fn descriptor(self) -> Descriptor {
        match self {
            BootDevice::Boot => Descriptor::Boot,
            BootDevice::Mbr(partition) => Descriptor::Mbr(partition),
        }
    }
}

impl Firmware {
    /// The loader's path in the WIM.
    pub fn loader(self) -> &'static str {
        match self {
            Firmware::Bios => "\\windows\\system32\\boot\\winload.exe",
            Firmware::Uefi => "\\windows\\system32\\boot\\winload.efi",
        }
    }
}

/// Builds the store: {bootmgr}, an osloader, {ramdiskoptions}.
pub fn store(winpe: &WinPe) -> Store {
    let string = |text: &str| Value::String(text.to_owned());
    let device = Value::Device(Device::plain(winpe.device.descriptor()));
    let ramdisk = Value::Device(Device::ramdisk(
        winpe.device.descriptor(),
        &winpe.wim,
        RAMDISK_OPTIONS,
    ));
    let mut store = Store::new();
    let loader = store.free_guid(ObjectType::OS_LOADER, &winpe.description);

    let mut bootmgr = Object::new(alias::WELL_KNOWN[0].kind)
        .with(code::DESCRIPTION, string("Boot Manager"))
        .with(code::DEVICE, device.clone())
        .with(code::DEFAULT, Value::Object(loader));
    let mut options = Object::new(ObjectType::DEVICE)
        .with(code::RAMDISK_SDI_DEVICE, device)
        .with(code::RAMDISK_SDI_PATH, string(&winpe.sdi));
    match winpe.style {
        Style::Menu { timeout } => {
            bootmgr = bootmgr
                .with(code::DISPLAY_ORDER, Value::ObjectList(vec![loader]))
                .with(code::TIMEOUT, Value::Integer(timeout));
        }
        Style::Recipe => options = options.with(code::DESCRIPTION, string("Ramdisk Options")),
    }
    store.objects.insert(BOOTMGR, bootmgr);
    store.objects.insert(RAMDISK_OPTIONS, options);
    store.objects.insert(
        loader,
        Object::new(ObjectType::OS_LOADER)
            .with(code::DESCRIPTION, string(&winpe.description))
            .with(code::DEVICE, ramdisk.clone())
            .with(code::OS_DEVICE, ramdisk)
            .with(code::PATH, string(winpe.firmware.loader()))
            .with(code::SYSTEM_ROOT, string("\\windows"))
            .with(code::DETECT_HAL, Value::Boolean(true))
            .with(code::WINPE, Value::Boolean(true)),
    );
    store
}
