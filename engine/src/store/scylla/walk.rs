//! Everything that is kept, gone through: for whoever carries it elsewhere.
//!
//! What is read is handed over between two questions to the servers, so that whoever is handed something may read and
//! write. The tables have no order over all conversations, so a list of them is read whole and put in order here.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use schema::Realm;
use schema::chat::ConversationId;

use super::Scylla;
use super::change::realm;
use super::link::{Link, Ready};
use super::pages::{self, Walk};
use super::read::{self, Head, damaged, rows};
use super::write;
use crate::machine::store::{Horizon, Part, Place};
use crate::store::chat::{Each, Failure, values};

/// Messages that are read in a go.
const PART: usize = 256;

/// All conversations that are there, in order.
pub(super) async fn places(link: &Link, ready: &Ready) -> Result<Vec<Place>, Failure> {
    let found: Vec<(i32, Vec<u8>, Option<bool>)> =
        rows(ready, &ready.statements.all_conversations, ()).await?;
    let place = |(realm, number, gone): (i32, Vec<u8>, Option<bool>)| {
        let realm = u16::try_from(realm - link.settings.realm_base).ok()?;
        let number = number.try_into().ok().filter(|_| gone == Some(false))?;
        Some((Realm(realm), ConversationId::from_bytes(number)))
    };
    let mut places: Vec<Place> = found.into_iter().filter_map(place).collect();
    places.sort_unstable();
    Ok(places)
}

/// Hands over everything of a conversation, and says whether it is there.
pub(super) fn walk(scylla: &Scylla, place: Place, each: &mut Each<'_>) -> Result<bool, Failure> {
    let (link, ready) = (&*scylla.link, scylla.link.ready()?);
    let head = scylla.block_on(async {
        if !link.lives.get(place).is_some_and(|known| known.touched) {
            write::touch(link, ready, place).await?;
        }
        read::head(link, ready, place).await
    })?;
    let Head::Here { life, body, horizon, .. } = head else { return Ok(false) };
    let conversation =
        values::read_conversation(place, &body).map_err(|damage| damaged(damage, "conversations", place))?;
    let tour = Tour { scylla, place, life, horizon };
    if each(Part::Conversation(Arc::new(conversation)))?.is_continue() {
        let (mut members, mut spans) = (Vec::new(), BTreeSet::new());
        _ = tour.members(&mut members, each)?.is_break()
            || tour.deletions(each)?.is_break()
            || tour.forgotten(each)?.is_break()
            || tour.messages(&mut spans, each)?.is_break()
            || tour.receipts(&spans, each)?.is_break()
            || tour.sends(&members, each)?.is_break();
    }
    Ok(true)
}

/// One conversation that is gone through.
struct Tour<'a> {
    scylla: &'a Scylla,
    place: Place,
    life: i64,
    horizon: Option<Horizon>,
}

impl Tour<'_> {
    /// What names the life in a statement.
    fn name(&self) -> (i32, [u8; 10], i64) {
        (realm(&self.scylla.link.settings, self.place), self.place.1.to_bytes(), self.life)
    }

    fn members(&self, rows_met: &mut Vec<u32>, each: &mut Each<'_>) -> Result<ControlFlow<()>, Failure> {
        let (ready, (realm, number, life)) = (self.scylla.link.ready()?, self.name());
        let found: Vec<(i64, Vec<u8>)> =
            self.scylla.block_on(rows(ready, &ready.statements.members, (realm, &number[..], life)))?;
        for (row, body) in found {
            let damaged = |damage| damaged(damage, "members", self.place);
            let row = read::row_number(row, self.place)?;
            rows_met.push(row);
            let part = match values::read_member(row, &body).map_err(damaged)? {
                Some(member) => Part::Member(member),
                None => Part::MemberGone { row, user: values::read_user(&body).map_err(damaged)?.0 },
            };
            if each(part)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn deletions(&self, each: &mut Each<'_>) -> Result<ControlFlow<()>, Failure> {
        let (ready, (realm, number, life)) = (self.scylla.link.ready()?, self.name());
        let found: Vec<(i64, i64)> =
            self.scylla.block_on(rows(ready, &ready.statements.deletions, (realm, &number[..], life)))?;
        let from = self.horizon.map_or(0, |horizon| horizon.sequence);
        for (sequence, row) in found.into_iter().filter(|&(sequence, _)| sequence as u64 > from) {
            let row = read::row_number(row, self.place)?;
            if each(Part::Deleted { sequence: sequence as u64, row })?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn forgotten(&self, each: &mut Each<'_>) -> Result<ControlFlow<()>, Failure> {
        self.horizon.map_or(Ok(ControlFlow::Continue(())), |horizon| each(Part::Forgotten(horizon)))
    }

    fn messages(&self, spans: &mut BTreeSet<i64>, each: &mut Each<'_>) -> Result<ControlFlow<()>, Failure> {
        let (link, ready) = (&*self.scylla.link, self.scylla.link.ready()?);
        let mut walk = Walk::new(
            (link, ready),
            (self.place, self.life),
            (self.horizon.map_or(0, |horizon| horizon.at), u64::MAX),
            true,
        );
        loop {
            let some = self.scylla.block_on(walk.take(PART))?;
            let is_end = some.len() < PART;
            for message in some {
                spans.insert(pages::span(message.id.at));
                if each(Part::Message(Arc::new(message)))?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if is_end {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }

    fn receipts(&self, spans: &BTreeSet<i64>, each: &mut Each<'_>) -> Result<ControlFlow<()>, Failure> {
        let (ready, (realm, number, life)) = (self.scylla.link.ready()?, self.name());
        for &span in spans {
            let values = (realm, &number[..], life, span, 0_i64, i64::MAX);
            let found: Vec<(i64, i64, i64)> =
                self.scylla.block_on(rows(ready, &ready.statements.receipts, values))?;
            let from = self.horizon.map_or(0, |horizon| horizon.at);
            for (message, row, at) in found.into_iter().filter(|&(message, ..)| message as u64 > from) {
                let row = read::row_number(row, self.place)?;
                if each(Part::Receipt { message: message as u64, row, at: at as u64 })?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Of everybody who is or was a member.
    fn sends(&self, members: &[u32], each: &mut Each<'_>) -> Result<ControlFlow<()>, Failure> {
        let (ready, (realm, number, life)) = (self.scylla.link.ready()?, self.name());
        for &row in members {
            let values = (realm, &number[..], life, i64::from(row));
            let found: Vec<(String, i64)> =
                self.scylla.block_on(rows(ready, &ready.statements.sends, values))?;
            for (client_id, at) in found {
                let sent = Part::Sent { row, client_id: client_id.into(), message: at as u64 };
                if each(sent)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
