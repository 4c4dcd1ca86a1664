//! The text form of Prometheus' metrics (exposition format 0.0.4).

use std::fmt::Write;

/// The content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of durations or sizes by bucket.
    Histogram,
}

/// A text in the making.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// Begins a metric; its values follow, all of them before the next metric.
    pub fn metric(&mut self, name: &'static str, kind: Kind, help: &str) -> Metric<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        debug_assert!(
            !self.0.contains(&format!("# TYPE {name} ")),
            "{name} is told twice: a reader of the metrics refuses the whole text"
        );
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Metric { text: &mut self.0, name }
    }

    /// A counter with one value.
    pub fn counter(&mut self, name: &'static str, help: &str, value: u64) {
        self.metric(name, Kind::Counter, help).value(&[], value);
    }

    /// A gauge with one value.
    pub fn gauge(&mut self, name: &'static str, help: &str, value: u64) {
        self.metric(name, Kind::Gauge, help).value(&[], value);
    }

    /// The whole text.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }
}

/// One metric, taking values.
#[derive(Debug)]
pub struct Metric<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Metric<'_> {
    /// One value.
    pub fn value(&mut self, labels: &[(&str, &str)], value: u64) {
        self.line("", labels, None, value as f64);
    }

    /// A histogram in seconds: for each bound (microseconds) how many durations were at most as long, then how many
    /// there were at all, and their sum (microseconds).
    pub fn durations(&mut self, at_most: impl IntoIterator<Item = (u64, u64)>, count: u64, sum: u64) {
        for (bound, count) in at_most {
            let bound = seconds(bound).to_string();
            self.line("_bucket", &[], Some(&bound), count as f64);
        }
        self.line("_bucket", &[], Some("+Inf"), count as f64);
        self.line("_sum", &[], None, seconds(sum));
        self.line("_count", &[], None, count as f64);
    }

    /// A histogram of sizes: for each bound how many were at most as great, then how many there were at all, and their
    /// sum.
    pub fn sizes(&mut self, at_most: impl IntoIterator<Item = (u64, u64)>, count: u64, sum: u64) {
        for (bound, count) in at_most {
            self.line("_bucket", &[], Some(&bound.to_string()), count as f64);
        }
        self.line("_bucket", &[], Some("+Inf"), count as f64);
        self.line("_sum", &[], None, sum as f64);
        self.line("_count", &[], None, count as f64);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: f64) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        let bound = bound.map(|bound| ("le", bound));
        let mut before = '{';
        for (label, text) in labels.iter().copied().chain(bound) {
            let _ = write!(self.text, "{before}{label}=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format() {
        let mut text = Text::default();
        text.counter("a_total", "Counts\nof \\ a.", 3);
        let mut metric = text.metric("b", Kind::Gauge, "B.");
        metric.value(&[("x", "1"), ("y", "say \"hi\"\n\\")], 7);
        metric.value(&[("x", "2")], u64::from(u32::MAX));
        text.metric("c_seconds", Kind::Histogram, "C.").durations(
            [(1, 0), (1_000, 2), (2_000_000, 3)],
            4,
            5_500_000,
        );
        assert_eq!(
            text.finish(),
            "# HELP a_total Counts\\nof \\\\ a.\n# TYPE a_total counter\na_total 3\n\
             # HELP b B.\n# TYPE b gauge\n\
             b{x=\"1\",y=\"say \\\"hi\\\"\\n\\\\\"} 7\nb{x=\"2\"} 4294967295\n\
             # HELP c_seconds C.\n# TYPE c_seconds histogram\n\
             c_seconds_bucket{le=\"0.000001\"} 0\nc_seconds_bucket{le=\"0.001\"} 2\n\
             c_seconds_bucket{le=\"2\"} 3\nc_seconds_bucket{le=\"+Inf\"} 4\nc_seconds_sum 5.5\nc_seconds_count 4\n"
        );
    }
}
