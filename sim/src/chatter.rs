//! What people do in conversations: a deed of small numbers becomes a command about rooms and messages that there are,
//! have been, or never were.

use std::sync::Arc;

use schema::chat::{
    ChatCommand, ConversationId, Draft, Kind, ListCursor, MemberChange, MessageId, NewConversation,
    NewMember, Role, Whose,
};
use schema::{Actor, Command, Id, Key};

use crate::luck::Luck;
use crate::world::World;

/// Messages that may be sent again.
const DRAFTS: usize = 24;

/// A command about conversations, by small numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChatDeed {
    /// Which command.
    pub what: u8,
    /// In which conversation.
    pub room: u8,
    /// Which message, user or way.
    pub first: u8,
    /// How.
    pub second: u8,
    /// For whom, if a service does it.
    pub acting: u8,
}

/// How often each command is given: its number, of a hundred and some.
const SHARES: [(u8, u64); 23] = [
    (0, 7),
    (1, 24),
    (2, 24),
    (3, 14),
    (4, 6),
    (5, 4),
    (6, 7),
    (7, 5),
    (8, 10),
    (9, 2),
    (10, 6),
    (11, 4),
    (12, 2),
    (13, 2),
    (14, 1),
    (15, 4),
    (16, 4),
    (17, 3),
    (18, 1),
    (19, 4),
    (20, 1),
    (21, 5),
    (22, 4),
];

impl ChatDeed {
    /// The next thing that somebody does.
    pub fn draw(luck: &mut Luck) -> Self {
        let mut at = luck.below(SHARES.iter().map(|share| share.1).sum());
        let mut what = 0;
        for (number, share) in SHARES {
            what = number;
            if at < share {
                break;
            }
            at -= share;
        }
        let [room, first, second, acting] = [luck.byte(), luck.byte(), luck.byte(), luck.byte()];
        Self { what, room, first, second, acting }
    }

    /// Whether something is said.
    pub(crate) fn is_send(self) -> bool {
        (1..=3).contains(&self.what)
    }

    /// The one that follows it so many places later.
    pub(crate) fn next(self, places: u8) -> Self {
        Self { second: self.second.wrapping_add(places), ..self }
    }
}

impl World {
    /// The command that a deed stands for when this one does it.
    pub(crate) fn chat_command(&mut self, actor: &Actor, deed: ChatDeed) -> Command {
        let acting = match (actor.service, deed.acting) {
            (true, at) if !at.is_multiple_of(8) => Some(self.names.user(at)),
            (false, 0..8) => Some(actor.key.id.clone()),
            (false, 8..12) => Some(self.names.user(deed.second)),
            _ => None,
        };
        let user = Key::new(actor.key.realm, acting.clone().unwrap_or_else(|| actor.key.id.clone()));
        if deed.what == 3
            && let Some((acting, draft)) = self.again(actor, &user, deed)
        {
            return Command::Chat { acting, command: Box::new(ChatCommand::Send(Box::new(draft))) };
        }
        let command = Box::new(self.chat_of(&user, deed));
        Command::Chat { acting, command }
    }

    /// A message that was sent lately, by the same user or by whomever a service acts for.
    fn again(&self, actor: &Actor, user: &Key, deed: ChatDeed) -> Option<(Option<Id>, Draft)> {
        let fits = |whose: &Key| {
            if actor.service { whose.realm == actor.key.realm } else { whose == user && *whose == actor.key }
        };
        let own: Vec<_> = self.drafts.iter().filter(|(whose, _)| fits(whose)).collect();
        let (whose, draft) = own.get(usize::from(deed.first) % own.len().max(1))?;
        Some((actor.service.then(|| whose.id.clone()), draft.clone()))
    }

