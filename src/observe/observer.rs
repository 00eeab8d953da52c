// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who watches a running server: a thread that puts together what it is told, so that nobody who
//! tells ever waits, and publishes the whole a few times a second.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use site::Mac;
use tokio::sync::watch;

use super::boot::BootEvent;
use super::event::Event;
use super::history::History;
use super::look::Look;
use super::model::{Model, Moment};
use super::status::{Record, Status};
use crate::boot::neighbour;

/// How often at most something new is published.
const PERIOD: Duration = Duration::from_millis(250);
/// How often at least it looks whether it is time to.
const LONGEST: Duration = Duration::from_secs(1);

/// Something that is told.
#[derive(Debug)]
pub enum Note {
    /// A transfer did something.
    Event(Event),
    /// A boot service did something.
    Boot(BootEvent),
    /// The driver shows its transfers.
    Look(Look),
    /// What people call machines, from now on.
    Names(HashMap<Mac, String>),
    /// Something stands in the way.
    Warning(String),
    /// Nothing more is told.
    End,
}

/// What was published last.
#[derive(Debug, Default)]
pub struct Published {
    /// The server.
    pub status: Status,
    /// Texts that are made of it, each once, whoever asks: by a number that the maker chooses.
    pub texts: [OnceLock<Arc<str>>; 2],
}

/// What can be seen of a running server.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The whole, at the latest moment.
    pub latest: watch::Receiver<Arc<Published>>,
    /// Sessions that are over, the newest first.
    pub history: watch::Receiver<Arc<Vec<Arc<Record>>>>,
}

/// The thread.
#[derive(Debug)]
pub struct Observer {
    notes: Sender<Note>,
    seen: Seen,
    thread: Option<JoinHandle<()>>,
}

impl Observer {
    /// Begins to watch a server at these addresses. `history` is the file for sessions that are over,
    /// of which so many are kept; what stands in the way goes to `warned`, too.
    pub fn start(
        addresses: Vec<String>,
        history: Option<PathBuf>,
        keep: usize,
        warned: Box<dyn Fn(&str) + Send>,
    ) -> std::io::Result<Observer> {
        let (notes, told) = channel();
        let (publish, latest) = watch::channel(Arc::new(Published::default()));
        let (publish_history, records) = watch::channel(Arc::new(Vec::new()));
        let mut watching = Watching {
            model: Model::new(addresses, wall_clock()),
            history: None,
            warned,
            keep,
            records: Vec::new(),
            publish,
            publish_history,
        };
        watching.open(history);
        watching.show();
        let thread = std::thread::Builder::new()
            .name("observer".to_owned())
            .spawn(move || watching.run(&told))?;
        Ok(Observer {
            notes,
            seen: Seen {
                latest,
                history: records,
            },
            thread: Some(thread),
        })
    }

    /// Where notes are left.
    pub fn notes(&self) -> Sender<Note> {
        self.notes.clone()
    }

    /// What can be seen.
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// Ends when everything that was told until now is put down.
    pub fn finish(mut self) {
        // It has ended already, if nobody listens.
        let _ = self.notes.send(Note::End);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed by its thread.
            let _ = thread.join();
        }
    }
}

struct Watching {
    model: Model,
    history: Option<History>,
    warned: Box<dyn Fn(&str) + Send>,
    keep: usize,
    records: Vec<Arc<Record>>,
    publish: watch::Sender<Arc<Published>>,
    publish_history: watch::Sender<Arc<Vec<Arc<Record>>>>,
}

impl Watching {
    fn open(&mut self, history: Option<PathBuf>) {
        let Some(path) = history else {
            return;
        };
        match History::open(&path, self.keep) {
            Ok((history, records)) => {
                if let Some(warning) = history.damage() {
                    self.warn(&warning);
                }
                let next = records.first().map_or(1, |newest| newest.id + 1);
                self.model.number_records_from(next);
                self.records = records.into_iter().map(Arc::new).collect();
                self.history = Some(history);
                self.publish_records();
            }
            Err(error) => self.warn(&format!(
                "sessions are remembered only while this server runs: {error}"
            )),
        }
    }

    fn warn(&mut self, warning: &str) {
        (self.warned)(warning);
        self.model.warn(warning.to_owned());
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the edge: how often something is published"
    )]
    fn run(&mut self, told: &Receiver<Note>) {
        let mut last = None;
        let mut waits = true;
        loop {
            let time = match last {
                Some(last) if waits => PERIOD.saturating_sub(Instant::elapsed(&last)),
                _ => LONGEST,
            };
            match told.recv_timeout(time) {
                Ok(Note::End) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(note) => {
                    self.note(note);
                    waits = true;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if waits && last.is_none_or(|last| now - last >= PERIOD) {
                self.show();
                (last, waits) = (Some(now), false);
            }
        }
    }

    fn note(&mut self, note: Note) {
        let now = wall_clock();
        match note {
            Note::Event(event) => {
                if let Some(record) = self.model.event(&event, now) {
                    self.keep(record);
                }
            }
            Note::Boot(event) => self.model.boot(&event, now),
            Note::Look(look) => self.model.look(look, now),
            Note::Names(names) => self.model.set_names(names),
            Note::Warning(what) => self.warn(&what),
            Note::End => {}
        }
    }

    fn keep(&mut self, record: Record) {
        if let Some(history) = &mut self.history
            && let Err(error) = history.add(&record)
        {
            // Serving goes on, and what is under way is still seen.
            self.warn(&format!(
                "sessions are remembered only while this server runs: {error}"
            ));
        }
        self.records.insert(0, Arc::new(record));
        self.records.truncate(self.keep);
        self.publish_records();
    }

    fn publish_records(&self) {
        self.publish_history
            .send_replace(Arc::new(self.records.clone()));
    }

    fn show(&mut self) {
        let now = wall_clock();
        let strangers = self.model.strangers(now);
        if !strangers.is_empty() {
            let cards = neighbour::all();
            for address in strangers {
                if let IpAddr::V4(v4) = address
                    && let Some(mac) = cards.get(&v4)
                {
                    self.model.is_at(*mac, address);
                }
            }
        }
        let status = self.model.status(now);
        self.publish.send_if_modified(|last| {
            let new = last.status != status;
            if new {
                *last = Arc::new(Published {
                    status,
                    texts: Default::default(),
                });
            }
            new
        });
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge: events are told by the day's time"
)]
fn wall_clock() -> Moment {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
