//! Pinning a shard's thread to a processor. Best effort: a shard that cannot be pinned runs all the same.
#![expect(unsafe_code, reason = "sched_setaffinity and sched_getaffinity have no safe wrapper in std")]

use std::io;

/// The processors this process may run on, ascending. Never empty.
///
/// In a container this is what its cpuset allows, which may be fewer than the machine has.
pub fn allowed_cpus() -> Vec<usize> {
    // SAFETY: an all-zero cpu_set_t is the valid empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a writable cpu_set_t of the size given; pid 0 is the calling thread.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    if result == 0 {
        // SAFETY: the index stays below CPU_SETSIZE, the number of bits in `set`.
        let allowed: Vec<usize> =
            (0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect();
        if !allowed.is_empty() {
            return allowed;
        }
    }
    // More processors than a cpu_set_t has bits: the plain count is the best guess.
    (0..std::thread::available_parallelism().map_or(1, usize::from)).collect()
}

/// Lets the calling thread run on one processor only.
///
/// # Errors
/// When the processor does not exist, is not allowed to this process, or the call is refused.
pub fn pin_current_thread(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: an all-zero cpu_set_t is the valid empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` is below CPU_SETSIZE, checked above.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is a readable cpu_set_t of the size given; pid 0 is the calling thread.
    let result = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_one_processor() {
        let first = allowed_cpus()[0];
        // A thread of its own, so that the test runner's thread keeps its freedom.
        std::thread::spawn(move || {
            pin_current_thread(first).unwrap();
            assert_eq!(allowed_cpus(), [first]);
        })
        .join()
        .unwrap();
        assert!(pin_current_thread(1 << 20).is_err());
    }
}
