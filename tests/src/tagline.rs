//! Running the `tagline` under test, shut off from the machine it runs on.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::{Background, LIMIT, Outcome, Scratch, Terminal, binary};

/// What of the caller's environment a command sees.
const PASSED: [&str; 5] = ["PATH", "DOCKER_HOST", "RUST_BACKTRACE", "TMPDIR", "CARGO_HOME"];

/// A `tagline` to be run, any number of times, with one home and one store.
#[derive(Clone, Debug)]
pub struct Tagline {
    program: PathBuf,
    home: PathBuf,
    folder: PathBuf,
    uid: Option<u32>,
    limit: Duration,
    environment: Vec<(String, String)>,
}

impl Tagline {
    pub(crate) fn new(scratch: &Scratch) -> Self {
        let home = scratch.join("home");
        std::fs::create_dir_all(&home).expect("a folder in the scratch");
        Self {
            program: binary(),
            home,
            folder: scratch.path().to_path_buf(),
            uid: None,
            limit: LIMIT,
            environment: Vec::new(),
        }
    }

    /// Works in this folder.
    pub fn dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = folder.as_ref().to_path_buf();
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets how long a command may take before the test fails.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs as user and group 1000, without further groups; gives the whole scratch to them, so set it up before.
    ///
    /// Only root can; see [`crate::gate::require_root`].
    #[track_caller]
    pub fn as_uid_1000(mut self, scratch: &Scratch) -> Self {
        // The build's own folder may lie in a home that others cannot enter.
        let copy = scratch.join("tagline-uid-1000");
        if !copy.exists() {
            std::fs::hard_link(&self.program, &copy)
                .or_else(|_| std::fs::copy(&self.program, &copy).map(drop))
                .expect("a copy of the binary in the scratch");
        }
        self.program = copy;
        for entry in std::fs::read_dir(scratch.path()).expect("the scratch") {
            let path = entry.expect("an entry of the scratch").path();
            if path != self.program {
                crate::scratch::give(&path, 1000);
            }
        }
        std::os::unix::fs::chown(scratch.path(), Some(1000), Some(1000)).expect("root gives the scratch away");
        self.uid = Some(1000);
        self
    }

    /// The folder that holds the default store.
    pub fn store(&self) -> PathBuf {
        self.home.join("data/tagline")
    }

    /// The command, ready to be changed and started.
    pub fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(&self.folder).env_clear();
        for name in PASSED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("HOME", &self.home).env("LANG", "C.UTF-8");
        for (variable, folder) in
            [("DATA", "data"), ("STATE", "state"), ("CONFIG", "config"), ("CACHE", "cache"), ("RUNTIME", "run")]
        {
            let name = if variable == "RUNTIME" { "DIR" } else { "HOME" };
            command.env(format!("XDG_{variable}_{name}"), self.home.join(folder));
        }
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }

    /// Runs it to its end without input.
    #[track_caller]
    pub fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Outcome {
        let mut command = self.command(args);
        command.stdin(Stdio::null());
        finish(&mut command, self.limit)
    }

    /// Starts it and lets it run: an engine, a log that is followed.
    #[track_caller]
    pub fn spawn<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Background {
        Background::start(&mut self.command(args))
    }

    /// Starts it on a terminal of its own, 120 columns by 40 rows.
    #[track_caller]
    pub fn terminal<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Terminal {
        Terminal::start(&self.command(args), self.uid)
    }

    /// The same, with a hang-up of the terminal ignored.
    #[track_caller]
    pub fn stubborn_terminal<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Terminal {
        let plain = self.command(args);
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(plain.get_program()).args(plain.get_args());
        command.envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?)))).current_dir(&self.folder);
        Terminal::start(&command, self.uid)
    }
}

/// Runs a command to its end; kills it and fails the test at the limit.
#[track_caller]
fn finish(command: &mut Command, limit: Duration) -> Outcome {
    let words = words(command);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap_or_else(|error| panic!("cannot start {words}: {error}"));
    let id = rustix::process::Pid::from_child(&child);
    let (sender, receiver) = mpsc::channel();
    let waiting = thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(limit) else {
        rustix::process::kill_process(id, rustix::process::Signal::KILL).expect("our own child");
        panic!("no end within {limit:?}: {words}");
    };
    waiting.join().expect("the waiting thread").expect("the receiver is there");
    Outcome::new(words, &output.expect("the output of a child"))
}

/// The words of a command, for messages.
pub(crate) fn words(command: &Command) -> String {
    let words: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    format!("tagline {}", words.join(" "))
}
