//! The store as the machine sees it: what it asks, and what comes back.
//!
//! Presence ([`StoreRequest::PutSeen`] and its like) may be lost for some seconds, and is written coalesced.
//! What is said ([`ChatRequest`]) is answered [`ChatStored::Written`] when it is on stable storage, and not before.
//!
//! A conversation has one writer, its home, which gives out sequence numbers and creation times. An adapter gets the
//! writes of a conversation in their order and answers them in any; a read sees every write that was answered before it
//! was asked. A write is all or nothing. One that is answered [`ChatStored::Failed`] has not happened and will not: an
//! adapter that cannot know goes on trying, and answers when it knows.

#![allow(missing_docs, reason = "the fields of a variant are told in the variant's own text")]

use std::sync::Arc;

use schema::chat::{Conversation, ConversationId, Kind, Member, Message};
use schema::{Id, Key, LastSeen, Realm};

/// One user's row in `last_seen` and `online_journal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRow {
    /// Whose.
    pub user: Key,
    /// Milliseconds since the Unix epoch. An adapter keeps the larger of this and what it has.
    pub last_seen: u64,
    /// Whether the user is (still) to be in the online journal.
    pub online: bool,
}

/// What a machine asks. `request` numbers it at the asker; each gets exactly one reply.
#[derive(Clone, Debug)]
pub enum StoreRequest {
    /// Write these rows; at most [`crate::limits::STORE_BATCH`].
    PutSeen { request: u64, rows: Vec<SeenRow> },
    /// Read last seen of these users; at most [`crate::limits::STORE_BATCH`].
    GetSeen { request: u64, users: Vec<Key> },
    /// Read the online journal of this shard's users, from the start or after the last user of the batch before.
    /// Asked at the start, batch by batch.
    Journal { request: u64, after: Option<Key> },
    /// Forget this user: last seen, and that they were online. What was asked before it is done before it.
    Forget { request: u64, user: Key },
}

/// What comes back.
#[derive(Clone, Debug)]
pub enum StoreReply {
    /// All rows are written.
    Put { request: u64 },
    /// Last seen in the order asked: [`LastSeen::At`] or [`LastSeen::Never`].
    Seen { request: u64, last_seen: Vec<LastSeen> },
    /// Some users who were online when the server went down, with their last seen, and whether there are more.
    Journal { request: u64, users: Vec<(Key, u64)>, more: bool },
    /// The user is forgotten, and whether there was anything.
    Forgotten { request: u64, found: bool },
    /// It could not be done; the text is for the log. The machine tries writes again.
    Failed { request: u64, error: String },
}

/// What a machine asks about conversations. `request` numbers it at the asker, apart from [`StoreRequest`]s; each gets
/// exactly one answer.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// The number.
    pub request: u64,
    /// What is asked.
    pub ask: ChatAsk,
}

/// The answer to a [`ChatRequest`].
#[derive(Clone, Debug)]
pub struct ChatAnswer {
    /// The request's number.
    pub request: u64,
    /// What became of it.
    pub stored: ChatStored,
}

/// A conversation as the store knows it.
pub type Place = (Realm, ConversationId);

/// Client ids, each with the row of who sent something under it.
pub type ClientIds = Vec<(u32, Box<str>)>;

/// What is asked about conversations.
#[derive(Clone, Debug)]
pub enum ChatAsk {
    /// Write all of this, or nothing. Answered `Written`.
    Write(Box<Write>),
    /// Everything but the messages of these conversations; at most [`crate::limits::CHAT_BATCH`]. Answered `Loaded`.
    Load { places: Vec<Place> },
    /// Messages created before `before` and after `after` (both exclusive), newest first, with receipts if `receipts`.
    /// `forward`: the oldest of them, still newest first. Answered `Page`.
    Page { place: Place, before: u64, after: u64, forward: bool, limit: u16, receipts: bool },
    /// One message, with its receipts. Answered `Message`.
    Message { place: Place, at: u64 },
    /// The creation time of the message that somebody sent under this client id, if that was after `since`: who is, or
    /// was, a member with these rows, the first that has one counts. Answered `Sent`.
    Sent { place: Place, rows: Box<[u32]>, client_id: Arc<str>, since: u64 },
    /// All client ids that are remembered of members with these rows, if of none they are more than `limit`. Answered `Names`.
    Names { place: Place, rows: Box<[u32]>, limit: u32 },
    /// The conversations of a user in the order of their ids, after this one. Answered `Memberships`.
    Memberships { user: Key, after: Option<ConversationId>, limit: u32 },
    /// Of the next `limit` conversations after this one (in the order of realm and id), those that have messages created
    /// before the time for their kind: that of the kind with number n is at n - 1, and 0 is never. Answered `Aged`.
    Aged { after: Option<Place>, before: Box<[u64; Kind::ALL.len()]>, limit: u32 },
    /// Of the next conversations of the user's realm after this one (in the order of their ids), those that name the user: as
    /// a member, as one who has left, or as who made them. So many are looked at as `limit` says, or fewer. Answered `Traces`.
    Traces { user: Key, after: Option<ConversationId>, limit: u32 },
}

