//! Checks a token and says whom it speaks for.
//!
//! Only the arithmetic of signatures is the library's. The header, the choice of the key, the types of the
//! claims and the times are read here, so that each rule can be seen and none is a default that may change.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::claims::Claims;
use super::error::{AuthError, AuthErrorKind};
use super::keys::{Key, KeyRing, MissingSecret, words};
use super::{DEFAULT_REALM, Identity};
use crate::config::{Algorithm, Auth, Config, ConfigError};

/// Longest token looked at. It fits the largest request head.
const LONGEST_TOKEN: usize = 16 * 1024;
/// Keys tried for a token that does not name one: each costs a signature.
const MOST_TRIES: usize = 4;
/// Longest realm, role and token id, in characters.
const LONGEST_WORD: usize = 128;

/// Verifies tokens by the keys and rules of one configuration.
#[derive(Debug)]
pub struct Verifier {
    ring: KeyRing,
    auth: Auth,
    leeway_ms: u64,
    longest_user: usize,
}

impl Verifier {
    /// Reads the keys that a configuration names. Where it names none, the generated secret is taken, and
    /// made if need be.
    pub fn from_config(config: &Config) -> Result<Verifier, ConfigError> {
        Ok(Verifier::new(config, KeyRing::load(config, MissingSecret::Make)?))
    }

    /// A verifier with keys that were read before.
    pub fn new(config: &Config, ring: KeyRing) -> Verifier {
        Verifier {
            ring,
            auth: config.auth.clone(),
            leeway_ms: config.auth.leeway.as_millis() as u64,
            longest_user: config.limits.user_id.into(),
        }
    }

    /// The keys.
    pub fn keys(&self) -> &KeyRing {
        &self.ring
    }

    /// Whom a token speaks for, at a time given in milliseconds since 1970.
    pub fn verify(&self, token: &str, now_unix_ms: u64) -> Result<Identity, AuthError> {
        let claims = self.signed_claims(token)?;
        let lifetime = self.lifetime(&claims.body, now_unix_ms)?;
        self.intended(&claims.body)?;
        self.identity(&claims, lifetime)
    }

