//! `muster import`: lines into the store.

use std::io::{BufRead, Read, Write as _};

use engine::kept::{Part, SeenRow, Write};
use schema::{Key, LastSeen};
use serde::Serialize;

use super::block::{Block, Changes, user};
use super::lines::{EndLine, Line, SeenLine, VERSION};
use super::{Kept, Together};

/// Bytes of the longest line: content, with every character escaped, and some receipts.
const LINE: u64 = 4 << 20;
/// Users whose last seen is written together.
const SEEN: usize = 500;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Lines that were read.
    pub lines: u64,
    /// What they told of.
    pub count: EndLine,
    /// Rows that were written, or (dry run) would be.
    pub written: u64,
    /// Rows that were there already, and stay as they are.
    pub there: u64,
    /// The line `end` was there.
    pub ended: bool,
}

/// An id of another system, and what it is here.
#[derive(Serialize)]
struct Mapped<'a> {
    #[serde(rename = "ref")]
    reference: &'a str,
    id: String,
}

/// What an import is done with.
pub struct Import<'a> {
    kept: &'a mut Kept,
    /// Nothing is written.
    dry: bool,
    /// Where ids are told, if anywhere.
    map: Option<&'a mut dyn std::io::Write>,
    together: Together,
    seen: Vec<SeenRow>,
    block: Option<Block>,
    outcome: Outcome,
}

impl<'a> Import<'a> {
    /// Into these stores. `map` is told which id everything has here that had one elsewhere.
    #[must_use]
    pub fn new(kept: &'a mut Kept, dry: bool, map: Option<&'a mut dyn std::io::Write>) -> Self {
        let (together, outcome) = (Together::default(), Outcome::default());
        Self { kept, dry, map, together, seen: Vec::new(), block: None, outcome }
    }

