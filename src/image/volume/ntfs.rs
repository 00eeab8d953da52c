// SPDX-License-Identifier: MIT OR Apache-2.0
//! NTFS volumes that exist: one pass over the MFT, in which every name says where it belongs.
//!
//! The directories' indexes are not asked, so there is no tree to get lost in, and attributes
//! that are spread over several records are put together by the records' base references.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;

use super::{
    Bytes, Content, Kind, Loss, MAX_DEPTH, MAX_NODES, Node, Piece, Place, Volume, VolumeError,
    append, field, read_at,
};
use crate::image::ntfs::decode::{
    AttributeView, FileName, RecordView, Run, ValueView, file_name, uint, utf16,
};
use crate::image::ntfs::usual_security;
use crate::image::spec::Attributes;
use crate::image::times::{FileTime, Times};

const ROOT: u64 = 5;
const VOLUME: u64 = 3;
/// Records below are the file system's; so is what lies in `$Extend`.
const FIRST: u64 = 16;
/// `$Secure`, and how much of it is looked at.
const SECURE: u64 = 9;
const DESCRIPTORS: usize = 0x4_0000;
/// The number in a reference.
const NUMBER: u64 = 0xFFFF_FFFF_FFFF;

/// What the boot sector says.
struct Geometry {
    start: u64,
    cluster: u64,
    clusters: u64,
    record: u64,
    mft: u64,
}

/// A file while its records are coming in.
#[derive(Default)]
struct Draft {
    sequence: u16,
    directory: bool,
    flags: u64,
    names: Vec<FileName>,
    resident: Option<Vec<u8>>,
    /// First cluster within the value, and its runs.
    parts: BTreeMap<u64, Vec<Run>>,
    bytes: u64,
    initialized: u64,
    unreadable: Option<&'static str>,
    times: Times,
    losses: Vec<Loss>,
    /// Number of its security descriptor.
    security: u64,
    /// Of `$Secure`: where descriptors are.
    descriptors: Vec<Run>,
}

pub(super) fn read(
    image: &File,
    start: u64,
    bytes: u64,
    sector: &[u8],
) -> Result<Volume, VolumeError> {
    let geometry = geometry(start, bytes, sector)?;
    let (drafts, label) = records(image, &geometry)?;
    let usual = match drafts.get(&SECURE) {
        Some(secure) => usual_descriptors(image, &geometry, &secure.descriptors)?,
        None => Vec::new(),
    };
    Ok(Volume {
        kind: Kind::Ntfs,
        label,
        serial: uint(sector, 0x48, 8),
        cluster_bytes: geometry.cluster,
        nodes: nodes(drafts, &usual, &geometry)?,
    })
}

fn geometry(start: u64, bytes: u64, boot: &[u8]) -> Result<Geometry, VolumeError> {
    let bad = |at: u64, expected: &str, found: u64| {
        Err(field(
            "NTFS boot sector",
            start + at,
            expected,
            found.to_string(),
        ))
    };
    let sector = uint(boot, 0x0B, 2);
    if !matches!(sector, 512 | 1024 | 2048 | 4096) {
        return bad(0x0B, "512, 1024, 2048 or 4096 bytes in a sector", sector);
    }
    let per_cluster = match boot[0x0D] {
        count @ 1..=128 if count.is_power_of_two() => u64::from(count),
        // Above 64 KiB: the negative power of two.
        power @ 0xF4..=0xFF => 1 << (256 - u32::from(power)),
        other => return bad(0x0D, "a power of two of sectors in a cluster", other.into()),
    };
    let cluster = sector * per_cluster;
    let record = match boot[0x40] {
        power @ 0xF4..=0xF7 => 1 << (256 - u32::from(power)),
        count @ 1..=8 => u64::from(count) * cluster,
        other => return bad(0x40, "records of 512 to 4096 bytes", other.into()),
    };
    if !matches!(record, 512 | 1024 | 2048 | 4096) {
        return bad(0x40, "records of 512 to 4096 bytes", record);
    }
    let sectors = uint(boot, 0x28, 8);
    if sectors > bytes / sector || sectors == 0 {
        let expected = format!("at most {} sectors", bytes / sector);
        return bad(0x28, &expected, sectors);
    }
    let clusters = sectors / per_cluster;
    let mft = uint(boot, 0x30, 8);
    if mft >= clusters {
        return bad(0x30, "a cluster of the volume", mft);
    }
    Ok(Geometry {
        start,
        cluster,
        clusters,
        record,
        mft,
    })
}

