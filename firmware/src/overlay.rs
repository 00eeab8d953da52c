// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our own C, laid over iPXE's tree as further files: upstream's text is never changed.

use crate::pins::{ExplicitGroups, Release};
use crate::tree::{File, TreeDigest};

/// Path below iPXE's root, and text.
const EXPLICIT_GROUPS: (&str, &str) = (
    "src/net/udp/slam_aton.c",
    include_str!("../overlay/src/net/udp/slam_aton.c"),
);

/// Group membership: IGMP and MLD, with the commands `mcjoin` and `mcleave`.
const MEMBERSHIP: [(&str, &str); 5] = [
    (
        "src/net/igmp_core.h",
        include_str!("../overlay/src/net/igmp_core.h"),
    ),
    (
        "src/net/igmp_core.c",
        include_str!("../overlay/src/net/igmp_core.c"),
    ),
    (
        "src/net/mcast.c",
        include_str!("../overlay/src/net/mcast.c"),
    ),
    (
        "src/include/slamboot/mcast.h",
        include_str!("../overlay/src/include/slamboot/mcast.h"),
    ),
    (
        "src/hci/commands/mcast_cmd.c",
        include_str!("../overlay/src/hci/commands/mcast_cmd.c"),
    ),
];

/// What `release` gets. What of it is linked, headers decide
/// ([`headers`](crate::config::headers)).
pub fn files(release: &Release) -> Vec<(&'static str, &'static str)> {
    let mut files = MEMBERSHIP.to_vec();
    match release.explicit_groups {
        ExplicitGroups::Broken => files.push(EXPLICIT_GROUPS),
        ExplicitGroups::Right => {}
    }
    files.sort_unstable_by_key(|(path, _)| *path);
    files
}

/// Identifies those files' content.
pub fn digest(release: &Release) -> TreeDigest {
    let plain = |text: &str| File::Plain(text.as_bytes().to_vec());
    let files: Vec<_> = files(release)
        .into_iter()
        .map(|(path, text)| (path, plain(text)))
        .collect();
    TreeDigest::over(files.iter().map(|(path, file)| (*path, file)))
}
