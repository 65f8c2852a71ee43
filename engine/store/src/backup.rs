//! A copy of a store that is in use: the database by SQLite's own backup, then every blob, log and key.
//!
//! Order makes it whole: whatever the copied database names was in the store before the copy of the files began. The
//! copy is checked before it gets its final name: a broken chain makes no backup; a damaged blob is told, and the rest is
//! kept, because nothing of it would be safer without a copy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::secrets::owner_only;
use crate::{Blobs, StoreError, StoreFolder, Verified, chain};

/// How often a database that somebody holds is asked for again, and after how long.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// A copy that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Its journal.
    pub verified: Verified,
    /// Digests of blobs in it whose bytes are others, as they are in the store.
    pub damaged: Vec<String>,
}

/// Copies a store into a folder that does not exist yet. Returns what the check of the copy found.
pub(crate) fn backup(connection: &Connection, from: &StoreFolder, to: &Path) -> Result<Copied, StoreError> {
    let parent = to.parent().filter(|p| !p.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned);
    if to.exists() {
        return Err(StoreError::io("create", to)(io::Error::from(io::ErrorKind::AlreadyExists)));
    }
    let temporary = tempfile::Builder::new()
        .prefix(".tagline-backup-")
        .tempdir_in(&parent)
        .map_err(StoreError::io("create", &parent))?;
    let copy = StoreFolder::at(temporary.path());
    copy.create()?;
    copy_database(connection, &copy)?;
    for (source, target) in [(from.blobs(), copy.blobs()), (from.runs(), copy.runs())] {
        copy_tree(&source, &target, &|path| wanted(from, path))?;
    }
    if from.key().exists() {
        copy_file(&from.key(), &copy.key())?;
    }
    let verified = crate::connection::open_read_only(&copy).and_then(|connection| chain::verify(&connection))?;
    let damaged = Blobs::at(copy.blobs()).verify_all()?;
    fs::rename(temporary.path(), to).map_err(StoreError::io("rename", to))?;
    // The folder has its final name: there is nothing left to clean up under the temporary one.
    let _ = temporary.keep();
    fs::File::open(&parent).and_then(|f| f.sync_all()).map_err(StoreError::io("sync", &parent))?;
    Ok(Copied { verified, damaged })
}

/// All pages in one step: a copy in several begins anew whenever the engine commits in between, so beside a busy one it
/// would never end.
fn copy_database(connection: &Connection, to: &StoreFolder) -> Result<(), StoreError> {
    let mut target = Connection::open(to.database())?;
    let backup = Backup::new(connection, &mut target)?;
    for _ in 0..TRIES {
        if backup.step(-1)? == StepResult::Done {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Err(StoreError::io("copy into", to.database())(io::ErrorKind::WouldBlock.into()))
}

/// Of job folders only the spools are kept: the rest belongs to jobs that run now.
fn wanted(from: &StoreFolder, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let in_runs = path.starts_with(from.runs());
    if path.is_dir() {
        let depth = path.strip_prefix(from.runs()).map_or(0, |p| p.components().count());
        return !in_runs || depth <= 3;
    }
    if in_runs { name == "spool.jsonl" } else { !name.starts_with(".tmp-") }
}

fn copy_tree(from: &Path, to: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<(), StoreError> {
    fs::create_dir_all(to).map_err(StoreError::io("create", to))?;
    for entry in fs::read_dir(from).map_err(StoreError::io("read", from))? {
        let entry = entry.map_err(StoreError::io("read", from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(StoreError::io("read", &path))?;
        if !wanted(&path) {
            continue;
        }
        if kind.is_dir() {
            copy_tree(&path, &target, wanted)?;
        } else if kind.is_file() {
            copy_file(&path, &target)?;
        }
    }
    fs::File::open(to).and_then(|f| f.sync_all()).map_err(StoreError::io("sync", to))
}

fn copy_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut source = fs::File::open(from).map_err(StoreError::io("open", from))?;
    let mut target = owner_only(to)?;
    io::copy(&mut source, &mut target).map_err(StoreError::io("copy", to))?;
    target.sync_all().map_err(StoreError::io("sync", to))
}