    fn chat_of(&mut self, user: &Key, deed: ChatDeed) -> ChatCommand {
        let ChatDeed { mut what, first, second, .. } = deed;
        // Who is nowhere yet mostly begins something.
        if !deed.room.is_multiple_of(4) && what < 11 && self.oracle.rooms_of(user).is_empty() {
            what = 0;
        }
        let conversation = self.a_room(user, deed.room);
        let message = MessageId { conversation, at: self.a_message(user, conversation, first) };
        match what {
            0 => ChatCommand::Create(Box::new(self.a_conversation(user, deed))),
            1 => ChatCommand::Send(Box::new(self.a_draft(conversation, None, deed))),
            2 | 3 => {
                let client_id = format!("c{}", if second.is_multiple_of(4) { first % 4 } else { second });
                let draft = self.a_draft(conversation, Some(client_id.into()), deed);
                self.drafts.push_back((user.clone(), draft.clone()));
                if self.drafts.len() > DRAFTS {
                    self.drafts.pop_front();
                }
                ChatCommand::Send(Box::new(draft))
            }
            4 => ChatCommand::Edit { message, content: self.words(deed) },
            5 => ChatCommand::Remove { message },
            6 => ChatCommand::Read { message },
            7 => ChatCommand::ReadAll { conversation, up_to: second.is_multiple_of(2).then_some(message.at) },
            8 => ChatCommand::History {
                conversation,
                before: first.is_multiple_of(3).then_some(message.at),
                after: (first % 5 == 1).then_some(message.at),
                forward: second.is_multiple_of(3),
                limit: [1, 3, 20, 100, 0][usize::from(second % 17).min(4)].max(u16::from(second != 5)),
            },
            9 => ChatCommand::Message { message },
            10 => ChatCommand::Unread { conversation },
            11 => ChatCommand::List {
                kinds: 0,
                limit: [1, 2, 10, 1_000][usize::from(second % 4)],
                after: first.is_multiple_of(3).then_some(ListCursor {
                    updated_at: message.at,
                    conversation: first.is_multiple_of(2).then_some(conversation),
                }),
            },
            12 => ChatCommand::CountUnread { kinds: 0 },
            13 => ChatCommand::Find { conversation },
            14 => ChatCommand::Update {
                conversation,
                name: first.is_multiple_of(2).then(|| "another name".into()),
                extra: Some(Arc::from([first])),
            },
            15 => ChatCommand::AddMember { conversation, user: self.names.user(first), role: Role::Member },
            16 => {
                let member = Whose::User(match first {
                    0..100 => user.id.clone(),
                    _ => self.names.user(second),
                });
                ChatCommand::RemoveMember { conversation, member }
            }
            17 => ChatCommand::SetMember { conversation, change: a_change(first, second) },
            18 => ChatCommand::Delete { conversation },
            19 => ChatCommand::Join { conversation },
            20 => ChatCommand::Leave { conversation },
            21 => ChatCommand::Typing { conversation, on: !first.is_multiple_of(4) },
            _ => ChatCommand::Follow { on: !first.is_multiple_of(12) },
        }
    }

    /// Mostly one of the user's own, sometimes one of others, or one that never was.
    fn a_room(&self, user: &Key, number: u8) -> ConversationId {
        let own = self.oracle.rooms_of(user);
        let rooms =
            if number.is_multiple_of(9) || own.is_empty() { self.oracle.rooms_in(user.realm) } else { own };
        match rooms.get(usize::from(number) % (rooms.len() + usize::from(number > 250)).max(1)) {
            Some(room) => *room,
            None => ConversationId::from_number(u128::from(number)),
        }
    }

    /// Mostly one of the latest.
    fn a_message(&self, user: &Key, room: ConversationId, number: u8) -> u64 {
        let all = self.oracle.messages_of((user.realm, room));
        let back = if number > 200 { usize::from(number) } else { usize::from(number % 8) };
        let at = all.len().saturating_sub(1 + back % all.len().max(1));
        all.get(at).copied().unwrap_or(7)
    }

    fn a_draft(
        &mut self,
        conversation: ConversationId,
        client_id: Option<Arc<str>>,
        deed: ChatDeed,
    ) -> Draft {
        Draft { conversation, client_id, kind: deed.second % 3, content: self.words(deed), attachment: None }
    }

    fn words(&mut self, deed: ChatDeed) -> Arc<str> {
        self.number += 1;
        match (deed.first, deed.second) {
            (17, 0..64) => "".into(),
            (18, 0..64) => "x".repeat(self.profile.limits.content as usize + 1).into(),
            _ => format!("what {} says", self.number).into(),
        }
    }

    fn a_conversation(&mut self, user: &Key, deed: ChatDeed) -> NewConversation {
        let ChatDeed { room, first, second, .. } = deed;
        let kind = match room % 8 {
            0..=2 => Kind::Direct,
            3..=5 => Kind::Group,
            6 => Kind::Trade,
            _ => Kind::Feed,
        };
        let count = match kind {
            Kind::Group => 1 + second % 6,
            Kind::Feed => 0,
            _ => 1 + u8::from(second > 250),
        };
        let mut members: Vec<NewMember> = self
            .names
            .some(first, count)
            .into_iter()
            .map(|user| NewMember { user, role: Role::Member })
            .collect();
        // A service as itself is no member.
        if user.id != self.names.service() {
            members.insert(0, NewMember { user: user.id.clone(), role: Role::Member });
        }
        // Trades and some groups have names of their own, so that they are made again.
        let named = kind == Kind::Trade || (kind == Kind::Group && second.is_multiple_of(5));
        let id = named.then(|| match kind {
            Kind::Trade => {
                let mut both: Vec<String> = members.iter().map(|member| member.user.to_string()).collect();
                both.sort();
                let both: Vec<&str> = both.iter().map(String::as_str).collect();
                ConversationId::natural(kind, &both)
            }
            _ => ConversationId::natural(kind, &[&format!("group {}", first % 4)]),
        });
        let name = (kind == Kind::Group && second != 77).then(|| "a group".into());
        NewConversation { id, kind, name, members, extra: Arc::from([]) }
    }
}

fn a_change(first: u8, second: u8) -> MemberChange {
    let on = second.is_multiple_of(2);
    match first % 4 {
        0 => MemberChange { hidden: Some(on), ..MemberChange::default() },
        1 => MemberChange { blocked: Some(second.is_multiple_of(4)), ..MemberChange::default() },
        _ => MemberChange { pinned: Some(on), ..MemberChange::default() },
    }
}
