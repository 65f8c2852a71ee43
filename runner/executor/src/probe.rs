//! What isolation this machine gives, for `doctor`.

use std::fs;

/// The namespaces a sandbox leaves, as the kernel names them and as they are shown.
const NAMESPACES: [(&str, &str); 5] =
    [("user", "user"), ("mnt", "mount"), ("pid", "pid"), ("ipc", "ipc"), ("uts", "uts")];

/// Which namespaces the process does not share with this one.
pub(crate) fn namespaces(pid: u32) -> Vec<String> {
    let link = |pid: &str, name: &str| fs::read_link(format!("/proc/{pid}/ns/{name}")).ok();
    let other = pid.to_string();
    NAMESPACES
        .into_iter()
        .filter(|(name, _)| {
            let theirs = link(&other, name);
            // A process of another user hides its namespaces; then it is in ones of its own.
            theirs.is_none() || theirs != link("self", name)
        })
        .map(|(_, shown)| shown.to_owned())
        .collect()
}
