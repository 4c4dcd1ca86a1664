//! A real server for a test: the program that the build has put beside it, with the memory store and two shards.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::path::PathBuf;
use std::time::Duration;

use loadtest::server::spawn::{Server, Settings};

/// Longest wait for what happens at once, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The server's program.
pub(crate) fn program() -> PathBuf {
    let here = std::env::current_exe().expect("Linux tells every program where it is");
    let folder = here.ancestors().nth(2).expect("a test lies in target/PROFILE/deps");
    let program = folder.join("muster");
    assert!(
        program.is_file(),
        "{} is missing: `cargo build -p muster` makes it, and `cargo test --workspace` does too",
        program.display()
    );
    program
}

/// A fresh server with these settings besides, `SECTION__KEY`.
pub(crate) fn fresh(settings: &[(&str, &str)]) -> Server {
    let common = [("STORE__KIND", "memory"), ("ENGINE__SHARDS", "2"), ("ENGINE__PIN", "false")];
    let variables = common.iter().chain(settings);
    let variables = variables.map(|(name, value)| (format!("MUSTER_{name}"), (*value).to_owned())).collect();
    let settings =
        Settings { program: Some(program()), variables, patience: PATIENCE, ..Settings::default() };
    Server::start(&settings).unwrap_or_else(|error| panic!("{error}"))
}
