//! The ways out of a shard to the other shards.
//!
//! A message leaves at once when the peer has room. The machine only produces messages while it knows of room, but
//! others fill the same inbox: what finds it full waits here, in order, and until it has left the machine is told
//! that there is no room. So the backlog is bounded by the room that was last announced.

use std::collections::VecDeque;

use schema::ShardId;

use crate::front::Envelope;
use crate::limits::relax::Relax;
use crate::machine::{Machine, Message};
use crate::mesh::Sender;

#[derive(Debug)]
struct Link<A> {
    inbox: Sender<Envelope<A>>,
    backlog: VecDeque<Message>,
}

/// The links of one shard, by the peer's number.
#[derive(Debug)]
pub(super) struct Links<A> {
    own: ShardId,
    links: Vec<Link<A>>,
    /// Monotonic milliseconds of the last announcement of room.
    announced: Option<u64>,
    waiting: usize,
}

/// Places for answers that are kept out of the reckoning: the store's.
const STORE_PLACES: u32 = 64;

impl<A> Links<A> {
    pub(super) fn new(own: ShardId, peers: Vec<Sender<Envelope<A>>>) -> Self {
        let links = peers.into_iter().map(|inbox| Link { inbox, backlog: VecDeque::new() }).collect();
        Self { own, links, announced: None, waiting: 0 }
    }

    /// Tells the machine how much it may say to each peer: what the peer has room for, but no more questions than
    /// there are free places for their answers here. At most once a millisecond, since it reads every peer's inbox.
    pub(super) fn announce(&mut self, now: u64, machine: &mut Machine) {
        if self.links.len() < 2 || (self.announced == Some(now) && self.waiting == 0) {
            return;
        }
        self.announced = Some(now);
        let own = &self.links[usize::from(self.own.0)].inbox;
        let share = own.reply_room().saturating_sub(STORE_PLACES) / (self.links.len() as u32 - 1);
        for (peer, link) in self.links.iter().enumerate() {
            let peer = ShardId(peer as u16);
            if peer != self.own {
                let room = if link.backlog.is_empty() { link.inbox.room().min(share) } else { 0 };
                machine.set_room(peer, room);
            }
        }
    }

    /// Sends one message. A question takes the place of its answer first.
    pub(super) fn send(&mut self, to: ShardId, message: Message) {
        let from = self.own;
        if matches!(message, Message::Ask { ask: 1.., .. } | Message::Deliver { ask: Some(_), .. }) {
            // `announce` never grants more questions than there are places, so this cannot fail.
            let reserved = self.links[usize::from(from.0)].inbox.reserve_raw();
            debug_assert!(reserved, "a question without a place for its answer");
        }
        let Some(link) = self.links.get_mut(usize::from(to.0)) else { return };
        if matches!(message, Message::Answer { .. }) {
            link.inbox.send_reserved(Envelope::Message { from, message });
        } else if !link.backlog.is_empty() {
            link.backlog.push_back(message);
            self.waiting += 1;
        } else if let Err(Envelope::Message { message, .. }) =
            link.inbox.try_send_command(Envelope::Message { from, message })
        {
            link.backlog.push_back(message);
            self.waiting += 1;
        }
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn flush(&mut self) {
        if self.waiting == 0 {
            return;
        }
        let from = self.own;
        for link in &mut self.links {
            while let Some(message) = link.backlog.pop_front() {
                match link.inbox.try_send_command(Envelope::Message { from, message }) {
                    Ok(()) => self.waiting -= 1,
                    Err(Envelope::Message { message, .. }) => {
                        link.backlog.push_front(message);
                        break;
                    }
                    Err(_) => break,
                }
            }
            link.backlog.relax_wholly();
        }
    }

    /// Messages that wait for room.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }
}
