//! One conversation at its home: what is known of it, and the commands that change it, in their order.
//!
//! A command goes through stages. It starts when nothing before it stands in its way; it may have to read first; then it
//! is planned (it gets its sequence, its time, its rows) when all before it are planned; then it is written; and it takes
//! effect when it and all before it are on stable storage. So what anybody is told is on stable storage, and in order.

use std::collections::VecDeque;
use std::sync::Arc;

use schema::chat::{ChatCommand, ChatReply, MemberChange, Message};
use schema::{Actor, Id, Key, Realm, Refusal, SessionAddr};

use super::super::gather::Whom;
use super::super::slab::Slotted;
use super::super::store::{ChatStored, Horizon, MemberRow, Place};
use super::super::table::HasKey;
use super::facts::Facts;

/// A conversation in the cache.
pub(super) struct Room {
    pub(super) place: Place,
    /// The same as a key of the table.
    pub(super) key: Key,
    /// Tells it from another one that was in the same slot.
    pub(super) serial: u64,
    /// `None`: there is no such conversation, or it is not known yet.
    pub(super) facts: Option<Box<Facts>>,
    pub(super) loading: bool,
    pub(super) queue: VecDeque<Op>,
    /// Lists that wait for it to be known.
    pub(super) lists: Vec<u64>,
    /// Sequences of sends that failed while later ones did not: to be written as deleted.
    pub(super) holes: Vec<(u64, u32)>,
    /// Writings of such sequences under way.
    pub(super) mending: u32,
    /// A message was changed while the newest one was not known: what is being read of it may be older.
    pub(super) stale: bool,
    /// Was used since the cache last looked.
    pub(super) used: bool,
    /// What it counts for in the cache.
    pub(super) bytes: usize,
}

impl Slotted for Room {}

impl HasKey for Room {
    fn key(&self) -> (Realm, &Id) {
        (self.key.realm, &self.key.id)
    }
}

/// A command under way.
pub(super) struct Op {
    pub(super) number: u64,
    pub(super) whom: Whom,
    /// Who sent the same message meanwhile.
    pub(super) also: Vec<Whom>,
    pub(super) who: Actor,
    /// The session that commands, if one does.
    pub(super) by: Option<SessionAddr>,
    pub(super) deed: Deed,
    pub(super) stage: Stage,
}

/// What is to be done: what somebody commands, or what the home does by itself.
pub(super) enum Deed {
    Command(ChatCommand),
    /// Forget what was created before this time.
    Forget {
        before: u64,
    },
    /// Go on with erasing somebody.
    Erase(Erasing),
}

/// Somebody is being erased.
pub(super) struct Erasing {
    pub(super) user: Id,
    /// Messages before this time are to be looked at.
    pub(super) before: u64,
}

/// How far a command has come.
pub(super) enum Stage {
    /// Something before it is in its way.
    Waiting,
    /// The store is reading for it.
    Asked,
    /// It is to be planned, with what was read.
    Read(Option<ChatStored>),
    /// It is being written.
    Writing(Effect),
    /// It is written; something before it is not.
    Written(Effect),
    /// It is over, and changes nothing.
    Over(Result<ChatReply, Refusal>),
}

/// What a command changes once it is on stable storage.
pub(super) enum Effect {
    Made(Box<Facts>),
    Said {
        message: Arc<Message>,
        sender: Option<MemberRow>,
    },
    Edited(Arc<Message>),
    Removed(Arc<Message>),
    Read {
        row: Option<MemberRow>,
        message: Arc<Message>,
        user: Id,
        at: u64,
        told: bool,
    },
    ReadAll {
        row: MemberRow,
        at: u64,
        newly: Vec<u64>,
    },
    Updated(Arc<schema::chat::Conversation>),
    Added(MemberRow),
    Left(u32),
    Changed {
        row: MemberRow,
        change: MemberChange,
        to_all: bool,
    },
    /// A trade that was hidden is shown again to these.
    Shown(Vec<MemberRow>),
    Forgotten(Horizon),
    Gone,
    Erased(Erasure),
}

