//! Who calls: the token of a request, verified, and failures counted by client address.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use schema::Actor;

use super::client_addr::Client;
use super::state::Front;
use super::tally::count;
use crate::auth::{Credentials, credentials};
use crate::rate::{Origin, Verdict};

/// A caller with a good token.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whom the token speaks for.
    pub actor: Actor,
    /// When it ends, leeway included, milliseconds since the Unix epoch.
    pub expires_at: u64,
    /// The role that it says, if it says one.
    pub role: Option<String>,
}

/// Why a caller is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Denied {
    /// No token, or a bad one.
    Token {
        /// A stable word.
        code: &'static str,
        /// For people; names the fix.
        message: Cow<'static, str>,
    },
    /// Too many bad ones from this address.
    TooMany(Verdict),
}

impl Front {
    /// The caller of a REST call: `Authorization: Bearer` and nothing else.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn caller(&self, headers: &HeaderMap, client: Client) -> Result<Caller, Denied> {
        self.verify(authorization(headers), client)
    }

    /// The caller of a REST call of an API whose clients may bring their token in the query.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn caller_with_query(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        client: Client,
    ) -> Result<Caller, Denied> {
        self.websocket_caller(headers, None, query, client)
    }

    /// The caller of a WebSocket handshake, which may also bring its token in the sub-protocols (taken out by the
    /// handshake's check) or in the query.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn websocket_caller(
        &self,
        headers: &HeaderMap,
        sub_protocol: Option<&str>,
        query: Option<&str>,
        client: Client,
    ) -> Result<Caller, Denied> {
        let in_query = query.and_then(|query| credentials::parameter(query, "token"));
        let token = authorization(headers).or(sub_protocol).or(in_query.as_deref());
        self.verify(token.filter(|token| !token.is_empty()), client)
    }

    /// The caller that a token speaks for.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn verify(&self, token: Option<&str>, client: Client) -> Result<Caller, Denied> {
        let now = self.clock.unix_ms();
        let found = match token {
            Some(token) => {
                self.verifier.verify(token, now).map_err(|error| (error.code(), error.to_string()))
            }
            None => match Credentials::find(None, None, None) {
                Err(error) => Err((error.code(), error.to_string())),
                // Nothing was searched, so nothing was found.
                Ok(_) => Err(("TOKEN_MISSING", String::new())),
            },
        };
        let admitted = found.and_then(|identity| match self.realms.actor(&identity) {
            Ok(actor) => Ok(Caller { actor, expires_at: identity.cut_off_ms, role: identity.role }),
            Err(message) => Err(("TOKEN_REALM", message)),
        });
        admitted.map_err(|(code, message)| {
            count(&self.tally.bad_tokens);
            let verdict = self.limits.failed_auth.hit(&Origin::from(client.0.ip()), now);
            match verdict.allowed {
                true => Denied::Token { code, message: message.into() },
                false => Denied::TooMany(verdict),
            }
        })
    }
}

/// The token of `Authorization: Bearer`, if any.
pub fn authorization(headers: &HeaderMap) -> Option<&str> {
    credentials::bearer(headers.get(AUTHORIZATION)?.to_str().ok()?)
}
