//! The types a configuration value can have: how each is read, shown and bounded.
//!
//! A value arrives as [`Raw`], from a TOML file (typed) or from the environment and flags (bare text). Each
//! type of the configuration implements [`Setting`]: one place that knows its syntax, so that the file, the
//! environment, the printed defaults and the documentation cannot disagree.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use subtle::ConstantTimeEq;

/// A value as its source gave it.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    /// Text from the environment or a flag: the type decides how to read it.
    Bare(String),
    /// A TOML string.
    Text(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array.
    List(Vec<Raw>),
    /// Any other TOML value, by the name of its kind.
    Other(&'static str),
}

impl Raw {
    /// The text, where the value is text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Raw::Bare(text) | Raw::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raw::Bare(text) | Raw::Text(text) => f.write_str(&quote(text)),
            Raw::Integer(number) => write!(f, "{number}"),
            Raw::Boolean(yes) => write!(f, "{yes}"),
            Raw::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Raw::Other(kind) => write!(f, "({kind})"),
        }
    }
}

/// A type that a configuration key can have.
pub trait Setting: Sized {
    /// Whether errors may repeat the value given.
    const SECRET: bool = false;

    /// What the type is called in the documentation, and what it allows.
    fn kind() -> Cow<'static, str>;

    /// Reads a value; the error says what is allowed.
    fn read(raw: &Raw) -> Result<Self, String>;

    /// The value as TOML, or nothing where it is not set.
    fn show(&self) -> Option<String>;

    /// The value of a key that is not set, for types that have one.
    fn unset() -> Option<Self> {
        None
    }

    /// Whether the value lies between two others. Types without an order know no bounds.
    fn within(&self, _least: &Self, _most: &Self) -> bool {
        true
    }
}

/// A TOML basic string.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl Setting for bool {
    fn kind() -> Cow<'static, str> {
        "true or false".into()
    }

    fn read(raw: &Raw) -> Result<bool, String> {
        match raw {
            Raw::Boolean(yes) => Ok(*yes),
            Raw::Bare(text) if text == "true" => Ok(true),
            Raw::Bare(text) if text == "false" => Ok(false),
            Raw::Text(_) => Err("give true or false, without quotes".into()),
            _ => Err("give true or false".into()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Setting for $type {
            fn kind() -> Cow<'static, str> {
                "number".into()
            }

            fn read(raw: &Raw) -> Result<$type, String> {
                let number = match raw {
                    Raw::Integer(number) => <$type>::try_from(*number).ok(),
                    Raw::Bare(text) => text.parse().ok(),
                    Raw::Text(_) => return Err("give a whole number, without quotes".into()),
                    _ => None,
                };
                number.ok_or_else(|| format!("give a whole number from 0 to {}", <$type>::MAX))
            }

            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }

            fn within(&self, least: &$type, most: &$type) -> bool {
                (least..=most).contains(&self)
            }
        }
    )+};
}

numbers!(u8, u16, u32);

impl Setting for usize {
    fn kind() -> Cow<'static, str> {
        "number".into()
    }

    fn read(raw: &Raw) -> Result<usize, String> {
        // 32 bits are enough for every count in the configuration, and mean the same on every machine.
        u32::read(raw).map(|number| number as usize)
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn within(&self, least: &usize, most: &usize) -> bool {
        (least..=most).contains(&self)
    }
}

/// Splits `90s` into its number and its unit.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

const DURATIONS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration such as `90s`, `5m`, `250ms` or `1h`; `0` needs no unit.
pub fn read_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    if number == 0 && unit.is_empty() {
        return Some(Duration::ZERO);
    }
    let (_, scale) = DURATIONS.iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_millis(number.checked_mul(*scale)?))
}

