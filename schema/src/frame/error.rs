//! What is wrong with bytes that should have been a frame, and what to say to the peer that sent them.
//!
//! All of it is the peer's fault. What differs is whether the peer can be told which of its requests it was
//! (a refusal with the request's tag, and the connection goes on) or not (a last word, and it ends).

use std::fmt;

use super::{Closing, Refused, ServerFrame, VERSIONS};
use crate::close::{Advice, CloseReason};
use crate::refusal::Refusal;

/// Why bytes are no frame that can be carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// The announced length is 0 or more than allowed. Known before a byte of the frame is kept.
    Length {
        /// What the peer announced.
        announced: u32,
        /// What is allowed.
        max: usize,
    },
    /// No FlatBuffer of the right kind.
    Malformed(&'static str),
    /// A Connect with a version that is not spoken here.
    Version {
        /// What the client speaks.
        asked: u16,
    },
    /// A well-formed frame with a body that this code does not know, or that is not for its side.
    Unknown {
        /// The frame's tag.
        tag: u64,
        /// The body's number in the union.
        body: u8,
    },
    /// A frame with an argument that is not acceptable.
    Invalid {
        /// The frame's tag.
        tag: u64,
        /// Which, and what is asked of it.
        what: &'static str,
    },
    /// More ids than one frame may have.
    TooManyIds {
        /// The frame's tag.
        tag: u64,
    },
}

impl FrameError {
    /// The reason to close with; `None` when the connection goes on.
    #[must_use]
    pub fn closes(&self) -> Option<CloseReason> {
        match self {
            Self::Length { announced: 0, .. } | Self::Malformed(_) | Self::Version { .. } => {
                Some(CloseReason::ProtocolError)
            }
            Self::Length { .. } => Some(CloseReason::TooLarge),
            Self::Unknown { .. } | Self::Invalid { .. } | Self::TooManyIds { .. } => None,
        }
    }

    /// The refusal to count; `None` when the connection ends.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Unknown { .. } => Some(Refusal::Unsupported),
            Self::Invalid { .. } => Some(Refusal::Invalid),
            Self::TooManyIds { .. } => Some(Refusal::TooMany),
            Self::Length { .. } | Self::Malformed(_) | Self::Version { .. } => None,
        }
    }

    /// The frame to answer with: [`ServerFrame::Refused`], or [`ServerFrame::Closing`] after which the server closes.
    #[must_use]
    pub fn answer(&self) -> ServerFrame {
        match *self {
            Self::Unknown { tag, .. } => {
                ServerFrame::Refused(Refused::new(tag, Refusal::Unsupported, self.to_string()))
            }
            Self::Invalid { tag, what } => ServerFrame::Refused(Refused::new(tag, Refusal::Invalid, what)),
            Self::TooManyIds { tag } => {
                ServerFrame::Refused(Refused::new(tag, Refusal::TooMany, Refusal::TooMany.text()))
            }
            Self::Length { announced: 0, .. } | Self::Malformed(_) => {
                ServerFrame::Closing(Closing::new(CloseReason::ProtocolError).with_text(self.to_string()))
            }
            Self::Length { .. } => {
                ServerFrame::Closing(Closing::new(CloseReason::TooLarge).with_text(self.to_string()))
            }
            // Coming back with the same version would end the same way, whatever the pause.
            Self::Version { .. } => ServerFrame::Closing(Closing {
                advice: Advice::Stay,
                versions: Some(VERSIONS),
                ..Closing::new(CloseReason::ProtocolError).with_text(self.to_string())
            }),
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Length { announced: 0, .. } => f.write_str("a frame of length 0"),
            Self::Length { announced, max } => {
                write!(f, "a frame of {announced} bytes; at most {max} are allowed")
            }
            Self::Malformed(what) => write!(f, "no valid frame: {what}"),
            Self::Version { asked } => {
                let (first, last) = (VERSIONS.start(), VERSIONS.end());
                write!(f, "version {asked} of the protocol is not spoken here, only {first} to {last}")
            }
            Self::Unknown { body, .. } => {
                write!(f, "a frame with body {body} is not known here; update the server or the client")
            }
            Self::Invalid { what, .. } => f.write_str(what),
            Self::TooManyIds { .. } => f.write_str(Refusal::TooMany.text()),
        }
    }
}

impl std::error::Error for FrameError {}
