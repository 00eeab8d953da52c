// SPDX-License-Identifier: MIT OR Apache-2.0
//! EFI compression as option ROMs use it (UEFI 2.10, section 19): packed size, unpacked size, then
//! what LHA calls `-lh5-`.

use delharc::decode::{Decoder, Lh5Decoder};

use super::payload::UNPACKED_LIMIT;

/// What is wrong with a packed EFI image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EfiError {
    /// The sizes in front of it cannot be.
    #[error(
        "at {offset:#x}: a packed EFI image of {packed} bytes that unpacks to {unpacked}, expected at most {room} and {UNPACKED_LIMIT}"
    )]
    Sizes {
        /// Where it starts.
        offset: usize,
        /// Packed size, as it says.
        packed: u32,
        /// Unpacked size, as it says.
        unpacked: u32,
        /// Bytes that are there.
        room: usize,
    },
    /// The packed bytes are none.
    #[error("at {offset:#x}: a packed EFI image that does not unpack: {why}")]
    Packed {
        /// Where it starts.
        offset: usize,
        /// What the decoder said.
        why: String,
    },
}

/// Unpacks what stands at the start of `bytes`, which is `offset` in the file.
pub(super) fn unpack(bytes: &[u8], offset: usize) -> Result<Vec<u8>, EfiError> {
    let size = |at: usize| {
        let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
        field.map_or(0, |field| u32::from_le_bytes(*field))
    };
    let (packed, unpacked) = (size(0), size(4));
    let room = bytes.len().saturating_sub(8);
    let body = bytes.get(8..).and_then(|body| body.get(..packed as usize));
    let Some(body) = body.filter(|_| unpacked > 0 && unpacked as usize <= UNPACKED_LIMIT) else {
        return Err(EfiError::Sizes {
            offset,
            packed,
            unpacked,
            room,
        });
    };
    let mut out = vec![0; unpacked as usize];
    Lh5Decoder::new(body)
        .fill_buffer(&mut out)
        .map_err(|error| EfiError::Packed {
            offset,
            why: error.to_string(),
        })?;
    Ok(out)
}
