//! Writes entries beneath an open folder as a policy allows.

use super::name::EntryName;
use super::seen::Seen;
use super::{ExtractError, Extracted, Item, Kind, Links, Modes, Policy, Refusal, SpecialBits, folder, stage};
use rustix::fs::{self, AtFlags, FileType, Mode, Timespec, Timestamps};
use rustix::io::Errno;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

const SPECIAL: u32 = 0o6000;

/// Writes the entries of one archive into one folder.
pub(crate) struct Writer<'a> {
    root: OwnedFd,
    shown: &'a Path,
    policy: &'a Policy,
    seen: Seen,
    /// Modes and times of folders, set last: a folder must stay writable while it is filled.
    folders: Vec<(EntryName, u32, u64)>,
    /// The folder written to last, as archives go folder by folder.
    parent: Option<(EntryName, OwnedFd)>,
    /// Whether what is already there gives way, as a lower layer does.
    over: bool,
    done: Extracted,
}

impl<'a> Writer<'a> {
    /// Writes into `root`, an empty folder; `shown` is its path in messages.
    pub(crate) fn new(root: OwnedFd, shown: &'a Path, policy: &'a Policy) -> Self {
        Self {
            root,
            shown,
            policy,
            seen: Seen::new(policy.case_collisions),
            folders: Vec::new(),
            parent: None,
            over: false,
            done: Extracted::default(),
        }
    }

    /// Writes over what `root` holds: a new entry replaces an old one, folders are united.
    pub(crate) fn over(root: OwnedFd, shown: &'a Path, policy: &'a Policy) -> Self {
        Self { over: true, ..Self::new(root, shown, policy) }
    }

    /// Writes one entry; `body` gives a file's bytes.
    pub(crate) fn put(&mut self, item: &Item, body: &mut dyn Read) -> Result<(), ExtractError> {
        let refuse = |why| ExtractError::entry(&item.name, why);
        self.check(item).map_err(refuse)?;
        if item.name.is_root() {
            return match item.kind {
                Kind::Folder => Ok(()),
                _ => Err(refuse(Refusal::Name("it is the root"))),
            };
        }
        self.seen.add(&item.name, &item.kind).map_err(refuse)?;
        self.enter(&item.name.parent(), item)?;
        match &item.kind {
            Kind::Folder => self.put_folder(item),
            Kind::File { size } => self.put_file(item, *size, body),
            Kind::Symlink { target } => {
                self.make_room(item, false)?;
                fs::symlinkat(&target[..], self.parent(), item.name.file_name())
                    .map_err(|error| self.failed("link", item, error))
            }
            Kind::HardLink { target } => self.put_hard_link(item, target),
            Kind::Device => Err(refuse(Refusal::Device)),
        }
    }

    /// Sets what had to wait for the contents, innermost folders first.
    pub(crate) fn finish(mut self) -> Result<Extracted, ExtractError> {
        self.folders.sort_by(|one, other| other.0.cmp(&one.0));
        for (name, mode, mtime) in std::mem::take(&mut self.folders) {
            let path = self.path(&name);
            folder::open_folder(&self.root, &name)
                .and_then(|folder| self.dress(&folder, mode, mtime))
                .map_err(|error| ExtractError::io("set permissions of", &path, error))?;
        }
        Ok(self.done)
    }

    /// Removes what lower layers have as `name`, as a whiteout asks; what this archive wrote stays.
    pub(crate) fn hide(&mut self, name: &EntryName) -> Result<(), ExtractError> {
        if self.seen.is_folder(name) {
            return self.empty(name);
        }
        if self.seen.holds(name) {
            return Ok(());
        }
        match folder::open_folder(&self.root, &name.parent()) {
            Ok(parent) => folder::remove_tree(parent, name.file_name())
                .map_err(|error| ExtractError::io("remove", &self.path(name), error)),
            // Nothing there to hide.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(error) => Err(ExtractError::io("open", &self.path(name), error)),
        }
    }

