// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compressed images, unpacked as their bytes come in order.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

/// What to unpack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Unpack {
    /// What the first bytes say it is; anything else goes through as it is.
    Auto,
    /// Zstandard (RFC 8878).
    Zstd,
    /// gzip (RFC 1952).
    Gzip,
    /// Nothing.
    #[default]
    None,
}

/// Bytes that the first look takes: more than the header of a zstd frame has (18).
const LOOK: u64 = 32;
const BUFFER: usize = 1 << 17;
/// Largest window of a zstd frame, as a power of two: what `zstd -d` takes unless told otherwise.
const WINDOW_LOG: u32 = 27;

/// The beginning of a packed image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Zstd,
    Gzip,
}

impl Format {
    /// What the first bytes say.
    pub(crate) fn of(first: &[u8]) -> Option<Self> {
        match first {
            // A frame (RFC 8878, 3.1.1), or one that is to be skipped (3.1.2).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                Some(Format::Zstd)
            }
            // Deflate is the only method there is (RFC 1952, 2.3.1).
            [0x1f, 0x8b, 8, ..] => Some(Format::Gzip),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Zstd => "zstd",
            Format::Gzip => "gzip",
        }
    }
}

/// The bytes of an image, unpacked.
pub(crate) enum Unpacked<R: Read> {
    Plain(Source<R>),
    Gzip(Box<MultiGzDecoder<Source<R>>>),
    Zstd(Box<zstd::Decoder<'static, Source<R>>>),
}

/// The packed bytes: those of the first look again, then the rest.
type Source<R> = io::Chain<Cursor<Vec<u8>>, BufReader<R>>;

impl<R: Read> Unpacked<R> {
    /// Waits for the first bytes.
    pub(crate) fn new(unpack: Unpack, mut packed: R) -> io::Result<Self> {
        let mut first = Vec::new();
        (&mut packed).take(LOOK).read_to_end(&mut first)?;
        let format = match unpack {
            Unpack::Auto => Format::of(&first),
            Unpack::Zstd => Some(Format::Zstd),
            Unpack::Gzip => Some(Format::Gzip),
            Unpack::None => None,
        };
        let source = Cursor::new(first).chain(BufReader::with_capacity(BUFFER, packed));
        Ok(match format {
            None => Unpacked::Plain(source),
            Some(Format::Gzip) => Unpacked::Gzip(Box::new(MultiGzDecoder::new(source))),
            Some(Format::Zstd) => {
                let mut decoder = zstd::Decoder::with_buffer(source)?;
                decoder.window_log_max(WINDOW_LOG)?;
                Unpacked::Zstd(Box::new(decoder))
            }
        })
    }

    /// What is unpacked.
    pub(crate) fn format(&self) -> Option<Format> {
        match self {
            Unpacked::Plain(_) => None,
            Unpacked::Gzip(_) => Some(Format::Gzip),
            Unpacked::Zstd(_) => Some(Format::Zstd),
        }
    }

    /// The packed bytes behind it.
    pub(crate) fn into_inner(self) -> R {
        let source = match self {
            Unpacked::Plain(source) => source,
            Unpacked::Gzip(decoder) => decoder.into_inner(),
            Unpacked::Zstd(decoder) => decoder.finish(),
        };
        source.into_inner().1.into_inner()
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (read, format) = match self {
            Unpacked::Plain(source) => {
                // Past the buffer, where there is nothing in it.
                let ready = source.fill_buf()?;
                let len = ready.len().min(buffer.len());
                buffer[..len].copy_from_slice(&ready[..len]);
                source.consume(len);
                return Ok(len);
            }
            Unpacked::Gzip(decoder) => (decoder.read(buffer), Format::Gzip),
            Unpacked::Zstd(decoder) => (decoder.read(buffer), Format::Zstd),
        };
        read.map_err(|error| match error.kind() {
            // Its bytes have not come: not the format's fault.
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, format!("it is no sound {}: {error}", format.name())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn content() -> Vec<u8> {
        (0..300_000_u32)
            .map(|n| (n.wrapping_mul(n) / 7 % 251) as u8)
            .collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn unpack(unpack: Unpack, packed: &[u8]) -> io::Result<(Option<Format>, Vec<u8>)> {
        let mut reader = Unpacked::new(unpack, packed)?;
        let (mut bytes, format) = (Vec::new(), reader.format());
        reader.read_to_end(&mut bytes)?;
        Ok((format, bytes))
    }

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        let content = content();
        let zstd = zstd::encode_all(&content[..], 1).unwrap();
        // Several members or frames are one file.
        let (head, tail) = content.split_at(1000);
        let twice = [gzip(head), gzip(tail)].concat();
        let frames = [
            zstd::encode_all(head, 1).unwrap(),
            zstd::encode_all(tail, 1).unwrap(),
        ]
        .concat();
        for (packed, format) in [
            (&zstd, Some(Format::Zstd)),
            (&frames, Some(Format::Zstd)),
            (&gzip(&content), Some(Format::Gzip)),
            (&twice, Some(Format::Gzip)),
            (&content, None),
            (&vec![7], None),
        ] {
            let (found, bytes) = unpack(Unpack::Auto, packed).unwrap();
            assert_eq!(found, format);
            assert!(bytes == content || bytes == [7], "{format:?}");
            let (found, bytes) = unpack(Unpack::None, packed).unwrap();
            assert_eq!((found, &bytes), (None, packed), "untouched");
        }
    }

    #[test]
    fn what_is_unsound_is_an_error() {
        let content = content();
        let zstd = zstd::encode_all(&content[..], 1).unwrap();
        let gzip = gzip(&content);
        for (how, packed) in [
            (Unpack::Zstd, &gzip[..]),
            (Unpack::Gzip, &zstd[..]),
            (Unpack::Auto, &zstd[..zstd.len() - 5]),
            (Unpack::Auto, &gzip[..gzip.len() - 5]),
            (Unpack::Auto, &[&gzip[..], b"tail"].concat()),
        ] {
            let error = unpack(how, packed).unwrap_err().to_string();
            assert!(error.contains("no sound"), "{how:?}: {error}");
        }
    }
}
