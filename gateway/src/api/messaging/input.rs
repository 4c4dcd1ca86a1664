//! What clients may say to the messaging API, and what is made of it.
//!
//! Beside the API's own names those of its front end are taken: `name` and `isGroup` of a conversation, `recipientId` of a
//! message, `participantIds` where people are added. A header `X-User-ID` is not looked at: the token says who calls.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, StatusCode};
use schema::Id;
use schema::chat::{Attachment, ConversationId, Draft};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::Problem;
use super::gate::Told;
use crate::api::drafts::{attachment, client_id, content};
use crate::http::json::is_json;
use crate::http::{Front, body, strict};

/// Characters of a group's name.
pub const NAME: usize = 255;
/// People that one call may name.
pub const PEOPLE: usize = 1_000;

/// A conversation to make.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagingNewConversation)]
pub struct NewConversation {
    /// Who shall be in it; the caller is always added.
    #[schema(min_items = 1, max_items = 1_000, example = json!(["0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55"]))]
    participant_ids: Vec<String>,
    /// `direct`: exactly two people, and there is one such conversation for each two. `group`: two or more, and a name.
    #[schema(example = "direct")]
    conversation_type: Option<String>,
    /// Of a group; at most 255 characters.
    #[schema(example = "Team Discussion")]
    conversation_name: Option<String>,
    /// The same as `conversationType`.
    is_group: Option<bool>,
    /// The same as `conversationName`.
    name: Option<String>,
}

/// What to change of a group.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagingRename)]
pub struct Rename {
    /// Its new name; 1 to 255 characters.
    #[schema(example = "New Team Name")]
    conversation_name: Option<String>,
    /// The same as `conversationName`.
    name: Option<String>,
}

/// Who is to be added.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagingNewParticipants)]
pub struct NewParticipants {
    /// One.
    #[schema(example = "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55")]
    user_id: Option<String>,
    /// Or several, who may be there already.
    participant_ids: Option<Vec<String>>,
}

/// A message to send.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagingNewMessage)]
pub struct NewMessage {
    /// Where to say it.
    #[schema(example = "3c1f0e9a-77b2-8d41-a6c5-9e0d2b000000")]
    conversation_id: Option<String>,
    /// Or to whom: the direct conversation with that user is found or made.
    recipient_id: Option<String>,
    /// What to say; at most 10,000 characters, and empty only with an attachment.
    #[schema(example = "Hello everyone!")]
    content: Option<String>,
    /// An absolute address, `http` or `https`; at most 2,048 bytes.
    #[schema(example = "http://localhost:8080/messaging/messages/1732546789123-photo.jpg")]
    attachment_url: Option<String>,
    /// `image`, `video`, `audio` or `file`; `file` if not given.
    #[schema(example = "image")]
    attachment_type: Option<String>,
    /// The client's own name for this message: sent again with the same one, it is stored and told once, and answered the
    /// same. At most 255 bytes. The header `Idempotency-Key` does the same.
    #[schema(example = "8e03978e-40d5-43dd-bc93-6894a57f9324")]
    client_message_id: Option<String>,
}

/// What a message is to say.
#[derive(Deserialize, ToSchema)]
#[schema(as = MessagingEdit)]
pub struct NewContent {
    /// At most 10,000 characters.
    #[schema(example = "Updated message content")]
    content: String,
}

/// What bounds a message, beside what bounds all of them.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    /// Characters of a user's id.
    pub user_id: u16,
    /// What an attachment's address must begin with.
    pub own: Option<&'a str>,
}

/// Where a message goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// To a conversation.
    Conversation(ConversationId),
    /// To the direct conversation with a user.
    User(Id),
}

/// A message that may be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Letter {
    /// What it says.
    pub content: Arc<str>,
    /// What comes with it.
    pub attachment: Option<Attachment>,
    /// The client's own name for it.
    pub client_id: Option<Arc<str>>,
}

impl Letter {
    /// What is to be said in this conversation.
    #[must_use]
    pub fn draft(self, conversation: ConversationId) -> Draft {
        let Self { content, attachment, client_id } = self;
        Draft { conversation, client_id, kind: 0, content, attachment }
    }
}

/// Reads a body of JSON.
pub async fn read<T: DeserializeOwned>(front: &Front, headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    if !is_json(headers) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Type must be application/json",
        ));
    }
    let bytes = body::read(body, front.config.http.body_bytes.bytes()).await?;
    strict::object(&bytes).map_err(|error| Problem::bad(format!("The body cannot be used: {error}")))
}

/// The id of a user of at most `longest` characters, where a body names one.
pub fn user(longest: u16, field: &str, text: &str) -> Result<Id, Problem> {
    if text.chars().count() > usize::from(longest) {
        return Err(Problem::bad(format!("{field}: an id is too long")));
    }
    Id::new(text).map_err(|error| Problem::bad(format!("{field}: {error}")))
}

