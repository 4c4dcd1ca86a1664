//! The verifier in force, which may be replaced while the server runs: keys rotate, and no connection should have to
//! end for it. Sessions that are open keep the end that their token gave them.

use std::sync::{Arc, PoisonError, RwLock};

use super::{AuthError, Identity, Verifier};

/// Verifies tokens by whatever rules are in force at the moment.
#[derive(Debug)]
pub struct LiveVerifier(RwLock<Arc<Verifier>>);

impl LiveVerifier {
    /// With the rules of the start.
    #[must_use]
    pub fn new(verifier: Verifier) -> Self {
        Self(RwLock::new(Arc::new(verifier)))
    }

    /// The rules in force.
    #[must_use]
    pub fn get(&self) -> Arc<Verifier> {
        // Writers only ever put a whole value in, so what a panicking one left behind is good.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other rules in force, from the next token on.
    pub fn replace(&self, verifier: Verifier) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(verifier);
    }

    /// Whom a token speaks for, at a time given in milliseconds since 1970.
    ///
    /// # Errors
    /// See [`Verifier::verify`].
    pub fn verify(&self, token: &str, now_unix_ms: u64) -> Result<Identity, AuthError> {
        self.get().verify(token, now_unix_ms)
    }
}
