//! The arguments of an event or an ack: raw JSON values with commas between them, and the attachments that the
//! placeholders among them stand for (Socket.IO protocol v5, "Packets with binary").

pub use super::json::{Elements, IllegalAttachment, Placeholder};
use super::{Attachment, json};

/// Arguments as they came, or are to go.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    elements: &'a str,
    attachments: &'a [Attachment],
}

impl<'a> Arguments<'a> {
    /// No arguments.
    pub const NONE: Arguments<'static> = Arguments::json("");

    /// Arguments without attachments. `elements` is JSON values with commas between them, none for no arguments.
    #[must_use]
    pub const fn json(elements: &'a str) -> Self {
        Self { elements, attachments: &[] }
    }

    /// Arguments with attachments, for each of which there is a placeholder `{"_placeholder":true,"num":n}`.
    #[must_use]
    pub const fn with_attachments(elements: &'a str, attachments: &'a [Attachment]) -> Self {
        Self { elements, attachments }
    }

    /// The JSON values with commas between them.
    #[must_use]
    pub const fn raw(&self) -> &'a str {
        self.elements
    }

    /// The values one by one, as JSON.
    #[must_use]
    pub fn iter(&self) -> Elements<'a> {
        json::elements(self.elements)
    }

    /// A value, as JSON.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&'a str> {
        self.iter().nth(at)
    }

    /// The bytes that the placeholders stand for.
    #[must_use]
    pub const fn attachments(&self) -> &'a [Attachment] {
        self.attachments
    }

    /// Where the placeholders are in [`Arguments::raw`]. Those of a client have been checked when it is called here.
    pub fn placeholders(&self) -> Result<Vec<Placeholder>, IllegalAttachment> {
        match self.attachments {
            [] => Ok(Vec::new()),
            attachments => json::placeholders(self.elements, attachments.len()),
        }
    }

    /// The JSON values with each placeholder replaced by what `write` appends for its attachment.
    pub fn replaced(&self, mut write: impl FnMut(&[u8], &mut String)) -> Result<String, IllegalAttachment> {
        let mut replaced = String::with_capacity(self.elements.len());
        let mut done = 0;
        for Placeholder { begin, end, number } in self.placeholders()? {
            replaced.push_str(self.elements.get(done..begin).ok_or(IllegalAttachment)?);
            write(self.attachments.get(number).ok_or(IllegalAttachment)?, &mut replaced);
            done = end;
        }
        replaced.push_str(self.elements.get(done..).ok_or(IllegalAttachment)?);
        Ok(replaced)
    }
}

impl<'a> IntoIterator for &Arguments<'a> {
    type Item = &'a str;
    type IntoIter = Elements<'a>;

    fn into_iter(self) -> Elements<'a> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_in_place() {
        let attachments: [Attachment; 2] = [[1].into(), [2, 2].into()];
        let elements = r#"{"b":{"_placeholder":true,"num":1}},"é",{"num":0,"_placeholder":true}"#;
        let arguments = Arguments::with_attachments(elements, &attachments);
        let replaced = arguments.replaced(|bytes, out| out.push_str(&bytes.len().to_string()));
        assert_eq!(replaced.as_deref(), Ok(r#"{"b":2},"é",1"#));
        assert_eq!(arguments.get(1), Some(r#""é""#));
        assert_eq!(Arguments::NONE.iter().count(), 0);
    }
}
