//! Where one frame ends and the next begins: a 4-byte little-endian length, and then as many bytes.

use std::ops::ControlFlow;

use super::FrameError;

/// Bytes of the length before each frame.
pub const PREFIX: usize = 4;

/// The first whole frame of some bytes, without its length; `None` when it is not whole yet.
/// The next one begins [`PREFIX`] plus its length further on.
///
/// # Errors
/// [`FrameError::Length`] as soon as the length is there, before any byte of the frame has to be kept.
pub fn split(bytes: &[u8], max: usize) -> Result<Option<&[u8]>, FrameError> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else { return Ok(None) };
    Ok(rest.get(..announced(*prefix, max)?))
}

fn announced(prefix: [u8; PREFIX], max: usize) -> Result<usize, FrameError> {
    let announced = u32::from_le_bytes(prefix);
    match usize::try_from(announced) {
        Ok(length) if length > 0 && length <= max => Ok(length),
        _ => Err(FrameError::Length { announced, max }),
    }
}

/// Cuts a stream of bytes into frames, whatever the pieces it comes in.
///
/// Frames that arrive whole are handed out where they lie. Only a frame that is not whole is kept, and its memory is
/// given back as soon as it is: a connection that rests between two frames owns nothing.
#[derive(Default, Debug)]
pub struct Splitter {
    partial: Vec<u8>,
}

impl Splitter {
    /// With nothing kept.
    #[must_use]
    pub const fn new() -> Self {
        Self { partial: Vec::new() }
    }

    /// Bytes of a frame that is not whole yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.partial.len()
    }

    /// Calls `each` with every frame that is whole, until it breaks. Returns how many of `bytes` are used: all of
    /// them, or those up to the frame at which it broke, so that the rest can be fed again with another `max` or to
    /// another owner of the connection.
    ///
    /// # Errors
    /// [`FrameError::Length`], after which the stream has no more meaning.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        max: usize,
        mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<usize, FrameError> {
        let mut rest = bytes;
        if !self.partial.is_empty() {
            self.keep(&mut rest, PREFIX);
            let Some(prefix) = self.partial.first_chunk::<PREFIX>() else { return Ok(bytes.len()) };
            let length = announced(*prefix, max)?;
            self.keep(&mut rest, PREFIX + length);
            if self.partial.len() < PREFIX + length {
                return Ok(bytes.len());
            }
            let whole = std::mem::take(&mut self.partial);
            if each(&whole[PREFIX..]).is_break() {
                return Ok(bytes.len() - rest.len());
            }
        }
        while let Some(frame) = split(rest, max)? {
            rest = &rest[PREFIX + frame.len()..];
            if each(frame).is_break() {
                return Ok(bytes.len() - rest.len());
            }
        }
        self.partial.extend_from_slice(rest);
        Ok(bytes.len())
    }

    /// Moves bytes over until `wanted` are kept.
    fn keep(&mut self, rest: &mut &[u8], wanted: usize) {
        let missing = wanted.saturating_sub(self.partial.len()).min(rest.len());
        let (taken, left) = rest.split_at(missing);
        self.partial.extend_from_slice(taken);
        *rest = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(frames: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in frames {
            bytes.extend_from_slice(&(frame.len() as u32).to_le_bytes());
            bytes.extend_from_slice(frame);
        }
        bytes
    }

    #[test]
    fn frames_come_out_whole_whatever_the_pieces() {
        let frames: [&[u8]; 4] = [b"a", b"bcdefghijk", &[7; 300], b"z"];
        let bytes = stream(&frames);
        for piece in 1..bytes.len() {
            let mut splitter = Splitter::new();
            let mut got = Vec::new();
            for chunk in bytes.chunks(piece) {
                let used = splitter.feed(chunk, 300, |frame| {
                    got.push(frame.to_vec());
                    ControlFlow::Continue(())
                });
                assert_eq!(used, Ok(chunk.len()));
            }
            assert_eq!(got, frames, "pieces of {piece}");
            assert_eq!(splitter.pending(), 0);
            assert_eq!(splitter.partial.capacity(), 0, "a resting splitter owns nothing");
        }
    }

    #[test]
    fn breaking_leaves_the_rest_to_another() {
        let bytes = stream(&[b"first", b"second"]);
        let mut splitter = Splitter::new();
        assert_eq!(splitter.feed(&bytes[..6], 9, |_| ControlFlow::Break(())), Ok(6));
        let used = splitter.feed(&bytes[6..], 9, |frame| {
            assert_eq!(frame, b"first");
            ControlFlow::Break(())
        });
        assert_eq!(used, Ok(3));
        assert_eq!(split(&bytes[9..], 9), Ok(Some(&b"second"[..])));
    }

    #[test]
    fn a_bad_length_is_known_at_the_fourth_byte() {
        let keep = |_: &[u8]| ControlFlow::Continue(());
        for (prefix, announced) in [([0, 0, 0, 0], 0), ([11, 0, 0, 0], 11), ([255; 4], u32::MAX)] {
            let error = Err(FrameError::Length { announced, max: 10 });
            assert_eq!(split(&prefix, 10).map(|_| 0), error);
            assert_eq!(split(&prefix[..3], 10), Ok(None));
            assert_eq!(Splitter::new().feed(&prefix, 10, keep), error);
            let mut splitter = Splitter::new();
            assert_eq!(splitter.feed(&prefix[..2], 10, keep), Ok(2));
            assert_eq!(splitter.feed(&prefix[2..], 10, keep), error);
        }
    }
}
