// SPDX-License-Identifier: MIT OR Apache-2.0
//! `/api/v1`: the same as the page, for programs.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use axum_extra::extract::WithRejection;
use serde::{Deserialize, Serialize};
use site::{Boot, ImageKind, Mac};
use utoipa::{IntoParams, ToSchema};

use super::act::{assign, unassign, wish};
use super::problem::{Problem, ProblemBody};
use super::token::Said;
use super::{Face, Shared};
use crate::boot::assign::Assignment;
use crate::net::Wish;
use crate::observe::status::{ClientState, ClientStatus, LogLine, Record, Status, TransferStatus};

type Named<T> = WithRejection<Path<T>, Problem>;
type Asked<T> = WithRejection<Query<T>, Problem>;

/// Most entries of one answer.
const MOST: usize = 1000;
/// Beyond all that there can be.
const FURTHEST: usize = 1_000_001;

pub(super) fn routes() -> Router<Arc<Face>> {
    let api = Router::new()
        .route("/openapi.json", get(openapi))
        .route("/status", get(status))
        .route("/transfers", get(transfers))
        .route("/transfers/{name}", get(transfer))
        .route("/transfers/{name}/start", post(start))
        .route("/transfers/{name}/hold", post(hold))
        .route("/transfers/{name}/release", post(release))
        .route("/clients", get(clients))
        .route("/clients/{id}", get(client))
        .route("/clients/{id}/drop", post(drop_client))
        .route("/events", get(events))
        .route("/history", get(history))
        .route("/history/{id}", get(session))
        .route("/images", get(images))
        .route("/assignments", get(assignments))
        .route(
            "/assignments/{mac}",
            put(put_assignment).delete(delete_assignment),
        )
        .fallback(async || {
            Problem::not_found("no such path").help("/api/v1/openapi.json lists them")
        });
    Router::new().nest("/api/v1", api)
}

/// Somebody who knows the token.
pub(super) struct Trusted;

impl FromRequestParts<Arc<Face>> for Trusted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, face: &Arc<Face>) -> Result<Trusted, Problem> {
        let token = &face.dashboard.token;
        match token.by_header(&parts.headers) {
            Said::Right => Ok(Trusted),
            Said::Nothing => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "this needs the server's token",
            )
            .help(super::act::where_the_token_is(token))),
            Said::Wrong => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "that is not the server's token",
            )
            .help(super::act::where_the_token_is(token))),
        }
    }
}

async fn openapi() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/json")],
        super::document(),
    )
}

/// Everything at once: the server, its transfers, its clients, what happened lately.
#[utoipa::path(get, path = "/api/v1/status", tag = "seeing",
    responses((status = 200, body = Status)))]
pub(super) async fn status(State(face): Shared) -> Response {
    let published = face.dashboard.seen.latest.borrow().clone();
    Json(&published.status).into_response()
}

/// Every file that is served.
#[utoipa::path(get, path = "/api/v1/transfers", tag = "seeing",
    responses((status = 200, body = Vec<TransferStatus>)))]
pub(super) async fn transfers(State(face): Shared) -> Response {
    let published = face.dashboard.seen.latest.borrow().clone();
    Json(&published.status.transfers).into_response()
}

/// One of them.
#[utoipa::path(get, path = "/api/v1/transfers/{name}", tag = "seeing",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = TransferStatus), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn transfer(
    State(face): Shared,
    WithRejection(Path(name), _): Named<String>,
) -> Result<Json<TransferStatus>, Problem> {
    let published = face.dashboard.seen.latest.borrow().clone();
    let mut all = published.status.transfers.iter();
    let found = all.find(|transfer| transfer.name == name).cloned();
    found
        .map(Json)
        .ok_or_else(|| Problem::not_found(format!("no transfer {name:?}")))
}

