//! Refusals of commands about conversations: each has a cause, and tells nothing to who is no member.

use schema::chat::{ChatCommand, Kind, Whose};
use schema::{Command, Id, Refusal};

use super::Oracle;
use super::calls::Call;
use super::chat_calls::acting;
use super::rooms::Room;

impl Oracle {
    /// Whether a refusal has a cause.
    pub(super) fn chat_refusal_holds(&self, call: &Call, command: &ChatCommand, refusal: Refusal) -> bool {
        let limits = &self.limits;
        let (realm, user) = (call.actor.key.realm, acting(call));
        let room = command.conversation().and_then(|id| self.chats.rooms.get((realm, id)));
        let maybe_member = |user: &Id| room.is_some_and(|room| room.maybe_member(user, call.moment));
        let surely_member = |user: &Id| room.is_some_and(|room| room.surely_member(user, call.moment));
        let inside = user.as_ref().is_none_or(maybe_member);
        match refusal {
            Refusal::Busy => {
                let crowded = self.several && (self.tight || self.stall > 0);
                let few = limits.gathers < 100 || limits.chat_commands < 100 || limits.chat_queue < 100;
                // What crowds when a clock jumps is not modelled here.
                crowded || few || self.shelf_fails || self.jumps
            }
            Refusal::Forbidden => {
                let foreign = match &call.command {
                    Command::Chat { acting: Some(user), .. } => {
                        !call.actor.service && *user != call.actor.key.id
                    }
                    _ => false,
                };
                let outside = user.as_ref().is_none_or(|user| !surely_member(user));
                foreign || outside || self.is_others(room, user.as_ref(), command)
            }
            Refusal::NotFound => match command {
                ChatCommand::Edit { message, .. }
                | ChatCommand::Remove { message }
                | ChatCommand::Read { message }
                | ChatCommand::Message { message } => {
                    let hidden = room.into_iter().flat_map(|room| &room.members).any(|one| {
                        user.as_ref() == Some(&one.row.member.user) && message.at <= one.row.member.hidden_to
                    });
                    let there = room.is_some_and(|room| {
                        let all = room.messages.get(&message.at).and_then(|all| all.last());
                        all.is_some_and(|stored| stored.gone.is_none() && stored.moment() <= call.moment)
                    });
                    hidden || !there || !room.is_some_and(|room| room.surely_there(call.moment))
                }
                ChatCommand::RemoveMember { member: Whose::User(who), .. } => {
                    !surely_member(who) || !room.is_some_and(|room| room.surely_there(call.moment))
                }
                _ => !room.is_some_and(|room| room.surely_there(call.moment)),
            },
            Refusal::Unsupported => {
                let of_sessions = matches!(
                    command,
                    ChatCommand::Follow { .. } | ChatCommand::Join { .. } | ChatCommand::Leave { .. }
                );
                of_sessions && call.session.is_none()
            }
            Refusal::Invalid => self.is_invalid(call, command, room, user.as_ref()),
            Refusal::Conflict => match command {
                ChatCommand::Create(_) => room.is_some_and(|room| room.maybe_there(call.moment)),
                ChatCommand::AddMember { user: added, .. } => inside && maybe_member(added),
                _ => false,
            },
            Refusal::LimitReached => match command {
                ChatCommand::Join { .. } => limits.channels_per_session < 100,
                ChatCommand::Create(_) => limits.members < 100,
                ChatCommand::AddMember { .. } => inside && limits.members < 100,
                ChatCommand::Read { .. } => inside && limits.singles < 100,
                _ => false,
            },
            Refusal::TooLarge => match command {
                ChatCommand::Send(draft) => draft.content.chars().count() > limits.content as usize,
                ChatCommand::Edit { content, .. } => content.chars().count() > limits.content as usize,
                _ => false,
            },
            Refusal::Blocked => {
                let blocked = room.is_some_and(|room| room.members.iter().any(|one| one.blocked));
                inside && blocked && matches!(command, ChatCommand::Send(_))
            }
            Refusal::Gone => match command {
                ChatCommand::Edit { message, .. } => {
                    let all = room.and_then(|room| room.messages.get(&message.at)).into_iter().flatten();
                    inside && all.into_iter().any(|stored| stored.latest().deleted)
                }
                _ => false,
            },
            Refusal::Unavailable => self.shelf_fails && self.shelf_failed_lately(call),
            Refusal::Timeout => {
                let slow = 8 * self.shelf_time >= u64::from(limits.gather_time);
                self.several && (self.slow_ways || self.stall > 0 || self.tight || slow)
                    || slow
                        && matches!(
                            command,
                            ChatCommand::List { .. }
                                | ChatCommand::CountUnread { .. }
                                | ChatCommand::Join { .. }
                        )
            }
            Refusal::Draining => self.draining.is_some(),
            Refusal::RateLimited | Refusal::TooMany => false,
        }
    }

    fn shelf_failed_lately(&self, call: &Call) -> bool {
        // What fails a read is not told; the mood is.
        call.at <= self.now
    }

    /// Whether it is another one's to do.
    fn is_others(&self, room: Option<&Room>, user: Option<&Id>, command: &ChatCommand) -> bool {
        let Some(user) = user else {
            return !matches!(
                command,
                ChatCommand::Find { .. }
                    | ChatCommand::History { .. }
                    | ChatCommand::Message { .. }
                    | ChatCommand::Unread { .. }
                    | ChatCommand::Join { .. }
                    | ChatCommand::Delete { .. }
                    | ChatCommand::Create(_)
                    | ChatCommand::Update { .. }
                    | ChatCommand::AddMember { .. }
                    | ChatCommand::RemoveMember { .. }
            );
        };
        match command {
            ChatCommand::Edit { message, .. } | ChatCommand::Remove { message } => {
                let all = room.and_then(|room| room.messages.get(&message.at)).into_iter().flatten();
                all.into_iter().any(|stored| stored.latest().sender != *user)
            }
            ChatCommand::RemoveMember { .. } | ChatCommand::Delete { .. } => {
                let creator = room.and_then(|room| room.conversation.as_ref()).map(|it| &it.creator);
                creator != Some(user)
            }
            _ => false,
        }
    }

    fn is_invalid(&self, call: &Call, command: &ChatCommand, room: Option<&Room>, user: Option<&Id>) -> bool {
        let kind = room.and_then(|room| room.conversation.as_ref()).map(|it| it.kind);
        // Of a conversation that is no more it is not known here any longer what it was.
        let closed = kind.is_none_or(|kind| !kind.is_open());
        let inside = user.is_none_or(|user| room.is_some_and(|room| room.maybe_member(user, call.moment)));
        match command {
            ChatCommand::Create(new) => {
                let mut users: Vec<&Id> = new.members.iter().map(|member| &member.user).chain(user).collect();
                users.sort();
                users.dedup();
                match new.kind {
                    Kind::Direct | Kind::Trade => users.len() != 2,
                    Kind::Group => users.len() < 2 || new.name.is_none(),
                    Kind::Feed => users.len() != 1,
                }
            }
            ChatCommand::Update { name, .. } => inside && name.is_some() && closed,
            ChatCommand::AddMember { .. } | ChatCommand::RemoveMember { .. } => inside && closed,
            ChatCommand::Send(draft) => draft.content.is_empty() && draft.attachment.is_none(),
            ChatCommand::Edit { content, .. } => content.is_empty(),
            ChatCommand::History { limit, .. } => *limit == 0,
            _ => false,
        }
    }
}
