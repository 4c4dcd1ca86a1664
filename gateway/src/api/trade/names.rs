//! Rooms by name: `<buyer>.<seller>`, which is one conversation for each buyer and seller.
//!
//! A room's name is read in one way only: within an id a dot is written `~1` and a tilde `~0` (as RFC 6901 writes a
//! slash in a JSON pointer), so the one dot that is left stands between the two. Ids without dots and tildes, and that
//! is most of them, stand as they are. A client that puts a name together by itself writes no `~1`; its name is read as
//! the room that it is in, if that is one only ([`Room::read`]).

use std::fmt;

use schema::Id;
use schema::chat::{Conversation, ConversationId, Kind, Role};

/// Which side somebody is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Who buys.
    Buyer,
    /// Who sells.
    Seller,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Buyer, Self::Seller];

    /// The API's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Buyer => "BUYER",
            Self::Seller => "SELLER",
        }
    }

    /// The side of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|side| side.as_str() == word)
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Buyer => Self::Seller,
            Self::Seller => Self::Buyer,
        }
    }

    /// What the model calls it.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Self::Buyer => Role::Buyer,
            Self::Seller => Role::Seller,
        }
    }
}

/// The two of a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Room {
    /// Who buys.
    pub buyer: Id,
    /// Who sells.
    pub seller: Id,
}

impl Room {
    /// The conversation that the room is.
    #[must_use]
    pub fn id(&self) -> ConversationId {
        self.buyer.with_str(|buyer| {
            self.seller.with_str(|seller| ConversationId::natural(Kind::Trade, &[buyer, seller]))
        })
    }

    /// Who is on a side.
    #[must_use]
    pub fn on(&self, side: Side) -> &Id {
        match side {
            Side::Buyer => &self.buyer,
            Side::Seller => &self.seller,
        }
    }

    /// On which side somebody is.
    #[must_use]
    pub fn side(&self, user: &Id) -> Option<Side> {
        Side::BOTH.into_iter().find(|side| self.on(*side) == user)
    }

    /// The room of these two; `None` if they are one, which no room has.
    fn of_pair(buyer: &str, seller: &str) -> Option<Self> {
        let (buyer, seller) = (Id::new(buyer).ok()?, Id::new(seller).ok()?);
        (buyer != seller).then_some(Self { buyer, seller })
    }

    /// The room of two members of a conversation, one of whom is known; `None` if it is no room.
    #[must_use]
    pub fn of_two(conversation: ConversationId, one: &Id, other: &Id) -> Option<Self> {
        let as_buyer = Self { buyer: one.clone(), seller: other.clone() };
        if as_buyer.id() == conversation {
            return Some(as_buyer);
        }
        let as_seller = Self { buyer: other.clone(), seller: one.clone() };
        (as_seller.id() == conversation).then_some(as_seller)
    }

    /// The room that a conversation is. A trade that was made elsewhere, under another name, is none.
    #[must_use]
    pub fn of(conversation: &Conversation) -> Option<Self> {
        match &conversation.members[..] {
            [one, other] if conversation.kind == Kind::Trade => {
                Self::of_two(conversation.id, &one.user, &other.user)
            }
            _ => None,
        }
    }

    /// Reads a name as it is written here.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (buyer, seller) = text.split_once('.')?;
        if seller.contains('.') {
            return None;
        }
        Self::of_pair(&unescape(buyer)?, &unescape(seller)?)
    }

    /// Reads a name as `caller` may mean it.
    #[must_use]
    pub fn read(text: &str, caller: &Id) -> Option<Self> {
        let exact = Self::parse(text);
        if exact.as_ref().is_some_and(|room| room.side(caller).is_some()) {
            return exact;
        }
        let dots = text.match_indices('.');
        let mut own = dots
            .filter_map(|(at, _)| Self::of_pair(text.get(..at)?, text.get(at + 1..)?))
            .filter(|room| room.side(caller).is_some());
        match (own.next(), own.next()) {
            (Some(room), None) => Some(room),
            _ => exact,
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.buyer.with_str(|buyer| escape(buyer, f))?;
        f.write_str(".")?;
        self.seller.with_str(|seller| escape(seller, f))
    }
}

fn escape(id: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut rest = id;
    while let Some(at) = rest.find(['~', '.']) {
        let (before, from) = rest.split_at(at);
        f.write_str(before)?;
        f.write_str(if from.starts_with('~') { "~0" } else { "~1" })?;
        rest = &from[1..];
    }
    f.write_str(rest)
}

fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('~');
    let mut id = parts.next()?.to_owned();
    for part in parts {
        let (mark, rest) = part.split_at_checked(1)?;
        id.push(match mark {
            "0" => '~',
            "1" => '.',
            _ => return None,
        });
        id.push_str(rest);
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn room(buyer: &str, seller: &str) -> Room {
        Room { buyer: Id::new(buyer).unwrap(), seller: Id::new(seller).unwrap() }
    }

    #[test]
    fn names_are_written_as_clients_know_them() {
        assert_eq!(room("42", "7").to_string(), "42.7");
        let dan = room("dan@example.com", "a~b");
        assert_eq!(dan.to_string(), "dan@example~1com.a~0b");
        assert_eq!(Room::parse(&dan.to_string()), Some(dan));
        assert_ne!(room("a", "b").id(), room("b", "a").id());
        for bad in ["", ".", "a", "a.", ".b", "a.b.c", "a.a", "a~.b", "a~2.b", "a.\u{7}"] {
            assert_eq!(Room::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_of_a_clients_own_making_is_read_as_the_room_it_is_in() {
        let read = |text: &str, caller: &str| Room::read(text, &Id::new(caller).unwrap());
        assert_eq!(read("a.b.c", "a"), Some(room("a", "b.c")));
        assert_eq!(read("a.b.c", "a.b"), Some(room("a.b", "c")));
        assert_eq!(read("a.b.c", "b"), None);
        assert_eq!(read("a.x.a", "a"), None, "two rooms");
        assert_eq!(read("a.x~1a", "a"), Some(room("a", "x.a")));
        assert_eq!(read("a~b.c", "c"), Some(room("a~b", "c")));
        assert_eq!(read("a.b", "c"), Some(room("a", "b")), "that it is not the caller's is said elsewhere");
    }

    #[test]
    fn two_of_a_conversation_are_its_buyer_and_its_seller() {
        let known = room("ann", "bob");
        let (ann, bob) = (known.buyer.clone(), known.seller.clone());
        assert_eq!(Room::of_two(known.id(), &ann, &bob).as_ref(), Some(&known));
        assert_eq!(Room::of_two(known.id(), &bob, &ann).as_ref(), Some(&known));
        assert_eq!(Room::of_two(ConversationId::from_number(7), &bob, &ann), None);
        assert_eq!((known.side(&bob), known.on(Side::Buyer)), (Some(Side::Seller), &ann));
    }

    proptest! {
        #[test]
        fn names_read_back(buyer in "[~.a0é]{1,8}", seller in "[~.a0é]{1,8}") {
            prop_assume!(buyer != seller);
            let room = room(&buyer, &seller);
            prop_assert_eq!(Room::parse(&room.to_string()), Some(room.clone()));
            for user in [&room.buyer, &room.seller] {
                prop_assert_eq!(Room::read(&room.to_string(), user), Some(room.clone()));
            }
        }
    }
}
