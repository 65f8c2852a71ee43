//! The folder of one attempt of one job on the host.
//!
//! Invariants: owner-only, so nobody else reaches the control socket or the spool; `agent.json` is replaced whole or
//! not at all; what steps may have put here is never followed or waited for (see [`crate::Inside`]); cleaning leaves the
//! spool, which is the job's permanent log, and nothing else.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use tagline_protocol::{AGENT_FILE, INBOX, OUTBOX, SOCKET, SPOOL, StepUser};

use crate::inside::Inside;
use crate::remove;

/// Folders of agent and engine.
const OWN: [&str; 2] = [INBOX, OUTBOX];
/// Folders of the steps.
const STEPS: [&str; 3] = ["work", "home", "temp"];
/// What the launcher and a dying agent say outside the protocol; locked while a launch is under way.
const LAUNCH_LOG: &str = "launch.log";

/// Nobody but the engine and its agent write a longer `agent.json`.
const LONGEST_AGENT: u64 = 64 * 1024;

/// How often a lock is asked for.
const POLL: Duration = Duration::from_millis(10);

/// A job folder could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The file system refuses.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `agent.json` is not of this version, or damaged.
    #[error("{path} is not understood: {source}; it may be from another version of Tagline", path = path.display())]
    AgentFile {
        /// Where.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// Which process or container the agent of a job folder is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFile {
    /// Of this file's format: 1.
    pub version: u32,
    /// `sandbox`, `docker` or `fake`.
    pub executor: String,
    /// The attempt's secret.
    pub token: String,
    /// The agent's process id on this host; 0 where only the container is known.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`, so that a reused process id is not mistaken for the agent.
    pub start_time: u64,
    /// The container's id, for Docker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Active namespaces, for the sandbox; empty is a plain process.
    #[serde(default)]
    pub isolation: Vec<String>,
    /// Who the steps run as, for Docker; none is the agent's own user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<StepUser>,
}

/// What `agent.json` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It is not there.
    Never,
    /// It is empty or torn, as a power cut leaves a file: the agent it named is dead.
    Damaged,
    /// This agent.
    Agent(AgentFile),
}

impl AgentFile {
    /// The format written.
    pub const VERSION: u32 = 1;
}

/// A job folder, there or not yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JobFolder {
    path: PathBuf,
}

impl JobFolder {
    /// The folder at an absolute path; nothing is touched.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log of records.
    pub fn spool(&self) -> PathBuf {
        self.path.join(SPOOL)
    }

    /// The agent's control socket.
    pub fn socket(&self) -> PathBuf {
        self.path.join(SOCKET)
    }

    /// Opens it for what goes in and out beside its steps: the only way to inbox and outbox.
    pub fn open(&self) -> Result<Inside, FolderError> {
        Inside::open(&self.path).map_err(|source| io_error("open", &self.path, source))
    }

    /// The workspace.
    pub fn work(&self) -> PathBuf {
        self.path.join("work")
    }

    /// The steps' home.
    pub fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    /// The steps' `RUNNER_TEMP`.
    pub fn temp(&self) -> PathBuf {
        self.path.join("temp")
    }

    /// Makes what is missing, owner-only. The sandbox's launcher gives the steps' folders to the steps' user.
    pub fn create(&self) -> Result<(), FolderError> {
        if let Some(parent) = self.path.parent() {
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(parent);
            made.map_err(|source| io_error("create", parent, source))?;
        }
        make(&self.path, 0o700)?;
        for name in OWN {
            make(&self.path.join(name), 0o700)?;
        }
        for name in STEPS {
            make(&self.path.join(name), 0o755)?;
        }
        // The spool is the engine's own, also where an agent with another user writes it.
        self.open_spool()?;
        Ok(())
    }

    /// Gives the steps' folders to the steps' user.
    pub(crate) fn give_to(&self, user: StepUser) -> Result<(), FolderError> {
        for name in STEPS {
            let path = self.path.join(name);
            let given = lchown(&path, Some(user.uid), Some(user.gid));
            given.map_err(|source| io_error("give away", &path, source))?;
        }
        Ok(())
    }

