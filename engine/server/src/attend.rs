//! One started job: see that it runs, pass on what it says, answer what it asks, clean up behind it.
//!
//! Attending is the same whether the job was never launched, runs already, or ended while no engine was there: find it,
//! read its spool from the beginning (what is known already changes nothing), and report.
//!
//! Invariants: a job of which a step has begun is never launched, nor given its specification with its secrets, again; an
//! executor out of reach ends no job that was launched.

mod patience;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use tagline_executor::{Executor, ExecutorError, Found, JobFolder, Key, Launch, Link, LinkError, LinkEvent, LogReader};
use tagline_protocol::{AgentState, JobSpec, Record, Request};
use tagline_run::{Attempt, Conclusion, Event, Input, JobKey, Report, RunId, RunState, Sender, Token};
use tagline_store::Store;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::engine::{EngineConfig, Message};
use crate::job::{self, Surroundings};
use crate::ledger::{Cleanup, TellError};
use crate::secrets::{self, SecretError};
use crate::services;
use crate::services::deliver::Deliveries;
use patience::Patience;

/// What the state asks for.
#[derive(Debug, Clone)]
pub(crate) struct Errand {
    pub(crate) run: RunId,
    pub(crate) key: JobKey,
    pub(crate) attempt: Attempt,
    pub(crate) token: Token,
    pub(crate) executor: String,
}

/// What an attendant works with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) store: Arc<Store>,
    pub(crate) config: Arc<EngineConfig>,
    pub(crate) messages: mpsc::UnboundedSender<Message>,
    /// The run when the job started; its plan and the job's needs do not change after that.
    pub(crate) state: Arc<RunState>,
    pub(crate) root: PathBuf,
}

impl Context {
    /// Tells the job's run something and waits until it is stored. When it cannot be, or the engine is ending, this
    /// attendant is called off and waits for its end here: another one will say it again.
    pub(crate) async fn tell(&self, input: Input) -> Result<Vec<Event>, TellError> {
        let (reply, answer) = oneshot::channel();
        let _ = self.messages.send(Message::Tell { run: self.state.run, input, reply: Some(reply) });
        match answer.await {
            Ok(Err(TellError::Store(_))) | Err(_) => std::future::pending().await,
            Ok(answer) => answer,
        }
    }

    fn report(&self, from: &Sender, report: Report) {
        let input = Input::Reported { from: from.clone(), reports: vec![report] };
        let _ = self.messages.send(Message::Tell { run: self.state.run, input, reply: None });
    }
}

/// The dispatcher's hold on an attendant.
pub(crate) struct Attendant {
    cancels: mpsc::UnboundedSender<(String, bool)>,
    last: std::cell::RefCell<Option<(String, bool)>>,
    task: tokio::task::AbortHandle,
    /// What it removes behind its job is a folder of this machine, which takes a moment; a daemon removes containers by
    /// itself once it was told.
    pub(crate) removes_folders: bool,
}

impl Attendant {
    /// Sets one to work.
    pub(crate) fn spawn(handle: &Handle, context: Context, errand: Errand) -> Self {
        let (cancels, inbox) = mpsc::unbounded_channel();
        let removes_folders = errand.executor != "docker";
        let task = handle.spawn(async move {
            let Errand { run, key, attempt, token, executor } = errand.clone();
            let messages = context.messages.clone();
            let cleaned = Job::new(context, errand, inbox).attend().await;
            let _ = messages.send(Message::Left { cleanup: Cleanup { run, key, attempt, executor }, token, cleaned });
        });
        Self { cancels, last: std::cell::RefCell::new(None), task: task.abort_handle(), removes_folders }
    }

    /// Passes a cancel on; the same one once.
    pub(crate) fn cancel(&self, why: &str, kill: bool) {
        let cancel = (why.to_owned(), kill);
        if self.last.borrow().as_ref() != Some(&cancel) {
            let _ = self.cancels.send(cancel.clone());
            *self.last.borrow_mut() = Some(cancel);
        }
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        // The engine ends, or the job is over: the job itself goes on without its attendant.
        self.task.abort();
    }
}

