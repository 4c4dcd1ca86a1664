//! What a file is: what its client says, what its first bytes say, and what is allowed.
//!
//! The rules, in this order:
//!
//! 1. What could run, or be shown as a page of this server's, is refused whatever it is called: programs, scripts, HTML,
//!    SVG.
//! 2. An image, a video, audio or a PDF must be what it is called, as far as the kind goes; what is kept is what it
//!    is: a PNG that is called a JPEG is kept as a PNG.
//! 3. A document of an office program is a ZIP archive, an OLE2 file, or of a form this table does not know.
//! 4. Where the client does not know (`application/octet-stream`, or nothing), the bytes decide.
//!
//! The table is our own: twenty signatures are shorter than a dependency, and the rules need to know what a file is
//! *not*, which is less than a full answer.

use std::borrow::Cow;

/// How much of a file's beginning is looked at.
pub const HEAD: usize = 4 * 1024;

/// The type of what nobody knows.
const OCTET_STREAM: &str = "application/octet-stream";

/// What no operator means by `application/vnd.*`.
const NEVER: [&str; 3] = [
    "application/vnd.microsoft.portable-executable",
    "application/vnd.android.package-archive",
    "application/vnd.mozilla.xul+xml",
];

/// What the first bytes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sniffed {
    /// One type, and no other.
    Type(&'static str),
    /// An archive in which office programs keep their documents; the type where the archive says it.
    Zip(Option<&'static str>),
    /// The older kind of office documents.
    Ole,
    /// Something that could run or be shown as a page.
    Harmful,
    Unknown,
}

/// Whether a client may call a file this, before any of it has come.
#[must_use]
pub fn may_be_called(declared: Option<&str>, allowed: &[String]) -> bool {
    match declared.map(plain) {
        None => true,
        Some(declared) => declared == OCTET_STREAM || declared.is_empty() || is_allowed(&declared, allowed),
    }
}

/// The type of a file that begins with `head`, is named `file_name` and was called `declared`; `None`: refused.
#[must_use]
pub fn verified(declared: Option<&str>, head: &[u8], file_name: &str, allowed: &[String]) -> Option<String> {
    let sniffed = sniff(head);
    if sniffed == Sniffed::Harmful {
        return None;
    }
    let declared = declared.map(plain).filter(|declared| !declared.is_empty() && declared != OCTET_STREAM);
    let kind: Cow<'_, str> = match declared {
        None => match sniffed {
            Sniffed::Type(kind) => kind.into(),
            Sniffed::Zip(Some(kind)) => kind.into(),
            Sniffed::Zip(None) | Sniffed::Ole => by_extension(file_name, sniffed)?.into(),
            Sniffed::Harmful | Sniffed::Unknown => return None,
        },
        Some(declared) if !is_allowed(&declared, allowed) => return None,
        Some(declared) if is_document(&declared) => match sniffed {
            Sniffed::Zip(_) | Sniffed::Ole | Sniffed::Unknown => declared,
            Sniffed::Type(_) | Sniffed::Harmful => return None,
        },
        Some(declared) => match sniffed {
            // One container, two names.
            Sniffed::Type("video/mp4" | "video/quicktime")
                if declared == "video/mp4" || declared == "video/quicktime" =>
            {
                declared
            }
            Sniffed::Type(kind) if top(kind) == top(&declared) => kind.into(),
            // The operator allows a type that this table does not know.
            Sniffed::Unknown if !IS_KNOWN.contains(&declared.as_ref()) => declared,
            _ => return None,
        },
    };
    is_allowed(&kind, allowed).then(|| kind.into_owned())
}

/// Whether a browser may show a file of this type; everything else is for keeping.
#[must_use]
pub fn is_shown(kind: &str) -> bool {
    matches!(top(kind), "image" | "video" | "audio") && kind != "image/svg+xml"
}

/// A media type without its parameters, in small letters, by the name that the list has.
fn plain(declared: &str) -> Cow<'_, str> {
    let bare = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match bare.as_str() {
        "image/jpg" | "image/pjpeg" => "image/jpeg".into(),
        "image/x-png" => "image/png".into(),
        "audio/x-wav" | "audio/wave" | "audio/vnd.wave" | "audio/x-pn-wav" => "audio/wav".into(),
        "audio/mp3" | "audio/x-mp3" | "audio/x-mpeg" => "audio/mpeg".into(),
        "application/ogg" | "video/ogg" => "audio/ogg".into(),
        "application/x-pdf" => "application/pdf".into(),
        _ => bare.into(),
    }
}

fn top(kind: &str) -> &str {
    kind.split('/').next().unwrap_or_default()
}

