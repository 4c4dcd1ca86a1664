//! One message under way: its fragments joined in one buffer, its text checked as it arrives.
//!
//! Memory follows what has arrived, never what a header announces, and fragments are joined at once, so that a
//! chain of tiny ones costs no more than one frame of the same length (CVE-2026-48779, CVE-2026-62389). Text is
//! kept in a `String`: each byte is checked once, and the message is handed out without another look at it.

use super::frame::Kind;
use super::{Event, Limits, Violation};

const NOT_UTF8: Violation = Violation::encoding("text is not UTF-8");

/// A data message of which some bytes have arrived.
#[derive(Debug)]
pub(super) struct Message {
    frames: u32,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Text { whole: String, open: Open },
    Binary(Vec<u8>),
}

/// The bytes of a character that the last chunk did not finish: at most three, and always a valid beginning.
#[derive(Clone, Copy, Default, Debug)]
struct Open {
    bytes: [u8; 4],
    len: u8,
}

impl Message {
    /// The message whose first frame is of this kind.
    pub(super) fn begin(kind: Kind) -> Self {
        let body = match kind {
            Kind::Binary => Body::Binary(Vec::new()),
            _ => Body::Text { whole: String::new(), open: Open::default() },
        };
        Self { frames: 1, body }
    }

    /// Bytes of the message that have arrived.
    pub(super) fn len(&self) -> usize {
        match &self.body {
            Body::Text { whole, open } => whole.len() + usize::from(open.len),
            Body::Binary(bytes) => bytes.len(),
        }
    }

    /// Heap bytes that the message holds.
    pub(super) fn capacity(&self) -> usize {
        match &self.body {
            Body::Text { whole, .. } => whole.capacity(),
            Body::Binary(bytes) => bytes.capacity(),
        }
    }

    /// Counts one more frame of the message.
    pub(super) fn next_frame(&mut self, limits: &Limits) -> Result<(), Violation> {
        if self.frames >= limits.fragments {
            return Err(Violation::policy("message in too many fragments"));
        }
        self.frames += 1;
        Ok(())
    }

    /// Joins the next unmasked bytes. Text fails at the first byte that cannot be UTF-8 (RFC 6455, 8.1).
    pub(super) fn append(&mut self, chunk: &[u8], limits: &Limits) -> Result<(), Violation> {
        match &mut self.body {
            Body::Text { whole, open } => append_text(whole, open, chunk, limits.message_bytes),
            Body::Binary(bytes) => {
                bytes.reserve_exact(growth(bytes.capacity(), bytes.len(), chunk.len(), limits.message_bytes));
                bytes.extend_from_slice(chunk);
                Ok(())
            }
        }
    }

    /// The whole message, after its last byte.
    pub(super) fn event(&self) -> Result<Event<'_>, Violation> {
        match &self.body {
            Body::Text { open, .. } if open.len > 0 => Err(NOT_UTF8),
            Body::Text { whole, .. } => Ok(Event::Text(whole)),
            Body::Binary(bytes) => Ok(Event::Binary(bytes)),
        }
    }
}

/// A text message that came in one piece.
pub(super) fn whole_text(bytes: &[u8]) -> Result<Event<'_>, Violation> {
    std::str::from_utf8(bytes).map(Event::Text).map_err(|_| NOT_UTF8)
}

fn append_text(whole: &mut String, open: &mut Open, chunk: &[u8], most: usize) -> Result<(), Violation> {
    let mut chunk = chunk;
    while open.len > 0 {
        let Some((&byte, rest)) = chunk.split_first() else { return Ok(()) };
        chunk = rest;
        if let Some(character) = open.push(byte)? {
            whole.reserve_exact(growth(whole.capacity(), whole.len(), character.len(), most));
            whole.push_str(character);
            *open = Open::default();
        }
    }
    let (finished, unfinished) = chunk.split_at(chunk.len() - unfinished_suffix(chunk));
    let text = std::str::from_utf8(finished).map_err(|_| NOT_UTF8)?;
    whole.reserve_exact(growth(whole.capacity(), whole.len(), text.len(), most));
    whole.push_str(text);
    for &byte in unfinished {
        open.push(byte)?;
    }
    Ok(())
}

