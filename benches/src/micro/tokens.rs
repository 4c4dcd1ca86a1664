//! Checking tokens: what a handshake costs before anything else.

use std::hint::black_box;

use gateway::auth::Verifier;
use gateway::config::Config;
use serde_json::Value;

use super::Trouble;

/// Tokens and public keys that another implementation made, valid at [`NOW`].
const VECTORS: &str = include_str!("../../../gateway/src/auth/vectors.json");
const NOW: u64 = 1_800_000_000_000;

fn verifies(name: &str, key: fn(&Value) -> Result<Verifier, Trouble>) -> Result<impl FnMut(), Trouble> {
    let vectors: Value = serde_json::from_str(VECTORS)?;
    let token = vectors["tokens"][name].as_str().ok_or("no such token")?.to_owned();
    let verifier = key(&vectors)?;
    verifier.verify(&token, NOW).map_err(|error| error.to_string())?;
    Ok(move || _ = black_box(verifier.verify(black_box(&token), NOW)))
}

fn with_key(vectors: &Value, pem: &str) -> Result<Verifier, Trouble> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("key.pem");
    std::fs::write(&path, vectors["pem"][pem].as_str().ok_or("no such key")?)?;
    configured(&format!("public_key_file = {path:?}"))
}

fn configured(auth: &str) -> Result<Verifier, Trouble> {
    let config =
        Config::from_toml("benchmark", &format!("[auth]\n{auth}")).map_err(|error| error.to_string())?;
    Ok(Verifier::from_config(&config).map_err(|error| error.to_string())?)
}

/// A shared secret.
///
/// # Errors
/// When what is measured does not work.
pub fn hs256() -> Result<impl FnMut(), Trouble> {
    verifies("HS256", |vectors| configured(&format!("secret = {}", vectors["secret"])))
}

/// Ed25519.
///
/// # Errors
/// When what is measured does not work.
pub fn eddsa() -> Result<impl FnMut(), Trouble> {
    verifies("EdDSA", |vectors| with_key(vectors, "ed25519"))
}

/// P-256.
///
/// # Errors
/// When what is measured does not work.
pub fn es256() -> Result<impl FnMut(), Trouble> {
    verifies("ES256", |vectors| with_key(vectors, "p256"))
}

/// RSA of 2,048 bits.
///
/// # Errors
/// When what is measured does not work.
pub fn rs256() -> Result<impl FnMut(), Trouble> {
    verifies("RS256", |vectors| with_key(vectors, "rsa"))
}
