//! Rust source as the laws see it: tokens without comments and without the insides of literals, what is test and what
//! is product, attributes, and the paths that are named.
//!
//! This is no parser. It knows just enough of the language that a word in a comment or a string is never taken for
//! code, and that `use a::{b, c::d}` names `a::b` and `a::c::d`.

use std::ops::Range;

/// One word or sign of the code, and the line it stands on (from 1).
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) text: Box<str>,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        &*self.text == text
    }

    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// One file.
#[derive(Debug)]
pub(crate) struct Code {
    /// All of it.
    pub(crate) tokens: Vec<Token>,
    /// Without the items under `#[cfg(test)]`.
    pub(crate) product: Vec<Token>,
    /// Lines of the inline items under `#[cfg(test)]`.
    pub(crate) test_lines: Vec<Range<usize>>,
    /// Names of the modules under `#[cfg(test)]` that are files of their own.
    pub(crate) test_modules: Vec<Box<str>>,
}

impl Code {
    pub(crate) fn of(source: &str) -> Self {
        let tokens = tokens(&without_literals(source));
        let (mut product, mut test_lines, mut test_modules) = (Vec::new(), Vec::new(), Vec::new());
        let mut from = 0;
        for attribute in attributes(&tokens) {
            if attribute.tokens.start < from || !attribute.is_test_only() {
                continue;
            }
            product.extend_from_slice(&tokens[from..attribute.tokens.start]);
            from = end_of_item(&tokens, attribute.tokens.end);
            let item = &tokens[attribute.tokens.end..from];
            match item.iter().position(|token| token.is("mod")) {
                Some(at) if item.get(at + 2).is_some_and(|token| token.is(";")) => {
                    test_modules.push(item[at + 1].text.clone());
                }
                _ => test_lines.extend(item.last().map(|last| attribute.line..last.line + 1)),
            }
        }
        product.extend_from_slice(&tokens[from..]);
        Self { tokens, product, test_lines, test_modules }
    }
}

/// What is between `#[` and `]`, or `#![` and `]`.
#[derive(Debug)]
pub(crate) struct Attribute<'a> {
    pub(crate) line: usize,
    pub(crate) words: &'a [Token],
    tokens: Range<usize>,
}

impl Attribute<'_> {
    pub(crate) fn has(&self, word: &str) -> bool {
        self.words.iter().any(|it| it.is(word))
    }

    fn is_test_only(&self) -> bool {
        self.words.first().is_some_and(|first| first.is("cfg")) && self.has("test") && !self.has("not")
    }
}

pub(crate) fn attributes(tokens: &[Token]) -> Vec<Attribute<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let open = if tokens[at].is("#") && tokens.get(at + 1).is_some_and(|next| next.is("!")) {
            at + 2
        } else {
            at + 1
        };
        if !tokens[at].is("#") || !tokens.get(open).is_some_and(|next| next.is("[")) {
            at += 1;
            continue;
        }
        let end = matching(tokens, open);
        found.push(Attribute { line: tokens[at].line, words: &tokens[open + 1..end], tokens: at..end + 1 });
        at = end + 1;
    }
    found
}

/// The index of the bracket that closes the one at `open`; the last token when none does.
fn matching(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match &*token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len() - 1
}

/// One behind the item that begins at `at`: behind its `;` or its body.
fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    let is_use = |token: &Token| token.is("use");
    let mut body_ends_it = true;
    while at < tokens.len() {
        let token = &tokens[at];
        match &*token.text {
            ";" => return at + 1,
            "{" if body_ends_it => return matching(tokens, at) + 1,
            "(" | "[" | "{" => at = matching(tokens, at) + 1,
            // A value or an import goes on behind its braces, to the semicolon.
            "=" => {
                body_ends_it = false;
                at += 1;
            }
            _ => {
                body_ends_it &= !is_use(token);
                at += 1;
            }
        }
    }
    tokens.len()
}

/// A path that the code names: `crate`, `limits`, `LIST_MAX`.
#[derive(Debug)]
pub(crate) struct Path<'a> {
    pub(crate) line: usize,
    pub(crate) parts: Vec<&'a str>,
    /// Named by a `use` or an `extern crate`.
    pub(crate) imported: bool,
    /// The name after `as`.
    alias: Option<&'a str>,
}

