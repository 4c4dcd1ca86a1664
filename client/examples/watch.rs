//! Prints how users are, and every change:
//!
//! ```text
//! cargo run -p client --example watch -- --addr 127.0.0.1:7400 --token T user-1 user-2
//! cargo run -p client --example watch -- --token T --online
//! ```
//!
//! The token is one of `muster token`; `MUSTER_TOKEN` is read when there is no `--token`. A user may watch itself and, where the
//! server allows it, others; a service may watch everybody.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it gets")]

use std::process::ExitCode;
use std::time::Duration;

use client::Error;
use client::blocking::{Client, Event, Options};
use schema::{Id, UserPresence};

const USAGE: &str = "usage: watch [--addr HOST:PORT] --token TOKEN [--online] [USER...]";

struct Arguments {
    address: String,
    token: String,
    online: bool,
    users: Vec<Id>,
}

fn arguments() -> Result<Arguments, String> {
    let mut parsed = Arguments {
        address: "127.0.0.1:7400".to_owned(),
        token: std::env::var("MUSTER_TOKEN").unwrap_or_default(),
        online: false,
        users: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--addr" => parsed.address = value()?,
            "--token" => parsed.token = value()?,
            "--online" => parsed.online = true,
            "--help" | "-h" => return Err(USAGE.to_owned()),
            flag if flag.starts_with("--") => return Err(format!("{flag} is not known\n{USAGE}")),
            user => parsed.users.push(Id::new(user).map_err(|error| format!("{user:?}: {error}"))?),
        }
    }
    if parsed.token.is_empty() {
        return Err(format!("a token is needed; `muster token --user watcher` prints one\n{USAGE}"));
    }
    if parsed.users.is_empty() && !parsed.online {
        return Err(format!("name a user, or --online\n{USAGE}"));
    }
    Ok(parsed)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let mut client = Client::connect(Options::new(&arguments.address, &arguments.token))?;
    if arguments.online {
        println!("{} users online", client.count()?);
    }
    if arguments.users.is_empty() {
        client.goodbye(false);
        return Ok(());
    }
    client.watch(&arguments.users)?;
    loop {
        match client.next_event(Duration::from_secs(60))? {
            None => {}
            Some(Event::Presence(users)) => users.iter().for_each(print),
            Some(Event::Connected(welcome)) => println!("connected as {}", welcome.user),
            Some(Event::Disconnected { end, retry_in }) => {
                println!("connection lost ({end}); trying again in {:.1} s", retry_in.as_secs_f64());
            }
            Some(Event::Message { from, payload }) => {
                println!("{from} says {}", String::from_utf8_lossy(&payload));
            }
            Some(other) => println!("{other:?}"),
        }
    }
}

fn print(user: &UserPresence) {
    match user.last_seen.at() {
        Some(ms) => println!("{} is {}, last seen {}", user.user, user.status.as_str(), time_of_day(ms)),
        None => println!("{} is {}", user.user, user.status.as_str()),
    }
}

/// Hours, minutes and seconds in UTC: enough to see that something moved.
fn time_of_day(ms: u64) -> String {
    let seconds = ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02} UTC", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}
