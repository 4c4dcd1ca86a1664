//! The live view of a run, on stderr: bars and a small table on a terminal, plain lines elsewhere.
//!
//! It reads no clock: a [`Tick`] says what time it is.

use std::io::{self, IsTerminal, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::figures::{self, maybe};
use super::summary::Summary;
use super::table::{aligned, row};
use crate::outcome::{Latency, Outcome, Tick};

/// For so many seconds a plain log has a line each second, and after that one each [`SPARSE`].
const DENSE: f64 = 10.0;
/// Seconds between two plain lines.
const SPARSE: f64 = 5.0;

/// What is shown while a run goes on.
#[derive(Debug)]
pub struct View {
    title: String,
    target: u64,
    expected: f64,
    phase: String,
    /// When a tick ended last.
    before: f64,
    memory: Memory,
    screen: Screen,
}

/// Memory as it was read last: that is not done in every tick.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    server: Option<u64>,
    kernel: Option<u64>,
}

#[derive(Debug)]
enum Screen {
    /// The bars, and the table below them.
    Terminal { bars: MultiProgress, connections: ProgressBar, time: ProgressBar, table: ProgressBar },
    /// When the next line is due.
    Plain { due: f64 },
}

impl View {
    /// Begins to show a run.
    #[must_use]
    pub fn new(title: &str, target_connections: u64, expected_seconds: f64, is_terminal: bool) -> Self {
        let screen = if is_terminal {
            terminal(title, target_connections, expected_seconds)
        } else {
            say(&format!(
                "{title}: {} connections, about {}",
                figures::count(target_connections),
                figures::seconds(expected_seconds)
            ));
            Screen::Plain { due: 0.0 }
        };
        Self {
            title: title.into(),
            target: target_connections,
            expected: expected_seconds,
            phase: String::new(),
            before: 0.0,
            memory: Memory::default(),
            screen,
        }
    }

    /// The title of the run that is shown.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Another part of the run begins.
    pub fn phase(&mut self, name: &str) {
        if self.phase == name {
            return;
        }
        self.phase = name.into();
        match &mut self.screen {
            Screen::Terminal { time, .. } => time.set_message(name.to_owned()),
            Screen::Plain { due } => {
                *due = 0.0;
                say(&format!("{:>6}  {name} begins", whole_seconds(self.before)));
            }
        }
    }

    /// A second has passed; `latencies` are those of the run so far.
    pub fn tick(&mut self, tick: &Tick, latencies: &[Latency]) {
        if !tick.phase.is_empty() {
            self.phase(&tick.phase);
        }
        let span = super::headline::span(self.before, tick.at);
        self.memory.server = tick.server_memory.or(self.memory.server);
        self.memory.kernel = tick.kernel_memory.or(self.memory.kernel);
        match &mut self.screen {
            Screen::Terminal { connections, time, table, .. } => {
                connections.set_position(tick.open);
                time.set_position((tick.at.clamp(0.0, self.expected) * 1e3) as u64);
                time.set_prefix(figures::seconds(tick.at));
                table.set_message(live_table(tick, span, self.memory, latencies));
            }
            Screen::Plain { due } => {
                // Ticks come a little early or late.
                if tick.at + 0.5 >= *due {
                    let pause = if tick.at + 0.5 < DENSE { 1.0 } else { SPARSE };
                    *due = tick.at + pause;
                    say(&plain_line(tick, span, self.memory, self.target));
                }
            }
        }
        self.before = tick.at;
    }

    /// Something that the user should know now.
    pub fn note(&self, text: &str) {
        match &self.screen {
            Screen::Terminal { bars, .. } => _ = bars.println(text),
            Screen::Plain { .. } => say(text),
        }
    }

    /// Ends the live view, and writes the summary to stdout.
    ///
    /// # Errors
    ///
    /// Where stdout cannot be written to.
    pub fn finish(self, outcome: &Outcome) -> io::Result<()> {
        if let Screen::Terminal { bars, connections, time, table } = self.screen {
            for bar in [connections, time, table] {
                bar.finish_and_clear();
            }
            bars.clear()?;
        }
        let mut out = io::stdout().lock();
        let colours = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        write!(out, "{}", Summary { outcome, colours })?;
        out.flush()
    }
}

fn terminal(title: &str, target: u64, expected: f64) -> Screen {
    let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
    let styled = |length: u64, template: &str| {
        let style = ProgressStyle::with_template(template)
            .expect("the templates are constants, and a test parses them")
            .progress_chars("━╸─");
        bars.add(ProgressBar::new(length).with_style(style))
    };
    let connections = styled(target, CONNECTIONS_BAR);
    connections.set_message(title.to_owned());
    let time = styled((expected * 1e3) as u64, TIME_BAR);
    time.set_prefix(figures::seconds(0.0));
    let table = styled(0, TABLE);
    connections.tick();
    Screen::Terminal { bars, connections, time, table }
}

const CONNECTIONS_BAR: &str = "{msg:.bold}\n  connections  {bar:32.cyan/dim}  {human_pos} of {human_len}";
const TIME_BAR: &str = "  time         {bar:32.cyan/dim}  {prefix}  {msg:.yellow}";
const TABLE: &str = "{msg}";

