//! The laws of the house, as tests over every file of the repository.
//!
//! Each law also tries itself: it must catch the small violations listed with it, and must let the innocent go.

// The crate's root lies in `tests/`, where every file would be a test of its own.
#[path = "tidy/code.rs"]
mod code;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/tree.rs"]
mod tree;
#[path = "tidy/walls.rs"]
mod walls;
#[path = "tidy/words.rs"]
mod words;

#[test]
fn the_machine_is_pure() {
    walls::THE_MACHINE_IS_PURE.uphold();
}

#[test]
fn dependencies_point_down() {
    walls::DEPENDENCIES_POINT_DOWN.uphold();
}

#[test]
fn the_gateway_uses_the_door() {
    walls::THE_GATEWAY_USES_THE_DOOR.uphold();
}

#[test]
fn unsafe_stays_in_its_rooms() {
    walls::UNSAFE_STAYS_IN_ITS_ROOMS.uphold();
}

#[test]
fn time_and_luck_are_arguments() {
    walls::TIME_AND_LUCK_ARE_ARGUMENTS.uphold();
}

#[test]
fn a_file_says_what_it_is() {
    rooms::A_FILE_SAYS_WHAT_IT_IS.uphold();
}

#[test]
fn a_file_is_a_room() {
    rooms::A_FILE_IS_A_ROOM.uphold();
}

#[test]
fn tests_come_last() {
    rooms::TESTS_COME_LAST.uphold();
}

#[test]
fn a_name_says_something() {
    rooms::A_NAME_SAYS_SOMETHING.uphold();
}

#[test]
fn every_crate_keeps_the_lints() {
    rooms::EVERY_CRATE_KEEPS_THE_LINTS.uphold();
}

#[test]
fn nothing_is_left_unfinished() {
    words::NOTHING_IS_LEFT_UNFINISHED.uphold();
}

#[test]
fn no_test_is_skipped() {
    words::NO_TEST_IS_SKIPPED.uphold();
}

#[test]
fn a_relaxed_lint_says_why() {
    words::A_RELAXED_LINT_SAYS_WHY.uphold();
}

#[test]
fn a_stranger_understands_it() {
    words::A_STRANGER_UNDERSTANDS_IT.uphold();
}

#[test]
fn packages_are_pinned() {
    words::PACKAGES_ARE_PINNED.uphold();
}

#[test]
fn ci_runs_the_readmes_command() {
    words::CI_RUNS_THE_READMES_COMMAND.uphold();
}
