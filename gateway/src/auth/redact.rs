//! Takes tokens out of text that is about to be logged.
//!
//! Four shapes are known: a named value (`token=…`, `access_token=…`, `"secret":"…"`), an `Authorization`
//! header, the word `Bearer` with what follows, and anything that looks like a JSON Web Token. One pass, linear in
//! the text; text without any of them is handed back as it came.

use std::borrow::Cow;

const REPLACEMENT: &str = "[redacted]";
/// A name that ends in one of these names something secret.
const SECRET_NAMES: [&str; 7] = ["token", "secret", "password", "jwt", "api_key", "apikey", "authorization"];
/// A shorter word after `Bearer` is prose.
const LEAST_CREDENTIAL: usize = 8;

/// The text without its tokens.
pub fn redact(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut kept = 0;
    let mut at = 0;
    while at < bytes.len() {
        let Some((start, end)) = secret_at(bytes, at) else {
            at += 1;
            continue;
        };
        // Every start and end lies beside an ASCII byte, so it is a boundary; if not, keep what can be kept.
        out.push_str(text.get(kept..start).unwrap_or_default());
        out.push_str(REPLACEMENT);
        kept = end;
        at = end;
    }
    if kept == 0 {
        return text.into();
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    out.into()
}

/// The secret that starts right after, or at, a place of the text.
fn secret_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    match bytes[at] {
        b'=' | b':' => named_value(bytes, at, at + 1),
        b'%' if bytes[at..].len() >= 3 && bytes[at..at + 3].eq_ignore_ascii_case(b"%3d") => {
            named_value(bytes, at, at + 3)
        }
        b'b' | b'B' => after_bearer(bytes, at),
        b'e' => json_web_token(bytes, at),
        _ => None,
    }
}

