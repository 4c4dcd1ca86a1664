//! What a server tells of itself: its metrics in Prometheus' text, fetched and read.
//!
//! The names are those of `gateway/src/admin/metrics.rs`. A server that has no such metric answers `None`, never 0:
//! a foreign server may be under test.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::http;

/// Where metrics are fetched.
#[derive(Clone, Debug)]
pub struct Source {
    /// The admin listener.
    pub address: SocketAddr,
    /// The bearer token that it asks for, if any.
    pub token: Option<String>,
}

impl Source {
    /// A listener that asks for no token.
    #[must_use]
    pub fn open(address: SocketAddr) -> Self {
        Self { address, token: None }
    }

    /// Fetches `/metrics`; waits for at most `patience`.
    ///
    /// # Errors
    /// See [`ScrapeError`].
    pub fn scrape(&self, patience: Duration) -> Result<Metrics, ScrapeError> {
        let answer = http::get(self.address, "/metrics", self.token.as_deref(), patience)
            .map_err(|source| ScrapeError::Unreachable { address: self.address, source })?;
        if answer.status != 200 {
            return Err(ScrapeError::Refused { address: self.address, status: answer.status });
        }
        Ok(Metrics::parse(&String::from_utf8_lossy(&answer.body)))
    }
}

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// No answer, or one that is not HTTP.
    #[error("http://{address}/metrics: {source}")]
    Unreachable {
        /// Who was asked.
        address: SocketAddr,
        /// What happened.
        source: io::Error,
    },
    /// Another status than 200.
    #[error("http://{address}/metrics: status {status}{}", if *status == 401 { ": give the admin token" } else { "" })]
    Refused {
        /// Who was asked.
        address: SocketAddr,
        /// What was answered.
        status: u16,
    },
}

/// All metrics of one moment, by their full name with labels: `muster_sessions{edge="binary"}`.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads the text. Lines that are not understood are left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.filter_map(value).map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// By full name with labels.
    #[must_use]
    pub fn values(&self) -> &BTreeMap<String, f64> {
        &self.0
    }

    /// The sum over all labels of a metric; `None`: there is no such metric.
    #[must_use]
    pub fn sum(&self, name: &str) -> Option<f64> {
        self.of(name).map(|(_, value)| value).reduce(|sum, value| sum + value)
    }

    /// The sum over those of a metric's values that have this label: `with("muster_sessions", "edge", "binary")`.
    #[must_use]
    pub fn with(&self, name: &str, label: &str, value: &str) -> Option<f64> {
        let wanted = format!("{label}=\"{value}\"");
        let found = self.of(name).filter(|(labels, _)| split_labels(labels).any(|one| one == wanted));
        found.map(|(_, value)| value).reduce(|sum, value| sum + value)
    }

    /// Distinct users online.
    #[must_use]
    pub fn online(&self) -> Option<u64> {
        self.sum("muster_users_online").map(count)
    }

    /// Sessions of all edges.
    #[must_use]
    pub fn sessions(&self) -> Option<u64> {
        self.sum("muster_sessions").map(count)
    }

    /// Sessions of one edge: `binary`, `presence`, `http`.
    #[must_use]
    pub fn sessions_of(&self, edge: &str) -> Option<u64> {
        self.with("muster_sessions", "edge", edge).map(count)
    }

    /// Connections that the shards hold, those without a session included.
    #[must_use]
    pub fn connections(&self) -> Option<u64> {
        self.sum("muster_connections").map(count)
    }

    /// System calls of the socket drivers so far.
    #[must_use]
    pub fn system_calls(&self) -> Option<u64> {
        self.sum("muster_system_calls_total").map(count)
    }

    /// Commands of all kinds so far.
    #[must_use]
    pub fn commands(&self) -> Option<u64> {
        self.sum("muster_commands_total").map(count)
    }

    /// Sessions closed so far, by reason; reasons that never occurred are left out.
    #[must_use]
    pub fn closed(&self) -> BTreeMap<String, u64> {
        self.by_label("muster_sessions_closed_total", "reason")
    }

    /// Commands refused so far, by cause; causes that never occurred are left out.
    #[must_use]
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        self.by_label("muster_refusals_total", "cause")
    }

    /// Connections that found no place in a ring's table and took an open file instead.
    #[must_use]
    pub fn plain_fallbacks(&self) -> Option<u64> {
        self.sum("muster_plain_fallbacks_total").map(count)
    }

    /// Sockets that a shard could not take.
    #[must_use]
    pub fn sockets_refused(&self) -> Option<u64> {
        self.sum("muster_sockets_refused_total").map(count)
    }

    /// Turns of all shards.
    #[must_use]
    pub fn turns(&self) -> Option<Durations> {
        self.durations("muster_turn_duration_seconds")
    }

    /// A histogram of seconds, by the metric's name without `_bucket`.
    #[must_use]
    pub fn durations(&self, name: &str) -> Option<Durations> {
        let bucket = format!("{name}_bucket");
        let buckets = self.of(&bucket).filter_map(|(labels, value)| {
            let bound =
                split_labels(labels).find_map(|label| label.strip_prefix("le=\"")?.strip_suffix('"'))?;
            Some((number(bound)?, count(value)))
        });
        let mut at_most: Vec<(f64, u64)> = Vec::new();
        for (bound, value) in buckets {
            match at_most.iter_mut().find(|(other, _)| *other == bound) {
                Some((_, sum)) => *sum += value,
                None => at_most.push((bound, value)),
            }
        }
        at_most.sort_by(|one, other| one.0.total_cmp(&other.0));
        Some(Durations {
            at_most,
            count: self.sum(&format!("{name}_count")).map(count)?,
            seconds: self.sum(&format!("{name}_sum"))?,
        })
    }

    /// Before and after, by full name, of all that changed: what [`crate::outcome::Server::metrics`] holds.
    #[must_use]
    pub fn changes(before: &Self, after: &Self) -> BTreeMap<String, (f64, f64)> {
        let was = |name: &str| before.0.get(name).copied().unwrap_or(0.0);
        let pairs = after.0.iter().map(|(name, &now)| (name.clone(), (was(name), now)));
        pairs.filter(|(_, (before, now))| before != now).collect()
    }

    /// The values of a metric, each with its labels.
    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let begins = self.0.range(name.to_owned()..).take_while(move |(full, _)| full.starts_with(name));
        begins.filter_map(move |(full, &value)| match &full[name.len()..] {
            "" => Some(("", value)),
            rest => Some((rest.strip_prefix('{')?.strip_suffix('}')?, value)),
        })
    }

    fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let begin = format!("{label}=\"");
        let mut sums = BTreeMap::new();
        for (labels, value) in self.of(name) {
            let text = split_labels(labels).find_map(|one| one.strip_prefix(&begin)?.strip_suffix('"'));
            if let Some(text) = text
                && value > 0.0
            {
                *sums.entry(text.to_owned()).or_default() += count(value);
            }
        }
        sums
    }
}

