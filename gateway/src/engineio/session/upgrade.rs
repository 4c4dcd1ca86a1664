//! The way of a session from its polls to a WebSocket: the socket comes on trial, is probed, and takes over when nothing that a
//! poll carries can be said a second time.

use super::super::answer::Refusal;
use super::super::packet::{Data, Kind, Packet};
use super::super::polling::{Arriving, Poll, Upgrade, only};
use super::super::{Reason, Session};
use super::{State, Turn, refuse};

impl Session {
    /// A WebSocket with the session's id arrived: whether it is taken, on trial. One that is not is to be closed,
    /// and the session does not know it.
    #[must_use]
    pub fn socket_arrived(&mut self, turn: &Turn<'_>) -> bool {
        match &mut self.state {
            State::Polling(polling)
                if polling.upgrade == Upgrade::None
                    && polling.closing.is_none()
                    && turn.settings.upgrades =>
            {
                let until = turn.now.saturating_add(u64::from(turn.settings.upgrade_timeout));
                polling.upgrade = Upgrade::Opened { until };
                true
            }
            _ => false,
        }
    }

    /// A packet on a socket on trial: the probe, then the upgrade. Anything else costs the client the socket only.
    pub(super) fn trial(&mut self, turn: &mut Turn<'_>, upgrade: Upgrade, packet: Option<&Packet<'_>>) {
        let State::Polling(polling) = &mut self.state else { return };
        match (upgrade, packet) {
            (
                Upgrade::Opened { until } | Upgrade::Probed { until },
                Some(Packet { kind: Kind::Ping, data }),
            ) if *data == Data::Text("probe") => {
                turn.outlet.text("3probe");
                polling.upgrade = Upgrade::Probed { until };
                self.flush(turn);
            }
            (Upgrade::Probed { .. }, Some(Packet { kind: Kind::Upgrade, .. })) => {
                // The client does not read polls any more.
                if let Some(ticket) = polling.waiting() {
                    turn.outlet.answer(ticket, only(self.version, Kind::Noop));
                }
                if let Some(ticket) = polling.upload.ticket() {
                    polling.upload = Arriving::None;
                    refuse(turn, ticket, Refusal::BadRequest);
                }
                match &mut polling.poll {
                    Poll::Answered { next, .. } => *next = None,
                    poll => *poll = Poll::None,
                }
                let until = turn.now.saturating_add(u64::from(turn.settings.upgrade_timeout));
                polling.upgrade = Upgrade::Moved { until };
                self.settle_on_socket(turn);
            }
            _ => {
                polling.upgrade = Upgrade::None;
                turn.outlet.close_socket(None);
            }
        }
    }

    /// The client has moved; unless an answer is still under way, what waits goes out on the socket.
    pub(super) fn settle_on_socket(&mut self, turn: &mut Turn<'_>) {
        let State::Polling(polling) = &mut self.state else { return };
        if polling.poll != Poll::None {
            return;
        }
        let closing = polling.closing.is_some();
        let waiting = polling.queue.take();
        self.state = State::Socket;
        for outgoing in waiting {
            self.write(turn, &outgoing);
        }
        if closing {
            self.end(turn, Reason::ForcedClose, Kind::Close);
        }
    }

    /// The session's WebSocket is gone. On trial, polling goes on.
    pub fn socket_closed(&mut self, turn: &mut Turn<'_>) {
        match &mut self.state {
            State::Polling(polling) => match polling.upgrade {
                Upgrade::None => {}
                Upgrade::Opened { .. } | Upgrade::Probed { .. } => polling.upgrade = Upgrade::None,
                Upgrade::Moved { .. } => self.end(turn, Reason::TransportClose, Kind::Noop),
            },
            State::Socket => self.end(turn, Reason::TransportClose, Kind::Noop),
            State::Over(_) => {}
        }
    }
}
