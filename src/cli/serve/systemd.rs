// SPDX-License-Identifier: MIT OR Apache-2.0
//! What systemd is told, where it is the one that started this (`sd_notify(3)`); nobody is else.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// A start that says nothing for so long hangs: a disk, a network file system.
const PATIENCE: Duration = Duration::from_mins(2);
/// Told at most so often.
const PERIOD: Duration = Duration::from_secs(5);

/// A start that may take longer than systemd waits: digesting reads every image once in full.
#[derive(Default)]
pub(super) struct Starting {
    told: Option<Instant>,
}

impl Starting {
    /// It goes on. Without this, systemd ends a start that takes longer than `TimeoutStartSec=`, 90 s, and
    /// begins it again, for ever.
    #[expect(
        clippy::disallowed_methods,
        reason = "the edge: how often this is told"
    )]
    pub(super) fn goes_on(&mut self, name: &str, done: u64, total: u64) {
        if self.told.is_some_and(|told| told.elapsed() < PERIOD) {
            return;
        }
        self.told = Some(Instant::now());
        let percent = u128::from(done) * 100 / u128::from(total.max(1));
        let status = format!("digesting {name}, {percent} %");
        let patience = u32::try_from(PATIENCE.as_micros()).unwrap_or(u32::MAX);
        tell(&[
            NotifyState::ExtendTimeoutUsec(patience),
            NotifyState::Status(&status),
        ]);
    }
}

/// Everything answers: units that come after may start.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The configuration is being read again; [`ready`] says that it was.
pub(super) fn reloading() {
    let now = NotifyState::monotonic_usec_now();
    // Without the time systemd refuses the whole, since its version 253.
    if let Ok(now) = now {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// The end has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Nobody to tell, or nobody who listens, is no reason not to serve.
fn tell(what: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(what);
}
