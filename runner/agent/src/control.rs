//! The control socket: the engine's commands come in, notices go out.
//!
//! Invariants: one engine at a time, and a newer connection with the right token takes the place of the older; the
//! token comes first and a wrong one ends the connection; a job starts once; a notice never makes the job wait; a
//! request is sent again on every new connection until it is answered.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::SendFlags;
use tagline_protocol::{AgentState, Command, JobSpec, Notice, Reply, Request, VERSION};

use crate::clock;
use crate::wake::Wake;

/// The longest line an engine may send: a job's specification with its contexts.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// How long an engine may take to take a request before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// The agent's side of the socket.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    token: String,
    state: Mutex<State>,
    changed: Condvar,
    wake: Wake,
}

#[derive(Debug)]
struct State {
    agent: AgentState,
    start: Option<Box<JobSpec>>,
    cancel: Option<String>,
    kill: bool,
    engine: Option<(u64, UnixStream)>,
    connections: u64,
    requests: u64,
    pending: BTreeMap<u64, Request>,
    withdrawn: BTreeMap<u64, String>,
    answers: BTreeMap<u64, Result<Reply, String>>,
    progress: BTreeMap<u64, Progress>,
}

/// What the engine says of a request that it is still busy with.
#[derive(Debug, Default)]
pub struct Progress {
    /// Lines for the log.
    pub lines: Vec<String>,
    /// Warnings.
    pub warnings: Vec<String>,
}

impl Control {
    /// Begins to accept connections.
    pub fn start(listener: UnixListener, token: String, wake: Wake) -> io::Result<Self> {
        let control = Self {
            shared: Arc::new(Shared {
                token,
                state: Mutex::new(State {
                    agent: AgentState::Waiting,
                    start: None,
                    cancel: None,
                    kill: false,
                    engine: None,
                    connections: 0,
                    requests: 0,
                    pending: BTreeMap::new(),
                    withdrawn: BTreeMap::new(),
                    progress: BTreeMap::new(),
                    answers: BTreeMap::new(),
                }),
                changed: Condvar::new(),
                wake,
            }),
        };
        let own = control.clone();
        thread::Builder::new()
            .name("control".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || own.accept_for_ever(&listener))?;
        Ok(control)
    }

    /// The job, once it comes; none if it does not come within `limit`, or `Kill` comes first.
    pub fn wait_for_start(&self, limit: Duration) -> Option<Box<JobSpec>> {
        let waiting = |state: &mut State| state.start.is_none() && !state.kill;
        let (mut state, _) =
            self.shared.changed.wait_timeout_while(self.lock(), limit, waiting).unwrap_or_else(PoisonError::into_inner);
        state.start.take()
    }

    /// Says what the agent is doing, for the next `Hello`.
    pub fn set_state(&self, agent: AgentState) {
        self.lock().agent = agent;
    }

    /// Why the engine wants the job to end, if it does.
    pub fn cancelled(&self) -> Option<String> {
        self.lock().cancel.clone()
    }

    /// Whether the engine wants the job to end now.
    pub fn killed(&self) -> bool {
        self.lock().kill
    }

    /// Tells the engine that the spool has grown, if one is there and listens.
    pub fn grown(&self, bytes: u64) {
        let mut state = self.lock();
        if let Some((_, stream)) = &state.engine {
            match send(stream, &Notice::Grown { bytes }, false) {
                Ok(()) | Err(Errno::AGAIN) => {}
                Err(_) => {
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                    state.engine = None;
                }
            }
        }
    }

    /// Asks the engine for something; the number is for [`Control::answer`].
    pub fn request(&self, body: Request) -> u64 {
        let mut state = self.lock();
        state.requests += 1;
        let id = state.requests;
        state.pending.insert(id, body.clone());
        state.deliver(&Notice::Request { id, body });
        id
    }

    /// The answer to a request, once: afterwards it is forgotten.
    pub fn answer(&self, id: u64) -> Option<Result<Reply, String>> {
        self.lock().answers.remove(&id)
    }

    /// What the engine has said of a request since the last look.
    pub fn progress(&self, id: u64) -> Progress {
        self.lock().progress.remove(&id).unwrap_or_default()
    }

    /// Tells the engine that the step of a request is to end; its answer is still awaited.
    pub fn withdraw(&self, id: u64, why: &str) {
        let mut state = self.lock();
        if state.pending.contains_key(&id) {
            state.withdrawn.insert(id, why.to_owned());
            state.deliver(&Notice::Withdraw { id, why: why.to_owned() });
        }
    }

