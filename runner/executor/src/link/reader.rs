//! Reading a spool beside the engine: `tagline logs`, also while the job runs.
//!
//! The engine holds the job's one connection, so growth is seen by a watch on the file.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::tail::{RawLine, Tail};
use crate::readable::readable;

/// The file is looked at this often without a sign from the watch, and where no watch can be had.
const SAFETY: Duration = Duration::from_millis(500);

/// Reads one spool from an offset on.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    tail: Tail,
    watch: Option<Arc<OwnedFd>>,
}

impl LogReader {
    /// Reads the spool at `path` from the start of a line, 0 for all of it. The file need not be there yet.
    pub fn new(path: &Path, from: u64) -> Self {
        Self { path: path.to_owned(), tail: Tail::new(path, from), watch: None }
    }

    /// The next whole line; none at the end of what is there.
    pub fn next_line(&mut self) -> io::Result<Option<RawLine<'_>>> {
        self.tail.next_line()
    }

    /// Where the next line starts.
    pub fn offset(&self) -> u64 {
        self.tail.offset()
    }

    /// Resolves when the file may have grown since [`LogReader::next_line`] last answered none. Call that again first
    /// after the first time: the watch sees only what comes after it was set.
    pub async fn grown(&mut self) -> io::Result<()> {
        let Some(watch) = &self.watch else {
            self.watch = watch(&self.path);
            if self.watch.is_none() {
                tokio::time::sleep(SAFETY).await;
            }
            return Ok(());
        };
        // Without a sign the file is looked at all the same.
        if readable(watch, SAFETY).await? {
            drain(watch);
        }
        Ok(())
    }
}

/// A watch for changes; none where the file is not there yet or the user has no watches left.
fn watch(path: &Path) -> Option<Arc<OwnedFd>> {
    let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
    inotify::add_watch(&fd, path, WatchFlags::MODIFY | WatchFlags::DONT_FOLLOW).ok()?;
    Some(Arc::new(fd))
}

/// Which changes is of no interest.
fn drain(fd: &OwnedFd) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(fd, &mut buffer);
    while reader.next().is_ok() {}
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn a_growing_file_is_followed_to_its_end() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("spool.jsonl");
        let mut reader = LogReader::new(&path, 0);
        let writer = tokio::task::spawn_blocking(move || {
            let mut file = std::fs::File::create(path).unwrap();
            for number in 0..2_000 {
                let line = format!("line {number}\n");
                let (head, rest) = line.as_bytes().split_at(3);
                file.write_all(head).unwrap();
                file.write_all(rest).unwrap();
            }
        });
        for number in 0..2_000 {
            loop {
                if let Some(line) = reader.next_line().unwrap() {
                    assert_eq!(line.bytes, format!("line {number}").as_bytes());
                    break;
                }
                reader.grown().await.unwrap();
            }
        }
        writer.await.unwrap();
        assert!(reader.next_line().unwrap().is_none());
    }
}
