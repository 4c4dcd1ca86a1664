//! Socket.IO, server side, without I/O: protocol version 5 (on Engine.IO 4) and 4 (on Engine.IO 3).
//!
//! ```text
//! packet.rs      one packet: `<type>[<attachments>-][<namespace>,][<ack id>][JSON]`
//! json.rs        JSON as it stands: checked, walked, never rebuilt
//! arguments.rs   the arguments of an event or ack: raw JSON, attachments, placeholders
//! query.rs       `a=b&c=d`, where version 4 keeps credentials
//! session.rs     which namespaces are joined, what is unfinished         16 bytes while nothing is
//! inbound.rs     a message of the client ──► what it means to the application
//! talk.rs        what the application says ──► packets
//! connection.rs  the two sessions of a client together: polls, uploads, frames, deadlines in
//! ```
//!
//! An application implements [`Application`] and answers through [`Talk`]. An event that many are told is encoded once
//! ([`Encoded`]): its text is the same in both versions.
//!
//! Sources: "Socket.IO protocol", revisions 5 and 4; where they are silent, the reference server, whose strictness is
//! kept: what the protocol does not allow closes the connection. Absent on purpose: connection state recovery (its
//! extra argument is visible to clients, and the APIs have their history), msgpack, compression.

pub mod arguments;
pub mod connection;
mod inbound;
mod json;
pub mod packet;
pub mod query;
pub mod session;
pub mod talk;

use std::sync::Arc;

pub use arguments::Arguments;
pub use connection::Connection;
pub use session::Session;
pub use talk::{Encoded, Talk};

/// One of the namespaces of an endpoint, by its place in [`Settings::namespaces`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Namespace(u8);

impl Namespace {
    /// `/`, which every endpoint has.
    pub const ROOT: Self = Self(0);

    /// Its place among the namespaces of its endpoint.
    #[must_use]
    pub const fn index(self) -> u8 {
        self.0
    }

    const fn bit(self) -> u8 {
        1 << self.0
    }
}

/// The namespaces of an endpoint: at most eight, the first is `/`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namespaces(Vec<Box<str>>);

impl Namespaces {
    /// `/` and others. Those beyond the eighth, and any that is `/` or does not begin like one, are left out.
    #[must_use]
    pub fn new(others: &[&str]) -> Self {
        let mut names: Vec<Box<str>> = vec!["/".into()];
        for name in others {
            if name.starts_with('/')
                && !name.contains([',', '?'])
                && !names.iter().any(|known| **known == **name)
            {
                names.push((*name).into());
            }
        }
        names.truncate(8);
        Self(names)
    }

    /// The namespace with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Namespace> {
        let at = self.0.iter().position(|known| **known == *name)?;
        u8::try_from(at).ok().map(Namespace)
    }

    /// The namespace at this place.
    #[must_use]
    pub fn at(&self, index: u8) -> Option<Namespace> {
        (usize::from(index) < self.0.len()).then_some(Namespace(index))
    }

    /// The name of a namespace.
    #[must_use]
    pub fn name(&self, namespace: Namespace) -> &str {
        self.0.get(usize::from(namespace.0)).map_or("/", |name| name)
    }

    fn all(&self) -> impl Iterator<Item = Namespace> + use<> {
        (0..self.0.len() as u8).map(Namespace)
    }
}

/// The numbers and words of an endpoint; times in milliseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// What clients may connect to.
    pub namespaces: Namespaces,
    /// How long a client may stay without a namespace after its handshake.
    pub connect_timeout: u32,
    /// Most attachments of a packet (CVE-2026-33151).
    pub attachments: u8,
    /// Longest packet, attachments included, bytes.
    pub packet_bytes: usize,
    /// How long the attachments of a packet may take to arrive.
    pub attachments_timeout: u32,
    /// How long events may come too fast before the connection is closed.
    pub overload: u32,
    /// How long none may have come too fast for an overload to be over.
    pub calm: u32,
    /// The arguments of the ack of an event that came too fast, as JSON.
    pub busy_ack: Box<str>,
    /// The arguments of the event `error` for one that wanted no ack, as JSON.
    pub busy_event: Box<str>,
    /// Most acks the application may wait for; the oldest is forgotten.
    pub asked: usize,
}

impl Settings {
    /// The defaults for these namespaces.
    #[must_use]
    pub fn new(namespaces: Namespaces) -> Self {
        let busy = r#""error":"Too Many Requests","message":"Too many events","statusCode":429}"#;
        Self {
            namespaces,
            connect_timeout: 45_000,
            attachments: 10,
            packet_bytes: 1_000_000,
            attachments_timeout: 10_000,
            overload: 10_000,
            calm: 1_000,
            busy_ack: format!(r#"{{"success":false,{busy}"#).into(),
            busy_event: format!("{{{busy}").into(),
            asked: 64,
        }
    }
}

/// Why a namespace was left; the words of the reference server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// The client left it.
    ClientNamespaceDisconnect,
    /// What came was not of the protocol.
    ParseError,
    /// Events came too fast for too long.
    Overload,
    /// No namespace was joined in time.
    ConnectTimeout,
    /// The transport ended.
    Transport(crate::engineio::Reason),
}

impl Reason {
    /// The word in logs and for applications.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ParseError => "parse error",
            Self::Overload => "overload",
            Self::ConnectTimeout => "connect timeout",
            Self::Transport(crate::engineio::Reason::ForcedClose) => "forced server close",
            Self::Transport(reason) => reason.word(),
        }
    }
}

/// What a client brought to a namespace. The URL and headers of its handshake are known to the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Credentials<'a> {
    /// Nothing: `/` in version 4, where the server speaks first.
    None,
    /// Version 5: the payload of CONNECT, a JSON object.
    Auth(&'a str),
    /// Version 4: the query behind the namespace ([`query::pairs`]).
    Query(&'a str),
}

/// An event of the client.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// Its name; never a reserved one. A number, which the protocol also allows, as it was written.
    pub name: &'a str,
    /// What came with it.
    pub arguments: Arguments<'a>,
    /// With which id it is to be acked ([`Talk::ack`]), if the client asks for that.
    pub ack: Option<u64>,
}

/// Whether the client keeps to its rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It does.
    Within,
    /// It does not: the event is refused.
    Over,
}

/// What an endpoint does with its clients. Every call may answer at once, or note what is wanted and answer later
/// through [`Connection::talk`].
pub trait Application {
    /// Whether one more event or CONNECT of this client is within its rate. Asked once for each.
    fn admit(&mut self) -> Verdict;
    /// The client wants to join: [`Talk::accept`] or [`Talk::refuse`] must follow.
    fn connect(&mut self, talk: &mut Talk<'_, '_>, namespace: Namespace, credentials: Credentials<'_>);
    /// An event in a joined namespace.
    fn event(&mut self, talk: &mut Talk<'_, '_>, namespace: Namespace, event: Event<'_>);
    /// The answer to [`Talk::ask`] with this id.
    fn acked(&mut self, talk: &mut Talk<'_, '_>, namespace: Namespace, id: u32, arguments: Arguments<'_>);
    /// The client has left a namespace that it had joined or asked for.
    fn disconnected(&mut self, namespace: Namespace, reason: Reason);
}

/// Bytes beside a packet's JSON.
pub type Attachment = Arc<[u8]>;

#[cfg(test)]
mod tests;
