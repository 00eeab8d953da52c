// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the text of `slamboot.toml` to a [`Site`], validated once.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use toml::Spanned;

use crate::check::Key;
use crate::error::{Complaint, SiteError, nearest};
use crate::groups::Groups;
use crate::knobs::{Commands, Console, Knobs, Protocol};
use crate::load_boot;
use crate::rate::BitRate;
use crate::raw::{KEYS, Names, RawFirmware, RawImage, RawScript, RawServer, RawSite, RawSlam};
use crate::site::{
    Client, DEFAULT_HTTPS_PORT, EmbeddedScript, Firmware, Https, Image, ImageKind, Priority,
    Server, Site, Slam, Trust,
};
use crate::slow::POLICIES;

/// Clients that a session keeps, and that can be waited for.
const MAX_CLIENTS: u32 = 4096;
/// A day, in seconds.
const MAX_WAIT: u64 = 86_400;

pub(crate) type Span = Range<usize>;
/// A mistake and where it stands.
pub(crate) type Located = (Complaint, Span);

impl Site {
    /// Reads and validates the file at `path`.
    pub fn load(path: impl AsRef<Path>) -> Result<Site, SiteError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| SiteError::Read {
            path: path.to_owned(),
            source,
        })?;
        Site::parse(&text, path)
    }

    /// Validates `text`, which stands in the file `path`: errors name it, and relative paths are
    /// relative to its folder.
    pub fn parse(text: &str, path: &Path) -> Result<Site, SiteError> {
        let raw: RawSite = toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            explain_toml(error.message()).at(path, text, &span)
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut places = Places::default();
        let site = validate(raw, folder, &mut places)
            .map_err(|(complaint, span)| complaint.at(path, text, &span))?;
        site.check().map_err(|conflict| {
            let span = places.of(conflict.key);
            Complaint::from(conflict).at(path, text, &span)
        })?;
        Ok(site)
    }
}

/// Where in the text the values stand that [`Site::check`] looks at together.
#[derive(Default)]
struct Places {
    keys: HashMap<Key, Span>,
    images: Vec<Span>,
}

impl Places {
    fn note<T>(&mut self, key: Key, value: Option<&Spanned<T>>) {
        if let Some(value) = value {
            self.keys.insert(key, value.span());
        }
    }

    /// The value itself; where a default is in conflict, the last image, which asked too much.
    fn of(&self, key: Key) -> Span {
        let value = self.keys.get(&key);
        value.or(self.images.last()).cloned().unwrap_or(0..0)
    }
}

fn validate(raw: RawSite, folder: &Path, places: &mut Places) -> Result<Site, Located> {
    let defaults = Site::default();
    let mut site = Site {
        server: server(raw.server, defaults.server, folder, places)?,
        slam: slam(raw.slam, &defaults.slam, places)?,
        dhcp: load_boot::dhcp(raw.dhcp)?,
        tftp: load_boot::tftp(raw.tftp)?,
        http: load_boot::http(raw.http)?,
        status: load_boot::status(raw.status, folder)?,
        firmware: firmware(raw.firmware, defaults.firmware, folder)?,
        menu: load_boot::menu(&raw.boot)?,
        hosts: Vec::new(),
        groups: Vec::new(),
        images: Vec::new(),
        default_image: 0,
    };
    for (number, raw) in raw.images.into_iter().enumerate() {
        places.images.push(raw.span());
        site.images.push(image(raw, number, folder, places)?);
    }
    if let Some(default) = raw.boot.default {
        site.default_image = site.find_image(default.get_ref()).map_err(|near| {
            let names: Vec<_> = site
                .images
                .iter()
                .map(|i| format!("{:?}", i.name))
                .collect();
            let complaint = Complaint::new("[boot] default: no image of this name")
                .expected(match names.len() {
                    0 => "an [[image]] to boot; there is none".to_owned(),
                    _ => names.join(", "),
                })
                .found(format!("{:?}", default.get_ref()))
                .help(match near {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => "name one of the images, or leave the key out to boot the first".into(),
                });
            (complaint, default.span())
        })?;
    }
    site.hosts = load_boot::hosts(raw.hosts, &site.images)?;
    site.groups = load_boot::groups(raw.groups, &site.images)?;
    Ok(site)
}

