//! Waiting for a descriptor that the runtime has no type for: a pidfd, an inotify watch.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Whether the descriptor became readable within the time. A dropped future leaves a thread waiting that long.
pub(crate) async fn readable(fd: &Arc<OwnedFd>, patience: Duration) -> io::Result<bool> {
    let fd = Arc::clone(fd);
    let limit = Timespec::try_from(patience).map_err(io::Error::other)?;
    let wait = move || {
        let mut wanted = [PollFd::new(&*fd, PollFlags::IN)];
        match poll(&mut wanted, Some(&limit)) {
            Err(rustix::io::Errno::INTR) => Ok(false),
            other => Ok(other? > 0),
        }
    };
    tokio::task::spawn_blocking(wait).await.map_err(io::Error::other)?
}
