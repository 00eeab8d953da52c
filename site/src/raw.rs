// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot.toml` as it is written: the shape only, nothing checked but types and key names.
//!
//! Every value carries its place in the file ([`Spanned`]), so that whatever a later check finds
//! can be pointed at. An absent key stays `None`: defaults live in [`Site::default`] alone.
//!
//! [`Site::default`]: crate::Site

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use toml::Spanned;

type Text = Option<Spanned<String>>;
type Number = Option<Spanned<i64>>;
type Switch = Option<Spanned<bool>>;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSite {
    #[serde(default)]
    pub(crate) server: RawServer,
    #[serde(default)]
    pub(crate) slam: RawSlam,
    #[serde(default)]
    pub(crate) firmware: RawFirmware,
    #[serde(default)]
    pub(crate) boot: RawBoot,
    #[serde(default, rename = "image")]
    pub(crate) images: Vec<Spanned<RawImage>>,
}

/// One name, or a list of names.
#[derive(Debug)]
pub(crate) struct Names(pub(crate) Vec<Spanned<String>>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Spanned is understood by the parser itself, and only where a value is expected: so the
        // shape is asked of the value, and its place is taken first.
        let value = Spanned::<OneOrMany>::deserialize(deserializer)?;
        let span = value.span();
        Ok(Names(match value.into_inner() {
            OneOrMany::One(name) => vec![Spanned::new(span, name)],
            OneOrMany::Many(names) => names,
        }))
    }
}

enum OneOrMany {
    One(String),
    Many(Vec<Spanned<String>>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text in quotes, or a list of texts")
            }

            fn visit_str<E>(self, name: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(name.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(OneOrMany::Many(names))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// `[server]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawServer {
    pub(crate) interface: Option<Names>,
    pub(crate) address: Text,
    pub(crate) address6: Text,
    pub(crate) http_port: Number,
    pub(crate) memdisk: Text,
}

/// `[slam]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSlam {
    pub(crate) port: Number,
    pub(crate) group: Text,
    pub(crate) group_port: Number,
    pub(crate) max_rate: Text,
    pub(crate) total_rate: Text,
    pub(crate) allowed: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) min_clients: Number,
    pub(crate) max_wait: Number,
    pub(crate) slow_clients: Text,
    pub(crate) slow_group: Text,
    pub(crate) ttl: Number,
    pub(crate) block_size: Number,
    pub(crate) stock_clients: Switch,
}

/// `[firmware]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFirmware {
    pub(crate) release: Text,
    pub(crate) targets: Option<Vec<Spanned<String>>>,
    pub(crate) client: Text,
    pub(crate) igmp: Switch,
    pub(crate) ipv6: Switch,
    pub(crate) serial: Switch,
    pub(crate) retries: Number,
}

/// `[boot]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBoot {
    pub(crate) default: Text,
}

/// `[[image]]`: the keys of every kind; which of them belong together is checked later, so that
/// the error can say it (serde's tagged enums lose places and name only the first).
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawImage {
    pub(crate) name: Text,
    pub(crate) kind: Text,
    pub(crate) priority: Number,
    pub(crate) path: Text,
    pub(crate) kernel: Text,
    pub(crate) initrd: Text,
    pub(crate) args: Text,
}

/// Every section with its keys, to say where a misplaced key belongs. The example file's test
/// compares it with `docs/slamboot.toml`, and serde's own list with both.
pub(crate) const KEYS: [(&str, &[&str]); 5] = [
    (
        "[server]",
        &["interface", "address", "address6", "http_port", "memdisk"],
    ),
    (
        "[slam]",
        &[
            "port",
            "group",
            "group_port",
            "max_rate",
            "total_rate",
            "allowed",
            "min_clients",
            "max_wait",
            "slow_clients",
            "slow_group",
            "ttl",
            "block_size",
            "stock_clients",
        ],
    ),
    (
        "[firmware]",
        &[
            "release", "targets", "client", "igmp", "ipv6", "serial", "retries",
        ],
    ),
    ("[boot]", &["default"]),
    (
        "[[image]]",
        &[
            "name", "kind", "priority", "path", "kernel", "initrd", "args",
        ],
    ),
];
