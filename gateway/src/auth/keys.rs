//! The keys that tokens are checked with.
//!
//! A key knows which algorithms it is for, from what it is: a secret checks HMACs and nothing else, an RSA key
//! checks RSA signatures and nothing else. The `alg` of a token only chooses among them. So no token can have a
//! public key taken for a secret, and `none` has no key at all.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::Value;

use super::secret::{self, Generated};
use crate::config::{Algorithm, Config, ConfigError, Problem, Secret};

const LEAST_SECRET: usize = 32;
/// Bytes of a 2,048-bit RSA modulus.
const LEAST_RSA_MODULUS: usize = 256;
/// Keys in a JWKS file.
const MOST_KEYS: usize = 256;
const MOST_FILE: u64 = 1 << 20;

const HMAC: &[Algorithm] = &[Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512];
const RSA: &[Algorithm] = &[Algorithm::Rs256, Algorithm::Ps256];
const P256: &[Algorithm] = &[Algorithm::Es256];
const ED25519: &[Algorithm] = &[Algorithm::EdDsa];

impl Algorithm {
    /// The same algorithm for the library that computes it.
    pub(super) fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
            Algorithm::Hs384 => jsonwebtoken::Algorithm::HS384,
            Algorithm::Hs512 => jsonwebtoken::Algorithm::HS512,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }

    /// Whether it signs with a shared secret.
    pub(super) fn is_hmac(self) -> bool {
        HMAC.contains(&self)
    }
}

/// What to do where the generated secret would be taken and there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingSecret {
    /// Make it.
    Make,
    /// Do without, as one who only looks.
    Leave,
}

/// One key and what it is for.
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

/// All keys of a configuration.
pub struct KeyRing {
    pub(super) keys: Vec<Key>,
    secret: Option<Secret>,
    generated: Option<Generated>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.keys.iter().map(|key| (&key.id, &key.algorithms)).collect();
        f.debug_struct("KeyRing").field("keys", &keys).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Reads the keys that a configuration names; where it names none, the generated secret.
    pub fn load(config: &Config, missing: MissingSecret) -> Result<KeyRing, ConfigError> {
        let auth = &config.auth;
        let mut ring = KeyRing { keys: Vec::new(), secret: auth.secret.clone(), generated: None };
        if let Some(path) = &auth.secret_file {
            ring.secret = Some(secret_file(config, path)?);
        }
        if config.takes_generated_secret() {
            let path = secret::path(&config.server.data);
            ring.generated = match missing {
                MissingSecret::Make => Some(secret::read_or_make(&config.server.data)?),
                MissingSecret::Leave => {
                    secret::read(&path)?.map(|secret| Generated { secret, path, new: false })
                }
            };
            ring.secret = ring.generated.as_ref().map(|generated| generated.secret.clone());
        }
        if let Some(secret) = &ring.secret {
            let key = DecodingKey::from_secret(secret.expose());
            ring.keys.push(Key { id: None, algorithms: HMAC.to_vec(), key });
        }
        if let Some(path) = &auth.public_key_file {
            let text = read(config, "auth.public_key_file", path)?;
            let key =
                public_key(&text).map_err(|text| problem(config, "auth.public_key_file", path, text))?;
            ring.keys.push(key);
        }
        if let Some(path) = &auth.jwks_file {
            let text = read(config, "auth.jwks_file", path)?;
            let keys = jwks(&text).map_err(|text| problem(config, "auth.jwks_file", path, text))?;
            ring.keys.extend(keys);
        }
        for key in &mut ring.keys {
            let types = words(&key.algorithms);
            key.algorithms.retain(|algorithm| auth.algorithms.contains(algorithm));
            if key.algorithms.is_empty() {
                let text = format!("auth.algorithms has none for a key that is configured: add {types}");
                return Err(Problem::at(config.place("auth.algorithms"), text).into());
            }
        }
        Ok(ring)
    }

    /// The generated secret, where it is the one in use: who starts a server says so.
    pub fn generated(&self) -> Option<&Generated> {
        self.generated.as_ref()
    }

    /// The secret tokens can be made with, and its algorithm. Public keys only check.
    pub(super) fn signer(&self) -> Option<(&Secret, Algorithm)> {
        let secret = self.secret.as_ref()?;
        let algorithm =
            self.keys.iter().flat_map(|key| &key.algorithms).find(|algorithm| algorithm.is_hmac())?;
        Some((secret, *algorithm))
    }
}

/// Algorithms in words.
pub(super) fn words(algorithms: &[Algorithm]) -> String {
    algorithms.iter().map(|algorithm| algorithm.word()).collect::<Vec<_>>().join(", ")
}

fn problem(config: &Config, key: &str, path: &Path, text: impl fmt::Display) -> Problem {
    Problem::at(config.place(key), format!("{key} = {:?}: {text}", path.to_string_lossy()))
}

fn read(config: &Config, key: &str, path: &Path) -> Result<String, Problem> {
    let read = fs::File::open(path).and_then(|file| {
        let mut text = String::new();
        io::Read::read_to_string(&mut io::Read::take(file, MOST_FILE), &mut text).map(|_| text)
    });
    read.map_err(|error| problem(config, key, path, format!("cannot read it: {error}")))
}