/// One job while it is attended.
struct Job {
    context: Context,
    errand: Errand,
    from: Sender,
    folder: JobFolder,
    cancels: mpsc::UnboundedReceiver<(String, bool)>,
    /// A cancel that came before there was a link to pass it on.
    pending: Option<(String, bool)>,
    steps_started: bool,
    /// Its agent came up at this attendant's word and was not spoken to yet.
    fresh: bool,
    offset: u64,
    deliveries: Deliveries,
}

/// How a link ended.
enum End {
    /// The result is stored.
    Finished,
    /// There is nothing more to read.
    Closed,
}

impl Job {
    fn new(context: Context, errand: Errand, cancels: mpsc::UnboundedReceiver<(String, bool)>) -> Self {
        let from = Sender { key: errand.key.clone(), attempt: errand.attempt, token: errand.token.clone() };
        let folder = JobFolder::new(services::job_folder(&context, &from));
        let deliveries = Deliveries::new(context.clone(), from.clone());
        let (pending, steps_started, fresh, offset) = (None, false, false, 0);
        Self { context, errand, from, folder, cancels, pending, steps_started, fresh, offset, deliveries }
    }

    /// Attends until the job is over. True when what it left is removed.
    async fn attend(mut self) -> bool {
        let Some(executor) = self.context.config.executors.of_started(&self.errand.executor).cloned() else {
            let why = format!("this machine has no runner `{}`", self.errand.executor);
            self.launch_failed(why, false).await;
            return false;
        };
        if !self.run(&executor).await {
            return false;
        }
        let cleaned = executor.clean(&self.folder).await;
        if let Err(error) = &cleaned {
            tracing::warn!(key = %self.errand.key, error = services::chain(error), "a job's folder stays behind");
        }
        cleaned.is_ok()
    }

    /// True when the job's result is stored.
    async fn run(&mut self, executor: &Executor) -> bool {
        let mut patience = Patience::default();
        loop {
            match executor.find(&self.folder).await {
                // Nothing is written down of it, but it ran: after a power cut, or in a store that was restored.
                Ok(Found::Never) if self.has_begun() => break,
                Ok(Found::Never) => {
                    let secrets = match self.secrets() {
                        Ok(secrets) => secrets,
                        Err(why) => {
                            self.launch_failed(why, false).await;
                            return false;
                        }
                    };
                    if let Err(error) = self.launch(executor, &secrets).await {
                        self.launch_failed(services::chain(&error), error.is_retryable()).await;
                        return false;
                    }
                }
                Err(error) if !self.was_launched() => {
                    self.launch_failed(services::chain(&error), true).await;
                    return false;
                }
                // The executor is not needed to read what the job wrote, nor to reach its agent.
                Ok(_) | Err(_) => {}
            }
            let before = self.offset;
            match self.link(executor).await {
                Ok(End::Finished) => return true,
                Ok(End::Closed) => {}
                Err(LinkError::Refused) if self.is_taken() => {
                    self.launch_failed("its folder is in use by an agent of another start".to_owned(), false).await;
                    return false;
                }
                Err(error @ LinkError::Posed) => tracing::warn!(key = %self.errand.key, %error, "a job is not trusted"),
                Err(error) => tracing::debug!(key = %self.errand.key, %error, "the link to a job broke"),
            }
            if self.offset > before {
                patience.heard();
            }
            let Some(pause) = self.pause(executor, &mut patience).await else { break };
            self.wait(pause).await;
        }
        self.gone(executor).await
    }

    /// How long to wait before the next link; none when there is to be none.
    async fn pause(&self, executor: &Executor, patience: &mut Patience) -> Option<Duration> {
        match executor.find(&self.folder).await {
            Ok(found) => {
                patience.answered();
                if found == Found::Alive { patience.broke() } else { None }
            }
            // Who wants it ended at once does not wait for a daemon.
            Err(error) if error.is_away() && !self.pending.as_ref().is_some_and(|(_, kill)| *kill) => {
                let (pause, news) = patience.away();
                if news {
                    let error = services::chain(&error);
                    tracing::warn!(key = %self.errand.key, error, "a job's runner is out of reach; it is asked again");
                }
                Some(pause)
            }
            Err(_) => None,
        }
    }

