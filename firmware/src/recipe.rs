// SPDX-License-Identifier: MIT OR Apache-2.0
//! All that decides the bytes of a site's firmware, beside the tools: from a site, or from the manifest
//! of what was built before.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use site::{Client, Firmware, Site};

use crate::config::{self, Header};
use crate::manifest::{Config, Ipxe, Manifest};
use crate::overlay;
use crate::pins::{Configuration, Dialect, Pins, PinsError, Release};
use crate::script::{self, ScriptError};
use crate::target::make_arguments;

/// Where the embedded script lies, relative to iPXE's `src/`.
pub const SCRIPT: &str = "../slamboot.ipxe";
/// Where the root certificate lies, likewise.
pub const ROOT: &str = "../slamboot-root.crt";

/// The root certificate that a ROM trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// In PEM.
    pub pem: String,
    /// SHA-256 over its DER, which is what iPXE keeps of it (`rootcert.c`).
    pub fingerprint: [u8; 32],
}

/// What firmware is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The pinned release.
    pub release: Release,
    /// Which of our C is laid over it.
    pub parts: Parts,
    /// Headers for `config/local`.
    pub headers: Vec<Header>,
    /// The embedded script.
    pub script: String,
    /// Who is trusted; `None`: everybody.
    pub root: Option<Root>,
}

/// What a site says of the C that is linked in; what the release cannot have is left out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Which SLAM client.
    pub client: Client,
    /// Whether group membership.
    pub igmp: bool,
}

/// A manifest that cannot be built from.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// It is of something else, or of a slamboot that wrote less into it.
    #[error(
        "no {0} in this manifest: expected one that `cargo xtask firmware` wrote for files that it built"
    )]
    Absent(&'static str),
    /// The pins know no such release.
    #[error(transparent)]
    Release(#[from] PinsError),
    /// An input that this slamboot has otherwise.
    #[error(
        "{what}: the manifest says {expected}, this slamboot has {found}\nhelp: build with the slamboot that wrote the manifest"
    )]
    Differs {
        /// Which input.
        what: &'static str,
        /// In the manifest.
        expected: String,
        /// Here.
        found: String,
    },
}

impl Recipe {
    /// For a site's ROMs, as far as `release` can follow its wishes.
    pub fn new(site: &Site, release: &Release, root: Option<Root>) -> Result<Recipe, ScriptError> {
        let firmware = &site.firmware;
        Ok(Recipe {
            release: release.clone(),
            parts: Parts::wanted(firmware, release),
            headers: config::headers(firmware, release),
            script: match release.dialect {
                Dialect::Ipxe => script::embedded(site)?,
                Dialect::Gpxe => script::embedded_gpxe(site)?,
            },
            root,
        })
    }

    /// What was built, from what its manifest says of it. The root's fingerprint is for the caller to
    /// compute: `fingerprint` does it from PEM.
    pub fn of(
        manifest: &Manifest,
        pins: &Pins,
        fingerprint: impl Fn(&str) -> Option<[u8; 32]>,
    ) -> Result<Recipe, RecipeError> {
        let absent = RecipeError::Absent;
        let ipxe = manifest.ipxe.as_ref().ok_or(absent("iPXE release"))?;
        let release = pins.release(&ipxe.release)?;
        let config = manifest.config.as_ref().ok_or(absent("configuration"))?;
        let headers: Vec<Header> = config
            .headers
            .iter()
            .map(|(name, text)| Header {
                name: name.rsplit('/').next().unwrap_or_default().to_owned(),
                text: text.clone(),
            })
            .collect();
        let links = |object: &str| {
            let line = format!("REQUIRE_OBJECT ( {object} );");
            headers.iter().any(|header| header.text.contains(&line))
        };
        let recipe = Recipe {
            release: release.clone(),
            parts: Parts {
                client: if links("slamboot_slam") {
                    Client::Slamboot
                } else {
                    Client::Stock
                },
                igmp: links("mcast"),
            },
            headers,
            script: manifest.script.clone().ok_or(absent("script"))?,
            root: match &manifest.root {
                Some(pem) => Some(Root {
                    pem: pem.clone(),
                    fingerprint: fingerprint(pem).ok_or(absent("readable root certificate"))?,
                }),
                None => None,
            },
        };
        let digest = manifest.inputs_digest.as_ref();
        recipe.compare(manifest, digest.ok_or(absent("digest of inputs"))?)?;
        Ok(recipe)
    }

