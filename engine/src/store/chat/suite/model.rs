//! Random writes and reads against the simplest model there is.

use std::collections::BTreeMap;

use schema::chat::Receipt;

use super::*;
use crate::machine::store::{ClientIds, Horizon, Part};
use crate::store::suite::Numbers;

const USERS: [&str; 6] = ["ann", "bob", "cid", "dora", "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55", "e"];

#[derive(Clone, Default)]
struct Model(BTreeMap<Place, Life>);

#[derive(Clone)]
struct Life {
    conversation: Conversation,
    /// `None`: has left.
    members: BTreeMap<u32, (Id, Option<MemberRow>)>,
    messages: BTreeMap<u64, Message>,
    receipts: BTreeMap<(u64, u32), u64>,
    deleted: BTreeMap<u64, u32>,
    sends: BTreeMap<(u32, String), u64>,
    forgotten: Option<Horizon>,
}

impl Model {
    fn apply(&mut self, write: &Write) {
        for part in &write.parts {
            match part {
                Part::Conversation(conversation) => {
                    let conversation = (**conversation).clone();
                    match self.0.get_mut(&write.place) {
                        Some(life) => life.conversation = conversation,
                        None => {
                            let life = Life {
                                conversation,
                                members: BTreeMap::new(),
                                messages: BTreeMap::new(),
                                receipts: BTreeMap::new(),
                                deleted: BTreeMap::new(),
                                sends: BTreeMap::new(),
                                forgotten: None,
                            };
                            self.0.insert(write.place, life);
                        }
                    }
                }
                Part::Gone => _ = self.0.remove(&write.place),
                _ => self.0.get_mut(&write.place).unwrap().apply(part),
            }
        }
    }

    fn memberships(&self, user: &Key) -> Vec<ConversationId> {
        let lives = self.0.iter().filter(|(place, _)| place.0 == user.realm);
        let is_in = |life: &Life| {
            life.members.values().any(|(_, row)| row.as_ref().is_some_and(|row| row.member.user == user.id))
        };
        lives.filter(|(_, life)| is_in(life)).map(|(place, _)| place.1).collect()
    }
}

impl Life {
    fn apply(&mut self, part: &Part) {
        match part {
            Part::Conversation(_) | Part::Gone => {}
            Part::Member(row) => {
                self.members.insert(row.member.row, (row.member.user.clone(), Some(row.clone())));
            }
            Part::MemberGone { row, user } => _ = self.members.insert(*row, (user.clone(), None)),
            Part::Message(message) => {
                self.messages.insert(message.id.at, (**message).clone());
            }
            Part::Receipt { message, row, at } => _ = self.receipts.insert((*message, *row), *at),
            Part::Deleted { sequence, row } => _ = self.deleted.insert(*sequence, *row),
            Part::Forgotten(horizon) => {
                self.forgotten = Some(*horizon);
                self.messages.retain(|at, _| *at > horizon.at);
                self.receipts.retain(|(at, _), _| *at > horizon.at);
                self.deleted.retain(|sequence, _| *sequence > horizon.sequence);
            }
            Part::Sent { row, client_id, message } => {
                self.sends.insert((*row, client_id.to_string()), *message);
            }
        }
    }

    fn loaded(&self) -> Loaded {
        let newest = self.messages.values().next_back().cloned();
        let last = self.messages.values().rev().find(|message| !message.deleted);
        Loaded {
            conversation: self.conversation.clone(),
            members: self.members.values().filter_map(|(_, row)| row.clone()).collect(),
            last_row: self.members.keys().next_back().copied().unwrap_or(0),
            left: {
                let left = self.members.iter().filter(|(_, (_, row))| row.is_none());
                left.map(|(&row, (user, _))| (row, user.clone())).collect()
            },
            deleted: self.deleted.iter().map(|(sequence, row)| (*sequence, *row)).collect(),
            newest,
            last: last.cloned(),
            forgotten: self.forgotten,
        }
    }

