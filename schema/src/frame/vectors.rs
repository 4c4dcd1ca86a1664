//! The golden vectors in `schema/vectors/`: bytes that every client and every version must read and write alike.
//!
//! A difference fails the test. When it is meant (a new frame), the command in [`REGENERATE`] writes the files anew;
//! a vector that changes without a new protocol version breaks the clients that are out there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use flatbuffers::FlatBufferBuilder;

use super::*;
use crate::generated::wire;

const REGENERATE: &str = "MUSTER_WRITE_VECTORS=1 cargo test -p muster-schema vectors";

/// What reading a vector gives.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Read {
    Client(Result<ClientFrame, FrameError>),
    Server(Result<ServerFrame, FrameError>),
    /// The stream is cut into frames before anything is read of them.
    Stream(Result<(), FrameError>),
}

pub(super) struct Golden {
    pub(super) name: String,
    pub(super) meaning: String,
    pub(super) bytes: Vec<u8>,
    pub(super) read: Read,
    /// Ours is the only way to write it; else another library's way, which means the same.
    pub(super) ours: bool,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn golden() -> Vec<Golden> {
    let mut all = Vec::new();
    for (name, meaning, frame) in samples::client() {
        let mut bytes = Vec::new();
        Encoder::new().client(&frame, &mut bytes);
        let (name, meaning, read) = (format!("client-{name}"), meaning.to_owned(), Read::Client(Ok(frame)));
        all.push(Golden { name, meaning, bytes, read, ours: true });
    }
    for (name, meaning, frame) in samples::server() {
        let mut bytes = Vec::new();
        Encoder::new().server(&frame, &mut bytes);
        let (name, meaning, read) = (format!("server-{name}"), meaning.to_owned(), Read::Server(Ok(frame)));
        all.push(Golden { name, meaning, bytes, read, ours: true });
    }
    all.extend(foreign());
    all.extend(bad());
    all
}

pub(super) type Union = flatbuffers::WIPOffset<flatbuffers::UnionWIPOffset>;

/// Builds a frame that the encoder would not write.
pub(super) fn build(
    tag: u64,
    body_type: wire::Body,
    size_prefixed: bool,
    body: impl FnOnce(&mut FlatBufferBuilder<'static>) -> Union,
) -> Vec<u8> {
    let mut fbb = FlatBufferBuilder::new();
    let body = Some(body(&mut fbb));
    let frame = wire::Frame::create(&mut fbb, &wire::FrameArgs { tag, body_type, body, acting: None });
    if size_prefixed {
        wire::finish_size_prefixed_frame_buffer(&mut fbb, frame);
        return fbb.finished_data().to_vec();
    }
    wire::finish_frame_buffer(&mut fbb, frame);
    with_length(fbb.finished_data())
}

pub(super) fn with_length(frame: &[u8]) -> Vec<u8> {
    let mut bytes = (frame.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(frame);
    bytes
}

fn query_of_strings(fbb: &mut FlatBufferBuilder<'static>, ids: &[&str], packed: Option<&[u8]>) -> Union {
    let ids: Vec<_> = ids.iter().map(|id| fbb.create_string(id)).collect();
    let users = Some(fbb.create_vector(&ids));
    let packed = packed.map(|packed| fbb.create_vector(packed));
    wire::Query::create(fbb, &wire::QueryArgs { users, packed }).as_union_value()
}

/// Frames as other libraries may write them.
fn foreign() -> Vec<Golden> {
    let users = vec![Id::new("user-1").unwrap(), Id::new("zoë").unwrap()];
    let query = Read::Client(Ok(ClientFrame::Command { tag: 7, command: Command::Query { users } }));
    let strings = build(7, wire::Body::Query, false, |fbb| query_of_strings(fbb, &["user-1", "zoë"], None));
    let prefixed = build(7, wire::Body::Count, true, |fbb| {
        wire::Count::create(fbb, &wire::CountArgs {}).as_union_value()
    });
    let count = Read::Client(Ok(ClientFrame::Command { tag: 7, command: Command::Count }));
    let golden = |name: &str, meaning: &str, bytes, read| Golden {
        name: format!("client-{name}"),
        meaning: meaning.to_owned(),
        bytes,
        read,
        ours: false,
    };
    vec![
        golden("query-strings", "how are these two? ids as a vector of strings", strings, query),
        golden("count-size-prefixed", "aligned to the length instead of what follows it", prefixed, count),
        chat_vectors::foreign(),
    ]
}

/// What is refused, and what closes.
fn bad() -> Vec<Golden> {
    let mut all = bad_frames();
    all.extend(chat_vectors::bad());
    all
}

fn bad_frames() -> Vec<Golden> {
    let mut count = Vec::new();
    Encoder::new().client(&ClientFrame::Command { tag: 7, command: Command::Count }, &mut count);
    let frame = &count[PREFIX..];
    let client = |name: &str, meaning: &str, bytes: Vec<u8>, error| Golden {
        name: format!("bad-{name}"),
        meaning: meaning.to_owned(),
        bytes,
        read: Read::Client(Err(error)),
        ours: false,
    };
    let stream = |name: &str, meaning: &str, bytes: Vec<u8>, read| Golden {
        name: format!("bad-{name}"),
        meaning: meaning.to_owned(),
        bytes,
        read: Read::Stream(read),
        ours: false,
    };
    let empty =
        |fbb: &mut FlatBufferBuilder<'static>| wire::Count::create(fbb, &wire::CountArgs {}).as_union_value();
    let connect = |version| {
        build(0, wire::Body::Connect, false, |fbb| {
            let token = Some(fbb.create_string("header.claims.signature"));
            let args = wire::ConnectArgs { version, token, ..Default::default() };
            wire::Connect::create(fbb, &args).as_union_value()
        })
    };
    let nobody = build(7, wire::Body::Sessions, false, |fbb| {
        wire::Sessions::create(fbb, &wire::SessionsArgs { user: None }).as_union_value()
    });
    let control = build(7, wire::Body::Subscribe, false, |fbb| {
        let channel = Some(fbb.create_string("a\nb"));
        wire::Subscribe::create(fbb, &wire::SubscribeArgs { channel }).as_union_value()
    });
    let torn = build(7, wire::Body::Query, false, |fbb| {
        let packed = Some(fbb.create_vector(b"\x06user-1\x06user"));
        wire::Query::create(fbb, &wire::QueryArgs { users: None, packed }).as_union_value()
    });
    let both = build(7, wire::Body::Query, false, |fbb| query_of_strings(fbb, &["a"], Some(b"\x01b")));
    let mut identifier = frame.to_vec();
    identifier[4..8].copy_from_slice(b"JUNK");
    let mut root = frame.to_vec();
    root[0] = 0xf0;
    let id_text = "an id has 1 to 255 bytes of UTF-8 without control characters";
    let out = FrameError::Malformed("an offset leads out of the frame");
    vec![
        stream("cut-short", "half a frame: wait for the rest", count[..count.len() / 2].to_vec(), Ok(())),
        stream(
            "length-zero",
            "a length of 0: close",
            vec![0; 4],
            Err(FrameError::Length { announced: 0, max: FRAME_MAX }),
        ),
        stream(
            "length-too-large",
            "a length of 64 KiB and one byte: close before it is read",
            65_537u32.to_le_bytes().to_vec(),
            Err(FrameError::Length { announced: 65_537, max: FRAME_MAX }),
        ),
        client(
            "truncated",
            "the last 8 bytes are missing: close",
            with_length(&frame[..frame.len() - 8]),
            out,
        ),
        client("root-outside", "the root lies outside of the frame: close", with_length(&root), out),
        client(
            "identifier",
            "not our file identifier: close",
            with_length(&identifier),
            FrameError::Malformed("the file identifier is not MSTR"),
        ),
        client(
            "version-newer",
            "a Connect of version 9: close, advice to stay, and the versions spoken",
            connect(9),
            FrameError::Version { asked: 9 },
        ),
        client(
            "version-none",
            "a Connect without a version: the same",
            connect(0),
            FrameError::Version { asked: 0 },
        ),
        client(
            "unknown-body",
            "body 77 of a later version: refused (UNSUPPORTED), with the tag",
            build(7, wire::Body(77), false, empty),
            FrameError::Unknown { tag: 7, body: 77 },
        ),
        client(
            "wrong-direction",
            "a server's frame from a client: refused (UNSUPPORTED), with the tag",
            build(7, wire::Body::Done, false, empty),
            FrameError::Unknown { tag: 7, body: 130 },
        ),
        client(
            "id-missing",
            "Sessions without a user: refused (INVALID), with the tag",
            nobody,
            FrameError::Invalid { tag: 7, what: id_text },
        ),
        client(
            "id-control",
            "an id with a line feed: refused (INVALID), with the tag",
            control,
            FrameError::Invalid { tag: 7, what: id_text },
        ),
        client(
            "ids-torn",
            "packed ids that end in the middle of one: refused (INVALID), with the tag",
            torn,
            FrameError::Invalid { tag: 7, what: "packed ids end in the middle of one" },
        ),
        client(
            "ids-twice",
            "ids as strings and packed: refused (INVALID), with the tag",
            both,
            FrameError::Invalid { tag: 7, what: "a list of ids comes as strings or packed, not both" },
        ),
    ]
}

fn read(bytes: &[u8], like: &Read) -> Read {
    let whole = || {
        let frame = split(bytes, SERVER_FRAME_MAX).unwrap().expect("the vector is a whole frame");
        assert_eq!(PREFIX + frame.len(), bytes.len(), "the vector is one frame");
        frame
    };
    match like {
        Read::Client(_) => Read::Client(decode_client(whole())),
        Read::Server(_) => Read::Server(decode_server(whole())),
        Read::Stream(_) => Read::Stream(split(bytes, FRAME_MAX).map(|frame| assert_eq!(frame, None))),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.trim().as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The list for programs: name, meaning, what a server (or client) does with it, bytes.
fn index(all: &[Golden]) -> String {
    let mut lines = Vec::new();
    for golden in all {
        let (from, outcome) = match &golden.read {
            Read::Client(Ok(_)) => ("client", "accept"),
            Read::Server(_) => ("server", "accept"),
            Read::Stream(Ok(())) => ("client", "wait"),
            Read::Client(Err(error)) if error.closes().is_none() => ("client", "refuse"),
            Read::Client(Err(_)) | Read::Stream(Err(_)) => ("client", "close"),
        };
        let Golden { name, meaning, bytes, ours, .. } = golden;
        let meaning = meaning.replace('"', "\\\"");
        lines.push(format!(
            "  {{ \"name\": \"{name}\", \"from\": \"{from}\", \"outcome\": \"{outcome}\", \"canonical\": {ours},\n    \
             \"meaning\": \"{meaning}\",\n    \"hex\": \"{}\" }}",
            hex(bytes)
        ));
    }
    format!("[\n{}\n]\n", lines.join(",\n"))
}

#[test]
fn vectors_are_written_and_read_as_ever() {
    let all = golden();
    if std::env::var_os("MUSTER_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        for golden in &all {
            std::fs::write(folder().join(format!("{}.hex", golden.name)), hex(&golden.bytes) + "\n").unwrap();
        }
        std::fs::write(folder().join("index.json"), index(&all)).unwrap();
    }
    for golden in &all {
        let name = &golden.name;
        let path = folder().join(format!("{name}.hex"));
        let Ok(committed) = std::fs::read_to_string(&path) else {
            panic!("schema/vectors/{name}.hex is missing; if it is new on purpose: {REGENERATE}")
        };
        let committed = unhex(&committed);
        assert_eq!(
            hex(&golden.bytes),
            hex(&committed),
            "{name} is written differently; on purpose? {REGENERATE}"
        );
        assert_eq!(read(&committed, &golden.read), golden.read, "{name} is read differently");
    }
    let committed = std::fs::read_to_string(folder().join("index.json")).unwrap_or_default();
    assert!(committed == index(&all), "schema/vectors/index.json is stale: {REGENERATE}");
    let files = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    for file in files.filter(|file| file.ends_with(".hex")) {
        let known = all.iter().any(|golden| file == format!("{}.hex", golden.name));
        assert!(known, "schema/vectors/{file} belongs to no vector; remove it");
    }
}

/// Whoever adds a word must add its vector.
#[test]
fn every_body_has_a_vector() {
    let all = golden();
    let seen = |from: &str, body: u8| {
        all.iter().filter(|golden| golden.name.starts_with(from)).any(|golden| {
            let frame = wire::root_as_frame(&golden.bytes[PREFIX..]);
            frame.is_ok_and(|frame| frame.body_type().0 == body)
        })
    };
    for body in wire::Body::ENUM_VALUES.iter().filter(|body| **body != wire::Body::NONE) {
        let from = if body.0 < 128 { "client-" } else { "server-" };
        assert!(seen(from, body.0), "no vector for {body:?}");
    }
}

#[test]
fn bad_frames_are_answered() {
    for golden in bad() {
        let (Read::Client(Err(error)) | Read::Stream(Err(error))) = golden.read else { continue };
        match error.answer() {
            ServerFrame::Refused(refused) => {
                assert_eq!((refused.tag, error.closes()), (7, None));
                assert_eq!(refused.refusal(), error.refusal());
            }
            ServerFrame::Closing(closing) => assert_eq!(closing.reason, error.closes()),
            other => panic!("{} is answered with {other:?}", golden.name),
        }
    }
}
