// SPDX-License-Identifier: MIT OR Apache-2.0
//! The status page. Everything from the network goes through `maud`, which escapes it.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use site::{Boot, Mac, Site};

use super::token::Said;
use super::{Face, Shared, map};
use crate::boot::assign::Assignment;
use crate::observe::status::{
    ClientState, ClientStatus, Level, Status, TransferState, TransferStatus,
};
use crate::observe::{Bytes, Published};

/// Clients that are shown; the API has them all.
const MOST_SHOWN: usize = 500;

/// Which page, for the menu.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Room,
    History,
    Other,
}

/// `/status`
pub(super) async fn show(State(face): Shared, headers: HeaderMap) -> Response {
    let may = may_act(&face, &headers);
    let published = face.dashboard.seen.latest.borrow().clone();
    let main = PreEscaped(main(&published, may).to_string());
    let lock = lock(&face, may);
    let content = html! {
        (lock)
        p id="said" role="status" aria-live="polite" {}
        main id="main" { (main) }
        noscript { p { "Without scripts this page does not renew itself: " a href="/status" { "load it again" } "." } }
    };
    page("slamboot", Place::Room, &content, true).into_response()
}

/// Whether the one who asks may do something.
pub(super) fn may_act(face: &Face, headers: &HeaderMap) -> bool {
    face.dashboard.token.by_cookie(headers) == Said::Right
}

/// What is renewed: made once of what was published, whoever looks at it.
pub(super) fn main(published: &Published, may: bool) -> Arc<str> {
    let made = published.texts[usize::from(may)].get_or_init(|| {
        let text = room(&published.status, may).into_string();
        Arc::from(text)
    });
    Arc::clone(made)
}

pub(super) fn page(title: &str, place: Place, content: &Markup, live: bool) -> Markup {
    let current = |here: Place| (place == here).then_some("page");
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/status/style.css";
                @if live { script src="/status/live.js" defer {} }
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                header {
                    h1 { a href="/status" { "slamboot" } }
                    nav aria-label="Pages" {
                        a href="/status" aria-current=[current(Place::Room)] { "Rooms" }
                        a href="/status/history" aria-current=[current(Place::History)] { "History" }
                    }
                    @if live { span id="link" class="link" role="status" { "connecting" } }
                }
                (content)
            }
        }
    }
}

fn lock(face: &Face, may: bool) -> Markup {
    let has_token = face.dashboard.token.place().is_some();
    html! {
        section class="lock" aria-label="Who may do something" {
            @if may {
                form method="post" action="/status/lock" {
                    span { "Unlocked: rooms can be started and held, clients dropped." } " "
                    button type="submit" { "Lock" }
                }
            } @else if has_token {
                details {
                    summary { "Read only" }
                    form method="post" action="/status/unlock" {
                        input type="text" name="user" autocomplete="username" value="slamboot" hidden;
                        label for="token" { "Token" }
                        input id="token" name="token" type="password" autocomplete="current-password" required;
                        button type="submit" { "Unlock" }
                        p class="hint" { (super::act::where_the_token_is(&face.dashboard.token)) }
                    }
                }
            } @else {
                p class="hint" { "Read only: " (super::act::where_the_token_is(&face.dashboard.token)) }
            }
        }
    }
}

/// A page that says why something was not done.
pub(super) fn refusal(why: &str, help: &str) -> Markup {
    let content = html! {
        main id="main" {
            div class="card" {
                h2 { "Not done" }
                p { (why) }
                @if !help.is_empty() { p class="hint" { (help) } }
                p { a href="/status" { "Back" } }
            }
        }
    };
    page("slamboot: not done", Place::Other, &content, false)
}

