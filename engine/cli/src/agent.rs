//! The agent of every job, carried in this binary and put into the store once.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use flate2::read::DeflateDecoder;
use tagline_store::StoreFolder;

/// The static program, deflated: it is needed once a store, and is an eighth of this binary otherwise.
const DEFLATED: &[u8] = include_bytes!(env!("TAGLINE_AGENT"));
/// Its length, in bytes.
const LENGTH: &str = env!("TAGLINE_AGENT_LENGTH");
/// Its SHA-256, 64 hex digits.
const DIGEST: &str = env!("TAGLINE_AGENT_DIGEST");

/// The agent's path in the store: `agent/DIGEST/tagline-agent`. Written on first use; one of another length, mode or
/// owner is replaced. It is not read again at every start: it was synced before it got its name, nobody but the store's
/// owner reaches it, and nobody may write to it. The store's folder must be there.
pub(crate) fn extract(store: &StoreFolder) -> io::Result<PathBuf> {
    let folder = store.agents().join(DIGEST);
    let path = folder.join("tagline-agent");
    if fs::symlink_metadata(&path).is_ok_and(|found| is_ours(&found)) {
        return Ok(path);
    }
    fs::create_dir_all(&folder)?;
    // A name of its own for each writer: two engines may begin at once.
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    io::copy(&mut DeflateDecoder::new(DEFLATED), &mut file)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o555))?;
    file.as_file().sync_all()?;
    // Closed before it has its name: who executes a file that somebody has open for writing is refused.
    file.into_temp_path().persist(&path)?;
    fs::File::open(&folder)?.sync_all()?;
    Ok(path)
}

fn is_ours(found: &fs::Metadata) -> bool {
    found.is_file()
        && LENGTH.parse() == Ok(found.len())
        && found.permissions().mode() & 0o777 == 0o555
        && found.uid() == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn it_is_written_once_and_mended_when_it_is_not_what_it_was() {
        let scratch = tempfile::tempdir().unwrap();
        let store = StoreFolder::at(scratch.path().join("store"));
        store.create().unwrap();
        let path = extract(&store).unwrap();
        assert_eq!(hex::encode(Sha256::digest(fs::read(&path).unwrap())), DIGEST);
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(fs::metadata(extract(&store).unwrap()).unwrap().modified().unwrap(), written);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "something else").unwrap();
        assert_eq!(hex::encode(Sha256::digest(fs::read(extract(&store).unwrap()).unwrap())), DIGEST);
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file is left");
    }

    #[test]
    fn it_is_a_static_program() {
        let mut bytes = Vec::new();
        io::copy(&mut DeflateDecoder::new(DEFLATED), &mut bytes).unwrap();
        assert!(bytes.starts_with(b"\x7fELF"), "an ELF file");
        // A dynamic program names its loader.
        assert!(!bytes.windows(15).any(|w| w == b"/ld-linux-x86-6"), "it needs no loader");
    }
}
