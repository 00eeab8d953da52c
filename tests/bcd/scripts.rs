// SPDX-License-Identifier: MIT OR Apache-2.0
//! What bcdedit's command lines do, and what is said of those that do nothing.

use slamboot::image::bcd::alias::{BOOTMGR, MEMDIAG, RAMDISK_OPTIONS};
use slamboot::image::bcd::bcdedit::{self, Context, Done};
use slamboot::image::bcd::drives::Drives;
use slamboot::image::bcd::winpe::{self, Style};
use slamboot::image::bcd::{Guid, ObjectType, Store, Value, alias, code, literal, table};

use crate::recipe::{context, winpe as recipe};

fn start() -> Store {
    winpe::store(&recipe(Style::Menu { timeout: 30 }))
}

fn run(script: &str) -> Done {
    bcdedit::run(script, start(), &context()).unwrap_or_else(|error| panic!("{script}: {error}"))
}

fn bootmgr(done: &Done) -> &slamboot::image::bcd::Object {
    &done.store.objects[&BOOTMGR]
}

#[test]
fn the_boot_managers_commands() {
    let loader = start().default_object().unwrap();
    let done = run(
        "bcdedit /create {memdiag} /d \"Memory\"\nbcdedit /timeout 7\n\
                    bcdedit -toolsdisplayorder {memdiag}\nbcdedit /displayorder {memdiag} /addlast\n\
                    bcdedit /bootsequence {default} {memdiag}\nbcdedit /default {memdiag}",
    );
    let bootmgr = bootmgr(&done);
    assert_eq!(bootmgr.elements[&code::TIMEOUT], Value::Integer(7));
    assert_eq!(bootmgr.objects(code::TOOLS_DISPLAY_ORDER), [MEMDIAG]);
    assert_eq!(bootmgr.objects(code::DISPLAY_ORDER), [loader, MEMDIAG]);
    assert_eq!(bootmgr.objects(code::BOOT_SEQUENCE), [loader, MEMDIAG]);
    assert_eq!(bootmgr.object(code::DEFAULT), Some(MEMDIAG));

    let done = run(
        "bcdedit /create {memdiag}\nbcdedit /displayorder {memdiag} {default} /addfirst\n\
                    bcdedit /set {bootmgr} displayorder {memdiag} /remove",
    );
    assert_eq!(
        done.store.objects[&BOOTMGR].objects(code::DISPLAY_ORDER),
        [loader]
    );
    // An empty list is no element.
    let done = run("bcdedit /displayorder {default} /remove");
    assert!(
        !done.store.objects[&BOOTMGR]
            .elements
            .contains_key(&code::DISPLAY_ORDER)
    );
}

#[test]
fn objects_are_made_copied_and_deleted() {
    let done = run("bcdedit /create /d \"A\" /application osloader\n\
                    bcdedit /create /application osloader /d \"A\"\n\
                    bcdedit /create /inherit resume\nbcdedit /create /device /d D\n\
                    bcdedit /create {11111111-2222-3333-4444-555555555555} /application bootsector");
    let of = |kind: u32| {
        let objects = done.store.objects.values();
        objects
            .filter(|object| object.kind == ObjectType(kind))
            .count()
    };
    // Two with the same description, beside the one that was there.
    assert_eq!(of(0x1020_0003), 3);
    assert_eq!(of(0x2020_0004), 1);
    assert_eq!(of(0x3000_0000), 2);
    assert_eq!(of(0x1040_0008), 1);
    // The same lines make the same identifiers.
    assert_eq!(
        done.store,
        run("bcdedit /create /application osloader /d A\n\
         bcdedit /create /application osloader /d A\nbcdedit /create /inherit resume\n\
         bcdedit /create /device /d D\n\
         bcdedit /create {11111111-2222-3333-4444-555555555555} /application bootsector")
        .store
    );

    let done =
        run("bcdedit /copy {default} /d \"Second\"\nbcdedit /displayorder %second guid% /addlast");
    let order = bootmgr(&done).objects(code::DISPLAY_ORDER);
    let copy = &done.store.objects[&order[1]];
    assert_eq!(copy.string(code::DESCRIPTION), Some("Second"));
    assert_eq!(copy.string(code::SYSTEM_ROOT), Some("\\windows"));

    let done = run("bcdedit /delete {default}");
    assert!(!bootmgr(&done).elements.contains_key(&code::DEFAULT));
    assert!(!bootmgr(&done).elements.contains_key(&code::DISPLAY_ORDER));
    let done = run("bcdedit /delete {default} /nocleanup");
    assert!(bootmgr(&done).elements.contains_key(&code::DEFAULT));
    let done = run("bcdedit /delete {ramdiskoptions} /f");
    assert!(!done.store.objects.contains_key(&RAMDISK_OPTIONS));
}

