// SPDX-License-Identifier: MIT OR Apache-2.0
//! Time as protocol code sees it: handed in, never read.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Nanoseconds since the driver (or a simulation) began.
///
/// A plain number, so that simulated time costs nothing and a test can name any moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment the driver began.
    pub const ZERO: Timestamp = Timestamp(0);

    /// The moment `since_start` after the driver began.
    pub fn from_start(since_start: Duration) -> Self {
        Timestamp(u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Time since the driver began.
    pub fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, later: Duration) -> Timestamp {
        Timestamp(
            self.0
                .saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, later: Duration) {
        *self = *self + later;
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, earlier: Duration) -> Timestamp {
        Timestamp(
            self.0
                .saturating_sub(u64::try_from(earlier.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}
