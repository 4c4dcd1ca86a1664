//! What the front door counts; the admin listener prints it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, StatusCode};

use super::listener::Connections;

/// The route of a request that no route matched.
pub const NO_ROUTE: &str = "none";

/// All counters of the front door. They only grow.
#[derive(Debug, Default)]
pub struct Tally {
    /// Of the public listener.
    pub connections: Arc<Connections>,
    /// Sockets handed over to shards.
    pub handed_over: AtomicU64,
    /// Handshakes answered 503, and sockets that a shard did not take.
    pub handover_refused: AtomicU64,
    /// Tokens that were refused.
    pub bad_tokens: AtomicU64,
    /// Handlers that panicked: bugs.
    pub panics: AtomicU64,
    requests: Mutex<BTreeMap<(String, &'static str, u16), u64>>,
}

impl Tally {
    /// Counts an answered request. `route` is a pattern of the router, so there are few.
    pub fn request(&self, route: &str, method: &Method, status: StatusCode) {
        let key = (route.to_owned(), word(method), status.as_u16());
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
    }

    /// Route, method, status, and how often.
    #[must_use]
    pub fn requests(&self) -> Vec<(String, &'static str, u16, u64)> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().map(|((route, method, status), n)| (route.clone(), *method, *status, *n)).collect()
    }
}

/// Adds one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Clients may invent methods; metrics must not grow with them.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_route_method_and_status() {
        let tally = Tally::default();
        let odd = Method::from_bytes(b"BREW").unwrap();
        for (route, method, status) in
            [("/a", &Method::GET, 200), ("/a", &Method::GET, 200), ("/a", &odd, 405), (NO_ROUTE, &odd, 404)]
        {
            tally.request(route, method, StatusCode::from_u16(status).unwrap());
        }
        let rows = tally.requests();
        assert_eq!(rows[0], ("/a".into(), "GET", 200, 2));
        assert_eq!(rows[1], ("/a".into(), "other", 405, 1));
        assert_eq!(rows[2], ("none".into(), "other", 404, 1));
    }
}
