// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files behind the paths that are served: digested once, watched, and digested again when a
//! path leads to another file. A thread of its own digests, since a driver that stops for a second
//! would stop a room.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use slam_client::Timestamp;

use super::content::{Content, ContentError, Identity};

/// How often paths are looked at. What is found must be the same twice, or somebody still writes.
const LOOK: Duration = Duration::from_secs(1);
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(2);

/// What became of a file.
#[derive(Debug)]
pub(crate) enum News {
    /// The path leads to another file, which will be digested.
    Replaced,
    /// The path leads nowhere.
    Removed,
    /// It is being digested: so many bytes of so many.
    Digesting(u64, u64),
    /// It was digested: [`Library::newest`] has it.
    Ready,
    /// It cannot be served.
    Refused(ContentError),
}

/// Files by path.
#[derive(Debug, Default)]
pub(crate) struct Library {
    books: BTreeMap<PathBuf, Book>,
    stock_clients: bool,
    worker: Option<Worker>,
    next_look: Timestamp,
    next_progress: Timestamp,
}

#[derive(Debug, Default)]
struct Book {
    newest: Option<Arc<Content>>,
    /// What the path led to at the last look.
    seen: Option<Identity>,
    known: Known,
    state: State,
}

/// What the path led to when that was last told, or refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    /// Nothing was told.
    #[default]
    Nothing,
    /// That it led to nothing.
    Absent,
    /// This file.
    File(Identity),
}

