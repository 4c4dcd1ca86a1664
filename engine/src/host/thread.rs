//! The default host: the thread itself. It sleeps in the socket driver.

use std::io;
use std::time::Duration;

use crate::protocol::Protocol;
use crate::shard::{Flow, Shard};

/// Turns the shard until it has drained. With a `gather` time, each turn's answers leave at once and the thread then
/// sleeps that long before it looks again, whatever comes: requests are answered in batches, later and cheaper.
///
/// # Errors
/// When the shard's driver is broken.
pub fn run<P: Protocol>(shard: &mut Shard<P>, gather: Duration) -> io::Result<()> {
    loop {
        let patience = shard.patience();
        if shard.turn(patience)? == Flow::Done {
            return Ok(());
        }
        if !gather.is_zero() {
            if shard.turn(Some(Duration::ZERO))? == Flow::Done {
                return Ok(());
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "the operator has asked for this rest (engine.gather)"
            )]
            std::thread::sleep(gather);
        }
    }
}
