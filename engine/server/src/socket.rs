//! Unix sockets at paths of any length: the kernel takes 107 bytes, so a longer path goes through its open folder.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// `sun_path` less its closing zero.
const LONGEST: usize = 107;

/// Listens at a path.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    let (_folder, short) = shortened(path)?;
    UnixListener::bind(short)
}

/// Connects to a path.
pub(crate) async fn connect(path: &Path) -> io::Result<UnixStream> {
    let (_folder, short) = shortened(path)?;
    UnixStream::connect(short).await
}

/// A path of the same file that is short enough, and the open folder it is good as long as.
fn shortened(path: &Path) -> io::Result<(Option<File>, PathBuf)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok((None, path.to_owned())) };
    if path.as_os_str().len() <= LONGEST {
        return Ok((None, path.to_owned()));
    }
    let folder = File::open(folder)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok((Some(folder), short))
}
