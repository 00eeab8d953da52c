// SPDX-License-Identifier: MIT OR Apache-2.0
//! EFI images: uncompressed PE, laid out in memory as its section headers say.

use goblin::pe::header::{
    COFF_MACHINE_ARM64, COFF_MACHINE_X86, COFF_MACHINE_X86_64, Header, SIZEOF_COFF_HEADER,
    SIZEOF_PE_MAGIC,
};
use goblin::pe::optional_header::MAGIC_64;

use super::payload::UNPACKED_LIMIT;
use super::tables::Word;

/// A laid-out PE image: offsets are RVAs.
pub(super) struct Laid {
    pub bytes: Vec<u8>,
    pub word: Word,
    /// Where it is linked to lie, which iPXE's pointers count from.
    pub base: usize,
    pub arch: &'static str,
}

/// What is wrong with a PE file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeError {
    /// The headers do not parse.
    #[error("no readable PE headers: {0}")]
    Headers(String),
    /// A section that would need more memory than any iPXE.
    #[error("section {section} ends at {end:#x} in memory, expected at most {limit:#x}")]
    TooLarge {
        /// Its name.
        section: String,
        /// Where it ends.
        end: u64,
        /// The limit.
        limit: usize,
    },
    /// A section whose bytes are not in the file.
    #[error("section {section} lies at {start:#x}..{end:#x} of a file of {bytes} bytes")]
    Truncated {
        /// Its name.
        section: String,
        /// File offset.
        start: u64,
        /// File offset.
        end: u64,
        /// The file's size.
        bytes: usize,
    },
}

/// Copies every section's bytes to its address.
pub(super) fn lay_out(file: &[u8]) -> Result<Laid, PeError> {
    // Headers and sections only: iPXE keeps its debug directory in the headers, where no section
    // maps it, which goblin's whole parser takes for damage.
    let wrong = |error: goblin::error::Error| PeError::Headers(error.to_string());
    let header = Header::parse(file).map_err(wrong)?;
    let coff = &header.coff_header;
    let mut table = (header.dos_header.pe_pointer as usize)
        .saturating_add(SIZEOF_PE_MAGIC + SIZEOF_COFF_HEADER)
        .saturating_add(usize::from(coff.size_of_optional_header));
    let sections = coff.sections(file, &mut table).map_err(wrong)?;
    let optional = header.optional_header.as_ref();
    let wide = optional.is_some_and(|optional| optional.standard_fields.magic == MAGIC_64);
    let mut bytes = Vec::new();
    for section in &sections {
        let name = || section.name().unwrap_or("(unnamed)").to_owned();
        // Bytes past the virtual size are padding of the file, not of memory.
        let size = section.size_of_raw_data.min(section.virtual_size);
        let (start, end) = span(section.pointer_to_raw_data, size);
        let raw = file
            .get(start as usize..end as usize)
            .ok_or(PeError::Truncated {
                section: name(),
                start,
                end,
                bytes: file.len(),
            })?;
        let (start, end) = span(section.virtual_address, size);
        if end > UNPACKED_LIMIT as u64 {
            return Err(PeError::TooLarge {
                section: name(),
                end,
                limit: UNPACKED_LIMIT,
            });
        }
        let (start, end) = (start as usize, end as usize);
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(raw);
    }
    Ok(Laid {
        bytes,
        word: if wide { Word::Eight } else { Word::Four },
        base: optional.map_or(0, |optional| {
            usize::try_from(optional.windows_fields.image_base).unwrap_or(0)
        }),
        arch: match coff.machine {
            COFF_MACHINE_X86 => "i386",
            COFF_MACHINE_X86_64 => "x86_64",
            COFF_MACHINE_ARM64 => "arm64",
            _ => "other",
        },
    })
}

fn span(start: u32, size: u32) -> (u64, u64) {
    (u64::from(start), u64::from(start) + u64::from(size))
}
