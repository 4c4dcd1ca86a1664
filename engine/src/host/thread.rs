//! The default host: the thread itself. It sleeps in the socket driver.

use std::io;

use crate::protocol::Protocol;
use crate::shard::{Flow, Shard};

/// Turns the shard until it has drained.
///
/// # Errors
/// When the shard's driver is broken.
pub fn run<P: Protocol>(shard: &mut Shard<P>) -> io::Result<()> {
    loop {
        let patience = shard.patience();
        if shard.turn(patience)? == Flow::Done {
            return Ok(());
        }
    }
}
