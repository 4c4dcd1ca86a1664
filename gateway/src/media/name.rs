//! Names of files: what is left of the name a client gives, and what the object is called.
//!
//! A file keeps its name for people ([`file_name`]), without path, control characters and marks that turn the writing
//! around. The object's name ([`ObjectName`]) is that name behind the time of the upload, without what a file system,
//! an address or a bucket takes amiss; so one name serves on disk, in a bucket and, percent-encoded, in an address.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use unicode_normalization::UnicodeNormalization;

/// Longest name of a file, in bytes.
pub const FILE_NAME: usize = 255;

/// Longest name of a file within an object's name: 255 is what a file system takes, and the time, a random part and
/// what a store adds while it writes must fit before and behind it.
const OBJECT_PART: usize = 200;

/// Longest object name that is looked for.
const OBJECT_NAME: usize = 245;

/// Longest extension that is kept when a name is cut.
const EXTENSION: usize = 16;

/// What signatures of S3 leave as it is, and nothing else.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What is left of the name that a client gave a file; `file` where that is nothing.
#[must_use]
pub fn file_name(given: &str) -> String {
    let base = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = base.nfc().filter(|c| !c.is_control() && !turns_or_hides(*c)).collect();
    // Leading dots hide a file, and `..` is a way out of a folder; behind a name, dots and spaces get lost.
    let trimmed = plain.trim_start_matches(|c: char| c == '.' || c.is_whitespace());
    let trimmed = trimmed.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    match trimmed {
        "" => "file".into(),
        name => shortened(name, FILE_NAME),
    }
}

/// Marks that change the direction of writing, so that `gpj.exe` reads `exe.jpg`, and those that cannot be seen.
fn turns_or_hides(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// At most `most` bytes, with the extension.
fn shortened(name: &str, most: usize) -> String {
    if name.len() <= most {
        return name.into();
    }
    let extension = match name.rfind('.') {
        Some(at) if name.len() - at <= EXTENSION => &name[at..],
        _ => "",
    };
    let mut end = most - extension.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{extension}", &name[..end])
}

/// The name of an object: `<milliseconds since 1970>-<name>`, or `<ms>-<random>-<name>`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ObjectName(String);

impl ObjectName {
    /// Of a file with a name that [`file_name`] has made.
    #[must_use]
    pub fn new(unix_ms: u64, random: Option<&str>, file_name: &str) -> Self {
        let plain: String = file_name.chars().map(|c| if is_awkward(c) { '_' } else { c }).collect();
        let plain = shortened(&plain, OBJECT_PART);
        Self(match random {
            Some(random) => format!("{unix_ms}-{random}-{plain}"),
            None => format!("{unix_ms}-{plain}"),
        })
    }

    /// From the last part of an address. `None` for what is no name that [`ObjectName::new`] makes: such an object
    /// cannot be there, and no name that leads elsewhere passes.
    #[must_use]
    pub fn of_address(encoded: &str) -> Option<Self> {
        let name = percent_decode_str(encoded).decode_utf8().ok()?;
        Self::parse(&name)
    }

    /// From the name itself.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (time, rest) = name.split_once('-')?;
        let timed = !time.is_empty() && time.len() <= 20 && time.bytes().all(|c| c.is_ascii_digit());
        let plain = !rest.is_empty() && !rest.chars().any(|c| c.is_control() || is_awkward(c) || c == '/');
        (timed && plain && name.len() <= OBJECT_NAME).then(|| Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it stands in an address.
    #[must_use]
    pub fn encoded(&self) -> String {
        utf8_percent_encode(&self.0, ENCODED).to_string()
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_awkward(c: char) -> bool {
    c.is_control() || "\\/:*?\"<>|#%^{}[]~`".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_paths_and_tricks() {
        let long = format!("{}.jpeg", "ä".repeat(200));
        for (given, left) in [
            ("photo.jpg", "photo.jpg"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\me\\photo.jpg", "photo.jpg"),
            ("..", "file"),
            ("...", "file"),
            ("", "file"),
            ("a/", "file"),
            (".bashrc", "bashrc"),
            (" photo.jpg . ", "photo.jpg"),
            ("a\0b\r\nc.png", "abc.png"),
            ("\u{202e}gpj.exe", "gpj.exe"),
            // e and an accent become one character.
            ("e\u{301}te\u{301}.png", "\u{e9}t\u{e9}.png"),
            ("ảnh đẹp.jpg", "ảnh đẹp.jpg"),
        ] {
            assert_eq!(file_name(given), left.nfc().collect::<String>(), "{given:?}");
        }
        let cut = file_name(&long);
        assert!(cut.len() <= FILE_NAME && cut.ends_with(".jpeg"), "{cut}");
        assert!(file_name(&"x".repeat(1_000)).len() == FILE_NAME);
        assert!(file_name(&format!("x.{}", "y".repeat(400))).len() == FILE_NAME);
    }

    #[test]
    fn object_names_are_plain_and_found_again() {
        let longest = file_name(&format!("{}.jpg", "한".repeat(300)));
        for name in ["photo.jpg", "a b#c?d%e*.png", "ảnh.jpg", "file", longest.as_str()] {
            for random in [None, Some("0123456789abcdefghijkl")] {
                let object = ObjectName::new(1_732_546_789_123, random, name);
                assert!(object.as_str().len() <= OBJECT_NAME, "{object}");
                assert_eq!(ObjectName::of_address(&object.encoded()), Some(object.clone()), "{object}");
                assert!(object.encoded().bytes().all(|c| c.is_ascii_graphic()), "{object}");
            }
        }
        assert_eq!(ObjectName::new(17, None, "a?b#.png").as_str(), "17-a_b_.png");
        assert_eq!(ObjectName::new(17, None, "photo.jpg").encoded(), "17-photo.jpg");
    }

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        for address in [
            "",
            "-",
            "17-",
            "..",
            "%2e%2e",
            "17-%2e%2e%2fpasswd",
            "17-a%2Fb",
            "17-a%5Cb",
            "17-a%00b",
            "photo.jpg",
            "x17-photo.jpg",
            "17-a%25b",
            "17-%ff",
            "../17-a",
            "17-a%0d%0ab",
        ] {
            assert_eq!(ObjectName::of_address(address), None, "{address}");
        }
        assert_eq!(ObjectName::of_address(&format!("17-{}", "x".repeat(300))), None);
    }
}
