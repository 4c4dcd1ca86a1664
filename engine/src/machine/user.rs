//! One user at its home: the states of presence, and what moves them. Pure transitions; what follows from them (the
//! list of online users, the watchers, the store) is done by [`super::home`].
//!
//! ```text
//!            attach                    no activity (if enabled)
//!  offline ─────────► online ◄───────────────────────────────► away
//!     ▲                │  ▲            activity                 │
//!     │ time is up     │  │ attach                              │
//!     └──── grace ◄────┴──┼─────────────────────────────────────┘
//!             │ ▲         │        last session detached
//!             └─┼─────────┘
//!               └── online journal, at the start
//! ```

use schema::{Device, Id, LastSeen, Realm, SessionAddr, SessionRef, ShardId, Status};

use super::slab::Slotted;

/// End of a list of slots; no slot has this number.
pub(super) const NIL: u32 = u32::MAX;

/// A session as its user's home knows it: where it is, on what it runs, when it began. 20 bytes. Its incarnation is
/// the home's own: all shards of a node begin together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Attachment {
    slot: u32,
    generation: u32,
    since_low: u32,
    since_high: u16,
    shard: ShardId,
    pub(super) device: Device,
    pub(super) stay: Stay,
}

/// Whether a session may stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stay {
    /// It may.
    Welcome,
    /// It is one too many, and its host is to be told.
    Unwanted,
    /// Its host has been told.
    Told,
}

impl Attachment {
    pub(super) fn new(session: SessionAddr, device: Device, since: u64) -> Self {
        let SessionAddr { shard, session: SessionRef { slot, generation }, .. } = session;
        let (since_low, since_high) = (since as u32, (since >> 32) as u16);
        Self { slot, generation, since_low, since_high, shard, device, stay: Stay::Welcome }
    }

    /// The session's host, and its name there.
    pub(super) fn place(&self) -> (ShardId, SessionRef) {
        (self.shard, SessionRef { slot: self.slot, generation: self.generation })
    }

    /// True when it is that session's.
    pub(super) fn is(&self, session: SessionAddr) -> bool {
        self.place() == (session.shard, session.session)
    }

    pub(super) fn since(&self) -> u64 {
        u64::from(self.since_high) << 32 | u64::from(self.since_low)
    }
}

/// The state, with what belongs to it. The first attachment is the oldest; more of them lie in [`Extra`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presence {
    /// No session, no grace left. The record is here for somebody who watches, or until the store has it.
    Offline,
    /// Sessions.
    Present(Attachment),
    /// No session any more, or not yet again after a restart; counts as online until then.
    Grace {
        /// Low half of the monotonic millisecond at which it is over.
        until: u32,
        /// What the last session ran on.
        device: Device,
    },
}

impl Presence {
    pub(super) fn is_online(&self) -> bool {
        !matches!(self, Self::Offline)
    }
}

/// When last seen: not asked yet, never, or a time; a larger one is later or better known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Seen(u64);

impl Seen {
    pub(super) const UNKNOWN: Self = Self(0);
    pub(super) const NEVER: Self = Self(1);

    pub(super) fn at(ms: u64) -> Self {
        Self(ms.max(2))
    }

    pub(super) fn of(last_seen: LastSeen) -> Self {
        match last_seen {
            LastSeen::Unknown => Self::UNKNOWN,
            LastSeen::Never => Self::NEVER,
            LastSeen::At(ms) => Self::at(ms),
        }
    }

    pub(super) fn told(self) -> LastSeen {
        match self {
            Self::UNKNOWN => LastSeen::Unknown,
            Self::NEVER => LastSeen::Never,
            Self(ms) => LastSeen::At(ms),
        }
    }

    /// Milliseconds; 0 when there is no time.
    pub(super) fn ms(self) -> u64 {
        if self.0 > 1 { self.0 } else { 0 }
    }

    /// The second, by which lists are ordered.
    pub(super) fn second(self) -> u32 {
        u32::try_from(self.ms() / 1_000).unwrap_or(u32::MAX)
    }
}

/// Where a user's row stands with the store. A row is under way at most once, so that an older one never arrives
/// after a newer one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Row {
    /// The store has it.
    Clean,
    /// It waits for the next flush.
    Dirty,
    /// It is under way.
    Written,
    /// It is under way and has changed since.
    WrittenDirty,
}

/// A shard on which somebody watches the user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Interest {
    pub(super) shard: ShardId,
    pub(super) revision: u64,
    /// The news is still to be told.
    pub(super) dirty: bool,
}

/// What most users do not have.
#[derive(Default)]
pub(super) struct Extra {
    /// Further sessions, oldest first.
    pub(super) more: Vec<Attachment>,
    /// Who is to be told.
    pub(super) interest: Vec<Interest>,
    /// Last seen is being asked of the store; whoever watches is told without it at this time.
    pub(super) reading: Option<Reading>,
    /// Which of the machine's readings that is: an answer to another one was asked for by a record that was here before.
    pub(super) read_number: u64,
}

