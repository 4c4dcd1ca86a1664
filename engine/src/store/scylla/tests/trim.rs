//! What is forgotten for its age leaves the tables, whatever dies on the way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use schema::Id;
use schema::chat::{Message, MessageId};

use super::super::change::realm;
use super::super::read::{self, Head, rows};
use super::super::{pages, sweep};
use super::{Scylla, Tables};
use crate::machine::store::{ChatAsk, ChatStored, Horizon, Part, Place, Write};
use crate::store::chat::suite::group_of;
use crate::store::chat::{FailureKind, Opened};

/// Messages of a conversation: buckets of 4,096 of them, and spans of their receipts of some 1,000.
const MESSAGES: u64 = 9_000;
const APART: u64 = 1 << 20;
/// More statements than there are to clear it away.
const MOST: u64 = 60;

fn place() -> Place {
    (schema::Realm(0), schema::chat::ConversationId::from_number(5))
}

fn message(sequence: u64) -> Message {
    let at = sequence * APART;
    Message {
        id: MessageId { conversation: place().1, at },
        sequence,
        sent: sequence,
        sender: Id::new("ann").unwrap(),
        to: None,
        row: 1,
        client_id: None,
        kind: 0,
        content: "hello".into(),
        attachment: None,
        updated_at: at,
        edited: false,
        deleted: false,
        reads: Vec::new(),
    }
}

fn write(chats: &mut Opened, parts: Vec<Part>) {
    chats.writes.stage(&Write { place: place(), parts }).unwrap();
    chats.writes.commit().unwrap();
}

/// A conversation, of whose messages each hundredth was read and each thousandth was deleted.
fn tell(chats: &mut Opened) {
    write(chats, group_of(place()));
    let mut parts: Vec<Part> =
        (1..=MESSAGES).map(|number| Part::Message(Arc::new(message(number)))).collect();
    parts.extend((100..=MESSAGES).step_by(100).map(|number| Part::Receipt {
        message: number * APART,
        row: 2,
        at: 1,
    }));
    parts.extend((1_000..=MESSAGES).step_by(1_000).map(|sequence| Part::Deleted { sequence, row: 1 }));
    write(chats, parts);
}

fn forget(chats: &mut Opened, sequence: u64) {
    write(chats, vec![Part::Forgotten(Horizon::of(&message(sequence)))]);
}

/// Rows in the tables.
#[derive(PartialEq, Debug)]
struct Rows {
    messages: BTreeMap<i64, usize>,
    buckets: Vec<i64>,
    receipts: usize,
    deletions: usize,
    sweeps: usize,
}

fn count(scylla: &Scylla) -> Rows {
    let link = &scylla.link;
    let ready = link.ready().unwrap();
    scylla.block_on(async {
        let Head::Here { life, .. } = read::head(link, ready, place()).await.unwrap() else { panic!() };
        let (number, realm) = (place().1.to_bytes(), realm(&link.settings, place()));
        let of = (place(), life);
        let buckets = pages::buckets(link, ready, of, -1, false, 100).await.unwrap();
        let mut messages = BTreeMap::new();
        for bucket in 0..=(MESSAGES / 4_096) as i64 {
            let values = (realm, &number[..], life, bucket, i64::MAX);
            let times: Vec<(i64,)> = rows(ready, &ready.statements.times, values).await.unwrap();
            messages.insert(bucket, times.len());
        }
        let mut receipts = 0;
        for span in 0..=pages::span(MESSAGES * APART) {
            let values = (realm, &number[..], life, span, 0_i64, i64::MAX);
            let found: Vec<(i64, i64, i64)> = rows(ready, &ready.statements.receipts, values).await.unwrap();
            receipts += found.len();
        }
        let values = (realm, &number[..], life);
        let deletions: Vec<(i64, i64)> = rows(ready, &ready.statements.deletions, values).await.unwrap();
        let sweeps = sweep::listed(link, ready, sweep::part_of(place()), None).await.unwrap();
        let buckets = buckets.into_iter().map(|(_, bucket)| bucket).collect();
        Rows { messages, buckets, receipts, deletions: deletions.len(), sweeps: sweeps.len() }
    })
}

