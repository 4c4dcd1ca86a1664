//! Tokens that are bad, expired, or of the wrong key, algorithm or type, on the WebSocket, REST and binary doors.

use gateway::clock::Clock;
use schema::CloseReason;
use schema::close::Advice;
use schema::frame::{ClientFrame, ServerFrame};
use serde_json::{Value, json};

use crate::Rig;
use crate::support::web::Web;
use crate::support::wire::{Binary, connect_frame, signed};
use crate::support::{SECRET, on_both};

on_both!(tokens_that_are_refused_everywhere, a_service_claim_must_be_exactly_true, no_token_at_all);

fn refused_everywhere(rig: &Rig, what: &str, token: &str) {
    let mut web = Web::upgraded(rig, token);
    let (errors, code) = web.end();
    assert_eq!((errors.len(), code), (1, Some(4401)), "{what}: {errors:?}");

    for path in
        ["/api/v1/presence/online-users", "/api/v1/presence/check/7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5f"]
    {
        let answer = rig.get_as(token, path);
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert_eq!(answer.json()["success"], false);
        assert!(answer.header("WWW-Authenticate").starts_with("Bearer"));
    }
    let answer = rig.get_as(token, "/server/v1/presence/count");
    assert_eq!(answer.status, 401, "{what}: {answer:?}");
    assert!(answer.json()["error"]["code"].as_str().unwrap().starts_with("TOKEN"), "{what}: {answer:?}");

    let mut binary = Binary::dial(rig.binary());
    binary.say(&ClientFrame::Connect(connect_frame(token)));
    let closing = binary.end().unwrap_or_else(|| panic!("{what}: no last frame"));
    assert_eq!(closing.reason, Some(CloseReason::Unauthenticated), "{what}");
    assert_eq!(closing.advice, Advice::Reauthenticate, "{what}");
    assert!(!closing.text.is_empty(), "{what}: {closing:?}");
    assert!(token.is_empty() || !closing.text.contains(token), "{what}: {closing:?}");
}

fn tokens_that_are_refused_everywhere(io: &str) {
    let rig = Rig::start(io, "");
    let now = Clock::system().unix_ms() / 1_000;
    let header = |alg: &str| json!({"alg": alg, "typ": "JWT"});
    let of = |claims: Value| signed(&header("HS256"), &claims, SECRET);
    let good = json!({"sub": "alice", "exp": now + 600});
    let unsigned = |token: String| format!("{}.", token.rsplit_once('.').unwrap().0);
    let valid = of(good.clone());
    let cases = [
        ("nonsense", "nonsense".to_owned()),
        ("three words", "a.b.c".into()),
        ("two parts", valid.rsplit_once('.').unwrap().0.to_owned()),
        ("four parts", format!("{valid}.{}", "x")),
        ("another body under the signature", {
            let parts: Vec<&str> = valid.split('.').collect();
            let other = of(json!({"sub": "mallory", "exp": now + 600}));
            format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2])
        }),
        ("expired", of(json!({"sub": "alice", "exp": now - 3_600}))),
        ("expired just beyond the leeway", of(json!({"sub": "alice", "exp": now - 32}))),
        ("not valid yet", of(json!({"sub": "alice", "exp": now + 600, "nbf": now + 300}))),
        ("another secret", signed(&header("HS256"), &good, "another secret of 32 bytes or more than that")),
        ("no algorithm, no signature", unsigned(signed(&header("none"), &good, SECRET))),
        ("no algorithm, signed", signed(&header("none"), &good, SECRET)),
        ("None", unsigned(signed(&header("None"), &good, SECRET))),
        ("another algorithm than it says", signed(&header("HS512"), &good, SECRET)),
        ("an asymmetric algorithm", signed(&header("RS256"), &good, SECRET)),
        ("an algorithm nobody knows", signed(&header("XX999"), &good, SECRET)),
        ("no algorithm named", signed(&json!({"typ": "JWT"}), &good, SECRET)),
        ("an algorithm that is a number", signed(&json!({"alg": 256}), &good, SECRET)),
        ("no end", of(json!({"sub": "alice"}))),
        ("an end that is text", of(json!({"sub": "alice", "exp": (now + 600).to_string()}))),
        ("an end that is true", of(json!({"sub": "alice", "exp": true}))),
        ("an end that is null", of(json!({"sub": "alice", "exp": null}))),
        ("a beginning that is text", of(json!({"sub": "alice", "exp": now + 600, "nbf": "now"}))),
        ("nobody", of(json!({"exp": now + 600}))),
        ("an empty name", of(json!({"sub": "", "exp": now + 600}))),
        ("a name that is a list", of(json!({"sub": ["alice"], "exp": now + 600}))),
        ("a name that is an object", of(json!({"sub": {"id": "alice"}, "exp": now + 600}))),
        ("a name with a line feed", of(json!({"sub": "a\nb", "exp": now + 600}))),
        ("a name too long", of(json!({"sub": "x".repeat(129), "exp": now + 600}))),
        ("claims that are no object", of(json!(["sub", "alice"]))),
        ("something critical", signed(&json!({"alg": "HS256", "crit": ["x"], "x": 1}), &good, SECRET)),
    ];
    for (what, token) in &cases {
        refused_everywhere(&rig, what, token);
    }
    // The same by its secret, and within the leeway.
    for token in [valid, of(json!({"sub": "alice", "exp": now - 5}))] {
        Web::online(&rig, &token);
        Binary::connect(&rig, &token).alive();
        assert_eq!(rig.get_as(&token, "/api/v1/presence/online-users").status, 200);
    }
    rig.undisturbed();
}

fn a_service_claim_must_be_exactly_true(io: &str) {
    let rig = Rig::start(io, "");
    let now = Clock::system().unix_ms() / 1_000;
    for (claim, service) in [
        (json!(true), true),
        (json!("true"), false),
        (json!(1), false),
        (json!([true]), false),
        (json!(null), false),
    ] {
        let claims = json!({"sub": "backend", "exp": now + 600, "service": claim});
        let token = signed(&json!({"alg": "HS256"}), &claims, SECRET);
        let mut binary = Binary::dial(rig.binary());
        binary.say(&ClientFrame::Connect(connect_frame(&token)));
        match binary.read() {
            Some(ServerFrame::Welcome(welcome)) => assert_eq!(welcome.service, service, "{claim}"),
            other => panic!("{claim}: {other:?}"),
        }
        let status = rig.get_as(&token, "/server/v1/presence/count").status;
        assert_eq!(status, if service { 200 } else { 403 }, "{claim}");
    }
    rig.undisturbed();
}

fn no_token_at_all(io: &str) {
    let rig = Rig::start(io, "");
    refused_everywhere(&rig, "an empty token", "");
    let answer = rig.get("/api/v1/presence/online-users");
    assert_eq!((answer.status, answer.json()["success"].as_bool()), (401, Some(false)));
    rig.undisturbed();
}
