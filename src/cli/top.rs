// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot top`: the rooms of a running server in a terminal, by its API.

mod screen;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::serve::{ServeArgs, resolve_site};
use crate::net::interface;
use crate::observe::status::Status;

/// Longest answer that is read: thousands of clients.
const LONGEST: u64 = 64 << 20;
/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Watch the rooms of a running server in this terminal.
///
/// Asks the server's API once a second. Arrows and PageUp/PageDown scroll through the clients, the
/// slowest of which stand first; q ends it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  slamboot top                                  the server of ./slamboot.toml, on this host
  slamboot top http://192.0.2.1:8080            any other
  slamboot top https://192.0.2.1:8443 --cacert room.crt
  slamboot top --once                           one look, as plain text

Exit codes: 0 ended by q or done, 1 the server cannot be reached, 2 wrong options.")]
pub(super) struct TopArgs {
    /// The server, as `slamboot serve` prints it at its start [default: that of ./slamboot.toml]
    #[arg(value_name = "URL")]
    url: Option<String>,

    /// Configuration that names the server [default: as of `slamboot serve`]
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,

    /// Believe these certificates (PEM) instead of the public authorities, with https://: the root
    /// that issued the server's certificate, or that one itself
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,

    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3600))]
    interval: u32,

    /// Print one look and end
    #[arg(long)]
    once: bool,
}

/// Shows rooms until somebody ends it.
pub(super) fn run(args: &TopArgs) -> anyhow::Result<()> {
    let base = match &args.url {
        Some(url) => base(url),
        None => of_this_host(args)?,
    };
    let server = Server::new(base, args.cacert.as_deref())?;
    if args.once || !std::io::stdout().is_terminal() {
        print!("{}", screen::text(&server.status()?));
        return Ok(());
    }
    // Whoever cannot be reached at all is told before the screen is taken.
    let first = server.status()?;
    let terminal = ratatui::init();
    let result = watch(terminal, &server, first, args.interval);
    ratatui::restore();
    result
}

/// What somebody copied from the page's address works, too.
fn base(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix("/status").unwrap_or(url);
    if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    }
}

/// The server that this configuration starts here.
fn of_this_host(args: &TopArgs) -> anyhow::Result<String> {
    let serve = ServeArgs::of(Vec::new(), args.config.clone(), Vec::new());
    let site = resolve_site(&serve).context(
        "which server? give its URL, such as http://192.0.2.1:8080, or run this beside slamboot.toml",
    )?;
    let Some(port) = site.server.http_port else {
        bail!("http_port = 0: this server has no page and no API\n  help: give it a port");
    };
    let all = interface::list_interfaces()?;
    let name = site.server.interfaces.first().map(String::as_str);
    let chosen = interface::choose(&all, name, site.server.address)?;
    Ok(format!("http://{}:{port}", chosen.address))
}

struct Server {
    agent: ureq::Agent,
    base: String,
}

impl Server {
    fn new(base: String, roots: Option<&Path>) -> anyhow::Result<Server> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = roots {
            tls = tls.root_certs(certificates(path)?);
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .tls_config(tls.build())
            .build();
        Ok(Server {
            agent: config.into(),
            base,
        })
    }

    fn status(&self) -> anyhow::Result<Status> {
        let url = format!("{}/api/v1/status", self.base);
        let help = || {
            let trust = if url.starts_with("https:") {
                "; a certificate of your own authority is believed with --cacert FILE, and one that signed itself only if it says that it is no authority (openssl req -addext basicConstraints=critical,CA:FALSE)"
            } else {
                ""
            };
            format!(
                "cannot ask {url}\n  help: is `slamboot serve` running there? It prints the page's address at its start{trust}"
            )
        };
        let mut answer = self.agent.get(&url).call().with_context(help)?;
        let body = answer.body_mut().with_config().limit(LONGEST).read_to_vec();
        let body = body.with_context(help)?;
        serde_json::from_slice(&body)
            .with_context(|| format!("{url} is no slamboot of this version"))
    }
}

/// All that are in a file.
fn certificates(path: &Path) -> anyhow::Result<RootCerts> {
    let shown = path.display();
    let text = std::fs::read(path).with_context(|| format!("--cacert: cannot read {shown}"))?;
    let items: Result<Vec<_>, _> = parse_pem(&text).collect();
    let items = items.with_context(|| format!("--cacert: {shown} is broken PEM"))?;
    let certificates: Vec<_> = items
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        bail!(
            "--cacert: no certificate in {shown}\n  expected: -----BEGIN CERTIFICATE-----, in PEM\n  help: from DER: openssl x509 -inform der -in FILE -out NEW"
        );
    }
    Ok(certificates.into())
}

#[expect(clippy::disallowed_methods, reason = "the edge: when to ask again")]
fn watch(
    mut terminal: ratatui::DefaultTerminal,
    server: &Server,
    first: Status,
    interval: u32,
) -> anyhow::Result<()> {
    let interval = Duration::from_secs(interval.into());
    let (mut status, mut lost) = (first, None);
    let mut scroll = 0usize;
    let mut asked = std::time::Instant::now();
    loop {
        scroll = scroll.min(status.clients.len().saturating_sub(1));
        terminal.draw(|frame| screen::draw(frame, &status, lost.as_deref(), scroll))?;
        let wait = interval.saturating_sub(asked.elapsed());
        if event::poll(wait)? {
            match event::read()? {
                Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
                    KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                    KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                        return Ok(());
                    }
                    KeyCode::Down | KeyCode::Char('j') => scroll += 1,
                    KeyCode::Up | KeyCode::Char('k') => scroll = scroll.saturating_sub(1),
                    KeyCode::PageDown | KeyCode::Char(' ') => scroll += 10,
                    KeyCode::PageUp => scroll = scroll.saturating_sub(10),
                    KeyCode::Home => scroll = 0,
                    KeyCode::End => scroll = usize::MAX,
                    _ => {}
                },
                _ => {}
            }
        }
        if asked.elapsed() >= interval {
            match server.status() {
                Ok(new) => (status, lost) = (new, None),
                // What was last seen stays, and is said to be old.
                Err(error) => {
                    let what = format!("{error:#}");
                    lost = Some(what.lines().next().unwrap_or("").to_owned());
                }
            }
            asked = std::time::Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_in_any_way() {
        for url in [
            "10.0.0.1:8080",
            "http://10.0.0.1:8080/",
            "http://10.0.0.1:8080/status",
        ] {
            assert_eq!(base(url), "http://10.0.0.1:8080");
        }
    }
}