fn server(
    raw: RawServer,
    default: Server,
    folder: &Path,
    places: &mut Places,
) -> Result<Server, Located> {
    places.note(Key::Address, raw.address.as_ref());
    let http_port = number("[server] http_port", raw.http_port, 0..=u16::MAX, "")?;
    let certificate = raw.certificate.as_ref().map(Spanned::span);
    if let Some(span) = (raw.https_port.as_ref().map(Spanned::span)).or(certificate) {
        places.keys.insert(Key::HttpsPort, span);
    }
    let https = https(raw.https_port, raw.certificate, raw.key, folder)?;
    Ok(Server {
        https,
        interfaces: interfaces(raw.interface)?,
        address: raw
            .address
            .map(|text| ipv4("[server] address", &text))
            .transpose()?,
        address6: raw
            .address6
            .map(|text| {
                text.get_ref().parse().map_err(|_| {
                    let complaint = Complaint::new("[server] address6: not an IPv6 address")
                        .expected(
                            "such as \"fd00::1\" or \"fe80::1\", without brackets or interface",
                        )
                        .found(format!("{:?}", text.get_ref()));
                    (complaint, text.span())
                })
            })
            .transpose()?,
        http_port: match http_port {
            None => default.http_port,
            Some(0) => None,
            Some(port) => Some(port),
        },
        memdisk: file("[server] memdisk", raw.memdisk, folder)?.unwrap_or(default.memdisk),
        firmware: file("[server] firmware", raw.firmware, folder)?,
        state: file("[server] state", raw.state, folder)?,
        user: raw
            .user
            .map(|text| filled("[server] user", text))
            .transpose()?,
    })
}

/// With a certificate, and not otherwise.
fn https(
    port: Option<Spanned<i64>>,
    certificate: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
    folder: &Path,
) -> Result<Option<Https>, Located> {
    let needs = |name: &str, span: Span| {
        let complaint = Complaint::new(format!("[server] {name}: HTTPS needs a certificate"))
            .expected("certificate = \"FILE\" beside it, in PEM")
            .help(format!("name one, or take `{name}` out"));
        Err((complaint, span))
    };
    let spans = [
        ("https_port", port.as_ref().map(Spanned::span)),
        ("key", key.as_ref().map(Spanned::span)),
    ];
    let port = number("[server] https_port", port, 0..=u16::MAX, "")?;
    let Some(certificate) = file("[server] certificate", certificate, folder)? else {
        let said = spans
            .into_iter()
            .find_map(|(name, span)| Some((name, span?)));
        return match said {
            None => Ok(None),
            Some(("https_port", _)) if port == Some(0) => Ok(None),
            Some((name, span)) => needs(name, span),
        };
    };
    let key = file("[server] key", key, folder)?;
    Ok(match port {
        Some(0) => None,
        port => Some(Https {
            port: port.unwrap_or(DEFAULT_HTTPS_PORT),
            key: key.unwrap_or_else(|| certificate.clone()),
            certificate,
        }),
    })
}

fn groups(key: &str, raw: Option<Spanned<String>>) -> Result<Option<Groups>, Located> {
    raw.map(|text| {
        text.get_ref().parse().map_err(|_| {
            let complaint = Complaint::new(format!("{key}: not a group"))
                .expected("an IPv4 or IPv6 address, or one of each with a comma between, such as \"239.255.1.1\" or \"239.255.1.1, ff15::5a\"")
                .found(format!("{:?}", text.get_ref()));
            (complaint, text.span())
        })
    })
    .transpose()
}

