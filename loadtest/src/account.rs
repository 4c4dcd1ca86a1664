//! What the server's side of a run comes to: CPU, memory by kind, turns.

use std::collections::BTreeMap;

use crate::outcome::{Memory3, Server, Turns};
use crate::rehearsal;
use crate::run::Found;
use crate::server::metrics::{Durations, Metrics};
use crate::server::watch::Sample;

pub(crate) fn server_side(found: &Found) -> Server {
    let mut server = Server::default();
    let span = if found.plan.mix.storm.times > 0 { &found.returned } else { &found.measured };
    let (unit, units) = span.units;
    server.unit = unit.into();
    if let Some((first, last)) = &span.server {
        server.cpu_seconds = last.cpu.saturating_sub(first.cpu).as_secs_f64();
        server.user_seconds = last.times.user.saturating_sub(first.times.user).as_secs_f64();
        if units > 0 {
            server.cpu_micros_per_unit = Some(server.cpu_seconds * 1e6 / units as f64);
            let calls = |sample: &Sample| sample.metrics.as_ref().and_then(|metrics| metrics.system_calls());
            server.system_calls_per_unit = calls(first)
                .zip(calls(last))
                .map(|(first, last)| last.saturating_sub(first) as f64 / units as f64);
        }
    }
    let pss = |sample: &Option<Sample>| rehearsal::pss(sample.as_ref());
    let kernel = |sample: &Option<Sample>| sample.as_ref().map_or(0, |sample| sample.memory.kernel());
    server.memory = Memory3 { before: pss(&found.before), with: pss(&found.with), after: pss(&found.after) };
    if let Some((sessions, fresh)) = &found.rehearsal {
        (server.rehearsal, server.memory_at_first) = (*sessions, rehearsal::pss(Some(fresh)));
    }
    server.kernel_memory =
        Memory3 { before: kernel(&found.before), with: kernel(&found.with), after: kernel(&found.after) };
    if found.open > 0 && found.with.is_some() {
        let per = |memory: Memory3| (memory.with as f64 - memory.before as f64) / found.open as f64;
        server.bytes_per_session = Some(per(server.memory));
        server.kernel_bytes_per_session = Some(per(server.kernel_memory));
    }
    server.kernel_kinds = kernel_kinds(found, server.kernel_memory);
    server.turns = turns(found);
    let metrics = |sample: &Option<Sample>| sample.as_ref().and_then(|sample| sample.metrics.clone());
    if let Some((before, with)) = metrics(&found.before).zip(metrics(&found.with)) {
        server.metrics = Metrics::changes(&before, &with);
    }
    server
}

/// Of the kernel's memory, what the crowd has changed by a thousandth of the whole or more; the rest is one kind.
fn kernel_kinds(found: &Found, whole: Memory3) -> BTreeMap<String, Memory3> {
    let of = |sample: &Option<Sample>| sample.as_ref().map(|sample| sample.kinds.clone()).unwrap_or_default();
    let [before, with, after] = [&found.before, &found.with, &found.after].map(of);
    let least = (whole.with.saturating_sub(whole.before) / 1_000).max(1);
    let at = |kinds: &BTreeMap<String, u64>, name: &str| kinds.get(name).copied().unwrap_or(0);
    let mut rest = whole;
    let mut kinds = BTreeMap::new();
    for name in with.keys() {
        let memory = Memory3 { before: at(&before, name), with: at(&with, name), after: at(&after, name) };
        if memory.with.abs_diff(memory.before) >= least {
            rest.before = rest.before.saturating_sub(memory.before);
            rest.with = rest.with.saturating_sub(memory.with);
            rest.after = rest.after.saturating_sub(memory.after);
            kinds.insert(name.clone(), memory);
        }
    }
    if !kinds.is_empty() {
        kinds.insert("others".into(), rest);
    }
    kinds
}

/// The server's turns over the measured part, and in its slices with and without questions.
fn turns(found: &Found) -> Vec<Turns> {
    let told = |when: &str, turns: &Durations| {
        let ms = |seconds: f64| seconds * 1e3;
        Some(Turns {
            when: when.into(),
            count: turns.count,
            mean: ms(turns.mean()?),
            p99: ms(turns.quantile(0.99)?),
            p999: ms(turns.quantile(0.999)?),
            max: ms(turns.quantile(1.0)?),
        })
    };
    let all = measured_turns(found).and_then(|turns| told("all", &turns));
    let inquiry = found.inquiry.as_ref();
    let parts =
        inquiry.map(|found| [told("without counts", &found.without), told("beside counts", &found.beside)]);
    all.into_iter().chain(parts.into_iter().flatten().flatten()).collect()
}

/// Milliseconds of the server's turns, from its own histogram, over the measured parts.
pub(crate) fn turn_quantile(found: &Found, quantile: f64) -> Option<f64> {
    measured_turns(found)?.quantile(quantile).map(|seconds| seconds * 1e3)
}

fn measured_turns(found: &Found) -> Option<Durations> {
    let span = if found.plan.mix.storm.times > 0 { &found.returned } else { &found.measured };
    let (first, last) = span.server.as_ref()?;
    let turns = |sample: &Sample| sample.metrics.as_ref().and_then(|metrics| metrics.turns());
    Some(turns(last)?.since(&turns(first)?))
}