fn is_document(kind: &str) -> bool {
    kind == "application/msword" || kind.starts_with("application/vnd.")
}

/// Whether a type is on the list; `application/vnd.*` there stands for all that begin so.
fn is_allowed(kind: &str, allowed: &[String]) -> bool {
    let well_formed =
        kind.len() <= 127 && kind.bytes().all(|c| c.is_ascii_alphanumeric() || b"/.+-_!#$&^".contains(&c));
    let listed = allowed.iter().any(|one| match one.strip_suffix('*') {
        Some(start) => kind.len() > start.len() && kind.starts_with(start),
        None => kind == one,
    });
    well_formed && listed && !NEVER.contains(&kind)
}

/// Types that a file can be recognised as, so that one which is not is none.
const IS_KNOWN: [&str; 14] = [
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
    "image/bmp",
    "image/tiff",
    "image/heic",
    "video/mp4",
    "video/quicktime",
    "video/mpeg",
    "audio/mpeg",
    "audio/wav",
    "audio/ogg",
    "application/pdf",
];

/// The type of an office document whose container does not say which it is.
fn by_extension(file_name: &str, sniffed: Sniffed) -> Option<&'static str> {
    let extension = file_name.rsplit_once('.')?.1.to_ascii_lowercase();
    Some(match (sniffed, extension.as_str()) {
        (Sniffed::Ole, "doc") => "application/msword",
        (Sniffed::Ole, "xls") => "application/vnd.ms-excel",
        (Sniffed::Ole, "ppt") => "application/vnd.ms-powerpoint",
        (Sniffed::Zip(_), "docx") => WORD,
        (Sniffed::Zip(_), "xlsx") => EXCEL,
        (Sniffed::Zip(_), "pptx") => POWERPOINT,
        _ => return None,
    })
}

const WORD: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const EXCEL: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const POWERPOINT: &str = "application/vnd.openxmlformats-officedocument.presentationml.presentation";

/// What a file's beginning says.
fn sniff(head: &[u8]) -> Sniffed {
    if is_program(head) || is_page(head) {
        return Sniffed::Harmful;
    }
    let at = |offset: usize, bytes: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(bytes));
    if at(0, b"PK\x03\x04") || at(0, b"PK\x05\x06") {
        return zip(head);
    }
    if at(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return Sniffed::Ole;
    }
    let kind = if at(0, b"\xff\xd8\xff") {
        "image/jpeg"
    } else if at(0, b"\x89PNG\r\n\x1a\n") {
        "image/png"
    } else if at(0, b"GIF87a") || at(0, b"GIF89a") {
        "image/gif"
    } else if at(0, b"RIFF") && at(8, b"WEBP") {
        "image/webp"
    } else if at(0, b"RIFF") && at(8, b"WAVE") {
        "audio/wav"
    } else if at(0, b"RIFF") && at(8, b"AVI ") {
        "video/x-msvideo"
    } else if at(0, b"OggS") {
        "audio/ogg"
    } else if at(0, b"ID3") || is_mpeg_audio(head) {
        "audio/mpeg"
    } else if at(0, b"fLaC") {
        "audio/flac"
    } else if at(0, b"%PDF-") {
        "application/pdf"
    } else if at(0, b"\0\0\x01\xba") || at(0, b"\0\0\x01\xb3") || (at(0, b"\x47") && at(188, b"\x47")) {
        "video/mpeg"
    } else if at(0, b"\x1a\x45\xdf\xa3") {
        "video/webm"
    } else if at(4, b"ftyp") {
        return Sniffed::Type(brand(head.get(8..12).unwrap_or_default()));
    } else if at(4, b"moov") || at(4, b"mdat") || at(4, b"wide") {
        "video/quicktime"
    } else if at(0, b"II*\0") || at(0, b"MM\0*") {
        "image/tiff"
    } else {
        return Sniffed::Unknown;
    };
    Sniffed::Type(kind)
}

/// The first brand of an ISO container.
fn brand(brand: &[u8]) -> &'static str {
    match brand {
        b"qt  " => "video/quicktime",
        b"M4A " | b"M4B " | b"M4P " => "audio/mp4",
        b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1" => "image/heic",
        b"avif" | b"avis" => "image/avif",
        _ => "video/mp4",
    }
}

/// A frame of MPEG audio: its sync, and none of the values that do not exist.
fn is_mpeg_audio(head: &[u8]) -> bool {
    let &[first, second, third, ..] = head else { return false };
    let version_and_layer = second & 0x18 != 0x08 && second & 0x06 != 0;
    let rates = third & 0xf0 != 0xf0 && third & 0x0c != 0x0c;
    first == 0xff && second & 0xe0 == 0xe0 && version_and_layer && rates
}

