// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page as it changes, as server-sent events (WHATWG HTML, section 9.2).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::page::{main, may_act};

/// How often the page changes at most: often enough to watch, and little enough to send.
const PERIOD: Duration = Duration::from_millis(500);
/// A connection that nothing is written to for half a minute is ended by the server.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Seconds after which a browser asks again that found no room.
const RETRY: u32 = 10;

/// `/status/live`
pub(super) async fn stream(State(face): Shared, headers: HeaderMap) -> Response {
    let Ok(place) = Arc::clone(&face.watchers).try_acquire_owned() else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, RETRY.to_string())],
            "too many watch already\n",
        )
            .into_response();
    };
    let may = may_act(&face, &headers);
    let mut latest = face.dashboard.seen.latest.clone();
    latest.mark_changed();
    let state = (latest, Instant::now(), place);
    let events = unfold(state, move |(mut latest, next, place)| async move {
        sleep_until(next).await;
        // Ends when the server does.
        latest.changed().await.ok()?;
        let published = latest.borrow_and_update().clone();
        // Lines end a field; they are as good as spaces here.
        let text = main(&published, may).replace(['\r', '\n'], " ");
        let event = Event::default().event("main").data(text);
        let state = (latest, Instant::now() + PERIOD, place);
        Some((Ok::<_, Infallible>(event), state))
    });
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}
