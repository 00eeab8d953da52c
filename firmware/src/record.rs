// SPDX-License-Identifier: MIT OR Apache-2.0
//! The record of settings in a finished file: what the compiler saw of each macro that a site decides,
//! written into the program by `overlay/src/core/slamboot_record.c`.
//!
//! `slamboot-config|NAME=VALUE|NAME=VALUE|`, ended by a NUL; a macro that is not defined is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use site::{Client, Console, Firmware};

use crate::pins::{Overlay, Release};
use crate::target::Platform;
use crate::tree::{File, Tree};

/// What a record begins with.
pub(crate) const START: &str = "slamboot-config|";

/// What a macro should have come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Defined as this, but for white space.
    Value(String),
    /// Defined, as whatever it expands to.
    Defined,
    /// Not defined.
    Undefined,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Value(value) if value.is_empty() => f.write_str("defined"),
            Expected::Value(value) => write!(f, "defined as {value}"),
            Expected::Defined => f.write_str("defined"),
            Expected::Undefined => f.write_str("not defined"),
        }
    }
}

/// A setting of the site, and the macro that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key in slamboot.toml.
    pub key: &'static str,
    /// The macro.
    pub name: String,
    /// What it should be.
    pub expected: Expected,
}

impl Setting {
    /// Whether `record` says so.
    pub fn holds(&self, record: &BTreeMap<String, String>) -> bool {
        let plain = |text: &str| text.split_whitespace().collect::<String>();
        match (&self.expected, record.get(&self.name)) {
            (Expected::Undefined, None) | (Expected::Defined, Some(_)) => true,
            (Expected::Value(value), Some(found)) => plain(value) == plain(found),
            _ => false,
        }
    }
}

/// Whether ROMs of `release` have a record: it is C of ours.
pub fn kept(release: &Release) -> bool {
    release.overlay == Overlay::Fits
}

/// All that a record shows of a site's settings on `platform`.
pub fn settings(firmware: &Firmware, platform: Platform) -> Vec<Setting> {
    let knobs = &firmware.knobs;
    let mut settings = Vec::new();
    let mut add = |key, name: &str, expected| {
        settings.push(Setting {
            key,
            name: name.to_owned(),
            expected,
        });
    };
    for name in ["BANNER_TIMEOUT", "ROM_BANNER_TIMEOUT"] {
        let value = Expected::Value(knobs.banner_timeout.to_string());
        add("[firmware] banner_timeout", name, value);
    }
    if let Some(seconds) = knobs.dhcp_timeout {
        let value = Expected::Value(seconds.to_string());
        add(
            "[firmware] dhcp_timeout",
            "DHCP_DISC_END_TIMEOUT_SEC",
            value,
        );
    }
    for console in &knobs.consoles {
        let name = console.macro_name();
        add("[firmware] consoles", name, Expected::Defined);
    }
    let switch = |on: bool| {
        if on {
            Expected::Defined
        } else {
            Expected::Undefined
        }
    };
    // Upstream's client is linked by this macro; without it, who opens x-slam URIs is ours.
    let stock = switch(firmware.client == Client::Stock);
    add("[firmware] client", "DOWNLOAD_PROTO_SLAM", stock);
    if platform == Platform::Bios {
        add(
            "[firmware] serial",
            "CONSOLE_SERIAL",
            switch(firmware.serial),
        );
        add("[firmware] ipv6", "NET_PROTO_IPV6", switch(firmware.ipv6));
    }
    let raw = knobs.raw.values();
    // Others were refused before make started.
    for (name, expected) in raw.flat_map(|text| lines(text).unwrap_or_default()) {
        add("[firmware.raw]", &name, expected);
    }
    settings
}

/// The objects of which one must be linked where a console is (`config/config*.c`).
pub fn console_objects(console: Console) -> &'static [&'static str] {
    match console {
        Console::Framebuffer => &["obj_vesafb", "obj_efi_fbcon"],
        Console::Syslog => &["obj_syslog"],
        Console::Debugcon => &["obj_debugcon"],
        Console::Vmware => &["obj_vmconsole"],
    }
}

