//! The id of an Engine.IO session: where the session is, and a secret.
//!
//! Who knows the id speaks for the session, so a request that names one is compared with the whole id in constant time;
//! what it says of the place only finds the session.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::machine::input::ConnRef;
use schema::ShardId;
use subtle::ConstantTimeEq;

/// Random bytes of an id.
pub const SECRET: usize = 16;

const PLACE: usize = 10;

/// Where a session is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The shard that hosts it.
    pub shard: ShardId,
    /// Its connection there.
    pub conn: ConnRef,
}

/// Writes an id: characters that need no escape in a URL or in JSON.
#[must_use]
pub fn write(place: Place, secret: &[u8; SECRET]) -> String {
    let mut bytes = [0; PLACE + SECRET];
    bytes[..2].copy_from_slice(&place.shard.0.to_be_bytes());
    bytes[2..6].copy_from_slice(&place.conn.slot.to_be_bytes());
    bytes[6..PLACE].copy_from_slice(&place.conn.generation.to_be_bytes());
    bytes[PLACE..].copy_from_slice(secret);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that an id names, if it can be one of ours.
#[must_use]
pub fn place(sid: &str) -> Option<Place> {
    let bytes: [u8; PLACE + SECRET] = URL_SAFE_NO_PAD.decode(sid).ok()?.try_into().ok()?;
    let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    Some(Place {
        shard: ShardId(u16::from_be_bytes([bytes[0], bytes[1]])),
        conn: ConnRef { slot: word(2), generation: word(6) },
    })
}

/// Whether two ids are the same, in a time that does not tell where they differ.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// What a session remembers of its id once requests may not come with it any more: enough to tell a late request of its own
/// from a guess.
#[must_use]
pub fn trace(sid: &str) -> u32 {
    let secret = sid.as_bytes();
    secret.iter().rev().take(5).fold(0, |trace, &byte| trace << 6 ^ u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_finds_its_place() {
        let here = Place { shard: ShardId(7), conn: ConnRef { slot: 70_000, generation: 0xff_ffff } };
        let sid = write(here, &[0xa5; SECRET]);
        assert_eq!(place(&sid), Some(here));
        assert!(sid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{sid}");
        assert!(same(&sid, &sid.clone()) && !same(&sid, &write(here, &[0xa4; SECRET])));
        assert_ne!(trace(&sid), trace(&write(here, &[0xa4; SECRET])));
        for bad in ["", "x", "lv_VI97HAXpY6yYWAAAC", &sid[1..], "%00", &format!("{sid}A")] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }
}
