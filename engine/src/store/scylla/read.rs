//! Answers what is asked about conversations.
//!
//! Everything of a conversation lies under its life. A read looks that up, reads, and looks again: so it never shows
//! half of one that is being cleared away, nor mixes two that have the same number. Both looks are mostly answered
//! from what this process knows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use schema::Id;
use schema::chat::{Conversation, Message, Receipt};
use scylla::deserialize::row::DeserializeRow;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;

use super::change::realm;
use super::link::{Link, Ready};
use super::lives::{Known, There};
use super::pages::{self, Walk};
use super::write;
use crate::machine::store::{ChatAsk, ChatStored, Horizon, LEFT, Loaded, MemberRow, Place};
use crate::store::chat::bytes::Damage;
use crate::store::chat::{Failure, FailureKind, values};

/// Questions of one request that are under way at once.
pub(super) const AT_ONCE: usize = 32;
/// Members whose rows lie within this many numbers are read as one range, others one by one.
const NEAR: u32 = 512;
/// Messages that are looked at for one that is not deleted, at first and at most.
const LOOKS: (usize, usize) = (4, 512);

/// A conversation's own row.
pub(super) enum Head {
    Never,
    Gone {
        life: i64,
        written: i64,
    },
    /// With what was forgotten, and the time at which that was written.
    Here {
        life: i64,
        body: Vec<u8>,
        horizon: Option<Horizon>,
        forgot: i64,
    },
}

impl Head {
    pub(super) fn there(&self) -> Option<There> {
        if let Self::Here { life, horizon, .. } = self { Some((*life, *horizon)) } else { None }
    }
}

/// Answers one request.
pub(super) async fn answer(link: &Link, ask: &ChatAsk) -> Result<ChatStored, Failure> {
    let ready = link.ready()?;
    let asked = Asked { link, ready };
    Ok(match ask {
        ChatAsk::Load { places } => {
            let load = move |place| async move { Ok::<_, Failure>(asked.load(place).await?.map(Box::new)) };
            ChatStored::Loaded(stream::iter(places.clone()).map(load).buffered(AT_ONCE).try_collect().await?)
        }
        &ChatAsk::Page { place, before, after, forward, limit, receipts } => {
            let page = Page { place, before, after, forward, limit: limit.into(), receipts };
            let found = asked.under(place, move |there| asked.page(page, there).boxed()).await?;
            let (messages, more) = found.unwrap_or_default();
            ChatStored::Page { messages, more }
        }
        &ChatAsk::Message { place, at } => {
            let found = asked.under(place, move |there| asked.message(place, there, at).boxed()).await?;
            ChatStored::Message(found.flatten().map(Box::new))
        }
        ChatAsk::Sent { place, rows, client_id, since } => {
            let mut sent = None;
            for &row in rows {
                let found = asked
                    .under(*place, |(life, _)| asked.sent(*place, life, row, client_id.clone()).boxed())
                    .await?;
                sent = sent.or(found.flatten().filter(|at| at > since));
            }
            ChatStored::Sent(sent)
        }
        ChatAsk::Names { place, rows, limit } => {
            let mut names = Some(Vec::new());
            for &row in rows {
                let found = asked
                    .under(*place, |(life, _)| asked.names(*place, life, row, *limit).boxed())
                    .await?
                    .unwrap_or_default();
                let fits = found.len() <= *limit as usize;
                names = names.filter(|_| fits);
                if let Some(names) = &mut names {
                    names.extend(found.into_iter().map(|client_id| (row, client_id.into())));
                }
            }
            ChatStored::Names { rows: rows.clone(), names }
        }
        ChatAsk::Memberships { user, after, limit } => {
            let (conversations, more) = asked.memberships(user, *after, *limit as usize).await?;
            ChatStored::Memberships { conversations, more }
        }
        ChatAsk::Aged { after, before, limit } => asked.aged(*after, &before[..], *limit as usize).await?,
        ChatAsk::Traces { user, after, limit } => asked.traces(user, *after, *limit as usize).await?,
        ChatAsk::Write(_) => {
            return Err(Failure::new(FailureKind::Refused, "a write came to a reader"));
        }
    })
}

/// The members, some of those who have left, and the highest row that was given out.
struct Members {
    members: Vec<MemberRow>,
    left: Vec<(u32, Id)>,
    last_row: u32,
}

