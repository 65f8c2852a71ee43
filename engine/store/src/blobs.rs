//! Content-addressed files: `blobs/sha256/ab/cdef…`.
//!
//! A blob is whole or absent: written to a temporary file, hashed, synced, renamed, and its folder synced. Its name is
//! its digest, so writing it twice is as good as once. What is read is hashed again.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::StoreError;

/// The blobs of a store.
#[derive(Debug, Clone)]
pub struct Blobs {
    root: PathBuf,
}

impl Blobs {
    /// Blobs below a folder, which exists.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Stores what a reader gives. Returns the digest, `sha256:` and 64 hex digits, and the size in bytes.
    pub fn put(&self, mut from: impl Read) -> Result<(String, u64), StoreError> {
        let mut temporary = tempfile::Builder::new()
            .prefix(".tmp-")
            .tempfile_in(&self.root)
            .map_err(StoreError::io("create", &self.root))?;
        let place = temporary.path().to_owned();
        let mut hasher = Sha256::new();
        let mut size = 0;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StoreError::io("read for", &place)(error)),
            };
            hasher.update(&buffer[..read]);
            temporary.write_all(&buffer[..read]).map_err(StoreError::io("write", &place))?;
            size += read as u64;
        }
        let digest = format!("sha256:{}", hex::encode(hasher.finalize()));
        let path = self.path(&digest)?;
        if !path.exists() {
            self.settle(temporary, &path)?;
        }
        // Also where it was there: who put it there may have been killed before this.
        self.sync_folders(&path)?;
        Ok((digest, size))
    }

    /// The file of a blob, without looking whether it is there.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the digest is none.
    pub fn path(&self, digest: &str) -> Result<PathBuf, StoreError> {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(StoreError::Damaged { what: format!("digest `{digest}`"), why: "it is no SHA-256".to_owned() });
        }
        Ok(self.root.join("sha256").join(&hex[..2]).join(&hex[2..]))
    }

    /// Hashes a blob again.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is missing or its bytes are others.
    pub fn verify(&self, digest: &str) -> Result<u64, StoreError> {
        self.copy_to(digest, io::sink())
    }

    /// Hashes every blob that is here again. Returns the digests of those whose bytes are others.
    pub fn verify_all(&self) -> Result<Vec<String>, StoreError> {
        let mut damaged = Vec::new();
        for folder in entries(&self.root.join("sha256"))? {
            for blob in entries(&folder)? {
                let digest = format!("sha256:{}{}", name_of(&folder), name_of(&blob));
                match self.verify(&digest) {
                    Err(StoreError::Damaged { .. }) => damaged.push(digest),
                    checked => drop(checked?),
                }
            }
        }
        Ok(damaged)
    }

    /// Copies a blob to a writer, hashing on the way. What was written is only to be used when this returns its size.
    pub fn copy_to(&self, digest: &str, mut to: impl Write) -> Result<u64, StoreError> {
        let path = self.path(digest)?;
        let damaged = |why: String| StoreError::Damaged { what: format!("blob {digest}"), why };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged("it is missing".to_owned())),
            Err(error) => return Err(StoreError::io("open", &path)(error)),
        };
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 256 * 1024];
        let mut size = 0;
        loop {
            let read = file.read(&mut buffer).map_err(StoreError::io("read", &path))?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            to.write_all(&buffer[..read]).map_err(StoreError::io("copy", &path))?;
            size += read as u64;
        }
        let found = format!("sha256:{}", hex::encode(hasher.finalize()));
        if found == digest { Ok(size) } else { Err(damaged(format!("its bytes have {found}"))) }
    }

    fn settle(&self, temporary: tempfile::NamedTempFile, path: &Path) -> Result<(), StoreError> {
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
        let file = temporary.as_file();
        file.set_permissions(fs::Permissions::from_mode(0o400)).map_err(StoreError::io("restrict", path))?;
        file.sync_all().map_err(StoreError::io("sync", path))?;
        temporary.persist(path).map_err(|error| StoreError::io("rename", path)(error.error))?;
        Ok(())
    }

    /// The name must survive a power cut as well as the bytes: every folder that may be new is synced.
    fn sync_folders(&self, path: &Path) -> Result<(), StoreError> {
        let folder = path.parent().unwrap_or(&self.root);
        for folder in [folder, &self.root.join("sha256"), &self.root] {
            File::open(folder).and_then(|f| f.sync_all()).map_err(StoreError::io("sync", folder))?;
        }
        Ok(())
    }
}

/// What is in a folder; nothing where it is not there.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let read = match fs::read_dir(folder) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("read", folder)(error)),
    };
    let paths: io::Result<Vec<PathBuf>> = read.map(|entry| Ok(entry?.path())).collect();
    paths.map_err(StoreError::io("read", folder))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};

    use super::*;

    #[test]
    fn putting_a_blob_again_syncs_its_folder_again() {
        let place = tempfile::tempdir().unwrap();
        let blobs = Blobs::at(place.path());
        let (digest, _) = blobs.put(&b"x"[..]).unwrap();
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        let folder = blobs.path(&digest).unwrap().parent().unwrap().to_owned();
        inotify::add_watch(&watch, &folder, WatchFlags::OPEN).unwrap();
        blobs.put(&b"x"[..]).unwrap();
        // Nothing but a sync opens the folder.
        let mut buffer = [MaybeUninit::uninit(); 1024];
        assert!(Reader::new(&watch, &mut buffer).next().is_ok());
    }
}
