//! Frames of servers, as a client must take them from a server it does not trust: no bytes make the decoder panic, and
//! a frame that is understood survives being encoded again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use schema::frame::{Encoder, PREFIX, decode_server};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = decode_server(bytes) {
        let mut again = Vec::new();
        Encoder::new().server(&frame, &mut again);
        assert_eq!(decode_server(&again[PREFIX..]).as_ref(), Ok(&frame));
    }
});
