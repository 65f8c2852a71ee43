//! The files a step and the agent exchange: the script, and the file commands GITHUB_ENV, GITHUB_OUTPUT, GITHUB_PATH,
//! GITHUB_STATE and GITHUB_STEP_SUMMARY, new for each step and read when it has ended.
//!
//! They lie in a folder of RUNNER_TEMP that the step may write. The agent reaches it by descriptor and follows no
//! link in it: what a step leaves there cannot lead the agent elsewhere.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use tagline_protocol::StepUser;

/// The folder below RUNNER_TEMP.
pub(crate) const FILE_COMMANDS: &str = "_runner_file_commands";
/// The most a file command may hold.
const MOST: u64 = 16 * 1024 * 1024;

/// A file command: the variable that names its file, and the file's name.
const COMMANDS: [(&str, &str); 5] = [
    ("GITHUB_ENV", "set_env"),
    ("GITHUB_OUTPUT", "set_output"),
    ("GITHUB_PATH", "add_path"),
    ("GITHUB_STATE", "save_state"),
    ("GITHUB_STEP_SUMMARY", "step_summary"),
];

/// The folder of all steps' files.
#[derive(Debug)]
pub(super) struct Exchange {
    folder: OwnedFd,
    path: String,
    user: Option<StepUser>,
}

/// The files of one step. They are removed when it is dropped.
#[derive(Debug)]
pub(super) struct StepFiles<'e> {
    exchange: &'e Exchange,
    step: u32,
    script: Option<String>,
}

impl Exchange {
    /// Makes the folder in `temp`.
    pub(super) fn make(temp: &str, user: Option<StepUser>) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let temp_folder = rustix::fs::open(temp, flags, Mode::empty())?;
        match rustix::fs::mkdirat(&temp_folder, FILE_COMMANDS, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let folder = rustix::fs::openat(&temp_folder, FILE_COMMANDS, flags | OFlags::NOFOLLOW, Mode::empty())?;
        let exchange = Self { folder, path: format!("{temp}/{FILE_COMMANDS}"), user };
        exchange.hand_over(&exchange.folder)?;
        Ok(exchange)
    }

    /// The event as GITHUB_EVENT_PATH names it.
    pub(super) fn write_event(&self, event: &serde_json::Value) -> io::Result<String> {
        let mut text = serde_json::to_string_pretty(event)?;
        text.push('\n');
        self.make_file("event.json", text.as_bytes(), 0o444)?;
        Ok(self.path_of("event.json"))
    }

    /// Empty files for a step.
    pub(super) fn begin(&self, step: u32) -> io::Result<StepFiles<'_>> {
        let files = StepFiles { exchange: self, step, script: None };
        for (_, name) in COMMANDS {
            self.make_file(&files.name(name), b"", 0o600)?;
        }
        Ok(files)
    }

    fn path_of(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    fn make_file(&self, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&self.folder, name, flags, Mode::from_raw_mode(mode))?);
        file.write_all(content)?;
        self.hand_over(&file)
    }

    fn hand_over(&self, file: &impl std::os::fd::AsFd) -> io::Result<()> {
        if let Some(StepUser { uid, gid }) = self.user {
            rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        Ok(())
    }

    /// The content of a file, empty where it is gone. Only an ordinary file is read.
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.folder, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            other => File::from(other?),
        };
        let meta = file.metadata()?;
        if !meta.is_file() || meta.nlink() > 1 {
            return Err(io::Error::other("it is no ordinary file any more"));
        }
        let mut content = Vec::new();
        file.take(MOST + 1).read_to_end(&mut content)?;
        if content.len() as u64 > MOST {
            return Err(io::Error::other("it is larger than 16 MiB"));
        }
        Ok(content)
    }
}

impl StepFiles<'_> {
    /// The variables that name the files.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, String)> {
        COMMANDS.map(|(variable, name)| (variable, self.exchange.path_of(&self.name(name)))).into_iter()
    }

    /// Writes the script; readable and runnable by the step, for nobody to change. Its path comes back.
    pub(super) fn write_script(&mut self, text: &str, extension: &str) -> io::Result<String> {
        let name = format!("{}{extension}", self.name("script"));
        self.exchange.make_file(&name, text.as_bytes(), 0o500)?;
        let path = self.exchange.path_of(&name);
        self.script = Some(name);
        Ok(path)
    }

    /// What the step wrote to the file of a variable. An error names it.
    pub(super) fn content(&self, variable: &str) -> Result<String, String> {
        let name = COMMANDS.iter().find(|(known, _)| *known == variable).map_or(variable, |(_, name)| name);
        let content = self.exchange.read(&self.name(name));
        let content = content.map_err(|error| format!("the file of {variable} cannot be read: {error}"))?;
        String::from_utf8(content).map_err(|_| format!("the file of {variable} is not UTF-8"))
    }

    fn name(&self, kind: &str) -> String {
        format!("{kind}_{}", self.step)
    }
}

impl Drop for StepFiles<'_> {
    fn drop(&mut self) {
        let names = COMMANDS.map(|(_, name)| self.name(name));
        for name in names.iter().chain(&self.script) {
            // What stays is removed with the job folder.
            let _ = rustix::fs::unlinkat(&self.exchange.folder, name.as_str(), AtFlags::empty());
        }
    }
}
