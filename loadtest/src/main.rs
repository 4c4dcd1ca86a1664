//! `muster-loadtest`: see [`loadtest::cli`].

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    loadtest::app::main(loadtest::cli::Command::parse())
}
