//! What a run proves: whether anything was lost, repeated or invented, and whether the generator can be believed.

use crate::account::turn_quantile;
use crate::fleet::tally::{Count, Kind};
use crate::outcome::{Check, Outcome};
use crate::report::figures;
use crate::run::Found;

/// Lateness that is too much whatever the latencies, milliseconds.
const LATE: f64 = 50.0;

fn check(name: &str, passed: bool, detail: String) -> Check {
    Check { name: name.into(), passed, detail }
}

fn equal(name: &str, what: &str, got: u64, wanted: u64) -> Check {
    check(name, got == wanted, format!("{} {what}, {} expected", figures::count(got), figures::count(wanted)))
}

pub(crate) fn checks(found: &Found) -> Vec<Check> {
    let (mix, all) = (&found.plan.mix, &found.all);
    let mut checks = Vec::new();
    if !found.interrupted {
        let opened = found.ramp.get(Count::Connected);
        checks.push(equal("every session was opened", "welcomed in the ramp", opened, mix.connections));
    }
    checks.push(equal("no session was lost", "lost", all.get(Count::Lost), 0));
    // Whoever comes and goes is back at the end of a run, unless it was cut short.
    if !found.interrupted {
        checks.push(equal("all sessions are still open", "open at the end", found.open, mix.connections));
    }
    if let Some(online) = found.online.filter(|_| !found.interrupted) {
        let before = found.before.as_ref().and_then(|sample| sample.online).unwrap_or(0);
        let stalled = found.stalled.map_or(0, |(dropped, all)| (all - dropped) as u64);
        // Those that were dropped may still be in their grace.
        let detail = format!(
            "the server counts {} users online, the harness holds {} sessions{}",
            figures::count(online.saturating_sub(before)),
            figures::count(found.open),
            if stalled > 0 { format!(" and {stalled} that do not read") } else { String::new() }
        );
        let wanted = found.open + before;
        let most = wanted + found.stalled.map_or(0, |(_, all)| all as u64);
        checks.push(check("both sides count alike", (wanted..=most).contains(&online), detail));
    }
    heartbeats(found, &mut checks);
    messages(found, &mut checks);
    conversations(found, &mut checks);
    presence(found, &mut checks);
    if let Some((dropped, stalled)) = found.stalled.filter(|(_, stalled)| *stalled > 0) {
        let slow = |sample: &Option<crate::server::watch::Sample>| {
            let metrics = sample.as_ref()?.metrics.clone()?;
            metrics.sum("muster_slow_consumers_total")
        };
        if let Some((before, with)) = slow(&found.before).zip(slow(&found.with)) {
            let counted = (with - before) as u64;
            let detail =
                format!("{dropped} of {stalled} stalled readers were dropped, the server counted {counted}");
            checks.push(check("every drop was counted", counted >= dropped as u64, detail));
        }
    }
    questions(found, &mut checks);
    if let Some(turn) = turn_quantile(found, 0.999) {
        let detail = format!("p99.9 of a shard's turn at most {}", figures::millis(turn));
        checks.push(check("turns of the shards were seen", true, detail));
    }
    checks
}

fn questions(found: &Found, checks: &mut Vec<Check>) {
    let (mix, all) = (&found.plan.mix, &found.all);
    let Some(inquiry) = &found.inquiry else { return };
    let (asked, counted) = (all.get(Count::Questions), all.get(Count::Counted));
    checks.push(equal("every count was answered", "answered", counted, asked));
    // Nobody comes or goes meanwhile: each answer is the crowd, and who was there before it.
    if let Some((least, most)) = inquiry.answers.filter(|_| mix.churn.rate == 0.0 && !found.interrupted) {
        let before = found.before.as_ref().and_then(|sample| sample.online).unwrap_or(0);
        let wanted = mix.connections + before;
        let stalled = found.stalled.map_or(0, |(_, all)| all as u64);
        let passed = least >= wanted && most <= wanted + stalled;
        let detail = format!("{} to {} users online", figures::count(least), figures::count(most));
        checks.push(check("every count was right", passed, detail));
    }
    if let (Some(without), Some(beside)) = (inquiry.without.quantile(0.999), inquiry.beside.quantile(0.999)) {
        let detail = format!(
            "p99.9 of a shard's turn at most {} beside {} questions, {} without",
            figures::millis(beside * 1e3),
            figures::count(asked),
            figures::millis(without * 1e3)
        );
        checks.push(check("turns beside counts were seen", true, detail));
    }
}