/// The conversation that a body names. Clients have ids that were never ours, and are told what is true: there is no
/// such conversation.
pub fn conversation(named: Option<&str>) -> Result<ConversationId, Problem> {
    let text = named.ok_or_else(|| Problem::bad("conversationId is required"))?;
    text.parse().map_err(|_| Problem::not_found(Told::CONVERSATION.missing))
}

/// Distinct users, in their order.
fn users(longest: u16, field: &str, texts: &[String]) -> Result<Vec<Id>, Problem> {
    if texts.is_empty() {
        return Err(Problem::bad(format!("{field} must not be empty")));
    }
    if texts.len() > PEOPLE {
        return Err(Problem::bad(format!("{field} must have at most {PEOPLE} ids")));
    }
    let mut seen = std::collections::HashSet::new();
    let ids = texts.iter().map(|text| user(longest, field, text)).collect::<Result<Vec<Id>, _>>()?;
    Ok(ids.into_iter().filter(|id| seen.insert(id.clone())).collect())
}

/// A name that may be given to a group.
fn name(given: Option<&str>) -> Result<Arc<str>, Problem> {
    let name = given.map(str::trim).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Problem::bad("conversationName is required for a group"))?;
    if name.chars().count() > NAME {
        return Err(Problem::bad(format!("conversationName must have at most {NAME} characters")));
    }
    Ok(name.into())
}

/// A conversation that may be made: its people beside the caller, and its name if it is a group.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Without the caller.
    pub others: Vec<Id>,
    /// `None`: it is a direct conversation.
    pub name: Option<Arc<str>>,
}

impl NewConversation {
    /// What it is to be, made by `caller`. `longest`: characters of a user's id.
    pub fn plan(&self, longest: u16, caller: &Id) -> Result<Plan, Problem> {
        let group = match (self.conversation_type.as_deref(), self.is_group) {
            (Some("direct"), None | Some(false)) | (None, None | Some(false)) => false,
            (Some("group"), None | Some(true)) | (None, Some(true)) => true,
            (Some("direct" | "group"), Some(_)) => {
                return Err(Problem::bad("conversationType and isGroup contradict each other"));
            }
            (Some(_), _) => return Err(Problem::bad("conversationType must be \"direct\" or \"group\"")),
        };
        let mut others = users(longest, "participantIds", &self.participant_ids)?;
        others.retain(|other| other != caller);
        if !group {
            return match others.len() {
                1 => Ok(Plan { others, name: None }),
                _ => Err(Problem::bad("A direct conversation has exactly two participants, you among them")),
            };
        }
        let name = name(self.conversation_name.as_deref().or(self.name.as_deref()))?;
        if others.is_empty() {
            return Err(Problem::bad("A group needs at least one participant beside you"));
        }
        Ok(Plan { others, name: Some(name) })
    }
}

impl Rename {
    /// The new name.
    pub fn name(&self) -> Result<Arc<str>, Problem> {
        name(self.conversation_name.as_deref().or(self.name.as_deref()))
    }
}

impl NewParticipants {
    /// Who, and whether it was said as a list. `longest`: characters of a user's id.
    pub fn users(&self, longest: u16) -> Result<(Vec<Id>, bool), Problem> {
        match (&self.user_id, &self.participant_ids) {
            (Some(one), None) => Ok((vec![user(longest, "userId", one)?], false)),
            (None, Some(several)) => Ok((users(longest, "participantIds", several)?, true)),
            _ => Err(Problem::bad("userId is required")),
        }
    }
}

impl NewContent {
    /// What it says now.
    pub fn content(&self) -> Result<Arc<str>, Problem> {
        Ok(content(&self.content, false)?)
    }
}

impl NewMessage {
    /// Where the message goes, and what it is, if `caller` may send it. `headers`: where the client's own name for it may
    /// stand, too.
    pub fn letter(
        &self,
        caller: &Id,
        headers: &HeaderMap,
        bounds: &Bounds<'_>,
    ) -> Result<(Place, Letter), Problem> {
        let own = bounds.own;
        let attachment = attachment(self.attachment_url.as_deref(), self.attachment_type.as_deref(), own)?;
        let content = content(self.content.as_deref().unwrap_or_default(), attachment.is_some())?;
        let client_id = client_id(headers, self.client_message_id.as_deref())?;
        let place = match (&self.conversation_id, &self.recipient_id) {
            (id, None) => Place::Conversation(conversation(id.as_deref())?),
            (None, Some(text)) => match user(bounds.user_id, "recipientId", text)? {
                user if user == *caller => return Err(Problem::bad("recipientId must be somebody else")),
                user => Place::User(user),
            },
            (Some(_), Some(_)) => return Err(Problem::bad("give conversationId or recipientId, not both")),
        };
        Ok((place, Letter { content, attachment, client_id }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_groups() {
        assert_eq!(name(Some(" Team ")).as_deref(), Ok("Team"));
        assert!(name(Some("  ")).is_err() && name(None).is_err());
        assert!(name(Some(&"x".repeat(NAME + 1))).is_err());
    }
}
