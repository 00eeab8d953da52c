// SPDX-License-Identifier: MIT OR Apache-2.0
//! HTTP for what is small (memdisk, scripts) and, for clients without multicast, for the images.
//!
//! Images come from what SLAM's sessions serve, by name: both give the same bytes, whatever happens
//! to the path, and no part of a request ever becomes a path.

use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http_range_header::parse_range_header;
use serde::Deserialize;
use site::{Site, Transfer};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tower_http::services::ServeFile;

use super::archs::Archs;
use super::assign::Assignments;
use super::body::ContentBody;
use super::download::Download;
use super::guarded::{Guarded, Peer};
use super::handed::Handed;
use super::identity::Identity;
pub use super::listening::{HttpError, HttpSockets, Scheme};
use super::report::{ReportQuery, Reports, Tell};
use super::roms::RomShelf;
use super::script::{Asks, ScriptRefusal, Scripts};
pub use super::script::{BootScript, Loader};
use super::secured;
use crate::net::Shelf;
use crate::observe::BootEvent;

/// How long downloads that run may go on after [`HttpServer::stop`].
const GRACE: Duration = Duration::from_secs(1);
/// A signature brings two certificates or three, a few kilobytes.
const SIGNATURE_LIMIT: u64 = 64 << 10;
/// Seconds after which a client asks again for what is not ready.
const RETRY: u32 = 5;

/// A place where HTTP is served: an interface's address, and the site as its clients see it.
#[derive(Clone, Debug)]
pub struct HttpStand {
    /// Where to listen; scripts name this address.
    pub address: SocketAddrV4,
    /// `server.address6` is the interface's; `server.address` need not be set.
    pub site: Site,
}

/// What goes with it.
#[derive(Clone, Default)]
pub struct Beside {
    /// Whom to tell what clients got and report.
    pub tell: Option<Tell>,
    /// Pages under paths of their own.
    pub pages: Option<Router>,
    /// The same over TLS: at which port, and as whom.
    pub secure: Option<(u16, Identity)>,
    /// Sockets that are there already.
    pub handed: Handed,
    /// What machines said by DHCP that they are.
    pub archs: Arc<Archs>,
}

/// A running HTTP server; it ends with [`HttpServer::stop`] or when it is dropped.
#[derive(Debug)]
pub struct HttpServer {
    addresses: Vec<SocketAddr>,
    secure_addresses: Vec<SocketAddr>,
    shown: Option<secured::Shown>,
    sites: Vec<Arc<RwLock<Arc<Site>>>>,
    scripts: Vec<Arc<Scripts>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Listens at each stand, and answers.
    pub fn start(
        stands: &[HttpStand],
        shelf: &Arc<Shelf>,
        script: BootScript,
        roms: &Arc<RomShelf>,
        assignments: &Arc<Assignments>,
        beside: &Beside,
    ) -> Result<HttpServer, HttpError> {
        let addresses: Vec<SocketAddrV4> = stands.iter().map(|stand| stand.address).collect();
        let secure = beside.secure.as_ref().map(|(port, _)| *port);
        let sockets = HttpSockets::bind(&addresses, secure, &beside.handed)?;
        HttpServer::start_at(sockets, stands, shelf, script, roms, assignments, beside)
    }