fn heartbeats(found: &Found, checks: &mut Vec<Check>) {
    let (mix, all) = (&found.plan.mix, &found.all);
    let (beats, answers, cut) = (all.get(Count::Beats), all.get(Count::Answers), all.get(Count::Unanswered));
    if found.interrupted {
        return;
    }
    if found.plan.dialect.make().patience().is_some() {
        let silent = all.get(Count::Silent);
        let detail = format!(
            "{} of the server's answered, {silent} sessions heard none in time",
            figures::count(beats)
        );
        checks.push(check("heartbeats came to every session", silent == 0, detail));
        return;
    }
    if !mix.heartbeat.answer || beats == 0 {
        return;
    }
    // A session that drops or logs out does not wait for the answer that is under way.
    let may_be_cut = mix.storm.times > 0 || mix.churn.rate > 0.0;
    let detail = format!(
        "{} sent, {} answered{}",
        figures::count(beats),
        figures::count(answers),
        if cut > 0 {
            format!(", {} under way when their session ended", figures::count(cut))
        } else {
            String::new()
        }
    );
    let passed = if may_be_cut { answers + cut == beats } else { answers == beats };
    checks.push(check("every heartbeat was answered", passed, detail));
}

fn messages(found: &Found, checks: &mut Vec<Check>) {
    let (mix, all) = (&found.plan.mix, &found.all);
    if all.get(Count::Messages) == 0 {
        return;
    }
    checks.push(equal("no message came twice", "repeated", all.get(Count::Repeated), 0));
    // Who is away is not reached, and who comes back has missed something: then the sum says nothing.
    if mix.churn.rate > 0.0 || found.interrupted || all.get(Count::Lost) > 0 {
        return;
    }
    let taken = all.get(Count::Taken);
    checks.push(equal("every message was taken", "taken", taken, all.get(Count::Messages)));
    let channel = &mix.channel;
    let members = mix.messages.members;
    if mix.messages.conversations > 0 && channel.rate == 0.0 && mix.send.rate == 0.0 {
        let wanted = taken * members;
        checks.push(equal("every message came", "deliveries", all.get(Count::Deliveries), wanted));
        return;
    }
    if mix.send.rate == 0.0 && channel.channels == 1 {
        let wanted = taken * channel.subscribers;
        checks.push(equal("every message came", "deliveries", all.get(Count::Deliveries), wanted));
    } else if channel.rate == 0.0 {
        checks.push(equal("every message came", "deliveries", all.get(Count::Deliveries), taken));
    }
}

fn conversations(found: &Found, checks: &mut Vec<Check>) {
    let all = &found.all;
    if found.plan.mix.messages.conversations == 0 || found.interrupted {
        return;
    }
    let made = all.get(Count::Made);
    checks.push(equal("every conversation stands", "made", made, found.plan.mix.messages.conversations));
    let copies = all.get(Count::Copies);
    if copies > 0 {
        let again = all.get(Count::Again);
        checks.push(equal("a message sent again was known", "known", again, copies));
    }
    if let Some((kept, missing)) = found.kept {
        let detail = format!(
            "{} acknowledged, {} of them not found in the history, which has {}",
            figures::count(kept),
            figures::count(missing),
            figures::count(all.get(Count::ReadBack))
        );
        checks.push(check("no acknowledged message is missing", missing == 0, detail));
        checks.push(equal("no message is kept twice", "found again", all.get(Count::KeptTwice), 0));
    } else if found.plan.mix.messages.read_back {
        let detail = "the server did not give all pages: see the notes".to_owned();
        checks.push(check("everything was read back", false, detail));
    }
}

fn presence(found: &Found, checks: &mut Vec<Check>) {
    let (mix, all) = (&found.plan.mix, &found.all);
    if mix.watch.watchers == 0 {
        return;
    }
    checks.push(equal("watchers were told nothing false", "false", all.get(Count::ToldFalse), 0));
    let (told, expected) = (all.get(Count::Told), all.get(Count::ToldExpected));
    if mix.churn.rate > 0.0 {
        if !found.interrupted {
            checks.push(equal("watchers were told of every change", "told", told, expected));
        }
    } else if mix.storm.times > 0 {
        checks.push(equal("no watcher was told of the storm", "told", told, 0));
    }
}

/// Why the figures may be the generator's and not the server's.
pub(crate) fn warnings(found: &Found, outcome: &Outcome) -> Vec<String> {
    let mut warnings = Vec::new();
    let seconds = found.measured.seconds;
    if seconds == 0.0 {
        return warnings;
    }
    let threads = found.plan.rings_needed().min(outcome.machine.cores.max(1) as usize);
    let busy = found.measured.generator_cpu / seconds / threads as f64;
    if busy > 0.9 {
        warnings.push(format!(
            "the generator used {:.0} % of its {threads} cores: the server may be faster than these figures say",
            busy * 100.0
        ));
    }
    let late = &outcome.generator.lateness;
    if let Some(kind) = outcome.latencies.iter().find(|latency| latency.name != "connect")
        && late.p99 > (kind.p99 / 4.0).clamp(1.0, LATE)
    {
        warnings.push(format!(
            "what was due was sent up to {} late (p99), which is part of every latency here: give the generator a \
             core of its own, or ask for less",
            figures::millis(late.p99)
        ));
    }
    if found.measured.tally.latency(Kind::Beat).is_none() && found.measured.tally.get(Count::Errors) > 0 {
        warnings.push("errors came while nothing could be measured: look at their causes first".into());
    }
    warnings
}
