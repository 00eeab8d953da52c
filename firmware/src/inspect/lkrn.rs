// SPDX-License-Identifier: MIT OR Apache-2.0
//! iPXE as a Linux kernel image (Linux `Documentation/arch/x86/boot.rst`, "The Real-Mode Kernel
//! Header").

/// Offset of the signature `HdrS`.
const SIGNATURE: usize = 0x202;
/// Offset of the number of setup sectors.
const SETUP_SECTORS: usize = 0x1f1;
/// Offset of the size of the protected-mode code, in 16-byte paragraphs.
const PARAGRAPHS: usize = 0x1f4;

/// Whether this is a Linux kernel image.
pub(super) fn is(file: &[u8]) -> bool {
    file.get(0x1fe..0x200) == Some(&[0x55, 0xaa])
        && file.get(SIGNATURE..SIGNATURE + 4) == Some(b"HdrS")
}

/// What is wrong with a kernel image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel header speaks of {expected} bytes (setup and code), the file has {found}")]
pub struct LkrnError {
    expected: u64,
    found: u64,
}

/// The header's sizes must fit the file: loaders read no more than it says, and less is a
/// truncated file.
pub(super) fn check(file: &[u8]) -> Result<(), LkrnError> {
    let setup = file.get(SETUP_SECTORS).copied().unwrap_or(0);
    let setup = if setup == 0 { 4 } else { u64::from(setup) };
    let code = file
        .get(PARAGRAPHS..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)) * 16);
    let expected = (setup + 1) * 512 + code;
    // The last paragraph need not be full.
    let found = file.len() as u64;
    if expected >= found && expected - found < 16 {
        Ok(())
    } else {
        Err(LkrnError { expected, found })
    }
}
