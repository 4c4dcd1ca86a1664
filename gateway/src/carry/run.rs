//! The three as the command line has them: files, what is told meanwhile, and the summary.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use schema::Key;

use super::Kept;
use super::block::user;
use super::erase::{Erased, erase};
use super::export::export;
use super::import::{Import, Outcome};
use super::lines::EndLine;
use crate::clock::Clock;
use crate::config::Config;
use crate::media::Media;

/// How often it is told how far it has come, milliseconds.
const TELL: u64 = 2_000;

/// Tells how far something has come, now and then.
struct Teller<'a> {
    clock: Clock,
    next: u64,
    say: &'a dyn Fn(&str),
}

impl<'a> Teller<'a> {
    fn new(say: &'a dyn Fn(&str)) -> Self {
        let clock = Clock::system();
        Self { next: clock.unix_ms() + TELL, clock, say }
    }

    fn tell(&mut self, text: impl FnOnce() -> String) {
        let now = self.clock.unix_ms();
        if now >= self.next {
            self.next = now + TELL;
            (self.say)(&text());
        }
    }
}

/// `muster export`: to a file, which appears when it is whole, or to standard output.
///
/// # Errors
/// With what to do.
pub fn run_export(config: &Config, to: Option<&Path>, say: &dyn Fn(&str)) -> Result<(), String> {
    let mut kept = Kept::open(config, false)?;
    let mut teller = Teller::new(say);
    let mut progress = |count: &EndLine| teller.tell(|| counted(count));
    let count = match to {
        None => {
            let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
            export(&mut kept, &mut out, &mut progress)?
        }
        Some(path) => {
            let part = beside(path);
            let fails = |error| format!("{}: {error}", part.display());
            let file = File::create(&part).map_err(fails)?;
            let mut out = BufWriter::with_capacity(1 << 20, &file);
            let exported = export(&mut kept, &mut out, &mut progress);
            drop(out);
            let whole = exported.and_then(|count| {
                let renamed = file.sync_all().and_then(|()| std::fs::rename(&part, path));
                renamed.map_err(fails).map(|()| count)
            });
            if whole.is_err() {
                // Half an export is of no use.
                let _ = std::fs::remove_file(&part);
            }
            whole?
        }
    };
    say(&format!("exported {}", counted(&count)));
    Ok(())
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn counted(count: &EndLine) -> String {
    let EndLine { conversations, messages, seen } = count;
    format!("{conversations} conversations, {messages} messages, {seen} last seen")
}

/// `muster import`: from a file, or from standard input. With `dry` nothing is written. `map` is a file that is told which
/// id everything has here that had one elsewhere.
///
/// # Errors
/// With the number of the line and what to do.
pub fn run_import(
    config: &Config,
    from: Option<&Path>,
    dry: bool,
    map: Option<&Path>,
    say: &dyn Fn(&str),
) -> Result<(), String> {
    let from = from.filter(|path| *path != Path::new("-"));
    let name = from.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    let mut lines: Box<dyn BufRead> = match from {
        None => Box::new(BufReader::new(io::stdin())),
        Some(path) => {
            let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
            Box::new(BufReader::with_capacity(1 << 20, file))
        }
    };
    let mut mapped = match map {
        None => None,
        Some(path) => {
            let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Some(BufWriter::new(file))
        }
    };
    let mut kept = Kept::open(config, true)?;
    let mut teller = Teller::new(say);
    let mut progress = |outcome: &Outcome| {
        teller.tell(|| format!("line {}: {}", outcome.lines, counted(&outcome.count)));
    };
    let map = mapped.as_mut().map(|map| map as &mut dyn Write);
    let outcome = Import::new(&mut kept, dry, map).run(&mut lines, &mut progress);
    let outcome = outcome.map_err(|error| format!("{name}: {error}"))?;
    if !outcome.ended {
        say(&format!("warning: {name} has no line `end`, so nobody can tell whether it is whole"));
    }
    let Outcome { written, there, .. } = outcome;
    let verb = if dry { "would be written; nothing was" } else { "written" };
    say(&format!("{}: {written} rows {verb}, {there} were there", counted(&outcome.count)));
    Ok(())
}

/// `muster erase`: removes a user.
///
/// # Errors
/// With what to do.
pub fn run_erase(
    config: &Config,
    who: &str,
    realm: Option<&str>,
    dry: bool,
    say: &dyn Fn(&str),
) -> Result<(), String> {
    let mut kept = Kept::open(config, false)?;
    let who = Key::new(kept.realm(realm)?, user(who)?);
    let mut teller = Teller::new(say);
    let mut erased = erase(&mut kept, &who, dry, &mut |looked| {
        teller.tell(|| format!("looked at {looked} conversations"));
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    erased.files = runtime.block_on(async {
        let media = Media::open(config).await?;
        media.erase(&who, dry).await.map_err(|error| format!("the files: {error}"))
    })?;
    let Erased { conversations, gone, memberships, messages, sends, seen, files } = erased;
    let verb = if dry { "would be removed (nothing was)" } else { "removed" };
    say(&format!(
        "{verb}: {messages} messages, {sends} names of messages, {memberships} memberships in {conversations} \
         conversations (of which {gone} had nobody else and go as a whole), {}, {files} files",
        if seen { "last seen" } else { "no last seen" },
    ));
    Ok(())
}
