//! One Socket.IO packet in its text form: `<type>[<attachments>-][<namespace>,][<ack id>][JSON]`.
//!
//! Sources: Socket.IO protocol v5 and v4, "Packet encoding"; the strictness of the reference's parser, and more where
//! it takes what no client sends: the count of attachments and the ack id are digits here and nothing else (there,
//! white space or an exponent passes for a number).

use std::borrow::Cow;

use super::json;
use crate::engineio::Version;

/// The type of a packet; the number is what travels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// To join a namespace, and that it was joined.
    Connect = 0,
    /// To leave a namespace.
    Disconnect = 1,
    /// An event.
    Event = 2,
    /// The answer to an event.
    Ack = 3,
    /// A namespace could not be joined; the server's only. ERROR in version 4.
    ConnectError = 4,
    /// An event with attachments.
    BinaryEvent = 5,
    /// An answer with attachments.
    BinaryAck = 6,
}

/// Names that mean something else to one side or the other, which no event may have (the reference's list).
pub const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// A packet of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// Its type.
    pub kind: Kind,
    /// How many attachments follow: at least one for the binary types, none for the others.
    pub attachments: u8,
    /// Its namespace, `/` if it names none, without the query of version 4.
    pub namespace: &'a str,
    /// Version 4: the query behind the namespace.
    pub query: Option<&'a str>,
    /// The id of the ack it asks for or is.
    pub id: Option<u64>,
    /// Its payload, checked JSON of the form its type wants.
    pub data: Option<&'a str>,
}

/// The text is no packet: the connection is to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invalid(pub &'static str);

/// Ids beyond this are no longer exact in JavaScript.
const LARGEST_ID: u64 = (1 << 53) - 1;

impl<'a> Packet<'a> {
    /// Reads a packet; `attachments` is the most it may announce.
    pub fn decode(version: Version, text: &'a str, attachments: u8) -> Result<Self, Invalid> {
        let (&digit, _) = text.as_bytes().split_first().ok_or(Invalid("empty packet"))?;
        let kind = match digit {
            b'0' => Kind::Connect,
            b'1' => Kind::Disconnect,
            b'2' => Kind::Event,
            b'3' => Kind::Ack,
            b'4' => Kind::ConnectError,
            b'5' => Kind::BinaryEvent,
            b'6' => Kind::BinaryAck,
            _ => return Err(Invalid("unknown packet type")),
        };
        let mut rest = &text[1..];
        let mut count = 0;
        if matches!(kind, Kind::BinaryEvent | Kind::BinaryAck) {
            let (digits, after) = rest.split_once('-').ok_or(Invalid("illegal attachments"))?;
            // No count, or none at all, would wait for bytes that never end (CVE-2026-69185).
            count =
                number(digits, 255).filter(|count| *count > 0).ok_or(Invalid("illegal attachments"))? as u8;
            if count > attachments {
                return Err(Invalid("too many attachments"));
            }
            rest = after;
        }
        let (mut namespace, mut query) = ("/", None);
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
            if version == Version::V3 {
                (namespace, query) = match namespace.split_once('?') {
                    Some((bare, query)) => (bare, Some(query)),
                    None => (namespace, None),
                };
            }
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, data) = rest.split_at(digits);
        let id = match digits {
            "" => None,
            digits => Some(number(digits, LARGEST_ID).ok_or(Invalid("illegal ack id"))?),
        };
        let data = (!data.is_empty()).then_some(data);
        let packet = Self { kind, attachments: count, namespace, query, id, data };
        packet.check(version)?;
        Ok(packet)
    }

    /// Whether the payload is of the form that the type wants.
    fn check(&self, version: Version) -> Result<(), Invalid> {
        let Some(data) = self.data else {
            // An event without a name, an ack without its array.
            return match self.kind {
                Kind::Event | Kind::Ack | Kind::BinaryEvent | Kind::BinaryAck => Err(Invalid("no payload")),
                _ => Ok(()),
            };
        };
        if !json::is_valid(data) {
            return Err(Invalid("payload is not JSON"));
        }
        let first = data.as_bytes().first().copied();
        let fits = match self.kind {
            // Version 4 looks at what JavaScript calls an object, and then does not use it.
            Kind::Connect => {
                first == Some(b'{') || version == Version::V3 && matches!(first, Some(b'[' | b'n'))
            }
            Kind::Disconnect => false,
            Kind::ConnectError => matches!(first, Some(b'{' | b'"')),
            Kind::Event | Kind::BinaryEvent => return self.event().map(|_| ()),
            Kind::Ack | Kind::BinaryAck => first == Some(b'['),
        };
        if fits { Ok(()) } else { Err(Invalid("invalid payload")) }
    }

    /// The name of an event, and its arguments as JSON values with commas between them.
    pub fn event(&self) -> Result<(Cow<'a, str>, &'a str), Invalid> {
        let array = self.data.filter(|data| data.starts_with('[')).ok_or(Invalid("invalid payload"))?;
        let (first, rest) = json::split_first(json::inside(array)).ok_or(Invalid("event without a name"))?;
        let name = match first.as_bytes() {
            [b'"', .., b'"'] if !first.contains('\\') => Cow::Borrowed(&first[1..first.len() - 1]),
            [b'"', ..] => {
                let name = serde_json::from_str(first).map_err(|_| Invalid("name is not Unicode"))?;
                Cow::Owned(name)
            }
            [b'-' | b'0'..=b'9', ..] => Cow::Borrowed(first),
            _ => return Err(Invalid("event without a name")),
        };
        if RESERVED.contains(&&*name) {
            return Err(Invalid("reserved event name"));
        }
        Ok((name, rest))
    }

    /// The arguments of an ack as JSON values with commas between them.
    #[must_use]
    pub fn ack(&self) -> &'a str {
        self.data.map_or("", |array| json::inside(array).trim_ascii())
    }
}

/// A decimal number of digits only, no larger than `most`.
fn number(digits: &str, most: u64) -> Option<u64> {
    let is_short = (1..=16).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let number = if is_short { digits.parse().ok()? } else { return None };
    (number <= most).then_some(number)
}

/// Appends everything before the payload, the Engine.IO message's `4` included.
pub fn write_head(out: &mut String, kind: Kind, attachments: usize, namespace: &str, id: Option<u64>) {
    out.push('4');
    out.push(char::from(b'0' + kind as u8));
    if matches!(kind, Kind::BinaryEvent | Kind::BinaryAck) {
        out.push_str(&attachments.to_string());
        out.push('-');
    }
    if namespace != "/" {
        out.push_str(namespace);
        out.push(',');
    }
    if let Some(id) = id {
        out.push_str(&id.to_string());
    }
}

/// Appends a string as JSON.
pub fn write_string(out: &mut String, text: &str) {
    // A string always has a JSON form.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}
