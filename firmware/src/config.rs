// SPDX-License-Identifier: MIT OR Apache-2.0
//! What iPXE is told by headers in `src/config/local`, which it includes after its own defaults.

use sha2::{Digest, Sha256};
use site::{Client, Firmware};

/// One header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// File name in `src/config/local`.
    pub name: &'static str,
    /// Its text.
    pub text: String,
}

/// One line of a header.
#[derive(Clone, Copy)]
enum Line {
    /// Defined, whatever it was before.
    Define(&'static str, &'static str),
    /// Defined on PC BIOS only, which every release tells by the guard of the defaults that it
    /// includes first (`config/defaults/pcbios.h`); `PLATFORM_pcbios` is younger than v1.20.1.
    DefineOnBios(&'static str),
    /// Switched off, whatever it was before.
    Undefine(&'static str),
    /// An object of our overlay that is linked into every ROM.
    Require(&'static str),
}

/// Protocols and commands that our scripts need. Most are defaults of the pinned releases; saying
/// so keeps scripts from depending on a release's taste.
const GENERAL: [Line; 9] = [
    Line::Define("DOWNLOAD_PROTO_HTTP", ""),
    Line::Define("DOWNLOAD_PROTO_TFTP", ""),
    Line::Define("IMAGE_SCRIPT", ""),
    Line::Define("DHCP_CMD", ""),
    Line::Define("IMAGE_CMD", ""),
    Line::Define("NVO_CMD", ""),
    Line::Define("SANBOOT_CMD", ""),
    // No wait for Ctrl-B; ROM_BANNER_TIMEOUT must stay defined (romprefix.S uses its value).
    Line::Define("BANNER_TIMEOUT", "0"),
    Line::Define("ROM_BANNER_TIMEOUT", "0"),
];

/// Who opens `x-slam` URIs: upstream's client, or ours in its place.
const STOCK: [Line; 1] = [Line::Define("DOWNLOAD_PROTO_SLAM", "")];
const SLAMBOOT: [Line; 2] = [
    Line::Undefine("DOWNLOAD_PROTO_SLAM"),
    Line::Require("slamboot_slam"),
];

/// The headers for a site's ROMs, with the SLAM client `client`.
pub fn headers(firmware: &Firmware, client: Client) -> Vec<Header> {
    let mut general = GENERAL.to_vec();
    match client {
        Client::Stock => general.extend(STOCK),
        Client::Slamboot => general.extend(SLAMBOOT),
    }
    if firmware.ipv6 {
        general.push(Line::Define("NET_PROTO_IPV6", ""));
    }
    if firmware.igmp {
        // By name: the client's weak stand-ins would satisfy whoever calls it, and a linker draws
        // nothing from an archive for a symbol that it has.
        general.push(Line::Require("mcast"));
        general.push(Line::Require("mcast_cmd"));
    }
    let mut headers = vec![Header {
        name: "general.h",
        text: render(&general),
    }];
    if firmware.serial {
        // EFI firmware copies its own console to the serial port: there, each character would
        // come twice.
        headers.push(Header {
            name: "console.h",
            text: render(&[Line::DefineOnBios("CONSOLE_SERIAL")]),
        });
    }
    headers
}

/// Identifies the headers' content.
pub fn digest(headers: &[Header]) -> String {
    let mut digest = Sha256::new();
    for header in headers {
        let text = hex::encode(Sha256::digest(&header.text));
        digest.update(format!("{text} {}\n", header.name));
    }
    hex::encode(digest.finalize())
}

fn render(lines: &[Line]) -> String {
    let mut text = String::from("/* Written by slamboot; changes are lost. */\n");
    for line in lines {
        match line {
            Line::Define(name, value) => {
                let define = format!("#define {name} {value}");
                text.extend(["#undef ", name, "\n", define.trim_end(), "\n"]);
            }
            // Whatever includes config/general.h comes by here; config.o is in every link, and is
            // where iPXE itself names what is to be linked (config/config.c).
            Line::Require(object) => {
                text.push_str("#undef SLAMBOOT_OBJECT_config\n#define SLAMBOOT_OBJECT_config 1\n");
                text.push_str("#if _C2 ( SLAMBOOT_OBJECT_, OBJECT )\n");
                text.extend(["REQUIRE_OBJECT ( ", object, " );\n#endif\n"]);
            }
            Line::DefineOnBios(name) => {
                text.extend(["#ifdef CONFIG_DEFAULTS_PCBIOS_H\n#undef ", name]);
                text.extend(["\n#define ", name, "\n#endif\n"]);
            }
            Line::Undefine(name) => text.extend(["#undef ", name, "\n"]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use site::Site;

    #[test]
    fn one_slam_client_is_on_and_banners_are_off() {
        let general = |client| {
            let headers = headers(&Site::default().firmware, client);
            headers[0].text.clone()
        };
        let stock = general(Client::Stock);
        assert!(stock.contains("#define DOWNLOAD_PROTO_SLAM\n"), "{stock}");
        assert!(!stock.contains("slamboot_slam"), "{stock}");
        let general = general(Client::Slamboot);
        assert!(
            !general.contains("#define DOWNLOAD_PROTO_SLAM"),
            "{general}"
        );
        assert!(
            general.contains("REQUIRE_OBJECT ( slamboot_slam );\n"),
            "{general}"
        );
        assert!(
            general.contains("#define ROM_BANNER_TIMEOUT 0\n"),
            "{general}"
        );
    }

    #[test]
    fn membership_is_linked_by_choice() {
        let mut firmware = Site::default().firmware;
        let with = headers(&firmware, Client::Stock);
        assert!(
            with[0].text.contains("REQUIRE_OBJECT ( mcast );\n")
                && with[0].text.contains("REQUIRE_OBJECT ( mcast_cmd );\n"),
            "{}",
            with[0].text
        );
        firmware.igmp = false;
        let without = headers(&firmware, Client::Stock);
        assert!(!without[0].text.contains("REQUIRE_OBJECT"));
        assert_ne!(digest(&with), digest(&without));
    }

    #[test]
    fn serial_is_for_bios_and_by_choice() {
        let mut firmware = Site::default().firmware;
        let with = headers(&firmware, Client::Stock);
        assert_eq!(
            with[1].text.lines().skip(1).collect::<Vec<_>>(),
            [
                "#ifdef CONFIG_DEFAULTS_PCBIOS_H",
                "#undef CONSOLE_SERIAL",
                "#define CONSOLE_SERIAL",
                "#endif"
            ]
        );
        firmware.serial = false;
        let without = headers(&firmware, Client::Stock);
        assert!(
            without
                .iter()
                .all(|header| !header.text.contains("CONSOLE_SERIAL"))
        );
        assert_ne!(digest(&with), digest(&without));
    }
}