/// A histogram of durations.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Durations {
    /// `(seconds, how many lasted at most this long)`, rising; the last bound is infinite.
    pub at_most: Vec<(f64, u64)>,
    /// How many.
    pub count: u64,
    /// Seconds of all together.
    pub seconds: f64,
}

impl Durations {
    /// What came since an earlier reading of the same histogram.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let was =
            |bound: f64| before.at_most.iter().find(|(one, _)| *one == bound).map_or(0, |(_, count)| *count);
        Self {
            at_most: self
                .at_most
                .iter()
                .map(|&(bound, count)| (bound, count.saturating_sub(was(bound))))
                .collect(),
            count: self.count.saturating_sub(before.count),
            seconds: (self.seconds - before.seconds).max(0.0),
        }
    }

    /// Adds what came at another time.
    pub fn add(&mut self, other: &Self) {
        for &(bound, count) in &other.at_most {
            match self.at_most.iter_mut().find(|(one, _)| *one == bound) {
                Some((_, sum)) => *sum += count,
                None => self.at_most.push((bound, count)),
            }
        }
        self.at_most.sort_by(|one, other| one.0.total_cmp(&other.0));
        self.count += other.count;
        self.seconds += other.seconds;
    }

    /// Mean in seconds; `None`: there were none.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.seconds / self.count as f64)
    }

    /// The bound, in seconds, of the bucket that the quantile falls into: the true value is at most this. Infinite
    /// beyond the last bound, `None` when there were none.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let rank = (quantile.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0);
        self.at_most.iter().find(|(_, count)| *count as f64 >= rank).map(|(bound, _)| *bound)
    }
}

/// One line: the name with its labels, and the value. A time stamp behind the value is left out.
fn value(line: &str) -> Option<(&str, f64)> {
    let end = match line.find(['{', ' ', '\t']) {
        Some(at) if line[at..].starts_with('{') => at + end_of_labels(&line[at..])?,
        Some(at) => at,
        None => return None,
    };
    let (name, rest) = line.split_at(end);
    let value = number(rest.split_ascii_whitespace().next()?)?;
    Some((name, value))
}