    /// Answers at each stand from a thread of its own, with the images on `shelf`.
    ///
    /// A connection that gets nothing written for a while ends, and there are at most as many as
    /// the site says, so that slow or idle clients take no room from others for long.
    pub fn start_at(
        sockets: HttpSockets,
        stands: &[HttpStand],
        shelf: &Arc<Shelf>,
        script: BootScript,
        roms: &Arc<RomShelf>,
        assignments: &Arc<Assignments>,
        beside: &Beside,
    ) -> Result<HttpServer, HttpError> {
        let (mut addresses, mut sites, mut listening) = (Vec::new(), Vec::new(), Vec::new());
        let mut scripts_of = Vec::new();
        let mut secure_addresses = Vec::new();
        let secure_shown = beside
            .secure
            .as_ref()
            .map(|(_, identity)| secured::Shown::new(identity));
        for (stand, (plain, secured)) in stands.iter().zip(sockets.doors) {
            let site = Arc::new(RwLock::new(Arc::new(stand.site.clone())));
            let scripts = Scripts {
                site: Arc::clone(&site),
                server: *stand.address.ip(),
                port: Some(plain.at.port()),
                render: script,
                shelf: Arc::clone(shelf),
                assignments: Arc::clone(assignments),
                archs: Arc::clone(&beside.archs),
            };
            let shown = Shown {
                scripts: Arc::new(scripts),
                roms: Arc::clone(roms),
                reports: Arc::new(Reports::new(beside.tell.clone())),
                has_pages: beside.pages.is_some(),
            };
            scripts_of.push(Arc::clone(&shown.scripts));
            let most = stand.site.http.max_connections;
            let mut routes = routes(shown, &stand.site);
            if let Some(pages) = &beside.pages {
                routes = routes.merge(pages.clone());
            }
            if let Some(secured) = secured {
                let door = Door {
                    listener: secured.listener,
                    shown: secure_shown.clone(),
                    most,
                    routes: routes.clone().layer(map_response(keep_cookies_secure)),
                };
                listening.push(door);
                secure_addresses.push(secured.at);
            }
            listening.push(Door {
                listener: plain.listener,
                shown: None,
                most,
                routes,
            });
            addresses.push(plain.at);
            sites.push(site);
        }
        let system = |step| {
            move |source| HttpError::System {
                address: stands
                    .first()
                    .map_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), |stand| {
                        stand.address
                    }),
                step,
                source,
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(system("start the runtime"))?;
        let (stop, stopped) = oneshot::channel();
        let tell = beside.tell.clone();
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                runtime.block_on(answer(listening, stopped, tell.as_ref()));
                // Reads of files that hang (a dead network file system) do not hold up the end.
                runtime.shutdown_background();
            })
            .map_err(system("start a thread"))?;
        Ok(HttpServer {
            addresses,
            secure_addresses,
            shown: secure_shown,
            sites,
            scripts: scripts_of,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens, in the order of the stands.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it speaks TLS, in the order of the stands; nowhere without a certificate.
    pub fn secure_addresses(&self) -> &[SocketAddr] {
        &self.secure_addresses
    }

    /// Answers handshakes that begin from now on as another one, where TLS is spoken.
    pub fn renew(&self, identity: &Identity) {
        if let Some(shown) = &self.shown {
            shown.renew(identity);
        }
    }

    /// The scripts, in the order of the stands, for whoever hands them out another way.
    pub fn scripts(&self) -> &[Arc<Scripts>] {
        &self.scripts
    }

    /// Shows other sites from now on, in the order of the stands.
    pub fn show(&self, sites: impl IntoIterator<Item = Site>) {
        for (shown, site) in self.sites.iter().zip(sites) {
            *shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(site);
        }
    }

    /// Takes no more connections, lets running downloads go on for a second, and ends.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed by its thread; there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where HTTP's connections come in.
struct Door {
    listener: TcpListener,
    /// With TLS, if there is something to show.
    shown: Option<secured::Shown>,
    most: u32,
    routes: Router,
}

/// Answers until the other end of `stopped` is dropped.
async fn answer(listening: Vec<Door>, stopped: oneshot::Receiver<()>, tell: Option<&Tell>) {
    let failed = |error: io::Error| {
        if let Some(tell) = tell {
            let what = format!("HTTP: {error}");
            tell(BootEvent::BootServiceFailed { what });
        }
    };
    let (drain, drained) = watch::channel(());
    let mut servers = JoinSet::new();
    for door in listening {
        let listener = match tokio::net::TcpListener::from_std(door.listener) {
            Ok(listener) => Guarded::new(listener, door.shown, door.most as usize),
            Err(error) => {
                failed(error);
                continue;
            }
        };
        let mut drained = drained.clone();
        let service = door.routes.into_make_service_with_connect_info::<Peer>();
        let server = axum::serve(listener, service).with_graceful_shutdown(async move {
            // Ends with an error, as soon as the other end is dropped.
            let _ = drained.changed().await;
        });
        servers.spawn(server.into_future());
    }
    let deadline = async {
        let _ = stopped.await;
        drop(drain);
        tokio::time::sleep(GRACE).await;
    };
    let all = async {
        while let Some(result) = servers.join_next().await {
            if let Ok(Err(error)) = result {
                failed(error);
            }
        }
    };
    tokio::select! {
        () = all => {}
        () = deadline => {}
    }
}

/// A cookie that was got over TLS is for TLS alone (RFC 6265, section 4.1.2.5).
async fn keep_cookies_secure(mut response: Response) -> Response {
    if let header::Entry::Occupied(mut cookies) = response.headers_mut().entry(header::SET_COOKIE) {
        for cookie in cookies.iter_mut() {
            let secured = [cookie.as_bytes(), b"; Secure"].concat();
            if let Ok(secured) = HeaderValue::from_bytes(&secured) {
                *cookie = secured;
            }
        }
    }
    response
}

/// What scripts and pages are made of.
struct Shown {
    scripts: Arc<Scripts>,
    roms: Arc<RomShelf>,
    reports: Arc<Reports>,
    /// Whether people are shown a page instead of the list of what is served.
    has_pages: bool,
}

impl Shown {
    fn site(&self) -> Arc<Site> {
        self.scripts.site()
    }
}

/// Every route there is.
fn routes(shown: Shown, site: &Site) -> Router {
    let memdisk = ServeFile::new(&site.server.memdisk).ignore_multi_range_requests(true);
    let memdisk_signature = site::signature_of(&site.server.memdisk);
    Router::new()
        .route("/", get(index))
        .route("/boot.ipxe", get(boot_ipxe))
        .route("/boot.gpxe", get(boot_gpxe))
        .route("/menu.ipxe", get(menu))
        .route("/report", get(report))
        .route("/firmware/{name}", get(rom))
        .route("/images/{*name}", get(image))
        .route("/signatures/{*name}", get(signature))
        .route_service("/memdisk", memdisk)
        .route(
            "/memdisk.sig",
            get(async move || signature_in(&memdisk_signature).await),
        )
        .fallback(not_found)
        .with_state(Arc::new(shown))
}

/// The content of a transfer, whole or in part.
async fn image(
    State(shown): State<Arc<Shown>>,
    Path(name): Path<String>,
    ConnectInfo(Peer(client)): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Response {
    let Some(content) = shown.scripts.shelf.find(shown.scripts.server, &name) else {
        let site = shown.site();
        if site
            .transfers()
            .iter()
            .any(|transfer| transfer.name() == name)
        {
            return not_ready(&name);
        }
        return not_found().await;
    };
    let etag = format!("\"{}\"", hex::encode(content.sha256()));
    let modified = content.modified().map(httpdate::fmt_http_date);
    let told = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let mut response = Response::builder()
        .header(header::ETAG, &etag)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_TYPE, "application/octet-stream");
    if let Some(modified) = &modified {
        response = response.header(header::LAST_MODIFIED, modified);
    }
    let unchanged = match told(header::IF_NONE_MATCH) {
        Some(tags) => tags
            .split(',')
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == etag || tag == "*"),
        None => told(header::IF_MODIFIED_SINCE)
            .and_then(|since| httpdate::parse_http_date(since).ok())
            .zip(content.modified())
            .is_some_and(|(since, modified)| modified <= since),
    };
    let bytes = content.bytes();
    let made = if unchanged {
        response
            .status(StatusCode::NOT_MODIFIED)
            .body(Body::empty())
    } else {
        let is_same = |of: &str| of == etag || Some(of) == modified.as_deref();
        let body = |range: Range<u64>| {
            let download = Download::of(&shown.reports, client, &name, range.clone(), bytes);
            Body::new(ContentBody::new(content, range).told(download))
        };
        match wanted(told, bytes, is_same) {
            Wanted::Whole => response
                .header(header::CONTENT_LENGTH, bytes)
                .body(body(0..bytes)),
            Wanted::Part(from, to) => response
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, format!("bytes {from}-{to}/{bytes}"))
                .header(header::CONTENT_LENGTH, to + 1 - from)
                .body(body(from..to + 1)),
            Wanted::Nothing => response
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(header::CONTENT_RANGE, format!("bytes */{bytes}"))
                .body(Body::empty()),
        }
    };
    made.unwrap_or_else(|error| {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
    })
}

