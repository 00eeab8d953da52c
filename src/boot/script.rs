// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which script a client gets: by its assignment, its rule, or what the site offers to all.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError, RwLock};

use site::{Boot, Image, Mac, Site};

use super::archs::Archs;
use super::assign::Assignments;
use super::neighbour;
use super::plan::Rules;
use crate::net::Shelf;

/// Seconds after which a client asks again for what is not ready.
pub(super) const RETRY: u32 = 5;

/// Whom a script is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    /// `/boot.ipxe`
    Ipxe,
    /// `/boot.gpxe`: iPXE's ancestor.
    Gpxe,
}

/// Renders the script that boots an image of a site from the server at an address, or the menu of
/// its images where no image is given; the error says what in the site cannot stand in a script.
pub type BootScript = fn(Loader, &Site, &Shows<'_>, Ipv4Addr) -> Result<String, String>;

/// What a script is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows<'a> {
    /// It boots an image.
    Image(&'a Image),
    /// It lets people choose.
    Menu,
    /// It leaves the machine to its own disk.
    Local,
}

impl fmt::Display for Shows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Shows::Image(image) => &image.name,
            Shows::Menu => "the menu",
            Shows::Local => "its own disk",
        })
    }
}

/// A client that asks for its script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asks {
    /// Which language it speaks.
    pub loader: Loader,
    /// The image that it names itself, after somebody has chosen it.
    pub image: Option<String>,
    /// Its card, if it said so.
    pub mac: Option<Mac>,
    /// Its address.
    pub client: IpAddr,
}

/// A script, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The script.
    pub script: String,
    /// What it boots, in a word or two.
    pub boots: String,
    /// The client's card, where it is known.
    pub mac: Option<Mac>,
}

/// Why there is no script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptRefusal {
    /// No such image, or none at all.
    #[error("{0}")]
    NotServed(String),
    /// The image is not served yet, and the loader cannot wait.
    #[error("{image} is not served yet")]
    NotReady {
        /// Which.
        image: String,
    },
    /// Something in the site cannot stand in a script.
    #[error("{0}")]
    Unspeakable(String),
}

/// The scripts of one interface.
#[derive(Debug)]
pub struct Scripts {
    pub(super) site: Arc<RwLock<Arc<Site>>>,
    pub(super) server: Ipv4Addr,
    pub(super) port: Option<u16>,
    pub(super) render: BootScript,
    pub(super) shelf: Arc<Shelf>,
    pub(super) assignments: Arc<Assignments>,
    pub(super) archs: Arc<Archs>,
}

impl Scripts {
    /// Those of a server that serves no HTTP.
    pub fn without_http(
        site: Site,
        server: Ipv4Addr,
        render: BootScript,
        shelf: &Arc<Shelf>,
        assignments: &Arc<Assignments>,
        archs: &Arc<Archs>,
    ) -> Scripts {
        Scripts {
            site: Arc::new(RwLock::new(Arc::new(site))),
            server,
            port: None,
            render,
            shelf: Arc::clone(shelf),
            assignments: Arc::clone(assignments),
            archs: Arc::clone(archs),
        }
    }

    /// The site as clients see it now.
    pub fn site(&self) -> Arc<Site> {
        Arc::clone(&self.site.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The menu, for whoever asks for it.
    pub fn menu(&self) -> Result<String, ScriptRefusal> {
        self.render(Loader::Ipxe, &self.site(), &Shows::Menu)
    }

    /// The script for a client.
    pub fn answer(&self, asks: &Asks) -> Result<Answered, ScriptRefusal> {
        let site = &*self.site();
        let named = |name: &str| match site.find_image(name) {
            Ok(number) => Ok(&site.images[number]),
            Err(Some(near)) => Err(ScriptRefusal::NotServed(format!(
                "no image {name:?}; did you mean {near:?}?"
            ))),
            Err(None) => Err(ScriptRefusal::NotServed(format!(
                "no image {name:?}; / lists what there is"
            ))),
        };
        let at = match asks.client {
            IpAddr::V4(address) => address,
            IpAddr::V6(_) => self.server,
        };
        let mac = asks.mac.or_else(|| neighbour::find(at));
        let boot = match (&asks.image, mac) {
            (Some(name), _) => Boot::Image(name.clone()),
            (None, Some(mac)) => self.boot(site, mac, at),
            (None, None) => Boot::Default,
        };
        let shows = match &boot {
            Boot::Image(name) => Shows::Image(named(name)?),
            Boot::Local => Shows::Local,
            Boot::Menu => Shows::Menu,
            Boot::Default if site.menu.shown && asks.loader == Loader::Ipxe => Shows::Menu,
            Boot::Default => Shows::Image(
                site.default_image()
                    .ok_or_else(|| ScriptRefusal::NotServed("no image".to_owned()))?,
            ),
        };
        let (script, boots) = (self.render(asks.loader, site, &shows)?, shows.to_string());
        let script = match shows {
            Shows::Image(image) if !self.is_ready(site, image) => self.wait(asks.loader, image)?,
            _ => script,
        };
        Ok(Answered { script, boots, mac })
    }

    /// What a client that names no image boots.
    fn boot(&self, site: &Site, mac: Mac, at: Ipv4Addr) -> Boot {
        if let Some(boot) = self.assignments.take(mac) {
            // An image that the configuration no longer has is not what anybody meant.
            match &boot {
                Boot::Image(name) if site.find_image(name).is_err() => {}
                _ => return boot,
            }
        }
        let rules = Rules::of(site);
        let rule = rules.find(mac, at, self.archs.of(mac));
        rule.map_or(Boot::Default, |rule| rule.boot().clone())
    }

    fn render(
        &self,
        loader: Loader,
        site: &Site,
        shows: &Shows<'_>,
    ) -> Result<String, ScriptRefusal> {
        (self.render)(loader, site, shows, self.server).map_err(ScriptRefusal::Unspeakable)
    }

    /// Whether every file of an image is served where the script says.
    fn is_ready(&self, site: &Site, image: &Image) -> bool {
        let transfers = site.transfers();
        let mut own = transfers.iter().filter(|t| t.image == image.name);
        own.all(|transfer| self.shelf.has(self.server, transfer))
    }

    /// A script that asks again: after a change of the configuration an image's file may have to be
    /// digested, and its port may still serve another one, which nobody must take for it.
    fn wait(&self, loader: Loader, image: &Image) -> Result<String, ScriptRefusal> {
        let (name, server) = (&image.name, self.server);
        match (loader, self.port) {
            (Loader::Ipxe, Some(port)) => Ok(format!(
                "#!ipxe\necho slamboot: {name} is not served yet, asking again\nsleep {RETRY}\n\
                 chain --replace --autofree http://{server}:{port}/boot.ipxe?image={name}\n"
            )),
            _ => Err(ScriptRefusal::NotReady {
                image: name.clone(),
            }),
        }
    }
}