/// What part of a history.
#[derive(Clone, Copy)]
struct Page {
    place: Place,
    before: u64,
    after: u64,
    forward: bool,
    limit: usize,
    receipts: bool,
}

/// What the servers said to a question.
pub(super) async fn rows<R>(
    ready: &Ready,
    statement: &PreparedStatement,
    values: impl SerializeRow,
) -> Result<Vec<R>, Failure>
where
    R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata> + 'static,
{
    ready.asked.fetch_add(1, Ordering::Relaxed);
    let pages = ready.session.execute_iter(statement.clone(), values).await.map_err(unavailable)?;
    let rows = pages.rows_stream::<R>().map_err(unavailable)?;
    rows.try_collect().await.map_err(unavailable)
}

pub(super) fn unavailable(error: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Unavailable, error.to_string())
}

/// The failure of whoever wanted a row that makes no sense.
pub(super) fn damaged(damage: Damage, table: &str, place: Place) -> Failure {
    let why = match damage {
        Damage::Newer { found, known } => {
            format!(
                "has format {found}, and this Muster knows formats up to {known}: start the newer Muster that wrote it"
            )
        }
        Damage::Senseless => "makes no sense: who else writes to this keyspace?".to_owned(),
    };
    Failure::new(FailureKind::Refused, format!("a row of {table} of the conversation {} {why}", place.1))
}

/// A conversation's own row.
pub(super) async fn head(link: &Link, ready: &Ready, place: Place) -> Result<Head, Failure> {
    type Bytes = Option<Vec<u8>>;
    type Row = (Option<i64>, Option<bool>, Bytes, Option<i64>, Option<i64>, Bytes, Option<i64>);
    let number = place.1.to_bytes();
    let values = (realm(&link.settings, place), &number[..]);
    let found: Vec<Row> = rows(ready, &ready.statements.conversation, values).await?;
    Ok(match found.into_iter().next() {
        Some((Some(life), Some(false), body, _, of, horizon, forgot)) => {
            let horizon = horizon.filter(|_| of == Some(life)).map(|body| values::read_horizon(&body));
            let horizon = horizon.transpose().map_err(|damage| damaged(damage, "conversations", place))?;
            let (body, forgot) = (body.unwrap_or_default(), forgot.unwrap_or_default());
            Head::Here { life, body, horizon, forgot }
        }
        Some((Some(life), Some(true), _, written, ..)) => {
            Head::Gone { life, written: written.unwrap_or(life) }
        }
        _ => Head::Never,
    })
}

/// The latest intent: epoch, time and body.
pub(super) async fn intent(
    link: &Link,
    ready: &Ready,
    place: Place,
) -> Result<Option<(i64, i64, Vec<u8>)>, Failure> {
    let number = place.1.to_bytes();
    let values = (realm(&link.settings, place), &number[..]);
    let found: Vec<(i64, i64, Option<Vec<u8>>)> = rows(ready, &ready.statements.intent, values).await?;
    Ok(found.into_iter().next().map(|(epoch, stamp, body)| (epoch, stamp, body.unwrap_or_default())))
}

/// The means to answer with.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) link: &'a Link,
    pub(super) ready: &'a Ready,
}

impl<'a> Asked<'a> {
    /// What is there, as this process knows it or as it is read.
    pub(super) async fn there(&self, place: Place) -> Result<Option<There>, Failure> {
        if let Some(known) = self.link.lives.get(place) {
            return Ok(known.there());
        }
        let turns = self.link.lives.turns();
        let there = head(self.link, self.ready, place).await?.there();
        self.link.lives.put_read(place, Known::read(there, false), turns);
        Ok(there)
    }

    /// Reads something of a conversation, if it is there.
    async fn under<T>(
        self,
        place: Place,
        read: impl Fn(There) -> BoxFuture<'a, Result<T, Failure>>,
    ) -> Result<Option<T>, Failure> {
        let mut there = self.there(place).await?;
        while let Some(of) = there {
            let result = read(of).await;
            there = self.there(place).await?;
            if there == Some(of) {
                return result.map(Some);
            }
        }
        Ok(None)
    }

