//! Workflow commands a step prints, carried out line by line.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Instant;

use rustix::fs::OFlags;
use tagline_protocol::{AnnotationLevel, Stream};

use super::effects::Effects;
use super::process::Attendant;
use crate::journal::Journal;
use crate::output::LineSink;
use crate::output::command::{REGISTERED, WorkflowCommand, parse};
use crate::output::matcher::{self, Matcher, Matchers};

/// A stop token longer than this is masked: it switches commands on again.
const SHORT_TOKEN: usize = 6;
/// The most bytes a file of problem matchers may have.
const MOST_MATCHERS: u64 = 1024 * 1024;

/// Reads one step's output.
pub(super) struct StepOutput<'s> {
    /// Where lines go.
    pub journal: &'s mut Journal,
    /// What commands change.
    pub effects: &'s mut Effects,
    /// `set-env` and `add-path` are carried out.
    pub unsecure: bool,
    /// The job's problem matchers.
    pub matchers: &'s mut Matchers,
    /// Whether the step goes on though the job is cancelled.
    pub goes_on: &'s dyn Fn() -> bool,
    /// Until this token commands are output.
    stopped: Option<String>,
    echo: bool,
}

impl<'s> StepOutput<'s> {
    /// For a step that begins.
    pub(super) fn new(
        journal: &'s mut Journal,
        effects: &'s mut Effects,
        unsecure: bool,
        matchers: &'s mut Matchers,
        goes_on: &'s dyn Fn() -> bool,
    ) -> Self {
        matchers.begin_step();
        Self { journal, effects, unsecure, matchers, goes_on, stopped: None, echo: false }
    }

    /// Carries out the command on a line. False when the line is plain output.
    fn command(&mut self, line: &str) -> bool {
        if let Some(token) = &self.stopped {
            let resumed = parse(line, &[token.as_str()]).is_some();
            if resumed {
                self.stopped = None;
            }
            return resumed;
        }
        let Some(command) = parse(line, &REGISTERED) else {
            return false;
        };
        if self.echo
            && !matches!(
                command.name.as_str(),
                "add-mask" | "group" | "endgroup" | "debug" | "notice" | "warning" | "error"
            )
        {
            self.journal.line(Stream::Output, line.as_bytes());
        }
        if let Err(why) = self.carry_out(command) {
            self.journal.annotate(AnnotationLevel::Error, &why, &indexmap::IndexMap::new());
            self.effects.fail(why);
        }
        true
    }

    /// An error fails the step.
    fn carry_out(&mut self, command: WorkflowCommand) -> Result<(), String> {
        let WorkflowCommand { name, properties, data } = command;
        let property = |key: &str| {
            let found = properties.iter().find(|(known, _)| known.eq_ignore_ascii_case(key));
            found.map(|(_, value)| value.clone()).ok_or_else(|| format!("`::{name}` needs `{key}=…`"))
        };
        match name.as_str() {
            "debug" => self.lines(Stream::Debug, &data),
            "group" => self.journal.line(Stream::Group, data.as_bytes()),
            "endgroup" => self.journal.line(Stream::EndGroup, b""),
            "notice" => self.journal.tell(AnnotationLevel::Notice, &data, &properties),
            "warning" => self.journal.tell(AnnotationLevel::Warning, &data, &properties),
            "error" => self.journal.tell(AnnotationLevel::Error, &data, &properties),
            "add-mask" if data.trim().is_empty() => self.journal.warn("`::add-mask::` was given nothing to mask"),
            "add-mask" => self.journal.mask([data.as_str()]),
            "stop-commands" => self.stop(&data)?,
            "echo" => match data.trim().to_ascii_lowercase().as_str() {
                "on" => self.echo = true,
                "off" => self.echo = false,
                other => return Err(format!("`::echo::` takes `on` or `off`, not `{other}`")),
            },
            "set-output" => {
                self.journal.warn("`::set-output` is deprecated: write `NAME=VALUE` to the file of GITHUB_OUTPUT");
                self.effects.outputs.insert(property("name")?, data);
            }
            "save-state" => {
                self.journal.warn("`::save-state` is deprecated: write `NAME=VALUE` to the file of GITHUB_STATE");
                self.effects.state.insert(property("name")?, data);
            }
            "set-env" => {
                self.secure("set-env", "GITHUB_ENV")?;
                if let Err(why) = self.effects.set_env(&property("name")?, &data) {
                    self.journal.tell(AnnotationLevel::Error, &why, &indexmap::IndexMap::new());
                }
            }
            "add-path" => {
                self.secure("add-path", "GITHUB_PATH")?;
                self.effects.paths.push(data);
            }
            "add-matcher" => self.matchers.add(matchers(self.matchers.workspace(), &data)?),
            "remove-matcher" => match property("owner") {
                Ok(owner) => self.matchers.remove(&owner),
                Err(why) if data.trim().is_empty() => return Err(why),
                Err(_) => {
                    for matcher in matchers(self.matchers.workspace(), &data)? {
                        self.matchers.remove(&matcher.owner);
                    }
                }
            },
            // Every registered command is above.
            _ => {}
        }
        Ok(())
    }

