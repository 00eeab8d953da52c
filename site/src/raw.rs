// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot.toml` as it is written: the shape only, nothing checked but types and key names.
//!
//! Every value carries its place in the file ([`Spanned`]), so that whatever a later check finds
//! can be pointed at. An absent key stays `None`: defaults live in [`Site::default`] alone.
//!
//! [`Site::default`]: crate::Site

use std::collections::BTreeMap;
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
    pub(crate) dhcp: RawDhcp,
    #[serde(default)]
    pub(crate) tftp: RawTftp,
    #[serde(default)]
    pub(crate) http: RawHttp,
    #[serde(default)]
    pub(crate) status: RawStatus,
    #[serde(default)]
    pub(crate) firmware: RawFirmware,
    #[serde(default)]
    pub(crate) boot: RawBoot,
    #[serde(default, rename = "image")]
    pub(crate) images: Vec<Spanned<RawImage>>,
    #[serde(default, rename = "host")]
    pub(crate) hosts: Vec<Spanned<RawHost>>,
    #[serde(default, rename = "group")]
    pub(crate) groups: Vec<Spanned<RawGroup>>,
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
    pub(crate) https_port: Number,
    pub(crate) certificate: Text,
    pub(crate) key: Text,
    pub(crate) memdisk: Text,
    pub(crate) firmware: Text,
    pub(crate) state: Text,
    pub(crate) user: Text,
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

/// `[dhcp]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDhcp {
    pub(crate) mode: Text,
    pub(crate) port: Number,
    pub(crate) pxe_port: Number,
    pub(crate) strict: Switch,
    pub(crate) pool: Text,
    pub(crate) lease_time: Number,
    pub(crate) router: Text,
    pub(crate) dns: Option<Names>,
    #[serde(default)]
    pub(crate) relay: Vec<Spanned<RawRelay>>,
}

/// `[[dhcp.relay]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRelay {
    pub(crate) network: Text,
    pub(crate) pool: Text,
    pub(crate) router: Text,
    pub(crate) dns: Option<Names>,
    pub(crate) interface: Text,
}

/// `[tftp]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTftp {
    pub(crate) port: Number,
}

/// `[http]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHttp {
    pub(crate) max_connections: Number,
}

/// `[status]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawStatus {
    pub(crate) page: Switch,
    pub(crate) token_file: Text,
    pub(crate) history: Number,
}

/// `[[host]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHost {
    pub(crate) mac: Option<Names>,
    pub(crate) name: Text,
    pub(crate) address: Text,
    pub(crate) image: Text,
    pub(crate) boot: Text,
}

/// `[[group]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawGroup {
    pub(crate) name: Text,
    pub(crate) mac: Option<Names>,
    pub(crate) network: Option<Names>,
    pub(crate) arch: Option<Names>,
    pub(crate) image: Text,
    pub(crate) boot: Text,
}

/// `[firmware]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFirmware {
    pub(crate) release: Text,
    pub(crate) targets: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(crate) sets: BTreeMap<String, Vec<Spanned<String>>>,
    pub(crate) client: Text,
    pub(crate) igmp: Switch,
    pub(crate) ipv6: Switch,
    pub(crate) serial: Switch,
    pub(crate) retries: Number,
    pub(crate) trust: Switch,
    pub(crate) trust_root: Text,
    #[serde(default)]
    pub(crate) script: RawScript,
    #[serde(default)]
    pub(crate) protocols: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) commands: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) consoles: Vec<Spanned<String>>,
    pub(crate) banner: Text,
    pub(crate) banner_timeout: Number,
    pub(crate) dhcp_timeout: Number,
    #[serde(default)]
    pub(crate) raw: BTreeMap<String, Spanned<String>>,
}

/// `[firmware.script]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawScript {
    pub(crate) ask_server: Switch,
    pub(crate) http_fallback: Switch,
    pub(crate) static_network: Text,
    pub(crate) vlan: Number,
    pub(crate) file: Text,
}

/// `[boot]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBoot {
    pub(crate) default: Text,
    pub(crate) menu: Switch,
    pub(crate) timeout: Number,
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
pub(crate) const KEYS: [(&str, &[&str]); 13] = [
    (
        "[server]",
        &[
            "interface",
            "address",
            "address6",
            "http_port",
            "https_port",
            "certificate",
            "key",
            "memdisk",
            "firmware",
            "state",
            "user",
        ],
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
            "release",
            "targets",
            "sets",
            "client",
            "igmp",
            "ipv6",
            "serial",
            "retries",
            "trust",
            "trust_root",
            "script",
            "protocols",
            "commands",
            "consoles",
            "banner",
            "banner_timeout",
            "dhcp_timeout",
            "raw",
        ],
    ),
    (
        "[firmware.script]",
        &[
            "ask_server",
            "http_fallback",
            "static_network",
            "vlan",
            "file",
        ],
    ),
    (
        "[dhcp]",
        &[
            "mode",
            "port",
            "pxe_port",
            "strict",
            "pool",
            "lease_time",
            "router",
            "dns",
            "relay",
        ],
    ),
    ("[tftp]", &["port"]),
    ("[http]", &["max_connections"]),
    ("[status]", &["page", "token_file", "history"]),
    ("[boot]", &["default", "menu", "timeout"]),
    (
        "[[image]]",
        &[
            "name", "kind", "priority", "path", "kernel", "initrd", "args",
        ],
    ),
    ("[[host]]", &["mac", "name", "address", "image", "boot"]),
    (
        "[[group]]",
        &["name", "mac", "network", "arch", "image", "boot"],
    ),
    (
        "[[dhcp.relay]]",
        &["network", "pool", "router", "dns", "interface"],
    ),
];
