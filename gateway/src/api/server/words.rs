//! The bodies of the server API.

use schema::presence::{OnlineUser, SessionInfo};
use schema::{LastSeen, Status, UserPresence};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::carry::erase::Erased;
use crate::erasing::Report;
use crate::timestamp::Millis;

/// Whose presence is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerQuery)]
pub struct QueryBody {
    /// 1 to 10,000 ids.
    #[schema(min_items = 1, max_items = 10_000, example = json!(["alice", "bob"]))]
    pub user_ids: Vec<String>,
}

/// The presence of users.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerPresenceList)]
pub struct PresenceList {
    /// In the order asked.
    pub users: Vec<PresenceRow>,
}

/// The presence of a user.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerPresence)]
pub struct PresenceRow {
    /// Who, as asked.
    #[schema(example = "alice")]
    user_id: String,
    /// `online`, `away`, `offline`; `unknown` when it could not be found out in time.
    #[schema(example = "online")]
    status: &'static str,
    /// Null when the status is unknown.
    online: Option<bool>,
    /// The latest activity; null for a user never seen, or when it is not known.
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    last_seen: Option<String>,
    /// Only there, and true, when `lastSeen` is null because it could not be read in time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    last_seen_unknown: bool,
}

/// How many users are online.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerCount)]
pub struct Count {
    /// Distinct users.
    #[schema(example = 42)]
    pub count: u64,
}

/// Who is online.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerOnlineList)]
pub struct OnlineList {
    /// The latest activity first.
    pub users: Vec<OnlineEntry>,
}

/// A user who is online.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerOnlineUser)]
pub struct OnlineEntry {
    /// Who.
    #[schema(example = "alice")]
    user_id: String,
    /// `online` or `away`.
    #[schema(example = "online")]
    status: &'static str,
    /// The latest activity.
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    last_seen: String,
    device: Device,
}

/// What a session runs on.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerDevice)]
pub struct Device {
    /// Chrome, Firefox, Safari, Edge, Opera or Unknown.
    #[schema(example = "Firefox")]
    browser: &'static str,
    /// Windows, macOS, Linux, Android, iOS or Unknown.
    #[schema(example = "Linux")]
    os: &'static str,
    /// desktop, mobile, tablet, service or Unknown.
    #[schema(example = "desktop")]
    r#type: &'static str,
}

/// What was removed of a user, so far.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerErased)]
pub struct ErasedBody {
    /// Whether all of it is done.
    done: bool,
    /// Conversations in which something was removed.
    #[schema(example = 12)]
    conversations: u64,
    /// Those of them that are gone, since nobody else was in them.
    #[schema(example = 1)]
    gone: u64,
    /// Memberships, former ones too.
    #[schema(example = 13)]
    memberships: u64,
    /// Messages.
    #[schema(example = 420)]
    messages: u64,
    /// Files.
    #[schema(example = 3)]
    files: u64,
    /// Whether it was known when they were last seen.
    last_seen: bool,
}

impl From<Report> for ErasedBody {
    fn from(Report { done, erased }: Report) -> Self {
        let Erased { conversations, gone, memberships, messages, files, seen, .. } = erased;
        Self { done, conversations, gone, memberships, messages, files, last_seen: seen }
    }
}

/// The sessions of a user.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerSessionList)]
pub struct SessionList {
    /// None for a user who is not connected.
    pub sessions: Vec<Session>,
}

/// One session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerSession)]
pub struct Session {
    /// Names it; never used again for another one.
    #[schema(example = "5f3a91c2-0-1f-3")]
    session_id: String,
    /// The API it speaks: `binary` or `presence`.
    #[schema(example = "presence")]
    api: &'static str,
    /// The client's address.
    #[schema(example = "203.0.113.7")]
    address: String,
    device: Device,
    /// When it began.
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    since: String,
}

/// How many sessions were ended.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerEnded)]
pub struct Ended {
    /// Sessions.
    #[schema(example = 2)]
    pub ended: u32,
}

/// What to send.
#[derive(Deserialize, ToSchema)]
#[schema(as = ServerMessage)]
pub struct MessageBody {
    /// Any JSON value. It arrives as this text of JSON, byte for byte.
    #[schema(value_type = serde_json::Value, example = json!({"kind": "order", "id": 7}))]
    pub payload: Box<RawValue>,
}

/// How many sessions took it.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerReached)]
pub struct Reached {
    /// Sessions; 0 when nobody is there to be told.
    #[schema(example = 2)]
    pub sessions: u32,
}

/// A channel.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerChannel)]
pub struct Channel {
    /// Its name.
    #[schema(example = "news")]
    pub channel: String,
    /// Sessions that are subscribed; 0 for a channel nobody knows.
    #[schema(example = 12)]
    pub subscribers: u64,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerFailure)]
pub struct Failure {
    /// The error.
    pub error: ErrorBody,
}

/// An error.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerError)]
pub struct ErrorBody {
    /// A stable word for programs.
    #[schema(example = "BUSY")]
    pub code: &'static str,
    /// For people.
    #[schema(example = "the server is busy; try again in a moment")]
    pub message: String,
    /// When the same call may be tried again; absent: never, or not without a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 100)]
    pub retry_after_ms: Option<u64>,
}

impl From<&UserPresence> for PresenceRow {
    fn from(user: &UserPresence) -> Self {
        Self {
            user_id: user.user.to_string(),
            status: user.status.as_str(),
            online: (user.status != Status::Unknown).then(|| user.status.is_online()),
            last_seen: user.last_seen.at().map(|ms| Millis(ms).to_string()),
            last_seen_unknown: user.last_seen == LastSeen::Unknown,
        }
    }
}

impl From<&OnlineUser> for OnlineEntry {
    fn from(user: &OnlineUser) -> Self {
        Self {
            user_id: user.user.to_string(),
            status: user.status.as_str(),
            last_seen: Millis(user.last_seen).to_string(),
            device: user.device.into(),
        }
    }
}

impl From<schema::Device> for Device {
    fn from(device: schema::Device) -> Self {
        Self { browser: device.browser.as_str(), os: device.os.as_str(), r#type: device.kind.as_str() }
    }
}

impl From<&SessionInfo> for Session {
    fn from(session: &SessionInfo) -> Self {
        Self {
            session_id: session.session.to_string(),
            api: session.edge.as_str(),
            address: session.peer.ip().to_string(),
            device: session.device.into(),
            since: Millis(session.since).to_string(),
        }
    }
}