/// What the lines of a raw header come to, the last of each macro; the first line that is neither `#define` nor
/// `#undef` nor a comment is an error: what a condition or another file decides, nobody could look for.
fn lines(text: &str) -> Result<BTreeMap<String, Expected>, String> {
    let mut found = BTreeMap::new();
    let directive = |line: &str, word: &str| -> Option<String> {
        let rest = line.trim_start().strip_prefix('#')?.trim_start();
        let rest = rest.strip_prefix(word)?;
        rest.starts_with(char::is_whitespace)
            .then(|| rest.trim().to_owned())
    };
    let comment = |line: &str| {
        let line = line.trim();
        line.is_empty()
            || line.starts_with("//")
            || (line.starts_with("/*") && line.find("*/") == Some(line.len() - 2))
    };
    let name_of = |rest: &str| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        rest[..end.unwrap_or(rest.len())].to_owned()
    };
    for line in text.lines() {
        if line.trim_end().ends_with('\\') {
            return Err(line.to_owned());
        }
        if let Some(rest) = directive(line, "define") {
            let name = name_of(&rest);
            let value = &rest[name.len()..];
            // What expands further, or takes arguments, comes out as something else.
            let plain = value.trim().is_empty() || value.trim().parse::<u64>().is_ok();
            let expected = if plain {
                Expected::Value(value.trim().to_owned())
            } else {
                Expected::Defined
            };
            found.insert(name, expected);
        } else if let Some(rest) = directive(line, "undef") {
            found.insert(name_of(&rest), Expected::Undefined);
        } else if !comment(line) {
            return Err(line.to_owned());
        }
    }
    found.retain(|name, _| !name.is_empty());
    Ok(found)
}

/// `config/local/slamboot_record.h`: the record of every macro that may be decided, as C.
pub(crate) fn header(firmware: &Firmware) -> String {
    use fmt::Write as _;
    let mut includes = BTreeSet::from(["console", "dhcp", "general"]);
    includes.extend(firmware.knobs.raw.keys().map(String::as_str));
    let mut text = String::from("/* Written by slamboot; changes are lost. */\n");
    for name in includes {
        // Writing to a String does not fail.
        let _ = writeln!(text, "#include <config/{name}.h>");
    }
    let mut names = BTreeSet::new();
    for platform in Platform::ALL {
        names.extend(settings(firmware, platform).into_iter().map(|s| s.name));
    }
    let _ = writeln!(text, "SLAMBOOT_RECORD =\n\t\"{START}\"");
    for name in names {
        let _ = write!(
            text,
            "#ifdef {name}\n\t\"{name}=\" SLAMBOOT_TEXT ( {name} ) \"|\"\n#endif\n"
        );
    }
    text.push_str("\t;\n");
    text
}

/// The record that begins at `text`, behind [`START`].
pub(crate) fn read(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('|').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// A wish that nothing in iPXE could notice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No such header.
    #[error(
        "[firmware.raw] {name}: iPXE {release} has no src/config/{name}.h, so nobody would read it\nhelp: it has {}", .known.join(", ")
    )]
    Header {
        /// Its name.
        name: String,
        /// The release.
        release: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A line of which nobody could say whether it took effect.
    #[error(
        "[firmware.raw] {header}: {line:?}: expected #define or #undef, each on one line: whether anything else took effect cannot be read from the finished file\nhelp: for a setting that only some targets shall have, keep two files like slamboot.toml (--config)"
    )]
    Line {
        /// The header.
        header: String,
        /// The line.
        line: String,
    },
    /// A typed setting that this release has not.
    #[error(
        "{key}: iPXE {release} has no {word}: nothing in its source asks for {name}\nhelp: leave it out, or build another --release"
    )]
    Setting {
        /// The key in slamboot.toml.
        key: &'static str,
        /// The word there.
        word: &'static str,
        /// The macro.
        name: &'static str,
        /// The release.
        release: String,
    },
    /// No such macro.
    #[error(
        "[firmware.raw] {header}: nothing in iPXE {release} asks for {name}, so it would do nothing\nhelp: its settings are in src/config/{header}.h; another release may have another name for it"
    )]
    Macro {
        /// The header.
        header: String,
        /// The macro.
        name: String,
        /// The release.
        release: String,
    },
}

