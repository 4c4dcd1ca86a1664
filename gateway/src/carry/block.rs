//! One conversation on its way in: what its lines leave out is found, and what they say is held against each other and
//! against what is there already.
//!
//! **What is there stays.** A row that the store has is not written again, so the same file a second time changes
//! nothing, one that was cut off goes on where it ended, and what people did since is not taken back.
//!
//! **Marks are found.** Another system knows up to when somebody has read, and Muster counts sequences: so a member without
//! a `floor` is written again at the end of the block, when it is known which sequence that was.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use engine::kept::{ChatAsk, ChatStored, Horizon, Loaded, MemberRow, Part, Place, Reads};
use schema::Id;
use schema::chat::ids::LAST_MS;
use schema::chat::{Attachment, Conversation, ConversationId, Kind, Message, MessageId, Receipt, Role};

use super::lines::{
    ConversationLine, DeletedLine, ForgottenLine, MemberLine, MessageLine, ReceiptLine, SendLine, Time,
    role_of,
};

/// What has to be written for a line, and how much was there already.
#[derive(Debug, Default)]
pub struct Changes {
    /// To be written.
    pub parts: Vec<Part>,
    /// Parts that are there as they are.
    pub there: u64,
}

impl Changes {
    fn one(is_there: bool, part: impl FnOnce() -> Part) -> Self {
        if is_there { Self { parts: Vec::new(), there: 1 } } else { Self { parts: vec![part()], there: 0 } }
    }
}

/// A conversation whose lines are being read.
pub struct Block {
    /// Which.
    pub place: Place,
    kind: Kind,
    creator: Id,
    created_at: u64,
    /// What the store has of it.
    there: Option<Box<Loaded>>,
    members: BTreeMap<u32, Someone>,
    rows: HashMap<Id, u32>,
    next_row: u32,
    /// Members whose marks are to be found, by the time they have read up to; those before `found` are done.
    marks: Vec<(u64, u32)>,
    found: usize,
    /// No more members may come.
    speaking: bool,
    /// The newest message: its time as it was given, its time as it is, its sequence.
    given_at: u64,
    at: u64,
    sequence: u64,
}

struct Someone {
    user: Id,
    /// `None`: has left.
    row: Option<MemberRow>,
    /// Its marks are to be found, and the store has this one.
    open: bool,
    floor: u64,
    sent: u64,
    /// The sequence of its own newest message.
    own: u64,
}

