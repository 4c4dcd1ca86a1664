//! How numbers, texts and ids stand in a row: written by hand, since it is little.
//!
//! A row of a message is read fifty at a time and kept for years. So its bytes are settled here, where a change is seen,
//! and not by a derive on types that are not the store's; and reading borrows, where a general codec would copy first.
//!
//! Numbers are LEB128, texts are their length and their bytes. An id that is a UUID is a zero and 16 bytes, any other its
//! length (1 to 255) and its text: no id's bytes are the beginning of another's, so they can stand within a key.

use schema::Id;

use super::{Failure, FailureKind};
use crate::store::ledger::Space;

/// Why a row could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::store) enum Damage {
    /// A newer Muster wrote it.
    Newer {
        /// Its format.
        found: u8,
        /// The newest that is known here.
        known: u8,
    },
    /// It ends too early, goes on too long, or holds what cannot be.
    Senseless,
}

impl Damage {
    /// The failure of whoever wanted the row.
    pub(in crate::store) fn of_row(self, space: Space, key: &[u8]) -> Failure {
        let why = match self {
            Self::Newer { found, known } => format!(
                "has format {found}, and this Muster knows formats up to {known}: start the newer Muster that wrote it"
            ),
            Self::Senseless => "makes no sense: is the disk damaged?".to_owned(),
        };
        let mut name = String::new();
        for byte in key {
            name.push_str(&format!("{byte:02x}"));
        }
        Failure::new(FailureKind::Refused, format!("the row {name} of the conversations' {space:?} {why}"))
    }
}

pub(in crate::store) fn put_number(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

pub(in crate::store) fn put_bytes(bytes: &[u8], into: &mut Vec<u8>) {
    put_number(bytes.len() as u64, into);
    into.extend_from_slice(bytes);
}

pub(in crate::store) fn put_id(id: &Id, into: &mut Vec<u8>) {
    match id.uuid_bytes() {
        Some(bytes) => {
            into.push(0);
            into.extend(bytes);
        }
        None => id.with_str(|text| {
            // An id has 1 to 255 bytes.
            into.push(text.len() as u8);
            into.extend(text.as_bytes());
        }),
    }
}

/// Takes what was put, from the front.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Taker<'a>(pub(in crate::store) &'a [u8]);

impl<'a> Taker<'a> {
    /// Takes the first byte of a value, its format, and refuses formats that are not known.
    pub(in crate::store) fn format(value: &'a [u8], known: u8) -> Result<Self, Damage> {
        let mut taker = Self(value);
        match taker.byte()? {
            0 => Err(Damage::Senseless),
            found if found > known => Err(Damage::Newer { found, known }),
            _ => Ok(taker),
        }
    }

    pub(in crate::store) fn byte(&mut self) -> Result<u8, Damage> {
        let (&byte, rest) = self.0.split_first().ok_or(Damage::Senseless)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(in crate::store) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Damage::Senseless)?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(in crate::store) fn number(&mut self) -> Result<u64, Damage> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if part << shift >> shift != part {
                return Err(Damage::Senseless);
            }
            number |= part << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damage::Senseless)
    }

    pub(in crate::store) fn small(&mut self) -> Result<u32, Damage> {
        u32::try_from(self.number()?).map_err(|_| Damage::Senseless)
    }

    pub(in crate::store) fn bytes(&mut self) -> Result<&'a [u8], Damage> {
        let len = usize::try_from(self.number()?).map_err(|_| Damage::Senseless)?;
        self.some(len)
    }

    pub(in crate::store) fn text(&mut self) -> Result<&'a str, Damage> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Damage::Senseless)
    }

    pub(in crate::store) fn id(&mut self) -> Result<Id, Damage> {
        match self.byte()? {
            0 => Ok(Id::from_uuid(self.array()?)),
            len => {
                let text =
                    std::str::from_utf8(self.some(usize::from(len))?).map_err(|_| Damage::Senseless)?;
                Id::new(text).map_err(|_| Damage::Senseless)
            }
        }
    }

    /// Nothing may be left.
    pub(in crate::store) fn end(self) -> Result<(), Damage> {
        if self.0.is_empty() { Ok(()) } else { Err(Damage::Senseless) }
    }

    fn some(&mut self, len: usize) -> Result<&'a [u8], Damage> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Damage::Senseless)?;
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_put_is_taken(number: u64, shift in 0_u32..64, text in ".{0,30}", uuid: [u8; 16]) {
            let number = number >> shift;
            let mut bytes = Vec::new();
            put_number(number, &mut bytes);
            put_bytes(text.as_bytes(), &mut bytes);
            put_id(&Id::from_uuid(uuid), &mut bytes);
            let named = Id::new(&text).ok();
            if let Some(id) = &named {
                put_id(id, &mut bytes);
            }
            let mut taker = Taker(&bytes);
            prop_assert_eq!(taker.number(), Ok(number));
            prop_assert_eq!(taker.text(), Ok(&*text));
            prop_assert_eq!(taker.id(), Ok(Id::from_uuid(uuid)));
            if let Some(id) = named {
                prop_assert_eq!(taker.id(), Ok(id));
            }
            prop_assert_eq!(taker.end(), Ok(()));
        }

        #[test]
        fn what_was_not_put_is_no_end(bytes: Vec<u8>) {
            _ = Taker(&bytes).number();
            _ = Taker(&bytes).text();
            _ = Taker(&bytes).id();
            _ = Taker::format(&bytes, 1);
        }
    }

    #[test]
    fn a_number_has_64_bits() {
        let mut bytes = Vec::new();
        put_number(u64::MAX, &mut bytes);
        assert_eq!(bytes.len(), 10);
        assert_eq!(Taker(&bytes).number(), Ok(u64::MAX));
        bytes[9] = 2;
        assert_eq!(Taker(&bytes).number(), Err(Damage::Senseless));
        assert_eq!(Taker(&[0xff; 11]).number(), Err(Damage::Senseless));
        assert_eq!(Taker(&[0x80]).number(), Err(Damage::Senseless));
    }

    #[test]
    fn a_newer_format_is_told() {
        let damage = Taker::format(&[2, 9], 1).unwrap_err();
        assert_eq!(damage, Damage::Newer { found: 2, known: 1 });
        let failure = damage.of_row(Space::States, &[1, 0xab]);
        assert!(
            failure.what.contains("01ab") && failure.what.contains("start the newer Muster"),
            "{failure}"
        );
        assert_eq!(failure.kind, FailureKind::Refused);
        assert!(Taker::format(&[1, 9], 1).is_ok() && Taker::format(&[1, 9], 2).is_ok());
        for bad in [&[][..], &[0]] {
            assert_eq!(Taker::format(bad, 1).unwrap_err(), Damage::Senseless);
        }
    }
}
