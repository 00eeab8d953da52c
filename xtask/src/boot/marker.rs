// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lines by which a machine says how far it is: ours on its serial line, and a kernel's banner.

use std::fmt;

use serde::Serialize;

/// How a file travelled; the worse one is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Protocol {
    /// Multicast.
    #[serde(rename = "x-slam")]
    Slam,
    /// The fallback.
    #[serde(rename = "http")]
    Http,
}

impl Protocol {
    /// The URI's scheme, as it stands in markers and in the report.
    pub fn scheme(self) -> &'static str {
        match self {
            Protocol::Slam => "x-slam",
            Protocol::Http => "http",
        }
    }

    fn parse(scheme: &str) -> Option<Protocol> {
        [Protocol::Slam, Protocol::Http]
            .into_iter()
            .find(|protocol| protocol.scheme() == scheme)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme())
    }
}

/// One such line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marker {
    /// `slamboot: rom up`
    RomUp,
    /// `slamboot: fetch NAME over PROTOCOL`
    Fetch {
        /// Of the transfer: `demo`, `debian/kernel`.
        name: String,
        /// About to be used.
        protocol: Protocol,
    },
    /// `slamboot: fetched NAME over PROTOCOL`
    Fetched {
        /// Of the transfer.
        name: String,
        /// That was used.
        protocol: Protocol,
    },
    /// `slamboot: boot IMAGE`
    Boot,
    /// `slamboot: attempt N of N failed, next in N s`
    AttemptFailed,
    /// `SLAM: …`: what our SLAM client found wrong.
    Complaint(String),
    /// `slamboot demo: start drive=0xNN sectors=N`
    DemoStart,
    /// `slamboot demo: ok crc32=xxxxxxxx sectors=N drive=0xNN`
    DemoOk {
        /// Of the whole disk, as the guest read it through the BIOS.
        crc32: u32,
        /// 512-byte sectors, as the BIOS says.
        sectors: u64,
        /// BIOS drive number: `0x80`.
        drive: String,
    },
    /// `slamboot demo: BAD …`: what it says of itself.
    DemoBad(String),
    /// `slamboot stand-in: ok crc32=xxxxxxxx drive=0xNN`: what it says.
    StandInOk(String),
    /// `Linux version …`: which.
    Linux(String),
}

impl Marker {
    /// The marker in a line, wherever it begins: firmware leaves the cursor anywhere.
    pub fn parse(line: &str) -> Option<Marker> {
        if let Some((_, version)) = line.split_once("Linux version ") {
            let version = version.split_whitespace().next()?;
            return Some(Marker::Linux(version.to_owned()));
        }
        if let Some((_, said)) = line.split_once("slamboot demo: ") {
            return Marker::parse_demo(said);
        }
        if let Some((_, said)) = line.split_once("slamboot stand-in: ") {
            return match said.split_whitespace().next()? {
                "ok" => Some(Marker::StandInOk(said.trim().to_owned())),
                "BAD" => Some(Marker::DemoBad(said.trim().to_owned())),
                _ => None,
            };
        }
        if let Some(at) = line.find("SLAM: ") {
            return Some(Marker::Complaint(line[at..].trim().to_owned()));
        }
        let (_, said) = line.split_once("slamboot: ")?;
        let words: Vec<&str> = said.split_whitespace().collect();
        match words[..] {
            ["rom", "up", ..] => Some(Marker::RomUp),
            ["fetch", name, "over", scheme, ..] => Some(Marker::Fetch {
                name: name.to_owned(),
                protocol: Protocol::parse(scheme)?,
            }),
            ["fetched", name, "over", scheme, ..] => Some(Marker::Fetched {
                name: name.to_owned(),
                protocol: Protocol::parse(scheme)?,
            }),
            ["boot", _, ..] => Some(Marker::Boot),
            ["attempt", ..] if words.contains(&"failed,") => Some(Marker::AttemptFailed),
            _ => None,
        }
    }

    fn parse_demo(said: &str) -> Option<Marker> {
        let value = |key: &str| {
            said.split_whitespace()
                .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        };
        match said.split_whitespace().next()? {
            "start" => Some(Marker::DemoStart),
            "ok" => Some(Marker::DemoOk {
                crc32: u32::from_str_radix(value("crc32")?, 16).ok()?,
                sectors: value("sectors")?.parse().ok()?,
                drive: value("drive")?.to_owned(),
            }),
            "BAD" => Some(Marker::DemoBad(said.trim().to_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_marker_is_read() {
        let fetch = |name: &str, protocol| Marker::Fetch {
            name: name.to_owned(),
            protocol,
        };
        for (line, marker) in [
            ("slamboot: rom up", Marker::RomUp),
            ("Configuring... ok slamboot: rom up (v2.0.0)", Marker::RomUp),
            (
                "slamboot: fetch demo over x-slam",
                fetch("demo", Protocol::Slam),
            ),
            (
                "slamboot: fetch debian/kernel over http",
                fetch("debian/kernel", Protocol::Http),
            ),
            (
                "slamboot: fetched demo over http",
                Marker::Fetched {
                    name: "demo".into(),
                    protocol: Protocol::Http,
                },
            ),
            ("slamboot: boot demo", Marker::Boot),
            (
                "slamboot: attempt 1 of 5 failed, next in 1 s",
                Marker::AttemptFailed,
            ),
            (
                "x-slam://10.77.0.1... SLAM: no memory for an image of 3 MiB",
                Marker::Complaint("SLAM: no memory for an image of 3 MiB".into()),
            ),
            (
                "slamboot demo: start drive=0x80 sectors=131072",
                Marker::DemoStart,
            ),
            (
                "slamboot demo: ok crc32=0012abcd sectors=131072 drive=0x80",
                Marker::DemoOk {
                    crc32: 0x0012_abcd,
                    sectors: 131_072,
                    drive: "0x80".into(),
                },
            ),
            (
                "slamboot demo: BAD read lba=77 ah=01",
                Marker::DemoBad("BAD read lba=77 ah=01".into()),
            ),
            (
                "slamboot stand-in: ok crc32=0012abcd drive=0x80",
                Marker::StandInOk("ok crc32=0012abcd drive=0x80".into()),
            ),
            (
                "slamboot stand-in: BAD load crc32=1",
                Marker::DemoBad("BAD load crc32=1".into()),
            ),
            (
                "[    0.000000] Linux version 6.1.0-50-amd64 (debian-kernel@lists.debian.org)",
                Marker::Linux("6.1.0-50-amd64".into()),
            ),
        ] {
            assert_eq!(Marker::parse(line), Some(marker), "{line}");
        }
    }

    #[test]
    fn other_lines_are_none() {
        for line in [
            "",
            "slamboot",
            "slamboot: ",
            "slamboot: fetch demo over",
            "slamboot: fetch demo over gopher",
            "slamboot demo: ok crc32=xyz sectors=1 drive=0x80",
            "slamboot demo: ok crc32=1 sectors=-1 drive=0x80",
            "slamboot demo: ",
            "Linux version ",
        ] {
            assert_eq!(Marker::parse(line), None, "{line}");
        }
    }
}
