//! The bodies around rooms and messages.

use serde::Serialize;
use utoipa::ToSchema;

use super::gate::Caller;
use super::names::Side;
use super::words::{MessageBody, RoomBody};

/// Whose list it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TradeWhoseList)]
pub struct WhoseList {
    /// The caller's id.
    #[schema(example = "42")]
    user_id: String,
    /// The caller's side: `BUYER` or `SELLER`.
    #[schema(example = "BUYER")]
    role: &'static str,
}

impl WhoseList {
    /// The caller's, of one side.
    #[must_use]
    pub fn new(caller: &Caller, side: Side) -> Self {
        Self { user_id: caller.id().to_string(), role: side.as_str() }
    }
}

/// Rooms of one side of a user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TradeRoomList)]
pub struct RoomList {
    #[serde(flatten)]
    pub(super) whose: WhoseList,
    /// In their order.
    pub(super) rooms: Vec<RoomBody>,
}

/// Rooms with something unseen.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TradeUnseenRooms)]
pub struct Unseen {
    /// How many there are.
    #[schema(example = 2)]
    pub(super) unseen_rooms: usize,
    /// What was asked for.
    pub(super) filters: WhoseList,
}

/// A room that was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TradeOneRoom)]
pub struct OneRoom {
    /// The room.
    pub(super) room: RoomBody,
}

/// What became of a room that was to be made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TradeMadeRoom)]
pub struct Made {
    /// Whether it is new, or was deleted and is there again.
    #[schema(example = true)]
    pub(super) status: bool,
    /// Which.
    #[schema(example = "Created room successfully!")]
    pub(super) message: &'static str,
    /// The room.
    pub(super) room: RoomBody,
}

impl Made {
    /// It is new.
    pub const CREATED: &'static str = "Created room successfully!";
    /// It is there; spelt as clients know it.
    pub const EXISTS: &'static str = "Room exsits!";
    /// It was deleted.
    pub const SHOWN_AGAIN: &'static str = "Room exists and re-enable room for seller and buyer";
    /// It cannot be.
    pub const FAILED: &'static str = "Room can not created!";
}

/// What was changed of a room.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TradeChangedRoom)]
pub struct Changed {
    /// Always true.
    #[schema(example = true)]
    pub(super) status: bool,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Enable room successfully!")]
    pub(super) message: Option<&'static str>,
    /// The room as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) room: Option<RoomBody>,
}

/// A room was deleted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TradeDeletedRoom)]
pub struct Deleted {
    /// Always true.
    #[schema(example = true)]
    pub(super) status: bool,
    /// For which side.
    #[schema(example = "SELLER")]
    pub(super) role: &'static str,
    /// When.
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    pub(super) deleted_at: Option<String>,
}

/// Messages of a room.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TradeMessages)]
pub struct Messages {
    /// Which room.
    #[schema(example = "42.7")]
    pub(super) room_id: String,
    /// How many there are here, and from when.
    pub(super) filters: Filters,
    /// The messages.
    pub(super) data: Vec<MessageBody>,
}

/// See [`Messages`].
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TradeFilters)]
pub struct Filters {
    /// Messages in this answer.
    #[schema(example = 15)]
    pub(super) message_count: usize,
    /// The `from` that was asked for, else now.
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    pub(super) from: String,
}
