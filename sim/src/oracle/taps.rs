//! Sessions opened and closed: each reported once, numbered without a gap.

use std::collections::BTreeMap;

use schema::event::TapEvent;
use schema::{CloseReason, Realm, SessionAddr, ShardId};

use super::Oracle;
use crate::broken::{Verdict, broken, check};

/// The reports of one node.
#[derive(Debug, Default)]
pub(super) struct Taps {
    numbers: BTreeMap<(u16, Realm), u64>,
    /// What this turn still has to report.
    due: Vec<(SessionAddr, Option<CloseReason>)>,
    /// What this turn has reported already.
    reported: Vec<(SessionAddr, Option<CloseReason>)>,
    /// Last number each listener has heard, of which shard, and when.
    heard: BTreeMap<(SessionAddr, ShardId), (u64, u64)>,
    /// Reports that other shards had no room for.
    dropped: bool,
}

impl Taps {
    fn settle(&mut self, list_is_due: bool, entry: (SessionAddr, Option<CloseReason>)) {
        let (mine, other) = if list_is_due {
            (&mut self.due, &mut self.reported)
        } else {
            (&mut self.reported, &mut self.due)
        };
        match other.iter().position(|known| *known == entry) {
            Some(at) => {
                other.remove(at);
            }
            None => mine.push(entry),
        }
    }

    pub(super) fn opened(&mut self, session: SessionAddr) {
        self.settle(true, (session, None));
    }

    pub(super) fn closed(&mut self, session: SessionAddr, reason: CloseReason) {
        self.settle(true, (session, Some(reason)));
        self.heard.retain(|(listener, _), _| *listener != session);
    }

    pub(super) fn reported(&mut self, shard: u16, tap: &TapEvent) -> Verdict {
        let last = self.numbers.entry((shard, tap.user.realm)).or_default();
        *last += 1;
        check(tap.seq == *last, "taps are numbered without a gap", || format!("{last} expected: {tap:?}"))?;
        self.settle(false, (tap.session.session, tap.closed));
        Ok(())
    }

    pub(super) fn turn_over(&mut self) -> Verdict {
        if self.due.is_empty() && self.reported.is_empty() {
            return Ok(());
        }
        let seen = format!("not reported: {:?}; reported: {:?}", self.due, self.reported);
        broken("every session's beginning and end is reported once", seen)
    }

    pub(super) fn ceased(&mut self, listener: SessionAddr) {
        self.heard.retain(|(other, _), _| *other != listener);
    }

    pub(super) fn may_drop(&mut self) {
        self.dropped = true;
    }
}

impl Oracle {
    /// A listener hears of a session.
    pub(super) fn tap_told(&mut self, listener: SessionAddr, tap: &TapEvent) -> Verdict {
        let Some(found) = self.sessions.get(&listener) else { return Ok(()) };
        let seen = || format!("{listener}: {tap:?}");
        let Some(since) = found.taps else { return broken("only listeners hear of sessions", seen()) };
        let realm = found.open.actor.key.realm;
        check(tap.user.realm == realm, "listeners hear of their own realm", seen)?;
        let shard = tap.session.session.shard;
        let settled = since + 2 * self.times.lag;
        let last = self.taps.heard.insert((listener, shard), (tap.seq, self.now));
        let Some((last, at)) = last else { return Ok(()) };
        check(tap.seq > last, "taps come in order, each once", seen)?;
        if at > settled && !self.taps.dropped {
            check(tap.seq == last + 1, "a listener misses no tap", || format!("{last}, then {tap:?}"))?;
        }
        Ok(())
    }

    /// A shard had no room for some taps.
    pub fn taps_dropped(&mut self) {
        self.taps.may_drop();
    }
}