/// Lets a room that waits begin with those who are there.
#[utoipa::path(post, path = "/api/v1/transfers/{name}/start", tag = "doing",
    params(("name" = String, Path, description = "The transfer's name")),
    security(("token" = [])),
    responses((status = 204, description = "Done"), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "No room waits"), (status = 503, body = ProblemBody)))]
pub(super) async fn start(
    _: Trusted,
    State(face): Shared,
    WithRejection(Path(name), _): Named<String>,
) -> Result<StatusCode, Problem> {
    wish(&face, name, Wish::Begin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Keeps rooms of a transfer from beginning, until they are released or started.
#[utoipa::path(post, path = "/api/v1/transfers/{name}/hold", tag = "doing",
    params(("name" = String, Path, description = "The transfer's name")),
    security(("token" = [])),
    responses((status = 204, description = "Done"), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "Its room has begun"), (status = 503, body = ProblemBody)))]
pub(super) async fn hold(
    _: Trusted,
    State(face): Shared,
    WithRejection(Path(name), _): Named<String>,
) -> Result<StatusCode, Problem> {
    wish(&face, name, Wish::Hold(true)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets rooms of a transfer begin as configured again.
#[utoipa::path(post, path = "/api/v1/transfers/{name}/release", tag = "doing",
    params(("name" = String, Path, description = "The transfer's name")),
    security(("token" = [])),
    responses((status = 204, description = "Done"), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn release(
    _: Trusted,
    State(face): Shared,
    WithRejection(Path(name), _): Named<String>,
) -> Result<StatusCode, Problem> {
    wish(&face, name, Wish::Hold(false)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which clients, and how many.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ClientQuery {
    /// Those that do this.
    state: Option<ClientState>,
    /// Those of this transfer.
    transfer: Option<String>,
    /// Leave out so many.
    #[serde(default)]
    #[param(minimum = 0, maximum = 1_000_000, default = 0)]
    offset: u32,
    /// At most so many.
    #[serde(default = "many")]
    #[param(minimum = 1, maximum = 1000, default = 1000)]
    limit: u32,
}

fn many() -> u32 {
    MOST as u32
}

/// How many to leave out, and how many to show at most.
fn bounded(offset: u32, limit: u32) -> Result<(usize, usize), Problem> {
    let bad = |what: String| Err(Problem::new(StatusCode::BAD_REQUEST, what));
    match (offset as usize, limit as usize) {
        (FURTHEST.., _) => bad(format!("offset: expected at most {}", FURTHEST - 1)),
        (offset, limit @ 1..=MOST) => Ok((offset, limit)),
        _ => bad(format!("limit: expected 1 to {MOST}")),
    }
}

/// Machines: those that receive first, the slowest at the top.
#[utoipa::path(get, path = "/api/v1/clients", tag = "seeing", params(ClientQuery),
    responses((status = 200, body = Vec<ClientStatus>), (status = 400, body = ProblemBody)))]
pub(super) async fn clients(
    State(face): Shared,
    WithRejection(Query(query), _): Asked<ClientQuery>,
) -> Result<Json<Vec<ClientStatus>>, Problem> {
    let (offset, limit) = bounded(query.offset, query.limit)?;
    let published = face.dashboard.seen.latest.borrow().clone();
    let fits = |client: &&ClientStatus| {
        query.state.is_none_or(|state| client.state == state)
            && (query.transfer.is_none() || client.transfer == query.transfer)
    };
    let all = published.status.clients.iter().filter(fits);
    let some = all.skip(offset).take(limit).cloned();
    Ok(Json(some.collect()))
}

/// One of them.
#[utoipa::path(get, path = "/api/v1/clients/{id}", tag = "seeing",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 200, body = ClientStatus), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn client(
    State(face): Shared,
    WithRejection(Path(id), _): Named<u64>,
) -> Result<Json<ClientStatus>, Problem> {
    let published = face.dashboard.seen.latest.borrow().clone();
    let found = published
        .status
        .clients
        .iter()
        .find(|client| client.id == id);
    found
        .cloned()
        .map(Json)
        .ok_or_else(|| Problem::not_found(format!("no client {id}")))
}

/// Gives up a client that receives or waits: it is told to go elsewhere, and not waited for.
#[utoipa::path(post, path = "/api/v1/clients/{id}/drop", tag = "doing",
    params(("id" = u64, Path, description = "The client's number")),
    security(("token" = [])),
    responses((status = 204, description = "Done"), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn drop_client(
    _: Trusted,
    State(face): Shared,
    WithRejection(Path(id), _): Named<u64>,
) -> Result<StatusCode, Problem> {
    super::act::drop_client(&face, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What happened lately, the newest first.
#[utoipa::path(get, path = "/api/v1/events", tag = "seeing",
    responses((status = 200, body = Vec<LogLine>)))]
pub(super) async fn events(State(face): Shared) -> Response {
    let published = face.dashboard.seen.latest.borrow().clone();
    Json(&published.status.events).into_response()
}

/// How many sessions, and which.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryQuery {
    /// Leave out so many.
    #[serde(default)]
    #[param(minimum = 0, maximum = 1_000_000, default = 0)]
    offset: u32,
    /// At most so many.
    #[serde(default = "many")]
    #[param(minimum = 1, maximum = 1000, default = 1000)]
    limit: u32,
}

/// Sessions that are over, the newest first.
#[utoipa::path(get, path = "/api/v1/history", tag = "seeing", params(HistoryQuery),
    responses((status = 200, body = Vec<Record>), (status = 400, body = ProblemBody)))]
