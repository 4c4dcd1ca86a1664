//! What a ring's persons say in conversations, what they read, and what becomes of each ask.
//!
//! Whatever wants an answer has a ticket: its place in the list of what is under way. What every ring does once (making
//! the conversations, reading everything back) are chores: some at a time, and one that is refused for now is tried again.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::super::pace::Pace;
use super::super::{Phase, RECEIVED};
use super::{Count, Crowd, Kind, State};
use crate::dialect::{Ask, Room, Word};
use crate::stamp::Stamp;

/// Chores under way on a ring.
const AT_WORK: usize = 128;
/// Time after which a chore that was refused for now is tried again.
const AGAIN: u64 = 250_000_000;
/// Messages of a page that is read back: what a server gives at most.
const WHOLE_PAGE: u16 = 100;
/// Asks of a kind in one turn; then the sockets are looked at again.
const BUDGET: usize = 128;
/// Messages tried in a row for one whose conversation has a member here that is connected.
const LOOK: usize = 64;
/// The low bits of a message's number count; the high ones are the run's.
const COUNTED: u64 = (1 << 40) - 1;

/// What waits for an answer.
#[derive(Clone, Copy)]
enum Under {
    Nothing,
    Say { number: u64, due: u64, copy: bool },
    Page { due: u64 },
    List { due: u64 },
    Chore(Chore),
}

#[derive(Clone, Copy)]
enum Chore {
    Make { room: u64 },
    Read { room: u64, before: Option<u64> },
}

/// One ring's part.
pub(super) struct Talk {
    says: Pace,
    pages: Pace,
    lists: Pace,
    /// Places in a closed loop that are free.
    places: u32,
    under: Vec<Under>,
    free: Vec<u32>,
    chores: VecDeque<Chore>,
    /// Chores that were refused for now, and when they are tried again.
    later: VecDeque<(u64, Chore)>,
    at_work: usize,
    said: u64,
    copies: f64,
    random: u64,
    list_at: u32,
    made: bool,
}

impl Talk {
    pub(super) fn new(number: usize) -> Self {
        Self {
            says: Pace::never(),
            pages: Pace::never(),
            lists: Pace::never(),
            places: 0,
            under: Vec::new(),
            free: Vec::new(),
            chores: VecDeque::new(),
            later: VecDeque::new(),
            at_work: 0,
            said: 0,
            copies: 0.0,
            random: 0x9e37_79b9_7f4a_7c15 ^ number as u64,
            list_at: 0,
            made: false,
        }
    }

    fn ticket(&mut self, what: Under) -> u64 {
        match self.free.pop() {
            Some(place) => {
                self.under[place as usize] = what;
                place.into()
            }
            None => {
                self.under.push(what);
                self.under.len() as u64 - 1
            }
        }
    }

    fn answered(&mut self, ticket: u64) -> Under {
        let Some(under) = self.under.get_mut(ticket as usize) else { return Under::Nothing };
        let what = std::mem::replace(under, Under::Nothing);
        if !matches!(what, Under::Nothing) {
            self.free.push(ticket as u32);
        }
        what
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.random)
    }
}

