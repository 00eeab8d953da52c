// SPDX-License-Identifier: MIT OR Apache-2.0
//! The names of a file: one, or a long one and a short one of 8.3 beside it.
//!
//! Windows makes short names unless it was told not to, its own setup of old relied on them, and
//! a Win32 name without a DOS name is what `chkdsk` looks at twice; so we make them.

use crate::image::fat::name::{EntryName, ShortNames, display, entry_name};
use crate::image::spec::DiskName;

/// Who may use a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Namespace {
    /// Long.
    Win32,
    /// Short.
    Dos,
    /// One that is both.
    Both,
}

/// One name of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkName {
    /// UTF-16, 1 to 255.
    pub units: Vec<u16>,
    pub namespace: Namespace,
}

impl LinkName {
    pub fn both(name: &str) -> Self {
        LinkName {
            units: name.encode_utf16().collect(),
            namespace: Namespace::Both,
        }
    }
}

/// The names of all that one directory holds, in the same order.
pub(super) fn links(names: &[&DiskName]) -> Vec<Vec<LinkName>> {
    let mut shorts = ShortNames::default();
    // Names that are short as they are come first, so that none made for another takes theirs.
    let real: Vec<bool> = names
        .iter()
        .map(|name| {
            let alone = entry_name(name, &mut ShortNames::default());
            is_short(&alone, name) && {
                entry_name(name, &mut shorts);
                true
            }
        })
        .collect();
    let link = |(name, real): (&&DiskName, bool)| {
        if real {
            return vec![LinkName::both(name.as_str())];
        }
        let short = display(&entry_name(name, &mut shorts).short);
        vec![
            LinkName {
                units: name.as_str().encode_utf16().collect(),
                namespace: Namespace::Win32,
            },
            LinkName {
                units: short.encode_utf16().collect(),
                namespace: Namespace::Dos,
            },
        ]
    };
    names.iter().zip(real).map(link).collect()
}

fn is_short(entry: &EntryName, name: &DiskName) -> bool {
    display(&entry.short).eq_ignore_ascii_case(name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::spec::DiskPath;

    #[test]
    fn short_names_evade_real_ones() {
        let texts = ["Read me.txt", "README~1.TXT", "bootmgr", "Grüße"];
        let paths: Vec<DiskPath> = texts.iter().map(|text| text.parse().unwrap()).collect();
        let names: Vec<&DiskName> = paths.iter().map(|path| &path.names()[0]).collect();
        let shown: Vec<Vec<(String, Namespace)>> = links(&names)
            .into_iter()
            .map(|links| {
                let shown =
                    |link: LinkName| (String::from_utf16_lossy(&link.units), link.namespace);
                links.into_iter().map(shown).collect()
            })
            .collect();
        let pair = |long: &str, short: &str| {
            vec![
                (long.to_owned(), Namespace::Win32),
                (short.to_owned(), Namespace::Dos),
            ]
        };
        let one = |name: &str| vec![(name.to_owned(), Namespace::Both)];
        assert_eq!(
            shown,
            [
                pair("Read me.txt", "README~2.TXT"),
                one("README~1.TXT"),
                one("bootmgr"),
                pair("Grüße", "GR__E~1"),
            ]
        );
    }
}
