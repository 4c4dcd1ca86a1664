//! Instructions a call of the hottest paths, against the committed counts: `cargo run --release -p muster-benches --bin
//! instructions`. Exits with 1 when one is more than the tolerance above.
#![allow(clippy::print_stdout, reason = "a program that reports figures")]

use std::path::PathBuf;
use std::process::ExitCode;

use benches::counted::{self, Counts};
use benches::micro::Trouble;
use clap::Parser;

/// Counts the instructions of the hottest paths under callgrind, and compares them with the committed counts.
#[derive(Debug, Parser)]
struct Arguments {
    /// Write the counts down instead: they are the committed ones from now on.
    #[arg(long)]
    write: bool,
    /// Percent above the committed count that are no regression.
    #[arg(long, default_value_t = 3.0)]
    tolerance: f64,
    /// The committed counts.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json"))]
    file: PathBuf,
    /// Run this case and nothing else; for callgrind.
    #[arg(long, hide = true)]
    run: Option<String>,
    /// So many times.
    #[arg(long, hide = true, default_value_t = 1)]
    times: u64,
}

fn main() -> Result<ExitCode, Trouble> {
    let arguments = Arguments::parse();
    if let Some(name) = &arguments.run {
        counted::run(name, arguments.times)?;
        return Ok(ExitCode::SUCCESS);
    }
    if cfg!(debug_assertions) {
        return Err("counts of a debug build mean nothing: run it with --release".into());
    }
    let counts = counted::count_guarded(&std::env::current_exe()?)?;
    if arguments.write {
        let rounded: Counts =
            counts.iter().map(|(name, count)| (name.clone(), (count * 10.0).round() / 10.0)).collect();
        std::fs::write(&arguments.file, serde_json::to_string_pretty(&rounded)? + "\n")?;
    }
    let committed = std::fs::read_to_string(&arguments.file)
        .map_err(|error| format!("{}: {error}; write it with --write", arguments.file.display()))?;
    let changes = counted::compare(&counts, &serde_json::from_str(&committed)?);
    let mut worse = false;
    for (name, change) in &changes {
        let holds = change.holds(arguments.tolerance);
        worse |= !holds;
        let against = change.percent().map_or_else(
            || "not in the committed counts: write them with --write".to_owned(),
            |percent| format!("{percent:+.1} % against the committed count"),
        );
        println!(
            "{name:<24} {:>8.1} instructions a call, {against}{}",
            change.now,
            if holds { "" } else { ": TOO MANY" }
        );
    }
    if worse {
        println!(
            "If the reason is worth it, renew the counts: cargo run --release -p muster-benches --bin instructions -- --write"
        );
    }
    Ok(if worse { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