/// The detached signature of a transfer, for ROMs that verify what they fetch.
async fn signature(State(shown): State<Arc<Shown>>, Path(name): Path<String>) -> Response {
    let site = shown.site();
    let transfers = site.transfers();
    let Some(transfer) = transfers.iter().find(|transfer| transfer.name() == name) else {
        return not_found().await;
    };
    signature_in(&site::signature_of(&transfer.path)).await
}

/// What lies in a signature's file, read when it is asked for: it may be made anew at any time.
async fn signature_in(path: &std::path::Path) -> Response {
    let opened = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_signature(&opened));
    let name = path.file_name().unwrap_or_default().display();
    match read.await.unwrap_or_else(|error| Err(error.into())) {
        Ok(bytes) if bytes.len() as u64 <= SIGNATURE_LIMIT => (
            [(header::CONTENT_TYPE, "application/pkcs7-signature")],
            bytes,
        )
            .into_response(),
        Ok(_) => {
            let text = format!("{name} is larger than any signature\n");
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!("there is no {name}: `cargo xtask trust sign FILE` makes it\n");
            (StatusCode::NOT_FOUND, text).into_response()
        }
        Err(error) => {
            let text = format!("{name} cannot be read: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}

/// No more than shows that it is too large.
fn read_signature(path: &std::path::Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("no regular file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(SIGNATURE_LIMIT + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn not_ready(name: &str) -> Response {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(header::RETRY_AFTER, RETRY.to_string())],
        format!("{name} is not served yet: its file is being digested, is not there, or cannot be served\n"),
    )
        .into_response()
}

#[derive(Deserialize)]
struct BootQuery {
    image: Option<String>,
    mac: Option<String>,
}

async fn boot_ipxe(
    State(shown): State<Arc<Shown>>,
    Query(query): Query<BootQuery>,
    ConnectInfo(Peer(client)): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Response {
    boot_script(Loader::Ipxe, &shown, query, client, &headers)
}

async fn boot_gpxe(
    State(shown): State<Arc<Shown>>,
    Query(query): Query<BootQuery>,
    ConnectInfo(Peer(client)): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Response {
    boot_script(Loader::Gpxe, &shown, query, client, &headers)
}

async fn menu(State(shown): State<Arc<Shown>>) -> Response {
    scripted(shown.scripts.menu())
}

/// What a client tells of itself.
async fn report(
    State(shown): State<Arc<Shown>>,
    Query(query): Query<ReportQuery>,
    ConnectInfo(Peer(client)): ConnectInfo<Peer>,
) -> &'static str {
    shown.reports.reported(query, client);
    // iPXE makes an image of it, and frees that.
    "slamboot: noted\n"
}

fn boot_script(
    loader: Loader,
    shown: &Shown,
    query: BootQuery,
    client: SocketAddr,
    headers: &HeaderMap,
) -> Response {
    let asks = Asks {
        loader,
        image: query.image,
        // A word that is no address is as good as none: the client is known by where it is.
        mac: query.mac.and_then(|mac| mac.parse().ok()),
        client: client.ip(),
    };
    scripted(shown.scripts.answer(&asks).map(|answered| {
        shown.reports.served(&answered, client, headers);
        answered.script
    }))
}

fn scripted(script: Result<String, ScriptRefusal>) -> Response {
    match script {
        Ok(script) => script.into_response(),
        Err(refusal @ ScriptRefusal::NotServed(_)) => {
            (StatusCode::NOT_FOUND, format!("{refusal}\n")).into_response()
        }
        Err(ScriptRefusal::NotReady { image }) => not_ready(&image),
        Err(refusal @ ScriptRefusal::Unspeakable(_)) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{refusal}\n")).into_response()
        }
    }
}

/// A boot program, with its digest as the entity tag.
async fn rom(
    State(shown): State<Arc<Shown>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(rom) = shown.roms.get(&name) else {
        return not_found().await;
    };
    let etag = format!("\"{}\"", rom.sha256);
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == etag));
    if known {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    // UEFI takes what it boots for an EFI program by its type, or by the ending of its name (UEFI
    // 2.10, section 24.7.2).
    let kind = match name.rsplit_once('.') {
        Some((_, "efi")) => "application/efi",
        _ => "application/octet-stream",
    };
    let told = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let bytes = rom.bytes.len() as u64;
    let part = match wanted(told, bytes, |of| of == etag) {
        Wanted::Whole => None,
        Wanted::Part(from, to) => Some((from, to)),
        Wanted::Nothing => {
            let range = format!("bytes */{bytes}");
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            return (status, [(header::CONTENT_RANGE, range)]).into_response();
        }
    };
    let mut answer = [
        (header::ETAG, etag),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CONTENT_TYPE, kind.to_owned()),
    ]
    .into_response();
    let body = match part {
        None => rom.bytes.to_vec(),
        Some((from, to)) => {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {from}-{to}/{bytes}");
            if let Ok(range) = range.try_into() {
                answer.headers_mut().insert(header::CONTENT_RANGE, range);
            }
            let (from, to) = (from as usize, to as usize);
            rom.bytes.get(from..=to).unwrap_or_default().to_vec()
        }
    };
    *answer.body_mut() = body.into();
    answer
}

/// Which of so many bytes are wanted.
enum Wanted {
    Whole,
    /// From one to another, both of them among it.
    Part(u64, u64),
    /// Beyond the end.
    Nothing,
}

/// What `Range` and `If-Range` ask for; `is_same` knows what has not changed.
fn wanted<'a>(
    told: impl Fn(header::HeaderName) -> Option<&'a str>,
    bytes: u64,
    is_same: impl Fn(&str) -> bool,
) -> Wanted {
    // A part of something else is of no use (RFC 9110, section 13.1.5).
    if !told(header::IF_RANGE).is_none_or(is_same) {
        return Wanted::Whole;
    }
    let Some(range) = told(header::RANGE) else {
        return Wanted::Whole;
    };
    match parse_range_header(range).and_then(|range| range.validate(bytes)) {
        Ok(ranges) => match ranges.as_slice() {
            [range] => Wanted::Part(*range.start(), *range.end()),
            // Several parts at once are answered with the whole, as anybody may.
            _ => Wanted::Whole,
        },
        Err(_) => Wanted::Nothing,
    }
}

