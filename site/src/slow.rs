// SPDX-License-Identifier: MIT OR Apache-2.0
//! What becomes of clients that are slower than their room.

use std::fmt;
use std::str::FromStr;

use crate::rate::BitRate;

/// The policy for clients that cannot keep up; the choices of Windows Deployment Services but one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowClients {
    /// They are served as they can take it, after the others where need be: `none`.
    #[default]
    Serve,
    /// Those that get less than this, where others get more, are told to go elsewhere: `drop below
    /// 50 Mbit/s`.
    DropBelow(BitRate),
    /// Nothing is sent faster than the slowest can take: `cap at the slowest`.
    Cap,
}

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected \"none\", \"drop below RATE\" (such as \"drop below 50 Mbit/s\") or \"cap at the \
     slowest\"; found {found:?}"
)]
pub struct SlowClientsError {
    found: String,
}

impl FromStr for SlowClients {
    type Err = SlowClientsError;

    fn from_str(text: &str) -> Result<Self, SlowClientsError> {
        let wrong = || SlowClientsError {
            found: text.to_owned(),
        };
        match text.trim() {
            "none" => Ok(SlowClients::Serve),
            "cap at the slowest" => Ok(SlowClients::Cap),
            other => {
                let rate = other.strip_prefix("drop below ").ok_or_else(wrong)?;
                rate.parse()
                    .map(SlowClients::DropBelow)
                    .map_err(|_| wrong())
            }
        }
    }
}

impl fmt::Display for SlowClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SlowClients::Serve => f.write_str("none"),
            SlowClients::DropBelow(rate) => write!(f, "drop below {rate}"),
            SlowClients::Cap => f.write_str("cap at the slowest"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_they_are_written() {
        for text in ["none", "drop below 50 Mbit/s", "cap at the slowest"] {
            assert_eq!(text.parse::<SlowClients>().unwrap().to_string(), text);
        }
        for wrong in ["", "split", "drop", "drop below", "drop below 50", "cap"] {
            assert!(wrong.parse::<SlowClients>().is_err(), "{wrong:?}");
        }
    }
}
