// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slam-client`: receives one file by SLAM.

mod args;
mod partial;
mod report;

use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use sha2::{Digest, Sha256};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use slam_client::wire::TransferHeader;
use slam_client::{
    Clock, Config, Ended, Failure, Receiver, Sink, SocketOptions, Sockets, Timestamp, drive,
};

use args::Args;
use partial::{Partial, Remains, bytes_in};
use report::{Look, Outcome, Progress, size};

const LOOK_EVERY: Duration = Duration::from_millis(100);

const EXIT_OTHER: u8 = 1;
const EXIT_TIMEOUT: u8 = 3;
const EXIT_REFUSED: u8 = 4;
const EXIT_INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let args = Args::parse();
    run(&args).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(EXIT_OTHER)
    })
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let stop = stop_on_signals().context("cannot handle signals")?;
    let (partial, remains) = Partial::open(&args.output, args.fresh)?;
    let options = SocketOptions {
        interface: args.interface.clone(),
        any_source: args.any_source,
        ..SocketOptions::default()
    };
    let sockets = match Sockets::open(&args.uri, &options) {
        Ok(sockets) => sockets,
        Err(error) => {
            partial.keep()?;
            return Err(error.into());
        }
    };
    let progress = Progress::new(args.quiet || args.json);
    greet(&progress, args, &sockets, &options);
    let config = Config {
        give_up: args.timeout,
        max_bytes: args.max_bytes.unwrap_or(u64::MAX),
        ..Config::default()
    };
    let clock = Clock::start();
    let seed = fastrand::u64(..);
    let (mut receiver, resumable) = match remains {
        Remains::Blocks(header, held) => {
            let bytes = bytes_in(&header, &held);
            progress.say(&format!(
                "found {} of {} from an earlier run",
                size(bytes),
                size(header.total_bytes())
            ));
            let receiver = Receiver::resume(clock.now(), config, seed, header, held);
            (receiver, bytes)
        }
        Remains::Nothing => (Receiver::new(clock.now(), config, seed), 0),
        Remains::Unusable(why) => {
            progress.say(&format!("starting anew: {why}"));
            (Receiver::new(clock.now(), config, seed), 0)
        }
    };
    let mut session = Session {
        partial,
        progress,
        stop,
        began: None,
        next_look: Timestamp::ZERO,
        ended: Timestamp::ZERO,
        resumed: resumable,
    };
    let ended = drive(&sockets, clock, &mut receiver, &mut session);
    session.progress.end();
    match ended {
        Ok(Ended::Complete) => {
            let outcome = session.finish(args, &receiver)?;
            if args.json {
                println!("{}", serde_json::to_string(&outcome)?);
            } else {
                println!("{}", outcome.text());
            }
            Ok(ExitCode::SUCCESS)
        }
        Ok(Ended::Stopped) => {
            eprintln!("interrupted");
            session.keep(args)?;
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
        Ok(Ended::Failed { failure, refusals }) => {
            eprintln!("error: {}: {failure}", args.uri);
            if refusals > 0 {
                let server = sockets.server();
                eprintln!(
                    "{} answered {refusals} time(s) that nothing listens on UDP port {}",
                    server.ip(),
                    server.port()
                );
            }
            session.keep(args)?;
            Ok(ExitCode::from(match failure {
                Failure::NoServer { .. } | Failure::NoData { .. } | Failure::Silent { .. } => {
                    EXIT_TIMEOUT
                }
                Failure::Refused { .. } | Failure::Unstable { .. } | Failure::Dismissed { .. } => {
                    EXIT_REFUSED
                }
            }))
        }
        Err(error) => {
            eprintln!("error: {error}");
            session.keep(args)?;
            Ok(ExitCode::from(EXIT_OTHER))
        }
    }
}

/// What stands between the network and the file.
struct Session {
    partial: Partial,
    progress: Progress,
    stop: Arc<AtomicBool>,
    /// When the server was first heard.
    began: Option<Timestamp>,
    next_look: Timestamp,
    ended: Timestamp,
    /// Bytes from an earlier run.
    resumed: u64,
}

