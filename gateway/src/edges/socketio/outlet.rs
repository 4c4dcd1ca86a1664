//! Where a session says things: on its socket, or to the requests that wait at the front door.

use super::link::Link;
use crate::engineio::session::Outlet;
use crate::engineio::{Answer, Reason, Ticket};
use crate::websocket::{CloseCode, encode};

/// What a session wants of its socket beside bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Shut {
    /// It stays.
    #[default]
    No,
    /// The upgrade has failed; the session goes on without it.
    Socket,
    /// It goes with the session.
    Session,
}

pub(super) struct ShardOutlet<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) link: &'a mut Link,
    pub(super) shut: &'a mut Shut,
}

impl Outlet for ShardOutlet<'_> {
    fn text(&mut self, packet: &str) {
        encode::text(self.out, packet);
    }

    fn binary(&mut self, head: &[u8], data: &[u8]) {
        encode::message_with(self.out, encode::Opcode::Binary, |out| {
            out.extend_from_slice(head);
            out.extend_from_slice(data);
        });
    }

    fn close_socket(&mut self, reason: Option<Reason>) {
        if *self.shut != Shut::No {
            return;
        }
        let code = match reason {
            Some(Reason::TooLarge) => CloseCode::TOO_BIG,
            Some(Reason::SlowConsumer) => CloseCode::TRY_AGAIN,
            // As the reference closes: without a code.
            _ => CloseCode::NO_STATUS,
        };
        encode::close(self.out, code, "");
        *self.shut = if reason.is_some() { Shut::Session } else { Shut::Socket };
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        if let Some(requests) = self.link.requests_mut() {
            requests.answer(ticket, answer);
        }
    }
}
