// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server tells the people who run it.

mod boot;
mod event;
mod history;
mod ipxe_error;
mod look;
mod metrics;
pub mod model;
mod observer;
pub mod status;
mod summary;
mod tally;

pub use boot::{BootEvent, Card, Step};
pub use event::{Bytes, Event, EventKind};
pub use history::{History, HistoryError};
pub use look::{Look, LookedAt};
pub use metrics::metrics;
pub use observer::{Note, Observer, Published, Seen};
pub use summary::{
    Memdisk, Summary, SummaryBoot, SummaryDhcp, SummaryHttp, SummaryInterface, SummaryRom,
    SummaryStatus, SummaryTransfer,
};
pub use tally::Tally;
