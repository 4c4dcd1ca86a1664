//! What may be said, through whichever API: how long, with what, and under which name of the sender's own.
//!
//! The texts of [`Unfit`] name fields as every API that has them calls them.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use schema::Id;
use schema::chat::{Attachment, ConversationId, MemberId, Whose};

/// Characters of a message.
pub const CONTENT: usize = 10_000;
/// Bytes of a client's own name for a message.
pub const CLIENT_ID: usize = 255;
/// Bytes of an attachment's address.
pub const URL: usize = 2_048;
/// What an attachment may be.
pub const ATTACHMENTS: [&str; 4] = ["image", "video", "audio", "file"];

/// A client's own name for what it asks: asked again with the same one, it is done once.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Why something cannot be said; for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unfit(pub Cow<'static, str>);

impl Unfit {
    fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }
}

/// What a message may say.
pub fn content(text: &str, may_be_empty: bool) -> Result<Arc<str>, Unfit> {
    if text.is_empty() && !may_be_empty {
        return Err(Unfit::new("content must not be empty"));
    }
    if text.chars().count() > CONTENT {
        return Err(Unfit::new(format!("content must have at most {CONTENT} characters")));
    }
    Ok(text.into())
}

/// The caller's own name for what it asks, in the header or in the body.
pub fn client_id(headers: &HeaderMap, in_body: Option<&str>) -> Result<Option<Arc<str>>, Unfit> {
    let in_header = match headers.get(IDEMPOTENCY_KEY) {
        None => None,
        Some(value) => {
            let text = value.to_str().map_err(|_| Unfit::new("Idempotency-Key must be plain ASCII"))?.trim();
            // The draft standard writes it as a string, in quotes.
            let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            Some(quoted.unwrap_or(text))
        }
    };
    let id = match (in_header, in_body) {
        (Some(one), Some(other)) if one != other => {
            return Err(Unfit::new("Idempotency-Key and clientMessageId are not the same"));
        }
        (one, other) => one.or(other),
    };
    let fits = id.is_none_or(|id| (1..=CLIENT_ID).contains(&id.len()));
    if !fits {
        let text = format!("Idempotency-Key and clientMessageId must have 1 to {CLIENT_ID} bytes");
        return Err(Unfit::new(text));
    }
    Ok(id.map(Into::into))
}

/// What comes with a message.
pub fn attachment(
    url: Option<&str>,
    kind: Option<&str>,
    own: Option<&str>,
) -> Result<Option<Attachment>, Unfit> {
    let Some(url) = url else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(Unfit::new("attachmentType needs an attachmentUrl")),
        };
    };
    if url.len() > URL || !is_web_address(url) {
        let text = format!("attachmentUrl must be an absolute http or https address of at most {URL} bytes");
        return Err(Unfit::new(text));
    }
    if own.is_some_and(|own| !url.starts_with(own)) {
        return Err(Unfit::new("attachmentUrl must be the address of a file that was uploaded here"));
    }
    let kind = kind.unwrap_or("file");
    if !ATTACHMENTS.contains(&kind) {
        return Err(Unfit::new("attachmentType must be \"image\", \"video\", \"audio\" or \"file\""));
    }
    Ok(Some(Attachment { url: url.into(), kind: kind.into() }))
}

fn is_web_address(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    // What a browser would drop or take for something else has no place in an address.
    let plain = !url.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\');
    web && plain && host.parse::<http::uri::Authority>().is_ok_and(|authority| !authority.host().is_empty())
}

/// The member that a path means.
#[must_use]
pub fn whose(conversation: ConversationId, text: &str) -> Option<Whose> {
    match text.parse::<MemberId>() {
        Ok(id) if id.conversation == conversation => Some(Whose::Row(id.row)),
        // It may still be somebody's id.
        _ => Id::new(text).ok().map(Whose::User),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_are_addresses_of_the_web() {
        for good in
            ["http://minio:9000/messaging/messages/1-photo.jpg", "HTTPS://h.example?x#y", "http://[::1]:8/"]
        {
            assert!(is_web_address(good), "{good}");
        }
        for bad in [
            "",
            "photo.jpg",
            "/x",
            "//h/x",
            "ftp://h/x",
            "javascript:alert(1)",
            "data:text/html,x",
            "http://",
            "http:///x",
            "http://h/a b",
            "http://h/\n",
            "http://h\\x",
            "https://?x",
            "http://:80/",
            "file:///etc/x",
        ] {
            assert!(!is_web_address(bad), "{bad}");
        }
        let with = |url: &str, kind| attachment(Some(url), kind, None);
        assert_eq!(with("http://h/x", None).unwrap().unwrap().kind.as_ref(), "file");
        assert!(with("http://h/x", Some("virus")).is_err());
        assert!(with(&format!("http://h/{}", "x".repeat(URL)), None).is_err());
        assert!(attachment(None, Some("image"), None).is_err());
        assert_eq!(attachment(None, None, Some("http://own/")).unwrap(), None);
        assert!(attachment(Some("http://other/x"), None, Some("http://own/")).is_err());
        assert!(attachment(Some("http://own/x"), None, Some("http://own/")).is_ok());
    }

    #[test]
    fn one_name_for_a_message() {
        let header =
            |text: &str| [(IDEMPOTENCY_KEY, text.parse().unwrap())].into_iter().collect::<HeaderMap>();
        let none = HeaderMap::new();
        let found =
            |headers: &HeaderMap, body| client_id(headers, body).map(|id| id.map(|id| id.to_string()));
        assert_eq!(found(&none, None), Ok(None));
        assert_eq!(found(&none, Some("a")), Ok(Some("a".into())));
        assert_eq!(found(&header("\"a\""), Some("a")), Ok(Some("a".into())));
        assert_eq!(found(&header("a"), None), Ok(Some("a".into())));
        assert!(found(&header("a"), Some("b")).is_err());
        assert!(found(&header("\"\""), None).is_err());
        assert!(found(&none, Some("")).is_err());
        let long = "x".repeat(256);
        assert_eq!(found(&none, Some(&long[1..])), Ok(Some(long[1..].to_owned())));
        assert!(found(&none, Some(&long)).is_err());
    }

    #[test]
    fn lengths_are_of_characters() {
        assert!(content(&"ả".repeat(CONTENT), false).is_ok());
        assert!(content(&"ả".repeat(CONTENT + 1), false).is_err());
        assert!(content("", false).is_err());
        assert!(content("", true).is_ok());
    }

    #[test]
    fn a_member_by_row_or_by_user() {
        let id = |text| Id::new(text).unwrap();
        let conversation = ConversationId::of_pair(&id("ann"), &id("bob"));
        let other = ConversationId::of_pair(&id("ann"), &id("cat"));
        let row = MemberId { conversation, row: 7 };
        assert_eq!(whose(conversation, &row.to_string()), Some(Whose::Row(7)));
        assert_eq!(whose(conversation, "bob"), Some(Whose::User(id("bob"))));
        let foreign = MemberId { conversation: other, row: 7 }.to_string();
        assert_eq!(whose(conversation, &foreign), Some(Whose::User(id(&foreign))));
        assert_eq!(whose(conversation, "\u{7}"), None);
    }
}