fn slam(raw: RawSlam, default: &Slam, places: &mut Places) -> Result<Slam, Located> {
    places.note(Key::Port, raw.port.as_ref());
    places.note(Key::Group, raw.group.as_ref());
    places.note(Key::GroupPort, raw.group_port.as_ref());
    places.note(Key::SlowGroup, raw.slow_group.as_ref());
    places.note(Key::Ttl, raw.ttl.as_ref());
    places.note(Key::BlockSize, raw.block_size.as_ref());
    let slow_clients = raw.slow_clients.map(|text| {
        text.get_ref().parse().map_err(|_| {
            let complaint = Complaint::new("[slam] slow_clients: no such policy")
                .expected(POLICIES)
                .found(format!("{:?}", text.get_ref()));
            (complaint, text.span())
        })
    });
    let max_wait = number("[slam] max_wait", raw.max_wait, 0..=MAX_WAIT, " seconds")?;
    let ports = 1..=u16::MAX;
    Ok(Slam {
        port: number("[slam] port", raw.port, ports.clone(), "")?.unwrap_or(default.port),
        group: groups("[slam] group", raw.group)?.unwrap_or(default.group),
        group_port: number("[slam] group_port", raw.group_port, ports, "")?
            .unwrap_or(default.group_port),
        max_rate: rate("[slam] max_rate", raw.max_rate)?.unwrap_or(default.max_rate),
        total_rate: rate("[slam] total_rate", raw.total_rate)?,
        allowed: allowed(raw.allowed)?,
        min_clients: number("[slam] min_clients", raw.min_clients, 1..=MAX_CLIENTS, "")?
            .or(default.min_clients),
        max_wait: max_wait.map(Duration::from_secs).or(default.max_wait),
        slow_clients: slow_clients.transpose()?.unwrap_or(default.slow_clients),
        slow_group: groups("[slam] slow_group", raw.slow_group)?,
        ttl: number("[slam] ttl", raw.ttl, 1..=u8::MAX, "")?.unwrap_or(default.ttl),
        block_size: number(
            "[slam] block_size",
            raw.block_size,
            1..=crate::MAX_BLOCK_SIZE,
            " bytes, so that one block fits one unfragmented datagram",
        )?
        .unwrap_or(default.block_size),
        stock_clients: raw
            .stock_clients
            .map_or(default.stock_clients, Spanned::into_inner),
    })
}

/// Each interface once.
fn interfaces(raw: Option<Names>) -> Result<Vec<String>, Located> {
    let mut found = Vec::new();
    for text in raw.map(|names| names.0).unwrap_or_default() {
        let span = text.span();
        let name = filled("[server] interface", text)?;
        if found.contains(&name) {
            let complaint = Complaint::new("[server] interface: named twice")
                .expected("each interface once")
                .found(format!("{name:?}"));
            return Err((complaint, span));
        }
        found.push(name);
    }
    Ok(found)
}

fn rate(key: &str, text: Option<Spanned<String>>) -> Result<Option<BitRate>, Located> {
    text.map(|text| {
        text.get_ref().parse().map_err(|_| {
            let complaint = Complaint::new(format!("{key}: not a rate"))
                .expected("\"900 Mbit/s\", \"1 Gbit/s\", \"500000 bit/s\" or alike, above 0")
                .found(format!("{:?}", text.get_ref()));
            (complaint, text.span())
        })
    })
    .transpose()
}

/// Networks that are heard. None at all would hear nobody.
fn allowed(raw: Option<Spanned<Vec<Spanned<String>>>>) -> Result<Option<Vec<IpNet>>, Located> {
    let Some(texts) = raw else { return Ok(None) };
    if texts.get_ref().is_empty() {
        let complaint = Complaint::new("[slam] allowed: no network, so that nobody is heard")
            .help("name one, or leave the key out to hear the networks of the interface");
        return Err((complaint, texts.span()));
    }
    networks("[slam] allowed", Some(texts.into_inner())).map(Some)
}

