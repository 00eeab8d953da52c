// SPDX-License-Identifier: MIT OR Apache-2.0
//! From root to somebody who may less, once all ports are bound.

use std::ffi::CString;
use std::os::unix::fs::chown;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use nix::unistd::{User, initgroups, setgid, setuid};

/// Becomes the user of this name, for good and in every thread; what is in the state directory is
/// that user's from then on. Nothing that runs later needs root: transfers take ports above 1023.
pub(super) fn become_user(name: &str, state: Option<&Path>) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "[server] user: only root can become {name}\n  help: leave the key out, or start as root"
        );
    }
    let user = User::from_name(name)
        .context("cannot read the users of this system")?
        .ok_or_else(|| {
            anyhow!(
                "[server] user: nobody is called {name:?}\n  help: useradd --system {name}, or name another"
            )
        })?;
    if let Some(state) = state {
        let own = |path: &Path| chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()));
        own(state).with_context(|| format!("cannot give {} to {name}", state.display()))?;
        for entry in std::fs::read_dir(state).into_iter().flatten().flatten() {
            // Files of other programs may be there; ours are told when they cannot be written.
            let _ = own(&entry.path());
        }
    }
    let text = CString::new(name).context("a name without zeros")?;
    initgroups(&text, user.gid)
        .and_then(|()| setgid(user.gid))
        .and_then(|()| setuid(user.uid))
        .with_context(|| format!("cannot become {name}"))
}
