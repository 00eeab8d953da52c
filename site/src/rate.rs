// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bit rates as people write them: `900 Mbit/s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A rate in bits per second, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BitRate(u64);

/// Why a text is no bit rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a rate such as \"900 Mbit/s\", \"1 Gbit/s\" or \"500000 bit/s\", above 0; found {found:?}"
)]
pub struct BitRateError {
    found: String,
}

impl BitRate {
    /// A rate of `bits` per second; 0 is taken as 1.
    pub const fn from_bits_per_second(bits: u64) -> Self {
        BitRate(if bits == 0 { 1 } else { bits })
    }

    /// In bits per second.
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }

    /// How long `bytes` occupy a link of this rate.
    pub fn time_for(self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(self.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

const UNITS: [(&str, u64); 4] = [
    ("Gbit/s", 1_000_000_000),
    ("Mbit/s", 1_000_000),
    ("kbit/s", 1_000),
    ("bit/s", 1),
];

impl FromStr for BitRate {
    type Err = BitRateError;

    fn from_str(text: &str) -> Result<Self, BitRateError> {
        let wrong = || BitRateError {
            found: text.to_owned(),
        };
        let (number, scale) = UNITS
            .iter()
            .find_map(|(unit, scale)| Some((text.trim().strip_suffix(unit)?, *scale)))
            .ok_or_else(wrong)?;
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        let bits = number * scale as f64;
        if !(1.0..1e15).contains(&bits) {
            return Err(wrong());
        }
        Ok(BitRate(bits as u64))
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = UNITS
            .iter()
            .find(|(_, scale)| self.0 >= *scale)
            .unwrap_or(&UNITS[3]);
        let hundredths = u128::from(self.0) * 100 / u128::from(*scale);
        let (whole, rest) = (hundredths / 100, hundredths % 100);
        match rest {
            0 => write!(f, "{whole} {unit}"),
            _ => write!(f, "{whole}.{rest:02} {unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_what_people_write() {
        for (text, bits, shown) in [
            ("900 Mbit/s", 900_000_000, "900 Mbit/s"),
            ("1Gbit/s", 1_000_000_000, "1 Gbit/s"),
            ("2.5 Gbit/s", 2_500_000_000, "2.50 Gbit/s"),
            (" 64 kbit/s ", 64_000, "64 kbit/s"),
            ("7 bit/s", 7, "7 bit/s"),
        ] {
            let rate: BitRate = text.parse().unwrap();
            assert_eq!(rate.bits_per_second(), bits, "{text}");
            assert_eq!(rate.to_string(), shown, "{text}");
        }
        for text in [
            "",
            "fast",
            "0 Mbit/s",
            "-1 Mbit/s",
            "900",
            "900 MB/s",
            "1e99 Gbit/s",
            "NaN bit/s",
        ] {
            assert!(text.parse::<BitRate>().is_err(), "{text}");
        }
    }

    #[test]
    fn time_on_the_link() {
        let gigabit = BitRate::from_bits_per_second(1_000_000_000);
        assert_eq!(gigabit.time_for(125_000_000), Duration::from_secs(1));
    }
}
