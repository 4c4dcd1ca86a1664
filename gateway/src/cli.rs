//! The command line: what can be typed, and which keys its flags set.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use gateway::config::{Flag, Sources, read_duration};
use serde_json::Value;

/// Muster takes the roll call: it knows who is online, says so, and carries their messages.
#[derive(Debug, Parser)]
#[command(name = "muster", version, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server; this is what `muster` alone does.
    Serve(ServeArgs),
    /// Print a token that the server with the same configuration accepts.
    Token(TokenArgs),
    /// Say whether a configuration file, with the environment as it is, is right.
    CheckConfig(CheckArgs),
    /// Print every key of the configuration with its default and meaning.
    Config(PrintArgs),
    /// Make the tables in ScyllaDB or Cassandra, or bring them up to date. The server does it at its start, too.
    Migrate(MigrateArgs),
    /// Write everything that a stopped server has kept as JSON lines.
    ///
    /// Conversations, members, messages, receipts, last seen. docs/EXPORT.md tells the format. Files that were uploaded
    /// are not part of it.
    Export(ExportArgs),
    /// Read JSON lines, of `muster export` or of another system, into the store of a stopped server.
    ///
    /// What is there already stays as it is: the same file again changes nothing, and one that was cut off goes on where
    /// it ended. docs/EXPORT.md tells the format, and what another system has to give.
    Import(ImportArgs),
    /// Remove what a person wrote and was from the store of a stopped server.
    ///
    /// Their messages become deleted ones without words and names, their memberships, last seen and uploaded files go.
    /// Doing it again is no error.
    Erase(EraseArgs),
}

/// Flags that say where the configuration is.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Place {
    /// Configuration file. No file is read that was not named.
    #[arg(long, value_name = "FILE", env = "MUSTER_CONFIG")]
    config: Option<PathBuf>,
    /// Data directory [default: ./muster-data].
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    place: Place,
    /// Address of the public listener [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Address of the binary protocol's listener [default: 127.0.0.1:7400].
    #[arg(long, value_name = "ADDR")]
    binary: Option<String>,
    /// Address of the admin listener [default: 127.0.0.1:9400].
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Socket driver: auto, ring or epoll [default: auto].
    #[arg(long, value_name = "DRIVER")]
    io: Option<String>,
    /// Number of shards; 0 takes one per core [default: 0].
    #[arg(long, value_name = "N")]
    shards: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    place: Place,
    /// The user's id.
    #[arg(long, value_name = "ID")]
    pub(crate) user: String,
    /// Mark the user as an internal service, which may do what users may not.
    #[arg(long)]
    pub(crate) service: bool,
    /// The user's role.
    #[arg(long)]
    pub(crate) role: Option<String>,
    /// How long the token lives, such as 90s, 30m, 1h or 7d.
    #[arg(long, default_value = "1h", value_parser = ttl)]
    pub(crate) ttl: Duration,
    /// A further claim, as often as needed. A value that is JSON (42, true, ["a"]) is taken as JSON, any other as
    /// text.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    pub(crate) claims: Vec<(String, Value)>,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Configuration file; without it, the one of --config or MUSTER_CONFIG.
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Args, Debug)]
pub(crate) struct PrintArgs {
    /// Print the documentation page in place of a configuration file.
    #[arg(long)]
    pub(crate) markdown: bool,
}

#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    place: Place,
    /// Change nothing; print the statements.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    place: Place,
    /// Where to; without it, standard output. The file appears when it is whole.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// Where from; without it, or with -, standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Check every line and say what would be written, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write which id everything has here that had one (ref) in the other system.
    #[arg(long, value_name = "FILE")]
    pub(crate) map: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct EraseArgs {
    #[command(flatten)]
    place: Place,
    /// The user's id.
    #[arg(long, value_name = "ID")]
    pub(crate) user: String,
    /// The user's realm [default: the default one].
    #[arg(long, value_name = "NAME")]
    pub(crate) realm: Option<String>,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl MigrateArgs {
    pub(crate) fn sources(&self) -> Sources {
        self.place.sources()
    }
}

impl ExportArgs {
    pub(crate) fn sources(&self) -> Sources {
        self.place.sources()
    }
}

impl ImportArgs {
    pub(crate) fn sources(&self) -> Sources {
        self.place.sources()
    }
}

impl EraseArgs {
    pub(crate) fn sources(&self) -> Sources {
        self.place.sources()
    }
}

impl Place {
    fn sources(&self) -> Sources {
        Sources {
            file: self.config.clone(),
            environment: std::env::vars_os().collect(),
            flags: flags([("--data", "server", "data", &self.data)]),
        }
    }
}

impl ServeArgs {
    pub(crate) fn sources(&self) -> Sources {
        let mut sources = self.place.sources();
        sources.flags.extend(flags([
            ("--http", "http", "address", &self.http),
            ("--binary", "binary", "address", &self.binary),
            ("--admin", "admin", "address", &self.admin),
            ("--io", "engine", "io", &self.io),
            ("--shards", "engine", "shards", &self.shards),
        ]));
        sources
    }
}

impl TokenArgs {
    pub(crate) fn sources(&self) -> Sources {
        self.place.sources()
    }
}

impl CheckArgs {
    pub(crate) fn sources(&self) -> Sources {
        let mut sources = self.place.sources();
        sources.file = self.file.clone().or(sources.file);
        sources
    }
}

fn flags<const N: usize>(
    given: [(&'static str, &'static str, &'static str, &Option<String>); N],
) -> Vec<Flag> {
    given
        .into_iter()
        .filter_map(|(name, section, key, value)| Some(Flag { name, section, key, value: value.clone()? }))
        .collect()
}

fn ttl(text: &str) -> Result<Duration, String> {
    match read_duration(text) {
        Some(ttl) if ttl.as_secs() > 0 && ttl.as_secs() <= 10 * 366 * 86_400 => Ok(ttl),
        Some(_) => Err("allowed is 1s to ten years".into()),
        None => Err("give a duration with its unit, such as 90s, 30m, 1h or 7d".into()),
    }
}

fn claim(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.into()));
            Ok((name.into(), value))
        }
        _ => Err("give a claim as name=value".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use serde_json::json;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default_and_takes_its_flags() {
        let alone = Cli::try_parse_from(["muster", "--http", "127.0.0.1:1"]).unwrap();
        assert!(alone.command.is_none());
        assert_eq!(alone.serve.sources().flags[0].name, "--http");
        let named = Cli::try_parse_from(["muster", "serve", "--shards", "2", "--data", "d"]).unwrap();
        let Some(Command::Serve(args)) = named.command else { panic!("it is serve") };
        let names: Vec<_> = args.sources().flags.iter().map(|flag| flag.name).collect();
        assert_eq!(names, ["--data", "--shards"]);
        assert!(Cli::try_parse_from(["muster", "help"]).is_err());
    }

    #[test]
    fn claims_are_json_or_text() {
        assert_eq!(claim("n=42"), Ok(("n".into(), json!(42))));
        assert_eq!(claim("n=007"), Ok(("n".into(), json!("007"))));
        assert_eq!(claim("n=a=b"), Ok(("n".into(), json!("a=b"))));
        assert_eq!(claim("n="), Ok(("n".into(), json!(""))));
        assert!(claim("=x").is_err() && claim("x").is_err());
        assert!(ttl("0s").is_err() && ttl("1").is_err() && ttl("9999999d").is_err());
        assert_eq!(ttl("7d"), Ok(Duration::from_secs(7 * 86_400)));
    }
}
