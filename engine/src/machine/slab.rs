//! A table of slots that grows and shrinks by pages: no turn ever copies a million entries, and pages whose last entries
//! have left are given back; one of them stays while it is nearly new. A page begins small, and its first entries move once
//! when it gets its whole room.
//!
//! Pages are filled from the lowest, so that after a crowd has left the pages it opened drain. A slot's generation
//! survives its page: a slot and generation together are never given out twice.

use std::collections::BTreeSet;

use crate::limits::PAGE;

/// What lies in a slot and may carry the slot's generation.
pub(crate) trait Slotted {
    /// The generation it was inserted with; 0 for things that are never told to the outside.
    fn generation(&self) -> u32 {
        0
    }
}

enum Entry<T> {
    Vacant { generation: u32, next: u16 },
    Full(T),
}

struct Page<T> {
    /// Room for [`SPARE`] bytes of them at first, then for all. Those behind the end have not been used yet, and memory
    /// that was never touched is none.
    slots: Vec<Entry<T>>,
    /// The generation of those that have not been used yet.
    fresh: u32,
    free: u16,
    used: u16,
}

impl<T> Page<T> {
    /// The next place to be taken, with its generation; `None` when all are.
    fn vacancy(&self) -> Option<(u16, u32)> {
        match self.slots.get(usize::from(self.free)) {
            Some(Entry::Vacant { generation, .. }) => Some((self.free, *generation)),
            Some(Entry::Full(_)) => None,
            None => (self.slots.len() < PAGE).then_some((self.slots.len() as u16, self.fresh)),
        }
    }

    fn get(&self, slot: u32) -> Option<&Entry<T>> {
        self.slots.get(slot as usize % PAGE)
    }

    /// Uses the next of those that have not been used yet.
    fn push(&mut self, entry: Entry<T>) {
        if self.slots.len() == self.slots.capacity() {
            let room = if self.slots.is_empty() { nearly_new::<T>() } else { PAGE };
            self.slots.reserve_exact(room - self.slots.len());
        }
        self.slots.push(entry);
    }
}

/// Slots of a page that may stay when it is empty. It has room for no more: what an allocator gives for a whole page may be
/// what a crowd has just left, all of it in memory.
const fn nearly_new<T>() -> usize {
    let slots = SPARE / size_of::<Entry<T>>();
    if slots == 0 {
        1
    } else if slots > PAGE {
        PAGE
    } else {
        slots
    }
}

/// Where a page stands. The generation of a closed page is one that none of its slots has had.
enum Room<T> {
    Closed { generation: u32 },
    Open(Page<T>),
}

/// The table.
pub(crate) struct Slab<T> {
    pages: Vec<Room<T>>,
    /// Pages with a vacant slot, closed ones included.
    vacant: BTreeSet<u32>,
    /// An empty page that is still open.
    spare: Option<u32>,
    len: u32,
}

/// Bytes of an empty page that may stay.
const SPARE: usize = 4 << 10;

/// End of a page's list of vacant slots.
const END: u16 = u16::MAX;
/// Most pages: the slots of the last one still have numbers below `u32::MAX`.
const PAGES: usize = (u32::MAX as usize) / PAGE;

