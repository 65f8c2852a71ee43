//! Commands beside the engine: through its socket where one serves the store, else in one transaction under the lock.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tagline_run::{Event, Fact, Input, RunId};
use tagline_store::{Store, StoreError, StoreFolder};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::clock;
use crate::ledger::{self, Ledger, TellError};
use crate::lock;
use crate::secrets;
use crate::socket;
use crate::wire::{Request, Response};

/// What a run was told, and who goes on with it.
#[derive(Debug)]
pub struct Told {
    /// The events it led to, stored.
    pub events: Vec<Event>,
    /// An engine serves the store and goes on by itself; else `tagline resume` does.
    pub engine_serves: bool,
}

/// A lock that a passing command holds, and a socket with a long queue, are free again within this.
const PATIENCE: Duration = Duration::from_millis(600);
const AGAIN: Duration = Duration::from_millis(40);

/// Tells a run something.
///
/// # Errors
/// The run's refusal; the store's trouble; [`StoreError::Busy`] when an engine without a socket holds the store, which is
/// a `run` or `resume` that begins or ends.
pub async fn tell(folder: &StoreFolder, run: RunId, input: Input) -> Result<Told, TellError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(mut line) = Line::open(folder).await? {
            match line.ask(&Request::Tell { run, input: Box::new(input.clone()) }).await? {
                Some(Response::Told { events }) => return Ok(Told { events, engine_serves: true }),
                Some(other) => return Err(unexpected(folder, other)),
                // The engine ended and read nothing of it.
                None => {}
            }
        }
        match tell_without_engine(folder, run, input.clone()).await {
            Err(TellError::Store(StoreError::Busy { .. })) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(AGAIN).await;
            }
            told => return told,
        }
    }
}

async fn tell_without_engine(folder: &StoreFolder, run: RunId, input: Input) -> Result<Told, TellError> {
    let folder = folder.clone();
    let work = move || {
        // Opened first: a store that is not there is not made here.
        Store::open_read_only(&folder)?;
        let _lock = lock::take(&folder, lock::COMMAND)?;
        let mut ledger = Ledger::new(Arc::new(Store::open(&folder)?), None);
        let mut told = ledger.tell(vec![(run, input, clock::now())], &mut Vec::new());
        let events = told.answers.pop().map_or(Ok(Vec::new()), |one| one.map(|told| told.events))?;
        forget_secrets(&ledger, run, &events);
        Ok(Told { events, engine_serves: false })
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(broken(io::Error::other(error))))
}

/// No engine is there to see a run end here, so the secrets it was given go at once. What cannot be removed now stands in
/// the outbox for the next engine.
fn forget_secrets(ledger: &Ledger, run: RunId, events: &[Event]) {
    let Some(entry) = ledger.get(run).filter(|entry| entry.state.finished.is_some()) else { return };
    let ended = events.iter().any(|event| matches!(event.fact, Fact::RunFinished { .. }));
    if ended && secrets::forget(ledger.store(), run) {
        // Lost, they would be done once more, which does no harm.
        let _ = ledger.store().done(&ledger::secrets_keys(&entry.state));
    }
}

/// Lets the engine drive a run that was begun in its store.
///
/// # Returns
/// False when no engine serves the store.
pub async fn take_up(folder: &StoreFolder, run: RunId) -> Result<bool, TellError> {
    let Some(mut line) = Line::open(folder).await? else { return Ok(false) };
    match line.ask(&Request::TakeUp { run }).await? {
        Some(Response::TakenUp) => Ok(true),
        Some(other) => Err(unexpected(folder, other)),
        None => Ok(false),
    }
}

/// Whether an engine serves the store and takes commands.
pub async fn engine_serves(folder: &StoreFolder) -> Result<bool, TellError> {
    Ok(Line::open(folder).await?.is_some())
}

/// Follows a run that an engine drives.
///
/// # Returns
/// None when no engine serves the store.
pub async fn follow(folder: &StoreFolder, run: RunId) -> Result<Option<Following>, TellError> {
    let Some(mut line) = Line::open(folder).await? else { return Ok(None) };
    match line.send(&Request::Follow { run }).await {
        Err(error) if unread(&error) => Ok(None),
        sent => sent.map(|()| Some(Following { line })).map_err(broken),
    }
}

/// A run that is followed.
#[derive(Debug)]
pub struct Following {
    line: Line,
}

impl Following {
    /// Waits until something has happened; false when the engine has ended. The first call answers at once.
    pub async fn changed(&mut self) -> Result<bool, TellError> {
        match self.line.hear().await {
            Err(error) if unread(&error) => Ok(false),
            heard => Ok(heard.map_err(broken)?.is_some()),
        }
    }
}

/// A connection to the engine.
#[derive(Debug)]
struct Line {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Line {
    /// None when nobody listens: no engine, or one without a socket.
    async fn open(folder: &StoreFolder) -> Result<Option<Self>, TellError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match socket::connect(&folder.socket()).await {
                Ok(stream) => {
                    let (reader, writer) = stream.into_split();
                    return Ok(Some(Self { lines: BufReader::new(reader).lines(), writer }));
                }
                Err(error) if unread(&error) || nobody(&error) => return Ok(None),
                // More commands wait for the engine than its queue holds.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(broken(error)),
            }
        }
    }

    /// The answer; none when the engine ended before it heard the question.
    async fn ask(&mut self, request: &Request) -> Result<Option<Response>, TellError> {
        let answer = match self.send(request).await {
            Ok(()) => self.hear().await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(Some(Response::Ended)) => Ok(None),
            Ok(Some(response)) => Ok(Some(response)),
            Ok(None) => Err(broken(io::ErrorKind::UnexpectedEof.into())),
            Err(error) if unread(&error) => Ok(None),
            Err(error) => Err(broken(error)),
        }
    }

    async fn send(&mut self, request: &Request) -> io::Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.writer.write_all(&line).await
    }

    async fn hear(&mut self) -> io::Result<Option<Response>> {
        let Some(line) = self.lines.next_line().await? else { return Ok(None) };
        Ok(Some(serde_json::from_str(&line)?))
    }
}

fn nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Whether the other end was closed with our line in it, as an engine's queue is when it ends.
fn unread(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

fn broken(source: io::Error) -> TellError {
    StoreError::Io { doing: "talk to the engine at", path: "tagline.sock".into(), source }.into()
}

fn unexpected(folder: &StoreFolder, response: Response) -> TellError {
    match response {
        Response::Refused { refusal } => refusal.into(),
        Response::Failed { why } => {
            let path = folder.socket();
            StoreError::Io { doing: "use the engine at", path, source: io::Error::other(why) }.into()
        }
        other => broken(io::Error::other(format!("an answer of the wrong kind: {other:?}"))),
    }
}
