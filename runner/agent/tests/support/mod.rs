//! A small engine for tests: launches a real agent in a real sandbox, speaks to its socket, reads its spool.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "each test file uses a part of it, and a test may panic"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use serde_json::{Value, json};
use tagline_protocol::{
    Command, Conclusion, JobPaths, JobResult, JobSpec, Launch, Notice, Record, SandboxConfig, SandboxRoot, Stream,
    VERSION,
};

pub const AGENT: &str = env!("CARGO_BIN_EXE_tagline-agent");
pub const TOKEN: &str = "correct horse battery staple";

/// Who starts the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starter {
    /// The test's own user.
    Own,
    /// An unprivileged one, when the test's own is root.
    Unprivileged,
    /// The same, in a user namespace that allows no further one: the kernel refuses it the sandbox's.
    WithoutNamespaces,
}

/// Takes namespaces away, then starts the program without any right in the one it is in.
const REFUSE: &str = "echo 0 > /proc/sys/user/max_user_namespaces && \
    exec setpriv --ambient-caps=-all --inh-caps=-all -- \"$0\" sandbox";

impl Starter {
    /// Root can try both.
    pub fn all() -> Vec<Self> {
        if rustix::process::geteuid().is_root() { vec![Self::Own, Self::Unprivileged] } else { vec![Self::Own] }
    }
}

/// A job folder and its agent.
pub struct Sandbox {
    pub folder: tempfile::TempDir,
    pub launch: Launch,
    program: PathBuf,
}

pub fn paths() -> JobPaths {
    JobPaths {
        workspace: "/home/runner/work/shop/shop".into(),
        temp: "/home/runner/work/_temp".into(),
        home: "/home/runner".into(),
        tool_cache: "/opt/hostedtoolcache".into(),
    }
}

pub fn config(folder: &Path) -> SandboxConfig {
    SandboxConfig {
        version: VERSION,
        job_folder: folder.to_str().unwrap().into(),
        token: TOKEN.into(),
        root: SandboxRoot::Host,
        expose: Vec::new(),
        environment: vec![("LANG".into(), "C.UTF-8".into())],
        paths: paths(),
        allow_plain_process: false,
    }
}

impl Sandbox {
    pub fn launch(starter: Starter) -> Self {
        Self::launch_with(starter, |_| {})
    }