/// What a step in erasing somebody changes.
pub(super) enum Erasure {
    /// They are a member no longer.
    Out(u32),
    /// Nobody else was a member.
    Gone,
    /// What they wrote is deleted, and names nobody; whether it was not deleted before. Further messages before `next` are
    /// to be looked at.
    Wiped { messages: Vec<(Arc<Message>, bool)>, sends: u32, next: u64 },
    /// Their rows name nobody, and neither does the conversation.
    Unnamed { rows: Vec<u32>, conversation: Option<Arc<schema::chat::Conversation>> },
}

/// What a command must not overlap with.
pub(super) struct Touches<'a> {
    /// Everything.
    all: bool,
    message: Option<u64>,
    /// A member's row; sends of one member may overlap.
    member: Option<(&'a Id, bool)>,
}

impl Op {
    fn touches(&self) -> Touches<'_> {
        let user = &self.who.key.id;
        let Deed::Command(command) = &self.deed else {
            return Touches { all: true, message: None, member: None };
        };
        let (all, message, member) = match command {
            ChatCommand::Send(_) => (false, None, Some((user, true))),
            ChatCommand::Edit { message, .. } | ChatCommand::Remove { message } => {
                (false, Some(message.at), None)
            }
            ChatCommand::Read { message } => (false, Some(message.at), Some((user, false))),
            ChatCommand::ReadAll { .. } => (false, None, Some((user, false))),
            _ => (true, None, None),
        };
        Touches { all, message, member }
    }

    fn conflicts(&self, earlier: &Self) -> bool {
        let (one, other) = (self.touches(), earlier.touches());
        let same_member = match (one.member, other.member) {
            (Some((one, sends)), Some((other, also_sends))) => one == other && !(sends && also_sends),
            _ => false,
        };
        one.all || other.all || same_member || (one.message.is_some() && one.message == other.message)
    }

    /// Its sequence, its time and its rows are settled.
    pub(super) fn is_planned(&self) -> bool {
        matches!(self.stage, Stage::Writing(_) | Stage::Written(_) | Stage::Over(_))
    }

    /// The client's own name for the message it sends.
    pub(super) fn client_id(&self) -> Option<&str> {
        match &self.deed {
            Deed::Command(ChatCommand::Send(draft)) => draft.client_id.as_deref(),
            _ => None,
        }
    }
}

impl Room {
    pub(super) fn new(place: Place, serial: u64) -> Self {
        Self {
            place,
            key: Key::new(place.0, place.1.id()),
            serial,
            facts: None,
            loading: false,
            queue: VecDeque::new(),
            lists: Vec::new(),
            holes: Vec::new(),
            mending: 0,
            stale: false,
            used: true,
            bytes: 0,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        let mended = self.holes.is_empty() && self.mending == 0;
        self.queue.is_empty() && !self.loading && self.lists.is_empty() && mended
    }

    /// The place of the first command that has not started and may; commands start in their order.
    pub(super) fn startable(&self) -> Option<usize> {
        let at = self.queue.iter().position(|op| matches!(op.stage, Stage::Waiting))?;
        let op = &self.queue[at];
        let clear = self.queue.iter().take(at).all(|earlier| !op.conflicts(earlier));
        clear.then_some(at)
    }

    /// The place of the first command that is to be planned, if all before it are.
    pub(super) fn plannable(&self) -> Option<usize> {
        let at = self.queue.iter().position(|op| !op.is_planned())?;
        matches!(self.queue[at].stage, Stage::Read(_)).then_some(at)
    }

    /// Whether the first command is through.
    pub(super) fn is_through(&self) -> bool {
        self.queue.front().is_some_and(|op| matches!(op.stage, Stage::Written(_) | Stage::Over(_)))
    }

    pub(super) fn op(&mut self, number: u64) -> Option<&mut Op> {
        self.queue.iter_mut().find(|op| op.number == number)
    }

    /// A send of this user with this client id that is under way.
    pub(super) fn same_send(&mut self, user: &Id, client_id: &str) -> Option<&mut Op> {
        self.queue.iter_mut().find(|op| {
            op.client_id() == Some(client_id) && op.who.key.id == *user && !matches!(op.stage, Stage::Over(_))
        })
    }
}
