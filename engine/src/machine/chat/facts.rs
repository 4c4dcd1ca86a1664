//! What the home knows of one conversation: its members, where it stands, and what each member has not read. Pure.
//!
//! Messages are numbered without a gap, so what somebody has not read follows from two numbers and some exceptions, and
//! no message costs a write for each member:
//!
//! ```text
//! unread = head - floor             messages after the newest of which all before are read
//!        - own after floor          in conversations where sending does not read (elsewhere there are none)
//!        - deleted after floor      by others, unless read before
//!        - singles                  read one by one
//! ```
//!
//! What was forgotten for its age counts as read by everybody: the floor of a member is never below its horizon. It is not
//! written to the members' rows (there may be thousands), but seen wherever a floor is.

use std::collections::BTreeMap;
use std::sync::Arc;

use schema::chat::{Conversation, Kind, Member, Message};
use schema::{Id, ShardId};

use super::super::Now;
use super::super::store::{Horizon, LEFT, Loaded, MemberRow};
use super::names::Names;
use super::pace::Pace;

/// Members that are found by looking at each of them.
const FEW: usize = 32;
/// What one counts for, with a long id and some messages read one by one.
const MEMBER: usize = size_of::<MemberRow>() + 64;

/// A conversation in memory.
pub(super) struct Facts {
    /// Without its members.
    pub(super) conversation: Arc<Conversation>,
    /// In the order of their rows.
    members: Vec<MemberRow>,
    /// Where a user's row is, once the members are many.
    rows: Option<BTreeMap<Id, u32>>,
    pub(super) last_row: u32,
    /// Who has left: a client's own names for messages are kept under the row of that time.
    left: Vec<(u32, Id)>,
    deleted: Vec<(u64, u32)>,
    /// What was forgotten.
    pub(super) forgotten: Option<Horizon>,
    /// Sequence and creation time of the newest message on stable storage.
    pub(super) head: u64,
    pub(super) head_at: u64,
    /// The same of the newest one given out.
    pub(super) issued: u64,
    pub(super) issued_at: u64,
    pub(super) pace: Pace,
    pub(super) names: Names,
    /// In conversations of two: messages of each side, on stable storage and given out.
    sent: BTreeMap<u32, u64>,
    issued_sent: BTreeMap<u32, u64>,
    /// The newest message that is not deleted; `None` within: it is to be asked for.
    pub(super) last: Option<Option<Arc<Message>>>,
    /// The members by their homes, made when first wanted: a large group is not sorted anew for every message.
    homes: Option<Homes>,
}

/// Users by the shard that is home to them.
pub(super) type Homes = Arc<[(ShardId, Arc<[Id]>)]>;

/// Sorts users by their homes.
pub(super) fn by_home<'a>(users: impl Iterator<Item = &'a Id>, home: impl Fn(&Id) -> ShardId) -> Homes {
    let mut homes: BTreeMap<ShardId, Vec<Id>> = BTreeMap::new();
    for user in users {
        homes.entry(home(user)).or_default().push(user.clone());
    }
    homes.into_iter().map(|(home, users)| (home, users.into())).collect()
}

impl Facts {
    /// A new one.
    pub(super) fn new(conversation: Arc<Conversation>, members: Vec<MemberRow>) -> Self {
        let last_row = members.iter().map(|row| row.member.row).max().unwrap_or(0);
        let mut facts = Self {
            conversation,
            members,
            rows: None,
            last_row,
            left: Vec::new(),
            deleted: Vec::new(),
            forgotten: None,
            head: 0,
            head_at: 0,
            issued: 0,
            issued_at: 0,
            pace: Pace::default(),
            names: Names::none(),
            sent: BTreeMap::new(),
            issued_sent: BTreeMap::new(),
            last: Some(None),
            homes: None,
        };
        facts.index();
        facts
    }

