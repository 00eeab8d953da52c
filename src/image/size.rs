// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sizes as people write them: `200MiB`.

use std::fmt;
use std::str::FromStr;

/// A number of bytes, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ByteSizeError {
    /// Not a number and a unit.
    #[error(
        "expected a size such as \"200MiB\", \"1.5GiB\", \"512KiB\" or a number of bytes, above 0; found {0:?}"
    )]
    Unreadable(String),
    /// A decimal unit, which is 2 to 10 % smaller than the one that was probably meant.
    #[error("{found:?} could mean two sizes: write {unit}iB for powers of 1024")]
    Decimal {
        /// The text.
        found: String,
        /// `K`, `M`, `G` or `T`.
        unit: char,
    },
}

impl ByteSize {
    /// This many bytes; `None` for none.
    pub const fn new(bytes: u64) -> Option<Self> {
        if bytes == 0 {
            None
        } else {
            Some(ByteSize(bytes))
        }
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

const UNITS: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let unreadable = || ByteSizeError::Unreadable(text.to_owned());
        let text = text.trim();
        let split = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = (&text[..split], text[split..].trim());
        let shift = match unit {
            "" | "B" => 0,
            _ => {
                let first = unit.chars().next().unwrap_or(' ').to_ascii_uppercase();
                let (name, shift) = UNITS
                    .iter()
                    .find(|(name, _)| *name == first)
                    .ok_or_else(unreadable)?;
                match unit[1..].to_ascii_lowercase().as_str() {
                    "ib" | "i" | "" => *shift,
                    "b" => {
                        return Err(ByteSizeError::Decimal {
                            found: text.to_owned(),
                            unit: *name,
                        });
                    }
                    _ => return Err(unreadable()),
                }
            }
        };
        // Exact for whole numbers; a fraction is rounded down to a byte.
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let whole: u64 = whole.parse().map_err(|_| unreadable())?;
        let digits = u32::try_from(fraction.len()).map_err(|_| unreadable())?;
        let fraction: u128 = fraction.parse().map_err(|_| unreadable())?;
        let scale = 10u128.checked_pow(digits).ok_or_else(unreadable)?;
        let fraction = fraction
            .checked_mul(1 << shift)
            .map(|value| value / scale)
            .and_then(|value| u64::try_from(value).ok())
            .ok_or_else(unreadable)?;
        whole
            .checked_mul(1 << shift)
            .and_then(|bytes| bytes.checked_add(fraction))
            .and_then(ByteSize::new)
            .ok_or_else(unreadable)
    }
}

/// In the largest unit of which there is at least one, with at most two decimals.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((unit, shift)) = UNITS.iter().find(|(_, shift)| self.0 >> shift != 0) else {
            return write!(f, "{} bytes", self.0);
        };
        let hundredths = (u128::from(self.0) * 100) >> shift;
        let (whole, rest) = (hundredths / 100, hundredths % 100);
        match rest {
            0 => write!(f, "{whole} {unit}iB"),
            _ if rest % 10 == 0 => write!(f, "{whole}.{} {unit}iB", rest / 10),
            _ => write!(f, "{whole}.{rest:02} {unit}iB"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_what_people_write() {
        for (text, bytes, shown) in [
            ("200MiB", 200 << 20, "200 MiB"),
            ("200 mib", 200 << 20, "200 MiB"),
            ("200M", 200 << 20, "200 MiB"),
            ("1.5GiB", 3 << 29, "1.5 GiB"),
            ("0.25 KiB", 256, "256 bytes"),
            ("2TiB", 2 << 40, "2 TiB"),
            ("41943040", 40 << 20, "40 MiB"),
            ("512B", 512, "512 bytes"),
            ("1.29KiB", 1320, "1.28 KiB"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes, "{text}");
            assert_eq!(size.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "MiB",
            "0",
            "0MiB",
            "-1MiB",
            "1e3",
            "1..5GiB",
            ".5GiB",
            "5.GiB",
            "1PiB",
            "1 MiBs",
            "99999999999999999999",
            "17179869184GiB",
            "0.9999999999999999999999999999999999999999999GiB",
            "1 µiB",
            "200é",
        ] {
            assert!(
                matches!(text.parse::<ByteSize>(), Err(ByteSizeError::Unreadable(_))),
                "{text}"
            );
        }
        assert!(matches!(
            "200MB".parse::<ByteSize>(),
            Err(ByteSizeError::Decimal { unit: 'M', .. })
        ));
    }
}
