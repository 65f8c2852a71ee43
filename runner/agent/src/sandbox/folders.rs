//! The job's folders on the host, as the launcher makes them.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
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
