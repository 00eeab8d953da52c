// SPDX-License-Identifier: MIT OR Apache-2.0
//! The releases of iPXE that `ipxe.toml` pins.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The text that this build of slamboot carries.
const BUILTIN: &str = include_str!("../ipxe.toml");

/// `ipxe.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// Name of the release that is built when nobody chooses.
    pub default: String,
    /// Where users' machines fetch from.
    pub upstream: String,
    releases: BTreeMap<String, Release>,
    targets: BTreeMap<String, u64>,
    #[serde(default)]
    sets: BTreeMap<String, Vec<String>>,
}

/// One pinned release.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Name, filled in from the key.
    #[serde(skip)]
    pub name: String,
    /// Full commit id, 40 hexadecimal digits.
    pub commit: String,
    /// [`TreeDigest`](crate::tree::TreeDigest) of the commit's tree.
    pub digest: crate::tree::TreeDigest,
    /// The commit's time, seconds since 1970.
    pub epoch: u64,
    /// Whether `slam.c` understands the group that a URI names.
    pub explicit_groups: ExplicitGroups,
    /// Whether slamboot's own SLAM client can be laid over it.
    #[serde(default)]
    pub overlay: Overlay,
    /// How SLAM is switched on.
    #[serde(default)]
    pub configuration: Configuration,
    /// Which scripts it runs.
    #[serde(default)]
    pub dialect: Dialect,
    /// Which signatures it verifies.
    #[serde(default)]
    pub signatures: Signatures,
    /// Further make arguments.
    #[serde(default)]
    pub make: Vec<String>,
    /// Further compiler flags.
    #[serde(default)]
    pub cflags: Vec<String>,
    /// What a `.rom` comes to, where that was measured.
    #[serde(default)]
    pub least_rom: Option<LeastRom>,
}

/// Bytes that a `.rom` has at least, whatever a site switches off.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeastRom {
    /// With the smallest driver.
    pub bare: usize,
    /// So many more with slamboot's client and group membership.
    pub ours: usize,
    /// So many more for each key of `[firmware]`, by its word in `slamboot.toml`.
    #[serde(default)]
    keys: BTreeMap<String, usize>,
    /// The same for keys that share much: each of these is right about all of them together, no matter which.
    #[serde(default)]
    sharing: Vec<BTreeMap<String, usize>>,
    /// With a driver that takes much more than the smallest.
    drivers: BTreeMap<String, usize>,
}

impl LeastRom {
    /// What the keys of these words add.
    pub fn added(&self, words: &[&str]) -> usize {
        let of = |table: &BTreeMap<String, usize>| -> usize {
            let turned = table
                .iter()
                .filter(|(key, _)| words.contains(&key.as_str()));
            turned.map(|(_, bytes)| bytes).sum()
        };
        of(&self.keys) + self.sharing.iter().map(of).max().unwrap_or(0)
    }

    /// With `driver`.
    pub fn of(&self, driver: &str) -> usize {
        self.drivers.get(driver).copied().unwrap_or(self.bare)
    }
}

/// Whether our own C fits a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlay {
    /// It builds and runs.
    #[default]
    Fits,
    /// The release lacks what it needs.
    Unfit,
}

/// How a release is told to link SLAM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Configuration {
    /// By a header in `config/local`.
    #[default]
    Local,
    /// The old way: the `#undef` line in `config/general.h` becomes a `#define`.
    Line,
}

/// Which scripts a release runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// `#!ipxe`: labels, `||`, `goto`.
    #[default]
    Ipxe,
    /// `#!gpxe`: commands one after the other, up to the first that fails.
    Gpxe,
}

/// Which signatures a release verifies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signatures {
    /// RSA, and ECDSA on P-256 and P-384.
    #[default]
    All,
    /// RSA alone: there is no `crypto/ecdsa.c` in it.
    Rsa,
}

impl Release {
    /// Whether a ROM of this release speaks for its groups when that is wanted.
    pub fn membership(&self, wanted: bool) -> bool {
        wanted && self.overlay == Overlay::Fits
    }

    /// The SLAM client that a ROM of this release gets when `wanted` is asked for.
    pub fn client(&self, wanted: site::Client) -> site::Client {
        match self.overlay {
            Overlay::Fits => wanted,
            Overlay::Unfit => site::Client::Stock,
        }
    }
}

/// How a release reads `x-slam://server/group`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExplicitGroups {
    /// As meant.
    Right,
    /// It refuses every valid group; the overlay mends that.
    Broken,
}

