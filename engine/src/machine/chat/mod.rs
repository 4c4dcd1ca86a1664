//! Conversations: the home of each is its one writer.
//!
//! ```text
//!  command ─► its home ─► room ─► queue ─► plan ─► store ─► effect ─┬─► reply
//!               (routes)  (cache)  (order)  (pure)  (durable)       └─► posts ─► members' homes ─► their sessions
//! ```
//!
//! `facts` is what is known of a conversation (`names`: which client ids), `room` its queue, `plan` what a command does to it, `pace` when it is said to
//! have been said; `rooms` drives the four. `ask` reads without changing, `list` gathers a user's conversations, `post` tells
//! the members, `retention` forgets what is too old, `erase` what somebody wrote and was, and `sessions` is what a session's
//! host does: follow, join, typing.
//!
//! A conversation that is not in memory is loaded while its commands wait in order; one that is not used makes room.

mod ask;
mod erase;
mod facts;
mod list;
mod names;
mod pace;
mod plan;
mod post;
mod retention;
mod room;
mod rooms;
mod sessions;

use std::collections::{BTreeMap, VecDeque};

use schema::chat::{ChatCommand, ConversationId, Kind, NewConversation};
use schema::{Actor, Id, Key, Refusal, SessionAddr, ShardId};

use super::Machine;
use super::command::{Caller, Outcome};
use super::message::{Listing, Message, Question};
use super::store::{ChatAnswer, ChatAsk, ChatRequest, ChatStored};
use super::table::Keyed;
use super::{Output, gather::Whom};
use crate::limits::DELIVERY_BUDGET;

pub(super) use list::listed;

/// Parts of the table of conversations.
const PARTS: usize = 256;

/// Everything of a shard's conversations.
pub(super) struct Chats {
    rooms: Keyed<room::Room>,
    /// Conversations that have something to be driven, and where the cache looks next.
    serial: u64,
    hand: u32,
    bytes: usize,
    /// Commands in the queues of all rooms.
    ops: usize,
    last_request: u64,
    under_way: BTreeMap<u64, Asked>,
    lists: BTreeMap<u64, list::Collect>,
    /// Messages for other shards that had no room for them.
    outgoing: VecDeque<(ShardId, Message)>,
    posts: post::Posts,
    /// Numbers given to conversations made here.
    made: u64,
    round: retention::Round,
}

/// What a request to the store is for.
enum Asked {
    /// These rooms: slot and serial.
    Load(Vec<(u32, u64)>),
    /// A command's reading or writing: slot and serial of the room, and the command.
    Step { slot: u32, serial: u64, op: u64 },
    /// Sequences that were never written.
    Holes { slot: u32, serial: u64, holes: Vec<(u64, u32)> },
    /// An answer to somebody.
    Read(ask::Reading),
    /// A user's conversations.
    Memberships(list::Wanted),
    /// Conversations with messages that are too old.
    Aged,
    /// Where somebody is named, for who has this ticket.
    Traces(u64),
}

impl Chats {
    pub(super) fn new(hasher: ahash::RandomState) -> Self {
        Self {
            rooms: Keyed::new(PARTS, hasher),
            serial: 0,
            hand: 0,
            bytes: 0,
            ops: 0,
            last_request: 0,
            under_way: BTreeMap::new(),
            lists: BTreeMap::new(),
            outgoing: VecDeque::new(),
            posts: post::Posts::default(),
            made: 0,
            round: retention::Round::default(),
        }
    }

    /// Commands and requests under way, and what is still to be told.
    pub(super) fn busy(&self) -> usize {
        self.ops + self.under_way.len() + self.lists.len() + self.outgoing.len() + self.posts.len()
    }

    /// Conversations in memory, and their bytes.
    pub(super) fn cached(&self) -> (u32, usize) {
        (self.rooms.len(), self.bytes)
    }

