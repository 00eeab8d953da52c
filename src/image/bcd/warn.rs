// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known to fail at boot, or likely to, though the store itself is sound.
//!
//! Status codes were measured with a Windows 7 bootmgr; what was not measured says so.

use std::collections::BTreeSet;
use std::fmt;

use super::alias::{self, BOOTMGR};
use super::code;
use super::device::{Descriptor, Device, FilePath};
use super::element::{ElementCode, Value};
use super::guid::Guid;
use super::object::{Application, Object};
use super::store::Store;
use super::table;

/// Something that is wrong with a store, or odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// {bootmgr} is absent or names nothing to boot.
    NothingToBoot,
    /// An element names an object that is not there.
    Dangling {
        /// Whose element.
        object: Guid,
        /// Its name.
        element: String,
        /// What it names.
        target: Guid,
    },
    /// An entry to boot that has no description, nor has its RAM disk.
    NoDescription {
        /// The entry.
        object: Guid,
    },
    /// A RAM disk's options have a description.
    RamdiskDescription {
        /// The options.
        options: Guid,
        /// The description.
        text: String,
    },
    /// A RAM disk's options do not say where boot.sdi is.
    NoSdiPath {
        /// The options.
        options: Guid,
    },
    /// A RAM disk without options.
    NoRamdiskOptions {
        /// Whose device.
        object: Guid,
        /// The element.
        element: String,
    },
    /// A disk is looked for by the signature 0.
    ZeroSignature {
        /// Whose device.
        object: Guid,
        /// The element.
        element: String,
    },
    /// A loader that lacks what it takes to be loaded.
    Incomplete {
        /// The loader.
        object: Guid,
        /// What it lacks.
        element: &'static str,
    },
    /// A path that bootmgr will hardly find.
    OddPath {
        /// Whose path.
        object: Guid,
        /// The element.
        element: String,
        /// The path.
        path: String,
        /// What is odd about it.
        why: &'static str,
    },
    /// A device element that claims another size than it has.
    DeviceSize {
        /// Whose device.
        object: Guid,
        /// The element.
        element: String,
        /// The size that it claims.
        claimed: u32,
        /// The size that it has.
        found: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = |guid: &Guid| alias::display(*guid);
        match self {
            Warning::NothingToBoot => f.write_str(
                "{bootmgr} has neither default nor displayorder: bootmgr stops with 0xc0000098; \
                 set one of them",
            ),
            Warning::Dangling {
                object,
                element,
                target,
            } => write!(
                f,
                "{}: {element} names {}, which is not in the store",
                id(object),
                id(target)
            ),
            Warning::NoDescription { object } => write!(
                f,
                "{}: no description: where no entry has one, bootmgr stops with 0xc0000001",
                id(object)
            ),
            Warning::RamdiskDescription { options, text } => write!(
                f,
                "{}: its description overrides the loader's: the menu says {text:?}",
                id(options)
            ),
            Warning::NoSdiPath { options } => write!(
                f,
                "{}: no ramdisksdipath: a RAM disk cannot be made, bootmgr stops with 0xc0000034",
                id(options)
            ),
            Warning::NoRamdiskOptions { object, element } => write!(
                f,
                "{}: {element} is a RAM disk without options, so nothing says where boot.sdi is; \
                 add ,{{ramdiskoptions}}",
                id(object)
            ),
            Warning::ZeroSignature { object, element } => write!(
                f,
                "{}: {element} looks for a disk with signature 0; where no disk has the \
                 signature, bootmgr stops with 0xc000000e; give the disk a signature other than \
                 0, or use the device boot",
                id(object)
            ),
            Warning::Incomplete { object, element } => write!(
                f,
                "{}: a loader without {element} (not measured, but nothing stands in for it)",
                id(object)
            ),
            Warning::OddPath {
                object,
                element,
                path,
                why,
            } => write!(f, "{}: {element} has the path {path:?}: {why}", id(object)),
            Warning::DeviceSize {
                object,
                element,
                claimed,
                found,
            } => write!(
                f,
                "{}: {element} says at offset 0x18 that its descriptor has {claimed} bytes, and \
                 has {found}",
                id(object)
            ),
        }
    }
}

