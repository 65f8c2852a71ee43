//! Who is who inside: the agent, and the user the steps run as.

use std::fs;
use std::io;

use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use tagline_protocol::StepUser;

/// The steps' user inside a sandbox, GitHub's own numbers for `runner`.
pub const STEP: StepUser = StepUser { uid: 1001, gid: 1001 };

/// The steps' user on the host when root started the sandbox: beyond the ids Debian and systemd give out, and below
/// 65,536, so that it exists in a container's own user namespace too.
pub(super) const STEP_ON_HOST: StepUser = StepUser { uid: 61_101, gid: 61_101 };

/// Whether this process may map more than its own user.
pub(super) fn is_root() -> bool {
    geteuid().is_root()
}

/// Maps users and groups of process `pid`, which has just left its user namespace. Root maps itself to root, for the
/// agent, and [`STEP`] to an unprivileged id; anyone else maps only themselves, to [`STEP`].
pub(super) fn map(pid: u32) -> io::Result<()> {
    let (users, groups) = if is_root() {
        (
            format!("0 0 1\n{} {} 1\n", STEP.uid, STEP_ON_HOST.uid),
            format!("0 0 1\n{} {} 1\n", STEP.gid, STEP_ON_HOST.gid),
        )
    } else {
        // The kernel lets an unprivileged process map its group only when groups can no longer be dropped.
        fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
        (format!("{} {} 1\n", STEP.uid, geteuid().as_raw()), format!("{} {} 1\n", STEP.gid, getegid().as_raw()))
    };
    fs::write(format!("/proc/{pid}/uid_map"), users)?;
    fs::write(format!("/proc/{pid}/gid_map"), groups)
}

/// Makes this process's capabilities survive the start of the agent when its user is not root inside.
pub(super) fn keep_capabilities() -> rustix::io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.inheritable = sets.permitted;
    set_capabilities(None, sets)?;
    for capability in sets.permitted.iter() {
        // A kernel older than this program's headers does not know the newest capabilities.
        let _ = rustix::thread::configure_capability_in_ambient_set(capability, true);
    }
    Ok(())
}

/// Ends what [`keep_capabilities`] began, so that no step inherits a capability, and gives up those the agent does
/// not need: it kills, changes user, and reads and hands over the job's own files.
pub(super) fn drop_capabilities() -> rustix::io::Result<()> {
    rustix::thread::clear_ambient_capability_set()?;
    let kept = CapabilitySet::KILL
        | CapabilitySet::SETUID
        | CapabilitySet::SETGID
        | CapabilitySet::CHOWN
        | CapabilitySet::FOWNER
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::DAC_READ_SEARCH;
    let now = capabilities(None)?;
    for capability in (now.permitted - kept).iter() {
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    set_capabilities(
        None,
        CapabilitySets {
            effective: now.effective & kept,
            permitted: now.permitted & kept,
            inheritable: CapabilitySet::empty(),
        },
    )
}
