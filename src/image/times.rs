// SPDX-License-Identifier: MIT OR Apache-2.0
//! When a file was made, written and looked at, in the units of both file systems.

/// 100 ns since 1601-01-01 (NTFS, MS-DTYP 2.3.3 FILETIME). FAT has no time zone: what it says is
/// taken as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileTime(pub u64);

/// As FAT's directories have it (fatgen103, "Date and Time Formats").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DosTime {
    /// Day, month, years since 1980.
    pub date: u16,
    /// Two seconds, minutes, hours.
    pub time: u16,
    /// Hundredths of a second, 0 to 199, where there is room for them.
    pub hundredths: u8,
}

const PER_SECOND: u64 = 10_000_000;
const PER_HUNDREDTH: u64 = PER_SECOND / 100;
const DAY: u64 = 86_400;
/// 2107-12-31, 23:59:58.
const LAST_DATE: u16 = 0xFF9F;
const LAST_TIME: u16 = 0xBF7D;
/// From 1601-01-01 to 1980-01-01.
const DAYS: i64 = 138_426;
/// From 0000-03-01, where leap years end with their day, to 1980-01-01.
const DAYS_OF_ERA: i64 = 723_120;

/// 1980-01-01, FAT's first day: what is given to files that come from no image, as the same inputs
/// shall give the same bytes.
impl Default for FileTime {
    fn default() -> Self {
        FileTime(DAYS as u64 * DAY * PER_SECOND)
    }
}

impl FileTime {
    /// What FAT says; `None` where that is no date, as where nothing was written.
    pub fn of_dos(dos: DosTime) -> Option<Self> {
        let (year, month, day) = (dos.date >> 9, dos.date >> 5 & 15, dos.date & 31);
        let (hour, minute, second) = (dos.time >> 11, dos.time >> 5 & 63, (dos.time & 31) * 2);
        let sound = (1..=12).contains(&month)
            && day >= 1
            && hour < 24
            && minute < 60
            && second < 60
            && dos.hundredths < 200;
        let days = days(1980 + i64::from(year), month.into(), day.into());
        if !sound || date(days) != (1980 + i64::from(year), month.into(), day.into()) {
            return None;
        }
        let seconds = u64::from(hour) * 3600 + u64::from(minute) * 60 + u64::from(second);
        let seconds = (DAYS + days) as u64 * DAY + seconds;
        let hundredths = u64::from(dos.hundredths) * PER_HUNDREDTH;
        Some(FileTime(seconds * PER_SECOND + hundredths))
    }

    /// As FAT can say it: from 1980 to 2107.
    pub fn dos(self) -> DosTime {
        let seconds = self.0 / PER_SECOND;
        let days = (seconds / DAY).cast_signed() - DAYS;
        let (year, month, day) = date(days);
        if year < 1980 {
            return FileTime::default().dos();
        }
        if year > 2107 {
            return DosTime {
                date: LAST_DATE,
                time: LAST_TIME,
                hundredths: 199,
            };
        }
        let of_day = seconds % DAY;
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let hundredths = self.0 % PER_SECOND / PER_HUNDREDTH + second % 2 * 100;
        DosTime {
            date: ((year - 1980) << 9 | month << 5 | day) as u16,
            time: (hour << 11 | minute << 5 | (second / 2)) as u16,
            hundredths: hundredths as u8,
        }
    }
}

/// Days since 1980-01-01 (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - DAYS_OF_ERA
}

/// The other way round; of years after 0.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_OF_ERA;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = (shifted + 2) % 12 + 1;
    let year = days / 146_097 * 400 + year_of_era + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

/// The times of a file or folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// It was made.
    pub created: FileTime,
    /// Its bytes were written.
    pub written: FileTime,
    /// Anything of it was changed; FAT has no such time.
    pub changed: FileTime,
    /// It was looked at; on FAT a day.
    pub accessed: FileTime,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moments() {
        // From the headers of a FAT: 2011-06-17 12:34:56.78.
        let dos = DosTime {
            date: (31 << 9) + (6 << 5) + 17,
            time: (12 << 11) + (34 << 5) + 28,
            hundredths: 78,
        };
        let time = FileTime::of_dos(dos).unwrap();
        // date -u -d '2011-06-17 12:34:56' +%s is 1308314096.
        assert_eq!(
            time.0,
            (1_308_314_096 + 11_644_473_600) * PER_SECOND + 78 * PER_HUNDREDTH
        );
        assert_eq!(time.dos(), dos);
        assert_eq!(FileTime::default().0, 119_600_064_000_000_000);
        let first = FileTime::default().dos();
        assert_eq!(
            (first.date, first.time, first.hundredths),
            (1 << 5 | 1, 0, 0)
        );
        // Before and after what FAT can say.
        assert_eq!(FileTime(0).dos(), first);
        assert_eq!(FileTime(u64::MAX).dos().date >> 9, 127);
        for (date, time) in [
            (0, 0),
            (13 << 5 | 1, 0),
            ((2 << 5) + 30, 0),
            (1 << 5 | 1, 24 << 11),
        ] {
            let hundredths = 0;
            assert_eq!(
                FileTime::of_dos(DosTime {
                    date,
                    time,
                    hundredths
                }),
                None
            );
        }
    }

    proptest! {
        #[test]
        fn there_and_back(date: u16, time: u16, hundredths in 0u8..200) {
            let dos = DosTime { date, time, hundredths };
            if let Some(found) = FileTime::of_dos(dos) {
                prop_assert_eq!(found.dos(), dos);
            }
        }

        #[test]
        fn any_time_has_a_date(time: u64) {
            prop_assert!(FileTime::of_dos(FileTime(time).dos()).is_some());
        }
    }
}