    /// Whether there are more conversations in memory than there should be.
    pub(super) fn is_large(&self, most: usize) -> bool {
        self.bytes > most
    }

    /// Whether anything waits that time alone moves on.
    pub(super) fn is_behind(&self) -> bool {
        !self.posts.is_empty() || !self.outgoing.is_empty()
    }
}

impl Machine {
    /// A command about conversations.
    pub(super) fn chat(&mut self, caller: &Caller, acting: Option<Id>, command: ChatCommand) -> Outcome {
        self.counters.chats[command.index()] += 1;
        let who = acting_as(caller, acting)?;
        self.check_chat(&command)?;
        match command {
            ChatCommand::Follow { on } => self.follow(caller, on),
            ChatCommand::Join { conversation } => self.join(caller, who, conversation),
            ChatCommand::Leave { conversation } => self.leave(caller, conversation),
            ChatCommand::List { kinds, limit, after } => {
                let listing = Listing { kinds, limit, after, count: false };
                let question = Question::Chats { user: who.key.clone(), listing };
                self.ask_home(caller.whom, &who.key, question)
            }
            ChatCommand::CountUnread { kinds } => {
                let listing = Listing { kinds, limit: 0, after: None, count: true };
                let question = Question::Chats { user: who.key.clone(), listing };
                self.ask_home(caller.whom, &who.key, question)
            }
            command => {
                if let ChatCommand::Typing { conversation, on } = command {
                    self.note_typing(caller, &who.key.id, conversation, on);
                }
                let command = self.with_id(&who, command)?;
                let conversation = command.conversation().ok_or(Refusal::Invalid)?;
                let key = Key::new(who.key.realm, conversation.id());
                let by = caller.session.map(|session| self.addr(session));
                self.ask_home(caller.whom, &key, Question::Chat { who, by, command: Box::new(command) })
            }
        }
    }

    /// A conversation that is to be gets its id.
    fn with_id(&mut self, who: &Actor, command: ChatCommand) -> Result<ChatCommand, Refusal> {
        let ChatCommand::Create(mut new) = command else { return Ok(command) };
        if new.id.is_none() {
            new.id = Some(match new.kind {
                Kind::Direct => pair(who, &new)?,
                _ => self.random_id(),
            });
        } else if new.kind == Kind::Direct && new.id != Some(pair(who, &new)?) {
            return Err(Refusal::Invalid);
        }
        Ok(ChatCommand::Create(new))
    }

    /// An id that no other conversation has: 78 bits of a keyed hash of what is never the same twice.
    fn random_id(&mut self) -> ConversationId {
        self.chats.made += 1;
        let what = (self.incarnation, self.shard.0, self.chats.made, self.now.wall);
        let (high, low) = (self.hasher.hash_one((what, 1)), self.hasher.hash_one((what, 2)));
        ConversationId::from_number(u128::from(high) << 64 | u128::from(low))
    }

