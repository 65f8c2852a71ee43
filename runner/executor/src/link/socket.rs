//! The control socket: one JSON value a line, both ways.

use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tagline_protocol::{AgentState, Command, Notice, SOCKET, VERSION};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::LinkError;
use crate::folder::JobFolder;

/// What a socket's address may hold, without its final zero.
const ADDRESS: usize = 107;

/// A longer line is no agent's: requests are small.
const LONGEST: usize = 1024 * 1024;

/// An agent that takes longer to read or answer one line is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often an agent that lets go without an answer is asked again, and after how long.
const AGAIN: u32 = 3;
const PAUSE: Duration = Duration::from_millis(20);

/// The agent at the other end, and how it answered.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) stream: UnixStream,
    pub(crate) lines: Lines,
    pub(crate) state: AgentState,
}

impl Greeting {
    /// The agent's process, as this host counts.
    pub(crate) fn pid(&self) -> Option<u32> {
        let pid = self.stream.peer_cred().ok()?.pid()?;
        // 0 is a process that this one cannot see.
        u32::try_from(pid).ok().filter(|pid| *pid != 0)
    }
}

/// Connects and says hello. None when nobody listens: the agent is dead, or was never there.
///
/// An agent that ends lets go of its connections a moment before it stops listening: one that does not answer is asked
/// again before it is believed that it refuses.
pub(crate) async fn greet(folder: &JobFolder, token: &str) -> Result<Option<Greeting>, LinkError> {
    for _ in 0..AGAIN {
        match greet_once(folder, token).await {
            Err(LinkError::Refused) => tokio::time::sleep(PAUSE).await,
            answered => return answered,
        }
    }
    greet_once(folder, token).await
}

async fn greet_once(folder: &JobFolder, token: &str) -> Result<Option<Greeting>, LinkError> {
    let Some(mut stream) = connect(folder).await.map_err(LinkError::Io)? else {
        return Ok(None);
    };
    let hello = Command::Hello { version: VERSION, token: token.to_owned() };
    let mut lines = Lines::default();
    let exchange = async {
        if stream.write_all(&line(&hello)).await.is_err() {
            return Ok(None);
        }
        lines.next(&mut stream).await
    };
    let answer = timeout(PATIENCE, exchange).await.map_err(|_| LinkError::Silent)?;
    match answer.map_err(LinkError::Io)? {
        Some(Notice::Hello { version, state }) if version == VERSION => Ok(Some(Greeting { stream, lines, state })),
        Some(Notice::Hello { version, .. }) => Err(LinkError::Version { agent: version }),
        // It may have died between the two; then nobody listens now.
        None if connect(folder).await.map_err(LinkError::Io)?.is_none() => Ok(None),
        _ => Err(LinkError::Refused),
    }
}

/// A connection, if somebody listens.
async fn connect(folder: &JobFolder) -> io::Result<Option<UnixStream>> {
    let path = folder.socket();
    let connected = if path.as_os_str().len() <= ADDRESS {
        UnixStream::connect(&path).await
    } else {
        connect_by_handle(folder).await
    };
    match connected {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
            _ => Err(error),
        },
    }
}

/// Through the folder's handle, whose path is short however deep the folder is.
async fn connect_by_handle(folder: &JobFolder) -> io::Result<UnixStream> {
    let handle = folder.handle().map_err(io::Error::other)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()));
    UnixStream::connect(path.join(SOCKET)).await
}

fn line<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("a command is plain data");
    bytes.push(b'\n');
    bytes
}

/// Notices out of a stream of bytes. What was read of an unfinished line is kept, so a dropped `next` loses nothing.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
}

impl Lines {
    /// The next notice, read already.
    pub(crate) fn buffered(&mut self) -> io::Result<Option<Notice>> {
        let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let notice = serde_json::from_slice(&self.buffer[..end]);
        self.buffer.drain(..=end);
        Ok(Some(notice?))
    }

    /// The next notice; none when the other side has closed.
    async fn next(&mut self, stream: &mut UnixStream) -> io::Result<Option<Notice>> {
        loop {
            if let Some(notice) = self.buffered()? {
                return Ok(Some(notice));
            }
            let read = stream.read_buf(&mut self.buffer).await;
            if !self.took(read)? {
                return Ok(None);
            }
        }
    }

    /// Waits for more bytes; false when the other side has closed.
    pub(crate) async fn fill(&mut self, stream: &mut OwnedReadHalf) -> io::Result<bool> {
        let read = stream.read_buf(&mut self.buffer).await;
        self.took(read)
    }

    /// Takes what is there without waiting; false when the other side has closed.
    pub(crate) fn fill_now(&mut self, stream: &OwnedReadHalf) -> io::Result<bool> {
        let read = stream.try_read_buf(&mut self.buffer);
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            other => self.took(other),
        }
    }

    fn took(&self, read: io::Result<usize>) -> io::Result<bool> {
        match read {
            Ok(0) => Ok(false),
            // An agent that died with unread commands resets the connection.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error),
            Ok(_) if self.buffer.len() > LONGEST => {
                let why = "the agent sent a notice longer than 1 MiB";
                Err(io::Error::new(io::ErrorKind::InvalidData, why))
            }
            Ok(_) => Ok(true),
        }
    }
}

/// Sends commands; clones share the connection.
#[derive(Debug, Clone)]
pub struct Commands {
    half: Option<Arc<Mutex<OwnedWriteHalf>>>,
}

impl Commands {
    pub(crate) fn new(half: Option<OwnedWriteHalf>) -> Self {
        Self { half: half.map(|half| Arc::new(Mutex::new(half))) }
    }

    /// Sends one command. [`LinkError::Gone`] when no agent is there to take it.
    pub async fn send(&self, command: &Command) -> Result<(), LinkError> {
        let half = self.half.as_ref().ok_or(LinkError::Gone)?;
        let bytes = line(command);
        let mut half = half.lock().await;
        match timeout(PATIENCE, half.write_all(&bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(LinkError::Gone),
            Err(_) => {
                // Half a line may be out: nothing sensible can follow it.
                let _ = half.shutdown().await;
                Err(LinkError::Silent)
            }
        }
    }
}
