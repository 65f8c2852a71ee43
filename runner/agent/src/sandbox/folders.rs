//! The job's folders on the host, as the launcher makes them.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;

use super::ids::{self, STEP_ON_HOST};

/// Folders the steps own.
const STEPS: [&str; 3] = ["work", "home", "temp"];
/// Folders of agent and engine, and the place the new root is mounted at.
const OWN: [&str; 4] = [tagline_protocol::INBOX, tagline_protocol::OUTBOX, "root", "overlay"];

/// Makes what is missing in the job folder. Started as root, the steps' folders go to the steps' user on the host.
pub(super) fn prepare(job: &Path) -> io::Result<()> {
    for name in OWN {
        make(&job.join(name), 0o700)?;
    }
    for name in STEPS {
        make(&job.join(name), 0o755)?;
        own(&job.join(name))?;
    }
    let tmp = job.join("tmp");
    make(&tmp, 0o1777)?;
    // The mode given to mkdir loses the bits of the umask.
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777))
}

/// Whether the steps can get to their folders where nothing is mounted for them. Started as root they are another user,
/// who must be let through every folder above; a store is for its owner only.
pub(super) fn steps_reach(job: &Path) -> Result<(), String> {
    if !ids::is_root() {
        return Ok(());
    }
    let is_closed = |folder: &&Path| !fs::metadata(folder).is_ok_and(|meta| lets_steps_through(&meta));
    // The outermost says most: mostly it is the home or the store.
    match job.ancestors().filter(is_closed).last() {
        None => Ok(()),
        Some(folder) => Err(format!(
            "its steps are user {}, who may not enter {}; start Tagline as an ordinary user, or use the docker runner",
            STEP_ON_HOST.uid,
            folder.display()
        )),
    }
}

fn lets_steps_through(meta: &fs::Metadata) -> bool {
    let bit = match (meta.uid() == STEP_ON_HOST.uid, meta.gid() == STEP_ON_HOST.gid) {
        (true, _) => 0o100,
        (false, true) => 0o010,
        (false, false) => 0o001,
    };
    meta.mode() & bit != 0
}

fn make(path: &Path, mode: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn own(path: &Path) -> io::Result<()> {
    if ids::is_root() {
        chown(path, Some(STEP_ON_HOST.uid), Some(STEP_ON_HOST.gid))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_another_user_are_not_let_through_a_store() {
        let store = tempfile::tempdir().unwrap();
        fs::set_permissions(store.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let job = store.path().join("job");
        fs::DirBuilder::new().mode(0o711).create(&job).unwrap();
        let passes = |path: &Path| lets_steps_through(&fs::metadata(path).unwrap());
        assert!(!passes(store.path()) && passes(&job));
        if ids::is_root() {
            let why = steps_reach(&job).unwrap_err();
            assert!(why.contains(store.path().to_str().unwrap()) && why.contains("ordinary user"), "{why}");
            fs::set_permissions(store.path(), fs::Permissions::from_mode(0o711)).unwrap();
        }
        assert_eq!(steps_reach(&job), Ok(()));
    }
}
