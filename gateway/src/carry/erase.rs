//! `muster erase`: removes what a person wrote and was.
//!
//! What they wrote becomes deleted messages without words, attachments and names; where they were, a user without a
//! name has left ([`NOBODY`]). What others wrote stays theirs. What remains of a conversation in which nobody is left goes
//! as a whole. Again is no error, and finds nothing.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use engine::kept::{Failure, FailureKind, Part, Place, Reads, Write, wiped};
use schema::chat::Conversation;
use schema::{Id, Key};

use super::{Kept, Together, patiently};

pub use engine::kept::NOBODY;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Conversations in which something was changed.
    pub conversations: u64,
    /// Conversations that are gone, since nobody else was in them.
    pub gone: u64,
    /// Memberships, former ones too.
    pub memberships: u64,
    /// Messages.
    pub messages: u64,
    /// Names that clients gave their messages.
    pub sends: u64,
    /// Last seen, or that they were online.
    pub seen: bool,
    /// Files that they uploaded.
    pub files: u64,
}

/// Conversations that are looked up in a go.
const GO: usize = 1_000;

/// Removes a user from the stores. With `dry` nothing is written, and it is told what would be.
///
/// # Errors
/// When a store fails; doing it again goes on from there.
pub fn erase(
    kept: &mut Kept,
    user: &Key,
    dry: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Erased, String> {
    let mut erased = Erased::default();
    let (mut after, mut looked) = (None, 0);
    loop {
        let places = kept.reads.places(after, GO).map_err(|failure| failure.to_string())?;
        let Some(&last) = places.last() else { break };
        after = Some(last);
        for place in places.into_iter().filter(|place| place.0 == user.realm) {
            looked += 1;
            progress(looked);
            erase_in(kept, place, &user.id, dry, &mut erased)?;
        }
    }
    if !dry {
        // Names of messages that stand for nothing any more are forgotten now, and not at some later time.
        while patiently(&mut *kept.writes, |store| store.forget(1))? {}
        while patiently(&mut *kept.writes, |store| store.sweep())? {}
    }
    erased.seen = match dry {
        true => kept
            .seen
            .get_seen(std::slice::from_ref(user))
            .map_err(|failure| failure.to_string())?
            .iter()
            .any(|seen| *seen != schema::LastSeen::Never),
        false => kept.seen.forget(user).map_err(|failure| failure.to_string())?,
    };
    Ok(erased)
}

/// What is found of somebody in a conversation before its messages.
#[derive(Default)]
struct Found {
    conversation: Option<Arc<Conversation>>,
    /// Rows that were ever theirs, and whether they are in it with that one.
    rows: Vec<(u32, bool)>,
    /// Others are in it.
    others: bool,
}

fn erase_in(kept: &mut Kept, place: Place, user: &Id, dry: bool, erased: &mut Erased) -> Result<(), String> {
    let Found { conversation, rows, others } =
        look(&*kept.reads, place, user).map_err(|failure| failure.to_string())?;
    let Some(conversation) = conversation else { return Ok(()) };
    let made = conversation.creator == *user;
    if rows.is_empty() && !made {
        return Ok(());
    }
    let nobody = Id::from_uuid(NOBODY);
    let mut together = Together::default();
    let numbers: BTreeSet<u32> = rows.iter().map(|row| row.0).collect();
    erased.conversations += 1;
    erased.memberships += rows.len() as u64;
    // First what they wrote: cut off in the middle, it is still known whose the rest is.
    let (reads, writes) = (kept.reads.clone(), &mut *kept.writes);
    let mut each = |part: Part| {
        let changed = match part {
            Part::Message(message) if numbers.contains(&message.row) || message.sender == *user => {
                erased.messages += 1;
                let mut parts = vec![Part::Message(Arc::new(wiped(&message)))];
                parts.extend(
                    (!message.deleted)
                        .then_some(Part::Deleted { sequence: message.sequence, row: message.row }),
                );
                parts
            }
            Part::Sent { row, client_id, message } if numbers.contains(&row) && message > 0 => {
                erased.sends += 1;
                vec![Part::Sent { row, client_id, message: 0 }]
            }
            _ => return Ok(ControlFlow::Continue(())),
        };
        if !dry && others {
            let added = together.add(writes, Write { place, parts: changed }, 128);
            added.map_err(|error| Failure::new(FailureKind::Unavailable, error))?;
        }
        Ok(ControlFlow::Continue(()))
    };
    reads.walk(place, &mut each).map_err(|failure| failure.to_string())?;
    let mut parts = Vec::new();
    if !others {
        erased.gone += 1;
        parts.push(Part::Gone);
    } else {
        if made {
            let anonymous = Conversation { creator: nobody.clone(), ..Conversation::clone(&conversation) };
            parts.push(Part::Conversation(Arc::new(anonymous)));
        }
        for (row, present) in rows {
            // The first takes the membership from the user's list, the second the name from the row.
            parts.extend(present.then(|| Part::MemberGone { row, user: user.clone() }));
            parts.push(Part::MemberGone { row, user: nobody.clone() });
        }
    }
    if !dry {
        together.add(&mut *kept.writes, Write { place, parts }, 128)?;
        together.commit(&mut *kept.writes)?;
    }
    Ok(())
}

fn look(reads: &dyn Reads, place: Place, user: &Id) -> Result<Found, Failure> {
    let mut found = Found::default();
    reads.walk(place, &mut |part| {
        match part {
            Part::Conversation(conversation) => found.conversation = Some(conversation),
            Part::Member(row) if row.member.user == *user => found.rows.push((row.member.row, true)),
            Part::MemberGone { row, user: who } if who == *user => found.rows.push((row, false)),
            Part::Member(_) => found.others = true,
            Part::MemberGone { .. } => {}
            // Members come first.
            _ => return Ok(ControlFlow::Break(())),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}