/// Spreads a number over all bits (splitmix64).
fn mixed(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Crowd {
    /// The conversation that the message with this number is said in: everybody knows it from the number alone.
    fn room_of(&self, number: u64) -> u64 {
        mixed(number.wrapping_mul(2).wrapping_add(1)) % self.field.plan.mix.messages.conversations.max(1)
    }

    /// The slot of a person that is on this ring and connected.
    fn at_hand(&self, person: u64) -> Option<u32> {
        let rings = self.field.rings as u64;
        let slot = (person % rings == self.number as u64).then_some((person / rings) as u32)?;
        (self.conns.get(slot as usize)?.state == State::Open).then_some(slot)
    }

    fn members(&self, room: u64) -> Vec<u64> {
        let mix = &self.field.plan.mix;
        mix.messages.of_room(room, mix.connections).collect()
    }

    /// Conversations whose first member is on this ring.
    fn own_rooms(&self) -> impl Iterator<Item = u64> + use<> {
        let (users, rings) = (self.field.plan.mix.connections, self.field.rings as u64);
        let number = self.number as u64;
        (0..self.field.plan.mix.messages.conversations).filter(move |room| room % users % rings == number)
    }

    /// The ring has come to another phase.
    pub(in super::super) fn talk_enters(&mut self, phase: Phase) {
        let (field, now) = (self.field.clone(), self.now);
        let messages = &field.plan.mix.messages;
        if messages.conversations == 0 {
            return;
        }
        let (rings, share) = (field.rings as f64, self.number as f64 / field.rings as f64);
        let each = |rate: f64| Pace::new(now, rate / rings, share);
        (self.talk.says, self.talk.pages, self.talk.lists) = (Pace::never(), Pace::never(), Pace::never());
        self.talk.places = 0;
        match phase {
            Phase::Settle if !self.talk.made => {
                self.talk.made = true;
                self.talk.chores = self.own_rooms().map(|room| Chore::Make { room }).collect();
            }
            Phase::Run => {
                let more = self.number < messages.in_flight as usize % field.rings;
                self.talk.places = messages.in_flight / field.rings as u32 + u32::from(more);
                if messages.in_flight == 0 {
                    self.talk.says = each(messages.rate);
                }
                (self.talk.pages, self.talk.lists) = (each(messages.pages), each(messages.lists));
            }
            Phase::ReadBack => {
                self.talk.chores = self.own_rooms().map(|room| Chore::Read { room, before: None }).collect();
            }
            _ => {}
        }
    }

    /// Does what is due; says whether there is more to do at once.
    pub(in super::super) fn talk_due(&mut self, phase: Phase) -> bool {
        if phase == Phase::End {
            return false;
        }
        let mut busy = self.chores_due();
        if phase != Phase::Run {
            return busy;
        }
        for _ in 0..std::mem::take(&mut self.talk.places) {
            self.say(self.now);
        }
        busy |= self.paced(|talk| &mut talk.says, Self::say);
        busy |= self.paced(|talk| &mut talk.pages, Self::read_page);
        busy | self.paced(|talk| &mut talk.lists, Self::read_list)
    }

    fn paced(&mut self, pace: fn(&mut Talk) -> &mut Pace, act: fn(&mut Self, u64)) -> bool {
        for _ in 0..BUDGET {
            let Some(due) = pace(&mut self.talk).take(self.now) else { return false };
            self.tally.note(Kind::Late, self.now.saturating_sub(due));
            act(self, due);
        }
        pace(&mut self.talk).next().is_some_and(|next| next <= self.now)
    }

    /// When something is due next.
    pub(in super::super) fn talk_next(&self) -> Option<u64> {
        let talk = &self.talk;
        let later = talk.later.front().map(|(at, _)| *at);
        [talk.says.next(), talk.pages.next(), talk.lists.next(), later].into_iter().flatten().min()
    }

    /// What is under way and what is still to be done once.
    pub(in super::super) fn talk_waits(&self) -> u64 {
        let talk = &self.talk;
        (talk.under.len() - talk.free.len() + talk.chores.len() + talk.later.len()) as u64
    }

    fn chores_due(&mut self) -> bool {
        while let Some(&(at, chore)) = self.talk.later.front().filter(|(at, _)| *at <= self.now) {
            let _ = at;
            self.talk.later.pop_front();
            self.talk.chores.push_back(chore);
        }
        while self.talk.at_work < AT_WORK {
            let Some(chore) = self.talk.chores.pop_front() else { return false };
            let (Chore::Make { room } | Chore::Read { room, .. }) = chore;
            let members = self.members(room);
            let Some(slot) = self.at_hand(members[0]) else {
                self.talk.later.push_back((self.now + AGAIN, chore));
                continue;
            };
            self.talk.at_work += 1;
            let ticket = self.talk.ticket(Under::Chore(chore));
            let room = Room { number: room, members: &members };
            match chore {
                Chore::Make { .. } => {
                    self.piece(slot, |dialect, out| dialect.say(&Ask::Make { room, ticket }, out))
                }
                Chore::Read { before, .. } => {
                    let ask = Ask::Page { room, before, limit: WHOLE_PAGE, ticket };
                    self.piece(slot, |dialect, out| dialect.say(&ask, out));
                }
            }
        }
        false
    }

    /// A random member of a random conversation says something that was due then.
    fn say(&mut self, due: u64) {
        let field = self.field.clone();
        let messages = &field.plan.mix.messages;
        for _ in 0..LOOK {
            let count = self.talk.said * field.rings as u64 + self.number as u64;
            self.talk.said += 1;
            let number = field.salt << 40 | count & COUNTED;
            let members = self.members(self.room_of(number));
            let first = self.talk.random() as usize % members.len();
            let turned = (0..members.len()).map(|place| members[(first + place) % members.len()]);
            let Some(slot) = turned.into_iter().find_map(|person| self.at_hand(person)) else { continue };
            let payload = Stamp { number, due }.payload(messages.bytes);
            let payload = std::str::from_utf8(&payload).unwrap_or_default();
            self.talk.copies += messages.twice;
            let copies = self.talk.copies as u64;
            self.talk.copies -= copies as f64;
            for copy in 0..=copies {
                let copy = copy > 0;
                let ticket = self.talk.ticket(Under::Say { number, due, copy });
                let room = Room { number: self.room_of(number), members: &members };
                let ask = Ask::Say { room, number, payload, ticket };
                self.piece(slot, |dialect, out| dialect.say(&ask, out));
                self.tally.count(if copy { Count::Copies } else { Count::Messages }, 1);
            }
            return;
        }
        self.tally.error("say: no member of a conversation is connected");
    }

    fn read_page(&mut self, due: u64) {
        let messages = self.field.plan.mix.messages.clone();
        for _ in 0..LOOK {
            let number = self.talk.random() % messages.conversations;
            let members = self.members(number);
            let Some(slot) = members.iter().find_map(|&person| self.at_hand(person)) else { continue };
            let ticket = self.talk.ticket(Under::Page { due });
            let room = Room { number, members: &members };
            let ask = Ask::Page { room, before: None, limit: messages.page, ticket };
            return self.piece(slot, |dialect, out| dialect.say(&ask, out));
        }
        self.tally.error("page: no member of a conversation is connected");
    }

    fn read_list(&mut self, due: u64) {
        let (limit, persons) = (self.field.plan.mix.messages.list, self.persons());
        for _ in 0..LOOK.min(persons as usize) {
            let slot = self.talk.list_at % persons;
            self.talk.list_at = (slot + 1) % persons;
            if self.conns[slot as usize].state == State::Open {
                let ticket = self.talk.ticket(Under::List { due });
                return self.piece(slot, |dialect, out| dialect.say(&Ask::List { limit, ticket }, out));
            }
        }
        self.tally.error("list: nobody is connected");
    }

    /// An answer, or something that was said.
    pub(super) fn talked(&mut self, slot: u32, word: Word) {
        match word {
            Word::Said { stamp, sequence } => self.said(slot, stamp, sequence),
            Word::Made { ticket } => {
                if let Under::Chore(Chore::Make { .. }) = self.talk.answered(ticket) {
                    self.talk.at_work -= 1;
                    self.tally.count(Count::Made, 1);
                }
            }
            Word::Kept { ticket, again } => self.kept(ticket, again),
            Word::Page { ticket, stamps, before } => self.page(ticket, &stamps, before),
            Word::Listed { ticket } => {
                if let Under::List { due } = self.talk.answered(ticket) {
                    self.tally.count(Count::Lists, 1);
                    self.tally.note(Kind::List, self.now.saturating_sub(due));
                }
            }
            Word::Denied { ticket, why, later } => self.denied(ticket, &why, later),
            _ => {}
        }
    }

    /// The bit of a message of this run, in one of the field's circles.
    fn bit(&self, number: u64) -> Option<(usize, u64)> {
        let bit = (number & COUNTED) as usize % RECEIVED;
        (number >> 40 == self.field.salt).then_some((bit / 64, 1 << (bit % 64)))
    }

    fn kept(&mut self, ticket: u64, again: bool) {
        let Under::Say { number, due, copy } = self.talk.answered(ticket) else { return };
        let Some((word, bit)) = self.bit(number) else { return };
        let known = self.field.kept[word].fetch_or(bit, Ordering::AcqRel) & bit != 0;
        if copy {
            self.tally.count(Count::Again, u64::from(again));
            // The same message was taken for a new one.
            self.tally.count(Count::Repeated, u64::from(known && !again));
            return;
        }
        self.talk.places += u32::from(self.field.plan.mix.messages.in_flight > 0);
        self.tally.count(Count::Taken, 1);
        self.tally.note(Kind::Kept, self.now.saturating_sub(due));
    }

    fn page(&mut self, ticket: u64, stamps: &[Stamp], before: Option<u64>) {
        match self.talk.answered(ticket) {
            Under::Page { due } => {
                self.tally.count(Count::Pages, 1);
                self.tally.note(Kind::Page, self.now.saturating_sub(due));
            }
            Under::Chore(Chore::Read { room, .. }) => {
                self.talk.at_work -= 1;
                for stamp in stamps {
                    let Some((word, bit)) = self.bit(stamp.number) else { continue };
                    let known = self.field.found[word].fetch_or(bit, Ordering::AcqRel) & bit != 0;
                    self.tally.count(if known { Count::KeptTwice } else { Count::ReadBack }, 1);
                }
                if before.is_some() {
                    self.talk.chores.push_back(Chore::Read { room, before });
                }
            }
            _ => {}
        }
    }

    fn said(&mut self, slot: u32, stamp: Option<Stamp>, sequence: u64) {
        let Some(stamp) = stamp.filter(|stamp| stamp.number >> 40 == self.field.salt) else { return };
        self.tally.count(Count::Deliveries, 1);
        self.tally.note(Kind::Delivery, self.now.saturating_sub(stamp.due));
        let (field, room) = (self.field.clone(), self.room_of(stamp.number));
        let (messages, users) = (&field.plan.mix.messages, field.plan.mix.connections);
        let Some(place) = messages.place_in(room, self.person(slot), users) else {
            return self.tally.error("a message of a conversation that the user is not in");
        };
        let heard = &field.heard[(room * messages.members + place) as usize];
        // In one order, each once: what is not later than the one before has been told already.
        if u64::from(heard.swap(sequence as u32, Ordering::AcqRel)) >= sequence {
            self.tally.count(Count::Repeated, 1);
        }
    }

    fn denied(&mut self, ticket: u64, why: &str, later: bool) {
        match self.talk.answered(ticket) {
            Under::Chore(chore) => {
                self.talk.at_work -= 1;
                if later {
                    return self.talk.later.push_back((self.now + AGAIN, chore));
                }
            }
            Under::Say { copy, .. } => {
                let closed = self.field.plan.mix.messages.in_flight > 0;
                self.talk.places += u32::from(closed && !copy);
            }
            Under::Page { .. } | Under::List { .. } => {}
            Under::Nothing => return,
        }
        self.tally.error(format!("refused: {why}"));
    }
}
