//! `uses:` steps: the agent's side of the helper that carries out a built-in action.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use indexmap::IndexMap;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::net::RecvFlags;
use tagline_actions::Builtin;
use tagline_protocol::{StepAction, StepSpec, StepUser, Stream};

use super::Job;
use super::effects::Effects;
use super::process::{Attendant, Ended};
use super::script::{become_user, goes_on};
use crate::control::Control;
use crate::helper::unknown;
use crate::helper::wire::{Answer, Ask, Line, Order};
use crate::journal::Journal;
use crate::output::LineSink;
use crate::places::Places;

impl Job {
    /// Runs a built-in action to its end; an error is why it could not begin.
    pub(super) fn run_action(
        &mut self,
        number: u32,
        spec: &StepSpec,
        deadline: Option<Instant>,
        effects: &mut Effects,
    ) -> Result<Ended, String> {
        let StepAction::Uses { uses, with } = &spec.action else {
            return Err("the step uses no action".to_owned());
        };
        let Some(builtin) = Builtin::lookup(uses) else {
            return Err(unknown(uses));
        };
        let mut values = IndexMap::new();
        for (name, template) in with {
            let value = self.scope.text(template, &self.hasher.function());
            let value = value.map_err(|why| format!("`with.{name}` cannot be evaluated: {why}"))?;
            values.insert(name.clone(), value);
        }
        show(&mut self.journal, uses, &values);
        if matches!(builtin, Builtin::Delivery(_)) {
            return Ok(self.deliver(number, spec, uses, values, deadline, effects));
        }
        let order = Order { uses: uses.clone(), with: values, paths: self.paths.clone() };
        let (ours, theirs) = UnixStream::pair().map_err(|error| format!("cannot start {uses}: {error}"))?;
        let line = Line::new(ours.into());
        line.tell(&order).map_err(|error| format!("cannot start {uses}: {error}"))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("action").env_clear().env("HOME", &self.paths.home);
        become_user(&mut command, self.user);
        let goes_on = goes_on(&self.scope, spec);
        let mut desk = Desk {
            journal: &mut self.journal,
            effects,
            line: Some(line),
            places: &self.places,
            control: &self.control,
            user: self.user,
            step: number,
            made: 0,
            waiting: None,
            goes_on: &goes_on,
        };
        let stdin = Stdio::from(std::os::fd::OwnedFd::from(theirs));
        let ended = self.processes.run(&mut command, stdin, &mut self.watch, deadline, &mut desk);
        desk.close();
        ended.map_err(|error| format!("cannot start {uses}: {error}"))
    }
}

/// What is about to run, folded away.
fn show(journal: &mut Journal, uses: &str, with: &IndexMap<String, String>) {
    journal.line(Stream::Group, format!("Run {uses}").as_bytes());
    for (name, value) in with {
        journal.say(&format!("{name}: {value}"));
    }
    journal.line(Stream::EndGroup, b"");
}

/// Serves one helper.
struct Desk<'d> {
    journal: &'d mut Journal,
    effects: &'d mut Effects,
    /// Until the helper hangs up.
    line: Option<Line>,
    places: &'d Places,
    control: &'d Control,
    user: Option<StepUser>,
    step: u32,
    /// Files made in the outbox so far.
    made: u32,
    /// The request whose answer the helper waits for.
    waiting: Option<u64>,
    goes_on: &'d dyn Fn() -> bool,
}

