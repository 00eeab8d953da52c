// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is served right now, for those who serve it another way: the content of each session, so
//! that HTTP never gives other bytes than SLAM.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use site::Transfer;

use super::content::Content;

/// By the server's address and the transfer's name: a session of each family.
type Entries = HashMap<(Ipv4Addr, String), Vec<Entry>>;

/// The contents that sessions are serving.
#[derive(Debug, Default)]
pub struct Shelf {
    entries: RwLock<Entries>,
}

#[derive(Debug)]
struct Entry {
    port: u16,
    group: SocketAddr,
    content: Arc<Content>,
}

impl Entry {
    /// Scopes, which the server knows of and its configuration does not, aside.
    fn is(&self, transfer: &Transfer) -> bool {
        self.port == transfer.port
            && (self.group.ip(), self.group.port()) == (transfer.group.ip(), transfer.group.port())
    }
}

impl Shelf {
    /// What the server at `host` serves under the name of a transfer.
    pub fn find(&self, host: Ipv4Addr, name: &str) -> Option<Arc<Content>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(&(host, name.to_owned()))?.first()?;
        Some(Arc::clone(&entry.content))
    }

    /// Whether this very transfer, on its port and group, is served by the server at `host`.
    pub fn has(&self, host: Ipv4Addr, transfer: &Transfer) -> bool {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries
            .get(&(host, transfer.name()))
            .is_some_and(|entries| entries.iter().any(|entry| entry.is(transfer)))
    }

    /// Notes what a session serves from now on.
    pub fn put(&self, host: Ipv4Addr, transfer: &Transfer, content: Arc<Content>) {
        self.change(host, transfer, Some(content));
    }

    /// Notes that a session serves nothing any more.
    pub fn take(&self, host: Ipv4Addr, transfer: &Transfer) {
        self.change(host, transfer, None);
    }

    fn change(&self, host: Ipv4Addr, transfer: &Transfer, content: Option<Arc<Content>>) {
        let mut all = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let key = (host, transfer.name());
        let entries = all.entry(key.clone()).or_default();
        entries.retain(|entry| !entry.is(transfer));
        if let Some(content) = content {
            // The newest first: while a transfer moves to another port it is there twice.
            let entry = Entry {
                port: transfer.port,
                group: transfer.group,
                content,
            };
            entries.insert(0, entry);
        }
        if entries.is_empty() {
            all.remove(&key);
        }
    }
}
