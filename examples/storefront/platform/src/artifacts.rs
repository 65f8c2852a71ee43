//! Released binaries, kept under their SHA-256: written beside, synced, then renamed into place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::fault::Fault;

/// Bytes of one artifact, and number of them, at most.
const SIZE_LIMIT: u64 = 64 * 1024 * 1024;
const COUNT_LIMIT: usize = 64;

/// The folder of artifacts.
pub(crate) struct Artifacts {
    folder: PathBuf,
    next: AtomicU64,
}

impl Artifacts {
    /// Opens the folder; what an interrupted upload left is removed.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().ends_with(b".part") {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { folder, next: AtomicU64::new(0) })
    }

    /// Keeps `length` bytes of `body` as `hex`; false where they were kept already.
    pub(crate) fn put(&self, hex: &str, body: &mut dyn Read, length: u64) -> Result<bool, Fault> {
        if length > SIZE_LIMIT {
            return Err(Fault::new(413, format_args!("an artifact of {length} bytes; {SIZE_LIMIT} are the limit")));
        }
        let failed = |error: io::Error| Fault::internal("the artifact was not kept", error);
        let place = self.folder.join(hex);
        if place.exists() {
            return Ok(false);
        }
        if fs::read_dir(&self.folder).map_err(failed)?.count() >= COUNT_LIMIT {
            let folder = self.folder.display();
            return Err(Fault::new(
                507,
                format_args!("{COUNT_LIMIT} artifacts are kept; remove old ones from {folder}"),
            ));
        }
        let part = self.folder.join(format!("{hex}.{}.part", self.next.fetch_add(1, Ordering::Relaxed)));
        let kept = receive(&part, hex, body, length).and_then(|()| {
            fs::rename(&part, &place).and_then(|()| File::open(&self.folder)?.sync_all()).map_err(failed)
        });
        if kept.is_err() {
            // It may never have been made; the next start removes it otherwise.
            drop(fs::remove_file(&part));
        }
        kept.map(|()| true)
    }

    /// The path of a kept artifact whose bytes are still those of its digest.
    pub(crate) fn get(&self, hex: &str) -> Result<PathBuf, Fault> {
        let place = self.folder.join(hex);
        let missing = |_| Fault::new(404, format_args!("artifact sha256:{hex} was not pushed"));
        let mut file = File::open(&place).map_err(missing)?;
        let mut hash = Hash(Sha256::new());
        io::copy(&mut file, &mut hash).map_err(|error| Fault::internal("the artifact cannot be read", error))?;
        if hash.hex() != hex {
            let damaged = format!("{} is damaged: remove it and push it again", place.display());
            return Err(Fault::new(500, damaged));
        }
        Ok(place)
    }
}

fn receive(part: &Path, hex: &str, body: &mut dyn Read, length: u64) -> Result<(), Fault> {
    let failed = |error: io::Error| Fault::internal("the artifact was not received", error);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part).map_err(failed)?;
    let mut hash = Hash(Sha256::new());
    let mut buffer = vec![0; 64 * 1024];
    let mut received = 0;
    loop {
        let count = body.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            break;
        }
        received += count as u64;
        hash.0.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(failed)?;
    }
    let got = hash.hex();
    if received != length || got != hex {
        return Err(Fault::new(422, format_args!("{received} bytes with sha256:{got} came, not sha256:{hex}")));
    }
    file.set_permissions(PermissionsExt::from_mode(0o500)).and_then(|()| file.sync_all()).map_err(failed)
}

struct Hash(Sha256);

impl Hash {
    fn hex(self) -> String {
        hex::encode(self.0.finalize())
    }
}

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