fn room(status: &Status, may: bool) -> Markup {
    let active =
        |t: &&TransferStatus| matches!(t.state, TransferState::Waiting | TransferState::Sending);
    let (busy, idle): (Vec<_>, Vec<_>) = status.transfers.iter().partition(active);
    html! {
        @if !status.warnings.is_empty() {
            ul class="warnings" role="alert" {
                @for warning in &status.warnings { li { (warning) } }
            }
        }
        @for transfer in &busy { (session(transfer, may)) }
        @if !idle.is_empty() { (resting(&idle, may)) }
        (clients(&status.clients, may, busy.is_empty()))
        (events(status))
        footer {
            p {
                "slamboot " (status.server.version) " at " (status.server.addresses.join(", "))
                ", since " (time(&status.server.started))
                " · " a href="/api/v1/status" { "API" }
                " · " a href="/api/v1/openapi.json" { "OpenAPI" }
                " · " a href="/metrics" { "metrics" }
            }
        }
    }
}

fn session(transfer: &TransferStatus, may: bool) -> Markup {
    let id = format!("t-{}", slug(&transfer.name));
    let waiting = transfer.state == TransferState::Waiting;
    let percent = (transfer.progress * 100.0).floor();
    html! {
        section class="card session" id=(id) aria-labelledby=(format!("{id}-h")) {
            div class="head" {
                h2 id=(format!("{id}-h")) { (transfer.name) }
                span class={ "badge " (if waiting { "wait" } else { "go" }) } {
                    @if waiting && transfer.held { "held" } @else if waiting { "waiting" } @else { "sending" }
                }
                @if may { (buttons(transfer, &id)) }
            }
            dl class="facts" {
                div { dt { "Clients" } dd {
                    (transfer.present)
                    @match transfer.expected {
                        Some(expected) if waiting => { " of " (expected) },
                        Some(expected) => small { " · " (transfer.joined) " of " (expected) " came" },
                        None => {},
                    }
                    @if transfer.finished > 0 { small { " · " (transfer.finished) " finished" } }
                } }
                @if waiting {
                    div { dt { "Begins" } dd { @match transfer.begins_in_seconds {
                        Some(seconds) => { "in " (duration(seconds)) },
                        None if transfer.held => { "when told" },
                        None => { "when full" },
                    } } }
                } @else {
                    div { dt { "Sending" } dd { (rate(transfer.bits_per_second)) } }
                    div { dt { "Left" } dd { @match transfer.seconds_left {
                        Some(seconds) => { "about " (duration(seconds)) },
                        None => { "–" },
                    } } }
                    div { dt { "Repairs" } dd { (share(transfer.repair_share)) } }
                }
                div { dt { "Sent" } dd {
                    (Bytes(transfer.sent_bytes)) @if let Some(bytes) = transfer.bytes { small { " · file " (Bytes(bytes)) } }
                } }
                @if transfer.lanes.len() > 1 {
                    div { dt { "Groups" } dd { @for (number, lane) in transfer.lanes.iter().enumerate() {
                        @if number > 0 { " · " }
                        (lane.clients) " at " (rate(lane.bits_per_second))
                    } } }
                }
            }
            div class="bar" {
                progress max="100" value=(percent) aria-label="Progress of all clients" {}
                span { (percent) " %" }
            }
            (map::draw(&transfer.map))
            @if !transfer.map.is_empty() { (map::legend()) }
        }
    }
}

/// A button in a form of its own, so that it works without scripts.
fn button(what: &str, field: &str, value: &str, id: &str, text: &str, ask: Option<&str>) -> Markup {
    html! {
        form method="post" action="/status/act" class="act" {
            input type="hidden" name="do" value=(what);
            input type="hidden" name=(field) value=(value);
            button type="submit" id=(format!("{id}-{what}")) data-ask=[ask] { (text) }
        }
    }
}

fn buttons(transfer: &TransferStatus, id: &str) -> Markup {
    let waiting = transfer.state == TransferState::Waiting;
    let name = &transfer.name;
    html! {
        div class="acts" {
            @if waiting { (button("start", "transfer", name, id, "Start now", None)) }
            @if transfer.held {
                (button("release", "transfer", name, id, "Release", None))
            } @else if transfer.state != TransferState::Sending {
                (button("hold", "transfer", name, id, "Hold", None))
            }
        }
    }
}

