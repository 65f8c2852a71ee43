//! What helper and agent say to each other: JSON, one value a line, with a descriptor where one is answered.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use indexmap::IndexMap;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tagline_protocol::{JobPaths, Reply, Request};

/// The first line to the helper.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// As written: `actions/checkout@v4`.
    pub(crate) uses: String,
    /// Inputs, evaluated.
    pub(crate) with: IndexMap<String, String>,
    /// Where things are.
    pub(crate) paths: JobPaths,
}

/// One line of the helper.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// An output of the step.
    Output { name: String, value: String },
    /// A line for the log.
    Say { text: String },
    /// A warning.
    Warn { text: String },
    /// The step fails.
    Fail { why: String },
    /// Something only the engine has. Answered.
    Engine(Request),
    /// A file or folder of the inbox. Answered with a descriptor.
    Inbox { name: String },
    /// A new file in the outbox. Answered with a descriptor.
    OutboxFile,
    /// A new folder in the outbox. Answered with a descriptor.
    OutboxFolder,
}

/// One line of the agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// What the engine says.
    Engine(Reply),
    /// The descriptor is here; its name in inbox or outbox.
    Opened { name: String },
    /// It cannot be; one sentence.
    Refused { why: String },
}

/// One side of the line.
#[derive(Debug)]
pub(crate) struct Line {
    socket: OwnedFd,
    received: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Line {
    /// A side of a connected pair.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, received: Vec::new(), descriptors: Vec::new() }
    }

    /// The helper's side.
    pub(crate) fn standard_input() -> io::Result<Self> {
        Ok(Self::new(rustix::stdio::stdin().try_clone_to_owned()?))
    }

    /// The socket, to wait for.
    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Sends a value, and waits for room.
    pub(crate) fn tell(&self, value: &impl Serialize) -> io::Result<()> {
        self.send(value, None)
    }

    /// Sends a value with a descriptor.
    pub(crate) fn hand_over(&self, value: &impl Serialize, file: &File) -> io::Result<()> {
        self.send(value, Some(file))
    }

    fn send(&self, value: &impl Serialize, file: Option<&File>) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        let mut rest = line.as_slice();
        let files = file.map(AsFd::as_fd).into_iter().collect::<Vec<_>>();
        let mut attached = !files.is_empty();
        while !rest.is_empty() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if std::mem::take(&mut attached) {
                control.push(SendAncillaryMessage::ScmRights(&files));
            }
            let sent = rustix::net::sendmsg(&self.socket, &[IoSlice::new(rest)], &mut control, SendFlags::NOSIGNAL)?;
            rest = &rest[sent..];
        }
        Ok(())
    }

    /// Takes in what has come. False at the end.
    pub(crate) fn receive(&mut self, flags: RecvFlags) -> io::Result<bool> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffer = [0; 16 * 1024];
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        let message = rustix::net::recvmsg(&self.socket, &mut [IoSliceMut::new(&mut buffer)], &mut control, flags)?;
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = part {
                self.descriptors.extend(files);
            }
        }
        self.received.extend_from_slice(&buffer[..message.bytes]);
        Ok(message.bytes > 0)
    }

    /// The next whole value that has come.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(end) = self.received.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let line: Vec<u8> = self.received.drain(..=end).collect();
        Ok(Some(serde_json::from_slice(&line)?))
    }

    /// The next value, waited for.
    fn wait<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        loop {
            if let Some(value) = self.next()? {
                return Ok(value);
            }
            if !self.receive(RecvFlags::empty())? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The order, at the helper's start.
    pub(crate) fn order(&mut self) -> io::Result<Order> {
        self.wait()
    }

    /// Asks the engine; a refusal is the error.
    pub(crate) fn engine(&mut self, request: Request) -> Result<Reply, String> {
        match self.ask(&Ask::Engine(request))? {
            Answer::Engine(reply) => Ok(reply),
            Answer::Refused { why } => Err(why),
            Answer::Opened { .. } => Err("the agent answered something else".to_owned()),
        }
    }

    /// Asks for a descriptor; its name comes with it.
    pub(crate) fn open(&mut self, ask: &Ask) -> Result<(String, File), String> {
        match self.ask(ask)? {
            Answer::Opened { name } => {
                let file = self.descriptors.pop().ok_or("the agent sent no file")?;
                Ok((name, file.into()))
            }
            Answer::Refused { why } => Err(why),
            Answer::Engine(_) => Err("the agent answered something else".to_owned()),
        }
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer, String> {
        let answer = self.tell(ask).and_then(|()| self.wait());
        answer.map_err(|error| format!("the agent is gone: {error}"))
    }
}
