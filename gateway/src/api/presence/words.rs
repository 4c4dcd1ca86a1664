//! The bodies of the presence API's REST calls.

use schema::presence::OnlineUser;
use schema::{Device, LastSeen, Status, UserPresence};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::timestamp::Seconds;

/// How many users are online.
#[derive(Serialize, ToSchema)]
pub struct OnlineCount {
    /// Always true.
    pub success: bool,
    /// Distinct users, whatever the number of their devices.
    #[schema(example = 42)]
    pub count: u64,
}

/// Who is online.
#[derive(Serialize, ToSchema)]
pub struct OnlineUsers {
    /// Always true.
    pub success: bool,
    /// The latest activity first.
    pub users: Vec<OnlineRow>,
}

/// A user who is online.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnlineRow {
    /// Who.
    #[schema(example = "7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5f")]
    user_id: String,
    /// `online`; also `away` where that is switched on.
    #[schema(example = "online")]
    status: &'static str,
    /// The latest activity.
    #[schema(example = "2026-03-30T10:30:00Z")]
    last_seen: String,
    device_info: DeviceInfo,
}

/// What the newest connection of a user runs on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceInfo {
    /// Chrome, Firefox, Safari, Edge, Opera or Unknown.
    #[schema(example = "Chrome")]
    browser: &'static str,
    /// Windows, macOS, Linux, Android, iOS or Unknown.
    #[schema(example = "Windows")]
    os: &'static str,
    /// desktop, mobile or tablet; service for an internal service.
    #[schema(example = "desktop")]
    device_type: &'static str,
}

/// Whether a user is online.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Always true.
    success: bool,
    /// Who, as asked.
    #[schema(example = "7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5f")]
    user_id: String,
    online: bool,
    /// The latest activity; null for a user never seen.
    #[schema(example = "2026-03-30T10:30:00Z")]
    last_seen: Option<String>,
    /// Only there, and true, when `lastSeen` is null because it could not be read in time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    last_seen_unknown: bool,
}

/// Whether users are online.
#[derive(Serialize, ToSchema)]
pub struct CheckMultiple {
    /// Always true.
    pub success: bool,
    /// In the order asked, a user asked for twice is here twice.
    pub users: Vec<CheckRow>,
}

/// Whether a user is online.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckRow {
    /// Who, as asked.
    #[schema(example = "7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5f")]
    user_id: String,
    /// Null when it could not be found out in time.
    online: Option<bool>,
    /// `online` or `offline`; `unknown` when it could not be found out in time; also `away` where that is switched on.
    #[schema(example = "online")]
    status: &'static str,
    /// The latest activity; null for a user never seen, or when it is not known.
    #[schema(example = "2026-03-30T10:30:00Z")]
    last_seen: Option<String>,
    /// Only there, and true, when `lastSeen` is null because it could not be read in time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    last_seen_unknown: bool,
}

/// Whom to check.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckMultipleBody {
    /// 1 to 100 ids.
    #[schema(min_items = 1, max_items = 100, example = json!(["7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5f"]))]
    pub user_ids: Vec<String>,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub struct Failure {
    /// Always false.
    pub success: bool,
    /// For people.
    #[schema(example = "Too many requests")]
    pub message: String,
}

impl From<&OnlineUser> for OnlineRow {
    fn from(user: &OnlineUser) -> Self {
        Self {
            user_id: user.user.to_string(),
            status: user.status.as_str(),
            last_seen: Seconds(user.last_seen).to_string(),
            device_info: user.device.into(),
        }
    }
}

impl From<Device> for DeviceInfo {
    fn from(device: Device) -> Self {
        Self { browser: device.browser.as_str(), os: device.os.as_str(), device_type: device.kind.as_str() }
    }
}

impl Check {
    /// `None` when it could not be found out in time.
    #[must_use]
    pub fn of(user: &UserPresence) -> Option<Self> {
        (user.status != Status::Unknown).then(|| Self {
            success: true,
            user_id: user.user.to_string(),
            online: user.status.is_online(),
            last_seen: last_seen(user),
            last_seen_unknown: user.last_seen == LastSeen::Unknown,
        })
    }
}

impl From<&UserPresence> for CheckRow {
    fn from(user: &UserPresence) -> Self {
        Self {
            user_id: user.user.to_string(),
            online: (user.status != Status::Unknown).then(|| user.status.is_online()),
            status: user.status.as_str(),
            last_seen: last_seen(user),
            last_seen_unknown: user.last_seen == LastSeen::Unknown,
        }
    }
}

fn last_seen(user: &UserPresence) -> Option<String> {
    user.last_seen.at().map(|ms| Seconds(ms).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Id;

    fn presence(status: Status, last_seen: LastSeen) -> UserPresence {
        UserPresence { user: Id::new("u").unwrap(), status, last_seen }
    }

    #[test]
    fn bodies_are_those_of_the_api() {
        let check =
            |status, last_seen| serde_json::to_string(&Check::of(&presence(status, last_seen))).unwrap();
        let seen = LastSeen::At(1_774_866_600_999);
        assert_eq!(
            check(Status::Online, seen),
            r#"{"success":true,"userId":"u","online":true,"lastSeen":"2026-03-30T10:30:00Z"}"#
        );
        assert_eq!(
            check(Status::Offline, LastSeen::Never),
            r#"{"success":true,"userId":"u","online":false,"lastSeen":null}"#
        );
        assert_eq!(
            check(Status::Offline, LastSeen::Unknown),
            r#"{"success":true,"userId":"u","online":false,"lastSeen":null,"lastSeenUnknown":true}"#
        );
        assert_eq!(check(Status::Unknown, LastSeen::Unknown), "null");
        let row =
            |status, last_seen| serde_json::to_string(&CheckRow::from(&presence(status, last_seen))).unwrap();
        assert_eq!(
            row(Status::Offline, seen),
            r#"{"userId":"u","online":false,"status":"offline","lastSeen":"2026-03-30T10:30:00Z"}"#
        );
        assert_eq!(
            row(Status::Unknown, LastSeen::Unknown),
            r#"{"userId":"u","online":null,"status":"unknown","lastSeen":null,"lastSeenUnknown":true}"#
        );
    }
}
