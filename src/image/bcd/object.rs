// SPDX-License-Identifier: MIT OR Apache-2.0
//! An object: its type and its elements.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::alias::{self, hint, nearest};
use super::element::{ElementCode, Value};
use super::guid::Guid;

/// What an object is (`BcdObjectType` in ReactOS `boot/environ/include/bcd.h`): object code (4
/// bits: 1 application, 2 inheritable, 3 device), 4 reserved bits, image or class code (4 bits),
/// application code (20 bits).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectType(pub u32);

/// The program that an application object is for, or that may inherit from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Application {
    /// The firmware's boot manager.
    FirmwareBootManager,
    /// bootmgr.
    BootManager,
    /// winload.
    OsLoader,
    /// winresume.
    Resume,
    /// memtest.
    MemoryTester,
    /// ntldr and setupldr.
    Legacy,
    /// A boot sector, for real mode.
    BootSector,
    /// A startup program, for real mode.
    Startup,
    /// Any other boot application.
    BootApplication,
}

/// bcdedit's words for `/application`, and what they make (geoffchappell.com, "BCD Objects", and
/// ReactOS `bcd.h`: image 1 firmware, 2 boot application, 3 ntldr, 4 real mode).
const APPLICATIONS: &[(&str, u32)] = &[
    ("fwbootmgr", 0x1010_0001),
    ("bootmgr", 0x1010_0002),
    ("osloader", 0x1020_0003),
    ("resume", 0x1020_0004),
    ("memdiag", 0x1020_0005),
    ("ntldr", 0x1030_0006),
    ("setupldr", 0x1030_0007),
    ("bootsector", 0x1040_0008),
    ("startup", 0x1040_0009),
    ("bootapp", 0x1020_000A),
];

/// Neither a word of bcdedit's nor a number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown application type {found:?}: expected osloader, resume, bootsector, startup, ntldr, memdiag, bootapp, bootmgr, fwbootmgr, setupldr or a number such as 0x10200003{}", hint(nearest.as_deref()))]
pub struct ObjectTypeError {
    /// What stood there.
    pub found: String,
    /// The nearest word.
    pub nearest: Option<String>,
}

impl ObjectType {
    /// What {ramdiskoptions} is.
    pub const DEVICE: ObjectType = ObjectType(0x3000_0000);
    /// What winload's entries are.
    pub const OS_LOADER: ObjectType = ObjectType(0x1020_0003);
    /// Settings that any object may inherit.
    pub const INHERIT: ObjectType = ObjectType(0x2010_0000);

    /// The program that it is for; none for devices and for settings that any object may inherit.
    pub fn application(self) -> Option<Application> {
        let image = self.0 >> 20 & 0xF;
        match self.0 >> 28 {
            1 => {}
            // Class 2: inheritable by one kind of application.
            2 if image == 2 => {}
            _ => return None,
        }
        Some(match self.0 & 0xF_FFFF {
            1 => Application::FirmwareBootManager,
            2 => Application::BootManager,
            3 => Application::OsLoader,
            4 => Application::Resume,
            5 => Application::MemoryTester,
            6 | 7 => Application::Legacy,
            8 => Application::BootSector,
            9 => Application::Startup,
            _ => Application::BootApplication,
        })
    }

    /// It configures a device, as {ramdiskoptions} does.
    pub fn is_device(self) -> bool {
        self.0 >> 28 == 3
    }

    /// It is there to be inherited from.
    pub fn is_inherit(self) -> bool {
        self.0 >> 28 == 2
    }

    /// The settings that an application may inherit: `/create /inherit osloader`.
    #[must_use]
    pub fn inherited_by(self) -> ObjectType {
        ObjectType(0x2020_0000 | self.0 & 0xF_FFFF)
    }

    /// What bcdedit heads an entry of this type with.
    pub fn heading(self) -> &'static str {
        match (self.0 >> 28, self.application()) {
            (1, Some(application)) => match application {
                Application::FirmwareBootManager => "Firmware Boot Manager",
                Application::BootManager => "Windows Boot Manager",
                Application::OsLoader => "Windows Boot Loader",
                Application::Resume => "Resume from Hibernate",
                Application::MemoryTester => "Windows Memory Tester",
                Application::Legacy => "Windows Legacy OS Loader",
                Application::BootSector => "Real-mode Boot Sector",
                Application::Startup => "Startup Program",
                Application::BootApplication => "Boot Application",
            },
            (2, Some(Application::OsLoader)) => "Boot Loader Settings",
            (2, Some(Application::Resume)) => "Resume Loader Settings",
            (2, _) => "Inheritable Settings",
            (3, _) => "Device options",
            _ => "Unknown Object",
        }
    }
}

