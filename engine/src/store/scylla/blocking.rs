//! The store of conversations behind the blocking traits: for whoever has one request at a time, and for the suite.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ahash::RandomState;
use futures_util::stream::{self, StreamExt};

use super::change::Changes;
use super::link::{Ended, Link};
use super::lives::Known;
use super::pipeline::Pipeline;
use super::sweep::Sweeper;
use super::write::{self, Outcome};
use super::{Scylla, plan, read, walk};
use crate::machine::store::{ChatAsk, ChatStored, Place, Write};
use crate::store::chat::{Each, Failure, FailureKind, Opened, Reads, Writes};

/// Conversations of a commit that are written at once.
const AT_ONCE: usize = 64;

/// All ways to it.
pub(super) fn open(scylla: Scylla) -> Opened {
    let what = scylla.what();
    Opened {
        writes: Box::new(Writer::new(scylla.clone())),
        reads: Arc::new(Reader { scylla: scylla.clone(), places: Mutex::default() }),
        pipelined: Some(Arc::new(Pipeline::new(scylla))),
        what,
    }
}

struct Reader {
    scylla: Scylla,
    /// All conversations, while somebody goes through them.
    places: Mutex<Vec<Place>>,
}

impl Reads for Reader {
    fn answer(&self, ask: &ChatAsk) -> Result<ChatStored, Failure> {
        self.scylla.block_on(read::answer(&self.scylla.link, ask))
    }

    fn places(&self, after: Option<Place>, limit: usize) -> Result<Vec<Place>, Failure> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if after.is_none() || places.is_empty() {
            let (link, ready) = (&*self.scylla.link, self.scylla.link.ready()?);
            *places = self.scylla.block_on(walk::places(link, ready))?;
        }
        let from = after.map_or(0, |after| places.partition_point(|place| *place <= after));
        Ok(places[from..].iter().take(limit).copied().collect())
    }

    fn walk(&self, place: Place, each: &mut Each<'_>) -> Result<bool, Failure> {
        walk::walk(&self.scylla, place, each)
    }
}

struct Writer {
    scylla: Scylla,
    staged: HashMap<Place, (Known, Changes), RandomState>,
    sweeper: Sweeper,
}

impl Writer {
    fn new(scylla: Scylla) -> Self {
        let hasher = RandomState::with_seeds(scylla.link.settings.nonce, 7, 8, 9);
        Self { scylla, staged: HashMap::with_hasher(hasher), sweeper: Sweeper::default() }
    }
}

impl Writes for Writer {
    fn stage(&mut self, write: &Write) -> Result<usize, Failure> {
        let link = &self.scylla.link;
        let ready = link.writable()?;
        let (mut known, mut changes) = self.staged.get(&write.place).cloned().unzip();
        let newest = plan::needs_newest(write);
        if known.is_none_or(|known| known.newest.is_none() && newest) {
            let stored = self.scylla.block_on(write::known(link, ready, write.place, newest))?;
            // What is staged is known better than what is stored, but for the one thing that was not looked up.
            let mut now = known.unwrap_or(stored);
            now.newest = stored.newest;
            known = Some(now);
        }
        let Some(mut known) = known else { return Ok(0) };
        let stamp =
            link.stamp().ok_or_else(|| Failure::new(FailureKind::Busy, "the lease is being renewed"))?;
        let rows = plan::plan(write, &mut known, stamp, || link.life())?;
        let bytes = rows.bytes;
        changes.get_or_insert_default().append(rows);
        self.staged.insert(write.place, (known, changes.unwrap_or_default()));
        Ok(bytes)
    }

    fn commit(&mut self) -> Result<(), Failure> {
        let link = &self.scylla.link;
        let staged: Vec<_> = self.staged.drain().collect();
        let put = async |(place, (known, changes)): (Place, (Known, Changes))| {
            put(link, place, known, &changes).await
        };
        let results = stream::iter(staged).map(put).buffer_unordered(AT_ONCE).collect::<Vec<_>>();
        self.scylla.block_on(results).into_iter().collect()
    }

    fn recover(&mut self) -> Result<(), Failure> {
        self.scylla.link.writable().map(|_| ())
    }

    fn sweep(&mut self) -> Result<bool, Failure> {
        self.scylla.block_on(self.sweeper.part(&self.scylla.link))
    }
}

async fn put(link: &Link, place: Place, known: Known, changes: &Changes) -> Result<(), Failure> {
    if !changes.is_empty() {
        let ready = link.ready()?;
        let _busy = link.busy(place);
        match write::write(link, ready, place, changes, || {}).await {
            Ok(Outcome::Written) => {}
            Ok(Outcome::Failed(failure)) => return Err(failure),
            Err(Ended) => return Err(write::ended()),
        }
    }
    link.lives.put(place, known);
    Ok(())
}
