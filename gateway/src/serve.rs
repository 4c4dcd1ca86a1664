//! Runs the server until it is told to stop.

use crate::auth::Verifier;
use crate::config::Config;

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ServeError(pub String);

/// Runs the server with a configuration that was checked.
pub fn run(config: Config) -> Result<(), ServeError> {
    let verifier = Verifier::from_config(&config).map_err(|error| ServeError(error.to_string()))?;
    if let Some(generated) = verifier.keys().generated() {
        tracing::info!("{}", generated.notice());
    }
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    Err(ServeError("this build of Muster has no server in it yet".into()))
}
