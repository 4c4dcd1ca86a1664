//! What a shard runs on: a loop of `turn` and a way to sleep between two of them.

#[cfg(feature = "glommio")]
pub mod glommio;
pub mod thread;

/// Which host to use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Host {
    /// A plain thread, pinned to a core; it sleeps in the socket driver.
    #[default]
    Thread,
    /// A task inside a glommio `LocalExecutor`, for services that live on glommio; it sleeps in glommio's reactor
    /// and is woken through the driver's notify descriptor.
    Glommio,
}

impl Host {
    /// The word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Glommio => "glommio",
        }
    }
}