    fn secure(&self, command: &str, file: &str) -> Result<(), String> {
        if self.unsecure {
            return Ok(());
        }
        Err(format!(
            "`::{command}` is refused: whoever gets a line into this output could use it; write to the file of {file}"
        ))
    }

    fn stop(&mut self, token: &str) -> Result<(), String> {
        let token = token.trim();
        let taken = REGISTERED.iter().any(|known| known.eq_ignore_ascii_case(token));
        if token.is_empty() || taken || token.eq_ignore_ascii_case("pause-logging") {
            return Err("`::stop-commands::` needs a token that is no command's name".to_owned());
        }
        if token.len() > SHORT_TOKEN {
            self.journal.mask([token]);
        }
        self.stopped = Some(token.to_owned());
        Ok(())
    }

    fn lines(&mut self, stream: Stream, text: &str) {
        for line in text.lines() {
            self.journal.line(stream, line.as_bytes());
        }
    }
}

/// The matchers in a file, named from the workspace.
fn matchers(workspace: &Path, file: &str) -> Result<Vec<Matcher>, String> {
    let file = file.trim();
    if file.is_empty() {
        return Err("`::add-matcher::` needs the path of a file".to_owned());
    }
    let wrong = |why: String| format!("the problem matchers of `{file}` cannot be used: {why}");
    let text = matcher_file(&workspace.join(file)).map_err(|error| wrong(error.to_string()))?;
    matcher::parse(&text).map_err(|error| wrong(error.to_string()))
}

/// The text of a regular file; nothing else is opened to the end, as the step chose the path.
fn matcher_file(path: &Path) -> io::Result<String> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.len() > MOST_MATCHERS {
        return Err(io::Error::other("it is no file, or larger than 1 MiB"));
    }
    let mut text = String::new();
    file.take(MOST_MATCHERS).read_to_string(&mut text)?;
    Ok(text)
}

impl LineSink for StepOutput<'_> {
    fn line(&mut self, line: &[u8]) {
        // Two bytes tell most lines apart, before anything is decoded.
        let candidate = line.windows(2).any(|pair| pair == b"::" || pair == b"##");
        if candidate && self.command(&String::from_utf8_lossy(line)) {
            return;
        }
        self.journal.line(Stream::Output, line);
        if !self.matchers.is_empty()
            && let Some(problem) = self.matchers.look(&String::from_utf8_lossy(line))
        {
            self.journal.annotate(problem.level, &problem.message, &problem.properties);
        }
    }

    fn part(&mut self, part: &[u8], last: bool) {
        self.journal.part(Stream::Output, part, last);
    }
}

impl Attendant for StepOutput<'_> {
    fn channel(&self) -> Option<BorrowedFd<'_>> {
        None
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
