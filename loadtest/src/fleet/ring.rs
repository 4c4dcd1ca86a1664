//! One ring's thread: what is due is done, what has come is read, and the time between is slept.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use engine::io::{Driver, Token, Tuning, affinity};

use super::crowd::{Crowd, State};
use super::pace::Pace;
use super::sources::Sources;
use super::tally::Kind;
use super::{Field, PUBLISHED, Phase, Shown};
use crate::dialect::Ask;
use crate::mix::Heartbeat;
use crate::stamp::Stamp;

/// Time a connect has for its welcome.
const CONNECT_TIME: u64 = 60_000_000_000;
/// Longest sleep: how soon a ring notices what nobody wakes it for.
const LONGEST_SLEEP: u64 = 200_000_000;
/// How often the numbers are shown.
const SHOW: u64 = 100_000_000;
/// Connects and heartbeats of one turn; then the sockets are looked at again.
const BUDGET: usize = 128;
/// Connections that end in one turn at the end.
const ENDS: usize = 1_024;
/// Places looked at for a session that can take the next heartbeat of a closed loop.
const LOOK: u32 = 64;

/// A second, in nanoseconds.
const SECOND: f64 = 1e9;

struct Ring<'a> {
    crowd: Crowd,
    driver: Box<dyn Driver>,
    sources: Sources,
    staff_sources: Option<Sources>,
    shown: &'a Shown,
    phase: Phase,
    connects: Pace,
    /// The next person to connect.
    cursor: u32,
    expiring: VecDeque<(u64, Token)>,
    heartbeat: Heartbeat,
    beats: Pace,
    beat_cursor: u32,
    sends: Pace,
    publishes: Pace,
    churns: Pace,
    churn_cursor: u32,
    /// The crowd's dialect has words for a message to a user; otherwise the service sends.
    sends_itself: bool,
    sent: u64,
    random: u64,
    shown_at: u64,
    ending: u32,
    number: usize,
}

/// The thread.
pub(super) fn work(field: &Arc<Field>, shown: &Shown, number: usize) -> io::Result<()> {
    let plan = &field.plan;
    if let Some(&cpu) = plan.cpus.get(number % plan.cpus.len().max(1)) {
        affinity::pin_current_thread(cpu)?;
    }
    let crowd = Crowd::new(field.clone(), number);
    let tuning = Tuning {
        connections: crowd.conns.len() as u32,
        receive_buffer: 4_096,
        receive_buffers: 128,
        send_buffer: 0,
        send_arena: 1 << 18,
        ..Tuning::default()
    };
    let (driver, _) = engine::io::open(plan.io, &tuning)?;
    *shown.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(driver.waker());
    let salt = std::process::id() ^ (crate::clock::Clock::unix_ms() / 100) as u32;
    let mut ring = Ring {
        sources: Sources::new(plan.target, number, salt),
        staff_sources: plan.staff.map(|target| Sources::new(target, 199, salt)),
        shown,
        phase: Phase::End,
        connects: Pace::never(),
        cursor: 0,
        expiring: VecDeque::new(),
        heartbeat: field.heartbeat(),
        beats: Pace::never(),
        // Each ring begins its round elsewhere, so that a crowd which is not complete yet does not beat in bursts.
        beat_cursor: (crowd.persons() as usize * number / field.rings) as u32,
        sends: Pace::never(),
        publishes: Pace::never(),
        churns: Pace::never(),
        churn_cursor: 0,
        sends_itself: plan.can(&Ask::Send { to: 0, payload: b"" }),
        sent: 0,
        random: 0x2545_f491_4f6c_dd1d ^ number as u64,
        shown_at: 0,
        ending: 0,
        number,
        crowd,
        driver,
    };
    ring.run(field)
}

