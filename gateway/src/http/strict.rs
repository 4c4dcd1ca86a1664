//! JSON that can be read in one way only.
//!
//! serde_json takes an object with the same key twice, and readers differ on which of the two counts; it skips over
//! whatever stands below a key that nobody asked for. A body that may change something is therefore walked through once
//! before it is read: no key twice in an object, no more than [`DEPTH`] objects and lists in each other, an object at
//! the top. Keys that a call does not know are left alone.

use std::collections::HashSet;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

/// Objects and lists in each other.
pub const DEPTH: u8 = 32;

/// Reads an object.
///
/// # Errors
/// A text for people, with the place.
pub fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err("it must be a JSON object".into());
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let walked = Walk { left: DEPTH }.deserialize(&mut reader).and_then(|()| reader.end());
    // serde_json's texts name the place, and repeat of the body at most a word of it.
    walked.and_then(|()| serde_json::from_slice(bytes)).map_err(|error| error.to_string())
}

/// A walk through a value that keeps nothing of it.
#[derive(Clone, Copy)]
struct Walk {
    left: u8,
}

impl Walk {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let left = self.left.checked_sub(1);
        left.map(|left| Self { left }).ok_or_else(|| E::custom("it is nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let below = self.deeper()?;
        while items.next_element_seed(below)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let below = self.deeper()?;
        let mut keys = HashSet::new();
        while let Some(key) = fields.next_key::<String>()? {
            if !keys.insert(key) {
                return Err(A::Error::custom("a key stands twice in an object"));
            }
            fields.next_value_seed(below)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug)]
    struct Body {
        name: Option<String>,
    }

    #[test]
    fn one_way_to_read_it() {
        let name = |text: &[u8]| object::<Body>(text).map(|body| body.name);
        assert_eq!(name(br#" {"name":"a","other":[{"x":1},{"x":2}]} "#), Ok(Some("a".into())));
        assert_eq!(name(b"{}"), Ok(None));
        let deep = |n: usize| format!("{{\"other\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert_eq!(name(deep(31).as_bytes()), Ok(None));
        for bad in [
            "",
            "[]",
            "[\"a\"]",
            "\"a\"",
            "{",
            "{}{}",
            "{\"name\":1}",
            "{\"name\":\"a\",\"name\":\"a\"}",
            "{\"n\\u0061me\":\"a\",\"name\":\"a\"}",
            "{\"other\":{\"x\":1,\"x\":1}}",
            "{\"name\":\"\\ud800\"}",
            &deep(32),
            &deep(100_000),
        ] {
            assert!(name(bad.as_bytes()).is_err(), "{:.40}", bad);
        }
        assert!(name(b"{\"name\":\"\xff\"}").is_err());
        assert!(name(b"{\"\xff\":\"a\"}").is_err());
    }
}
