//! The log: one line an event, on standard error, with tokens taken out.
//!
//! Standard output is left to what commands print. Every line passes through [`redact`], so that a token in a
//! URL, a header or a frame does not reach the log whoever logged it.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::auth::redact::redact;
use crate::config::{LogFormat, Server};

/// The store's libraries tell at `info` what only their authors need; naming them in `server.log` brings it back.
const QUIET: &str = "fjall=warn,lsm_tree=warn";

/// Starts logging for the process. The error says why it cannot.
pub fn start(server: &Server) -> Result<(), String> {
    let (filter, handle) = reload::Layer::new(filter(server)?);
    let terminal = io::stderr().is_terminal();
    let json = match server.log_format {
        LogFormat::Auto => !terminal,
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(Redacted(io::stderr));
    let registry = tracing_subscriber::registry().with(filter);
    let started = if json {
        registry.with(lines.json().flatten_event(true).with_current_span(false)).try_init()
    } else {
        registry.with(lines.with_ansi(terminal).with_target(false)).try_init()
    };
    started.map_err(|error| format!("cannot start logging: {error}"))?;
    // The first start of the process is the one whose filter can be changed.
    let _ = FILTER.set(handle);
    Ok(())
}

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Changes what is logged while the process runs. The error says why it cannot.
pub fn change(server: &Server) -> Result<(), String> {
    let filter = filter(server)?;
    let handle = FILTER.get().ok_or("logging was not started by this program")?;
    handle.reload(filter).map_err(|error| error.to_string())
}

fn filter(server: &Server) -> Result<EnvFilter, String> {
    EnvFilter::builder()
        .parse(format!("{QUIET},{}", server.log))
        .map_err(|error| format!("server.log = {:?} is not a log filter: {error}", server.log))
}

/// Writes what an inner writer would, without tokens.
struct Redacted<M>(M);

struct RedactedLine<W>(W);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Redacted<M> {
    type Writer = RedactedLine<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactedLine(self.0.make_writer())
    }
}

impl<W: Write> Write for RedactedLine<W> {
    /// Takes a whole line, as the subscriber hands it over.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(redact(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_logged_token_does_not_reach_the_log() {
        let page = Page::default();
        let (json, colours) = (page.clone(), page.clone());
        let log =
            || tracing::info!(uri = "/ws?token=s3cr3t", token = "s3cr3t", "Authorization: Bearer s3cr3t");
        let writer = Redacted(move || json.clone());
        tracing::subscriber::with_default(tracing_subscriber::fmt().with_writer(writer).json().finish(), log);
        let writer = Redacted(move || colours.clone());
        tracing::subscriber::with_default(
            tracing_subscriber::fmt().with_writer(writer).with_ansi(true).finish(),
            log,
        );
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains("s3cr3t"), "{text}");
        assert!(text.contains("/ws?token=[redacted]"), "{text}");
    }
}
