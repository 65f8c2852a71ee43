//! The two system calls that no safe interface offers. Nothing else in this crate is `unsafe`.
#![expect(unsafe_code, reason = "closing descriptors this process never opened, and unshare, have no safe form")]

use std::fs;
use std::os::fd::RawFd;

use rustix::io;
use rustix::thread::UnshareFlags;

/// Leaves the namespaces in `flags` for new ones. Only for a process with one thread.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: the one hazard the call's contract names is `FILES`, which is never among the flags.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Closes every descriptor but 0, 1 and 2. Call it first in `main`, before this process has opened anything.
pub fn close_inherited() {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return;
    };
    let numbers: Vec<RawFd> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // SAFETY: nothing in this process owns a descriptor above 2 yet. The one of the folder read above is closed
        // already, for which the kernel answers EBADF; no other thread runs that could have taken its number.
        let _ = unsafe { io::try_close(number) };
    }
}
