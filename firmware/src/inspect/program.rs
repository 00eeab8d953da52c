// SPDX-License-Identifier: MIT OR Apache-2.0
//! One iPXE, unpacked and in its place in memory: what it can do.

use std::collections::BTreeMap;

use super::ProtocolSupport;
use super::tables::{Driver, Memory, Names, Script};
use crate::record;

/// What one iPXE was found to be able to do.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Program {
    /// Its version as it announces it, such as `2.0.0` or `1.21.1+ (g988d)`.
    pub version: Option<String>,
    /// Size in memory, unpacked.
    pub unpacked: usize,
    /// Packed blocks whose checksum is right; 0 for EFI and ELF, which are not packed, and for gPXE,
    /// whose blocks have none.
    pub blocks: usize,
    /// URI schemes that it opens.
    pub protocols: Vec<String>,
    /// Its `Features:` line.
    pub features: Vec<String>,
    /// Commands of its shell and scripts.
    pub commands: Vec<String>,
    /// PCI cards that it drives by itself; empty where it uses the firmware's driver (`undionly`,
    /// `snponly`).
    pub drivers: Vec<Driver>,
    /// Multicast.
    pub slam: ProtocolSupport,
    /// Whether it speaks for its groups (IGMP, MLD): it has the command `mcleave`, and the IP
    /// protocol by its name, without which the command would only seem to work.
    pub membership: bool,
    /// The embedded script.
    pub script: Option<Script>,
    /// The macros that its site decided, as the compiler saw them ([`record`]); absent where it is not
    /// slamboot's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<BTreeMap<String, String>>,
}

impl Program {
    /// Reads the tables in `memory`.
    pub(super) fn read(memory: &Memory<'_>, blocks: usize) -> Program {
        let (openers, features) = (memory.openers(), memory.features());
        let entry = |table: &Names, name: &str| {
            let entry = table.iter().find(|(_, found)| found == name);
            entry.map(|(at, _)| *at)
        };
        let slam = match (entry(&openers, "x-slam"), entry(&features, "SLAM")) {
            (Some(opener), Some(feature)) => ProtocolSupport::Registered {
                opener,
                feature,
                announced: memory.announces_slam(),
            },
            _ if memory.has_string("x-slam") || memory.has_string("SLAM") => {
                ProtocolSupport::Mentioned
            }
            _ => ProtocolSupport::Absent,
        };
        let names = |table: Names| table.into_iter().map(|(_, name)| name).collect();
        let mut commands: Vec<String> = names(memory.commands());
        commands.sort_unstable();
        Program {
            version: memory.version(),
            unpacked: memory.bytes.len(),
            blocks,
            protocols: names(openers),
            features: names(features),
            membership: memory.has_string("mcleave") && memory.has_string("IGMP"),
            commands,
            drivers: memory.drivers(),
            slam,
            script: memory.script(),
            settings: memory
                .text_behind(record::START)
                .as_deref()
                .map(record::read),
        }
    }
}
