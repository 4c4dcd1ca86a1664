//! The `muster` program: reads the command line and does what it says.
//!
//! Exit codes: 0 done, 1 it failed or a configuration is wrong, 2 the command line is wrong.

mod cli;

/// Chosen by measurement: after a crowd has left it gives most memory back to the system, which the system's own
/// allocator does not (`muster-loadtest million` shows it). `.cargo/config.toml` sets how soon.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use gateway::auth::mint::{Order, mint};
use gateway::auth::secret::random_text;
use gateway::auth::{KeyRing, MissingSecret, Verifier};
use gateway::carry::run::{run_erase, run_export, run_import};
use gateway::clock::Clock;
use gateway::config::{self, Config};
use gateway::{logging, serve, tables};

use cli::{CheckArgs, Cli, Command, MigrateArgs, PrintArgs, ServeArgs, TokenArgs};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => run(&cli.serve),
        Some(Command::Serve(args)) => run(&args),
        Some(Command::Token(args)) => token(&args),
        Some(Command::CheckConfig(args)) => check_config(&args),
        Some(Command::Config(args)) => print_config(&args),
        Some(Command::Migrate(args)) => migrate(&args),
        Some(Command::Export(args)) => {
            load(&args.sources()).and_then(|config| run_export(&config, args.out.as_deref(), &say))
        }
        Some(Command::Import(args)) => load(&args.sources()).and_then(|config| {
            run_import(&config, args.file.as_deref(), args.dry_run, args.map.as_deref(), &say)
        }),
        Some(Command::Erase(args)) => load(&args.sources())
            .and_then(|config| run_erase(&config, &args.user, args.realm.as_deref(), args.dry_run, &say)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(args: &ServeArgs) -> Result<(), String> {
    let sources = args.sources();
    let config = load(&sources)?;
    logging::start(&config.server)?;
    if sources.file.is_none() && Path::new("muster.toml").exists() {
        tracing::warn!("muster.toml is here but was not named, so it is not read: give --config muster.toml");
    }
    serve::run(config, &|| Config::load(&sources)).map_err(|error| error.to_string())
}

fn token(args: &TokenArgs) -> Result<(), String> {
    let config = load(&args.sources())?;
    let verifier = Verifier::from_config(&config).map_err(|error| error.to_string())?;
    if let Some(generated) = verifier.keys().generated().filter(|generated| generated.new) {
        say(&format!("{}; start the server with the same data directory", generated.notice()));
    }
    let order = Order {
        user: args.user.clone(),
        service: args.service,
        role: args.role.clone(),
        ttl: args.ttl,
        claims: args.claims.clone(),
        id: random_text::<16>().map_err(|error| format!("no random numbers: {error}"))?,
    };
    let token = mint(&config, &verifier, &order, Clock::system().unix_ms())?;
    print(&format!("{token}\n"))
}

fn check_config(args: &CheckArgs) -> Result<(), String> {
    let sources = args.sources();
    let config = load(&sources)?;
    KeyRing::load(&config, MissingSecret::Leave).map_err(|error| error.to_string())?;
    for warning in config.warnings() {
        say(&format!("warning: {warning}"));
    }
    match &sources.file {
        Some(file) => print(&format!("{} is right\n", file.display())),
        None => print("the configuration is right (no file was named)\n"),
    }
}

fn print_config(args: &PrintArgs) -> Result<(), String> {
    print(&if args.markdown { config::markdown() } else { config::toml() })
}

fn migrate(args: &MigrateArgs) -> Result<(), String> {
    let config = load(&args.sources())?;
    print(&tables::migrate(&config, args.dry_run).map_err(|error| error.to_string())?)
}

fn load(sources: &config::Sources) -> Result<Config, String> {
    Config::load(sources).map_err(|error| error.to_string())
}

/// Writes to standard output. A reader that has enough (`| head`) is no error.
fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("cannot write the output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Writes a message to standard error, line by line. Where even that fails there is nobody left to tell.
fn say(text: &str) {
    let mut err = io::stderr().lock();
    for line in text.lines() {
        let _ = writeln!(err, "muster: {line}");
    }
}
