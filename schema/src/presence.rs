//! What is known of a user.

use crate::device::Device;
use crate::id::{Id, SessionAddr};

/// What others are told of a user. Grace is not a status: a user in grace counts as online.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub enum Status {
    /// No session, and no grace left.
    #[default]
    Offline,
    /// At least one session, or one that ended less than the grace ago.
    Online,
    /// Sessions, but none active for the configured time (off by default).
    Away,
    /// It could not be found out in time; say so rather than "offline".
    Unknown,
}

impl Status {
    /// True for everyone who counts as online.
    #[must_use]
    pub fn is_online(self) -> bool {
        matches!(self, Self::Online | Self::Away)
    }

    /// The word of the APIs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Online => "online",
            Self::Away => "away",
            Self::Unknown => "unknown",
        }
    }
}

/// When a user was last seen. Moves only forward.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub enum LastSeen {
    /// The store could not be asked in time.
    #[default]
    Unknown,
    /// Never seen at all.
    Never,
    /// Milliseconds since the Unix epoch.
    At(u64),
}

impl LastSeen {
    /// The time, if there is one.
    #[must_use]
    pub fn at(self) -> Option<u64> {
        match self {
            Self::At(ms) => Some(ms),
            Self::Unknown | Self::Never => None,
        }
    }
}

/// One user's presence, as told to watchers and askers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserPresence {
    /// Whose.
    pub user: Id,
    /// What.
    pub status: Status,
    /// When last seen; for an online user the time of the latest activity.
    pub last_seen: LastSeen,
}

/// One row of a list of online users.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OnlineUser {
    /// Who.
    pub user: Id,
    /// Online or away.
    pub status: Status,
    /// Latest activity, milliseconds since the Unix epoch.
    pub last_seen: u64,
    /// Device of the newest session.
    pub device: Device,
}

/// One session of a user, as its host knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionInfo {
    /// Which.
    pub session: SessionAddr,
    /// The other end, as the front door or the socket knows it.
    pub peer: std::net::SocketAddr,
    /// What it runs on.
    pub device: Device,
    /// Which API it speaks; see [`crate::command::Edge`].
    pub edge: crate::command::Edge,
    /// When it began, milliseconds since the Unix epoch.
    pub since: u64,
}
