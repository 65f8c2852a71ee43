//! What the engine reads and writes in a job folder while steps may write to it too.
//!
//! Invariants: the folder is opened once and everything in it is reached through that descriptor, one plain name after
//! the other; no link is followed; only regular files are opened, so that nothing waits and no device is touched. A step
//! that is root in its container may have put a link, a pipe or a device in the place of anything here.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use tagline_protocol::{INBOX, OUTBOX};

use crate::remove;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NEW: OFlags = OFlags::CREATE.union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An OCI layout has three levels; more than this is nothing that is handed over.
const DEPTH: u32 = 16;

/// An open job folder.
#[derive(Debug)]
pub struct Inside {
    folder: OwnedFd,
}

impl Inside {
    /// Opens a job folder, whose own path no step can change.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { folder: openat(CWD, path, FOLDER, Mode::empty())? })
    }

    /// A file at the top of the folder.
    pub(crate) fn file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        regular(&self.folder, Path::new(plain(name)?), flags)
    }

    /// A file at the top of the folder, owner-only, to read and to append to; made where it is missing.
    pub(crate) fn log(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::APPEND;
        match self.file(name, flags) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = openat(&self.folder, name, flags | NEW, Mode::from_raw_mode(0o600));
                match made {
                    // Another one was faster.
                    Err(Errno::EXIST) => self.file(name, flags),
                    made => Ok(made?.into()),
                }
            }
            other => other,
        }
    }

    /// A new file in the inbox, in the place of one of that name.
    pub fn new_in_inbox(&self, name: &str) -> io::Result<File> {
        let inbox = self.emptied(plain(name)?)?;
        Ok(openat(inbox, name, OFlags::WRONLY | NEW, Mode::from_raw_mode(0o644))?.into())
    }

    /// Copies the engine's own folder `from` into the inbox, in the place of what has that name.
    pub fn copy_to_inbox(&self, name: &str, from: &Path) -> io::Result<()> {
        let inbox = self.emptied(plain(name)?)?;
        let from = openat(CWD, from, FOLDER, Mode::empty())?;
        copy_folder(&from, &new_folder(&inbox, Path::new(name))?, DEPTH)
    }

    /// A file of the outbox.
    pub fn from_outbox(&self, name: &str) -> io::Result<File> {
        let outbox = child(&self.folder, Path::new(OUTBOX))?;
        regular(&outbox, Path::new(plain(name)?), OFlags::RDONLY)
    }

    /// Copies a folder of the outbox, its path made of plain names, to `to`, which is not there yet and the engine's own.
    pub fn copy_from_outbox(&self, path: &str, to: &Path) -> io::Result<()> {
        let mut from = child(&self.folder, Path::new(OUTBOX))?;
        for name in path.split('/') {
            from = child(&from, Path::new(plain(name)?))?;
        }
        copy_folder(&from, &new_folder(CWD, to)?, DEPTH)
    }

    /// The inbox, with nothing of that name in it.
    fn emptied(&self, name: &str) -> io::Result<OwnedFd> {
        let inbox = child(&self.folder, Path::new(INBOX))?;
        match unlinkat(&inbox, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            // A folder: removed by handle, and no link in it is followed.
            Err(Errno::ISDIR | Errno::PERM) => remove::tree(&by_handle(&inbox).join(name))?,
            Err(error) => return Err(error.into()),
        }
        Ok(inbox)
    }
}

/// Opens the regular file at `path`, whose folder is trusted, for reading; what else is there is refused at once.
pub fn read_regular(path: &Path) -> io::Result<File> {
    regular(CWD, path, OFlags::RDONLY)
}

/// Looked at before it is opened: opening a pipe waits for its other end, and opening a device does something.
fn regular(folder: impl AsFd, name: &Path, flags: OFlags) -> io::Result<File> {
    let found = openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no regular file", name.display())));
    }
    Ok(openat(CWD, by_handle(&found), flags | OFlags::CLOEXEC, Mode::empty())?.into())
}

fn child(folder: &OwnedFd, name: &Path) -> io::Result<OwnedFd> {
    let opened = openat(folder, name, FOLDER, Mode::empty());
    opened.map_err(|error| match error {
        // What a link gives, and what a file does.
        Errno::LOOP | Errno::NOTDIR => io::Error::other(format!("{} is no folder", name.display())),
        error => error.into(),
    })
}

fn new_folder(parent: impl AsFd, name: &Path) -> io::Result<OwnedFd> {
    mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
    Ok(openat(&parent, name, FOLDER, Mode::empty())?)
}

fn copy_folder(from: &OwnedFd, to: &OwnedFd, depth: u32) -> io::Result<()> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes();
        if bytes == b"." || bytes == b".." {
            continue;
        }
        let name = Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes));
        let found = openat(from, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Directory {
            let below = depth.checked_sub(1).ok_or_else(|| io::Error::other("the folder is too deep"))?;
            copy_folder(&child(from, name)?, &new_folder(to, name)?, below)?;
            continue;
        }
        let mut source = regular(from, name, OFlags::RDONLY)?;
        let mut target = File::from(openat(to, name, OFlags::WRONLY | NEW, Mode::from_raw_mode(0o644))?);
        io::copy(&mut source, &mut target)?;
    }
    Ok(())
}

fn plain(name: &str) -> io::Result<&str> {
    let plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    if plain { Ok(name) } else { Err(io::Error::other(format!("`{name}` is no plain file name"))) }
}

