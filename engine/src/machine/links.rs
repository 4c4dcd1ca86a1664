//! Who watches or subscribes to what: two lists that point at each other, so that either end is taken out in
//! constant time, however many watch a famous user.

/// One end of a connection between a session and what it listens to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Link {
    /// Slot of the other side.
    pub(super) to: u32,
    /// Place of the other end in the other side's list.
    pub(super) back: u32,
}

/// Takes a link out; the last one moves into its place, and `moved` tells its other end where it is now.
pub(super) fn take(list: &mut Vec<Link>, at: u32, moved: impl FnOnce(Link, u32)) -> Option<Link> {
    if at as usize >= list.len() {
        return None;
    }
    let link = list.swap_remove(at as usize);
    if let Some(&other) = list.get(at as usize) {
        moved(other, at);
    }
    if list.len() * 4 < list.capacity() {
        list.shrink_to(list.len() * 2);
    }
    Some(link)
}

/// A session's list, in which some links are marked: what they point at has news for the session. The marked ones
/// lie in front, so that marking, finding and clearing them costs nothing for the others.
#[derive(Default)]
pub(super) struct Marked {
    links: Vec<Link>,
    marked: u32,
}

impl Marked {
    pub(super) fn links(&self) -> &[Link] {
        &self.links
    }

    pub(super) fn len(&self) -> u32 {
        self.links.len() as u32
    }

    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Adds a link and says where it is.
    pub(super) fn push(&mut self, link: Link) -> u32 {
        self.links.push(link);
        self.links.len() as u32 - 1
    }

    /// A link's other end has moved.
    pub(super) fn moved(&mut self, at: u32, back: u32) {
        if let Some(link) = self.links.get_mut(at as usize) {
            link.back = back;
        }
    }

    /// Marks a link. `moved` is called for each link that has got another place.
    pub(super) fn mark(&mut self, at: u32, mut moved: impl FnMut(Link, u32)) {
        if at >= self.marked && at < self.len() {
            let first = self.marked;
            self.marked += 1;
            if at != first {
                self.links.swap(at as usize, first as usize);
                moved(self.links[at as usize], at);
                moved(self.links[first as usize], first);
            }
        }
    }

    /// Takes a link out. `moved` is called for each link that has got another place.
    pub(super) fn take(&mut self, mut at: u32, mut moved: impl FnMut(Link, u32)) -> Option<Link> {
        if at < self.marked {
            self.marked -= 1;
            let last = self.marked;
            if at != last {
                self.links.swap(at as usize, last as usize);
                moved(self.links[at as usize], at);
            }
            at = last;
        }
        take(&mut self.links, at, moved)
    }

    /// The marked links, which are then no longer marked.
    pub(super) fn take_marked(&mut self) -> &[Link] {
        let marked = std::mem::take(&mut self.marked);
        &self.links[..marked as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Every link knows where its other end lies, and exactly the right ones are marked.
        #[test]
        fn both_ends_agree(ops in prop::collection::vec((0..3_u8, 0..40_u32), 1..200)) {
            let mut list = Marked::default();
            // The other side: place in `list` by name.
            let mut places: Vec<Option<u32>> = vec![None; 40];
            let mut marks = std::collections::BTreeSet::new();
            for (op, name) in ops {
                let place = places[name as usize];
                match (op, place) {
                    (0, None) => places[name as usize] = Some(list.push(Link { to: name, back: 0 })),
                    (1, Some(at)) => {
                        list.mark(at, |link, at| places[link.to as usize] = Some(at));
                        marks.insert(name);
                    }
                    (2, Some(at)) => {
                        let link = list.take(at, |link, at| places[link.to as usize] = Some(at));
                        prop_assert_eq!(link.map(|link| link.to), Some(name));
                        places[name as usize] = None;
                        marks.remove(&name);
                    }
                    _ => {}
                }
                for (name, place) in places.iter().enumerate() {
                    if let Some(at) = place {
                        prop_assert_eq!(list.links()[*at as usize].to, name as u32);
                    }
                }
            }
            let marked: std::collections::BTreeSet<u32> =
                list.take_marked().iter().map(|link| link.to).collect();
            prop_assert_eq!(marked, marks);
        }
    }
}
