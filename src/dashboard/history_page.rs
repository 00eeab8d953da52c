// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sessions that are over, for people.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::html;

use super::Shared;
use super::page::{Place, duration, page, refusal, shade, time, word};
use crate::observe::Bytes;
use crate::observe::status::Record;

/// Sessions on one page; the API has them all.
const MOST_SHOWN: usize = 200;

/// How often the file was sent.
fn times(record: &Record) -> String {
    let times = record.sent_bytes as f64 / record.file_bytes.max(1) as f64;
    format!("{times:.2} ×")
}

/// `/status/history`
pub(super) async fn list(State(face): Shared) -> Response {
    let records = face.dashboard.seen.history.borrow().clone();
    let content = html! {
        main id="main" {
            section class="card" aria-labelledby="history-h" {
                h2 id="history-h" { "Sessions that are over " small { (records.len()) " kept" } }
                @if records.is_empty() {
                    p { "None yet. A session is over when its last client has gone." }
                } @else {
                    table class="clients history" {
                        thead { tr {
                            th scope="col" { "Began" } th scope="col" { "File" } th scope="col" class="n" { "Finished" }
                            th scope="col" class="n" { "Took" } th scope="col" class="n" { "Size" } th scope="col" class="n" { "Sent" }
                        } }
                        tbody {
                            @for record in records.iter().take(MOST_SHOWN) {
                                tr {
                                    th scope="row" { a href=(format!("/status/history/{}", record.id)) { (time(&record.started)) } }
                                    td data-th="File" { (record.transfer) }
                                    td data-th="Finished" class="n" {
                                        span class=(if record.finished < record.joined { "bad" } else { "" }) {
                                            (record.finished) " of " (record.joined)
                                        }
                                    }
                                    td data-th="Took" class="n" { (duration(record.seconds)) }
                                    td data-th="Size" class="n" { (Bytes(record.file_bytes)) }
                                    td data-th="Sent" class="n" { (times(record)) }
                                }
                            }
                        }
                    }
                }
                @if records.len() > MOST_SHOWN {
                    p class="hint" { (records.len() - MOST_SHOWN) " more: " a href="/api/v1/history" { "the API" } " has them all" }
                }
            }
        }
        script src="/status/live.js" defer {}
    };
    page("History: slamboot", Place::History, &content, false).into_response()
}

/// `/status/history/ID`
pub(super) async fn one(State(face): Shared, id: Result<Path<u64>, PathRejection>) -> Response {
    let records = face.dashboard.seen.history.borrow().clone();
    let id = id.map(|Path(id)| id).ok();
    let Some(record) = records.iter().find(|record| Some(record.id) == id) else {
        let page = refusal(
            "no such session",
            "the oldest are forgotten: [status] history says how many are kept",
        );
        return (StatusCode::NOT_FOUND, page).into_response();
    };
    let content = html! {
        main id="main" {
            section class="card" {
                h2 { (record.transfer) }
                dl class="facts" {
                    div { dt { "Began" } dd { (time(&record.started)) } }
                    div { dt { "Took" } dd { (duration(record.seconds)) } }
                    div { dt { "Finished" } dd { (record.finished) " of " (record.joined) } }
                    div { dt { "File" } dd { (Bytes(record.file_bytes)) } }
                    div { dt { "Sent" } dd { (Bytes(record.sent_bytes)) small { " · " (times(record)) } } }
                }
            }
            section class="card" aria-labelledby="clients-h" {
                h2 id="clients-h" { "Clients " small { "the slowest first" } }
                table class="clients" {
                    thead { tr { th scope="col" { "Client" } th scope="col" { "Became" } th scope="col" class="n" { "Took" } } }
                    tbody {
                        @for client in &record.clients {
                            tr {
                                th scope="row" {
                                    (client.name.as_ref().unwrap_or(&client.address))
                                    small {
                                        @if client.name_is_claimed { "by its own word, " }
                                        @if client.name.is_some() { (client.address) " " }
                                        @if let Some(mac) = &client.mac { span class="mac" { (mac) } }
                                    }
                                }
                                td data-th="Became" { span class={ "badge " (shade(client.outcome)) } { (word(client.outcome)) } }
                                td data-th="Took" class="n" { (duration(client.seconds)) }
                            }
                        }
                    }
                }
            }
        }
        script src="/status/live.js" defer {}
    };
    let title = format!("{}: slamboot", record.transfer);
    page(&title, Place::History, &content, false).into_response()
}