fn by_handle(file: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read, Write};
    use std::os::unix::fs::symlink;

    use super::*;

    struct Place {
        scratch: tempfile::TempDir,
        job: PathBuf,
    }

    /// A job folder, and `elsewhere` beside it, which is none of the step's.
    fn place() -> (Place, Inside) {
        let scratch = tempfile::tempdir().unwrap();
        let job = scratch.path().join("job");
        for folder in ["job/inbox", "job/outbox", "elsewhere"] {
            fs::create_dir_all(scratch.path().join(folder)).unwrap();
        }
        fs::write(scratch.path().join("elsewhere/secret"), "secret").unwrap();
        let inside = Inside::open(&job).unwrap();
        (Place { scratch, job }, inside)
    }

    impl Place {
        fn elsewhere(&self) -> PathBuf {
            self.scratch.path().join("elsewhere")
        }

        /// `mv NAME x; ln -s …/elsewhere NAME`, as a step may.
        fn replace(&self, name: &str) {
            fs::rename(self.job.join(name), self.job.join("x")).unwrap();
            symlink(self.elsewhere(), self.job.join(name)).unwrap();
        }
    }

    fn pipe(path: &Path) {
        rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }

    #[test]
    fn an_inbox_that_is_a_link_gets_nothing() {
        let (place, inside) = place();
        place.replace("inbox");
        let layout = place.scratch.path().join("layout");
        fs::create_dir(&layout).unwrap();
        assert_eq!(inside.new_in_inbox("file").unwrap_err().to_string(), "inbox is no folder");
        assert!(inside.copy_to_inbox("image-1", &layout).is_err());
        assert_eq!(fs::read_dir(place.elsewhere()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_new_in_the_inbox_takes_the_place_of_links_and_folders_and_follows_none() {
        let (place, inside) = place();
        let inbox = place.job.join("inbox");
        symlink(place.elsewhere().join("secret"), inbox.join("a")).unwrap();
        fs::create_dir_all(inbox.join("b/deep")).unwrap();
        symlink(place.elsewhere(), inbox.join("b/deep/link")).unwrap();
        for name in ["a", "b"] {
            inside.new_in_inbox(name).unwrap().write_all(b"new").unwrap();
            assert_eq!(fs::read_to_string(inbox.join(name)).unwrap(), "new");
        }
        assert_eq!(fs::read_to_string(place.elsewhere().join("secret")).unwrap(), "secret");
    }

    #[test]
    fn a_folder_is_copied_in_and_a_second_time_too() {
        let (place, inside) = place();
        let layout = place.scratch.path().join("layout");
        fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        fs::write(layout.join("blobs/sha256/ab"), "blob").unwrap();
        for _ in 0..2 {
            inside.copy_to_inbox("image-1", &layout).unwrap();
            assert_eq!(fs::read(place.job.join("inbox/image-1/blobs/sha256/ab")).unwrap(), b"blob");
        }
    }

    #[test]
    fn nothing_but_plain_files_comes_out_of_the_outbox() {
        let (place, inside) = place();
        let outbox = place.job.join("outbox");
        fs::write(outbox.join("there"), "x").unwrap();
        symlink("there", outbox.join("link")).unwrap();
        pipe(&outbox.join("pipe"));
        fs::create_dir(outbox.join("folder")).unwrap();
        let mut read = String::new();
        inside.from_outbox("there").unwrap().read_to_string(&mut read).unwrap();
        assert_eq!(read, "x");
        for bad in ["link", "pipe", "folder", "", ".", "..", "../there", "/etc/passwd", "a//b"] {
            assert!(inside.from_outbox(bad).is_err(), "{bad:?}");
        }
        place.replace("outbox");
        assert_eq!(inside.from_outbox("secret").unwrap_err().to_string(), "outbox is no folder");
    }

    #[test]
    fn a_folder_with_anything_but_files_and_folders_does_not_come_out() {
        let (place, inside) = place();
        let outbox = place.job.join("outbox");
        fs::create_dir_all(outbox.join("good/layout/blobs")).unwrap();
        fs::write(outbox.join("good/layout/blobs/ab"), "blob").unwrap();
        let copy = place.scratch.path().join("copy");
        inside.copy_from_outbox("good/layout", &copy).unwrap();
        assert_eq!(fs::read(copy.join("blobs/ab")).unwrap(), b"blob");

        for (n, spoil) in [|path: &Path| pipe(path), |path: &Path| symlink("/etc", path).unwrap()].iter().enumerate() {
            let folder = outbox.join(format!("bad-{n}"));
            fs::create_dir(&folder).unwrap();
            spoil(&folder.join("index.json"));
            let to = place.scratch.path().join(format!("copy-{n}"));
            assert!(inside.copy_from_outbox(&format!("bad-{n}"), &to).is_err());
        }
        symlink("good", outbox.join("way")).unwrap();
        for bad in ["way/layout", "../outbox/good", "", "good//layout", "."] {
            assert!(inside.copy_from_outbox(bad, &place.scratch.path().join("none")).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_log_is_made_once_and_never_through_a_link() {
        let (place, inside) = place();
        for line in [b"one\n", b"two\n"] {
            inside.log("log").unwrap().write_all(line).unwrap();
        }
        assert_eq!(fs::read_to_string(place.job.join("log")).unwrap(), "one\ntwo\n");
        symlink(place.elsewhere().join("secret"), place.job.join("planted")).unwrap();
        pipe(&place.job.join("pipe"));
        for bad in ["planted", "pipe"] {
            assert_eq!(inside.log(bad).unwrap_err().to_string(), format!("{bad} is no regular file"));
        }
    }
}
