//! Keys of rows. Changing any of it is a new format of the store.
//!
//! | space | key | value |
//! |---|---|---|
//! | messages | **incarnation**, creation time (6 bytes) | the message |
//! | sends | **incarnation**, member's row (4), the client's id | creation time of the message |
//! | states | 1, realm (2), conversation (10) | the conversation, or that it is gone |
//! | states | 2, **incarnation**, 1, member's row (4) | the member, or that it has left |
//! | states | 2, **incarnation**, 2, sequence (8) | row of the sender of a deleted message |
//! | states | 2, **incarnation**, 3, creation time (6), member's row (4) | when the member read the message |
//! | states | 2, **incarnation**, 4 | what was forgotten for its age |
//! | states | 3, realm (2), user, conversation (10), epoch (1), member's row (4) | nothing: the user is in it |
//! | states | 4, **incarnation** | nothing: it is gone, and its rows are still to be cleared away |
//! | states | 5, **incarnation** | nothing: the rows of what was forgotten are still to be cleared away |
//!
//! An **incarnation** is realm (2), conversation (10) and epoch (1): 13 bytes. Numbers are big-endian, so rows lie in
//! the order of creation times, rows and sequences, and history, receipts and the state of a conversation are one range
//! each. What is not of one conversation lies apart by the first byte, so that all conversations of a realm are a range
//! too.
//!
//! **Epochs.** A conversation that is gone can be made again under its id at once, while thousands of its rows are
//! still there: the new one counts its epoch one up, and its keys never meet the old rows. Of the two ways this is the
//! one in which nobody waits; the price is one byte a key, and that a read looks up the epoch first. The epoch
//! is in the conversation's row, also when it is gone, until nothing is left to clear away; then that row goes too. An
//! epoch whose rows are not cleared away is not given out again, so 256 of them are enough.

use schema::chat::ConversationId;
use schema::{Id, Realm};

use super::bytes::{Damage, Taker, put_id};
use crate::machine::store::Place;

const CONVERSATIONS: u8 = 1;
const SIDES: u8 = 2;
const MEMBERSHIPS: u8 = 3;
const SWEEPS: u8 = 4;
const TRIMS: u8 = 5;

const MEMBER: u8 = 1;
const DELETION: u8 = 2;
const RECEIPT: u8 = 3;
const HORIZON: u8 = 4;

/// A conversation from one making to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Incarnation {
    pub(super) place: Place,
    pub(super) epoch: u8,
}

/// What a key of a conversation's state is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Member { row: u32 },
    Deletion { sequence: u64 },
    Receipt { message: u64, row: u32 },
}

pub(super) fn conversation((realm, conversation): Place) -> Vec<u8> {
    let mut key = vec![CONVERSATIONS];
    push_place((realm, conversation), &mut key);
    key
}

/// Every conversation of every realm, gone ones included.
pub(super) fn all_conversations() -> (Vec<u8>, Vec<u8>) {
    (vec![CONVERSATIONS], vec![CONVERSATIONS + 1])
}

/// Every conversation of a realm, gone ones included.
pub(super) fn conversations_of(realm: Realm) -> (Vec<u8>, Vec<u8>) {
    let mut first = vec![CONVERSATIONS];
    first.extend(realm.0.to_be_bytes());
    let end = behind(&first);
    (first, end)
}

/// Reads a key of [`conversation`].
pub(super) fn read_conversation(key: &[u8]) -> Result<Place, Damage> {
    let mut taker = Taker(key);
    taker.byte()?;
    let place = take_place(&mut taker)?;
    taker.end()?;
    Ok(place)
}

/// The key of a message, and before it the prefix of all of the incarnation.
pub(super) fn message(of: Incarnation, at: u64) -> Vec<u8> {
    let mut key = messages(of);
    push_time(at, &mut key);
    key
}

/// The prefix of all messages, and of all sends, of an incarnation.
pub(super) fn messages(of: Incarnation) -> Vec<u8> {
    let mut key = Vec::with_capacity(19);
    push_incarnation(of, &mut key);
    key
}

/// Reads the creation time in a key of [`message`].
pub(super) fn read_message(key: &[u8]) -> Result<u64, Damage> {
    let mut taker = Taker(key.get(13..).ok_or(Damage::Senseless)?);
    let at = take_time(&mut taker)?;
    taker.end()?;
    Ok(at)
}

pub(super) fn sent(of: Incarnation, row: u32, client_id: &str) -> Vec<u8> {
    let mut key = messages(of);
    key.extend(row.to_be_bytes());
    key.extend(client_id.as_bytes());
    key
}

/// Reads a key of [`sent`].
pub(super) fn read_sent(key: &[u8]) -> Result<(u32, Box<str>), Damage> {
    let mut taker = Taker(key.get(13..).ok_or(Damage::Senseless)?);
    let row = u32::from_be_bytes(taker.array()?);
    Ok((row, std::str::from_utf8(taker.0).map_err(|_| Damage::Senseless)?.into()))
}

