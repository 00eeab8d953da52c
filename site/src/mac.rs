// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ethernet addresses, as people write them, and patterns for many.

use std::fmt;
use std::str::FromStr;

/// An Ethernet address (EUI-48).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

/// Not an Ethernet address, or pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Ethernet address such as 52:54:00:12:34:56")]
pub struct NotMac;

impl Mac {
    /// The address of these bytes.
    pub const fn new(bytes: [u8; 6]) -> Mac {
        Mac(bytes)
    }

    /// Its bytes, as they travel.
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.map(|byte| format!("{byte:02x}"));
        f.write_str(&pairs.join(":"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `52:54:00:12:34:56`, with `-` for `:`, or the twelve digits alone.
impl FromStr for Mac {
    type Err = NotMac;

    fn from_str(text: &str) -> Result<Mac, NotMac> {
        let bytes = pairs(text)?;
        bytes.try_into().map(Mac).map_err(|_| NotMac)
    }
}

/// Two digits each, with `:` or `-` between all of them or none.
fn pairs(text: &str) -> Result<Vec<u8>, NotMac> {
    let byte = |digits: &str| match digits.as_bytes() {
        [a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
            u8::from_str_radix(digits, 16).map_err(|_| NotMac)
        }
        _ => Err(NotMac),
    };
    let separator = [':', '-'].into_iter().find(|c| text.contains(*c));
    match separator {
        Some(separator) => text.split(separator).map(byte).collect(),
        None if text.is_ascii() => {
            let starts = (0..text.len()).step_by(2);
            let digits = |start| text.get(start..start + 2).ok_or(NotMac);
            starts.map(|start| byte(digits(start)?)).collect()
        }
        None => Err(NotMac),
    }
}

/// One Ethernet address, or all that begin alike: `52:54:00:*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MacPattern {
    /// This one.
    Exact(Mac),
    /// Those whose first bytes are these.
    Prefix(Vec<u8>),
}

impl MacPattern {
    /// Whether `mac` is meant.
    pub fn matches(&self, mac: Mac) -> bool {
        match self {
            MacPattern::Exact(exact) => *exact == mac,
            MacPattern::Prefix(prefix) => mac.0.starts_with(prefix),
        }
    }
}

impl FromStr for MacPattern {
    type Err = NotMac;

    fn from_str(text: &str) -> Result<MacPattern, NotMac> {
        let Some(prefix) = text.strip_suffix('*') else {
            return text.parse().map(MacPattern::Exact);
        };
        let prefix = prefix.strip_suffix([':', '-']).unwrap_or(prefix);
        let bytes = pairs(prefix)?;
        match bytes.len() {
            0..=5 => Ok(MacPattern::Prefix(bytes)),
            _ => Err(NotMac),
        }
    }
}

impl fmt::Display for MacPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MacPattern::Exact(mac) => mac.fmt(f),
            MacPattern::Prefix(bytes) => {
                for byte in bytes {
                    write!(f, "{byte:02x}:")?;
                }
                f.write_str("*")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0xab]);
        for text in [
            "52:54:00:12:34:ab",
            "52-54-00-12-34-AB",
            "5254001234ab",
            "52:54:00:12:34:AB",
        ] {
            assert_eq!(text.parse(), Ok(mac), "{text}");
        }
        assert_eq!(mac.to_string(), "52:54:00:12:34:ab");
        for text in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:ab:cd",
            "52:54-00:12:34:ab",
            "52:54:00:12:34:+b",
            "5:54:00:12:34:ab",
            "5254001234a",
            "52:54:00:12:34:äb",
            "5254001234ä",
            "52:54:00:*",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(NotMac), "{text}");
        }
    }

    #[test]
    fn a_pattern_names_one_or_many() {
        let mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0xab]);
        for (text, matches, shown) in [
            ("52:54:00:12:34:ab", true, "52:54:00:12:34:ab"),
            ("52:54:00:12:34:ac", false, "52:54:00:12:34:ac"),
            ("52-54-00-*", true, "52:54:00:*"),
            ("525400*", true, "52:54:00:*"),
            ("52:55:*", false, "52:55:*"),
            ("*", true, "*"),
        ] {
            let pattern: MacPattern = text.parse().unwrap();
            assert_eq!(pattern.matches(mac), matches, "{text}");
            assert_eq!(pattern.to_string(), shown);
            assert_eq!(shown.parse(), Ok(pattern));
        }
        for text in ["52:5*", "52:54:00:12:34:ab*", "x*"] {
            assert_eq!(text.parse::<MacPattern>(), Err(NotMac), "{text}");
        }
    }
}
