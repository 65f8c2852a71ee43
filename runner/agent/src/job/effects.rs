//! What a step changes for the steps after it, by file commands or by workflow commands.

use indexmap::IndexMap;
use tagline_protocol::{AnnotationLevel, Record};

use super::files::StepFiles;
use crate::env_file;
use crate::journal::Journal;

/// The most a step summary may hold.
const MOST_SUMMARY: usize = 1024 * 1024;

/// Variables that make later programs run other code, and PATH, for which there is GITHUB_PATH. A step that was
/// tricked into writing one to GITHUB_ENV must not hand its successor over.
const REFUSED: [&str; 21] = [
    "NODE_OPTIONS",
    "LD_PRELOAD",
    "LD_AUDIT",
    "BASH_ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PROMPT_COMMAND",
    "IFS",
    "PATH",
    "PERL5OPT",
    "PERL5DB",
    "PYTHONSTARTUP",
    "PYTHONHOME",
    "RUBYOPT",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_EXEC_PATH",
    "GIT_ASKPASS",
    "GIT_PROXY_COMMAND",
    "GIT_EXTERNAL_DIFF",
    "GIT_PAGER",
];

/// What a step changes.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Its outputs.
    pub outputs: IndexMap<String, String>,
    /// Variables for later steps.
    pub env: IndexMap<String, String>,
    /// Folders for the front of PATH, in the order given.
    pub paths: Vec<String>,
    /// State for the post step of the same action.
    pub state: IndexMap<String, String>,
    /// Why the step fails though its process did not.
    pub failure: Option<String>,
}

impl Effects {
    /// The step fails for this reason, unless it already does for another.
    pub(super) fn fail(&mut self, why: impl Into<String>) {
        self.failure.get_or_insert_with(|| why.into());
    }

    /// Sets a variable for later steps, unless it may not be set; then the error says why.
    pub(super) fn set_env(&mut self, name: &str, value: &str) -> Result<(), String> {
        if let Some(why) = refusal(name) {
            return Err(format!("`{name}` cannot be set by GITHUB_ENV: {why}"));
        }
        if value.contains('\0') || name.contains(['=', '\0']) {
            return Err(format!("`{name}` cannot be set: no variable can hold a zero byte, and no name `=`"));
        }
        self.env.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Reads what the step wrote to its files; also when it failed.
    pub(super) fn read(&mut self, files: &StepFiles<'_>, step: u32, journal: &mut Journal) {
        let pairs = |variable: &str, failure: &mut Option<String>| {
            let parsed = files.content(variable).and_then(|text| {
                env_file::parse(&text).map_err(|error| format!("the file of {variable} is not understood: {error}"))
            });
            parsed.unwrap_or_else(|why| {
                failure.get_or_insert(why);
                Vec::new()
            })
        };
        let env = pairs("GITHUB_ENV", &mut self.failure);
        let outputs = pairs("GITHUB_OUTPUT", &mut self.failure);
        let state = pairs("GITHUB_STATE", &mut self.failure);
        for (name, value) in env {
            if let Err(why) = self.set_env(&name, &value) {
                journal.tell(AnnotationLevel::Error, &why, &IndexMap::new());
            }
        }
        self.outputs.extend(outputs);
        self.state.extend(state);
        match files.content("GITHUB_PATH") {
            Ok(text) => {
                let folders = text.trim_start_matches('\u{feff}').lines().filter(|line| !line.is_empty());
                self.paths.extend(folders.map(str::to_owned));
            }
            Err(why) => self.fail(why),
        }
        match files.content("GITHUB_STEP_SUMMARY") {
            Ok(text) if text.is_empty() => {}
            Ok(text) if text.len() > MOST_SUMMARY => {
                let message = format!("the step summary is dropped: it has {} bytes, the most is 1 MiB", text.len());
                journal.tell(AnnotationLevel::Error, &message, &IndexMap::new());
            }
            Ok(text) => {
                let text = journal.masked(&text);
                journal.record(&Record::Summary { step, text });
            }
            Err(why) => journal.warn(&why),
        }
    }
}

/// Why a variable may not be set for later steps; none when it may.
pub fn refusal(name: &str) -> Option<&'static str> {
    if name == "PATH" {
        return Some("write the folder to the file of GITHUB_PATH");
    }
    // Its name looks like one of the runner's, but the runner sets none.
    if name == "GITHUB_TOKEN" {
        return None;
    }
    if name == "CI" || name.starts_with("GITHUB_") || name.starts_with("RUNNER_") {
        return Some("it is the runner's own");
    }
    let git = name.starts_with("GIT_CONFIG");
    (git || REFUSED.contains(&name))
        .then_some("it would change what later programs run; set it in `env:` of the step that needs it")
}