/// Numbers of the descriptors that are what our own volumes give.
fn usual_descriptors(
    image: &File,
    geometry: &Geometry,
    runs: &[Run],
) -> Result<Vec<u64>, VolumeError> {
    // The first copy is at most a block of 256 KiB, where there is more of them the rest is not
    // ours to give.
    let mut bytes = Vec::new();
    for run in runs {
        let Some(at) = run
            .first
            .and_then(|first| geometry.offset(first, run.count))
        else {
            break;
        };
        let length = run.count.saturating_mul(geometry.cluster);
        let length = length.min((DESCRIPTORS - bytes.len()) as u64) as usize;
        let old = bytes.len();
        bytes.resize(old + length, 0);
        read_at(image, at, &mut bytes[old..])?;
    }
    let ours = usual_security();
    let mut usual = Vec::new();
    let mut at = 0;
    while let Some(entry) = bytes.get(at..).filter(|entry| entry.len() > 0x14) {
        let size = uint(entry, 16, 4) as usize;
        let Some(descriptor) = entry.get(0x14..size) else {
            break;
        };
        if ours.iter().any(|known| known == descriptor) {
            usual.push(uint(entry, 4, 4));
        }
        at += size.next_multiple_of(16);
    }
    Ok(usual)
}

impl Geometry {
    /// Where a run's clusters lie in the image.
    fn offset(&self, first: u64, count: u64) -> Option<u64> {
        let end = first.checked_add(count)?;
        (end <= self.clusters).then(|| self.start + first * self.cluster)
    }
}

/// All files by their base record, and the volume's name.
fn records(
    image: &File,
    geometry: &Geometry,
) -> Result<(BTreeMap<u64, Draft>, String), VolumeError> {
    let mut drafts: BTreeMap<u64, Draft> = BTreeMap::new();
    let mut label = String::new();
    let mut number = 0;
    loop {
        let Some(offset) = place(geometry, drafts.get(&0), number)? else {
            return Ok((drafts, label));
        };
        let mut bytes = vec![0; geometry.record as usize];
        read_at(image, offset, &mut bytes)?;
        let fault = |source| VolumeError::Record {
            number,
            offset,
            source,
        };
        // What was never used may be all zero, and what a driver gave up says "BAAD".
        if number == 0 || bytes[..4] == *b"FILE" {
            let record = RecordView::parse(bytes).map_err(fault)?;
            if record.in_use() || number == 0 {
                let base = record.base().map_or(number, |base| base & NUMBER);
                let draft = drafts.entry(base).or_default();
                if base == number {
                    draft.sequence = record.sequence();
                    draft.directory = record.is_directory();
                }
                for attribute in record.attributes().map_err(fault)? {
                    if base == VOLUME && attribute.kind == 0x60 {
                        if let ValueView::Resident(name) = attribute.value {
                            label = utf16(name);
                        }
                        continue;
                    }
                    draft.take(&attribute);
                }
            }
        }
        number += 1;
    }
}

/// Where a record lies; none past the last.
fn place(
    geometry: &Geometry,
    mft: Option<&Draft>,
    number: u64,
) -> Result<Option<u64>, VolumeError> {
    let at = number * geometry.record;
    let Some(mft) = mft else {
        return Ok(Some(geometry.start + geometry.mft * geometry.cluster));
    };
    if at + geometry.record > mft.initialized.min(mft.bytes) {
        return Ok(None);
    }
    let mut from = 0u64;
    for run in mft.parts.values().flatten() {
        let length = run.count.saturating_mul(geometry.cluster);
        if at < from.saturating_add(length) {
            let start = run
                .first
                .and_then(|first| geometry.offset(first, run.count));
            let Some(start) = start.filter(|_| at + geometry.record <= from.saturating_add(length))
            else {
                break;
            };
            return Ok(Some(start + (at - from)));
        }
        from = from.saturating_add(length);
    }
    Err(field(
        "$MFT",
        geometry.start + geometry.mft * geometry.cluster,
        format!("clusters for record {number}"),
        "none on the volume",
    ))
}

