// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our own C, laid over iPXE's tree as further files: upstream's text is never changed.

use crate::pins::{ExplicitGroups, Release};
use crate::tree::{File, TreeDigest};

/// Path below iPXE's root, and text.
const EXPLICIT_GROUPS: (&str, &str) = (
    "src/net/udp/slam_aton.c",
    include_str!("../overlay/src/net/udp/slam_aton.c"),
);

/// What `release` gets.
pub fn files(release: &Release) -> Vec<(&'static str, &'static str)> {
    match release.explicit_groups {
        ExplicitGroups::Broken => vec![EXPLICIT_GROUPS],
        ExplicitGroups::Right => Vec::new(),
    }
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