/// A line for a log.
fn plain_line(tick: &Tick, span: f64, memory: Memory, target: u64) -> String {
    let per_second = |number: u64| figures::rate(number as f64 / span);
    let mut line = format!(
        "{:>6}  {:<9}  open {} of {}  +{}  requests {}  answers {}  errors {}",
        whole_seconds(tick.at),
        tick.phase,
        figures::count(tick.open),
        figures::count(target),
        per_second(tick.opened),
        per_second(tick.requests),
        per_second(tick.answers),
        figures::count(tick.errors),
    );
    if tick.p99.is_some() {
        line.push_str(&format!(
            "  p50 {}  p99 {}  max {}",
            maybe(tick.p50, figures::millis),
            maybe(tick.p99, figures::millis),
            maybe(tick.max, figures::millis)
        ));
    }
    line.push_str(&format!("  cpu {}", figures::cores(tick.generator_cpu)));
    if let Some(cpu) = tick.server_cpu {
        line.push_str(&format!("  server {}", figures::cores(cpu)));
    }
    if let Some(bytes) = memory.server {
        line.push_str(&format!(" {}", figures::bytes(bytes as f64)));
    }
    if let Some(turn) = tick.server_turn {
        line.push_str(&format!("  turn p99.9 ≤ {}", figures::millis(turn)));
    }
    line
}

/// A few lines below the bars.
fn live_table(tick: &Tick, span: f64, memory: Memory, latencies: &[Latency]) -> String {
    let per_second = |number: u64| figures::number(number as f64 / span);
    let bytes = |value: Option<u64>| maybe(value, |bytes| figures::bytes(bytes as f64));
    let work = [
        row(["", "open", "opened/s", "requests/s", "answers/s", "errors"]),
        vec![
            "  this second".into(),
            figures::count(tick.open),
            per_second(tick.opened),
            per_second(tick.requests),
            per_second(tick.answers),
            figures::count(tick.errors),
        ],
    ];
    let load = [
        row(["", "generator", "server", "server memory", "kernel memory", "turn p99.9 ≤"]),
        vec![
            "  load       ".into(),
            figures::cores(tick.generator_cpu),
            maybe(tick.server_cpu, figures::cores),
            bytes(memory.server),
            bytes(memory.kernel),
            maybe(tick.server_turn, figures::millis),
        ],
    ];
    let mut latency = vec![
        row(["", "p50", "p99", "max"]),
        vec![
            "  latency    ".into(),
            maybe(tick.p50, figures::millis),
            maybe(tick.p99, figures::millis),
            maybe(tick.max, figures::millis),
        ],
    ];
    latency.extend(latencies.iter().filter(|latency| latency.count > 0).map(|latency| {
        vec![
            format!("  {} so far", latency.name),
            figures::millis(latency.p50),
            figures::millis(latency.p99),
            figures::millis(latency.max),
        ]
    }));
    [aligned("", &work), aligned("", &load), aligned("", &latency)].join("\n").trim_end().to_owned()
}

fn whole_seconds(at: f64) -> String {
    format!("{at:.0} s")
}

/// A line on stderr. Where that is closed, nobody watches, and the run is worth no less.
fn say(line: &str) {
    _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::sample;

    const MEMORY: Memory = Memory { server: Some(14_564_000), kernel: Some(46_200_000) };

    #[test]
    fn the_templates_are_templates() {
        for template in [CONNECTIONS_BAR, TIME_BAR, TABLE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn a_log_has_a_line() {
        let outcome = sample();
        let line = plain_line(&outcome.timeline[20], 1.0, MEMORY, 10_000);
        assert!(line.starts_with("  21 s  measure    open 10,000 of 10,000  +0/s  requests "), "{line}");
        assert!(
            line.contains("  p50 ")
                && line.contains("  server 0.2")
                && line.ends_with(" 14.6 MB  turn p99.9 ≤ 512 µs"),
            "{line}"
        );
        assert!(!plain_line(&Tick::default(), 1.0, Memory::default(), 1).contains("p50"));
    }

    #[test]
    fn a_screen_has_a_table() {
        let outcome = sample();
        let text = live_table(&outcome.timeline[20], 1.0, MEMORY, &outcome.latencies);
        for part in ["opened/s", "kernel memory", "46.2 MB", "heartbeat so far", "0.2"] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(live_table(&Tick::default(), 1.0, Memory::default(), &[]).contains('–'));
    }

    #[test]
    fn a_log_is_dense_and_then_sparse() {
        let mut view = View::new("a run", 10, 60.0, false);
        let mut lines = Vec::new();
        for second in 1..=31 {
            let at = f64::from(second);
            let due = |view: &View| match view.screen {
                Screen::Plain { due } => due,
                Screen::Terminal { .. } => unreachable!("it was made without a terminal"),
            };
            let phase = if second <= 22 { "ramp" } else { "measure" };
            let before = due(&view);
            view.tick(&Tick { at, phase: phase.into(), ..Tick::default() }, &[]);
            if due(&view) != before {
                lines.push(second);
            }
        }
        assert_eq!(lines, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20, 23, 28]);
        view.note("a note");
    }
}