/// Networks, cut to their prefixes.
pub(crate) fn networks(
    key: &str,
    texts: Option<Vec<Spanned<String>>>,
) -> Result<Vec<IpNet>, Located> {
    let texts = texts.unwrap_or_default().into_iter();
    let networks = texts.map(|text| {
        let network = text.get_ref().parse::<IpNet>();
        network.map(|network| network.trunc()).map_err(|_| {
            let complaint = Complaint::new(format!("{key}: not a network"))
                .expected("an address and the length of its prefix, such as \"192.0.2.0/24\" or \"fd00::/64\"")
                .found(format!("{:?}", text.get_ref()))
                .help("one host is a network, too: \"192.0.2.7/32\"; everybody is \"0.0.0.0/0\" and \"::/0\"");
            (complaint, text.span())
        })
    });
    networks.collect()
}

/// Where `cargo xtask trust init` puts the root, beside the configuration.
const TRUST_ROOT: &str = "trust/root.crt";

fn trust(
    switch: Option<Spanned<bool>>,
    root: Option<Spanned<String>>,
    folder: &Path,
) -> Result<Option<Trust>, Located> {
    let said = switch.is_some();
    if !switch.is_some_and(Spanned::into_inner) {
        return match root.filter(|_| !said) {
            None => Ok(None),
            Some(root) => {
                let complaint = Complaint::new("[firmware] trust_root: nothing is trusted by it")
                    .help("set trust = true, or take it out");
                Err((complaint, root.span()))
            }
        };
    }
    let root = file("[firmware] trust_root", root, folder)?;
    let root = root.unwrap_or_else(|| folder.join(TRUST_ROOT));
    Ok(Some(Trust { root }))
}

fn embedded_script(
    raw: RawScript,
    trust: bool,
    default: &EmbeddedScript,
    folder: &Path,
) -> Result<EmbeddedScript, Located> {
    if raw.file.is_some() {
        let keys = [
            ("ask_server", raw.ask_server.as_ref().map(Spanned::span)),
            (
                "static_network",
                raw.static_network.as_ref().map(Spanned::span),
            ),
            ("vlan", raw.vlan.as_ref().map(Spanned::span)),
        ];
        if let Some((key, span)) = keys.into_iter().find_map(|(key, at)| Some((key, at?))) {
            let complaint = Complaint::new(format!(
                "[firmware.script] {key}: it is for slamboot's script, and file names another"
            ))
            .help("take one of them out");
            return Err((complaint, span));
        }
    }
    if let Some(ask) = raw
        .ask_server
        .as_ref()
        .filter(|ask| trust && *ask.get_ref())
    {
        let complaint = Complaint::new(
            "[firmware.script] ask_server: the server's script is made for each machine and carries no signature, so that a ROM with trust = true cannot run it",
        )
        .help("take it out: the menu and what each [[host]] boots are built into the ROM instead");
        return Err((complaint, ask.span()));
    }
    let network = raw.static_network.map(|text| {
        text.get_ref().parse::<Ipv4Net>().map_err(|_| {
            let complaint = Complaint::new("[firmware.script] static_network: not an IPv4 network")
                .expected("an address and the length of its prefix, such as \"192.0.2.0/24\"")
                .found(format!("{:?}", text.get_ref()));
            (complaint, text.span())
        })
    });
    Ok(EmbeddedScript {
        ask_server: raw
            .ask_server
            .map_or(default.ask_server && !trust, Spanned::into_inner),
        http_fallback: raw
            .http_fallback
            .map_or(default.http_fallback, Spanned::into_inner),
        static_network: network.transpose()?.map(|network| network.trunc()),
        vlan: number("[firmware.script] vlan", raw.vlan, 1..=4094, "")?,
        file: file("[firmware.script] file", raw.file, folder)?,
    })
}