impl Block {
    /// Opens the block of a conversation.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn open(
        reads: &dyn Reads,
        realm: schema::Realm,
        line: &ConversationLine,
    ) -> Result<(Self, Changes), String> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == line.kind);
        let kind = kind.ok_or("kind must be \"direct\", \"group\", \"trade\" or \"feed\"")?;
        let place = (realm, conversation_id(line, kind)?);
        let creator = user(&line.creator)?;
        if kind == Kind::Group && line.name.as_ref().is_none_or(|name| name.trim().is_empty()) {
            return Err("a group needs a name".into());
        }
        let there = match reads.answer(&ChatAsk::Load { places: vec![place] }) {
            Ok(ChatStored::Loaded(mut loaded)) => loaded.pop().flatten(),
            Ok(_) => None,
            Err(failure) => return Err(format!("the store cannot be read: {failure}")),
        };
        if there.as_ref().is_some_and(|there| there.conversation.kind != kind) {
            return Err(format!("there is a conversation {} already, and it is no {}", place.1, line.kind));
        }
        let conversation = Conversation {
            id: place.1,
            kind,
            name: line.name.as_deref().map(Arc::from),
            creator: creator.clone(),
            extra: line.extra()?,
            created_at: line.created_at.0,
            updated_at: line.updated_at.unwrap_or(line.created_at).0,
            members_count: 0,
            members: Vec::new(),
        };
        let block = Self {
            place,
            kind,
            creator,
            created_at: line.created_at.0,
            members: BTreeMap::new(),
            rows: HashMap::new(),
            next_row: 1,
            marks: Vec::new(),
            found: 0,
            speaking: false,
            given_at: 0,
            at: 0,
            sequence: 0,
            there,
        };
        let changes = Changes::one(block.there.is_some(), || Part::Conversation(Arc::new(conversation)));
        Ok((block, changes))
    }

    /// Somebody who is, or was, in it.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn member(&mut self, line: &MemberLine) -> Result<Changes, String> {
        if self.speaking {
            return Err("the members of a conversation stand before its messages".into());
        }
        let user = user(&line.user)?;
        let row = line.row.unwrap_or(self.next_row);
        if row < self.next_row {
            return Err(format!("row must grow from member to member: {} or more", self.next_row));
        }
        if !line.left && self.rows.get(&user).is_some_and(|row| self.is_in(*row)) {
            return Err(format!("{:?} is in this conversation already", line.user));
        }
        self.next_row = row.checked_add(1).ok_or("row is too great")?;
        let is_there = self.is_there(row, &user)?;
        self.rows.insert(user.clone(), row);
        if line.left {
            self.members.insert(
                row,
                Someone { user: user.clone(), row: None, open: false, floor: 0, sent: 0, own: 0 },
            );
            return Ok(Changes::one(is_there, || Part::MemberGone { row, user }));
        }
        let role = match &line.role {
            None if user == self.creator => Role::Creator,
            None => Role::Member,
            Some(word) => {
                role_of(word).ok_or("role must be \"member\", \"creator\", \"buyer\" or \"seller\"")?
            }
        };
        let mut member = line.row(row, user.clone(), role, self.created_at);
        let open = line.floor.is_none();
        if open {
            // Who comes later has nothing to read of what was said before.
            let read_to = member.member.read_to.max(member.member.joined_at.saturating_sub(1));
            self.marks.push((read_to, row));
            let told = (member.member.read_to > 0).then_some(member.member.read_to);
            member.member.read_at = member.member.read_at.or(told);
        }
        // An import that was cut off may have found less of the marks; what the member did since is not touched.
        let stored =
            self.there.iter().flat_map(|there| &there.members).find(|stored| stored.member.row == row);
        let untouched = |stored: &MemberRow| {
            let MemberRow { floor, sent_at_floor, .. } = member;
            MemberRow { floor, sent_at_floor, ..stored.clone() } == member
        };
        let open = open && (!is_there || stored.is_some_and(untouched));
        let floor = stored.map_or(0, |stored| stored.floor);
        let someone = Someone { user, row: Some(member.clone()), open, floor, sent: 0, own: 0 };
        self.members.insert(row, someone);
        Ok(Changes::one(is_there, || Part::Member(member)))
    }

    fn is_in(&self, row: u32) -> bool {
        self.members.get(&row).is_some_and(|someone| someone.row.is_some())
    }

    /// Whether the store has this row.
    fn is_there(&self, row: u32, user: &Id) -> Result<bool, String> {
        let Some(there) = self.there.as_ref().filter(|there| row <= there.last_row) else { return Ok(false) };
        match there.members.iter().find(|member| member.member.row == row) {
            Some(member) if member.member.user != *user => Err(format!(
                "conversation {} is there already, and its member {row} is {}, not {user}: it was used before this \
                 file was imported; import it into an empty store, or leave this conversation out",
                self.place.1, member.member.user
            )),
            _ => Ok(true),
        }
    }

    /// A message, and the id that it has here.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn message(&mut self, reads: &dyn Reads, line: &MessageLine) -> Result<(Changes, MessageId), String> {
        self.begin_to_speak();
        let Time(given) = line.at;
        if given < self.given_at {
            return Err(
                "the messages of a conversation stand in the order of their times: sort them by at".into()
            );
        }
        // Two of one millisecond: the second gets the next one, the same whenever this file is read.
        let at = given.max(self.at + 1);
        if at > LAST_MS {
            return Err("at lies beyond the year 2248".into());
        }
        let sequence = line.sequence.unwrap_or(self.sequence + 1);
        if sequence <= self.sequence {
            return Err(format!("sequence must grow from message to message: {} or more", self.sequence + 1));
        }
        self.find_marks(at);
        let (row, sender) = self.sender(line)?;
        (self.given_at, self.at, self.sequence) = (given, at, sequence);
        let message = self.build(line, at, sequence, row, sender)?;
        let id = message.id;
        let is_there = self.has_message(reads, &message)?;
        let mut changes = Changes::one(is_there, || Part::Message(Arc::new(message)));
        if line.deleted && !is_there {
            changes.parts.push(Part::Deleted { sequence, row });
        }
        for read in &line.reads {
            let reader = user(&read.user)?;
            let row = self.rows.get(&reader).ok_or_else(|| no_member(&read.user))?;
            let receipt = ReceiptLine { message: Time(at), row: *row, at: read.at };
            let more = self.receipt(reads, &receipt)?;
            changes.parts.extend(more.parts);
            changes.there += more.there;
        }
        Ok((changes, id))
    }

    /// What was forgotten for its age: messages go on from there.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn forgotten(&mut self, line: &ForgottenLine) -> Result<Changes, String> {
        if self.at > 0 {
            return Err("what was forgotten stands before the messages".into());
        }
        let ForgottenLine { at: Time(at), sequence, row, sent } = *line;
        let horizon = Horizon { at, sequence, row, sent };
        (self.given_at, self.at, self.sequence) = (at, at, sequence);
        for (number, someone) in &mut self.members {
            someone.sent = horizon.sent_by(*number);
        }
        // The store may have forgotten more since.
        let there = self.there.as_ref().and_then(|there| there.forgotten);
        let is_there = there.is_some_and(|there| there.sequence >= sequence);
        Ok(Changes::one(is_there, || Part::Forgotten(horizon)))
    }

    fn build(
        &mut self,
        line: &MessageLine,
        at: u64,
        sequence: u64,
        row: u32,
        sender: Id,
    ) -> Result<Message, String> {
        let pair = matches!(self.kind, Kind::Direct | Kind::Trade);
        let someone = self.members.get_mut(&row).ok_or_else(|| no_member(&line.sender))?;
        someone.sent = line.sent.unwrap_or(someone.sent + 1);
        someone.own = sequence;
        if line.deleted && (!line.content.is_empty() || line.attachment.is_some()) {
            return Err("a deleted message has neither content nor an attachment: leave them out".into());
        }
        if !line.deleted && line.content.is_empty() && line.attachment.is_none() {
            return Err(
                "content must not be empty where there is no attachment (or say \"deleted\":true)".into()
            );
        }
        if line.content.len() > schema::frame::CONTENT_MAX {
            return Err(format!(
                "content has {} bytes, and {} is the most",
                line.content.len(),
                schema::frame::CONTENT_MAX
            ));
        }
        if line.client_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > schema::id::ID_MAX) {
            return Err("clientId has 1 to 255 bytes".into());
        }
        let attachment = line.attachment.as_ref();
        Ok(Message {
            id: MessageId { conversation: self.place.1, at },
            sequence,
            sent: if pair { someone.sent } else { line.sent.unwrap_or(0) },
            sender,
            to: None,
            row,
            client_id: line.client_id.as_deref().map(Arc::from),
            kind: line.kind,
            content: Arc::from(&*line.content),
            attachment: attachment
                .map(|file| Attachment { url: Arc::from(&*file.url), kind: Arc::from(&*file.kind) }),
            updated_at: line.updated_at.map_or(at, |time| time.0),
            edited: line.edited,
            deleted: line.deleted,
            reads: Vec::new(),
        })
    }

    /// The row of who sent it, and who that is.
    fn sender(&self, line: &MessageLine) -> Result<(u32, Id), String> {
        let sender = user(&line.sender)?;
        let row =
            line.row.or_else(|| self.rows.get(&sender).copied()).ok_or_else(|| no_member(&line.sender))?;
        match self.members.get(&row) {
            None => Err(format!("row {row} is no member's: its line is missing")),
            Some(_) => Ok((row, sender)),
        }
    }

    fn has_message(&self, reads: &dyn Reads, message: &Message) -> Result<bool, String> {
        let forgotten = self.there.as_ref().and_then(|there| there.forgotten).unwrap_or_default();
        if message.sequence <= forgotten.sequence {
            return Ok(true);
        }
        let Some(newest) = self.there.as_ref().and_then(|there| there.newest.as_ref()) else {
            return Ok(false);
        };
        if message.id.at > newest.id.at && message.sequence > newest.sequence {
            return Ok(false);
        }
        match self.read(reads, message.id.at)? {
            Some(there) if there.sequence == message.sequence => Ok(true),
            _ => Err(format!(
                "conversation {} is there already, and was written to since: this message would come before what is \
                 there; import into an empty store, or leave this conversation out",
                self.place.1
            )),
        }
    }

    fn read(&self, reads: &dyn Reads, at: u64) -> Result<Option<Box<Message>>, String> {
        match reads.answer(&ChatAsk::Message { place: self.place, at }) {
            Ok(ChatStored::Message(message)) => Ok(message),
            Ok(_) => Ok(None),
            Err(failure) => Err(format!("the store cannot be read: {failure}")),
        }
    }

    /// Somebody has read a message.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn receipt(&mut self, reads: &dyn Reads, line: &ReceiptLine) -> Result<Changes, String> {
        let someone = self.someone(line.row)?;
        let there = match &self.there {
            None => None,
            Some(_) => self.read(reads, line.message.0)?,
        };
        let has = |read: &Receipt| read.user == someone.user && read.at == line.at.0;
        let is_there = there.is_some_and(|message| message.reads.iter().any(has));
        Ok(Changes::one(is_there, || Part::Receipt { message: line.message.0, row: line.row, at: line.at.0 }))
    }

    /// A sequence is deleted.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn deleted(&self, line: &DeletedLine) -> Result<Changes, String> {
        let deleted = self.there.as_ref().map_or(&[][..], |there| &there.deleted);
        let is_there = deleted.binary_search_by_key(&line.sequence, |&(sequence, _)| sequence).is_ok();
        Ok(Changes::one(is_there, || Part::Deleted { sequence: line.sequence, row: line.row }))
    }

    /// What a client's own name stands for.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn send(&self, reads: &dyn Reads, line: &SendLine) -> Result<Changes, String> {
        self.someone(line.row)?;
        if line.client_id.is_empty() || line.client_id.len() > schema::id::ID_MAX {
            return Err("clientId has 1 to 255 bytes".into());
        }
        let client_id: Arc<str> = Arc::from(&*line.client_id);
        let is_there = self.there.is_some() && {
            let ask = ChatAsk::Sent {
                place: self.place,
                rows: [line.row].into(),
                client_id: client_id.clone(),
                since: 0,
            };
            matches!(reads.answer(&ask), Ok(ChatStored::Sent(Some(_))))
        };
        Ok(Changes::one(is_there, || Part::Sent { row: line.row, client_id, message: line.message.0 }))
    }

    fn someone(&self, row: u32) -> Result<&Someone, String> {
        self.members.get(&row).ok_or_else(|| format!("row {row} is no member's: its line is missing"))
    }

    /// The last line of the block was read: the marks that are known now.
    ///
    /// # Errors
    /// When it cannot be a conversation.
    pub fn close(mut self) -> Result<Changes, String> {
        self.begin_to_speak();
        self.find_marks(u64::MAX);
        let present = self.members.values().filter(|someone| someone.row.is_some()).count();
        let known = self.there.as_ref().map_or(0, |there| there.members.len());
        if present == 0 && known == 0 {
            return Err(format!("conversation {} has no members", self.place.1));
        }
        let sending_reads = self.kind.sending_reads();
        let mut changes = Changes::default();
        for someone in self.members.into_values().filter(|someone| someone.open) {
            let Some(mut row) = someone.row else { continue };
            if sending_reads {
                row.floor = row.floor.max(someone.own);
                row.sent_at_floor = 0;
            }
            if row.floor > someone.floor {
                changes.parts.push(Part::Member(row));
            }
        }
        Ok(changes)
    }

    fn begin_to_speak(&mut self) {
        if !self.speaking {
            self.speaking = true;
            self.marks.sort_unstable();
        }
    }

    /// The next message is of this time: who has read up to before it has read everything there is so far.
    fn find_marks(&mut self, at: u64) {
        while let Some(&(_, row)) = self.marks.get(self.found).filter(|mark| mark.0 < at) {
            self.found += 1;
            if let Some(someone) = self.members.get_mut(&row)
                && let Some(row) = &mut someone.row
            {
                (row.floor, row.sent_at_floor) = (self.sequence, someone.sent);
            }
        }
    }
}

