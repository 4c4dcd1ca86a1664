//! Memory of whole pages that takes what it is used for, and gives it back without moving.
#![expect(unsafe_code, reason = "the pages are mapped and given back by system calls")]

use std::io;
use std::ptr::NonNull;

/// What a few bytes touch, at the least.
pub(super) const PAGE: usize = 4 << 10;

/// A private mapping. What was never written is zero and takes no memory.
///
/// An allocator could not do this: memory that it hands out again as zeroed it may have to write first, all of it.
pub(super) struct Pages {
    memory: NonNull<u8>,
    bytes: usize,
}

impl Pages {
    /// Maps so many bytes; at least one.
    pub(super) fn new(bytes: usize) -> io::Result<Self> {
        let bytes = bytes.max(1);
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping touches no existing memory.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { memory: NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory)?, bytes })
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Where the first is: at the beginning of a page.
    pub(super) fn start(&self) -> *mut u8 {
        self.memory.as_ptr()
    }

    /// All of it. Whoever shares parts of it with the kernel does not ask for these.
    pub(super) fn all(&self) -> &[u8] {
        // SAFETY: the mapping is ours, as long as this, and initialised: with zeros where nothing was written.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.bytes) }
    }

    /// The same, to be written.
    pub(super) fn all_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `all`, and the borrow is the only one.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.bytes) }
    }

    /// Gives back the pages from this byte on, which is the first of one: they are zero again.
    pub(super) fn forget(&mut self, from: usize) {
        assert!(from <= self.bytes && from.is_multiple_of(PAGE), "whole pages of the mapping are given back");
        // SAFETY: the range is the mapping's, page-aligned, and private: whoever next writes or reads there, the kernel
        // included, finds zeroed pages.
        unsafe {
            libc::madvise(self.memory.as_ptr().add(from).cast(), self.bytes - from, libc::MADV_DONTNEED);
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and who shares parts of it with the kernel ends that first.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_zero_and_what_lies_before_it_stays() {
        let mut pages = Pages::new(3 * PAGE).unwrap();
        assert!(pages.len() == 3 * PAGE && pages.all().iter().all(|&byte| byte == 0));
        pages.all_mut().fill(7);
        let start = pages.start();
        pages.forget(PAGE);
        assert!(pages.all()[..PAGE].iter().all(|&byte| byte == 7));
        assert!(pages.all()[PAGE..].iter().all(|&byte| byte == 0));
        assert_eq!(pages.start(), start);
    }
}