impl<T: Slotted> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { pages: Vec::new(), vacant: BTreeSet::new(), spare: None, len: 0 }
    }

    /// Entries in use.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Slots, free ones included.
    pub(crate) fn slots(&self) -> u32 {
        (self.pages.len() * PAGE) as u32
    }

    /// Bytes of its pages, as far as they have been used.
    pub(crate) fn bytes(&self) -> usize {
        let touched = |room: &Room<T>| match room {
            Room::Open(page) => page.slots.len() * size_of::<Entry<T>>(),
            Room::Closed { .. } => 0,
        };
        self.pages.iter().map(touched).sum::<usize>() + self.pages.capacity() * size_of::<Room<T>>()
    }

    /// Where the next entry will be put, and the generation it will carry. `None`: four thousand million entries
    /// are in use.
    pub(crate) fn vacancy(&mut self) -> Option<(u32, u32)> {
        let number = match self.vacant.first() {
            Some(&number) => number,
            None if self.pages.len() == PAGES => return None,
            None => {
                let number = self.pages.len() as u32;
                self.pages.push(Room::Closed { generation: 1 });
                self.vacant.insert(number);
                number
            }
        };
        let room = &mut self.pages[number as usize];
        if let Room::Closed { generation } = *room {
            *room = Room::Open(Page { slots: Vec::new(), fresh: generation, free: END, used: 0 });
        }
        let Room::Open(page) = room else { return None };
        let (at, generation) = page.vacancy()?;
        Some((number * PAGE as u32 + u32::from(at), generation))
    }

    /// Puts an entry in and says where. `make` is told the generation to carry. `None`: four thousand million
    /// entries are in use.
    pub(crate) fn insert(&mut self, make: impl FnOnce(u32) -> T) -> Option<u32> {
        let (slot, generation) = self.vacancy()?;
        let number = slot / PAGE as u32;
        let Room::Open(page) = &mut self.pages[number as usize] else { return None };
        let entry = Entry::Full(make(generation));
        match page.slots.get_mut(slot as usize % PAGE) {
            Some(place) => {
                if let Entry::Vacant { next, .. } = *place {
                    page.free = next;
                }
                *place = entry;
            }
            None => page.push(entry),
        }
        page.used += 1;
        if page.vacancy().is_none() {
            self.vacant.remove(&number);
        }
        self.len += 1;
        Some(slot)
    }

    /// Takes an entry out; its slot's generation moves on.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let number = slot / PAGE as u32;
        let at = slot as usize % PAGE;
        let room = self.pages.get_mut(number as usize)?;
        let Room::Open(page) = room else { return None };
        let Some(Entry::Full(entry)) = page.slots.get(at) else { return None };
        // Zero is "no session" on the wire, so a slot that wraps skips it.
        let generation = entry.generation().wrapping_add(1).max(1);
        let vacant = Entry::Vacant { generation, next: page.free };
        let Entry::Full(entry) = std::mem::replace(&mut page.slots[at], vacant) else { return None };
        page.free = at as u16;
        if usize::from(page.used) == PAGE {
            self.vacant.insert(number);
        }
        page.used -= 1;
        self.len -= 1;
        if page.used == 0 {
            // One empty page stays open, so that a crowd of one does not open and close a page each time; but none
            // that has held a crowd.
            let closed = if page.slots.len() > nearly_new::<T>() {
                Some(number)
            } else {
                self.spare.replace(number).filter(|&other| other != number)
            };
            if let Some(closed) = closed {
                self.spare = self.spare.filter(|&spare| spare != closed);
                self.close(closed);
            }
        }
        Some(entry)
    }

    /// Gives a page back, if it is empty.
    fn close(&mut self, number: u32) {
        let Some(room) = self.pages.get_mut(number as usize) else { return };
        if let Room::Open(Page { slots, fresh, used: 0, .. }) = room {
            let generations = slots.iter().map(|slot| match slot {
                Entry::Vacant { generation, .. } => *generation,
                Entry::Full(entry) => entry.generation(),
            });
            *room = Room::Closed { generation: generations.max().unwrap_or(*fresh).max(*fresh) };
        }
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        match self.pages.get(slot as usize / PAGE)? {
            Room::Open(page) => match page.get(slot)? {
                Entry::Full(entry) => Some(entry),
                Entry::Vacant { .. } => None,
            },
            Room::Closed { .. } => None,
        }
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        match self.pages.get_mut(slot as usize / PAGE)? {
            Room::Open(page) => match page.slots.get_mut(slot as usize % PAGE)? {
                Entry::Full(entry) => Some(entry),
                Entry::Vacant { .. } => None,
            },
            Room::Closed { .. } => None,
        }
    }

    /// The first entry at or after `slot`, looking at no more than `budget` places: the found slot, or where to
    /// look on, or `None` at the end.
    pub(crate) fn seek(&self, mut slot: u32, budget: &mut usize) -> Option<Seek> {
        while let Some(room) = self.pages.get(slot as usize / PAGE) {
            if *budget == 0 {
                return Some(Seek::Later(slot));
            }
            *budget -= 1;
            match room {
                Room::Closed { .. } => slot = (slot / PAGE as u32 + 1) * PAGE as u32,
                Room::Open(page) => match page.get(slot) {
                    Some(Entry::Full(_)) => return Some(Seek::Found(slot)),
                    Some(Entry::Vacant { .. }) => slot += 1,
                    None => slot = (slot / PAGE as u32 + 1) * PAGE as u32,
                },
            }
        }
        None
    }
}

