//! The APIs that are spoken on endpoints, one value a connection.

use engine::protocol::Dialect;
use schema::command::Edge;
use schema::{CloseReason, Refusal, Reply};

use super::api::{Api, Call, Claim, Parting, Refused};
use super::echo::Echo;
use super::endpoint::{Endpoint, Speaker};
use super::visit::Origin;
use crate::conn;
use crate::edges::messaging::Messaging;
use crate::edges::trade::Trade;
use crate::http::auth::{Caller, Denied};
use crate::socketio::{Arguments, Credentials, Event, Namespace};

/// See the file's header.
#[derive(Debug)]
pub(super) enum Speech {
    Echo(Box<Echo>),
    Messaging(Messaging),
    Trade(Box<Trade>),
}

impl Speech {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        match &endpoint.speaker {
            Speaker::Echo | Speaker::EngineEcho => {
                Self::Echo(Box::new(Echo::new(endpoint.io.namespaces.find("/protected"))))
            }
            Speaker::Messaging(_) => Self::Messaging(Messaging::default()),
            Speaker::Trade(bounds) => Self::Trade(Box::new(Trade::new(&endpoint.io.namespaces, *bounds))),
        }
    }

    /// The word for metrics and for lists of sessions.
    pub(super) fn edge(&self) -> Edge {
        match self {
            Self::Echo(_) => Edge::Http,
            Self::Trade(_) => Edge::Trade,
            Self::Messaging(_) => Edge::Messaging,
        }
    }

    /// How its clients are told events: on a socket, or kept for a poll.
    pub(super) fn dialect(&self, polls: bool) -> Dialect {
        match self {
            Self::Echo(_) | Self::Trade(_) => conn::NONE,
            Self::Messaging(_) if polls => conn::MESSAGING_KEPT,
            Self::Messaging(_) => conn::MESSAGING,
        }
    }

    fn api(&self) -> &dyn Api {
        match self {
            Self::Echo(echo) => &**echo,
            Self::Trade(trade) => &**trade,
            Self::Messaging(messaging) => messaging,
        }
    }

    fn api_mut(&mut self) -> &mut dyn Api {
        match self {
            Self::Echo(echo) => &mut **echo,
            Self::Trade(trade) => &mut **trade,
            Self::Messaging(messaging) => messaging,
        }
    }
}

impl Api for Speech {
    fn seat(&self) -> Namespace {
        self.api().seat()
    }

    fn claim<'c>(
        &mut self,
        namespace: Namespace,
        credentials: Credentials<'c>,
        origin: &Origin,
    ) -> Claim<'c> {
        self.api_mut().claim(namespace, credentials, origin)
    }

    fn denied(&self, denied: &Denied) -> Refused {
        self.api().denied(denied)
    }

    fn admits(&mut self, namespace: Namespace, caller: &Caller) -> Result<(), Refused> {
        self.api_mut().admits(namespace, caller)
    }

    fn looks_at_roles(&self) -> bool {
        self.api().looks_at_roles()
    }

    fn verified(&mut self, call: &mut Call<'_, '_>, verdict: Result<Caller, Denied>) {
        self.api_mut().verified(call, verdict);
    }

    fn refused(&self, refusal: Refusal) -> Refused {
        self.api().refused(refusal)
    }

    fn joined(&mut self, call: &mut Call<'_, '_>, namespace: Namespace) {
        self.api_mut().joined(call, namespace);
    }

    fn event(&mut self, call: &mut Call<'_, '_>, namespace: Namespace, event: Event<'_>) {
        self.api_mut().event(call, namespace, event);
    }

    fn acked(&mut self, call: &mut Call<'_, '_>, namespace: Namespace, id: u32, arguments: Arguments<'_>) {
        self.api_mut().acked(call, namespace, id, arguments);
    }

    fn reply(&mut self, call: &mut Call<'_, '_>, tag: u64, result: &Result<Reply, Refusal>) {
        self.api_mut().reply(call, tag, result);
    }

    fn notices(&self, event: &schema::Event) -> bool {
        self.api().notices(event)
    }

    fn notice(&mut self, call: &mut Call<'_, '_>, event: &schema::Event) -> bool {
        self.api_mut().notice(call, event)
    }

    fn closing(&mut self, call: &mut Call<'_, '_>, reason: CloseReason) -> Parting {
        self.api_mut().closing(call, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_are_small() {
        assert_eq!(size_of::<Speech>(), size_of::<Messaging>());
    }
}