    /// One that was stored.
    pub(super) fn loaded(loaded: Loaded, now: Now) -> Self {
        let mut facts = Self::new(Arc::new(loaded.conversation), loaded.members);
        facts.last_row = facts.last_row.max(loaded.last_row);
        facts.left = loaded.left;
        facts.deleted = loaded.deleted;
        facts.forgotten = loaded.forgotten;
        // Where nothing is left, it goes on from what was forgotten.
        if let Some(newest) = loaded.newest.as_ref().map(Horizon::of).or(loaded.forgotten) {
            (facts.head, facts.head_at) = (newest.sequence, newest.at);
            if facts.is_pair() {
                let other = facts.members.iter().find(|row| row.member.row != newest.row);
                if let Some(other) = other.map(|row| row.member.row) {
                    facts.sent.insert(other, newest.sequence.saturating_sub(newest.sent));
                }
                facts.sent.insert(newest.row, newest.sent);
            }
        }
        (facts.issued, facts.issued_at) = (facts.head, facts.head_at);
        facts.pace = Pace::from(facts.head_at, now);
        facts.names = Names::default();
        facts.issued_sent = facts.sent.clone();
        facts.last = Some(loaded.last.map(Arc::new));
        facts
    }

    fn index(&mut self) {
        self.rows = (self.members.len() > FEW)
            .then(|| self.members.iter().map(|row| (row.member.user.clone(), row.member.row)).collect());
    }

    /// Conversations of two count each side's messages.
    pub(super) fn is_pair(&self) -> bool {
        matches!(self.conversation.kind, Kind::Direct | Kind::Trade)
    }

    pub(super) fn members(&self) -> &[MemberRow] {
        &self.members
    }

    pub(super) fn member(&self, user: &Id) -> Option<&MemberRow> {
        match &self.rows {
            Some(rows) => self.by_row(*rows.get(user)?),
            None => self.members.iter().find(|row| row.member.user == *user),
        }
    }

    pub(super) fn by_row(&self, row: u32) -> Option<&MemberRow> {
        let at = self.members.binary_search_by_key(&row, |row| row.member.row).ok()?;
        self.members.get(at)
    }

    /// The other one of a conversation of two.
    pub(super) fn other(&self, user: &Id) -> Option<&Id> {
        let mut others = self.members.iter().map(|row| &row.member.user).filter(|other| *other != user);
        others.next().filter(|_| self.is_pair())
    }

    /// Both members of a conversation of two.
    pub(super) fn pair(&self) -> Option<[Id; 2]> {
        match &self.members[..] {
            [one, other] if self.is_pair() => Some([one, other].map(|row| row.member.user.clone())),
            _ => None,
        }
    }

    /// The members by their homes.
    pub(super) fn homes(&mut self, home: impl Fn(&Id) -> ShardId) -> Homes {
        let users = self.members.iter().map(|row| &row.member.user);
        Arc::clone(self.homes.get_or_insert_with(|| by_home(users, home)))
    }

    /// Puts a member in, or in the place of what it was.
    pub(super) fn put_member(&mut self, row: MemberRow) {
        self.last_row = self.last_row.max(row.member.row);
        match self.members.binary_search_by_key(&row.member.row, |row| row.member.row) {
            Ok(at) => self.members[at] = row,
            Err(at) => {
                self.homes = None;
                self.names.begin(row.member.row);
                if let Some(rows) = &mut self.rows {
                    rows.insert(row.member.user.clone(), row.member.row);
                }
                self.members.insert(at, row);
                if self.rows.is_none() {
                    self.index();
                }
            }
        }
    }

    /// Takes a member out.
    pub(super) fn take_member(&mut self, row: u32) -> Option<MemberRow> {
        let at = self.members.binary_search_by_key(&row, |row| row.member.row).ok()?;
        let gone = self.members.remove(at);
        self.homes = None;
        if let Some(rows) = &mut self.rows {
            rows.remove(&gone.member.user);
        }
        if self.left.len() >= LEFT {
            self.left.remove(0);
        }
        self.left.push((row, gone.member.user.clone()));
        Some(gone)
    }

    /// The rows of a member, first the one it has now, then those of earlier times.
    pub(super) fn rows_of(&self, member: &Member) -> Box<[u32]> {
        let earlier = self.left.iter().rev().filter(|(_, user)| *user == member.user).map(|&(row, _)| row);
        std::iter::once(member.row).chain(earlier).collect()
    }

    /// Nobody knows any more who had these rows.
    pub(super) fn unname(&mut self, rows: &[u32]) {
        self.left.retain(|(row, _)| !rows.contains(row));
    }

