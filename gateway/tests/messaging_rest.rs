//! The messaging API's calls about conversations and messages, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

#[path = "messaging/bad_input.rs"]
mod bad_input;
#[path = "messaging/golden.rs"]
mod golden;
#[path = "messaging/paging.rs"]
mod paging;
#[path = "messaging/people.rs"]
mod people;
#[path = "messaging/retries.rs"]
mod retries;
#[path = "messaging/rights.rs"]
mod rights;
#[path = "messaging/server.rs"]
mod server;

use bad_input::{
    attachments_may_be_our_own_only, bad_requests_change_nothing, odd_paths, the_dialect_of_the_front_end,
};
use golden::{
    conversations_and_their_people, deleted_messages, large_groups, messages_and_their_readers, unread_counts,
};
use paging::{lists_go_on, pages_lose_and_repeat_nothing, same_millisecond, where_a_page_begins};
use retries::{a_group_is_made_once, a_message_is_sent_once, two_make_the_same_conversation};
use rights::{limits_and_origins, who_may_what};
use server::back_ends_act_for_users;
use support::on_both;

on_both!(
    conversations_and_their_people,
    messages_and_their_readers,
    unread_counts,
    deleted_messages,
    large_groups,
    pages_lose_and_repeat_nothing,
    lists_go_on,
    same_millisecond,
    where_a_page_begins,
    a_message_is_sent_once,
    a_group_is_made_once,
    two_make_the_same_conversation,
    who_may_what,
    limits_and_origins,
    bad_requests_change_nothing,
    the_dialect_of_the_front_end,
    attachments_may_be_our_own_only,
    odd_paths,
    back_ends_act_for_users,
);
