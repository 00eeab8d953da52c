// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who asks: processor, firmware and boot program of a client, as its DHCP request tells them.

use std::fmt;

use serde::Serialize;
use site::Arch;

/// Processor and firmware of a client, and how that firmware downloads: option 93 (RFC 4578,
/// section 2.1; values in IANA's "Processor Architecture Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientArch {
    code: u16,
}

/// How firmware downloads what it boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fetch {
    /// PXE: by TFTP.
    Tftp,
    /// UEFI HTTP boot: by HTTP.
    Http,
}

impl ClientArch {
    /// A PC with a BIOS: what a client is that names no architecture (RFC 4578 came later than
    /// some ROMs).
    pub const BIOS: ClientArch = ClientArch { code: 0 };

    /// The architecture of this number.
    pub const fn from_code(code: u16) -> ClientArch {
        ClientArch { code }
    }

    /// Its number in option 93.
    pub const fn code(self) -> u16 {
        self.code
    }

    /// What it is, if firmware for it can be had.
    pub const fn known(self) -> Option<Arch> {
        Some(match self.code {
            0x00 | 0x14 => Arch::Bios,
            0x06 | 0x0f => Arch::EfiIa32,
            // "EFI BC" was meant to be byte code; x64 firmware uses it, since the RFC and IANA
            // once disagreed about 7 and 9 (RFC 4578, erratum 1624).
            0x07 | 0x09 | 0x10 | 0x11 => Arch::EfiX64,
            0x0a | 0x12 => Arch::EfiArm32,
            0x0b | 0x13 => Arch::EfiArm64,
            _ => return None,
        })
    }

    /// How its firmware downloads.
    pub const fn fetch(self) -> Fetch {
        match self.code {
            0x0f..=0x14 | 0x17 | 0x18 | 0x1a | 0x1c | 0x1e => Fetch::Http,
            _ => Fetch::Tftp,
        }
    }

    /// Whether it is UEFI, or something still newer, and no BIOS.
    pub const fn is_efi(self) -> bool {
        !matches!(self.code, 0x00 | 0x14)
    }
}

impl fmt::Display for ClientArch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some(arch) => arch.fmt(f)?,
            None => write!(f, "architecture {}", self.code)?,
        }
        match self.fetch() {
            Fetch::Tftp => Ok(()),
            Fetch::Http => f.write_str(" (HTTP boot)"),
        }
    }
}

impl Serialize for ClientArch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The program that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The machine's own firmware, or its card's: vendor class `PXEClient` or `HTTPClient`.
    Vendor(Fetch),
    /// iPXE.
    Ipxe(Features),
    /// gPXE, its ancestor.
    Gpxe,
}

/// What an iPXE was built with: option 175 (iPXE `include/ipxe/features.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Features {
    /// It said so.
    Told {
        /// It downloads by HTTP (175.19).
        http: bool,
        /// It receives by SLAM (175.26).
        slam: bool,
    },
    /// It only gave its name.
    Untold,
}

impl Features {
    /// Encapsulated options of iPXE: the code, the length, the value, one after the other. What is
    /// cut short ends them.
    pub fn parse(mut options: &[u8]) -> Features {
        let (mut http, mut slam) = (false, false);
        loop {
            match *options {
                [0, ref rest @ ..] => options = rest,
                [255, ..] | [] | [_] => break,
                [code, length, ref rest @ ..] => {
                    let Some((value, rest)) = rest.split_at_checked(length.into()) else {
                        break;
                    };
                    let has = value.iter().any(|byte| *byte != 0);
                    match code {
                        0x13 => http = has,
                        0x1a => slam = has,
                        _ => {}
                    }
                    options = rest;
                }
            }
        }
        Features::Told { http, slam }
    }
}

impl Program {
    /// What a request's options say: vendor class (60), user class (77), iPXE's own (175). `None`:
    /// nobody who boots from the network.
    pub fn recognise(
        vendor_class: &[u8],
        user_class: &[u8],
        ipxe: Option<&[u8]>,
    ) -> Option<Program> {
        let features = ipxe.map_or(Features::Untold, Features::parse);
        // gPXE sends option 175, too.
        if is_class(user_class, b"gPXE") {
            return Some(Program::Gpxe);
        }
        if is_class(user_class, b"iPXE") || ipxe.is_some() {
            return Some(Program::Ipxe(features));
        }
        // `PXEClient:Arch:00007:UNDI:003016`
        let begins = |name: &[u8]| vendor_class.starts_with(name);
        if begins(b"PXEClient") {
            Some(Program::Vendor(Fetch::Tftp))
        } else if begins(b"HTTPClient") {
            Some(Program::Vendor(Fetch::Http))
        } else {
            None
        }
    }
}