    /// The claims, once the signature over them is proven.
    fn signed_claims<'t>(&self, token: &'t str) -> Result<Signed<'t>, AuthError> {
        if token.is_empty() {
            return Err(AuthError::new(AuthErrorKind::Missing, "an access token is required"));
        }
        if token.len() > LONGEST_TOKEN {
            return Err(malformed("the token is too long"));
        }
        let (input, signature) = token.rsplit_once('.').ok_or_else(not_a_token)?;
        let (header, body) = input.split_once('.').ok_or_else(not_a_token)?;
        if body.contains('.') {
            return Err(not_a_token());
        }
        let header = object(header)?;
        if header.contains_key("crit") {
            return Err(malformed("the token's header has \"crit\", which this server does not support"));
        }
        let alg = header.get("alg").and_then(Value::as_str).unwrap_or_default();
        let (algorithm, keys) = self.keys_for(alg, header.get("kid"))?;
        let proven = keys.iter().any(|key| {
            jsonwebtoken::crypto::verify(signature, input.as_bytes(), &key.key, algorithm.library())
                .is_ok_and(|good| good)
        });
        if !proven {
            return Err(AuthError::new(
                AuthErrorKind::BadSignature,
                "the token was not signed with the secret or key of this server",
            ));
        }
        Ok(Signed { input, body: Claims(object(body)?) })
    }

    /// The keys that may have signed a token, by its header.
    fn keys_for(&self, alg: &str, kid: Option<&Value>) -> Result<(Algorithm, Vec<&Key>), AuthError> {
        let algorithm = Algorithm::ALL.iter().find(|algorithm| algorithm.word() == alg);
        let fitting = |algorithm: &Algorithm| {
            self.ring.keys.iter().filter(|key| key.algorithms.contains(algorithm)).collect::<Vec<_>>()
        };
        let keys = algorithm.map(fitting).unwrap_or_default();
        let Some(algorithm) = algorithm.filter(|_| !keys.is_empty()) else {
            let accepted: Vec<Algorithm> =
                Algorithm::ALL.iter().filter(|algorithm| !fitting(algorithm).is_empty()).copied().collect();
            let signed = algorithm.map_or("another algorithm", |algorithm| algorithm.word());
            return Err(AuthError::new(
                AuthErrorKind::WrongAlgorithm,
                format!("the token is signed with {signed}; this server accepts {}", words(&accepted)),
            ));
        };
        let keys: Vec<&Key> = match kid {
            None | Some(Value::Null) => keys,
            Some(Value::String(kid)) => {
                // A key without an id may have signed any token.
                keys.into_iter().filter(|key| key.id.as_ref().is_none_or(|id| id == kid)).collect()
            }
            Some(_) => return Err(malformed("the \"kid\" of the token's header is not text")),
        };
        if keys.is_empty() || keys.len() > MOST_TRIES {
            let message = match kid {
                Some(Value::String(_)) => "the token names a key (\"kid\") that this server does not have",
                _ => "the token does not name its key (\"kid\"), and this server has many",
            };
            return Err(AuthError::new(AuthErrorKind::UnknownKey, message));
        }
        Ok((*algorithm, keys))
    }

    /// The times of a token that lives.
    fn lifetime(&self, claims: &Claims, now: u64) -> Result<Lifetime, AuthError> {
        let Some(exp) = claims.time("exp")? else {
            return Err(AuthError::new(
                AuthErrorKind::WrongType,
                "the token has no \"exp\": it must say when it expires, in seconds since 1970",
            ));
        };
        let (nbf, iat) = (claims.time("nbf")?, claims.time("iat")?);
        let cut_off_ms = exp + self.leeway_ms;
        if now >= cut_off_ms {
            let ago = (now - exp) / 1000;
            let message = format!("the token expired {ago} seconds ago: get a new one");
            return Err(AuthError::new(AuthErrorKind::Expired, message));
        }
        for (name, time) in [("nbf", nbf), ("iat", iat)] {
            if let Some(time) = time.filter(|time| *time > now.saturating_add(self.leeway_ms)) {
                let message = format!(
                    "the token's \"{name}\" lies {} seconds ahead: compare the clocks of its issuer and this server",
                    (time - now) / 1000
                );
                return Err(AuthError::new(AuthErrorKind::NotYetValid, message));
            }
        }
        Ok(Lifetime { expires_at: exp / 1000, cut_off_ms, issued_at_ms: iat })
    }

    /// Whether the token is by the right issuer and for this server.
    fn intended(&self, claims: &Claims) -> Result<(), AuthError> {
        if let Some(issuer) = &self.auth.issuer
            && claims.text("iss")? != Some(issuer)
        {
            return Err(AuthError::new(
                AuthErrorKind::WrongIssuer,
                "the token's \"iss\" is not the issuer that this server trusts (auth.issuer)",
            ));
        }
        if !self.auth.audience.is_empty() {
            let named = claims.texts("aud")?;
            if !self.auth.audience.iter().any(|audience| named.contains(&audience.as_str())) {
                return Err(AuthError::new(
                    AuthErrorKind::WrongAudience,
                    "the token's \"aud\" does not name this server (auth.audience)",
                ));
            }
        }
        Ok(())
    }

    fn identity(&self, signed: &Signed<'_>, lifetime: Lifetime) -> Result<Identity, AuthError> {
        let claims = &signed.body;
        let names = &self.auth.identity_claims;
        // The first claim that is there decides. A bad one is no reason to look for another.
        let Some(name) = names.iter().find(|name| claims.get(name).is_some()) else {
            let message = format!("the token names no user: it has none of the claims {}", names.join(", "));
            return Err(AuthError::new(AuthErrorKind::NoIdentity, message));
        };
        let user = claims.id(name, self.longest_user)?.ok_or_else(not_a_token)?;
        let realm = match &self.auth.realm_claim {
            None => DEFAULT_REALM.into(),
            Some(name) => claims.id(name, LONGEST_WORD)?.ok_or_else(|| {
                AuthError::new(
                    AuthErrorKind::NoRealm,
                    format!("the token has no \"{name}\", which names its realm"),
                )
            })?,
        };
        let flag = self.auth.service_claim.as_ref().and_then(|name| claims.get(name));
        let role = self.auth.role_claim.as_ref().and_then(|name| claims.get(name)).and_then(Value::as_str);
        let token_id = claims.get("jti").and_then(Value::as_str).filter(|id| !id.is_empty());
        let short = |word: &&str| word.chars().count() <= LONGEST_WORD;
        Ok(Identity {
            realm,
            user,
            service: flag == Some(&Value::Bool(true)),
            role: role.filter(short).map(String::from),
            expires_at: lifetime.expires_at,
            cut_off_ms: lifetime.cut_off_ms,
            issued_at_ms: lifetime.issued_at_ms,
            token_id: token_id.filter(short).map(String::from),
            revocation_key: revocation_key(signed.input, token_id, claims),
        })
    }
}

struct Signed<'t> {
    input: &'t str,
    body: Claims,
}

struct Lifetime {
    expires_at: u64,
    cut_off_ms: u64,
    issued_at_ms: Option<u64>,
}

/// A key for the list of revoked tokens.
fn revocation_key(input: &str, token_id: Option<&str>, claims: &Claims) -> [u8; 16] {
    let mut hash = Sha256::new();
    match token_id {
        Some(id) => {
            let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
            hash.update(b"id");
            hash.update((issuer.len() as u64).to_le_bytes());
            hash.update(issuer);
            hash.update(id);
        }
        None => {
            hash.update(b"token");
            hash.update(input);
        }
    }
    let digest = hash.finalize();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    key
}

/// A part of a token: base64url of a JSON object.
fn object(part: &str) -> Result<Map<String, Value>, AuthError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| not_a_token())?;
    serde_json::from_slice(&bytes).map_err(|_| not_a_token())
}

fn malformed(message: &'static str) -> AuthError {
    AuthError::new(AuthErrorKind::Malformed, message)
}

fn not_a_token() -> AuthError {
    malformed("the token is not a JSON Web Token")
}