impl Setting for Duration {
    fn kind() -> Cow<'static, str> {
        "duration".into()
    }

    fn read(raw: &Raw) -> Result<Duration, String> {
        let duration = match raw {
            Raw::Integer(0) => Some(Duration::ZERO),
            raw => raw.text().and_then(read_duration),
        };
        duration.ok_or_else(|| r#"give a duration with its unit: "250ms", "90s", "5m", "1h" or "2d""#.into())
    }

    fn show(&self) -> Option<String> {
        let millis = self.as_millis() as u64;
        if millis == 0 {
            return Some(r#""0s""#.into());
        }
        let (unit, scale) = DURATIONS
            .iter()
            .filter(|(unit, _)| *unit != "d")
            .find(|(_, scale)| millis.is_multiple_of(*scale))
            .unwrap_or(&("ms", 1));
        Some(format!("\"{}{unit}\"", millis / scale))
    }

    fn within(&self, least: &Duration, most: &Duration) -> bool {
        (least..=most).contains(&self)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(usize);

impl Size {
    /// The number of bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Setting for Size {
    fn kind() -> Cow<'static, str> {
        "size".into()
    }

    fn read(raw: &Raw) -> Result<Size, String> {
        let bytes = match raw {
            Raw::Integer(0) => Some(0),
            raw => raw.text().and_then(number_and_unit).and_then(|(number, unit)| match unit {
                "" if number == 0 => Some(0),
                unit => {
                    let (_, scale) = SIZES.iter().find(|(name, _)| *name == unit)?;
                    number.checked_mul(*scale)
                }
            }),
        };
        bytes
            .and_then(|bytes| usize::try_from(bytes).ok())
            .map(Size)
            .ok_or_else(|| r#"give a size with its unit: "512B", "64KiB", "1MiB" or "2GiB""#.into())
    }

    fn show(&self) -> Option<String> {
        let bytes = self.0 as u64;
        let (unit, scale) =
            SIZES.iter().find(|(_, scale)| bytes > 0 && bytes.is_multiple_of(*scale)).unwrap_or(&("B", 1));
        Some(format!("\"{}{unit}\"", bytes / scale))
    }

    fn within(&self, least: &Size, most: &Size) -> bool {
        (least..=most).contains(&self)
    }
}

impl Setting for String {
    fn kind() -> Cow<'static, str> {
        "text".into()
    }

    fn read(raw: &Raw) -> Result<String, String> {
        match raw.text() {
            Some(text) if !text.trim().is_empty() => Ok(text.to_string()),
            Some(_) => Err("give a text that is not empty".into()),
            None => Err("give a text in quotes".into()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quote(self))
    }
}

impl Setting for PathBuf {
    fn kind() -> Cow<'static, str> {
        "path".into()
    }

    fn read(raw: &Raw) -> Result<PathBuf, String> {
        match raw.text() {
            Some(text) if !text.trim().is_empty() => Ok(PathBuf::from(text)),
            Some(_) => Err("give a path that is not empty".into()),
            None => Err("give a path in quotes".into()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quote(&self.to_string_lossy()))
    }
}

impl Setting for SocketAddr {
    fn kind() -> Cow<'static, str> {
        "address and port".into()
    }

    fn read(raw: &Raw) -> Result<SocketAddr, String> {
        let hint = r#"give an IP address and a port: "127.0.0.1:8080", "0.0.0.0:8080" or "[::1]:8080""#;
        raw.text().and_then(|text| text.trim().parse().ok()).ok_or_else(|| hint.into())
    }

    fn show(&self) -> Option<String> {
        Some(quote(&self.to_string()))
    }
}

impl Setting for IpNet {
    fn kind() -> Cow<'static, str> {
        "network".into()
    }

    fn read(raw: &Raw) -> Result<IpNet, String> {
        let text = raw.text().unwrap_or_default().trim();
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
            .map_err(|_| r#"give an address or a network: "10.0.0.7", "10.0.0.0/8" or "fd00::/8""#.into())
    }

    fn show(&self) -> Option<String> {
        Some(quote(&self.to_string()))
    }
}

/// A secret: shown nowhere, compared in constant time.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The secret's bytes, for those who must have them.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The secret's length in bytes.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// Whether `offered` is this secret. The time it takes tells nothing but the length.
    pub fn matches(&self, offered: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(offered).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Setting for Secret {
    const SECRET: bool = true;

    fn kind() -> Cow<'static, str> {
        "secret text".into()
    }

    fn read(raw: &Raw) -> Result<Secret, String> {
        match raw.text() {
            Some(text) if !text.trim().is_empty() => Ok(Secret(text.to_string())),
            // An empty secret is what a deployment gives when its own variable is not set. To take it for
            // "none" would start a server with a secret that nobody knows.
            Some(_) => Err("the secret is empty: give one, or remove the key".into()),
            None => Err("give a text in quotes".into()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quote("…"))
    }
}

impl<T: Setting> Setting for Option<T> {
    const SECRET: bool = T::SECRET;

    fn kind() -> Cow<'static, str> {
        T::kind()
    }

    fn read(raw: &Raw) -> Result<Option<T>, String> {
        match raw.text() {
            Some("") if !T::SECRET => Ok(None),
            _ => T::read(raw).map(Some),
        }
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }

    fn unset() -> Option<Option<T>> {
        Some(None)
    }

    fn within(&self, least: &Option<T>, most: &Option<T>) -> bool {
        match (self, least, most) {
            (Some(value), Some(least), Some(most)) => value.within(least, most),
            _ => true,
        }
    }
}

impl<T: Setting> Setting for Vec<T> {
    const SECRET: bool = T::SECRET;

    fn kind() -> Cow<'static, str> {
        format!("list of {}", T::kind()).into()
    }

    fn read(raw: &Raw) -> Result<Vec<T>, String> {
        match raw {
            Raw::List(items) => items
                .iter()
                .map(|item| T::read(item).map_err(|allowed| format!("{item}: {allowed}")))
                .collect(),
            Raw::Bare(text) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| T::read(&Raw::Bare(item.into())).map_err(|allowed| format!("{item}: {allowed}")))
                .collect(),
            _ => Err("give a list in square brackets".into()),
        }
    }

    fn show(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(T::show).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::IoChoice;

    fn bare(text: &str) -> Raw {
        Raw::Bare(text.into())
    }

    #[test]
    fn durations_read_and_show() {
        for (text, millis, shown) in [
            ("90s", 90_000, "\"90s\""),
            ("5m", 300_000, "\"5m\""),
            ("250ms", 250, "\"250ms\""),
            ("1h", 3_600_000, "\"1h\""),
            ("2d", 172_800_000, "\"48h\""),
            ("0", 0, "\"0s\""),
            ("60s", 60_000, "\"1m\""),
        ] {
            let duration = Duration::read(&bare(text)).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(duration.show().unwrap(), shown);
        }
        for text in ["", "s", "90", "-1s", "1.5s", "1 fortnight", "99999999999999999999s", "1s2m"] {
            assert!(Duration::read(&bare(text)).is_err(), "{text}");
        }
        assert!(Duration::read(&Raw::Integer(20)).unwrap_err().contains("unit"));
    }

    #[test]
    fn sizes_read_and_show() {
        for (text, bytes, shown) in
            [("64KiB", 65_536, "\"64KiB\""), ("1 MiB", 1 << 20, "\"1MiB\""), ("1000B", 1000, "\"1000B\"")]
        {
            let size = Size::read(&bare(text)).unwrap();
            assert_eq!(size.bytes(), bytes);
            assert_eq!(size.show().unwrap(), shown);
        }
        for text in ["64", "64KB", "64k", "", "99999999999GiB"] {
            assert!(Size::read(&bare(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_networks_and_choices() {
        let nets = Vec::<IpNet>::read(&bare("10.0.0.0/8, 192.168.1.7")).unwrap();
        assert_eq!(nets.show().unwrap(), r#"["10.0.0.0/8", "192.168.1.7/32"]"#);
        assert!(Vec::<IpNet>::read(&bare("10.0.0.0/99")).unwrap_err().contains("10.0.0.0/99"));
        assert_eq!(IoChoice::read(&bare("ring")), Ok(IoChoice::Ring));
        assert!(IoChoice::read(&bare("uring")).unwrap_err().contains("\"ring\""));
        assert!(u16::read(&Raw::Integer(70_000)).is_err());
        assert!(u16::read(&Raw::Integer(-1)).is_err());
        assert!(bool::read(&Raw::Text("true".into())).unwrap_err().contains("without quotes"));
    }

    #[test]
    fn secrets_are_not_shown_and_not_empty() {
        let secret = Secret::new("correct horse battery staple");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert!(!secret.show().unwrap().contains("horse"));
        assert!(secret.matches(b"correct horse battery staple"));
        assert!(!secret.matches(b"correct horse battery stapl3"));
        assert!(Option::<Secret>::read(&bare("")).is_err());
        assert_eq!(Option::<String>::read(&bare("")), Ok(None));
    }
}
