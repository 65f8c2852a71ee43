//! The engine: one thread that decides, and tasks that carry out.
//!
//! Everything that can change a run (agents' reports, votes, timers, commands) becomes a message to the dispatcher's
//! thread, which decides, stores, and only then acts and answers. Messages that are waiting are decided together and
//! stored with one sync. What to do is always derived from the state ([`tagline_run::outstanding`]), so a start after a
//! crash is the same as any other turn.

mod deliveries;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tagline_executor::JobFolder;
use tagline_plan::PlannedDelivery;
use tagline_run::locks::{self, Contender};
use tagline_run::{
    Attempt, Effect, Event, Fact, GateId, GateStatus, Input, JobKey, Lock, Report, RunId, RunState, TimerId, Token,
    outstanding,
};
use tagline_store::{EngineLock, RunFilter, Store, StoreError, StoreFolder};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::attend::{self, Attendant, Errand};
use crate::clock;
use crate::delivery::retire::Retirement;
use crate::delivery::{self, Deliverer};
use crate::executors::Executors;
use crate::faults::Faults;
use crate::ledger::{self, Cleanup, Heard, Ledger, TellError, Told};
use crate::lock;
use crate::secrets;
use crate::source;
use crate::tidy;
use crate::timer::Timers;

/// How many messages are decided together at most.
const BATCH: usize = 256;
/// How long reports of steps wait for others, so that they cost one sync together. Nobody waits for them, they stand in
/// the spool, and what ends a job takes them along at once.
const HOLD: Duration = Duration::from_millis(20);
/// How long an ending engine waits for folders to be removed.
const LEAVE: Duration = Duration::from_secs(5);
/// How long a failed write is left alone before its runs are taken up again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often the engine looks for runs that somebody began and could not hand over.
const LOOK: Duration = Duration::from_secs(2);
/// How many updates a slow watcher may lag behind before it must look again for itself.
const UPDATES: usize = 4096;

/// What an engine is started with.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The store it drives.
    pub folder: StoreFolder,
    /// The command, for the message a second engine gets: `tagline serve`.
    pub holder: String,
    /// The agent's program on this machine, static.
    pub agent: PathBuf,
    /// How many jobs run at the same time at most.
    pub max_jobs: usize,
    /// What jobs run on.
    pub executors: Executors,
    /// Who carries out deliveries.
    pub deliverer: Arc<dyn Deliverer>,
    /// What is to go wrong, for tests.
    pub faults: Faults,
}

/// Something that happened to a run, already stored.
#[derive(Debug, Clone)]
pub struct Update {
    /// The run.
    pub run: RunId,
    /// The events, in order; none when the engine has just taken up the run.
    pub events: Arc<[Event]>,
    /// The state after them.
    pub state: Arc<RunState>,
}

/// A running engine. Dropping the last handle ends it; jobs go on without it.
#[derive(Debug)]
pub struct Engine {
    messages: mpsc::UnboundedSender<Message>,
    updates: broadcast::Sender<Update>,
    store: Arc<Store>,
    dispatcher: Mutex<Option<JoinHandle<()>>>,
    /// Follow the store's clock, and look for runs.
    followers: [AbortHandle; 2],
}

/// A message to the dispatcher.
pub(crate) enum Message {
    /// Something for a run; the answer comes once it is stored.
    Tell { run: RunId, input: Input, reply: Option<oneshot::Sender<Result<Vec<Event>, TellError>>> },
    /// Look for runs that nobody drives.
    Look,
    /// Drive this run from now on.
    TakeUp { run: RunId, reply: oneshot::Sender<Result<Arc<RunState>, TellError>> },
    /// The attendant of a job is done with it, and has removed what it left, or not.
    Left { cleanup: Cleanup, token: Token, cleaned: bool },
    /// A write of these runs had failed: go on with them.
    Again { runs: Vec<RunId> },
    /// What an earlier engine had left was seen to; the outbox row that is done then.
    Cleaned { key: Option<String> },
    /// The plans of a gate's deliveries are made, or it is known why they cannot be.
    Prepared { run: RunId, gate: GateId, deliveries: Result<Vec<PlannedDelivery>, String> },
    /// It is time to remove what a delivery has left: the outbox row's key.
    Due { key: String },
    /// It was looked at; what the run is to be told, unless it must be tried again.
    Retired { key: String, run: RunId, input: Option<Box<Input>> },
    /// End the dispatcher.
    Stop,
}

