//! What can be wrong with a configuration, said with the place and the way out.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `muster.toml:7`, `MUSTER_HTTP__ADDRESS`, `--http`. Empty for what is wrong between keys that
    /// nobody set.
    pub place: String,
    /// What, and what is allowed.
    pub text: String,
}

impl Problem {
    /// A problem at a place.
    pub fn at(place: impl Into<String>, text: impl Into<String>) -> Problem {
        Problem { place: place.into(), text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.text)
    }
}

/// Everything that is wrong with a configuration, in the order it was found: one look is enough to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The problems; never empty.
    pub problems: Vec<Problem>,
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> ConfigError {
        ConfigError { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The candidate that looks most like a word, where one is near enough to be meant.
pub(super) fn nearest(word: &str, candidates: impl IntoIterator<Item = String>) -> Option<String> {
    let word = word.to_ascii_lowercase();
    let allowed = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_slips_and_not_strangers() {
        let names = || ["address", "trusted_proxies", "origins"].map(String::from);
        assert_eq!(nearest("adress", names()).as_deref(), Some("address"));
        assert_eq!(nearest("trusted_proxy", names()).as_deref(), Some("trusted_proxies"));
        assert_eq!(nearest("Origins", names()).as_deref(), Some("origins"));
        assert_eq!(nearest("colour", names()), None);
    }
}
