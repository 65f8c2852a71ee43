//! A folder of one test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Repo, Tagline};

/// A temporary folder with a short path (a socket's path has at most 108 bytes), removed with this value.
///
/// Others may pass through it, so that a command can run in it as another user.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// A new, empty folder.
    #[track_caller]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("tl").rand_bytes(5).tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("our own folder");
        Self { folder }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file or folder in it, which need not exist.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file and the folders above it; where it is.
    #[track_caller]
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let file = self.join(name);
        fs::create_dir_all(file.parent().expect("a file has a folder")).expect("folders in the scratch");
        fs::write(&file, content).expect("a file in the scratch");
        file
    }

    /// A new Git repository in the folder `name`, on branch `main`, with no commit.
    #[track_caller]
    pub fn repo(&self, name: &str) -> Repo {
        Repo::init(self.join(name), self.join("home"))
    }

    /// The `tagline` under test with home and store in this scratch, working in the scratch.
    #[track_caller]
    pub fn tagline(&self) -> Tagline {
        Tagline::new(self)
    }

    /// Gives everything in the scratch to a user.
    #[track_caller]
    pub fn give_to(&self, uid: u32) {
        give(self.path(), uid);
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

#[track_caller]
pub(crate) fn give(path: &Path, uid: u32) {
    std::os::unix::fs::lchown(path, Some(uid), Some(uid)).expect("only root gives files away");
    if path.is_symlink() || !path.is_dir() {
        return;
    }
    for entry in fs::read_dir(path).expect("a folder of the scratch") {
        give(&entry.expect("an entry of the scratch").path(), uid);
    }
}
