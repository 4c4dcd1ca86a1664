//! Bodies of long-polling and frames of its WebSockets: whatever comes is packets or an error, and packets that were
//! read are read again from what is written of them.

#![no_main]

use gateway::engineio::payload::{Payload, PayloadWriter};
use gateway::engineio::{Packet, Version};
use libfuzzer_sys::fuzz_target;

// The first byte says which form the rest is of.
fuzz_target!(|input: &[u8]| {
    let Some((form, body)) = input.split_first() else { return };
    let _ = Packet::from_binary(Version::V3, body);
    let (version, payload) = match (form % 3, std::str::from_utf8(body)) {
        (0, Ok(text)) => (Version::V4, Payload::text(Version::V4, text)),
        (1, Ok(text)) => (Version::V3, Payload::text(Version::V3, text)),
        _ => (Version::V3, Payload::binary(body)),
    };
    let mut reader = payload.clone();
    while let Some(packet) = reader.next() {
        if packet.is_err() {
            assert!(reader.next().is_none());
        }
    }
    let Ok(packets) = payload.collect::<Result<Vec<_>, _>>() else { return };
    // A text packet of version 3 may hold what only version 4 cannot: the separator. Both of version 3 are tried.
    for binary in [false, true] {
        let mut writer = PayloadWriter::new(version, binary);
        packets.iter().for_each(|packet| writer.push(packet));
        let (body, octets) = writer.finish();
        let again = match octets {
            true => Payload::binary(&body),
            false => Payload::text(version, std::str::from_utf8(&body).expect("text is UTF-8")),
        };
        let again: Vec<_> = again.collect::<Result<_, _>>().unwrap_or_default();
        assert!(again == packets || packets.is_empty());
    }
});
