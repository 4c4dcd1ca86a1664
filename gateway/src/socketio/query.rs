//! Pairs of a URL's query, decoded: where clients of version 4 put what version 5 has in its auth payload.

use std::borrow::Cow;

/// The pairs of `a=b&c=d`, in order, decoded as a form is (WHATWG URL, "application/x-www-form-urlencoded parsing"):
/// `+` is a space, bytes that are no UTF-8 become U+FFFD.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// The first value of that name.
#[must_use]
pub fn get<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    pairs(query).find_map(|(key, value)| (key == name).then_some(value))
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            _ => bytes.push(byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_form() {
        let check = |query: &str, expected: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs(query).map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
            let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(pairs, expected, "{query}");
        };
        check(
            "token=T&user_id=42&user_role=BUYER",
            &[("token", "T"), ("user_id", "42"), ("user_role", "BUYER")],
        );
        check("", &[]);
        check("a&&b=1=2&a=%20+%", &[("a", ""), ("b", "1=2"), ("a", "  %")]);
        check("%E2%82%ac=%ff%4", &[("€", "\u{fffd}%4")]);
        assert_eq!(get("a=1&a=2", "a").as_deref(), Some("1"));
    }
}