pub(super) fn side(of: Incarnation, side: Side) -> Vec<u8> {
    let mut key = sides(of);
    match side {
        Side::Member { row } => {
            key.push(MEMBER);
            key.extend(row.to_be_bytes());
        }
        Side::Deletion { sequence } => {
            key.push(DELETION);
            key.extend(sequence.to_be_bytes());
        }
        Side::Receipt { message, row } => {
            key.push(RECEIPT);
            push_time(message, &mut key);
            key.extend(row.to_be_bytes());
        }
    }
    key
}

/// Where it stands what was forgotten of an incarnation.
pub(super) fn horizon(of: Incarnation) -> Vec<u8> {
    let mut key = sides(of);
    key.push(HORIZON);
    key
}

/// The prefix of the state of an incarnation.
pub(super) fn sides(of: Incarnation) -> Vec<u8> {
    let mut key = Vec::with_capacity(32);
    key.push(SIDES);
    push_incarnation(of, &mut key);
    key
}

/// Members of an incarnation, those who have left included.
pub(super) fn members(of: Incarnation) -> (Vec<u8>, Vec<u8>) {
    let (mut first, mut end) = (sides(of), sides(of));
    first.push(MEMBER);
    end.push(DELETION);
    (first, end)
}

/// Members and deletions of an incarnation: all of its state but the receipts.
pub(super) fn members_and_deletions(of: Incarnation) -> (Vec<u8>, Vec<u8>) {
    let mut end = sides(of);
    end.push(RECEIPT);
    (sides(of), end)
}

/// Receipts of an incarnation.
pub(super) fn receipts(of: Incarnation) -> (Vec<u8>, Vec<u8>) {
    (members_and_deletions(of).1, horizon(of))
}

/// Reads a key of [`side`].
pub(super) fn read_side(key: &[u8]) -> Result<Side, Damage> {
    let mut taker = Taker(key.get(14..).ok_or(Damage::Senseless)?);
    let side = match taker.byte()? {
        MEMBER => Side::Member { row: u32::from_be_bytes(taker.array()?) },
        DELETION => Side::Deletion { sequence: u64::from_be_bytes(taker.array()?) },
        RECEIPT => Side::Receipt { message: take_time(&mut taker)?, row: u32::from_be_bytes(taker.array()?) },
        _ => return Err(Damage::Senseless),
    };
    taker.end()?;
    Ok(side)
}

/// The prefix of all memberships of a user.
pub(super) fn memberships(realm: Realm, user: &Id) -> Vec<u8> {
    let mut key = vec![MEMBERSHIPS];
    key.extend(realm.0.to_be_bytes());
    put_id(user, &mut key);
    key
}

pub(super) fn membership(of: Incarnation, row: u32, user: &Id) -> Vec<u8> {
    let (realm, conversation) = of.place;
    let mut key = memberships(realm, user);
    key.extend(conversation.to_bytes());
    key.push(of.epoch);
    key.extend(row.to_be_bytes());
    key
}

/// Reads what follows the prefix of [`memberships`] in a key: the conversation and its epoch.
pub(super) fn read_membership(rest: &[u8]) -> Result<(ConversationId, u8), Damage> {
    let mut taker = Taker(rest);
    Ok((ConversationId::from_bytes(taker.array()?), taker.byte()?))
}

pub(super) fn sweep(of: Incarnation) -> Vec<u8> {
    let mut key = vec![SWEEPS];
    push_incarnation(of, &mut key);
    key
}

/// All sweeps.
pub(super) fn sweeps() -> ([u8; 1], [u8; 1]) {
    ([SWEEPS], [SWEEPS + 1])
}

/// All sweeps of one conversation.
pub(super) fn sweeps_of(place: Place) -> (Vec<u8>, Vec<u8>) {
    let mut prefix = vec![SWEEPS];
    push_place(place, &mut prefix);
    let end = behind(&prefix);
    (prefix, end)
}

pub(super) fn trim(of: Incarnation) -> Vec<u8> {
    let mut key = vec![TRIMS];
    push_incarnation(of, &mut key);
    key
}

/// All trims.
pub(super) fn trims() -> ([u8; 1], [u8; 1]) {
    ([TRIMS], [TRIMS + 1])
}

/// Reads a key of [`sweep`] or [`trim`].
pub(super) fn read_sweep(key: &[u8]) -> Result<Incarnation, Damage> {
    let mut taker = Taker(key);
    taker.byte()?;
    let of = Incarnation { place: take_place(&mut taker)?, epoch: taker.byte()? };
    taker.end()?;
    Ok(of)
}

/// The first key behind all that begin with this.
pub(super) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if last < 0xff {
            key.push(last + 1);
            return key;
        }
    }
    // Nothing but 0xff: no key of ours is longer.
    vec![0xff; 1_024]
}

fn push_place((realm, conversation): Place, key: &mut Vec<u8>) {
    key.extend(realm.0.to_be_bytes());
    key.extend(conversation.to_bytes());
}

fn take_place(taker: &mut Taker<'_>) -> Result<Place, Damage> {
    let realm = Realm(u16::from_be_bytes(taker.array()?));
    Ok((realm, ConversationId::from_bytes(taker.array()?)))
}

fn push_incarnation(of: Incarnation, key: &mut Vec<u8>) {
    push_place(of.place, key);
    key.push(of.epoch);
}

