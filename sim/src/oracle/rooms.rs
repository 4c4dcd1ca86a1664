//! What is on stable storage of conversations, as the virtual store applies it: every version of every message, who was
//! a member when, and which sequences are missing for a cause.
//!
//! Moments are counted by what happens to the store, not by the clock: a write that has been applied is in what is read
//! from then on, and its home knows of it when it has been told. Between the two, both are right.

use std::collections::{BTreeMap, BTreeSet};

use engine::machine::store::{Horizon, MemberRow, Part, Place, Write};
use schema::chat::{Conversation, ConversationId, Message};
use schema::{Id, Key};

use crate::broken::{Verdict, broken, check};
use crate::shelf::News;

/// A member's stay in a conversation.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    pub(super) row: MemberRow,
    /// Its home knows of it.
    known: Option<u64>,
    until: Option<u64>,
    over: Option<u64>,
    /// Milliseconds.
    pub(super) over_at: Option<u64>,
    /// It was ever blocked.
    pub(super) blocked: bool,
}

/// What a message was for a while.
#[derive(Clone, Debug)]
pub(super) struct Version {
    moment: u64,
    /// Its home surely knows of it: it takes effect there after all that was asked for before.
    known: Option<u64>,
    pub(super) message: Message,
}

/// A message, with all it ever was.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) versions: Vec<Version>,
    /// Who was a member when it was said.
    pub(super) audience: Vec<Id>,
    /// Its conversation is no more, or it was forgotten for its age.
    pub(super) gone: Option<u64>,
    /// Somebody was told that it is new.
    pub(super) acknowledged: bool,
}

impl Stored {
    pub(super) fn moment(&self) -> u64 {
        self.versions[0].moment
    }

    /// What it was last.
    pub(super) fn latest(&self) -> &Message {
        &self.versions[self.versions.len() - 1].message
    }

    /// What was said first.
    pub(super) fn first(&self) -> &Message {
        &self.versions[0].message
    }

    /// Whether it was just so in the store at some moment from `from` on.
    pub(super) fn was(&self, message: &Message, from: u64) -> bool {
        self.was_until(message, from, |next| Some(next.moment))
    }

    /// Whether its home may have taken it to be just so at some moment from `from` on.
    pub(super) fn was_to_its_home(&self, message: &Message, from: u64) -> bool {
        self.was_until(message, from, |next| next.known)
    }

    fn was_until(&self, message: &Message, from: u64, end: impl Fn(&Version) -> Option<u64>) -> bool {
        let plain = Message { reads: Vec::new(), ..message.clone() };
        let ends = self.versions.iter().skip(1).map(end).chain([None]);
        let mut versions = self.versions.iter().zip(ends);
        versions.any(|(version, end)| version.message == plain && end.is_none_or(|end| end >= from))
    }
}

/// A conversation.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    pub(super) conversation: Option<Conversation>,
    pub(super) created: u64,
    created_known: Option<u64>,
    pub(super) gone: Option<u64>,
    gone_known: Option<u64>,
    pub(super) members: Vec<Membership>,
    /// By creation time; a conversation that was made anew may use one again.
    pub(super) messages: BTreeMap<u64, Vec<Stored>>,
    /// Creation times of messages that its home may not know as they are.
    unknown: Vec<u64>,
    /// Sequences that were given out and not written.
    missing: BTreeSet<u64>,
    newest: (u64, u64),
    sent: BTreeMap<(Id, String), u64>,
    /// What was forgotten for its age, up to there.
    forgotten: u64,
    /// A crash has lost what its home knew of missing sequences.
    pub(super) torn: bool,
    /// Writes under way.
    pub(super) pending: u32,
    /// When something happened last.
    pub(super) changed: u64,
}

impl Room {
    /// Whether this user may have counted as a member at some moment from `from` on.
    pub(super) fn maybe_member(&self, user: &Id, from: u64) -> bool {
        self.members
            .iter()
            .any(|one| one.row.member.user == *user && one.over.is_none_or(|over| over >= from))
    }

    /// Whether this user surely was one from `from` on until now.
    pub(super) fn surely_member(&self, user: &Id, from: u64) -> bool {
        self.members.iter().any(|one| {
            one.row.member.user == *user
                && one.known.is_some_and(|known| known <= from)
                && one.until.is_none()
        })
    }

