//! `inputs.X` where no event of the workflow declares X.

use super::{File, Rule};
use crate::diagnostic::Diagnostic;
use crate::expression::nearest;

pub(super) struct UndeclaredInput;

impl Rule for UndeclaredInput {
    fn name(&self) -> &'static str {
        "undeclared-input"
    }

    fn doc(&self) -> &'static str {
        "The context `inputs` holds what `workflow_dispatch` or `workflow_call` of the same file declares. Any other name \
         is empty, without an error, and a run that was started by another event has no inputs at all."
    }

    fn bad(&self) -> &'static str {
        "on:\n  workflow_dispatch:\n    inputs: { level: { type: string } }\njobs:\n  a:\n    runs-on: ubuntu-latest\n    \
         if: inputs.levle == 'high'\n"
    }

    fn good(&self) -> &'static str {
        "on:\n  workflow_dispatch:\n    inputs: { level: { type: string } }\njobs:\n  a:\n    runs-on: ubuntu-latest\n    \
         if: inputs.Level == 'high'\n"
    }

    fn check(&self, file: &File<'_>, found: &mut Vec<Diagnostic>) {
        let declared: Vec<&str> =
            file.workflow.on.events.values().flat_map(|event| event.inputs.keys().map(String::as_str)).collect();
        for one in file.expressions() {
            for reference in one.expr.references().iter().filter(|reference| reference.context == "inputs") {
                let Some(name) = reference.keys().next() else { continue };
                if declared.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                    continue;
                }
                let span = file.part(one.text, reference.start, reference.end);
                let report =
                    Diagnostic::warning(self.name(), span, format!("no event of this workflow has the input `{name}`"));
                found.push(match nearest(name, declared.iter().copied()) {
                    Some(guess) => report.help(format!("did you mean `{guess}`?")),
                    None => report,
                });
            }
        }
    }
}