#[test]
fn elements_are_set_and_deleted() {
    let done = run(
        "bcdedit /deletevalue {bootmgr} timeout\nbcdedit /ems {default} ON\n\
                    bcdedit -set {default} nx alwaysoff\nbcdedit /set {default} loadoptions /MININT\n\
                    bcdedit /set {default} custom:0x26000090 yes\n\
                    bcdedit /set {bootmgr} customactions 0x1000085000001 0x54000001\n\
                    bcdedit /set {default} device boot\nbcdedit /bootdebug {bootmgr} off",
    );
    let loader = &done.store.objects[&done.store.default_object().unwrap()];
    assert!(!bootmgr(&done).elements.contains_key(&code::TIMEOUT));
    assert_eq!(loader.elements[&code::EMS], Value::Boolean(true));
    assert_eq!(
        loader.elements[&slamboot::image::bcd::ElementCode(0x2500_0020)],
        Value::Integer(2)
    );
    assert_eq!(
        loader.string(slamboot::image::bcd::ElementCode(0x1200_0030)),
        Some("/MININT")
    );
    assert_eq!(
        loader.elements[&slamboot::image::bcd::ElementCode(0x2600_0090)],
        Value::Boolean(true)
    );
    assert_eq!(
        bootmgr(&done).elements[&slamboot::image::bcd::ElementCode(0x2700_0030)],
        Value::IntegerList(vec![0x0001_0000_8500_0001, 0x5400_0001])
    );
}

#[test]
fn settings_of_debugger_ems_and_hypervisor() {
    let done = run(
        "bcdedit /create {dbgsettings}\nbcdedit /create {emssettings}\n\
                    bcdedit /create {hypervisorsettings}\n\
                    bcdedit /dbgsettings SERIAL DEBUGPORT:1 BAUDRATE:115200 /start AutoEnable /noumex\n\
                    bcdedit /emssettings EMSPORT:2 EMSBAUDRATE:9600\n\
                    bcdedit -hypervisorsettings net port:50000 key:1.2.3.4 nodhcp\n\
                    bcdedit /event {default} on\nbcdedit /dbgsettings",
    );
    let text = |name: &str| {
        let alias = alias::by_name(name).unwrap();
        let object = &done.store.objects[&alias.guid];
        let shown = object.elements.iter().map(|(code, value)| {
            let value = literal::display(*code, object.kind, value, &Drives::none());
            format!("{} {}", table::name(*code, object.kind), value.join(" "))
        });
        shown.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        text("dbgsettings"),
        "debugtype Serial, debugport 1, baudrate 115200, debugstart AutoEnable, noumex Yes"
    );
    assert_eq!(text("emssettings"), "emsport 2, emsbaudrate 9600");
    assert_eq!(
        text("hypervisorsettings"),
        "hypervisorusekey 1.2.3.4, hypervisordebugtype Net, hypervisorhostport 50000, \
         hypervisordhcp No"
    );
    let loader = &done.store.objects[&done.store.default_object().unwrap()];
    assert_eq!(loader.elements[&code::EVENT], Value::Boolean(true));
    // Alone, it shows them.
    assert!(
        done.shown.contains("debugstart              AutoEnable\n"),
        "{}",
        done.shown
    );
}

