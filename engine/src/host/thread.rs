//! The default host: the thread itself. It sleeps in the socket driver.

use std::io;
use std::time::Duration;

use crate::protocol::Protocol;
use crate::shard::{Flow, Shard};

/// Turns the shard until it has drained. Where the driver does not gather what comes ([`crate::io::Tuning::gather`]), the
/// thread rests that long after each turn, whose answers leave before; not after one that has taken as long itself, behind
/// which enough has gathered.
///
/// # Errors
/// When the shard's driver is broken.
pub fn run<P: Protocol>(shard: &mut Shard<P>, gather: Duration) -> io::Result<()> {
    let rest = if shard.gathers() { Duration::ZERO } else { gather };
    loop {
        let patience = shard.patience();
        if shard.turn(patience)? == Flow::Done {
            return Ok(());
        }
        if shard.turn_time() < rest {
            if shard.turn(Some(Duration::ZERO))? == Flow::Done {
                return Ok(());
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "a rest of microseconds, in which nothing can be overslept (engine.gather_micros)"
            )]
            std::thread::sleep(rest);
        }
    }
}
