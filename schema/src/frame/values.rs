//! The fixed values of the wire (ids, sessions, devices, numbers of enums) to ours and back.
//!
//! Numbers that this code does not know become "unknown" where there is such a value, and an error where there is none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use flatbuffers::{ForwardsUOffset, Vector};

use super::{FrameError, IDS_MAX, Liveness};
use crate::chat::{self, ConversationId, MessageId, Role};
use crate::close::{Advice, CloseReason};
use crate::command::Edge;
use crate::device::{Browser, Device, Kind, Os};
use crate::generated::wire;
use crate::id::{Id, SessionAddr, SessionRef, ShardId};
use crate::presence::{LastSeen, SessionInfo, Status};
use crate::refusal::{Fault, Refusal};

/// Why a value of a verified frame is not acceptable; the frame's tag makes a [`FrameError`] of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bad {
    Value(&'static str),
    TooManyIds,
}

impl Bad {
    /// The error of the frame with this tag.
    pub(super) fn of_frame(self, tag: u64) -> FrameError {
        match self {
            Self::Value(what) => FrameError::Invalid { tag, what },
            Self::TooManyIds => FrameError::TooManyIds { tag },
        }
    }
}

const BAD_ID: Bad = Bad::Value("an id has 1 to 255 bytes of UTF-8 without control characters");

pub(super) fn id(text: Option<&str>) -> Result<Id, Bad> {
    Id::new(text.unwrap_or_default()).map_err(|_| BAD_ID)
}

/// Appends ids, each as one byte with its length and then its UTF-8.
pub(super) fn pack_ids<'a>(ids: impl Iterator<Item = &'a Id>, into: &mut Vec<u8>) {
    for id in ids {
        id.with_str(|text| {
            // An id has at most 255 bytes (`id::ID_MAX`).
            into.push(text.len() as u8);
            into.extend_from_slice(text.as_bytes());
        });
    }
}

/// A list of ids in either of its forms.
pub(super) fn ids<'a>(
    strings: Option<Vector<'a, ForwardsUOffset<&'a str>>>,
    packed: Option<Vector<'a, u8>>,
) -> Result<Vec<Id>, Bad> {
    match (strings.filter(|list| !list.is_empty()), packed) {
        (None, None) => Ok(Vec::new()),
        (None, Some(packed)) => unpack_ids(packed.bytes()),
        (Some(strings), None) if strings.len() > IDS_MAX => Err(Bad::TooManyIds),
        (Some(strings), None) => strings.iter().map(|text| id(Some(text))).collect(),
        (Some(_), Some(_)) => Err(Bad::Value("a list of ids comes as strings or packed, not both")),
    }
}

/// Reads what [`pack_ids`] wrote.
pub(super) fn unpack_ids(packed: &[u8]) -> Result<Vec<Id>, Bad> {
    let each = || {
        let mut rest = packed;
        std::iter::from_fn(move || {
            let (&length, tail) = rest.split_first()?;
            let Some((text, tail)) = tail.split_at_checked(usize::from(length)) else {
                rest = &[];
                return Some(Err(Bad::Value("packed ids end in the middle of one")));
            };
            rest = tail;
            Some(Ok(text))
        })
    };
    // Counted first: what is allocated is then exact, and bounded.
    let count = each().take(IDS_MAX + 1).count();
    if count > IDS_MAX {
        return Err(Bad::TooManyIds);
    }
    let mut ids = Vec::with_capacity(count);
    for text in each() {
        ids.push(id(Some(std::str::from_utf8(text?).map_err(|_| BAD_ID)?))?);
    }
    Ok(ids)
}

pub(super) fn session_to_wire(addr: SessionAddr) -> wire::SessionId {
    wire::SessionId::new(addr.incarnation, addr.session.slot, addr.session.generation, addr.shard.0)
}

pub(super) fn session(id: &wire::SessionId) -> SessionAddr {
    SessionAddr {
        incarnation: id.incarnation(),
        shard: ShardId(id.shard()),
        session: SessionRef { slot: id.slot(), generation: id.generation() },
    }
}

