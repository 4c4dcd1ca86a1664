//! From bytes to a verified FlatBuffer: the one door through which foreign bytes come in.

use std::borrow::Cow;

use flatbuffers::{InvalidFlatbuffer, VerifierOptions};

use super::{FrameError, IDENTIFIER, PREFIX};
use crate::generated::wire::{self, Frame};

/// Nesting of tables. A frame has two; the rest is room for later versions.
const DEPTH_MAX: usize = 8;

/// Tables of one frame; again far more than the two there are. Rows are no tables, so this does not grow with them.
const TABLES_MAX: usize = 16;

fn options(length: usize) -> VerifierOptions {
    VerifierOptions {
        max_depth: DEPTH_MAX,
        max_tables: TABLES_MAX,
        // Offsets may point at the same bytes again and again; without this bound, 64 KiB of them could make us check
        // one long string ten thousand times. An honest frame visits no byte more than three times.
        max_apparent_size: length.saturating_mul(4).saturating_add(1_024),
        ignore_missing_null_terminator: false,
    }
}

/// Verifies a frame (without its length) and hands out its root.
pub(super) fn verified<T>(
    bytes: &[u8],
    read: impl FnOnce(Frame<'_>) -> Result<T, FrameError>,
) -> Result<T, FrameError> {
    if bytes.get(4..8) != Some(IDENTIFIER) {
        return Err(FrameError::Malformed("the file identifier is not MSTR"));
    }
    match wire::root_as_frame_with_opts(&options(bytes.len()), bytes) {
        Ok(frame) => read(frame),
        Err(InvalidFlatbuffer::Unaligned { .. }) => {
            let bytes = with_prefix(bytes);
            let frame = wire::size_prefixed_root_as_frame_with_opts(&options(bytes.len()), &bytes);
            read(frame.map_err(|error| FrameError::Malformed(what(&error)))?)
        }
        Err(error) => Err(FrameError::Malformed(what(&error))),
    }
}

/// A FlatBuffers library's "size-prefixed" buffer looks the same on the wire, but its 8-byte values are aligned to
/// the beginning of the length and not of what follows. It is accepted: a client that used the library's own way to
/// write the length should not fail at its first tag.
#[cold]
fn with_prefix(bytes: &[u8]) -> Cow<'static, [u8]> {
    let mut whole = Vec::with_capacity(PREFIX + bytes.len());
    whole.extend_from_slice(&[0; PREFIX]);
    whole.extend_from_slice(bytes);
    Cow::Owned(whole)
}

/// One sentence per kind: the verifier's own text has many lines and is of no use to a peer.
fn what(error: &InvalidFlatbuffer) -> &'static str {
    match error {
        InvalidFlatbuffer::MissingRequiredField { .. } => "a required field is missing",
        InvalidFlatbuffer::InconsistentUnion { .. } => "a body without its type, or a type without its body",
        InvalidFlatbuffer::Utf8Error { .. } => "a string is not UTF-8",
        InvalidFlatbuffer::MissingNullTerminator { .. } => "a string does not end with a zero byte",
        InvalidFlatbuffer::Unaligned { .. } => "a value is not aligned",
        InvalidFlatbuffer::RangeOutOfBounds { .. } | InvalidFlatbuffer::SignedOffsetOutOfBounds { .. } => {
            "an offset leads out of the frame"
        }
        InvalidFlatbuffer::TooManyTables => "too many tables",
        InvalidFlatbuffer::ApparentSizeTooLarge => "the same bytes are used too often",
        InvalidFlatbuffer::DepthLimitReached => "tables are nested too deeply",
    }
}
