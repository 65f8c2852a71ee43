//! How the executor asks the agent's launcher for a sandbox. It travels on the launcher's standard input, one JSON value.

use serde::{Deserialize, Serialize};

/// One sandbox: what a job may see of the host, and where its own folders are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxConfig {
    /// [`crate::VERSION`].
    pub version: u32,
    /// The job folder on the host, absolute.
    pub job_folder: String,
    /// The attempt's secret, which the engine's `Hello` must carry.
    pub token: String,
    /// Root file system: the host's listed folders, or an unpacked image.
    pub root: SandboxRoot,
    /// Host folders bound read-only at the same path (`expose:` of the runner's configuration).
    pub expose: Vec<String>,
    /// Extra variables of the steps' base environment (`PATH`, `LANG`, proxy and certificate settings, …).
    pub environment: Vec<(String, String)>,
    /// Where workspace, home and temp are inside; they are `work`, `home`, `temp` of the job folder on the host.
    pub paths: crate::JobPaths,
    /// Isolation may be left out when the kernel refuses it, and for no other reason: false makes the launch fail then.
    pub allow_plain_process: bool,
}

/// What the job's `/` is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxRoot {
    /// `/usr`, `/bin`, `/sbin`, `/lib*` and a listed part of `/etc`, read-only.
    Host,
    /// An unpacked OCI root file system on the host; an overlay over it is the job's own.
    Folder {
        /// Absolute path.
        path: String,
    },
}

/// What the launcher prints on standard output, one JSON line, before it exits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Launch {
    /// The agent listens.
    Up {
        /// The agent's process id in the launcher's own pid namespace.
        pid: u32,
        /// Field 22 of `/proc/PID/stat`: together with the pid it names one process for ever.
        start_time: u64,
        /// Which namespaces are active: `user`, `mount`, `pid`, `ipc`, `uts`; empty for a plain process.
        isolation: Vec<String>,
    },
    /// The kernel refuses isolation to this user, and the job may not go without.
    Refused {
        /// One sentence.
        why: String,
    },
    /// It could not be made.
    Failed {
        /// One sentence.
        why: String,
    },
}
