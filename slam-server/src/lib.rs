// SPDX-License-Identifier: MIT OR Apache-2.0
//! The SLAM server without a socket or a clock: datagrams and `now` in, decisions out.
//!
//! ```text
//! datagram ─→ Guard    who is heard
//!               └─→ Server ─→ Share   which transfer's turn it is, where they share one rate
//!                     └─→ Lanes       who is moved to a group of slower clients
//!                     └─→ Session ─→ Room      whether sending has begun
//!                            ├──────→ Clients   who is there, who was asked what and when
//!                            │   └──→ Ahead     how far beyond a client's first gap to send
//!                            ├──────→ Demand    what is to be sent, in which order
//!                            ├──────→ Sent      when each block left, which tells loss from flight
//!                            ├──────→ Window    how far ahead of the only client's answers
//!                            ├──────→ Hush      when to send nothing, so that the deaf can hear
//!                            ├──────→ Quiet     when to send nothing, so that those speak who listen
//!                            ├──────→ View      what people are shown of all that
//!                            └──────→ Pacer     when; at the rate that RateControl finds
//! ```

mod ahead;
mod clients;
mod demand;
mod evidence;
mod guard;
mod hush;
mod lanes;
mod pacer;
mod plateau;
mod policy;
mod questions;
mod quiet;
mod rate;
mod reading;
mod repair;
mod room;
mod sent;
mod server;
mod session;
mod share;
mod turn;
mod view;
mod window;

pub use guard::{Guard, Refusal};
pub use lanes::{Lane, Lanes};
pub use rate::RateLimits;
pub use room::Start;
pub use server::{Server, SessionId};
pub use session::{Output, Rejection, SessionConfig, SessionEvent, SessionTotals};
pub use view::{ClientView, LaneView, PARTS, PartView, Phase, TransferView};