fn secret_file(config: &Config, path: &Path) -> Result<Secret, Problem> {
    let text = read(config, "auth.secret_file", path)?;
    let text = text.trim();
    if text.len() < LEAST_SECRET {
        let text =
            format!("it holds less than {LEAST_SECRET} bytes: make a secret with `openssl rand -hex 32`");
        return Err(problem(config, "auth.secret_file", path, text));
    }
    Ok(Secret::new(text))
}

/// Reads one public key from PEM text.
fn public_key(text: &str) -> Result<Key, String> {
    if text.contains("PRIVATE KEY") {
        return Err("it holds a private key, and Muster wants the public one: \
                    `openssl pkey -in KEY -pubout` prints it"
            .into());
    }
    let pem = text.as_bytes();
    let key = if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        // The DER of the key is its modulus and a few bytes around it.
        if key.try_get_as_bytes().is_ok_and(|der| der.len() < LEAST_RSA_MODULUS) {
            return Err("the RSA key is shorter than 2048 bits".into());
        }
        Key { id: None, algorithms: RSA.to_vec(), key }
    } else if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        Key { id: None, algorithms: P256.to_vec(), key }
    } else if let Ok(key) = DecodingKey::from_ed_pem(pem) {
        if key.try_get_as_bytes().map_or(0, <[u8]>::len) != 32 {
            return Err("the Ed key is not an Ed25519 key".into());
        }
        Key { id: None, algorithms: ED25519.to_vec(), key }
    } else {
        return Err(
            "it holds no public key in PEM (\"-----BEGIN PUBLIC KEY-----\") of RSA, P-256 or Ed25519".into(),
        );
    };
    usable(&key)?;
    Ok(key)
}

/// Whether the library can check a signature with the key at all: a bad point or a bad curve shows only then.
fn usable(key: &Key) -> Result<(), String> {
    for algorithm in &key.algorithms {
        let signature = URL_SAFE_NO_PAD.encode([1; 64]);
        jsonwebtoken::crypto::verify(&signature, b"trial", &key.key, algorithm.library())
            .map_err(|error| format!("the key does not work for {}: {error}", algorithm.word()))?;
    }
    Ok(())
}

/// Reads the keys of a JWKS text. Keys for encryption and of types that Muster does not know are left out.
fn jwks(text: &str) -> Result<Vec<Key>, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let Some(entries) = document.get("keys").and_then(Value::as_array) else {
        return Err("it is no JWKS: it has no list \"keys\"".into());
    };
    if entries.len() > MOST_KEYS {
        return Err(format!("it has more than {MOST_KEYS} keys"));
    }
    let mut keys: Vec<Key> = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        let at = |text: String| format!("key {} of the list: {text}", i + 1);
        let Some(key) = jwk(entry).map_err(at)? else { continue };
        let twice = keys.iter().any(|other| {
            other.id == key.id && other.algorithms.iter().any(|alg| key.algorithms.contains(alg))
        });
        if twice && key.id.is_some() {
            return Err(at("another key has the same \"kid\" and algorithm".into()));
        }
        usable(&key).map_err(at)?;
        keys.push(key);
    }
    if keys.is_empty() {
        return Err("it has no key that Muster can check signatures with (RSA, P-256, Ed25519 or oct)".into());
    }
    Ok(keys)
}

fn jwk(entry: &Value) -> Result<Option<Key>, String> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let bytes = |name: &str| {
        let value = text(name).ok_or_else(|| format!("\"{name}\" is missing"))?;
        let bytes = URL_SAFE_NO_PAD.decode(value).map_err(|_| format!("\"{name}\" is not base64url"))?;
        Ok::<_, String>((value.to_string(), bytes))
    };
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return Ok(None);
    }
    let library = |error: jsonwebtoken::errors::Error| error.to_string();
    let (of_type, key) = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => {
            let ((n, modulus), (e, _)) = (bytes("n")?, bytes("e")?);
            if modulus.len() < LEAST_RSA_MODULUS {
                return Err("the RSA key is shorter than 2048 bits".into());
            }
            (RSA, DecodingKey::from_rsa_components(&n, &e).map_err(library)?)
        }
        (Some("EC"), Some("P-256")) => {
            let ((x, first), (y, second)) = (bytes("x")?, bytes("y")?);
            if first.len() != 32 || second.len() != 32 {
                return Err("\"x\" and \"y\" must be 32 bytes each".into());
            }
            (P256, DecodingKey::from_ec_components(&x, &y).map_err(library)?)
        }
        (Some("OKP"), Some("Ed25519")) => {
            let (x, point) = bytes("x")?;
            if point.len() != 32 {
                return Err("\"x\" must be 32 bytes".into());
            }
            (ED25519, DecodingKey::from_ed_components(&x).map_err(library)?)
        }
        (Some("oct"), _) => {
            let (_, secret) = bytes("k")?;
            if secret.len() < LEAST_SECRET {
                return Err(format!("the secret \"k\" is shorter than {LEAST_SECRET} bytes"));
            }
            (HMAC, DecodingKey::from_secret(&secret))
        }
        (None, _) => return Err("\"kty\" is missing".into()),
        _ => return Ok(None),
    };
    // A key that names its algorithm is for that one alone.
    let algorithms: Vec<Algorithm> = match text("alg") {
        Some(word) => of_type.iter().filter(|algorithm| algorithm.word() == word).copied().collect(),
        None => of_type.to_vec(),
    };
    let id = text("kid").map(String::from);
    Ok((!algorithms.is_empty()).then_some(Key { id, algorithms, key }))
}
