//! The messaging API in real time: Socket.IO over real sockets, beside REST, binary clients and the presence WebSocket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

#[path = "messaging_events/away.rs"]
mod away;
#[path = "messaging_events/bad_input.rs"]
mod bad_input;
#[path = "messaging_events/partners.rs"]
mod partners;
#[path = "messaging/people.rs"]
mod people;
#[path = "messaging_events/said.rs"]
mod said;
#[path = "messaging_events/tokens.rs"]
mod tokens;
#[path = "messaging_events/typing.rs"]
mod typing;

use away::{who_was_away_catches_up, who_was_away_catches_up_while_more_is_said};
use bad_input::{attachments_may_be_our_own_only, bad_events_change_nothing, too_many_events};
use partners::{
    new_partners, one_user_everywhere, partners_come_and_go, partners_that_part, presence_may_be_off,
};
use said::{
    conversations_and_their_people, conversations_of_other_apis_are_not_told, reading_all,
    the_dialect_of_the_front_end, the_same_message_again, told_once_whichever_way_it_came,
};
use support::on_both;
use tokens::{a_token_ends, kicked_and_too_many, tokens_from_three_places, version_four_of_the_protocol};
use typing::{typing_ends_with_its_session, who_sees_typing};

on_both!(
    told_once_whichever_way_it_came,
    the_same_message_again,
    reading_all,
    conversations_and_their_people,
    conversations_of_other_apis_are_not_told,
    the_dialect_of_the_front_end,
    who_sees_typing,
    typing_ends_with_its_session,
    partners_come_and_go,
    new_partners,
    partners_that_part,
    presence_may_be_off,
    one_user_everywhere,
    tokens_from_three_places,
    version_four_of_the_protocol,
    a_token_ends,
    kicked_and_too_many,
    bad_events_change_nothing,
    attachments_may_be_our_own_only,
    too_many_events,
    who_was_away_catches_up,
    who_was_away_catches_up_while_more_is_said,
);