    /// Whether this slamboot comes to the same inputs.
    fn compare(&self, manifest: &Manifest, digest: &str) -> Result<(), RecipeError> {
        let written = |digest: Option<String>| digest.unwrap_or_else(|| "none".to_owned());
        let described = self.describe();
        let commit = |m: &Manifest| m.ipxe.as_ref().map(|ipxe| ipxe.commit.clone());
        let overlay = |m: &Manifest| m.overlay_digest.map(|digest| digest.to_string());
        let config = |m: &Manifest| m.config.as_ref().map(|config| config.digest.clone());
        let make = |m: &Manifest| Some(m.make.join(" "));
        let all: [(&'static str, Option<String>, Option<String>); 6] = [
            ("iPXE's commit", commit(manifest), commit(&described)),
            ("slamboot's C", overlay(manifest), overlay(&described)),
            ("configuration", config(manifest), config(&described)),
            (
                "script",
                manifest.script_digest.clone(),
                described.script_digest.clone(),
            ),
            ("make's arguments", make(manifest), make(&described)),
            (
                "digest of inputs",
                Some(digest.to_owned()),
                described.inputs_digest.clone(),
            ),
        ];
        for (what, expected, found) in all {
            if expected != found {
                return Err(RecipeError::Differs {
                    what,
                    expected: written(expected),
                    found: written(found),
                });
            }
        }
        Ok(())
    }

    /// What a manifest says of it.
    pub fn describe(&self) -> Manifest {
        let header =
            |header: &Header| (format!("config/local/{}", header.name), header.text.clone());
        Manifest {
            ipxe: Some(Ipxe {
                release: self.release.name.clone(),
                commit: self.release.commit.clone(),
                digest: self.release.digest,
            }),
            overlay_digest: Some(overlay::digest(self.parts, &self.release)),
            config: Some(Config {
                digest: config::digest(&self.headers),
                headers: self.headers.iter().map(header).collect::<BTreeMap<_, _>>(),
            }),
            script: Some(self.script.clone()),
            script_digest: Some(hex::encode(Sha256::digest(&self.script))),
            root: self.root.as_ref().map(|root| root.pem.clone()),
            make: self.make(),
            inputs_digest: Some(self.digest()),
            ..Manifest::default()
        }
    }

    /// make's arguments that are the same for all targets and in every directory.
    fn make(&self) -> Vec<String> {
        make_arguments(self, &[], "", 1)
            .into_iter()
            .filter(|argument| !argument.starts_with("-j"))
            .collect()
    }

    /// Identifies all inputs that make does not follow by itself: all but the script.
    pub fn untracked(&self) -> String {
        let mut digest = Sha256::new();
        for part in [
            self.release.commit.clone(),
            self.release.epoch.to_string(),
            overlay::digest(self.parts, &self.release).to_string(),
            config::digest(&self.headers),
            self.make().join("\n"),
            // The certificate's path is the same for all.
            self.root
                .as_ref()
                .map_or_else(String::new, |root| hex::encode(root.fingerprint)),
        ] {
            digest.update(part);
            digest.update([0]);
        }
        if self.release.configuration == Configuration::Line {
            digest.update(b"config/general.h edited");
        }
        hex::encode(digest.finalize())
    }

    /// Identifies all inputs.
    pub fn digest(&self) -> String {
        let script = hex::encode(Sha256::digest(&self.script));
        hex::encode(Sha256::digest(format!("{}\n{script}\n", self.untracked())))
    }
}

impl Parts {
    /// What `firmware` wants of `release`.
    pub fn wanted(firmware: &Firmware, release: &Release) -> Parts {
        Parts {
            client: release.client(firmware.client),
            igmp: release.membership(firmware.igmp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(pem: Option<&str>) -> Recipe {
        let pins = Pins::builtin().unwrap();
        let root = pem.map(|pem| Root {
            pem: pem.to_owned(),
            fingerprint: fingerprint(pem),
        });
        let release = pins.release("v2.0.0").unwrap();
        Recipe::new(&Site::default(), release, root).unwrap()
    }

    fn fingerprint(pem: &str) -> [u8; 32] {
        Sha256::digest(pem).into()
    }

    fn of(manifest: &Manifest) -> Result<Recipe, RecipeError> {
        let pins = Pins::builtin().unwrap();
        Recipe::of(manifest, &pins, |pem| Some(fingerprint(pem)))
    }

    #[test]
    fn a_manifest_is_enough_to_build_from() {
        let pins = Pins::builtin().unwrap();
        for recipe in [recipe(None), recipe(Some("a root"))] {
            let text = serde_json::to_string(&recipe.describe()).unwrap();
            let manifest: Manifest = serde_json::from_str(&text).unwrap();
            assert_eq!(of(&manifest).unwrap(), recipe);
        }
        let mut site = Site::default();
        (site.firmware.client, site.firmware.igmp) = (Client::Stock, false);
        for release in ["v2.0.0", "v1.20.1", "head"] {
            let release = pins.release(release).unwrap();
            let recipe = Recipe::new(&site, release, None).unwrap();
            assert_eq!(of(&recipe.describe()).unwrap(), recipe);
        }
    }

    #[test]
    fn a_manifest_of_other_inputs_is_refused_with_what_differs() {
        let refused = |change: fn(&mut Manifest)| {
            let mut manifest = recipe(None).describe();
            change(&mut manifest);
            let error = of(&manifest).unwrap_err();
            error.to_string()
        };
        for (said, part) in [
            (refused(|m| m.ipxe = None), "no iPXE release"),
            (refused(|m| m.script = None), "no script"),
            (
                refused(|m| m.script = Some("#!ipxe\n".into())),
                "script: the manifest says",
            ),
            (refused(|m| m.make.push("X=1".into())), "make's arguments"),
            (
                refused(|m| m.inputs_digest = Some("0".into())),
                "digest of inputs",
            ),
            (
                refused(|m| m.overlay_digest = Some("0".repeat(64).parse().unwrap())),
                "slamboot's C",
            ),
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }

    /// Each of the traps: what make would not notice has another tree, and what it does notice has
    /// not.
    #[test]
    fn whatever_make_does_not_follow_names_another_tree() {
        let one = recipe(None);
        let mut all = vec![one.untracked()];
        let mut other = |change: fn(&mut Recipe)| {
            let mut recipe = one.clone();
            change(&mut recipe);
            assert_ne!(recipe.digest(), one.digest());
            all.push(recipe.untracked());
        };
        other(|r| r.release.commit = "0".repeat(40));
        other(|r| r.release.epoch += 1);
        other(|r| r.release.cflags.push("-O1".into()));
        other(|r| r.release.make.push("NO_WERROR=1".into()));
        other(|r| r.headers[0].text.push_str("#define X\n"));
        other(|r| drop(r.headers.remove(0)));
        other(|r| r.parts.igmp = false);
        other(|r| (r.parts.client, r.parts.igmp) = (Client::Stock, false));
        all.push(recipe(Some("a root")).untracked());
        all.push(recipe(Some("another root, at the same path")).untracked());
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "two of them share a tree");

        let mut scripted = one.clone();
        scripted.script.push_str("echo more\n");
        assert_eq!(scripted.untracked(), one.untracked());
        assert_ne!(scripted.digest(), one.digest());
    }
}
