//! Tokens and where they stand: no text makes the verifier panic, and whoever is let in has a name, and a time left.
//!
//! Almost no text has a good signature, so an input with a line break is signed here: its lines are the header and the
//! claims.

#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::auth::{Verifier, credentials, redact};
use gateway::config::Config;
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use sha2::Sha256;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NOW_MS: u64 = 1_800_000_000_000;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let text = format!("[auth]\nsecret = \"{SECRET}\"\nrealm_claim = \"realm\"\n");
    let config = Config::from_toml("fuzz.toml", &text).expect("a good configuration");
    Verifier::from_config(&config).expect("a good configuration")
});

fuzz_target!(|text: &str| {
    let token = match text.split_once('\n') {
        Some((header, claims)) => signed(header, claims),
        None => text.to_owned(),
    };
    match VERIFIER.verify(&token, NOW_MS) {
        Ok(identity) => {
            assert!(!identity.user.is_empty() && identity.user.chars().count() <= 128, "{identity:?}");
            assert!(!identity.user.chars().any(char::is_control), "{identity:?}");
            assert!(identity.cut_off_ms > NOW_MS, "{identity:?}");
        }
        Err(error) => assert!(!error.message().is_empty() && !error.code().is_empty()),
    }
    let _ = (credentials::bearer(text), credentials::sub_protocol(text));
    let _ = credentials::parameter(text, "token");
    let _ = redact::redact(text);
});

fn signed(header: &str, claims: &str) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("HMAC takes any key");
    mac.update(input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
