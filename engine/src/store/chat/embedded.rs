//! Rows in the ledger: what it commits is on the disk.

use std::path::Path;
use std::sync::Arc;

use super::{Commits, Failure, FailureKind, Opened, Rows, Settings};
use crate::io::Clock;
use crate::store::ledger::{self, Batch, Kind, Options, Reader, Space, Writer};

/// Opens the store in this folder, or begins one.
pub(super) fn open(path: &Path, settings: &Settings, salt: u64) -> Result<Opened, ledger::OpenError> {
    let options = Options {
        segment_bytes: settings.segment_bytes,
        table_bytes: settings.table_bytes,
        cache_bytes: settings.cache_bytes,
        reserve_bytes: settings.reserve_bytes,
        ..Options::new(Clock::moment, salt)
    };
    let (writer, reader) = ledger::open(path, options)?;
    let log = Log { writer, reader: reader.clone() };
    Ok(Opened::over(log, Arc::new(reader), format!("embedded in {}", path.display())))
}

impl Rows for Reader {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        Ok(Reader::get(self, space, key)?.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        space: Space,
        range: (&[u8], &[u8]),
        reverse: bool,
        limit: usize,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Failure> {
        Reader::scan(self, space, range, reverse, limit, each)?;
        Ok(())
    }
}

/// The ledger's writer, and a reader that knows why the index lags.
struct Log {
    writer: Writer,
    reader: Reader,
}

impl Commits for Log {
    fn commit(&mut self, batches: &[Batch]) -> Result<(), Failure> {
        self.writer.commit(batches).map_err(|failure| match failure.kind {
            // The index will not catch up in a moment if its disk fails.
            Kind::Busy if self.reader.trouble().is_some() => {
                Failure::new(FailureKind::Unavailable, failure.what)
            }
            Kind::Broken => Failure::new(FailureKind::InDoubt, failure.what),
            Kind::Busy | Kind::Full | Kind::Oversize => failure.into(),
        })
    }

    fn recover(&mut self) -> Result<(), Failure> {
        Ok(self.writer.recover()?)
    }
}

/// Of all that does not concern a commit under way.
impl From<ledger::Failure> for Failure {
    fn from(failure: ledger::Failure) -> Self {
        let kind = match failure.kind {
            Kind::Busy => FailureKind::Busy,
            Kind::Full | Kind::Broken => FailureKind::Unavailable,
            Kind::Oversize => FailureKind::Refused,
        };
        Self::new(kind, failure.what)
    }
}
