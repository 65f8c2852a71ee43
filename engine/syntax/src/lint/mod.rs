//! Lint: what reading finds, and rules about what is valid and probably not meant.
//!
//! [`run`] gives both at once. A rule is one file: its name (which is the diagnostics' code), its documentation, and a
//! bad and a good example that are run as tests. [`RULES`] lists them all; a new rule is a new file and a new line there.
//!
//! Invariant: a rule of this module never makes an error of what GitHub accepts, except where an environments file is
//! given and does not know an environment. Delivery actions are not GitHub's.

mod both_filters;
mod cycle;
mod deprecated_commands;
mod differences;
mod duplicate_group;
mod file;
mod mistaken_expression;
mod steps_in_gated_delivery;
mod text_in_if;
mod undeclared_input;
mod unknown_environment;
mod unknown_input;
mod unknown_job;
mod unknown_matrix_value;
mod unknown_output;
mod unknown_step;
mod unlisted_need;
mod untrusted_in_run;

use std::collections::BTreeMap;

use crate::action;
use crate::diagnostic::{Diagnostic, SourceFile, tidy};
use crate::environments::EnvironmentsFile;
use crate::workflow::draft;

pub use file::{Expression, File, Place};

/// What a lint may know besides the file itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'o> {
    /// The environments file in force.
    pub environments: Option<&'o EnvironmentsFile>,
    /// Where it was read, for messages: `main, 71aa0c3`.
    pub environments_origin: Option<&'o str>,
    /// Built-in actions by name, without a version: `actions/checkout`.
    pub actions: Option<&'o BTreeMap<String, ActionInputs>>,
    /// The file is for GitHub: in place of what only this engine asks for, tells where GitHub would act otherwise.
    pub github: bool,
}

/// The inputs of an action.
#[derive(Debug, Clone, Default)]
pub struct ActionInputs {
    /// Every input.
    pub known: Vec<String>,
    /// Those without which the action does not run.
    pub required: Vec<String>,
}

/// One thing that lint looks for.
pub trait Rule: Sync {
    /// The code of its diagnostics.
    fn name(&self) -> &'static str;
    /// What it is about, why it matters and what to do: a few sentences.
    fn doc(&self) -> &'static str;
    /// A workflow that it reports.
    fn bad(&self) -> &'static str;
    /// The same, mended.
    fn good(&self) -> &'static str;
    /// Looks at a file. Rules that already hold when a workflow is read have nothing to add here.
    fn check(&self, file: &File<'_>, found: &mut Vec<Diagnostic>) {
        let _ = (file, found);
    }
}

/// Every rule.
pub const RULES: &[&dyn Rule] = &[
    &unknown_job::UnknownJob,
    &cycle::Cycle,
    &duplicate_group::DuplicateGroup,
    &text_in_if::TextInIf,
    &unknown_environment::UnknownEnvironment,
    &untrusted_in_run::UntrustedInRun,
    &unlisted_need::UnlistedNeed,
    &deprecated_commands::DeprecatedCommands,
    &unknown_input::UnknownInput,
    &both_filters::BothFilters,
    &mistaken_expression::MistakenExpression,
    &unknown_step::UnknownStep,
    &unknown_output::UnknownOutput,
    &unknown_matrix_value::UnknownMatrixValue,
    &undeclared_input::UndeclaredInput,
    &steps_in_gated_delivery::StepsInGatedDelivery,
];

/// Reads a file and applies every rule. In the order of the file; an error says that the file cannot be used.
///
/// A file named `action.yml` or `action.yaml` is an action's metadata, any other a workflow.
pub fn run(source: &SourceFile, options: &Options<'_>) -> Vec<Diagnostic> {
    let name = source.name().rsplit(['/', '\\']).next().unwrap_or_default();
    if matches!(name, "action.yml" | "action.yaml") {
        return action::read(source).diagnostics;
    }
    let draft = draft(source);
    let mut found = draft.diagnostics;
    if let (Some(tree), Some(workflow)) = (&draft.tree, &draft.workflow) {
        let file = File::new(source, tree, workflow, options);
        for rule in RULES {
            rule.check(&file, &mut found);
        }
        if options.github {
            found.retain(|one| !differences::REPLACED.contains(&one.code));
            differences::check(&file, &mut found);
        }
    }
    tidy(&mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<&'static str> {
        let environments =
            crate::environments::read(&SourceFile::new("e.yml", "environments: { staging: , production: }\n"));
        let inputs = ActionInputs { known: vec!["ref".into(), "path".into()], required: Vec::new() };
        let actions = BTreeMap::from([("actions/checkout".to_owned(), inputs)]);
        let options = Options {
            environments: environments.file.as_ref(),
            environments_origin: Some("main, 71aa0c3"),
            actions: Some(&actions),
            github: false,
        };
        run(&SourceFile::new("a.yml", text), &options).iter().map(|one| one.code).collect()
    }

    #[test]
    fn every_bad_example_is_reported_and_every_good_one_is_clean() {
        for rule in RULES {
            assert_eq!(codes(rule.bad()), [rule.name()], "bad example of {}", rule.name());
            assert_eq!(codes(rule.good()), [""; 0], "good example of {}", rule.name());
        }
    }

    #[test]
    fn every_rule_is_documented_and_named_once() {
        let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
        assert!(RULES.iter().all(|rule| rule.doc().len() > 60));
    }

    #[test]
    fn rules_look_at_files_with_errors_too() {
        let text = "on: push\njobs:\n  a:\n    needs: [biuld]\n    runs-on: x\n    environment: prodution\n    steps:\n      \
                    - run: echo \"${{ github.event.head_commit.message }}\"\n  build:\n    runs-on: x\n";
        assert_eq!(codes(text), ["unknown-job", "unknown-environment", "untrusted-in-run"]);
    }
}