fn zip(head: &[u8]) -> Sniffed {
    let names = |name: &[u8]| head.windows(name.len()).any(|window| window == name);
    if names(b"AndroidManifest.xml") || names(b"classes.dex") || names(b"META-INF/MANIFEST.MF") {
        return Sniffed::Harmful;
    }
    // Open documents say what they are in their first entry, as it is.
    let open = [
        ("application/vnd.oasis.opendocument.text", &b"mimetypeapplication/vnd.oasis.opendocument.text"[..]),
        (
            "application/vnd.oasis.opendocument.spreadsheet",
            b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
        ),
        (
            "application/vnd.oasis.opendocument.presentation",
            b"mimetypeapplication/vnd.oasis.opendocument.presentation",
        ),
    ];
    let office = [(WORD, &b"word/"[..]), (EXCEL, b"xl/"), (POWERPOINT, b"ppt/")];
    let is_office = names(b"[Content_Types].xml") || names(b"_rels/.rels");
    let found = open.iter().chain(office.iter().filter(|_| is_office)).find(|(_, name)| names(name));
    Sniffed::Zip(found.map(|(kind, _)| *kind))
}

fn is_program(head: &[u8]) -> bool {
    const STARTS: [&[u8]; 11] = [
        b"MZ",
        b"\x7fELF",
        b"\xfe\xed\xfa\xce",
        b"\xfe\xed\xfa\xcf",
        b"\xce\xfa\xed\xfe",
        b"\xcf\xfa\xed\xfe",
        b"\xca\xfe\xba\xbe",
        b"\0asm",
        b"dex\n",
        b"#!",
        b"\xef\xbb\xbf#!",
    ];
    STARTS.iter().any(|start| head.starts_with(start))
}

