// SPDX-License-Identifier: MIT OR Apache-2.0
//! The base block, the first 4096 bytes of the file (section "Base block").

use super::error::{Dirt, Error};
use super::le::{put, put_u32, u32_at};

/// Bytes before the hive bins data, from which all offsets in cells count.
pub(super) const SIZE: usize = 4096;

mod field {
    pub const SIGNATURE: usize = 0;
    pub const PRIMARY: usize = 4;
    pub const SECONDARY: usize = 8;
    pub const WRITTEN: usize = 12;
    pub const MAJOR: usize = 20;
    pub const MINOR: usize = 24;
    pub const KIND: usize = 28;
    pub const FORMAT: usize = 32;
    pub const ROOT: usize = 36;
    pub const BINS_SIZE: usize = 40;
    pub const CLUSTERING: usize = 44;
    pub const NAME: usize = 48;
    pub const NAME_SIZE: usize = 64;
    pub const CHECKSUM: usize = 508;
}

pub(super) use field::{BINS_SIZE, CHECKSUM, KIND, PRIMARY, ROOT, SECONDARY, WRITTEN};

/// What the base block says of the rest, proven as far as it can be without the rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct BaseBlock {
    /// Minor version; major is 1.
    pub minor: u32,
    /// Offset of the root key node.
    pub root: u32,
    /// Size of the hive bins data.
    pub bins_size: u32,
}

/// The checksum that belongs to a base block, of at least 512 bytes: XOR-32 of the first 508, and
/// never 0 or -1 (note 2 of the section).
pub(super) fn checksum(block: &[u8]) -> u32 {
    let xor = block[..field::CHECKSUM]
        .chunks_exact(4)
        .fold(0, |xor, word| xor ^ u32_at(word, 0));
    match xor {
        0 => 1,
        0xFFFF_FFFF => 0xFFFF_FFFE,
        xor => xor,
    }
}

/// Why the hive is dirty, if it is.
pub(super) fn dirt(block: &[u8]) -> Option<Dirt> {
    let (expected, found) = (checksum(block), u32_at(block, field::CHECKSUM));
    if expected != found {
        return Some(Dirt::Checksum { expected, found });
    }
    let (primary, secondary) = (
        u32_at(block, field::PRIMARY),
        u32_at(block, field::SECONDARY),
    );
    (primary != secondary).then_some(Dirt::Sequence { primary, secondary })
}

/// That these bytes can have a base block at all.
pub(super) fn identify(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() < SIZE || bytes[..4] != *b"regf" {
        if bytes.len() >= 4 && bytes[..4] != *b"regf" {
            return Err(Error::field(
                field::SIGNATURE as u64,
                "signature",
                "\"regf\", a registry hive",
                format!("\"{}\"", bytes[..4].escape_ascii()),
            ));
        }
        return Err(Error::field(
            0,
            "base block",
            format!("{SIZE} bytes"),
            format!("a file of {} bytes", bytes.len()),
        ));
    }
    Ok(())
}

/// Reads and checks everything but checksum and sequence numbers.
pub(super) fn parse(bytes: &[u8]) -> Result<BaseBlock, Error> {
    identify(bytes)?;
    let expect = |at: usize, name: &'static str, right: &[u32], expected: &str| {
        let found = u32_at(bytes, at);
        if right.contains(&found) {
            Ok(found)
        } else {
            Err(Error::field(
                at as u64,
                name,
                expected,
                format!("{found:#x}"),
            ))
        }
    };
    expect(field::MAJOR, "major version", &[1], "1")?;
    // Versions before 1.3 are those of Windows NT 3, which has neither a boot configuration nor
    // sorted lists with hints (section "Base block"); nobody has hives to test a reader with.
    let minor = expect(
        field::MINOR,
        "minor version",
        &[3, 4, 5, 6],
        "3 to 6, of Windows NT 4 and later",
    )?;
    expect(field::KIND, "file type", &[0], "0, a primary file")?;
    expect(field::FORMAT, "file format", &[1], "1, direct memory load")?;
    let bins_size = u32_at(bytes, field::BINS_SIZE);
    if bins_size == 0 || !bins_size.is_multiple_of(4096) || bins_size > super::cell::MOST {
        return Err(Error::field(
            field::BINS_SIZE as u64,
            "hive bins data size",
            "a multiple of 4096 from 0x1000 to 0x7ffff000",
            format!("{bins_size:#x}"),
        ));
    }
    let behind = bytes.len() - SIZE;
    if bins_size as usize > behind {
        return Err(Error::field(
            field::BINS_SIZE as u64,
            "hive bins data size",
            format!(
                "at most {behind:#x}, as the file has {:#x} bytes",
                bytes.len()
            ),
            format!("{bins_size:#x}"),
        ));
    }
    Ok(BaseBlock {
        minor,
        root: u32_at(bytes, field::ROOT),
        bins_size,
    })
}

/// A base block of version 1.5 with sequence numbers 1, no time and no bins yet. The name is for
/// people who look into the file; the end of it, if it is too long.
pub(super) fn new(name: &str) -> Vec<u8> {
    let mut block = vec![0; SIZE];
    put(&mut block, field::SIGNATURE, b"regf");
    put_u32(&mut block, field::PRIMARY, 1);
    put_u32(&mut block, field::SECONDARY, 1);
    put_u32(&mut block, field::MAJOR, 1);
    put_u32(&mut block, field::MINOR, 5);
    put_u32(&mut block, field::FORMAT, 1);
    put_u32(&mut block, field::CLUSTERING, 1);
    let units: Vec<u16> = name.encode_utf16().collect();
    // A NUL stays at the end.
    let most = field::NAME_SIZE / 2 - 1;
    for (at, unit) in units[units.len().saturating_sub(most)..].iter().enumerate() {
        put(&mut block, field::NAME + 2 * at, &unit.to_le_bytes());
    }
    block
}

/// Makes the checksum right.
pub(super) fn seal(bytes: &mut [u8]) {
    let checksum = checksum(bytes);
    put_u32(bytes, field::CHECKSUM, checksum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_never_all_or_nothing() {
        let mut block = vec![0; SIZE];
        assert_eq!(checksum(&block), 1);
        block[0..4].fill(0xFF);
        assert_eq!(checksum(&block), 0xFFFF_FFFE);
        block[8] = 0x0F;
        assert_eq!(checksum(&block), 0xFFFF_FFF0);
        // What lies behind does not count.
        block[508] = 1;
        assert_eq!(checksum(&block), 0xFFFF_FFF0);
    }

    #[test]
    fn every_field_stands_where_it_is_documented() {
        let mut block = new("BCD");
        put_u32(&mut block, BINS_SIZE, 0x1000);
        seal(&mut block);
        assert_eq!(block[..12], *b"regf\x01\0\0\0\x01\0\0\0");
        assert_eq!(
            block[20..36],
            [1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
        );
        assert_eq!(block[44..56], [1, 0, 0, 0, b'B', 0, b'C', 0, b'D', 0, 0, 0]);
        assert_eq!(dirt(&block), None);
        let long = new(&"x".repeat(40));
        assert_eq!(long[48 + 60..48 + 64], [b'x', 0, 0, 0]);
    }
}
