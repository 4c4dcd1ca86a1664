//! Frames of clients: no bytes make the decoder panic, a frame that is understood survives being encoded again, and
//! the splitter cuts the same frames whatever the pieces.

#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use schema::frame::{Encoder, PREFIX, Splitter, decode_client};

/// So short that refusals of the length are met, too.
const FRAME_MAX: usize = 4_096;

fuzz_target!(|bytes: &[u8]| {
    match decode_client(bytes) {
        Ok(frame) => {
            let mut again = Vec::new();
            Encoder::new().client(&frame, &mut again);
            assert_eq!(decode_client(&again[PREFIX..]).as_ref(), Ok(&frame));
        }
        // Whatever is wrong with it, there is something to say.
        Err(error) => Encoder::new().server(&error.answer(), &mut Vec::new()),
    }
    assert_eq!(cut(bytes, bytes.len().max(1)), cut(bytes, 1 + bytes.len() % 7));
});

/// The frames of a stream that comes in pieces, and whether it made sense to its end.
fn cut(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let mut splitter = Splitter::new();
    let mut frames = Vec::new();
    let good = bytes.chunks(piece).all(|chunk| {
        let each = |frame: &[u8]| {
            frames.push(frame.to_vec());
            ControlFlow::Continue(())
        };
        let used = splitter.feed(chunk, FRAME_MAX, each);
        assert!(splitter.pending() < PREFIX + FRAME_MAX, "no more is kept than a frame");
        used.is_ok()
    });
    (frames, good)
}