fn uuid_to_wire(bytes: [u8; 16]) -> wire::Uuid {
    let bits = u128::from_be_bytes(bytes);
    wire::Uuid::new((bits >> 64) as u64, bits as u64)
}

fn uuid(uuid: &wire::Uuid) -> [u8; 16] {
    (u128::from(uuid.high()) << 64 | u128::from(uuid.low())).to_be_bytes()
}

pub(super) fn conversation_to_wire(id: ConversationId) -> wire::Uuid {
    uuid_to_wire(id.to_uuid())
}

pub(super) fn conversation(id: Option<&wire::Uuid>) -> Result<ConversationId, Bad> {
    let id = id.ok_or(Bad::Value("the conversation's id is missing"))?;
    ConversationId::from_uuid(uuid(id)).map_err(|_| Bad::Value("this is no id of a conversation"))
}

pub(super) fn message_to_wire(id: MessageId) -> wire::Uuid {
    uuid_to_wire(id.to_uuid())
}

pub(super) fn message(id: Option<&wire::Uuid>) -> Result<MessageId, Bad> {
    let id = id.ok_or(Bad::Value("the message's id is missing"))?;
    MessageId::from_uuid(uuid(id)).map_err(|_| Bad::Value("this is no id of a message"))
}

pub(super) fn conversation_kind(number: u8) -> Result<chat::Kind, Bad> {
    chat::Kind::from_number(number).ok_or(Bad::Value("a kind of conversation that this code does not know"))
}

/// Who does not say is a plain member.
pub(super) fn role(number: u8) -> Result<Role, Bad> {
    if number == 0 {
        return Ok(Role::Member);
    }
    Role::from_number(number).ok_or(Bad::Value("a role that this code does not know"))
}

pub(super) fn device_to_wire(device: Device) -> wire::Device {
    wire::Device::new(device.browser as u8, device.os as u8, device.kind as u8)
}

pub(super) fn device(device: &wire::Device) -> Device {
    fn known<T: Copy + Default>(all: &[T], number: u8) -> T {
        all.get(usize::from(number)).copied().unwrap_or_default()
    }
    Device {
        browser: known(Browser::ALL, device.browser()),
        os: known(Os::ALL, device.os()),
        kind: known(Kind::ALL, device.kind()),
    }
}

fn address_to_wire(address: SocketAddr) -> wire::Address {
    match address.ip() {
        IpAddr::V4(ip) => wire::Address::new(0, u64::from(u32::from(ip)), address.port(), 4),
        IpAddr::V6(ip) => {
            let bits = u128::from(ip);
            wire::Address::new((bits >> 64) as u64, bits as u64, address.port(), 6)
        }
    }
}

fn address(address: &wire::Address) -> Option<SocketAddr> {
    let ip = match address.family() {
        4 => IpAddr::V4(Ipv4Addr::from(u32::try_from(address.low()).ok()?)),
        6 => IpAddr::V6(Ipv6Addr::from(u128::from(address.high()) << 64 | u128::from(address.low()))),
        _ => return None,
    };
    Some(SocketAddr::new(ip, address.port()))
}

pub(super) fn row_to_wire(info: &SessionInfo) -> wire::SessionRow {
    wire::SessionRow::new(
        &session_to_wire(info.session),
        &address_to_wire(info.peer),
        info.since,
        &device_to_wire(info.device),
        info.edge as u8,
    )
}

pub(super) fn row(row: &wire::SessionRow) -> Result<SessionInfo, Bad> {
    let edge = Edge::ALL.into_iter().find(|edge| *edge as u8 == row.edge());
    Ok(SessionInfo {
        session: session(row.session()),
        peer: address(row.peer()).ok_or(Bad::Value("an address is of family 4 or 6"))?,
        device: device(row.device()),
        edge: edge.ok_or(Bad::Value("a session of an API that this code does not know"))?,
        since: row.since(),
    })
}

pub(super) fn status_to_wire(status: Status) -> wire::Status {
    match status {
        Status::Offline => wire::Status::Offline,
        Status::Online => wire::Status::Online,
        Status::Away => wire::Status::Away,
        Status::Unknown => wire::Status::Unknown,
    }
}