    fn with_receipts(&self, message: &Message) -> Message {
        let range = self.receipts.range((message.id.at, 0)..=(message.id.at, u32::MAX));
        let named = range.filter_map(|((_, row), at)| {
            let (user, _) = self.members.get(row)?;
            Some(Receipt { user: user.clone(), at: *at })
        });
        Message { reads: named.collect(), ..message.clone() }
    }

    fn page(&self, page: Page) -> (Vec<Message>, bool) {
        let mut all: Vec<_> = self
            .messages
            .values()
            .filter(|message| message.id.at > page.after && message.id.at < page.before)
            .map(|message| if page.receipts { self.with_receipts(message) } else { message.clone() })
            .collect();
        let limit = usize::from(page.limit);
        let more = all.len() > limit;
        if page.forward {
            all.truncate(limit);
            all.reverse();
        } else {
            all.reverse();
            all.truncate(limit);
        }
        (all, more)
    }
}

/// One of the things that can happen to what is there.
fn part(numbers: &mut Numbers, of: Place, life: Option<&Life>) -> Vec<Part> {
    let mut below = |end| numbers.below(end);
    let Some(life) = life else { return vec![made(of, &format!("name {}", below(100)))] };
    let next_row = life.members.keys().next_back().map_or(1, |row| row + 1);
    let some_row = 1 + below(u64::from(next_row)) as u32;
    let newest = life.messages.values().next_back().map(Horizon::of).or(life.forgotten);
    let next = newest.map_or((1, 1), |last| (last.at + 1, last.sequence + 1));
    let some_message = life.messages.values().nth(below(life.messages.len() as u64 + 1) as usize);
    match (below(25), some_message) {
        (24, Some(message)) => vec![Part::Forgotten(Horizon::of(message))],
        (0, _) => vec![Part::Gone],
        (1, _) => vec![Part::Gone, made(of, "at once")],
        (2, _) => vec![made(of, &format!("name {}", below(100)))],
        (3..=5, _) => {
            let mut row = member(next_row, USERS[below(USERS.len() as u64) as usize]);
            row.floor = below(1_000);
            vec![Part::Member(row)]
        }
        (6 | 7, _) => match life.members.get(&some_row) {
            Some((user, Some(_))) => vec![Part::MemberGone { row: some_row, user: user.clone() }],
            Some((_, None)) | None => Vec::new(),
        },
        (8 | 9, _) => match life.members.get(&some_row) {
            Some((_, Some(row))) => {
                let mut row = row.clone();
                (row.floor, row.sent_at_floor) = (below(50), below(50));
                row.singles = (0..below(4)).map(|number| (60 + number * 9, 62 + number * 9)).collect();
                row.member.pinned_at = (below(2) == 0).then(|| below(1_000));
                vec![Part::Member(row)]
            }
            Some((_, None)) | None => Vec::new(),
        },
        (10 | 11, Some(old)) => {
            let mut message = old.clone();
            (message.content, message.edited) = (format!("edit {}", below(1_000)).into(), true);
            message.updated_at += below(3);
            vec![said(&message)]
        }
        (12 | 13, Some(old)) => {
            let mut message = old.clone();
            (message.content, message.deleted) = ("".into(), true);
            let mark = Part::Deleted { sequence: message.sequence, row: message.row };
            vec![said(&message), mark]
        }
        (14..=16, Some(message)) => {
            vec![Part::Receipt { message: message.id.at, row: some_row, at: below(1 << 40) }]
        }
        _ => {
            let mut message = message(of, next.1, next.0 + below(20), some_row);
            message.sent = below(100);
            let client_id = format!("c{}", below(10));
            let sent = Part::Sent { row: some_row, client_id: client_id.into(), message: message.id.at };
            let mut parts = vec![said(&message)];
            parts.extend((below(3) == 0).then_some(sent));
            parts
        }
    }
}

