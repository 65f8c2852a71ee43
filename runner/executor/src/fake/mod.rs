//! An executor whose agents follow scripts: for tests in which time or failure must be exact.
//!
//! The agents are tasks of this process, but the job folder, the socket and the spool are real, so an engine can be
//! dropped and another one can find the same agents, as with the real executors. Clones share their agents.

mod agent;
mod script;

use std::collections::{HashMap, VecDeque};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tagline_protocol::SOCKET;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use script::{Hold, Script};

use crate::error::ExecutorError;
use crate::folder::{AgentFile, JobFolder, Recorded};
use crate::launch::{Key, Launch};
use crate::{Found, Launched};

/// The executor's name in `agent.json`.
const NAME: &str = "fake";

/// Scripts of one job in order, and whether each was used.
type Queue = VecDeque<(Script, bool)>;

/// Scripted agents.
#[derive(Debug, Clone, Default)]
pub struct Fake {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    scripts: Mutex<HashMap<String, Queue>>,
    agents: Mutex<HashMap<PathBuf, JoinHandle<()>>>,
    launches: watch::Sender<Vec<Key>>,
    away: AtomicBool,
}

impl Fake {
    /// Every job succeeds at once until a script says otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    /// The script of a job, by its id. Several are used up one a launch, the last one for all that follow.
    pub fn script(&self, job: &str, script: Script) {
        let mut scripts = self.scripts();
        let queue = scripts.entry(job.to_owned()).or_default();
        queue.push_back((script, false));
    }

    /// What was launched so far, in order; agents that were up already do not count again.
    pub fn launches(&self) -> Vec<Key> {
        self.shared.launches.borrow().clone()
    }

    /// Waits until a job was launched this many times in all.
    pub async fn launched(&self, job: &str, times: usize) {
        let mut launches = self.shared.launches.subscribe();
        let count = |keys: &Vec<Key>| keys.iter().filter(|key| key.job == job).count();
        // The sender is part of this value: it cannot be gone.
        let _ = launches.wait_for(|keys| count(keys) >= times).await;
    }

    /// Takes the executor out of reach, as a daemon that is down is, or back. Its agents go on.
    pub fn set_away(&self, away: bool) {
        self.shared.away.store(away, Ordering::SeqCst);
    }

    fn reach(&self) -> Result<(), ExecutorError> {
        let away = self.shared.away.load(Ordering::SeqCst);
        if away { Err(ExecutorError::Fake("the fake is out of reach".to_owned())) } else { Ok(()) }
    }

    fn scripts(&self) -> MutexGuard<'_, HashMap<String, Queue>> {
        let lock = self.shared.scripts.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    fn agents(&self) -> MutexGuard<'_, HashMap<PathBuf, JoinHandle<()>>> {
        let lock = self.shared.agents.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    /// The first unused script, else the last one again.
    fn next_script(&self, job: &str) -> Script {
        let mut scripts = self.scripts();
        let Some(queue) = scripts.get_mut(job) else {
            return Script::new();
        };
        if queue.len() > 1 && queue.front().is_some_and(|(_, used)| *used) {
            queue.pop_front();
        }
        let next = queue.front_mut().map(|(script, used)| {
            *used = true;
            script.clone()
        });
        next.unwrap_or_default()
    }

    fn alive(&self, folder: &JobFolder) -> bool {
        let agents = self.agents();
        let agent = agents.get(folder.path());
        agent.is_some_and(|task| !task.is_finished())
    }

    pub(crate) fn launch(&self, launch: &Launch) -> Result<Launched, ExecutorError> {
        self.reach()?;
        launch.folder.create()?;
        let isolation = vec![NAME.to_owned()];
        if self.alive(&launch.folder) {
            let token = launch.folder.agent()?.map(|agent| agent.token);
            if token.as_deref() != Some(&launch.token) {
                let key = launch.key.clone();
                return Err(ExecutorError::Taken { key });
            }
            return Ok(Launched { isolation, new: false });
        }
        let script = self.next_script(&launch.key.job);
        self.note(&launch.key);
        if let Some(why) = script.refusal {
            return Err(ExecutorError::Fake(why));
        }
        launch.folder.forget_agent()?;
        let listener = listen(&launch.folder)?;
        launch.folder.write_agent(&AgentFile {
            version: AgentFile::VERSION,
            executor: NAME.to_owned(),
            token: launch.token.clone(),
            pid: 0,
            start_time: 0,
            container: None,
            isolation: isolation.clone(),
            user: None,
        })?;
        let task = agent::run(listener, launch.folder.clone(), launch.token.clone(), script);
        let task = tokio::spawn(task);
        self.agents().insert(launch.folder.path().to_owned(), task);
        Ok(Launched { isolation, new: true })
    }

    fn note(&self, key: &Key) {
        self.shared.launches.send_modify(|keys| keys.push(key.clone()));
    }

    pub(crate) fn find(&self, folder: &JobFolder) -> Result<Found, ExecutorError> {
        let alive = self.alive(folder);
        if folder.recorded()? == Recorded::Never && !alive {
            return Ok(Found::Never);
        }
        self.reach()?;
        Ok(if alive { Found::Alive } else { Found::Dead })
    }

    /// Its agents are tasks of this process.
    pub(crate) fn is_agent(process: u32) -> bool {
        process == std::process::id()
    }

    /// Ends an agent as `kill -9` does: no record, no farewell.
    pub async fn kill(&self, folder: &JobFolder) {
        let task = self.agents().remove(folder.path());
        if let Some(task) = task {
            task.abort();
            // Its end is all that matters.
            let _ = task.await;
        }
    }

    pub(crate) async fn clean(&self, folder: &JobFolder) -> Result<(), ExecutorError> {
        self.reach()?;
        self.kill(folder).await;
        Ok(folder.clean()?)
    }
}

/// Through the folder's handle: a test's folder may lie deep.
fn listen(folder: &JobFolder) -> Result<UnixListener, ExecutorError> {
    let handle = folder.handle()?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", handle.as_raw_fd());
    UnixListener::bind(path).map_err(|error| ExecutorError::Fake(error.to_string()))
}
