// SPDX-License-Identifier: MIT OR Apache-2.0
//! Devices as text, in bcdedit's notation and a little beyond it.
//!
//! bcdedit writes `boot`, `partition=C:`, `file=[C:]\disk.vhd`,
//! `ramdisk=[C:]\winpe.wim,{ramdiskoptions}`. A drive letter says nothing off the machine that
//! gave it, so partitions are also told by what the store has:
//! `partition=mbr:SIGNATURE@OFFSET` and `partition=gpt:DISK/PARTITION`; and what is not
//! understood is `hex:`, its bytes. Every device has such a text, and reads back from it.

use super::alias::{self, Identifier, Virtual};
use super::device::{Descriptor, Device, FilePath, GptPartition, MbrPartition};
use super::drives::{Drives, Letter};
use super::guid::Guid;

/// A text that names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct NotationError {
    /// Where in the text, in bytes.
    pub at: usize,
    /// What was expected and found.
    pub what: String,
}

/// What names in a text stand for.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Drive letters.
    pub drives: &'a Drives,
    /// What `{default}` is, if anything.
    pub default: Option<Guid>,
}

impl<'a> Names<'a> {
    /// Drive letters alone.
    pub fn of_drives(drives: &'a Drives) -> Self {
        Names {
            drives,
            default: None,
        }
    }

    /// The object that an identifier stands for.
    pub fn object(&self, text: &str) -> Result<Guid, String> {
        match Identifier::parse(text).map_err(|error| error.to_string())? {
            Identifier::Guid(guid) => Ok(guid),
            Identifier::Virtual(Virtual::Default) => self.default.ok_or_else(|| {
                "{default} stands for what {bootmgr}'s element `default` names, which is not set; \
                 set it first, or use the GUID"
                    .to_owned()
            }),
            Identifier::Virtual(Virtual::Current) => Err(
                "{current} stands for the Windows that is running, and none is; use {default} or \
                 the GUID"
                    .to_owned(),
            ),
        }
    }
}

/// The longest text there is for a device: a nested path of NTFS's 32,767 units is far shorter.
const LONGEST: usize = 1 << 20;
/// Brackets within brackets, as deep as devices are read.
const DEPTH: usize = 4;

/// Reads a device.
pub fn parse(text: &str, names: &Names<'_>) -> Result<Device, NotationError> {
    if text.len() > LONGEST {
        return Err(error(
            0,
            format!("expected a device, found {} bytes", text.len()),
        ));
    }
    let (device, options) = match split_options(text) {
        Some((device, options)) => {
            let guid = names
                .object(options)
                .map_err(|what| error(device.len() + 1, what))?;
            (device, (guid != Guid::ZERO).then_some(guid))
        }
        None => (text, None),
    };
    Ok(Device {
        options,
        descriptor: descriptor(device, 0, names, DEPTH)?,
    })
}

/// Writes a device; [`parse`] makes the same of it.
pub fn display(device: &Device, drives: &Drives) -> String {
    let options = device
        .options
        .map_or_else(String::new, |guid| format!(",{}", alias::display(guid)));
    let text = format!("{}{options}", words(&device.descriptor, drives));
    // A path may look like notation itself, such as `\a],{bootmgr}`.
    if parse(&text, &Names::of_drives(drives)).as_ref() == Ok(device) {
        text
    } else {
        format!("hex:{}{options}", hex::encode(device.descriptor.encode()))
    }
}

/// `device,{options}`, taken apart at the last comma before a brace.
fn split_options(text: &str) -> Option<(&str, &str)> {
    let (device, options) = text.rsplit_once(",{")?;
    let end = device.len() + 1;
    (options.ends_with('}') && !options.contains(['\\', '[', ']', ',']))
        .then(|| (device, &text[end..]))
}

fn error(at: usize, what: impl Into<String>) -> NotationError {
    NotationError {
        at,
        what: what.into(),
    }
}

const FORMS: &str = "boot, partition=C:, partition=mbr:SIGNATURE@OFFSET, \
                     partition=gpt:DISK/PARTITION, ramdisk=[C:]\\FILE,{ramdiskoptions}, \
                     file=[C:]\\FILE or hex:BYTES";

fn descriptor(
    text: &str,
    at: usize,
    names: &Names<'_>,
    depth: usize,
) -> Result<Descriptor, NotationError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(error(at, "devices are nested too deeply"));
    };
    if text.eq_ignore_ascii_case("boot") {
        return Ok(Descriptor::Boot);
    }
    if let Some(digits) = text.strip_prefix("hex:") {
        return raw(digits, at + 4);
    }
    let Some((form, value)) = text.split_once('=') else {
        return Err(error(
            at,
            format!("expected a device ({FORMS}), found {text:?}"),
        ));
    };
    let value_at = at + form.len() + 1;
    match form.to_ascii_lowercase().as_str() {
        "partition" | "hd_partition" => partition(value, value_at, names.drives),
        "file" => Ok(Descriptor::File(Box::new(file(
            value, value_at, names, depth,
        )?))),
        "ramdisk" => Ok(Descriptor::Ramdisk(Box::new(file(
            value, value_at, names, depth,
        )?))),
        "locate" | "vhd" | "udp" => Err(error(
            at,
            format!(
                "{form}= devices are not written, for their layout was not measured; copy one from \
                 a store that has it, as hex:BYTES"
            ),
        )),
        _ => Err(error(
            at,
            format!("expected a device ({FORMS}), found {text:?}"),
        )),
    }
}

