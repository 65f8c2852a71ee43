//! A fake agent: plays a script as a task of this process, over a real job folder and socket.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tagline_protocol::{AgentState, Command, Conclusion, JobResult, Notice, Record, Reply, Request, VERSION};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::script::{Act, Script, result, step};
use crate::folder::JobFolder;

/// What connections and script share.
#[derive(Debug, Default)]
struct Hub {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    agent: Option<AgentState>,
    attempt: Option<u32>,
    cancelled: Option<String>,
    killed: bool,
    engine: Option<mpsc::UnboundedSender<Notice>>,
    requests: u64,
    pending: BTreeMap<u64, Request>,
    answers: BTreeMap<u64, Result<Reply, String>>,
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something in the state is there.
    async fn until<T>(&self, find: impl Fn(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = find(&mut self.state()) {
                return found;
            }
            changed.await;
        }
    }

    fn tell(&self, notice: Notice) {
        if let Some(engine) = &self.state().engine {
            // An engine that has left hears it all again from the spool.
            let _ = engine.send(notice);
        }
    }
}

/// Plays until the script ends or dies; dropping it is the agent's sudden death.
pub(super) async fn run(listener: UnixListener, folder: JobFolder, token: String, script: Script) {
    let hub = Arc::new(Hub::default());
    hub.state().agent = Some(AgentState::Waiting);
    let mut connections = JoinSet::new();
    let mut played = std::pin::pin!(play(&hub, &folder, script));
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                connections.spawn(serve(Arc::clone(&hub), stream, token.clone()));
            }
            ended = &mut played => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a fake agent cannot write its spool");
                }
                return;
            }
        }
    }
}

async fn serve(hub: Arc<Hub>, stream: UnixStream, token: String) {
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading).lines();
    let command = |line: &str| serde_json::from_str::<Command>(line).ok();
    let hello = lines.next_line().await.ok().flatten();
    match hello.as_deref().and_then(command) {
        Some(Command::Hello { version, token: given }) if version == VERSION && given == token => {}
        _ => return,
    }
    let (engine, mut notices) = mpsc::unbounded_channel();
    {
        let mut state = hub.state();
        let agent = state.agent.unwrap_or(AgentState::Waiting);
        let hello = Notice::Hello { version: VERSION, state: agent };
        let pending = state.pending.iter();
        let pending = pending.map(|(id, body)| Notice::Request { id: *id, body: body.clone() });
        for notice in std::iter::once(hello).chain(pending) {
            // The receiver is at hand.
            let _ = engine.send(notice);
        }
        state.engine = Some(engine);
    }
    loop {
        tokio::select! {
            line = lines.next_line() => match line.ok().flatten().as_deref().and_then(command) {
                Some(command) => obey(&hub, command),
                None => return,
            },
            // None: a newer engine took this one's place.
            notice = notices.recv() => match notice {
                Some(notice) => {
                    let line = serde_json::to_string(&notice).expect("a notice is plain data");
                    if writing.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                        return;
                    }
                }
                None => return,
            },
        }
    }
}

fn obey(hub: &Hub, command: Command) {
    let mut state = hub.state();
    match command {
        // Nobody reads the log of a fake agent's request.
        Command::Hello { .. } | Command::Progress { .. } => {}
        Command::Start(spec) => {
            if state.agent == Some(AgentState::Waiting) {
                state.agent = Some(AgentState::Running);
                state.attempt = Some(spec.attempt);
            }
        }
        Command::Cancel { reason } => {
            state.cancelled.get_or_insert(reason);
        }
        Command::Kill => state.killed = true,
        Command::Reply { id, result } => {
            if state.pending.remove(&id).is_some() {
                state.answers.insert(id, result);
            }
        }
    }
    drop(state);
    hub.changed.notify_waiters();
}

/// The spool as the fake writes it; times count records.
struct Spool<'a> {
    hub: &'a Hub,
    file: File,
    at: u64,
}

