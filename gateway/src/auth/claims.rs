//! The claims of a token, read with their exact types.
//!
//! A claim of the wrong type is never taken for a missing one: an `exp` that is text must not make a token that
//! lives for ever.

use serde_json::{Map, Value};

use super::error::{AuthError, AuthErrorKind};

/// The last second of the year 9999. Beyond it, someone wrote milliseconds.
const LAST_SECOND: u64 = 253_402_300_799;

pub(super) struct Claims(pub(super) Map<String, Value>);

impl Claims {
    /// A claim that is there; `null` is as good as missing.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A claim that must be text where it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, AuthError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(format!("the token's \"{name}\" is not text"))),
        }
    }

    /// A claim that must be a time where it is there, in milliseconds since 1970.
    pub(super) fn time(&self, name: &str) -> Result<Option<u64>, AuthError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let Value::Number(number) = value else {
            return Err(wrong(format!("the token's \"{name}\" is not a number of seconds since 1970")));
        };
        let millis = match (number.as_u64(), number.as_f64()) {
            (Some(seconds), _) => seconds.saturating_mul(1000),
            (None, Some(seconds)) if seconds >= 0.0 => (seconds * 1000.0) as u64,
            _ => return Err(wrong(format!("the token's \"{name}\" lies before 1970"))),
        };
        if millis / 1000 > LAST_SECOND {
            return Err(wrong(format!(
                "the token's \"{name}\" lies beyond the year 9999: it must be seconds since 1970, not milliseconds"
            )));
        }
        Ok(Some(millis))
    }

    /// The values of a claim that is one text or a list of texts.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<&str>, AuthError> {
        let none = || wrong(format!("the token's \"{name}\" is neither text nor a list of texts"));
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(items)) => items.iter().map(|item| item.as_str().ok_or_else(none)).collect(),
            Some(_) => Err(none()),
        }
    }

    /// An id: text, or a whole number, which becomes its digits.
    pub(super) fn id(&self, name: &str, longest: usize) -> Result<Option<String>, AuthError> {
        let text = match self.get(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) if number.is_u64() || number.is_i64() => number.to_string(),
            Some(_) => {
                return Err(wrong(format!("the token's \"{name}\" is neither text nor a whole number")));
            }
        };
        if text.is_empty() {
            return Err(AuthError::new(
                AuthErrorKind::NoIdentity,
                format!("the token's \"{name}\" is empty"),
            ));
        }
        if text.chars().count() > longest {
            let message = format!("the token's \"{name}\" is longer than {longest} characters");
            return Err(AuthError::new(AuthErrorKind::NoIdentity, message));
        }
        if text.chars().any(char::is_control) {
            let message = format!("the token's \"{name}\" has control characters");
            return Err(AuthError::new(AuthErrorKind::NoIdentity, message));
        }
        Ok(Some(text))
    }
}

fn wrong(message: String) -> AuthError {
    AuthError::new(AuthErrorKind::WrongType, message)
}