    /// Refuses what is too long or empty before anything is done with it.
    fn check_chat(&self, command: &ChatCommand) -> Result<(), Refusal> {
        let limits = &self.limits;
        let content = |content: &str| match content.len() > limits.content as usize * 4
            || content.chars().count() > limits.content as usize
        {
            true => Err(Refusal::TooLarge),
            false => Ok(()),
        };
        let name = |name: &Option<std::sync::Arc<str>>| match name {
            Some(name) if name.trim().is_empty() => Err(Refusal::Invalid),
            Some(name) if name.len() > limits.name as usize => Err(Refusal::TooLarge),
            _ => Ok(()),
        };
        let extra = |extra: &[u8]| match extra.len() > limits.extra as usize {
            true => Err(Refusal::TooLarge),
            false => Ok(()),
        };
        match command {
            ChatCommand::Create(new) => {
                name(&new.name)?;
                extra(&new.extra)?;
                if new.members.len() > limits.members as usize { Err(Refusal::LimitReached) } else { Ok(()) }
            }
            ChatCommand::Update { name: new, extra: bytes, .. } => {
                name(new)?;
                extra(bytes.as_deref().unwrap_or_default())
            }
            ChatCommand::Send(draft) => {
                if draft.content.is_empty() && draft.attachment.is_none() {
                    return Err(Refusal::Invalid);
                }
                if draft.client_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > schema::id::ID_MAX) {
                    return Err(Refusal::Invalid);
                }
                if draft.attachment.as_ref().is_some_and(|it| it.url.len() > 2_048 || it.kind.len() > 32) {
                    return Err(Refusal::TooLarge);
                }
                content(&draft.content)
            }
            ChatCommand::Edit { content: new, .. } => content(new),
            ChatCommand::History { limit, .. } if *limit == 0 => Err(Refusal::Invalid),
            _ => Ok(()),
        }
    }

    /// Asks the store.
    fn ask_chats(&mut self, ask: ChatAsk, what: Asked) {
        self.chats.last_request += 1;
        let request = self.chats.last_request;
        self.chats.under_way.insert(request, what);
        self.output(Output::Chat(ChatRequest { request, ask }));
    }

    /// The store answers.
    pub(super) fn chat_stored(&mut self, answer: ChatAnswer) {
        let ChatAnswer { request, stored } = answer;
        let Some(asked) = self.chats.under_way.remove(&request) else { return };
        if let ChatStored::Failed { .. } = stored {
            self.counters.chats_failed += 1;
        }
        match asked {
            Asked::Load(rooms) => self.loaded(rooms, stored),
            Asked::Step { slot, serial, op } => self.stepped(slot, serial, op, stored),
            Asked::Holes { slot, serial, holes } => self.holes_written(slot, serial, holes, &stored),
            Asked::Read(reading) => self.have_read(reading, stored),
            Asked::Memberships(wanted) => self.memberships(wanted, stored),
            Asked::Aged => self.aged(stored),
            Asked::Traces(ticket) => self.traces_found(ticket, stored),
        }
    }

    /// Goes on with what was too much, or had no room.
    pub(super) fn advance_chats(&mut self, budget: usize) {
        self.send_outgoing();
        self.advance_posts(budget.min(DELIVERY_BUDGET));
        self.make_room(budget);
    }

    /// Whether what nobody waits for may take a place among the commands: half of them are people's alone.
    fn has_place_for_upkeep(&self) -> bool {
        self.chats.ops < (self.limits.chat_commands as usize / 2).max(1)
    }

    /// Everything of it is answered and told.
    pub(super) fn chats_are_quiet(&self) -> bool {
        self.chats.ops == 0 && self.chats.under_way.is_empty() && !self.chats.is_behind()
    }

    /// A question about conversations of this home.
    pub(super) fn chat_question(
        &mut self,
        whom: Whom,
        who: (Actor, Option<SessionAddr>),
        command: ChatCommand,
    ) -> Result<(), Refusal> {
        let conversation = command.conversation().ok_or(Refusal::Invalid)?;
        self.enter(whom, who, conversation, command)
    }
}

fn acting_as(caller: &Caller, acting: Option<Id>) -> Result<Actor, Refusal> {
    match acting {
        None => Ok(Actor { key: caller.key.clone(), service: caller.service }),
        Some(user) if caller.service || user == caller.key.id => {
            Ok(Actor { key: Key::new(caller.key.realm, user), service: false })
        }
        Some(_) => Err(Refusal::Forbidden),
    }
}

/// The id of a direct conversation.
fn pair(who: &Actor, new: &NewConversation) -> Result<ConversationId, Refusal> {
    let mut users: Vec<&Id> = new.members.iter().map(|member| &member.user).collect();
    if !who.service {
        users.push(&who.key.id);
    }
    users.sort();
    users.dedup();
    match users[..] {
        [one, other] => Ok(ConversationId::of_pair(one, other)),
        _ => Err(Refusal::Invalid),
    }
}
