// SPDX-License-Identifier: MIT OR Apache-2.0
//! A report as text, and as JSON.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::Report;
use super::table::BootCode;
use crate::image::bcd::drives::Drives;
use crate::image::bcd::show::{self, View};
use crate::image::bcd::{Store, json as bcd_json};
use crate::image::size::ByteSize;
use crate::image::volume::{Content, Node, Volume};
use crate::image::wim::Wim;

/// As text, a fact a line; `all` shows every file, else the first of a large tree.
pub fn text(report: &Report, all: bool) -> String {
    // Writing to a string does not fail.
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{:<12} {}", format!("{name}:"), printable(&value));
    };
    line("image", report.path.display().to_string());
    let sectors = report.bytes / 512;
    line(
        "disk",
        format!(
            "{} ({} bytes, {sectors} sectors)",
            size(report.bytes),
            report.bytes
        ),
    );
    let table = &report.table;
    line(
        "MBR",
        format!(
            "{}, signature {:08x}",
            code(table.boot_code),
            table.signature
        ),
    );
    for partition in &table.partitions {
        line(
            "partition",
            format!(
                "{} type {:#04x} ({}) at LBA {}, {} sectors ({}){}",
                partition.number,
                partition.kind,
                partition.kind_name(),
                partition.start,
                partition.sectors,
                size(u64::from(partition.sectors) * 512),
                if partition.active { ", active" } else { "" }
            ),
        );
    }
    if let Some(sector) = &report.boot_sector {
        line(
            "boot sector",
            format!("{}, hidden sectors {}", code(sector.code), sector.hidden),
        );
        if !sector.extents.is_empty() {
            let extents: Vec<String> = sector
                .extents
                .iter()
                .map(|(lba, count)| format!("{count} sectors at LBA {lba}"))
                .collect();
            let verdict = match sector.loads_bootmgr {
                Some(true) => ": the boot manager",
                Some(false) => ": NOT the boot manager",
                None => "",
            };
            line("loads", format!("{}{verdict}", extents.join(", ")));
        }
    }
    match &report.volume {
        Some(Ok(volume)) => {
            line(
                "volume",
                format!(
                    "{} {:?}, serial {:x}, clusters of {} bytes",
                    volume.kind.name(),
                    volume.label,
                    volume.serial,
                    volume.cluster_bytes
                ),
            );
            let limit = if all { usize::MAX } else { 40 };
            for node in volume.nodes.iter().take(limit) {
                line(
                    if node.content == Content::Directory {
                        "folder"
                    } else {
                        "file"
                    },
                    file(node),
                );
            }
            if volume.nodes.len() > limit {
                let more = volume.nodes.len() - limit;
                line("...", format!("{more} more (--all shows them)"));
            }
        }
        Some(Err(error)) => line("volume", super::chain(error)),
        None => {}
    }
    for (path, manager) in &report.managers {
        line("manager", format!("{path}: {manager}"));
    }
    for (path, wim) in &report.wims {
        match wim {
            Ok(wim) => {
                line("WIM", format!("{path}: {}", wim_line(wim)));
                for image in &wim.images {
                    let boots = if image.index == wim.header.boot_index {
                        ", boots"
                    } else {
                        ""
                    };
                    let mut about = format!("{} {:?}", image.index, image.name);
                    if let Some(version) = &image.version {
                        let _ = write!(about, ", Windows {version}");
                    }
                    if let Some(architecture) = image.architecture {
                        let _ = write!(about, ", {architecture}");
                    }
                    line("  image", format!("{about}{boots}"));
                }
            }
            Err(why) => line("WIM", format!("{path}: {why}")),
        }
    }
    for (path, sdi) in &report.sdis {
        match sdi {
            Ok(sdi) => {
                let blobs: Vec<String> = sdi
                    .blobs
                    .iter()
                    .map(|blob| {
                        format!("{} at {:#x} ({} bytes)", blob.kind, blob.offset, blob.bytes)
                    })
                    .collect();
                line("boot.sdi", format!("{path}: {}", blobs.join(", ")));
            }
            Err(why) => line("boot.sdi", format!("{path}: {why}")),
        }
    }
    let drives = Drives::none();
    for found in &report.stores {
        let _ = writeln!(text, "\n{} (for {}):\n", found.path, found.firmware);
        match &found.store {
            Ok(store) => text.push_str(&store_text(store, &drives)),
            Err(why) => {
                let _ = writeln!(text, "{}", printable(why));
            }
        }
    }
    text.push('\n');
    if report.troubles.is_empty() {
        text.push_str("Nothing is known that would stop it from booting.\n");
    }
    for trouble in &report.troubles {
        let _ = writeln!(text, "{}", printable(&trouble.to_string()));
    }
    text
}

fn store_text(store: &Store, drives: &Drives) -> String {
    show::store(
        store,
        View {
            full: false,
            drives,
        },
    )
}

fn code(code: BootCode) -> &'static str {
    match code {
        BootCode::Slamboot => "slamboot's code",
        BootCode::Other => "other code",
        BootCode::Refusal => "code that only says it is not bootable",
        BootCode::None => "no code",
    }
}

fn size(bytes: u64) -> String {
    ByteSize::new(bytes).map_or_else(|| "0 bytes".to_owned(), |size| size.to_string())
}