    /// Launches with the configuration changed.
    pub fn launch_with(starter: Starter, change: impl FnOnce(&mut SandboxConfig)) -> Self {
        let folder = tempfile::Builder::new().prefix("job").tempdir().unwrap();
        let mut program = PathBuf::from(AGENT);
        let unprivileged = starter != Starter::Own && rustix::process::geteuid().is_root();
        if unprivileged {
            // The test binary may lie where another user may not go.
            program = folder.path().join("tagline-agent");
            // By another process: a child of this one started meanwhile would hold the file open for writing.
            assert!(Process::new("cp").arg(AGENT).arg(&program).status().unwrap().success());
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut config = config(folder.path());
        change(&mut config);
        let mut command = match starter {
            Starter::WithoutNamespaces => {
                let mut command = Process::new("/usr/bin/unshare");
                command.args(["--user", "--map-current-user", "--keep-caps", "/bin/sh", "-c", REFUSE]).arg(&program);
                command
            }
            Starter::Own | Starter::Unprivileged => {
                let mut command = Process::new(&program);
                command.arg("sandbox");
                command
            }
        };
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        if unprivileged {
            chown(folder.path(), Some(1000), Some(1000)).unwrap();
            command.uid(1000).gid(1000);
        }
        let mut child = command.spawn().unwrap();
        serde_json::to_writer(child.stdin.take().unwrap(), &config).unwrap();
        let mut line = String::new();
        child.stdout.take().unwrap().read_to_string(&mut line).unwrap();
        child.wait().unwrap();
        let launch = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Self { folder, launch, program }
    }

    /// The agent's process id; panics where there is no agent.
    pub fn pid(&self) -> u32 {
        match &self.launch {
            Launch::Up { pid, .. } => *pid,
            Launch::Refused { why } | Launch::Failed { why } => panic!("no sandbox: {why}"),
        }
    }

    pub fn connect(&self) -> Engine {
        self.pid();
        let mut engine = Engine::open(self.folder.path());
        engine.send(&Command::Hello { version: VERSION, token: TOKEN.into() });
        assert!(matches!(engine.notice(), Some(Notice::Hello { .. })));
        engine
    }

    /// Runs a job to its end.
    pub fn run(&self, spec: JobSpec) -> Story {
        let mut engine = self.connect();
        engine.send(&Command::Start(Box::new(spec)));
        engine.wait_for_end();
        self.story()
    }

    pub fn story(&self) -> Story {
        Story::read(&self.folder.path().join("spool.jsonl"))
    }

    /// Waits until the agent is gone: the kernel closes its end of a connection then.
    pub fn wait_for_exit(&self) {
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed()).unwrap();
        if let Ok(process) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
            let mut ready = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut ready, None).unwrap();
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Launch::Up { pid, .. } = &self.launch
            && let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed())
        {
            // The first of its pid namespace takes all others with it.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// One connection.
pub struct Engine {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Engine {
    pub fn open(folder: &Path) -> Self {
        let stream = UnixStream::connect(folder.join("control.sock")).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Self { stream, lines }
    }

    pub fn send(&mut self, command: &Command) {
        let mut line = serde_json::to_vec(command).unwrap();
        line.push(b'\n');
        self.stream.write_all(&line).unwrap();
    }

    /// The next notice; none when the agent has hung up.
    pub fn notice(&mut self) -> Option<Notice> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    pub fn wait_for_end(&mut self) {
        while self.notice().is_some() {}
    }
}

/// The records of a job.
pub struct Story(pub Vec<Record>);

impl Story {
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        Self(text.lines().map(|line| serde_json::from_str(line).expect(line)).collect())
    }

    pub fn result(&self) -> &JobResult {
        match self.0.last() {
            Some(Record::JobFinished { result, .. }) => result,
            other => panic!("the last record is {other:?}"),
        }
    }

    /// The output of a step.
    pub fn output(&self, wanted: u32) -> String {
        let mut text = String::new();
        for record in &self.0 {
            if let Record::Log { step, stream: Stream::Output, lines, open, .. } = record
                && *step == Some(wanted)
            {
                for (place, line) in lines.iter().enumerate() {
                    text.push_str(line);
                    if !(*open && place + 1 == lines.len()) {
                        text.push('\n');
                    }
                }
            }
        }
        text
    }

    /// How a step ended: outcome, conclusion, why.
    pub fn end(&self, wanted: u32) -> (Conclusion, Conclusion, String) {
        let end = self.0.iter().find_map(|record| match record {
            Record::StepFinished { step, outcome, conclusion, why, .. } if *step == wanted => {
                Some((*outcome, *conclusion, why.clone()))
            }
            _ => None,
        });
        end.unwrap_or_else(|| panic!("step {wanted} has no end"))
    }

    /// Every annotation's message.
    pub fn annotations(&self) -> Vec<String> {
        let message = |record: &Record| match record {
            Record::Annotation(annotation) => Some(annotation.message.clone()),
            _ => None,
        };
        self.0.iter().filter_map(message).collect()
    }

    /// Everything, as it stands in the spool.
    pub fn text(&self) -> String {
        serde_json::to_string(&self.0).unwrap()
    }
}

/// A job of these steps: a text is a script, an object says more.
pub fn job(steps: Value) -> JobSpec {
    job_with(steps, json!({}))
}

/// The same, with more of the specification.
pub fn job_with(steps: Value, more: Value) -> JobSpec {
    let steps: Vec<Value> =
        steps.as_array().unwrap().iter().enumerate().map(|(place, step)| one(place, step)).collect();
    let mut spec = json!({
        "version": VERSION, "run": 1, "job": "build", "name": "build", "attempt": 1,
        "contexts": {
            "github": {"event": {}, "ref": "refs/tags/v1.2.3", "ref_name": "v1.2.3", "sha": "0123456789abcdef", "repository": "village/shop"},
            "inputs": {}, "vars": {}, "needs": {}, "matrix": {}, "strategy": {}, "secrets": {},
        },
        "env": [], "steps": steps, "outputs": {}, "environment_url": null, "has_environment": false,
        "timeout_seconds": 120, "default_shell": null, "default_working_directory": null, "in_container": false,
        "masks": [], "paths": paths(), "user": null,
    });
    merge(&mut spec, more);
    serde_json::from_value(spec).unwrap()
}

fn one(place: usize, step: &Value) -> Value {
    let text = |key: &str| step.get(key).cloned().unwrap_or(Value::Null);
    let script = step.as_str().map_or_else(|| text("run"), Value::from);
    let action = match step.get("uses") {
        Some(uses) => json!({"uses": {"uses": uses, "with": step.get("with").cloned().unwrap_or_else(|| json!({}))}}),
        None => {
            json!({"run": {"script": script, "shell": text("shell"), "working_directory": text("working-directory")}})
        }
    };
    json!({
        "id": step.get("id").cloned().unwrap_or_else(|| format!("s{place}").into()),
        "name": text("name"), "condition": text("if"), "env": step.get("env").cloned().unwrap_or_else(|| json!({})),
        "continue_on_error": text("continue-on-error"), "timeout_minutes": text("timeout-minutes"), "line": 1,
        "action": action,
    })
}

fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}
