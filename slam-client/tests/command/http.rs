// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small HTTP server on loopback, with the faults that a test wants.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// What it serves, and how badly.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// The file.
    pub content: Vec<u8>,
    /// Its entity tag.
    pub tag: String,
    /// Sends the whole file whatever is asked for.
    pub no_ranges: bool,
    /// Bytes of a body after which it hangs up, that many times.
    pub breaks: Option<(usize, u32)>,
    /// Status to answer with instead.
    pub status: Option<u16>,
    /// The `Range` of each request, in order.
    pub asked: Vec<Option<String>>,
    /// Bytes of bodies that were sent.
    pub sent: usize,
}

/// The server, until it is dropped.
pub struct HttpServer {
    address: SocketAddr,
    site: Arc<Mutex<Site>>,
    stop: Arc<Mutex<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Serves `site` under any path.
    pub fn start(site: Site) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind on loopback");
        let address = listener.local_addr().expect("bound");
        let (site, stop) = (Arc::new(Mutex::new(site)), Arc::new(Mutex::new(false)));
        let thread = std::thread::spawn({
            let (site, stop) = (Arc::clone(&site), Arc::clone(&stop));
            move || {
                for stream in listener.incoming() {
                    if *stop.lock().expect("no panic") {
                        break;
                    }
                    // A client that hangs up is its own affair.
                    let _ = stream.and_then(|stream| converse(&stream, &site));
                }
            }
        });
        HttpServer {
            address,
            site,
            stop,
            thread: Some(thread),
        }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}/images/x", self.address)
    }

    /// What it serves and has been asked.
    pub fn site(&self) -> MutexGuard<'_, Site> {
        self.site.lock().expect("no panic")
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        *self.stop.lock().expect("no panic") = true;
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Answers until the client hangs up.
fn converse(stream: &TcpStream, site: &Mutex<Site>) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let (mut range, mut version) = (None, None);
        loop {
            let Some(line) = lines.next().transpose()? else {
                return Ok(());
            };
            match line.to_ascii_lowercase().split_once(": ") {
                Some(("range", value)) => range = Some(value.to_owned()),
                Some(("if-range", _)) => version = line.split_once(": ").map(|it| it.1.to_owned()),
                _ => {}
            }
            if line.is_empty() {
                break;
            }
        }
        let mut site = site.lock().expect("no panic");
        site.asked.push(range.clone());
        let tag = format!("\"{}\"", site.tag);
        let total = site.content.len();
        let fresh = version.is_none_or(|version| version == tag);
        let bytes = range
            .filter(|_| fresh && !site.no_ranges)
            .and_then(|range| {
                let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
                Some(first.parse().ok()?..last.parse::<usize>().ok()?.min(total - 1) + 1)
            });
        let mut out = stream;
        if let Some(status) = site.status {
            write!(
                out,
                "HTTP/1.1 {status} No\r\nContent-Range: bytes */{total}\r\n\
                 Content-Length: 0\r\n\r\n"
            )?;
            continue;
        }
        let body = match bytes {
            Some(range) if range.start >= total => {
                write!(
                    out,
                    "HTTP/1.1 416 No\r\nContent-Range: bytes */{total}\r\n\
                     Content-Length: 0\r\nETag: {tag}\r\n\r\n"
                )?;
                continue;
            }
            Some(range) => {
                write!(
                    out,
                    "HTTP/1.1 206 Part\r\nContent-Range: bytes {}-{}/{total}\r\n",
                    range.start,
                    range.end - 1
                )?;
                range
            }
            None => {
                write!(out, "HTTP/1.1 200 All\r\n")?;
                0..total
            }
        };
        write!(out, "Content-Length: {}\r\nETag: {tag}\r\n\r\n", body.len())?;
        let mut end = body.end;
        let breaks = match site.breaks {
            Some((after, left)) if left > 0 && after < body.len() => {
                end = body.start + after;
                site.breaks = Some((after, left - 1));
                true
            }
            _ => false,
        };
        out.write_all(&site.content[body.start..end])?;
        site.sent += end - body.start;
        if breaks {
            return Ok(());
        }
    }
}