impl Draft {
    fn take(&mut self, attribute: &AttributeView) {
        match (&attribute.value, attribute.kind) {
            (ValueView::Resident(value), 0x10) => {
                self.flags = uint(value, 0x20, 4);
                let time = |at| FileTime(uint(value, at, 8));
                self.times = Times {
                    created: time(0x00),
                    written: time(0x08),
                    changed: time(0x10),
                    accessed: time(0x18),
                };
                self.security = uint(value, 0x34, 4);
            }
            (ValueView::Resident(value), 0x30) => self.names.extend(file_name(value)),
            (_, 0xC0) => self.unreadable = Some("it is a reparse point"),
            (ValueView::Runs { runs, .. }, 0x80) if attribute.name == "$SDS" => {
                self.descriptors.extend(runs);
            }
            (_, 0x80) if !attribute.name.is_empty() => self.lose(Loss::Streams),
            // A descriptor of its own, as before NTFS 3 and by ntfscp.
            (_, 0x50) => self.lose(Loss::Access),
            (_, 0xD0 | 0xE0) => self.lose(Loss::Extended),
            (ValueView::Resident(value), 0x80) => self.resident = Some(value.to_vec()),
            (
                ValueView::Runs {
                    lowest,
                    bytes,
                    initialized,
                    runs,
                    ..
                },
                0x80,
            ) => {
                if attribute.flags & 0x00FF != 0 {
                    self.unreadable = Some("it is compressed by NTFS");
                }
                if attribute.flags & 0x4000 != 0 {
                    self.unreadable = Some("it is encrypted by NTFS");
                }
                if *lowest == 0 {
                    self.bytes = *bytes;
                    self.initialized = *initialized;
                }
                self.parts.insert(*lowest, runs.clone());
            }
            _ => {}
        }
    }

    fn lose(&mut self, loss: Loss) {
        if !self.losses.contains(&loss) {
            self.losses.push(loss);
        }
    }

    fn content(self, number: u64, geometry: &Geometry) -> Result<Content, VolumeError> {
        if let Some(why) = self.unreadable {
            return Ok(Content::Unreadable(why));
        }
        if let Some(content) = self.resident {
            return Ok(Content::File(Bytes {
                length: content.len() as u64,
                place: Place::Here(content),
            }));
        }
        let bad = |expected: String, found: String| {
            let mft = geometry.start + geometry.mft * geometry.cluster;
            let expected = format!("{expected} in record {number}");
            Err(field("runs of a file", mft, expected, found))
        };
        let mut pieces = Vec::new();
        let mut cluster = 0u64;
        for (lowest, runs) in self.parts {
            if lowest != cluster {
                return bad(format!("cluster {cluster} of its data"), lowest.to_string());
            }
            for run in runs {
                let from = cluster.saturating_mul(geometry.cluster);
                let length = run.count.saturating_mul(geometry.cluster);
                cluster = cluster.saturating_add(run.count);
                // What was never written reads as zeros, whatever lies there.
                let written = match run.first {
                    Some(_) => self.initialized.saturating_sub(from).min(length),
                    None => 0,
                };
                if let Some(first) = run.first {
                    let Some(at) = geometry.offset(first, run.count) else {
                        let found = format!("{} clusters from {first} on", run.count);
                        return bad("clusters of the volume".into(), found);
                    };
                    add(&mut pieces, Some(at), written);
                }
                add(&mut pieces, None, length - written);
            }
            if cluster > 1 << 48 {
                return bad("fewer clusters".into(), cluster.to_string());
            }
        }
        if self.bytes > cluster.saturating_mul(geometry.cluster) {
            let expected = format!("clusters for {} bytes", self.bytes);
            return bad(expected, cluster.to_string());
        }
        Ok(Content::File(Bytes {
            length: self.bytes,
            place: Place::Pieces(pieces),
        }))
    }
}

