//! `vectors.json`, which the reference's parsers wrote (`vectors.mjs`): what they read and write, so do we, with the
//! differences that are listed here.

use serde_json::Value;

use super::*;
use crate::engineio::packet::Packet as EnginePacket;
use crate::engineio::payload::{Payload, PayloadWriter};
use crate::engineio::{Data, Kind as EngineKind};
use crate::socketio::packet::{Kind, Packet, write_head};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors.json")).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap().as_bytes();
    hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A packet in the form of the vectors.
fn engine_packet(value: &Value) -> EnginePacket<'_> {
    let kind = match value["type"].as_str().unwrap() {
        "open" => EngineKind::Open,
        "close" => EngineKind::Close,
        "ping" => EngineKind::Ping,
        "pong" => EngineKind::Pong,
        "message" => EngineKind::Message,
        "upgrade" => EngineKind::Upgrade,
        "noop" => EngineKind::Noop,
        other => panic!("{other}"),
    };
    match value["text"].as_str() {
        Some(text) => EnginePacket::text(kind, text),
        None => EnginePacket { kind, data: Data::Binary(bytes(&value["binary"]).into()) },
    }
}

#[test]
fn engine_payloads_are_written_alike() {
    let vectors = vectors();
    for (key, version) in [("encode4", Version::V4), ("encode3", Version::V3)] {
        for vector in list(&vectors["engine"], key) {
            let packets: Vec<_> = list(vector, "packets").iter().map(engine_packet).collect();
            // The reference chooses the binary form only when there are bytes.
            let has_bytes = packets.iter().any(|packet| matches!(packet.data, Data::Binary(_)));
            let mut writer = PayloadWriter::new(version, has_bytes && vector["binary"] == true);
            packets.iter().for_each(|packet| writer.push(packet));
            assert_eq!(writer.finish().0, bytes(&vector["body"]), "{vector}");
        }
    }
}

#[test]
fn engine_payloads_are_read_alike() {
    let vectors = vectors();
    for (key, version) in [("decode4", Version::V4), ("decode3", Version::V3)] {
        for vector in list(&vectors["engine"], key) {
            let body = bytes(&vector["body"]);
            let payload = match vector["octets"] == true {
                true => Payload::binary(&body),
                false => Payload::text(version, std::str::from_utf8(&body).unwrap()),
            };
            let read: Option<Vec<_>> = payload.map(Result::ok).collect();
            let expected = vector["packets"].as_array();
            let expected: Option<Vec<_>> =
                expected.map(|packets| packets.iter().map(engine_packet).collect());
            // Where the reference reads `b` as a type of v3 it makes up a packet of no type.
            assert_eq!(read, expected, "{vector}");
        }
    }
}

/// Packets that we refuse and a parser takes, with the reason.
fn is_stricter(parser: &str, text: &str) -> bool {
    let both = [
        // An event without a name or an ack without an array has nothing to call.
        "2", "2/a", "3", "31",
    ];
    let old = [
        // Nothing is a packet there: the reference takes its first character for the number 0.
        "",
        // CVE-2026-69185 and CVE-2026-33151, and the reserved names; the current parser refuses them for old
        // clients, too.
        "5-[\"a\"]",
        "50-[\"a\"]",
        "511-[\"a\"]",
        "51.5-[\"a\"]",
        "6-12[]",
        "60-12[]",
        "2[\"connect\"]",
        "2[\"disconnect\"]",
        "2[\"newListener\",1]",
        // Only servers send it, and an array is no error.
        "4[]",
        "40[\"a\"]",
        "4null",
    ];
    both.contains(&text) || (old.contains(&text) && (parser != "sio4" || text.is_empty()))
}

#[test]
fn socket_packets_are_read_alike() {
    let vectors = vectors();
    for (parser, version) in [("sio4", Version::V4), ("sio34", Version::V3), ("sio33", Version::V3)] {
        for vector in list(&vectors["socket"][parser], "decode") {
            let text = vector["text"].as_str().unwrap();
            let read = Packet::decode(version, text, 10);
            let expected = &vector["packet"];
            if expected.is_null() || is_stricter(parser, text) {
                assert!(read.is_err(), "{parser} {text}: {read:?}");
                continue;
            }
            let read = read.unwrap_or_else(|invalid| panic!("{parser} {text}: {invalid:?}"));
            // The query of version 4 is stripped later in the reference.
            let namespace = match read.query {
                Some(query) => format!("{}?{query}", read.namespace),
                None => read.namespace.to_owned(),
            };
            assert_eq!(expected["nsp"], namespace, "{parser} {text}");
            assert_eq!(expected["id"].as_u64(), read.id, "{parser} {text}");
            assert_eq!(expected["attachments"], read.attachments, "{parser} {text}");
            let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            let numbers = |value: Value| value.to_string().replace("1000.0", "1000");
            assert_eq!(
                expected["data"].as_str().map(parsed).map(numbers),
                read.data.map(parsed).map(numbers),
                "{parser} {text}"
            );
        }
    }
}

#[test]
fn socket_packets_are_written_alike() {
    let vectors = vectors();
    for parser in ["sio4", "sio34", "sio33"] {
        for vector in list(&vectors["socket"][parser], "encode") {
            let kind = match vector["type"].as_u64() {
                Some(1) => Kind::Disconnect,
                Some(2) => Kind::Event,
                Some(3) => Kind::Ack,
                Some(5) => Kind::BinaryEvent,
                Some(6) => Kind::BinaryAck,
                other => panic!("{other:?}"),
            };
            let text = vector["text"].as_str().unwrap();
            let (attachments, data) = match (kind, vector["data"].as_str()) {
                (Kind::BinaryEvent, _) => (2, &text[text.find('[').unwrap()..]),
                (Kind::BinaryAck, _) => (1, &text[text.find('[').unwrap()..]),
                (_, data) => (0, data.unwrap_or_default()),
            };
            let mut written = String::new();
            write_head(
                &mut written,
                kind,
                attachments,
                vector["nsp"].as_str().unwrap(),
                vector["id"].as_u64(),
            );
            written.push_str(data);
            assert_eq!(&written[1..], text, "{parser}");
            if attachments > 0 {
                let inside = &data[1..data.len() - 1];
                let found = crate::socketio::json::placeholders(inside, attachments).unwrap();
                assert_eq!(
                    found.iter().map(|it| it.number).collect::<Vec<_>>(),
                    (0..attachments).collect::<Vec<_>>()
                );
            }
        }
    }
}
