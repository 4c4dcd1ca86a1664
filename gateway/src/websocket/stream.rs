//! One client's stream of frames: bytes to events.
//!
//! The rule that shapes this file: what lies whole in the socket driver's buffer is never copied and never
//! allocates. Only what a buffer breaks off (a header, a payload, a fragmented message) moves to the heap, in one
//! box, which is freed as soon as nothing is unfinished. A million idle sockets have a million `None`s.

use std::mem;
use std::ops::ControlFlow;

use super::assembly::{self, Message};
use super::frame::{self, Head, Kind, LONGEST_HEAD};
use super::{Event, Limits, Violation, close};

/// The server's side of one WebSocket connection after the handshake, without I/O (RFC 6455, 5 to 8).
///
/// The caller owns the limits (they are alike for all sockets of an edge) and the clock.
#[derive(Debug, Default)]
pub struct WebSocket {
    unfinished: Option<Box<Unfinished>>,
    /// Nothing more is read: the client closed, failed, or was stopped.
    over: bool,
}

/// What has begun and is not whole.
#[derive(Debug)]
struct Unfinished {
    /// When its first byte came.
    since_ms: u64,
    partial: Partial,
    /// The data message under way: fragmented, or in a frame that has not arrived whole.
    message: Option<Message>,
    /// The payload of a control frame that has not arrived whole.
    control: Vec<u8>,
}

/// The frame that the last buffer broke off.
#[derive(Debug, Default)]
enum Partial {
    /// The buffer ended with a frame's end.
    #[default]
    None,
    Head {
        bytes: [u8; LONGEST_HEAD],
        len: usize,
    },
    Payload {
        head: Head,
        arrived: usize,
    },
}

/// Why nothing more is read.
enum End {
    /// The close frame was delivered, or the sink had enough.
    Stopped,
    Failed(Violation),
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        Self::Failed(violation)
    }
}

impl WebSocket {
    /// A connection whose handshake is done.
    #[must_use]
    pub const fn new() -> Self {
        Self { unfinished: None, over: false }
    }

