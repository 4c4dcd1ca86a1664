//! The two queues shared with the kernel, and the one system call between them.
#![expect(unsafe_code, reason = "submissions carry raw pointers, and entering the kernel is an unsafe call")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, squeue};

/// Submissions that fit into the queue; a turn that makes more enters the kernel more than once.
const SUBMISSIONS: u32 = 512;
/// Completions that fit. More are kept by the kernel and fetched by another enter.
const COMPLETIONS: u32 = 4096;
/// Completions that end a wait which gathers before its time.
const MANY: u32 = 128;
/// A wait without an end: the kernel gathers only where there is one.
const LONG: Duration = Duration::from_secs(3_600);

/// The ring.
pub(super) struct Queue {
    ring: IoUring,
    /// Pushed and not yet taken by the kernel.
    unsubmitted: u32,
    pub(super) system_calls: u64,
}

impl Queue {
    /// Makes the ring; the calling thread is the only one that may use it.
    pub(super) fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        // SHUTDOWN is the only operation that goes to worker threads, it never blocks, and one thread a ring is enough
        // for it. Without a bound a mass drain starts as many as it likes.
        ring.submitter().register_iowq_max_workers(&mut [1, 1])?;
        Ok(Self { ring, unsubmitted: 0, system_calls: 2 })
    }

    pub(super) fn submitter(&self) -> io_uring::Submitter<'_> {
        self.ring.submitter()
    }

    /// Puts an operation into the queue; false when it is full.
    ///
    /// # Safety
    /// What the operation points to stays valid until the kernel has taken it, and for as long as the operation uses
    /// it.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: the caller's promise.
        let pushed = unsafe { self.ring.submission().push(entry) }.is_ok();
        self.unsubmitted += u32::from(pushed);
        pushed
    }

    pub(super) fn unsubmitted(&self) -> u32 {
        self.unsubmitted
    }

    pub(super) fn is_full(&mut self) -> bool {
        self.ring.submission().is_full()
    }

    /// Hands the kernel what is queued and does not look for completions: they are for the next wait.
    pub(super) fn submit(&mut self) -> io::Result<()> {
        self.enter(0, EnterFlags::empty(), (None, 0))
    }

    /// Submits, lets the kernel finish what it has deferred to this call, and sleeps for a completion if there is none
    /// and `timeout` is not zero. With a `gather` time it sleeps at least that long, unless many completions come.
    pub(super) fn submit_and_wait(&mut self, timeout: Option<Duration>, gather: Duration) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return self.enter(0, EnterFlags::GETEVENTS, (timeout, 0));
        }
        let least = u32::try_from(gather.as_micros()).unwrap_or(u32::MAX);
        let (want, timeout) = if least == 0 { (1, timeout) } else { (MANY, timeout.or(Some(LONG))) };
        self.enter(want, EnterFlags::GETEVENTS, (timeout, least))
    }

    /// Whether the kernel can gather (Linux 6.12).
    pub(super) fn gathers(&self) -> bool {
        self.ring.params().is_feature_min_timeout()
    }

    /// The times are how long it may sleep, and how many microseconds it sleeps for less than it wants.
    fn enter(
        &mut self,
        want: u32,
        flags: EnterFlags,
        (timeout, least): (Option<Duration>, u32),
    ) -> io::Result<()> {
        let timespec = timeout.map(Timespec::from);
        let mut arguments = SubmitArgs::new().min_wait_usec(least);
        if let Some(timespec) = &timespec {
            arguments = arguments.timespec(timespec);
        }
        self.system_calls += 1;
        let flags = flags | EnterFlags::EXT_ARG;
        // SAFETY: the argument is what EXT_ARG asks for, and it and its timespec outlive the call.
        let result =
            unsafe { self.ring.submitter().enter(self.unsubmitted, want, flags.bits(), Some(&arguments)) };
        // The queue itself says what was taken: an error of the wait hides the number.
        self.unsubmitted = self.ring.submission().len() as u32;
        match result {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Time is over, a signal came, or the kernel wants its completions taken first.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Takes a completion.
    pub(super) fn next(&mut self) -> Option<cqueue::Entry> {
        self.ring.completion().next()
    }

    /// The kernel holds work or completions that only another enter brings out.
    pub(super) fn wants_enter(&mut self) -> bool {
        let queue = self.ring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Completions wait in the kernel because the queue was full.
    pub(super) fn overflowed(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    /// No completion waits to be taken, here or in the kernel.
    pub(super) fn is_settled(&mut self) -> bool {
        self.ring.completion().is_empty() && !self.wants_enter()
    }

    /// Completions lost for want of kernel memory. After one, nothing the driver believes is certain.
    pub(super) fn lost(&mut self) -> u32 {
        self.ring.completion().overflow()
    }

    /// Lets the kernel signal this eventfd at every completion.
    pub(super) fn notify(&self, eventfd: BorrowedFd<'_>) -> io::Result<()> {
        self.ring.submitter().register_eventfd(eventfd.as_raw_fd())
    }
}
