// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a simulated world is made of.

use std::ops::Range;
use std::time::Duration;

use site::{BitRate, Priority, SlowClients};
use slam_client::Timestamp;
use slam_server::Start;

/// Which client takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// slamboot's receiver.
    Ours,
    /// iPXE's, as documented.
    Stock,
    /// The firmware's, the C that a ROM runs.
    Firmware,
}

/// How datagrams get lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Each by itself, with this probability.
    Independent(f64),
    /// Gilbert–Elliott: in a burst everything is lost. Probability that a datagram begins one,
    /// and that one ends it.
    Bursts { begin: f64, end: f64 },
}

impl Loss {
    pub const NONE: Loss = Loss::Independent(0.0);

    /// Share of datagrams lost in the long run.
    pub fn share(&self) -> f64 {
        match *self {
            Loss::Independent(share) => share,
            Loss::Bursts { begin, .. } if begin <= 0.0 => 0.0,
            Loss::Bursts { begin, end } => begin / (begin + end),
        }
    }
}

/// One client and its way to the server.
#[derive(Clone, Debug)]
pub struct Guest {
    pub kind: Kind,
    /// Whether it takes parity, if it can.
    pub parity: bool,
    pub begins: Duration,
    /// When it is switched off, if ever.
    pub dies: Option<Duration>,
    /// How much faster its clock runs than the server's, in millionths.
    pub drift: i64,
    /// What gets lost on the way to it, and of what it says.
    pub loss: Loss,
    pub loss_back: f64,
    /// Further delay, of up to so much, of each datagram; order is kept.
    pub jitter: Duration,
    /// Share of datagrams that come twice, and of those that are overtaken by later ones.
    pub duplicates: f64,
    pub overtaken: f64,
    /// When nothing passes in either direction.
    pub cut: Range<Duration>,
    /// The place of the server that it asks, and whether it ignores what others send to the group.
    pub asks: usize,
    /// Which of that server's sessions it asks.
    pub session: usize,
    pub believes_its_own: bool,
    /// Packets that wait in its receive ring, and how long each takes to be taken out.
    pub ring: usize,
    pub service: Duration,
    /// It takes nothing out of its ring for so long, each time so long has passed: a machine whose
    /// processor is needed elsewhere.
    pub pauses: Option<(Duration, Duration)>,
}

impl Guest {
    pub fn new(kind: Kind) -> Self {
        Guest {
            kind,
            parity: true,
            begins: Duration::ZERO,
            dies: None,
            drift: 0,
            loss: Loss::NONE,
            loss_back: 0.0,
            jitter: Duration::ZERO,
            duplicates: 0.0,
            overtaken: 0.0,
            cut: Duration::ZERO..Duration::ZERO,
            asks: 0,
            session: 0,
            believes_its_own: false,
            ring: 256,
            service: Duration::from_micros(2),
            pauses: None,
        }
    }

    /// When what reaches the ring at `at` can be taken out at the earliest.
    pub fn awake(&self, at: Timestamp) -> Timestamp {
        awake(self.pauses, at)
    }

    pub fn is_cut_off(&self, at: Timestamp) -> bool {
        self.cut.contains(&at.since_start())
    }

    /// Its clock, when the server's says `now`.
    pub fn local(&self, now: Timestamp) -> Timestamp {
        let nanos = i128::try_from(now.since_start().as_nanos()).expect("simulated time is short");
        let local = nanos + nanos * i128::from(self.drift) / 1_000_000;
        Timestamp::from_start(Duration::from_nanos(local as u64))
    }

    /// The first moment at which its clock says `local`.
    pub fn global(&self, local: Timestamp) -> Timestamp {
        if self.drift == 0 {
            return local;
        }
        let nanos = i128::try_from(local.since_start().as_nanos()).expect("as above");
        let global = nanos * 1_000_000 / (1_000_000 + i128::from(self.drift)) + 2;
        Timestamp::from_start(Duration::from_nanos(global as u64))
    }
}

/// When whoever stops for so long, each time so long has passed, goes on that would at `at`.
fn awake(pauses: Option<(Duration, Duration)>, at: Timestamp) -> Timestamp {
    let Some((length, period)) = pauses else {
        return at;
    };
    let into = at.since_start().as_nanos() % period.as_nanos();
    at + length.saturating_sub(Duration::from_nanos(into as u64))
}

/// A server process: which content it serves, and while it runs.
#[derive(Clone, Debug)]
pub struct Life {
    pub content: Content,
    pub runs: Range<Duration>,
    /// Processes of one place share its address, one after the other; what begins while one runs
    /// there is a further session of it.
    pub place: usize,
}

/// What a server serves: another number is another transaction and other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    pub number: u64,
    pub bytes: u64,
}

/// Who a datagram comes from that nobody in the room sends.
#[derive(Clone, Debug)]
pub enum Forged {
    /// To the server, from an address outside, with this port.
    FromOutside(u16),
    /// To the server, as if from this guest.
    FromGuest(usize),
    /// To the group.
    ToGroup,
    /// To this guest, as if from the server.
    ToGuest(usize),
    /// To the group: this block of another content, whole and well-formed; no bytes are given.
    Block(Content, u64),
}

/// A scenario.
#[derive(Clone, Debug)]
pub struct World {
    pub seed: u64,
    /// The server's link, and how many datagrams wait for it before sending blocks.
    pub link: BitRate,
    pub send_buffer: u32,
    /// A slower link behind it on everybody's way, and the queue that drops what does not fit.
    pub bottleneck: Option<(BitRate, u32)>,
    pub max_rate: BitRate,
    /// What a server's sessions share, and their priorities, if not the default.
    pub total_rate: Option<BitRate>,
    pub priorities: Vec<Priority>,
    /// When the server begins to send, and what it does with slow clients.
    pub start: Start,
    pub slow_clients: SlowClients,
    /// How many of the server's groups the switch forwards at all.
    pub forwarded: usize,
    pub latency: Duration,
    pub lives: Vec<Life>,
    pub guests: Vec<Guest>,
    pub attacks: Vec<(Duration, Forged, Vec<u8>)>,
    /// By how much the servers wake up late at the most; and how long their host stops them, each time so long
    /// has passed.
    pub late: Duration,
    pub stops: Option<(Duration, Duration)>,
}

impl World {
    pub fn gigabit(seed: u64, bytes: u64, guests: Vec<Guest>) -> Self {
        let content = Content { number: 1, bytes };
        World {
            seed,
            link: BitRate::from_bits_per_second(1_000_000_000),
            send_buffer: 100,
            bottleneck: None,
            max_rate: BitRate::from_bits_per_second(1_000_000_000),
            total_rate: None,
            priorities: Vec::new(),
            start: Start::AT_ONCE,
            slow_clients: SlowClients::Serve,
            forwarded: usize::MAX,
            latency: Duration::from_micros(50),
            lives: vec![Life {
                content,
                runs: Duration::ZERO..Duration::MAX,
                place: 0,
            }],
            guests,
            attacks: Vec::new(),
            late: Duration::ZERO,
            stops: None,
        }
    }

    /// When a server that should do something at `at` does.
    pub fn server_awake(&self, at: Timestamp) -> Timestamp {
        awake(self.stops, at)
    }

    pub fn content(&self) -> Content {
        self.lives[0].content
    }

    /// The time that the file alone occupies the link.
    pub fn bound(&self) -> Duration {
        self.link.time_for(self.content().bytes)
    }
}
