// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people do: by the API with the token, by the page with the cookie that the token is changed
//! for.

use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use site::{Boot, Mac};

use super::problem::Problem;
use super::token::{Said, Token, forget_cookie, set_cookie};
use super::{Face, PAGE, Shared, page};
use crate::boot::assign::{AssignError, Assignment};
use crate::net::{Ungranted, Wish};
use crate::observe::BootEvent;

/// The driver looks ten times a second; a disk that hangs may keep it longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where somebody finds what is asked for.
pub(super) fn where_the_token_is(token: &Token) -> String {
    match token.place() {
        Some(path) => format!("the token is in {} on the server", path.display()),
        None => "this server has none, so nothing can be done from here: set token_file under \
                 [status], or state under [server]"
            .to_owned(),
    }
}

/// Leaves a wish, and waits until it is granted or not.
pub(super) async fn wish(face: &Face, transfer: String, wish: Wish) -> Result<(), Problem> {
    let answered = face.dashboard.desk.leave(transfer.clone(), wish)?;
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(granted)) => granted?,
        Ok(Err(_)) => return Err(Ungranted::Stopping.into()),
        Err(_) => return Err(Ungranted::Busy.into()),
    }
    let done = match wish {
        Wish::Begin => format!("{transfer}: begun by hand"),
        Wish::Hold(true) => format!("{transfer}: held by hand"),
        Wish::Hold(false) => format!("{transfer}: released by hand"),
        // The driver tells that itself.
        Wish::Drop(_) => return Ok(()),
    };
    (face.dashboard.tell)(BootEvent::ByHand { what: done });
    Ok(())
}

/// Drops the client of this number.
pub(super) async fn drop_client(face: &Face, id: u64) -> Result<(), Problem> {
    let published = face.dashboard.seen.latest.borrow().clone();
    let known = published
        .status
        .clients
        .iter()
        .find(|client| client.id == id);
    let client = known.ok_or_else(|| Problem::not_found(format!("no client {id}")))?;
    let (transfer, socket) = client.taking_part().ok_or(Ungranted::NoClient)?;
    wish(face, transfer, Wish::Drop(socket)).await
}

/// Assigns what a machine boots.
pub(super) async fn assign(
    face: &Arc<Face>,
    mac: Mac,
    assignment: Assignment,
) -> Result<(), Problem> {
    let what = match &assignment.boot {
        Boot::Image(name) => name.clone(),
        Boot::Menu => "the menu".to_owned(),
        Boot::Local => "its own disk".to_owned(),
        Boot::Default => "the default".to_owned(),
    };
    let when = if assignment.once {
        "next time"
    } else {
        "from now on"
    };
    let done = format!("{mac} boots {what} {when}, by hand");
    on_disk(face, move |face| {
        face.dashboard
            .assignments
            .set(&face.site(), mac, assignment)
    })
    .await?;
    (face.dashboard.tell)(BootEvent::ByHand { what: done });
    Ok(())
}

/// Takes an assignment back; whether there was one.
pub(super) async fn unassign(face: &Arc<Face>, mac: Mac) -> Result<bool, Problem> {
    let was = on_disk(face, move |face| face.dashboard.assignments.clear(mac)).await?;
    if was {
        let what = format!("{mac} boots by the configuration again");
        (face.dashboard.tell)(BootEvent::ByHand { what });
    }
    Ok(was)
}

/// Assignments are stored before they hold: nobody else waits for that.
async fn on_disk<T: Send + 'static>(
    face: &Arc<Face>,
    what: impl FnOnce(&Face) -> Result<T, AssignError> + Send + 'static,
) -> Result<T, Problem> {
    let face = Arc::clone(face);
    let done = tokio::task::spawn_blocking(move || what(&face)).await;
    match done {
        Ok(done) => Ok(done?),
        Err(_) => Err(Ungranted::Stopping.into()),
    }
}

#[derive(Deserialize)]
pub(super) struct UnlockForm {
    token: String,
}

/// Changes the token for a cookie.
pub(super) async fn unlock(
    State(face): Shared,
    headers: HeaderMap,
    form: Result<Form<UnlockForm>, FormRejection>,
) -> Response {
    let Ok(Form(form)) = form else {
        return refused(
            &face,
            &headers,
            StatusCode::BAD_REQUEST,
            "the form came incomplete",
        );
    };
    let said = form.token.trim();
    if !is_from_here(&headers) || !face.dashboard.token.is(said) {
        return refused(
            &face,
            &headers,
            StatusCode::FORBIDDEN,
            "that is not the server's token",
        );
    }
    ([(header::SET_COOKIE, set_cookie(said))], Redirect::to(PAGE)).into_response()
}

