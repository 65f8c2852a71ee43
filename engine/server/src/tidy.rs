//! What an engine that was killed left half made: temporary files and folders, whose names begin with a dot.
//!
//! They are listed while the store is locked and its new engine has made none yet; what has those names then is nobody's.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tagline_store::StoreFolder;

use crate::source::trees;

/// A program that the killed engine had started may go on for a moment and write into what is removed.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// What is half made in a store.
pub(crate) fn leftovers(folder: &StoreFolder) -> Vec<PathBuf> {
    let cache = folder.cache();
    let places = [folder.blobs(), cache.join("source"), trees(&cache), cache];
    let entries = places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
    let hidden = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"."));
    hidden.map(|entry| entry.path()).collect()
}

/// The trees of runs that have ended.
pub(crate) fn old_trees(folder: &StoreFolder, active: &BTreeSet<u64>) -> Vec<PathBuf> {
    let entries = fs::read_dir(trees(&folder.cache())).into_iter().flatten().flatten();
    let run = |entry: &fs::DirEntry| entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
    entries.filter(|entry| run(entry).is_some_and(|run| !active.contains(&run))).map(|entry| entry.path()).collect()
}

/// Removes them; one that cannot be removed is left to the next engine.
pub(crate) async fn remove(leftovers: Vec<PathBuf>) {
    for path in leftovers {
        for tries in 1..=TRIES {
            match remove_one(&path) {
                Ok(()) => break,
                Err(_) if tries < TRIES => tokio::time::sleep(PAUSE).await,
                Err(error) => tracing::warn!(path = %path.display(), %error, "what is half made stays behind"),
            }
        }
    }
}

fn remove_one(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_half_made_goes_and_what_is_whole_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = StoreFolder::at(scratch.path());
        folder.create().unwrap();
        let half = [folder.cache().join("source/.source-x/tree"), folder.cache().join(".unpacking-y")];
        for path in &half {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(folder.blobs().join(".tmp-z"), "half").unwrap();
        let whole = folder.cache().join("source/whole.tar");
        fs::write(&whole, "whole").unwrap();
        let found = leftovers(&folder);
        assert_eq!(found.len(), 3, "{found:?}");
        remove(found).await;
        assert_eq!(leftovers(&folder), Vec::<PathBuf>::new());
        assert!(whole.exists());
    }
}
