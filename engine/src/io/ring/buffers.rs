//! The receive buffers of a shard: one pool that the kernel draws from, so that an idle connection owns none.
#![expect(unsafe_code, reason = "the pool is memory shared with the kernel")]

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use super::pages::{PAGE, Pages};

/// The pool's name in the ring.
pub(super) const GROUP: u16 = 0;

/// The kernel's bound.
const MOST: u16 = 1 << 15;

/// A mapping: first the ring of free buffers, then the buffers.
pub(super) struct Buffers {
    pages: Pages,
    data: usize,
    length: usize,
    count: u16,
    /// Where the next free buffer goes; wraps around.
    tail: u16,
    /// Bytes of the pages that the kernel has filled since they were new, each as often as it was.
    touched: usize,
}

impl Buffers {
    /// Makes `count` buffers (rounded up to a power of two) and gives all of them to the kernel.
    pub(super) fn new(submitter: &Submitter<'_>, count: u16, length: u32) -> io::Result<Self> {
        let count = count.clamp(1, MOST).next_power_of_two();
        let length = length.max(1) as usize;
        // 64 KiB is a multiple of every page size in use.
        let data = (usize::from(count) * size_of::<BufRingEntry>()).next_multiple_of(64 * 1024);
        let bytes = data + usize::from(count) * length;
        let pages = Pages::new(bytes)?;
        let mut buffers = Self { pages, data, length, count, tail: 0, touched: 0 };
        // SAFETY: the ring of `count` entries lies at the mapping's start, page-aligned. The kernel holds its pages by
        // itself, and writes to the buffers only in receives, which end with the io_uring; whoever arms one drops the
        // io_uring before `self`.
        unsafe { submitter.register_buf_ring_with_flags(buffers.pages.start() as u64, count, GROUP, 0) }?;
        for number in 0..count {
            buffers.give(number);
        }
        Ok(buffers)
    }

    pub(super) fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// What the kernel has written into a buffer that it handed out.
    pub(super) fn filled(&mut self, number: u16, length: usize) -> &mut [u8] {
        assert!(number < self.count && length <= self.length, "the kernel names a buffer of this pool");
        self.touched = self.touched.saturating_add(length.next_multiple_of(PAGE));
        // SAFETY: the range lies inside the mapping, checked above, and the kernel does not touch a buffer between
        // handing it out and `give`; the borrow of `self` keeps `give` away.
        unsafe {
            let start = self.pages.start().add(self.data + usize::from(number) * self.length);
            std::slice::from_raw_parts_mut(start, length)
        }
    }

    /// Gives a buffer to the kernel.
    pub(super) fn give(&mut self, number: u16) {
        assert!(number < self.count, "only buffers of this pool are given back");
        let ring = self.pages.start().cast::<BufRingEntry>();
        // SAFETY: both places lie inside the mapping. The kernel reads an entry only after the tail has passed it, and
        // the tail passes after it is written. The tail's place is the unused last field of the first entry.
        unsafe {
            let entry = &mut *ring.add(usize::from(self.tail & (self.count - 1)));
            entry.set_addr(self.pages.start().add(self.data + usize::from(number) * self.length) as u64);
            entry.set_len(self.length as u32);
            entry.set_bid(number);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(ring).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Buffers {
    /// More than a page of the pool has been touched. The kernel takes the buffers in turn, so a crowd touches all of
    /// them sooner or later.
    pub(super) fn is_worn(&self) -> bool {
        self.touched > PAGE
    }

    /// Gives the pages of all buffers back. The caller sees to it that none holds bytes that are still to be read: the
    /// contents are lost.
    pub(super) fn relax(&mut self) {
        self.touched = 0;
        // The ring of free buffers before them stays.
        self.pages.forget(self.data);
    }
}