impl Path<'_> {
    pub(crate) fn text(&self) -> String {
        self.parts.join("::")
    }

    /// Whether its first part is a crate or a module, and not a name of something else.
    pub(crate) fn leads_somewhere(&self) -> bool {
        self.imported || self.parts.len() > 1
    }

    /// Whether it is `wall` or leads on behind it.
    pub(crate) fn is_within(&self, wall: &str) -> bool {
        let mut parts = self.parts.iter();
        wall.split("::").all(|part| parts.next() == Some(&part))
    }
}

/// Every path, the branches of `use` trees each as their own.
pub(crate) fn paths(tokens: &[Token]) -> Vec<Path<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let leads_on = at > 0
            && (tokens[at - 1].is(".")
                || tokens[at - 1].is("::") && at > 1 && (tokens[at - 2].is_word() || tokens[at - 2].is(">")));
        if tokens[at].is_word() && !leads_on {
            let before = |count: usize, word: &str| at >= count && tokens[at - count].is(word);
            let imported = before(1, "use") || before(1, "crate") && before(2, "extern");
            let old = found.len();
            at = branch(tokens, at, &[], &mut found);
            found[old..].iter_mut().for_each(|path| path.imported = imported);
        } else {
            at += 1;
        }
    }
    found
}

/// The same with every name that the file imported written out: after `use a::b;`, `b::c` is `a::b::c`.
pub(crate) fn full_paths(tokens: &[Token]) -> Vec<Path<'_>> {
    let mut paths = paths(tokens);
    let mut imports: Vec<(&str, Vec<&str>)> = Vec::new();
    for path in paths.iter_mut().filter(|path| path.imported) {
        if path.parts.len() > 1 && path.parts.last() == Some(&"self") {
            path.parts.pop();
        }
        if let Some(name) = path.alias.or(path.parts.last().copied()) {
            imports.push((name, path.parts.clone()));
        }
    }
    for path in paths.iter_mut().filter(|path| !path.imported && path.parts.len() > 1) {
        if let Some((_, full)) = imports.iter().find(|(name, _)| *name == path.parts[0]) {
            path.parts.splice(..1, full.iter().copied());
        }
    }
    paths
}

/// Reads a path on from `at`, behind the parts before it; returns where it ends.
fn branch<'a>(tokens: &'a [Token], mut at: usize, before: &[&'a str], found: &mut Vec<Path<'a>>) -> usize {
    let mut parts = before.to_vec();
    let line = tokens[at].line;
    loop {
        match tokens.get(at) {
            Some(token) if token.is_word() || token.is("*") => parts.push(&token.text),
            Some(token) if token.is("{") && !parts.is_empty() => {
                let end = matching(tokens, at);
                at += 1;
                while at < end {
                    if tokens[at].is_word() || tokens[at].is("*") {
                        at = branch(tokens, at, &parts, found);
                        at += if is_renamed(tokens, at) { 2 } else { 0 };
                    } else {
                        at += 1;
                    }
                }
                return end + 1;
            }
            _ => break,
        }
        at += 1;
        if !tokens.get(at).is_some_and(|token| token.is("::")) {
            break;
        }
        at += 1;
    }
    let alias = is_renamed(tokens, at).then(|| &*tokens[at + 1].text);
    found.push(Path { line, parts, imported: false, alias });
    at
}

/// Whether `as name` stands there.
fn is_renamed(tokens: &[Token], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| token.is("as")) && at + 1 < tokens.len()
}

/// Words, lifetimes, numbers, `::`, and every other sign for itself.
fn tokens(plain: &str) -> Vec<Token> {
    let mut found = Vec::new();
    for (index, line) in plain.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let in_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = if in_word(first) || first == '\'' {
                let tail = &rest[first.len_utf8()..];
                first.len_utf8() + tail.find(|c| !in_word(c)).unwrap_or(tail.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            found.push(Token { line: index + 1, text: rest[..length].into() });
            rest = rest[length..].trim_start();
        }
    }
    found
}