pub(super) async fn history(
    State(face): Shared,
    WithRejection(Query(query), _): Asked<HistoryQuery>,
) -> Result<Response, Problem> {
    let (offset, limit) = bounded(query.offset, query.limit)?;
    let records = face.dashboard.seen.history.borrow().clone();
    let some = records.iter().skip(offset).take(limit);
    let some: Vec<&Record> = some.map(AsRef::as_ref).collect();
    Ok(Json(some).into_response())
}

/// One of them.
#[utoipa::path(get, path = "/api/v1/history/{id}", tag = "seeing",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 200, body = Record), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn session(
    State(face): Shared,
    WithRejection(Path(id), _): Named<u64>,
) -> Result<Json<Record>, Problem> {
    let records = face.dashboard.seen.history.borrow().clone();
    let found = records.iter().find(|record| record.id == id);
    found
        .map(|record| Json(Record::clone(record)))
        .ok_or_else(|| Problem::not_found(format!("no session {id}")))
}

/// Something that machines can boot.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImageEntry {
    /// Its name.
    name: String,
    /// `disk`, `iso` or `linux`.
    kind: &'static str,
    /// Whether it boots where nothing else is said.
    default: bool,
}

/// What machines can boot.
#[utoipa::path(get, path = "/api/v1/images", tag = "seeing",
    responses((status = 200, body = Vec<ImageEntry>)))]
pub(super) async fn images(State(face): Shared) -> Json<Vec<ImageEntry>> {
    let site = face.site();
    let images = site
        .images
        .iter()
        .enumerate()
        .map(|(at, image)| ImageEntry {
            name: image.name.clone(),
            kind: match image.kind {
                ImageKind::Disk { .. } => "disk",
                ImageKind::Iso { .. } => "iso",
                ImageKind::Linux { .. } => "linux",
            },
            default: at == site.default_image,
        });
    Json(images.collect())
}

/// What a machine boots, instead of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum BootWord {
    /// People choose.
    Menu,
    /// Its own disk.
    Local,
    /// What the site boots where nothing else is said.
    Default,
}

/// What a machine is to boot: an image, or something else.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected {\"image\": NAME} or {\"boot\": \"menu\", \"local\" or \"default\"}, and \"once\": true for next time only"
)]
pub(super) enum AssignmentBody {
    /// An image.
    Image(ImageBody),
    /// Something else.
    Word(WordBody),
}