/// What [`Slab::seek`] came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seek {
    /// An entry is here.
    Found(u32),
    /// The budget is used up; look on from here.
    Later(u32),
}

/// Bytes of one slot holding a `T`; for the tests that watch over sizes.
#[cfg(test)]
pub(crate) const fn slot_bytes<T>() -> usize {
    size_of::<Entry<T>>()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Thing(u32, u32);

    impl Slotted for Thing {
        fn generation(&self) -> u32 {
            self.1
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let mut slab = Slab::new();
        let slots: Vec<u32> = (0..3_000).map(|n| slab.insert(|g| Thing(n, g)).unwrap()).collect();
        assert_eq!(slab.len(), 3_000);
        for (n, slot) in slots.iter().enumerate() {
            assert_eq!(slab.get(*slot).unwrap().0, n as u32);
        }
        for slot in slots {
            assert!(slab.remove(slot).is_some());
            assert!(slab.remove(slot).is_none());
            assert!(slab.get(slot).is_none());
        }
        assert_eq!(slab.len(), 0);
        let open = slab.pages.iter().filter(|room| matches!(room, Room::Open(_)));
        assert_eq!(open.count(), 0, "all of them held a crowd");
        for _ in 0..3 {
            let slot = slab.insert(|g| Thing(0, g)).unwrap();
            slab.remove(slot);
            let open = slab.pages.iter().filter(|room| matches!(room, Room::Open(_)));
            assert_eq!(open.count(), 1, "a crowd of one has a page");
        }
        let room = slab.pages.iter().map(|room| match room {
            Room::Open(page) => page.slots.capacity() * size_of::<Entry<Thing>>(),
            Room::Closed { .. } => 0,
        });
        assert!(room.sum::<usize>() <= SPARE, "of which no more than it needs is its");
    }

    #[test]
    fn a_slot_and_generation_never_come_twice_even_when_pages_close() {
        let mut slab = Slab::new();
        let mut seen = HashSet::new();
        for round in 0..50 {
            let slots: Vec<u32> =
                (0..1 + round * 60).map(|n| slab.insert(|g| Thing(n, g)).unwrap()).collect();
            for slot in slots {
                let thing = slab.remove(slot).unwrap();
                assert!(seen.insert((slot, thing.1)), "slot {slot} generation {} again", thing.1);
            }
        }
    }

    #[test]
    fn the_lowest_page_is_filled_first() {
        let mut slab = Slab::new();
        let slots: Vec<u32> = (0..5_000).map(|n| slab.insert(|g| Thing(n, g)).unwrap()).collect();
        for slot in slots.iter().filter(|&&slot| slot % 2 == 0) {
            slab.remove(*slot);
        }
        assert!(slab.insert(|g| Thing(0, g)).unwrap() < PAGE as u32);
    }

    #[test]
    fn seeking_is_bounded() {
        let mut slab = Slab::new();
        let slots: Vec<u32> = (0..2_000).map(|n| slab.insert(|g| Thing(n, g)).unwrap()).collect();
        for slot in slots[..1_999].iter().filter(|&&slot| slot != slots[1_000]) {
            slab.remove(*slot);
        }
        let mut budget = 10;
        assert_eq!(slab.seek(0, &mut budget), Some(Seek::Later(10)));
        let mut budget = 10_000;
        assert_eq!(slab.seek(0, &mut budget), Some(Seek::Found(slots[1_000])));
        assert_eq!(slab.seek(slots[1_000] + 1, &mut budget), Some(Seek::Found(slots[1_999])));
        assert_eq!(slab.seek(slots[1_999] + 1, &mut budget), None);
    }
}
