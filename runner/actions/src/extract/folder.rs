//! Every change of the file system the extractor makes goes through here: relative to an open folder,
//! resolved by the kernel beneath it, no link followed.

use super::name::EntryName;
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const OPEN_FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a folder by a path that is trusted, making it and its parents when missing.
pub(crate) fn open_trusted(path: &Path) -> io::Result<OwnedFd> {
    std::fs::create_dir_all(path)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(fs::open(path, flags, Mode::empty())?)
}

/// Opens the folder `name` beneath `root`.
pub(crate) fn open_folder(root: impl AsFd, name: &EntryName) -> Result<OwnedFd, Errno> {
    if name.is_root() {
        return fs::openat(root, ".", OPEN_FOLDER, Mode::empty());
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match fs::openat2(&root, name.as_bytes(), OPEN_FOLDER, Mode::empty(), resolve) {
        // Kernels before 5.6 and some seccomp profiles have no openat2. A walk that opens one plain
        // component at a time without following links comes to the same.
        Err(Errno::NOSYS | Errno::PERM) => walk(root.as_fd(), name),
        other => other,
    }
}

/// Opens the folder `name`, one component, in an open folder.
pub(crate) fn open_child(folder: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    fs::openat(folder, name, OPEN_FOLDER, Mode::empty())
}

/// Opens the folder `name` beneath `root`, making what is missing of it with mode 0755.
pub(crate) fn make_folders(root: impl AsFd, name: &EntryName) -> Result<OwnedFd, Errno> {
    match open_folder(&root, name) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    let mut folder = open_folder(&root, &EntryName::root())?;
    for part in name.components() {
        match fs::mkdirat(&folder, part, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        folder = fs::openat(&folder, part, OPEN_FOLDER, Mode::empty())?;
    }
    Ok(folder)
}

/// Creates a file that was not there, in an open folder.
pub(crate) fn create_file(folder: impl AsFd, name: &[u8]) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(folder, name, flags, Mode::from_raw_mode(0o600)).map(File::from)
}

/// The file type of `name` in an open folder, the link itself for a link; `None` when there is none.
pub(crate) fn file_type(folder: impl AsFd, name: &[u8]) -> Result<Option<FileType>, Errno> {
    match fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names in an open folder, sorted by bytes.
pub(crate) fn names(folder: impl AsFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Removes `name` and all beneath it; a link is removed, not what it points at. Missing is fine.
pub(crate) fn remove_tree(folder: impl AsFd, name: &[u8]) -> Result<(), Errno> {
    match file_type(&folder, name)? {
        None => return Ok(()),
        Some(FileType::Directory) => {}
        Some(_) => return fs::unlinkat(folder, name, AtFlags::empty()),
    }
    let inner = fs::openat(&folder, name, OPEN_FOLDER, Mode::empty())?;
    for child in names(&inner)? {
        remove_tree(&inner, &child)?;
    }
    fs::unlinkat(folder, name, AtFlags::REMOVEDIR)
}

fn walk(root: BorrowedFd<'_>, name: &EntryName) -> Result<OwnedFd, Errno> {
    let mut folder = fs::openat(root, ".", OPEN_FOLDER, Mode::empty())?;
    for part in name.components() {
        folder = fs::openat(&folder, part, OPEN_FOLDER, Mode::empty())?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let root = open_trusted(dir.path()).unwrap();
        for (name, found) in [("real", true), ("link", false)] {
            let name = EntryName::parse(name.as_bytes(), 9).unwrap();
            assert_eq!(open_folder(&root, &name).is_ok(), found);
            assert_eq!(walk(root.as_fd(), &name).is_ok(), found);
        }
    }

    #[test]
    fn removing_a_tree_leaves_what_its_links_point_at() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        std::fs::create_dir(&kept).unwrap();
        std::fs::write(kept.join("file"), "x").unwrap();
        std::fs::create_dir(dir.path().join("gone")).unwrap();
        std::os::unix::fs::symlink("../kept", dir.path().join("gone/link")).unwrap();
        remove_tree(open_trusted(dir.path()).unwrap(), b"gone").unwrap();
        assert!(kept.join("file").exists() && !dir.path().join("gone").exists());
    }
}
