//! What the executor's tests share: launches, specifications, and reading a job to its end.
#![allow(clippy::allow_attributes, dead_code, reason = "each test program uses a part")]

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use tagline_executor::{Executor, Exposure, JobFolder, Key, Launch, Limits, Link, LinkError, LinkEvent};
use tagline_protocol::{Contexts, JobResult, JobSpec, Record, StepAction, StepSpec, VERSION};

/// The secret of every test's agent.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A launch of job `build` in a job folder below `place`.
pub fn launch(executor: &Executor, place: &Path, agent: PathBuf) -> Launch {
    Launch {
        folder: JobFolder::new(place.join("runs/1/build/1")),
        key: Key { run: 1, job: "build".to_owned(), leg: 0, attempt: 1 },
        token: TOKEN.to_owned(),
        image: None,
        expose: Exposure::none(),
        environment: Vec::new(),
        agent_binary: agent,
        paths: executor.paths("shop"),
        limits: Limits::default(),
    }
}

/// A job of these scripts, each a step.
pub fn spec(executor: &Executor, scripts: &[&str]) -> JobSpec {
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
        user: executor.step_user(),
    }
}

/// What a link told until it closed.
#[derive(Debug, Default)]
pub struct Told {
    pub records: Vec<Record>,
    pub offset: u64,
}

impl Told {
    /// Every line of output, in order.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.records.iter().filter_map(|record| match record {
            Record::Log { lines, step: Some(_), stream: tagline_protocol::Stream::Output, .. } => Some(lines.clone()),
            _ => None,
        });
        lines.flatten().collect()
    }

    /// The job's result, which is the last record if there is one.
    pub fn result(&self) -> Option<&JobResult> {
        match self.records.last() {
            Some(Record::JobFinished { result, .. }) => Some(result),
            _ => None,
        }
    }
}

/// Reads a link until it closes; a request is a failure of the test.
pub async fn drain(link: &mut Link) -> Result<Told, LinkError> {
    let mut told = Told::default();
    loop {
        match link.next().await? {
            LinkEvent::Record(record, offset) => {
                assert!(offset > told.offset, "offsets grow");
                told.offset = offset;
                told.records.push(record);
            }
            LinkEvent::Request { id, body } => panic!("request {id}: {body:?}"),
            LinkEvent::Closed => return Ok(told),
        }
    }
}