    /// Messages that a member has sent here, as far as they are counted.
    pub(super) fn sent(&self, row: u32) -> u64 {
        self.sent.get(&row).copied().unwrap_or(0)
    }

    /// The same, with those that are under way.
    pub(super) fn issued_sent(&self, row: u32) -> u64 {
        self.issued_sent.get(&row).copied().unwrap_or(0)
    }

    /// A message is under way to the store.
    pub(super) fn issue(&mut self, message: &Message, now: Now) {
        self.pace.took(message.id.at, now);
        if let Some(client_id) = &message.client_id {
            self.names.note(message.row, client_id);
        }
        (self.issued, self.issued_at) = (message.sequence, message.id.at);
        if self.is_pair() {
            self.issued_sent.insert(message.row, message.sent);
        }
    }

    /// Nothing is under way: what was given out and failed is given out again.
    pub(super) fn reissue(&mut self) {
        self.issued = self.head;
        self.issued_sent.clone_from(&self.sent);
    }

    /// A message is on stable storage.
    pub(super) fn said(&mut self, message: &Arc<Message>) {
        (self.head, self.head_at) = (message.sequence, message.id.at);
        if self.is_pair() {
            // As when it is loaded: a sequence that was never written counts for the side it was given to.
            let other = self.members.iter().map(|row| row.member.row).find(|row| *row != message.row);
            if let Some(other) = other {
                self.sent.insert(other, message.sequence.saturating_sub(message.sent));
            }
            self.sent.insert(message.row, message.sent);
        }
        self.last = Some(Some(Arc::clone(message)));
    }

    /// A message was deleted, or one that was given out was never written while later ones were.
    pub(super) fn deleted(&mut self, sequence: u64, row: u32) {
        if let Err(at) = self.deleted.binary_search_by_key(&sequence, |&(sequence, _)| sequence) {
            self.deleted.insert(at, (sequence, row));
        }
    }

    /// Whether a member has read a message.
    pub(super) fn has_read(row: &MemberRow, sequence: u64) -> bool {
        sequence <= row.floor || row.singles.iter().any(|&(first, last)| (first..=last).contains(&sequence))
    }

    /// Everything up to a message is forgotten.
    pub(super) fn forget(&mut self, horizon: Horizon) {
        self.forgotten = Some(horizon);
        self.deleted.retain(|&(sequence, _)| sequence > horizon.sequence);
        if self.last.as_ref().and_then(Option::as_ref).is_some_and(|last| last.id.at <= horizon.at) {
            self.last = Some(None);
        }
    }

    /// A member's row with its floor at what was forgotten, where it was below.
    fn lifted(&self, row: &MemberRow) -> Option<MemberRow> {
        let horizon = self.forgotten.filter(|horizon| horizon.sequence > row.floor)?;
        let sent = if self.conversation.kind.sending_reads() { 0 } else { horizon.sent_by(row.member.row) };
        let (to, read_at) = (row.member.read_to, row.member.read_at);
        let mut lifted = self.with_floor(row, horizon.sequence, sent, to, 0);
        lifted.member.read_at = read_at;
        Some(lifted)
    }

    /// How many messages a member has not read.
    pub(super) fn unread(&self, row: &MemberRow) -> u64 {
        let lifted = self.lifted(row);
        let row = lifted.as_ref().unwrap_or(row);
        let after = self.head.saturating_sub(row.floor);
        let own = match self.conversation.kind.sending_reads() {
            true => 0,
            false => self.sent(row.member.row).saturating_sub(row.sent_at_floor),
        };
        let from = self.deleted.partition_point(|&(sequence, _)| sequence <= row.floor);
        let deleted = self.deleted[from..]
            .iter()
            .filter(|&&(sequence, by)| self.counts(by, row) && !Self::has_read(row, sequence))
            .count() as u64;
        let singles: u64 = row.singles.iter().map(|&(first, last)| last - first + 1).sum();
        after.saturating_sub(own + deleted + singles)
    }

