// SPDX-License-Identifier: MIT OR Apache-2.0
//! What changes while it is served: files that are replaced or lost, and configurations. Sessions
//! under way end as they began; what is idle becomes what it is to be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use slam_client::Timestamp;
use slam_client::wire::TransactionId;

use super::super::content::ContentError;
use super::super::endpoint::{Endpoint, Next, Serving};
use super::super::library::News;
use super::super::plan::{Plan, Planned};
use super::{Driver, OnEvent, SETTLE, tell};
use crate::observe::{Event, EventKind};
use crate::slam::SessionId;

/// How long newcomers join a room although its file was replaced: a room that is switched on one
/// after the other is to boot one system.
const NEWCOMERS: Duration = Duration::from_mins(1);

impl Driver {
    /// The content of a session is not what it was: the session ends, and begins anew with what
    /// the path leads to.
    pub(super) fn lose(
        &mut self,
        id: SessionId,
        error: ContentError,
        now: Timestamp,
        on_event: OnEvent<'_>,
    ) {
        self.server.close(id);
        let Some(Some(endpoint)) = self.endpoints.get_mut(id.0) else {
            return;
        };
        let Some(Serving { content, .. }) = endpoint.serving.take() else {
            return;
        };
        self.shelf
            .take(endpoint.planned.host, &endpoint.planned.transfer);
        let path = content.path().to_owned();
        let what = error.to_string();
        let kind = match error {
            ContentError::Changed { what, .. } => EventKind::ImageChanged {
                path: path.clone(),
                what,
            },
            _ => EventKind::ImageUnreadable {
                path: path.clone(),
                what,
            },
        };
        endpoint.event(now, kind, on_event);
        let newest = self.library.newest(&path);
        if newest.is_some_and(|newest| Arc::ptr_eq(&newest, &content)) {
            self.library.forget(&path);
        }
    }

    /// Takes a new plan: sessions under way end as they began, what is new begins as soon as its
    /// port is free and its file digested.
    pub(super) fn reload(
        &mut self,
        plan: &Plan,
        later: Vec<String>,
        now: Timestamp,
        on_event: OnEvent<'_>,
    ) {
        let (mut added, mut removed, mut changed) = (0, 0, 0);
        self.stock_clients = plan.stock_clients;
        self.server.set_total_rate(plan.total_rate);
        for endpoint in self.endpoints.iter_mut().flatten() {
            let same = |planned: &&Planned| planned.local == endpoint.planned.local;
            endpoint.next = match plan.sessions.iter().find(same) {
                None => {
                    removed += 1;
                    Next::End
                }
                Some(planned) if *planned == endpoint.planned => Next::Stay,
                Some(planned) => {
                    changed += 1;
                    Next::Become(Box::new(planned.clone()))
                }
            };
        }
        for planned in &plan.sessions {
            let here = self.endpoints.iter().flatten();
            if here.into_iter().any(|e| e.planned.local == planned.local) {
                continue;
            }
            added += 1;
            if let Err(error) = self.add(planned) {
                let what = error.to_string();
                tell(now, EventKind::ReloadFailed { what }, on_event);
            }
        }
        let coming = plan.sessions.iter();
        let paths: BTreeSet<&Path> = coming.map(|p| p.transfer.path.as_path()).collect();
        self.library.keep(&paths, plan.stock_clients);
        let kind = EventKind::Reloaded {
            added,
            removed,
            changed,
            later,
        };
        tell(now, kind, on_event);
        self.next_settle = Timestamp::ZERO;
    }

    /// Hears of the files, and lets idle sessions become what they are to be.
    pub(super) fn settle(&mut self, now: Timestamp, on_event: OnEvent<'_>) {
        if now < self.next_settle {
            return;
        }
        self.next_settle = now + SETTLE;
        for (path, news) in self.library.look(now) {
            self.tell_news(&path, news, now, on_event);
        }
        for at in 0..self.endpoints.len() {
            if !self.is_unsettled(at) {
                continue;
            }
            if self.is_idle(at) {
                self.settle_one(at, now, on_event);
            } else if let Some(endpoint) = &mut self.endpoints[at] {
                let since = *endpoint.waiting_since.get_or_insert(now);
                if now.since(since) >= NEWCOMERS {
                    self.server.call_last(SessionId(at));
                }
            }
        }
    }

    fn is_unsettled(&self, at: usize) -> bool {
        let Some(endpoint) = &self.endpoints[at] else {
            return false;
        };
        if !matches!(endpoint.next, Next::Stay) {
            return true;
        }
        let newest = self.library.newest(&endpoint.planned.transfer.path);
        match (&newest, &endpoint.serving) {
            (None, _) => false,
            (Some(newest), Some(serving)) => !Arc::ptr_eq(newest, &serving.content),
            (Some(newest), None) => endpoint
                .refused_content
                .as_ref()
                .is_none_or(|refused| !Arc::ptr_eq(newest, refused)),
        }
    }