fn resting(idle: &[&TransferStatus], may: bool) -> Markup {
    html! {
        section class="card" aria-labelledby="idle-h" {
            h2 id="idle-h" { "Ready" }
            div class="scroll" {
                table class="idle" {
                    thead { tr { th scope="col" { "File" } th scope="col" { "Size" } th scope="col" class="wide" { "Group" }
                        th scope="col" { "Served" } @if may { th scope="col" { "Do" } } } }
                    tbody {
                        @for transfer in idle {
                            @let id = format!("t-{}", slug(&transfer.name));
                            tr id=(id) {
                                th scope="row" { (transfer.name) @if transfer.held { " " span class="badge wait" { "held" } } }
                                td { @match transfer.bytes {
                                    Some(bytes) => (Bytes(bytes)),
                                    None => span class="bad" { "not served now" },
                                } }
                                td class="wide" { (transfer.group) }
                                td { (transfer.totals.finished) " of " (transfer.totals.joined) }
                                @if may { td { (buttons(transfer, &id)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn clients(clients: &[ClientStatus], may: bool, nobody: bool) -> Markup {
    if clients.is_empty() {
        return html! {
            section class="card empty" {
                h2 { "Nobody is here yet" }
                p { "Switch on a PC that boots from the network: it shows up here as soon as it asks for anything." }
                p class="hint" { "Nothing happens? " code { "slamboot doctor" } " says what stands in the way." }
            }
        };
    }
    let taking_part = clients.iter().filter(|c| c.slowness.is_some()).count();
    html! {
        section class="card" aria-labelledby="clients-h" {
            h2 id="clients-h" {
                "Clients " small {
                    @if !nobody { (taking_part) " in a room, the slowest first · " } (clients.len()) " known"
                }
            }
            table class="clients" {
                thead { tr {
                    th scope="col" { "Client" } th scope="col" { "Boots with" } th scope="col" { "State" }
                    th scope="col" { "Progress" } th scope="col" class="n" { "Gets" } th scope="col" class="n" { "Lost" }
                    th scope="col" class="n" { "Left" } @if may { th scope="col" { "Do" } }
                } }
                tbody {
                    @for client in clients.iter().take(MOST_SHOWN) { (row(client, may)) }
                }
            }
            @if clients.len() > MOST_SHOWN {
                p class="hint" { (clients.len() - MOST_SHOWN) " more: " a href="/api/v1/clients" { "the API" } " has them all" }
            }
        }
    }
}

/// What people call a client.
fn label(client: &ClientStatus) -> &str {
    let known = [&client.name, &client.mac, &client.address];
    known
        .into_iter()
        .flatten()
        .next()
        .map_or("unknown", String::as_str)
}

fn row(client: &ClientStatus, may: bool) -> Markup {
    let id = format!("c-{}", client.id);
    let label = label(client);
    let percent = (client.progress * 100.0).floor();
    html! {
        tr id=(id) {
            th scope="row" {
                a id=(format!("{id}-a")) href=(format!("/status/client/{}", client.id)) { (label) }
                small {
                    @if client.name_is_claimed { "by its own word, " }
                    @match (&client.address, client.port) {
                        (Some(address), _) if address != label => (address),
                        // Several at one host differ by their ports alone.
                        (Some(_), Some(port)) => { "port " (port) },
                        _ => {},
                    }
                    @if client.mac.as_deref() != Some(label) { @if let Some(mac) = &client.mac { " " span class="mac" { (mac) } } }
                }
            }
            td data-th="Boots with" { small { (client.program.as_deref().unwrap_or("–")) } }
            td data-th="State" {
                span class={ "badge " (shade(client.state)) } { (word(client.state)) }
                @if let (Some(rank), ClientState::Receiving) = (client.slowness, client.state) {
                    " " small class="rank" { (slowness(rank)) }
                }
                @if let Some(failure) = &client.failure { small class="bad" { (failure.text) } }
            }
            td data-th="Progress" class="p" {
                @if client.transfer.is_some() || client.download.is_some() {
                    progress max="100" value=(percent) aria-label=(format!("Progress of {label}")) {}
                    span { (percent) " %" }
                } @else { "–" }
            }
            td data-th="Gets" class="n" { @if client.gets() { (rate(client.bits_per_second)) } @else { "–" } }
            td data-th="Lost" class="n" { @match client.lost { Some(lost) => (share(lost)), None => "–" } }
            td data-th="Left" class="n" { @match (client.seconds_left, client.gets()) {
                (Some(left), true) => (duration(left)),
                _ => "–",
            } }
            @if may {
                td data-th="Do" {
                    @if client.slowness.is_some() {
                        (button("drop", "client", &client.id.to_string(), &id, "Drop",
                            Some(&format!("Drop {label}? It is told to go elsewhere and is not waited for."))))
                    }
                }
            }
        }
    }
}

fn events(status: &Status) -> Markup {
    html! {
        details class="card" id="events" {
            summary { h2 { "What happened" } }
            ol class="events" {
                @for line in &status.events {
                    li class=(match line.level { Level::Info => "", Level::Warning => "warning", Level::Error => "error" }) {
                        (time(&line.time)) " " (line.text)
                    }
                }
            }
        }
    }
}

/// `/status/client/ID`
pub(super) async fn client(
    State(face): Shared,
    headers: HeaderMap,
    id: Result<Path<u64>, PathRejection>,
) -> Response {
    let published = face.dashboard.seen.latest.borrow().clone();
    let id = id.map(|Path(id)| id).ok();
    let known = published
        .status
        .clients
        .iter()
        .find(|client| Some(client.id) == id);
    let Some(client) = known else {
        let page = refusal(
            "no such client",
            "it was not heard of since this server started",
        );
        return (StatusCode::NOT_FOUND, page).into_response();
    };
    let may = may_act(&face, &headers);
    let mac: Option<Mac> = client.mac.as_ref().and_then(|mac| mac.parse().ok());
    let assigned = mac.and_then(|mac| face.dashboard.assignments.get(mac));
    let content = html! {
        main id="main" { (facts(client)) @if let Some(mac) = mac {
            (boots(&face.site(), client.id, mac, assigned.as_ref(), may))
        } }
    };
    let title = format!("{}: slamboot", label(client));
    page(&title, Place::Other, &content, false).into_response()
}

fn facts(client: &ClientStatus) -> Markup {
    let fact = |name: &str, value: Option<&str>| {
        html! { @if let Some(value) = value { div { dt { (name) } dd { (value) } } } }
    };
    html! {
        section class="card" {
            div class="head" {
                h2 { (label(client)) }
                span class={ "badge " (shade(client.state)) } { (word(client.state)) }
            }
            p { (client.detail) }
            @if let Some(failure) = &client.failure {
                div class="failure" {
                    p { strong { (failure.text) } @if let Some(code) = &client.failure.as_ref().and_then(|f| f.code.as_ref()) {
                        " (iPXE " code { (code) } ", https://ipxe.org/" (code) ")"
                    } }
                    @if !failure.meaning.is_empty() { p { "Most likely " (failure.meaning) "." } }
                }
            }
            dl class="facts" {
                @if client.name_is_claimed { (fact("Name", Some("by its own word (DHCP); no [[host]] names it"))) }
                (fact("Address", client.address.as_deref()))
                @if let Some(mac) = &client.mac { div { dt { "Card" } dd class="mac" { (mac) } } }
                (fact("Machine", client.arch.as_deref()))
                (fact("Boots with", client.program.as_deref()))
                (fact("Image", client.boots.as_deref()))
                (fact("Transfer", client.transfer.as_deref()))
                (fact("Download", client.download.as_deref()))
                @if let Some(rank) = client.slowness { (fact("Rank", Some(&format!("{} of those who receive it", slowness(rank))))) }
                @if client.transfer.is_some() || client.download.is_some() {
                    div { dt { "Progress" } dd { (share(client.progress)) } }
                    @if let Some(seconds) = client.seconds { div { dt { "Took" } dd { (duration(seconds)) } } }
                    @if let Some(lost) = client.lost { div { dt { "Lost" } dd { (share(lost)) } } }
                }
                div { dt { "Heard" } dd { (time(&client.seen)) } }
            }
        }
    }
}

fn boots(site: &Site, client: u64, mac: Mac, assigned: Option<&Assignment>, may: bool) -> Markup {
    let now_boots = assigned.map(|assignment| &assignment.boot);
    let always = assigned.is_some_and(|assignment| !assignment.once);
    let served = |name: &str| site.images.iter().any(|image| image.name == name);
    let gone = match now_boots {
        Some(Boot::Image(name)) if !served(name) => Some(name),
        _ => None,
    };
    let now = match assigned {
        None => "as the configuration says".to_owned(),
        Some(assignment) => {
            let what = match &assignment.boot {
                Boot::Image(name) => name.as_str(),
                Boot::Menu => "the menu",
                Boot::Local => "its own disk",
                Boot::Default => "the default",
            };
            let when = if assignment.once {
                "next time"
            } else {
                "always"
            };
            format!("{what}, {when}")
        }
    };
    html! {
        section class="card" {
            h2 { "What it boots" }
            p { (now) }
            @if may {
                form method="post" action="/status/act" class="assign" {
                    input type="hidden" name="do" value="assign";
                    input type="hidden" name="mac" value=(mac);
                    input type="hidden" name="client" value=(client);
                    label { "Boot " select name="boot" {
                        @for image in &site.images {
                            @let this = now_boots == Some(&Boot::Image(image.name.clone()));
                            option value=(format!("image:{}", image.name)) selected[this] { (image.name) }
                        }
                        @if let Some(name) = gone {
                            option value=(format!("image:{name}")) selected { (name) " (not served now)" }
                        }
                        option value="menu" selected[now_boots == Some(&Boot::Menu)] { "the menu" }
                        option value="local" selected[now_boots == Some(&Boot::Local)] { "its own disk" }
                        @if now_boots == Some(&Boot::Default) { option value="default" selected { "the default" } }
                        option value="rules" selected[now_boots.is_none()] { "as the configuration says" }
                    } }
                    label { input type="radio" name="when" value="once" checked[!always]; " next time only" }
                    label { input type="radio" name="when" value="always" checked[always]; " always" }
                    button type="submit" { "Assign" }
                }
            } @else {
                p class="hint" { "Unlock " a href="/status" { "the page" } " to change it." }
            }
        }
    }
}

pub(crate) fn word(state: ClientState) -> &'static str {
    match state {
        ClientState::Starting => "starting",
        ClientState::Refused => "refused",
        ClientState::Loading => "loading",
        ClientState::Waiting => "waiting",
        ClientState::Receiving => "receiving",
        ClientState::Finished => "finished",
        ClientState::Booting => "booting",
        ClientState::Dropped => "dropped",
        ClientState::Silent => "silent",
        ClientState::GaveUp => "gave up",
        ClientState::Failed => "failed",
    }
}

pub(super) fn shade(state: ClientState) -> &'static str {
    match state {
        ClientState::Receiving => "go",
        ClientState::Finished | ClientState::Booting => "done",
        ClientState::Waiting => "wait",
        ClientState::Starting | ClientState::Loading => "calm",
        ClientState::Dropped | ClientState::Silent | ClientState::Refused => "off",
        ClientState::GaveUp | ClientState::Failed => "bad",
    }
}

/// A moment, which the page's script puts into the reader's own time.
pub(super) fn time(text: &str) -> Markup {
    html! { time datetime=(text) { (text.replace('T', " ").trim_end_matches('Z')) } }
}

pub(crate) fn rate(bits_per_second: u64) -> String {
    let bits = bits_per_second as f64;
    match bits_per_second {
        0..1_000_000 => format!("{:.0} kbit/s", bits / 1e3),
        1_000_000..100_000_000 => format!("{:.1} Mbit/s", bits / 1e6),
        _ => format!("{:.0} Mbit/s", bits / 1e6),
    }
}

pub(crate) fn share(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 9.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).ceil() as u64;
    match whole {
        0..120 => format!("{whole} s"),
        120..7200 => format!("{} min", whole.div_ceil(60)),
        _ => format!("{} h", whole.div_ceil(3600)),
    }
}

/// A place among those who receive the same, the slowest first.
fn slowness(rank: u64) -> String {
    let ending = match (rank % 10, rank % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    match rank {
        1 => "slowest".to_owned(),
        _ => format!("{rank}{ending} slowest"),
    }
}

/// As it may stand in an `id`.
fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "<script>alert('\"&x')</script>";

    #[test]
    fn what_comes_from_the_network_is_escaped() {
        let client = ClientStatus {
            id: 1,
            name: Some(EVIL.to_owned()),
            name_is_claimed: true,
            program: Some(EVIL.to_owned()),
            detail: EVIL.to_owned(),
            address: Some(EVIL.to_owned()),
            mac: Some(EVIL.to_owned()),
            boots: Some(EVIL.to_owned()),
            transfer: Some(EVIL.to_owned()),
            slowness: Some(1),
            ..ClientStatus::default()
        };
        let transfer = TransferStatus {
            name: EVIL.to_owned(),
            group: EVIL.to_owned(),
            state: TransferState::Sending,
            map: EVIL.to_owned(),
            ..TransferStatus::default()
        };
        let status = Status {
            clients: vec![client.clone()],
            transfers: vec![
                transfer.clone(),
                TransferStatus {
                    state: TransferState::Idle,
                    ..transfer
                },
            ],
            warnings: vec![EVIL.to_owned()],
            events: vec![crate::observe::status::LogLine {
                text: EVIL.to_owned(),
                time: EVIL.to_owned(),
                ..Default::default()
            }],
            ..Status::default()
        };
        for may in [true, false] {
            let made = room(&status, may).into_string() + &facts(&client).into_string();
            assert!(!made.contains("<script"), "{made}");
            assert!(!made.contains("alert('\""), "{made}");
            assert_eq!(made.contains("<form"), may);
        }
        assert!(!refusal(EVIL, EVIL).into_string().contains("<script>"));
    }

    /// Who presses "Assign" without looking changes nothing.
    #[test]
    fn what_is_assigned_is_what_the_form_shows() {
        let site = "[[image]]\nname = \"a\"\nkind = \"disk\"\npath = \"a\"\n\
                    [[image]]\nname = \"b\"\nkind = \"disk\"\npath = \"b\"\n";
        let site = Site::parse(site, std::path::Path::new("slamboot.toml")).unwrap();
        let mac = Mac::new([0x52, 0x54, 0, 0, 0, 1]);
        let shown = |boot: Option<Boot>, once| {
            let assigned = boot.map(|boot| Assignment { boot, once });
            let made = boots(&site, 1, mac, assigned.as_ref(), true).into_string();
            let marked = |mark: &str| {
                let tags = made.split('<').filter(|tag| tag.contains(mark));
                let value = |tag: &str| {
                    tag.split("value=\"")
                        .nth(1)?
                        .split('"')
                        .next()
                        .map(str::to_owned)
                };
                tags.filter_map(value).collect::<Vec<_>>().join(" ")
            };
            [marked(" selected"), marked(" checked")]
        };
        assert_eq!(shown(None, true), ["rules", "once"]);
        assert_eq!(
            shown(Some(Boot::Image("b".into())), false),
            ["image:b", "always"]
        );
        assert_eq!(
            shown(Some(Boot::Image("c".into())), true),
            ["image:c", "once"]
        );
        assert_eq!(shown(Some(Boot::Menu), true), ["menu", "once"]);
        assert_eq!(shown(Some(Boot::Local), false), ["local", "always"]);
        assert_eq!(shown(Some(Boot::Default), false), ["default", "always"]);
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(rate(512_000), "512 kbit/s");
        assert_eq!(rate(31_200_000), "31.2 Mbit/s");
        assert_eq!(rate(903_000_000), "903 Mbit/s");
        assert_eq!(
            [share(0.0), share(0.013), share(0.5)],
            ["0 %", "1.3 %", "50 %"]
        );
        assert_eq!(
            [1, 2, 3, 4, 11, 12, 23, 101, 112].map(slowness),
            [
                "slowest",
                "2nd slowest",
                "3rd slowest",
                "4th slowest",
                "11th slowest",
                "12th slowest",
                "23rd slowest",
                "101st slowest",
                "112th slowest"
            ]
        );
        assert_eq!(
            [duration(0.2), duration(119.0), duration(121.0)],
            ["1 s", "119 s", "3 min"]
        );
    }
}
