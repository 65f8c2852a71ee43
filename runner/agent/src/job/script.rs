//! `run:` steps.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use indexmap::IndexMap;
use tagline_protocol::{StepAction, StepSpec, StepUser, Stream};

use super::commands::StepOutput;
use super::effects::Effects;
use super::files::StepFiles;
use super::process::Ended;
use super::{Job, injection, vars};
use crate::journal::Journal;
use crate::shell::Shell;

impl Job {
    /// Runs a script to its end; an error is why it could not begin.
    pub(super) fn run_script(
        &mut self,
        number: u32,
        spec: &StepSpec,
        env: &IndexMap<String, String>,
        deadline: Option<Instant>,
        effects: &mut Effects,
    ) -> Result<Ended, String> {
        let StepAction::Run { script, shell, working_directory } = &spec.action else {
            return Err("the step has no script".to_owned());
        };
        let text = injection::expand(&self.scope, script, &self.hasher.function())?;
        let mut files =
            self.exchange.begin(number).map_err(|error| format!("cannot prepare the step's files: {error}"))?;
        let vars = self.variables(env, &files);
        let shell = shell.as_ref().or(self.spec.default_shell.as_ref());
        let shell = shell.map(|shell| self.scope.text(shell, &self.hasher.function())).transpose()?;
        let shell =
            Shell::find(shell.as_deref(), self.spec.in_container, &vars["PATH"]).map_err(|error| error.to_string())?;
        let folder = self.folder(working_directory.as_deref())?;
        let path = files
            .write_script(&shell.dress(&text), shell.extension)
            .map_err(|error| format!("cannot write the step's script: {error}"))?;
        let (program, arguments) = shell.command(&path);
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&folder).env_clear().envs(&vars);
        become_user(&mut command, self.user);
        show(&mut self.journal, &text, &shell);
        let goes_on = goes_on(&self.scope, spec);
        let unsecure = unsecure(&vars, self.spec.has_environment);
        let mut output = StepOutput::new(&mut self.journal, effects, unsecure, &mut self.matchers, &goes_on);
        let ended = self
            .processes
            .run(&mut command, Stdio::null(), &mut self.watch, deadline, &mut output)
            .map_err(|error| format!("cannot start {}: {error}", shell.describe()))?;
        effects.read(&files, number, &mut self.journal);
        Ok(ended)
    }

    /// The step's variables: base, workflow and job, GITHUB_ENV, its own, and last the runner's, which stay.
    pub(super) fn variables(&self, env: &IndexMap<String, String>, files: &StepFiles<'_>) -> IndexMap<String, String> {
        let mut vars = self.base.clone();
        vars.extend(self.scope.env.clone());
        vars.extend(env.clone());
        let path = vars::path(&vars["PATH"], &self.added);
        vars.insert("PATH".to_owned(), path);
        vars.extend(vars::own(&self.scope.github, &self.paths));
        vars.extend(files.variables().map(|(name, path)| (name.to_owned(), path)));
        vars
    }

    /// The folder the step runs in.
    fn folder(&self, own: Option<&str>) -> Result<String, String> {
        let template = own.or(self.spec.default_working_directory.as_deref()).unwrap_or_default();
        let folder = self.scope.text(template, &self.hasher.function())?;
        let path = Path::new(&self.paths.workspace).join(&folder);
        if path.is_dir() {
            return Ok(path.to_string_lossy().into_owned());
        }
        Err(format!(
            "`working-directory: {folder}` is not there: {} is no folder; make it in an earlier step, or check out first",
            path.display()
        ))
    }
}

/// Whether the step goes on though the job is cancelled: its condition holds all the same.
pub(super) fn goes_on<'s>(scope: &'s super::Scope, spec: &'s StepSpec) -> impl Fn() -> bool + 's {
    move || {
        let mut scope = scope.clone();
        scope.status.cancelled = true;
        let hash = |_: &[tagline_syntax::expression::Value]| Ok(tagline_syntax::expression::Value::Null);
        let condition = spec.condition.as_deref().unwrap_or_default();
        scope.condition(condition, &hash).unwrap_or(false)
    }
}

/// Whether `set-env` and `add-path` are carried out: the file asks for it, and nothing is deployed here.
fn unsecure(vars: &IndexMap<String, String>, has_environment: bool) -> bool {
    let asked = vars.get("ACTIONS_ALLOW_UNSECURE_COMMANDS");
    !has_environment && asked.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The steps' user, who owns nothing of the agent's.
pub(super) fn become_user(command: &mut Command, user: Option<StepUser>) {
    if let Some(StepUser { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
}

/// What is about to run, folded away, as GitHub shows it.
fn show(journal: &mut Journal, script: &str, shell: &Shell) {
    let first = script.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    journal.line(Stream::Group, format!("Run {}", first.trim()).as_bytes());
    journal.say(script);
    journal.say(&format!("shell: {}", shell.describe()));
    journal.line(Stream::EndGroup, b"");
}