    /// Reads all lines. `progress` is called after each.
    ///
    /// # Errors
    /// With the number of the line and what to do. Most of what came before it is written; reading the file again, once
    /// it is right, goes on from there.
    pub fn run(
        mut self,
        from: &mut dyn BufRead,
        progress: &mut dyn FnMut(&Outcome),
    ) -> Result<Outcome, String> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let number = self.outcome.lines + 1;
            let read = Read::take(&mut *from, LINE + 1).read_until(b'\n', &mut line);
            let read = read.map_err(|error| format!("line {number} cannot be read: {error}"))?;
            if read == 0 {
                break;
            }
            if read as u64 > LINE {
                return Err(format!(
                    "line {number} is longer than {LINE} bytes: is each object on one line?"
                ));
            }
            self.outcome.lines = number;
            if !line.trim_ascii().is_empty() {
                self.line(&line).map_err(|error| format!("line {number}: {error}"))?;
            }
            progress(&self.outcome);
        }
        if self.outcome.lines == 0 {
            return Err(
                "there is nothing in it: the first line must be {\"type\":\"muster-export\",\"version\":1}"
                    .into(),
            );
        }
        let last = self.outcome.lines;
        self.close().map_err(|error| format!("after line {last}: {error}"))?;
        self.write_seen()?;
        self.together.commit(&mut *self.kept.writes)?;
        if let Some(map) = &mut self.map {
            map.flush().map_err(|error| format!("the map of ids cannot be written: {error}"))?;
        }
        Ok(self.outcome)
    }

    fn line(&mut self, text: &[u8]) -> Result<(), String> {
        let line: Line = serde_json::from_slice(text).map_err(|error| describe(&error))?;
        match (&line, self.outcome.lines) {
            (Line::MusterExport(header), 1) if header.version > VERSION => {
                return Err(format!(
                    "format {}, and this Muster reads formats up to {VERSION}: import it with a newer Muster",
                    header.version
                ));
            }
            (Line::MusterExport(_), 1) => return Ok(()),
            (Line::MusterExport(_), _) => {
                return Err(
                    "muster-export stands in the first line only: import one file after the other".into()
                );
            }
            (_, 1) => return Err("the first line must be {\"type\":\"muster-export\",\"version\":1}".into()),
            _ if self.outcome.ended => return Err("there are lines after the line `end`".into()),
            _ => {}
        }
        let outside = "there is no conversation yet: its line stands before those of what is in it";
        let reads = self.kept.reads.clone();
        let changes = match line {
            Line::MusterExport(_) => Changes::default(),
            Line::Conversation(line) => {
                self.close()?;
                let realm = self.kept.realm(line.realm.as_deref())?;
                let (block, changes) = Block::open(&*reads, realm, &line)?;
                self.outcome.count.conversations += 1;
                self.tell(line.reference.as_deref(), || block.place.1.to_string())?;
                self.block = Some(block);
                changes
            }
            Line::Seen(line) => {
                self.close()?;
                return self.seen(&line);
            }
            Line::End(end) => {
                self.close()?;
                self.outcome.ended = true;
                if end != self.outcome.count {
                    return Err(format!(
                        "the file is not whole: {end:?} is what it says to have, and {:?} is what came",
                        self.outcome.count
                    ));
                }
                return Ok(());
            }
            line => {
                let block = self.block.as_mut().ok_or(outside)?;
                match line {
                    Line::Member(line) => block.member(&line)?,
                    Line::Receipt(line) => block.receipt(&*reads, &line)?,
                    Line::Deleted(line) => block.deleted(&line)?,
                    Line::Forgotten(line) => block.forgotten(&line)?,
                    Line::Send(line) => block.send(&*reads, &line)?,
                    Line::Message(line) => {
                        let (changes, id) = block.message(&*reads, &line)?;
                        self.outcome.count.messages += 1;
                        self.tell(line.reference.as_deref(), || id.to_string())?;
                        changes
                    }
                    _ => Changes::default(),
                }
            }
        };
        self.take(changes)
    }

    fn tell(&mut self, reference: Option<&str>, id: impl FnOnce() -> String) -> Result<(), String> {
        let (Some(map), Some(reference)) = (&mut self.map, reference) else { return Ok(()) };
        let mut text = serde_json::to_vec(&Mapped { reference, id: id() })
            .map_err(|error| format!("the map of ids cannot be written: {error}"))?;
        text.push(b'\n');
        map.write_all(&text).map_err(|error| format!("the map of ids cannot be written: {error}"))
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(block) = self.block.take() else { return Ok(()) };
        let place = block.place;
        let changes = block.close()?;
        self.write(place, changes)
    }

    fn take(&mut self, changes: Changes) -> Result<(), String> {
        match &self.block {
            Some(block) => {
                let place = block.place;
                self.write(place, changes)
            }
            None => Ok(()),
        }
    }

    fn write(&mut self, place: engine::kept::Place, changes: Changes) -> Result<(), String> {
        let Changes { parts, there } = changes;
        self.outcome.there += there;
        self.outcome.written += parts.len() as u64;
        if parts.is_empty() || self.dry {
            return Ok(());
        }
        let bytes = parts.iter().map(weight).sum();
        self.together.add(&mut *self.kept.writes, Write { place, parts }, bytes)
    }

    fn seen(&mut self, line: &SeenLine) -> Result<(), String> {
        let realm = self.kept.realm(line.realm.as_deref())?;
        self.outcome.count.seen += 1;
        let user = Key::new(realm, user(&line.user)?);
        self.seen.push(SeenRow { user, last_seen: line.at.0, online: false });
        if self.seen.len() >= SEEN { self.write_seen() } else { Ok(()) }
    }

    /// Writes who was seen later than is known.
    fn write_seen(&mut self) -> Result<(), String> {
        let users: Vec<Key> = self.seen.iter().map(|row| row.user.clone()).collect();
        let known = self.kept.seen.get_seen(&users).map_err(|failure| failure.to_string())?;
        let mut known = known.into_iter();
        self.seen.retain(|row| match known.next() {
            Some(LastSeen::At(at)) => at < row.last_seen,
            _ => true,
        });
        self.outcome.written += self.seen.len() as u64;
        self.outcome.there += (users.len() - self.seen.len()) as u64;
        let rows = std::mem::take(&mut self.seen);
        if self.dry || rows.is_empty() {
            return Ok(());
        }
        self.kept.seen.put_seen(&rows).map_err(|failure| format!("the store fails: {failure}"))
    }
}

/// Roughly the bytes of a part.
fn weight(part: &Part) -> usize {
    match part {
        Part::Message(message) => 128 + message.content.len(),
        Part::Conversation(conversation) => 128 + conversation.extra.len(),
        Part::Member(row) => 128 + row.singles.len() * 4,
        _ => 64,
    }
}

/// Without the position, which is always in the first line of one.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text);
    let column = error.column();
    if column > 0 { format!("{text} (column {column})") } else { text.to_owned() }
}
