// SPDX-License-Identifier: MIT OR Apache-2.0
//! A script, read as iPXE reads it (`image/script.c`, `core/exec.c`, `core/settings.c`), before it is
//! embedded: a machine that cannot boot tells of a missing label when it is too late.

use std::collections::BTreeSet;
use std::fmt;

use super::flow::{self, Names};
use super::lines::{bare, label, parts, variables};
use super::schemes::opened;

/// What is wrong in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// The line itself.
    pub text: String,
    /// What is wrong with it.
    pub what: FaultKind,
}

/// Kinds of faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The first line does not say that it is a script.
    Magic,
    /// A command that this firmware has not, without a `||` that takes care of it.
    Command(String),
    /// A `goto` to nowhere.
    Label(String),
    /// A `goto ${…}` whose variable is given, on that line, what is no label.
    Computed {
        /// What it is given.
        label: String,
        /// Where, from 1.
        line: usize,
    },
    /// A URI of a protocol that this firmware does not speak.
    Scheme(String),
    /// Two labels of one name: the first is always taken.
    Twice(String),
    /// A variable that no line on the way here sets and iPXE does not know, which is empty.
    Variable(String),
    /// `${` without `}`.
    Unclosed,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultKind::Magic => f.write_str("expected #!ipxe as the first line"),
            FaultKind::Command(name) => write!(
                f,
                "this firmware has no command {name:?}: add it to [firmware] commands, or write || behind it"
            ),
            FaultKind::Label(name) => write!(f, "goto {name}: no line is :{name}"),
            FaultKind::Computed { label, line } => write!(
                f,
                "goto {label}, which line {line} gives: no line is :{label}"
            ),
            FaultKind::Scheme(scheme) => write!(
                f,
                "this firmware opens no {scheme}:// URIs: add it to [firmware] protocols, or name another"
            ),
            FaultKind::Twice(name) => {
                write!(f, "a second :{name}: goto always takes the first")
            }
            FaultKind::Variable(name) => write!(
                f,
                "${{{name}}} is set nowhere on the way here and is none of iPXE's settings: it would be empty; ask with isset first, or set it"
            ),
            FaultKind::Unclosed => f.write_str("${ without }"),
        }
    }
}

/// All faults of a script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the script would not work{}", listed(.0))]
pub struct Faults(pub Vec<Fault>);

fn listed(faults: &[Fault]) -> String {
    use fmt::Write as _;
    let mut text = String::new();
    for fault in faults {
        let _ = write!(
            text,
            "\n  line {}: {}\n    {}",
            fault.line, fault.what, fault.text
        );
    }
    text
}

/// Settings that iPXE knows by itself (`__setting` in its source), and what commands leave behind.
const SETTINGS: &[&str] = &[
    "active-scan",
    "asset",
    "board-serial",
    "build",
    "buildarch",
    "busid",
    "busloc",
    "bustype",
    "cert",
    "chip",
    "cpumodel",
    "cpuvendor",
    "crosscert",
    "cwduri",
    "cwuri",
    "dhcp-server",
    "dns",
    "dns6",
    "dnssl",
    "domain",
    "errno",
    "filename",
    "gateway",
    "gateway6",
    "hostname",
    "hwaddr",
    "ifname",
    "initiator-iqn",
    "ip",
    "ip6",
    "keep-san",
    "key",
    "keymap",
    "len6",
    "linktype",
    "mac",
    "manufacturer",
    "memsize",
    "mtu",
    "netmask",
    "next-server",
    "ntp",
    "password",
    "peerdist",
    "peerhost",
    "platform",
    "priority",
    "privkey",
    "product",
    "reverse-password",
    "reverse-username",
    "root-path",
    "san-drive",
    "san-filename",
    "san-retries",
    "scriptlet",
    "serial",
    "skip-san-boot",
    "ssid",
    "static-routes",
    "syslog",
    "syslog6",
    "syslogs",
    "sysmac",
    "trust",
    "unixtime",
    "user-class",
    "username",
    "uuid",
    "vendor-class",
    "version",
    "vram",
];

