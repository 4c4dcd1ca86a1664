//! Sends a message to all sessions of a user and says how many took it:
//!
//! ```text
//! cargo run -p client --example say -- --addr 127.0.0.1:7400 --token T user-1 "hello there"
//! ```
//!
//! The token is one of `muster token`; `MUSTER_TOKEN` is read when there is no `--token`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it gets")]

use std::process::ExitCode;

use client::Error;
use client::blocking::{Client, Options};
use schema::Id;

const USAGE: &str = "usage: say [--addr HOST:PORT] --token TOKEN USER TEXT...";

fn main() -> ExitCode {
    let mut options = Options::new("127.0.0.1:7400", std::env::var("MUSTER_TOKEN").unwrap_or_default());
    let mut words = std::env::args().skip(1).peekable();
    while let Some(flag) = words.next_if(|word| word.starts_with("--")) {
        match (flag.as_str(), words.next()) {
            ("--addr", Some(address)) => options.address = address,
            ("--token", Some(token)) => options.token = token,
            _ => return usage(),
        }
    }
    let (Some(user), text) = (words.next(), words.collect::<Vec<_>>().join(" ")) else { return usage() };
    if text.is_empty() || options.token.is_empty() {
        return usage();
    }
    match say(options, &user, &text) {
        Ok(0) => {
            println!("{user} has no session; nobody heard it");
            ExitCode::SUCCESS
        }
        Ok(sessions) => {
            let noun = if sessions == 1 { "session" } else { "sessions" };
            println!("{sessions} {noun} of {user} took it");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn say(options: Options, user: &str, text: &str) -> Result<u32, Error> {
    let user = Id::new(user)?;
    let mut client = Client::connect(options)?;
    let sessions = client.send(&user, text.as_bytes(), false)?;
    client.goodbye(false);
    Ok(sessions)
}
