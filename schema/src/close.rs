//! Why a session ends, and whether its client should come back.

/// Why a session ended. Each edge maps it to its own close code or event, once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum CloseReason {
    /// The client said goodbye (close handshake, FIN).
    ClientClosed = 1,
    /// The client logged out on purpose.
    LoggedOut = 2,
    /// The link was reset or failed.
    Lost = 3,
    /// Nothing was heard for the silence time.
    Silent = 4,
    /// The token has expired.
    TokenExpired = 5,
    /// A service or an operator ended the session.
    Kicked = 6,
    /// The server is stopping; come back to another one, or to this one when it is up again.
    Draining = 7,
    /// The client does not read what is sent to it.
    SlowConsumer = 8,
    /// The client broke the protocol.
    ProtocolError = 9,
    /// The client sent more commands than it may.
    TooManyCommands = 10,
    /// The user has more sessions than it may; the oldest one goes.
    TooManyDevices = 11,
    /// A message was larger than allowed.
    TooLarge = 12,
    /// No valid authentication came in time.
    Unauthenticated = 13,
}

/// What a client should do after a close.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// Nothing: it wanted to go, or must not return.
    Stay,
    /// Connect again at once, with the usual jitter.
    Reconnect,
    /// Connect again after a pause.
    ReconnectLater,
    /// Get a new token first.
    Reauthenticate,
}

impl CloseReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: &'static [Self] = &[
        Self::ClientClosed,
        Self::LoggedOut,
        Self::Lost,
        Self::Silent,
        Self::TokenExpired,
        Self::Kicked,
        Self::Draining,
        Self::SlowConsumer,
        Self::ProtocolError,
        Self::TooManyCommands,
        Self::TooManyDevices,
        Self::TooLarge,
        Self::Unauthenticated,
    ];

    /// The advice that goes with it.
    #[must_use]
    pub fn advice(self) -> Advice {
        match self {
            Self::ClientClosed | Self::LoggedOut | Self::Kicked | Self::TooManyDevices => Advice::Stay,
            Self::Lost | Self::Silent | Self::Draining | Self::SlowConsumer => Advice::Reconnect,
            Self::ProtocolError | Self::TooManyCommands | Self::TooLarge => Advice::ReconnectLater,
            Self::TokenExpired | Self::Unauthenticated => Advice::Reauthenticate,
        }
    }

    /// A short text for logs, metrics and close frames.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientClosed => "client closed",
            Self::LoggedOut => "logged out",
            Self::Lost => "connection lost",
            Self::Silent => "heartbeat timeout",
            Self::TokenExpired => "token expired",
            Self::Kicked => "disconnected by the server",
            Self::Draining => "server shutting down",
            Self::SlowConsumer => "slow consumer",
            Self::ProtocolError => "protocol error",
            Self::TooManyCommands => "too many commands",
            Self::TooManyDevices => "too many devices",
            Self::TooLarge => "message too large",
            Self::Unauthenticated => "unauthenticated",
        }
    }
}
