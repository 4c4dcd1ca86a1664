//! Writes the rows of a conversation: first the intent, then what it holds.

use std::collections::BTreeMap;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::attempt::Attempt;
use super::change::{Bound, Changes};
use super::link::{Ended, Link, Ready};
use super::lives::Known;
use super::read;
use super::statements::{Cell, Put};
use crate::machine::store::Place;
use crate::store::chat::{Failure, FailureKind};

/// Rows of one batch, and statements of one write that are under way at once.
const TOGETHER: usize = 100;
const AT_ONCE: usize = 128;
/// How often an intent is tried that is known not to have happened.
const REFUSALS: u32 = 3;

/// What became of a write.
pub(super) enum Outcome {
    /// It is there.
    Written,
    /// It is not, and will not be.
    Failed(Failure),
}

/// Writes changes of a conversation: all of them or nothing, also if the process dies. `doubt` is told when it is not
/// known any more whether they will be there; then this goes on until they are.
pub(super) async fn write(
    link: &Link,
    ready: &Ready,
    place: Place,
    changes: &Changes,
    mut doubt: impl FnMut(),
) -> Result<Outcome, Ended> {
    let stamp = link.stamp_soon().await?;
    let intent = [intent(link, place, ready.epoch, stamp, &changes.encode())];
    let mut refusals = 0;
    loop {
        link.may_write().await?;
        match link.attempt(ready, &intent).await {
            Ok(()) => {
                link.passed();
                break;
            }
            Err(Attempt::NotDone(error)) => {
                refusals += 1;
                if refusals == REFUSALS {
                    link.failed(&error);
                    return Ok(Outcome::Failed(Failure::new(FailureKind::Unavailable, error)));
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Err(Attempt::Unknown(_)) => {
                doubt();
                link.persist(ready, &intent).await?;
                break;
            }
        }
    }
    apply(link, ready, place, changes).await?;
    Ok(Outcome::Written)
}

/// Puts what an intent holds where it belongs: the conversation's own row last, for readers begin with it.
async fn apply(link: &Link, ready: &Ready, place: Place, changes: &Changes) -> Result<(), Ended> {
    for heads in [false, true] {
        let rows = changes.iter().filter(|(_, row)| row.is_head() == heads);
        let bound = rows.map(|(stamp, row)| row.statement(&link.settings, place, stamp)).collect();
        persist_all(link, ready, bound).await?;
    }
    Ok(())
}

/// Writes rows of any partitions, those of one together.
pub(super) async fn persist_all(link: &Link, ready: &Ready, rows: Vec<Bound>) -> Result<(), Ended> {
    let mut partitions = BTreeMap::<(Put, Vec<Cell>), Vec<Bound>>::new();
    for row in rows {
        partitions.entry((row.put, row.partition().to_vec())).or_default().push(row);
    }
    let units: Vec<&[Bound]> = partitions.values().flat_map(|rows| rows.chunks(TOGETHER)).collect();
    // Most writes have one or two: no machinery for those.
    if let [unit] = units[..] {
        return link.persist(ready, unit).await;
    }
    let mut waiting = units.into_iter();
    let mut under_way = FuturesUnordered::new();
    under_way.extend(waiting.by_ref().take(AT_ONCE).map(|unit| link.persist(ready, unit)));
    while let Some(result) = under_way.next().await {
        result?;
        under_way.extend(waiting.next().map(|unit| link.persist(ready, unit)));
    }
    Ok(())
}

fn intent(link: &Link, place: Place, epoch: i64, stamp: i64, body: &[u8]) -> Bound {
    Bound::of_place(Put::Intent, &link.settings, place).big(epoch).big(stamp).blob(body).at(stamp)
}

/// Does what an earlier process had begun with this conversation, if it had not finished: nobody has been answered, but
/// readers must see all of it or nothing. Says whether there was anything.
///
/// The intent is then marked as done with the time just after its own, which is below all times of ours: it can never
/// hide an intent of this process.
pub(super) async fn touch(link: &Link, ready: &Ready, place: Place) -> Result<bool, Failure> {
    let Some((epoch, stamp, body)) = read::intent(link, ready, place).await? else { return Ok(false) };
    if epoch >= ready.epoch || body.is_empty() {
        return Ok(false);
    }
    let changes = Changes::decode(&body).map_err(|damage| read::damaged(damage, "intents", place))?;
    let again = async {
        apply(link, ready, place, &changes).await?;
        let done = [intent_done(link, place, ready.epoch, stamp)];
        link.persist(ready, &done).await
    };
    again.await.map_err(|Ended| ended())?;
    link.lives.forget(place);
    link.sweep.notify_one();
    Ok(true)
}

fn intent_done(link: &Link, place: Place, epoch: i64, stamp: i64) -> Bound {
    intent(link, place, epoch, stamp + 1, &[])
}

/// What a writer must know of a conversation before it plans.
pub(super) async fn known(link: &Link, ready: &Ready, place: Place, newest: bool) -> Result<Known, Failure> {
    let mut known = match link.lives.get(place) {
        Some(known) if known.touched => known,
        _ => {
            touch(link, ready, place).await?;
            let head = read::head(link, ready, place).await?;
            Known::read(head.there(), true)
        }
    };
    if known.newest.is_none() && newest {
        known.newest = Some(match known.life {
            Some(life) => super::pages::newest_bucket(link, ready, place, life).await?,
            None => None,
        });
    }
    Ok(known)
}

/// For whoever asks a link that is no more.
pub(super) fn ended() -> Failure {
    Failure::new(FailureKind::InDoubt, "the store is closed")
}