/// The server's address as the clients of `transfer` write it.
fn told(site: &Site, transfer: &Transfer, server: Ipv4Addr) -> String {
    match (transfer.group, site.server.address6) {
        (SocketAddr::V6(_), Some(address)) => format!("[{address}]"),
        _ => server.to_string(),
    }
}

/// For people the page, for programs a list.
async fn index(State(shown): State<Arc<Shown>>, headers: HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|a| a.to_str().ok());
    if shown.has_pages && accepts.is_some_and(|accepts| accepts.contains("text/html")) {
        return Redirect::to(crate::dashboard::PAGE).into_response();
    }
    listed(&shown).into_response()
}

fn listed(shown: &Shown) -> String {
    let site = &*shown.site();
    let mut text = String::from("slamboot: what is served here\n\n");
    let mut row = |path: &str, what: &str| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{path:<32} {what}");
    };
    row("/memdisk", "boots disk images");
    if let Some(default) = site.default_image() {
        row(
            "/boot.ipxe",
            &format!("iPXE script that boots {}", default.name),
        );
        row("/boot.gpxe", "the same for gPXE");
    }
    row("/menu.ipxe", "iPXE script that lets people choose");
    for rom in shown.roms.iter() {
        let slam = if rom.slam {
            "with SLAM"
        } else {
            "without SLAM"
        };
        row(
            &format!("/firmware/{}", rom.name),
            &format!("boot program, {slam}"),
        );
    }
    for image in &site.images {
        let path = format!("/boot.ipxe?image={}", image.name);
        row(&path, &format!("iPXE script that boots {}", image.name));
    }
    for transfer in site.transfers() {
        row(
            &transfer.http_path(),
            &transfer.uri(told(site, &transfer, shown.scripts.server)),
        );
    }
    text
}

async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "not served here; / lists what is\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_asked_for_of_what_is_the_same() {
        let ask = |range: Option<&str>, of: Option<&str>| {
            let told = |name| {
                let (range, of) = (range, of);
                if name == header::RANGE { range } else { of }
            };
            match wanted(told, 100, |of| of == "same") {
                Wanted::Whole => "whole".to_owned(),
                Wanted::Part(from, to) => format!("{from}-{to}"),
                Wanted::Nothing => "nothing".to_owned(),
            }
        };
        assert_eq!(ask(None, None), "whole");
        assert_eq!(ask(Some("bytes=0-0"), None), "0-0");
        assert_eq!(ask(Some("bytes=90-"), Some("same")), "90-99");
        assert_eq!(ask(Some("bytes=90-"), Some("other")), "whole");
        assert_eq!(ask(Some("bytes=-10"), None), "90-99");
        assert_eq!(ask(Some("bytes=0-1,3-4"), None), "whole");
        assert_eq!(ask(Some("bytes=100-"), None), "nothing");
    }
}