#[test]
fn stores_go_by_any_name_and_others_are_mapped() {
    let done =
        run("bcdedit /store C:\\Boot\\BCD /timeout 3\nbcdedit /timeout 4 -store c:\\boot\\bcd");
    assert_eq!(bootmgr(&done).elements[&code::TIMEOUT], Value::Integer(4));

    let mut context = context();
    context.mapped.insert("D:\\old".into(), Some(Store::new()));
    context.mapped.insert("D:\\new".into(), None);
    let script = "bcdedit /export d:\\NEW\nbcdedit /import D:\\old /clean";
    let done = bcdedit::run(script, start(), &context).unwrap();
    assert_eq!(done.store, Store::new());
    assert_eq!(done.exported["d:\\NEW"], start());
}

#[test]
fn enum_shows_what_it_is_asked_for() {
    let lines = |script: &str| -> Vec<String> {
        let heads = run(script).shown;
        heads
            .lines()
            .filter_map(|line| line.strip_prefix("identifier "))
            .map(|id| id.trim().to_owned())
            .collect()
    };
    let loader = start().default_object().unwrap().to_string();
    assert_eq!(lines("bcdedit"), ["{bootmgr}", &loader, "{ramdiskoptions}"]);
    assert_eq!(lines("bcdedit /enum osloader"), [loader.as_str()]);
    assert_eq!(lines("bcdedit /enum {default}"), [loader.as_str()]);
    assert_eq!(lines("bcdedit /enum bootmgr /v"), [BOOTMGR.to_string()]);
    assert!(
        run("bcdedit /v")
            .shown
            .contains(&RAMDISK_OPTIONS.to_string())
    );
}

#[test]
fn variables_are_given_assigned_inherited_or_guessed() {
    let mut context = Context::default();
    context.variables.insert("seconds".into(), "11".into());
    context.environment.insert("SECONDS".into(), "12".into());
    context.environment.insert("Waits".into(), "13".into());
    let timeout = |script: &str| {
        let done = bcdedit::run(script, start(), &context)?;
        Ok(bootmgr(&done).elements[&code::TIMEOUT].clone())
    };
    let is = |n| Ok::<_, bcdedit::ScriptError>(Value::Integer(n));
    assert_eq!(timeout("bcdedit /timeout %Seconds%"), is(11));
    assert_eq!(timeout("bcdedit /timeout %WAITS%"), is(13));
    assert_eq!(timeout("set waits=14\nbcdedit /timeout %waits%"), is(14));
    assert_eq!(
        timeout("set waits=14\nset WAITS=\nbcdedit /timeout %waits%"),
        is(13)
    );
    assert_eq!(
        timeout("set \"a=1\"\nset b=%a%5\nbcdedit /timeout %b%"),
        is(15)
    );
    let error = timeout("bcdedit /timeout %nothing%")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "line 1, column 18: %nothing% is not known; say what it is with --var \"nothing=VALUE\""
    );
    let made = "bcdedit /create /application osloader /d one\nbcdedit /create /application osloader /d Two\n";
    let guess = |name: &str| {
        let script = format!("{made}bcdedit /default %{name}%");
        bcdedit::run(&script, start(), &context).map(|done| {
            let default = done.store.default_object().unwrap();
            done.store.objects[&default]
                .string(code::DESCRIPTION)
                .unwrap()
                .to_owned()
        })
    };
    assert_eq!(guess("ONE GUID"), Ok("one".into()));
    assert_eq!(
        guess("guid_of_two")
            .map_err(|error| error.to_string())
            .unwrap_err()
            .split("; say")
            .next()
            .unwrap()
            .split(" \"one\"")
            .count(),
        2
    );
    assert_eq!(guess("GuidTwo"), Ok("Two".into()));
    let error = guess("guid").unwrap_err().to_string();
    assert!(
        error.contains("could be any of") && error.contains("line 3, column 18"),
        "{error}"
    );
    let error = bcdedit::run("bcdedit /default %guid%", start(), &context).unwrap_err();
    assert!(
        error.to_string().contains("no object was made above"),
        "{error}"
    );
}