pub(super) fn status(status: wire::Status) -> Status {
    match status {
        wire::Status::Offline => Status::Offline,
        wire::Status::Online => Status::Online,
        wire::Status::Away => Status::Away,
        _ => Status::Unknown,
    }
}

/// On the wire "never" is 0 and "unknown" the largest number; a time is never either.
pub(super) fn last_seen_to_wire(seen: LastSeen) -> u64 {
    match seen {
        LastSeen::Never => 0,
        LastSeen::At(ms) => ms.clamp(1, u64::MAX - 1),
        LastSeen::Unknown => u64::MAX,
    }
}

pub(super) fn last_seen(ms: u64) -> LastSeen {
    match ms {
        0 => LastSeen::Never,
        u64::MAX => LastSeen::Unknown,
        ms => LastSeen::At(ms),
    }
}

pub(super) fn liveness_to_wire(liveness: Liveness) -> wire::Liveness {
    match liveness {
        Liveness::Heartbeat => wire::Liveness::Heartbeat,
        Liveness::TcpKeepAlive => wire::Liveness::TcpKeepAlive,
    }
}

/// A way that is not known here is answered with heartbeats, and the Welcome says so.
pub(super) fn liveness(liveness: wire::Liveness) -> Liveness {
    match liveness {
        wire::Liveness::TcpKeepAlive => Liveness::TcpKeepAlive,
        _ => Liveness::Heartbeat,
    }
}

pub(super) fn refusal(code: u16) -> Option<Refusal> {
    Refusal::ALL.iter().copied().find(|refusal| *refusal as u16 == code)
}

pub(super) fn fault_to_wire(fault: Fault) -> wire::Fault {
    match fault {
        Fault::Caller => wire::Fault::Caller,
        Fault::Server => wire::Fault::Server,
    }
}

pub(super) fn fault(fault: wire::Fault) -> Fault {
    match fault {
        wire::Fault::Server => Fault::Server,
        _ => Fault::Caller,
    }
}

pub(super) fn close_to_wire(reason: Option<CloseReason>) -> wire::CloseCode {
    wire::CloseCode(reason.map_or(0, |reason| reason as u8))
}

pub(super) fn close(code: wire::CloseCode) -> Option<CloseReason> {
    CloseReason::ALL.iter().copied().find(|reason| *reason as u8 == code.0)
}

pub(super) fn advice_to_wire(advice: Advice) -> wire::Advice {
    match advice {
        Advice::Stay => wire::Advice::Stay,
        Advice::Reconnect => wire::Advice::Reconnect,
        Advice::ReconnectLater => wire::Advice::ReconnectLater,
        Advice::Reauthenticate => wire::Advice::Reauthenticate,
    }
}

/// Advice that is not known here is taken as the mildest one that comes back.
pub(super) fn advice(advice: wire::Advice) -> Advice {
    match advice {
        wire::Advice::Stay => Advice::Stay,
        wire::Advice::Reconnect => Advice::Reconnect,
        wire::Advice::Reauthenticate => Advice::Reauthenticate,
        _ => Advice::ReconnectLater,
    }
}

/// The wire's way to say "no time".
const NO_TIME: u32 = u32::MAX;

pub(super) fn retry_to_wire(ms: Option<u32>) -> u32 {
    ms.map_or(NO_TIME, |ms| ms.min(NO_TIME - 1))
}

