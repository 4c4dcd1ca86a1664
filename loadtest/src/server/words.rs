//! Numbers as people read them: `1,500,000`, `18.3 GiB`.

/// `1,500,000`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `18.3 GiB`, `512 bytes`.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| bytes >> shift > 0) {
        Some((unit, shift)) => format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let read = [0, 999, 1_000, 28_000, 1_500_000].map(thousands);
        assert_eq!(read, ["0", "999", "1,000", "28,000", "1,500,000"]);
        let read = [0, 1_023, 1_536, 5 << 20, (18 << 30) + (3 << 30) / 10].map(bytes);
        assert_eq!(read, ["0 bytes", "1023 bytes", "1.5 KiB", "5.0 MiB", "18.3 GiB"]);
    }
}
