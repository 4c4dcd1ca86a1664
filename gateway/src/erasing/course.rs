//! The way through one user's traces: conversations, files, presence.
//!
//! Each step is short and is taken until it is done: a shard that is busy, or a store that fails, is asked again after a
//! pause. Only the end of the server ends it early.

use std::time::Duration;

use engine::front::{Erased as Step, Place, Progress, Step as Wanted};
use schema::{Actor, Command, Id, Key, Refusal};
use tokio::time;

use crate::carry::erase::{Erased, NOBODY};
use crate::http::Front;
use crate::media::Media;

/// How long it waits before it asks again: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));

/// A pause that doubles.
struct Patience(Duration);

impl Patience {
    fn new() -> Self {
        Self(PAUSE.0)
    }

    async fn wait(&mut self) {
        time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(PAUSE.1);
    }
}

/// Erases a user, and tells how far it is. `None`: the server ends, and it is not done.
pub(super) async fn run(front: &Front, user: &Key, tell: &(dyn Fn(Erased) + Sync)) -> Option<Erased> {
    let mut erased = Erased::default();
    disconnect(front, user).await?;
    let mut after = None;
    loop {
        let look = Wanted::Look { user: user.clone(), after };
        let Step::Found { traces, next } = step(front, look).await? else { return None };
        for trace in traces {
            erase_in(front, (user.realm, trace.conversation), user, &mut erased).await?;
            tell(erased);
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    erased.files = erase_files(front, user).await?;
    tell(erased);
    erased.seen = erase_presence(front, user).await?;
    Some(erased)
}

/// Takes a step until it is done. `None`: the server ends.
async fn step(front: &Front, wanted: Wanted) -> Option<Step> {
    let mut patience = Patience::new();
    loop {
        match front.inquirer.erase(wanted.clone()).await {
            Ok(done) => return Some(done),
            Err(Refusal::Draining) => return None,
            // There is no such conversation any more.
            Err(Refusal::NotFound) => return Some(Step::In(Progress::default())),
            Err(refusal) => tracing::debug!(%refusal, "erasing a user waits"),
        }
        patience.wait().await;
    }
}

async fn erase_in(front: &Front, place: Place, user: &Key, erased: &mut Erased) -> Option<()> {
    let mut before = u64::MAX;
    erased.conversations += 1;
    loop {
        let wanted = Wanted::In { place, user: user.id.clone(), before };
        let Step::In(progress) = step(front, wanted).await? else { return None };
        erased.memberships += u64::from(progress.memberships);
        erased.messages += u64::from(progress.messages);
        erased.sends += u64::from(progress.sends);
        erased.gone += u64::from(progress.gone);
        match progress.next {
            Some(next) => before = next,
            None => return Some(()),
        }
    }
}

/// Ends the user's sessions. Their clients are told not to come back by themselves.
async fn disconnect(front: &Front, user: &Key) -> Option<()> {
    let actor = Actor { key: Key::new(user.realm, Id::from_uuid(NOBODY)), service: true };
    let mut patience = Patience::new();
    loop {
        let command = Command::DisconnectUser { user: user.id.clone() };
        match front.inquirer.ask(Some(actor.clone()), command).await {
            Ok(_) => return Some(()),
            Err(Refusal::Draining) => return None,
            Err(_) => patience.wait().await,
        }
    }
}

/// Whoever is connected again meanwhile is disconnected again.
async fn erase_presence(front: &Front, user: &Key) -> Option<bool> {
    let mut patience = Patience::new();
    loop {
        disconnect(front, user).await?;
        match front.inquirer.erase(Wanted::Presence { user: user.clone() }).await {
            Ok(Step::Presence { seen }) => return Some(seen),
            Ok(_) | Err(Refusal::Draining) => return None,
            Err(_) => patience.wait().await,
        }
    }
}

async fn erase_files(front: &Front, user: &Key) -> Option<u64> {
    let mut patience = Patience::new();
    loop {
        if front.is_draining() {
            return None;
        }
        let removed = match &front.media {
            Some(media) => media.erase(user, false).await.map_err(|error| error.to_string()),
            // No API that takes files is served; there may be some of earlier times.
            None => match Media::open(&front.config).await {
                Ok(media) => media.erase(user, false).await.map_err(|error| error.to_string()),
                Err(error) => Err(error),
            },
        };
        match removed {
            Ok(files) => return Some(files),
            Err(error) => tracing::warn!(error, "the files of a user cannot be erased yet"),
        }
        patience.wait().await;
    }
}
