//! JSON as it stands: the grammar is checked once, and everything else walks the text that was checked, so that
//! arguments are handed on without being rebuilt.
//!
//! Depth is bounded before anything looks at the text, so neither the checks here nor a parser behind them can be
//! led into deep recursion. The walkers rely on checked text; on any other they return nonsense, but return.

use serde_json::value::RawValue;

/// Deepest nesting of arrays and objects. Parsers behind us stop at 128.
pub(super) const DEPTH: usize = 100;

/// Whether the text is one JSON value (RFC 8259) without white space before it, nested no deeper than [`DEPTH`].
pub(super) fn is_valid(text: &str) -> bool {
    !text.starts_with([' ', '\t', '\n', '\r'])
        && is_shallow(text.as_bytes())
        && serde_json::from_str::<&RawValue>(text).is_ok()
}

fn is_shallow(text: &[u8]) -> bool {
    let (mut depth, mut at) = (0, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                at = string(text, at);
                continue;
            }
            b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    true
}

/// Behind the string that begins at `at`.
fn string(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Behind the value that begins at `at`.
fn value(text: &[u8], at: usize) -> usize {
    let (mut depth, mut at) = (0usize, at);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                at = string(text, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth <= 1 => return if depth == 0 { at } else { at + 1 },
            b']' | b'}' => depth -= 1,
            b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// The values of `a,b,c`, the inside of a checked array.
#[derive(Clone, Debug)]
pub struct Elements<'a>(&'a str);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let begin = space(self.0.as_bytes(), 0);
        if begin >= self.0.len() {
            return None;
        }
        let end = value(self.0.as_bytes(), begin);
        let element = self.0.get(begin..end)?;
        let after = space(self.0.as_bytes(), end);
        self.0 = self.0.get(after + 1..).unwrap_or_default();
        Some(element)
    }
}

/// The values of the inside of a checked array.
pub(super) fn elements(inside: &str) -> Elements<'_> {
    Elements(inside)
}

/// The inside of a checked array: what stands between its brackets.
pub(super) fn inside(array: &str) -> &str {
    let array = array.trim_ascii_end();
    array.get(1..array.len().saturating_sub(1)).unwrap_or_default()
}

/// The first element of the inside of an array, and the inside of the array without it.
pub(super) fn split_first(inside: &str) -> Option<(&str, &str)> {
    let mut elements = elements(inside);
    let first = elements.next()?;
    Some((first, elements.0.trim_ascii()))
}

/// An object `{"_placeholder":true,"num":n}` in a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placeholder {
    /// Where it begins.
    pub begin: usize,
    /// Where it has ended.
    pub end: usize,
    /// The attachment it stands for.
    pub number: usize,
}

/// A placeholder whose number is that of no attachment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IllegalAttachment;