/// Looks a store over.
pub fn check(store: &Store) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let bootmgr = store.objects.get(&BOOTMGR);
    let entries: BTreeSet<Guid> = bootmgr
        .into_iter()
        .flat_map(|bootmgr| {
            let order = bootmgr.objects(code::DISPLAY_ORDER).iter().copied();
            order.chain(bootmgr.object(code::DEFAULT))
        })
        .collect();
    if entries.is_empty() {
        warnings.push(Warning::NothingToBoot);
    }
    let mut ramdisks = BTreeSet::new();
    for (guid, object) in &store.objects {
        for (code, value) in &object.elements {
            let element = || table::name(*code, object.kind);
            for target in named(value) {
                if !store.objects.contains_key(&target) {
                    warnings.push(Warning::Dangling {
                        object: *guid,
                        element: element(),
                        target,
                    });
                }
            }
            if let Value::Device(device) = value {
                check_device(*guid, &element, device, &mut ramdisks, &mut warnings);
            }
            check_path(*guid, object, *code, &mut warnings);
        }
        if object.kind.application() == Some(Application::OsLoader) && !object.kind.is_inherit() {
            for (element, code) in [
                ("device", code::DEVICE),
                ("path", code::PATH),
                ("osdevice", code::OS_DEVICE),
            ] {
                if !object.elements.contains_key(&code) {
                    warnings.push(Warning::Incomplete {
                        object: *guid,
                        element,
                    });
                }
            }
        }
    }
    for guid in &entries {
        if let Some(object) = store.objects.get(guid)
            && !described(store, object)
        {
            warnings.push(Warning::NoDescription { object: *guid });
        }
    }
    for options in ramdisks {
        // One that is absent is told as dangling.
        let Some(object) = store.objects.get(&options) else {
            continue;
        };
        if object.string(code::RAMDISK_SDI_PATH).is_none() {
            warnings.push(Warning::NoSdiPath { options });
        }
        if let Some(text) = object.string(code::DESCRIPTION) {
            warnings.push(Warning::RamdiskDescription {
                options,
                text: text.to_owned(),
            });
        }
    }
    warnings
}

/// The objects that a value names.
fn named(value: &Value) -> Vec<Guid> {
    match value {
        Value::Object(guid) => vec![*guid],
        Value::ObjectList(list) => list.clone(),
        Value::Device(device) => device.options.into_iter().collect(),
        _ => Vec::new(),
    }
}

/// It has a description, or its RAM disk's options have.
fn described(store: &Store, object: &Object) -> bool {
    let options = match object.elements.get(&code::DEVICE) {
        Some(Value::Device(device)) => device.options,
        _ => None,
    };
    let options = options.and_then(|options| store.objects.get(&options));
    [Some(object), options]
        .into_iter()
        .flatten()
        .any(|object| object.string(code::DESCRIPTION).is_some())
}

fn check_device(
    object: Guid,
    element: &dyn Fn() -> String,
    device: &Device,
    ramdisks: &mut BTreeSet<Guid>,
    warnings: &mut Vec<Warning>,
) {
    let mut descriptor = &device.descriptor;
    if let Descriptor::Ramdisk(file) = descriptor {
        match device.options {
            Some(options) => {
                ramdisks.insert(options);
            }
            None => warnings.push(Warning::NoRamdiskOptions {
                object,
                element: element(),
            }),
        }
        if !file.path.to_ascii_lowercase().ends_with(".wim") && odd(&file.path).is_none() {
            warnings.push(Warning::OddPath {
                object,
                element: element(),
                path: file.path.clone(),
                why: "a RAM disk is made from a WIM, whose name ends in .wim as a rule",
            });
        }
    }
    // No deeper than devices are read.
    while let Descriptor::File(file) | Descriptor::Ramdisk(file) = descriptor {
        let FilePath { parent, path } = &**file;
        if let Some(why) = odd(path) {
            warnings.push(Warning::OddPath {
                object,
                element: element(),
                path: path.clone(),
                why,
            });
        }
        descriptor = parent;
    }
    match descriptor {
        Descriptor::Mbr(partition) if partition.signature == 0 => {
            warnings.push(Warning::ZeroSignature {
                object,
                element: element(),
            });
        }
        Descriptor::Raw(raw) => {
            if let Some(claimed) = raw.wrong_size() {
                warnings.push(Warning::DeviceSize {
                    object,
                    element: element(),
                    claimed,
                    found: raw.bytes().len(),
                });
            }
        }
        _ => {}
    }
}

/// Paths that are elements of their own.
fn check_path(object: Guid, holder: &Object, code: ElementCode, warnings: &mut Vec<Warning>) {
    if ![code::PATH, code::RAMDISK_SDI_PATH].contains(&code) {
        return;
    }
    if let Some(path) = holder.string(code)
        && let Some(why) = odd(path)
    {
        warnings.push(Warning::OddPath {
            object,
            element: table::name(code, holder.kind),
            path: path.to_owned(),
            why,
        });
    }
}

