// SPDX-License-Identifier: MIT OR Apache-2.0
//! A face to see a server by: the status page, the API, metrics. All of it is made of what the
//! observer published, and what somebody wants done is left at the driver's desk.
//!
//! Looking is free, as everything on this server is; doing needs the token.

mod act;
mod api;
mod history_page;
mod live;
mod map;
mod openapi;
mod page;
mod problem;
mod token;

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use site::Site;
use tokio::sync::Semaphore;

pub use self::openapi::document;
pub(crate) use self::page::{duration, rate, share, word};
pub use self::token::{Token, TokenError};
use crate::boot::assign::Assignments;
use crate::boot::report::Tell;
use crate::net::Desk;
use crate::observe::{Seen, metrics};

/// Where the page is.
pub const PAGE: &str = "/status";
/// Pages that are watched at a time; each holds a connection.
const MOST_WATCHERS: usize = 64;
/// Longest request body: a form of a few fields.
const LONGEST_BODY: usize = 16 * 1024;
/// Nothing comes from elsewhere, and nothing runs that is not a file of ours.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What pages are made of, and what is done from them.
#[derive(Clone)]
pub struct Dashboard {
    /// What can be seen.
    pub seen: Seen,
    /// Where wishes are left.
    pub desk: Arc<Desk>,
    /// What machines boot.
    pub assignments: Arc<Assignments>,
    /// The site in force.
    pub site: Arc<RwLock<Arc<Site>>>,
    /// Who may do something.
    pub token: Arc<Token>,
    /// Whom to tell what was done.
    pub tell: Tell,
}

/// A dashboard at work.
struct Face {
    dashboard: Dashboard,
    watchers: Arc<Semaphore>,
}

type Shared = State<Arc<Face>>;

impl Face {
    fn site(&self) -> Arc<Site> {
        let site = &self.dashboard.site;
        Arc::clone(&site.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Every route.
pub fn router(dashboard: Dashboard) -> Router {
    let face = Arc::new(Face {
        dashboard,
        watchers: Arc::new(Semaphore::new(MOST_WATCHERS)),
    });
    let pages = Router::new()
        .route(PAGE, get(page::show))
        .route("/status/live", get(live::stream))
        .route("/status/client/{id}", get(page::client))
        .route("/status/history", get(history_page::list))
        .route("/status/history/{id}", get(history_page::one))
        .route("/status/unlock", post(act::unlock))
        .route("/status/lock", post(act::lock))
        .route("/status/act", post(act::act))
        .route("/status/style.css", get(style))
        .route("/status/live.js", get(script));
    Router::new()
        .merge(pages)
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .merge(api::routes())
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(map_response(guarded))
        .with_state(face)
}

/// Headers of every answer.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: browsers would not say where a form comes from then (Fetch, "append a
        // request Origin header").
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn style() -> impl IntoResponse {
    asset(
        "text/css; charset=utf-8",
        include_str!("dashboard/style.css"),
    )
}

async fn script() -> impl IntoResponse {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("dashboard/live.js"),
    )
}

fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    // A new version of the server brings another file under the same name.
    (
        [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, "max-age=60"),
        ],
        text,
    )
}

/// The process answers.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Everything that is configured is served.
async fn readyz(State(face): Shared) -> Response {
    let published = face.dashboard.seen.latest.borrow().clone();
    if published.status.server.ready {
        return "ready\n".into_response();
    }
    let transfers = published.status.transfers.iter();
    let missing: Vec<&str> = transfers
        .filter(|transfer| transfer.bytes.is_none())
        .map(|transfer| transfer.name.as_str())
        .collect();
    let what = match missing.as_slice() {
        [] => "files are being digested".to_owned(),
        names => format!("not served yet: {}", names.join(", ")),
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("{what}\n")).into_response()
}

/// For Prometheus.
async fn scrape(State(face): Shared) -> Response {
    let published = face.dashboard.seen.latest.borrow().clone();
    match metrics(&published.status) {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
