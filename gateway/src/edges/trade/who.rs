//! Who of those a user deals with is online: `active_user_list` with all of them once their states are known, then
//! `user_status_change`, each only when it is news.
//!
//! A room counts while the user has not deleted it. Ids are kept by the machine, which tells of them; a connection keeps
//! a fingerprint of each one that its client believes to be online, and of each one that does not count.

use schema::chat::Summary;
use schema::{Id, Status, UserPresence};

use super::words::{ActiveUsers, StatusChange, json};
use crate::api::trade::names::{Room, Side};
use crate::api::trade::words::Sides;
use crate::edges::known::{fingerprint, set};

/// What a client knows of the others.
#[derive(Debug, Default)]
pub struct Others {
    /// Those online, sorted.
    online: Vec<u64>,
    /// Those of rooms that do not count, sorted.
    gone: Vec<u64>,
    first: Option<Box<First>>,
}

/// The first list, while it is not whole.
#[derive(Debug)]
struct First {
    /// Those of whom nothing is known yet, sorted.
    awaited: Vec<u64>,
    /// All of them, in the order of the rooms.
    all: Vec<Id>,
}

/// Whose connection it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Own {
    /// The user.
    pub user: Id,
    /// On which side.
    pub side: Side,
}

impl Others {
    /// Of a user's list of conversations: who is to be watched, and what is known of them.
    #[must_use]
    pub fn of_list(rows: &[Summary], own: &Own, most: usize) -> (Self, Vec<Id>) {
        let (mut all, mut watched, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let Some(sides) = Sides::of(&row.conversation) else { continue };
            if sides.room.on(own.side) != &own.user {
                continue;
            }
            let other = sides.room.on(own.side.other());
            if sides.row(own.side).hidden_at.is_some() {
                gone.push(fingerprint(other));
                continue;
            }
            all.push(other.clone());
            if watched.len() < most {
                watched.push(other.clone());
            }
        }
        gone.sort_unstable();
        let mut awaited: Vec<u64> = watched.iter().map(fingerprint).collect();
        awaited.sort_unstable();
        let first = Some(Box::new(First { awaited, all }));
        (Self { online: Vec::new(), gone, first }, watched)
    }

    /// States came. Calls `emit` with the name and the argument of each event.
    pub fn came(&mut self, rows: &[UserPresence], own: &Own, emit: &mut dyn FnMut(&str, &str)) {
        for row in rows {
            let (user, is_known) = (fingerprint(&row.user), row.status != Status::Unknown);
            let (is_online, counts) = (row.status.is_online(), self.gone.binary_search(&user).is_err());
            let news = is_known && counts && set(&mut self.online, user, is_online);
            match &mut self.first {
                Some(first) => _ = set(&mut first.awaited, user, false),
                None if news => {
                    let body = StatusChange::new(&own.user, own.side, &row.user, is_online);
                    emit("user_status_change", &json(&body));
                }
                None => {}
            }
        }
        self.list_if_whole(own, emit);
        self.online.shrink_to(self.online.len() * 2);
    }

    /// Tells the first list if it is whole, as it is at once for a client without rooms.
    pub fn list_if_whole(&mut self, own: &Own, emit: &mut dyn FnMut(&str, &str)) {
        if let Some(first) = self.first.take_if(|first| first.awaited.is_empty()) {
            let status = |id: Id| {
                let online = self.online.binary_search(&fingerprint(&id)).is_ok();
                (id, online)
            };
            let all: Vec<(Id, bool)> = first.all.into_iter().map(status).collect();
            emit("active_user_list", &json(&ActiveUsers::new(&own.user, own.side, &all)));
        }
    }

    /// No states are to be expected: the list says what is known.
    pub fn give_up_waiting(&mut self, own: &Own, emit: &mut dyn FnMut(&str, &str)) {
        if let Some(first) = &mut self.first {
            first.awaited.clear();
        }
        self.list_if_whole(own, emit);
    }

    /// A room counts (again): who is to be watched, if nobody does yet. `new`: it was not there before.
    pub fn counts(&mut self, room: &Room, own: &Own, new: bool) -> Option<Id> {
        let other = other_of(room, own)?;
        let back = set(&mut self.gone, fingerprint(other), false);
        (new || back).then(|| other.clone())
    }

    /// The other one shows a room again that they had deleted: said once more, if they are online.
    pub fn back(&self, room: &Room, own: &Own, emit: &mut dyn FnMut(&str, &str)) {
        let is_online = |other: &&Id| self.online.binary_search(&fingerprint(other)).is_ok();
        if self.first.is_none()
            && let Some(other) = other_of(room, own).filter(is_online)
        {
            emit("user_status_change", &json(&StatusChange::new(&own.user, own.side, other, true)));
        }
    }

    /// A room counts no more: who is to be watched no more.
    pub fn gone(&mut self, room: &Room, own: &Own) -> Option<Id> {
        let other = other_of(room, own)?;
        let user = fingerprint(other);
        set(&mut self.online, user, false);
        set(&mut self.gone, user, true).then(|| other.clone())
    }
}

/// The other one of a room in which the connection's user is on the connection's side.
fn other_of<'a>(room: &'a Room, own: &Own) -> Option<&'a Id> {
    (room.on(own.side) == &own.user).then(|| room.on(own.side.other()))
}

