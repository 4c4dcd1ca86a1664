//! Clients that are wrong, slow, silent, many or gone, against the program itself on both socket drivers.
//!
//! Each test has two bystanders, one on each listener, which must not notice; and in the end everything the server holds
//! (connections, sessions, descriptors) must be what it was.

#![allow(clippy::disallowed_methods, reason = "a test waits for real time to pass")]
#![allow(clippy::print_stderr, reason = "captured, and shown when a test fails")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "hostile/ends.rs"]
mod ends;
#[path = "hostile/frames.rs"]
mod frames;
#[path = "hostile/load.rs"]
mod load;
mod support;
#[path = "hostile/times.rs"]
mod times;
#[path = "hostile/tokens.rs"]
mod tokens;
mod websocket_client;

use std::collections::BTreeMap;
use std::ops::Deref;

use support::Socket;
use support::process::Process;
use support::wire::Binary;

/// A server, two bystanders, and what there was before the trouble began.
struct Rig {
    process: Process,
    socket: Socket,
    binary: Binary,
    before: BTreeMap<&'static str, u64>,
}

impl Deref for Rig {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Rig {
    /// With these lines of configuration. Bad tokens are not counted: all clients here have one address.
    fn start(io: &str, extra: &str) -> Self {
        let process = Process::start_on(io, &format!("presence_api.failed_auth_limit = 1000000\n{extra}"));
        let socket = process.online("bystander-1");
        let binary = Binary::connect(&process, &process.token("bystander-2"));
        let mut rig = Self { process, socket, binary, before: BTreeMap::new() };
        // Whatever the first calls leave behind is there from now on.
        rig.process.figures();
        rig.alive();
        rig.before = rig.process.figures();
        rig
    }

    /// The bystanders are answered, and were told nothing that they had not asked for.
    #[track_caller]
    fn alive(&mut self) {
        self.socket.alive();
        self.binary.alive();
    }

    /// The end of a test: nobody was disturbed, nothing is left, nothing was logged as a bug.
    #[track_caller]
    fn undisturbed(mut self) {
        self.alive();
        self.process.settles(&self.before);
        self.alive();
        assert_eq!(self.metric("muster_handler_panics_total"), 0);
        let log = self.log();
        let bad = log.lines().find(|line| line.contains("panicked") || line.contains("\"ERROR\""));
        assert_eq!(bad, None, "{log}");
    }
}
