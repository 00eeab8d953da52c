// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where wishes for a running driver are left: it looks there between two batches of blocks.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// Wishes that wait; the driver looks at least ten times a second.
const MOST: usize = 64;

/// What is wished of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Begin to send to those who are there.
    Begin,
    /// Keep rooms from beginning, or no longer.
    Hold(bool),
    /// Give a client up, and tell it so.
    Drop(SocketAddr),
}

/// Why a wish was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ungranted {
    /// Nothing is served under that name.
    #[error("no such transfer is served")]
    NoTransfer,
    /// Nobody waits.
    #[error("no room is waiting there")]
    NotWaiting,
    /// Rooms that have begun are not stopped.
    #[error("its room has begun already")]
    Begun,
    /// It has finished or gone, or never was there.
    #[error("that client takes no part any more")]
    NoClient,
    /// Too many wishes at a time.
    #[error("too many wishes at a time; try again")]
    Busy,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

pub(super) type Left = (String, Wish, oneshot::Sender<Result<(), Ungranted>>);

/// Wishes that were left and not looked at yet.
#[derive(Debug, Default)]
pub struct Desk {
    some: AtomicBool,
    wishes: Mutex<Vec<Left>>,
}

impl Desk {
    /// Leaves a wish for the transfer of this name; what came of it comes by the receiver.
    pub fn leave(
        &self,
        transfer: String,
        wish: Wish,
    ) -> Result<oneshot::Receiver<Result<(), Ungranted>>, Ungranted> {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        if wishes.len() >= MOST {
            return Err(Ungranted::Busy);
        }
        let (answer, answered) = oneshot::channel();
        wishes.push((transfer, wish, answer));
        self.some.store(true, Ordering::Release);
        Ok(answered)
    }

    /// Takes all wishes; costs one look at a flag where there are none.
    pub(super) fn take(&self) -> Vec<Left> {
        if !self.some.load(Ordering::Relaxed) || !self.some.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut self.wishes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
