//! What a fake agent does, written down in advance. Time passes only by [`Hold`]s.

use std::sync::Arc;

use indexmap::IndexMap;
use tagline_protocol::{Conclusion, JobResult, Record, Request, Stream};
use tokio::sync::{Semaphore, watch};

/// One thing a fake agent does.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Starts a step, prints lines, ends it.
    Step { id: String, lines: Vec<String>, conclusion: Conclusion },
    /// Writes a record as it is.
    Record(Box<Record>),
    /// Waits to be released.
    Hold(Hold),
    /// Asks the engine and waits for its answer; an error from it fails the job.
    Ask(Request),
    /// Writes bytes without a line end, as a crash leaves them.
    Torn(String),
    /// Ends as by `kill -9`.
    Die,
    /// Ends the job.
    Finish(Box<JobResult>),
}

/// The part of one agent. At its end the job succeeds unless the script said otherwise.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub(super) acts: Vec<Act>,
    pub(super) deaf: bool,
    pub(super) refusal: Option<String>,
}

impl Script {
    /// An agent that succeeds at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// An agent that cannot be launched.
    pub fn refuse(why: &str) -> Self {
        Self { refusal: Some(why.to_owned()), ..Self::default() }
    }

    fn act(mut self, act: Act) -> Self {
        self.acts.push(act);
        self
    }

    /// A step with its output; steps are numbered in order.
    pub fn step(self, id: &str, lines: &[&str], conclusion: Conclusion) -> Self {
        self.act(Act::Step { id: id.to_owned(), lines: lines.iter().map(ToString::to_string).collect(), conclusion })
    }

    /// Any record.
    pub fn record(self, record: Record) -> Self {
        self.act(Act::Record(Box::new(record)))
    }

    /// Waits here until the hold is released, or the job is cancelled or killed.
    pub fn hold(self, hold: &Hold) -> Self {
        self.act(Act::Hold(hold.clone()))
    }

    /// Asks the engine for something and waits for the answer.
    pub fn ask(self, request: Request) -> Self {
        self.act(Act::Ask(request))
    }

    /// Half a line, as a crash leaves it.
    pub fn torn(self, bytes: &str) -> Self {
        self.act(Act::Torn(bytes.to_owned()))
    }

    /// The agent is gone without a result.
    pub fn die(self) -> Self {
        self.act(Act::Die)
    }

    /// Ends the job with this result.
    pub fn finish(self, result: JobResult) -> Self {
        self.act(Act::Finish(Box::new(result)))
    }

    /// Ends the job with success and these outputs.
    pub fn outputs(self, outputs: &[(&str, &str)]) -> Self {
        let outputs = outputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.finish(JobResult { outputs: outputs.collect(), ..result(Conclusion::Success, "") })
    }

    /// Ends the job with a failure.
    pub fn fail(self, why: &str) -> Self {
        self.finish(result(Conclusion::Failure, why))
    }

    /// Cancel is not heard; kill is.
    #[must_use]
    pub fn deaf(mut self) -> Self {
        self.deaf = true;
        self
    }
}

/// A result without outputs.
pub(super) fn result(conclusion: Conclusion, why: &str) -> JobResult {
    JobResult { conclusion, outputs: IndexMap::new(), url: String::new(), why: why.to_owned(), timed_out: false }
}

/// The records of a step.
pub(super) fn step(number: u32, id: &str, lines: &[String], conclusion: Conclusion, at: u64) -> Vec<Record> {
    let mut records = vec![Record::StepStarted { step: number, id: id.to_owned(), name: id.to_owned(), at }];
    if !lines.is_empty() {
        records.push(Record::Log {
            step: Some(number),
            at,
            stream: Stream::Output,
            lines: lines.to_vec(),
            open: false,
        });
    }
    let failed = conclusion == Conclusion::Failure;
    records.push(Record::StepFinished {
        step: number,
        outcome: conclusion,
        conclusion,
        exit_code: (conclusion != Conclusion::Skipped).then_some(i32::from(failed)),
        why: String::new(),
        at,
    });
    records
}

/// A place in scripts where agents wait for the test.
#[derive(Debug, Clone)]
pub struct Hold {
    reached: Arc<Semaphore>,
    released: watch::Sender<bool>,
}

impl Default for Hold {
    fn default() -> Self {
        Self::new()
    }
}

impl Hold {
    /// Closed.
    pub fn new() -> Self {
        Self { reached: Arc::new(Semaphore::new(0)), released: watch::Sender::new(false) }
    }

    /// Waits until an agent is here; each arrival is answered once.
    pub async fn reached(&self) {
        let arrival = self.reached.acquire().await;
        arrival.expect("the semaphore is never closed").forget();
    }

    /// Lets everyone pass from now on.
    pub fn release(&self) {
        self.released.send_replace(true);
    }

    /// An agent arrives and waits.
    pub(super) async fn pass(&self) {
        self.reached.add_permits(1);
        let mut released = self.released.subscribe();
        // The sender is part of this value: it cannot be gone.
        let _ = released.wait_for(|released| *released).await;
    }
}
