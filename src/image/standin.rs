// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stand-ins for Microsoft's boot managers, to test with what everyone may have.
//!
//! The one for BIOS is loaded by the boot sector exactly as BOOTMGR is, and says whether all that
//! BOOTMGR relies on is there. The one for UEFI is started as `\EFI\Boot\bootx64.efi`, and says
//! whether the firmware's own FAT driver gives it the store and the WIM.

use super::source::Filler;

/// `boot/standin.S`, assembled.
const CODE: &[u8] = include_bytes!("boot/standin.bin");
/// `boot/standin-efi.S`, assembled.
const EFI: &[u8] = include_bytes!("boot/standin-efi.bin");

/// As long as a real boot manager, so that loading it tests as much.
pub const BYTES: usize = 400 * 1024;

mod field {
    use std::ops::Range;

    pub const MAGIC: Range<usize> = 0x04..0x0C;
    pub const FILE_BYTES: Range<usize> = 0x0C..0x10;
    pub const FILE_CRC: Range<usize> = 0x10..0x14;
    /// What changes while it runs ends here; the file's CRC covers the rest.
    pub const CHECKED: usize = 0x40;
}

/// The stand-in for BIOS, whole.
pub fn render() -> Vec<u8> {
    let mut file = vec![0; BYTES];
    Filler::named("slamboot stand-in padding").read_at(0, &mut file);
    file[..CODE.len()].copy_from_slice(CODE);
    let crc = crc32fast::hash(&file[field::CHECKED..]);
    file[field::FILE_BYTES].copy_from_slice(&(BYTES as u32).to_le_bytes());
    file[field::FILE_CRC].copy_from_slice(&crc.to_le_bytes());
    file
}

/// The stand-in for 64-bit UEFI, whole.
pub fn efi() -> &'static [u8] {
    EFI
}

/// Whether a file is the stand-in for BIOS.
pub fn is(file: &[u8]) -> bool {
    file.get(field::MAGIC) == CODE.get(field::MAGIC)
}

/// The line that it ends with where all is well, drive 0x80.
pub fn success_line() -> String {
    let file = render();
    let crc = crc32fast::hash(&file[field::CHECKED..]);
    format!("slamboot stand-in: ok crc32={crc:08x} drive=0x80")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_itself() {
        let file = render();
        assert!(is(&file));
        assert!(!is(b"") && !is(&file[1..]));
        assert!(
            success_line().contains(&hex::encode(
                file[field::FILE_CRC]
                    .iter()
                    .rev()
                    .copied()
                    .collect::<Vec<_>>()
            ))
        );
    }
}