    pub(super) fn surely_there(&self, from: u64) -> bool {
        self.created_known.is_some_and(|known| known <= from) && self.gone.is_none()
    }

    pub(super) fn maybe_there(&self, from: u64) -> bool {
        self.conversation.is_some()
            || self.gone_known.is_some_and(|known| known >= from)
            || (self.gone.is_some() && self.gone_known.is_none())
    }

    pub(super) fn current(&self) -> impl Iterator<Item = &Membership> {
        self.members.iter().filter(|one| one.until.is_none())
    }

    pub(super) fn own(&self, user: &Id) -> Option<&MemberRow> {
        self.current().find(|one| one.row.member.user == *user).map(|one| &one.row)
    }

    /// When it was last changed or written to, as far as is stored.
    pub(super) fn updated_at(&self) -> Option<u64> {
        self.conversation.as_ref().map(|conversation| conversation.updated_at.max(self.newest.1))
    }

    /// Messages that are there now.
    pub(super) fn there(&self) -> impl DoubleEndedIterator<Item = &Stored> {
        self.messages.values().filter_map(|all| all.last()).filter(|stored| stored.gone.is_none())
    }

    /// How many messages this member has not read, message by message.
    pub(super) fn unread(&self, row: &MemberRow) -> u64 {
        let sending_reads = self.conversation.as_ref().is_none_or(|it| it.kind.sending_reads());
        let is_unread = |message: &Message| {
            let single = row.singles.iter().any(|&(first, last)| (first..=last).contains(&message.sequence));
            let own = message.row == row.member.row && !sending_reads;
            !message.deleted && message.sequence > row.floor && !single && !own
        };
        self.there().filter(|stored| is_unread(stored.latest())).count() as u64
    }

    fn lose_homes_knowledge(&mut self, now: u64, moment: u64) {
        self.know_messages(moment);
        for one in &mut self.members {
            one.known.get_or_insert(moment);
            if one.until.is_some() {
                one.over.get_or_insert(moment);
                one.over_at.get_or_insert(now);
            }
        }
        if self.created > 0 {
            self.created_known.get_or_insert(moment);
        }
        if self.gone.is_some() {
            self.gone_known.get_or_insert(moment);
        }
        self.pending = 0;
    }

    fn apply(&mut self, moment: u64, now: u64, kept: &Kept, write: &Write) -> Verdict {
        for part in &write.parts {
            match part {
                Part::Conversation(conversation) => {
                    if self.conversation.is_none() {
                        (self.created, self.created_known) = (moment, None);
                        (self.gone, self.gone_known) = (None, None);
                    }
                    self.conversation = Some(Conversation::clone(conversation));
                }
                Part::Gone => self.go(moment),
                Part::Member(row) => self.put_member(row)?,
                Part::MemberGone { row, .. } => {
                    let found =
                        self.members.iter_mut().find(|one| one.row.member.row == *row && one.until.is_none());
                    if let Some(found) = found {
                        found.until = Some(moment);
                    }
                }
                Part::Message(message) => self.put_message(moment, message, now)?,
                Part::Sent { row, client_id, message } => {
                    // Whoever comes back has another row, and is the same.
                    let mut rows = self.members.iter().rev();
                    let Some(user) = rows.find(|one| one.row.member.row == *row) else { continue };
                    let name = (user.row.member.user.clone(), client_id.to_string());
                    let before = self.sent.insert(name, *message);
                    // What was forgotten for its age may be said again.
                    let before = before.filter(|before| *before > self.forgotten);
                    let again = before.is_some_and(|before| before + kept.sends > kept.latest);
                    check(!again, "one client id is one message", || {
                        format!("{:?}: {row} {client_id} is {before:?} and {message}", write.place)
                    })?;
                }
                Part::Forgotten(horizon) => self.forget(moment, kept, horizon)?,
                Part::Deleted { .. } | Part::Receipt { .. } => {}
            }
        }
        Ok(())
    }