    fn open_spool(&self) -> Result<File, FolderError> {
        self.open()?.log(SPOOL).map_err(|source| io_error("open", &self.spool(), source))
    }

    /// What `agent.json` says; none when no agent was ever recorded.
    pub fn agent(&self) -> Result<Option<AgentFile>, FolderError> {
        let path = self.path.join(AGENT_FILE);
        let text = match self.read_agent() {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io_error("read", &path, source)),
        };
        let file = serde_json::from_slice(&text);
        file.map(Some).map_err(|source| FolderError::AgentFile { path, source })
    }

    fn read_agent(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let file = Inside::open(&self.path)?.file(AGENT_FILE, OFlags::RDONLY)?;
        file.take(LONGEST_AGENT).read_to_end(&mut text)?;
        Ok(text)
    }

    /// What is known of the folder's agent. A file of another version is an error: its agent may live.
    pub(crate) fn recorded(&self) -> Result<Recorded, FolderError> {
        match self.agent() {
            Ok(None) => Ok(Recorded::Never),
            Ok(Some(agent)) => Ok(Recorded::Agent(agent)),
            Err(FolderError::AgentFile { source, .. }) if !source.is_data() => Ok(Recorded::Damaged),
            Err(error) => Err(error),
        }
    }

    /// Replaces `agent.json`, owner-only: it holds the token. It is on disk when this returns, so that a job that ran is
    /// not taken for one that never did.
    pub fn write_agent(&self, agent: &AgentFile) -> Result<(), FolderError> {
        let path = self.path.join(AGENT_FILE);
        let wrap = |source| io_error("write", &path, source);
        let text = serde_json::to_vec(agent).expect("an agent file is plain data");
        let mut file = tempfile::NamedTempFile::new_in(&self.path).map_err(wrap)?;
        file.write_all(&text).map_err(wrap)?;
        file.as_file().sync_all().map_err(wrap)?;
        file.persist(&path).map_err(|error| wrap(error.error))?;
        File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(wrap)
    }

    /// Before another agent starts here: removes what the dead one left beside the spool, and cuts off a last line it
    /// did not finish, so that the next agent's first record stands on a line of its own.
    pub(crate) fn forget_agent(&self) -> Result<(), FolderError> {
        for path in [self.socket(), self.path.join(AGENT_FILE)] {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("remove", &path, source));
                }
                _ => {}
            }
        }
        let path = self.spool();
        let mut file = self.open_spool()?;
        let whole = whole_lines(&mut file).map_err(|source| io_error("read", &path, source))?;
        file.set_len(whole).map_err(|source| io_error("shorten", &path, source))
    }

    /// The folder itself, to reach its socket by a short path however deep it lies.
    pub(crate) fn handle(&self) -> Result<OwnedFd, FolderError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&self.path, flags, Mode::empty());
        opened.map_err(|error| io_error("open", &self.path, error.into()))
    }

    /// The file for what a launcher says outside the protocol.
    pub(crate) fn launch_log(&self) -> Result<File, FolderError> {
        self.open()?.log(LAUNCH_LOG).map_err(|source| io_error("open", &self.path.join(LAUNCH_LOG), source))
    }

    /// Locks the folder against another launch until the file is dropped, also by this process's death. Where the file
    /// system has no locks there is none.
    pub(crate) async fn lock(&self) -> Result<File, FolderError> {
        let file = self.launch_log()?;
        while let Err(TryLockError::WouldBlock) = file.try_lock() {
            tokio::time::sleep(POLL).await;
        }
        Ok(file)
    }

    /// Removes everything but the spool. The job's processes must be gone.
    pub fn clean(&self) -> Result<(), FolderError> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(io_error("read", &self.path, source)),
        };
        for entry in entries {
            let entry = entry.map_err(|source| io_error("read", &self.path, source))?;
            if entry.file_name() == SPOOL {
                continue;
            }
            let path = entry.path();
            remove::tree(&path).map_err(|source| io_error("remove", &path, source))?;
        }
        Ok(())
    }
}

