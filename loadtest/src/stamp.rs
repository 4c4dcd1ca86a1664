//! What a message of the harness carries: its number, and when it was due. A JSON string, so that edges that speak
//! JSON pass it on as it is: `"m:<16 hex digits>:<16 hex digits>:xxxx"`.

const LEAD: &[u8] = b"\"m:";
/// Shortest payload, bytes.
pub const LEAST: usize = LEAD.len() + 16 + 1 + 16 + 1 + 1;

/// A message's number and due time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Counts the messages of a run.
    pub number: u64,
    /// Nanoseconds since the run began.
    pub due: u64,
}

impl Stamp {
    /// The payload with this stamp, filled up to `bytes`.
    #[must_use]
    pub fn payload(self, bytes: usize) -> Vec<u8> {
        let mut out = format!("\"m:{:016x}:{:016x}:", self.number, self.due).into_bytes();
        out.resize(bytes.max(LEAST) - 1, b'x');
        out.push(b'"');
        out
    }

    /// The stamp at the beginning of a payload.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let digits = payload.strip_prefix(LEAD)?.get(..33)?;
        let hex = |part: &[u8]| u64::from_str_radix(std::str::from_utf8(part).ok()?, 16).ok();
        (digits[16] == b':').then_some(())?;
        Some(Self { number: hex(&digits[..16])?, due: hex(&digits[17..])? })
    }

    /// The first stamp somewhere in a text, for edges that wrap payloads.
    #[must_use]
    pub fn find(text: &[u8]) -> Option<Self> {
        let at = text.windows(LEAD.len()).position(|window| window == LEAD)?;
        Self::read(&text[at..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_from_its_payload() {
        let stamp = Stamp { number: 7, due: u64::MAX - 1 };
        for bytes in [0, LEAST, 64, 1_000] {
            let payload = stamp.payload(bytes);
            assert_eq!(payload.len(), bytes.max(LEAST));
            assert_eq!(Stamp::read(&payload), Some(stamp));
            assert!(serde_json::from_slice::<String>(&payload).is_ok(), "it is JSON");
            let wrapped = [b"{\"payload\":", &payload[..], b"}"].concat();
            assert_eq!(Stamp::find(&wrapped), Some(stamp));
        }
        assert_eq!(Stamp::read(b"\"m:123"), None);
        assert_eq!(Stamp::read(b"\"m:000000000000000z:0000000000000000:\""), None);
        assert_eq!(Stamp::find(b"nothing"), None);
    }
}
