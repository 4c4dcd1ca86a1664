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
    fn milliseconds_have_three_digits() {
        assert_eq!(Millis(1_774_866_600_007).to_string(), "2026-03-30T10:30:00.007Z");
    }
}
