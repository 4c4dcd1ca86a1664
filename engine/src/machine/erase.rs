//! Erasing a user, step by step: the front door takes one after the other, and each is bounded.
//!
//! ```text
//!  Look ─► which of some conversations name them? ─┬─► In ─► out of it; some of what they wrote; their name ─► again
//!    ▲                                             └─► the next ones
//!    └───────────────────────────────────────────────┘            then Presence ─► last seen, and who was online
//! ```
//!
//! Nothing is remembered here between two steps, and each can be taken again: what is erased is not found any more. So
//! whoever was cut off begins anew, and goes on where it was.

#![allow(missing_docs, reason = "the fields of a variant are told in the variant's own text")]

use schema::chat::{ConversationId, Message};
use schema::{Id, Key, Refusal};

use super::message::Answer;
use super::store::{Place, Trace};
use super::user::{Presence, Row, Seen};
use super::{Machine, Output};

/// Who is named where somebody was erased: a UUID that no one has.
pub const NOBODY: [u8; 16] = [0; 16];

/// What is left of a message of somebody who is erased.
#[must_use]
pub fn wiped(message: &Message) -> Message {
    Message {
        sender: Id::from_uuid(NOBODY),
        client_id: None,
        content: "".into(),
        attachment: None,
        deleted: true,
        edited: false,
        reads: Vec::new(),
        ..message.clone()
    }
}

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Which of the next conversations after this one name this user? Answered `Found`.
    Look { user: Key, after: Option<ConversationId> },
    /// Go on in a conversation of this home, with messages before this time. Answered `In`, or
    /// [`Refusal::NotFound`]: there is no such conversation any more.
    In { place: Place, user: Id, before: u64 },
    /// Forget how a user of this home was. Answered `Presence`, or [`Refusal::Busy`] while there are sessions, or rows that
    /// are under way to the store.
    Presence { user: Key },
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Erased {
    /// Where they are named, and after which conversation to go on; `None`: there are no more.
    Found { traces: Vec<Trace>, next: Option<ConversationId> },
    /// What was done in a conversation.
    In(Progress),
    /// Whether anything was known.
    Presence { seen: bool },
}

/// What was done in a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Memberships that name nobody now.
    pub memberships: u32,
    /// Messages that were wiped.
    pub messages: u32,
    /// Names that clients had given them.
    pub sends: u32,
    /// Nobody else was in it: the conversation is gone.
    pub gone: bool,
    /// The `before` of the next step; `None`: nothing is left to do here.
    pub next: Option<u64>,
}

impl Machine {
    /// Takes a step.
    pub(super) fn erase(&mut self, ticket: u64, step: Step) {
        let taken = match step {
            _ if self.drain.is_on() => Err(Refusal::Draining),
            Step::Look { user, after } => self.look_for_traces(ticket, user, after),
            Step::In { place, user, before } => self.erase_in(ticket, place, user, before),
            Step::Presence { user } => self.erase_presence(ticket, user),
        };
        if let Err(refusal) = taken {
            self.erased(ticket, Err(refusal));
        }
    }

    /// Tells what came of a step.
    pub(super) fn erased(&mut self, ticket: u64, result: Result<Erased, Refusal>) {
        self.output(Output::Erased { ticket, result });
    }

    /// A room could not be loaded, or refuses.
    pub(super) fn erase_answer(&mut self, ticket: u64, answer: Answer) {
        let refusal = if let Answer::Refused(refusal) = answer { refusal } else { Refusal::Unavailable };
        self.erased(ticket, Err(refusal));
    }

    fn erase_presence(&mut self, ticket: u64, user: Key) -> Result<(), Refusal> {
        // The journal may still bring them back.
        if !self.store.journal_is_read() {
            return Err(Refusal::Busy);
        }
        if let Some(slot) = self.users.find(user.realm, &user.id) {
            if self.users.get(slot).is_some_and(|user| user.attachments().next().is_some()) {
                return Err(Refusal::Busy);
            }
            if self.users.get(slot).is_some_and(|user| user.presence != Presence::Offline) {
                self.go_offline(slot);
            }
            // What is under way to the store, or asked of it, would bring back what is forgotten.
            let settled = self.users.get(slot).is_some_and(|user| {
                user.row == Row::Clean && user.extra.as_ref().is_none_or(|extra| extra.reading.is_none())
            });
            if !settled {
                self.flush_now();
                return Err(Refusal::Busy);
            }
            if let Some(user) = self.users.get_mut(slot) {
                user.seen = Seen::NEVER;
            }
            self.notify(slot);
            self.release(slot);
        }
        if self.forget_seen(user, ticket) { Ok(()) } else { Err(Refusal::Busy) }
    }

    /// The store has forgotten a user, or could not.
    pub(super) fn erased_seen(&mut self, ticket: u64, found: Result<bool, Refusal>) {
        self.erased(ticket, found.map(|seen| Erased::Presence { seen }));
    }
}
