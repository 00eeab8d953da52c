// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server tells the people who run it.

mod boot;
mod event;
mod summary;
mod tally;

pub use boot::{BootEvent, Card};
pub use event::{Bytes, Event, EventKind};
pub use summary::{
    Memdisk, Summary, SummaryBoot, SummaryDhcp, SummaryHttp, SummaryInterface, SummaryRom,
    SummaryTransfer,
};
pub use tally::Tally;
