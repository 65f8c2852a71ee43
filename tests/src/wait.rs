//! Waiting: for a process and a file by the kernel's word, for anything else by asking again.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// How long a test waits for anything: long enough for a loaded machine, so that passing it means it will not come.
pub const LIMIT: Duration = Duration::from_mins(2);

/// Asks `ready` until it gives a value; fails the test after [`LIMIT`], naming `what` it waited for. For what sends no
/// event of its own.
#[track_caller]
pub fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(start.elapsed() < LIMIT, "waited {LIMIT:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for the end of a process; fails the test after [`LIMIT`].
#[track_caller]
pub fn ended(what: &str, child: &mut Child) -> ExitStatus {
    if child.try_wait().expect("our own child").is_none() {
        let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).expect("it is not waited for yet");
        readable(&process, LIMIT, &format!("the end of {what}"));
    }
    child.wait().expect("our own child")
}

/// Waits until a file, which may not be there yet, has this text in it; fails the test after [`LIMIT`].
#[track_caller]
pub fn holds(path: &Path, text: &str) -> String {
    let start = Instant::now();
    loop {
        let place = nearest(path);
        let watch = inotify::init(CreateFlags::CLOEXEC).expect("inotify");
        let changes = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MODIFY;
        // Gone or come a moment ago: what is nearest is another one then.
        let watched = inotify::add_watch(&watch, place, changes).is_ok() && nearest(path) == place;
        if let Some(found) = fs::read_to_string(path).ok().filter(|found| found.contains(text)) {
            return found;
        }
        if watched {
            let left = LIMIT.saturating_sub(start.elapsed());
            readable(&watch, left, &format!("`{text}` in {}", path.display()));
            let _ = inotify::Reader::new(&watch, &mut [MaybeUninit::uninit(); 512]).next();
        }
    }
}

/// The path itself, or the nearest folder above it that is there.
fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|place| place.exists()).expect("the root is there")
}

#[track_caller]
fn readable(descriptor: &impl AsFd, limit: Duration, what: &str) {
    let limit = Timespec::try_from(limit).expect("minutes");
    let ready = poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&limit)).expect("our own descriptor");
    assert!(ready > 0, "waited {LIMIT:?} for {what}");
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_file_is_waited_for_in_folders_that_come() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("a/b/file");
        let script = "mkdir a; mkdir a/b; echo one > a/b/file; echo two >> a/b/file";
        let mut child = Command::new("sh").args(["-c", script]).current_dir(scratch.path()).spawn().unwrap();
        assert_eq!(holds(&file, "two"), "one\ntwo\n");
        assert!(ended("the shell", &mut child).success());
    }
}
