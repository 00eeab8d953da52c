// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who watches a server, and the pages that show it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context as _;
use axum::Router;
use site::{Mac, Site};

use super::boot::Bound;
use super::print::Output;
use crate::boot::report::Tell;
use crate::dashboard::{Dashboard, PAGE, Token, router};
use crate::net::{Desk, Stand};
use crate::observe::{Note, Observer, Summary, SummaryStatus};

/// An observer at work, and what its pages are made of.
pub(super) struct Watching {
    observer: Observer,
    dashboard: Option<Dashboard>,
    desk: Arc<Desk>,
    tell: Tell,
    site: Arc<RwLock<Arc<Site>>>,
    token: Arc<Token>,
}

impl Watching {
    /// Begins to watch. What cannot be kept is told, and does not keep anybody from serving.
    pub(super) fn begin(
        site: &Site,
        stands: &[Stand],
        bound: &Bound,
        output: Output,
    ) -> anyhow::Result<Watching> {
        let shown = site.status.shown && site.server.http_port.is_some();
        let addresses = stands.iter().map(|stand| stand.host.to_string()).collect();
        let history = bound
            .state()
            .filter(|_| shown)
            .map(|state| state.join("history.jsonl"));
        let keep = site.status.history as usize;
        let warned = Box::new(move |what: &str| output.warning(what));
        let observer =
            Observer::start(addresses, history, keep, warned).context("cannot start a thread")?;
        let notes = observer.notes();
        let told = notes.clone();
        let tell: Tell = Arc::new(move |event| {
            if event.is_news() {
                output.boot(&event);
            }
            let _ = told.send(Note::Boot(event));
        });
        let token = if shown {
            token(site, bound.state(), &notes)?
        } else {
            Token::none()
        };
        let _ = notes.send(Note::Names(names(site)));
        let (desk, token): (Arc<Desk>, _) = (Arc::default(), Arc::new(token));
        let site = Arc::new(RwLock::new(Arc::new(site.clone())));
        let dashboard = shown.then(|| Dashboard {
            seen: observer.seen(),
            desk: Arc::clone(&desk),
            assignments: Arc::clone(&bound.assignments),
            site: Arc::clone(&site),
            token: Arc::clone(&token),
            tell: Arc::clone(&tell),
        });
        Ok(Watching {
            observer,
            dashboard,
            desk,
            tell,
            site,
            token,
        })
    }

    /// Whom boot services tell what they did.
    pub(super) fn tell(&self) -> Tell {
        Arc::clone(&self.tell)
    }

    /// Whoever has to be told of what stands in the way.
    pub(super) fn warner(&self) -> impl Fn(String) + Send + 'static {
        let notes = self.notes();
        move |what| drop(notes.send(Note::Warning(what)))
    }

    /// Where the driver's notes are left.
    pub(super) fn notes(&self) -> Sender<Note> {
        self.observer.notes()
    }

    /// Where wishes for the driver are left.
    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Whether anybody can see what is watched.
    pub(super) fn is_shown(&self) -> bool {
        self.dashboard.is_some()
    }

    /// The pages, if they are served.
    pub(super) fn pages(&self) -> Option<Router> {
        self.dashboard.clone().map(router)
    }

    /// Shows another site from now on.
    pub(super) fn show(&self, site: &Site) {
        *self.site.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(site.clone());
        let _ = self.notes().send(Note::Names(names(site)));
    }

    /// Says where the page is.
    pub(super) fn summarise(&self, summary: &mut Summary) {
        // The token goes there: over TLS, where that is spoken.
        let secure = summary.interfaces.first().and_then(|i| i.https.clone());
        let base = secure.or(summary.http.as_ref().map(|http| http.base.clone()));
        summary.status = base.filter(|_| self.dashboard.is_some()).map(|base| {
            let place = self.token.place();
            SummaryStatus {
                page: base + PAGE,
                token_file: place.map(|path| path.display().to_string()),
            }
        });
    }

    /// Puts down what was told until now.
    pub(super) fn finish(self) {
        self.observer.finish();
    }
}

/// The token of those who may do something. One that was named must be there; one of our own is made,
/// where that is possible.
fn token(site: &Site, state: Option<&Path>, notes: &Sender<Note>) -> anyhow::Result<Token> {
    if let Some(path) = &site.status.token_file {
        return Token::read(path).context("[status] token_file");
    }
    let Some(state) = state else {
        return Ok(Token::none());
    };
    Ok(
        Token::read_or_make(&state.join("token")).unwrap_or_else(|error| {
            let warning = format!("nothing can be done from the status page: {error}");
            let _ = notes.send(Note::Warning(warning));
            Token::none()
        }),
    )
}

/// What people call machines.
fn names(site: &Site) -> HashMap<Mac, String> {
    let named = site.hosts.iter().flat_map(|host| {
        let name = host.name.as_ref();
        let of = move |mac: &Mac| Some((*mac, name?.clone()));
        host.macs.iter().filter_map(of)
    });
    named.collect()
}