/// The value of a secret name: `name=value`, `name = "value"`, `"name": "value"`, `authorization: value`.
fn named_value(bytes: &[u8], separator: usize, mut start: usize) -> Option<(usize, usize)> {
    let before = &bytes[separator.saturating_sub(40)..separator];
    let name = without_colour(before.trim_ascii_end());
    let name = name.strip_suffix(b"\\\"").or_else(|| name.strip_suffix(b"\"")).unwrap_or(name);
    let secret = SECRET_NAMES.iter().find(|secret| {
        name.len() >= secret.len()
            && name[name.len() - secret.len()..].eq_ignore_ascii_case(secret.as_bytes())
    })?;
    loop {
        start = find(bytes, start, |byte| byte != b' ');
        if bytes.get(start) != Some(&0x1b) {
            break;
        }
        start = find(bytes, start, |byte| byte == b'm') + 1;
    }
    let rest = bytes.get(start..)?;
    let escaped = rest.starts_with(b"\\\"");
    let quoted = escaped || bytes.get(start) == Some(&b'"');
    // In prose a colon follows the word too: "a bad token: it expired".
    if bytes[separator] == b':' && !quoted && *secret != "authorization" {
        return None;
    }
    let end = if quoted {
        start += if escaped { 2 } else { 1 };
        let mut end = start;
        while end < bytes.len() && bytes[end] != b'"' && !(escaped && bytes[end] == b'\\') {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        boundary(bytes, end)
    } else if *secret == "authorization" {
        find(bytes, start, |byte| b"\r\n\"".contains(&byte))
    } else {
        find(bytes, start, |byte| byte.is_ascii_whitespace() || b"&;,\"'<>()[]{}#".contains(&byte))
    };
    (end > start).then_some((start, end))
}

/// A text without the terminal colours at its end: a log line has them between a name and its value.
fn without_colour(mut text: &[u8]) -> &[u8] {
    while text.last() == Some(&b'm') {
        let Some(escape) = text.iter().rposition(|byte| *byte == 0x1b) else { break };
        let code = &text[escape + 1..text.len() - 1];
        if !code.iter().all(|byte| byte.is_ascii_digit() || b"[;".contains(byte)) {
            break;
        }
        text = &text[..escape];
    }
    text
}

/// What follows the word `Bearer`, after a space, or a comma as in a list of sub-protocols.
fn after_bearer(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let word = bytes.get(at..at + 6)?;
    if !word.eq_ignore_ascii_case(b"bearer") || (at > 0 && bytes[at - 1].is_ascii_alphanumeric()) {
        return None;
    }
    let start = find(bytes, at + 6, |byte| byte != b' ' && byte != b',' && byte != b'+');
    let end = find(bytes, start, |byte| !byte.is_ascii_alphanumeric() && !b"-._~+/=%".contains(&byte));
    (start > at + 6 && end - start >= LEAST_CREDENTIAL).then_some((start, end))
}

/// `eyJ…` and a dot and more: base64url of a JSON object, as every JSON Web Token begins.
fn json_web_token(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !bytes[at..].starts_with(b"eyJ") || (at > 0 && of_token(bytes[at - 1])) {
        return None;
    }
    let header = find(bytes, at, |byte| !of_token(byte));
    let end = find(bytes, at, |byte| !of_token(byte) && byte != b'.');
    (bytes.get(header) == Some(&b'.') && end > header + 1).then_some((at, end))
}

/// The first place from `start` whose byte is wanted, or the end.
fn find(bytes: &[u8], start: usize, wanted: impl Fn(u8) -> bool) -> usize {
    let start = start.min(bytes.len());
    start + bytes[start..].iter().take_while(|byte| !wanted(**byte)).count()
}

/// The next boundary of a character at or after a place.
fn boundary(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, |byte| byte & 0xC0 != 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_go_and_the_rest_stays() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln_-x";
        for (text, expected) in [
            ("GET /ws?token=abc&x=1", "GET /ws?token=[redacted]&x=1"),
            ("?access_token=abc#top", "?access_token=[redacted]#top"),
            ("?x=1&TOKEN=abc", "?x=1&TOKEN=[redacted]"),
            ("next=%2Fws%3Ftoken%3Dabc", "next=%2Fws%3Ftoken%3D[redacted]"),
            ("uri=\"/ws?token=abc\" status=101", "uri=\"/ws?token=[redacted]\" status=101"),
            ("Authorization: Bearer abc.def\r\nHost: x", "Authorization: [redacted]\r\nHost: x"),
            ("header bearer abcdefgh.ijk!", "header bearer [redacted]!"),
            ("protocols bearer, abcdefgh.ijk", "protocols bearer, [redacted]"),
            (r#"{"token":"abc","user":"u"}"#, r#"{"token":"[redacted]","user":"u"}"#),
            (r#"{"message":"got {\"token\":\"abc\"}"}"#, r#"{"message":"got {\"token\":\"[redacted]\"}"}"#),
            (r#"Login { password: "a\"b", n: 1 }"#, r#"Login { password: "[redacted]", n: 1 }"#),
            (r#"auth.secret = "abc""#, r#"auth.secret = "[redacted]""#),
            ("tokens: 3, a bad token: it expired", "tokens: 3, a bad token: it expired"),
            ("Bearer token required", "Bearer token required"),
            ("\x1b[3mtoken\x1b[0m\x1b[2m=\x1b[0mabc x", "\x1b[3mtoken\x1b[0m\x1b[2m=\x1b[0m[redacted] x"),
            ("token=", "token="),
            ("nothing here", "nothing here"),
        ] {
            assert_eq!(redact(text), expected);
        }
        assert_eq!(redact(&format!("42[\"login\",\"{jwt}\"]")), "42[\"login\",\"[redacted]\"]");
        assert_eq!(redact(&format!("token={jwt}&a=ü")), "token=[redacted]&a=ü");
        assert!(matches!(redact("plain"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "(\\PC|token=|Bearer |eyJ|\"|\\\\|:|%3d|é){0,40}") {
            let once = redact(&text).into_owned();
            prop_assert_eq!(redact(&once), once.as_str());
        }

        #[test]
        fn a_token_never_survives(before in "\\PC{0,20}", after in "\\PC{0,20}") {
            let text = format!("{before} ?token=s3cr3tv4lue&{after}");
            prop_assert!(!redact(&text).contains("s3cr3tv4lue"));
        }
    }
}