fn make(path: &Path, mode: u32) -> Result<(), FolderError> {
    match DirBuilder::new().mode(mode).create(path) {
        // The umask may have taken bits the steps need.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(|source| io_error("set the permissions of", path, source)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(io_error("create", path, source)),
    }
}

/// Bytes up to and with the last line end.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    const BLOCK: u64 = 64 * 1024;
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.take(end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> FolderError {
    FolderError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, JobFolder) {
        let place = tempfile::tempdir().unwrap();
        let folder = JobFolder::new(place.path().join("runs/1/build/1"));
        folder.create().unwrap();
        (place, folder)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn agent() -> AgentFile {
        AgentFile {
            version: AgentFile::VERSION,
            executor: "sandbox".into(),
            token: "secret".into(),
            pid: 7,
            start_time: 9,
            container: None,
            isolation: vec!["user".into()],
            user: None,
        }
    }

    #[test]
    fn a_new_folder_is_the_owners_alone() {
        let (_place, folder) = folder();
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(folder.path().parent().unwrap()), 0o700);
        assert_eq!(mode(&folder.path().join(INBOX)), 0o700);
        assert_eq!(mode(&folder.spool()), 0o600);
        folder.create().unwrap();
    }

    #[test]
    fn the_agent_file_comes_back_as_written_and_is_private() {
        let (_place, folder) = folder();
        assert_eq!(folder.agent().unwrap(), None);
        folder.write_agent(&agent()).unwrap();
        assert_eq!(folder.agent().unwrap(), Some(agent()));
        assert_eq!(mode(&folder.path().join(AGENT_FILE)), 0o600);
    }

    #[test]
    fn a_damaged_agent_file_is_named() {
        let (_place, folder) = folder();
        fs::write(folder.path().join(AGENT_FILE), "{").unwrap();
        let error = folder.agent().unwrap_err().to_string();
        assert!(error.contains("agent.json is not understood"), "{error}");
    }

    #[test]
    fn a_torn_agent_file_is_a_dead_agents_and_one_of_another_version_is_refused() {
        let (_place, folder) = folder();
        assert_eq!(folder.recorded().unwrap(), Recorded::Never);
        for torn in ["", "{", "\0\0\0\0", "{\"version\":1,\"exec"] {
            fs::write(folder.path().join(AGENT_FILE), torn).unwrap();
            assert_eq!(folder.recorded().unwrap(), Recorded::Damaged, "{torn:?}");
        }
        fs::write(folder.path().join(AGENT_FILE), r#"{"version":9,"agent":"elsewhere"}"#).unwrap();
        assert!(matches!(folder.recorded(), Err(FolderError::AgentFile { .. })));
        folder.write_agent(&agent()).unwrap();
        assert_eq!(folder.recorded().unwrap(), Recorded::Agent(agent()));
    }

    #[test]
    fn forgetting_an_agent_cuts_a_torn_line_and_no_whole_one() {
        let (_place, folder) = folder();
        let long = "x".repeat(100_000);
        fs::write(folder.spool(), format!("one\ntwo\n{long}")).unwrap();
        folder.write_agent(&agent()).unwrap();
        folder.forget_agent().unwrap();
        assert_eq!(fs::read_to_string(folder.spool()).unwrap(), "one\ntwo\n");
        assert_eq!(folder.agent().unwrap(), None);
        fs::write(folder.spool(), &long).unwrap();
        folder.forget_agent().unwrap();
        assert_eq!(fs::read_to_string(folder.spool()).unwrap(), "");
    }

    #[test]
    fn cleaning_leaves_the_spool_alone_and_can_be_repeated() {
        let (_place, folder) = folder();
        fs::write(folder.spool(), "line\n").unwrap();
        let locked = folder.work().join("cache/module");
        fs::create_dir_all(&locked).unwrap();
        fs::write(locked.join("file"), "x").unwrap();
        fs::set_permissions(&locked, Permissions::from_mode(0o000)).unwrap();
        folder.clean().unwrap();
        folder.clean().unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(fs::read_to_string(folder.spool()).unwrap(), "line\n");
    }
}
