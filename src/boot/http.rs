// SPDX-License-Identifier: MIT OR Apache-2.0
//! HTTP for what is small (memdisk, scripts) and, for clients without multicast, for the images.
//!
//! Routes come from the site, one for each file: no part of a request ever becomes a path.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use serde::Deserialize;
use site::{Image, Site, Transfer};
use tokio::sync::oneshot;
use tower_http::services::ServeFile;

/// How long downloads that run may go on after [`HttpServer::stop`].
const GRACE: Duration = Duration::from_secs(1);
/// How much of a file is read at a time.
const CHUNK: usize = 256 * 1024;

/// Whom a script is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    /// `/boot.ipxe`
    Ipxe,
    /// `/boot.gpxe`: iPXE's ancestor.
    Gpxe,
}

/// Renders the script that boots an image of a site from the server at an address; the error
/// says what in the site cannot stand in a script.
pub type BootScript = fn(Loader, &Site, &Image, Ipv4Addr) -> Result<String, String>;

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Somebody listens there.
    #[error(
        "TCP port {port} of {address} is taken\n  help: `ss -ltnp 'sport = :{port}'` names the holder; stop it, or choose another port with --http-port N (http_port under [server]), or do without with --no-http"
    )]
    PortTaken {
        /// Where.
        address: Ipv4Addr,
        /// Which.
        port: u16,
    },
    /// A port that only root may bind.
    #[error(
        "no permission for TCP port {port}\n  help: run as root, or choose a port above 1023 with --http-port N (http_port under [server])"
    )]
    NotPermitted {
        /// Which.
        port: u16,
    },
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

/// A running HTTP server; it ends with [`HttpServer::stop`] or when it is dropped.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Listens at `address` and answers from a thread of its own.
    ///
    /// `site.server.address` need not be set: scripts name the address given here.
    pub fn start(
        site: &Site,
        address: SocketAddrV4,
        script: BootScript,
    ) -> Result<HttpServer, HttpError> {
        let system = |step| {
            move |source| HttpError::System {
                address,
                step,
                source,
            }
        };
        let listener = TcpListener::bind(address).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => HttpError::PortTaken {
                address: *address.ip(),
                port: address.port(),
            },
            io::ErrorKind::PermissionDenied => HttpError::NotPermitted {
                port: address.port(),
            },
            _ => system("listen")(source),
        })?;
        listener
            .set_nonblocking(true)
            .map_err(system("prepare the socket"))?;
        let local = listener
            .local_addr()
            .map_err(system("read the socket's address"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(system("start the runtime"))?;
        let router = routes(site, *address.ip(), script);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                runtime.block_on(answer(listener, router, stopped));
                // Reads of files that hang (a dead network file system) do not hold up the end.
                runtime.shutdown_background();
            })
            .map_err(system("start a thread"))?;
        Ok(HttpServer {
            address: local,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
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

/// Answers until the other end of `stopped` is dropped.
async fn answer(listener: TcpListener, router: Router, stopped: oneshot::Receiver<()>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        // iPXE asks for small things one after the other: do not wait to fill a segment.
        Ok(listener) => listener.tap_io(|stream| drop(stream.set_nodelay(true))),
        Err(error) => {
            eprintln!("error: HTTP: {error}");
            return;
        }
    };
    let (drain, drained) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        let _ = drained.await;
    });
    let deadline = async {
        let _ = stopped.await;
        drop(drain);
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        result = server.into_future() => if let Err(error) = result {
            eprintln!("error: HTTP: {error}");
        },
        () = deadline => {}
    }
}

/// What scripts and pages are made of.
struct Shown {
    site: Site,
    server: Ipv4Addr,
    script: BootScript,
}

/// Every route there is.
fn routes(site: &Site, server: Ipv4Addr, script: BootScript) -> Router {
    let file = |path: &std::path::Path| {
        ServeFile::new(path)
            .with_buf_chunk_size(CHUNK)
            .ignore_multi_range_requests(true)
    };
    let mut router = Router::new()
        .route("/", get(index))
        .route("/boot.ipxe", get(boot_ipxe))
        .route("/boot.gpxe", get(boot_gpxe))
        .route_service("/memdisk", file(&site.server.memdisk));
    // A file with a group of each family has one path.
    let mut transfers = site.transfers();
    transfers.dedup_by_key(|transfer| transfer.http_path());
    for transfer in transfers {
        router = router.route_service(&transfer.http_path(), file(&transfer.path));
    }
    router.fallback(not_found).with_state(Arc::new(Shown {
        site: site.clone(),
        server,
        script,
    }))
}

#[derive(Deserialize)]
struct BootQuery {
    image: Option<String>,
}

async fn boot_ipxe(State(shown): State<Arc<Shown>>, Query(query): Query<BootQuery>) -> Response {
    boot_script(Loader::Ipxe, &shown, &query)
}

async fn boot_gpxe(State(shown): State<Arc<Shown>>, Query(query): Query<BootQuery>) -> Response {
    boot_script(Loader::Gpxe, &shown, &query)
}

fn boot_script(loader: Loader, shown: &Shown, query: &BootQuery) -> Response {
    let site = &shown.site;
    let image = match &query.image {
        None => site.default_image().ok_or_else(|| "no image".to_owned()),
        Some(name) => match site.find_image(name) {
            Ok(number) => Ok(&site.images[number]),
            Err(Some(near)) => Err(format!("no image {name:?}; did you mean {near:?}?")),
            Err(None) => Err(format!("no image {name:?}; / lists what there is")),
        },
    };
    match image {
        Ok(image) => match (shown.script)(loader, site, image, shown.server) {
            Ok(script) => script.into_response(),
            Err(text) => (StatusCode::INTERNAL_SERVER_ERROR, text + "\n").into_response(),
        },
        Err(text) => (StatusCode::NOT_FOUND, text + "\n").into_response(),
    }
}

/// The server's address as the clients of `transfer` write it.
fn told(site: &Site, transfer: &Transfer, server: Ipv4Addr) -> String {
    match (transfer.group, site.server.address6) {
        (SocketAddr::V6(_), Some(address)) => format!("[{address}]"),
        _ => server.to_string(),
    }
}

async fn index(State(shown): State<Arc<Shown>>) -> String {
    let site = &shown.site;
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
    for image in &site.images {
        let path = format!("/boot.ipxe?image={}", image.name);
        row(&path, &format!("iPXE script that boots {}", image.name));
    }
    for transfer in site.transfers() {
        row(
            &transfer.http_path(),
            &transfer.uri(told(site, &transfer, shown.server)),
        );
    }
    text
}

async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "not served here; / lists what is\n").into_response()
}