/// The placeholders in checked text (values with commas between them), in order. Like the reference, an object is
/// one if its `_placeholder` is `true`, whatever else it holds.
pub(super) fn placeholders(text: &str, attachments: usize) -> Result<Vec<Placeholder>, IllegalAttachment> {
    // A key can be written with escapes, but those need a backslash.
    if !text.contains("_placeholder") && !text.contains('\\') {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let mut at = space(text.as_bytes(), 0);
    while at < text.len() {
        at = space(text.as_bytes(), walk(text, at, attachments, DEPTH, &mut found)?);
        at = space(text.as_bytes(), at + 1);
    }
    Ok(found)
}

/// Walks the value at `at` and returns where it has ended. `depth` levels are left.
fn walk(
    text: &str,
    at: usize,
    attachments: usize,
    depth: usize,
    found: &mut Vec<Placeholder>,
) -> Result<usize, IllegalAttachment> {
    let bytes = text.as_bytes();
    let is_object = match bytes.get(at) {
        Some(b'{') => true,
        Some(b'[') => false,
        // Whatever it is, the walk goes on behind it.
        _ => return Ok(value(bytes, at).max(at + 1)),
    };
    let Some(depth) = depth.checked_sub(1) else { return Err(IllegalAttachment) };
    let (begin, before) = (at, found.len());
    let (mut is_placeholder, mut number) = (false, None);
    let mut at = space(bytes, at + 1);
    while at < bytes.len() && !matches!(bytes[at], b']' | b'}') {
        let mut key = "";
        if is_object {
            let end = string(bytes, at);
            key = text.get(at..end).unwrap_or_default();
            // Behind the colon.
            at = space(bytes, space(bytes, end) + 1);
        }
        let end = walk(text, at, attachments, depth, found)?;
        if is_object {
            let value = text.get(at..end).unwrap_or_default();
            if is_key(key, "_placeholder") {
                is_placeholder = value == "true";
            } else if is_key(key, "num") {
                number = value.parse::<f64>().ok();
            }
        }
        at = space(bytes, end);
        if bytes.get(at) == Some(&b',') {
            at = space(bytes, at + 1);
        }
    }
    let end = at + 1;
    if is_placeholder {
        found.truncate(before);
        let number = (0..attachments).find(|&index| number == Some(index as f64)).ok_or(IllegalAttachment)?;
        found.push(Placeholder { begin, end, number });
    }
    Ok(end)
}

/// Whether a key, quotes included, is this name.
fn is_key(key: &str, name: &str) -> bool {
    match key.as_bytes().contains(&b'\\') {
        false => key.get(1..key.len().saturating_sub(1)) == Some(name),
        true => serde_json::from_str::<String>(key).is_ok_and(|key| key == name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json() {
        let check = |text: &str, expected| assert_eq!(is_valid(text), expected, "{text:.40}");
        for good in ["[]", "{}", r#"["a\"]",1.5e3,null,true,{"a":[[]]}]"#, "[ 1 , 2 ] ", r#""\ud800""#] {
            check(good, true);
        }
        for bad in ["", " []", "[", "[1,]", "{a:1}", "[]x", "[01]", "nul", "['a']", "[]]", "\"\u{1}\""] {
            check(bad, false);
        }
        check(&format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH)), true);
        check(&format!("{}{}", "[".repeat(DEPTH + 1), "]".repeat(DEPTH + 1)), false);
        check(&"[".repeat(1_000_000), false);
        check(&r#"{"a":"#.repeat(200_000), false);
    }

    #[test]
    fn elements_of_an_array() {
        let check = |array: &str, expected: &[&str]| {
            assert_eq!(elements(inside(array)).collect::<Vec<_>>(), expected, "{array}");
        };
        check("[]", &[]);
        check("[ ]", &[]);
        check("[1]", &["1"]);
        check(r#"[ "a,]" , {"b":[1,2]},[[]] ,-1.5e3 ] "#, &[r#""a,]""#, r#"{"b":[1,2]}"#, "[[]]", "-1.5e3"]);
        assert_eq!(split_first(r#""a" , 1, 2 "#), Some((r#""a""#, "1, 2")));
        assert_eq!(split_first(r#""a""#), Some((r#""a""#, "")));
        assert_eq!(split_first(" "), None);
    }

    #[test]
    fn placeholders_are_found_wherever_they_are() {
        let check = |text: &str, expected: Option<&[(&str, usize)]>| {
            let found = placeholders(text, 2)
                .ok()
                .map(|found| found.iter().map(|it| (&text[it.begin..it.end], it.number)).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        let zero = r#"{"_placeholder":true,"num":0}"#;
        let one = r#"{ "num" : 1 , "_placeholder" : true }"#;
        check(zero, Some(&[(zero, 0)]));
        check(&format!(r#"1,{zero} , {{"a":[{one}]}},"x""#), Some(&[(zero, 0), (one, 1)]));
        check(r#""_placeholder",{"_placeholder":false,"num":9},{"_placeholder":1}"#, Some(&[]));
        let escaped = r#"{"\u005fplaceholder":true,"num":0}"#;
        check(escaped, Some(&[(escaped, 0)]));
        let nested = format!(r#"{{"a":{one},"_placeholder":true,"num":0}}"#);
        check(&nested, Some(&[(&nested, 0)]));
        for bad in ["2", "-1", "0.5", "\"0\"", "null", "1e9"] {
            check(&format!(r#"{{"_placeholder":true,"num":{bad}}}"#), None);
        }
        check(r#"{"_placeholder":true}"#, None);
    }
}
