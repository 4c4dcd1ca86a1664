//! The configuration file: TOML, with the line of everything that is wrong.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::problem::{Problem, nearest};
use super::value::Raw;
use super::{Config, SECTIONS, every_key, find};

/// Sets what a file sets.
pub(super) fn apply(config: &mut Config, path: &Path, text: &str, problems: &mut Vec<Problem>) {
    let name = path.to_string_lossy();
    let place = |offset: usize| format!("{name}:{}", line(text, offset));

    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        problems.extend(errors.iter().map(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            Problem::at(place(offset), format!("not TOML: {}", error.message()))
        }));
        return;
    }
    for (section, value) in in_order(document.get_ref()) {
        let at = place(section.span().start);
        let section = section.get_ref().as_ref();
        let Some(known) = SECTIONS.iter().find(|known| known.name == section) else {
            problems.push(Problem::at(at, unknown_section(section, value.get_ref())));
            continue;
        };
        let DeValue::Table(keys) = value.get_ref() else {
            problems.push(Problem::at(
                at,
                format!("{section} is a section: write [{section}] and its keys below"),
            ));
            continue;
        };
        for (key, value) in in_order(keys) {
            let at = place(key.span().start);
            let key = key.get_ref().as_ref();
            if find(section, key).is_some() {
                config.put(section, key, &raw(value), &at, problems);
            } else {
                problems.push(Problem::at(at, unknown_key(known.name, key)));
            }
        }
    }
}

/// The entries of a table as they stand in the file.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// The line an offset stands on, counted from 1.
fn line(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

fn raw(value: &Spanned<DeValue<'_>>) -> Raw {
    match value.get_ref() {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Raw::Other("a number beyond 64 bits"), Raw::Integer),
        DeValue::Boolean(yes) => Raw::Boolean(*yes),
        DeValue::Array(items) => Raw::List(items.iter().map(raw).collect()),
        DeValue::Float(_) => Raw::Other("a number with a fraction"),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

/// What to say of a section that does not exist.
fn unknown_section(section: &str, value: &DeValue<'_>) -> String {
    if !matches!(value, DeValue::Table(_)) {
        let homes: Vec<String> =
            every_key().filter(|key| key.name == section).map(|key| format!("[{}]", key.section)).collect();
        return match homes.as_slice() {
            [] => format!("unknown key \"{section}\" outside of any section"),
            homes => {
                format!("\"{section}\" stands outside of any section; it belongs to {}", homes.join(" or "))
            }
        };
    }
    match nearest(section, SECTIONS.iter().map(|known| known.name.to_string())) {
        Some(name) => format!("unknown section [{section}]; did you mean [{name}]?"),
        None => {
            let names: Vec<String> = SECTIONS.iter().map(|known| format!("[{}]", known.name)).collect();
            format!("unknown section [{section}]; there are {}", names.join(", "))
        }
    }
}

/// What to say of a key that does not exist in a section that does.
pub(super) fn unknown_key(section: &str, key: &str) -> String {
    let here = every_key().filter(|known| known.section == section);
    if let Some(name) = nearest(key, here.clone().map(|known| known.name.to_string())) {
        return format!("unknown key \"{key}\" in [{section}]; did you mean \"{name}\"?");
    }
    if let Some(elsewhere) = every_key().find(|known| known.name == key) {
        return format!("unknown key \"{key}\" in [{section}]; it belongs to [{}]", elsewhere.section);
    }
    let names: Vec<&str> = here.map(|known| known.name).collect();
    format!("unknown key \"{key}\" in [{section}]; its keys are {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = Config::from_toml("m.toml", text).expect_err("the file is wrong").to_string();
        assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
    }

    #[test]
    fn what_is_wrong_has_its_line_and_a_way_out() {
        check(
            "[server]\n\ndrian = \"20s\"\n",
            "m.toml:3: unknown key \"drian\" in [server]; did you mean \"drain\"?",
        );
        check("[htpp]\naddress = \"127.0.0.1:1\"", "m.toml:1: unknown section [htpp]; did you mean [http]?");
        check("[zoo]\na = 1", "m.toml:1: unknown section [zoo]; there are [server], [http]");
        check(
            "grace = \"5s\"",
            "m.toml:1: \"grace\" stands outside of any section; it belongs to [presence]",
        );
        check(
            "[http]\nwatch_limit = 3",
            "m.toml:2: unknown key \"watch_limit\" in [http]; it belongs to [presence]",
        );
        check("[admin]\nzzzzzzzz = 3", "its keys are address, token");
        check("http = 3", "m.toml:1: http is a section: write [http]");
        check("# x\n[presence]\ngrace = 5", "m.toml:3: presence.grace = 5: give a duration with its unit");
        check("[presence]\ngrace = \"121s\"", "m.toml:2: presence.grace = \"121s\": allowed is 0s to 120s");
        check(
            "[http]\nhead_bytes = \"8KB\"",
            "m.toml:2: http.head_bytes = \"8KB\": give a size with its unit",
        );
        check("[http]\nhead_fields = 8", "allowed is 16 to 256");
        check(
            "[http]\naddress = \"localhost:80\"",
            "m.toml:2: http.address = \"localhost:80\": give an IP address",
        );
        check("[engine]\nio = \"uring\"", "allowed are \"auto\", \"ring\", \"epoll\"");
        check("[engine]\npin = \"yes\"", "give true or false, without quotes");
        check("[engine]\nshards = 1.5", "engine.shards = (a number with a fraction): give a whole number");
        check("[auth]\nalgorithms = [\"HS256\", \"none\"]", "\"none\": allowed are \"HS256\"");
        check("[auth]\nalgorithms = \"HS256\"", "give a list in square brackets");
        check("[server]\ndata = \n", "m.toml:2: not TOML");
        check("[server]\ndrain = \"1s\"\ndrain = \"2s\"\n", "m.toml:3: not TOML: duplicate key");
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let error =
            Config::from_toml("m.toml", "[server]\nx = 1\n[presence]\nping = 5\ngrace = 5\n").unwrap_err();
        let places: Vec<&str> = error.problems.iter().map(|problem| problem.place.as_str()).collect();
        assert_eq!(places, ["m.toml:2", "m.toml:4", "m.toml:5"], "{error}");
    }

    #[test]
    fn a_secret_is_not_repeated_in_an_error() {
        check("[auth]\nsecret = 12345678", "m.toml:2: auth.secret: give a text in quotes");
        let error =
            Config::from_toml("m.toml", "[auth]\nsecret = \"tiny-secret\"\n").unwrap_err().to_string();
        assert!(
            error.contains("m.toml:2") && error.contains("32 bytes") && !error.contains("tiny"),
            "{error}"
        );
    }

    #[test]
    fn numbers_may_have_any_toml_shape() {
        let config =
            Config::from_toml("m.toml", "[http]\nconnections = 10_000\nhead_fields = 0x40\n").unwrap();
        assert_eq!((config.http.connections, config.http.head_fields), (10_000, 64));
        let config = Config::from_toml("m.toml", "http.threads = 2\n[presence]\naway_after = 0\n").unwrap();
        assert_eq!(config.http.threads, 2);
    }
}
