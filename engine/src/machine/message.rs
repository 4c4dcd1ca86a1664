//! What machines say to each other.
//!
//! Three classes, and what happens when the receiver's inbox is full:
//! - *commands and events* ([`Message::Ask`], [`Message::Deliver`], [`Message::Publish`], [`Message::Chat`],
//!   [`Message::Tap`]) are only
//!   produced while the machine knows of room ([`super::Machine::set_room`]); without room the command behind them
//!   is refused as busy (a tap is dropped and leaves a gap in its numbers);
//! - *replies* ([`Message::Answer`]) are never refused: the asker reserved their place;
//! - *state* ([`Message::State`]) is kept in a dirty set by key, the latest value wins, and goes out when there is
//!   room.

#![allow(missing_docs, reason = "the fields of a variant are told in the variant's own text")]

use std::sync::Arc;

use schema::chat::{ChatCommand, ChatReply, ConversationId, ListCursor, Summary};
use schema::event::TapEvent;
use schema::presence::{OnlineUser, SessionInfo};
use schema::{
    Actor, CloseReason, Device, Event, Id, Key, LastSeen, Realm, Refusal, SessionAddr, SessionRef, Status,
    UserPresence,
};

use super::store::Place;

/// One message from one machine to another.
#[derive(Debug, Clone)]
pub enum Message {
    /// A question to the home of some keys, or to the host of some sessions. `ask` numbers it at the asker; 0:
    /// nobody waits for an answer, and none is given.
    Ask { ask: u64, question: Question },
    /// The answer to the `Ask` with this number.
    Answer { ask: u64, answer: Answer },
    /// The state of some keys. Idempotent; of two values for one key the one with the higher revision counts.
    State(Vec<State>),
    /// Give an event to these sessions of the receiver. With `ask`, answer [`Answer::Reached`].
    Deliver { ask: Option<u64>, sessions: Vec<SessionRef>, event: Arc<Event> },
    /// Give an event to the receiver's subscribers of a channel, but not to `except`. A receiver with too many fan-outs
    /// under way drops it and counts that.
    Publish { channel: Key, event: Arc<Event>, except: Option<SessionAddr> },
    /// Something happened in a conversation with these users of yours: tell their sessions.
    Chat { realm: Realm, users: Arc<[Id]>, event: Arc<Event> },
    /// A session opened or closed at the sender, which the receiver said it wants to hear of.
    Tap(Arc<TapEvent>),
}

/// What one machine asks of another.
#[derive(Debug, Clone)]
pub enum Question {
    /// How are these users of yours? Answered in the order asked.
    Query { realm: Realm, users: Vec<Id> },
    /// How many of your users are online?
    Count { realm: Realm },
    /// Who of your users is online, newest first?
    List { realm: Realm, limit: u32 },
    /// Send to this user of yours.
    Send { to: Key, event: Arc<Event>, except: Option<SessionAddr> },
    /// Publish on this channel of yours.
    Publish { channel: Key, event: Arc<Event>, except: Option<SessionAddr> },
    /// How many subscribers has this channel of yours?
    Occupancy { channel: Key },
    /// Which sessions has this user of yours?
    Sessions { user: Key },
    /// What do you know of these sessions of yours?
    Describe { sessions: Vec<SessionRef> },
    /// End these sessions of yours, of this realm. With `owner`, only those of that user.
    Disconnect { sessions: Vec<SessionRef>, realm: Realm, owner: Option<Id>, reason: CloseReason },
    /// End all sessions of this user of yours.
    DisconnectUser { user: Key, reason: CloseReason },
    /// Do this in a conversation of yours. A service acts as itself. `by`: the session that says so, if one does.
    Chat { who: Actor, by: Option<SessionAddr>, command: Box<ChatCommand> },
    /// Forget what was created before this time in a conversation of yours. Not answered.
    Forget { place: Place, before: u64 },
    /// Which conversations has this user of yours, or (`count`) in how many is something unread?
    Chats { user: Key, listing: Listing },
    /// Take these states of mine, and say so: what waits for the answer may count on them.
    Know { states: Vec<State> },
    /// How do these conversations of yours look to this user? Of those that the list is to have, as many as it takes.
    Summaries { user: Key, conversations: Vec<ConversationId>, listing: Listing },
}

/// Which of a user's conversations are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    /// Bit n for the kind with number n; 0 is all.
    pub kinds: u8,
    /// At most so many rows.
    pub limit: u32,
    /// Only those that stand behind this place.
    pub after: Option<ListCursor>,
    /// Only how many of them have something unread.
    pub count: bool,
}

/// What comes back.
#[derive(Debug, Clone)]
pub enum Answer {
    /// To `Query`.
    Presence(Vec<UserPresence>),
    /// To `Count`.
    Count(u64),
    /// To `Occupancy`.
    Occupancy(u64),
    /// To `List`.
    Users(Vec<OnlineUser>),
    /// To `Send`, `Publish`, `Disconnect`, `DisconnectUser` and [`Message::Deliver`].
    Reached(u32),
    /// To `Sessions` and `Describe`, oldest first; sessions that are gone are left out.
    Sessions(Vec<SessionInfo>),
    /// To `Chat`, `Chats` and `Know`.
    Chat(Box<ChatReply>),
    /// To `Summaries`; conversations that the user is not in, and those that the list would not have, are left out.
    Summaries(Vec<Summary>),
    /// To any of them.
    Refused(Refusal),
}

/// The state of one key.
#[derive(Debug, Clone)]
pub enum State {
    /// Host to home: this session of your user is attached. Sent again (`renew`) when its activity has moved.
    Attached {
        /// The session.
        session: SessionAddr,
        /// Its user.
        user: Key,
        /// What it runs on.
        device: Device,
        /// When it began, wall milliseconds.
        since: u64,
        /// Latest activity, wall milliseconds.
        active_at: u64,
    },
    /// Host to home: this session is over, and stays over whatever comes later.
    Detached {
        /// The session.
        session: SessionAddr,
        /// Its user.
        user: Key,
        /// Why.
        reason: CloseReason,
        /// Latest activity or the end itself, wall milliseconds.
        at: u64,
    },
    /// Host shard to home: somebody here watches this user (or nobody any more).
    Interest {
        /// Who is watched.
        user: Key,
        /// Grows with every change at the sender.
        revision: u64,
        /// Somebody, or nobody.
        on: bool,
    },
    /// Home to interested shard: how this user is.
    Presence {
        /// Who.
        user: Key,
        /// Grows with every change at the sender.
        revision: u64,
        /// How.
        status: Status,
        /// Last seen.
        last_seen: LastSeen,
    },
    /// Host shard to channel home: this many sessions here are subscribed.
    Subscribers {
        /// The channel.
        channel: Key,
        /// Grows with every change at the sender.
        revision: u64,
        /// 0: none any more.
        count: u32,
    },
    /// Shard to every shard: somebody here listens to taps (or nobody any more).
    TapInterest {
        /// Grows with every change at the sender.
        revision: u64,
        /// Somebody, or nobody.
        on: bool,
    },
}
