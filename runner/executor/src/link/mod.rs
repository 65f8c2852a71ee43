//! The engine's side of the protocol for one job: commands over the control socket, records out of the spool.
//!
//! Invariants: a record is handed out once and in order, with the offset to go on from; whoever keeps the offset of
//! the last record it has dealt with loses and doubles nothing by connecting anew. Notices only wake: when the socket
//! closes, the spool is read to its end before [`LinkEvent::Closed`]. It works the same on a dead agent's folder.

mod reader;
mod socket;
mod tail;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tagline_protocol::{AgentState, Command, JobSpec, Notice, Record, Reply, Request};
use tokio::net::unix::OwnedReadHalf;

use crate::folder::JobFolder;

pub use reader::LogReader;
pub use socket::Commands;
pub use tail::RawLine;

pub(crate) use socket::{Greeting, greet};

use socket::Lines;
use tail::Tail;

/// The spool is looked at this often without a notice: an agent may die between writing and telling.
const SAFETY: Duration = Duration::from_secs(1);

/// Lines handed over or skipped before requests and other tasks get a turn.
const TURN: u32 = 64;

/// The link to an agent cannot be made, or is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Somebody listens, but not for this token.
    #[error("the job's agent refused the engine: it belongs to another start of the job")]
    Refused,
    /// Another version.
    #[error("the job's agent speaks protocol {agent} and this engine {engine}; use the version that started it", engine = tagline_protocol::VERSION)]
    Version {
        /// The agent's.
        agent: u32,
    },
    /// It does not read or answer.
    #[error("the job's agent has not answered for 10 s")]
    Silent,
    /// It has ended.
    #[error("the job's agent has ended")]
    Gone,
    /// Somebody else answers in its place.
    #[error(
        "who answers as the job's agent waits for a job that has begun, or is another process: it is not the agent"
    )]
    Posed,
    /// Socket or spool.
    #[error("the link to the job's agent is broken: {0}")]
    Io(#[source] io::Error),
}

/// What comes from a job.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkEvent {
    /// A record, and the offset behind it.
    Record(Record, u64),
    /// The job wants something; answer with [`Link::reply`]. Comes again on a new link until it is answered.
    Request {
        /// Its number.
        id: u64,
        /// What.
        body: Request,
    },
    /// The step of a request is to end; the answer is still awaited. Comes again on a new link, after its request.
    Withdraw {
        /// The request's number.
        id: u64,
        /// Why, one sentence.
        why: String,
    },
    /// No agent, or no connection to it, any more, and the spool is read to its end. Nothing follows.
    Closed,
}

/// The engine's end of one job.
#[derive(Debug)]
pub struct Link {
    tail: Tail,
    socket: Option<OwnedReadHalf>,
    lines: Lines,
    commands: Commands,
    state: Option<AgentState>,
    peer: Option<u32>,
    logs: AtomicBool,
    turn: u32,
}

impl Link {
    /// Connects to the agent of a job folder and reads its spool from an offset that an earlier link gave, or 0.
    /// Where no agent listens the spool is read to its end. A newer link takes the place of an older one.
    pub async fn connect(folder: &JobFolder, token: &str, from: u64) -> Result<Self, LinkError> {
        let greeting = greet(folder, token).await?;
        let tail = Tail::new(&folder.spool(), from);
        Ok(Self::over(greeting, tail))
    }

    fn over(greeting: Option<Greeting>, tail: Tail) -> Self {
        let peer = greeting.as_ref().and_then(Greeting::pid);
        let (state, lines, halves) = match greeting {
            Some(greeting) => (Some(greeting.state), greeting.lines, Some(greeting.stream.into_split())),
            None => (None, Lines::default(), None),
        };
        let (socket, commands) = halves.unzip();
        let (commands, logs) = (Commands::new(commands), AtomicBool::new(true));
        Self { tail, socket, lines, commands, state, peer, logs, turn: 0 }
    }

    /// The process that listens at the other end, as this host counts; none where no agent listens or it cannot be told.
    pub fn peer(&self) -> Option<u32> {
        self.peer
    }

