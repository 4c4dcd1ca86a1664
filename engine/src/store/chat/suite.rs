//! What every store of conversations must do: one suite, run unchanged against each.
//!
//! The suite sees [`Writes`](super::Writes) and [`Reads`](super::Reads) and nothing of rows.

mod batches;
mod history;
mod lives;
mod members;
mod model;
mod retention;
mod walks;

use std::sync::Arc;

use schema::chat::{Conversation, ConversationId, Kind, Member, Message, MessageId, Role};
use schema::{Id, Key, Realm};

use super::{FailureKind, Opened};
use crate::machine::store::{ChatAsk, ChatStored, ClientIds, Loaded, MemberRow, Part, Place, Trace, Write};

/// A store, and how to open it again.
pub(super) struct Store {
    opened: Option<Opened>,
    reopen: Box<dyn FnMut() -> Opened>,
}

impl Store {
    pub(super) fn new(mut reopen: impl FnMut() -> Opened + 'static) -> Self {
        Self { opened: Some(reopen()), reopen: Box::new(reopen) }
    }

    fn opened(&mut self) -> &mut Opened {
        self.opened.as_mut().expect("it is only closed to be opened again")
    }

    /// Closes it, and opens it again.
    fn again(&mut self) {
        self.opened = None;
        self.opened = Some((self.reopen)());
    }

    /// What is too much at the moment is tried again, as a home does.
    fn commit(&mut self, writes: &[Write]) {
        loop {
            for write in writes {
                self.opened().writes.stage(write).unwrap();
            }
            match self.opened().writes.commit() {
                Ok(()) => return,
                Err(failure) => assert_eq!(failure.kind, FailureKind::Busy, "{failure}"),
            }
            std::thread::yield_now();
        }
    }

    /// Clears away one part, and says whether there may be more.
    fn sweep_once(&mut self) -> bool {
        loop {
            match self.opened().writes.sweep() {
                Ok(more) => return more,
                Err(failure) => assert_eq!(failure.kind, FailureKind::Busy, "{failure}"),
            }
            std::thread::yield_now();
        }
    }

    /// Forgets client ids, a whole round.
    fn forget(&mut self, before: u64) {
        loop {
            match self.opened().writes.forget(before) {
                Ok(true) => {}
                Ok(false) => return,
                Err(failure) => assert_eq!(failure.kind, FailureKind::Busy, "{failure}"),
            }
            std::thread::yield_now();
        }
    }

    fn write(&mut self, place: Place, parts: impl Into<Vec<Part>>) {
        self.commit(&[Write { place, parts: parts.into() }]);
    }

    /// Clears away everything there is to clear away, and says in how many parts.
    fn sweep(&mut self) -> usize {
        (0..).take_while(|_| self.sweep_once()).count()
    }

    fn answer(&mut self, ask: ChatAsk) -> ChatStored {
        self.opened().reads.answer(&ask).unwrap()
    }