/// An image.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageBody {
    /// Its name.
    image: String,
    /// Next time only.
    #[serde(default)]
    once: bool,
}

/// Something that is no image.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WordBody {
    /// What.
    boot: BootWord,
    /// Next time only.
    #[serde(default)]
    once: bool,
}

/// What a machine boots by hand.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AssignmentEntry {
    /// Its network card.
    mac: String,
    /// An image's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    image: Option<String>,
    /// Or something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    boot: Option<BootWord>,
    /// Next time only.
    once: bool,
}

/// What was assigned by hand, before the rules of the configuration.
#[utoipa::path(get, path = "/api/v1/assignments", tag = "seeing",
    responses((status = 200, body = Vec<AssignmentEntry>)))]
pub(super) async fn assignments(State(face): Shared) -> Json<Vec<AssignmentEntry>> {
    let all = face.dashboard.assignments.list().into_iter();
    let entries = all.map(|(mac, assignment)| {
        let (image, boot) = match assignment.boot {
            Boot::Image(name) => (Some(name), None),
            Boot::Menu => (None, Some(BootWord::Menu)),
            Boot::Local => (None, Some(BootWord::Local)),
            Boot::Default => (None, Some(BootWord::Default)),
        };
        AssignmentEntry {
            mac: mac.to_string(),
            image,
            boot,
            once: assignment.once,
        }
    });
    Json(entries.collect())
}

fn card(mac: &str) -> Result<Mac, Problem> {
    mac.parse()
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("mac {mac:?} is {error}")))
}

/// Assigns what a machine boots, next time or from now on.
#[utoipa::path(put, path = "/api/v1/assignments/{mac}", tag = "doing",
    params(("mac" = String, Path, description = "Its network card, such as 52:54:00:12:34:56", pattern = "^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$|^([0-9A-Fa-f]{2}-){5}[0-9A-Fa-f]{2}$|^[0-9A-Fa-f]{12}$")),
    request_body = AssignmentBody, security(("token" = [])),
    responses((status = 204, description = "Done"), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody, description = "No such image"),
        (status = 409, body = ProblemBody, description = "Too many machines"),
        (status = 413, body = ProblemBody), (status = 415, body = ProblemBody), (status = 500, body = ProblemBody)))]
pub(super) async fn put_assignment(
    _: Trusted,
    State(face): Shared,
    WithRejection(Path(mac), _): Named<String>,
    WithRejection(Json(body), _): WithRejection<Json<AssignmentBody>, Problem>,
) -> Result<StatusCode, Problem> {
    let (boot, once) = match body {
        AssignmentBody::Image(ImageBody { image, once }) => (Boot::Image(image), once),
        AssignmentBody::Word(WordBody { boot, once }) => match boot {
            BootWord::Menu => (Boot::Menu, once),
            BootWord::Local => (Boot::Local, once),
            BootWord::Default => (Boot::Default, once),
        },
    };
    assign(&face, card(&mac)?, Assignment { boot, once }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes an assignment back: the machine boots by the rules of the configuration.
#[utoipa::path(delete, path = "/api/v1/assignments/{mac}", tag = "doing",
    params(("mac" = String, Path, description = "Its network card", pattern = "^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$|^([0-9A-Fa-f]{2}-){5}[0-9A-Fa-f]{2}$|^[0-9A-Fa-f]{12}$")),
    security(("token" = [])),
    responses((status = 204, description = "Done"), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody), (status = 500, body = ProblemBody)))]
pub(super) async fn delete_assignment(
    _: Trusted,
    State(face): Shared,
    WithRejection(Path(mac), _): Named<String>,
) -> Result<StatusCode, Problem> {
    let mac = card(&mac)?;
    if unassign(&face, mac).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found(format!("nothing is assigned to {mac}")))
    }
}
