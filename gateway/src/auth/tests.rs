//! Tests of the whole way of a token: keys, verifier, mint.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;
use std::path::PathBuf;
use std::time::Duration;

use super::mint::{Order, mint};
use super::*;
use crate::config::Config;

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Tokens and keys made by another implementation.
fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn vector(name: &str) -> String {
    vectors()["tokens"][name].as_str().unwrap_or_else(|| panic!("no token {name}")).to_string()
}

fn config(auth: &str) -> Config {
    Config::from_toml("test", &format!("[auth]\n{auth}")).unwrap()
}

fn with_secret(more: &str) -> Verifier {
    Verifier::from_config(&config(&format!("secret = \"{SECRET}\"\n{more}"))).unwrap()
}

/// A verifier with a key from a file of this content.
fn with_file(key: &str, content: &str, more: &str) -> Result<Verifier, String> {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("key");
    std::fs::write(&path, content).unwrap();
    Verifier::from_config(&config(&format!("{key} = {:?}\n{more}", path.to_str().unwrap())))
        .map_err(|error| error.to_string())
}

/// A token as anyone who knows the secret can make it.
fn sign(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", encode(header), encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// Changes the claims of a good token.
fn claims(changes: Value) -> String {
    let mut claims = json!({"sub": "ada", "iat": NOW, "exp": NOW + 3600});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    sign(&json!({"alg": "HS256", "typ": "JWT"}), &claims)
}

#[track_caller]
fn refused(verifier: &Verifier, token: &str, kind: AuthErrorKind) {
    let error = verifier.verify(token, NOW * 1000).expect_err("the token is not good");
    assert_eq!(error.kind(), kind, "{error}");
}

#[track_caller]
fn accepted(verifier: &Verifier, token: &str) -> Identity {
    verifier.verify(token, NOW * 1000).expect("the token is good")
}

#[test]
fn a_good_token_says_who_it_is() {
    let token = claims(json!({"role": "BUYER", "jti": "t1", "iat": 1_799_999_999.25}));
    let identity = accepted(&with_secret(""), &token);
    assert_eq!(identity.user, "ada");
    assert_eq!(identity.realm, DEFAULT_REALM);
    assert_eq!(identity.role.as_deref(), Some("BUYER"));
    assert_eq!(identity.token_id.as_deref(), Some("t1"));
    assert_eq!(identity.issued_at_ms, Some(1_799_999_999_250));
    assert_eq!(identity.expires_at, NOW + 3600);
    assert_eq!(identity.cut_off_ms, (NOW + 3630) * 1000);
    assert!(!identity.service);
}

#[test]
fn tokens_of_another_implementation_are_read() {
    let verifier = with_secret("");
    for name in ["HS256", "HS384", "HS512"] {
        assert_eq!(accepted(&verifier, &vector(name)).user, "ada");
    }
    for (pem, names) in [("rsa", ["RS256", "PS256"]), ("p256", ["ES256"; 2]), ("ed25519", ["EdDSA"; 2])] {
        let verifier = with_file("public_key_file", vectors()["pem"][pem].as_str().unwrap(), "").unwrap();
        for name in names {
            assert_eq!(accepted(&verifier, &vector(name)).user, "ada", "{name}");
        }
    }
}

#[test]
fn a_key_set_is_chosen_from_by_id_and_algorithm() {
    let verifier = with_file("jwks_file", &vectors()["jwks"].to_string(), "").unwrap();
    for name in
        ["RS256 rsa-any", "PS256 rsa-any", "PS256 rsa-ps", "ES256 ec", "EdDSA ed", "HS256 mac", "ES256"]
    {
        assert_eq!(accepted(&verifier, &vector(name)).user, "ada", "{name}");
    }
    for name in ["RS256 rsa-ps", "RS256 nobody", "RS256 for-encryption", "ES256 rsa-any"] {
        refused(&verifier, &vector(name), AuthErrorKind::UnknownKey);
    }
    refused(&verifier, &vector("RS512"), AuthErrorKind::WrongAlgorithm);
    refused(&verifier, &vector("HS384"), AuthErrorKind::WrongAlgorithm);
}

#[test]
fn algorithms_are_not_mixed_up() {
    let pem = vectors()["pem"]["rsa"].as_str().unwrap().to_string();
    let rsa = with_file("public_key_file", &pem, "").unwrap();
    let both = with_file("public_key_file", &pem, &format!("secret = \"{SECRET}\"")).unwrap();
    let confused = vector("HS256 signed with the RSA public key");
    refused(&rsa, &confused, AuthErrorKind::WrongAlgorithm);
    refused(&both, &confused, AuthErrorKind::BadSignature);
    refused(&rsa, &vector("RS256 signed with the RSA public key as a secret"), AuthErrorKind::BadSignature);
    for verifier in [&rsa, &both, &with_secret("")] {
        refused(verifier, &vector("none"), AuthErrorKind::WrongAlgorithm);
    }
    accepted(&both, &vector("HS256"));
    accepted(&both, &vector("RS256"));
    for alg in [json!("none"), json!("NONE"), json!("hs256"), json!(""), json!(256), json!(null)] {
        refused(&with_secret(""), &sign(&json!({"alg": alg}), &json!({})), AuthErrorKind::WrongAlgorithm);
    }
    let narrow = with_secret("algorithms = [\"HS512\"]");
    accepted(&narrow, &vector("HS512"));
    let error = narrow.verify(&vector("HS256"), NOW * 1000).unwrap_err();
    assert_eq!(error.message(), "the token is signed with HS256; this server accepts HS512");
}

#[test]
fn times_have_exact_types_and_a_leeway() {
    let verifier = with_secret("");
    for exp in
        [json!((NOW + 60).to_string()), json!(true), json!([NOW + 60]), json!({}), json!(null), json!(-1)]
    {
        refused(&verifier, &claims(json!({"exp": exp})), AuthErrorKind::WrongType);
    }
    refused(&verifier, &claims(json!({"exp": (NOW + 60) * 1000})), AuthErrorKind::WrongType);
    refused(&verifier, &claims(json!({"exp": 1e300})), AuthErrorKind::WrongType);
    for name in ["nbf", "iat"] {
        refused(&verifier, &claims(json!({name: NOW.to_string()})), AuthErrorKind::WrongType);
        refused(&verifier, &claims(json!({name: NOW + 31})), AuthErrorKind::NotYetValid);
        accepted(&verifier, &claims(json!({name: NOW + 30})));
        accepted(&verifier, &claims(json!({name: null})));
    }
    accepted(&verifier, &claims(json!({"exp": NOW - 29})));
    accepted(&verifier, &claims(json!({"exp": NOW as f64 - 29.5})));
    refused(&verifier, &claims(json!({"exp": NOW - 30})), AuthErrorKind::Expired);
    refused(&verifier, &claims(json!({"exp": 0})), AuthErrorKind::Expired);
    let strict = with_secret("leeway = \"0s\"");
    refused(&strict, &claims(json!({"exp": NOW})), AuthErrorKind::Expired);
    assert_eq!(accepted(&strict, &claims(json!({"exp": NOW + 1}))).cut_off_ms, (NOW + 1) * 1000);
}

#[test]
fn the_first_identity_claim_that_is_there_decides() {
    let verifier = with_secret("");
    let user = |changes: Value| accepted(&verifier, &claims(changes)).user;
    assert_eq!(user(json!({"sub": null, "userId": "u1", "id": "other"})), "u1");
    assert_eq!(user(json!({"sub": 42})), "42");
    assert_eq!(user(json!({"sub": u64::MAX})), "18446744073709551615");
    assert_eq!(user(json!({"sub": "ü".repeat(128)})), "ü".repeat(128));
    for sub in [json!(""), json!("a\nb"), json!("x".repeat(129)), json!("\u{0}")] {
        refused(&verifier, &claims(json!({"sub": sub, "id": "other"})), AuthErrorKind::NoIdentity);
    }
    for sub in [json!(1.5), json!(true), json!(["ada"]), json!({"id": 1}), json!(1e30)] {
        refused(&verifier, &claims(json!({"sub": sub, "id": "other"})), AuthErrorKind::WrongType);
    }
    refused(&verifier, &claims(json!({"sub": null})), AuthErrorKind::NoIdentity);
    let renamed = with_secret("identity_claims = [\"account\"]");
    refused(&renamed, &claims(json!({})), AuthErrorKind::NoIdentity);
    assert_eq!(accepted(&renamed, &claims(json!({"account": "a"}))).user, "a");
}

#[test]
fn only_true_makes_a_service() {
    let verifier = with_secret("");
    assert!(accepted(&verifier, &claims(json!({"service": true}))).service);
    for service in [json!("true"), json!(1), json!(false), json!("billing"), json!(null), json!([true])] {
        assert!(!accepted(&verifier, &claims(json!({"service": service}))).service);
    }
    let off = with_secret("service_claim = \"\"");
    assert!(!accepted(&off, &claims(json!({"service": true}))).service);
}

#[test]
fn issuer_audience_and_realm_count_when_configured() {
    let open = with_secret("");
    accepted(&open, &claims(json!({"iss": "x", "aud": ["a", "b"]})));
    let issuer = with_secret("issuer = \"https://a\"");
    accepted(&issuer, &claims(json!({"iss": "https://a"})));
    refused(&issuer, &claims(json!({"iss": "https://b"})), AuthErrorKind::WrongIssuer);
    refused(&issuer, &claims(json!({})), AuthErrorKind::WrongIssuer);
    refused(&issuer, &claims(json!({"iss": ["https://a"]})), AuthErrorKind::WrongType);
    let audience = with_secret("audience = [\"muster\", \"chat\"]");
    accepted(&audience, &claims(json!({"aud": "chat"})));
    accepted(&audience, &claims(json!({"aud": ["x", "muster"]})));
    refused(&audience, &claims(json!({"aud": "x"})), AuthErrorKind::WrongAudience);
    refused(&audience, &claims(json!({})), AuthErrorKind::WrongAudience);
    refused(&audience, &claims(json!({"aud": ["muster", 1]})), AuthErrorKind::WrongType);
    let realm = with_secret("realm_claim = \"app\"");
    assert_eq!(accepted(&realm, &claims(json!({"app": 7}))).realm, "7");
    refused(&realm, &claims(json!({})), AuthErrorKind::NoRealm);
    refused(&realm, &claims(json!({"app": ""})), AuthErrorKind::NoIdentity);
}

#[test]
fn what_is_no_token_is_refused() {
    let verifier = with_secret("");
    let good = claims(json!({}));
    let (input, signature) = good.rsplit_once('.').unwrap();
    refused(&verifier, "", AuthErrorKind::Missing);
    for token in [
        "x",
        "..",
        "a.b",
        "a.b.c",
        &format!("{good}.x"),
        &format!(".{good}"),
        &format!(" {good}"),
        &"x".repeat(20_000),
        &sign(&json!([]), &json!({})),
        &sign(&json!({"alg": "HS256"}), &json!("text")),
        &sign(&json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &json!({})),
        &sign(&json!({"alg": "HS256", "kid": 7}), &json!({})),
    ] {
        refused(&verifier, token, AuthErrorKind::Malformed);
    }
    for signature in ["", "AAAA", &signature[1..], &format!("{signature}=="), &signature.to_uppercase()] {
        refused(&verifier, &format!("{input}.{signature}"), AuthErrorKind::BadSignature);
    }
}

#[test]
fn a_revocation_key_follows_the_token_and_not_its_spelling() {
    let verifier = with_secret("");
    let key = |changes: Value| accepted(&verifier, &claims(changes)).revocation_key;
    assert_eq!(key(json!({"jti": "a"})), key(json!({"jti": "a", "exp": NOW + 9})));
    assert_ne!(key(json!({"jti": "a"})), key(json!({"jti": "a", "iss": "x"})));
    assert_ne!(key(json!({"jti": "b", "iss": "a"})), key(json!({"jti": "ab"})));
    assert_ne!(key(json!({"exp": NOW + 9})), key(json!({"exp": NOW + 8})));
    assert_eq!(key(json!({})), key(json!({})));
}

#[test]
fn bad_key_files_are_refused_with_a_reason() {
    let vectors = vectors();
    let pem = |name: &str| vectors["pem"][name].as_str().unwrap().to_string();
    let p256 = &vectors["jwks"]["keys"][2];
    let short_ed = json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"});
    let off_curve = json!({"kty": "EC", "crv": "P-256", "x": p256["x"], "y": p256["x"]});
    let list = |keys: Value| json!({"keys": keys}).to_string();
    for (key, content, expected) in [
        ("public_key_file", "rubbish".to_string(), "no public key in PEM"),
        (
            "public_key_file",
            "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----".into(),
            "private key",
        ),
        ("public_key_file", pem("rsa_1024"), "shorter than 2048 bits"),
        ("public_key_file", pem("p384"), "does not work for ES256"),
        ("jwks_file", "rubbish".into(), "not JSON"),
        ("jwks_file", "{}".into(), "no list \"keys\""),
        ("jwks_file", list(json!([])), "no key that Muster can check"),
        ("jwks_file", list(json!([{"kty": "RSA"}])), "key 1 of the list: \"n\" is missing"),
        ("jwks_file", list(json!([{}])), "\"kty\" is missing"),
        ("jwks_file", list(json!([p256, p256])), "key 2 of the list: another key has the same"),
        ("jwks_file", list(json!([short_ed])), "must be 32 bytes"),
        ("jwks_file", list(json!([off_curve])), "does not work for ES256"),
        ("jwks_file", list(json!([{"kty": "oct", "k": "AAAA"}])), "shorter than 32 bytes"),
        ("secret_file", "short\n".into(), "less than 32 bytes"),
    ] {
        let error = with_file(key, &content, "").expect_err(expected);
        assert!(error.starts_with("test:2: auth.") && error.contains(expected), "{error}");
    }
    let error = with_file("public_key_file", &pem("rsa"), "algorithms = [\"HS256\"]").unwrap_err();
    assert!(error.contains("add RS256, PS256"), "{error}");
    let error = Verifier::from_config(&config("jwks_file = \"/nonexistent\"")).unwrap_err().to_string();
    assert!(error.contains("cannot read it"), "{error}");
    assert!(with_file("secret_file", &format!("{SECRET}\n"), "").is_ok());
}

fn order() -> Order {
    Order {
        user: "ada".into(),
        service: false,
        role: None,
        ttl: Duration::from_secs(60),
        claims: Vec::new(),
        id: "id".into(),
    }
}

#[test]
fn what_is_minted_is_accepted() {
    let config = config(&format!(
        "secret = \"{SECRET}\"\nissuer = \"me\"\naudience = [\"chat\"]\nrealm_claim = \"app\"\n\
         identity_claims = [\"uid\"]\nalgorithms = [\"HS384\"]"
    ));
    let verifier = Verifier::from_config(&config).unwrap();
    let realm = ("app".to_string(), json!("shop"));
    let full = Order { service: true, role: Some("r".into()), claims: vec![realm.clone()], ..order() };
    let token = mint(&config, &verifier, &full, NOW * 1000).unwrap();
    let identity = accepted(&verifier, &token);
    assert_eq!((identity.user.as_str(), identity.realm.as_str()), ("ada", "shop"));
    assert_eq!((identity.role.as_deref(), identity.service), (Some("r"), true));
    assert_eq!(identity.expires_at, NOW + 60);

    let error = |order: Order| mint(&config, &verifier, &order, NOW * 1000).unwrap_err();
    assert!(error(order()).contains("has no \"app\""));
    assert!(error(Order { claims: vec![("exp".into(), json!(1))], ..order() }).contains("--ttl"));
    assert!(error(Order { user: String::new(), claims: vec![realm], ..order() }).contains("is empty"));
    let rsa = with_file("public_key_file", vectors()["pem"]["rsa"].as_str().unwrap(), "").unwrap();
    assert!(mint(&config, &rsa, &order(), NOW * 1000).unwrap_err().contains("only has public keys"));
}

#[test]
fn nothing_secret_is_printed() {
    let printed = format!("{:?}", with_secret(""));
    assert!(!printed.contains(&SECRET[..8]), "{printed}");
}

proptest! {
    #[test]
    fn any_text_as_a_token_is_refused(token in "\\PC{0,60}", now in any::<u64>()) {
        prop_assert!(with_secret("").verify(&token, now).is_err());
    }

    #[test]
    fn any_bytes_in_the_parts_are_refused(
        header in proptest::collection::vec(any::<u8>(), 0..40),
        body in proptest::collection::vec(any::<u8>(), 0..40),
        signature in proptest::collection::vec(any::<u8>(), 0..80),
        alg in proptest::sample::select(vec!["HS256", "RS256", "PS256", "ES256", "EdDSA", "none"]),
    ) {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let verifier = with_file("jwks_file", &vectors()["jwks"].to_string(), "").unwrap();
        let named = json!({"alg": alg}).to_string();
        for header in [header.as_slice(), named.as_bytes()] {
            let token = format!("{}.{}.{}", b64(header), b64(&body), b64(&signature));
            prop_assert!(verifier.verify(&token, NOW * 1000).is_err());
        }
    }

    #[test]
    fn any_signed_claims_never_panic(exp in any::<f64>(), iat in any::<i64>(), sub in ".{0,200}", now in any::<u64>()) {
        let token = claims(json!({"exp": exp, "iat": iat, "sub": sub}));
        if let Ok(identity) = with_secret("").verify(&token, now) {
            prop_assert!(now < identity.cut_off_ms);
            prop_assert!(!identity.user.is_empty());
        }
    }

    #[test]
    fn a_changed_token_is_refused(place in any::<prop::sample::Index>(), byte in "[A-Za-z0-9_.-]") {
        let good = claims(json!({}));
        let at = place.index(good.len());
        let mut changed = good.clone();
        changed.replace_range(at..=at, &byte);
        if changed != good {
            prop_assert!(with_secret("").verify(&changed, NOW * 1000).is_err());
        }
    }
}