fn firmware(raw: RawFirmware, default: Firmware, folder: &Path) -> Result<Firmware, Located> {
    let trust = trust(raw.trust, raw.trust_root, folder)?;
    let script = embedded_script(raw.script, trust.is_some(), &default.script, folder)?;
    let mut commands = words(
        "[firmware] commands",
        raw.commands,
        Commands::ALL,
        Commands::word,
    )?;
    // BIOS builds have none without it.
    if script.vlan.is_some() && !commands.contains(&Commands::Vlan) {
        commands.push(Commands::Vlan);
    }
    let client = raw.client.map(|text| {
        match text.get_ref().as_str() {
            "slamboot" => return Ok(Client::Slamboot),
            "stock" => return Ok(Client::Stock),
            _ => {}
        }
        let complaint = Complaint::new("[firmware] client: no such SLAM client")
            .expected("\"slamboot\" or \"stock\"")
            .found(format!("{:?}", text.get_ref()));
        Err((complaint, text.span()))
    });
    let targets = |key: &str, targets: Vec<Spanned<String>>| {
        let targets = targets.into_iter();
        targets
            .map(|text| filled(key, text))
            .collect::<Result<Vec<_>, _>>()
    };
    let mut sets = BTreeMap::new();
    for (name, names) in raw.sets {
        let key = format!("[firmware.sets] {name}");
        sets.insert(name, targets(&key, names)?);
    }
    Ok(Firmware {
        release: raw
            .release
            .map(|text| filled("[firmware] release", text))
            .transpose()?
            .unwrap_or(default.release),
        targets: raw
            .targets
            .map(|names| targets("[firmware] targets", names))
            .transpose()?
            .unwrap_or(default.targets),
        sets,
        client: client.transpose()?.unwrap_or(default.client),
        igmp: raw.igmp.map_or(default.igmp, Spanned::into_inner),
        ipv6: raw.ipv6.map_or(default.ipv6, Spanned::into_inner),
        serial: raw.serial.map_or(default.serial, Spanned::into_inner),
        retries: number("[firmware] retries", raw.retries, 0..=u32::MAX, "")?
            .unwrap_or(default.retries),
        script,
        trust,
        knobs: Knobs {
            protocols: words(
                "[firmware] protocols",
                raw.protocols,
                Protocol::ALL,
                Protocol::word,
            )?,
            commands,
            consoles: words(
                "[firmware] consoles",
                raw.consoles,
                Console::ALL,
                Console::word,
            )?,
            banner: raw.banner.map(banner).transpose()?,
            banner_timeout: number(
                "[firmware] banner_timeout",
                raw.banner_timeout,
                0..=600,
                " tenths of a second",
            )?
            .unwrap_or_default(),
            dhcp_timeout: number(
                "[firmware] dhcp_timeout",
                raw.dhcp_timeout,
                1..=300,
                " seconds",
            )?,
            raw: raw_headers(raw.raw)?,
        },
    })
}

