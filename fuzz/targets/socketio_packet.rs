//! Socket.IO packets: any text is a packet or an error; arguments are walked, replaced and written again without
//! losing a byte of them.

#![no_main]

use gateway::engineio::Version;
use gateway::socketio::packet::{Kind, Packet, write_head, write_string};
use gateway::socketio::{Arguments, Attachment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for version in [Version::V3, Version::V4] {
        let Ok(packet) = Packet::decode(version, text, 10) else { continue };
        assert!(packet.namespace.starts_with('/') && packet.attachments <= 10);
        let elements = match packet.kind {
            Kind::Event | Kind::BinaryEvent => packet.event().expect("it was decoded").1,
            _ => packet.ack(),
        };
        if !matches!(packet.kind, Kind::Event | Kind::BinaryEvent | Kind::Ack | Kind::BinaryAck) {
            continue;
        }
        let values: Vec<serde_json::Value> =
            serde_json::from_str(&format!("[{elements}]")).unwrap_or_default();
        let attachments: Vec<Attachment> = (0..packet.attachments).map(|number| [number].into()).collect();
        let arguments = Arguments::with_attachments(elements, &attachments);
        if !values.is_empty() {
            assert_eq!(arguments.iter().count(), values.len());
        }
        if let Ok(replaced) = arguments.replaced(|_, out| out.push_str("null")) {
            assert!(
                values.is_empty()
                    || serde_json::from_str::<serde_json::Value>(&format!("[{replaced}]")).is_ok()
            );
        }
        let mut written = String::new();
        let count = usize::from(packet.attachments);
        write_head(&mut written, packet.kind, count, packet.namespace, packet.id);
        written.push('[');
        if let Ok((name, _)) = packet.event()
            && matches!(packet.kind, Kind::Event | Kind::BinaryEvent)
        {
            write_string(&mut written, &name);
            written.push_str(if elements.is_empty() { "" } else { "," });
        }
        written.push_str(elements);
        written.push(']');
        let again = Packet::decode(version, &written[1..], 10).expect("it was written");
        let read = (again.kind, again.attachments, again.namespace, again.id);
        assert_eq!(read, (packet.kind, packet.attachments, packet.namespace, packet.id));
    }
});
