//! The table of keys as text: a TOML file with every default, and the page of the documentation.

use std::fmt::Write;

use super::table::Key;
use super::{SECTIONS, every_key};

/// A configuration file that sets every key to its default and says what it means.
pub fn toml() -> String {
    let mut out = String::from(
        "# The configuration of Muster: every key with its default.\n\
         # A flag is stronger than the environment (MUSTER_SECTION__KEY), which is stronger than this file.\n",
    );
    for section in SECTIONS {
        let _ = write!(out, "\n# {}\n[{}]\n", joined(section.meaning), section.name);
        for key in section.keys {
            out.push('\n');
            for line in wrapped(&sentence(key), 110) {
                let _ = writeln!(out, "# {line}");
            }
            match (key.default_toml)() {
                Some(value) => {
                    let _ = writeln!(out, "{} = {value}", key.name);
                }
                None => {
                    let _ = writeln!(out, "# {} = \"\" # not set", key.name);
                }
            }
        }
    }
    out
}

/// `docs/CONFIGURATION.md`.
pub fn markdown() -> String {
    let mut out = String::from(INTRODUCTION);
    for section in SECTIONS {
        let _ = write!(
            out,
            "\n## [{}]\n\n{}\n\n| Key | Default | Allowed | Meaning |\n|---|---|---|---|\n",
            section.name,
            joined(section.meaning)
        );
        for key in section.keys {
            let default = (key.default_toml)().map_or("not set".into(), |value| format!("`{value}`"));
            let _ = writeln!(
                out,
                "| `{}` | {default} | {} | {} |",
                key.name,
                allowed(key).replace('|', "\\|"),
                joined(key.meaning).replace('|', "\\|")
            );
        }
    }
    let count = every_key().count();
    let _ = write!(out, "\n{count} keys. This page is printed by `muster config --markdown`.\n");
    out
}

const INTRODUCTION: &str = "\
# Configuration

Muster runs without any configuration. What it is told comes from four places, the stronger first:

1. a flag: `muster serve --http 127.0.0.1:9000`
2. an environment variable, `MUSTER_` + section + two underscores + key: `MUSTER_HTTP__ADDRESS=127.0.0.1:9000`
3. the configuration file, TOML, named by `--config FILE` or `MUSTER_CONFIG`. No file is read that was not named.
4. the default

`muster config` prints a file with every key at its default. `muster check-config FILE` says whether a file, with the
environment as it is, is right, and what is wrong with it: a key that does not exist is an error, never ignored.

| Type | In a file | In the environment |
|---|---|---|
| duration | `\"250ms\"`, `\"90s\"`, `\"5m\"`, `\"1h\"`, `\"2d\"` | `90s` |
| size | `\"512B\"`, `\"64KiB\"`, `\"1MiB\"`, `\"2GiB\"` | `64KiB` |
| list | `[\"a\", \"b\"]` | `a,b` |
| text, path, address | `\"127.0.0.1:8080\"` | `127.0.0.1:8080` |
| number, true or false | `64`, `true` | `64`, `true` |

An optional key is set back to \"not set\" by an empty text; a secret may not be empty.
";

/// What a key may be.
fn allowed(key: &Key) -> String {
    let kind = (key.kind)();
    match key.bounds {
        Some((least, most)) => format!("{kind}, {least} to {most}"),
        None => kind.into_owned(),
    }
}

fn sentence(key: &Key) -> String {
    format!("{} ({})", joined(key.meaning), allowed(key))
}

/// A doc comment as one line.
fn joined(meaning: &str) -> String {
    meaning.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text in lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a line from the start, and none is taken away");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_string());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_printed_file_parses_and_changes_nothing() {
        let config = Config::from_toml("printed", &toml()).unwrap();
        let default = Config::default();
        for key in every_key() {
            assert_eq!(
                config.show(key.section, key.name),
                default.show(key.section, key.name),
                "{}",
                key.path()
            );
            let named = toml()
                .lines()
                .any(|line| line.trim_start_matches("# ").starts_with(&format!("{} = ", key.name)));
            assert!(named, "{} is not printed", key.path());
        }
    }

    #[test]
    fn the_committed_page_is_what_is_printed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CONFIGURATION.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == markdown(),
            "docs/CONFIGURATION.md is stale; run: cargo run -p muster -- config --markdown > docs/CONFIGURATION.md"
        );
    }
}