fn file(node: &Node) -> String {
    let mut text = node.path.clone();
    match &node.content {
        Content::Directory => text.push('\\'),
        Content::File(bytes) => {
            let _ = write!(text, " ({} bytes)", bytes.length);
        }
        Content::Unreadable(why) => {
            let _ = write!(text, " ({why})");
        }
    }
    let flags = node.attributes;
    for (set, name) in [
        (flags.hidden, "hidden"),
        (flags.system, "system"),
        (flags.read_only, "read-only"),
    ] {
        if set {
            let _ = write!(text, ", {name}");
        }
    }
    text
}

fn wim_line(wim: &Wim) -> String {
    let images = match wim.images.len() {
        1 => "1 image".to_owned(),
        number => format!("{number} images"),
    };
    format!(
        "version {:#x}, compression {}{}, {images}, boot index {}",
        wim.header.version,
        wim.header.compression,
        if wim.solid { ", solid" } else { "" },
        wim.header.boot_index
    )
}

/// Names come from the image: what would draw on a terminal is escaped.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// As JSON.
pub fn to_json(report: &Report) -> Json {
    let sector = report.boot_sector.as_ref().map(|sector| {
        json!({
            "offset": sector.offset,
            "marked": sector.marked,
            "boot_code": sector.code,
            "bytes_per_sector": sector.sector_bytes,
            "hidden_sectors": sector.hidden,
            "extents": sector.extents.iter().map(|(lba, sectors)| json!({ "lba": lba, "sectors": sectors })).collect::<Vec<_>>(),
            "loads_boot_manager": sector.loads_bootmgr,
        })
    });
    let volume = report.volume.as_ref().map(|volume| match volume {
        Ok(volume) => volume_json(volume),
        Err(error) => json!({ "error": super::chain(error) }),
    });
    let stores: Vec<Json> = report
        .stores
        .iter()
        .map(|found| {
            let store = found.store.as_ref().map(|store| {
                // Made by a serializer a moment ago.
                serde_json::from_str::<Json>(&bcd_json::write(store)).unwrap_or_default()
            });
            let warnings: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
            json!({
                "firmware": found.firmware,
                "path": found.path,
                "store": store.as_ref().ok(),
                "error": store.as_ref().err(),
                "warnings": warnings,
            })
        })
        .collect();
    let wims: Vec<Json> = report
        .wims
        .iter()
        .map(|(path, wim)| match wim {
            Ok(wim) => wim_json(path, wim),
            Err(why) => json!({ "path": path, "error": why }),
        })
        .collect();
    let sdis: Vec<Json> = report
        .sdis
        .iter()
        .map(|(path, sdi)| match sdi {
            Ok(sdi) => {
                let blobs = sdi.blobs.iter().map(|blob| {
                    json!({ "type": blob.kind, "offset": blob.offset, "bytes": blob.bytes })
                });
                json!({ "path": path, "entries": blobs.collect::<Vec<_>>(), "doubts": sdi.doubts() })
            }
            Err(why) => json!({ "path": path, "error": why }),
        })
        .collect();
    let managers: Vec<Json> = report
        .managers
        .iter()
        .map(|(path, kind)| json!({ "path": path, "kind": kind.to_string() }))
        .collect();
    json!({
        "image": report.path.display().to_string(),
        "bytes": report.bytes,
        "table": report.table,
        "boot_sector": sector,
        "volume": volume,
        "boot_managers": managers,
        "stores": stores,
        "wims": wims,
        "boot_sdi": sdis,
        "troubles": report.troubles,
    })
}

fn volume_json(volume: &Volume) -> Json {
    let nodes = volume.nodes.iter().map(|node| {
        let (kind, bytes, error) = match &node.content {
            Content::Directory => ("directory", None, None),
            Content::File(bytes) => ("file", Some(bytes.length), None),
            Content::Unreadable(why) => ("file", None, Some(*why)),
        };
        json!({
            "path": node.path,
            "type": kind,
            "bytes": bytes,
            "error": error,
            "hidden": node.attributes.hidden,
            "system": node.attributes.system,
            "read_only": node.attributes.read_only,
        })
    });
    json!({
        "file_system": volume.kind.name(),
        "label": volume.label,
        "serial": format!("{:x}", volume.serial),
        "cluster_bytes": volume.cluster_bytes,
        "files": nodes.collect::<Vec<_>>(),
    })
}

fn wim_json(path: &str, wim: &Wim) -> Json {
    let images = wim.images.iter().map(|image| {
        json!({
            "index": image.index,
            "name": image.name,
            "architecture": image.architecture.map(|architecture| architecture.to_string()),
            "windows": image.version,
            "files": image.files,
            "bytes": image.bytes,
        })
    });
    json!({
        "path": path,
        "bytes": wim.length,
        "version": format!("{:#x}", wim.header.version),
        "compression": wim.header.compression.to_string(),
        "solid": wim.solid,
        "chunk_bytes": wim.header.chunk_bytes,
        "boot_index": wim.header.boot_index,
        "images": images.collect::<Vec<_>>(),
        "would_not_boot": super::wim_fault(wim).map(|fault| fault.to_string()),
    })
}