/// Where the labels end that begin here with `{`: their values may hold anything.
fn end_of_labels(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// `a="1",b="2"`, one by one, as they are written.
fn split_labels(labels: &str) -> impl Iterator<Item = &str> {
    let mut rest = labels;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([',', ' ']);
        if rest.is_empty() {
            return None;
        }
        let (mut quoted, mut escaped) = (false, false);
        let end = rest.bytes().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' if !quoted => return true,
                _ => {}
            }
            false
        });
        let (label, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind;
        Some(label.trim_end())
    })
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => None,
        text => text.parse().ok(),
    }
}

/// A count is a whole number, whatever the text makes of it.
fn count(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# HELP muster_sessions Sessions, by API.
# TYPE muster_sessions gauge
muster_sessions{edge="binary"} 7
muster_sessions{edge="presence"} 5 1700000000
muster_sessions_opened_total 99
muster_users_online 11
muster_system_calls_total 1.5e3
muster_connections{edge="binary"} 12
muster_sessions_closed_total{reason="client closed"} 3
muster_sessions_closed_total{reason="logged out"} 0
muster_odd{a="x,y} \" z",b="q"} 2
muster_odd{b="x,y"} 4
muster_turn_duration_seconds_bucket{le="0.000032"} 2
muster_turn_duration_seconds_bucket{le="0.000064"} 9
muster_turn_duration_seconds_bucket{le="+Inf"} 10
muster_turn_duration_seconds_sum 0.0005
muster_turn_duration_seconds_count 10
nonsense
muster_nan NaN
muster_cut{a="b
"#;

    #[test]
    fn finds_what_a_harness_asks_for() {
        let metrics = Metrics::parse(TEXT);
        assert_eq!(metrics.online(), Some(11));
        assert_eq!(metrics.sessions(), Some(12));
        assert_eq!(metrics.sessions_of("presence"), Some(5));
        assert_eq!(metrics.sessions_of("http"), None);
        assert_eq!(metrics.connections(), Some(12));
        assert_eq!(metrics.system_calls(), Some(1_500));
        assert_eq!(metrics.closed(), BTreeMap::from([("client closed".to_owned(), 3)]));
        assert_eq!(metrics.plain_fallbacks(), None);
        assert_eq!(metrics.values().len(), 15);
    }

    #[test]
    fn labels_may_hold_anything() {
        let metrics = Metrics::parse(TEXT);
        assert_eq!(metrics.sum("muster_odd"), Some(6.0));
        assert_eq!(metrics.with("muster_odd", "b", "q"), Some(2.0));
        assert_eq!(metrics.with("muster_odd", "b", "x,y"), Some(4.0));
        assert_eq!(metrics.with("muster_odd", "a", r#"x,y} \" z"#), Some(2.0));
        assert_eq!(metrics.with("muster_odd", "y} \\\" z\",b", "q"), None);
        assert_eq!(metrics.sum("muster_od"), None);
        assert_eq!(metrics.sum("muster_cut"), None);
    }

    #[test]
    fn quantiles_name_the_bound_of_their_bucket() {
        let turns = Metrics::parse(TEXT).turns().unwrap();
        assert_eq!(turns.quantile(0.0), Some(0.000_032));
        assert_eq!(turns.quantile(0.2), Some(0.000_032));
        assert_eq!(turns.quantile(0.5), Some(0.000_064));
        assert_eq!(turns.quantile(0.999), Some(f64::INFINITY));
        assert!((turns.mean().unwrap() - 0.000_05).abs() < 1e-12);
        let none = turns.since(&turns);
        assert_eq!((none.count, none.mean(), none.quantile(0.5)), (0, None, None));
        let later =
            Durations { at_most: vec![(0.000_032, 2), (0.000_064, 9), (f64::INFINITY, 15)], ..turns.clone() };
        assert_eq!(later.since(&turns).at_most, [(0.000_032, 0), (0.000_064, 0), (f64::INFINITY, 5)]);
    }

    #[test]
    fn tells_what_changed() {
        let before = Metrics::parse("a 1\nb 2\n");
        let after = Metrics::parse("a 1\nb 3\nc{x=\"y\"} 4\n");
        let expected = BTreeMap::from([("b".to_owned(), (2.0, 3.0)), ("c{x=\"y\"}".to_owned(), (0.0, 4.0))]);
        assert_eq!(Metrics::changes(&before, &after), expected);
    }
}
