//! The environment: `MUSTER_SECTION__KEY=value`.
//!
//! A variable of that shape that names no key is an error, for it was meant to change something. Other
//! `MUSTER_…` variables are left alone (container platforms make some up from the names of services), except
//! one that misses only the second underscore.

use std::ffi::OsString;

use super::problem::{Problem, nearest};
use super::value::Raw;
use super::{Config, every_key};

/// Sets what the environment sets.
pub(super) fn apply(config: &mut Config, variables: &[(OsString, OsString)], problems: &mut Vec<Problem>) {
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("MUSTER_")) else { continue };
        let Some(key) = every_key().find(|key| key.variable() == name) else {
            problems.extend(unknown(name).map(|text| Problem::at(name, text)));
            continue;
        };
        match value.to_str() {
            Some(value) => config.put(key.section, key.name, &Raw::Bare(value.into()), name, problems),
            None => problems.push(Problem::at(name, "the value is not UTF-8")),
        }
    }
}

/// What to say of a variable that names no key, if it was meant to.
fn unknown(name: &str) -> Option<String> {
    let variables = || every_key().map(|key| key.variable());
    if !name["MUSTER_".len()..].contains("__") {
        let meant = variables().find(|variable| variable.replace("__", "_") == name)?;
        return Some(format!("not a variable of Muster; did you mean {meant} (two underscores)?"));
    }
    Some(match nearest(name, variables()) {
        Some(variable) => format!("there is no such key; did you mean {variable}?"),
        None => "there is no such key; `muster config` prints all of them".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigError, Sources};

    fn load(name: &str, value: &str) -> Result<Config, ConfigError> {
        Config::load(&Sources { environment: vec![(name.into(), value.into())], ..Sources::default() })
    }

    #[test]
    fn sets_every_type() {
        assert_eq!(load("MUSTER_HTTP__ADDRESS", "127.0.0.1:1").unwrap().http.address.port(), 1);
        assert_eq!(load("MUSTER_AUTH__AUDIENCE", "a, b").unwrap().auth.audience, ["a", "b"]);
        assert!(!load("MUSTER_ENGINE__PIN", "false").unwrap().engine.pin);
        assert_eq!(load("MUSTER_PRESENCE__AWAY_AFTER", "0").unwrap().presence.away_after.as_secs(), 0);
        assert_eq!(load("MUSTER_AUTH__SERVICE_CLAIM", "").unwrap().auth.service_claim, None);
    }

    #[test]
    fn slips_are_errors_with_the_nearest_name() {
        for (name, expected) in [
            (
                "MUSTER_HTTP__ADRESS",
                "MUSTER_HTTP__ADRESS: there is no such key; did you mean MUSTER_HTTP__ADDRESS?",
            ),
            ("MUSTER_HTTP_ADDRESS", "did you mean MUSTER_HTTP__ADDRESS (two underscores)?"),
            ("MUSTER_XX__QQQQQQQQQQQQQQQQQQQQQQ", "`muster config` prints all of them"),
            (
                "MUSTER_PRESENCE__GRACE",
                "MUSTER_PRESENCE__GRACE: presence.grace = \"127.0.0.1:1\": give a duration",
            ),
        ] {
            let error = load(name, "127.0.0.1:1").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        for name in ["MUSTER_CONFIG", "MUSTER_HTTP_SERVICE_HOST", "MUSTER_PORT_8080_TCP", "HOME", "MUSTER_"] {
            assert!(load(name, "tcp://10.0.0.1:80").is_ok(), "{name}");
        }
    }
}
