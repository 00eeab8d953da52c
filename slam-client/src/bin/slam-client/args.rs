// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgGroup, Parser};
use slam_client::SlamUri;

use crate::reorder::Spill;
use crate::target::Demand;
use crate::target::file::Sparse;
use crate::unpack::Unpack;

/// Receive one image by SLAM, the multicast protocol of iPXE (x-slam://).
///
/// Joins the group, asks the server for what it misses, and takes every block that passes,
/// whoever asked for it. Works with `slamboot serve` and with mini-slamd. The image goes to a
/// file, to standard output, or straight to a disk.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[expect(clippy::doc_markdown, reason = "clap prints it as it stands")]
#[command(
    version,
    max_term_width = 100,
    after_help = AFTER_SHORT_HELP,
    after_long_help = AFTER_HELP,
    group = ArgGroup::new("target").required(true)
)]
pub(crate) struct Args {
    /// What to receive: x-slam://SERVER[:PORT]/[GROUP[:PORT]]. The ports are 10000 and the group
    /// is 239.255.1.1 unless given.
    pub(crate) uri: SlamUri,

    /// Where the file goes; - is standard output. It is written to FILE.part, and renamed once
    /// it is whole.
    #[arg(
        short,
        long,
        value_name = "FILE",
        group = "target",
        help_heading = "Target"
    )]
    pub(crate) output: Option<PathBuf>,

    /// Write to this disk, past the page cache. Refused where the disk, one of its partitions or
    /// anything on top of them is in use, and where it is smaller than the image.
    #[arg(long, value_name = "DEVICE", group = "target", help_heading = "Target")]
    pub(crate) to: Option<PathBuf>,

    /// With --to: write even to a disk that is in use, or to a file that is there already, in
    /// its place.
    #[arg(long, conflicts_with = "output", help_heading = "Target")]
    pub(crate) force: bool,

    /// Unpack on the way; without a word after it, what the first bytes say.
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value = "none",
        default_missing_value = "auto",
        num_args = 0..=1,
        require_equals = false,
        hide_possible_values = false,
        help_heading = "Target"
    )]
    pub(crate) unpack: Unpack,

    /// With --output: whether blocks of zeros take room on the disk.
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value = "auto",
        help_heading = "Target"
    )]
    pub(crate) sparse: Sparse,

    /// Join the group on this interface (name or address) instead of on the one that leads
    /// to the server. Several may be given: then data is taken from any of them.
    #[arg(
        short,
        long = "interface",
        value_name = "NAME",
        help_heading = "Network"
    )]
    pub(crate) interfaces: Vec<String>,

    /// Fail (or fall back to HTTP) after this long without any data.
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        default_value = "30",
        value_parser = seconds,
        help_heading = "Network"
    )]
    pub(crate) timeout: Duration,

    /// Fetch from here what multicast does not bring: all of it where no server answers, the
    /// rest where it falls silent. http:// only, no proxy.
    #[arg(long, value_name = "URL", value_parser = http_url, help_heading = "Network")]
    pub(crate) http_fallback: Option<String>,

    /// Take multicast data from any sender, not only from the server's address. For servers that
    /// send from another address than they answer on.
    #[arg(long, help_heading = "Network")]
    pub(crate) any_source: bool,

    /// Refuse images larger than this; K, M, G and T count in 1024s.
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = "Network")]
    pub(crate) max_bytes: Option<u64>,

    /// Read everything back from the disk and compare it with what was received.
    #[arg(long, help_heading = "Proof")]
    pub(crate) verify: bool,

    /// What the SHA-256 of the image must be, as it is sent (before unpacking).
    #[arg(long, value_name = "HEX", value_parser = sha256, help_heading = "Proof")]
    pub(crate) sha256: Option<[u8; 32]>,

    /// Forget what an earlier, interrupted run has received.
    #[arg(long, help_heading = "Resuming")]
    pub(crate) fresh: bool,

    /// Where to note what is received, to go on there after an interruption. Without it, that is
    /// FILE.slam-partial, or for a disk /var/lib/slam-client/NAME.slam-partial.
    #[arg(long, value_name = "FILE", help_heading = "Resuming")]
    pub(crate) state: Option<PathBuf>,

    /// To standard output, or unpacking: where blocks wait that are far ahead of their turn.
    /// `none` keeps them nowhere; they are asked for again when their turn comes.
    #[arg(
        long,
        value_name = "DIRECTORY",
        default_value = "/var/tmp",
        help_heading = "Memory"
    )]
    pub(crate) spill: PathBuf,

    /// To standard output, or unpacking: memory for blocks that wait for their turn, 1M to 1G.
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "16M",
        value_parser = window,
        help_heading = "Memory"
    )]
    pub(crate) window: usize,

    /// No progress; only warnings, errors and, at the end, the result.
    #[arg(short, long, help_heading = "Reporting")]
    pub(crate) quiet: bool,

    /// Events as JSON objects, one a line, told apart by `event`; the last is `complete` or
    /// `failed`. On standard output, or on standard error if the image goes there.
    #[arg(long, conflicts_with = "quiet", help_heading = "Reporting")]
    pub(crate) json: bool,
}

