// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slam-client`: receives one image by SLAM.

mod args;
mod fallback;
mod generate;
mod reorder;
mod report;
mod session;
mod sidecar;
mod target;
mod unpack;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail};
use clap::Parser;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use slam_client::{
    Clock, Config, DriveError, Ended, Failure, Receiver, SocketOptions, Sockets, drive,
};

use args::{Args, Place};
use fallback::{FallbackError, Fetched};
use reorder::Spill;
use report::{Event, Progress, Stream, size};
use session::Session;
use sidecar::{Remains, bytes_in};
use target::device::{DeviceTarget, Opened};
use target::file::FileTarget;
use target::stream::{Drain, Order, StreamTarget};
use target::{Target, TargetError};
use unpack::Unpack;

const EXIT_OTHER: u8 = 1;
const EXIT_TIMEOUT: u8 = 3;
const EXIT_REFUSED: u8 = 4;
const EXIT_WRONG: u8 = 5;
const EXIT_INTERRUPTED: u8 = 130;

/// More than any block: how much less than the window a block may be ahead.
const LARGEST_BLOCK: u64 = 1 << 16;

fn main() -> ExitCode {
    if let Some(directory) = generate::asked() {
        return generate::run(&directory);
    }
    let args = Args::parse();
    let results = match args.place() {
        Place::Output => Stream::Error,
        Place::File(_) | Place::Device(_) => Stream::Output,
    };
    run(&args, results).unwrap_or_else(|error| {
        let ended = Unfinished {
            message: format!("{error:#}"),
            exit: match error.downcast_ref::<TargetError>() {
                Some(TargetError::Digest { .. } | TargetError::ReadBack { .. }) => EXIT_WRONG,
                Some(TargetError::Stream(error)) => exit_of_sink(error),
                _ => EXIT_OTHER,
            },
            network: false,
        };
        ended.tell(&args, results, 0)
    })
}

/// Why there is no image.
struct Unfinished {
    message: String,
    exit: u8,
    /// Whether HTTP may help: it was the network.
    network: bool,
}

/// Most parity blocks to keep: 6 MiB.
const MAX_PARITY: usize = 4096;

fn run(args: &Args, results: Stream) -> anyhow::Result<ExitCode> {
    let stop = stop_on_signals().context("cannot handle signals")?;
    let progress = if args.json {
        Progress::events(results)
    } else {
        Progress::new(args.quiet)
    };
    let (target, remains) = open_target(args, &progress)?;
    let clock = Clock::start();
    let config = Config {
        give_up: args.timeout,
        max_bytes: args.max_bytes.unwrap_or(u64::MAX),
        reach: match (args.place(), args.unpack, args.spill()) {
            (Place::Output, _, Spill::None)
            | (_, Unpack::Auto | Unpack::Zstd | Unpack::Gzip, Spill::None) => {
                args.window as u64 - LARGEST_BLOCK
            }
            _ => u64::MAX,
        },
        // What is stored as it comes can be read back.
        max_parity: match (args.place(), args.unpack) {
            (Place::File(_) | Place::Device(_), Unpack::None) => MAX_PARITY,
            _ => 0,
        },
        ..Config::default()
    };
    let seed = fastrand::u64(..);
    let (mut receiver, resumable) = match remains {
        Remains::Blocks(header, held) => {
            let (bytes, total) = (bytes_in(&header, &held), header.total_bytes());
            progress.say(
                &format!(
                    "found {} of {} from an earlier run",
                    size(bytes),
                    size(total)
                ),
                &Event::Found { bytes, total },
            );
            let receiver = Receiver::resume(clock.now(), config, seed, header, held);
            (receiver, bytes)
        }
        Remains::Nothing => (Receiver::new(clock.now(), config, seed), 0),
        Remains::Unusable(why) => {
            let message = format!("starting anew: {why}");
            progress.say(&message, &Event::Warning { message: &message });
            (Receiver::new(clock.now(), config, seed), 0)
        }
    };
    let watch_packed = matches!(args.place(), Place::Device(_)) && args.unpack == Unpack::None;
    let mut session = Session::new(target, progress, stop, resumable, watch_packed);
    let mut ended = multicast(args, clock, &mut receiver, &mut session);
    if let (Err(failure), Some(url)) = (&ended, &args.http_fallback)
        && failure.network
    {
        ended = by_http(args, url, &failure.message, clock, &mut session);
    }
    session.progress.end();
    match ended {
        Ok(()) => {
            let path = match args.place() {
                Place::File(path) | Place::Device(path) => path.display().to_string(),
                Place::Output => "standard output".to_owned(),
            };
            let outcome = session.finish(path, receiver.stats())?;
            results.line(&if args.json {
                report::json(&Event::Complete(&outcome))
            } else {
                outcome.text()
            });
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            let kept = session.keep()?;
            Ok(failure.tell(args, results, kept))
        }
    }
}

