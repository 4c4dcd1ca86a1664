//! Who the crowd is: numbered users with ids of 36 characters, and their tokens.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

/// What all ids of the crowd begin with: they are UUIDs, as most servers' ids are.
const PREFIX: &str = "0190a0b4-7c1e-7cc0-98f2-";

/// Spreads neighbours, so that no table sees a sequence; odd, hence invertible.
const SPREAD: u64 = 0x9e37_79b9_7f4b;
/// Of [`SPREAD`], modulo 2^48.
const GATHER: u64 = inverse(SPREAD);
const MASK: u64 = (1 << 48) - 1;

/// Newton's iteration: each step doubles the number of right bits.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut step = 0;
    while step < 6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse & ((1 << 48) - 1)
}

/// The id of the user with this number.
#[must_use]
pub fn user_id(number: u64) -> String {
    format!("{PREFIX}{:012x}", number.wrapping_mul(SPREAD) & MASK)
}

/// The number of the user with this id, if it is of the crowd.
#[must_use]
pub fn user_number(id: &str) -> Option<u64> {
    let tail = id.strip_prefix(PREFIX)?;
    Some(u64::from_str_radix(tail, 16).ok()?.wrapping_mul(GATHER) & MASK)
}

/// Where tokens come from.
#[derive(Clone)]
pub enum Tokens {
    /// Signed here, HS256, with the server's secret: one a user.
    Minted(Box<Mint>),
    /// Given: the n-th user has the n-th, and so on in a circle.
    Given(Vec<String>),
    /// None: the server asks for none.
    None,
}

/// A signer.
#[derive(Clone)]
pub struct Mint {
    key: EncodingKey,
    expires: u64,
}

impl Tokens {
    /// Signs with this secret; the tokens end after `ttl`.
    #[must_use]
    pub fn minted(secret: &[u8], now_ms: u64, ttl: Duration) -> Self {
        let expires = now_ms / 1_000 + ttl.as_secs();
        Self::Minted(Box::new(Mint { key: EncodingKey::from_secret(secret), expires }))
    }

    /// The token of a user.
    #[must_use]
    pub fn user(&self, number: u64) -> String {
        match self {
            Self::Minted(mint) => mint.sign(&user_id(number), false),
            Self::Given(tokens) => tokens[number as usize % tokens.len()].clone(),
            Self::None => String::new(),
        }
    }

    /// The token of an internal service; the given ones stay what they are.
    #[must_use]
    pub fn service(&self, name: &str) -> String {
        match self {
            Self::Minted(mint) => mint.sign(name, true),
            _ => self.user(0),
        }
    }
}

impl Mint {
    fn sign(&self, id: &str, service: bool) -> String {
        let mut claims = json!({"sub": id, "exp": self.expires});
        if service {
            claims["service"] = true.into();
        }
        // HS256 of a small value has nothing that can fail.
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_and_lead_back_to_their_number() {
        for number in [0, 1, 2, 999_999, 2_000_000, MASK] {
            let id = user_id(number);
            assert_eq!(id.len(), 36);
            assert_eq!(user_number(&id), Some(number), "{id}");
        }
        assert_ne!(user_id(1), user_id(2));
        assert_eq!(user_number("somebody"), None);
        assert_eq!(user_number("0190a0b4-7c1e-7cc0-98f2-x"), None);
    }

    #[test]
    fn a_token_says_who_and_until_when() {
        let tokens = Tokens::minted(b"secret", 1_000_000, Duration::from_secs(60));
        let token = tokens.service("harness");
        let key = jsonwebtoken::DecodingKey::from_secret(b"secret");
        let mut rules = jsonwebtoken::Validation::new(Algorithm::HS256);
        rules.validate_exp = false;
        let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &rules).unwrap().claims;
        assert_eq!(claims, json!({"sub": "harness", "exp": 1_060, "service": true}));
        assert_eq!(Tokens::Given(vec!["a".into(), "b".into()]).user(3), "b");
    }
}
