//! `muster export`: everything that is kept, as lines.

use std::io::Write;
use std::ops::ControlFlow;

use engine::kept::{Failure, FailureKind, Part};
use schema::Realm;
use schema::chat::Kind;

use super::Kept;
use super::lines::{EndLine, Header, Line, SeenLine, Time, VERSION};

/// Conversations, and users, that are looked up in a go.
const GO: usize = 1_000;

/// Writes everything, and says how much that was. `progress` is called now and then.
///
/// # Errors
/// When the store cannot be read, or the lines cannot be written.
pub fn export(
    kept: &mut Kept,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(&EndLine),
) -> Result<EndLine, String> {
    let mut count = EndLine::default();
    put(out, &Line::MusterExport(Header { version: VERSION }))?;
    let mut after = None;
    loop {
        let places = kept.reads.places(after, GO).map_err(|failure| failure.to_string())?;
        let Some(&last) = places.last() else { break };
        after = Some(last);
        for place in places {
            // The default realm goes without saying.
            let name = kept.realm_name(place.0)?;
            let realm = (place.0 != Realm(0)).then_some(name);
            let mut kind = Kind::Group;
            let mut each = |part: Part| {
                match &part {
                    Part::Conversation(conversation) => {
                        kind = conversation.kind;
                        count.conversations += 1;
                    }
                    Part::Message(_) => {
                        count.messages += 1;
                        progress(&count);
                    }
                    _ => {}
                }
                if let Some(line) = Line::of(&part, kind, realm) {
                    put(out, &line).map_err(|error| Failure::new(FailureKind::Refused, error))?;
                }
                Ok(ControlFlow::Continue(()))
            };
            kept.reads.walk(place, &mut each).map_err(|failure| failure.to_string())?;
            progress(&count);
        }
    }
    let mut after = None;
    loop {
        let users = kept.seen.all_seen(after.as_ref(), GO).map_err(|failure| failure.to_string())?;
        let Some((last, _)) = users.last() else { break };
        after = Some(last.clone());
        for (user, at) in users {
            let name = kept.realm_name(user.realm)?;
            let realm = (user.realm != Realm(0)).then(|| name.to_owned());
            put(out, &Line::Seen(SeenLine { realm, user: user.id.to_string(), at: Time(at) }))?;
            count.seen += 1;
        }
        progress(&count);
    }
    put(out, &Line::End(count))?;
    out.flush().map_err(|error| format!("cannot write the export: {error}"))?;
    Ok(count)
}

fn put(out: &mut dyn Write, line: &Line) -> Result<(), String> {
    let mut text = serde_json::to_vec(line).map_err(|error| format!("a line has no JSON form: {error}"))?;
    text.push(b'\n');
    out.write_all(&text).map_err(|error| format!("cannot write the export: {error}"))
}
