//! Mounting beneath a root that is being built. Every path is resolved inside that root by the kernel, so that a link
//! in an image cannot lead a mount or a file to the host's own folders.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, StatVfsMountFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use tagline_protocol::StepUser;

/// A mounted file system that will be the job's `/`.
pub(super) struct NewRoot {
    root: OwnedFd,
}

impl NewRoot {
    /// The root mounted at `path`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { root })
    }

    /// Opens what is at `path` inside, following links inside only.
    fn resolve(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        rustix::fs::openat2(
            &self.root,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    }

    /// The folder at `path`, made with its parents where missing.
    pub(super) fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        match self.resolve(path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {}
            other => return Ok(other?),
        }
        let parent = path.parent().ok_or(Errno::NOENT)?;
        let name = path.file_name().ok_or(Errno::INVAL)?;
        match rustix::fs::mkdirat(self.folder(parent)?, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.resolve(path, OFlags::PATH | OFlags::DIRECTORY)?)
    }

    /// A new file at `path`, in the place of one that is there.
    pub(super) fn file(&self, path: &Path, content: &[u8]) -> io::Result<OwnedFd> {
        let (parent, name) = self.place(path)?;
        match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644))?);
        file.write_all(content)?;
        Ok(file.into())
    }

    /// A symbolic link at `path`, unless something is there.
    pub(super) fn link(&self, path: &Path, target: &Path) -> io::Result<()> {
        let (parent, name) = self.place(path)?;
        match rustix::fs::symlinkat(target, &parent, name) {
            Err(Errno::EXIST) => Ok(()),
            other => Ok(other?),
        }
    }

    fn place<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p std::ffi::OsStr)> {
        let parent = self.folder(path.parent().ok_or(Errno::INVAL)?)?;
        Ok((parent, path.file_name().ok_or(Errno::INVAL)?))
    }

    /// Binds the host's `source`, with what is mounted below it, at `path`.
    pub(super) fn bind(&self, source: &Path, path: &Path) -> io::Result<()> {
        let target = if source.is_dir() {
            self.folder(path)?
        } else {
            match self.resolve(path, OFlags::PATH) {
                Err(Errno::NOENT) => self.file(path, b"")?,
                other => other?,
            }
        };
        Ok(rustix::mount::mount_bind_recursive(source, by_number(&target))?)
    }

    /// Makes the steps' user the owner of what is at `path`.
    pub(super) fn give(&self, path: &Path, user: StepUser) -> io::Result<()> {
        let place = self.resolve(path, OFlags::PATH)?;
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        Ok(rustix::fs::chownat(&place, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?)
    }

    /// Binds `source` at `path`, nothing of it writable, no device and no set-user-id program of it usable.
    /// File systems mounted below it keep their own flags; [`read_only_below`] is for them.
    pub(super) fn bind_read_only(&self, source: &Path, path: &Path) -> io::Result<()> {
        self.bind(source, path)?;
        read_only(&self.resolve(path, OFlags::PATH)?)
    }

    /// Mounts a new file system at `path`.
    pub(super) fn mount(&self, kind: &str, path: &Path, flags: MountFlags, options: &str) -> io::Result<()> {
        let target = self.folder(path)?;
        mount(kind, Path::new(&by_number(&target)), flags, options)
    }

    /// Makes the root itself read-only.
    pub(super) fn seal(&self) -> io::Result<()> {
        read_only(&self.root)
    }

    /// Makes this the root of the process, and takes the old one away.
    pub(super) fn enter(self) -> io::Result<()> {
        rustix::process::fchdir(&self.root)?;
        // The old root is put over the new one and taken off again: no folder for it is needed.
        rustix::process::pivot_root(".", ".")?;
        rustix::mount::unmount(".", UnmountFlags::DETACH)?;
        Ok(rustix::process::chdir("/")?)
    }
}

/// Mounts a new file system of a kind.
pub(super) fn mount(kind: &str, target: &Path, flags: MountFlags, options: &str) -> io::Result<()> {
    let options = CString::new(options)?;
    Ok(rustix::mount::mount(kind, target, kind, flags, options.as_c_str())?)
}

/// What was opened, as a path: the kernel follows it to the very same file.
fn by_number(file: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

/// Remounts what `target` is the top of. Flags the host has set are locked in a user namespace and stay.
fn read_only(target: &OwnedFd) -> io::Result<()> {
    let mut flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    if rustix::fs::fstatvfs(target)?.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        flags |= MountFlags::NOEXEC;
    }
    Ok(rustix::mount::mount_remount(by_number(target), flags, c"")?)
}

/// Makes every mount at or below `top` read-only: file systems of the host that came along with a bind.
pub(super) fn read_only_below(top: &Path) -> io::Result<()> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    for place in table.lines().filter_map(|line| line.split(' ').nth(4)) {
        let place = unescape(place);
        let below = Path::new(&place)
            .strip_prefix(top)
            .is_ok_and(|rest| matches!(rest.components().next(), Some(Component::Normal(_))));
        if below {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            read_only(&rustix::fs::openat(CWD, &place, flags, Mode::empty())?)?;
        }
    }
    Ok(())
}

/// The kernel writes space, tab, line end and backslash in a path as `\` and three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[3..]);
            }
            None => plain.push_str(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn paths_of_the_mount_table_are_read_back() {
        assert_eq!(unescape(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescape("/plain"), "/plain");
        assert_eq!(unescape(r"/odd\9"), "/odd9");
    }
}