fn add(pieces: &mut Vec<Piece>, offset: Option<u64>, length: u64) {
    if length > 0 {
        append(pieces, Piece { offset, length });
    }
}

/// Names put together to paths. What leads nowhere is nobody's to see, as for every driver.
fn nodes(
    drafts: BTreeMap<u64, Draft>,
    usual: &[u64],
    geometry: &Geometry,
) -> Result<Vec<Node>, VolumeError> {
    let mut paths = Paths {
        known: HashMap::from([(ROOT, Some(String::new()))]),
        left: MAX_PATHS,
        mft: geometry.start + geometry.mft * geometry.cluster,
    };
    for (number, draft) in &drafts {
        if draft.directory && *number >= FIRST {
            paths.find(*number, &drafts)?;
        }
    }
    let mut nodes = Vec::new();
    for (number, draft) in drafts {
        if number < FIRST {
            continue;
        }
        let mut names = Vec::new();
        for name in draft.names.iter().filter(|name| !name.short) {
            if let Some(Some(parent)) = paths.known.get(&(name.parent & NUMBER)) {
                let path = format!("{parent}\\{}", name.name);
                paths.spend(&path)?;
                names.push(path);
            }
        }
        if names.is_empty() {
            continue;
        }
        let attributes = Attributes {
            read_only: draft.flags & 1 != 0,
            hidden: draft.flags & 2 != 0,
            system: draft.flags & 4 != 0,
            archived: draft.flags & 0x20 == 0 && !draft.directory,
            times: draft.times,
        };
        let mut losses = draft.losses.clone();
        if names.len() > 1 {
            losses.push(Loss::Links);
        }
        if !usual.contains(&draft.security) && draft.security != 0 {
            losses.push(Loss::Access);
        }
        losses.sort_unstable();
        losses.dedup();
        let content = match (draft.directory, draft.unreadable) {
            (true, None) => Content::Directory,
            _ => draft.content(number, geometry)?,
        };
        nodes.extend(names.into_iter().map(|path| Node {
            path,
            attributes,
            content: content.clone(),
            losses: losses.clone(),
        }));
        if nodes.len() > MAX_NODES {
            let expected = format!("at most {MAX_NODES} files");
            return Err(field("$MFT", paths.mft, expected, "more"));
        }
    }
    nodes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(nodes)
}

/// Bytes of paths: what a hostile volume can make of few bytes is bounded.
const MAX_PATHS: u64 = 1 << 28;

/// The paths of directories; none for one that leads nowhere.
struct Paths {
    known: HashMap<u64, Option<String>>,
    /// Bytes that may still be spent.
    left: u64,
    /// For errors.
    mft: u64,
}

impl Paths {
    fn spend(&mut self, path: &str) -> Result<(), VolumeError> {
        self.left = self
            .left
            .checked_sub(path.len() as u64 + 1)
            .ok_or_else(|| field("$MFT", self.mft, "paths of 256 MiB in all", "more"))?;
        Ok(())
    }

    fn find(&mut self, number: u64, drafts: &BTreeMap<u64, Draft>) -> Result<(), VolumeError> {
        // Upwards to what is known, then down again.
        let mut chain: Vec<(u64, String)> = Vec::new();
        let mut at = number;
        let mut path = loop {
            if let Some(known) = self.known.get(&at) {
                break known.clone();
            }
            let above = drafts
                .get(&at)
                .filter(|draft| draft.directory && at >= FIRST && chain.len() < MAX_DEPTH)
                .and_then(|draft| draft.names.iter().find(|name| !name.short))
                .filter(|name| {
                    let parent = drafts.get(&(name.parent & NUMBER));
                    parent.is_some_and(|parent| u64::from(parent.sequence) == name.parent >> 48)
                });
            let Some(name) = above else {
                self.known.insert(at, None);
                break None;
            };
            // A circle is longer than any path.
            chain.push((at, name.name.clone()));
            at = name.parent & NUMBER;
        };
        for (number, name) in chain.into_iter().rev() {
            path = path.map(|path| format!("{path}\\{name}"));
            if let Some(path) = &path {
                self.spend(path)?;
            }
            self.known.insert(number, path.clone());
        }
        Ok(())
    }
}