/// Checks `script` for a firmware that has `commands` and opens URIs of `schemes`.
pub fn check(
    script: &str,
    commands: &BTreeSet<&str>,
    schemes: &BTreeSet<&str>,
) -> Result<(), Faults> {
    let mut faults = Vec::new();
    let mut fault = |line: usize, text: &str, what: FaultKind| {
        faults.push(Fault {
            line: line + 1,
            text: text.to_owned(),
            what,
        });
    };
    let first = script.lines().next().unwrap_or_default();
    if !first.starts_with("#!ipxe") {
        fault(0, first, FaultKind::Magic);
    }
    let mut labels = BTreeSet::new();
    for (number, line) in script.lines().enumerate() {
        if let Some(label) = label(line)
            && !labels.insert(label)
        {
            fault(number, line, FaultKind::Twice(label.to_owned()));
        }
    }
    let before = flow::before(script);
    for ((number, line), before) in script.lines().enumerate().zip(before) {
        let reached = before.is_some();
        let mut set = before.unwrap_or_default();
        for (words, guarded) in parts(line) {
            let Some((command, arguments)) = words.split_first() else {
                continue;
            };
            if !guarded && !command.contains("${") && !commands.contains(command) {
                fault(number, line, FaultKind::Command((*command).to_owned()));
            }
            if let ("goto", Some(label)) = (*command, arguments.first()) {
                if label.contains("${") {
                    let values = flow::values(script, label).unwrap_or_default();
                    for (from, label) in values.iter().filter(|(_, v)| !labels.contains(v)) {
                        let what = FaultKind::Computed {
                            label: (*label).to_owned(),
                            line: from + 1,
                        };
                        fault(number, line, what);
                    }
                } else if !labels.contains(label) {
                    fault(number, line, FaultKind::Label((*label).to_owned()));
                }
            }
            for scheme in opened(&words) {
                if !schemes.contains(scheme) {
                    fault(number, line, FaultKind::Scheme(scheme.to_owned()));
                }
            }
            // `isset ${a}` asks: it is no use of a.
            if *command == "isset" {
                set.after(&words);
            }
            for variable in words.iter().flat_map(|word| variables(word)) {
                match variable {
                    None => fault(number, line, FaultKind::Unclosed),
                    Some(name) if reached && !known(name, &set) => {
                        fault(number, line, FaultKind::Variable(name.to_owned()));
                    }
                    Some(_) => {}
                }
            }
            set.after(&words);
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Faults(faults))
    }
}

