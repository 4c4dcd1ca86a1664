//! What a session has asked to be told, so that the next session can ask again.

use std::collections::{BTreeMap, BTreeSet};

use schema::chat::{ChatCommand, ConversationId};
use schema::frame::IDS_MAX;
use schema::{Command, Id};

/// Users in one Watch after a reconnect: what the server allows in a watch list by default.
const WATCH_STEP: usize = 1_000;

/// Bytes of a frame that are not ids: length, tables, tag.
const FRAME_OVERHEAD: usize = 128;

/// Watched users, subscribed channels, the tap, and what is followed and joined of conversations.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Interest {
    watched: BTreeSet<Id>,
    channels: BTreeSet<Id>,
    tap: bool,
    /// For whom: a service may follow the conversations of others.
    follows: BTreeSet<Option<Id>>,
    /// And for whom: a session joins a conversation once.
    joined: BTreeMap<ConversationId, Option<Id>>,
}

impl Interest {
    /// Notes a command that was carried out.
    pub fn carried_out(&mut self, command: &Command) {
        match command {
            Command::Watch { users } => self.watched.extend(users.iter().cloned()),
            Command::Unwatch { users } => {
                for user in users {
                    self.watched.remove(user);
                }
            }
            Command::Subscribe { channel } => {
                self.channels.insert(channel.clone());
            }
            Command::Unsubscribe { channel } => {
                self.channels.remove(channel);
            }
            Command::Tap { on } => self.tap = *on,
            Command::Activity
            | Command::Query { .. }
            | Command::Count
            | Command::List { .. }
            | Command::Sessions { .. }
            | Command::Send { .. }
            | Command::Publish { .. }
            | Command::Occupancy { .. }
            | Command::DisconnectUser { .. }
            | Command::DisconnectSession { .. } => {}
            Command::Chat { acting, command } => self.chat(acting.as_ref(), command),
        }
    }

    fn chat(&mut self, acting: Option<&Id>, command: &ChatCommand) {
        match command {
            ChatCommand::Follow { on: true } => {
                self.follows.insert(acting.cloned());
            }
            ChatCommand::Follow { on: false } => {
                self.follows.remove(&acting.cloned());
            }
            ChatCommand::Join { conversation } => {
                self.joined.insert(*conversation, acting.cloned());
            }
            ChatCommand::Leave { conversation } | ChatCommand::Delete { conversation } => {
                self.joined.remove(conversation);
            }
            _ => {}
        }
    }