impl Open {
    /// Adds a byte: the character it finishes, `None` when more must come, or a violation when none can.
    fn push(&mut self, byte: u8) -> Result<Option<&str>, Violation> {
        // A beginning of four bytes is a whole character or none, so `len` is at most 3 here.
        let at = usize::from(self.len);
        let Some(free) = self.bytes.get_mut(at) else { return Err(NOT_UTF8) };
        *free = byte;
        self.len += 1;
        match std::str::from_utf8(&self.bytes[..=at]) {
            Ok(character) => Ok(Some(character)),
            Err(error) if error.error_len().is_none() => Ok(None),
            Err(_) => Err(NOT_UTF8),
        }
    }
}

/// How many of the last bytes (0 to 3) begin a character that needs more bytes than there are.
fn unfinished_suffix(bytes: &[u8]) -> usize {
    for (back, &byte) in bytes.iter().rev().take(3).enumerate() {
        let needs = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if needs > back + 1 { back + 1 } else { 0 };
    }
    0
}

/// How much to add to a buffer's length so that `more` bytes fit: nothing if they do, else twice the capacity, but
/// not beyond `most` (the longest message), so that a limit on messages is a limit on memory.
fn growth(capacity: usize, length: usize, more: usize, most: usize) -> usize {
    let needed = length + more;
    if needed <= capacity {
        return 0;
    }
    needed.max(capacity.saturating_mul(2).min(most)) - length
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way to cut `bytes` in two must agree with `std` on whether they are UTF-8, and fail as early.
    #[test]
    fn utf8_in_two_chunks_is_utf8() {
        let limits = Limits::default();
        let samples: [&[u8]; 14] = [
            b"plain",
            "κόσμε€𤭢!".as_bytes(),
            b"\xed\xa0\x80",
            b"\xed\x9f\xbf",
            b"\xf4\x90\x80\x80",
            b"\xf4\x8f\xbf\xbf",
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xf0\x80\x80\xaf",
            b"\xf8\x88\x80\x80\x80",
            b"\xfe",
            b"\x80",
            b"a\xe2\x82",
            b"\xf0\x9f\x98",
        ];
        for bytes in samples {
            let valid = std::str::from_utf8(bytes);
            for cut in 0..=bytes.len() {
                let mut message = Message::begin(Kind::Text);
                let got = message
                    .append(&bytes[..cut], &limits)
                    .and_then(|()| message.append(&bytes[cut..], &limits))
                    .and_then(|()| message.event());
                assert_eq!(got.ok(), valid.ok().map(Event::Text), "{bytes:02x?} cut at {cut}");
            }
            // The prefix before the first impossible byte is taken, with that byte it is refused.
            if let Err(error) = valid
                && let Some(length) = error.error_len()
            {
                let bad = error.valid_up_to() + length;
                let mut message = Message::begin(Kind::Text);
                let refused = bytes.iter().position(|byte| message.append(&[*byte], &limits).is_err());
                assert!(refused.is_some_and(|at| at <= bad), "{bytes:02x?}");
            }
        }
    }

    #[test]
    fn memory_follows_what_arrived_and_stops_at_the_limit() {
        let limits = Limits { message_bytes: 5000, ..Limits::default() };
        for kind in [Kind::Text, Kind::Binary] {
            let mut message = Message::begin(kind);
            for arrived in 1..=5000 {
                message.append(b"x", &limits).unwrap();
                assert_eq!(message.len(), arrived);
                assert!(message.capacity() <= (2 * arrived).clamp(16, 5000));
            }
        }
    }
}
