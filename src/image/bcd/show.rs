// SPDX-License-Identifier: MIT OR Apache-2.0
//! A store as text, in the layout of `bcdedit /enum`.

use std::fmt::Write;

use super::alias::{self, BOOTMGR};
use super::code;
use super::drives::Drives;
use super::element::{ElementCode, Value};
use super::guid::Guid;
use super::literal;
use super::object::{Object, heading};
use super::store::Store;
use super::table;

/// The column of values.
const COLUMN: usize = 24;

/// How to show a store.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Show identifiers in full, as `bcdedit /v` does.
    pub full: bool,
    /// Which partitions have letters.
    pub drives: &'a Drives,
}

/// All objects: {bootmgr} first, then the menu in its order, then the rest.
pub fn store(store: &Store, view: View<'_>) -> String {
    let mut text = String::new();
    for guid in order(store) {
        if let Some(object) = store.objects.get(&guid) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&self::object(guid, object, view));
        }
    }
    text
}

/// In which order objects are shown.
pub fn order(store: &Store) -> Vec<Guid> {
    let mut order = vec![BOOTMGR];
    if let Some(bootmgr) = store.objects.get(&BOOTMGR) {
        order.extend(bootmgr.objects(code::DISPLAY_ORDER));
        order.extend(bootmgr.object(code::DEFAULT));
        order.extend(bootmgr.objects(code::TOOLS_DISPLAY_ORDER));
    }
    // Applications, then settings, then devices.
    let mut rest: Vec<_> = store.objects.iter().collect();
    rest.sort_by_key(|(guid, object)| (object.kind.0 >> 28, object.kind, **guid));
    order.extend(rest.into_iter().map(|(guid, _)| *guid));
    let mut seen = std::collections::BTreeSet::new();
    order.retain(|guid| store.objects.contains_key(guid) && seen.insert(*guid));
    order
}

/// One object.
pub fn object(guid: Guid, object: &Object, view: View<'_>) -> String {
    let heading = heading(guid, object.kind);
    let mut text = format!("{heading}\n{}\n", "-".repeat(heading.len()));
    row(&mut text, "identifier", &identifier(guid, view));
    for (code, value) in &object.elements {
        let name = table::name(*code, object.kind);
        let mut lines = lines(*code, object, value, view).into_iter();
        row(&mut text, &name, &lines.next().unwrap_or_default());
        for line in lines {
            row(&mut text, "", &line);
        }
    }
    text
}

fn lines(code: ElementCode, object: &Object, value: &Value, view: View<'_>) -> Vec<String> {
    match value {
        Value::Object(guid) => vec![identifier(*guid, view)],
        Value::ObjectList(list) => list.iter().map(|guid| identifier(*guid, view)).collect(),
        _ => literal::display(code, object.kind, value, view.drives),
    }
}

fn identifier(guid: Guid, view: View<'_>) -> String {
    if view.full {
        guid.to_string()
    } else {
        alias::display(guid)
    }
}

/// A name, padded, and a value. Characters that would draw on a terminal are escaped.
fn row(text: &mut String, name: &str, value: &str) {
    let safe: String = value
        .chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect();
    // A name as long as the column still wants a space after it.
    let width = COLUMN.max(name.len() + 1);
    let line = format!("{name:<width$}{safe}");
    // Writing to a string does not fail.
    let _ = writeln!(text, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::super::winpe::{self, BootDevice, Firmware, Style, WinPe};
    use super::*;

    const GOLDEN: &str = "\
Windows Boot Manager
--------------------
identifier              {bootmgr}
device                  boot
description             Boot Manager
default                 {6ea6a7e2-0000-8000-8000-000000000000}
displayorder            {6ea6a7e2-0000-8000-8000-000000000000}
                        {memdiag}
timeout                 30

Windows Boot Loader
-------------------
identifier              {6ea6a7e2-0000-8000-8000-000000000000}
device                  ramdisk=[boot]\\winpe.wim,{ramdiskoptions}
path                    \\windows\\system32\\boot\\winload.exe
description             Bell\\u{7} of WinPE
osdevice                ramdisk=[boot]\\winpe.wim,{ramdiskoptions}
systemroot              \\windows
detecthal               Yes
winpe                   Yes

Setup Ramdisk Options
---------------------
identifier              {ramdiskoptions}
ramdisksdidevice        boot
ramdisksdipath          \\boot\\boot.sdi
";

    #[test]
    fn the_layout_is_bcdedits() {
        let mut store = winpe::store(&WinPe {
            device: BootDevice::Boot,
            wim: "\\winpe.wim".into(),
            sdi: "\\boot\\boot.sdi".into(),
            firmware: Firmware::Bios,
            description: "Bell\x07 of WinPE".into(),
            style: Style::Menu { timeout: 30 },
        });
        // An identifier that can be told in a golden text.
        let derived = store.default_object().unwrap();
        let loader = Guid::from_u128(0x6ea6_a7e2_0000_8000_8000_0000_0000_0000);
        let object = store.objects.remove(&derived).unwrap();
        store.objects.insert(loader, object);
        let bootmgr = store.objects.get_mut(&BOOTMGR).unwrap();
        bootmgr
            .elements
            .insert(code::DEFAULT, Value::Object(loader));
        bootmgr.elements.insert(
            code::DISPLAY_ORDER,
            Value::ObjectList(vec![loader, alias::MEMDIAG]),
        );
        let drives = Drives::none();
        let view = View {
            full: false,
            drives: &drives,
        };
        assert_eq!(super::store(&store, view), GOLDEN);
        let full = super::store(&store, View { full: true, ..view });
        assert!(full.contains("identifier              {9dea862c-5cdd-4e70-acc1-f32b344d4795}\n"));
    }
}
