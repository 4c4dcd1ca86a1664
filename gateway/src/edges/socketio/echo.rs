//! Events that come back: what conformance suites and benchmarks speak with.
//!
//! On joining, `auth` tells what the client brought. `message` comes back as `message-back`, `message-with-ack` in its ack;
//! `ask-me` is asked back as `question`, whose answer comes as `answer-was`. `kick-me` leaves the namespace, `cut-me` closes
//! the connection. `/protected` wants the token `let-me-in`.

use super::api::{Api, Call, Claim, Refused};
use super::visit::Origin;
use crate::http::auth::Denied;
use crate::socketio::{Arguments, Credentials, Event, Namespace, query};

/// One client.
#[derive(Debug)]
pub struct Echo {
    protected: Option<Namespace>,
    /// The credentials of those who are about to join, as they will be told.
    brought: Vec<(Namespace, String)>,
}

impl Echo {
    /// With the namespace that wants a token.
    #[must_use]
    pub fn new(protected: Option<Namespace>) -> Self {
        Self { protected, brought: Vec::new() }
    }
}

fn told(credentials: Credentials<'_>) -> String {
    match credentials {
        Credentials::None => "{}".to_owned(),
        Credentials::Auth(auth) => auth.to_owned(),
        Credentials::Query(query) => {
            let pairs = query::pairs(query).map(|(name, value)| (name.into_owned(), value.into()));
            serde_json::Value::Object(pairs.collect()).to_string()
        }
    }
}

impl Api for Echo {
    fn claim<'c>(&mut self, namespace: Namespace, credentials: Credentials<'c>, _: &Origin) -> Claim<'c> {
        let brought = told(credentials);
        if self.protected == Some(namespace) {
            let parsed: serde_json::Value = serde_json::from_str(&brought).unwrap_or_default();
            if parsed.get("token").and_then(serde_json::Value::as_str) != Some("let-me-in") {
                let data = Some(r#"{"code":"E_AUTH","retry":false}"#.to_owned());
                return Claim::Refused(Refused { message: "Not authorized".into(), data });
            }
        }
        self.brought.push((namespace, brought));
        Claim::Open
    }

    fn denied(&self, _: &Denied) -> Refused {
        Refused { message: "Not authorized".into(), data: None }
    }

    fn refused(&self, refusal: schema::Refusal) -> Refused {
        Refused { message: refusal.to_string().into(), data: None }
    }

    fn joined(&mut self, call: &mut Call<'_, '_>, namespace: Namespace) {
        let at = self.brought.iter().position(|(joined, _)| *joined == namespace);
        let brought = at.map_or_else(|| "{}".to_owned(), |at| self.brought.remove(at).1);
        call.talk.emit(namespace, "auth", Arguments::json(&brought));
        self.brought.shrink_to_fit();
    }

    fn event(&mut self, call: &mut Call<'_, '_>, namespace: Namespace, event: Event<'_>) {
        match (event.name, event.ack) {
            ("message", _) => {
                call.talk.emit(namespace, "message-back", event.arguments);
            }
            ("message-with-ack", Some(ack)) => {
                call.talk.ack(namespace, ack, event.arguments);
            }
            ("ask-me", _) => {
                call.talk.ask(namespace, "question", event.arguments);
            }
            ("kick-me", _) => {
                call.talk.disconnect(namespace);
            }
            ("cut-me", _) => call.talk.close(),
            _ => {}
        }
    }

    fn notices(&self, _: &schema::Event) -> bool {
        false
    }

    fn acked(&mut self, call: &mut Call<'_, '_>, namespace: Namespace, _: u32, arguments: Arguments<'_>) {
        call.talk.emit(namespace, "answer-was", arguments);
    }
}
