//! Conversations: the home of each is its one writer.

use schema::Id;
use schema::Refusal;
use schema::chat::ChatCommand;

use super::Machine;
use super::command::{Caller, Outcome};
use super::store::ChatAnswer;

impl Machine {
    /// A command about conversations.
    pub(super) fn chat(&mut self, _caller: &Caller, _acting: Option<Id>, _command: ChatCommand) -> Outcome {
        Err(Refusal::Unsupported)
    }

    /// The store answers.
    pub(super) fn chat_stored(&mut self, _answer: ChatAnswer) {}
}
