// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot serve`: from options and configuration to running servers, and to a clean stop.

mod args;
mod boot;
mod face;
mod print;
mod privilege;
mod reload;
mod resolve;
mod rivals;
mod stands;
mod summary;
mod systemd;
mod user;

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use site::Site;

use self::boot::Bound;
use self::face::Watching;
use self::print::{DigestProgress, Output};
use self::reload::Reloader;
use self::stands::{boot_script, check_scripts, choose_interfaces, site_at};
use self::summary::summarise;
use crate::boot::handed::Handed;
use crate::boot::http::{Beside, HttpServer, HttpSockets, HttpStand};
use crate::boot::identity::{Identity, IdentityError};
use crate::net::interface::Chosen;
use crate::net::{Driver, Plan, Shelf, Stand, Watch};
use crate::observe::{Note, Tally};

pub(super) use self::args::ServeArgs;
use self::resolve::config;
pub(super) use self::resolve::{beside, image_name, resolve_site};

/// Serves until SIGINT or SIGTERM; SIGHUP reads the configuration again. Whether that went well: an
/// error that is `false` was told already, in the language of the log.
pub(super) fn run(args: ServeArgs) -> anyhow::Result<bool> {
    let output = if args.json || args.log.as_deref() == Some("json") {
        Output::Programs
    } else {
        Output::People
    };
    match serve(args, output) {
        Ok(()) => Ok(true),
        Err(error) if output.failure(&super::explain(&error)) => Ok(false),
        Err(error) => Err(error),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge: how long it all took is told at the end"
)]
fn serve(args: ServeArgs, output: Output) -> anyhow::Result<()> {
    let handed = Handed::from_environment()?;
    let site = resolve_site(&args)?;
    let identity = read_identity(&site)?;
    let (chosen, stands): (Vec<Chosen>, Vec<Stand>) = choose_interfaces(&site)?.into_iter().unzip();
    // A taken port, too, is told before gigabytes are digested.
    check_scripts(&site, &stands)?;
    let shelf = Arc::new(Shelf::default());
    let mut bound = Bound::bind(&site, &beside(&args), &chosen)?;
    let at = |port| {
        let addresses = stands
            .iter()
            .map(|stand| SocketAddrV4::new(stand.host, port));
        let addresses: Vec<SocketAddrV4> = addresses.collect();
        let secure = site.server.https.as_ref().map(|https| https.port);
        HttpSockets::bind(&addresses, secure, &handed)
    };
    let http_sockets = site.server.http_port.map(at).transpose()?;
    if http_sockets.is_none() {
        handed.check_all_taken(&[])?;
    }
    // From here on there are threads.
    if let Err(error) = privilege::give_up(&site) {
        // Serving goes on with what there is, as it does for whoever has nothing to give up.
        output.warning(&format!(
            "capabilities stay as they were: {error}; let the unit allow capset and prctl (SystemCallFilter=)"
        ));
    }
    let watching = Watching::begin(&site, &stands, &bound, output)?;
    // At once: the port is that of this host's own DHCP client, which may want it again soon.
    if let Some(rivals) = bound.take_rivals() {
        rivals.look(watching.warner());
    }
    let with_http = Beside {
        tell: Some(watching.tell()),
        pages: watching.pages(),
        secure: (site.server.https.as_ref().map(|https| https.port)).zip(identity),
        handed: handed.clone(),
        archs: Arc::clone(&bound.archs),
    };
    let http = site
        .server
        .http_port
        .zip(http_sockets)
        .map(|(port, sockets)| {
            let http_stand = |stand: &Stand| HttpStand {
                address: SocketAddrV4::new(stand.host, port),
                site: site_at(&site, stand),
            };
            let http_stands: Vec<HttpStand> = stands.iter().map(http_stand).collect();
            HttpServer::start_at(
                sockets,
                &http_stands,
                &shelf,
                boot_script,
                &bound.roms,
                &bound.assignments,
                &with_http,
            )
        })
        .transpose()?;
    // A SIGHUP that comes while files are digested is not the end.
    let asked = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&asked))
        .context("cannot listen for signals")?;
    raise_descriptor_limit();
    if let Some(user) = &site.server.user {
        user::become_user(user, bound.state())?;
    }
    let mut progress = DigestProgress::default();
    let mut starting = systemd::Starting::default();
    let plan = Plan::new(&site, &stands);
    let driver = Driver::open(&plan, Arc::clone(&shelf), &mut |name, done, total| {
        progress.show(name, done, total);
        starting.goes_on(name, done, total);
    });
    progress.finish();
    let driver = driver?;

    // From here on a signal ends the server cleanly; a second one ends the process at once.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen for signals")?;
    }

    let served = driver.served();
    let (running, booting) = bound.serve(&site, &stands, &shelf, http.as_ref(), watching.tell())?;
    let mut summary = summarise(&site, &chosen, &stands, &served, http.as_ref(), booting);
    watching.summarise(&mut summary);
    summary.config = config(&args).map(|path| path.display().to_string());
    output.line(&summary);
    systemd::ready();
    let mut reloader = Reloader {
        asked,
        args,
        site,
        stands,
        chosen,
    };
    let start = Instant::now();
    let mut tally = Tally::default();
    let mut reload = || reloader.reload(http.as_ref(), &running, &watching);
    let notes = watching.notes();
    let mut on_look = |look| drop(notes.send(Note::Look(look)));
    let watch = Watch {
        desk: watching.desk(),
        on_look: watching.is_shown().then_some(&mut on_look),
    };
    driver.run(&stop, &mut reload, watch, &mut |event| {
        tally.count(event);
        output.event(event);
        // Nobody who watches is no reason to stop serving.
        let _ = notes.send(Note::Event(event.clone()));
    })?;
    systemd::stopping();
    drop(running);
    if let Some(http) = http {
        http.stop();
    }
    watching.finish();
    tally.ends_after(start.elapsed());
    output.line(&tally);
    Ok(())
}

/// The certificate and its key, where HTTPS is served.
#[expect(
    clippy::disallowed_methods,
    reason = "the edge: certificates are valid by the clock"
)]
fn read_identity(site: &Site) -> Result<Option<Identity>, IdentityError> {
    let https = site.server.https.as_ref();
    https
        .map(|https| Identity::read(https, SystemTime::now()))
        .transpose()
}

/// Each session has a socket and each image a file: take as many as this process may. Best effort:
/// where they do not suffice, opening one of them says so.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
}
