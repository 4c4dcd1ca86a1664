//! The command line of the load-test harness.

fn main() {}