fn rows_of(messages: [usize; 3], buckets: &[i64], receipts: usize, deletions: usize) -> Rows {
    let messages = (0..).zip(messages).collect();
    Rows { messages, buckets: buckets.to_vec(), receipts, deletions, sweeps: 0 }
}

fn page(chats: &Opened) -> Vec<u64> {
    let (before, after) = (u64::MAX, 0);
    let ask =
        ChatAsk::Page { place: place(), before, after, forward: true, limit: u16::MAX, receipts: false };
    match chats.reads.answer(&ask).unwrap() {
        ChatStored::Page { messages, .. } => messages.iter().rev().map(|it| it.sequence).collect(),
        other => panic!("{other:?}"),
    }
}

fn sweep_all(chats: &mut Opened) -> usize {
    (0..).take_while(|_| chats.writes.sweep().unwrap()).count()
}

#[test]
fn what_is_forgotten_leaves_the_tables() {
    let scylla = Tables::new().open();
    let mut chats = scylla.chats();
    tell(&mut chats);
    assert_eq!(count(&scylla), rows_of([4_095, 4_096, 809], &[0, 1, 2], 90, 9));
    assert_eq!(sweep_all(&mut chats), 0);
    forget(&mut chats, 5_000);
    let listed = count(&scylla);
    assert_eq!((listed.sweeps, listed.messages[&0]), (1, 4_095), "it is cleared away later");
    assert_eq!(sweep_all(&mut chats), 2, "a bucket at a time");
    assert_eq!(count(&scylla), rows_of([0, 3_191, 809], &[1, 2], 40, 4));
    assert_eq!(page(&chats), (5_001..=9_000).collect::<Vec<_>>());
    // More of the same bucket, then all that there is; what is said next lies in a bucket that is still listed.
    forget(&mut chats, 5_001);
    sweep_all(&mut chats);
    assert_eq!(count(&scylla), rows_of([0, 3_190, 809], &[1, 2], 40, 4));
    forget(&mut chats, 9_000);
    sweep_all(&mut chats);
    assert_eq!(count(&scylla), rows_of([0, 0, 0], &[2], 0, 0));
    write(&mut chats, vec![Part::Message(Arc::new(message(9_001)))]);
    assert_eq!(sweep_all(&mut chats), 0);
    assert_eq!((page(&chats), count(&scylla).messages[&2]), (vec![9_001], 1));
}

/// A process that dies before any statement of the clearing away leaves it to the next one.
#[test]
fn a_sweep_that_dies_goes_on() {
    let expected = rows_of([0, 3_191, 809], &[1, 2], 40, 4);
    let tables = Tables::new();
    let scylla = tables.open();
    let mut chats = scylla.chats();
    tell(&mut chats);
    forget(&mut chats, 5_000);
    drop((chats, scylla));
    // Each dies one statement later than the one before, until there is nothing left to die of.
    for statement in 1..=MOST {
        let scylla = tables.open();
        let mut chats = scylla.chats();
        scylla.link.fuse.store(statement, Ordering::Release);
        let result = loop {
            match chats.writes.sweep() {
                Ok(true) => {}
                other => break other,
            }
        };
        match result {
            Ok(_) => {
                scylla.link.fuse.store(0, Ordering::Release);
                assert!(statement > 2, "it died in between");
                assert_eq!(count(&scylla), expected);
                return;
            }
            Err(failure) => assert_eq!(failure.kind, FailureKind::InDoubt, "{failure}"),
        }
        drop((chats, scylla));
        let scylla = tables.open();
        assert_eq!(page(&scylla.chats()), (5_001..=9_000).collect::<Vec<_>>(), "before {statement}");
    }
    panic!("it never came to an end");
}
