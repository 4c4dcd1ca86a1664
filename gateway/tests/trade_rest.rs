//! The buyer/seller API's REST calls, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

#[path = "trade/bad_input.rs"]
mod bad_input;
#[path = "trade/golden.rs"]
mod golden;
#[path = "trade/history.rs"]
mod history;
#[path = "trade/people.rs"]
mod people;
#[path = "trade/rights.rs"]
mod rights;

use bad_input::{bad_requests_change_nothing, odd_paths_and_queries};
use golden::{
    a_deleted_room_and_its_return, a_room_and_its_sides, blocked_rooms, lists_and_their_order,
    names_of_rooms_are_read_in_one_way,
};
use history::{pages_of_messages, retries_and_rooms_that_are_not_there, seen_and_unseen};
use rights::{limits_and_tokens, who_may_what};
use support::on_both;

on_both!(
    a_room_and_its_sides,
    a_deleted_room_and_its_return,
    lists_and_their_order,
    blocked_rooms,
    names_of_rooms_are_read_in_one_way,
    pages_of_messages,
    seen_and_unseen,
    retries_and_rooms_that_are_not_there,
    who_may_what,
    limits_and_tokens,
    bad_requests_change_nothing,
    odd_paths_and_queries,
);
