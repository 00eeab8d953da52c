// SPDX-License-Identifier: MIT OR Apache-2.0
//! Core decides, shell does: modules that take bytes and `now` open nothing and read no clock.

use super::{Source, Violation, code};

/// Files and directories of the core.
const CORE: &[&str] = &[
    "slam-client/src/wire.rs",
    "slam-client/src/blocks.rs",
    "slam-client/src/receiver.rs",
    "slam-server/src/",
    "src/image/plan.rs",
    "src/image/plan/",
    "src/image/mbr.rs",
    "src/image/vbr.rs",
    "src/image/fat.rs",
    "src/image/ntfs.rs",
    "src/image/ntfs/",
    "src/image/bootmgr.rs",
    "src/image/inspect/table.rs",
    "src/image/sdi.rs",
    "src/image/wim.rs",
    "src/image/wim/",
    "src/image/bcd/bcdedit/",
    "src/image/bcd/change.rs",
    "src/image/bcd/element.rs",
    "src/image/bcd/store.rs",
    "src/observe/ipxe_error.rs",
    "src/observe/look.rs",
    "src/observe/metrics.rs",
    "src/observe/model.rs",
    "src/observe/model/",
    "src/observe/status.rs",
    "src/boot/arch.rs",
    "src/boot/plan.rs",
    "src/boot/dhcp/lease.rs",
    "src/boot/dhcp/message.rs",
    "src/boot/dhcp/pool.rs",
    "src/boot/dhcp/proxy.rs",
    "src/boot/tftp/packet.rs",
    "src/boot/tftp/transfer.rs",
];

/// Words that no file of the core has.
const EDGE: &[(&str, &str)] = &[
    ("Instant", "the clock is read at the edge: take `now`"),
    ("SystemTime", "the clock is read at the edge: take `now`"),
    ("UdpSocket", "sockets are at the edge: give decisions out"),
    ("TcpStream", "sockets are at the edge: give decisions out"),
    ("TcpListener", "sockets are at the edge: give decisions out"),
    ("socket2", "sockets are at the edge: give decisions out"),
    ("quinn_udp", "sockets are at the edge: give decisions out"),
    ("rustix", "system calls are at the edge"),
    ("tokio", "tasks are at the edge"),
    ("File", "files are at the edge: take bytes, or a reader"),
    (
        "OpenOptions",
        "files are at the edge: take bytes, or a reader",
    ),
];

pub(super) fn check(source: &Source) -> Vec<Violation> {
    let core = CORE
        .iter()
        .any(|core| source.path == *core || (core.ends_with('/') && source.path.starts_with(core)));
    if !core {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for (line, text) in code::lines(&source.text) {
        let mut add = |what: String| {
            violations.push(Violation {
                path: source.path.clone(),
                line,
                rule: "layers",
                what,
            });
        };
        for (word, why) in EDGE {
            if code::words(&text).any(|found| found == *word) {
                add(format!("`{word}` in the core; {why}"));
            }
        }
        // `fs` alone is a fair name for a file system.
        let imported = text.contains("use std::{") && code::words(&text).any(|word| word == "fs");
        if imported || text.contains("std::fs") {
            add("`std::fs` in the core; files are at the edge: take bytes, or a reader".into());
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<(usize, String)> {
        check(&source(path, text))
            .into_iter()
            .map(|violation| (violation.line, violation.what))
            .collect()
    }

    #[test]
    fn the_core_reads_no_clock_and_opens_nothing() {
        for (line, word) in [
            ("use std::time::{Duration, Instant};", "`Instant`"),
            ("let t = std::time::SystemTime::now();", "`SystemTime`"),
            ("use std::net::{Ipv4Addr, UdpSocket};", "`UdpSocket`"),
            ("tokio::spawn(x);", "`tokio`"),
            ("use std::{fmt, fs};", "`std::fs`"),
            ("std::fs::read(x)?;", "`std::fs`"),
            ("fn f(file: &File) {}", "`File`"),
        ] {
            for path in ["slam-server/src/session.rs", "slam-client/src/wire.rs"] {
                let found = broken(path, &format!("//! A file.\n{line}\n"));
                assert_eq!(found.len(), 1, "{line}: {found:?}");
                assert_eq!(found[0].0, 2, "{line}");
                assert!(found[0].1.starts_with(word), "{found:?}");
            }
            assert_eq!(broken("src/net/driver.rs", line), []);
        }
    }

    #[test]
    fn comments_tests_and_other_names_are_free() {
        let text = "// Instant, tokio\nlet fs = FileSystem::new();\nfn sends_at() {}\n\
                    #[cfg(test)]\nmod tests { use std::fs; use std::time::Instant; }\n";
        assert_eq!(broken("src/image/fat.rs", text), []);
    }
}
