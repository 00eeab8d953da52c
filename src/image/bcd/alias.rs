// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects with identifiers of their own, and the names that bcdedit has for them.
//!
//! Source: Geoff Chappell, "BCD Objects" (geoffchappell.com/notes/windows/boot/bcd/objects.htm);
//! the object types from ReactOS `boot/environ/include/bcd.h` and Microsoft's BCD reference. One
//! digit group differs from that page: {resumeloadersettings} is `1afa9c49-16ab-4a5c-901b-...` in
//! what `bcdedit /enum all` prints.

use super::guid::Guid;
use super::object::ObjectType;

/// An object that every store calls the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WellKnown {
    /// Its identifier.
    pub guid: Guid,
    /// bcdedit's name, without braces.
    pub name: &'static str,
    /// Its type.
    pub kind: ObjectType,
    /// What bcdedit heads its entry with.
    pub heading: &'static str,
}

const fn known(digits: u128, name: &'static str, kind: u32, heading: &'static str) -> WellKnown {
    WellKnown {
        guid: Guid::from_u128(digits),
        name,
        kind: ObjectType(kind),
        heading,
    }
}

/// The well-known objects. Of two names for one object the first is shown.
pub const WELL_KNOWN: &[WellKnown] = &[
    known(
        0x9dea862c_5cdd_4e70_acc1_f32b344d4795,
        "bootmgr",
        0x1010_0002,
        "Windows Boot Manager",
    ),
    known(
        0xa5a30fa2_3d06_4e9f_b5f4_a01df9d1fcba,
        "fwbootmgr",
        0x1010_0001,
        "Firmware Boot Manager",
    ),
    known(
        0xb2721d73_1db4_4c62_bf78_c548a880142d,
        "memdiag",
        0x1020_0005,
        "Windows Memory Tester",
    ),
    known(
        0x466f5a88_0af2_4f76_9038_095b170dc21c,
        "ntldr",
        0x1030_0006,
        "Windows Legacy OS Loader",
    ),
    known(
        0x466f5a88_0af2_4f76_9038_095b170dc21c,
        "legacy",
        0x1030_0006,
        "Windows Legacy OS Loader",
    ),
    known(
        0xae5534e0_a924_466c_b836_758539a3ee3a,
        "ramdiskoptions",
        0x3000_0000,
        "Setup Ramdisk Options",
    ),
    known(
        0x4636856e_540f_4170_a130_a84776f4c654,
        "dbgsettings",
        0x2010_0000,
        "Debugger Settings",
    ),
    known(
        0x0ce4991b_e6b3_4b16_b23c_5e0d9250e5d9,
        "emssettings",
        0x2010_0000,
        "EMS Settings",
    ),
    known(
        0x5189b25c_5558_4bf2_bca4_289b11bd29e2,
        "badmemory",
        0x2010_0000,
        "RAM Defects",
    ),
    known(
        0x7ea2e1ac_2e61_4728_aaa3_896d9d0a9f0e,
        "globalsettings",
        0x2010_0000,
        "Global Settings",
    ),
    known(
        0x6efb52bf_1766_41db_a6b3_0ee5eff72bd7,
        "bootloadersettings",
        0x2020_0003,
        "Boot Loader Settings",
    ),
    known(
        0x7ff607e0_4395_11db_b0de_0800200c9a66,
        "hypervisorsettings",
        0x2020_0003,
        "Hypervisor Settings",
    ),
    known(
        0x313e8eed_7098_4586_a9bf_309c61f8d449,
        "kerneldbgsettings",
        0x2020_0003,
        "Kernel Debugger Settings",
    ),
    known(
        0x1afa9c49_16ab_4a5c_901b_212802da9460,
        "resumeloadersettings",
        0x2020_0004,
        "Resume Loader Settings",
    ),
];

/// {bootmgr}.
pub const BOOTMGR: Guid = WELL_KNOWN[0].guid;
/// {memdiag}.
pub const MEMDIAG: Guid = WELL_KNOWN[2].guid;
/// {ramdiskoptions}.
pub const RAMDISK_OPTIONS: Guid = WELL_KNOWN[5].guid;

