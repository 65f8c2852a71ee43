//! Workflow commands that files have replaced.

use super::{File, Rule};
use crate::diagnostic::Diagnostic;
use crate::workflow::StepAction;

pub(super) struct DeprecatedCommands;

/// Each command with the file that replaces it, and whether it still works.
const COMMANDS: &[(&str, &str, bool)] = &[
    ("::set-output", "GITHUB_OUTPUT", true),
    ("::save-state", "GITHUB_STATE", true),
    ("::set-env", "GITHUB_ENV", false),
    ("::add-path", "GITHUB_PATH", false),
];

/// Most places told of one command in one script.
const MAX_FOUND: usize = 20;

impl Rule for DeprecatedCommands {
    fn name(&self) -> &'static str {
        "deprecated-command"
    }

    fn doc(&self) -> &'static str {
        "`::set-output` and `::save-state` on standard output still work; anything a program prints can forge them. \
         `::set-env` and `::add-path` fail the step unless `ACTIONS_ALLOW_UNSECURE_COMMANDS` is `true`, and always in a \
         job with an environment. Write to the file that the variable names instead."
    }

    fn bad(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo \"::set-output name=a::b\"\n"
    }

    fn good(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo \"a=b\" >> \"$GITHUB_OUTPUT\"\n"
    }

    fn check(&self, file: &File<'_>, found: &mut Vec<Diagnostic>) {
        for (_, step) in file.steps() {
            let StepAction::Run { script, .. } = &step.action else { continue };
            for (command, replacement, works) in COMMANDS {
                for (at, _) in script.text.match_indices(command).take(MAX_FOUND) {
                    let rest = &script.text[at + command.len()..];
                    // `::set-output name=…::` and `::add-path::…`, not `::set-outputs`.
                    if !rest.starts_with([' ', ':']) {
                        continue;
                    }
                    let fate = if *works { "is deprecated" } else { "fails the step" };
                    let span = file.part(script, at, at + command.len());
                    let report = Diagnostic::warning(self.name(), span, format!("`{command}` {fate}"));
                    found.push(report.help(format!("append the value to the file \"${replacement}\"")));
                }
            }
        }
    }
}
