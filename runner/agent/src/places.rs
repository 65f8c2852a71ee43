//! The job folder, opened once: afterwards it is reached by descriptor, because a sandbox has no path to it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use tagline_protocol::{INBOX, OUTBOX, SOCKET, SPOOL};

/// The open job folder. Every descriptor is closed on exec.
#[derive(Debug)]
pub struct Places {
    folder: OwnedFd,
    spool: File,
    listener: UnixListener,
}

impl Places {
    /// Opens the folder, the spool in it (made where missing) and the control socket, which listens from now on.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())?;
        for name in [INBOX, OUTBOX] {
            match rustix::fs::mkdirat(&folder, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let spool = File::from(rustix::fs::openat(&folder, SPOOL, flags, Mode::from_raw_mode(0o600))?);
        let listener = listen(&folder)?;
        Ok(Self { folder, spool, listener })
    }

    /// The spool, for reading and appending.
    pub fn spool(&self) -> io::Result<File> {
        self.spool.try_clone()
    }

    /// The control socket.
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    /// Opens a file or folder of the inbox for reading.
    pub fn inbox(&self, name: &str) -> io::Result<File> {
        self.open_in(INBOX, name, OFlags::RDONLY)
    }

    /// Makes a new file in the outbox.
    pub fn outbox_file(&self, name: &str) -> io::Result<File> {
        self.open_in(OUTBOX, name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    /// Makes a new folder in the outbox and opens it.
    pub fn outbox_folder(&self, name: &str) -> io::Result<File> {
        rustix::fs::mkdirat(&self.folder, format!("{OUTBOX}/{}", checked(name)?), Mode::RWXU)?;
        self.open_in(OUTBOX, name, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Where the agent's own panics go.
    pub fn complaints(&self) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, "agent.log", flags, Mode::from_raw_mode(0o600))?;
        Ok(file.into())
    }

    fn open_in(&self, folder: &str, name: &str, flags: OFlags) -> io::Result<File> {
        let path: PathBuf = [folder, checked(name)?].iter().collect();
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.folder, path, flags, Mode::from_raw_mode(0o600))?.into())
    }
}

/// A name of one component; the peer is trusted, its mistakes are not.
fn checked(name: &str) -> io::Result<&str> {
    let bad = name.is_empty() || name == "." || name == ".." || name.contains('/');
    if bad {
        return Err(io::Error::other(format!("`{name}` is not the name of a file in the job folder")));
    }
    Ok(name)
}

/// Binds through the descriptor: a socket's path may have 107 bytes, a store's path any number.
/// It listens before it has its name: who finds the socket finds somebody there, and nobody takes a young agent for dead.
fn listen(folder: &OwnedFd) -> io::Result<UnixListener> {
    let young = format!("{SOCKET}.new");
    match rustix::fs::unlinkat(folder, &young, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{young}", folder.as_raw_fd()))?;
    rustix::fs::renameat(folder, &young, folder, SOCKET)?;
    Ok(listener)
}