impl Message {
    /// Whether others may be waited for before it is stored. The first step's start is stored at once: from then on the
    /// job is never launched again.
    fn may_wait(&self) -> bool {
        let Self::Tell { input: Input::Reported { reports, .. }, reply: None, .. } = self else { return false };
        !reports.iter().any(|report| matches!(report, Report::StepStarted { step: 0, .. }))
    }
}

impl Engine {
    /// Takes the store's lock and goes on with every run that has not ended.
    ///
    /// # Errors
    /// [`StoreError::Busy`] within a second when another engine drives the store.
    pub fn start(config: EngineConfig) -> Result<Self, StoreError> {
        config.folder.create()?;
        let lock = lock::take(&config.folder, &config.holder)?;
        let store = Arc::new(Store::open(&config.folder)?);
        let (messages, inbox) = mpsc::unbounded_channel();
        let (updates, _) = broadcast::channel(UPDATES);
        let mut leftovers = tidy::leftovers(&config.folder);
        let active = store.runs(&RunFilter { active: true, ..RunFilter::default() })?;
        leftovers.extend(tidy::old_trees(&config.folder, &active.iter().map(|row| row.id).collect()));
        clock::of_store(&config.folder);
        let clock = tokio::spawn(clock::follow(config.folder.clone())).abort_handle();
        let look = tokio::spawn(look(messages.clone())).abort_handle();
        let mut dispatcher = Dispatcher {
            ledger: Ledger::new(store.clone(), config.faults.fail_write),
            config: Arc::new(config),
            handle: Handle::current(),
            messages: messages.clone(),
            updates: updates.clone(),
            timers: Timers::new(messages.clone()),
            preparing: BTreeMap::new(),
            retirements: BTreeMap::new(),
            undoing: BTreeSet::new(),
            attendants: BTreeMap::new(),
            waiting: VecDeque::new(),
            cleaned: Vec::new(),
            cleaning: 0,
            paused: BTreeSet::new(),
            looking_again: BTreeSet::new(),
            looked: 0,
            unread: BTreeSet::new(),
            _lock: lock,
        };
        let spawned = std::thread::Builder::new().name("dispatcher".to_owned()).spawn(move || {
            let runs: Vec<RunId> = active.iter().rev().map(|row| RunId(row.id)).collect();
            dispatcher.recover(&runs);
            dispatcher.tidy(leftovers);
            dispatcher.serve(inbox);
        });
        let dispatcher = spawned.map_err(|source| StoreError::Io {
            doing: "start a thread for",
            path: store.folder().root().to_owned(),
            source,
        })?;
        Ok(Self { messages, updates, store, dispatcher: Mutex::new(Some(dispatcher)), followers: [clock, look] })
    }

    /// The store the engine drives.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Everything that happens from now on.
    pub fn watch(&self) -> broadcast::Receiver<Update> {
        self.updates.subscribe()
    }

    /// Tells a run something and waits until it is stored. Returns the events it led to.
    ///
    /// # Errors
    /// The run's refusal, or the store's.
    pub async fn tell(&self, run: RunId, input: Input) -> Result<Vec<Event>, TellError> {
        let (reply, answer) = oneshot::channel();
        let _ = self.messages.send(Message::Tell { run, input, reply: Some(reply) });
        answer.await.unwrap_or_else(|_| Err(gone(&self.store)))
    }

    /// Drives a run that was made in the store.
    pub async fn take_up(&self, run: RunId) -> Result<Arc<RunState>, TellError> {
        let (reply, answer) = oneshot::channel();
        let _ = self.messages.send(Message::TakeUp { run, reply });
        answer.await.unwrap_or_else(|_| Err(gone(&self.store)))
    }