/// A few reads, some of them of what is not there.
fn compare(numbers: &mut Numbers, store: &mut Store, model: &Model, places: &[Place], step: u64) {
    let loaded: Vec<_> = places.iter().map(|place| model.0.get(place).map(Life::loaded)).collect();
    assert_eq!(store.load_all(places), loaded, "step {step}");
    let mut below = |end| numbers.below(end);
    let of = places[below(places.len() as u64) as usize];
    let life = model.0.get(&of);
    for _ in 0..4 {
        let page = Page {
            before: if below(2) == 0 { u64::MAX } else { below(400) },
            after: if below(2) == 0 { 0 } else { below(400) },
            forward: below(2) == 0,
            limit: below(20) as u16,
            receipts: below(2) == 0,
        };
        let expected = life.map(|life| life.page(page)).unwrap_or_default();
        assert_eq!(store.page(of, page), expected, "step {step}, {page:?}");
    }
    let at = below(300);
    let expected = life.and_then(|life| life.messages.get(&at).map(|message| life.with_receipts(message)));
    assert_eq!(store.message(of, at), expected, "step {step}");
    let before = [below(400), below(400), 0, 0];
    let old = |life: &&Life| {
        let before = before[life.conversation.kind as usize - 1];
        life.messages.first_key_value().is_some_and(|(at, _)| *at < before)
    };
    let aged: Vec<Place> = model.0.iter().filter(|(_, life)| old(life)).map(|(place, _)| *place).collect();
    assert_eq!(store.aged(before, 1 + below(9) as u32), aged, "step {step}");
    let mut below = |end| numbers.below(end);
    let (row, client_id, since) = (1 + below(5) as u32, format!("c{}", below(10)), below(100));
    let sent = life.and_then(|life| life.sends.get(&(row, client_id.clone())).copied());
    assert_eq!(store.sent(of, row, &client_id, since), sent.filter(|at| *at > since), "step {step}");
    let (rows, most) = ([row, 1 + below(5) as u32], below(6) as u32);
    let rows = if rows[0] == rows[1] { &rows[..1] } else { &rows };
    let of_row = |wanted: u32| {
        let sends = life.iter().flat_map(|life| life.sends.keys());
        sends.filter(move |(row, _)| *row == wanted).map(|(row, id)| (*row, Box::from(&**id)))
    };
    let mut names: ClientIds = rows.iter().flat_map(|&row| of_row(row)).collect();
    names.sort();
    let fits = rows.iter().all(|&row| of_row(row).count() <= most as usize);
    assert_eq!(store.names(of, rows, most), fits.then_some(names), "step {step}");
    for who in USERS {
        let user = Key::new(of.0, id(who));
        let all = model.memberships(&user);
        assert_eq!(store.memberships(&user, None, 100), (all.clone(), false), "step {step}");
        let limit = below(4) as usize;
        let after = (below(2) == 0).then(|| places[below(places.len() as u64) as usize].1);
        let mut rest: Vec<_> = all.into_iter().filter(|id| after.is_none_or(|after| *id > after)).collect();
        let more = rest.len() > limit;
        rest.truncate(limit);
        assert_eq!(store.memberships(&user, after, limit as u32), (rest, more), "step {step}");
    }
}

fn run(store: &mut Store, seed: u64, steps: u64) {
    let mut numbers = Numbers(seed);
    let places: Vec<_> = (0..8)
        .map(|number| (Realm(number % 2), ConversationId::from_number(u128::from(number / 2) << 60)))
        .collect();
    let mut model = Model::default();
    for step in 0..steps {
        let mut writes = Vec::new();
        for _ in 0..1 + numbers.below(6) {
            let of = places[numbers.below(places.len() as u64) as usize];
            let parts = part(&mut numbers, of, model.0.get(&of));
            let write = Write { place: of, parts };
            model.apply(&write);
            writes.push(write);
        }
        store.commit(&writes);
        compare(&mut numbers, store, &model, &places, step);
        match numbers.below(20) {
            0 => store.again(),
            1 => _ = store.sweep(),
            2..=6 => _ = store.sweep_once(),
            _ => {}
        }
    }
}

pub(in crate::store::chat) fn as_the_model_says(store: &mut Store) {
    run(store, 42, 400);
}

pub(in crate::store::chat) fn as_the_model_says_again(store: &mut Store) {
    run(store, 4_711, 400);
}