impl Desk<'_> {
    /// Takes in what the helper says.
    fn listen(&mut self) {
        let Some(line) = &mut self.line else {
            return;
        };
        let mut asks = Vec::new();
        let result = match line.receive(RecvFlags::DONTWAIT) {
            Ok(open) => loop {
                match line.next::<Ask>() {
                    Ok(Some(ask)) => asks.push(ask),
                    Ok(None) => break Ok(open),
                    Err(error) => break Err(error),
                }
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        };
        for ask in asks {
            self.serve(ask);
        }
        if !matches!(result, Ok(true)) {
            self.line = None;
        }
    }

    fn serve(&mut self, ask: Ask) {
        match ask {
            Ask::Output { name, value } => {
                self.effects.outputs.insert(name, value);
            }
            Ask::Say { text } => text.lines().for_each(|line| self.journal.line(Stream::Output, line.as_bytes())),
            Ask::Warn { text } => self.journal.warn(&text),
            Ask::Fail { why } => self.effects.fail(why),
            Ask::Engine(request) => self.waiting = Some(self.control.request(request)),
            Ask::Inbox { name } => {
                let opened = self.places.inbox(&name).and_then(|file| self.open_up(file));
                self.answer(&name, opened);
            }
            Ask::OutboxFile => {
                let name = self.new_name("tar");
                let made = self.places.outbox_file(&name).and_then(|file| self.hand_over(file));
                self.answer(&name, made);
            }
            Ask::OutboxFolder => {
                let name = self.new_name("folder");
                let made = self.places.outbox_folder(&name).and_then(|file| self.hand_over(file));
                self.answer(&name, made);
            }
        }
    }

    fn new_name(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{}-{}.{kind}", self.step, self.made)
    }

    /// Makes the helper's user the owner.
    fn hand_over(&self, file: File) -> io::Result<File> {
        if let Some(StepUser { uid, gid }) = self.user {
            rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        Ok(file)
    }

    /// Lets the helper's user read what the engine has put into the inbox.
    fn open_up(&self, file: File) -> io::Result<File> {
        if self.user.is_some() {
            open_up(&file)?;
        }
        Ok(file)
    }

    fn answer(&mut self, name: &str, file: io::Result<File>) {
        let Some(line) = &self.line else {
            return;
        };
        let sent = match file {
            Ok(file) => line.hand_over(&Answer::Opened { name: name.to_owned() }, &file),
            Err(error) => {
                line.tell(&Answer::Refused { why: format!("{name} of the job folder cannot be opened: {error}") })
            }
        };
        if sent.is_err() {
            self.line = None;
        }
    }

    /// Hands on the engine's answer once it is there.
    fn hand_on(&mut self) {
        let Some(answer) = self.waiting.and_then(|id| self.control.answer(id)) else {
            return;
        };
        self.waiting = None;
        let answer = match answer {
            Ok(reply) => Answer::Engine(reply),
            Err(why) => Answer::Refused { why },
        };
        if self.line.as_ref().is_some_and(|line| line.tell(&answer).is_err()) {
            self.line = None;
        }
    }

    /// The helper has ended: what it said last counts, what it still waits for does not.
    fn close(&mut self) {
        while self.line.is_some() {
            self.listen();
        }
        if let Some(id) = self.waiting.take() {
            self.control.forget(id);
        }
    }
}

impl LineSink for Desk<'_> {
    fn line(&mut self, line: &[u8]) {
        self.journal.line(Stream::Output, line);
    }

    fn part(&mut self, part: &[u8], last: bool) {
        self.journal.part(Stream::Output, part, last);
    }
}

impl Attendant for Desk<'_> {
    fn channel(&self) -> Option<BorrowedFd<'_>> {
        self.line.as_ref().map(|line| line.socket().as_fd())
    }

    fn attend(&mut self) {
        self.listen();
        self.hand_on();
    }

    fn failure(&self) -> Option<String> {
        self.journal.failure().map(str::to_owned)
    }

    fn due(&self) -> Option<Instant> {
        self.journal.due()
    }

    fn flush_due(&mut self) {
        self.journal.flush_due();
    }

    fn goes_on(&mut self) -> bool {
        (self.goes_on)()
    }
}

/// Makes a file readable, or a folder with all below.
fn open_up(file: &File) -> io::Result<()> {
    let meta = file.metadata()?;
    if !meta.is_dir() {
        return Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(0o644))?);
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(0o755))?;
    for entry in rustix::fs::Dir::read_from(file)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        open_up(&rustix::fs::openat(file, name, flags, Mode::empty())?.into())?;
    }
    Ok(())
}
