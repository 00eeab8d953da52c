// SPDX-License-Identifier: MIT OR Apache-2.0
//! What becomes of clients that are slower than their room.

use std::fmt;
use std::str::FromStr;

use crate::rate::BitRate;

/// The policy for clients that cannot keep up; the choices of Windows Deployment Services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowClients {
    /// They are served as they can take it, after the others where need be: `none`.
    #[default]
    Serve,
    /// Those that get less than this, where others get more, are told to go elsewhere: `drop below
    /// 50 Mbit/s`.
    DropBelow(BitRate),
    /// Those that get less than half of what others get go to a group of their own, at a rate of
    /// their own, if they can be moved: `split`, `split into 2`.
    Split(SpeedGroups),
    /// Nothing is sent faster than the slowest can take: `cap at the slowest`.
    Cap,
}

/// How many groups a room may be split into by speed, the first one included: 2 or 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpeedGroups(u8);

impl SpeedGroups {
    /// As many as there may be.
    pub const MAX: SpeedGroups = SpeedGroups(3);

    /// 2 or 3.
    pub fn new(groups: u8) -> Option<SpeedGroups> {
        (2..=SpeedGroups::MAX.0)
            .contains(&groups)
            .then_some(SpeedGroups(groups))
    }

    /// How many.
    pub fn get(self) -> usize {
        self.0.into()
    }
}

/// What can be said, for whoever said something else.
pub(crate) const POLICIES: &str = "\"none\", \"split\", \"split into 2\", \"drop below RATE\" (such as \
     \"drop below 50 Mbit/s\") or \"cap at the slowest\"";

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {POLICIES}; found {found:?}")]
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
            "split" | "split into 3" => Ok(SlowClients::Split(SpeedGroups::MAX)),
            "split into 2" => Ok(SlowClients::Split(SpeedGroups(2))),
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
            SlowClients::Split(groups) => write!(f, "split into {}", groups.get()),
            SlowClients::Cap => f.write_str("cap at the slowest"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_they_are_written() {
        let texts = [
            "none",
            "drop below 50 Mbit/s",
            "split into 2",
            "split into 3",
            "cap at the slowest",
        ];
        for text in texts {
            assert_eq!(text.parse::<SlowClients>().unwrap().to_string(), text);
        }
        assert_eq!("split".parse(), "split into 3".parse::<SlowClients>());
        for wrong in [
            "",
            "split into 4",
            "split into",
            "drop",
            "drop below",
            "drop below 50",
            "cap",
        ] {
            assert!(wrong.parse::<SlowClients>().is_err(), "{wrong:?}");
        }
    }
}
