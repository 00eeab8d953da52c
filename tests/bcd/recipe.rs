// SPDX-License-Identifier: MIT OR Apache-2.0
//! The recipe's lines, verbatim, make what the builder makes.

use slamboot::image::bcd::bcdedit::{self, Context, Done};
use slamboot::image::bcd::device::{Descriptor, MbrPartition};
use slamboot::image::bcd::drives::{Drives, Letter};
use slamboot::image::bcd::show::{self, View};
use slamboot::image::bcd::winpe::{self, BootDevice, Firmware, Style, WinPe};
use slamboot::image::bcd::{Store, Value, code};

/// As it was published, from `select disk 0` to the last bcdedit.
pub const SCRIPT: &str = include_str!("recipe.txt");

pub const PARTITION: MbrPartition = MbrPartition {
    signature: 0x1234_5678,
    offset: 2048 * 512,
};

pub fn winpe(style: Style) -> WinPe {
    WinPe {
        device: BootDevice::Mbr(PARTITION),
        wim: "\\winpe.wim".into(),
        sdi: "\\boot.sdi".into(),
        firmware: Firmware::Bios,
        description: "WinPE".into(),
        style,
    }
}

pub fn context() -> Context {
    let mut drives = Drives::none();
    drives.set(Letter::C, Descriptor::Mbr(PARTITION));
    Context {
        drives,
        ..Context::default()
    }
}

fn done() -> Done {
    bcdedit::run(SCRIPT, Store::new(), &context()).unwrap()
}

const GOLDEN: &str = "\
Windows Boot Manager
--------------------
identifier              {bootmgr}
device                  partition=C:
description             Boot Manager
default                 {f4de4444-5040-879b-b52c-068f60c791fb}

Windows Boot Loader
-------------------
identifier              {f4de4444-5040-879b-b52c-068f60c791fb}
device                  ramdisk=[C:]\\winpe.wim,{ramdiskoptions}
path                    \\windows\\system32\\boot\\winload.exe
description             WinPE
osdevice                ramdisk=[C:]\\winpe.wim,{ramdiskoptions}
systemroot              \\windows
detecthal               Yes
winpe                   Yes

Setup Ramdisk Options
---------------------
identifier              {ramdiskoptions}
description             Ramdisk Options
ramdisksdidevice        partition=C:
ramdisksdipath          \\boot.sdi
";

#[test]
fn the_script_makes_the_builders_store_element_by_element() {
    let done = done();
    let built = winpe::store(&winpe(Style::Recipe));
    for (guid, object) in &built.objects {
        let made = &done.store.objects[guid];
        assert_eq!(made.kind, object.kind, "{guid}");
        for (code, value) in &object.elements {
            assert_eq!(made.elements.get(code), Some(value), "{guid} {code}");
        }
    }
    assert_eq!(done.store, built);
    assert_eq!(
        done.store.to_hive().unwrap().bytes(),
        built.to_hive().unwrap().bytes()
    );
    assert_eq!((done.commands, done.skipped, done.created), (15, 9, true));
}

#[test]
fn it_is_shown_as_bcdedit_shows_it() {
    let view = View {
        full: false,
        drives: &context().drives,
    };
    assert_eq!(show::store(&done().store, view), GOLDEN);
}

#[test]
fn the_guess_for_a_variable_is_told() {
    let told: Vec<_> = done()
        .notes
        .into_iter()
        .filter(|note| note.what.contains('%'))
        .map(|note| (note.at.line, note.at.column, note.what))
        .collect();
    assert_eq!(
        told,
        [(
            16,
            32,
            "%WinPE GUID% is not defined; taken for {f4de4444-5040-879b-b52c-068f60c791fb}, the \
             object made above"
                .to_owned()
        )]
    );
}

#[test]
fn the_other_spelling_makes_the_same() {
    let script: String = SCRIPT
        .lines()
        .map(|line| match line.strip_prefix("bcdedit -") {
            Some(rest) => format!("BCDEDIT.EXE /{}\r\n", rest.replace(" -app", " /APP")),
            None => String::new(),
        })
        .collect();
    let other = bcdedit::run(&script, Store::new(), &context()).unwrap();
    assert_eq!(other.store, done().store);
    assert_eq!(other.skipped, 0);
}

#[test]
fn the_corrections_are_the_whole_difference() {
    let mut corrected = winpe::store(&winpe(Style::Menu { timeout: 30 }));
    let loader = corrected.default_object().unwrap();
    let bootmgr = corrected
        .objects
        .get_mut(&slamboot::image::bcd::alias::BOOTMGR)
        .unwrap();
    assert_eq!(
        bootmgr.elements.remove(&code::DISPLAY_ORDER),
        Some(Value::ObjectList(vec![loader]))
    );
    assert_eq!(
        bootmgr.elements.remove(&code::TIMEOUT),
        Some(Value::Integer(30))
    );
    let options = corrected
        .objects
        .get_mut(&slamboot::image::bcd::alias::RAMDISK_OPTIONS)
        .unwrap();
    assert!(!options.elements.contains_key(&code::DESCRIPTION));
    options.elements.insert(
        code::DESCRIPTION,
        Value::String("Ramdisk Options".to_owned()),
    );
    assert_eq!(corrected, done().store);
}

#[test]
fn a_uefi_store_has_the_other_loader_and_any_device() {
    let store = winpe::store(&WinPe {
        device: BootDevice::Boot,
        firmware: Firmware::Uefi,
        ..winpe(Style::Menu { timeout: 0 })
    });
    let loader = &store.objects[&store.default_object().unwrap()];
    assert_eq!(
        loader.string(code::PATH),
        Some("\\windows\\system32\\boot\\winload.efi")
    );
    let Some(Value::Device(device)) = loader.elements.get(&code::DEVICE) else {
        panic!("{loader:?}");
    };
    let Descriptor::Ramdisk(file) = &device.descriptor else {
        panic!("{device:?}");
    };
    assert_eq!(file.parent, Descriptor::Boot);
}
