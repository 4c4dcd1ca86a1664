//! Who of a user's partners is online: `users:online` with all of them once their states are known, then `user:online`
//! and `user:offline`, each only when it is news.
//!
//! Partners are those of direct conversations. Their ids are kept by the machine, which tells of them; a connection keeps
//! a fingerprint of each one that its client believes to be online.

use schema::chat::{Conversation, Kind, Summary};
use schema::{Id, Status, UserPresence};

use super::words::json;
use crate::edges::known::{fingerprint, set};

/// What a client knows of its partners.
#[derive(Debug, Default)]
pub struct Partners {
    /// Those online, sorted.
    online: Vec<u64>,
    first: Option<First>,
}

/// The first list, while it is not whole.
#[derive(Debug)]
struct First {
    /// Those of whom nothing is known yet, sorted.
    awaited: Vec<u64>,
    online: Vec<Id>,
}

impl Partners {
    /// A client that is to be told of these.
    #[must_use]
    pub fn new(watched: &[Id]) -> Self {
        let mut awaited: Vec<u64> = watched.iter().map(fingerprint).collect();
        awaited.sort_unstable();
        awaited.dedup();
        Self { online: Vec::new(), first: Some(First { awaited, online: Vec::new() }) }
    }

    /// States came. Calls `emit` with the name and the argument of each event.
    pub fn came(&mut self, rows: &[UserPresence], emit: &mut dyn FnMut(&str, &str)) {
        for row in rows {
            let (user, is_known) = (fingerprint(&row.user), row.status != Status::Unknown);
            let news = is_known && set(&mut self.online, user, row.status.is_online());
            match &mut self.first {
                None if !news => {}
                None if row.status.is_online() => emit("user:online", &json(&row.user.to_string())),
                None => emit("user:offline", &json(&row.user.to_string())),
                Some(first) => {
                    set(&mut first.awaited, user, false);
                    if news && row.status.is_online() {
                        first.online.push(row.user.clone());
                    } else if news {
                        first.online.retain(|other| *other != row.user);
                    }
                }
            }
            self.list_if_whole(emit);
        }
        self.online.shrink_to(self.online.len() * 2);
    }

    /// Somebody is a partner no more. Nothing is told of them from now on, so one who was online is no longer so to the client.
    pub fn gone(&mut self, partner: &Id, emit: &mut dyn FnMut(&str, &str)) {
        let user = fingerprint(partner);
        let was_online = set(&mut self.online, user, false);
        match &mut self.first {
            Some(first) => {
                set(&mut first.awaited, user, false);
                first.online.retain(|other| other != partner);
            }
            None if was_online => emit("user:offline", &json(&partner.to_string())),
            None => {}
        }
        self.list_if_whole(emit);
    }

    /// Tells the first list if it is whole, as it is at once for a client without partners.
    pub fn list_if_whole(&mut self, emit: &mut dyn FnMut(&str, &str)) {
        if let Some(first) = self.first.take_if(|first| first.awaited.is_empty()) {
            let ids: Vec<String> = first.online.iter().map(Id::to_string).collect();
            emit("users:online", &json(&ids));
        }
    }

    /// Nobody of them is online, and nothing is awaited: there is nothing to be kept in mind.
    #[must_use]
    pub fn rest(&self) -> bool {
        self.online.is_empty() && self.first.is_none()
    }
}

/// Of the two of a direct conversation, the one who is not the user.
#[must_use]
pub fn other<'a>(pair: &'a [Id; 2], user: &Id) -> Option<&'a Id> {
    pair.iter().find(|other| *other != user)
}

/// The other side of a direct conversation.
#[must_use]
pub fn partner<'a>(conversation: &'a Conversation, user: &Id) -> Option<&'a Id> {
    let others = || conversation.members.iter().map(|member| &member.user).find(|other| *other != user);
    (conversation.kind == Kind::Direct).then(others).flatten()
}

/// Those of a user's list of conversations.
#[must_use]
pub fn of_list(rows: &[Summary], user: &Id) -> Vec<Id> {
    rows.iter().filter_map(|row| partner(&row.conversation, user)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use schema::LastSeen;

    use super::*;

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    fn told(partners: &mut Partners, rows: &[(&str, Status)]) -> Vec<String> {
        let row = |&(user, status): &(&str, Status)| UserPresence {
            user: id(user),
            status,
            last_seen: LastSeen::Never,
        };
        let rows: Vec<UserPresence> = rows.iter().map(row).collect();
        let mut told = Vec::new();
        partners.came(&rows, &mut |name, json| told.push(format!("{name} {json}")));
        told
    }

    #[test]
    fn first_all_then_what_changes() {
        use Status::{Away, Offline, Online, Unknown};
        let mut partners = Partners::new(&["bob", "cat", "dan", "eve"].map(id));
        assert!(told(&mut partners, &[("bob", Online), ("cat", Offline)]).is_empty());
        // Who goes before all are known is not in the list; who is not known is not online.
        assert!(told(&mut partners, &[("bob", Offline), ("eve", Unknown)]).is_empty());
        assert!(told(&mut partners, &[("cat", Online)]).is_empty());
        assert_eq!(told(&mut partners, &[("dan", Away)]), [r#"users:online ["cat","dan"]"#]);
        // Only what is news is told, once.
        assert!(told(&mut partners, &[("dan", Online), ("bob", Offline), ("cat", Unknown)]).is_empty());
        assert_eq!(
            told(&mut partners, &[("bob", Online), ("cat", Offline)]),
            [r#"user:online "bob""#, r#"user:offline "cat""#]
        );
        assert!(told(&mut partners, &[("bob", Online), ("cat", Offline)]).is_empty());
        // A partner who came later.
        assert!(told(&mut partners, &[("fay", Offline)]).is_empty());
        assert_eq!(told(&mut partners, &[("fay", Online)]), [r#"user:online "fay""#]);
    }

    #[test]
    fn who_is_a_partner_no_more() {
        use Status::{Offline, Online};
        let mut partners = Partners::new(&["bob", "cat", "dan"].map(id));
        let gone = |partners: &mut Partners, user: &str| {
            let mut told = Vec::new();
            partners.gone(&id(user), &mut |name, json| told.push(format!("{name} {json}")));
            told
        };
        assert!(told(&mut partners, &[("bob", Online), ("cat", Online)]).is_empty());
        assert!(gone(&mut partners, "bob").is_empty());
        assert_eq!(gone(&mut partners, "dan"), [r#"users:online ["cat"]"#], "nobody else is waited for");
        assert_eq!(gone(&mut partners, "cat"), [r#"user:offline "cat""#]);
        assert!(gone(&mut partners, "cat").is_empty());
        // Partners again.
        assert_eq!(told(&mut partners, &[("cat", Online), ("bob", Offline)]), [r#"user:online "cat""#]);
    }

    #[test]
    fn who_has_nobody_is_told_so() {
        let mut told = Vec::new();
        let mut partners = Partners::new(&[]);
        partners.list_if_whole(&mut |name, json| told.push(format!("{name} {json}")));
        partners.list_if_whole(&mut |name, json| told.push(format!("{name} {json}")));
        assert_eq!(told, ["users:online []"]);
    }

    #[test]
    fn partners_are_of_direct_conversations() {
        let group = super::super::tell::tests::conversation();
        assert_eq!(partner(&group, &id("ann")), None);
        let direct = Conversation { kind: Kind::Direct, ..Conversation::clone(&group) };
        assert_eq!(partner(&direct, &id("ann")), Some(&id("bob")));
        assert_eq!(partner(&direct, &id("bob")), None);
    }
}