    /// Ends the engine and gives the store back, after what ended jobs and earlier engines have left is removed, for some
    /// seconds at most. Jobs that run go on, keep their results, and are found again.
    pub fn stop(&self) {
        let _ = self.messages.send(Message::Stop);
        self.followers.iter().for_each(AbortHandle::abort);
        let dispatcher = self.dispatcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(dispatcher) = dispatcher {
            // A dispatcher that panicked has said so already; its lock went with it.
            let _ = dispatcher.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Reminds the dispatcher to look for runs.
async fn look(messages: mpsc::UnboundedSender<Message>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let _ = messages.send(Message::Look);
    }
}

/// Whether it is an attendant that says this.
fn of_job(input: &Input) -> bool {
    use Input::{AgentGone, ArtifactStored, LaunchFailed, Milestone, Reported};
    matches!(input, Reported { .. } | Milestone { .. } | ArtifactStored { .. } | LaunchFailed { .. } | AgentGone { .. })
}

fn gone(store: &Store) -> TellError {
    let path = store.folder().root().to_owned();
    StoreError::Io { doing: "reach the engine of", path, source: std::io::ErrorKind::BrokenPipe.into() }.into()
}

/// Whether the error is that the engine has ended: what it was told it did not hear.
pub(crate) fn has_ended(error: &TellError) -> bool {
    matches!(error, TellError::Store(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The one place where things are decided.
struct Dispatcher {
    ledger: Ledger,
    config: Arc<EngineConfig>,
    handle: Handle,
    messages: mpsc::UnboundedSender<Message>,
    updates: broadcast::Sender<Update>,
    timers: Timers,
    /// Gates whose deliveries are being planned.
    preparing: BTreeMap<(RunId, GateId), AbortHandle>,
    /// What deliveries have left, by the key of the outbox row, and who waits for its time.
    retirements: BTreeMap<String, (Retirement, AbortHandle)>,
    /// Those among them that a run's end asked for and that are under way.
    undoing: BTreeSet<String>,
    attendants: BTreeMap<(RunId, JobKey, Token), Attendant>,
    /// Legs that may start as soon as there is room, in the order they asked.
    waiting: VecDeque<(RunId, JobKey, Attempt)>,
    /// Keys of outbox rows that are done; ticked off with the next write.
    cleaned: Vec<String>,
    /// How many things that earlier engines left are being seen to.
    cleaning: usize,
    /// Runs with a failed write, until they are taken up again.
    paused: BTreeSet<RunId>,
    /// Runs for which the store could not be read, until it is tried again.
    looking_again: BTreeSet<RunId>,
    /// How long the journal was when runs were last looked for.
    looked: u64,
    /// Runs that this engine cannot read; said once.
    unread: BTreeSet<RunId>,
    _lock: EngineLock,
}

type Reply = Option<oneshot::Sender<Result<Vec<Event>, TellError>>>;

impl Dispatcher {
    fn recover(&mut self, runs: &[RunId]) {
        let mut touched = BTreeSet::new();
        self.take_up(runs, &mut touched);
        self.settle(touched);
        Faults::kill(self.config.faults.kill_done, || self.entries());
        self.clean_up();
        self.watch_retirements();
    }

    fn take_up(&mut self, runs: &[RunId], touched: &mut BTreeSet<RunId>) {
        for run in runs {
            match self.ledger.load(*run) {
                Ok(_) => {
                    touched.insert(*run);
                }
                // One run that cannot be read must not keep the others from going on.
                Err(error) => {
                    tracing::error!(%run, %error, "this run cannot be continued");
                    self.unread.insert(*run);
                }
            }
        }
    }

    /// Takes up runs that were begun in the store by somebody who died before the engine was told. While the journal does
    /// not grow there can be none.
    fn look(&mut self, touched: &mut BTreeSet<RunId>) {
        let store = self.ledger.store();
        let Ok(number) = store.last_number() else { return };
        if number == self.looked {
            return;
        }
        let Ok(active) = store.runs(&RunFilter { active: true, ..RunFilter::default() }) else { return };
        self.looked = number;
        let new =
            |run: &RunId| self.ledger.get(*run).is_none() && !self.paused.contains(run) && !self.unread.contains(run);
        let new: Vec<RunId> = active.iter().rev().map(|row| RunId(row.id)).filter(new).collect();
        self.take_up(&new, touched);
    }

    /// Removes what an engine that was killed has left of jobs that had ended.
    fn clean_up(&mut self) {
        let rows = self.ledger.store().outbox().unwrap_or_default();
        for row in rows {
            if row.key.starts_with(ledger::SECRETS) {
                if self.unread.contains(&row.run) {
                    continue;
                }
                // A run that goes on again needs what it was given anew, and writes another row when it ends.
                if self.ledger.get(row.run).is_some() || secrets::forget(self.ledger.store(), row.run) {
                    self.cleaned.push(row.key);
                }
                continue;
            }
            if let Ok(cleanup) = serde_json::from_str::<Cleanup>(&row.body) {
                self.clean(cleanup);
            }
        }
    }

    /// Removes what a job that has ended has left, and ticks off its outbox row then.
    fn clean(&mut self, cleanup: Cleanup) {
        let Some(executor) = self.config.executors.of_started(&cleanup.executor).cloned() else { return };
        let path = self.config.folder.job(cleanup.run.0, &cleanup.key.to_string(), cleanup.attempt.0);
        let messages = self.messages.clone();
        self.cleaning += 1;
        self.handle.spawn(async move {
            let key = cleanup.outbox_key();
            let cleaned = executor.clean(&JobFolder::new(path)).await;
            if let Err(error) = &cleaned {
                tracing::warn!(key, %error, "what is left of a job stays behind");
            }
            let _ = messages.send(Message::Cleaned { key: cleaned.is_ok().then_some(key) });
        });
    }

    /// The attendant of a job is done with it. Where it has ended and its attendant did not clean up, because it never
    /// ran, that is done here.
    fn left(&mut self, cleanup: Cleanup, token: Token, cleaned: bool) {
        let Cleanup { run, key, attempt, .. } = &cleanup;
        self.attendants.remove(&(*run, key.clone(), token));
        let goes_on = self.ledger.get(*run).and_then(|entry| entry.state.leg(key));
        let goes_on = goes_on.is_some_and(|leg| leg.attempt == *attempt && leg.ended.is_none());
        match (cleaned, goes_on) {
            (true, _) => self.cleaned.push(cleanup.outbox_key()),
            (false, false) => self.clean(cleanup),
            (false, true) => {}
        }
    }

    /// Removes what earlier engines left half made.
    fn tidy(&mut self, leftovers: Vec<PathBuf>) {
        let messages = self.messages.clone();
        self.cleaning += 1;
        self.handle.spawn(async move {
            tidy::remove(leftovers).await;
            let _ = messages.send(Message::Cleaned { key: None });
        });
    }

    fn serve(&mut self, mut inbox: mpsc::UnboundedReceiver<Message>) {
        while let Some(first) = inbox.blocking_recv() {
            let batch = self.gather(first, &mut inbox);
            if !self.turn(batch) {
                self.let_clean_up(&mut inbox);
                // Lost, they would be done once more, which does no harm.
                let _ = self.ledger.store().done(&self.cleaned);
                return;
            }
        }
    }

    /// Lets the attendants of jobs that have ended remove their folders, what earlier engines left go, and what is undone
    /// when a run ends be undone, which may take its time. What takes too long is left to the next engine, which the outbox
    /// tells.
    fn let_clean_up(&mut self, inbox: &mut mpsc::UnboundedReceiver<Message>) {
        let ledger = &self.ledger;
        self.attendants.retain(|(run, key, _), attendant| {
            let ended = ledger.get(*run).is_none_or(|entry| entry.state.leg(key).is_none_or(|leg| leg.ended.is_some()));
            ended && attendant.removes_folders
        });
        let limit = if self.undoing.is_empty() { LEAVE } else { delivery::retire::LIMIT };
        let deadline = tokio::time::Instant::now() + limit;
        while self.cleaning > 0 || !self.attendants.is_empty() || !self.undoing.is_empty() {
            let next = self.handle.block_on(async { tokio::time::timeout_at(deadline, inbox.recv()).await });
            match next {
                Ok(Some(Message::Left { cleanup, token, cleaned })) => {
                    self.attendants.remove(&(cleanup.run, cleanup.key.clone(), token));
                    self.cleaned.extend(cleaned.then(|| cleanup.outbox_key()));
                }
                Ok(Some(Message::Cleaned { key })) => self.cleaned_one(key),
                Ok(Some(Message::Retired { key, run, input })) => self.retired(key, run, input, &mut BTreeSet::new()),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// What waits, each with when it came.
    fn gather(&self, first: Message, inbox: &mut mpsc::UnboundedReceiver<Message>) -> Vec<(Timestamp, Message)> {
        let until = tokio::time::Instant::now() + HOLD;
        let mut in_no_hurry = first.may_wait();
        let mut batch = vec![(clock::now(), first)];
        while batch.len() < BATCH {
            let next = match inbox.try_recv() {
                Ok(next) => next,
                Err(_) if in_no_hurry => {
                    let next = self.handle.block_on(async { tokio::time::timeout_at(until, inbox.recv()).await });
                    let Ok(Some(next)) = next else { break };
                    next
                }
                Err(_) => break,
            };
            in_no_hurry &= next.may_wait();
            batch.push((clock::now(), next));
        }
        batch
    }

    /// One batch; false when the engine is to end.
    fn turn(&mut self, batch: Vec<(Timestamp, Message)>) -> bool {
        let mut go_on = true;
        let (mut inputs, mut replies): (Vec<Heard>, Vec<Reply>) = (Vec::new(), Vec::new());
        let mut touched = BTreeSet::new();
        let mut taken_up = Vec::new();
        for (at, message) in batch {
            match message {
                // It was sent before its attendant was called off: the next one says it again.
                Message::Tell { run, input, .. } if self.paused.contains(&run) && of_job(&input) => {}
                Message::Tell { run, input, reply } => {
                    inputs.push((run, input, at));
                    replies.push(reply);
                }
                Message::Look => self.look(&mut touched),
                Message::TakeUp { run, reply } => {
                    let loaded = self.ledger.load(run).map(|entry| entry.state.clone());
                    if loaded.is_ok() {
                        touched.insert(run);
                    }
                    taken_up.push((reply, loaded));
                }
                Message::Left { cleanup, token, cleaned } => {
                    touched.insert(cleanup.run);
                    self.left(cleanup, token, cleaned);
                }
                Message::Again { runs } => {
                    self.looking_again.retain(|run| !runs.contains(run));
                    let (loaded, unread): (Vec<_>, Vec<_>) =
                        runs.into_iter().partition(|run| self.ledger.load(*run).is_ok());
                    self.paused.retain(|run| !loaded.contains(run));
                    touched.extend(loaded);
                    self.try_again(unread);
                }
                Message::Cleaned { key } => self.cleaned_one(key),
                Message::Prepared { run, gate, deliveries } => {
                    self.preparing.remove(&(run, gate));
                    if let Some(input) = self.prepared(run, gate, deliveries) {
                        inputs.push((run, input, at));
                        replies.push(None);
                    }
                }
                Message::Due { key } => self.retire(&key),
                Message::Retired { key, run, input } => self.retired(key, run, input, &mut touched),
                Message::Stop => go_on = false,
            }
        }
        let answers = self.tell(inputs, &mut touched);
        for (reply, answer) in replies.into_iter().zip(answers) {
            if let Some(reply) = reply {
                let _ = reply.send(answer.map(|told| told.events));
            }
        }
        for (reply, loaded) in taken_up {
            let _ = reply.send(loaded);
        }
        if go_on {
            self.settle(touched);
        }
        Faults::kill(self.config.faults.kill_done, || self.entries());
        go_on
    }

    /// Something an earlier engine left was seen to.
    fn cleaned_one(&mut self, key: Option<String>) {
        self.cleaning -= 1;
        self.cleaned.extend(key);
    }

    /// How many entries the journal has.
    fn entries(&self) -> u64 {
        self.ledger.store().last_number().unwrap_or_default()
    }

    /// Decides and stores inputs, and publishes what came of them.
    fn tell(&mut self, inputs: Vec<Heard>, touched: &mut BTreeSet<RunId>) -> Vec<Result<Told, TellError>> {
        let runs: Vec<RunId> = inputs.iter().map(|(run, ..)| *run).collect();
        let repeated = self.config.faults.repeat.then(|| inputs.clone());
        let told = self.ledger.tell(inputs, &mut self.cleaned);
        Faults::kill(self.config.faults.kill_stored, || self.entries());
        let (answers, mut failed) = (told.answers, told.failed);
        // A run that cannot be read is as good as one that cannot be written.
        let unread = |answer: &Result<Told, TellError>| matches!(answer, Err(TellError::Store(_)));
        let unread = runs.into_iter().zip(&answers).filter(|(_, answer)| unread(answer)).map(|(run, _)| run);
        failed.extend(unread.filter(|run| self.attendants.keys().any(|(attended, ..)| attended == run)));
        failed.sort_unstable();
        failed.dedup();
        if let Some(inputs) = repeated {
            let again = self.ledger.tell(inputs, &mut self.cleaned);
            again.answers.iter().flatten().for_each(|told| self.publish(told.run, &told.events));
        }
        self.try_again(failed);
        for answer in &answers {
            match answer {
                Ok(told) if !told.events.is_empty() => {
                    touched.insert(told.run);
                    self.publish(told.run, &told.events);
                    if told.events.iter().any(|event| matches!(event.fact, Fact::Milestone { .. })) {
                        self.watch_retirements();
                    }
                    if told.events.iter().any(|event| matches!(event.fact, Fact::RunFinished { .. })) {
                        self.run_ended(told.run);
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "an input was refused"),
            }
        }
        answers
    }

    /// After a failed write what agents have said of these runs since their journals' last event is lost. So their jobs'
    /// attendants are called off, and when the disk has had a moment others read the spools from the beginning. One whose
    /// job has ended has nothing more to say and goes on cleaning.
    fn try_again(&mut self, runs: Vec<RunId>) {
        if runs.is_empty() {
            return;
        }
        let ledger = &self.ledger;
        let ended = |run: RunId, key: &JobKey| Some(ledger.get(run)?.state.leg(key)?.ended.is_some());
        self.attendants.retain(|(run, key, _), _| !runs.contains(run) || ended(*run, key) == Some(true));
        self.paused.extend(&runs);
        let messages = self.messages.clone();
        self.handle.spawn(async move {
            tokio::time::sleep(AGAIN).await;
            let _ = messages.send(Message::Again { runs });
        });
    }

    fn publish(&self, run: RunId, events: &[Event]) {
        if let Some(entry) = self.ledger.get(run) {
            let _ = self.updates.send(Update { run, events: events.into(), state: entry.state.clone() });
        }
    }

    /// Does what is outstanding for runs that changed, until nothing more follows by itself.
    fn settle(&mut self, mut touched: BTreeSet<RunId>) {
        while !touched.is_empty() {
            let mut inputs = Vec::new();
            for run in std::mem::take(&mut touched) {
                self.arrange(run, &mut inputs);
            }
            inputs.extend(self.grant_locks());
            self.fill_places(&mut inputs);
            if !inputs.is_empty() {
                let now = clock::now();
                self.tell(inputs.into_iter().map(|(run, input)| (run, input, now)).collect(), &mut touched);
            }
        }
    }

    /// Brings timers, attendants and gates of a run in line with its state.
    fn arrange(&mut self, run: RunId, inputs: &mut Vec<(RunId, Input)>) {
        let Some(entry) = self.ledger.get(run).filter(|_| !self.paused.contains(&run)) else { return };
        let (state, root) = (entry.state.clone(), entry.root.clone());
        let effects = outstanding(&state);
        let mut timers: Vec<TimerId> = Vec::new();
        self.waiting.retain(|(waiting, ..)| *waiting != run);
        for effect in effects {
            match effect {
                Effect::StartJob { key, attempt } => self.waiting.push_back((run, key, attempt)),
                Effect::Attend { key, attempt, token, executor } => {
                    self.attend(run, &state, &root, Errand { run, key, attempt, token, executor });
                }
                Effect::CancelJob { key, token, why, kill, .. } => {
                    if let Some(attendant) = self.attendants.get(&(run, key, token)) {
                        attendant.cancel(&why, kill);
                    }
                }
                Effect::PrepareGate { gate, .. } => inputs.extend(self.prepare(run, gate).map(|input| (run, input))),
                Effect::SetTimer { timer, at } => {
                    self.timers.at(&self.handle, run, &timer, at);
                    timers.push(timer);
                }
                Effect::CheckTimer { timer, after } => {
                    self.timers.after(&self.handle, run, &timer, after);
                    timers.push(timer);
                }
            }
        }
        self.timers.keep(run, &timers);
        self.preparing.retain(|(of, gate), task| {
            let wanted = *of != run || state.gates.get(gate).is_some_and(|gate| gate.status == GateStatus::Requested);
            if !wanted {
                task.abort();
            }
            wanted
        });
        if state.finished.is_some() {
            self.tidy(vec![source::trees(&self.config.folder.cache()).join(run.to_string())]);
            // What could not be removed stays in the outbox, for the next engine.
            if secrets::forget(self.ledger.store(), run) {
                self.cleaned.extend(ledger::secrets_keys(&state));
            }
            self.ledger.forget(run);
        }
    }

    fn attend(&mut self, run: RunId, state: &Arc<RunState>, root: &str, errand: Errand) {
        let id = (run, errand.key.clone(), errand.token.clone());
        if self.attendants.contains_key(&id) {
            return;
        }
        let context = self.context(state.clone(), root);
        self.attendants.insert(id, Attendant::spawn(&self.handle, context, errand));
    }

    fn context(&self, state: Arc<RunState>, root: &str) -> attend::Context {
        attend::Context {
            store: self.ledger.store().clone(),
            config: self.config.clone(),
            messages: self.messages.clone(),
            state,
            root: PathBuf::from(root),
        }
    }

    /// Digests that runs of this repository brought through an environment.
    fn passed(&self, run: RunId, root: &str, after: Option<&str>) -> Result<BTreeSet<String>, StoreError> {
        let Some(after) = after else { return Ok(BTreeSet::new()) };
        let mut passed = BTreeSet::new();
        for row in self.ledger.store().deployments(Some(root), Some(after))? {
            if row.run == run.0 {
                continue;
            }
            if let Fact::Deployed { artifacts, release_digest, .. } = row.event.fact {
                passed.insert(release_digest);
                passed.extend(artifacts.into_values());
            }
        }
        Ok(passed)
    }

    /// Gives every free lock to whom it is due, over all runs.
    fn grant_locks(&mut self) -> Vec<(RunId, Input)> {
        let mut claims: BTreeMap<(&str, &Lock), Vec<Contender>> = BTreeMap::new();
        for (_, entry) in self.ledger.runs() {
            for lock in locks::wanted(&entry.state).collect::<BTreeSet<_>>() {
                claims.entry((&entry.root, lock)).or_default().extend(locks::claims(&entry.state, lock));
            }
        }
        let told: Vec<(RunId, Input)> =
            claims.iter().flat_map(|((_, lock), contenders)| locks::arbitrate(lock, contenders)).collect();
        told.into_iter().filter_map(|(run, input)| self.unless_downgrade(run, input)).collect()
    }

    /// Starts legs while there is room.
    fn fill_places(&mut self, inputs: &mut Vec<(RunId, Input)>) {
        if self.waiting.is_empty() {
            return;
        }
        let legs = self.ledger.runs().flat_map(|(_, entry)| entry.state.legs());
        let mut running = legs.filter(|(_, leg)| leg.started.is_some() && leg.ended.is_none()).count();
        while running < self.config.max_jobs {
            let Some((run, key, _)) = self.waiting.pop_front() else { return };
            let Some(entry) = self.ledger.get(run) else { continue };
            let image = entry.state.leg(&key).and_then(|leg| leg.ready.leg.image.as_deref());
            let executor = self.config.executors.choose(&entry.state.runner, image).to_owned();
            match crate::random::hex() {
                Ok(token) => inputs.push((run, Input::JobStarting { key, token: Token(token), executor })),
                Err(error) => tracing::error!(%run, %error, "no random token can be had, so nothing starts"),
            }
            running += 1;
        }
    }
}