/// Forgets the cookie.
pub(super) async fn lock() -> Response {
    ([(header::SET_COOKIE, forget_cookie())], Redirect::to(PAGE)).into_response()
}

/// A button of the page. Numbers come as text: what is chosen by a tag is read before its type is known.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(super) enum ActForm {
    Start {
        transfer: String,
    },
    Hold {
        transfer: String,
    },
    Release {
        transfer: String,
    },
    Drop {
        client: String,
    },
    Assign {
        mac: String,
        /// `image:NAME`, `menu`, `local`, `default`, or `rules` for none.
        boot: String,
        when: String,
        client: String,
    },
}

/// Does what a button says.
pub(super) async fn act(
    State(face): Shared,
    headers: HeaderMap,
    form: Result<Form<ActForm>, FormRejection>,
) -> Response {
    let may = face.dashboard.token.by_cookie(&headers) == Said::Right && is_from_here(&headers);
    if !may {
        let (status, why) = (
            StatusCode::FORBIDDEN,
            "this page is not unlocked: say the token first",
        );
        return refused(&face, &headers, status, why);
    }
    let Ok(Form(form)) = form else {
        return refused(
            &face,
            &headers,
            StatusCode::BAD_REQUEST,
            "the form came incomplete",
        );
    };
    let mut back = PAGE.to_owned();
    let (said, done) = match form {
        ActForm::Start { transfer } => {
            let done = wish(&face, transfer, Wish::Begin).await;
            ("the room begins", done)
        }
        ActForm::Hold { transfer } => {
            let done = wish(&face, transfer, Wish::Hold(true)).await;
            ("rooms are held", done)
        }
        ActForm::Release { transfer } => {
            let done = wish(&face, transfer, Wish::Hold(false)).await;
            ("rooms are released", done)
        }
        ActForm::Drop { client } => {
            let done = match client.parse() {
                Ok(client) => drop_client(&face, client).await,
                Err(_) => Err(Problem::not_found("no such client")),
            };
            ("the client is dropped", done)
        }
        ActForm::Assign {
            mac,
            boot,
            when,
            client,
        } => {
            if let Ok(client) = client.parse::<u64>() {
                back = format!("{PAGE}/client/{client}");
            }
            let done = assign_by_form(&face, &mac, &boot, when == "once").await;
            ("assigned", done)
        }
    };
    match done {
        Ok(()) if wants_text(&headers) => said.into_response(),
        Ok(()) => Redirect::to(&back).into_response(),
        Err(problem) => refused(&face, &headers, problem.status, &problem.body.error),
    }
}

async fn assign_by_form(
    face: &Arc<Face>,
    mac: &str,
    boot: &str,
    once: bool,
) -> Result<(), Problem> {
    let bad = |what: String| Problem::new(StatusCode::BAD_REQUEST, what);
    let mac: Mac = mac
        .parse()
        .map_err(|error| bad(format!("{mac:?} is {error}")))?;
    let boot = match boot {
        "rules" => return unassign(face, mac).await.map(|_| ()),
        "menu" => Boot::Menu,
        "local" => Boot::Local,
        "default" => Boot::Default,
        other => match other.strip_prefix("image:") {
            Some(name) => Boot::Image(name.to_owned()),
            None => return Err(bad(format!("cannot boot {other:?}"))),
        },
    };
    assign(face, mac, Assignment { boot, once }).await
}

/// The page's own script asks for words, a browser without it for a page.
fn wants_text(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|a| a.to_str().ok());
    accept.is_some_and(|accept| accept.starts_with("text/plain"))
}

fn refused(face: &Face, headers: &HeaderMap, status: StatusCode, why: &str) -> Response {
    if wants_text(headers) {
        return (status, format!("{why}\n")).into_response();
    }
    let help = match status {
        StatusCode::FORBIDDEN => where_the_token_is(&face.dashboard.token),
        _ => String::new(),
    };
    (status, page::refusal(why, &help)).into_response()
}

/// Whether a form was sent by a page of ours: browsers say where from. The cookie does not come along
/// from elsewhere either (`SameSite`).
fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => origin
            .split_once("://")
            .is_some_and(|(_, from)| from == host),
        (Some(_), None) => false,
        (None, _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn forms_of_other_pages_are_refused() {
        let headers = |origin: Option<&str>, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
            }
            headers
        };
        assert!(is_from_here(&headers(None, "10.0.0.1:8080")));
        assert!(is_from_here(&headers(
            Some("http://10.0.0.1:8080"),
            "10.0.0.1:8080"
        )));
        for origin in [
            "http://10.0.0.1",
            "http://evil",
            "null",
            "http://10.0.0.1:8080.evil",
        ] {
            assert!(
                !is_from_here(&headers(Some(origin), "10.0.0.1:8080")),
                "{origin}"
            );
        }
    }
}
