//! What the two bare echo servers share: their command line, their bytes, and how far each connection is.
//!
//! A floor reads requests of one size and answers each with constant bytes: the wire of a heartbeat, and none of what
//! a presence server does with it.

use std::io::{self, Write};
use std::net::SocketAddr;

use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};
use schema::frame::{
    ClientFrame, Encoder, HEARTBEAT_ACK_LEN, Liveness, ServerFrame, VERSIONS, Welcome, heartbeat_ack,
};
use schema::id::IdError;
use schema::{Event, Id, Realm, SessionAddr, SessionRef, ShardId};
use serde::Serialize;

/// First byte of a request that is a publish: no heartbeat begins with it.
pub const PUBLISH: u8 = 0xff;

/// Longest first frame.
const HELLO_MAX: u32 = 1 << 20;

/// Answers that one receive may ask for at most.
const ANSWERS_MAX: usize = 4096;

/// Answers requests of one size with constant bytes, as cheaply as can be. Ends when standard input does, or on SIGTERM.
#[derive(Clone, Debug, Parser)]
pub struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Bytes of a request [default: a heartbeat that asks for an answer].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub request: Option<u32>,
    /// Bytes of an answer [default: its acknowledgement].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub answer: Option<u32>,
    /// Take a first frame (length and as many bytes) of each connection, and answer it with a Welcome.
    #[arg(long)]
    pub hello: bool,
    /// Microseconds to gather a batch for when something has come; 0: none.
    #[arg(long, default_value_t = 0)]
    pub gather_us: u64,
    /// A request whose first byte is 255 sends a published frame with a payload of so many bytes to all connections,
    /// and is not answered itself.
    #[arg(long, value_name = "BYTES")]
    pub batch_send: Option<u32>,
    /// Most connections.
    #[arg(long, default_value_t = 20_000)]
    pub connections: u32,
}

/// The constant bytes of a floor.
#[derive(Clone, Debug)]
pub struct Wire {
    request: u32,
    answer: usize,
    greets: bool,
    /// Many answers in a row.
    answers: Vec<u8>,
    /// The answer to a first frame.
    pub welcome: Vec<u8>,
    /// What a publish tells everybody; empty: there are no publishes.
    pub message: Vec<u8>,
}

impl Wire {
    /// The bytes that the command line asks for, for receives of at most `buffer` bytes.
    ///
    /// # Errors
    /// Never: the ids in it are good.
    pub fn new(arguments: &Arguments, buffer: usize) -> Result<Self, IdError> {
        let mut encoder = Encoder::new();
        let mut heartbeat = Vec::new();
        encoder.client(&ClientFrame::Heartbeat { tag: 0, answer: true, activity: false }, &mut heartbeat);
        let request = arguments.request.unwrap_or(heartbeat.len() as u32);
        let answer = arguments.answer.map_or(HEARTBEAT_ACK_LEN, |bytes| bytes as usize);
        let ack = heartbeat_ack(0, 0);
        let one: Vec<u8> = if answer == ack.len() { ack.to_vec() } else { vec![b'a'; answer] };
        let most = (buffer / request as usize + 1).min(ANSWERS_MAX);

        let mut welcome = Vec::new();
        encoder.server(&ServerFrame::Welcome(welcoming()?), &mut welcome);
        let mut message = Vec::new();
        if let Some(bytes) = arguments.batch_send {
            let payload = vec![b'm'; bytes as usize].into();
            let event = Event::Published { channel: Id::new("floor")?, from: Id::new("floor")?, payload };
            encoder.event(&event, &mut message);
        }
        Ok(Self { request, answer, greets: arguments.hello, answers: one.repeat(most), welcome, message })
    }

    /// So many answers in a row.
    #[must_use]
    pub fn answers(&self, count: u32) -> &[u8] {
        let bytes = count as usize * self.answer;
        &self.answers[..bytes.min(self.answers.len())]
    }

    /// Where a new connection begins.
    #[must_use]
    pub fn begin(&self) -> Progress {
        if self.greets { Progress(Phase::Prefix { seen: 0, value: 0 }.pack()) } else { Progress(0) }
    }
}

fn welcoming() -> Result<Welcome, IdError> {
    let session = SessionRef { slot: 0, generation: 1 };
    Ok(Welcome {
        version: *VERSIONS.end(),
        session: SessionAddr { incarnation: 1, shard: ShardId(0), session },
        user: Id::new("floor")?,
        realm: Realm::default(),
        service: false,
        liveness: Liveness::Heartbeat,
        heartbeat_ms: 30_000,
        silence_ms: 90_000,
        max_frame: 64 * 1024,
        server_ms: 0,
    })
}

/// How far a connection is in its stream of requests: the four bytes of state that a floor has for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress(u32);

/// [`Progress`], unpacked: the kind in the two high bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// So many bytes of a request have come.
    Request(u32),
    /// So many bytes of the first frame's length have come, and what they say.
    Prefix { seen: u32, value: u32 },
    /// So many bytes of the first frame are still to come.
    Hello(u32),
}

const KIND: u32 = 30;
const SEEN: u32 = 24;

impl Phase {
    fn pack(self) -> u32 {
        match self {
            Self::Request(bytes) => bytes,
            Self::Prefix { seen, value } => 1 << KIND | seen << SEEN | value,
            Self::Hello(left) => 2 << KIND | left,
        }
    }