impl FromStr for ObjectType {
    type Err = ObjectTypeError;

    fn from_str(text: &str) -> Result<Self, ObjectTypeError> {
        if let Some((_, kind)) = APPLICATIONS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
        {
            return Ok(ObjectType(*kind));
        }
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        if let Some(kind) = digits
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        {
            return Ok(ObjectType(kind));
        }
        Err(ObjectTypeError {
            found: text.to_owned(),
            nearest: nearest(text, APPLICATIONS.iter().map(|(name, _)| *name)).map(str::to_owned),
        })
    }
}

/// A word of bcdedit's where there is one, else the number.
impl fmt::Display for ObjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = APPLICATIONS.iter().find(|(_, kind)| *kind == self.0);
        match word {
            Some((name, _)) => f.write_str(name),
            None if *self == ObjectType::DEVICE => f.write_str("device"),
            None if *self == ObjectType::INHERIT => f.write_str("inherit"),
            None => write!(f, "0x{:08x}", self.0),
        }
    }
}

impl fmt::Debug for ObjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.0)
    }
}

/// An object of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: ObjectType,
    /// Its elements, in the order of their codes, which is the order of their keys.
    pub elements: BTreeMap<ElementCode, Value>,
}

impl Object {
    /// One without elements.
    pub fn new(kind: ObjectType) -> Self {
        Object {
            kind,
            elements: BTreeMap::new(),
        }
    }

    /// Sets an element; in a chain.
    #[must_use]
    pub fn with(mut self, code: ElementCode, value: Value) -> Self {
        self.elements.insert(code, value);
        self
    }

    /// The text of an element, if it is there and is one.
    pub fn string(&self, code: ElementCode) -> Option<&str> {
        match self.elements.get(&code)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The object that an element names.
    pub fn object(&self, code: ElementCode) -> Option<Guid> {
        match self.elements.get(&code)? {
            Value::Object(guid) => Some(*guid),
            _ => None,
        }
    }

    /// The objects that an element lists; none where it is absent.
    pub fn objects(&self, code: ElementCode) -> &[Guid] {
        match self.elements.get(&code) {
            Some(Value::ObjectList(list)) => list,
            _ => &[],
        }
    }
}

/// What bcdedit heads the entry with.
pub fn heading(guid: Guid, kind: ObjectType) -> &'static str {
    alias::by_guid(guid)
        .filter(|known| known.kind == kind)
        .map_or_else(|| kind.heading(), |known| known.heading)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_make_the_documented_types() {
        assert_eq!("osloader".parse(), Ok(ObjectType::OS_LOADER));
        assert_eq!("OSLoader".parse(), Ok(ObjectType(0x1020_0003)));
        assert_eq!("bootsector".parse(), Ok(ObjectType(0x1040_0008)));
        assert_eq!("0x10200003".parse(), Ok(ObjectType::OS_LOADER));
        assert_eq!(
            ObjectType::OS_LOADER.inherited_by(),
            alias::by_name("bootloadersettings").unwrap().kind
        );
        for (name, kind) in APPLICATIONS {
            assert_eq!(ObjectType(*kind).to_string(), *name);
            assert!(ObjectType(*kind).application().is_some());
        }
        let error = "osloder".parse::<ObjectType>().unwrap_err();
        assert_eq!(error.nearest.as_deref(), Some("osloader"));
        assert!("0x+1".parse::<ObjectType>().is_err());
        assert!("0x".parse::<ObjectType>().is_err());
    }

    #[test]
    fn settings_belong_to_one_application_or_to_all() {
        assert_eq!(ObjectType::INHERIT.application(), None);
        assert_eq!(
            ObjectType(0x2020_0004).application(),
            Some(Application::Resume)
        );
        assert_eq!(ObjectType::DEVICE.application(), None);
    }
}