impl Ring<'_> {
    fn run(&mut self, field: &Field) -> io::Result<()> {
        let clock = field.plan.clock;
        loop {
            let now = clock.now();
            self.crowd.now = now;
            let phase = field.phase();
            if phase != self.phase {
                self.phase = phase;
                self.enter(field, now);
            }
            let busy = self.work(field, now);
            self.crowd.flush(&mut *self.driver);
            if now >= self.shown_at + SHOW || self.phase == Phase::End {
                self.show(now);
            }
            if self.phase == Phase::End && self.crowd.conns.iter().all(|conn| conn.state == State::Free) {
                self.show(now);
                return Ok(());
            }
            let sleep = if busy { Duration::ZERO } else { self.sleep(clock.now()) };
            self.driver.wait(Some(sleep), &mut self.crowd)?;
        }
    }

    fn enter(&mut self, field: &Field, now: u64) {
        let mix = &field.plan.mix;
        let share = self.number as f64 / field.rings as f64;
        let each = |rate: f64| Pace::new(now, rate / field.rings as f64, share);
        self.connects = Pace::never();
        (self.sends, self.publishes, self.churns) = (Pace::never(), Pace::never(), Pace::never());
        self.crowd.talk_enters(self.phase);
        match self.phase {
            Phase::Ramp => {
                self.cursor = 0;
                self.connects = each(mix.connect_rate);
                if self.crowd.staff.is_some_and(|staff| self.is_free(staff)) {
                    self.connect_staff(now);
                }
                self.pace_beats(field, now);
            }
            Phase::Settle | Phase::ReadBack => self.pace_beats(field, now),
            Phase::Rest => {
                self.beats = Pace::never();
                self.crowd.count_silent();
            }
            Phase::Run => {
                self.crowd.news = true;
                self.pace_beats(field, now);
                self.sends = each(mix.send.rate);
                self.churns = each(mix.churn.rate);
                if self.number == 0 {
                    self.publishes = Pace::new(now, field.publishing().rate, 1.0);
                }
            }
            Phase::Drop => {
                self.crowd.news = true;
                for slot in 0..self.crowd.persons() {
                    if !self.crowd.is_watcher(slot) {
                        self.crowd.cut(slot);
                    }
                }
            }
            Phase::End => self.ending = 0,
        }
    }

    /// Each session beats once an interval: a cursor goes round all places in that time. The ramp and the run go on
    /// with the same round.
    fn pace_beats(&mut self, field: &Field, now: u64) {
        if self.crowd.patience().is_some() {
            // The server's own heartbeats have the server's pace.
            return;
        }
        let heartbeat = field.heartbeat();
        let saturated = heartbeat.in_flight > 0;
        if heartbeat == self.heartbeat && self.beats.next().is_some() && !saturated {
            return;
        }
        let rate =
            if heartbeat.every > 0.0 { f64::from(self.crowd.persons()) / heartbeat.every } else { 0.0 };
        self.beats = if saturated { Pace::never() } else { Pace::new(now, rate, 1.0) };
        self.crowd.idle_places = 0;
        if saturated && self.phase == Phase::Run {
            let share = heartbeat.in_flight as usize;
            let more = usize::from(self.number < share % field.rings);
            self.crowd.idle_places = (share / field.rings + more) as u32;
        }
        self.heartbeat = heartbeat;
    }

    fn is_free(&self, slot: u32) -> bool {
        self.crowd.conns[slot as usize].state == State::Free
    }

    fn is_open(&self, slot: u32) -> bool {
        self.crowd.conns[slot as usize].state == State::Open
    }

    /// Does what is due; says whether there is more to do at once.
    fn work(&mut self, field: &Field, now: u64) -> bool {
        let mut busy = false;
        match self.phase {
            Phase::Ramp => busy |= self.connect_due(field, now),
            Phase::End => {
                let end = (self.ending as usize + ENDS).min(self.crowd.conns.len());
                for slot in self.ending..end as u32 {
                    self.crowd.cut(slot);
                }
                self.ending = end as u32;
                return end < self.crowd.conns.len();
            }
            _ => {}
        }
        busy |= self.beats_due(now);
        busy |= self.crowd.talk_due(self.phase);
        if self.phase == Phase::Run {
            self.sends_due(field, now);
            self.publishes_due(field, now);
            self.churn_due(field, now);
        }
        self.returns_due(field, now);
        while self.expiring.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, token)) = self.expiring.pop_front() else { break };
            // Only if it is the same try.
            let opening = self.crowd.conns[token.slot as usize].state == State::Opening;
            if opening && self.crowd.token(token.slot) == token {
                self.crowd.give_up(token.slot);
            }
        }
        busy
    }

    fn window(&self, field: &Field) -> u32 {
        (field.plan.mix.opening / field.rings as u32).max(1)
    }

    fn connect_due(&mut self, field: &Field, now: u64) -> bool {
        let open_loop = field.plan.mix.connect_rate > 0.0;
        for _ in 0..BUDGET {
            while self.cursor < self.crowd.persons() && !self.is_free(self.cursor) {
                self.cursor += 1;
            }
            if self.cursor >= self.crowd.persons() || self.crowd.opening >= self.window(field) {
                return false;
            }
            let due = if open_loop { self.connects.take(now) } else { Some(now) };
            let Some(due) = due else { return false };
            self.connect(self.cursor, due, now);
            self.cursor += 1;
        }
        true
    }

    fn connect(&mut self, slot: u32, due: u64, now: u64) {
        self.crowd.tally.note(Kind::Late, now.saturating_sub(due));
        match self.sources.connect() {
            Ok(socket) => {
                self.crowd.connect(&mut *self.driver, slot, socket, due);
                self.expiring.push_back((now + CONNECT_TIME, self.crowd.token(slot)));
            }
            Err(error) => self.crowd.tally.error(format!("connect: {error}")),
        }
    }

    fn connect_staff(&mut self, now: u64) {
        let (Some(slot), Some(sources)) = (self.crowd.staff, self.staff_sources.as_mut()) else { return };
        match sources.connect() {
            Ok(socket) => self.crowd.connect(&mut *self.driver, slot, socket, now),
            Err(error) => self.crowd.tally.error(format!("service: {error}")),
        }
    }

    /// Says whether there is more to do at once.
    fn beats_due(&mut self, now: u64) -> bool {
        let (persons, answer) = (self.crowd.persons(), self.heartbeat.answer);
        if persons == 0 {
            return false;
        }
        if self.heartbeat.in_flight > 0 && self.phase == Phase::Run {
            for _ in 0..std::mem::take(&mut self.crowd.idle_places) {
                let start = self.beat_cursor;
                let place = (start..start + LOOK).map(|slot| slot % persons);
                let free = place.into_iter().find(|&slot| self.is_open(slot) && !self.crowd.is_beating(slot));
                match free {
                    Some(slot) => {
                        self.beat_cursor = (slot + 1) % persons;
                        self.crowd.beat(slot, now, answer);
                    }
                    None => {
                        self.crowd.idle_places += 1;
                        self.beat_cursor = (start + LOOK) % persons;
                    }
                }
            }
            return false;
        }
        let mut said = 0;
        while let Some(due) = self.beats.take(now) {
            let slot = self.beat_cursor;
            self.beat_cursor = (slot + 1) % persons;
            if self.is_open(slot) {
                self.crowd.tally.note(Kind::Late, now.saturating_sub(due));
                self.crowd.beat(slot, due, answer);
                said += 1;
                if said == BUDGET {
                    return self.beats.next().is_some_and(|next| next <= now);
                }
            }
        }
        false
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn sends_due(&mut self, field: &Field, now: u64) {
        let mix = &field.plan.mix;
        for _ in 0..BUDGET {
            let Some(due) = self.sends.take(now) else { return };
            let from = if self.sends_itself {
                let persons = self.crowd.persons();
                let first = (self.random() % u64::from(persons.max(1))) as u32;
                (first..first + LOOK).map(|slot| slot % persons).find(|&slot| self.is_open(slot))
            } else {
                self.crowd.staff.filter(|&staff| self.is_open(staff))
            };
            let Some(from) = from else {
                self.crowd.tally.error("send: no session is open");
                continue;
            };
            let to = self.random() % mix.connections;
            let number = self.sent * field.rings as u64 + self.number as u64;
            self.sent += 1;
            self.crowd.tally.note(Kind::Late, now.saturating_sub(due));
            let payload = Stamp { number, due }.payload(mix.send.bytes);
            self.crowd.message(from, due, &Ask::Send { to, payload: &payload });
        }
    }

    fn publishes_due(&mut self, field: &Field, now: u64) {
        if self.publishes.next().is_none_or(|due| due > now) {
            return;
        }
        let channel = field.publishing();
        while let Some(due) = self.publishes.take(now) {
            let Some(staff) = self.crowd.staff.filter(|&staff| self.is_open(staff)) else {
                self.crowd.tally.error("publish: the service is not connected");
                continue;
            };
            self.crowd.tally.note(Kind::Late, now.saturating_sub(due));
            for _ in 0..channel.burst {
                let number = field.published.fetch_add(1, Ordering::AcqRel);
                field.arrivals[number as usize % super::ARRIVALS].store(0, Ordering::Release);
                let to = number / u64::from(channel.burst) % channel.channels;
                let payload = Stamp { number: number | PUBLISHED, due }.payload(channel.bytes);
                self.crowd.message(staff, due, &Ask::Publish { channel: to, payload: &payload });
            }
        }
    }

    fn churn_due(&mut self, field: &Field, now: u64) {
        let away = (field.plan.mix.churn.away * SECOND) as u64;
        let persons = self.crowd.persons();
        for _ in 0..BUDGET {
            let Some(due) = self.churns.take(now) else { return };
            let first = self.churn_cursor;
            let mut slots = (first..first + persons).map(|slot| slot % persons);
            let leaver = slots.find(|&slot| self.is_open(slot) && !self.crowd.is_watcher(slot));
            if let Some(slot) = leaver {
                self.churn_cursor = (slot + 1) % persons;
                self.crowd.tally.note(Kind::Late, now.saturating_sub(due));
                self.crowd.leave(slot, due, away);
            }
        }
    }

    fn returns_due(&mut self, field: &Field, now: u64) {
        for _ in 0..BUDGET {
            let Some(&(due, slot)) = self.crowd.back.front() else { return };
            if due > now || self.phase == Phase::End || self.crowd.opening >= self.window(field) {
                return;
            }
            self.crowd.back.pop_front();
            if self.is_free(slot) {
                self.connect(slot, due, now);
            } else {
                // The server has not closed yet; the time it takes counts.
                self.crowd.back.push_back((due, slot));
                return;
            }
        }
    }

    fn sleep(&self, now: u64) -> Duration {
        let connects = if self.phase == Phase::Ramp && self.cursor < self.crowd.persons() {
            self.connects.next()
        } else {
            None
        };
        let back = self.crowd.back.front().map(|(due, _)| (*due).max(now + 1_000_000));
        let paces = [&self.beats, &self.sends, &self.publishes, &self.churns].map(Pace::next);
        let dues = paces.into_iter().chain([connects, back, self.crowd.talk_next()]);
        let next = dues.flatten().min().unwrap_or(u64::MAX).min(now + LONGEST_SLEEP);
        Duration::from_nanos(next.saturating_sub(now))
    }

    fn show(&mut self, now: u64) {
        self.shown_at = now;
        self.shown.open.store(self.crowd.open, Ordering::Release);
        let left = if self.phase == Phase::Ramp { self.crowd.persons() - self.cursor } else { 0 };
        let missing = u64::from(left + self.crowd.opening) + self.crowd.back.len() as u64;
        self.shown.missing.store(missing, Ordering::Release);
        self.shown.waits.store(self.crowd.talk_waits(), Ordering::Release);
        self.shown.tally.lock().unwrap_or_else(PoisonError::into_inner).absorb(&mut self.crowd.tally);
    }
}