/// What comes back.
#[derive(Clone, Debug)]
pub enum ChatStored {
    /// It is on stable storage.
    Written,
    /// In the order asked; `None`: there is no such conversation.
    Loaded(Vec<Option<Box<Loaded>>>),
    /// Some messages, newest first, and whether more lie beyond the last (with `forward`: beyond the first).
    Page { messages: Vec<Message>, more: bool },
    /// The message, if there is one.
    Message(Option<Box<Message>>),
    /// The creation time, if there is one.
    Sent(Option<u64>),
    /// Of these rows, client ids with the row of who sent under them; `None`: there are too many.
    Names { rows: Box<[u32]>, names: Option<ClientIds> },
    /// Some ids, and whether there are more.
    Memberships { conversations: Vec<ConversationId>, more: bool },
    /// Conversations with the time that their kind has, and after which one to go on; `None`: there are no more.
    Aged { places: Vec<(Place, u64)>, next: Option<Place> },
    /// Where the user is named, and after which conversation to go on; `None`: there are no more.
    Traces { found: Vec<Trace>, next: Option<ConversationId> },
    /// It was not done and will not be; the text is for the log.
    Failed { failure: ChatFailure, error: String },
}

/// Why the store did not do what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChatFailure {
    /// Too much is on its way: try again at once.
    Busy,
    /// No room on the disk, or it fails: try again later.
    Unavailable,
}

/// What names a user in a conversation, beside messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Which conversation.
    pub conversation: ConversationId,
    /// Rows that were ever theirs, and whether they are in it with that one.
    pub rows: Vec<(u32, bool)>,
    /// They have made it.
    pub made: bool,
}

/// One command's changes to one conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Which.
    pub place: Place,
    /// What.
    pub parts: Vec<Part>,
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// The conversation is made, or its name, extra or time of change is another. Members are not part of it
    /// (`members` is empty, `members_count` is to be ignored).
    Conversation(Arc<Conversation>),
    /// The conversation is no more: everything of it goes, messages perhaps later.
    Gone,
    /// A member is added, or has changed.
    Member(MemberRow),
    /// A member has left. The row's number is not given out again.
    MemberGone { row: u32, user: Id },
    /// A message is new, or has changed (same creation time). Its receipts are not part of it.
    Message(Arc<Message>),
    /// A member has read a message.
    Receipt { message: u64, row: u32, at: u64 },
    /// A message was deleted: its sequence, and its sender's row. Comes with the changed message.
    Deleted { sequence: u64, row: u32 },
    /// The message that a client id stands for, by its creation time. May be forgotten after the retention window.
    Sent { row: u32, client_id: Arc<str>, message: u64 },
    /// This message and all before it are forgotten: no read sees them from now on, nor their receipts, nor what was
    /// deleted among them. Their rows may go later.
    Forgotten(Horizon),
}

/// The newest message of a conversation that was forgotten for its age. What follows from the newest message there is
/// (the next sequence and time, how much each of two has sent) follows from this one when there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Horizon {
    /// Its creation time.
    pub at: u64,
    /// Its sequence.
    pub sequence: u64,
    /// Its sender's row.
    pub row: u32,
    /// How many messages the sender had sent by then, in conversations of two.
    pub sent: u64,
}

impl Horizon {
    /// With this message and all before it forgotten.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        Self { at: message.id.at, sequence: message.sequence, row: message.row, sent: message.sent }
    }

    /// Messages that a member of a conversation of two had sent by then.
    #[must_use]
    pub fn sent_by(&self, row: u32) -> u64 {
        if row == self.row { self.sent } else { self.sequence.saturating_sub(self.sent) }
    }
}

/// A member, and what only the store and the home need of it.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberRow {
    /// As it is told.
    pub member: Member,
    /// Everything up to this sequence counts as read. At least what `member.read_to` says.
    pub floor: u64,
    /// Messages of its own up to `floor`; kept for conversations of two.
    pub sent_at_floor: u64,
    /// Sequences beyond `floor` that were read one by one, as ranges (first, last) in order.
    pub singles: Vec<(u64, u64)>,
}

/// How many of those who have left are remembered in memory: somebody who comes back is still who they were.
pub const LEFT: usize = 1_000;

/// A conversation as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The conversation; `members` is empty and `members_count` is 0.
    pub conversation: Conversation,
    /// Its members in the order of their rows.
    pub members: Vec<MemberRow>,
    /// The highest row that was ever given out.
    pub last_row: u32,
    /// Who has left, in the order of their rows; of many the last [`LEFT`].
    pub left: Vec<(u32, Id)>,
    /// Deleted messages: sequence and sender's row, in order.
    pub deleted: Vec<(u64, u32)>,
    /// The newest message, deleted or not.
    pub newest: Option<Message>,
    /// The newest message that is not deleted.
    pub last: Option<Message>,
    /// What was forgotten; nothing of it is in the other fields.
    pub forgotten: Option<Horizon>,
}
