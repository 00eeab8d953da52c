// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server tells the people who run it.

mod event;
mod summary;
mod tally;

pub use event::{Bytes, Event, EventKind};
pub use summary::{Memdisk, Summary, SummaryHttp, SummaryInterface, SummaryTransfer};
pub use tally::Tally;
