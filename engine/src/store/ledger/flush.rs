//! The threads behind the writer: one keeps a segment ready, one flushes tables into the index, one merges the index.
//!
//! Three, because neither may wait for another: a segment is wanted within milliseconds, a flush takes a second, and
//! a merge may take a minute.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, Builder, JoinHandle};
use std::time::Duration;

use super::batch::Space;
use super::shared::{Frozen, Shared};

/// How often it is looked whether a table is read by others, and how many times.
const OUTLIVE: (Duration, u32) = (Duration::from_millis(1), 200);

/// The threads; they end when this is dropped.
pub(super) struct Threads {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts them.
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let mut threads = Self { shared: shared.clone(), handles: Vec::new() };
        for (name, work) in [
            ("ledger-segments", Shared::keep_shelf as fn(&Shared)),
            ("ledger-flush", flush_tables),
            ("ledger-merge", merge_trees),
        ] {
            let shared = shared.clone();
            threads.handles.push(Builder::new().name(name.into()).spawn(move || {
                if panic::catch_unwind(AssertUnwindSafe(|| work(&shared))).is_err() {
                    tracing::error!(name, "a thread of the ledger has panicked");
                    shared.died(name);
                }
            })?);
        }
        Ok(threads)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.stop();
        for handle in self.handles.drain(..) {
            // Its panic, if there was one, is told already.
            _ = handle.join();
        }
    }
}

fn flush_tables(shared: &Shared) {
    while let Some(table) = shared.next_table() {
        match flush(shared, &table) {
            Ok(()) => {
                if shared.trouble().is_some() {
                    tracing::info!("the ledger's index takes tables again");
                }
                shared.flushed();
                shared.want_merging();
                outlive(&table);
            }
            Err(error) => {
                if shared.trouble().is_none() {
                    tracing::error!(
                        error,
                        "the ledger's index does not take a table: it stays in memory and in the log, and is tried again"
                    );
                }
                // What is half written is cleared away, and a tree whose files and memory disagree agrees again.
                let error = match shared.index.reopen() {
                    Ok(()) => error,
                    Err(reopen) => format!("{error}; and then: {reopen}"),
                };
                shared.not_flushed(error);
            }
        }
    }
}

/// Who lets go of a table last has a hundred thousand rows to free: that is to be this thread, and neither a reader nor
/// the writer.
fn outlive(table: &Frozen) {
    let (pause, times) = OUTLIVE;
    for _ in 0..times {
        if Arc::strong_count(&table.rows) == 1 {
            break;
        }
        thread::park_timeout(pause);
    }
}

fn flush(shared: &Shared, table: &Frozen) -> Result<(), String> {
    shared.disk.may_flush().map_err(|error| error.to_string())?;
    shared.index.write(&table.rows, || shared.fill_of_next())?;
    shared.folder.set_checkpoint(table.end).map_err(|error| error.to_string())?;
    // The table is safe: that old segments stay for now is no reason to write it again.
    if let Err(error) = shared.retire(table.end) {
        tracing::warn!(%error, "old segments of the ledger's log cannot be put away");
    }
    Ok(())
}

fn merge_trees(shared: &Shared) {
    while shared.wait_for_merging() {
        for space in Space::ALL {
            loop {
                // Merging needs room for what it writes before it gives back what it read.
                let room = shared.disk.free(&shared.folder.path).unwrap_or(0);
                if shared.is_stopping() || room < shared.options.reserve_bytes / 2 {
                    break;
                }
                match shared.index.merge(space) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::error!(error, space = space.name(), "the ledger's index cannot be merged");
                        if let Err(error) = shared.index.reopen() {
                            tracing::error!(error, "the ledger's index cannot be opened anew");
                        }
                        break;
                    }
                }
            }
        }
    }
}