    /// Removes what lower layers left in `name`: all of it that this archive has not written.
    pub(crate) fn empty(&mut self, name: &EntryName) -> Result<(), ExtractError> {
        let path = self.path(name);
        let failed = |error| ExtractError::io("empty", &path, error);
        let inner = match folder::open_folder(&self.root, name) {
            Ok(inner) => inner,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        for child in folder::names(&inner).map_err(failed)? {
            let child_name = name.child(&child);
            if !self.seen.holds(&child_name) {
                folder::remove_tree(&inner, &child).map_err(failed)?;
            } else if self.seen.is_folder(&child_name) {
                self.empty(&child_name)?;
            }
        }
        Ok(())
    }

    fn check(&self, item: &Item) -> Result<(), Refusal> {
        if item.mode & SPECIAL != 0 && self.policy.special_bits == SpecialBits::Refuse {
            return Err(Refusal::SpecialBits);
        }
        if item.name.as_bytes().starts_with(stage::PREFIX.as_bytes()) {
            return Err(Refusal::Name("it is reserved for extracting"));
        }
        match &item.kind {
            Kind::Symlink { target }
                if target.is_empty()
                    || target.contains(&0)
                    || (self.policy.links == Links::Inside && !item.name.link_stays_inside(target)) =>
            {
                Err(Refusal::LinkEscapes { target: String::from_utf8_lossy(target).into_owned() })
            }
            _ => Ok(()),
        }
    }

    fn put_folder(&mut self, item: &Item) -> Result<(), ExtractError> {
        self.make_room(item, true)?;
        match fs::mkdirat(self.parent(), item.name.file_name(), Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(self.failed("make", item, error)),
        }
        self.folders.push((item.name.clone(), item.mode, item.mtime));
        Ok(())
    }

    fn put_file(&mut self, item: &Item, size: u64, body: &mut dyn Read) -> Result<(), ExtractError> {
        self.make_room(item, false)?;
        let mut file = folder::create_file(self.parent(), item.name.file_name())
            .map_err(|error| self.failed("create", item, error))?;
        // One byte more than announced is read, so that a body that is too long shows.
        let written = copy(&mut body.take(size.saturating_add(1)), &mut file, &self.path(&item.name))?;
        if written != size {
            return Err(ExtractError::entry(&item.name, Refusal::SizeMismatch { header: size, extended: written }));
        }
        self.dress(&file, item.mode & 0o7777 | FILE, item.mtime)
            .map_err(|error| self.failed("set permissions of", item, error))?;
        self.done.files += 1;
        self.done.bytes += size;
        Ok(())
    }

    fn put_hard_link(&mut self, item: &Item, target: &EntryName) -> Result<(), ExtractError> {
        let no_file = || ExtractError::entry(&item.name, Refusal::HardLink { target: target.to_string() });
        if target == &item.name || !(self.over || self.seen.is_file(target)) {
            return Err(no_file());
        }
        let from = folder::open_folder(&self.root, &target.parent()).map_err(|_| no_file())?;
        if folder::file_type(&from, target.file_name()) != Ok(Some(FileType::RegularFile)) {
            return Err(no_file());
        }
        self.make_room(item, false)?;
        let to = item.name.file_name();
        fs::linkat(&from, target.file_name(), self.parent(), to, AtFlags::empty())
            .map_err(|error| self.failed("link", item, error))?;
        self.done.files += 1;
        Ok(())
    }

    /// Makes `name` the folder that is written to.
    fn enter(&mut self, name: &EntryName, item: &Item) -> Result<(), ExtractError> {
        if self.parent.as_ref().is_some_and(|(open, _)| open == name) {
            return Ok(());
        }
        self.parent = None;
        let folder =
            folder::make_folders(&self.root, name).map_err(|error| self.failed("open the folder of", item, error))?;
        self.parent = Some((name.clone(), folder));
        Ok(())
    }

    /// When writing over lower layers: removes what is there, unless both are folders.
    fn make_room(&mut self, item: &Item, folder: bool) -> Result<(), ExtractError> {
        if !self.over {
            return Ok(());
        }
        let name = item.name.file_name();
        let there = folder::file_type(self.parent(), name).map_err(|error| self.failed("look at", item, error))?;
        if folder && there == Some(FileType::Directory) {
            return Ok(());
        }
        folder::remove_tree(self.parent(), name).map_err(|error| self.failed("replace", item, error))
    }

    /// Sets permissions, and times where they are kept. `mode` has `FILE` set for a file.
    fn dress(&self, target: impl AsFd, mode: u32, mtime: u64) -> Result<(), Errno> {
        let is_file = mode & FILE != 0;
        let executable = mode & 0o111 != 0;
        let bits = match self.policy.modes {
            Modes::Executable if is_file && !executable => 0o644,
            Modes::Executable => 0o755,
            Modes::Kept if is_file => mode & 0o1777 | 0o400,
            Modes::Kept => mode & 0o1777 | 0o700,
        };
        fs::fchmod(&target, Mode::from_raw_mode(bits))?;
        if self.policy.modes == Modes::Kept {
            let time = Timespec { tv_sec: i64::try_from(mtime).unwrap_or(0), tv_nsec: 0 };
            fs::futimens(&target, &Timestamps { last_access: time, last_modification: time })?;
        }
        Ok(())
    }

    fn parent(&self) -> &OwnedFd {
        // `put` enters the parent before anything else asks for it.
        self.parent.as_ref().map_or(&self.root, |(_, folder)| folder)
    }

    fn path(&self, name: &EntryName) -> PathBuf {
        self.shown.join(name.as_path())
    }

    fn failed(&self, action: &'static str, item: &Item, error: Errno) -> ExtractError {
        match error {
            Errno::NOTDIR | Errno::LOOP | Errno::XDEV => {
                ExtractError::entry(&item.name, Refusal::Through { through: item.name.parent().to_string() })
            }
            _ => ExtractError::io(action, &self.path(&item.name), error),
        }
    }
}

/// Marks a mode as a file's for `dress`.
const FILE: u32 = 0o100_000;

/// Copies, telling a fault of the archive from one of the disk.
fn copy(body: &mut dyn Read, file: &mut impl io::Write, path: &Path) -> Result<u64, ExtractError> {
    let mut buffer = vec![0; 1 << 16];
    let mut written = 0;
    loop {
        let read = match body.read(&mut buffer) {
            Ok(0) => return Ok(written),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ExtractError::reading(error)),
        };
        file.write_all(&buffer[..read]).map_err(|error| ExtractError::io("write", path, error))?;
        written += read as u64;
    }
}
