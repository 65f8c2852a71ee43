//! Commands beside the engine: through its socket where one serves the store, else in one transaction under the lock.

use std::io;
use std::path::{Path, PathBuf};
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
            match line.ask(run, &Request::Tell { run, input: Box::new(input.clone()) }).await? {
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
    let its = folder.clone();
    let work = move || {
        // Opened first: a store that is not there is not made here.
        Store::open_read_only(&its)?;
        let _lock = lock::take(&its, lock::COMMAND)?;
        let mut ledger = Ledger::new(Arc::new(Store::open(&its)?), None);
        let mut told = ledger.tell(vec![(run, input, clock::now())], &mut Vec::new());
        let events = told.answers.pop().map_or(Ok(Vec::new()), |one| one.map(|told| told.events))?;
        forget_secrets(&ledger, run, &events);
        Ok(Told { events, engine_serves: false })
    };
    let use_it = |error| {
        let path = folder.root().to_owned();
        Err(StoreError::Io { doing: "use the store at", path, source: io::Error::other(error) }.into())
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(use_it)
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
    match line.ask(run, &Request::TakeUp { run }).await? {
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
        Err(error) => Err(line.broken(error)),
        Ok(()) => Ok(Some(Following { line })),
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
            Err(error) => Err(self.line.broken(error)),
            Ok(heard) => Ok(heard.is_some()),
        }
    }
}

/// A connection to the engine.
#[derive(Debug)]
struct Line {
    socket: PathBuf,
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Line {
    /// None when nobody listens: no engine, or one without a socket.
    async fn open(folder: &StoreFolder) -> Result<Option<Self>, TellError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let path = folder.socket();
        loop {
            match socket::connect(&path).await {
                Ok(stream) => {
                    let (reader, writer) = stream.into_split();
                    return Ok(Some(Self { socket: path, lines: BufReader::new(reader).lines(), writer }));
                }
                Err(error) if unread(&error) || nobody(&error) => return Ok(None),
                // More commands wait for the engine than its queue holds.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(broken(&path, error)),
            }
        }
    }

    /// The answer; none when the engine ended before it heard the question.
    async fn ask(&mut self, run: RunId, request: &Request) -> Result<Option<Response>, TellError> {
        let answer = match self.send(request).await {
            Ok(()) => self.hear().await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(Some(Response::Ended)) => Ok(None),
            Ok(Some(response)) => Ok(Some(response)),
            Ok(None) => Err(TellError::Unanswered { run, socket: self.socket.clone() }),
            Err(error) if unread(&error) => Ok(None),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn broken(&self, source: io::Error) -> TellError {
        broken(&self.socket, source)
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

fn broken(socket: &Path, source: io::Error) -> TellError {
    StoreError::Io { doing: "talk to the engine at", path: socket.to_owned(), source }.into()
}

fn unexpected(folder: &StoreFolder, response: Response) -> TellError {
    match response {
        Response::Refused { refusal } => refusal.into(),
        Response::Failed { why, trouble } => trouble.into_error(folder, why),
        other => broken(&folder.socket(), io::Error::other(format!("an answer of the wrong kind: {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    /// What a command hears from an engine that does this with its line.
    async fn heard(engine: impl AsyncFnOnce(UnixListener)) -> TellError {
        let scratch = tempfile::tempdir().unwrap();
        let folder = StoreFolder::at(scratch.path());
        folder.create().unwrap();
        let listener = socket::listen(&folder.socket()).unwrap();
        let cancel = Input::Cancel { by: tagline_plan::Person::default(), reason: String::new(), force: false };
        let (told, ()) = tokio::join!(tell(&folder, RunId(7), cancel), engine(listener));
        told.unwrap_err()
    }

    #[tokio::test]
    async fn an_engine_that_ends_in_mid_answer_may_have_stored_it() {
        let error = heard(async |listener| {
            let (stream, _) = listener.accept().await.unwrap();
            let mut lines = BufReader::new(stream).lines();
            lines.next_line().await.unwrap().unwrap();
        })
        .await;
        let TellError::Unanswered { run, socket } = error else { panic!("{error:?}") };
        assert!(run == RunId(7) && socket.is_absolute() && socket.ends_with("tagline.sock"), "{socket:?}");
    }

    #[tokio::test]
    async fn a_broken_line_names_the_whole_socket() {
        let error = heard(async |listener| {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            stream.get_mut().write_all(b"nonsense\n").await.unwrap();
        })
        .await;
        let TellError::Store(StoreError::Io { path, .. }) = error else { panic!("{error:?}") };
        assert!(path.is_absolute(), "{path:?}");
    }
}