impl Known {
    fn of(identity: Option<Identity>) -> Self {
        identity.map_or(Known::Absent, Known::File)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Settled,
    /// To be digested as soon as it is the same twice.
    Settling,
    Digesting,
}

/// A thread that digests one file after the other.
#[derive(Debug)]
struct Worker {
    jobs: Sender<(PathBuf, bool)>,
    reports: Receiver<(PathBuf, Report)>,
}

#[derive(Debug)]
enum Report {
    Progress(u64, u64),
    Done(Box<Result<Content, ContentError>>),
}

impl Worker {
    fn start() -> std::io::Result<Worker> {
        let (jobs, inbox) = channel::<(PathBuf, bool)>();
        let (outbox, reports) = channel();
        std::thread::Builder::new()
            .name("digest".to_owned())
            .spawn(move || {
                while let Ok((path, stock_clients)) = inbox.recv() {
                    let content = Content::open(&path, stock_clients, &mut |done, total| {
                        let _ = outbox.send((path.clone(), Report::Progress(done, total)));
                    });
                    let report = Report::Done(Box::new(content));
                    if outbox.send((path, report)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Worker { jobs, reports })
    }
}

impl Library {
    pub(crate) fn new(stock_clients: bool) -> Self {
        Library {
            stock_clients,
            ..Library::default()
        }
    }

    /// The content of `path`, digested now unless it was.
    pub(crate) fn open(
        &mut self,
        path: &Path,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Arc<Content>, ContentError> {
        if let Some(content) = self.newest(path) {
            return Ok(content);
        }
        let content = Arc::new(Content::open(path, self.stock_clients, progress)?);
        let book = Book {
            seen: Some(content.identity_at_path()),
            newest: Some(Arc::clone(&content)),
            ..Book::default()
        };
        self.books.insert(path.to_owned(), book);
        Ok(content)
    }

    /// The newest content of `path` that was digested.
    pub(crate) fn newest(&self, path: &Path) -> Option<Arc<Content>> {
        self.books.get(path)?.newest.clone()
    }

    /// From now on these paths, and no others. What is new is digested, and what was refused is
    /// tried again.
    pub(crate) fn keep(&mut self, paths: &BTreeSet<&Path>, stock_clients: bool) {
        self.stock_clients = stock_clients;
        self.books.retain(|path, _| paths.contains(path.as_path()));
        for book in self.books.values_mut() {
            if book.newest.is_none() && book.state == State::Settled {
                book.known = Known::Nothing;
            }
        }
        for &path in paths {
            if !self.books.contains_key(path) {
                self.books.insert(path.to_owned(), Book::default());
                self.next_look = Timestamp::ZERO;
            }
        }
    }

    /// The content of `path` is not what was digested: it will be digested again.
    pub(crate) fn forget(&mut self, path: &Path) {
        if let Some(book) = self.books.get_mut(path) {
            book.newest = None;
            // It has been told; what comes next is news of what is there then.
            book.known = Known::of(Identity::at(path));
            book.state = State::Settling;
        }
    }

    /// Looks at the paths if it is time, and hears what was digested.
    pub(crate) fn look(&mut self, now: Timestamp) -> Vec<(PathBuf, News)> {
        let mut news = Vec::new();
        if now >= self.next_look {
            self.next_look = now + LOOK;
            self.look_at_paths(&mut news);
        }
        self.hear(now, &mut news);
        news
    }

    fn look_at_paths(&mut self, news: &mut Vec<(PathBuf, News)>) {
        for (path, book) in &mut self.books {
            let here = Identity::at(path);
            let before = std::mem::replace(&mut book.seen, here);
            if book.state == State::Digesting {
                continue;
            }
            let served = book
                .newest
                .as_ref()
                .map(|content| content.identity_at_path());
            if served.is_some() && here == served {
                book.state = State::Settled;
                book.known = Known::Nothing;
                continue;
            }
            if book.known != Known::of(here) {
                book.known = Known::of(here);
                book.state = State::Settling;
                match (here, &book.newest) {
                    (None, _) => news.push((path.clone(), News::Removed)),
                    (Some(_), Some(_)) => news.push((path.clone(), News::Replaced)),
                    (Some(_), None) => {}
                }
            }
            // A file that nobody knows yet need not prove that nobody writes to it: the digest
            // finds that out.
            let settled = here.is_some() && (here == before || before.is_none());
            if book.state != State::Settling || !settled {
                continue;
            }
            let worker = match &self.worker {
                Some(worker) => worker,
                None => match Worker::start() {
                    Ok(worker) => self.worker.insert(worker),
                    // The next look tries again.
                    Err(_) => continue,
                },
            };
            if worker.jobs.send((path.clone(), self.stock_clients)).is_ok() {
                book.state = State::Digesting;
            }
        }
    }

    fn hear(&mut self, now: Timestamp, news: &mut Vec<(PathBuf, News)>) {
        let Some(worker) = &self.worker else { return };
        let mut progress = None;
        while let Ok((path, report)) = worker.reports.try_recv() {
            let Some(book) = self.books.get_mut(&path) else {
                continue;
            };
            match report {
                Report::Progress(done, total) => {
                    progress = Some((path, News::Digesting(done, total)));
                    continue;
                }
                Report::Done(result) => match *result {
                    Ok(content) => {
                        book.newest = Some(Arc::new(content));
                        book.state = State::Settled;
                        news.push((path, News::Ready));
                    }
                    // Somebody writes to it: when it is the same twice, again.
                    Err(ContentError::Changed { .. }) => book.state = State::Settling,
                    Err(error) => {
                        book.state = State::Settled;
                        book.known = Known::of(Identity::at(&path));
                        news.push((path, News::Refused(error)));
                    }
                },
            }
            progress = None;
        }
        if let Some(progress) = progress
            && now >= self.next_progress
        {
            self.next_progress = now + PROGRESS;
            news.push(progress);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks until there is news, in virtual time; the worker's is real, so it is waited for.
    fn next(library: &mut Library, now: &mut Timestamp) -> News {
        for _ in 0..20_000 {
            *now += LOOK / 4;
            if let Some((_, news)) = library.look(*now).into_iter().next()
                && !matches!(news, News::Digesting(..))
            {
                return news;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("no news");
    }

    #[test]
    fn a_file_that_takes_the_place_of_another_is_digested() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, b"old").unwrap();
        let mut library = Library::new(true);
        let old = library.open(&path, &mut |_, _| ()).unwrap();
        let mut now = Timestamp::from_start(Duration::from_secs(1));
        assert!(library.look(now).is_empty());

        std::fs::write(dir.path().join("new"), b"newer").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert!(matches!(next(&mut library, &mut now), News::Replaced));
        assert!(matches!(next(&mut library, &mut now), News::Ready));
        assert_eq!(library.newest(&path).unwrap().bytes(), 5);
        assert_eq!(old.bytes(), 3);

        std::fs::remove_file(&path).unwrap();
        assert!(matches!(next(&mut library, &mut now), News::Removed));
        assert_eq!(library.newest(&path).unwrap().bytes(), 5);
        std::fs::write(&path, b"").unwrap();
        assert!(matches!(next(&mut library, &mut now), News::Replaced));
        let refused = next(&mut library, &mut now);
        assert!(
            matches!(refused, News::Refused(ContentError::Empty { .. })),
            "{refused:?}"
        );
        std::fs::write(&path, b"again").unwrap();
        assert!(matches!(next(&mut library, &mut now), News::Replaced));
        assert!(matches!(next(&mut library, &mut now), News::Ready));
    }

    #[test]
    fn paths_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let mut library = Library::new(true);
        library.keep(&BTreeSet::from([path.as_path()]), true);
        let mut now = Timestamp::ZERO;
        assert!(matches!(next(&mut library, &mut now), News::Removed));
        std::fs::write(&path, b"there").unwrap();
        assert!(matches!(next(&mut library, &mut now), News::Ready));
        library.forget(&path);
        assert!(library.newest(&path).is_none());
        assert!(matches!(next(&mut library, &mut now), News::Ready));
        library.keep(&BTreeSet::new(), true);
        assert!(library.newest(&path).is_none());
    }
}