    /// Forgets what a new session was refused: asking a third time would not help.
    pub fn refused(&mut self, command: &Command) {
        match command {
            Command::Watch { users } => self.carried_out(&Command::Unwatch { users: users.clone() }),
            Command::Subscribe { channel } => {
                self.carried_out(&Command::Unsubscribe { channel: channel.clone() });
            }
            Command::Tap { .. } => self.tap = false,
            Command::Chat { acting, command } => match **command {
                ChatCommand::Follow { .. } => self.chat(acting.as_ref(), &ChatCommand::Follow { on: false }),
                ChatCommand::Join { conversation } => {
                    self.joined.remove(&conversation);
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// The commands that tell a new session all of it.
    #[must_use]
    pub fn commands(&self, max_frame: usize) -> Vec<Command> {
        let watched: Vec<Id> = self.watched.iter().cloned().collect();
        let mut commands: Vec<_> = frames(&watched, max_frame, WATCH_STEP)
            .map(|users| Command::Watch { users: users.to_vec() })
            .collect();
        commands.extend(self.channels.iter().map(|channel| Command::Subscribe { channel: channel.clone() }));
        if self.tap {
            commands.push(Command::Tap { on: true });
        }
        let follows = self.follows.iter().map(|acting| (acting, ChatCommand::Follow { on: true }));
        let joins =
            self.joined.iter().map(|(&conversation, acting)| (acting, ChatCommand::Join { conversation }));
        commands.extend(
            follows.chain(joins).map(|(acting, command)| Command::Chat {
                acting: acting.clone(),
                command: Box::new(command),
            }),
        );
        commands
    }
}

/// Cuts a list of ids into pieces that fit a frame each, of at most `most` ids.
pub fn frames(ids: &[Id], max_frame: usize, most: usize) -> impl Iterator<Item = &[Id]> {
    let room = max_frame.saturating_sub(FRAME_OVERHEAD);
    let most = most.clamp(1, IDS_MAX);
    let mut rest = ids;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(most).take_while(|id| {
            bytes += 1 + id.with_str(str::len);
            bytes <= room
        });
        // At least one, so that it ends; an id alone is far smaller than any frame.
        let count = fits.count().max(1).min(rest.len());
        let (piece, left) = rest.split_at(count);
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use schema::frame::{Encoder, FRAME_MAX, PREFIX};

    use super::*;

    fn ids(count: usize) -> Vec<Id> {
        (0..count).map(|n| Id::new(&format!("0190a0b4-7c1e-7cc0-98f2-{n:012x}")).unwrap()).collect()
    }

    #[test]
    fn pieces_fit_their_frames() {
        let all = ids(10_000);
        let pieces: Vec<_> = frames(&all, FRAME_MAX, usize::MAX).collect();
        assert_eq!(pieces.len(), 6);
        assert_eq!(pieces.concat(), all);
        for piece in pieces {
            let mut bytes = Vec::new();
            Encoder::new().command(u64::MAX, &Command::Query { users: piece.to_vec() }, &mut bytes);
            assert!(bytes.len() <= PREFIX + FRAME_MAX);
        }
        assert_eq!(frames(&[], FRAME_MAX, 10).count(), 0);
        assert_eq!(frames(&all[..3], 0, 10).count(), 3);
    }

    #[test]
    fn a_new_session_asks_for_what_the_old_one_had() {
        let mut interest = Interest::default();
        let channel = Id::new("news").unwrap();
        let users = ids(1_500);
        assert_eq!(interest.commands(FRAME_MAX), []);
        interest.carried_out(&Command::Watch { users: users.clone() });
        interest.carried_out(&Command::Unwatch { users: users[..100].to_vec() });
        interest.carried_out(&Command::Subscribe { channel: channel.clone() });
        interest.carried_out(&Command::Tap { on: true });
        let commands = interest.commands(FRAME_MAX);
        let expected = [
            Command::Watch { users: users[100..1_100].to_vec() },
            Command::Watch { users: users[1_100..].to_vec() },
            Command::Subscribe { channel },
            Command::Tap { on: true },
        ];
        assert_eq!(commands, expected);
        for command in &commands {
            interest.refused(command);
        }
        assert_eq!(interest, Interest::default());
    }

    #[test]
    fn conversations_are_followed_and_joined_again() {
        let chat = |acting: Option<&str>, command| Command::Chat {
            acting: acting.map(|user| Id::new(user).unwrap()),
            command: Box::new(command),
        };
        let [first, second, third] = [1, 2, 3].map(ConversationId::from_number);
        let mut interest = Interest::default();
        for command in [
            chat(None, ChatCommand::Follow { on: true }),
            chat(Some("a"), ChatCommand::Follow { on: true }),
            chat(Some("b"), ChatCommand::Follow { on: true }),
            chat(Some("b"), ChatCommand::Follow { on: false }),
            chat(None, ChatCommand::Join { conversation: first }),
            chat(None, ChatCommand::Join { conversation: second }),
            chat(Some("a"), ChatCommand::Join { conversation: second }),
            chat(None, ChatCommand::Join { conversation: third }),
            chat(None, ChatCommand::Leave { conversation: first }),
            chat(None, ChatCommand::Delete { conversation: third }),
            chat(None, ChatCommand::Typing { conversation: first, on: true }),
        ] {
            interest.carried_out(&command);
        }
        let commands = interest.commands(FRAME_MAX);
        let expected = [
            chat(None, ChatCommand::Follow { on: true }),
            chat(Some("a"), ChatCommand::Follow { on: true }),
            chat(Some("a"), ChatCommand::Join { conversation: second }),
        ];
        assert_eq!(commands, expected);
        for command in &commands {
            interest.refused(command);
        }
        assert_eq!(interest, Interest::default());
    }
}
