//! Makes tokens that the server with the same configuration accepts.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use serde_json::{Map, Value, json};
use std::time::Duration;

use super::Verifier;
use crate::config::Config;

/// What a token shall say.
#[derive(Clone, Debug)]
pub struct Order {
    /// The user's id.
    pub user: String,
    /// Whether the user is an internal service.
    pub service: bool,
    /// The user's role.
    pub role: Option<String>,
    /// How long it lives.
    pub ttl: Duration,
    /// Further claims.
    pub claims: Vec<(String, Value)>,
    /// Its own id, `jti`: random, so that it can be revoked alone.
    pub id: String,
}

/// Claims that have a flag or a meaning of their own.
const RESERVED: [&str; 4] = ["exp", "iat", "nbf", "jti"];

/// Makes a token and proves that the verifier takes it. The error names the fix.
pub fn mint(config: &Config, verifier: &Verifier, order: &Order, now_unix_ms: u64) -> Result<String, String> {
    let Some((secret, algorithm)) = verifier.keys().signer() else {
        return Err("this configuration only has public keys, and tokens are made with a secret: let the issuer make \
                    the token, or set auth.secret or auth.secret_file"
            .into());
    };
    let auth = &config.auth;
    let now = now_unix_ms / 1000;
    let user_claim = auth.identity_claims.first().map_or("sub", String::as_str);

    let mut claims = Map::new();
    claims.insert(user_claim.into(), json!(order.user));
    claims.insert("iat".into(), json!(now));
    claims.insert("exp".into(), json!(now.saturating_add(order.ttl.as_secs())));
    claims.insert("jti".into(), json!(order.id));
    if let Some(issuer) = &auth.issuer {
        claims.insert("iss".into(), json!(issuer));
    }
    if let Some(audience) = auth.audience.first() {
        claims.insert("aud".into(), json!(audience));
    }
    if let Some(role) = &order.role {
        let name = auth.role_claim.as_ref().ok_or("auth.role_claim is empty, so no token can have a role")?;
        claims.insert(name.clone(), json!(role));
    }
    if order.service {
        let name =
            auth.service_claim.as_ref().ok_or("auth.service_claim is empty, so no token is a service's")?;
        claims.insert(name.clone(), json!(true));
    }
    for (name, value) in &order.claims {
        if RESERVED.contains(&name.as_str()) || name == user_claim {
            return Err(format!("the claim {name} is made by Muster: it follows from --user and --ttl"));
        }
        claims.insert(name.clone(), value.clone());
    }

    let header = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm.word(), "typ": "JWT"}).to_string());
    let body = URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string());
    let input = format!("{header}.{body}");
    let key = EncodingKey::from_secret(secret.expose());
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key, algorithm.library())
        .map_err(|error| format!("cannot sign the token: {error}"))?;
    let token = format!("{input}.{signature}");
    verifier
        .verify(&token, now_unix_ms)
        .map_err(|error| format!("the server would refuse this token: {error}"))?;
    Ok(token)
}