    /// Everything up to a message is forgotten.
    fn forget(&mut self, moment: u64, kept: &Kept, horizon: &Horizon) -> Verdict {
        let seen = || format!("{horizon:?} at {kept:?}, forgotten until {}", self.forgotten);
        let kind = self.conversation.as_ref().map(|conversation| conversation.kind);
        let Some(kind) = kind else { return broken("what is no more has nothing to forget", seen()) };
        let age = kept.retention[kind as usize - 1];
        let old = age > 0 && horizon.at + age <= kept.latest;
        check(old, "nothing is forgotten before its time", seen)?;
        let newest = self.messages.get(&horizon.at).and_then(|all| all.last());
        let newest = newest.filter(|stored| stored.gone.is_none()).map(|stored| Horizon::of(stored.latest()));
        check(newest == Some(*horizon), "what is forgotten ends with a message", seen)?;
        for stored in self.messages.range_mut(..=horizon.at).flat_map(|(_, all)| all) {
            stored.gone.get_or_insert(moment);
        }
        self.forgotten = horizon.at;
        Ok(())
    }

    /// A message that should have been forgotten by then.
    pub(super) fn overdue(&self, retention: &[u64; 4], wall: u64) -> Option<&Message> {
        let age = retention[self.conversation.as_ref()?.kind as usize - 1];
        let oldest = self.there().next().filter(|_| age > 0)?.latest();
        (oldest.id.at + age < wall).then_some(oldest)
    }

    fn go(&mut self, moment: u64) {
        self.conversation = None;
        self.forgotten = 0;
        self.gone = Some(moment);
        for one in self.members.iter_mut().filter(|one| one.until.is_none()) {
            one.until = Some(moment);
        }
        for stored in self.messages.values_mut().flatten() {
            stored.gone.get_or_insert(moment);
        }
        self.missing.clear();
        self.sent.clear();
        (self.newest, self.torn) = ((0, 0), false);
    }

    fn put_member(&mut self, row: &MemberRow) -> Verdict {
        let current = self.members.iter_mut().filter(|one| one.until.is_none());
        let mut same = current
            .filter(|one| one.row.member.row == row.member.row || one.row.member.user == row.member.user);
        match same.next() {
            Some(found) => {
                let seen = || format!("{:?} becomes {row:?}", found.row);
                let one = found.row.member.row == row.member.row && found.row.member.user == row.member.user;
                check(one, "a user is in a conversation once", seen)?;
                check(row.floor >= found.row.floor, "what was read stays read", seen)?;
                found.blocked |= row.member.blocked;
                found.row = row.clone();
            }
            None => self.members.push(Membership {
                row: row.clone(),
                known: None,
                until: None,
                over: None,
                over_at: None,
                blocked: row.member.blocked,
            }),
        }
        Ok(())
    }

    /// Nothing is under way any more, so the home knows every message as it is.
    fn know_messages(&mut self, moment: u64) {
        for at in self.unknown.drain(..) {
            let all = self.messages.get_mut(&at).into_iter().flatten();
            for version in all.flat_map(|stored| &mut stored.versions) {
                version.known.get_or_insert(moment);
            }
        }
    }

    fn put_message(&mut self, moment: u64, message: &Message, now: u64) -> Verdict {
        self.unknown.push(message.id.at);
        let all = self.messages.entry(message.id.at).or_default();
        if let Some(stored) = all.last_mut().filter(|stored| stored.gone.is_none()) {
            let before = stored.latest();
            let seen = || format!("{before:?} becomes {message:?}");
            let same = before.sequence == message.sequence && before.sender == message.sender;
            check(
                same && !before.deleted,
                "a message is changed by its sender only, until it is deleted",
                seen,
            )?;
            stored.versions.push(Version { moment, known: None, message: message.clone() });
            return Ok(());
        }
        let seen = || format!("{message:?} after {:?} at {now}, missing {:?}", self.newest, self.missing);
        let (sequence, at) = self.newest;
        check(message.id.at > at, "creation times are unique and grow", seen)?;
        check(message.sequence > sequence, "sequences grow", seen)?;
        let gap = (sequence + 1..message.sequence).find(|sequence| !self.missing.contains(sequence));
        check(gap.is_none(), "a sequence is missing only for a cause", seen)?;
        self.newest = (message.sequence, message.id.at);
        let audience = self.members.iter().filter(|one| one.until.is_none());
        let audience: Vec<Id> = audience.map(|one| one.row.member.user.clone()).collect();
        check(audience.contains(&message.sender), "only members send", || format!("{message:?}"))?;
        let versions = vec![Version { moment, known: None, message: message.clone() }];
        all.push(Stored { versions, audience, gone: None, acknowledged: false });
        Ok(())
    }