/// Where the image goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    File(&'a Path),
    Device(&'a Path),
    Output,
}

impl Args {
    pub(crate) fn place(&self) -> Place<'_> {
        match (&self.to, &self.output) {
            (Some(device), _) => Place::Device(device),
            (None, Some(file)) if file != "-" => Place::File(file),
            (None, _) => Place::Output,
        }
    }

    pub(crate) fn spill(&self) -> Spill {
        if self.spill == Path::new("none") {
            Spill::None
        } else {
            Spill::Directory(self.spill.clone())
        }
    }

    pub(crate) fn demand(&self) -> Demand {
        Demand {
            read_back: self.verify,
            sha256: self.sha256,
        }
    }
}

const AFTER_SHORT_HELP: &str = "\
Examples:
  slam-client x-slam://10.0.0.1 -o disk.img
  slam-client x-slam://10.0.0.1 --to /dev/sda --verify
  slam-client x-slam://10.0.0.1 --to /dev/sda --unpack   # an image packed by zstd or gzip
More with --help.";

const AFTER_HELP: &str = "\
Examples:
  Fetch a file:
    slam-client x-slam://10.0.0.1 -o disk.img
  From another port and group, on a certain interface:
    slam-client x-slam://10.0.0.1:10001/239.255.1.2:10001 -o initrd.gz --interface eth1
  Put an image on the first disk, and read it back:
    slam-client x-slam://10.0.0.1 --to /dev/sda --verify
  The same, packed by zstd or gzip:
    slam-client x-slam://10.0.0.1 --to /dev/sda --unpack
  Without the server's multicast, by HTTP (slamboot serve offers both):
    slam-client x-slam://10.0.0.1 --to /dev/sda --timeout 10 \\
      --http-fallback http://10.0.0.1:8080/images/demo
  Into another program:
    slam-client x-slam://10.0.0.1 -o - | tar -x -C /srv

An interrupted transfer leaves FILE.part (or the disk, half written) and FILE.slam-partial, which
says which blocks are in it. The same command goes on from there if the server still sends the
same image and the disk still holds those blocks, and starts anew if not. What goes through
standard output or an unpacker cannot be resumed.

Exit status:
  0    the image is whole and in its place
  1    anything else: cannot write, disk full, disk in use, no such interface
  2    wrong usage
  3    no server, or the server fell silent; and HTTP, if it was allowed, did not help
  4    what the server sends was refused: too large, not SLAM, two servers in one group
  5    the image is wrong: other bytes read back than written, or another SHA-256
  130  interrupted; what was received is kept";

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|&seconds| seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a number of seconds above 0, as 30 or 2.5".to_owned())
}

fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix(['K', 'M', 'G', 'T']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, ""),
    };
    let shift = match unit {
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => 0,
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "expected a number of bytes, as 1000000, 512M or 2G".to_owned())
}

fn window(text: &str) -> Result<usize, String> {
    let bytes = bytes(text)?;
    if (1 << 20..=1 << 30).contains(&bytes) {
        Ok(bytes as usize)
    } else {
        Err("expected 1M to 1G".to_owned())
    }
}

fn sha256(text: &str) -> Result<[u8; 32], String> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest)
        .map(|()| digest)
        .map_err(|_| "expected 64 hexadecimal digits, as sha256sum prints them".to_owned())
}

fn http_url(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        Some(("http", rest)) if !rest.is_empty() => Ok(text.to_owned()),
        _ => Err("expected http://SERVER[:PORT]/PATH (https is not spoken)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn numbers_are_read_whole() {
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        for wrong in ["0", "-1", "x", "inf", "nan", "1e300", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(bytes("1000"), Ok(1000));
        assert_eq!(bytes("3K"), Ok(3072));
        assert_eq!(bytes("2T"), Ok(2 << 40));
        for wrong in ["", "K", "1KK", "-1", "1.5M", "99999999999T"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(window("1M"), Ok(1 << 20));
        assert!(window("1K").is_err() && window("2G").is_err());
        assert!(sha256(&"ab".repeat(32)).is_ok() && sha256("ab").is_err());
        assert!(http_url("http://a/b").is_ok());
        assert!(http_url("https://a/b").is_err() && http_url("http://").is_err());
    }

    #[test]
    fn there_is_one_place() {
        let parse = |more: &[&str]| {
            let args = ["slam-client", "x-slam://10.0.0.1"].iter().chain(more);
            Args::try_parse_from(args)
        };
        assert_eq!(parse(&["-o", "-"]).unwrap().place(), Place::Output);
        assert_eq!(
            parse(&["-o", "x"]).unwrap().place(),
            Place::File("x".as_ref())
        );
        let args = parse(&["--to", "/dev/x", "--unpack"]).unwrap();
        assert_eq!(args.place(), Place::Device("/dev/x".as_ref()));
        assert_eq!(args.unpack, Unpack::Auto);
        assert_eq!(
            parse(&["--unpack", "gzip", "-o", "x"]).unwrap().unpack,
            Unpack::Gzip
        );
        for wrong in [&[][..], &["-o", "x", "--to", "y"], &["-o", "x", "--force"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