pub(super) fn retry(ms: u32) -> Option<u32> {
    (ms != NO_TIME).then_some(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are written in two places, since the schema is the specification and the words are Rust.
    #[test]
    fn the_schema_and_the_words_have_the_same_numbers() {
        fn check<T: std::fmt::Debug>(
            schema: Vec<(u16, Option<&'static str>)>,
            words: &[T],
            number: fn(&T) -> u16,
        ) {
            let words: Vec<_> = words.iter().map(|word| (number(word), format!("{word:?}"))).collect();
            let schema: Vec<_> = schema
                .into_iter()
                .map(|(number, name)| (number, name.unwrap_or_default().to_owned()))
                .collect();
            assert_eq!(schema, words);
        }
        let codes = wire::RefusalCode::ENUM_VALUES.iter().skip(1);
        check(codes.map(|it| (it.0, it.variant_name())).collect(), Refusal::ALL, |it| *it as u16);
        let codes = wire::CloseCode::ENUM_VALUES.iter().skip(1);
        check(codes.map(|it| (it.0.into(), it.variant_name())).collect(), CloseReason::ALL, |it| *it as u16);
        let codes = wire::ConversationKind::ENUM_VALUES.iter().skip(1);
        check(codes.map(|it| (it.0.into(), it.variant_name())).collect(), &chat::Kind::ALL, |it| *it as u16);
        let codes = wire::Role::ENUM_VALUES.iter().skip(1);
        check(codes.map(|it| (it.0.into(), it.variant_name())).collect(), &Role::ALL, |it| *it as u16);
        let codes = wire::Status::ENUM_VALUES.iter();
        let all = [Status::Offline, Status::Online, Status::Away, Status::Unknown];
        check(codes.map(|it| (it.0.into(), it.variant_name())).collect(), &all, |it| {
            status_to_wire(*it).0.into()
        });
    }

    /// What the protocol's documentation says of them: clients make ids, and take them apart.
    #[test]
    fn ids_of_conversations_are_laid_out_as_documented() {
        let made = 0x0123_4567_89ab_8cde_bfff_f000_0000_0000_u128;
        let id = wire::Uuid::new((made >> 64) as u64, made as u64);
        let id = conversation(Some(&id)).unwrap();
        let at = message_to_wire(MessageId { conversation: id, at: 0x1a0_c5b2_e07b });
        let whole = conversation_to_wire(id);
        assert_eq!((at.high(), at.low() & !((1 << 44) - 1)), (whole.high(), whole.low()));
        assert_eq!(at.low() & ((1 << 43) - 1), 0x1a0_c5b2_e07b);
        assert_eq!((whole.high(), whole.low()), (0x0123_4567_89ab_8cde, 0xbfff_f000_0000_0000));
    }

    #[test]
    fn addresses_read_back() {
        for text in ["1.2.3.4:5", "[::1]:65535", "[2001:db8::ff00:42:8329]:0", "[::ffff:1.2.3.4]:80"] {
            let socket: SocketAddr = text.parse().unwrap();
            assert_eq!(address(&address_to_wire(socket)), Some(socket));
        }
        assert_eq!(address(&wire::Address::new(0, 1 << 32, 1, 4)), None);
        assert_eq!(address(&wire::Address::new(0, 1, 1, 5)), None);
    }

    #[test]
    fn what_is_unknown_is_said_to_be() {
        assert_eq!(device(&wire::Device::new(200, 3, 200)), Device { os: Os::Linux, ..Device::default() });
        assert_eq!(status(wire::Status(9)), Status::Unknown);
        assert_eq!(advice(wire::Advice(9)), Advice::ReconnectLater);
        assert_eq!((refusal(0), refusal(999)), (None, None));
        assert_eq!((close(wire::CloseCode(0)), close(wire::CloseCode(99))), (None, None));
        for seen in [LastSeen::Never, LastSeen::Unknown, LastSeen::At(1)] {
            assert_eq!(last_seen(last_seen_to_wire(seen)), seen);
        }
    }

    #[test]
    fn packed_ids_are_bounded() {
        let mut packed = Vec::new();
        let one = Id::new("a").unwrap();
        pack_ids(std::iter::repeat_n(&one, IDS_MAX), &mut packed);
        assert_eq!(unpack_ids(&packed).map(|ids| ids.len()), Ok(IDS_MAX));
        pack_ids(std::iter::once(&one), &mut packed);
        assert_eq!(unpack_ids(&packed), Err(Bad::TooManyIds));
        assert_eq!(unpack_ids(&[0]), Err(BAD_ID));
        assert_eq!(unpack_ids(&[1, 0xff]), Err(BAD_ID));
        assert_eq!(unpack_ids(&[2, b'a']), Err(Bad::Value("packed ids end in the middle of one")));
        let longest = Id::new(&"x".repeat(255)).unwrap();
        packed.clear();
        pack_ids(std::iter::once(&longest), &mut packed);
        assert_eq!(unpack_ids(&packed), Ok(vec![longest]));
    }
}
