// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our own C, laid over iPXE's tree as further files: upstream's text is never changed.

use site::Client;

use crate::pins::{ExplicitGroups, Release};
use crate::tree::{File, TreeDigest};

/// Path below iPXE's root, and text.
const EXPLICIT_GROUPS: (&str, &str) = (
    "src/net/udp/slam_aton.c",
    include_str!("../overlay/src/net/udp/slam_aton.c"),
);

/// slamboot's own client: what decides, and what ties that to iPXE.
const CLIENT: [(&str, &str); 5] = [
    (
        "src/net/udp/slam_core.c",
        include_str!("../overlay/src/net/udp/slam_core.c"),
    ),
    (
        "src/net/udp/slam_core.h",
        include_str!("../overlay/src/net/udp/slam_core.h"),
    ),
    (
        "src/net/udp/slam_parity.c",
        include_str!("../overlay/src/net/udp/slam_parity.c"),
    ),
    (
        "src/net/udp/slam_parity.h",
        include_str!("../overlay/src/net/udp/slam_parity.h"),
    ),
    (
        "src/net/udp/slamboot_slam.c",
        include_str!("../overlay/src/net/udp/slamboot_slam.c"),
    ),
];

/// Group membership: IGMP and MLD, with the commands `mcjoin` and `mcleave`.
const MEMBERSHIP: [(&str, &str); 8] = [
    (
        "src/net/igmp_core.h",
        include_str!("../overlay/src/net/igmp_core.h"),
    ),
    (
        "src/net/igmp_core.c",
        include_str!("../overlay/src/net/igmp_core.c"),
    ),
    (
        "src/net/igmp_parts.h",
        include_str!("../overlay/src/net/igmp_parts.h"),
    ),
    (
        "src/net/igmp_input.c",
        include_str!("../overlay/src/net/igmp_input.c"),
    ),
    (
        "src/net/igmp_output.c",
        include_str!("../overlay/src/net/igmp_output.c"),
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

/// What `release` gets, for the SLAM client `client`. What of it is linked, headers decide
/// ([`headers`](crate::config::headers)).
pub fn files(release: &Release, client: Client) -> Vec<(&'static str, &'static str)> {
    let mut files = Vec::new();
    if release.membership(true) {
        files.extend(MEMBERSHIP);
    }
    match (release.client(client), release.explicit_groups) {
        (Client::Slamboot, _) => files.extend(CLIENT),
        (Client::Stock, ExplicitGroups::Broken) => files.push(EXPLICIT_GROUPS),
        (Client::Stock, ExplicitGroups::Right) => {}
    }
    files.sort_unstable_by_key(|(path, _)| *path);
    files
}

/// Identifies those files' content.
pub fn digest(release: &Release, client: Client) -> TreeDigest {
    let plain = |text: &str| File::Plain(text.as_bytes().to_vec());
    let files: Vec<_> = files(release, client)
        .into_iter()
        .map(|(path, text)| (path, plain(text)))
        .collect();
    TreeDigest::over(files.iter().map(|(path, file)| (*path, file)))
}
