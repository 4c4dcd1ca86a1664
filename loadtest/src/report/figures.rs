//! Figures as people read them: `1,000,000`, `12.3 MB`, `3.42 ms`. `page.js` writes them alike.

/// What stands where there is no figure.
pub const NOTHING: &str = "–";

/// `1,000,000`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Three significant digits, and every digit before the point: `0.042`, `3.14`, `31.4`, `12,345`.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.into();
    }
    let sign = if value < 0.0 { "−" } else { "" };
    let size = value.abs();
    let text = if size == 0.0 {
        "0".into()
    } else if size >= 99.95 {
        count(rounded(size))
    } else if size >= 9.995 {
        format!("{size:.1}")
    } else if size >= 0.9995 {
        format!("{size:.2}")
    } else if size >= 0.000_5 {
        format!("{size:.3}")
    } else {
        format!("{size:.1e}")
    };
    format!("{sign}{text}")
}

/// Bytes, in powers of a thousand: `312 B`, `12.3 MB`.
#[must_use]
pub fn bytes(value: f64) -> String {
    scaled(value, 1_000.0, &["B", "kB", "MB", "GB", "TB"])
}

/// Milliseconds, in the unit that suits them: `812 µs`, `3.42 ms`, `1.20 s`.
#[must_use]
pub fn millis(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.001 {
        return format!("{} ns", number(value * 1e6));
    }
    if value == 0.0 { "0 ms".into() } else { scaled(value * 1_000.0, 1_000.0, &["µs", "ms", "s"]) }
}

/// A length of time: `0.4 s`, `42 s`, `3 min 20 s`, `2 h 05 min`.
#[must_use]
pub fn seconds(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.into();
    }
    let whole = rounded(value);
    match whole {
        _ if value < 9.95 => format!("{value:.1} s"),
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3_600, whole % 3_600 / 60),
    }
}

/// A rate: `12,345/s`.
#[must_use]
pub fn rate(value: f64) -> String {
    if value.is_finite() { format!("{}/s", number(value)) } else { NOTHING.into() }
}

/// A share of cores: `0.42 cores`.
#[must_use]
pub fn cores(value: f64) -> String {
    if value.is_finite() { format!("{value:.2} cores") } else { NOTHING.into() }
}

/// A change as a percentage with its sign: `+12.3%`; `None` when there is nothing to compare with.
#[must_use]
pub fn change(from: f64, to: f64) -> Option<String> {
    let share = (to - from) / from.abs() * 100.0;
    if from == to {
        return Some("0%".into());
    }
    let sign = if share < 0.0 { "−" } else { "+" };
    let size = share.abs();
    let text = if size >= 99.95 { count(rounded(size)) } else { format!("{size:.1}") };
    share.is_finite().then(|| format!("{sign}{text}%"))
}

/// The figure, or a dash.
pub fn maybe<T>(value: Option<T>, write: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| NOTHING.into(), write)
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    if !value.is_finite() {
        return NOTHING.into();
    }
    let mut value = value;
    let mut unit = 0;
    // 999.6 would be written as 1,000.
    while value.abs() >= step - 0.5 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    // Bytes have no fractions.
    if unit == 0 && units[0] == "B" {
        value = value.round();
        return format!("{}{} B", if value < 0.0 { "−" } else { "" }, count(rounded(value.abs())));
    }
    format!("{} {}", number(value), units[unit])
}

/// The nearest whole number; `as` saturates, which is what a figure for people wants.
fn rounded(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        for (number, text) in
            [(0, "0"), (7, "7"), (999, "999"), (1_000, "1,000"), (12_345, "12,345"), (1_000_000, "1,000,000")]
        {
            assert_eq!(count(number), text);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.0421, "0.042"),
            (0.999_6, "1.00"),
            (3.1449, "3.14"),
            (9.996, "10.0"),
            (31.41, "31.4"),
            (99.96, "100"),
            (12_345.6, "12,346"),
            (-3.1449, "−3.14"),
            (0.000_01, "1.0e-5"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
    }

    #[test]
    fn bytes_have_units() {
        for (value, text) in [
            (0.0, "0 B"),
            (335.4, "335 B"),
            (999.6, "1.00 kB"),
            (12_345_678.0, "12.3 MB"),
            (-2_500.0, "−2.50 kB"),
            (-12.0, "−12 B"),
            (4.2e9, "4.20 GB"),
            (5e16, "50,000 TB"),
        ] {
            assert_eq!(bytes(value), text, "{value}");
        }
    }

    #[test]
    fn times_have_units() {
        for (value, text) in [
            (0.0, "0 ms"),
            (0.000_25, "250 ns"),
            (0.001, "1.00 µs"),
            (0.812, "812 µs"),
            (0.999_9, "1.00 ms"),
            (3.4249, "3.42 ms"),
            (1_200.0, "1.20 s"),
            (90_000.0, "90.0 s"),
            (-0.5, "−500 µs"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(millis(value), text, "{value}");
        }
        for (value, text) in [
            (0.41, "0.4 s"),
            (41.6, "42 s"),
            (59.7, "1 min 00 s"),
            (200.0, "3 min 20 s"),
            (7_500.0, "2 h 05 min"),
        ] {
            assert_eq!(seconds(value), text, "{value}");
        }
    }

    #[test]
    fn changes_have_signs() {
        for (from, to, text) in [
            (100.0, 112.3, Some("+12.3%")),
            (100.0, 50.0, Some("−50.0%")),
            (2.0, 20.0, Some("+900%")),
            (0.0, 0.0, Some("0%")),
            (0.0, 5.0, None),
            (f64::NAN, 5.0, None),
        ] {
            assert_eq!(change(from, to).as_deref(), text, "{from} → {to}");
        }
    }
}