    /// What the agent was doing when the link was made; none where no agent listens.
    pub fn state(&self) -> Option<AgentState> {
        self.state
    }

    /// The offset behind what was read: skipped logs count as read.
    pub fn offset(&self) -> u64 {
        self.tail.offset()
    }

    /// Whether [`Record::Log`]s are handed out (they are at first). Those that nobody shows are passed over without
    /// decoding.
    pub fn show_logs(&self, show: bool) {
        self.logs.store(show, Ordering::Relaxed);
    }

    /// A sender of commands that lives apart from the link.
    pub fn commands(&self) -> Commands {
        self.commands.clone()
    }

    /// Gives the agent its job. Repeating it does no harm.
    pub async fn start(&self, spec: JobSpec) -> Result<(), LinkError> {
        self.commands.send(&Command::Start(Box::new(spec))).await
    }

    /// Ends the job gracefully.
    pub async fn cancel(&self, reason: &str) -> Result<(), LinkError> {
        let reason = reason.to_owned();
        self.commands.send(&Command::Cancel { reason }).await
    }

    /// Ends the job at once; its agent still reports.
    pub async fn kill(&self) -> Result<(), LinkError> {
        self.commands.send(&Command::Kill).await
    }

    /// Answers a request; an error is one sentence for the step's log.
    pub async fn reply(&self, id: u64, result: Result<Reply, String>) -> Result<(), LinkError> {
        self.commands.send(&Command::Reply { id, result }).await
    }

    /// Says something of a request that is not answered yet, for the step's log.
    pub async fn progress(&self, id: u64, lines: Vec<String>, warnings: Vec<String>) -> Result<(), LinkError> {
        self.commands.send(&Command::Progress { id, lines, warnings }).await
    }

    /// The next event. Dropping the future loses nothing. After [`LinkEvent::Closed`] it is `Closed` for ever.
    pub async fn next(&mut self) -> Result<LinkEvent, LinkError> {
        loop {
            if let Some(event) = self.request()? {
                return Ok(event);
            }
            if let Some(event) = self.read()? {
                return Ok(event);
            }
            if self.turn >= TURN {
                self.turn = 0;
                self.listen()?;
                tokio::task::yield_now().await;
                continue;
            }
            let Some(socket) = self.socket.as_mut() else {
                return Ok(LinkEvent::Closed);
            };
            // A silence is as good as a notice: the spool is looked at again.
            if let Ok(filled) = tokio::time::timeout(SAFETY, self.lines.fill(socket)).await
                && !filled.map_err(LinkError::Io)?
            {
                self.socket = None;
            }
        }
    }

    /// A request among the notices read so far; hellos and hints are dropped.
    fn request(&mut self) -> Result<Option<LinkEvent>, LinkError> {
        while let Some(notice) = self.lines.buffered().map_err(LinkError::Io)? {
            match notice {
                Notice::Request { id, body } => return Ok(Some(LinkEvent::Request { id, body })),
                Notice::Withdraw { id, why } => return Ok(Some(LinkEvent::Withdraw { id, why })),
                Notice::Hello { .. } | Notice::Grown { .. } => {}
            }
        }
        Ok(None)
    }

    /// The next record that is wanted; none at the end of the spool or of the turn.
    fn read(&mut self) -> Result<Option<LinkEvent>, LinkError> {
        let logs = self.logs.load(Ordering::Relaxed);
        while self.turn < TURN {
            let Some(line) = self.tail.next_line().map_err(LinkError::Io)? else {
                break;
            };
            self.turn += 1;
            if !logs && line.is_log() {
                continue;
            }
            match line.decode() {
                Ok(record) => return Ok(Some(LinkEvent::Record(record, line.end))),
                Err(error) => {
                    tracing::warn!(start = line.start, %error, "a line of the spool is damaged");
                }
            }
        }
        Ok(None)
    }

    /// Notices that came while the spool was read.
    fn listen(&mut self) -> Result<(), LinkError> {
        if let Some(socket) = &self.socket
            && !self.lines.fill_now(socket).map_err(LinkError::Io)?
        {
            self.socket = None;
        }
        Ok(())
    }
}
