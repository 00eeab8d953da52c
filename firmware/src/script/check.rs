// SPDX-License-Identifier: MIT OR Apache-2.0
//! A script, read as iPXE reads it (`image/script.c`, `core/exec.c`, `core/settings.c`), before it is
//! embedded: a machine that cannot boot tells of a missing label when it is too late.

use std::collections::BTreeSet;
use std::fmt;

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
    /// Two labels of one name: the first is always taken.
    Twice(String),
    /// A variable that no line sets and iPXE does not know, which is empty.
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
            FaultKind::Twice(name) => {
                write!(f, "a second :{name}: goto always takes the first")
            }
            FaultKind::Variable(name) => write!(
                f,
                "${{{name}}} is set nowhere and is none of iPXE's settings: it would be empty; ask with isset first, or set it"
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

/// Commands whose argument they set.
const SETTERS: [&str; 4] = ["set", "read", "inc", "choose"];

/// Checks `script` for a firmware that has `commands`.
pub fn check(script: &str, commands: &BTreeSet<&str>) -> Result<(), Faults> {
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
    let mut set = BTreeSet::new();
    for (number, line) in script.lines().enumerate() {
        if let Some(label) = line.strip_prefix(':') {
            let label = label.split_whitespace().next().unwrap_or_default();
            if !labels.insert(label) {
                fault(number, line, FaultKind::Twice(label.to_owned()));
            }
        }
        for (words, _) in parts(line) {
            let setter = words.first().is_some_and(|word| SETTERS.contains(word));
            if setter || words.first() == Some(&"isset") {
                set.extend(words[1..].iter().map(|word| bare(word)));
            }
        }
    }
    for (number, line) in script.lines().enumerate() {
        for (words, guarded) in parts(line) {
            let Some((command, arguments)) = words.split_first() else {
                continue;
            };
            if !guarded && !command.contains("${") && !commands.contains(command) {
                fault(number, line, FaultKind::Command((*command).to_owned()));
            }
            if let ("goto", Some(label)) = (*command, arguments.first())
                && !label.contains("${")
                && !labels.contains(label)
            {
                fault(number, line, FaultKind::Label((*label).to_owned()));
            }
            for variable in words.iter().flat_map(|word| variables(word)) {
                match variable {
                    None => fault(number, line, FaultKind::Unclosed),
                    Some(name) if !known(name, &set) => {
                        fault(number, line, FaultKind::Variable(name.to_owned()));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Faults(faults))
    }
}

/// The commands that a script uses without a `||` behind them.
pub fn used(script: &str) -> BTreeSet<&str> {
    let commands = script.lines().flat_map(parts);
    commands
        .filter(|(_, guarded)| !guarded)
        .filter_map(|(words, _)| words.first().copied())
        .filter(|word| !word.contains("${"))
        .collect()
}

/// The commands of a line with their words, each with whether a failure of it goes on behind `||`.
/// Comments and labels have none.
fn parts(line: &str) -> Vec<(Vec<&str>, bool)> {
    let mut found = Vec::new();
    if line.starts_with(':') {
        return found;
    }
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        match word {
            // A word that begins with it ends the line (exec.c, `split_command`).
            word if word.starts_with('#') => break,
            "&&" | "||" => found.push((std::mem::take(&mut words), word == "||")),
            word => words.push(word),
        }
    }
    found.push((words, false));
    // `a && b ||` guards a, too: a failure of it skips to what is behind the ||.
    let mut guarded = false;
    for (_, own) in found.iter_mut().rev() {
        guarded |= *own;
        *own = guarded;
    }
    found.retain(|(words, _)| !words.is_empty());
    found
}

/// The names in `${name}`, the innermost first; `None` where one is not closed.
fn variables(word: &str) -> Vec<Option<&str>> {
    let mut found = Vec::new();
    let mut rest = word;
    while let Some(at) = rest.find("${") {
        rest = &rest[at + 2..];
        // ${a${b}c}: the inner one is looked at, the outer one is not known before it runs.
        match (rest.find('}'), rest.find("${")) {
            (Some(end), None) => {
                found.push(Some(&rest[..end]));
                rest = &rest[end + 1..];
            }
            (Some(end), Some(inner)) if end < inner => {
                found.push(Some(&rest[..end]));
                rest = &rest[end + 1..];
            }
            (Some(_), Some(_)) => {}
            (None, _) => {
                found.push(None);
                break;
            }
        }
    }
    found
}

/// Without its type, its place and its braces: `net0/mac:hexhyp` is `mac`.
fn bare(name: &str) -> &str {
    let name = name.strip_prefix("${").unwrap_or(name);
    let name = name.strip_suffix('}').unwrap_or(name);
    let name = name.split(':').next().unwrap_or_default();
    name.rsplit('/').next().unwrap_or_default()
}

fn known(name: &str, set: &BTreeSet<&str>) -> bool {
    let short = bare(name);
    // Options by number: ${43}, ${175.230:string}, ${0x42}.
    short.starts_with(|c: char| c.is_ascii_digit())
        || SETTINGS.contains(&short)
        || set.contains(short)
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
        ]
        .into()
    }

    fn faults(script: &str) -> Vec<String> {
        let Err(Faults(faults)) = check(script, &commands()) else {
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
        ] {
            assert_eq!(faults(script), [wanted], "{script}");
        }
        let error = check("#!ipxe\ngoto x\n", &commands())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 2") && error.contains("no line is :x"),
            "{error}"
        );
    }

    #[test]
    fn a_guard_covers_what_stands_before_it() {
        let used = used("#!ipxe\nmcjoin x && echo y ||\nimgtrust && echo z\n:label\n");
        assert_eq!(used.into_iter().collect::<Vec<_>>(), ["echo", "imgtrust"]);
    }
}
