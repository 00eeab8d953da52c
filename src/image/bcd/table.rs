// SPDX-License-Identifier: MIT OR Apache-2.0
//! The names of elements and of their values.
//!
//! Library elements mean the same everywhere. The code of an application element means different
//! things to different applications (0x21000001 is winload's `osdevice` and winresume's
//! `filedevice`), so names are looked up for a type of object.

mod entries;

use super::alias::{hint, nearest};
use super::element::{ElementCode, Format};
use super::object::{Application, ObjectType};

/// An element that has a name.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its code.
    pub code: ElementCode,
    /// bcdedit's name for it.
    pub name: &'static str,
    /// Words for its values from 0 on, where it has them.
    pub words: &'static [&'static str],
}

/// A name that no element has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No element is called that.
    #[error("unknown element {found:?}: expected a name such as description, or custom:<8 hexadecimal digits>{}", hint(nearest.as_deref()))]
    Unknown {
        /// What stood there.
        found: String,
        /// The nearest name.
        nearest: Option<String>,
    },
    /// Objects of this type have none of that name.
    #[error("element {found:?} is for {owners}, not for this object, which is {object}")]
    Elsewhere {
        /// What stood there.
        found: String,
        /// For whom it is.
        owners: String,
        /// The type of the object.
        object: String,
    },
}

impl Entry {
    const fn new(code: u32, name: &'static str, words: &'static [&'static str]) -> Self {
        Entry {
            code: ElementCode(code),
            name,
            words,
        }
    }

    /// Whether its numbers are addresses, which are shown in hexadecimal.
    pub fn is_address(&self) -> bool {
        self.name.ends_with("address")
            || matches!(
                self.name,
                "truncatememory" | "relocatephysical" | "avoidlowmemory"
            )
    }
}

/// Who uses which part of the table.
const SECTIONS: &[(&str, &[Entry])] = &[
    ("every object", entries::LIBRARY),
    ("every application", entries::APPLICATION),
    ("Windows Setup's templates", entries::TEMPLATE),
    ("the boot manager", entries::BOOT_MANAGER),
    ("osloader objects", entries::LOADER),
    ("resume objects", entries::RESUME),
    ("the memory tester", entries::MEMORY_TESTER),
    ("ntldr and setupldr", entries::LEGACY),
    ("startup objects", entries::STARTUP),
    ("bootapp objects", entries::BOOT_APPLICATION),
    ("device objects", entries::DEVICE),
];

/// The parts of the table that hold for an object. One whose program is not known, such as
/// settings that any object may inherit, takes all parts, the likelier first.
fn sections(kind: ObjectType) -> Vec<&'static [Entry]> {
    let mut sections = vec![entries::LIBRARY, entries::APPLICATION, entries::TEMPLATE];
    match kind.application() {
        Some(application) => sections.push(match application {
            Application::FirmwareBootManager | Application::BootManager => entries::BOOT_MANAGER,
            Application::OsLoader => entries::LOADER,
            Application::Resume => entries::RESUME,
            Application::MemoryTester => entries::MEMORY_TESTER,
            Application::Legacy => entries::LEGACY,
            Application::BootSector => &[],
            Application::Startup => entries::STARTUP,
            Application::BootApplication => entries::BOOT_APPLICATION,
        }),
        None if kind.is_device() => sections.push(entries::DEVICE),
        None => sections.extend([
            entries::LOADER,
            entries::BOOT_MANAGER,
            entries::RESUME,
            entries::MEMORY_TESTER,
            entries::STARTUP,
            entries::LEGACY,
            entries::BOOT_APPLICATION,
            entries::DEVICE,
        ]),
    }
    sections
}

/// What is known of an element of such an object.
pub fn entry(code: ElementCode, kind: ObjectType) -> Option<&'static Entry> {
    sections(kind)
        .into_iter()
        .find_map(|section| section.iter().find(|entry| entry.code == code))
}

/// Its name, or `custom:<code>`. [`find`] takes it back to the same code.
pub fn name(code: ElementCode, kind: ObjectType) -> String {
    match entry(code, kind) {
        Some(entry) if find(entry.name, kind) == Ok(code) => entry.name.to_owned(),
        _ => format!("custom:{code}"),
    }
}

/// The element of that name, for such an object: a name of bcdedit's, or `custom:<code>` with
/// eight hexadecimal digits, with or without `0x`.
pub fn find(name: &str, kind: ObjectType) -> Result<ElementCode, NameError> {
    let lower = name.to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("custom:") {
        let digits = digits.strip_prefix("0x").unwrap_or(digits);
        if let Some(code) = ElementCode::from_key(digits) {
            return Ok(code);
        }
    }
    let sections = sections(kind);
    if let Some(entry) = sections
        .iter()
        .find_map(|section| section.iter().find(|entry| entry.name == lower))
    {
        return Ok(entry.code);
    }
    let owners: Vec<&str> = SECTIONS
        .iter()
        .filter(|(_, section)| section.iter().any(|entry| entry.name == lower))
        .map(|(owner, _)| *owner)
        .collect();
    if !owners.is_empty() {
        return Err(NameError::Elsewhere {
            found: name.to_owned(),
            owners: owners.join(" and "),
            object: kind.to_string(),
        });
    }
    // Of this object's own names first, then of all.
    let own = sections.iter().flat_map(|section| section.iter());
    let all = SECTIONS.iter().flat_map(|(_, section)| section.iter());
    let nearest = nearest(&lower, own.map(|entry| entry.name))
        .or_else(|| nearest(&lower, all.map(|entry| entry.name)));
    Err(NameError::Unknown {
        found: name.to_owned(),
        nearest: nearest.map(str::to_owned),
    })
}