    /// Waits; a cancel that comes meanwhile is kept for the next link, and one that kills ends the wait.
    async fn wait(&mut self, pause: Duration) {
        let until = tokio::time::Instant::now() + pause;
        while let Ok(Some((why, kill))) = tokio::time::timeout_at(until, self.cancels.recv()).await {
            self.deliveries.stop(&why);
            self.pending = Some((why, kill));
            if kill {
                return;
            }
        }
        // The other end of the channel may be gone: then it answers at once.
        tokio::time::sleep_until(until).await;
    }

    /// Whether a step of the job is known to have begun: by this attendant, by the run, or by the spool.
    fn has_begun(&self) -> bool {
        let known = || self.context.state.leg(&self.errand.key).is_some_and(|leg| !leg.steps.is_empty());
        self.steps_started || known() || spool_has_step(&self.folder)
    }

    /// Whether an agent of this very start was brought up.
    fn was_launched(&self) -> bool {
        let recorded = self.folder.agent().ok().flatten();
        recorded.is_some_and(|agent| agent.token == self.errand.token.0) || self.has_begun()
    }

    /// Whether the folder's agent is of another start. One of this start never refuses: it is ending, and hung up before it
    /// stopped listening.
    fn is_taken(&self) -> bool {
        self.folder.agent().ok().flatten().is_some_and(|agent| agent.token != self.errand.token.0)
    }

    /// The agent is dead or out of reach, and what it wrote is read.
    async fn gone(&mut self, executor: &Executor) -> bool {
        // Whatever is left of it must not go on beside a later start.
        if let Err(error) = executor.kill(&self.folder).await {
            tracing::warn!(key = %self.errand.key, error = services::chain(&error), "what is left of a job cannot be ended");
        }
        // The last words of a dead agent: its result may have come after the link broke.
        if matches!(self.link(executor).await, Ok(End::Finished)) {
            return true;
        }
        self.deliveries.end("its job's agent is gone").await;
        let steps_started = self.has_begun();
        if !steps_started && let Err(error) = executor.clean(&self.folder).await {
            tracing::warn!(key = %self.errand.key, error = services::chain(&error), "a job's folder stays behind");
        }
        let input = Input::AgentGone { from: self.from.clone(), steps_started };
        let _ = self.context.tell(input).await;
        steps_started
    }

    async fn launch_failed(&self, why: String, retryable: bool) {
        let _ = self.context.tell(Input::LaunchFailed { from: self.from.clone(), why, retryable }).await;
    }

    async fn launch(&mut self, executor: &Executor, secrets: &IndexMap<String, String>) -> Result<(), ExecutorError> {
        let Errand { run, key, attempt, token, .. } = &self.errand;
        let state = &self.context.state;
        let leg = state.leg(key);
        let image = leg.and_then(|leg| leg.ready.leg.image.as_deref());
        let container = job::container(state, key, secrets);
        let job = Key { run: run.0, job: key.job.clone(), leg: key.leg, attempt: attempt.0 };
        let container = container.map_err(|why| ExecutorError::Container { key: job.clone(), why })?;
        let launch = Launch {
            folder: self.folder.clone(),
            key: job,
            token: token.0.clone(),
            image: image.and_then(|image| image.parse().ok()),
            login: container.login,
            expose: (*self.context.config.executors.exposure).clone(),
            environment: container.environment,
            agent_binary: self.context.config.agent.clone(),
            paths: executor.paths(&state.plan.repository),
            limits: container.limits,
            has_environment: leg.is_some_and(|leg| leg.ready.leg.environment.is_some()),
        };
        self.fresh = executor.launch(&launch).await?.new;
        Ok(())
    }

