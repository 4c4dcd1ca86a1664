//! The calls about conversations.
//!
//! ```no_run
//! use client::blocking::{Client, Event, Options};
//! use schema::Id;
//! use schema::chat::{ChatEvent, Draft, Kind, NewConversation, NewMember, Role};
//!
//! # fn main() -> Result<(), client::Error> {
//! let mut client = Client::connect(Options::new("127.0.0.1:7400", "eyJhbGciOi…"))?;
//! client.chat().follow(true)?;
//! let (conversation, _) = client.chat().create(NewConversation {
//!     id: None,
//!     kind: Kind::Direct,
//!     name: None,
//!     members: vec![NewMember { user: Id::new("user-2")?, role: Role::Member }],
//!     extra: [].into(),
//! })?;
//! // With a name of its own a message may be sent again when the answer was lost: it is said once.
//! let draft = Draft {
//!     conversation: conversation.id,
//!     client_id: Some("draft-1".into()),
//!     kind: 0,
//!     content: "hello".into(),
//!     attachment: None,
//! };
//! client.chat().send(draft)?;
//! let mut seen = 0;
//! loop {
//!     match client.next_event(std::time::Duration::from_secs(60))? {
//!         Some(Event::Chat(ChatEvent::Said(message))) => seen = message.id.at,
//!         // The client follows again by itself. What was said meanwhile is history.
//!         Some(Event::Connected(_)) => loop {
//!             let page = client.chat().history(conversation.id, None, Some(seen), true, 100)?;
//!             seen = page.messages.first().map_or(seen, |newest| newest.id.at);
//!             if !page.more {
//!                 break;
//!             }
//!         },
//!         _ => {}
//!     }
//! }
//! # }
//! ```

use std::sync::Arc;

use schema::chat::{
    ChatCommand, ChatReply, Conversation, ConversationId, Draft, History, Kind, ListCursor, Member,
    MemberChange, Message, MessageId, NewConversation, Role, Summary, Whose,
};
use schema::command::Payload;
use schema::{Command, Id, Refusal, Reply};

use super::Client;
use crate::error::Error;

/// The calls about conversations, from [`Client::chat`] or [`Client::chat_as`]. The words are those of
/// [`ChatCommand`], where it is told who may do what.
#[derive(Debug)]
pub struct Chat<'a> {
    client: &'a mut Client,
    acting: Option<Id>,
}

impl Client {
    /// What is said about conversations: by a user for itself, by a service as itself.
    pub fn chat(&mut self) -> Chat<'_> {
        Chat { client: self, acting: None }
    }

    /// The same by a service for this user.
    pub fn chat_as(&mut self, user: &Id) -> Chat<'_> {
        Chat { client: self, acting: Some(user.clone()) }
    }
}

/// Bit n for the kind with number n; of no kinds 0, which is all of them.
fn mask(kinds: &[Kind]) -> u8 {
    kinds.iter().fold(0, |mask, kind| mask | 1 << *kind as u8)
}