/// Names that stand for another object and are never a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Virtual {
    /// `{default}`: the object that {bootmgr}'s `default` names.
    Default,
    /// `{current}`: the entry of the Windows that is running.
    Current,
}

/// What an identifier's text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identifier {
    /// An object.
    Guid(Guid),
    /// A stand-in.
    Virtual(Virtual),
}

/// An identifier that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown identifier {found:?}: expected a GUID or a name such as {{bootmgr}}{}", hint(nearest.as_deref()))]
pub struct IdentifierError {
    /// What stood there.
    pub found: String,
    /// The nearest name, with braces.
    pub nearest: Option<String>,
}

/// `; did you mean ...?`, where something is near.
pub(super) fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// The candidate nearest to `word`, if it is near enough to have been meant.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    // Longer than any name there is: nothing is near, and the distance costs time.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .map(|(_, candidate)| candidate)
}

impl Identifier {
    /// Reads `{guid}`, `{name}`, or either without its braces.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        if let Ok(guid) = text.parse() {
            return Ok(Identifier::Guid(guid));
        }
        let bare = text
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or(text);
        if bare.eq_ignore_ascii_case("default") {
            return Ok(Identifier::Virtual(Virtual::Default));
        }
        if bare.eq_ignore_ascii_case("current") {
            return Ok(Identifier::Virtual(Virtual::Current));
        }
        if let Some(known) = by_name(bare) {
            return Ok(Identifier::Guid(known.guid));
        }
        let names = WELL_KNOWN.iter().map(|known| known.name);
        Err(IdentifierError {
            found: text.to_owned(),
            nearest: nearest(bare, names.chain(["default", "current"]))
                .map(|name| format!("{{{name}}}")),
        })
    }
}

/// The well-known object of that name.
pub fn by_name(name: &str) -> Option<&'static WellKnown> {
    WELL_KNOWN
        .iter()
        .find(|known| known.name.eq_ignore_ascii_case(name))
}

/// The well-known object of that identifier.
pub fn by_guid(guid: Guid) -> Option<&'static WellKnown> {
    WELL_KNOWN.iter().find(|known| known.guid == guid)
}

/// `{bootmgr}` where the object has a name, else its GUID.
pub fn display(guid: Guid) -> String {
    by_guid(guid).map_or_else(|| guid.to_string(), |known| format!("{{{}}}", known.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_identifiers_stand_for_each_other() {
        for known in WELL_KNOWN {
            let braced = format!("{{{}}}", known.name.to_uppercase());
            assert_eq!(Identifier::parse(&braced), Ok(Identifier::Guid(known.guid)));
            let shown = display(known.guid);
            assert_eq!(Identifier::parse(&shown), Ok(Identifier::Guid(known.guid)));
        }
        assert_eq!(BOOTMGR, by_name("bootmgr").unwrap().guid);
        assert_eq!(MEMDIAG, by_name("memdiag").unwrap().guid);
        assert_eq!(RAMDISK_OPTIONS, by_name("ramdiskoptions").unwrap().guid);
        assert_eq!(
            Identifier::parse("{default}"),
            Ok(Identifier::Virtual(Virtual::Default))
        );
    }

    #[test]
    fn the_nearest_name_is_offered() {
        for (text, nearest) in [
            ("{bootmrg}", Some("{bootmgr}")),
            ("{ramdiskoption}", Some("{ramdiskoptions}")),
            ("{defualt}", Some("{default}")),
            ("{winpe}", None),
            ("", None),
        ] {
            let error = Identifier::parse(text).unwrap_err();
            assert_eq!(error.nearest.as_deref(), nearest, "{text}");
        }
        let error = Identifier::parse("{bootmrg}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown identifier \"{bootmrg}\": expected a GUID or a name such as {bootmgr}; did you mean {bootmgr}?"
        );
    }
}
