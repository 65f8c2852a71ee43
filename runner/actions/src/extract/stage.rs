//! Staging: an archive is extracted into a fresh folder inside the destination, then moved into place.
//! What stands in the way is found before anything moves.

use super::name::EntryName;
use super::{ExtractError, Refusal, folder};
use rustix::fs::{self, FileType, Mode};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// How names of staging folders begin; no archive may use them.
pub(super) const PREFIX: &str = ".tagline-extract-";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Runs `fill` on a fresh staging folder and moves what it made into `destination`. When `fill` or the
/// check before the move fails, the staging folder is removed and nothing has changed.
pub(super) fn staged<T>(
    destination: &OwnedFd,
    shown: &Path,
    fill: impl FnOnce(OwnedFd) -> Result<T, ExtractError>,
) -> Result<T, ExtractError> {
    let name = make(destination).map_err(|error| failed("write to", shown, error))?;
    let result = open(destination, &name, shown).and_then(|staging| {
        let again = open(destination, &name, shown)?;
        let done = fill(staging)?;
        merge(&again, destination, &EntryName::root(), shown, false)?;
        merge(&again, destination, &EntryName::root(), shown, true)?;
        Ok(done)
    });
    let removed = folder::remove_tree(destination, &name);
    let done = result?;
    removed.map_err(|error| failed("clean up in", shown, error))?;
    Ok(done)
}

fn make(destination: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let process = std::process::id();
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{process}-{number}").into_bytes();
        match fs::mkdirat(destination, &name[..], Mode::RWXU) {
            Ok(()) => return Ok(name),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
}

fn open(destination: &OwnedFd, name: &[u8], shown: &Path) -> Result<OwnedFd, ExtractError> {
    folder::open_child(destination, name).map_err(|error| failed("open staging in", shown, error))
}

fn failed(action: &'static str, path: &Path, error: Errno) -> ExtractError {
    ExtractError::io(action, path, error)
}

/// Moves what lies in `from` into `to`, folder by folder only where both have one; with `act` false
/// it only looks for what stands in the way.
fn merge(from: &OwnedFd, to: &OwnedFd, at: &EntryName, shown: &Path, act: bool) -> Result<(), ExtractError> {
    let names = folder::names(from).map_err(|error| failed("list", shown, error))?;
    for name in names {
        let here = at.child(&name);
        let path = shown.join(here.as_path());
        let look = |folder| folder::file_type(folder, &name).map_err(|error| failed("look at", &path, error));
        let new_is_folder = look(from)? == Some(FileType::Directory);
        match look(to)? {
            Some(FileType::Directory) if new_is_folder => {
                let inner = |folder| folder::open_child(folder, &name).map_err(|error| failed("open", &path, error));
                merge(&inner(from)?, &inner(to)?, &here, shown, act)?;
            }
            Some(FileType::Directory) => return Err(ExtractError::entry(here, Refusal::Exists)),
            Some(_) if new_is_folder => return Err(ExtractError::entry(here, Refusal::Exists)),
            _ if act => fs::renameat(from, &name[..], to, &name[..]).map_err(|error| failed("write", &path, error))?,
            _ => {}
        }
    }
    Ok(())
}