/// Creation times have 43 bits; a greater bound of a range is behind them all.
fn push_time(at: u64, key: &mut Vec<u8>) {
    let [_, _, bytes @ ..] = at.min((1 << 48) - 1).to_be_bytes();
    key.extend(bytes);
}

fn take_time(taker: &mut Taker<'_>) -> Result<u64, Damage> {
    let bytes: [u8; 6] = taker.array()?;
    Ok(bytes.iter().fold(0, |time, &byte| time << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(epoch: u8) -> Incarnation {
        let conversation = ConversationId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        Incarnation { place: (Realm(0x0a0b), conversation), epoch }
    }

    #[test]
    fn keys_are_as_they_always_were() {
        let incarnation = [0x0a, 0x0b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xee];
        let with = |before: &[u8], after: &[u8]| [before, &incarnation, after].concat();
        let of = of(0xee);
        assert_eq!(conversation(of.place), with(&[1], &[])[..13]);
        assert_eq!(message(of, 0x0001_0203_0405), with(&[], &[0, 1, 2, 3, 4, 5]));
        assert_eq!(message(of, u64::MAX), with(&[], &[0xff; 6]));
        assert_eq!(sent(of, 7, "x y"), with(&[], &[0, 0, 0, 7, b'x', b' ', b'y']));
        assert_eq!(side(of, Side::Member { row: 258 }), with(&[2], &[1, 0, 0, 1, 2]));
        assert_eq!(side(of, Side::Deletion { sequence: 3 }), with(&[2], &[2, 0, 0, 0, 0, 0, 0, 0, 3]));
        let receipt = Side::Receipt { message: 5, row: 6 };
        assert_eq!(side(of, receipt), with(&[2], &[3, 0, 0, 0, 0, 0, 5, 0, 0, 0, 6]));
        assert_eq!((sweep(of), trim(of)), (with(&[4], &[]), with(&[5], &[])));
        assert_eq!(horizon(of), with(&[2], &[4]));
        let user = Id::new("ann").unwrap();
        assert_eq!(
            membership(of, 9, &user),
            [&[3, 0x0a, 0x0b, 3][..], b"ann", &incarnation[2..], &[0, 0, 0, 9]].concat()
        );
        let user = Id::from_uuid([7; 16]);
        assert_eq!(memberships(Realm(1), &user), [&[3, 0, 1, 0][..], &[7; 16]].concat());
    }

    #[test]
    fn keys_read_back() {
        let of = of(3);
        assert_eq!(read_conversation(&conversation(of.place)), Ok(of.place));
        assert_eq!(read_message(&message(of, 1 << 42)), Ok(1 << 42));
        assert_eq!(read_sweep(&sweep(of)), Ok(of));
        for part in [
            Side::Member { row: u32::MAX },
            Side::Deletion { sequence: u64::MAX },
            Side::Receipt { message: 12, row: 1 },
        ] {
            assert_eq!(read_side(&side(of, part)), Ok(part));
        }
        let user = Id::new("ann").unwrap();
        let key = membership(of, 9, &user);
        let rest = &key[memberships(of.place.0, &user).len()..];
        assert_eq!(read_membership(rest), Ok((of.place.1, 3)));
        for bad in [&[][..], &[1], &[0; 40]] {
            assert!(read_conversation(bad).is_err() && read_message(bad).is_err(), "{bad:?}");
            assert!(read_side(bad).is_err() && read_sweep(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ranges_hold_what_they_should() {
        let place = of(0).place;
        let (first, end) = all_conversations();
        assert!(first < conversation(place) && conversation((Realm(u16::MAX), place.1)) < end);
        assert!(side(of(0), Side::Member { row: 0 }) >= end);
        let (first, end) = conversations_of(Realm(7));
        assert!(first <= conversation((Realm(7), ConversationId::from_number(0))));
        assert!(conversation((Realm(7), ConversationId::from_number(u128::MAX))) < end);
        assert!(end <= conversation((Realm(8), ConversationId::from_number(0))));
        let (first, end) = members(of(0xff));
        assert!(first <= side(of(0xff), Side::Member { row: 0 }));
        assert!(side(of(0xff), Side::Member { row: u32::MAX }) < end);
        assert!(side(of(0xff), Side::Deletion { sequence: 0 }) >= end);
        let (first, end) = members_and_deletions(of(0xff));
        assert!(first < side(of(0xff), Side::Member { row: 0 }));
        assert!(side(of(0xff), Side::Deletion { sequence: u64::MAX }) < end);
        assert!(side(of(0xff), Side::Receipt { message: 0, row: 0 }) >= end);
        let (first, end) = receipts(of(0xff));
        assert!(first <= side(of(0xff), Side::Receipt { message: 0, row: 0 }));
        assert!(side(of(0xff), Side::Receipt { message: u64::MAX, row: u32::MAX }) < end);
        assert_eq!(behind(&[1, 0xff, 0xff]), [2]);
        assert_eq!(behind(&[1, 2]), [1, 3]);
        assert!(behind(&[0xff; 20]) > vec![0xff; 300]);
    }
}
