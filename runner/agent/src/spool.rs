//! The spool: the job's only record, appended line by line and synced at each step's end.
//!
//! Invariants:
//! - A record is one line, written whole or cut off again; records are in order.
//! - Syncing a step's end runs beside the next step; [`Spool::settle`] waits for it and comes before the next end.
//! - Room for the last records is reserved ahead of everything else, so a full disk can still be reported on it.
//! - After a failed write or sync nothing is trusted to the disk but the end of the job.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use tagline_protocol::Record;

/// Kept free for the records that end a job.
const RESERVE: u64 = 256 * 1024;
/// Reserved at a time, beyond what is needed.
const STRIDE: u64 = 1024 * 1024;

/// The appending end of the spool.
#[derive(Debug)]
pub struct Spool {
    file: File,
    /// Bytes in the file.
    length: u64,
    /// Bytes the file system has promised room for.
    reserved: u64,
    /// The file system cannot reserve.
    unreservable: bool,
    line: Vec<u8>,
    syncer: Arc<Syncer>,
}

impl Spool {
    /// Goes on with what is in the file; a torn last line, of an agent that was killed, is cut off.
    pub fn open(mut file: File) -> io::Result<Self> {
        let length = whole_lines(&mut file)?;
        file.set_len(length)?;
        let syncer = Syncer::start(file.try_clone()?)?;
        let mut spool = Self { file, length, reserved: 0, unreservable: false, line: Vec::new(), syncer };
        spool.reserve(0)?;
        Ok(spool)
    }

    /// Bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends one record. An error is a full or failing disk; the spool is then as it was before.
    pub fn append(&mut self, record: &Record) -> io::Result<()> {
        self.serialise(record)?;
        self.reserve(self.line.len() as u64)?;
        self.write()
    }

    /// Appends a record that ends something, from the room kept for it.
    pub fn append_last(&mut self, record: &Record) -> io::Result<()> {
        self.serialise(record)?;
        self.write()
    }

    fn serialise(&mut self, record: &Record) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, record)?;
        self.line.push(b'\n');
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        let written = self.file.write_all(&self.line);
        if let Err(error) = written {
            // Part of the line may be there.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += self.line.len() as u64;
        Ok(())
    }

    /// Makes sure there is room for `more` bytes and for the last records behind them.
    fn reserve(&mut self, more: u64) -> io::Result<()> {
        let needed = self.length + more + RESERVE;
        if self.unreservable || needed <= self.reserved {
            return Ok(());
        }
        let result = [needed + STRIDE, needed]
            .into_iter()
            .map(|end| self.promise(end))
            .find(|result| !matches!(result, Err(Errno::NOSPC | Errno::DQUOT)))
            .unwrap_or(Err(Errno::NOSPC));
        match result {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.unreservable = true;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn promise(&mut self, end: u64) -> rustix::io::Result<()> {
        let flags = FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, flags, self.length, end - self.length)?;
        self.reserved = end;
        Ok(())
    }

    /// Asks for everything so far to be on the disk, and does not wait.
    pub fn sync(&self) {
        self.syncer.ask(self.length);
    }

    /// Waits until what [`Spool::sync`] asked for is on the disk.
    pub fn settle(&self) -> io::Result<()> {
        self.syncer.wait()
    }

    /// Syncs, waits, and gives back the room that was reserved.
    pub fn close(self) -> io::Result<()> {
        let _ = self.file.set_len(self.length);
        self.sync();
        self.settle()
    }
}

/// How many bytes of the file are whole lines.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = usize::try_from(end - start).expect("a block fits");
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block[..part])?;
        if let Some(place) = block[..part].iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// The thread that syncs.
#[derive(Debug)]
struct Syncer {
    state: Mutex<Sync>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Sync {
    asked: u64,
    done: u64,
    failed: Option<Errno>,
    closed: bool,
}

impl Syncer {
    fn start(file: File) -> io::Result<Arc<Self>> {
        let syncer = Arc::new(Self { state: Mutex::default(), changed: Condvar::new() });
        let own = Arc::clone(&syncer);
        thread::Builder::new().name("sync".to_owned()).stack_size(64 * 1024).spawn(move || own.run(&file))?;
        Ok(syncer)
    }

    fn lock(&self) -> MutexGuard<'_, Sync> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, file: &File) {
        loop {
            let state = self.lock();
            let state = self
                .changed
                .wait_while(state, |state| state.asked == state.done && !state.closed)
                .unwrap_or_else(PoisonError::into_inner);
            let target = state.asked;
            if target == state.done {
                return;
            }
            drop(state);
            let result = rustix::fs::fdatasync(file);
            let mut state = self.lock();
            // What an earlier sync failed to write may be gone from memory: a later success proves nothing.
            state.failed = state.failed.or(result.err());
            state.done = target;
            self.changed.notify_all();
        }
    }

    fn ask(&self, length: u64) {
        self.lock().asked = length;
        self.changed.notify_all();
    }

    fn wait(&self) -> io::Result<()> {
        let state = self
            .changed
            .wait_while(self.lock(), |state| state.done < state.asked)
            .unwrap_or_else(PoisonError::into_inner);
        state.failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.syncer.lock().closed = true;
        self.syncer.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::path::Path;

    use super::*;

    fn open(path: &Path) -> Spool {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).unwrap();
        Spool::open(file).unwrap()
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_the_rest_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let first = Record::JobStarted { at: 1, attempt: 1 };
        let mut spool = open(&path);
        spool.append(&first).unwrap();
        spool.close().unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{{\"job_sta")).unwrap();
        let mut spool = open(&path);
        spool.append(&first).unwrap();
        spool.close().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{whole}{whole}"));
    }

    #[test]
    fn what_was_reserved_is_given_back() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = open(&path);
        spool.append(&Record::JobStarted { at: 1, attempt: 1 }).unwrap();
        spool.close().unwrap();
        let blocks = std::fs::metadata(&path).unwrap().blocks();
        assert!(blocks * 512 <= 64 * 1024, "{blocks} blocks are still reserved");
    }
}
