//! The glommio host: the same shard as a task of a glommio `LocalExecutor`.
//!
//! The shard never sleeps in its own driver here. It turns without waiting, and between two turns it awaits either its
//! driver's notify descriptor or its next timer in glommio's reactor, so that other tasks of the executor run
//! meanwhile. glommio's own sockets are not used; the shard brings its driver.

#![expect(unsafe_code, reason = "glommio takes a descriptor over only as a number")]

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use glommio::io::BufferedFile;
use glommio::timer::Timer;
use glommio::{LocalExecutorBuilder, Placement};

use crate::protocol::Protocol;
use crate::shard::{Flow, Shard};

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
    let notify = Notify::new(shard.notify_fd()?)?;
    loop {
        if shard.turn(Some(Duration::ZERO))? == Flow::Done {
            return Ok(());
        }
        let patience = shard.foreign_patience();
        if patience == Some(Duration::ZERO) || !shard.prepare_sleep() {
            glommio::executor().yield_now().await;
            continue;
        }
        notify.wait(patience).await?;
    }
}

/// The driver's notify descriptor, read through glommio's reactor.
///
/// One read is always under way: a timer that comes first leaves it pending, and the next wait goes on with it. A
/// cancelled read could take a notification with it.
struct Notify {
    file: Rc<BufferedFile>,
    pending: RefCell<Option<Pending>>,
}

type Pending = Pin<Box<dyn Future<Output = io::Result<()>>>>;

impl Notify {
    fn new(descriptor: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor was just given to us, belongs to nobody else, and is not used again here.
        let file = unsafe { BufferedFile::from_raw_fd(descriptor.into_raw_fd()) };
        Ok(Self { file: Rc::new(file), pending: RefCell::new(None) })
    }

    async fn wait(&self, patience: Option<Duration>) -> io::Result<()> {
        let mut read = self.pending.take().unwrap_or_else(|| {
            let file = self.file.clone();
            // An eventfd is read in eight bytes, whatever the offset.
            Box::pin(async move {
                file.read_at(0, 8).await.map(|_| ()).map_err(|error| io::Error::other(error.to_string()))
            })
        });
        let Some(patience) = patience else { return read.await };
        let mut timer = pin!(Timer::new(patience));
        let done = poll_fn(|context| {
            if let Poll::Ready(result) = read.as_mut().poll(context) {
                return Poll::Ready(Some(result));
            }
            timer.as_mut().poll(context).map(|_| None)
        })
        .await;
        match done {
            Some(result) => result,
            None => {
                self.pending.replace(Some(read));
                Ok(())
            }
        }
    }
}
