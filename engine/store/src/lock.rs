//! One engine a store: an advisory lock on `tagline.lock`, held as long as the engine lives.
//!
//! The kernel releases it when the process ends, however it ends, so there is nothing to clean up after a crash. The
//! file's text names the holder for the message a second engine gets; it decides nothing.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::{StoreError, StoreFolder};

/// The right to drive a store's runs, as long as it is kept.
#[derive(Debug)]
pub struct EngineLock {
    file: File,
}

impl EngineLock {
    /// Takes the lock, at once or not at all. `what` names the command for others, such as `tagline serve`.
    ///
    /// # Errors
    /// [`StoreError::Busy`] names the process that has it.
    pub fn take(folder: &StoreFolder, what: &str) -> Result<Self, StoreError> {
        let path = folder.lock();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(StoreError::Busy { store: folder.root().to_owned(), holder: read_holder(&mut file) });
            }
            Err(error) => return Err(StoreError::io("lock", &path)(error.into())),
        }
        let holder = format!("process {} ({what})", std::process::id());
        let written = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
        written.and_then(|_| file.write_all(holder.as_bytes())).map_err(StoreError::io("write", &path))?;
        Ok(Self { file })
    }

    /// Who drives the store now; none when nobody does.
    pub fn holder(folder: &StoreFolder) -> Option<String> {
        let mut file = File::open(folder.lock()).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => None,
            Err(_) => Some(read_holder(&mut file)),
        }
    }
}

impl Drop for EngineLock {
    fn drop(&mut self) {
        // Closing would release it too; emptied first so that no one reads a stale name.
        let _ = self.file.set_len(0);
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

fn read_holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(200).read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}