    /// Forgets a request whose step has ended.
    pub fn forget(&self, id: u64) {
        let mut state = self.lock();
        state.pending.remove(&id);
        state.withdrawn.remove(&id);
        state.answers.remove(&id);
        state.progress.remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept_for_ever(&self, listener: &UnixListener) {
        for stream in listener.incoming().flatten() {
            let own = self.clone();
            // A connection that cannot have a thread is dropped; the engine tries again.
            let _ = thread::Builder::new()
                .name("engine".to_owned())
                .stack_size(256 * 1024)
                .spawn(move || own.serve(&stream));
        }
    }

    /// One connection, until it ends.
    fn serve(&self, stream: &UnixStream) {
        let Ok(reading) = stream.try_clone() else {
            return;
        };
        let mut lines = BufReader::new(reading);
        let Some(generation) = self.greet(stream, &mut lines) else {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        };
        while let Some(command) = read(&mut lines) {
            self.obey(command);
        }
        let mut state = self.lock();
        if state.engine.as_ref().is_some_and(|(current, _)| *current == generation) {
            state.engine = None;
        }
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }

    /// Takes the connection as the engine's, if its first line is right.
    fn greet(&self, stream: &UnixStream, lines: &mut BufReader<UnixStream>) -> Option<u64> {
        let Some(Command::Hello { version, token }) = read(lines) else {
            return None;
        };
        if version != VERSION || !same(&token, &self.shared.token) {
            return None;
        }
        let mut state = self.lock();
        state.connections += 1;
        let generation = state.connections;
        let writing = stream.try_clone().ok()?;
        if let Some((_, older)) = state.engine.replace((generation, writing)) {
            let _ = older.shutdown(std::net::Shutdown::Both);
        }
        let agent = state.agent;
        state.deliver(&Notice::Hello { version: VERSION, state: agent });
        for (id, body) in state.pending.clone() {
            state.deliver(&Notice::Request { id, body });
        }
        for (id, why) in state.withdrawn.clone() {
            state.deliver(&Notice::Withdraw { id, why });
        }
        Some(generation)
    }

    fn obey(&self, command: Command) {
        let mut state = self.lock();
        match command {
            // A connection says it once.
            Command::Hello { .. } => {}
            Command::Start(spec) => {
                if state.agent == AgentState::Waiting && spec.version == VERSION {
                    state.agent = AgentState::Running;
                    state.start = Some(spec);
                }
            }
            Command::Cancel { reason } => {
                state.cancel.get_or_insert(reason);
            }
            Command::Kill => state.kill = true,
            Command::Reply { id, result } => {
                if state.pending.remove(&id).is_some() {
                    state.withdrawn.remove(&id);
                    state.answers.insert(id, result);
                }
            }
            Command::Progress { id, lines, warnings } => {
                if state.pending.contains_key(&id) {
                    let progress = state.progress.entry(id).or_default();
                    progress.lines.extend(lines);
                    progress.warnings.extend(warnings);
                }
            }
        }
        drop(state);
        self.shared.changed.notify_all();
        self.shared.wake.ring();
    }
}

impl State {
    /// Sends what must arrive; a connection that cannot take it is given up, and the next one gets it.
    fn deliver(&mut self, notice: &Notice) {
        let Some((_, stream)) = &self.engine else {
            return;
        };
        if send(stream, notice, true).is_err() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            self.engine = None;
        }
    }
}

/// Sends one line. A request may be larger than a socket's buffer (the inputs of a delivery), so it goes in parts as
/// the engine reads. Without `patient` a line that finds no room at all is not sent (`AGAIN`); once a part of it went
/// the rest must follow, and where it cannot the connection is of no use any more.
fn send(stream: &UnixStream, notice: &Notice, patient: bool) -> Result<(), Errno> {
    let mut line = serde_json::to_vec(notice).expect("a notice is plain data");
    line.push(b'\n');
    let end = Instant::now() + PATIENCE;
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let mut sent = 0;
    while sent < line.len() {
        match rustix::net::send(stream, &line[sent..], flags) {
            Ok(count) => sent += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if patient || sent > 0 => {
                if Instant::now() >= end {
                    return Err(Errno::TIMEDOUT);
                }
                // Interrupted or late, the loop looks again.
                let _ = poll(&mut [PollFd::new(stream, PollFlags::OUT)], clock::until([end]).as_ref());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The next command; none at the end, or on what is no command.
fn read(lines: &mut BufReader<UnixStream>) -> Option<Command> {
    let mut line = Vec::new();
    lines.take(MOST_BYTES).read_until(b'\n', &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}

/// Compares in a time that tells nothing about where two tokens differ.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && left.bytes().zip(right.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
