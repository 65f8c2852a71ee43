//! What the executor's tests share: launches, specifications, and reading a job to its end.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use indexmap::IndexMap;
use tagline_executor::{Executor, Exposure, JobFolder, Key, Launch, Limits, Link, LinkError, LinkEvent};
use tagline_protocol::{Contexts, JobResult, JobSpec, Record, StepAction, StepSpec, VERSION};

/// The secret of every test's agent.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A launch of job `build` in a job folder below `place`.
pub(crate) fn launch(executor: &Executor, place: &Path, agent: PathBuf) -> Launch {
    Launch {
        folder: JobFolder::new(place.join("runs/1/build/1")),
        key: Key { run: 1, job: "build".to_owned(), leg: 0, attempt: 1 },
        token: TOKEN.to_owned(),
        image: None,
        login: None,
        expose: Exposure::none(),
        environment: Vec::new(),
        agent_binary: agent,
        paths: executor.paths("shop"),
        limits: Limits::default(),
        has_environment: false,
    }
}

/// A job of these scripts, each a step.
pub(crate) fn spec(executor: &Executor, scripts: &[&str]) -> JobSpec {
    let steps = scripts.iter().enumerate().map(|(number, script)| StepSpec {
        id: format!("step{number}"),
        name: None,
        condition: None,
        env: IndexMap::new(),
        continue_on_error: None,
        timeout_minutes: None,
        line: 1,
        action: StepAction::Run { script: (*script).to_owned(), shell: Some("sh".to_owned()), working_directory: None },
    });
    JobSpec {
        version: VERSION,
        run: 1,
        job: "build".to_owned(),
        name: "build".to_owned(),
        attempt: 1,
        contexts: Contexts::default(),
        env: Vec::new(),
        steps: steps.collect(),
        outputs: IndexMap::new(),
        environment_url: None,
        has_environment: false,
        timeout_seconds: 300,
        default_shell: None,
        default_working_directory: None,
        in_container: false,
        masks: Vec::new(),
        paths: executor.paths("shop"),
        user: None,
    }
}

/// What a link told until it closed.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) records: Vec<Record>,
    pub(crate) offset: u64,
}

impl Told {
    /// Every line of output, in order.
    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.records.iter().filter_map(|record| match record {
            Record::Log { lines, step: Some(_), stream: tagline_protocol::Stream::Output, .. } => Some(lines.clone()),
            _ => None,
        });
        lines.flatten().collect()
    }

    /// The job's result, which is the last record if there is one.
    pub(crate) fn result(&self) -> Option<&JobResult> {
        match self.records.last() {
            Some(Record::JobFinished { result, .. }) => Some(result),
            _ => None,
        }
    }
}

/// Reads a link until it closes; a request is a failure of the test.
pub(crate) async fn drain(link: &mut Link) -> Result<Told, LinkError> {
    let mut told = Told::default();
    loop {
        match link.next().await? {
            LinkEvent::Record(record, offset) => {
                assert!(offset > told.offset, "offsets grow");
                told.offset = offset;
                told.records.push(record);
            }
            LinkEvent::Closed => return Ok(told),
            other => panic!("nothing is asked: {other:?}"),
        }
    }
}

/// Where tests that run this program again, as another user, name the agent's program.
const AGENT: &str = "TAGLINE_TEST_AGENT";

/// The agent's program, static, built as the one that is embedded in `tagline`.
pub(crate) fn agent() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| std::env::var_os(AGENT).map_or_else(build, PathBuf::from)).clone()
}

fn build() -> PathBuf {
    let target = "x86_64-unknown-linux-gnu".replace("x86_64", std::env::consts::ARCH);
    let folders = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder of the target folder");
    let folder = folders.join("agent");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--package", "tagline-agent", "--bin"]);
    cargo.args(["tagline-agent", "--target", &target, "--target-dir"]).arg(&folder);
    for name in ["RUSTFLAGS", "CARGO_TARGET_DIR"] {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static").env("CARGO_PROFILE_DEV_STRIP", "debuginfo");
    assert!(cargo.status().expect("cargo runs").success(), "the agent is built");
    let built = folder.join(target).join("debug/tagline-agent");
    // A copy: other tests may build it again meanwhile.
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("executor-tests-agent");
    let new = copy.with_extension(std::process::id().to_string());
    std::fs::copy(built, &new).and_then(|_| std::fs::rename(&new, &copy)).unwrap();
    copy
}

/// Launches, starts and reads a job to its end.
pub(crate) async fn run(executor: &Executor, launch: &Launch, spec: JobSpec) -> Told {
    executor.launch(launch).await.expect("the agent comes up");
    let mut link = Link::connect(&launch.folder, TOKEN, 0).await.expect("the agent answers");
    link.start(spec).await.expect("the agent takes the job");
    let told = drain(&mut link).await.expect("the spool is read");
    assert!(told.result().is_some(), "no result: {:?}", told.records);
    told
}

/// Reads a link until a line of output is this one.
pub(crate) async fn until_line(link: &mut Link, wanted: &str) -> u64 {
    loop {
        match link.next().await.expect("the link works") {
            LinkEvent::Record(Record::Log { lines, .. }, offset) if lines.iter().any(|line| line == wanted) => {
                return offset;
            }
            LinkEvent::Closed => panic!("the job ended before it said {wanted}"),
            _ => {}
        }
    }
}

/// Set in a run of this program as another user.
const AGAIN: &str = "TAGLINE_TEST_AGAIN";

/// Whether this is such a run.
pub(crate) fn is_again() -> bool {
    std::env::var_os(AGAIN).is_some()
}

/// Runs the tests that match the filters as user 1000, who owns nothing; `options` are setpriv's. What was said.
pub(crate) fn again(options: &[&str], filters: &[&str]) -> String {
    let place = tempfile::tempdir_in("/tmp").unwrap();
    let everybody = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    everybody(place.path(), 0o777);
    // Where the programs are may be closed to others.
    let copy = |from: PathBuf, name: &str| {
        let to = place.path().join(name);
        std::fs::copy(from, &to).unwrap();
        everybody(&to, 0o755);
        to
    };
    let program = copy(std::env::current_exe().unwrap(), "tests");
    let agent = copy(agent(), "tagline-agent");
    let mut again = Command::new("setpriv");
    again.args(["--reuid=1000", "--regid=1000", "--no-new-privs"]).args(options).arg(program).args(filters);
    again.env(AGAIN, "1").env(AGENT, agent).env("TMPDIR", place.path()).env("HOME", place.path());
    // What only root can have is not missing here.
    again.env_remove("CI").env_remove("TAGLINE_TEST_SKIPS");
    let output = again.current_dir("/").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}
