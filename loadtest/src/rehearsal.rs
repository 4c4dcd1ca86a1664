//! A small crowd that comes and goes before the crowd that is measured, and how long its traces stay.
//!
//! The first crowd that a server meets, of whatever size, makes it read its code from disk, touch its stacks and set up
//! the pools of its allocator. That belongs to the server, not to the crowd: a rehearsal has it done before anything is
//! compared.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::fleet::tally::{Count, Tally};
use crate::fleet::{Fleet, Phase, Plan};
use crate::server::inquiry::{Inquirer, Inquiry};
use crate::server::watch::{Sample, Watcher};

/// How long reading the server's memory may take.
pub(crate) const SAMPLE: Duration = Duration::from_secs(20);
/// A server remembers for a minute who has left (a late word about a session must not revive it) before its memory
/// can come back; a crowd that took more than [`SMALL_CROWD`] bytes is waited for that long.
const AFTERMATH: Duration = Duration::from_secs(75);
pub(crate) const SMALL_CROWD: u64 = 16 << 20;
/// Timers of who has left stand for up to five minutes more: nothing is ever taken out of a wheel.
const TIMERS: Duration = Duration::from_secs(330);
/// The most of what a crowd took that may stay.
pub(crate) const MEMORY_BACK: f64 = 0.05;
/// Memory that does not come to rest is not waited for any longer.
const RESTLESS: Duration = Duration::from_secs(120);
/// How often is looked whether everybody is there.
const LOOK: Duration = Duration::from_millis(50);
/// How long a rehearsal may take to come together.
const PATIENCE: Duration = Duration::from_secs(120);
/// A rehearsal of as many is waited for until the server remembers none of them: what it keeps of fewer is nothing.
const REMEMBERED: u64 = 1_000;
/// How long it stays, so that heartbeats and timers have their turn too.
const STAY: Duration = Duration::from_secs(3);

/// As many as show a server all that a crowd of this size does: a tenth of it, at most ten thousand.
#[must_use]
pub fn fitting(sessions: u64) -> u64 {
    sessions.div_ceil(10).min(10_000)
}

/// Brings `sessions` of the plan's crowd, has them stay for a moment, in which a service asks what it will ask of the whole
/// crowd, and waits until the server, which is `fresh` before, has forgotten them.
///
/// # Errors
/// When they cannot come, or the generator fails.
pub(crate) fn hold(
    plan: &Plan,
    sessions: u64,
    inquiry: Option<&Inquiry>,
    (watcher, fresh): (Option<&Watcher>, Option<&Sample>),
    stop: &AtomicBool,
) -> Result<(), String> {
    let mut small = plan.clone();
    small.mix.connections = sessions;
    // Each says something in the time it stays.
    if small.mix.heartbeat.every > 0.0 && plan.dialect.make().patience().is_none() {
        small.mix.heartbeat.every = small.mix.heartbeat.every.min(STAY.as_secs_f64() / 2.0);
    }
    small.rings = 1;
    let mut fleet = Fleet::start(small)?;
    let (clock, mut seen) = (Clock::start(), Tally::default());
    let late = |clock: &Clock| clock.now() > PATIENCE.as_nanos() as u64;
    while fleet.missing() > 0 && !late(&clock) && !stop.load(Ordering::Acquire) {
        Clock::rest(LOOK);
        if let Some(failure) = fleet.failure() {
            return Err(failure);
        }
    }
    fleet.set(Phase::Run);
    let asks = |inquiry: &Inquiry| Inquiry { hold: STAY.as_secs_f64(), clock, ..inquiry.clone() };
    let inquirer = inquiry.map(|inquiry| Inquirer::start(asks(inquiry))).transpose();
    let inquirer = inquirer.map_err(|error| format!("the thread that asks: {error}"))?;
    Clock::rest(STAY);
    if let Some(inquirer) = inquirer {
        // What is answered counts when the whole crowd is there.
        let _ = inquirer.end(&mut Tally::default());
    }
    fleet.end(&mut seen)?;
    let came = seen.get(Count::Connected);
    if came < sessions && !stop.load(Ordering::Acquire) {
        return Err(format!("the rehearsal failed: {came} of {sessions} sessions could be opened"));
    }
    if let Some(watcher) = watcher {
        let least = if sessions >= REMEMBERED { AFTERMATH } else { Duration::ZERO };
        forgotten(watcher, fresh, &Wait { least, most: least, enough: 0 }, stop);
    }
    Ok(())
}

/// What a sample says of the server's memory, bytes.
pub(crate) fn pss(sample: Option<&Sample>) -> u64 {
    sample.and_then(|sample| sample.pss).map_or(0, |(_, pss)| pss)
}

/// How long the server's memory is waited for.
pub(crate) struct Wait {
    /// At least so long.
    least: Duration,
    /// So long, if more than [`Wait::enough`] is in use.
    most: Duration,
    /// Bytes.
    enough: u64,
}

/// What a crowd's memory is worth: of a small one nothing is waited for, of others until it is back, or has had its time.
pub(crate) fn worth(before: Option<&Sample>, with: Option<&Sample>) -> Wait {
    let took = pss(with).saturating_sub(pss(before));
    let (least, most) = if took > SMALL_CROWD { (AFTERMATH, TIMERS) } else { Default::default() };
    Wait { least, most, enough: pss(before) + (took as f64 * MEMORY_BACK) as u64 }
}

/// Waits until the server counts no more users online than `before`, and its memory has come to rest.
pub(crate) fn forgotten(watcher: &Watcher, before: Option<&Sample>, wait: &Wait, stop: &AtomicBool) {
    // The server still has to hear of it, and its grace has to pass.
    let wanted = before.and_then(|sample| sample.online).unwrap_or(0);
    for _ in 0..180 {
        let online = watcher.latest().filter(|sample| sample.alive).and_then(|sample| sample.online);
        if online.is_none_or(|online| online <= wanted) || stop.load(Ordering::Acquire) {
            break;
        }
        Clock::rest(Duration::from_secs(1));
    }
    // Last rows are written, graves are forgotten, pages are given back: until that has come to rest, or has had its
    // time.
    let clock = Clock::start();
    let (mut last, mut calm) = (u64::MAX, 0);
    loop {
        let waited = Duration::from_nanos(clock.now());
        let rested = calm >= 3 && waited >= wait.least && (last <= wait.enough || waited >= wait.most);
        if rested || waited >= wait.most + RESTLESS || stop.load(Ordering::Acquire) {
            break;
        }
        Clock::rest(Duration::from_secs(3));
        let now = pss(watcher.measure(SAMPLE).as_ref());
        calm = if now + now / 200 >= last { calm + 1 } else { 0 };
        last = now;
    }
}