fn no_member(user: &str) -> String {
    format!(
        "{user:?} is no member of this conversation: give a member line for everybody who is in its lines, with \
         \"left\":true for those who have left"
    )
}

/// The id of a user.
///
/// # Errors
/// When it cannot be one.
pub fn user(text: &str) -> Result<Id, String> {
    Id::new(text).map_err(|error| format!("{text:?} is no user's id: {error}"))
}

/// The id that a conversation has here: its own, that of its pair, or one that follows from the other system's.
fn conversation_id(line: &ConversationLine, kind: Kind) -> Result<ConversationId, String> {
    if let Some(id) = &line.id {
        let foreign = "id is no id of Muster's: give another system's as ref";
        return id.parse().map_err(|_| format!("{foreign} (it is {id:?})"));
    }
    if kind == Kind::Direct {
        let users = line.users.as_deref().unwrap_or_default();
        let [one, other] = users else {
            return Err("a direct conversation needs users: the ids of the two (or Muster's id)".into());
        };
        let (one, other) = (user(one)?, user(other)?);
        if one == other {
            return Err("users must be two different ones".into());
        }
        return Ok(ConversationId::of_pair(&one, &other));
    }
    match &line.reference {
        Some(reference) if !reference.is_empty() => {
            Ok(ConversationId::natural(kind, &["import", line.realm.as_deref().unwrap_or(""), reference]))
        }
        _ => Err("a conversation needs an id of Muster's, or the other system's id as ref".into()),
    }
}
