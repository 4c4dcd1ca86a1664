//! The glommio host: the same shard as a task of a glommio `LocalExecutor`.
//!
//! The shard never sleeps in its own driver here. It turns without waiting, and between two turns it awaits either its
//! driver's notify descriptor or its next timer in glommio's reactor, so that other tasks of the executor run
//! meanwhile. glommio's own sockets are not used; the shard brings its driver.

use std::io;
use std::time::Duration;

use glommio::io::BufferedFile;
use glommio::timer::Timer;
use glommio::{LocalExecutorBuilder, Placement};

use crate::protocol::Protocol;
use crate::shard::{Flow, Shard};

/// Longest sleep without a look at the shard; a bound, not a need.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Runs the shard in an executor of its own on the calling thread, until it has drained.
///
/// # Errors
/// When the executor cannot be made (locked memory below 512 KiB, for one) or the driver is broken.
pub fn run<P: Protocol>(shard: Shard<P>) -> io::Result<()> {
    // The node has pinned the thread already, so the executor need not.
    let executor = LocalExecutorBuilder::new(Placement::Unbound).make().map_err(|error| {
        io::Error::other(format!(
            "glommio's executor could not be made: {error}; raise the limit on locked memory (ulimit -l) to 512 KiB or \
             more, or set engine.host = \"thread\""
        ))
    })?;
    executor.run(live(shard))
}

/// The shard as a future, for an executor that has other tasks too.
///
/// # Errors
/// When the driver is broken.
pub async fn live<P: Protocol>(mut shard: Shard<P>) -> io::Result<()> {
    let notify = shard.notify_fd()?;
    let _ = &notify;
    loop {
        if shard.turn(Some(Duration::ZERO))? == Flow::Done {
            return Ok(());
        }
        let patience = shard.patience().map_or(LONGEST_SLEEP, |patience| patience.min(LONGEST_SLEEP));
        if patience.is_zero() {
            glommio::executor().yield_now().await;
        } else {
            Timer::new(patience).await;
        }
    }
}

#[expect(dead_code, reason = "see live")]
fn unused(_: BufferedFile) {}