/// What is wrong with pins, or with a name looked up in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinsError {
    /// The text does not parse.
    #[error("firmware/ipxe.toml: {0}")]
    Syntax(String),
    /// A value that cannot be.
    #[error("firmware/ipxe.toml: release {release}: expected {expected}, found {found:?}")]
    Value {
        /// Which release.
        release: String,
        /// What must be there.
        expected: &'static str,
        /// What is.
        found: String,
    },
    /// No set has this name.
    #[error(
        "no set of targets named {found:?}: expected one of {known}, or one of [firmware.sets] in slamboot.toml"
    )]
    NoSet {
        /// The name.
        found: String,
        /// All names.
        known: String,
    },
    /// Nobody pinned this.
    #[error("no iPXE release named {found:?} is pinned; firmware/ipxe.toml knows: {known}")]
    Unknown {
        /// The name.
        found: String,
        /// All names.
        known: String,
    },
}

impl Pins {
    /// The pins that slamboot ships.
    pub fn builtin() -> Result<Pins, PinsError> {
        Pins::parse(BUILTIN)
    }

    /// Reads and checks `text`.
    pub fn parse(text: &str) -> Result<Pins, PinsError> {
        let mut pins: Pins =
            toml::from_str(text).map_err(|error| PinsError::Syntax(error.to_string()))?;
        for (name, release) in &mut pins.releases {
            release.name.clone_from(name);
            let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            if release.commit.len() != 40 || !release.commit.chars().all(hex) {
                return Err(PinsError::Value {
                    release: name.clone(),
                    expected: "a full commit id (40 hexadecimal digits)",
                    found: release.commit.clone(),
                });
            }
        }
        pins.release(&pins.default)?;
        Ok(pins)
    }

    /// The release named `name`.
    pub fn release(&self, name: &str) -> Result<&Release, PinsError> {
        self.releases.get(name).ok_or_else(|| PinsError::Unknown {
            found: name.to_owned(),
            known: self.releases.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// All releases.
    pub fn releases(&self) -> impl Iterator<Item = &Release> {
        self.releases.values()
    }

    /// The default set of targets.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.targets.keys().map(String::as_str)
    }

    /// The set of targets named `name`.
    pub fn set(&self, name: &str) -> Result<&[String], PinsError> {
        let set = self.sets.get(name).map(Vec::as_slice);
        set.ok_or_else(|| PinsError::NoSet {
            found: name.to_owned(),
            known: self.sets.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// All sets.
    pub fn sets(&self) -> impl Iterator<Item = (&str, &[String])> {
        let sets = self.sets.iter();
        sets.map(|(name, targets)| (name.as_str(), targets.as_slice()))
    }

    /// How many bytes `target` may have, where somebody decided.
    pub fn ceiling(&self, target: &str) -> Option<u64> {
        self.targets.get(target).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_pins_are_sound() {
        let pins = Pins::builtin().unwrap();
        assert_eq!(pins.release(&pins.default).unwrap().name, "v2.0.0");
        assert!(pins.release("head").is_ok());
        for target in pins.targets() {
            crate::target::Target::parse(target).unwrap();
        }
        for (name, targets) in pins.sets() {
            for target in targets {
                let parsed = crate::target::Target::parse(target).unwrap();
                assert_eq!(parsed.name(), target, "{name}");
            }
        }
        for (name, _) in pins.sets() {
            let all = pins.set("all").unwrap();
            assert!(
                pins.set(name)
                    .unwrap()
                    .iter()
                    .all(|target| all.contains(target)),
                "{name}"
            );
        }
    }

    #[test]
    fn an_unknown_release_lists_the_known() {
        let error = Pins::builtin().unwrap().release("v9").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no iPXE release named \"v9\" is pinned; firmware/ipxe.toml knows: gpxe, head, v1.20.1, v1.21.1, v2.0.0"
        );
    }

    #[test]
    fn a_short_commit_is_refused() {
        let text = BUILTIN.replace("12798ec29aa8a64d8675c4378b99f5fe28447afb", "12798ec29");
        let error = Pins::parse(&text).unwrap_err().to_string();
        assert!(
            error.contains("v2.0.0") && error.contains("12798ec29"),
            "{error}"
        );
        let error = Pins::parse("default = 1").unwrap_err().to_string();
        assert!(error.contains("ipxe.toml"), "{error}");
    }
}