/// How long watchers wait for a last seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reading {
    /// Until this monotonic millisecond.
    Patient(u64),
    /// They have been told that it is not known yet.
    Late,
}

impl Reading {
    fn is_late(self, now: u64) -> bool {
        match self {
            Self::Patient(until) => until <= now,
            Self::Late => true,
        }
    }
}

/// A user at its home.
pub(super) struct User {
    pub(super) id: Id,
    pub(super) realm: Realm,
    pub(super) row: Row,
    /// Nothing was done for a while. Grace changes nothing about it: it is no news.
    away: bool,
    pub(super) presence: Presence,
    pub(super) seen: Seen,
    pub(super) extra: Option<Box<Extra>>,
    /// Neighbours in the list of online users.
    pub(super) prev: u32,
    pub(super) next: u32,
    /// Tick of the timer that counts; 0: none.
    pub(super) armed: u32,
    /// Tick of the latest activity.
    pub(super) active: u32,
}

impl Slotted for User {}

/// What an attach came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Attach {
    /// The session was attached already.
    Known,
    /// The user was offline: this is its online event.
    CameOnline,
    /// The user came back within its grace: that is no event.
    Returned,
    /// One more session.
    Joined,
}

/// What a detach came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Detach {
    /// No such session was attached.
    Unknown,
    /// Others are left.
    Stays,
    /// It was the last one.
    Last,
}

impl User {
    pub(super) fn new(realm: Realm, id: Id) -> Self {
        Self {
            id,
            realm,
            row: Row::Clean,
            away: false,
            presence: Presence::Offline,
            seen: Seen::UNKNOWN,
            extra: None,
            prev: NIL,
            next: NIL,
            armed: 0,
            active: 0,
        }
    }

    pub(super) fn status(&self) -> Status {
        match self.presence {
            Presence::Offline => Status::Offline,
            Presence::Present(_) | Presence::Grace { .. } if self.away => Status::Away,
            Presence::Present(_) | Presence::Grace { .. } => Status::Online,
        }
    }

    /// Online, has sessions, and may become away.
    pub(super) fn is_active(&self) -> bool {
        matches!(self.presence, Presence::Present(_)) && !self.away
    }

    /// All sessions, oldest first.
    pub(super) fn attachments(&self) -> impl Iterator<Item = &Attachment> {
        let first = match &self.presence {
            Presence::Present(first) => Some(first),
            Presence::Offline | Presence::Grace { .. } => None,
        };
        first.into_iter().chain(self.extra.iter().flat_map(|extra| &extra.more))
    }

    /// The one of a session.
    pub(super) fn attachment(&self, session: SessionAddr) -> Option<&Attachment> {
        self.attachments().find(|attachment| attachment.is(session))
    }

    /// The same, to be changed.
    pub(super) fn attachments_mut(&mut self) -> impl Iterator<Item = &mut Attachment> {
        let first = match &mut self.presence {
            Presence::Present(first) => Some(first),
            Presence::Offline | Presence::Grace { .. } => None,
        };
        first.into_iter().chain(self.extra.iter_mut().flat_map(|extra| &mut extra.more))
    }

    /// Device of the newest session.
    pub(super) fn device(&self) -> Device {
        match (&self.presence, self.attachments().last()) {
            (_, Some(newest)) => newest.device,
            (Presence::Grace { device, .. }, None) => *device,
            (_, None) => Device::default(),
        }
    }

    /// A session begins.
    pub(super) fn attach(&mut self, new: Attachment) -> Attach {
        match &mut self.presence {
            Presence::Offline => {
                self.presence = Presence::Present(new);
                Attach::CameOnline
            }
            // Who was away is so until it is woken.
            Presence::Grace { .. } => {
                self.presence = Presence::Present(new);
                Attach::Returned
            }
            Presence::Present(first) => {
                if first.place() == new.place() {
                    return Attach::Known;
                }
                let more = &mut self.extra.get_or_insert_default().more;
                if more.iter().any(|other| other.place() == new.place()) {
                    return Attach::Known;
                }
                // Sessions of other shards may be told late: the order is that of their beginnings.
                let mut new = new;
                if new.since() < first.since() {
                    std::mem::swap(first, &mut new);
                }
                let at = more.iter().rposition(|other| other.since() <= new.since()).map_or(0, |at| at + 1);
                more.insert(at, new);
                Attach::Joined
            }
        }
    }

    /// A session ends. After the last one the user is in grace until the tick.
    pub(super) fn detach(&mut self, session: SessionAddr, until: u32) -> Detach {
        let more = self.extra.as_mut().map(|extra| &mut extra.more);
        match (&mut self.presence, more) {
            (Presence::Present(first), more) if first.is(session) => match more {
                Some(more) if !more.is_empty() => {
                    *first = more.remove(0);
                    self.slim();
                    Detach::Stays
                }
                _ => {
                    let device = first.device;
                    self.presence = Presence::Grace { until, device };
                    Detach::Last
                }
            },
            (_, Some(more)) => match more.iter().position(|other| other.is(session)) {
                Some(at) => {
                    more.remove(at);
                    self.slim();
                    Detach::Stays
                }
                None => Detach::Unknown,
            },
            (_, None) => Detach::Unknown,
        }
    }