impl Spool<'_> {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.at += 1;
        let bytes = self.file.metadata()?.len();
        self.hub.tell(Notice::Grown { bytes });
        Ok(())
    }

    fn finish(&mut self, result: JobResult) -> io::Result<()> {
        let at = self.at;
        self.write(&Record::JobFinished { result, at })
    }
}

async fn play(hub: &Hub, folder: &JobFolder, script: Script) -> io::Result<()> {
    let attempt = hub.until(|state| state.attempt).await;
    let file = OpenOptions::new().append(true).open(folder.spool())?;
    let mut spool = Spool { hub, file, at: 0 };
    spool.write(&Record::JobStarted { at: 0, attempt })?;
    let ended = |state: &mut State| {
        let cancelled = state.cancelled.clone().filter(|_| !script.deaf);
        let killed = state.killed.then(|| "killed".to_owned());
        killed.or(cancelled)
    };
    let mut acts = script.acts.into_iter();
    let mut steps = 0;
    let last = loop {
        let Some(act) = acts.next() else {
            break result(Conclusion::Success, "");
        };
        if let Act::Ask(body @ Request::Deliver { .. }) = act {
            match deliver(hub, body).await {
                Ok(()) => continue,
                Err(result) => break *result,
            }
        }
        let acted = perform(hub, &mut spool, act, &mut steps);
        tokio::select! {
            biased;
            why = hub.until(ended) => break result(Conclusion::Cancelled, &why),
            acted = acted => match acted? {
                Acted::On => {}
                Acted::Finished(result) => break result,
                Acted::Died => return Ok(()),
            },
        }
    };
    spool.finish(last)?;
    hub.state().agent = Some(AgentState::Finished);
    Ok(())
}

enum Acted {
    On,
    Finished(JobResult),
    Died,
}

async fn perform(hub: &Hub, spool: &mut Spool<'_>, act: Act, steps: &mut u32) -> io::Result<Acted> {
    match act {
        Act::Step { id, lines, conclusion } => {
            for record in step(*steps, &id, &lines, conclusion, spool.at) {
                spool.write(&record)?;
            }
            *steps += 1;
        }
        Act::Record(record) => spool.write(&record)?,
        Act::Hold(hold) => hold.pass().await,
        Act::Ask(body) => {
            if let Err(why) = ask(hub, body).await {
                return Ok(Acted::Finished(result(Conclusion::Failure, &why)));
            }
        }
        Act::Torn(bytes) => spool.file.write_all(bytes.as_bytes())?,
        Act::Die => return Ok(Acted::Died),
        Act::Finish(result) => return Ok(Acted::Finished(*result)),
    }
    Ok(Acted::On)
}

/// A delivery is not ended by a cancel: the engine is told, goes back and answers.
async fn deliver(hub: &Hub, body: Request) -> Result<(), Box<JobResult>> {
    let id = request(hub, body);
    let mut answer = std::pin::pin!(hub.until(|state| state.answers.remove(&id)));
    let why = tokio::select! {
        answer = &mut answer => {
            return answer.map(|_| ()).map_err(|why| Box::new(result(Conclusion::Failure, &why)));
        }
        why = hub.until(|state| state.cancelled.clone()) => why,
    };
    hub.tell(Notice::Withdraw { id, why: why.clone() });
    let said = answer.await.err().unwrap_or_default();
    Err(Box::new(result(Conclusion::Cancelled, &format!("{why}; {said}"))))
}

async fn ask(hub: &Hub, body: Request) -> Result<Reply, String> {
    let id = request(hub, body);
    hub.until(|state| state.answers.remove(&id)).await
}

fn request(hub: &Hub, body: Request) -> u64 {
    let mut state = hub.state();
    state.requests += 1;
    let id = state.requests;
    state.pending.insert(id, body.clone());
    drop(state);
    hub.tell(Notice::Request { id, body });
    id
}
