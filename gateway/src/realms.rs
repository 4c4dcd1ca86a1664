//! Names of realms and their numbers.
//!
//! A token may name a realm (`auth.realm_claim`); the configuration lists which there are (`auth.realms`), and their
//! order gives them numbers: the default realm is 0, the first listed one 1. Stored rows carry the numbers, so the
//! list may only grow at its end.

use schema::{Actor, Id, Key, Realm};

use crate::auth::{DEFAULT_REALM, Identity};

/// The realms of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Realms(Vec<String>);

impl Realms {
    /// By the configured names, in their order.
    #[must_use]
    pub fn new(names: &[String]) -> Self {
        Self(names.to_vec())
    }

    /// The number of a realm.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<Realm> {
        if name == DEFAULT_REALM {
            return Some(Realm(0));
        }
        let at = self.0.iter().position(|known| known == name)?;
        u16::try_from(at + 1).ok().map(Realm)
    }

    /// The name of a number.
    #[must_use]
    pub fn name(&self, realm: Realm) -> Option<&str> {
        match realm.0 {
            0 => Some(DEFAULT_REALM),
            number => self.0.get(usize::from(number) - 1).map(String::as_str),
        }
    }

    /// The actor that an identity stands for.
    ///
    /// # Errors
    /// A text for people when the realm is not configured or the id cannot be used.
    pub fn actor(&self, identity: &Identity) -> Result<Actor, String> {
        let realm = self.number(&identity.realm).ok_or_else(|| {
            format!("the token's realm {:?} is not configured; add it to auth.realms", identity.realm)
        })?;
        let id = Id::new(&identity.user).map_err(|error| error.to_string())?;
        Ok(Actor { key: Key::new(realm, id), service: identity.service })
    }
}