    async fn load(&self, place: Place) -> Result<Option<Loaded>, Failure> {
        if !self.link.lives.get(place).is_some_and(|known| known.touched) {
            write::touch(self.link, self.ready, place).await?;
        }
        loop {
            let turns = self.link.lives.turns();
            let (there, body) = match head(self.link, self.ready, place).await? {
                Head::Here { life, body, horizon, .. } => ((life, horizon), body),
                Head::Gone { .. } | Head::Never => {
                    self.link.lives.put_read(place, Known::read(None, true), turns);
                    return Ok(None);
                }
            };
            self.link.lives.put_read(place, Known::read(Some(there), true), turns);
            let conversation = values::read_conversation(place, &body)
                .map_err(|damage| damaged(damage, "conversations", place))?;
            let result = self.load_life(place, there, conversation).await;
            if self.there(place).await? == Some(there) {
                return result.map(Some);
            }
        }
    }

    async fn load_life(
        &self,
        place: Place,
        (life, forgotten): There,
        conversation: Conversation,
    ) -> Result<Loaded, Failure> {
        let (Members { members, left, last_row }, mut deleted) =
            tokio::try_join!(self.members(place, life), self.deletions(place, life))?;
        let (from, sequence) = forgotten.map_or((0, 0), |horizon| (horizon.at, horizon.sequence));
        deleted.retain(|&(deleted, _)| deleted > sequence);
        let mut walk = Walk::new((self.link, self.ready), (place, life), (from, u64::MAX), false);
        let (mut newest, mut last, mut look) = (None, None, LOOKS.0);
        // So many messages are deleted, so looking at one more is enough.
        let mut most = deleted.len() + 1;
        while last.is_none() && most > 0 {
            let asked = look.min(most);
            let some = walk.take(asked).await?;
            let is_end = some.len() < asked;
            most -= some.len();
            for message in some {
                if !message.deleted && last.is_none() {
                    last = Some(message.clone());
                }
                newest = newest.or(Some(message));
            }
            look = (look * 4).min(LOOKS.1);
            if is_end {
                break;
            }
        }
        Ok(Loaded { conversation, members, last_row, left, deleted, newest, last, forgotten })
    }

    async fn members(&self, place: Place, life: i64) -> Result<Members, Failure> {
        let found: Vec<(i64, Vec<u8>)> = self.of_life(&self.ready.statements.members, place, life).await?;
        let (mut members, mut left, mut last_row) = (Vec::new(), VecDeque::new(), 0);
        for (row, body) in found {
            let damaged = |damage| damaged(damage, "members", place);
            last_row = row_number(row, place)?;
            match values::read_member(last_row, &body).map_err(damaged)? {
                Some(member) => members.push(member),
                None => left.push_back((last_row, values::read_user(&body).map_err(damaged)?.0)),
            }
            if left.len() > LEFT {
                left.pop_front();
            }
        }
        Ok(Members { members, left: left.into(), last_row })
    }

    async fn deletions(&self, place: Place, life: i64) -> Result<Vec<(u64, u32)>, Failure> {
        let found: Vec<(i64, i64)> = self.of_life(&self.ready.statements.deletions, place, life).await?;
        found.into_iter().map(|(sequence, row)| Ok((sequence as u64, row_number(row, place)?))).collect()
    }

    pub(super) async fn of_life<R>(
        &self,
        statement: &PreparedStatement,
        place: Place,
        life: i64,
    ) -> Result<Vec<R>, Failure>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata> + 'static,
    {
        let number = place.1.to_bytes();
        rows(self.ready, statement, (realm(&self.link.settings, place), &number[..], life)).await
    }

    async fn page(self, page: Page, (life, horizon): There) -> Result<(Vec<Message>, bool), Failure> {
        let Page { place, before, after, forward, limit, receipts } = page;
        let after = horizon.map_or(after, |horizon| horizon.at.max(after));
        let mut walk = Walk::new((self.link, self.ready), (place, life), (after, before), forward);
        let mut messages = walk.take(limit + 1).await?;
        let more = messages.len() > limit;
        messages.truncate(limit);
        if forward {
            messages.reverse();
        }
        if receipts {
            self.join_receipts(place, life, &mut messages).await?;
        }
        Ok((messages, more))
    }

    async fn message(
        self,
        place: Place,
        (life, horizon): There,
        at: u64,
    ) -> Result<Option<Message>, Failure> {
        if horizon.is_some_and(|horizon| at <= horizon.at) {
            return Ok(None);
        }
        let Some(message) = pages::message(self.link, self.ready, place, life, at).await? else {
            return Ok(None);
        };
        let mut messages = [message];
        self.join_receipts(place, life, &mut messages).await?;
        let [message] = messages;
        Ok(Some(message))
    }