    fn unpack(packed: u32) -> Self {
        let rest = packed & ((1 << KIND) - 1);
        match packed >> KIND {
            0 => Self::Request(rest),
            1 => Self::Prefix { seen: rest >> SEEN, value: rest & ((1 << SEEN) - 1) },
            _ => Self::Hello(rest),
        }
    }
}

/// What some bytes asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The first frame is whole.
    pub hello: bool,
    /// Requests that are whole now, to be answered.
    pub requests: u32,
    /// Publishes that have begun.
    pub publishes: u32,
    /// The first frame is longer than any: close.
    pub bad: bool,
}

impl Progress {
    /// Takes bytes of this connection.
    #[must_use]
    pub fn take(&mut self, wire: &Wire, mut bytes: &[u8]) -> Heard {
        let mut heard = Heard::default();
        let mut phase = Phase::unpack(self.0);
        while let Phase::Prefix { seen, value } = phase
            && let Some((&byte, rest)) = bytes.split_first()
        {
            bytes = rest;
            let value = value | u32::from(byte).checked_shl(8 * seen).unwrap_or(0);
            if value > HELLO_MAX {
                heard.bad = true;
                return heard;
            }
            phase = if seen == 3 { Phase::Hello(value) } else { Phase::Prefix { seen: seen + 1, value } };
        }
        if let Phase::Hello(left) = phase {
            let taken = (left as usize).min(bytes.len());
            bytes = &bytes[taken..];
            phase = Phase::Hello(left - taken as u32);
            if taken == left as usize {
                heard.hello = true;
                phase = Phase::Request(0);
            }
        }
        if let Phase::Request(before) = phase {
            let total = before as usize + bytes.len();
            let request = wire.request as usize;
            heard.requests = (total / request) as u32;
            phase = Phase::Request((total % request) as u32);
            if !wire.message.is_empty() {
                let first = if before == 0 { 0 } else { request - before as usize };
                let begun = bytes.get(first..).unwrap_or_default().iter().step_by(request);
                heard.publishes = begun.filter(|byte| **byte == PUBLISH).count() as u32;
                // A publish is told to all, and not acknowledged besides; one that is broken off counts when it begins.
                heard.requests = heard.requests.saturating_sub(heard.publishes);
            }
        }
        self.0 = phase.pack();
        heard
    }
}

/// What a floor counts; printed as JSON when it ends.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Connections that could not be taken, for want of descriptors.
    pub refused: u64,
    /// Requests answered.
    pub requests: u64,
    /// Publishes.
    pub publishes: u64,
    /// Messages of publishes.
    pub deliveries: u64,
    /// Receives that brought bytes.
    pub receives: u64,
    /// Receives that found no buffer.
    pub starved: u64,
    /// Connections ended because they did not read.
    pub dropped: u64,
    /// Turns of the loop.
    pub turns: u64,
    /// System calls of the loop.
    pub system_calls: u64,
}

/// Lets this process have as many files open as it may, and says how many that is.
#[must_use]
pub fn open_files() -> u32 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it may not, it has what it had.
    let _ = setrlimit(Resource::Nofile, limit);
    let now = getrlimit(Resource::Nofile).current;
    now.map_or(u32::MAX, |now| u32::try_from(now).unwrap_or(u32::MAX))
}

/// The line that says that a server is up.
#[derive(Debug, Serialize, serde::Deserialize)]
pub struct Ready {
    /// True.
    pub ready: bool,
    /// Where it listens.
    pub binary: SocketAddr,
    /// Its process.
    pub pid: u32,
}

/// Prints a line of JSON for whoever has started us.
///
/// # Errors
/// When nobody reads.
pub fn say(line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wire(words: &[&str], buffer: usize) -> Wire {
        let arguments = Arguments::parse_from([&["floor"], words].concat());
        Wire::new(&arguments, buffer).unwrap()
    }

    #[test]
    fn the_defaults_are_a_heartbeat_and_its_acknowledgement() {
        let wire = wire(&[], 1024);
        assert_eq!((wire.request, wire.answer), (52, HEARTBEAT_ACK_LEN));
        assert_eq!(wire.answers(2), heartbeat_ack(0, 0).repeat(2));
    }

    #[test]
    fn publishes_are_told_from_requests() {
        let wire = wire(&["--request", "3", "--batch-send", "10"], 64);
        let mut progress = wire.begin();
        let heard = progress.take(&wire, &[1, 0, 0, PUBLISH, PUBLISH, 0, 2]);
        assert_eq!(heard, Heard { requests: 1, publishes: 1, ..Heard::default() });
        assert_eq!(progress.take(&wire, &[PUBLISH, 0, 7]), Heard { requests: 1, ..Heard::default() });
    }

    #[test]
    fn a_first_frame_without_end_is_refused() {
        let wire = wire(&["--hello"], 64);
        assert!(wire.begin().take(&wire, &[0, 0, 0, 1]).bad);
        assert!(!wire.begin().take(&wire, &[0, 0, 16, 0]).bad);
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(hello in 1_usize..100, requests in 0_usize..20, rest in 0_usize..52, cut in 1_usize..80) {
            let wire = wire(&["--hello"], 1024);
            let mut bytes = (hello as u32).to_le_bytes().to_vec();
            bytes.extend(vec![0; hello + 52 * requests + rest]);
            let mut progress = wire.begin();
            let mut sum = (0, 0);
            for piece in bytes.chunks(cut) {
                let heard = progress.take(&wire, piece);
                sum = (sum.0 + u32::from(heard.hello), sum.1 + heard.requests);
            }
            prop_assert_eq!(sum, (1, requests as u32));
            prop_assert_eq!(progress, Progress(rest as u32));
        }
    }
}
