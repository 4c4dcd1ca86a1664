//! Handing over between threads: one inbox, sender and receiver in turn on one core, nobody asleep.

use std::hint::black_box;

use engine::mesh::{Capacity, inbox as make};

use super::Trouble;

/// As large as a message between machines.
type Parcel = [u64; 8];

const BATCH: u64 = 16;

/// One by one.
///
/// # Errors
/// When what is measured does not work.
pub fn inbox() -> Result<impl FnMut(), Trouble> {
    let (mut inbox, sender) = make::<Parcel>(Capacity { commands: 1024, replies: 1024 });
    let mut hand_over = move || {
        let sent = sender.try_send_command(black_box([1; 8])).is_ok();
        sent && black_box(inbox.pop()).is_some()
    };
    if !hand_over() {
        return Err("nothing came".into());
    }
    Ok(move || _ = hand_over())
}

/// Sixteen with one wake.
///
/// # Errors
/// When what is measured does not work.
pub fn inbox_batch() -> Result<impl FnMut(), Trouble> {
    let (mut inbox, sender) = make::<Parcel>(Capacity { commands: 1024, replies: 1024 });
    let mut hand_over = move || {
        let mut batch = sender.batch();
        for number in 0..BATCH {
            let _ = batch.try_send_command(black_box([number; 8]));
        }
        drop(batch);
        inbox.drain(BATCH as usize, |parcel| _ = black_box(parcel))
    };
    if hand_over() != BATCH as usize {
        return Err("not everything came".into());
    }
    Ok(move || _ = hand_over())
}