impl Sink for Session {
    fn begin(&mut self, now: Timestamp, header: &TransferHeader, anew: bool) -> io::Result<()> {
        self.began.get_or_insert(now);
        let (total, count) = (size(header.total_bytes()), header.block_count());
        let what = format!(
            "{total} in {count} blocks, transaction {}",
            header.transaction()
        );
        if anew {
            self.resumed = 0;
            self.progress.say(&format!(
                "the server sends another file: starting anew with {what}"
            ));
        } else {
            self.progress.say(&format!("receiving {what}"));
        }
        self.partial.begin(header, anew)
    }

    fn write(&mut self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.partial.write(offset, parts)
    }

    fn read(&mut self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        self.partial.read(offset, data)
    }

    fn observe(&mut self, now: Timestamp, receiver: &Receiver) -> ControlFlow<()> {
        self.ended = now;
        if now >= self.next_look {
            self.next_look = now + LOOK_EVERY;
            let look = self.look(now, receiver);
            self.progress.show(now, look);
            self.partial.checkpoint(now);
        }
        if self.stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Session {
    /// How far it is; `None` until the server has been heard, since until then it may send
    /// something else than what an earlier run left.
    fn look(&self, now: Timestamp, receiver: &Receiver) -> Option<Look> {
        let began = self.began?;
        let (header, held) = self.partial.progress()?;
        Some(Look {
            done: bytes_in(header, held),
            total: header.total_bytes(),
            gaps: held.gaps(header.block_count()).count(),
            received: receiver.stats().bytes,
            elapsed: now.since(began),
        })
    }

    fn finish(self, args: &Args, receiver: &Receiver) -> anyhow::Result<Outcome> {
        let (header, _) = self
            .partial
            .progress()
            .context("complete without a transfer")?;
        let header = *header;
        let sha256 = self
            .partial
            .finish(|file| digest(file, header.total_bytes()))?;
        let stats = receiver.stats();
        let began = self.began.unwrap_or(self.ended);
        let seconds = self.ended.since(began).as_secs_f64();
        let fetched = header.total_bytes() - self.resumed;
        Ok(Outcome {
            path: args.output.display().to_string(),
            bytes: header.total_bytes(),
            sha256,
            transaction: header.transaction().0.get(),
            block_size: header.block_size().get(),
            resumed_bytes: self.resumed,
            waited_seconds: began.since_start().as_secs_f64(),
            seconds,
            mib_per_s: if seconds > 0.0 {
                fetched as f64 / 1_048_576.0 / seconds
            } else {
                0.0
            },
            duplicates: stats.duplicates,
            nacks: stats.nacks,
            solicits: stats.solicits,
            restarts: stats.restarts,
            ignored: stats.rejected,
        })
    }

    fn keep(self, args: &Args) -> anyhow::Result<()> {
        match self.partial.keep()? {
            0 => eprintln!("nothing was received, nothing is kept"),
            bytes => eprintln!(
                "kept {} beside {}; the same command goes on from there",
                size(bytes),
                args.output.display()
            ),
        }
        Ok(())
    }
}

fn greet(progress: &Progress, args: &Args, sockets: &Sockets, options: &SocketOptions) {
    progress.say(&format!(
        "listening to {} on {}, asking {}",
        args.uri.group,
        sockets.interface(),
        sockets.server()
    ));
    // The kernel doubles what is asked for (socket(7), SO_RCVBUF).
    let granted = sockets.receive_buffer() / 2;
    if granted < options.receive_buffer {
        progress.say(&format!(
            "the kernel grants a receive buffer of {} only, expect losses at high rates \
             (as root: sysctl -w net.core.rmem_max={})",
            size(granted as u64),
            options.receive_buffer
        ));
    }
}

fn digest(file: &File, len: u64) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < len {
        let want = buffer
            .len()
            .min((len - at).try_into().unwrap_or(usize::MAX));
        let read = file.read_at(&mut buffer[..want], at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hash.update(&buffer[..read]);
        at += read as u64;
    }
    Ok(hex::encode(hash.finalize()))
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