/// `C:`, `mbr:...`, `gpt:...`.
fn partition(text: &str, at: usize, drives: &Drives) -> Result<Descriptor, NotationError> {
    if let Some(rest) = text.strip_prefix("mbr:") {
        let parts = rest.split_once('@').and_then(|(signature, offset)| {
            let signature = hex_u32(signature)?;
            let offset = number(offset)?;
            Some(MbrPartition { signature, offset })
        });
        return parts.map(Descriptor::Mbr).ok_or_else(|| {
            error(
                at,
                format!(
                    "expected mbr:SIGNATURE@OFFSET (8 hexadecimal digits, and the partition's \
                     start in bytes), found {text:?}"
                ),
            )
        });
    }
    if let Some(rest) = text.strip_prefix("gpt:") {
        let parts = rest.split_once('/').and_then(|(disk, partition)| {
            let disk = disk.parse().ok()?;
            let partition = partition.parse().ok()?;
            Some(GptPartition { disk, partition })
        });
        return parts.map(Descriptor::Gpt).ok_or_else(|| {
            error(
                at,
                format!("expected gpt:DISK-GUID/PARTITION-GUID, found {text:?}"),
            )
        });
    }
    let letter: Letter = text.parse().map_err(|_| {
        error(
            at,
            format!(
                "expected a drive letter such as C:, mbr:SIGNATURE@OFFSET or gpt:DISK/PARTITION, \
                 found {text:?}"
            ),
        )
    })?;
    drives.get(letter).cloned().ok_or_else(|| {
        error(
            at,
            format!(
                "which partition {letter} is, is not known here; say it with --disk \
                 {letter}=FILE (a disk image's active partition) or --drive {letter}=DEVICE (boot, \
                 mbr:SIGNATURE@OFFSET, gpt:DISK/PARTITION)"
            ),
        )
    })
}

/// `[device]\path`.
fn file(text: &str, at: usize, names: &Names<'_>, depth: usize) -> Result<FilePath, NotationError> {
    let expected = || {
        error(
            at,
            format!("expected [DEVICE]\\PATH, such as [C:]\\winpe.wim, found {text:?}"),
        )
    };
    let inner = text.strip_prefix('[').ok_or_else(expected)?;
    let end = closing(inner).ok_or_else(expected)?;
    let (parent, path) = (&inner[..end], &inner[end + 1..]);
    if path.is_empty() {
        return Err(expected());
    }
    if let Some(nul) = path.find('\0') {
        return Err(error(at + end + 2 + nul, "a path has no NUL"));
    }
    let short = parent.starts_with("mbr:") || parent.starts_with("gpt:");
    let parent = if short || parent.parse::<Letter>().is_ok() {
        partition(parent, at + 1, names.drives)?
    } else {
        descriptor(parent, at + 1, names, depth)?
    };
    Ok(FilePath {
        parent,
        path: path.to_owned(),
    })
}

/// Where the bracket closes that was open before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' => open += 1,
            b']' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

fn raw(digits: &str, at: usize) -> Result<Descriptor, NotationError> {
    let bytes = hex::decode(digits).map_err(|_| {
        error(
            at,
            "expected the bytes of a device descriptor, two hexadecimal digits each",
        )
    })?;
    let element = [&Guid::ZERO.to_wire()[..], &bytes].concat();
    let device = Device::decode(&element).map_err(|_| {
        error(
            at,
            format!(
                "expected a device descriptor of at least 16 bytes, found {}",
                bytes.len()
            ),
        )
    })?;
    Ok(device.descriptor)
}

/// Eight hexadecimal digits, with or without `0x`.
pub(super) fn hex_u32(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| all)
}

/// Decimal, or hexadecimal after `0x`.
pub(super) fn number(text: &str) -> Option<u64> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((text, 10), |digits| (digits, 16));
    // No sign, which `from_str_radix` would take.
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(digits, radix).ok().filter(|_| plain)
}

/// In words as far as there are any; not yet known to read back.
fn words(descriptor: &Descriptor, drives: &Drives) -> String {
    match descriptor {
        Descriptor::Boot => "boot".to_owned(),
        Descriptor::Mbr(_) | Descriptor::Gpt(_) => {
            format!("partition={}", place(descriptor, drives))
        }
        Descriptor::File(file) => format!("file=[{}]{}", place(&file.parent, drives), file.path),
        Descriptor::Ramdisk(file) => {
            format!("ramdisk=[{}]{}", place(&file.parent, drives), file.path)
        }
        Descriptor::Raw(raw) => format!("hex:{}", hex::encode(raw.bytes())),
    }
}