/// Each word once, as one of `all`.
fn words<T: Copy + Ord>(
    key: &str,
    texts: Vec<Spanned<String>>,
    all: &[T],
    word: impl Fn(T) -> &'static str,
) -> Result<Vec<T>, Located> {
    let mut found = Vec::new();
    for text in texts {
        let known = all
            .iter()
            .copied()
            .find(|known| word(*known) == text.get_ref());
        let Some(known) = known else {
            let all = || all.iter().map(|known| word(*known));
            let complaint = Complaint::new(format!("{key}: no such word"))
                .expected(all().collect::<Vec<_>>().join(", "))
                .found(format!("{:?}", text.get_ref()));
            let complaint = match nearest(text.get_ref(), all()) {
                Some(near) => complaint.help(format!("did you mean {near:?}?")),
                None => complaint.help("what has no word of its own goes to [firmware.raw]"),
            };
            return Err((complaint, text.span()));
        };
        found.push(known);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// It stands in a C string, and on one line of a screen.
fn banner(text: Spanned<String>) -> Result<String, Located> {
    let plain = |c: char| c == ' ' || (c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%'));
    let banner = text.get_ref();
    if !(1..=60).contains(&banner.len()) || !banner.chars().all(plain) {
        let complaint = Complaint::new("[firmware] banner: cannot stand on a machine's screen")
            .expected("1 to 60 ASCII characters, without quotes, backslashes and %")
            .found(format!("{banner:?}"));
        return Err((complaint, text.span()));
    }
    Ok(text.into_inner())
}

/// What typed keys decide beside their words, and which key does.
const DECIDED: [(&str, &str); 8] = [
    ("IMAGE_TRUST_CMD", "trust"),
    ("DOWNLOAD_PROTO_SLAM", "client"),
    ("NET_PROTO_IPV6", "ipv6"),
    ("CONSOLE_SERIAL", "serial"),
    ("BANNER_TIMEOUT", "banner_timeout"),
    ("ROM_BANNER_TIMEOUT", "banner_timeout"),
    ("PRODUCT_NAME", "banner"),
    ("DHCP_DISC_END_TIMEOUT_SEC", "dhcp_timeout"),
];
/// What is on in every ROM, since scripts are written and checked by it.
const ALWAYS: [&str; 16] = [
    "NET_PROTO_IPV4",
    "DOWNLOAD_PROTO_HTTP",
    "DOWNLOAD_PROTO_TFTP",
    "IMAGE_SCRIPT",
    "AUTOBOOT_CMD",
    "CONFIG_CMD",
    "DHCP_CMD",
    "FORM_CMD",
    "IFMGMT_CMD",
    "IMAGE_CMD",
    "LOGIN_CMD",
    "MENU_CMD",
    "NVO_CMD",
    "ROUTE_CMD",
    "SANBOOT_CMD",
    "SHELL_CMD",
];

/// The key in `[firmware]` that decides a macro of iPXE's; an empty one where it is always on.
fn decided_by(word: &str) -> Option<&'static str> {
    let fixed = DECIDED.iter().find(|(name, _)| *name == word);
    let protocol = Protocol::ALL.iter().any(|p| p.macro_name() == word);
    let command = Commands::ALL.iter().any(|c| c.macro_name() == word);
    let console = Console::ALL.iter().any(|c| c.macro_name() == word);
    let typed = [
        ("protocols", protocol),
        ("commands", command),
        ("consoles", console),
        ("", ALWAYS.contains(&word)),
    ];
    let typed = typed.into_iter().find(|(_, has)| *has);
    match fixed {
        Some((_, key)) => Some(*key),
        None => typed.map(|(key, _)| key),
    }
}

/// Names of headers are file names; what the typed keys decide is not decided twice.
fn raw_headers(
    raw: BTreeMap<String, Spanned<String>>,
) -> Result<BTreeMap<String, String>, Located> {
    let mut headers = BTreeMap::new();
    for (name, text) in raw {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            let complaint = Complaint::new("[firmware.raw]: no name of a header of iPXE")
                .expected("general, console, dhcp, settings, usb, ... : a file in iPXE's src/config, without its ending")
                .found(format!("{name:?}"));
            return Err((complaint, text.span()));
        }
        let mut words = text.get_ref().split_whitespace();
        let decided = words.find_map(|word| Some((word, decided_by(word)?)));
        if let Some((macro_name, key)) = decided {
            let complaint = if key.is_empty() {
                Complaint::new(format!(
                    "[firmware.raw] {name}: {macro_name} is always on, as slamboot's scripts need it"
                ))
                .help("take it out here")
            } else {
                Complaint::new(format!(
                    "[firmware.raw] {name}: {macro_name} is what `{key}` in [firmware] decides"
                ))
                .help(format!("set `{key}`, and take it out here"))
            };
            return Err((complaint, text.span()));
        }
        headers.insert(name, text.into_inner());
    }
    Ok(headers)
}

fn image(
    raw: Spanned<RawImage>,
    number: usize,
    folder: &Path,
    places: &mut Places,
) -> Result<Image, Located> {
    // The span of a table header covers all its keys: point at the header's line.
    let whole = raw.span();
    let raw = raw.into_inner();
    let priority = self::number("[[image]] priority", raw.priority, 1..=Priority::MAX, "")?
        .and_then(Priority::new)
        .unwrap_or_default();
    places.note(Key::ImageName(number), raw.name.as_ref());
    places.note(Key::ImageArgs(number), raw.args.as_ref());
    let missing = |key: &str, expected: &str| {
        let complaint = Complaint::new(format!("[[image]] without `{key}`")).expected(expected);
        (complaint, whole.clone())
    };
    let name = raw
        .name
        .ok_or_else(|| missing("name", "name = \"...\", as it stands in URIs and scripts"))?;
    let kind = raw
        .kind
        .ok_or_else(|| missing("kind", "kind = \"disk\", \"iso\" or \"linux\""))?;
    let foreign = |key: &str, span: Span, keys: &str| {
        let kind = kind.get_ref();
        let complaint = Complaint::new(format!(
            "`{key}` does not belong to an image of kind {kind:?}"
        ))
        .expected(format!("{keys} for kind {kind:?}"))
        .help(match key {
            "path" => "for one disk image write kind = \"disk\"; a kernel goes to `kernel`",
            _ => "for a kernel and its initrd write kind = \"linux\"",
        });
        Err((complaint, span))
    };
    let kind = match kind.get_ref().as_str() {
        which @ ("disk" | "iso") => {
            let others = [
                ("kernel", &raw.kernel),
                ("initrd", &raw.initrd),
                ("args", &raw.args),
            ];
            for (key, value) in others {
                if let Some(value) = value {
                    return foreign(key, value.span(), "`path`");
                }
            }
            let path = file("[[image]] path", raw.path, folder)?;
            match which {
                "iso" => ImageKind::Iso {
                    path: path.ok_or_else(|| missing("path", "path = \"FILE\", the ISO image"))?,
                },
                _ => ImageKind::Disk {
                    path: path
                        .ok_or_else(|| missing("path", "path = \"FILE\", the raw disk image"))?,
                },
            }
        }
        "linux" => {
            if let Some(path) = &raw.path {
                return foreign("path", path.span(), "`kernel`, `initrd` and `args`");
            }
            ImageKind::Linux {
                kernel: file("[[image]] kernel", raw.kernel, folder)?
                    .ok_or_else(|| missing("kernel", "kernel = \"FILE\", a bzImage"))?,
                initrd: file("[[image]] initrd", raw.initrd, folder)?,
                args: raw.args.map(Spanned::into_inner).unwrap_or_default(),
            }
        }
        other => {
            let complaint = Complaint::new("[[image]] kind: no such kind of image")
                .expected(
                    "\"disk\" or \"iso\" (booted by memdisk), or \"linux\" (kernel and initrd)",
                )
                .found(format!("{other:?}"));
            let complaint = match nearest(other, ["disk", "iso", "linux"]) {
                Some(near) => complaint.help(format!("did you mean {near:?}?")),
                None => complaint,
            };
            return Err((complaint, kind.span()));
        }
    };
    Ok(Image {
        name: name.into_inner(),
        kind,
        priority,
    })
}

pub(crate) fn number<T>(
    key: &str,
    value: Option<Spanned<i64>>,
    range: RangeInclusive<T>,
    unit: &str,
) -> Result<Option<T>, Located>
where
    T: Copy + std::fmt::Display + TryFrom<i64> + PartialOrd,
{
    let Some(value) = value else { return Ok(None) };
    match T::try_from(*value.get_ref()) {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => {
            let complaint = Complaint::new(format!("{key}: out of range"))
                .expected(format!("{} to {}{unit}", range.start(), range.end()))
                .found(value.get_ref().to_string());
            Err((complaint, value.span()))
        }
    }
}

pub(crate) fn ipv4(key: &str, text: &Spanned<String>) -> Result<Ipv4Addr, Located> {
    text.get_ref().parse().map_err(|_| {
        let complaint = Complaint::new(format!("{key}: not an IPv4 address"))
            .expected("four numbers from 0 to 255, such as \"239.255.1.1\"")
            .found(format!("{:?}", text.get_ref()));
        (complaint, text.span())
    })
}

pub(crate) fn filled(key: &str, text: Spanned<String>) -> Result<String, Located> {
    if text.get_ref().trim().is_empty() {
        let complaint = Complaint::new(format!("{key}: empty"))
            .help("write a value, or leave the key out for its default");
        return Err((complaint, text.span()));
    }
    Ok(text.into_inner())
}

pub(crate) fn file(
    key: &str,
    text: Option<Spanned<String>>,
    folder: &Path,
) -> Result<Option<PathBuf>, Located> {
    let path = text.map(|text| filled(key, text)).transpose()?;
    Ok(path.map(|path| folder.join(path)))
}

/// Says in this program's words what the parser found: unknown keys, wrong types, broken syntax.
///
/// The texts taken apart are serde's own (`de::Error::{unknown_field, invalid_type}`); anything
/// else is passed on as it is.
fn explain_toml(message: &str) -> Complaint {
    if let Some(key) = between(message, "unknown field `", "`") {
        return unknown_key(key, message);
    }
    if let Some(key) = between(message, "duplicate field `", "`") {
        return Complaint::new(format!("key `{key}` given twice")).help("remove one of them");
    }
    let wrong_type = message
        .strip_prefix("invalid type: ")
        .and_then(|rest| rest.rsplit_once(", expected "));
    if let Some((found, expected)) = wrong_type {
        let section = |name: &str| format!("a section of keys: {name}");
        return Complaint::new("value of the wrong type")
            .expected(match expected {
                "i64" => "a whole number, without quotes".to_owned(),
                "a string" => "text in quotes".to_owned(),
                "a boolean" => "true or false, without quotes".to_owned(),
                "a sequence" => "a list: [[image]] for images, [\"...\"] for texts".to_owned(),
                "struct RawServer" => section("[server]"),
                "struct RawSlam" => section("[slam]"),
                "struct RawFirmware" => section("[firmware]"),
                "struct RawDhcp" => section("[dhcp]"),
                "struct RawRelay" => section("[[dhcp.relay]]"),
                "struct RawTftp" => section("[tftp]"),
                "struct RawHttp" => section("[http]"),
                "struct RawBoot" => section("[boot]"),
                "struct RawHost" => section("[[host]]"),
                "struct RawGroup" => section("[[group]]"),
                "struct RawImage" => section("[[image]]"),
                other => other.to_owned(),
            })
            .found(match found {
                // serde's word; what a user wrote is `[image]` or `{ ... }`.
                "map" => "one section".to_owned(),
                found => found
                    .replace('`', "")
                    .replace(" as i128", ", beyond 64 bits"),
            });
    }
    let mut lines = message.lines();
    let what = lines.next().unwrap_or("not TOML").to_owned();
    let rest = lines.collect::<Vec<_>>().join(" ");
    let complaint = Complaint::new(what).help("the syntax is TOML's (https://toml.io)");
    match rest.strip_prefix("expected ") {
        Some(expected) => complaint.expected(expected),
        None if rest.is_empty() => complaint,
        None => complaint.found(rest),
    }
}

fn unknown_key(key: &str, message: &str) -> Complaint {
    let known: Vec<&str> = message
        .split_once("expected ")
        .map(|(_, list)| list.split('`').skip(1).step_by(2).collect())
        .unwrap_or_default();
    let complaint = Complaint::new(format!("unknown key `{key}`")).expected(known.join(", "));
    let elsewhere = KEYS.iter().find(|(_, keys)| keys.contains(&key));
    match (nearest(key, known.iter().copied()), elsewhere) {
        (_, Some((section, _))) => complaint.help(format!("`{key}` belongs to {section}")),
        (Some(near), None) => complaint.help(format!("did you mean `{near}`?")),
        (None, None) => complaint.help("remove it; docs/slamboot.toml lists every key"),
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1;
    Some(rest.split_once(after)?.0)
}
