// SPDX-License-Identifier: MIT OR Apache-2.0
//! What this process may do once its ports are bound: as little as what comes later needs, in every
//! thread, since it is given up before there is a second one.

use rustix::io::Result;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};
use site::Site;

/// Ports below need a capability.
const FIRST_OPEN_PORT: u16 = 1024;

/// Gives up everything else. What stays, of what there is:
///
/// - for root, reading and writing files of others (images, the state directory), as for every
///   program that root starts;
/// - with `[server] user`, becoming that user and giving it the state directory: the change of user
///   ends these, too;
/// - where sessions have ports below 1024, binding those: they are bound when files were digested, and
///   SIGHUP may bring more of them.
///
/// Neither capability that the systemd unit gives (`CAP_NET_RAW` for sockets that belong to an
/// interface, `CAP_NET_BIND_SERVICE`) is of use later: TFTP sends from ports of the kernel's choice.
pub(super) fn give_up(site: &Site) -> Result<()> {
    let keep = kept(site);
    // Only who may change it (root) has anything to take out; without capabilities nothing
    // comes back from it.
    for capability in CapabilitySet::all().difference(keep).iter() {
        let _ = remove_capability_from_bounding_set(capability);
    }
    let now = capabilities(None)?;
    let permitted = now.permitted & keep;
    // Ambient ones go with the permitted ones (capabilities(7)).
    set_capabilities(
        None,
        CapabilitySets {
            effective: now.effective & permitted,
            permitted,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    set_no_new_privs(true)
}

fn kept(site: &Site) -> CapabilitySet {
    let mut keep = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    if site.server.user.is_some() {
        keep |= CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::CHOWN;
    }
    if site.slam.port < FIRST_OPEN_PORT {
        keep |= CapabilitySet::NET_BIND_SERVICE;
    }
    keep
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_what_comes_later() {
        let mut site = Site::default();
        let files = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
        assert_eq!(kept(&site), files);
        site.slam.port = 1023;
        assert_eq!(kept(&site), files | CapabilitySet::NET_BIND_SERVICE);
        site.slam.port = 1024;
        site.server.user = Some("nobody".to_owned());
        let becoming = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::CHOWN;
        assert_eq!(kept(&site), files | becoming);
    }
}
