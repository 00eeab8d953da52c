// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reference that is committed is the one that the loader's answers make.

use site::{Priority, ReferenceError, reference};

const EXAMPLE: &str = include_str!("../../docs/slamboot.toml");

#[test]
fn the_committed_reference_is_up_to_date() {
    let made = reference(EXAMPLE).unwrap();
    assert!(
        made == include_str!("../../docs/slamboot-reference.md"),
        "docs/slamboot-reference.md is stale: `cargo xtask codegen` makes it anew; it would be\n{made}"
    );
}

#[test]
fn what_the_loader_permits_is_in_it() {
    let made = reference(EXAMPLE).unwrap();
    for line in [
        "Whole number: 1 to 65535. Default: `10000`.",
        "Text: \"auto\", \"off\", \"proxy\", \"pool\". Default: `\"auto\"`.",
        "Whole number: 120 to 2678400 seconds. Default: `3600`.",
        "Text: the name of an [[image]]. Not set by default; for example `\"demo\"`.",
        "Text: \"disk\" or \"iso\" (booted by memdisk), or \"linux\" (kernel and initrd). *Required*; for example `\"disk\"`.",
        "`true` or `false`. Default: `false`.",
        "A section of its own, `[firmware.script]`.",
        "room-12 = [\"10ec8168.mrom\", \"snponly.efi\"]",
    ] {
        assert!(made.lines().any(|l| l == line), "{line}\n{made}");
    }
    // Said in words, since the key is not set in the example.
    let priority = format!("default {}", Priority::default().get());
    assert!(made.contains(&priority), "{priority}");
}

#[test]
fn a_key_without_a_word_is_named() {
    let mute = EXAMPLE.replace(
        "# TCP port for memdisk, boot scripts and downloads by HTTP",
        "\n#",
    );
    assert!(reference(&mute).is_ok(), "a word is left");
    let start = EXAMPLE.find("# TCP port for memdisk").unwrap();
    let end = EXAMPLE.find("http_port = ").unwrap();
    let mute = format!("{}{}", &EXAMPLE[..start], &EXAMPLE[end..]);
    let error = reference(&mute).unwrap_err();
    assert_eq!(
        error,
        ReferenceError::Undescribed {
            section: "[server]",
            key: "http_port"
        }
    );
    assert!(
        error.to_string().contains("no comment on `http_port`"),
        "{error}"
    );
}