#[test]
fn identifiers_can_be_given() {
    let guid = Guid::from_u128(7);
    let context = Context {
        guids: vec![guid],
        ..Context::default()
    };
    let script = "bcdedit /create /application osloader\nbcdedit /create /application osloader";
    let done = bcdedit::run(script, start(), &context).unwrap();
    assert!(done.store.objects.contains_key(&guid));
    assert_eq!(done.store.objects.len(), 5);
}

#[test]
fn errors_name_line_and_column_and_what_to_do() {
    for (script, at, why) in [
        (
            "\nbcdedit /set {bootmrg} timeout 1",
            (2, 14),
            "did you mean {bootmgr}?",
        ),
        (
            "bcdedit /set {bootmgr} timout 1",
            (1, 24),
            "did you mean timeout?",
        ),
        (
            "bcdedit /set {bootmgr} winpe 1",
            (1, 24),
            "for osloader objects",
        ),
        (
            "bcdedit /set {bootmgr} timeout soon",
            (1, 32),
            "found \"soon\"",
        ),
        ("bcdedit /set {bootmgr} timeout", (1, 24), "found nothing"),
        (
            "bcdedit /set {bootmgr} description a b",
            (1, 38),
            "found another word",
        ),
        (
            "bcdedit /set {default} device ramdisk=[D:]\\x.wim,{ramdiskoptions}",
            (1, 40),
            "--disk D:=FILE",
        ),
        (
            "bcdedit /set {default} device ramdisk=[C:]\\x.wim,{ramdiskoption}",
            (1, 50),
            "did you mean {ramdiskoptions}?",
        ),
        (
            "bcdedit /set {default} device ^\n   partition=E:",
            (2, 14),
            "--disk E:=FILE",
        ),
        (
            "bcdedit /set {default} winpe vielleicht",
            (1, 30),
            "expected yes, no, on, off",
        ),
        (
            "bcdedit /set {memdiag} passcount 1",
            (1, 14),
            "there is no object {memdiag}",
        ),
        ("bcdedit /set {current} winpe 1", (1, 14), "running"),
        (
            "bcdedit /set winpe 1",
            (1, 14),
            "without one, bcdedit means the Windows that is running",
        ),
        (
            "bcdedit /set {default}",
            (1, 23),
            "expected the name of an element",
        ),
        (
            "bcdedit /set {default} winpe yes /addlast",
            (1, 24),
            "is no list",
        ),
        ("bcdedit /crate {memdiag}", (1, 9), "did you mean /create?"),
        (
            "bcdedit create {memdiag}",
            (1, 9),
            "expected a command such as /set",
        ),
        ("bcdedit /create {bootmgr}", (1, 17), "already"),
        (
            "bcdedit /create {default}",
            (1, 17),
            "cannot be made itself",
        ),
        ("bcdedit /create", (1, 9), "which say what to make"),
        (
            "bcdedit /create {11111111-2222-3333-4444-555555555555}",
            (1, 17),
            "which say what to make",
        ),
        (
            "bcdedit /create /application osloder",
            (1, 30),
            "did you mean osloader?",
        ),
        (
            "bcdedit /create {memdiag} /application osloader",
            (1, 40),
            "is of the type memdiag, not osloader",
        ),
        (
            "bcdedit /create /application osloader /device",
            (1, 39),
            "one of /application",
        ),
        ("bcdedit /create {memdiag} x", (1, 27), "no more words"),
        ("bcdedit /copy {default}", (1, 24), "/d and a description"),
        ("bcdedit /copy {default} /d", (1, 27), "a description"),
        ("bcdedit /delete {bootmgr}", (1, 17), "add /f"),
        (
            "bcdedit /delete {default} /cleanup /nocleanup",
            (1, 36),
            "both",
        ),
        (
            "bcdedit /deletevalue {bootmgr} bootsequence",
            (1, 32),
            "has no element bootsequence",
        ),
        (
            "bcdedit /default {memdiag}",
            (1, 18),
            "there is no object {memdiag}",
        ),
        ("bcdedit /displayorder", (1, 22), "expected an identifier"),
        (
            "bcdedit /set {default} nx alwaysof",
            (1, 27),
            "did you mean AlwaysOff?",
        ),
        ("bcdedit /timeout -1", (1, 18), "a number of seconds"),
        ("bcdedit /sysstore C:", (1, 9), "not supported"),
        (
            "bcdedit /dbgsettings serial",
            (1, 9),
            "there is no object {dbgsettings}",
        ),
        (
            "bcdedit /create {dbgsettings}\nbcdedit /dbgsettings serial debugprot:1",
            (2, 29),
            "such as debugport:VALUE, found \"debugprot:1\"; did you mean debugport?",
        ),
        (
            "bcdedit /create {dbgsettings}\nbcdedit /dbgsettings net debugport:x",
            (2, 36),
            "expected a number",
        ),
        (
            "bcdedit /create {dbgsettings}\nbcdedit /dbgsettings sirial",
            (2, 22),
            "expected Serial, 1394, USB, NET, Local",
        ),
        (
            "bcdedit /create {dbgsettings}\nbcdedit /dbgsettings net hostip:1.2.3.4",
            (2, 26),
            "hostip:1.2.3.4 is not supported: how bcdedit stores",
        ),
        (
            "bcdedit /create {dbgsettings}\nbcdedit /dbgsettings serial /start",
            (2, 29),
            "a value after this",
        ),
        ("bcdedit /emssettings bios", (1, 22), "not supported"),
        (
            "bcdedit /emssetings emsport:1",
            (1, 9),
            "did you mean /emssettings?",
        ),
        (
            "bcdedit /timeout 5\nbcdedit /default {9dea862c-5cdd-4e70-acc1-f32b344d4796}",
            (2, 18),
            "did you mean {9dea862c-5cdd-4e70-acc1-f32b344d4795}?",
        ),
        (
            "bcdedit /set {9dea862c-5cdd-4e70-acc1-f32b344d479} timeout 5",
            (1, 14),
            "did you mean {9dea862c-5cdd-4e70-acc1-f32b344d4795}?",
        ),
        ("bcdedit /createstore x", (1, 9), "--replace"),
        (
            "bcdedit /store a /v\nbcdedit /store b /v",
            (2, 16),
            "--map \"b=FILE\"",
        ),
        (
            "bcdedit /import c:\\x\nbcdedit /export c:\\y",
            (2, 17),
            "second store",
        ),
        ("bcdedit /enum \"osloader", (1, 15), "closes"),
        ("bcdedit /enum | more", (1, 15), "'|'"),
        ("bcdeit /enum", (1, 1), "did you mean bcdedit?"),
        (
            " for /f %%i in ('bcdedit.exe /create /d x') do echo",
            (1, 2),
            "found \"for\" before it",
        ),
        (
            "bcdedit /set {bootmgr} default {default",
            (1, 32),
            "unknown identifier",
        ),
    ] {
        let error = bcdedit::run(script, start(), &context()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(why), "{script}: {text}");
        assert_eq!((error.at.line, error.at.column), at, "{script}: {text}");
        assert!(
            text.starts_with(&format!("line {}, column {}: ", at.0, at.1)),
            "{text}"
        );
    }
    let strict = Context {
        strict: true,
        ..context()
    };
    let error = bcdedit::run("bcdedit /v\nmkdir boot", start(), &strict).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2, column 1: expected a bcdedit command, found \"mkdir\""
    );
}

#[test]
fn a_default_that_is_not_set_says_so() {
    let script = "bcdedit /create {bootmgr}\nbcdedit /set {default} winpe yes";
    let error = bcdedit::run(script, Store::new(), &context()).unwrap_err();
    assert!(error.to_string().contains("which is not set"), "{error}");
    let error = bcdedit::run("bcdedit /timeout 5", Store::new(), &context()).unwrap_err();
    assert!(
        error.to_string().contains("there is no object {bootmgr}"),
        "{error}"
    );
}