    /// The home knows what it has written.
    fn known(&mut self, moment: u64, now: u64, write: &Write) {
        for part in &write.parts {
            match part {
                Part::Conversation(_) => {
                    self.created_known.get_or_insert(moment);
                }
                Part::Gone => {
                    self.gone_known.get_or_insert(moment);
                    for one in &mut self.members {
                        one.over.get_or_insert(moment);
                        one.over_at.get_or_insert(now);
                    }
                }
                Part::Member(row) => {
                    let found = self.members.iter_mut().filter(|one| one.row.member.row == row.member.row);
                    found.for_each(|one| {
                        one.known.get_or_insert(moment);
                    });
                }
                Part::MemberGone { row, .. } => {
                    let found = self.members.iter_mut().filter(|one| one.row.member.row == *row);
                    for one in found.filter(|one| one.until.is_some()) {
                        one.over.get_or_insert(moment);
                        one.over_at.get_or_insert(now);
                    }
                }
                _ => {}
            }
        }
    }
}

/// For how long things are kept, and what time it is.
#[derive(Debug)]
pub(super) struct Kept {
    /// Clients' names for messages.
    pub(super) sends: u64,
    /// Messages, by the kind of conversation.
    pub(super) retention: [u64; 4],
    /// The latest time there ever was: what a home does may have been decided before the clock was set back.
    pub(super) latest: u64,
}

/// All conversations.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    pub(super) moment: u64,
    pub(super) pending: u32,
    /// When the store failed or lost anything last, milliseconds.
    pub(super) failed: Option<u64>,
    rooms: BTreeMap<Place, Room>,
}

impl Rooms {
    pub(super) fn get(&self, place: Place) -> Option<&Room> {
        self.rooms.get(&place)
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Room> {
        self.rooms.get_mut(&place)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Place, &Room)> {
        self.rooms.iter()
    }

    /// The message with exactly this content, new or as it became.
    pub(super) fn message(&self, place: Place, message: &Message, from: u64) -> Option<&Stored> {
        let all = self.rooms.get(&place)?.messages.get(&message.id.at)?;
        all.iter().find(|stored| stored.was(message, from) && stored.gone.is_none_or(|gone| gone >= from))
    }

    /// Conversations that this user is in now.
    pub(super) fn of(&self, user: &Key) -> Vec<ConversationId> {
        let own = self.rooms.iter().filter(|((realm, _), room)| {
            *realm == user.realm && room.current().any(|one| one.row.member.user == user.id)
        });
        own.map(|((_, id), _)| *id).collect()
    }

    /// Something happens at the store.
    pub(super) fn hear(&mut self, news: &News, now: u64, kept: &Kept) -> Verdict {
        self.moment += 1;
        let moment = self.moment;
        let (News::Asked(write)
        | News::Doomed(write)
        | News::Applied(write)
        | News::Told(write)
        | News::Failed(write)
        | News::Lost(write)) = news;
        let room = self.rooms.entry(write.place).or_default();
        room.changed = moment;
        match news {
            News::Asked(_) => (self.pending, room.pending) = (self.pending + 1, room.pending + 1),
            News::Applied(_) => return room.apply(moment, now, kept, write),
            News::Told(_) | News::Failed(_) => {
                self.pending = self.pending.saturating_sub(1);
                room.pending = room.pending.saturating_sub(1);
            }
            News::Doomed(_) | News::Lost(_) => {}
        }
        if room.pending == 0 {
            room.know_messages(moment);
        }
        if let News::Told(_) = news {
            room.known(moment, now, write);
            return Ok(());
        }
        if let News::Doomed(_) | News::Lost(_) = news {
            self.failed = Some(now);
            for part in &write.parts {
                if let Part::Message(message) = part {
                    room.missing.insert(message.sequence);
                }
            }
        }
        Ok(())
    }

    /// The node has gone: what its homes knew is lost, and what is stored is what is.
    pub(super) fn restart(&mut self, now: u64) {
        self.moment += 1;
        self.pending = 0;
        for room in self.rooms.values_mut() {
            room.torn |= room.missing.iter().any(|&sequence| sequence < room.newest.0);
            room.lose_homes_knowledge(now, self.moment);
        }
    }
}