/// Whether a browser might take it for a page. NULs and byte order marks do not count, so that a page in UTF-16 is one
/// too; nor does what stands before the first tag of a page: white space and comments.
fn is_page(head: &[u8]) -> bool {
    let text: Vec<u8> = head
        .iter()
        .filter(|c| !matches!(c, 0 | 0xef | 0xbb | 0xbf | 0xfe | 0xff))
        .map(u8::to_ascii_lowercase)
        .collect();
    let mut rest = text.trim_ascii_start();
    while let Some(comment) = rest.strip_prefix(b"<!--") {
        let Some(end) = comment.windows(3).position(|three| three == b"-->") else { return true };
        rest = comment[end + 3..].trim_ascii_start();
    }
    const TAGS: [&[u8]; 20] = [
        b"<!doctype",
        b"<html",
        b"<head",
        b"<body",
        b"<script",
        b"<svg",
        b"<iframe",
        b"<h1",
        b"<div",
        b"<font",
        b"<table",
        b"<a ",
        b"<a>",
        b"<style",
        b"<title",
        b"<b>",
        b"<br",
        b"<p>",
        b"<img",
        b"<meta",
    ];
    if TAGS.iter().any(|tag| rest.starts_with(tag)) {
        return true;
    }
    let names = |name: &[u8]| rest.windows(name.len()).any(|window| window == name);
    rest.starts_with(b"<?xml")
        && (names(b"<svg") || names(b"<html") || names(b"xhtml") || names(b"xml-stylesheet"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF";

    #[track_caller]
    fn check(declared: &str, head: &[u8], name: &str, expected: Option<&str>) {
        let allowed = Config::default().media.types;
        let declared = (!declared.is_empty()).then_some(declared);
        assert_eq!(verified(declared, head, name, &allowed).as_deref(), expected, "{declared:?} {name}");
    }

    #[test]
    fn a_file_is_what_it_is() {
        check("image/png", PNG, "a.png", Some("image/png"));
        check("image/jpg", JPEG, "a.jpg", Some("image/jpeg"));
        check("IMAGE/JPEG; q=1", PNG, "a.jpg", Some("image/png"));
        check("image/gif", b"GIF89a....", "a.gif", Some("image/gif"));
        check("image/webp", b"RIFF\0\0\0\0WEBPVP8 ", "a.webp", Some("image/webp"));
        check("audio/x-wav", b"RIFF\0\0\0\0WAVEfmt ", "a.wav", Some("audio/wav"));
        check("audio/ogg", b"OggS\0", "a.ogg", Some("audio/ogg"));
        check("audio/mpeg", b"ID3\x04", "a.mp3", Some("audio/mpeg"));
        check("audio/mp3", b"\xff\xfb\x90\x64", "a.mp3", Some("audio/mpeg"));
        check("video/mp4", b"\0\0\0\x20ftypisom", "a.mp4", Some("video/mp4"));
        check("video/quicktime", b"\0\0\0\x20ftypqt  ", "a.mov", Some("video/quicktime"));
        check("video/quicktime", b"\0\0\0\x20ftypmp42", "a.mov", Some("video/quicktime"));
        check("video/mpeg", b"\0\0\x01\xba\x44", "a.mpg", Some("video/mpeg"));
        check("application/pdf", b"%PDF-1.7", "a.pdf", Some("application/pdf"));
    }

    #[test]
    fn a_file_that_is_something_else_is_refused() {
        for (declared, head) in [
            ("image/jpeg", &b"<html><script>alert(1)</script>"[..]),
            ("image/jpeg", b"hello"),
            ("image/png", b"%PDF-1.7"),
            ("video/mp4", PNG),
            ("audio/mpeg", JPEG),
            ("application/pdf", b"MZ\x90\0"),
            ("application/pdf", PNG),
            ("image/jpeg", b"\0\0\0\x20ftypheic"),
            ("application/msword", b"%PDF-1.7"),
            ("application/vnd.ms-excel", b"MZ\x90\0"),
            ("application/vnd.ms-excel", b"\x7fELF\x02"),
            ("application/vnd.ms-excel", b"#!/bin/sh\n"),
            ("application/vnd.x", b"PK\x03\x04\0\0\0\0AndroidManifest.xml"),
        ] {
            check(declared, head, "a", None);
        }
    }

    #[test]
    fn pages_are_refused_whatever_they_are_called() {
        for head in [
            &b"<!DOCTYPE html>"[..],
            b"\xef\xbb\xbf \r\n<HTML>",
            b"<!-- hi --> <script>",
            b"<!-- never ends",
            b"<svg xmlns='x'>",
            b"<?xml version='1.0'?><svg onload='x'>",
            b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>",
            b"\xff\xfe<\0h\0t\0m\0l\0>\0",
        ] {
            for declared in ["application/vnd.ms-excel", "image/svg+xml", "image/png", "text/html", ""] {
                check(declared, head, "a.xls", None);
            }
        }
        check(
            "application/vnd.google-earth.kml+xml",
            b"<?xml version='1.0'?><kml>",
            "a.kml",
            Some("application/vnd.google-earth.kml+xml"),
        );
    }

    #[test]
    fn documents() {
        let ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
        check("application/msword", ole, "a.doc", Some("application/msword"));
        check("application/vnd.ms-excel", ole, "a.xls", Some("application/vnd.ms-excel"));
        check("application/msword", b"{\\rtf1", "a.doc", Some("application/msword"));
        check(WORD, b"PK\x03\x04", "a.docx", Some(WORD));
        for name in NEVER {
            check(name, b"PK\x03\x04", "a", None);
        }
        check("application/vnd.", b"x", "a", None);
        check("application/vnd.a\"b", b"x", "a", None);
        check("application/zip", b"PK\x03\x04", "a.zip", None);
    }

    #[test]
    fn the_bytes_decide_where_the_client_does_not_know() {
        for declared in ["", "application/octet-stream"] {
            check(declared, PNG, "a", Some("image/png"));
            check(declared, b"PK\x03\x04....[Content_Types].xml....word/document.xml", "a", Some(WORD));
            check(
                declared,
                b"PK\x03\x04....mimetypeapplication/vnd.oasis.opendocument.text",
                "a",
                Some("application/vnd.oasis.opendocument.text"),
            );
            check(declared, b"PK\x03\x04", "a.xlsx", Some(EXCEL));
            check(declared, b"PK\x03\x04", "a.zip", None);
            check(declared, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.doc", Some("application/msword"));
            check(declared, b"plain text", "a.txt", None);
            check(declared, b"\x1a\x45\xdf\xa3", "a.webm", None);
            check(declared, b"", "a", None);
        }
    }

    #[test]
    fn the_operator_may_allow_others() {
        let allowed = ["text/plain".to_owned(), "audio/*".to_owned()];
        let kind = |declared, head: &[u8]| verified(Some(declared), head, "a", &allowed);
        assert_eq!(kind("text/plain", b"hello").as_deref(), Some("text/plain"));
        assert_eq!(kind("text/plain", b"<html>"), None);
        assert_eq!(kind("text/plain", PNG), None);
        assert_eq!(kind("audio/flac", b"fLaC").as_deref(), Some("audio/flac"));
        assert_eq!(kind("image/png", PNG), None);
        assert!(
            !may_be_called(Some("text/html"), &allowed)
                && may_be_called(Some("application/octet-stream"), &allowed)
        );
        assert!(is_shown("image/png") && !is_shown("application/pdf"));
    }
}