fn known(name: &str, set: &Names<'_>) -> bool {
    let short = bare(name);
    // Options by number: ${43}, ${175.230:string}, ${0x42}.
    short.starts_with(|c: char| c.is_ascii_digit())
        || SETTINGS.contains(&short)
        || set.has(short)
        // Tables of the machine: ${pci/…}, ${smbios/…}, ${cpuid/…}, ${acpi/…}.
        || ["pci/", "smbios/", "cpuid/", "acpi/", "memmap/", "fdt/"]
            .iter()
            .any(|table| name.starts_with(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands() -> BTreeSet<&'static str> {
        [
            "echo", "set", "goto", "dhcp", "isset", "iseq", "inc", "sleep", "exit", "chain",
            "menu", "item", "choose", "kernel", "sanboot", "read",
        ]
        .into()
    }

    fn schemes() -> BTreeSet<&'static str> {
        ["http", "x-slam"].into()
    }

    fn faults(script: &str) -> Vec<String> {
        let Err(Faults(faults)) = check(script, &commands(), &schemes()) else {
            return Vec::new();
        };
        faults
            .iter()
            .map(|fault| format!("{} {:?}", fault.line, fault.what))
            .collect()
    }

    #[test]
    fn what_works_has_no_fault() {
        let script = "#!ipxe\n# a comment with unknown words and ${nothing}\nset n:int32 0\n:again\n\
            inc n && iseq ${n} 3 && goto done ||\nmcjoin 239.1.1.1 ||\n\
            echo ${ip} ${net0/mac:hexhyp} ${175.230:string} ${next-server} ${pci/0.0} ${n}\n\
            isset ${wish} && echo ${wish} ||\nset room-${n} x\nchain http://${next-server}/${net${n}/mac}\n\
            goto again\n:done\nexit 1\n";
        assert_eq!(faults(script), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_told_with_its_line() {
        for (script, wanted) in [
            ("echo x\n", "1 Magic"),
            ("#!ipxe\nvcreate net0\n", r#"2 Command("vcreate")"#),
            ("#!ipxe\necho a && vcreate x\n", r#"2 Command("vcreate")"#),
            ("#!ipxe\ngoto nowhere\n", r#"2 Label("nowhere")"#),
            ("#!ipxe\n:a\n:a\n", r#"3 Twice("a")"#),
            ("#!ipxe\necho ${servr}\n", r#"2 Variable("servr")"#),
            ("#!ipxe\necho ${ip\n", "2 Unclosed"),
            (
                "#!ipxe\nset what a\ngoto ${what}\n:b\n",
                r#"3 Computed { label: "a", line: 2 }"#,
            ),
            (
                "#!ipxe\nmenu x\nitem a A\nitem --gap --\nitem --key c c C\nchoose --timeout 5 w && goto ${w}\n:a\n",
                r#"6 Computed { label: "c", line: 5 }"#,
            ),
            (
                "#!ipxe\nkernel --name k https://h/k\n",
                r#"2 Scheme("https")"#,
            ),
            (
                "#!ipxe\nsanboot --drive 0x80 http://h/a ftp://h/b || goto x\n:x\n",
                r#"2 Scheme("ftp")"#,
            ),
            // Set, but behind where it is used, or on another way.
            ("#!ipxe\necho ${a}\nset a 1\n", r#"2 Variable("a")"#),
            (
                "#!ipxe\ngoto y\n:x\nset a 1\nexit 0\n:y\necho ${a}\ngoto x\n",
                r#"7 Variable("a")"#,
            ),
            ("#!ipxe\nset a b\necho ${b}\n", r#"3 Variable("b")"#),
            (
                "#!ipxe\nset a-${ip} 1\necho ${b-1}\n",
                r#"3 Variable("b-1")"#,
            ),
        ] {
            assert_eq!(faults(script), [wanted], "{script}");
        }
        let error = check("#!ipxe\ngoto x\n", &commands(), &schemes())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 2") && error.contains("no line is :x"),
            "{error}"
        );
    }

    #[test]
    fn what_may_be_is_no_fault() {
        for script in [
            // Around a loop, and by a label that is computed.
            "goto test\n:again\necho ${n}\n:test\nset n 1\ngoto again\n",
            "set to a\niseq 1 2 && set to b ||\ngoto ${to}\n:a\nset x 1\n:b\necho ${x}\n",
            // What is read, made of others or chosen from one of two menus may be any.
            "read to\ngoto ${to}\n:a\n",
            "set to ${ip}\ngoto ${to}\n:a\n",
            "set b a\nset t${b} a\ngoto ${ta}\n:a\n",
            "menu x\nitem a\nchoose v ||\nmenu y\nitem b\nchoose w && goto ${w}\n:b\n",
            "set a-${ip}-z 1\necho ${a-1-z}\n",
            "iseq 1 2 && exit 0 ||\nset a 1\ngoto x ||\n:x\necho ${a}\n",
            // Arguments of a kernel, and words on the screen, are not opened.
            "set base http://h\nkernel ${base}/k url=https://h/x https://h/y\necho ftp://h\n",
            "set a 1\nexit 0\necho ${never}\n",
        ] {
            let script = format!("#!ipxe\n{script}");
            assert_eq!(faults(&script), Vec::<String>::new(), "{script}");
        }
    }

    #[test]
    fn a_guard_covers_what_stands_before_it() {
        let used =
            super::super::used("#!ipxe\nmcjoin x && echo y ||\nimgtrust && echo z\n:label\n");
        assert_eq!(used.into_iter().collect::<Vec<_>>(), ["echo", "imgtrust"]);
    }
}