/// As it stands in brackets.
fn place(descriptor: &Descriptor, drives: &Drives) -> String {
    if *descriptor != Descriptor::Boot
        && let Some(letter) = drives.letter(descriptor)
    {
        return letter.to_string();
    }
    match descriptor {
        Descriptor::Mbr(partition) => {
            format!("mbr:{:08x}@{}", partition.signature, partition.offset)
        }
        Descriptor::Gpt(partition) => {
            format!(
                "gpt:{}/{}",
                partition.disk.bare(),
                partition.partition.bare()
            )
        }
        other => words(other, drives),
    }
}

#[cfg(test)]
mod tests {
    use super::super::alias::{BOOTMGR, RAMDISK_OPTIONS};
    use super::*;

    fn drives() -> Drives {
        let mut drives = Drives::none();
        drives.set(
            Letter::C,
            Descriptor::Mbr(MbrPartition {
                signature: 0x1234_5678,
                offset: 1 << 20,
            }),
        );
        drives.set("X:".parse().unwrap(), Descriptor::Boot);
        drives
    }

    fn reads(text: &str) -> Device {
        let drives = drives();
        let names = Names::of_drives(&drives);
        parse(text, &names).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn bcdedits_own_notation() {
        let drives = drives();
        let c = drives.get(Letter::C).unwrap().clone();
        assert_eq!(reads("boot"), Device::plain(Descriptor::Boot));
        assert_eq!(reads("partition=c:"), Device::plain(c.clone()));
        assert_eq!(
            reads("ramdisk=[C:]\\winpe.wim,{ramdiskoptions}"),
            Device::ramdisk(c, "\\winpe.wim", RAMDISK_OPTIONS)
        );
        assert_eq!(
            reads("ramdisk=[X:]\\winpe.wim,{ramdiskoptions}"),
            Device::ramdisk(Descriptor::Boot, "\\winpe.wim", RAMDISK_OPTIONS)
        );
    }

    #[test]
    fn every_text_comes_back() {
        let drives = drives();
        for text in [
            "boot",
            "boot,{bootmgr}",
            "partition=C:",
            "partition=mbr:deadbeef@32256",
            "partition=gpt:9dea862c-5cdd-4e70-acc1-f32b344d4795/b2721d73-1db4-4c62-bf78-c548a880142d",
            "ramdisk=[C:]\\sources\\boot.wim,{ramdiskoptions}",
            "ramdisk=[boot]\\a b.wim",
            "file=[mbr:00000001@512]\\x,y.vhd",
            "ramdisk=[file=[C:]\\x[1].vhd]\\y],{ae5534e0-a924-466c-b836-758539a3ee3b}",
            "hex:08000000000000001800000000000000ffffffffffffffff",
        ] {
            assert_eq!(display(&reads(text), &drives), text);
        }
    }

    #[test]
    fn paths_that_look_like_notation_are_shown_in_hex() {
        let drives = Drives::none();
        let device = Device::plain(Descriptor::File(Box::new(FilePath {
            parent: Descriptor::Boot,
            path: "\\a,{bootmgr}".into(),
        })));
        let text = display(&device, &drives);
        assert!(text.starts_with("hex:"), "{text}");
        assert_eq!(parse(&text, &Names::of_drives(&drives)), Ok(device));
        let options = Device {
            options: Some(BOOTMGR),
            ..reads("file=[boot]\\a,{bootmgr}")
        };
        assert_eq!(reads(&display(&options, &drives)), options);
    }

    #[test]
    fn errors_say_where() {
        let drives = Drives::none();
        let names = Names::of_drives(&drives);
        for (text, at, word) in [
            ("", 0, "expected a device"),
            ("ramdisk", 0, "expected a device"),
            ("partition=", 10, "drive letter"),
            ("partition=D:", 10, "--disk D:=FILE"),
            (
                "ramdisk=[C:]\\winpe.wim,{ramdiskoptions}",
                9,
                "--drive C:=DEVICE",
            ),
            (
                "ramdisk=[boot]\\x,{ramdiskoption}",
                17,
                "did you mean {ramdiskoptions}?",
            ),
            ("ramdisk=C:\\x", 8, "[DEVICE]\\PATH"),
            ("ramdisk=[boot", 8, "[DEVICE]\\PATH"),
            ("ramdisk=[boot]", 8, "[DEVICE]\\PATH"),
            ("partition=mbr:x@1", 10, "SIGNATURE@OFFSET"),
            ("partition=mbr:1@-1", 10, "SIGNATURE@OFFSET"),
            ("partition=gpt:x", 10, "PARTITION-GUID"),
            ("locate=custom:12000002", 0, "not measured"),
            ("hex:0", 4, "two hexadecimal digits"),
            ("hex:00", 4, "at least 16 bytes"),
            ("boot,{default}", 5, "not set"),
            ("boot,{current}", 5, "running"),
        ] {
            let error = parse(text, &names).unwrap_err();
            assert_eq!(error.at, at, "{text}: {error}");
            assert!(error.what.contains(word), "{text}: {error}");
        }
        let deep = format!("{}boot{}", "file=[".repeat(9), "]x".repeat(9));
        assert!(parse(&deep, &names).unwrap_err().what.contains("deeply"));
    }
}