impl Chat<'_> {
    /// Makes a conversation, or finds the one that is there; whether it is new.
    ///
    /// # Errors
    /// See [`Client::call`], as for all of these.
    pub fn create(&mut self, new: NewConversation) -> Result<(Arc<Conversation>, bool), Error> {
        match self.ask(ChatCommand::Create(Box::new(new)))? {
            ChatReply::Made { conversation, new } => Ok((conversation, new)),
            _ => Err(Error::Unexpected("create")),
        }
    }

    /// Which conversation is this? With its members; `members_count` says when there are more than an answer takes.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn find(&mut self, conversation: ConversationId) -> Result<Arc<Conversation>, Error> {
        self.conversation(ChatCommand::Find { conversation })
    }

    /// The conversations of these kinds (none: of all), the ones written to last first, and whether there are more.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn list(&mut self, kinds: &[Kind], limit: u32) -> Result<(Vec<Summary>, bool), Error> {
        self.list_after(kinds, limit, None)
    }

    /// The same, from behind a place of the list on: [`ListCursor::of`] the last row that came before.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn list_after(
        &mut self,
        kinds: &[Kind],
        limit: u32,
        after: Option<ListCursor>,
    ) -> Result<(Vec<Summary>, bool), Error> {
        match self.ask(ChatCommand::List { kinds: mask(kinds), limit, after })? {
            ChatReply::Summaries { rows, more } => Ok((rows, more)),
            _ => Err(Error::Unexpected("list")),
        }
    }

    /// In how many conversations of these kinds (none: of all) are unread messages?
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn count_unread(&mut self, kinds: &[Kind]) -> Result<u64, Error> {
        self.count(ChatCommand::CountUnread { kinds: mask(kinds) })
    }

    /// Changes its name or what is kept with it; `None` leaves as it is.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn update(
        &mut self,
        conversation: ConversationId,
        name: Option<&str>,
        extra: Option<Payload>,
    ) -> Result<Arc<Conversation>, Error> {
        self.conversation(ChatCommand::Update { conversation, name: name.map(Arc::from), extra })
    }

    /// Adds somebody to a group.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn add_member(
        &mut self,
        conversation: ConversationId,
        user: &Id,
        role: Role,
    ) -> Result<Member, Error> {
        self.member(ChatCommand::AddMember { conversation, user: user.clone(), role })
    }

    /// Takes somebody out of a group.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn remove_member(&mut self, conversation: ConversationId, member: Whose) -> Result<(), Error> {
        self.done(ChatCommand::RemoveMember { conversation, member })
    }

    /// Pins, hides or blocks a conversation, or no longer.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn set_member(
        &mut self,
        conversation: ConversationId,
        change: MemberChange,
    ) -> Result<Member, Error> {
        self.member(ChatCommand::SetMember { conversation, change })
    }

    /// Removes a conversation with all that was said.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn delete(&mut self, conversation: ConversationId) -> Result<(), Error> {
        self.done(ChatCommand::Delete { conversation })
    }

    /// Says something. When this returns, the message is on stable storage. The flag says that it had been said before:
    /// the `client_id` was known.
    ///
    /// # Errors
    /// See [`Client::call`]. After [`Error::Disconnected`] or [`Error::Timeout`], send it again with the same
    /// `client_id`.
    pub fn send(&mut self, draft: Draft) -> Result<(Message, bool), Error> {
        match self.ask(ChatCommand::Send(Box::new(draft)))? {
            ChatReply::Message { message, again } => Ok((message, again)),
            _ => Err(Error::Unexpected("send")),
        }
    }

    /// Changes what was said.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn edit(&mut self, message: MessageId, content: &str) -> Result<Message, Error> {
        self.said(ChatCommand::Edit { message, content: content.into() })
    }

    /// Takes back what was said; again is no error.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn remove(&mut self, message: MessageId) -> Result<Message, Error> {
        self.said(ChatCommand::Remove { message })
    }

    /// One message, its receipts included.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn message(&mut self, message: MessageId) -> Result<Message, Error> {
        self.said(ChatCommand::Message { message })
    }

    /// A message is read.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn read(&mut self, message: MessageId) -> Result<(), Error> {
        self.done(ChatCommand::Read { message })
    }

    /// Everything created up to this time is read; `None`: all there is.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn read_all(&mut self, conversation: ConversationId, up_to: Option<u64>) -> Result<(), Error> {
        self.done(ChatCommand::ReadAll { conversation, up_to })
    }

    /// What was said between two creation times, both exclusive, newest first: at most `limit` messages, the newest of
    /// them or, `forward`, the oldest. A page that would be too long for one answer is asked for with half the limit,
    /// until it is not; [`History::more`] then says so.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn history(
        &mut self,
        conversation: ConversationId,
        before: Option<u64>,
        after: Option<u64>,
        forward: bool,
        limit: u16,
    ) -> Result<History, Error> {
        let mut limit = limit;
        loop {
            match self.ask(ChatCommand::History { conversation, before, after, forward, limit }) {
                Ok(ChatReply::History(page)) => return Ok(page),
                Ok(_) => return Err(Error::Unexpected("history")),
                Err(Error::Refused(refused)) if refused.refusal() == Some(Refusal::TooMany) && limit > 1 => {
                    limit /= 2;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// How many messages of a conversation are not read?
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn unread(&mut self, conversation: ConversationId) -> Result<u64, Error> {
        self.count(ChatCommand::Unread { conversation })
    }

    /// Tells who is typing, as [`super::Event::Chat`]; a service everything that happens. Also after a reconnect.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn join(&mut self, conversation: ConversationId) -> Result<(), Error> {
        self.done(ChatCommand::Join { conversation })
    }

    /// No longer.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn leave(&mut self, conversation: ConversationId) -> Result<(), Error> {
        self.done(ChatCommand::Leave { conversation })
    }

    /// The user types, or no longer.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn typing(&mut self, conversation: ConversationId, on: bool) -> Result<(), Error> {
        self.done(ChatCommand::Typing { conversation, on })
    }

    /// Tells what happens in the user's conversations, as [`super::Event::Chat`], or no longer. Also after a reconnect;
    /// what happened in between is to be had from [`Chat::list`] and [`Chat::history`].
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn follow(&mut self, on: bool) -> Result<(), Error> {
        self.done(ChatCommand::Follow { on })
    }

    fn call(&mut self, command: ChatCommand) -> Result<Reply, Error> {
        self.client.call(&Command::Chat { acting: self.acting.clone(), command: Box::new(command) })
    }

    fn ask(&mut self, command: ChatCommand) -> Result<ChatReply, Error> {
        let name = command.name();
        match self.call(command)? {
            Reply::Chat(reply) => Ok(*reply),
            _ => Err(Error::Unexpected(name)),
        }
    }

    /// On the wire this is the same `Done` as that of other commands.
    fn done(&mut self, command: ChatCommand) -> Result<(), Error> {
        let name = command.name();
        match self.call(command)? {
            Reply::Done => Ok(()),
            _ => Err(Error::Unexpected(name)),
        }
    }

    /// On the wire this is the same `CountIs` as that of other commands.
    fn count(&mut self, command: ChatCommand) -> Result<u64, Error> {
        let name = command.name();
        match self.call(command)? {
            Reply::Count(count) => Ok(count),
            _ => Err(Error::Unexpected(name)),
        }
    }

    fn conversation(&mut self, command: ChatCommand) -> Result<Arc<Conversation>, Error> {
        let name = command.name();
        match self.ask(command)? {
            ChatReply::Conversation(conversation) => Ok(conversation),
            _ => Err(Error::Unexpected(name)),
        }
    }

    fn member(&mut self, command: ChatCommand) -> Result<Member, Error> {
        let name = command.name();
        match self.ask(command)? {
            ChatReply::Member { member, .. } => Ok(member),
            _ => Err(Error::Unexpected(name)),
        }
    }

    fn said(&mut self, command: ChatCommand) -> Result<Message, Error> {
        let name = command.name();
        match self.ask(command)? {
            ChatReply::Message { message, .. } => Ok(message),
            _ => Err(Error::Unexpected(name)),
        }
    }
}
