//! What an application remembers while the machine carries out its commands: what each reply is for.

/// Entries by number, in the order in which they were put. While there are none it owns nothing.
#[derive(Debug)]
pub struct Pending<T> {
    list: Option<Box<List<T>>>,
    next: u32,
}

#[derive(Debug)]
struct List<T> {
    entries: Vec<(u32, T)>,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self { list: None, next: 0 }
    }
}

impl<T> Pending<T> {
    /// Remembers something; the number is the tag of the command that it is for.
    pub fn put(&mut self, entry: T) -> u64 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.list.get_or_insert_with(|| Box::new(List { entries: Vec::new() })).entries.push((number, entry));
        u64::from(number)
    }

    /// What was remembered under a tag.
    pub fn take(&mut self, tag: u64) -> Option<T> {
        let list = self.list.as_mut()?;
        let at = list.entries.iter().position(|(number, _)| u64::from(*number) == tag)?;
        let (_, entry) = list.entries.remove(at);
        if list.entries.is_empty() {
            self.list = None;
        }
        Some(entry)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.as_ref().map_or(0, |list| list.entries.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_their_tags() {
        let mut pending = Pending::default();
        let (one, two) = (pending.put("one"), pending.put("two"));
        assert_eq!((pending.take(two), pending.take(two)), (Some("two"), None));
        assert_eq!(pending.len(), 1);
        assert_eq!(pending.take(one), Some("one"));
        assert!(pending.is_empty());
        assert_eq!(size_of::<Pending<[u64; 9]>>(), 16);
    }
}
