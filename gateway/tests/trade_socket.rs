//! The buyer/seller API's namespace, over real WebSockets, spoken as clients of Engine.IO 3 and 4 do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

#[path = "trade_socket/admission.rs"]
mod admission;
#[path = "trade_socket/dealing.rs"]
mod dealing;
#[path = "trade_socket/member.rs"]
mod member;
#[path = "trade_socket/restart.rs"]
mod restart;
#[path = "trade_socket/who.rs"]
mod who;

use admission::{tokens_end_and_are_renewed, who_is_let_in};
use dealing::{a_room_is_spoken_in, rooms_are_deleted_and_blocked, what_is_refused};
use restart::a_crash_loses_nothing;
use support::on_both;
use who::{one_presence_for_all, one_user_on_every_api, who_is_online};

on_both!(
    a_room_is_spoken_in,
    rooms_are_deleted_and_blocked,
    what_is_refused,
    who_is_let_in,
    tokens_end_and_are_renewed,
    who_is_online,
    one_presence_for_all,
    one_user_on_every_api,
    a_crash_loses_nothing,
);