/// The words of an element's values, if it is an integer that has them.
pub fn words(code: ElementCode, kind: ObjectType) -> &'static [&'static str] {
    match entry(code, kind) {
        Some(entry) if code.format() == Format::Integer => entry.words,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::alias;
    use super::super::element::Class;
    use super::*;

    const BOOTMGR: ObjectType = ObjectType(0x1010_0002);

    #[test]
    fn the_recipes_elements_have_the_documented_codes() {
        for (name, kind, code) in [
            ("device", BOOTMGR, 0x1100_0001),
            ("path", ObjectType::OS_LOADER, 0x1200_0002),
            ("description", BOOTMGR, 0x1200_0004),
            ("osdevice", ObjectType::OS_LOADER, 0x2100_0001),
            ("systemroot", ObjectType::OS_LOADER, 0x2200_0002),
            ("detecthal", ObjectType::OS_LOADER, 0x2600_0010),
            ("winpe", ObjectType::OS_LOADER, 0x2600_0022),
            ("default", BOOTMGR, 0x2300_0003),
            ("displayorder", BOOTMGR, 0x2400_0001),
            ("timeout", BOOTMGR, 0x2500_0004),
            ("displaybootmenu", BOOTMGR, 0x2600_0020),
            ("ramdisksdidevice", ObjectType::DEVICE, 0x3100_0003),
            ("ramdisksdipath", ObjectType::DEVICE, 0x3200_0004),
        ] {
            assert_eq!(find(name, kind), Ok(ElementCode(code)), "{name}");
            assert_eq!(super::name(ElementCode(code), kind), name);
        }
    }

    #[test]
    fn one_code_has_as_many_names_as_applications() {
        let code = ElementCode(0x2100_0001);
        assert_eq!(name(code, ObjectType::OS_LOADER), "osdevice");
        assert_eq!(name(code, ObjectType(0x1020_0004)), "filedevice");
        assert_eq!(name(code, BOOTMGR), "custom:21000001");
    }

    #[test]
    fn rows_are_sound() {
        let mut names = 0;
        for (owner, section) in SECTIONS {
            let codes: BTreeSet<_> = section.iter().map(|entry| entry.code).collect();
            assert_eq!(codes.len(), section.len(), "{owner}");
            assert!(section.is_sorted_by_key(|entry| entry.code), "{owner}");
            for entry in *section {
                names += 1;
                assert!(
                    !matches!(entry.code.format(), Format::Unknown(_)),
                    "{entry:?}"
                );
                assert!(entry.words.is_empty() || entry.code.format() == Format::Integer);
                assert_eq!(entry.name, entry.name.to_ascii_lowercase());
                let class = match *owner {
                    "every object" => Class::Library,
                    "Windows Setup's templates" => Class::Template,
                    "device objects" => Class::Device,
                    _ => Class::Application,
                };
                assert_eq!(entry.code.class(), class, "{entry:?}");
            }
        }
        assert!(names > 250, "{names}");
    }

    #[test]
    fn what_is_shown_is_found_again() {
        let kinds = alias::WELL_KNOWN.iter().map(|known| known.kind);
        for kind in kinds.chain([
            ObjectType::OS_LOADER,
            ObjectType(0),
            ObjectType(0x1020_0004),
        ]) {
            for (_, section) in SECTIONS {
                for entry in *section {
                    assert_eq!(find(&name(entry.code, kind), kind), Ok(entry.code));
                }
            }
            let custom = ElementCode(0x5400_0001);
            assert_eq!(find(&name(custom, kind), kind), Ok(custom));
        }
        assert_eq!(
            find("CUSTOM:0x54000001", BOOTMGR),
            Ok(ElementCode(0x5400_0001))
        );
    }

    #[test]
    fn unknown_names_are_told_with_the_nearest() {
        let error = find("ramdisksdipth", ObjectType::DEVICE).unwrap_err();
        assert!(
            error.to_string().ends_with("did you mean ramdisksdipath?"),
            "{error}"
        );
        let error = find("custom:12", BOOTMGR).unwrap_err();
        assert!(matches!(error, NameError::Unknown { .. }), "{error}");
        let error = find("winpe", BOOTMGR).unwrap_err();
        assert_eq!(
            error.to_string(),
            "element \"winpe\" is for osloader objects, not for this object, which is bootmgr"
        );
        assert!(find("", BOOTMGR).is_err());
    }
}