    /// Whether nobody is left at an endpoint, nor at that of the same file for the other family:
    /// both change together, and HTTP with them.
    fn is_idle(&self, at: usize) -> bool {
        let Some(this) = &self.endpoints[at] else {
            return true;
        };
        let mut all = self.endpoints.iter().enumerate();
        all.all(|(other, endpoint)| {
            let Some(endpoint) = endpoint else {
                return true;
            };
            let same = endpoint.planned.host == this.planned.host
                && endpoint.planned.transfer.name() == this.planned.transfer.name();
            let session = self.server.session(SessionId(other));
            !same || session.is_none_or(|session| !session.is_active())
        })
    }

    fn settle_one(&mut self, at: usize, now: Timestamp, on_event: OnEvent<'_>) {
        let Some(endpoint) = &mut self.endpoints[at] else {
            return;
        };
        endpoint.waiting_since = None;
        let (host, transfer) = (endpoint.planned.host, endpoint.planned.transfer.clone());
        let mut told = endpoint.serving.as_ref().map(|s| Arc::clone(&s.content));
        match std::mem::replace(&mut endpoint.next, Next::Stay) {
            Next::Stay => {}
            Next::End => {
                endpoint.event(now, EventKind::ImageEnded, on_event);
                self.endpoints[at] = None;
                self.server.close(SessionId(at));
                self.shelf.take(host, &transfer);
                return;
            }
            Next::Become(planned) => {
                if planned.transfer.name() != transfer.name() {
                    endpoint.event(now, EventKind::ImageEnded, on_event);
                    told = None;
                }
                self.server.close(SessionId(at));
                self.shelf.take(host, &transfer);
                endpoint.serving = None;
                endpoint.refused_content = None;
                if endpoint.planned.needs_socket(&planned) {
                    // The port must be free before it is bound again.
                    self.endpoints[at] = None;
                    match Endpoint::open(&planned) {
                        Ok(endpoint) => {
                            if let Err(error) = self.watch(&endpoint, at) {
                                let what = error.to_string();
                                tell(now, EventKind::ReloadFailed { what }, on_event);
                            }
                            self.endpoints[at] = Some(endpoint);
                        }
                        Err(error) => {
                            let what = error.to_string();
                            tell(now, EventKind::ReloadFailed { what }, on_event);
                            return;
                        }
                    }
                } else {
                    endpoint.become_planned(*planned);
                }
            }
        }
        let Some(endpoint) = &self.endpoints[at] else {
            return;
        };
        let path = endpoint.planned.transfer.path.clone();
        let Some(newest) = self.library.newest(&path) else {
            return;
        };
        let kind = match self.serve(at, Arc::clone(&newest)) {
            Ok(()) if told.is_some_and(|told| told.sha256() == newest.sha256()) => return,
            Ok(()) => EventKind::ImageServed {
                path,
                bytes: newest.bytes(),
                sha256: hex::encode(newest.sha256()),
                transaction: TransactionId::from_digest(newest.sha256()).to_string(),
            },
            Err(error) => {
                if let Some(endpoint) = &mut self.endpoints[at] {
                    endpoint.refused_content = Some(newest);
                    endpoint.serving = None;
                    self.server.close(SessionId(at));
                    self.shelf
                        .take(endpoint.planned.host, &endpoint.planned.transfer);
                }
                EventKind::ImageRefused {
                    path,
                    what: error.to_string(),
                }
            }
        };
        if let Some(endpoint) = &self.endpoints[at] {
            endpoint.event(now, kind, on_event);
        }
    }

    fn tell_news(&self, path: &Path, news: News, now: Timestamp, on_event: OnEvent<'_>) {
        let path: PathBuf = path.to_owned();
        let kind = match news {
            News::Replaced => EventKind::ImageReplaced { path: path.clone() },
            News::Removed => EventKind::ImageRemoved { path: path.clone() },
            News::Digesting(done, bytes) => EventKind::ImageDigesting {
                path: path.clone(),
                done,
                bytes,
            },
            News::Refused(error) => EventKind::ImageRefused {
                path: path.clone(),
                what: error.to_string(),
            },
            News::Ready => return,
        };
        let of = |endpoint: &&Endpoint| {
            let next = match &endpoint.next {
                Next::Become(planned) => planned,
                _ => &endpoint.planned,
            };
            next.transfer.path == path
        };
        let endpoint = self.endpoints.iter().flatten().find(of);
        on_event(&Event {
            at: now,
            transfer: endpoint.map(|endpoint| endpoint.planned.transfer.name()),
            kind,
        });
    }
}