    fn load_all(&mut self, places: &[Place]) -> Vec<Option<Loaded>> {
        match self.answer(ChatAsk::Load { places: places.to_vec() }) {
            ChatStored::Loaded(all) => all.into_iter().map(|one| one.map(|loaded| *loaded)).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn load(&mut self, place: Place) -> Option<Loaded> {
        self.load_all(&[place]).remove(0)
    }

    fn page(&mut self, place: Place, page: Page) -> (Vec<Message>, bool) {
        let Page { before, after, forward, limit, receipts } = page;
        match self.answer(ChatAsk::Page { place, before, after, forward, limit, receipts }) {
            ChatStored::Page { messages, more } => (messages, more),
            other => panic!("{other:?}"),
        }
    }

    fn message(&mut self, place: Place, at: u64) -> Option<Message> {
        match self.answer(ChatAsk::Message { place, at }) {
            ChatStored::Message(message) => message.map(|message| *message),
            other => panic!("{other:?}"),
        }
    }

    /// The client ids of these rows, sorted.
    fn names(&mut self, place: Place, rows: &[u32], limit: u32) -> Option<ClientIds> {
        match self.answer(ChatAsk::Names { place, rows: rows.into(), limit }) {
            ChatStored::Names { rows: of, names } => {
                assert_eq!(*of, *rows);
                names.map(|mut names| {
                    names.sort();
                    names
                })
            }
            other => panic!("{other:?}"),
        }
    }

    fn sent(&mut self, place: Place, row: u32, client_id: &str, since: u64) -> Option<u64> {
        self.sent_as(place, &[row], client_id, since)
    }

    fn sent_as(&mut self, place: Place, rows: &[u32], client_id: &str, since: u64) -> Option<u64> {
        match self.answer(ChatAsk::Sent { place, rows: rows.into(), client_id: client_id.into(), since }) {
            ChatStored::Sent(at) => at,
            other => panic!("{other:?}"),
        }
    }

    /// Conversations with messages from before these times, looked for so many at a time.
    fn aged(&mut self, before: [u64; 4], limit: u32) -> Vec<Place> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            match self.answer(ChatAsk::Aged { after, before: Box::new(before), limit }) {
                ChatStored::Aged { places, next } => {
                    found.extend(places.into_iter().map(|(place, _)| place));
                    if next.is_none() {
                        return found;
                    }
                    after = next;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Where a user is named, looked for in so many conversations at a time.
    fn traces(&mut self, user: &Key, limit: u32) -> Vec<Trace> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            match self.answer(ChatAsk::Traces { user: user.clone(), after, limit }) {
                ChatStored::Traces { found, next } => {
                    all.extend(found);
                    if next.is_none() {
                        return all;
                    }
                    assert!(next > after, "it goes on");
                    after = next;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn memberships(
        &mut self,
        user: &Key,
        after: Option<ConversationId>,
        limit: u32,
    ) -> (Vec<ConversationId>, bool) {
        match self.answer(ChatAsk::Memberships { user: user.clone(), after, limit }) {
            ChatStored::Memberships { conversations, more } => (conversations, more),
            other => panic!("{other:?}"),
        }
    }
}

/// A page that is asked for; by default all of it, newest first, without receipts.
#[derive(Clone, Copy, Debug)]
struct Page {
    before: u64,
    after: u64,
    forward: bool,
    limit: u16,
    receipts: bool,
}

impl Default for Page {
    fn default() -> Self {
        Self { before: u64::MAX, after: 0, forward: false, limit: 1_000, receipts: false }
    }
}

fn place(number: u128) -> Place {
    (Realm(0), ConversationId::from_number(number))
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn user(text: &str) -> Key {
    Key::new(Realm(0), id(text))
}

fn conversation(place: Place, name: &str) -> Conversation {
    Conversation {
        id: place.1,
        kind: Kind::Group,
        name: Some(name.into()),
        creator: id("ann"),
        extra: Arc::from(*b"extra"),
        created_at: 10,
        updated_at: 11,
        members_count: 0,
        members: Vec::new(),
    }
}

fn made(place: Place, name: &str) -> Part {
    Part::Conversation(conversation(place, name).into())
}

fn member(row: u32, user: &str) -> MemberRow {
    let member = Member {
        row,
        user: id(user),
        role: if row == 1 { Role::Creator } else { Role::Member },
        joined_at: 10 + u64::from(row),
        read_at: None,
        read_to: 0,
        hidden_to: 0,
        hidden_at: None,
        pinned_at: None,
        blocked: false,
    };
    MemberRow { member, floor: 0, sent_at_floor: 0, singles: Vec::new() }
}

fn message(place: Place, sequence: u64, at: u64, row: u32) -> Message {
    Message {
        id: MessageId { conversation: place.1, at },
        sequence,
        sent: sequence,
        sender: id("ann"),
        to: None,
        row,
        client_id: None,
        kind: 0,
        content: format!("number {sequence}").into(),
        attachment: None,
        updated_at: at,
        edited: false,
        deleted: false,
        reads: Vec::new(),
    }
}

fn said(message: &Message) -> Part {
    Part::Message(Arc::new(message.clone()))
}

/// The parts that make a group of Ann and Bob; for the tests of the threads.
pub(in crate::store) fn group_of(place: Place) -> Vec<Part> {
    vec![made(place, "group"), Part::Member(member(1, "ann")), Part::Member(member(2, "bob"))]
}

/// The part that Ann says something then.
pub(in crate::store) fn one_more(place: Place, at: u64) -> Part {
    said(&message(place, at, at, 1))
}

/// A group of Ann and Bob in which so many messages were said, at 100, 200 and so on.
fn group(store: &mut Store, place: Place, messages: u64) -> Vec<Message> {
    let mut parts = group_of(place);
    let all: Vec<_> = (1..=messages).map(|number| message(place, number, number * 100, 1)).collect();
    parts.extend(all.iter().map(said));
    store.write(place, parts);
    all
}

/// The times of messages.
fn times(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.id.at).collect()
}

/// The tests of the suite; the macro names each of them for each store.
macro_rules! chat_suite {
    ($open:expr) => {
        crate::store::chat::suite::chat_suite!($open;
            batches::a_write_is_read_back_as_it_was
            batches::what_is_not_there
            batches::many_writes_of_one_commit
            batches::a_load_with_holes
            batches::big_values
            batches::a_write_to_nothing_is_refused
            history::pages_are_bounded
            history::pages_go_forward
            history::a_page_of_nothing
            history::edits_replace
            history::receipts_are_joined
            history::deleted_messages
            history::the_last_message_behind_deleted_ones
            history::sends_are_found
            history::old_sends_are_forgotten
            members::members_come_and_go
            members::a_member_that_left_keeps_its_receipts
            members::who_comes_back_finds_what_was_sent_before
            members::traces_of_a_user
            members::memberships_page_by_page
            members::thirty_thousand_members
            lives::two_realms_with_one_id
            lives::gone_is_gone_at_once
            lives::made_again_it_is_another
            lives::gone_and_made_in_one_write
            lives::made_and_gone_many_times
            lives::what_is_gone_is_cleared_away
            retention::what_is_forgotten_is_nowhere
            retention::all_forgotten_goes_on_where_it_was
            retention::a_page_is_never_half
            walks::a_walk_writes_it_anew
            walks::a_walk_may_stop_and_write
            walks::all_places
            model::as_the_model_says
            model::as_the_model_says_again
        );
    };
    ($open:expr; $($room:ident::$name:ident)+) => {
        $(
            #[test]
            fn $name() {
                #[allow(clippy::redundant_closure_call, reason = "the caller says how to open it")]
                let mut store: crate::store::chat::suite::Store = ($open)();
                crate::store::chat::suite::$room::$name(&mut store);
            }
        )+
    };
}
pub(super) use chat_suite;

mod memory {
    use super::*;
    use crate::store::chat::{MemoryRows, RowReader};

    chat_suite!(|| {
        let rows = MemoryRows::default();
        Store::new(move || Opened::over(rows.clone(), Arc::new(rows.clone()), "memory".into()))
    });

    /// What an export or a retention begins with; a matter of rows.
    #[test]
    fn all_conversations_of_a_realm() {
        let rows = MemoryRows::default();
        let reader = RowReader::new(Arc::new(rows.clone()));
        let mut store =
            Store::new(move || Opened::over(rows.clone(), Arc::new(rows.clone()), "memory".into()));
        for number in 0..10 {
            group(&mut store, place(number), 1);
            group(&mut store, (Realm(1), place(number).1), 1);
        }
        store.write(place(4), [Part::Gone]);
        let all = |after, limit| reader.conversations(Realm(0), after, limit).unwrap();
        let ids: Vec<_> = [0, 1, 2, 3, 5, 6, 7, 8, 9].map(|number| place(number).1).into();
        assert_eq!(all(None, 100), ids);
        assert_eq!(all(None, 4), ids[..4]);
        assert_eq!(all(Some(ids[3]), 4), ids[4..8]);
        assert_eq!(all(Some(ids[8]), 4), []);
        assert_eq!(all(None, 0), []);
    }
}

mod scylla {
    use super::Store;
    use crate::store::scylla::tests::Tables;

    chat_suite!(|| {
        let tables = Tables::new();
        Store::new(move || tables.open().chats())
    });
}

mod embedded {
    use super::Store;
    use crate::store::chat::{Settings, embedded};

    // A small table, so that some of the tests meet the index behind it.
    chat_suite!(|| {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            segment_bytes: 1 << 20,
            table_bytes: 256 << 10,
            cache_bytes: 1 << 20,
            reserve_bytes: 0,
            ..Settings::default()
        };
        Store::new(move || embedded::open(folder.path(), &settings, 7).unwrap())
    });
}
