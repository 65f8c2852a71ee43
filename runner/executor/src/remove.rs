//! Removing a tree whose folders a step may have made unreadable (Go's module cache is read-only, for one).
//!
//! No link is followed: folders are opened by handle and named through it.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// Removes a file, link or folder with all that is in it; one that is not there is no error.
pub(crate) fn tree(path: &Path) -> io::Result<()> {
    match once(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            once(path)
        }
        other => other,
    }
}

fn once(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?.file_type(),
    };
    if kind.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// Lets the owner read and change every folder of the tree.
fn open_up(path: &Path) -> io::Result<()> {
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(folder) = rustix::fs::open(&path, flags, Mode::empty()) else {
            continue;
        };
        let handle = by_handle(&folder);
        fs::set_permissions(&handle, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&handle)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(path.join(entry.file_name()));
            }
        }
    }
    Ok(())
}

fn by_handle(folder: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()))
}