    async fn sent(
        self,
        place: Place,
        life: i64,
        row: u32,
        client_id: Arc<str>,
    ) -> Result<Option<u64>, Failure> {
        let number = place.1.to_bytes();
        let values = (realm(&self.link.settings, place), &number[..], life, i64::from(row), &*client_id);
        let found: Vec<(i64,)> = rows(self.ready, &self.ready.statements.sent, values).await?;
        Ok(found.first().map(|&(at,)| at as u64))
    }

    /// Client ids of a member, one more than `most` if there are more.
    async fn names(self, place: Place, life: i64, row: u32, most: u32) -> Result<Vec<String>, Failure> {
        let number = place.1.to_bytes();
        let limit = i32::try_from(most).unwrap_or(i32::MAX).saturating_add(1);
        let values = (realm(&self.link.settings, place), &number[..], life, i64::from(row), limit);
        let found: Vec<(String,)> = rows(self.ready, &self.ready.statements.names, values).await?;
        Ok(found.into_iter().map(|(client_id,)| client_id).collect())
    }

    /// Gives messages (newest first) their receipts, with the names of their members.
    async fn join_receipts(&self, place: Place, life: i64, messages: &mut [Message]) -> Result<(), Failure> {
        let (Some(newest), Some(oldest)) = (messages.first(), messages.last()) else { return Ok(()) };
        let (oldest, newest) = (pages::bound(oldest.id.at), pages::bound(newest.id.at));
        let spans: BTreeSet<i64> = messages.iter().map(|message| pages::span(message.id.at)).collect();
        let (realm, number) = (realm(&self.link.settings, place), place.1.to_bytes());
        let statement = &self.ready.statements.receipts;
        let ready = self.ready;
        let look = move |span: i64| async move {
            let values = (realm, &number[..], life, span, oldest, newest);
            rows::<(i64, i64, i64)>(ready, statement, values).await
        };
        let found: Vec<Vec<_>> = stream::iter(spans).map(look).buffered(AT_ONCE).try_collect().await?;
        let mut receipts = BTreeMap::<u64, Vec<(u32, u64)>>::new();
        let mut readers = BTreeSet::new();
        for (at, row, read_at) in found.into_iter().flatten() {
            let row = row_number(row, place)?;
            receipts.entry(at as u64).or_default().push((row, read_at as u64));
            readers.insert(row);
        }
        let users = self.users(place, life, readers).await?;
        for message in messages {
            for (row, at) in receipts.remove(&message.id.at).unwrap_or_default() {
                if let Some(user) = users.get(&row) {
                    message.reads.push(Receipt { user: user.clone(), at });
                }
            }
        }
        Ok(())
    }

    /// The users of these rows, also of those who have left.
    async fn users(
        &self,
        place: Place,
        life: i64,
        readers: BTreeSet<u32>,
    ) -> Result<BTreeMap<u32, Id>, Failure> {
        let (Some(&first), Some(&last)) = (readers.first(), readers.last()) else {
            return Ok(BTreeMap::new());
        };
        let (realm, number) = (realm(&self.link.settings, place), place.1.to_bytes());
        let found: Vec<(i64, Vec<u8>)> = if last - first < NEAR {
            let values = (realm, &number[..], life, i64::from(first), i64::from(last), NEAR as i32);
            rows(self.ready, &self.ready.statements.members_between, values).await?
        } else {
            let ready = self.ready;
            let look = move |row: u32| async move {
                let values = (realm, &number[..], life, i64::from(row));
                let found: Vec<(Vec<u8>,)> = rows(ready, &ready.statements.member, values).await?;
                Ok::<_, Failure>(found.into_iter().next().map(|(body,)| (i64::from(row), body)))
            };
            let found: Vec<_> =
                stream::iter(readers.clone()).map(look).buffered(AT_ONCE).try_collect().await?;
            found.into_iter().flatten().collect()
        };
        let mut users = BTreeMap::new();
        for (row, body) in found {
            let (user, _) = values::read_user(&body).map_err(|damage| damaged(damage, "members", place))?;
            users.insert(row_number(row, place)?, user);
        }
        Ok(users)
    }
}

pub(super) fn row_number(row: i64, place: Place) -> Result<u32, Failure> {
    u32::try_from(row).map_err(|_| damaged(Damage::Senseless, "members", place))
}