#[cfg(test)]
mod tests {
    use schema::LastSeen;
    use schema::chat::{Conversation, Kind, Member, Role};

    use super::*;

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    fn row(buyer: &str, seller: &str, hidden: bool) -> Summary {
        let room = Room { buyer: id(buyer), seller: id(seller) };
        let member = |row, user: &Id, role| Member {
            row,
            user: user.clone(),
            role,
            joined_at: 1,
            read_at: None,
            read_to: 0,
            hidden_to: 0,
            hidden_at: (hidden && row == 1).then_some(1),
            pinned_at: None,
            blocked: false,
        };
        let members = vec![member(1, &room.buyer, Role::Buyer), member(2, &room.seller, Role::Seller)];
        let conversation = Conversation {
            id: room.id(),
            kind: Kind::Trade,
            name: None,
            creator: id(buyer),
            extra: [].into(),
            created_at: 1,
            updated_at: 1,
            members_count: 2,
            members,
        };
        Summary { conversation, last: None, unread: 0 }
    }

    fn own() -> Own {
        Own { user: id("ann"), side: Side::Buyer }
    }

    fn told(others: &mut Others, rows: &[(&str, Status)]) -> Vec<String> {
        let row = |&(user, status): &(&str, Status)| UserPresence {
            user: id(user),
            status,
            last_seen: LastSeen::Never,
        };
        let rows: Vec<UserPresence> = rows.iter().map(row).collect();
        let mut told = Vec::new();
        others.came(&rows, &own(), &mut |name, json| told.push(format!("{name} {json}")));
        told
    }

    fn change(user: &str, status: bool) -> String {
        format!(
            r#"user_status_change {{"user_id":"{user}","user_role":"SELLER","room_id":"ann.{user}","status":{status}}}"#
        )
    }

    #[test]
    fn first_all_then_what_changes() {
        use Status::{Away, Offline, Online, Unknown};
        let rows = [
            row("ann", "bob", false),
            row("ann", "cat", false),
            row("dan", "ann", false),
            row("ann", "eve", true),
        ];
        let (mut others, watched) = Others::of_list(&rows, &own(), 1_000);
        assert_eq!(watched, ["bob", "cat"].map(id), "the other side's and deleted rooms are not asked for");
        assert!(told(&mut others, &[("cat", Online)]).is_empty());
        assert_eq!(
            told(&mut others, &[("bob", Unknown)]),
            [
                r#"active_user_list {"user_id":"ann","user_role":"BUYER","rooms":[{"room_id":"ann.bob","status":false},{"room_id":"ann.cat","status":true}]}"#
            ]
        );
        // Only what is news is told, once.
        assert!(told(&mut others, &[("cat", Away), ("bob", Offline)]).is_empty());
        assert_eq!(
            told(&mut others, &[("bob", Online), ("cat", Offline)]),
            [change("bob", true), change("cat", false)]
        );
        assert!(told(&mut others, &[("bob", Online), ("cat", Unknown)]).is_empty());
        // A room that was deleted, and its return.
        let with = |seller: &str| Room { buyer: id("ann"), seller: id(seller) };
        assert_eq!(others.counts(&with("bob"), &own(), false), None, "watched already");
        assert_eq!(others.gone(&with("bob"), &own()), Some(id("bob")));
        assert_eq!(others.gone(&with("bob"), &own()), None);
        assert!(told(&mut others, &[("bob", Offline), ("bob", Online)]).is_empty());
        assert_eq!(others.counts(&with("bob"), &own(), false), Some(id("bob")));
        assert_eq!(told(&mut others, &[("bob", Online)]), [change("bob", true)]);
        assert_eq!(others.counts(&with("eve"), &own(), false), Some(id("eve")));
        // The other one's deletion is undone: said once more of who is online.
        let back = |seller: &str| {
            let mut told = Vec::new();
            others.back(&with(seller), &own(), &mut |name, json| told.push(format!("{name} {json}")));
            told
        };
        assert_eq!((back("bob"), back("cat")), (vec![change("bob", true)], vec![]));
        // A new one; and one on the other side of this connection.
        assert_eq!(others.counts(&with("fay"), &own(), true), Some(id("fay")));
        assert!(told(&mut others, &[("fay", Offline)]).is_empty());
        assert_eq!(told(&mut others, &[("fay", Online)]), [change("fay", true)]);
        assert_eq!(others.counts(&Room { buyer: id("gus"), seller: id("ann") }, &own(), true), None);
    }

    #[test]
    fn who_has_no_rooms_is_told_so_and_nobody_waits_for_ever() {
        let empty = r#"active_user_list {"user_id":"ann","user_role":"BUYER","rooms":[]}"#;
        let mut told = Vec::new();
        let (mut others, watched) = Others::of_list(&[], &own(), 1_000);
        assert!(watched.is_empty());
        others.list_if_whole(&own(), &mut |name, json| told.push(format!("{name} {json}")));
        others.list_if_whole(&own(), &mut |name, json| told.push(format!("{name} {json}")));
        assert_eq!(told, [empty]);
        let (mut others, _) = Others::of_list(&[row("ann", "bob", false)], &own(), 0);
        others.give_up_waiting(&own(), &mut |name, json| told.push(format!("{name} {json}")));
        assert!(told[1].contains(r#""status":false"#));
    }
}
