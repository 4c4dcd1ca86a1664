//! A promise that was not kept.

/// What was promised, and what was seen instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// The promise.
    pub promised: &'static str,
    /// What contradicts it.
    pub seen: String,
}

/// How a check went.
pub type Verdict = Result<(), Broken>;

/// A promise is broken.
///
/// # Errors
/// Always: that is what it is for.
pub fn broken(promised: &'static str, seen: impl Into<String>) -> Verdict {
    Err(Broken { promised, seen: seen.into() })
}

/// Checks one thing; what was seen is only put into words when it is wrong.
///
/// # Errors
/// When it does not hold.
pub fn check(holds: bool, promised: &'static str, seen: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Broken { promised, seen: seen() }) }
}