impl Unfinished {
    fn tell(self, args: &Args, results: Stream, kept: u64) -> ExitCode {
        if args.json {
            results.line(&report::json(&Event::Failed {
                message: self.message,
                exit_code: self.exit,
                kept,
            }));
            return ExitCode::from(self.exit);
        }
        let error = if self.exit == EXIT_INTERRUPTED {
            self.message
        } else {
            format!("error: {}", self.message)
        };
        Stream::Error.line(&error);
        match (kept, args.place()) {
            (0, Place::File(_)) => Stream::Error.line("nothing is kept"),
            (0, Place::Device(_) | Place::Output) => {}
            (bytes, _) => Stream::Error.line(&format!(
                "kept {}; the same command goes on from there",
                size(bytes)
            )),
        }
        ExitCode::from(self.exit)
    }
}

fn open_target(args: &Args, progress: &Progress) -> anyhow::Result<(Box<dyn Target>, Remains)> {
    let state = args.state.as_deref();
    let order = Order {
        window: args.window,
        spill: args.spill(),
        unpack: args.unpack,
    };
    let stream = |drain| -> (Box<dyn Target>, Remains) {
        let target = StreamTarget::new(drain, order, args.demand());
        (Box::new(target), Remains::Nothing)
    };
    Ok(match (args.place(), args.unpack) {
        (Place::Output, _) => {
            if io::stdout().is_terminal() {
                bail!("standard output is a terminal: send it to a file or another program");
            }
            stream(Drain::output()?)
        }
        (Place::File(path), Unpack::None) => {
            let (target, remains) =
                FileTarget::open(path, state, args.fresh, args.sparse, args.demand())?;
            (Box::new(target), remains)
        }
        (Place::File(path), _) => stream(Drain::file(path, args.sparse)?),
        (Place::Device(path), Unpack::None) => {
            let (target, remains, opened) =
                DeviceTarget::open(path, state, args.fresh, args.force, args.demand())?;
            tell_device(args, progress, &opened);
            (Box::new(target), remains)
        }
        (Place::Device(path), _) => {
            let (drain, opened) = Drain::device(path, args.force)?;
            tell_device(args, progress, &opened);
            stream(drain)
        }
    })
}

fn tell_device(args: &Args, progress: &Progress, opened: &Opened) {
    let path = args.to.as_deref().unwrap_or(Path::new("?"));
    let path = path.display().to_string();
    for used in &opened.uses {
        progress.warn(&format!("{path} is in use: {used}; going on by --force"));
    }
    if !opened.uncached {
        progress.warn(&format!("{path} cannot be written past the page cache"));
    }
    if let Some(why) = &opened.stateless {
        progress.warn(&format!("cannot resume after an interruption: {why}"));
    }
    progress.say(
        &format!("writing to {path}, {}", size(opened.size)),
        &Event::Device {
            path: &path,
            size: opened.size,
        },
    );
}