/// iPXE sends its class bare; RFC 3004 wants a length before each.
fn is_class(option: &[u8], class: &[u8]) -> bool {
    if option == class {
        return true;
    }
    let mut rest = option;
    while let [length, after @ ..] = rest {
        let Some((one, after)) = after.split_at_checked((*length).into()) else {
            return false;
        };
        if one == class {
            return true;
        }
        rest = after;
    }
    false
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Program::Vendor(Fetch::Tftp) => "PXE firmware",
            Program::Vendor(Fetch::Http) => "UEFI HTTP boot",
            Program::Ipxe(Features::Told { slam: true, .. }) => "iPXE with SLAM",
            Program::Ipxe(Features::Told { slam: false, .. }) => "iPXE without SLAM",
            Program::Ipxe(Features::Untold) => "iPXE",
            Program::Gpxe => "gPXE",
        })
    }
}

impl Serialize for Program {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_iana_is_what_it_is() {
        // IANA, "Processor Architecture Types"; RFC 4578, section 2.1 and its errata.
        let known = [
            (0, Arch::Bios, Fetch::Tftp),
            (6, Arch::EfiIa32, Fetch::Tftp),
            (7, Arch::EfiX64, Fetch::Tftp),
            (9, Arch::EfiX64, Fetch::Tftp),
            (10, Arch::EfiArm32, Fetch::Tftp),
            (11, Arch::EfiArm64, Fetch::Tftp),
            (15, Arch::EfiIa32, Fetch::Http),
            (16, Arch::EfiX64, Fetch::Http),
            (17, Arch::EfiX64, Fetch::Http),
            (18, Arch::EfiArm32, Fetch::Http),
            (19, Arch::EfiArm64, Fetch::Http),
            (20, Arch::Bios, Fetch::Http),
        ];
        for (code, arch, fetch) in known {
            let client = ClientArch::from_code(code);
            assert_eq!(client.known(), Some(arch), "{code}");
            assert_eq!(client.fetch(), fetch, "{code}");
            assert_eq!(client.is_efi(), arch != Arch::Bios, "{code}");
        }
        let unknown = (0..=u16::MAX).filter(|code| known.iter().all(|(k, ..)| k != code));
        for code in unknown {
            assert_eq!(ClientArch::from_code(code).known(), None, "{code}");
        }
        assert_eq!(ClientArch::from_code(16).to_string(), "efi-x64 (HTTP boot)");
        assert_eq!(ClientArch::from_code(31).to_string(), "architecture 31");
    }

    #[test]
    fn programs_are_told_apart() {
        let slam = [0x13, 1, 1, 0x1a, 1, 1];
        let plain = [0x13, 1, 1, 0xb1, 5, 1, 0x80, 0x86, 0x10, 0x0e];
        let recognise = Program::recognise;
        let pxe = b"PXEClient:Arch:00000:UNDI:002001".as_slice();
        let told = |http, slam| Some(Program::Ipxe(Features::Told { http, slam }));
        assert_eq!(
            recognise(pxe, b"", None),
            Some(Program::Vendor(Fetch::Tftp))
        );
        assert_eq!(
            recognise(b"HTTPClient:Arch:00016:UNDI:003001", b"", None),
            Some(Program::Vendor(Fetch::Http))
        );
        assert_eq!(recognise(pxe, b"iPXE", Some(&slam)), told(true, true));
        assert_eq!(recognise(pxe, b"\x04iPXE", Some(&plain)), told(true, false));
        assert_eq!(recognise(pxe, b"", Some(&slam)), told(true, true));
        assert_eq!(
            recognise(pxe, b"iPXE", None),
            Some(Program::Ipxe(Features::Untold))
        );
        assert_eq!(recognise(pxe, b"gPXE", Some(&plain)), Some(Program::Gpxe));
        assert_eq!(
            recognise(pxe, b"\x03abc\x04gPXE", None),
            Some(Program::Gpxe)
        );
        assert_eq!(recognise(b"MSFT 5.0", b"", None), None);
        assert_eq!(recognise(b"", b"iPXF", None), None);
    }

    #[test]
    fn features_that_are_cut_short_are_what_came_before() {
        let whole = [0, 0x13, 1, 1, 0, 0x1a, 1, 1, 255, 0x13, 1, 0];
        for cut in 0..=whole.len() {
            let Features::Told { http, slam } = Features::parse(&whole[..cut]) else {
                panic!("parsed options are told");
            };
            assert_eq!((http, slam), (cut >= 4, cut >= 8), "{cut}");
        }
        let off = Features::parse(&[0x1a, 1, 0]);
        assert_eq!(
            off,
            Features::Told {
                http: false,
                slam: false
            }
        );
    }
}
