// SPDX-License-Identifier: MIT OR Apache-2.0
//! What these tests share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use slamboot::image::regf::Hive;

/// Files below a directory, sorted.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        let entries = std::fs::read_dir(&directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The number in an environment variable, or the default.
pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number"))
    })
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Makes the checksum of the base block right.
pub fn seal(bytes: &mut [u8]) {
    let mut xor = (0..508)
        .step_by(4)
        .fold(0, |xor, at| xor ^ u32_at(bytes, at));
    if xor == 0 {
        xor = 1;
    }
    if xor == u32::MAX {
        xor -= 1;
    }
    put_u32(bytes, 508, xor);
}

/// An empty hive of another version, which other lists and no big data go with.
pub fn empty(minor: u32) -> Hive {
    let mut bytes = Hive::new("test").bytes().to_vec();
    put_u32(&mut bytes, 24, minor);
    seal(&mut bytes);
    Hive::read(bytes).unwrap()
}

/// Allocated cells: their offsets from the start of the bins, and their data.
pub fn cells(bytes: &[u8]) -> BTreeMap<u32, &[u8]> {
    let mut cells = BTreeMap::new();
    let end = 0x1000 + u32_at(bytes, 0x28) as usize;
    let mut bin = 0x1000;
    while bin < end {
        let bin_end = bin + u32_at(bytes, bin + 8) as usize;
        let mut cell = bin + 32;
        while cell < bin_end {
            let size = u32_at(bytes, cell).cast_signed();
            let next = cell + size.unsigned_abs() as usize;
            if size < 0 {
                cells.insert((cell - 0x1000) as u32, &bytes[cell + 4..next]);
            }
            cell = next;
        }
        bin = bin_end;
    }
    cells
}