/// The source with every comment and the inside of every literal left out; the lines stay.
fn without_literals(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let after_word = out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' | 'b' | 'c' if !after_word => raw_string(rest).unwrap_or(0),
            '\'' => character(rest),
            _ => 0,
        };
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let literal = &rest[..length];
        if first != '/' {
            out.push_str("\"\"");
        }
        out.extend(literal.chars().filter(|c| *c == '\n'));
        rest = &rest[length..];
    }
    out
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of the string that begins with the quote at 0.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `r"…"`, `br#"…"#` and their kin, if this is one.
fn raw_string(text: &str) -> Option<usize> {
    let open = text.strip_prefix(['b', 'c']).unwrap_or(text).strip_prefix('r')?;
    let hashes = open.len() - open.trim_start_matches('#').len();
    let body = open[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let begin = text.len() - body.len();
    Some(body.find(&close).map_or(text.len(), |end| begin + end + close.len()))
}

/// The length of the character that begins with the quote at 0; 0 when it is a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((escaped, _))) => {
            let tail = escaped + text[escaped..].chars().next().map_or(0, char::len_utf8);
            text[tail..].find('\'').map_or(text.len(), |end| tail + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> String {
        Code::of(source).tokens.iter().map(|token| &*token.text).collect::<Vec<_>>().join(" ")
    }

    fn all_paths(source: &str) -> Vec<String> {
        paths(&Code::of(source).tokens).iter().map(Path::text).filter(|path| path.contains("::")).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(words("a // unsafe\nb /* x /* unsafe */ y */ c"), "a b c");
        assert_eq!(words(r#"f("unsafe \" unsafe", 'u', '\'', b'x')"#), r#"f ( " " , " " , " " , b " " )"#);
        assert_eq!(words("r#\"unsafe \" unsafe\"# br\"\\\" x"), "\" \" \" \" x");
        assert_eq!(words("fn f<'a>(x: &'a str) {}"), "fn f < 'a > ( x : & 'a str ) { }");
        assert_eq!(Code::of("a\n/*\n\n*/ \"\n\" b").tokens.last().map(|token| token.line), Some(5));
    }

    #[test]
    fn trees_are_taken_apart() {
        assert_eq!(
            all_paths("use a::{b, c::{d as e, f::*}, self};"),
            ["a::b", "a::c::d", "a::c::f::*", "a::self"]
        );
        assert_eq!(all_paths("let x = a::b::<c::D>::new(); ::g::h();"), ["a::b", "c::D", "g::h"]);
        assert_eq!(
            all_paths("x.engine::<y>(); engine::io::Close { a: b::C }"),
            ["engine::io::Close", "b::C"]
        );
        assert_eq!(all_paths("use base64::engine::general_purpose;"), ["base64::engine::general_purpose"]);
    }

    #[test]
    fn imported_names_are_written_out() {
        let code = Code::of("use a::{b, c::d as e}; fn f() { b::x(); e::y(); z::b(); b; }");
        let full: Vec<String> = full_paths(&code.tokens).iter().map(Path::text).collect();
        let full: Vec<&str> = full.iter().map(|path| &**path).filter(|path| path.contains("::")).collect();
        assert_eq!(full, ["a::b", "a::c::d", "a::b::x", "a::c::d::y", "z::b"]);
    }

    #[test]
    fn tests_are_told_from_the_product() {
        let code = Code::of(
            "a!();\n#[cfg(test)]\nuse x::{y, z};\n#[cfg(all(test, loom))]\n#[path = \"f.rs\"]\nmod far;\nb!();\n\
             #[cfg(test)]\nmod near {\n  fn f() {}\n}\n#[cfg(not(test))]\nc!();",
        );
        let product: Vec<&str> = code.product.iter().map(|token| &*token.text).collect();
        assert_eq!(product.concat(), "a!();b!();#[cfg(not(test))]c!();");
        assert_eq!(code.test_lines, [2..4, 8..12]);
        assert_eq!(code.test_modules, ["far".into()]);
    }
}