    /// Takes what the socket delivered and tells the sink what it meant, in order.
    ///
    /// `bytes` is the socket driver's own buffer: payloads are unmasked in it, so it is garbage afterwards. The
    /// sink ends the reading with `Break` (it has refused the client): the rest of `bytes` and whatever comes later
    /// is ignored, as after [`Event::Close`] and [`Event::Fail`] (RFC 6455, 7.1.7).
    pub fn receive<S>(&mut self, limits: &Limits, now_ms: u64, bytes: &mut [u8], mut sink: S)
    where
        S: FnMut(Event<'_>) -> ControlFlow<()>,
    {
        if self.over {
            return;
        }
        if let Err(end) = self.read(limits, now_ms, bytes, &mut sink) {
            self.stop();
            if let End::Failed(violation) = end {
                // The stream is over whatever the sink says.
                let _ = sink(violation.into());
            }
        }
    }

    /// When an unfinished frame or message must be whole, ms; `None` while nothing is unfinished.
    #[must_use]
    pub fn deadline(&self, limits: &Limits) -> Option<u64> {
        let unfinished = self.unfinished.as_deref()?;
        Some(unfinished.since_ms.saturating_add(limits.assembly_ms))
    }

    /// Fails the connection (code 1008) if its deadline has passed; else does nothing.
    pub fn on_deadline<S>(&mut self, limits: &Limits, now_ms: u64, mut sink: S)
    where
        S: FnMut(Event<'_>) -> ControlFlow<()>,
    {
        if self.deadline(limits).is_some_and(|deadline| deadline <= now_ms) {
            self.stop();
            let _ = sink(Violation::policy("message took too long to arrive").into());
        }
    }

    /// Ignores everything from here on and frees what is held; for a server that has sent its own close frame.
    pub fn stop(&mut self) {
        self.over = true;
        self.unfinished = None;
    }

    /// Whether nothing more is read.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Heap bytes held now: 0 while nothing is unfinished.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.unfinished.as_deref().map_or(0, |unfinished| {
            size_of::<Unfinished>()
                + unfinished.control.capacity()
                + unfinished.message.as_ref().map_or(0, Message::capacity)
        })
    }

    fn read<S>(&mut self, limits: &Limits, now_ms: u64, bytes: &mut [u8], sink: &mut S) -> Result<(), End>
    where
        S: FnMut(Event<'_>) -> ControlFlow<()>,
    {
        let mut rest = bytes;
        while !rest.is_empty() {
            let partial = match &mut self.unfinished {
                None => Partial::None,
                Some(unfinished) => mem::take(&mut unfinished.partial),
            };
            let (head, arrived) = match partial {
                Partial::Payload { head, arrived } => (head, arrived),
                Partial::None => match frame::parse(rest)? {
                    Some((head, size)) => {
                        rest = &mut mem::take(&mut rest)[size..];
                        self.admit(limits, &head)?;
                        (head, 0)
                    }
                    None => {
                        let mut bytes = [0; LONGEST_HEAD];
                        // Fourteen bytes always make a header, so what made none is shorter.
                        bytes[..rest.len()].copy_from_slice(rest);
                        self.unfinished(now_ms).partial = Partial::Head { bytes, len: rest.len() };
                        return Ok(());
                    }
                },
                Partial::Head { mut bytes, len } => {
                    let taken = rest.len().min(LONGEST_HEAD - len);
                    bytes[len..len + taken].copy_from_slice(&rest[..taken]);
                    match frame::parse(&bytes[..len + taken])? {
                        Some((head, size)) => {
                            // The first `len` bytes made no header, so `size` is greater.
                            rest = &mut mem::take(&mut rest)[size - len..];
                            self.admit(limits, &head)?;
                            (head, 0)
                        }
                        None => {
                            self.unfinished(now_ms).partial = Partial::Head { bytes, len: len + taken };
                            return Ok(());
                        }
                    }
                }
            };
            let missing = head.length - arrived as u64;
            let here = usize::try_from(missing).map_or(rest.len(), |missing| missing.min(rest.len()));
            let payload;
            (payload, rest) = rest.split_at_mut(here);
            frame::unmask(payload, head.mask, arrived);
            if here as u64 == missing {
                if arrived == 0 {
                    self.whole_frame(limits, now_ms, &head, payload, sink)?;
                } else {
                    self.part(limits, now_ms, &head, payload)?;
                    self.end_of_parts(&head, sink)?;
                }
                self.free_if_finished();
            } else {
                // A payload of which nothing has come yet may still come in one piece.
                if here > 0 {
                    self.part(limits, now_ms, &head, payload)?;
                }
                self.unfinished(now_ms).partial = Partial::Payload { head, arrived: arrived + here };
            }
        }
        Ok(())
    }

    /// The rules a header can break only in view of the message under way and of the limits (RFC 6455, 5.4).
    fn admit(&mut self, limits: &Limits, head: &Head) -> Result<(), Violation> {
        if head.kind.is_control() {
            return Ok(());
        }
        let message = self.unfinished.as_deref_mut().and_then(|unfinished| unfinished.message.as_mut());
        let so_far = match (head.kind, message) {
            (Kind::Continuation, None) => return Err(Violation::protocol("continuation of no message")),
            (Kind::Continuation, Some(message)) => {
                message.next_frame(limits)?;
                message.len()
            }
            (_, Some(_)) => return Err(Violation::protocol("new message inside a fragmented one")),
            (_, None) => 0,
        };
        if head.length > limits.message_bytes.saturating_sub(so_far) as u64 {
            return Err(Violation::size("message too big"));
        }
        Ok(())
    }

    /// A frame whose payload lies in the buffer as a whole.
    fn whole_frame<S>(
        &mut self,
        limits: &Limits,
        now_ms: u64,
        head: &Head,
        payload: &[u8],
        sink: &mut S,
    ) -> Result<(), End>
    where
        S: FnMut(Event<'_>) -> ControlFlow<()>,
    {
        match head.kind {
            Kind::Close | Kind::Ping | Kind::Pong => control(head.kind, payload, sink),
            // `admit` has made sure that no message is under way.
            Kind::Text if head.last => tell(sink, assembly::whole_text(payload)?),
            Kind::Binary if head.last => tell(sink, Event::Binary(payload)),
            Kind::Text | Kind::Binary | Kind::Continuation => {
                self.part(limits, now_ms, head, payload)?;
                self.end_of_parts(head, sink)
            }
        }
    }

    /// Keeps a part of a frame's payload, unmasked.
    fn part(&mut self, limits: &Limits, now_ms: u64, head: &Head, payload: &[u8]) -> Result<(), Violation> {
        let unfinished = self.unfinished(now_ms);
        if head.kind.is_control() {
            unfinished.control.extend_from_slice(payload);
            return Ok(());
        }
        unfinished.message.get_or_insert_with(|| Message::begin(head.kind)).append(payload, limits)
    }

    /// Tells of a frame that was kept in parts, if it completes something.
    fn end_of_parts<S>(&mut self, head: &Head, sink: &mut S) -> Result<(), End>
    where
        S: FnMut(Event<'_>) -> ControlFlow<()>,
    {
        let Some(unfinished) = self.unfinished.as_deref_mut() else { return Ok(()) };
        if head.kind.is_control() {
            return control(head.kind, &mem::take(&mut unfinished.control), sink);
        }
        match unfinished.message.take_if(|_| head.last) {
            Some(message) => tell(sink, message.event()?),
            None => Ok(()),
        }
    }

    fn unfinished(&mut self, now_ms: u64) -> &mut Unfinished {
        self.unfinished.get_or_insert_with(|| {
            Box::new(Unfinished {
                since_ms: now_ms,
                partial: Partial::None,
                message: None,
                control: Vec::new(),
            })
        })
    }

    /// Frees the box at the end of a frame, unless that frame left its message open.
    fn free_if_finished(&mut self) {
        if self.unfinished.as_deref().is_some_and(|unfinished| unfinished.message.is_none()) {
            self.unfinished = None;
        }
    }
}

fn tell<S>(sink: &mut S, event: Event<'_>) -> Result<(), End>
where
    S: FnMut(Event<'_>) -> ControlFlow<()>,
{
    match sink(event) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(End::Stopped),
    }
}

fn control<S>(kind: Kind, payload: &[u8], sink: &mut S) -> Result<(), End>
where
    S: FnMut(Event<'_>) -> ControlFlow<()>,
{
    match kind {
        Kind::Ping => tell(sink, Event::Ping(payload)),
        Kind::Pong => tell(sink, Event::Pong(payload)),
        _ => {
            let (code, reason) = close::parse(payload)?;
            tell(sink, Event::Close { code, reason })?;
            Err(End::Stopped)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000;

    /// Feeds the pieces one second apart and returns what was told, in words.
    fn feed(socket: &mut WebSocket, limits: &Limits, pieces: &[&[u8]]) -> Vec<String> {
        let mut told = Vec::new();
        for (second, piece) in pieces.iter().enumerate() {
            socket.receive(limits, NOW + 1_000 * second as u64, &mut piece.to_vec(), |event| {
                told.push(format!("{event:?}"));
                ControlFlow::Continue(())
            });
        }
        told
    }

    #[test]
    fn an_idle_socket_is_small() {
        assert!(size_of::<WebSocket>() <= 16);
        assert_eq!(WebSocket::new().heap_bytes(), 0);
        assert_eq!(WebSocket::new().deadline(&Limits::default()), None);
        assert!(size_of::<Unfinished>() <= 160);
    }

    #[test]
    fn what_is_unfinished_is_kept_and_then_freed() {
        let limits = Limits::default();
        let mut socket = WebSocket::new();
        let hello = [0x81, 0x85, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o'];
        for cut in 1..hello.len() {
            let (begin, end) = hello.split_at(cut);
            assert!(feed(&mut socket, &limits, &[begin]).is_empty());
            assert!(socket.heap_bytes() > 0);
            assert_eq!(socket.deadline(&limits), Some(NOW + 10_000));
            assert_eq!(feed(&mut socket, &limits, &[end]), [r#"Text("hello")"#]);
            assert_eq!(socket.heap_bytes(), 0);
            assert_eq!(socket.deadline(&limits), None);
        }
    }

    #[test]
    fn the_deadline_counts_from_the_first_byte_of_the_message() {
        let limits = Limits::default();
        let mut socket = WebSocket::new();
        let begin: &[u8] = &[0x01, 0x81, 0, 0, 0, 0, b'a'];
        let middle: &[u8] = &[0x00, 0x81, 0, 0, 0, 0, b'b'];
        let ping: &[u8] = &[0x89, 0x80, 0, 0, 0, 0];
        assert_eq!(feed(&mut socket, &limits, &[begin, middle, ping, middle]), ["Ping([])"]);
        assert_eq!(socket.deadline(&limits), Some(NOW + 10_000));

        let mut told = Vec::new();
        let mut note = |event: Event<'_>| {
            told.push(format!("{event:?}"));
            ControlFlow::Continue(())
        };
        socket.on_deadline(&limits, NOW + 9_999, &mut note);
        assert!(!socket.is_over());
        socket.on_deadline(&limits, NOW + 10_000, &mut note);
        assert!(socket.is_over());
        assert_eq!(socket.heap_bytes(), 0);
        assert_eq!(
            told,
            [r#"Fail { code: 1008 (policy violation), reason: "message took too long to arrive" }"#]
        );
    }

    #[test]
    fn a_message_too_big_is_refused_at_its_header() {
        let limits = Limits { message_bytes: 10, ..Limits::default() };
        let too_big = r#"Fail { code: 1009 (message too big), reason: "message too big" }"#;
        let mut socket = WebSocket::new();
        assert_eq!(feed(&mut socket, &limits, &[&[0x82, 0x8b, 0, 0, 0, 0]]), [too_big]);
        assert_eq!(socket.heap_bytes(), 0);

        let mut socket = WebSocket::new();
        let six: &[u8] = &[0x02, 0x86, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6];
        assert_eq!(feed(&mut socket, &limits, &[six, &[0x80, 0x85, 0, 0, 0, 0]]), [too_big]);
    }

    #[test]
    fn fragments_are_counted() {
        let limits = Limits { fragments: 3, ..Limits::default() };
        let (begin, more, end): (&[u8], &[u8], &[u8]) =
            (&[0x01, 0x80, 0, 0, 0, 0], &[0x00, 0x80, 0, 0, 0, 0], &[0x80, 0x80, 0, 0, 0, 0]);
        let mut socket = WebSocket::new();
        assert_eq!(feed(&mut socket, &limits, &[begin, more, end]), [r#"Text("")"#]);
        assert_eq!(
            feed(&mut socket, &limits, &[begin, more, more, end]),
            [r#"Fail { code: 1008 (policy violation), reason: "message in too many fragments" }"#]
        );
    }

    #[test]
    fn a_sink_that_has_enough_is_told_no_more() {
        let two = [0x89, 0x80, 0, 0, 0, 0, 0x89, 0x80, 0, 0, 0, 0];
        let mut socket = WebSocket::new();
        let mut told = 0;
        for _ in 0..2 {
            socket.receive(&Limits::default(), NOW, &mut two.to_vec(), |_| {
                told += 1;
                ControlFlow::Break(())
            });
        }
        assert_eq!(told, 1);
        assert!(socket.is_over());
    }
}
