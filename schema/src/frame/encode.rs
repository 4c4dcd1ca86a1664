//! From a finished FlatBuffer to bytes, and the memory that is used again for every frame.

use std::fmt;

use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};

use super::IDENTIFIER;
use super::chat_rows::Rows;
use crate::generated::wire;

/// Encodes frames. Whoever writes many keeps one: its memory is used again.
///
/// Every method appends one whole frame, length included, to the bytes given.
pub struct Encoder {
    pub(super) builder: FlatBufferBuilder<'static>,
    /// Packed ids on their way into the builder.
    pub(super) packed: Vec<u8>,
    /// Rows of conversations on their way into the builder.
    pub(super) rows: Rows,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// With no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self { builder: FlatBufferBuilder::new(), packed: Vec::new(), rows: Rows::default() }
    }

    /// Wraps a body into its frame, appends the frame, and makes the builder ready for the next. Returns the
    /// frame's length without its prefix.
    pub(super) fn finish(
        &mut self,
        tag: u64,
        body_type: wire::Body,
        body: WIPOffset<UnionWIPOffset>,
        out: &mut Vec<u8>,
    ) -> usize {
        self.finish_acting(tag, body_type, body, None, out)
    }

    /// The same for a command that a service gives for a user.
    pub(super) fn finish_acting(
        &mut self,
        tag: u64,
        body_type: wire::Body,
        body: WIPOffset<UnionWIPOffset>,
        acting: Option<WIPOffset<&'static str>>,
        out: &mut Vec<u8>,
    ) -> usize {
        let args = wire::FrameArgs { tag, body_type, body: Some(body), acting };
        let frame = wire::Frame::create(&mut self.builder, &args);
        wire::finish_frame_buffer(&mut self.builder, frame);
        let bytes = self.builder.finished_data();
        debug_assert_eq!(bytes.get(4..8), Some(&IDENTIFIER[..]));
        // A builder holds less than 2 GiB: FlatBuffers' offsets are signed 32-bit numbers.
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(bytes);
        let length = bytes.len();
        self.builder.reset();
        self.packed.clear();
        self.rows.clear();
        length
    }
}