    /// The row of a member who has read one more message. `None`: it was read before, or there are too many gaps.
    pub(super) fn with_single(&self, row: &MemberRow, sequence: u64) -> Option<MemberRow> {
        let mut row = self.lifted(row).unwrap_or_else(|| row.clone());
        if Self::has_read(&row, sequence) {
            return None;
        }
        let at = row.singles.partition_point(|&(first, _)| first < sequence);
        row.singles.insert(at, (sequence, sequence));
        if row.singles.get(at + 1).is_some_and(|next| next.0 == sequence + 1) {
            row.singles[at].1 = row.singles.remove(at + 1).1;
        }
        if at > 0 && row.singles[at - 1].1 + 1 == sequence {
            row.singles[at - 1].1 = row.singles.remove(at).1;
        }
        // What lies right above the floor raises it.
        loop {
            let next = row.floor + 1;
            if row.singles.first().is_some_and(|first| first.0 == next) {
                row.floor = row.singles.remove(0).1;
            } else if self.is_out(next, &row) {
                row.floor = next;
            } else {
                break;
            }
        }
        Some(row)
    }

    /// Whether a deleted message of this sender is to be taken off a member's count: where sending does not read, one's
    /// own are taken off already.
    fn counts(&self, sender: u32, row: &MemberRow) -> bool {
        self.conversation.kind.sending_reads() || sender != row.member.row
    }

    fn is_out(&self, sequence: u64, row: &MemberRow) -> bool {
        let at = self.deleted.binary_search_by_key(&sequence, |&(sequence, _)| sequence);
        at.is_ok_and(|at| self.counts(self.deleted[at].1, row))
    }

    /// The row of a member who has read everything up to a message.
    pub(super) fn with_floor(
        &self,
        row: &MemberRow,
        floor: u64,
        sent_at_floor: u64,
        to: u64,
        now: u64,
    ) -> MemberRow {
        let mut row = row.clone();
        if floor > row.floor {
            (row.floor, row.sent_at_floor) = (floor, sent_at_floor);
            row.singles.retain_mut(|(first, last)| {
                *first = (*first).max(floor + 1);
                first <= last
            });
        }
        row.member.read_at = row.member.read_at.max(Some(now));
        row.member.read_to = row.member.read_to.max(to);
        row
    }

    /// A member as it is told: hidden only until something is said.
    pub(super) fn told(&self, row: &MemberRow) -> Member {
        let mut member = row.member.clone();
        member.hidden_at = member.hidden_at.filter(|_| self.head_at <= member.hidden_to);
        member
    }

    /// When it was last changed or written to.
    pub(super) fn updated_at(&self) -> u64 {
        self.conversation.updated_at.max(self.head_at)
    }

    /// The conversation as it is told, with at most so many members; `user` is among them if it is one.
    pub(super) fn shown(&self, most: usize, user: &Id) -> Conversation {
        let mut shown = Conversation::clone(&self.conversation);
        shown.updated_at = self.updated_at();
        shown.members_count = self.members.len() as u32;
        shown.members = self.members.iter().take(most).map(|row| self.told(row)).collect();
        if shown.members.len() < self.members.len()
            && let Some(own) = self.member(user)
            && shown.members.last().is_some_and(|last| last.row < own.member.row)
        {
            shown.members.pop();
            shown.members.push(self.told(own));
        }
        shown
    }

    /// Whether anybody has blocked it.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_pair() && self.members.iter().any(|row| row.member.blocked)
    }

    /// Roughly its bytes.
    pub(super) fn bytes(&self) -> usize {
        // Not looked at one by one: a large group is weighed after every message.
        let members = self.members.len() * MEMBER;
        let homes =
            self.homes.as_ref().map_or(0, |homes| self.members.len() * size_of::<Id>() + homes.len() * 16);
        let rows = self.rows.as_ref().map_or(0, |rows| rows.len() * 48);
        let last = self
            .last
            .as_ref()
            .and_then(Option::as_ref)
            .map_or(0, |message| size_of::<Message>() + message.content.len());
        let name = self.conversation.name.as_ref().map_or(0, |name| name.len());
        size_of::<Self>()
            + size_of::<Conversation>()
            + name
            + self.conversation.extra.len()
            + members
            + rows
            + homes
            + last
            + self.names.bytes()
            + self.deleted.len() * 16
            + self.left.len() * size_of::<(u32, Id)>()
    }
}
