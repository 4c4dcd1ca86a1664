//! Unix time as text, and back, in UTC (RFC 3339).

use std::fmt;

/// A time of day in UTC with seconds, `2026-03-30T10:30:00Z`; the form of the presence API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seconds(
    /// Milliseconds since the Unix epoch; what is below a second is cut off.
    pub u64,
);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000;
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// A time of day in UTC with milliseconds, `2026-03-30T10:30:00.123Z`; the form of the server API and of logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Millis(
    /// Milliseconds since the Unix epoch.
    pub u64,
);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Seconds(self.0).to_string();
        write!(f, "{}.{:03}Z", seconds.trim_end_matches('Z'), self.0 % 1_000)
    }
}

/// Reads a time of day with its date and offset (ISO 8601 as RFC 3339 narrows it, seconds and their fraction may be left
/// out; a date alone is its midnight in UTC). What lies before the epoch is the epoch; a fraction finer than a
/// millisecond is rounded up, so that what was created in that millisecond lies before it.
#[must_use]
pub fn read(text: &str) -> Option<u64> {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    if !(1..=12).contains(&month) || day == 0 || day > month_days(year, month) {
        return None;
    }
    let midnight = days(year, month, day) * 86_400_000;
    let ms = match time {
        None => midnight,
        Some(time) => {
            let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
                Some(at) => (&time[..at], offset_ms(&time[at..])?),
                // A time without an offset is somebody's local one, and nobody says whose.
                None => return None,
            };
            midnight + clock_ms(clock)? - offset
        }
    };
    Some(u64::try_from(ms).unwrap_or(0))
}

fn clock_ms(clock: &str) -> Option<i64> {
    let (whole, fraction) = match clock.split_once(['.', ',']) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (clock, None),
    };
    let [hour, minute, second] = match numbers(whole, ':', [2, 2, 2]) {
        Some(all) => all,
        None if fraction.is_none() => {
            let [hour, minute] = numbers(whole, ':', [2, 2])?;
            [hour, minute, 0]
        }
        None => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let ms = match fraction {
        None => 0,
        Some(digits) if (1..=9).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit()) => {
            let nanos: i64 = format!("{digits:0<9}").parse().ok()?;
            (nanos + 999_999) / 1_000_000
        }
        Some(_) => return None,
    };
    Some(((hour * 60 + minute) * 60 + second) * 1_000 + ms)
}

fn offset_ms(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'Z' | b'z' => return (text.len() == 1).then_some(0),
        b'-' => -1,
        _ => 1,
    };
    let [hour, minute] = numbers(&text[1..], ':', [2, 2]).or_else(|| {
        let (hour, minute) = text[1..].split_at_checked(2)?;
        Some([numbers(hour, ':', [2])?, numbers(minute, ':', [2])?].map(|[number]| number))
    })?;
    (hour <= 23 && minute <= 59).then_some(sign * (hour * 60 + minute) * 60_000)
}

/// Numbers of so many digits each, with something between them.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut found = [0; N];
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        if !part.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date (H. Hinnant's `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day counted from 1970-01-01 (Gregorian; the era algorithm of H. Hinnant's
/// `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_799_999, "2000-02-29T23:59:59Z"),
            (1_774_866_600_123, "2026-03-30T10:30:00Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Seconds(ms).to_string(), text);
        }
    }

    #[test]
    fn times_read_back() {
        for ms in [
            0,
            1,
            951_782_400_000,
            951_868_799_999,
            1_774_866_600_123,
            4_107_542_400_000,
            253_402_300_799_999,
        ] {
            assert_eq!(read(&Millis(ms).to_string()), Some(ms));
            assert_eq!(read(&Seconds(ms).to_string()), Some(ms / 1_000 * 1_000));
        }
    }

    #[test]
    fn forms_of_times() {
        let noon = 1_764_072_000_000;
        for (text, expected) in [
            ("2025-11-25T12:00:00.000Z", Some(noon)),
            ("2025-11-25t12:00:00z", Some(noon)),
            ("2025-11-25T12:00Z", Some(noon)),
            ("2025-11-25 19:00:00+07:00", Some(noon)),
            ("2025-11-25T05:30:00-0630", Some(noon)),
            ("2025-11-25T12:00:00.1Z", Some(noon + 100)),
            ("2025-11-25T12:00:00.1230001Z", Some(noon + 124)),
            ("2025-11-25T12:00:00.123000Z", Some(noon + 123)),
            ("2025-11-25", Some(noon - 43_200_000)),
            ("1901-01-01T00:00:00Z", Some(0)),
            ("2024-02-29", Some(1_709_164_800_000)),
            ("2025-02-29", None),
            ("2025-13-01", None),
            ("2025-00-01", None),
            ("2025-11-31T00:00:00Z", None),
            ("2025-11-25T24:00:00Z", None),
            ("2025-11-25T12:00:00", None),
            ("2025-11-25T12:00:00.Z", None),
            ("2025-11-25T12:00.5Z", None),
            ("2025-11-25T12:00:00.000Zx", None),
            ("2025-11-25T12:00:00+7", None),
            ("2025-11-25T12:00:00+é1", None),
            ("1764072000000", None),
            ("yesterday", None),
            ("", None),
            ("T", None),
            ("ü-11-25", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn milliseconds_have_three_digits() {
        assert_eq!(Millis(1_774_866_600_007).to_string(), "2026-03-30T10:30:00.007Z");
    }
}
