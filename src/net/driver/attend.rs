// SPDX-License-Identifier: MIT OR Apache-2.0
//! Those who watch: what they are shown, and what they wish.

use std::time::Duration;

use slam_client::Timestamp;

use super::super::desk::{Desk, Ungranted, Wish};
use super::Driver;
use crate::observe::{Look, LookedAt};
use crate::slam::{Phase, SessionId};

/// How often what is under way is shown, and how often what rests.
const UNDER_WAY: Duration = Duration::from_millis(250);
const AT_REST: Duration = Duration::from_secs(2);

/// Somebody who watches a driver.
pub struct Watch<'a> {
    /// Where wishes are left.
    pub desk: &'a Desk,
    /// Is shown all transfers a few times a second, and must not take long; nobody looks without.
    pub on_look: Option<&'a mut dyn FnMut(Look)>,
}

impl Driver {
    /// Grants wishes, and shows all transfers when it is time to.
    pub(super) fn attend(&mut self, watch: &mut Watch<'_>, now: Timestamp) {
        for (transfer, wish, answer) in watch.desk.take() {
            // Who wished may have gone.
            let _ = answer.send(self.grant(&transfer, wish, now));
            self.next_look = now;
        }
        if now < self.next_look || watch.on_look.is_none() {
            return;
        }
        let look = self.look(now);
        let active = |seen: &LookedAt| {
            let view = seen.view.as_ref();
            view.is_some_and(|view| view.phase != Phase::Idle)
        };
        let rests = !look.transfers.iter().any(active);
        self.next_look = now + if rests { AT_REST } else { UNDER_WAY };
        if let Some(on_look) = &mut watch.on_look {
            on_look(look);
        }
    }

    /// Something has changed that is worth a look.
    pub(super) fn look_soon(&mut self, now: Timestamp) {
        self.next_look = self.next_look.min(now + UNDER_WAY);
    }

    fn grant(&mut self, transfer: &str, wish: Wish, now: Timestamp) -> Result<(), Ungranted> {
        let mut endpoints = self.endpoints.iter();
        let at = endpoints.position(|endpoint| {
            let planned = endpoint.as_ref().map(|endpoint| &endpoint.planned);
            planned.is_some_and(|planned| planned.label == transfer)
        });
        let lanes = at.and_then(|at| self.server.session_mut(SessionId(at)));
        let lanes = lanes.ok_or(Ungranted::NoTransfer)?;
        match wish {
            Wish::Begin => lanes.begin_now().then_some(()).ok_or(Ungranted::NotWaiting),
            Wish::Hold(true) if lanes.view().phase == Phase::Sending => Err(Ungranted::Begun),
            Wish::Hold(held) => {
                lanes.hold(held);
                Ok(())
            }
            Wish::Drop(client) => lanes
                .drop_client(client, now)
                .then_some(())
                .ok_or(Ungranted::NoClient),
        }
    }

    fn look(&self, now: Timestamp) -> Look {
        let endpoints = self.endpoints.iter().enumerate();
        let transfers = endpoints.filter_map(|(at, endpoint)| {
            let endpoint = endpoint.as_ref()?;
            let planned = &endpoint.planned;
            let serving = endpoint.serving.as_ref();
            let view = self
                .server
                .session(SessionId(at))
                .filter(|_| serving.is_some());
            Some(LookedAt {
                transfer: planned.label.clone(),
                image: planned.transfer.image.clone(),
                address: planned.host,
                group: planned.group,
                expected: planned.start.clients,
                bytes: serving.map(|serving| serving.content.bytes()),
                view: view.map(crate::slam::Lanes::view),
            })
        });
        Look {
            at: now,
            transfers: transfers.collect(),
        }
    }
}
