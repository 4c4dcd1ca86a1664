//! From what a machine wants written to rows. Pure: what it must know of the conversation is an argument.
//!
//! A conversation that is made gets a life of its own, a number that is never given out again, and all of its rows lie
//! under it. So making one, and ending one, is the change of a single row, whatever else the write holds: readers look
//! there first.

use schema::chat::ids::LAST_MS;

use super::change::{Changes, Row};
use super::lives::Known;
use super::pages;
use crate::machine::store::{Part, Write};
use crate::store::chat::{Failure, FailureKind, values};

/// Bytes of one write, as an intent has it: the server's own bound for a row is 16 MiB.
const WRITE_MOST: usize = 12 << 20;

/// Whether planning this needs to know the newest bucket of messages.
pub(super) fn needs_newest(write: &Write) -> bool {
    write.parts.iter().any(|part| matches!(part, Part::Message(_)))
}

/// The rows of a write with this time, and what is known of the conversation afterwards. `life` gives out numbers of
/// lives, which are times too.
///
/// # Errors
/// When it cannot be done; then `known` is as it was.
pub(super) fn plan(
    write: &Write,
    known: &mut Known,
    stamp: i64,
    mut life: impl FnMut() -> i64,
) -> Result<Changes, Failure> {
    let mut rows = Changes::default();
    let mut after = *known;
    for part in &write.parts {
        match part {
            Part::Conversation(conversation) => {
                if after.life.is_none() {
                    after = Known::made(life());
                }
                let body = Some(values::conversation(0, conversation));
                rows.put(stamp, Row::Conversation { life: after.life.unwrap_or_default(), body });
            }
            Part::Gone => {
                if let Some(life) = after.life {
                    rows.put(stamp, Row::Conversation { life, body: None });
                    rows.put(stamp, Row::Sweep { life });
                    after = Known::gone();
                }
            }
            _ => {}
        }
    }
    match after.life {
        Some(life) => {
            for part in &write.parts {
                put(&mut rows, part, life, stamp, &mut after)?;
            }
        }
        // What was said and done in its last moment goes with it.
        None if rows.is_empty() && write.parts.iter().any(|part| !matches!(part, Part::Gone)) => {
            let what = format!("a write to the conversation {}, which is not there", write.place.1);
            return Err(Failure::new(FailureKind::Refused, what));
        }
        None => {}
    }
    if rows.bytes > WRITE_MOST {
        let what = format!("a write of {} bytes, and {WRITE_MOST} is the most", rows.bytes);
        return Err(Failure::new(FailureKind::Refused, what));
    }
    *known = after;
    Ok(rows)
}

/// The rows of a part that is not of the conversation as a whole.
fn put(rows: &mut Changes, part: &Part, life: i64, stamp: i64, known: &mut Known) -> Result<(), Failure> {
    match part {
        Part::Conversation(_) | Part::Gone => {}
        Part::Member(member) => {
            let row = member.member.row;
            rows.put(stamp, Row::Member { life, row, body: values::member(member) });
            if !known.file(row) {
                rows.put(stamp, Row::Membership { life, user: member.member.user.clone(), row, is_in: true });
            }
        }
        Part::MemberGone { row, user } => {
            rows.put(stamp, Row::Member { life, row: *row, body: values::left(user) });
            rows.put(stamp, Row::Membership { life, user: user.clone(), row: *row, is_in: false });
            known.unfile(*row);
        }
        Part::Message(message) => {
            let (at, bucket) = (in_time(message.id.at)?, pages::bucket(message.sequence));
            // Sequences grow with the times, so a lower bucket is one that is there, and this a change of a message in it.
            let is_new = match known.newest.flatten() {
                None => true,
                Some((newest, first)) => bucket > newest || (bucket == newest && at < first),
            };
            if is_new {
                rows.put(stamp, Row::Bucket { life, first: at, bucket });
                known.newest = Some(Some((bucket, at)));
            }
            rows.put(stamp, Row::Message { life, bucket, at, body: values::message(message) });
        }
        Part::Receipt { message, row, at } => {
            rows.put(stamp, Row::Receipt { life, message: in_time(*message)?, row: *row, at: *at });
        }
        Part::Deleted { sequence, row } => {
            rows.put(stamp, Row::Deletion { life, sequence: *sequence, row: *row });
        }
        Part::Forgotten(horizon) => {
            rows.put(stamp, Row::Horizon { life, body: values::horizon(*horizon) });
            rows.put(stamp, Row::Sweep { life });
            known.horizon = Some(*horizon);
        }
        Part::Sent { row, client_id, message } => {
            let (row, client_id, message) = (*row, client_id.clone(), in_time(*message)?);
            rows.put(stamp, Row::Sent { life, row, client_id, message });
        }
    }
    Ok(())
}

/// A creation time that an id can carry.
fn in_time(at: u64) -> Result<u64, Failure> {
    if at <= LAST_MS {
        return Ok(at);
    }
    Err(Failure::new(FailureKind::Refused, format!("{at} is no creation time of a message")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schema::chat::{ConversationId, Message, MessageId};
    use schema::{Id, Realm};

    use super::*;

    fn said(sequence: u64, at: u64) -> Part {
        let conversation = ConversationId::from_number(1);
        Part::Message(Arc::new(Message {
            id: MessageId { conversation, at },
            sequence,
            sent: 1,
            sender: Id::new("ann").unwrap(),
            to: None,
            row: 1,
            client_id: None,
            kind: 0,
            content: "hi".into(),
            attachment: None,
            updated_at: at,
            edited: false,
            deleted: false,
            reads: Vec::new(),
        }))
    }

    fn planned(known: &mut Known, parts: Vec<Part>) -> Result<Vec<Row>, Failure> {
        let write = Write { place: (Realm(0), ConversationId::from_number(1)), parts };
        plan(&write, known, 7, || 8).map(|rows| rows.iter().map(|(_, row)| row.clone()).collect())
    }

    fn buckets(rows: &[Row]) -> usize {
        rows.iter().filter(|row| matches!(row, Row::Bucket { .. })).count()
    }

    #[test]
    fn a_bucket_is_listed_with_its_first_message() {
        let mut known = Known::made(1);
        assert_eq!(buckets(&planned(&mut known, vec![said(1, 100)]).unwrap()), 1);
        assert_eq!(buckets(&planned(&mut known, vec![said(2, 200)]).unwrap()), 0);
        assert_eq!(buckets(&planned(&mut known, vec![said(5_000, 300)]).unwrap()), 1);
        assert_eq!(known.newest, Some(Some((1, 300))));
        assert_eq!(buckets(&planned(&mut known, vec![said(2, 200)]).unwrap()), 0, "a change");
    }

    #[test]
    fn what_is_not_there_takes_nothing() {
        let mut known = Known::gone();
        assert_eq!(planned(&mut known, vec![said(1, 100)]).unwrap_err().kind, FailureKind::Refused);
        assert_eq!(planned(&mut known, vec![Part::Gone]).unwrap(), []);
        let mut known = Known::made(3);
        let rows = planned(&mut known, vec![Part::Gone, said(1, 100)]).unwrap();
        assert_eq!(rows, [Row::Conversation { life: 3, body: None }, Row::Sweep { life: 3 }]);
        assert_eq!(known, Known::gone());
    }
}
