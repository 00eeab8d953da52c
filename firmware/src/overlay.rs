// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our own C, laid over iPXE's tree as further files: upstream's text is never changed.

use site::Client;

use crate::pins::{ExplicitGroups, Release};
use crate::recipe::Parts;
use crate::record;
use crate::tree::{File, TreeDigest};

/// Path below iPXE's root, and text.
const EXPLICIT_GROUPS: (&str, &str) = (
    "src/net/udp/slam_aton.c",
    include_str!("../overlay/src/net/udp/slam_aton.c"),
);

/// The record of what the compiler saw ([`record`]).
const RECORD: (&str, &str) = (
    "src/core/slamboot_record.c",
    include_str!("../overlay/src/core/slamboot_record.c"),
);

/// slamboot's own client: what decides, and what ties that to iPXE.
const CLIENT: [(&str, &str); 6] = [
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
        "src/net/udp/slam_wire.c",
        include_str!("../overlay/src/net/udp/slam_wire.c"),
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

/// What a site's ROMs of `release` get: what is not linked is not there either, so that changing it
/// leaves their tree as it is. [`headers`](crate::config::headers) name it to the linker.
pub fn files(parts: Parts, release: &Release) -> Vec<(&'static str, &'static str)> {
    let mut files = Vec::new();
    if record::kept(release) {
        files.push(RECORD);
    }
    if release.membership(parts.igmp) {
        files.extend(MEMBERSHIP);
    }
    match (release.client(parts.client), release.explicit_groups) {
        (Client::Slamboot, _) => files.extend(CLIENT),
        (Client::Stock, ExplicitGroups::Broken) => files.push(EXPLICIT_GROUPS),
        (Client::Stock, ExplicitGroups::Right) => {}
    }
    files.sort_unstable_by_key(|(path, _)| *path);
    files
}

/// Identifies those files' content.
pub fn digest(parts: Parts, release: &Release) -> TreeDigest {
    let plain = |text: &str| File::Plain(text.as_bytes().to_vec());
    let files: Vec<_> = files(parts, release)
        .into_iter()
        .map(|(path, text)| (path, plain(text)))
        .collect();
    TreeDigest::over(files.iter().map(|(path, file)| (*path, file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_linked_is_not_laid_over() {
        let pins = crate::pins::Pins::builtin().unwrap();
        let laid = |release: &str, client, igmp| {
            let release = pins.release(release).unwrap();
            let client = release.client(client);
            let igmp = release.membership(igmp);
            let files = files(Parts { client, igmp }, release);
            let names = files.iter().map(|(path, _)| path.rsplit('/').next());
            names.map(Option::unwrap).collect::<Vec<_>>().join(" ")
        };
        let stock = laid("v2.0.0", Client::Stock, false);
        assert_eq!(stock, "slamboot_record.c slam_aton.c");
        let deaf = laid("v2.0.0", Client::Slamboot, false);
        assert!(deaf.contains("slam_core.c"), "{deaf}");
        assert!(!deaf.contains("igmp"), "{deaf}");
        let member = laid("v2.0.0", Client::Stock, true);
        assert!(member.contains("igmp_core.c"), "{member}");
        assert!(!member.contains("slam_core"), "{member}");
        assert_eq!(laid("v1.20.1", Client::Slamboot, true), "");
    }

    #[test]
    fn every_file_of_the_overlay_is_laid_over_by_somebody() {
        let listed = CLIENT.iter().chain(&MEMBERSHIP);
        let listed = listed.chain([&EXPLICIT_GROUPS, &RECORD]);
        let listed: Vec<_> = listed.map(|(path, _)| *path).collect();
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("overlay");
        let mut directories = vec![root.clone()];
        let mut found = 0;
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                assert!(listed.contains(&name.as_str()), "{name} is in no list");
                found += 1;
            }
        }
        assert_eq!(found, listed.len());
    }
}
