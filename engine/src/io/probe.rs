//! Choosing a driver at start: io_uring where the kernel and the container allow it, epoll otherwise.
//!
//! A refusal names its cause and what to do about it, because "Operation not permitted" has three different remedies.

use std::fmt;
use std::io;
use std::sync::Once;

use io_uring::{IoUring, Probe, opcode};

use super::{Driver, Tuning, epoll, ring};

/// Which driver to use.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Choice {
    /// io_uring if it can be had, epoll with one warning otherwise.
    #[default]
    Auto,
    /// io_uring or an error.
    Ring,
    /// epoll.
    Epoll,
}

/// Why io_uring cannot be had here, and what would change that.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// What stands in the way.
    pub cause: String,
    /// What the operator can do.
    pub fix: &'static str,
    /// The kernel's `errno`; 0 when it did not refuse but lacks something.
    pub errno: i32,
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "io_uring cannot be used: {}. To use it: {}", self.cause, self.fix)
    }
}

impl std::error::Error for Fallback {}

impl From<Fallback> for io::Error {
    fn from(fallback: Fallback) -> Self {
        Self::new(io::ErrorKind::Unsupported, fallback)
    }
}

/// Opens a driver for the calling thread, which must be the one that uses it.
///
/// With [`Choice::Auto`] and io_uring refused it is epoll's, the reason is returned beside it, and the first caller
/// of the process writes the one warning.
///
/// # Errors
/// When io_uring is demanded and cannot be had (the text is that of the warning), or no driver can be made.
pub fn open(choice: Choice, tuning: &Tuning) -> io::Result<(Box<dyn Driver>, Option<Fallback>)> {
    if choice == Choice::Epoll {
        return Ok((Box::new(epoll::Epoll::new(tuning)?), None));
    }
    let refused = match probe() {
        Ok(()) => match ring::Ring::new(tuning) {
            Ok(ring) => return Ok((Box::new(ring), None)),
            Err(error) => Fallback::of_setup(&error),
        },
        Err(refused) => refused,
    };
    if choice == Choice::Ring {
        return Err(refused.into());
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::warn!("{refused}. Using epoll instead"));
    Ok((Box::new(epoll::Epoll::new(tuning)?), Some(refused)))
}

/// Finds out whether the ring driver would work in this process, with a small ring that is gone again on return.
///
/// # Errors
/// The reason, when it would not.
pub fn probe() -> Result<(), Fallback> {
    let ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(16)
        .build(8)
        .map_err(|error| Fallback::of_setup(&error))?;
    let parameters = ring.params();
    if !(parameters.is_feature_nodrop()
        && parameters.is_feature_ext_arg()
        && parameters.is_feature_skip_cqe_on_success())
    {
        return Err(Fallback {
            cause: format!("the kernel ({}) lacks features of it", kernel()),
            fix: NEWER,
            errno: 0,
        });
    }
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| Fallback::of_setup(&error))?;
    let needed = [
        (opcode::AcceptMulti::CODE, "ACCEPT"),
        (opcode::RecvMulti::CODE, "RECV"),
        (opcode::Send::CODE, "SEND"),
        (opcode::Shutdown::CODE, "SHUTDOWN"),
        (opcode::Close::CODE, "CLOSE"),
        (opcode::PollAdd::CODE, "POLL_ADD"),
        (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
    ];
    if let Some((_, name)) = needed.iter().find(|(code, _)| !probe.is_supported(*code)) {
        return Err(Fallback {
            cause: format!("the kernel lacks the operation {name}"),
            fix: NEWER,
            errno: 0,
        });
    }
    // The pool of receive buffers; the ring goes first, as it must.
    let buffers = ring::try_buffers(&ring.submitter()).map_err(|error| Fallback::of_setup(&error))?;
    drop(ring);
    drop(buffers);
    Ok(())
}

const NEWER: &str = "run Linux 6.1 or newer";

impl Fallback {
    /// Reads the refusal of a ring.
    pub(super) fn of_setup(error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(0);
        let (cause, fix) = match errno {
            libc::ENOSYS => (
                format!("this kernel ({}) or container has no io_uring (ENOSYS)", kernel()),
                "run Linux 6.1 or newer, or allow the io_uring_* system calls in the sandbox",
            ),
            libc::EINVAL => {
                (format!("the kernel ({}) is too old for the ring driver (EINVAL)", kernel()), NEWER)
            }
            libc::EPERM | libc::EACCES => match sysctl() {
                Some(value) if value > 0 => (
                    format!("it is switched off on this machine (sysctl kernel.io_uring_disabled = {value})"),
                    "sysctl -w kernel.io_uring_disabled=0",
                ),
                _ => (
                    "a seccomp or security profile refuses it (EPERM), as containers do by default"
                        .to_owned(),
                    "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile",
                ),
            },
            libc::ENOMEM => (
                "the memory for it may not be locked (ENOMEM)".to_owned(),
                "raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK) or run fewer shards",
            ),
            libc::EMFILE | libc::ENFILE => (
                format!("no descriptor is free ({error})"),
                "raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE) or run fewer shards",
            ),
            _ => (format!("the kernel refused it ({error})"), NEWER),
        };
        Self { cause, fix, errno }
    }
}

/// `kernel.io_uring_disabled`: 0 allowed, 1 privileged only, 2 off. Absent before Linux 6.6.
fn sysctl() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    match release.trim() {
        "" => "of unknown release".to_owned(),
        release => release.to_owned(),
    }
}
