//! Starting the components: each in a session and in the cluster's cgroup, its output in `logs/NAME.log`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::home::Home;
use super::state::{Process, State};
use super::{cgroup, network};
use crate::shell;

/// Writes its own id into the cgroup, then becomes the component.
const JOIN: &str = r#"echo $$ > "$0" && exec "$@""#;

/// How long a component has to become its own program.
const BECOME: Duration = Duration::from_secs(10);

/// A program of the cluster and how it is started.
pub(super) struct Component {
    /// Its name in the state and the log.
    pub(super) name: &'static str,
    /// The program.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) args: Vec<String>,
    /// Put before the program; each must become the next by `exec`.
    pub(super) before: Vec<String>,
}

impl Component {
    /// A component with no arguments yet.
    pub(super) fn new(name: &'static str, program: impl Into<PathBuf>) -> Self {
        Self { name, program: program.into(), args: Vec::new(), before: Vec::new() }
    }

    /// Adds one argument.
    pub(super) fn arg(mut self, text: impl Into<String>) -> Self {
        self.args.push(text.into());
        self
    }

    /// Adds `--key=value`.
    pub(super) fn flag(self, key: &str, value: impl std::fmt::Display) -> Self {
        self.arg(format!("--{key}={value}"))
    }

    /// Adds `--key=file`.
    pub(super) fn file(self, key: &str, file: &Path) -> Self {
        self.flag(key, file.display())
    }

    /// Runs it in the mount namespace of that process.
    pub(super) fn inside(mut self, pid: u32) -> Self {
        self.before.extend(["nsenter".to_owned(), format!("--mount=/proc/{pid}/ns/mnt"), "--".to_owned()]);
        self
    }

    /// Starts it unless it runs; whether it was started. Its process is noted in the state.
    pub(super) fn start(self, home: &Home, state: &mut State) -> Result<bool> {
        if running(state, self.name) {
            return Ok(false);
        }
        let tasks = cgroup::make()?;
        let temporary = home.run("tmp");
        std::fs::create_dir_all(&temporary)?;
        std::fs::create_dir_all(home.logs())?;
        let log = home.logs().join(format!("{}.log", self.name));
        if log.exists() {
            std::fs::rename(&log, log.with_extension("log.before"))?;
        }
        let mut command = Command::new("sh");
        command.args(["-c", JOIN]).arg(tasks).args(&self.before).arg(&self.program).args(&self.args);
        command.env("TMPDIR", temporary).env("HOME", home.run("home")).env("NO_PROXY", no_proxy());
        let pid = shell::daemon(&mut command, &log)?;
        let program = self.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Until the last `exec` it has another name.
        let became = shell::wait(BECOME, || shell::runs(pid, &program) || !shell::alive(pid));
        state.processes.insert(self.name.to_owned(), Process { pid, program });
        state.save(home)?;
        ensure!(became && running(state, self.name), "it did not start; see {}", log.display());
        Ok(true)
    }
}

/// What no proxy is asked for, should the environment name one.
fn no_proxy() -> String {
    format!("127.0.0.1,localhost,{},{}", network::PODS, network::SERVICES)
}

/// Whether the component runs.
pub(super) fn running(state: &State, name: &str) -> bool {
    state.processes.get(name).is_some_and(|process| shell::runs(process.pid, &process.program))
}

/// The components that were started and have ended.
pub(super) fn ended(state: &State) -> Vec<&str> {
    state.processes.keys().map(String::as_str).filter(|name| !running(state, name)).collect()
}
