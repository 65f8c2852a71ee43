//! Commands beside the engine: through its socket where one serves the store, else in one transaction under the lock.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use tagline_run::{Event, Input, RunId};
use tagline_store::{EngineLock, Store, StoreError, StoreFolder};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::ledger::{Ledger, TellError};
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

/// Tells a run something.
///
/// # Errors
/// The run's refusal; the store's trouble; [`StoreError::Busy`] when an engine without a socket holds the store, which is
/// a `run` or `resume` at hand.
pub async fn tell(folder: &StoreFolder, run: RunId, input: Input) -> Result<Told, TellError> {
    if let Some(mut line) = Line::open(folder).await? {
        let events = match line.ask(&Request::Tell { run, input: Box::new(input) }).await? {
            Response::Told { events } => events,
            other => return Err(unexpected(folder, other)),
        };
        return Ok(Told { events, engine_serves: true });
    }
    let (folder, what) = (folder.clone(), "a command".to_owned());
    let work = move || {
        // Opened first: a store that is not there is not made here.
        Store::open_read_only(&folder)?;
        let _lock = EngineLock::take(&folder, &what)?;
        let mut ledger = Ledger::new(Arc::new(Store::open(&folder)?), None);
        let mut told = ledger.tell(vec![(run, input)], &mut Vec::new(), Timestamp::now());
        let events = told.answers.pop().map_or(Ok(Vec::new()), |one| one.map(|told| told.events))?;
        Ok(Told { events, engine_serves: false })
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(broken(io::Error::other(error))))
}

/// Lets the engine drive a run that was begun in its store.
///
/// # Returns
/// False when no engine serves the store.
pub async fn take_up(folder: &StoreFolder, run: RunId) -> Result<bool, TellError> {
    let Some(mut line) = Line::open(folder).await? else { return Ok(false) };
    match line.ask(&Request::TakeUp { run }).await? {
        Response::TakenUp => Ok(true),
        other => Err(unexpected(folder, other)),
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
    line.send(&Request::Follow { run }).await?;
    Ok(Some(Following { line }))
}

/// A run that is followed.
#[derive(Debug)]
pub struct Following {
    line: Line,
}

impl Following {
    /// Waits until something has happened; false when the engine has ended. The first call answers at once.
    pub async fn changed(&mut self) -> Result<bool, TellError> {
        Ok(self.line.hear().await?.is_some())
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
        match socket::connect(&folder.socket()).await {
            Ok(stream) => {
                let (reader, writer) = stream.into_split();
                Ok(Some(Self { lines: BufReader::new(reader).lines(), writer }))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(error) => Err(broken(error)),
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<Response, TellError> {
        self.send(request).await?;
        self.hear().await?.ok_or_else(|| broken(io::ErrorKind::UnexpectedEof.into()))
    }

    async fn send(&mut self, request: &Request) -> Result<(), TellError> {
        let mut line = serde_json::to_vec(request).map_err(|error| broken(error.into()))?;
        line.push(b'\n');
        self.writer.write_all(&line).await.map_err(broken)
    }

    async fn hear(&mut self) -> Result<Option<Response>, TellError> {
        let Some(line) = self.lines.next_line().await.map_err(broken)? else { return Ok(None) };
        serde_json::from_str(&line).map(Some).map_err(|error| broken(error.into()))
    }
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