    /// The secrets that the job names, opened. One that its environment requires is there, or there are none: what was given
    /// with the run, or was set when it began, may have been removed since.
    fn secrets(&self) -> Result<IndexMap<String, String>, String> {
        let Errand { run, key, .. } = &self.errand;
        let state = &self.context.state;
        let unknown = || format!("the run has no job {key}");
        let planned = state.plan.jobs.get(&key.job).ok_or_else(unknown)?;
        let environment = state.leg(key).ok_or_else(unknown)?.ready.leg.environment.as_deref();
        let root = self.context.root.to_string_lossy();
        let store = &self.context.store;
        let places = secrets::Places { store, plan: &state.plan, root: &root, run: Some(*run) };
        if let Some(environment) = environment {
            places.require(environment, &IndexMap::new()).map_err(|error| missing(&error))?;
        }
        let mut opened = IndexMap::new();
        for name in &planned.secrets {
            if let Some(value) = places.find(environment, name).map_err(|error| services::chain(&error))? {
                opened.insert(name.clone(), value);
            }
        }
        Ok(opened)
    }

    /// The job's specification, its secrets opened.
    fn specification(&self, executor: &Executor) -> Result<JobSpec, String> {
        let Errand { key, attempt, .. } = &self.errand;
        let state = &self.context.state;
        let unknown = || format!("the run has no job {key}");
        let leg = state.leg(key).ok_or_else(unknown)?;
        let secrets = self.secrets()?;
        let around = Surroundings {
            masks: job::container(state, key, &secrets)?.masks(),
            secrets,
            paths: executor.paths(&state.plan.repository),
            user: executor.step_user(&self.folder).map_err(|error| services::chain(&error))?,
            in_container: leg.ready.leg.image.is_some(),
        };
        let made = job::specification(state, key, *attempt, around).ok_or_else(unknown)?;
        made.map_err(|error| error.to_string())
    }

    /// Makes a link, over which an agent that waits gets its job; then reads and answers until one side ends.
    async fn link(&mut self, executor: &Executor) -> Result<End, LinkError> {
        let mut link = Link::connect(&self.folder, &self.errand.token.0, self.offset).await?;
        link.show_logs(false);
        let fresh = std::mem::take(&mut self.fresh);
        if link.state() == Some(AgentState::Waiting) {
            if !fresh {
                self.trust(&link, executor).await?;
            }
            match self.specification(executor) {
                Ok(specification) => link.start(specification).await?,
                Err(why) => {
                    let _ = link.kill().await;
                    self.launch_failed(why, false).await;
                    return Ok(End::Closed);
                }
            }
        }
        let ended = self.follow(&mut link).await;
        // Logs that were passed over count as news: a job that only prints is alive as well.
        self.offset = link.offset();
        ended
    }

