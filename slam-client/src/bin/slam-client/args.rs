// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use slam_client::SlamUri;

/// Receive one file by SLAM, the multicast protocol of iPXE (x-slam://).
///
/// Joins the group, asks the server for what it misses, and takes every block that passes,
/// whoever asked for it. Works with `slamboot serve` and with mini-slamd.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[expect(clippy::doc_markdown, reason = "clap prints it as it stands")]
#[command(version, max_term_width = 100, after_long_help = AFTER_HELP)]
pub(crate) struct Args {
    /// What to receive: x-slam://SERVER[:PORT]/[GROUP[:PORT]]. The ports are 10000 and the group
    /// is 239.255.1.1 unless given.
    pub(crate) uri: SlamUri,

    /// Where the file goes. It is written to FILE.part, and renamed once it is whole.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Join the group on this interface (name or address) instead of on the one that leads
    /// to the server.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) interface: Option<String>,

    /// Fail after this long without any data.
    #[arg(short, long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// Forget what an earlier, interrupted run has received.
    #[arg(long)]
    pub(crate) fresh: bool,

    /// Refuse files larger than this.
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_bytes: Option<u64>,

    /// Take multicast data from any sender, not only from the server's address. For servers that
    /// send from another address than they answer on.
    #[arg(long)]
    pub(crate) any_source: bool,

    /// No progress; only errors and, at the end, the result.
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// The result as one JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  slam-client x-slam://10.0.0.1 -o disk.img
  slam-client x-slam://10.0.0.1:10001/239.255.1.2:10001 -o initrd.gz --interface eth1

An interrupted transfer leaves FILE.part and FILE.slam-partial (which blocks are in it). The same
command goes on from there if the server still sends the same file, and starts anew if not.

Exit status:
  0    the file is whole and in its place
  1    anything else: cannot write, disk full, no such interface
  2    wrong usage
  3    no server, or the server fell silent
  4    what the server sends was refused: too large, not SLAM, two servers in one group
  130  interrupted; what was received is kept";

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|&seconds| seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a number of seconds above 0, as 30 or 2.5".to_owned())
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
    fn timeouts_are_positive_and_finite() {
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        for wrong in ["0", "-1", "x", "inf", "nan", "1e300", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