/// Receives by multicast, until everything has come or nothing comes any more.
fn multicast(
    args: &Args,
    clock: Clock,
    receiver: &mut Receiver,
    session: &mut Session,
) -> Result<(), Unfinished> {
    let options = SocketOptions {
        interfaces: args.interfaces.clone(),
        any_source: args.any_source,
        ..SocketOptions::default()
    };
    let mut sockets = Sockets::open(&args.uri, &options).map_err(|error| Unfinished {
        message: error.to_string(),
        exit: EXIT_OTHER,
        network: true,
    })?;
    greet(&session.progress, args, &sockets, &options);
    let (failure, refusals) = match drive(&mut sockets, clock, receiver, session) {
        Ok(Ended::Complete) => return Ok(()),
        Ok(Ended::Stopped) => return Err(interrupted()),
        Ok(Ended::Failed { failure, refusals }) => (failure, refusals),
        Err(error) => {
            let (exit, network) = match &error {
                DriveError::Sink(error) => (exit_of_sink(error), false),
                DriveError::Network(_) => (EXIT_OTHER, true),
            };
            let message = error.to_string();
            return Err(Unfinished {
                message,
                exit,
                network,
            });
        }
    };
    let mut message = format!("{}: {failure}", args.uri);
    if refusals > 0 {
        let server = sockets.server();
        message = format!(
            "{message}; {} answered {refusals} time(s) that nothing listens on UDP port {}",
            server.ip(),
            server.port()
        );
    }
    let exit = match failure {
        Failure::NoServer { .. } | Failure::NoData { .. } | Failure::Silent { .. } => EXIT_TIMEOUT,
        Failure::Refused { .. } | Failure::Unstable { .. } | Failure::Dismissed { .. } => {
            EXIT_REFUSED
        }
    };
    let network = true;
    Err(Unfinished {
        message,
        exit,
        network,
    })
}

/// Fetches the rest by HTTP, multicast having failed for `reason`.
fn by_http(
    args: &Args,
    url: &str,
    reason: &str,
    clock: Clock,
    session: &mut Session,
) -> Result<(), Unfinished> {
    session.progress.say(
        &format!("{reason}\nfetching what is missing from {url}"),
        &Event::Fallback { url, reason },
    );
    let max_bytes = args.max_bytes.unwrap_or(u64::MAX);
    let failure = match fallback::fetch(url, session, clock, args.timeout, max_bytes) {
        Ok(Fetched::Complete) => return Ok(()),
        Ok(Fetched::Stopped) => return Err(interrupted()),
        Err(failure) => failure,
    };
    let exit = match &failure {
        FallbackError::Sink(error) => exit_of_sink(error),
        FallbackError::TooLarge { .. } => EXIT_REFUSED,
        _ => EXIT_TIMEOUT,
    };
    let message = failure.to_string();
    let network = false;
    Err(Unfinished {
        message,
        exit,
        network,
    })
}

fn interrupted() -> Unfinished {
    Unfinished {
        message: "interrupted".to_owned(),
        exit: EXIT_INTERRUPTED,
        network: false,
    }
}

/// An image too large for a disk is refused; anything else is the disk's fault.
fn exit_of_sink(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::FileTooLarge => EXIT_REFUSED,
        _ => EXIT_OTHER,
    }
}

fn greet(progress: &Progress, args: &Args, sockets: &Sockets, options: &SocketOptions) {
    let interfaces: Vec<_> = sockets
        .interfaces()
        .map(|interface| interface.to_string())
        .collect();
    progress.say(
        &format!(
            "listening to {} on {}, asking {}",
            args.uri.group,
            interfaces.join(" and "),
            sockets.server()
        ),
        &Event::Listening {
            server: sockets.server().to_string(),
            group: args.uri.group.to_string(),
            interfaces,
        },
    );
    // The kernel doubles what is asked for (socket(7), SO_RCVBUF).
    let granted = sockets.receive_buffer() / 2;
    if granted < options.receive_buffer {
        let message = format!(
            "the kernel grants a receive buffer of {} only, expect losses at high rates \
             (as root: sysctl -w net.core.rmem_max={})",
            size(granted as u64),
            options.receive_buffer
        );
        progress.say(&message, &Event::Warning { message: &message });
    }
}

/// A flag that the first signal sets; the second ends the process at once.
fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // In this order: the first signal finds the flag unset, the second set.
        signal_hook::flag::register_conditional_shutdown(
            signal,
            i32::from(EXIT_INTERRUPTED),
            Arc::clone(&stop),
        )?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