    /// The specification holds every secret of the job, and whoever has the token and the job's folder, as a step that is
    /// root in its container has, could ask for it: only an agent that has begun nothing gets it. One that was brought up
    /// a moment ago is alone in its container.
    async fn trust(&self, link: &Link, executor: &Executor) -> Result<(), LinkError> {
        if self.has_begun() {
            return Err(LinkError::Posed);
        }
        let Some(peer) = link.peer() else { return Ok(()) };
        match executor.is_agent(&self.folder, peer).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(LinkError::Posed),
            Err(error) => Err(LinkError::Io(std::io::Error::other(error))),
        }
    }

    /// Reads the job's records and answers its requests until one side ends.
    async fn follow(&mut self, link: &mut Link) -> Result<End, LinkError> {
        // Without an agent there is nobody to be told, but there is still a spool to be read.
        if link.state().is_some()
            && let Some((why, kill)) = self.pending.take()
        {
            self.cancel(link, why, kill).await?;
        }
        let mut answers: JoinSet<(u64, Result<tagline_protocol::Reply, String>)> = JoinSet::new();
        let mut listening = link.state().is_some();
        loop {
            tokio::select! {
                event = link.next() => match event? {
                    LinkEvent::Record(record, offset) => {
                        self.offset = offset;
                        if self.record(record).await {
                            return Ok(End::Finished);
                        }
                    }
                    LinkEvent::Request { id, body: body @ Request::Deliver { .. } } => {
                        if let Some(answer) = self.deliveries.ask(id, body) {
                            link.reply(id, answer).await?;
                        }
                    }
                    LinkEvent::Withdraw { id, why } => self.deliveries.withdraw(id, &why),
                    LinkEvent::Request { id, body } => {
                        let (context, from, folder) = (self.context.clone(), self.from.clone(), self.folder.clone());
                        answers.spawn(async move {
                            (id, services::answer(&context, &from, &folder, id, body).await)
                        });
                    }
                    LinkEvent::Closed => return Ok(End::Closed),
                },
                Some(Ok((id, answer))) = answers.join_next() => link.reply(id, answer).await?,
                news = self.deliveries.next() => {
                    self.deliveries.pass_on(link, news).await?;
                    if let Some((why, kill)) = self.pending.take() {
                        self.cancel(link, why, kill).await?;
                    }
                }
                cancel = self.cancels.recv(), if listening => match cancel {
                    Some((why, kill)) => self.cancel(link, why, kill).await?,
                    None => listening = false,
                },
            }
        }
    }

    /// Deliveries end first. A cancel is passed on beside that: the agent waits for them. A kill comes after them.
    async fn cancel(&mut self, link: &Link, why: String, kill: bool) -> Result<(), LinkError> {
        self.deliveries.stop(&why);
        if kill && self.deliveries.are_running() {
            self.pending = Some((why, kill));
            return Ok(());
        }
        self.pass_on(link, why, kill).await
    }

    /// A cancel that cannot be passed on is kept for the next link.
    async fn pass_on(&mut self, link: &Link, why: String, kill: bool) -> Result<(), LinkError> {
        let sent = if kill { link.kill().await } else { link.cancel(&why).await };
        if sent.is_err() {
            self.pending = Some((why, kill));
        }
        sent
    }

    /// Passes a record on; true when it was the last and is stored.
    async fn record(&mut self, record: Record) -> bool {
        match record {
            Record::StepStarted { step, id, name, .. } => {
                self.steps_started = true;
                self.context.report(&self.from, Report::StepStarted { step, id, name });
            }
            Record::StepFinished { step, outcome, conclusion, why, .. } => {
                let (outcome, conclusion) = (conclude(outcome), conclude(conclusion));
                self.context.report(&self.from, Report::StepFinished { step, outcome, conclusion, why });
            }
            Record::JobFinished { result, .. } => {
                // Mostly there are none; an agent that was killed, or lost its patience, did not wait for them.
                self.deliveries.end("its job has ended").await;
                let report = Report::Finished {
                    conclusion: conclude(result.conclusion),
                    outputs: result.outputs,
                    url: result.url,
                    why: result.why,
                    timed_out: result.timed_out,
                };
                let input = Input::Reported { from: self.from.clone(), reports: vec![report] };
                match self.context.tell(input).await {
                    Ok(_) | Err(TellError::Refused(_)) => return true,
                    Err(error) => tracing::error!(key = %self.errand.key, %error, "a result cannot be stored"),
                }
            }
            _ => {}
        }
        false
    }
}

/// Whether a spool tells of a step's start. Torn and damaged lines tell nothing.
fn spool_has_step(folder: &JobFolder) -> bool {
    let mut spool = LogReader::new(&folder.spool(), 0);
    while let Ok(Some(line)) = spool.next_line() {
        if !line.is_log() && matches!(line.decode(), Ok(Record::StepStarted { .. })) {
            return true;
        }
    }
    false
}

/// Why a job has not its secrets, with what helps.
fn missing(error: &SecretError) -> String {
    match error {
        SecretError::Missing { environment, name } => {
            format!("{error}: `tagline secret set {name} --environment {environment}`")
        }
        other => services::chain(other),
    }
}

fn conclude(conclusion: tagline_protocol::Conclusion) -> Conclusion {
    match conclusion {
        tagline_protocol::Conclusion::Success => Conclusion::Success,
        tagline_protocol::Conclusion::Failure => Conclusion::Failure,
        tagline_protocol::Conclusion::Cancelled => Conclusion::Cancelled,
        tagline_protocol::Conclusion::Skipped => Conclusion::Skipped,
    }
}
