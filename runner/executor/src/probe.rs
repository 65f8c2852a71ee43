//! What isolation this machine gives, for `doctor`: tried out, not guessed.

use std::fs;
use std::path::Path;

use crate::docker::Docker;
use crate::environment::Environment;
use crate::error::ExecutorError;
use crate::exposure::Exposure;
use crate::folder::JobFolder;
use crate::launch::{Key, Launch, Limits};
use crate::sandbox::{PlainProcess, Sandbox};

/// The namespaces a sandbox leaves, as the kernel names them and as they are shown.
const NAMESPACES: [(&str, &str); 5] =
    [("user", "user"), ("mnt", "mount"), ("pid", "pid"), ("ipc", "ipc"), ("uts", "uts")];

/// Settings of kernels and distributions that take namespaces from ordinary users: the file, the value that does, and
/// what to do about it.
const SWITCHES: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "the machine's owner can allow namespaces with `sysctl kernel.unprivileged_userns_clone=1`",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "the machine's owner can allow namespaces with `sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "the machine's owner can allow namespaces with `sysctl user.max_user_namespaces=10000`",
    ),
];

/// What an executor gives on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    /// `sandbox` or `docker`.
    pub runner: &'static str,
    /// What parts a job from the host: `user`, `mount`, `pid`, `ipc`, `uts`, or `container`. Empty with a problem: no
    /// job can run; empty without: jobs are plain processes.
    pub active: Vec<String>,
    /// What is there: the daemon's version.
    pub detail: String,
    /// Why it is not there, or not whole.
    pub problem: Option<String>,
    /// What would help, where that is known.
    pub help: Option<String>,
}

impl Isolation {
    fn there(runner: &'static str, active: Vec<String>, detail: String) -> Self {
        Self { runner, active, detail, problem: None, help: None }
    }

    /// Makes a sandbox with the agent at `agent_binary`, looks at it and ends it. It is what a job without an environment
    /// gets.
    pub async fn of_sandbox(agent_binary: &Path, plain: PlainProcess) -> Self {
        match try_sandbox(agent_binary, plain).await {
            Ok(active) if active.is_empty() => Self {
                help: help(|path| fs::read_to_string(path).ok()),
                ..Self::there("sandbox", active, String::new())
            },
            Ok(active) => Self::there("sandbox", active, String::new()),
            Err(error) => Self {
                runner: "sandbox",
                active: Vec::new(),
                detail: String::new(),
                problem: Some(error.to_string()),
                help: help(|path| fs::read_to_string(path).ok()),
            },
        }
    }

    /// Asks the container daemon.
    pub async fn of_docker() -> Self {
        let asked = async {
            let docker = Docker::connect(Environment::default(), None).await?;
            docker.version().await
        };
        match asked.await {
            Ok(version) => Self::there("docker", vec!["container".to_owned()], version),
            Err(error) => Self {
                runner: "docker",
                active: Vec::new(),
                detail: String::new(),
                problem: Some(error.to_string()),
                help: Some("start the daemon, name its socket in DOCKER_HOST, or use the sandbox".to_owned()),
            },
        }
    }
}

async fn try_sandbox(agent_binary: &Path, plain: PlainProcess) -> Result<Vec<String>, ExecutorError> {
    let place = tempfile::tempdir().map_err(|source| ExecutorError::Agent { path: std::env::temp_dir(), source })?;
    let sandbox = Sandbox::new(Environment::default(), place.path().join("images")).plain_process(plain);
    let launch = launch(place.path(), agent_binary);
    let launched = sandbox.launch(&launch).await;
    // Whatever came of it, nothing stays.
    let cleaned = Sandbox::clean(&launch.folder).await;
    let isolation = launched?.isolation;
    cleaned.map(|()| isolation)
}

fn launch(place: &Path, agent_binary: &Path) -> Launch {
    Launch {
        folder: JobFolder::new(place.join("job")),
        key: Key { run: 0, job: "doctor".to_owned(), leg: 0, attempt: 1 },
        token: "doctor".to_owned(),
        image: None,
        login: None,
        expose: Exposure::none(),
        environment: Vec::new(),
        agent_binary: agent_binary.to_owned(),
        paths: Sandbox::paths("doctor"),
        limits: Limits::default(),
        has_environment: false,
    }
}

/// The first switch that is against us.
fn help(read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let set = |(path, value, _): &&(&str, &str, &str)| read(path).is_some_and(|text| text.trim() == *value);
    SWITCHES.iter().find(set).map(|(_, _, help)| (*help).to_owned())
}

/// Which namespaces the process does not share with this one.
pub(crate) fn namespaces(pid: u32) -> Vec<String> {
    let link = |pid: &str, name: &str| fs::read_link(format!("/proc/{pid}/ns/{name}")).ok();
    let other = pid.to_string();
    // An agent is not dumpable, so it hides its namespaces from an ordinary user, but not how deep its own process
    // ids lie. A sandbox leaves all of them or none.
    let deeper = depth(&other) > depth("self");
    NAMESPACES
        .into_iter()
        .filter(|(name, _)| link(&other, name).map_or(deeper, |theirs| Some(theirs) != link("self", name)))
        .map(|(_, shown)| shown.to_owned())
        .collect()
}

/// In how many pid namespaces a process has a number; 0 where that is not known, which means no more than our own.
fn depth(pid: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    numbers.split_whitespace().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_that_takes_namespaces_away_is_named() {
        let with = |file: &'static str, value: &'static str| {
            help(move |path| (path == file).then(|| format!("{value}\n"))).unwrap_or_default()
        };
        assert!(with("/proc/sys/kernel/unprivileged_userns_clone", "0").contains("userns_clone=1"));
        assert!(with("/proc/sys/user/max_user_namespaces", "0").contains("max_user_namespaces"));
        assert_eq!(with("/proc/sys/user/max_user_namespaces", "100"), "");
    }

    #[test]
    fn what_hides_its_namespaces_is_not_in_ones_of_its_own_for_that() {
        // A process that is gone hides all there is.
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(namespaces(child.id()), Vec::<String>::new());
        assert_eq!(depth("self"), depth(&std::process::id().to_string()));
        assert!(depth("self") > 0);
    }

    #[test]
    fn a_process_shares_its_own_namespaces() {
        assert_eq!(namespaces(std::process::id()), Vec::<String>::new());
    }
}
