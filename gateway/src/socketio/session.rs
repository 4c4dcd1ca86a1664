//! What a client has joined, and what of its is unfinished. While nothing is, it owns nothing on the heap.

use std::collections::VecDeque;

use super::{Attachment, Namespace, Namespaces, Reason, Settings};

/// The Socket.IO session of one client, beside its Engine.IO session; see [`super::Connection`].
#[derive(Debug)]
pub struct Session {
    joined: u8,
    pending: u8,
    /// Why it is over, or is about to be.
    pub(super) ending: Option<Reason>,
    /// The application has been told.
    pub(super) told: bool,
    /// Ack ids that the server has used; one sequence for all namespaces, since only uniqueness matters.
    pub(super) next_ack: u32,
    unfinished: Option<Box<Unfinished>>,
}

/// What is not for ever.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    /// When a namespace must have been joined.
    pub(super) connect_by: Option<u64>,
    /// A packet whose attachments are still to come.
    pub(super) assembly: Option<Assembly>,
    /// Events come too fast.
    pub(super) overload: Option<Overload>,
    /// Acks that the application waits for.
    pub(super) asked: VecDeque<(Namespace, u32)>,
}

/// A packet with attachments, on its way.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) packet: Box<str>,
    pub(super) expected: u8,
    pub(super) attachments: Vec<Attachment>,
    pub(super) bytes: usize,
    pub(super) until: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Overload {
    since: u64,
    last: u64,
}

impl Session {
    pub(super) fn new(settings: &Settings, now: u64) -> Self {
        let connect_by = Some(now.saturating_add(u64::from(settings.connect_timeout)));
        let unfinished = Some(Box::new(Unfinished { connect_by, ..Unfinished::default() }));
        Self { joined: 0, pending: 0, ending: None, told: false, next_ack: 0, unfinished }
    }

    /// Whether a namespace is joined.
    #[must_use]
    pub const fn has_joined(&self, namespace: Namespace) -> bool {
        self.joined & namespace.bit() != 0
    }

    /// Whether a namespace was asked for, and the application has not answered.
    #[must_use]
    pub const fn is_pending(&self, namespace: Namespace) -> bool {
        self.pending & namespace.bit() != 0
    }

    pub(super) fn ask_to_join(&mut self, namespace: Namespace) {
        self.pending |= namespace.bit();
    }

    /// The application's answer; whether there was a question.
    pub(super) fn answer(&mut self, namespace: Namespace, accepted: bool) -> bool {
        let was_pending = self.is_pending(namespace);
        self.pending &= !namespace.bit();
        if was_pending && accepted {
            self.joined |= namespace.bit();
            self.with_unfinished(|unfinished| unfinished.connect_by = None);
        }
        was_pending
    }

    /// Leaves a namespace; whether it was joined.
    pub(super) fn leave(&mut self, namespace: Namespace) -> bool {
        let was_joined = self.has_joined(namespace);
        self.joined &= !namespace.bit();
        self.with_unfinished(|unfinished| unfinished.asked.retain(|(asked, _)| *asked != namespace));
        was_joined
    }

    /// Leaves all namespaces, those asked for included, and frees what is unfinished.
    pub(super) fn leave_all(&mut self, namespaces: &Namespaces) -> impl Iterator<Item = Namespace> + use<> {
        let mask = std::mem::take(&mut self.joined) | std::mem::take(&mut self.pending);
        self.unfinished = None;
        namespaces.all().filter(move |namespace| mask & namespace.bit() != 0)
    }

    /// Remembers that the application waits for an ack.
    pub(super) fn ask(&mut self, namespace: Namespace, most: usize) -> u32 {
        let id = self.next_ack;
        self.next_ack = id.wrapping_add(1);
        let asked = &mut self.unfinished_mut().asked;
        if asked.len() >= most.max(1) {
            asked.pop_front();
        }
        asked.push_back((namespace, id));
        id
    }

    /// Whether the application waits for this ack, which it then does no more.
    pub(super) fn acked(&mut self, namespace: Namespace, id: u64) -> Option<u32> {
        let id = u32::try_from(id).ok()?;
        let mut found = false;
        self.with_unfinished(|unfinished| {
            if let Some(at) = unfinished.asked.iter().position(|asked| *asked == (namespace, id)) {
                unfinished.asked.remove(at);
                found = true;
            }
        });
        found.then_some(id)
    }

    /// An event was within the rate.
    pub(super) fn calm(&mut self, settings: &Settings, now: u64) {
        self.with_unfinished(|unfinished| {
            let calm = u64::from(settings.calm);
            unfinished.overload.take_if(|overload| now.saturating_sub(overload.last) > calm);
        });
    }

    /// An event came too fast; whether that has gone on for too long. Events within the rate in between do not end
    /// an overload: a rate always lets some through.
    pub(super) fn overloaded(&mut self, settings: &Settings, now: u64) -> bool {
        self.calm(settings, now);
        let overload = &mut self.unfinished_mut().overload;
        let overload = overload.get_or_insert(Overload { since: now, last: now });
        overload.last = now;
        now.saturating_sub(overload.since) >= u64::from(settings.overload)
    }

    pub(super) fn is_assembling(&self) -> bool {
        self.unfinished.as_deref().is_some_and(|unfinished| unfinished.assembly.is_some())
    }

    pub(super) fn assemble(&mut self, assembly: Assembly) {
        self.unfinished_mut().assembly = Some(assembly);
    }

    /// The packet whose attachments are coming; put it back with [`Session::assemble`] if more are.
    pub(super) fn take_assembly(&mut self) -> Option<Assembly> {
        let mut assembly = None;
        self.with_unfinished(|unfinished| assembly = unfinished.assembly.take());
        assembly
    }

    /// What is due and when: the connect time-out, the attachments.
    pub(super) fn deadline(&self) -> (Option<u64>, Option<u64>) {
        match self.unfinished.as_deref() {
            None => (None, None),
            Some(unfinished) => (unfinished.connect_by, unfinished.assembly.as_ref().map(|it| it.until)),
        }
    }

    fn unfinished_mut(&mut self) -> &mut Unfinished {
        self.unfinished.get_or_insert_default()
    }

    fn with_unfinished(&mut self, change: impl FnOnce(&mut Unfinished)) {
        let Some(unfinished) = &mut self.unfinished else { return };
        change(unfinished);
        let Unfinished { connect_by, assembly, overload, asked } = &**unfinished;
        if connect_by.is_none() && assembly.is_none() && overload.is_none() && asked.is_empty() {
            self.unfinished = None;
        }
    }

    /// Bytes on the heap, those of attachments included.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.unfinished.as_deref().map_or(0, |unfinished| {
            let assembly = unfinished.assembly.as_ref().map_or(0, |it| it.bytes);
            size_of::<Unfinished>() + unfinished.asked.capacity() * size_of::<(Namespace, u32)>() + assembly
        })
    }
}