/// Whether iPXE's source knows what the site wishes: the macros of typed settings, and the headers and macros
/// that the raw lines name.
pub fn check(firmware: &Firmware, release: &Release, source: &Tree) -> Result<(), Unknown> {
    let known = |name: &str| source.files().any(|(path, file)| asks(path, file, name));
    let knobs = &firmware.knobs;
    let trust = firmware.trust.is_some();
    let protocols = knobs.protocols.iter();
    let protocols = protocols.map(|p| ("[firmware] protocols", p.word(), p.macro_name()));
    let commands = knobs.commands.iter();
    let commands = commands.map(|c| ("[firmware] commands", c.word(), c.macro_name()));
    let consoles = knobs.consoles.iter();
    let consoles = consoles.map(|c| ("[firmware] consoles", c.word(), c.macro_name()));
    let others = [
        (trust, "[firmware] trust", "imgtrust", "IMAGE_TRUST_CMD"),
        (firmware.ipv6, "[firmware] ipv6", "IPv6", "NET_PROTO_IPV6"),
        (
            knobs.banner.is_some(),
            "[firmware] banner",
            "product name",
            "PRODUCT_NAME",
        ),
        (
            knobs.dhcp_timeout.is_some(),
            "[firmware] dhcp_timeout",
            "such time-out",
            "DHCP_DISC_END_TIMEOUT_SEC",
        ),
    ];
    let others = others.into_iter().filter(|(wished, ..)| *wished);
    let others = others.map(|(_, key, word, name)| (key, word, name));
    let mut typed = protocols.chain(commands).chain(consoles).chain(others);
    if let Some((key, word, name)) = typed.find(|(_, _, name)| !known(name)) {
        return Err(Unknown::Setting {
            key,
            word,
            name,
            release: release.name.clone(),
        });
    }
    for (header, text) in &firmware.knobs.raw {
        if !source.contains(&format!("src/config/{header}.h")) {
            let known = source.files().filter_map(|(path, _)| {
                let name = path.strip_prefix("src/config/")?.strip_suffix(".h")?;
                (!name.contains('/')).then(|| name.to_owned())
            });
            return Err(Unknown::Header {
                name: header.clone(),
                release: release.name.clone(),
                known: known.collect(),
            });
        }
        let decided = lines(text).map_err(|line| Unknown::Line {
            header: header.clone(),
            line,
        })?;
        for name in decided.into_keys() {
            if !known(&name) {
                return Err(Unknown::Macro {
                    header: header.clone(),
                    name,
                    release: release.name.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Whether a source file has the word.
fn asks(path: &str, file: &File, name: &str) -> bool {
    let File::Plain(bytes) = file else {
        return false;
    };
    let source = [".c", ".h", ".S", ".lds"];
    if !path.starts_with("src/") || !source.iter().any(|ending| path.ends_with(ending)) {
        return false;
    }
    let word = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    memchr::memmem::find_iter(bytes, name.as_bytes()).any(|at| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        !word(before) && !word(bytes.get(at + name.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pins::Pins;
    use site::Site;

    #[test]
    fn raw_lines_are_told_by_their_last_word() {
        let text =
            "#define A\n#undef B\n# define C 12\n#define D x + 1\n#define E(x) x\n#undef A\n";
        let found: Vec<_> = lines(text)
            .unwrap()
            .into_iter()
            .map(|(name, expected)| format!("{name} {expected}"))
            .collect();
        assert_eq!(
            found,
            [
                "A not defined",
                "B not defined",
                "C defined as 12",
                "D defined",
                "E defined"
            ]
        );
        assert_eq!(lines("// why\n\n/* because */\n").unwrap().len(), 0);
        // Whether it holds depends on what a condition sees, or another line.
        for text in [
            "#ifdef X\n#define A\n#endif\n",
            "#if 0\n",
            "#define A \\\n1\n",
            "#include \"x.h\"",
            "/* #define A",
            "/* x */ #define A /* y */",
            "int a;",
        ] {
            assert_eq!(lines(text).unwrap_err(), text.lines().next().unwrap());
        }
    }

    #[test]
    fn a_record_tells_what_took_effect() {
        let mut firmware = Site::default().firmware;
        firmware.knobs.dhcp_timeout = Some(20);
        firmware.knobs.consoles = vec![Console::Debugcon];
        firmware.knobs.raw = [("usb".to_owned(), "#undef USB_KEYBOARD\n".to_owned())].into();
        let header = header(&firmware);
        for part in [
            "#include <config/usb.h>\n",
            "#ifdef DHCP_DISC_END_TIMEOUT_SEC\n",
            "\"USB_KEYBOARD=\" SLAMBOOT_TEXT ( USB_KEYBOARD ) \"|\"\n",
        ] {
            assert!(header.contains(part), "{part} in {header}");
        }
        let wrong = |platform, text: &str| -> Vec<String> {
            let record = read(text);
            let settings = settings(&firmware, platform).into_iter();
            settings
                .filter(|setting| !setting.holds(&record))
                .map(|setting| setting.name)
                .collect()
        };
        let right = "BANNER_TIMEOUT=0|ROM_BANNER_TIMEOUT=0|CONSOLE_SERIAL=|CONSOLE_DEBUGCON=|\
                     DHCP_DISC_END_TIMEOUT_SEC=20|";
        assert!(wrong(Platform::Bios, right).is_empty());
        assert_eq!(
            wrong(
                Platform::Bios,
                "BANNER_TIMEOUT=20|ROM_BANNER_TIMEOUT=0|USB_KEYBOARD=|DHCP_DISC_END_TIMEOUT_SEC=10|\
                 DOWNLOAD_PROTO_SLAM=|NET_PROTO_IPV6=|"
            ),
            [
                "BANNER_TIMEOUT",
                "DHCP_DISC_END_TIMEOUT_SEC",
                "CONSOLE_DEBUGCON",
                "DOWNLOAD_PROTO_SLAM",
                "CONSOLE_SERIAL",
                "NET_PROTO_IPV6",
                "USB_KEYBOARD"
            ]
        );
    }

    #[test]
    fn raw_lines_that_nobody_reads_are_refused() {
        let mut source = Tree::default();
        for (path, text) in [
            ("src/config/usb.h", "#define USB_KEYBOARD\n"),
            ("src/config/general.h", ""),
            ("src/core/x.c", "#ifdef HTTP_HACK_GCE\n"),
        ] {
            source
                .insert(path, File::Plain(text.as_bytes().to_vec()))
                .unwrap();
        }
        let pins = Pins::builtin().unwrap();
        let release = pins.release("v2.0.0").unwrap();
        let check = |header: &str, line: &str| {
            let mut firmware = Site::default().firmware;
            firmware.knobs.raw = [(header.to_owned(), line.to_owned())].into();
            super::check(&firmware, release, &source).map_err(|error| error.to_string())
        };
        check("usb", "#undef USB_KEYBOARD").unwrap();
        check("general", "#define HTTP_HACK_GCE").unwrap();
        let error = check("general", "#define HTTP_HACK").unwrap_err();
        assert!(error.contains("asks for HTTP_HACK"), "{error}");
        let error = check("ubs", "#undef USB_KEYBOARD").unwrap_err();
        assert!(error.contains("it has general, usb"), "{error}");
        let error = check("usb", "#if 1\n#undef USB_KEYBOARD\n#endif").unwrap_err();
        assert!(error.contains("\"#if 1\": expected #define"), "{error}");

        // The same for what has a key of its own: this source knows no such command.
        let mut firmware = Site::default().firmware;
        firmware.knobs.commands = vec![site::Commands::Crypt];
        let error = super::check(&firmware, release, &source).unwrap_err();
        let error = error.to_string();
        for part in [
            "[firmware] commands",
            "v2.0.0 has no crypt",
            "IMAGE_CRYPT_CMD",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