/// What is odd about a path on a device.
fn odd(path: &str) -> Option<&'static str> {
    if path.contains(':') {
        Some("a path has no drive; the device says which it is")
    } else if path.contains('/') {
        Some("directories are separated by backslashes")
    } else if !path.starts_with('\\') {
        Some("a path begins with a backslash")
    } else if path.ends_with(['\\', ' ', '.']) || path.contains("\\\\") {
        Some("a path names a file, and names do not end in a dot or a space")
    } else if path.contains(|c: char| c.is_control() || "\"*<>?|".contains(c)) {
        Some("it has characters that FAT and NTFS do not allow")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::alias::{MEMDIAG, RAMDISK_OPTIONS};
    use super::super::device::MbrPartition;
    use super::super::winpe::{self, BootDevice, Firmware, Style, WinPe};
    use super::*;

    fn built(style: Style) -> Store {
        winpe::store(&WinPe {
            device: BootDevice::Mbr(MbrPartition {
                signature: 1,
                offset: 1 << 20,
            }),
            wim: "\\winpe.wim".into(),
            sdi: "\\boot.sdi".into(),
            firmware: Firmware::Bios,
            description: "WinPE".into(),
            style,
        })
    }

    fn loader(store: &Store) -> Guid {
        store.default_object().unwrap()
    }

    fn change(store: &mut Store, guid: Guid, code: ElementCode, value: Option<Value>) {
        let elements = &mut store.objects.get_mut(&guid).unwrap().elements;
        match value {
            Some(value) => elements.insert(code, value),
            None => elements.remove(&code),
        };
    }

    #[test]
    fn a_store_with_a_menu_is_clean_and_the_recipes_has_one_flaw() {
        assert_eq!(check(&built(Style::Menu { timeout: 5 })), []);
        assert_eq!(
            check(&built(Style::Recipe)),
            [Warning::RamdiskDescription {
                options: RAMDISK_OPTIONS,
                text: "Ramdisk Options".into()
            }]
        );
    }

    #[test]
    fn each_fault_has_its_warning() {
        let clean = built(Style::Menu { timeout: 5 });
        let guid = loader(&clean);
        let with = |guid, code, value| {
            let mut store = clean.clone();
            change(&mut store, guid, code, value);
            check(&store)
        };
        assert_eq!(check(&Store::new()), [Warning::NothingToBoot]);
        // Either will do.
        assert_eq!(with(BOOTMGR, code::DEFAULT, None), []);
        assert_eq!(with(BOOTMGR, code::DISPLAY_ORDER, None), []);
        assert_eq!(
            with(guid, code::DESCRIPTION, None),
            [Warning::NoDescription { object: guid }]
        );
        assert_eq!(
            with(RAMDISK_OPTIONS, code::RAMDISK_SDI_PATH, None),
            [Warning::NoSdiPath {
                options: RAMDISK_OPTIONS
            }]
        );
        assert_eq!(
            with(guid, code::OS_DEVICE, None),
            [Warning::Incomplete {
                object: guid,
                element: "osdevice"
            }]
        );
        assert_eq!(
            with(BOOTMGR, code::DEFAULT, Some(Value::Object(MEMDIAG))),
            [Warning::Dangling {
                object: BOOTMGR,
                element: "default".into(),
                target: MEMDIAG
            }]
        );
        let zero = Descriptor::Mbr(MbrPartition {
            signature: 0,
            offset: 512,
        });
        let device = Device::ramdisk(zero, "\\winpe.wim", RAMDISK_OPTIONS);
        assert_eq!(
            with(guid, code::DEVICE, Some(Value::Device(device.clone()))),
            [Warning::ZeroSignature {
                object: guid,
                element: "device".into()
            }]
        );
        let device = Device {
            options: None,
            ..device
        };
        assert_eq!(
            with(guid, code::DEVICE, Some(Value::Device(device)))[0],
            Warning::NoRamdiskOptions {
                object: guid,
                element: "device".into()
            }
        );
        for path in [
            "boot.sdi",
            "C:\\boot.sdi",
            "/boot.sdi",
            "\\boot\\",
            "\\a?",
            "\\\\x",
            "",
        ] {
            let value = Value::String(path.into());
            let found = with(RAMDISK_OPTIONS, code::RAMDISK_SDI_PATH, Some(value));
            assert!(
                matches!(&found[..], [Warning::OddPath { .. }]),
                "{path}: {found:?}"
            );
        }
        let device = Device::ramdisk(Descriptor::Boot, "\\winpe.iso", RAMDISK_OPTIONS);
        let found = with(guid, code::OS_DEVICE, Some(Value::Device(device)));
        assert!(matches!(&found[..], [Warning::OddPath { .. }]), "{found:?}");
        let device = Device::decode(&[8; 40]).unwrap();
        let found = with(BOOTMGR, code::DEVICE, Some(Value::Device(device)));
        assert!(
            found.iter().any(|warning| matches!(
                warning,
                Warning::DeviceSize {
                    claimed: 0x0808_0808,
                    found: 24,
                    ..
                }
            )),
            "{found:?}"
        );
    }
}
