// SPDX-License-Identifier: MIT OR Apache-2.0
//! HTTP for what is small (memdisk, scripts) and, for clients without multicast, for the images.
//!
//! Images come from what SLAM's sessions serve, by name: both give the same bytes, whatever happens
//! to the path, and no part of a request ever becomes a path.

use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http_range_header::parse_range_header;
use serde::Deserialize;
use site::{Site, Transfer};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tower_http::services::ServeFile;

use super::assign::Assignments;
use super::body::ContentBody;
use super::guarded::{Guarded, Peer};
use super::handed::{Handed, HandedError};
use super::identity::Identity;
use super::report::{ReportQuery, Reports, Tell};
use super::roms::RomShelf;
use super::script::{Asks, ScriptRefusal, Scripts};
pub use super::script::{BootScript, Loader};
use super::secured;
use crate::net::{Content, Shelf};

/// How long downloads that run may go on after [`HttpServer::stop`].
const GRACE: Duration = Duration::from_secs(1);
/// A signature brings two certificates or three, a few kilobytes.
const SIGNATURE_LIMIT: u64 = 64 << 10;
/// Seconds after which a client asks again for what is not ready.
const RETRY: u32 = 5;

/// What is spoken at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP as it is.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    fn option(self) -> &'static str {
        match self {
            Scheme::Http => "--http-port N (http_port under [server])",
            Scheme::Https => "--https-port N (https_port under [server])",
        }
    }

    fn without(self) -> &'static str {
        match self {
            Scheme::Http => "--no-http",
            Scheme::Https => "https_port = 0",
        }
    }
}

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Somebody listens there.
    #[error(
        "TCP port {port} of {address} is taken\n  help: `ss -ltnp 'sport = :{port}'` names the holder; stop it, or choose another port with {}, or do without with {}",
        scheme.option(), scheme.without()
    )]
    PortTaken {
        /// Where.
        address: Ipv4Addr,
        /// Which.
        port: u16,
        /// For what.
        scheme: Scheme,
    },
    /// A port that only root may bind.
    #[error(
        "no permission for TCP port {port}\n  help: run as root, or choose a port above 1023 with {}",
        scheme.option()
    )]
    NotPermitted {
        /// Which.
        port: u16,
        /// For what.
        scheme: Scheme,
    },
    /// Of systemd's sockets.
    #[error(transparent)]
    Handed(#[from] HandedError),
    /// Anything else.
    #[error("cannot {step} for HTTP at {address}: {source}")]
    System {
        /// Where.
        address: SocketAddrV4,
        /// Doing what.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

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
    /// Listens at each stand and answers from a thread of its own, with the images on `shelf`.
    ///
    /// A connection that gets nothing written for a while ends, and there are at most as many as
    /// the site says, so that slow or idle clients take no room from others for long.
    pub fn start(
        stands: &[HttpStand],
        shelf: &Arc<Shelf>,
        script: BootScript,
        roms: &Arc<RomShelf>,
        assignments: &Arc<Assignments>,
        beside: &Beside,
    ) -> Result<HttpServer, HttpError> {
        let (mut addresses, mut sites, mut listening) = (Vec::new(), Vec::new(), Vec::new());
        let mut scripts_of = Vec::new();
        let (mut secure_addresses, handed) = (Vec::new(), &beside.handed);
        let secure_shown = beside
            .secure
            .as_ref()
            .map(|(_, identity)| secured::Shown::new(identity));
        for stand in stands {
            let alone = stands.len() == 1;
            let (listener, local) = listen(stand.address, Scheme::Http, handed, alone)?;
            let site = Arc::new(RwLock::new(Arc::new(stand.site.clone())));
            let scripts = Scripts {
                site: Arc::clone(&site),
                server: *stand.address.ip(),
                port: Some(local.port()),
                render: script,
                shelf: Arc::clone(shelf),
                assignments: Arc::clone(assignments),
            };
            let shown = Shown {
                scripts: Arc::new(scripts),
                roms: Arc::clone(roms),
                reports: Reports::new(beside.tell.clone()),
                has_pages: beside.pages.is_some(),
            };
            scripts_of.push(Arc::clone(&shown.scripts));
            let most = stand.site.http.max_connections;
            let mut routes = routes(shown, &stand.site);
            if let Some(pages) = &beside.pages {
                routes = routes.merge(pages.clone());
            }
            if let Some((port, _)) = &beside.secure {
                let address = SocketAddrV4::new(*stand.address.ip(), *port);
                let (listener, local) = listen(address, Scheme::Https, handed, alone)?;
                let door = Door {
                    listener,
                    shown: secure_shown.clone(),
                    most,
                    routes: routes.clone(),
                };
                listening.push(door);
                secure_addresses.push(local);
            }
            listening.push(Door {
                listener,
                shown: None,
                most,
                routes,
            });
            addresses.push(local);
            sites.push(site);
        }
        let all: Vec<SocketAddr> = addresses.iter().chain(&secure_addresses).copied().collect();
        handed.check_all_taken(&all)?;
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
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                runtime.block_on(answer(listening, stopped));
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

/// Listens at `address`, with a socket that was handed over if one is there.
fn listen(
    address: SocketAddrV4,
    scheme: Scheme,
    handed: &Handed,
    alone: bool,
) -> Result<(TcpListener, SocketAddr), HttpError> {
    let system = |step| {
        move |source| HttpError::System {
            address,
            step,
            source,
        }
    };
    let bind = || TcpListener::bind(address);
    let listener = handed.take(address, alone).map_or_else(bind, Ok);
    let listener = listener.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => HttpError::PortTaken {
            address: *address.ip(),
            port: address.port(),
            scheme,
        },
        io::ErrorKind::PermissionDenied => HttpError::NotPermitted {
            port: address.port(),
            scheme,
        },
        _ => system("listen")(source),
    })?;
    listener
        .set_nonblocking(true)
        .map_err(system("prepare the socket"))?;
    let local = listener
        .local_addr()
        .map_err(system("read the socket's address"))?;
    // One that was handed over may listen at every address: clients are told the interface's.
    let told = SocketAddr::V4(SocketAddrV4::new(*address.ip(), local.port()));
    Ok((listener, told))
}

/// Answers until the other end of `stopped` is dropped.
async fn answer(listening: Vec<Door>, stopped: oneshot::Receiver<()>) {
    let (drain, drained) = watch::channel(());
    let mut servers = JoinSet::new();
    for door in listening {
        let listener = match tokio::net::TcpListener::from_std(door.listener) {
            Ok(listener) => Guarded::new(listener, door.shown, door.most as usize),
            Err(error) => {
                eprintln!("error: HTTP: {error}");
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
                eprintln!("error: HTTP: {error}");
            }
        }
    };
    tokio::select! {
        () = all => {}
        () = deadline => {}
    }
}

/// What scripts and pages are made of.
struct Shown {
    scripts: Arc<Scripts>,
    roms: Arc<RomShelf>,
    reports: Reports,
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
        // A part of something else is of no use (RFC 9110, section 13.1.5).
        let same =
            told(header::IF_RANGE).is_none_or(|of| of == etag || Some(of) == modified.as_deref());
        let wanted = told(header::RANGE).filter(|_| same);
        match wanted.map(|range| parse_range_header(range).and_then(|range| range.validate(bytes)))
        {
            None => whole(response, content),
            // Several parts at once are answered with the whole, as anybody may.
            Some(Ok(ranges)) => match ranges.as_slice() {
                [range] => {
                    let (from, to) = (*range.start(), *range.end());
                    response
                        .status(StatusCode::PARTIAL_CONTENT)
                        .header(header::CONTENT_RANGE, format!("bytes {from}-{to}/{bytes}"))
                        .header(header::CONTENT_LENGTH, to + 1 - from)
                        .body(Body::new(ContentBody::new(content, from..to + 1)))
                }
                _ => whole(response, content),
            },
            Some(Err(_)) => response
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

fn whole(
    response: axum::http::response::Builder,
    content: Arc<Content>,
) -> Result<Response, axum::http::Error> {
    let bytes = content.bytes();
    response
        .header(header::CONTENT_LENGTH, bytes)
        .body(Body::new(ContentBody::new(content, 0..bytes)))
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
    (
        [
            (header::ETAG, etag),
            (header::CONTENT_TYPE, kind.to_owned()),
        ],
        rom.bytes.to_vec(),
    )
        .into_response()
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