    /// The grace is over.
    pub(super) fn leave(&mut self) {
        self.presence = Presence::Offline;
        self.away = false;
    }

    /// The user did something. True when it was away.
    pub(super) fn wake(&mut self, tick: u32) -> bool {
        self.active = tick;
        matches!(self.presence, Presence::Present(_)) && std::mem::take(&mut self.away)
    }

    /// Nothing was done for a while. True when that is news.
    pub(super) fn rest(&mut self) -> bool {
        let active = self.is_active();
        self.away |= active;
        active
    }

    /// Whoever watches has waited long enough for last seen. True when they have not been told so before.
    pub(super) fn lose_patience(&mut self, now: u64) -> bool {
        match self.extra.as_mut().map(|extra| &mut extra.reading) {
            Some(reading @ Some(Reading::Patient(_)))
                if reading.is_some_and(|reading| reading.is_late(now)) =>
            {
                *reading = Some(Reading::Late);
                true
            }
            _ => false,
        }
    }

    pub(super) fn interest(&self) -> &[Interest] {
        self.extra.as_ref().map_or(&[], |extra| &extra.interest)
    }

    /// True when nothing needs the record any more.
    pub(super) fn is_done(&self) -> bool {
        self.presence == Presence::Offline && self.row == Row::Clean && self.interest().is_empty()
    }

    /// Gives back what is empty.
    pub(super) fn slim(&mut self) {
        if let Some(extra) = &mut self.extra {
            if extra.more.is_empty() && extra.interest.is_empty() && extra.reading.is_none() {
                self.extra = None;
            } else if extra.more.is_empty() {
                extra.more = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u32) -> SessionAddr {
        let session = SessionRef { slot: number, generation: 1 };
        SessionAddr { incarnation: 7, shard: ShardId(3), session }
    }

    fn attachment(number: u32, since: u64) -> Attachment {
        Attachment::new(session(number), Device::default(), since)
    }

    fn user() -> User {
        User::new(Realm(0), Id::new("0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55").unwrap())
    }

    #[test]
    fn a_user_is_small() {
        assert_eq!(size_of::<Attachment>(), 20);
        assert_eq!(size_of::<Presence>(), 20);
        assert_eq!(size_of::<User>(), 80);
        assert_eq!(super::super::slab::slot_bytes::<User>(), 80);
    }

    #[test]
    fn one_online_and_one_offline_whatever_the_devices() {
        let mut user = user();
        assert_eq!(user.attach(attachment(1, 10)), Attach::CameOnline);
        assert_eq!(user.attach(attachment(1, 10)), Attach::Known);
        assert_eq!(user.attach(attachment(2, 20)), Attach::Joined);
        assert_eq!(user.attach(attachment(2, 20)), Attach::Known);
        assert_eq!(user.detach(session(3), 0), Detach::Unknown);
        assert_eq!(user.detach(session(1), 0), Detach::Stays);
        assert_eq!(user.detach(session(1), 0), Detach::Unknown);
        assert_eq!(user.detach(session(2), 99), Detach::Last);
        assert_eq!(user.presence, Presence::Grace { until: 99, device: Device::default() });
        assert_eq!(user.status(), Status::Online);
        assert_eq!(user.attach(attachment(4, 40)), Attach::Returned);
        assert!(user.extra.is_none(), "the list of further sessions is given back");
    }

    #[test]
    fn the_oldest_session_is_the_first_in_whatever_order_they_are_told() {
        let mut user = user();
        for number in [5_u32, 3, 9, 1, 7] {
            user.attach(attachment(number, u64::from(number) << 30));
        }
        let order: Vec<u32> = user.attachments().map(|a| a.place().1.slot).collect();
        assert_eq!(order, [1, 3, 5, 7, 9]);
    }

    #[test]
    fn away_and_back() {
        let mut user = user();
        assert!(!user.rest(), "an offline user is not away");
        user.attach(attachment(1, 1));
        assert!(user.rest() && !user.rest());
        assert_eq!(user.status(), Status::Away);
        assert!(user.wake(5) && !user.wake(6));
        assert_eq!(user.status(), Status::Online);
        assert!(user.rest());
        user.detach(session(1), 99);
        assert_eq!(user.status(), Status::Away, "grace is no news");
        assert!(!user.wake(7));
        user.attach(attachment(2, 2));
        assert_eq!(user.status(), Status::Away, "until it is woken");
        user.leave();
        user.attach(attachment(3, 3));
        assert_eq!(user.status(), Status::Online);
    }

    #[test]
    fn what_is_known_of_last_seen_only_gets_better() {
        let known = [Seen::UNKNOWN, Seen::of(LastSeen::Never), Seen::at(0), Seen::at(1_000)];
        assert!(known.is_sorted());
        assert_eq!(Seen::of(LastSeen::At(77)).told(), LastSeen::At(77));
        assert_eq!(Seen::of(LastSeen::Never).told(), LastSeen::Never);
    }
}
