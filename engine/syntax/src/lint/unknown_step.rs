//! `steps.X` where no step before has that id.

use super::{Expression, File, Rule};
use crate::diagnostic::Diagnostic;
use crate::expression::{Reference, nearest};
use crate::workflow::{Job, Step};

pub(super) struct UnknownStep;

/// What the context has of a step.
const KEYS: [&str; 3] = ["outputs", "outcome", "conclusion"];

impl Rule for UnknownStep {
    fn name(&self) -> &'static str {
        "unknown-step"
    }

    fn doc(&self) -> &'static str {
        "The context `steps` holds the steps of the same job that have an `id` and have run: each with `outputs`, \
         `outcome` and `conclusion`. Anything else is empty, without an error."
    }

    fn bad(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - { id: build, run: make }\n      \
         - { if: steps.biuld.outcome == 'success', run: make install }\n"
    }

    fn good(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - { id: build, run: make }\n      \
         - { if: steps.Build.outcome == 'success', run: make install }\n"
    }

    fn check(&self, file: &File<'_>, found: &mut Vec<Diagnostic>) {
        for one in file.expressions() {
            let Some(job) = one.place.job else { continue };
            for reference in one.expr.references().iter().filter(|reference| reference.context == "steps") {
                found.extend(self.look(file, one, job, reference));
            }
        }
    }
}

impl UnknownStep {
    fn look(&self, file: &File<'_>, one: &Expression<'_>, job: &Job, reference: &Reference) -> Option<Diagnostic> {
        let mut keys = reference.keys();
        let id = keys.next()?;
        let span = file.part(one.text, reference.start, reference.end);
        let named = |step: &&Step| step.id.eq_ignore_ascii_case(id) && !step.id.starts_with("__");
        let Some(step) = job.steps.iter().find(named) else {
            let report =
                Diagnostic::warning(self.name(), span, format!("job `{}` has no step with the id `{id}`", job.id));
            let ids = job.steps.iter().map(|step| step.id.as_str()).filter(|id| !id.starts_with("__"));
            return Some(match nearest(id, ids) {
                Some(guess) => report.help(format!("did you mean `{guess}`?")),
                None => report.help("give the step an `id`"),
            });
        };
        if one.place.step.is_some_and(|user| user.at <= step.at) {
            let message = format!("the step `{id}` has not run yet, so `{reference}` is empty");
            return Some(Diagnostic::warning(self.name(), span, message));
        }
        let key = keys.next().filter(|key| !KEYS.iter().any(|known| known.eq_ignore_ascii_case(key)))?;
        let report =
            Diagnostic::warning(self.name(), span, format!("a step has no `{key}`, so `{reference}` is empty"));
        Some(report.help(format!("what it has is `outputs`, `outcome` and `conclusion`: steps.{id}.outputs.{key}")))
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::SourceFile;
    use crate::lint::{Options, run};

    fn messages(condition: &str) -> Vec<String> {
        let text = format!(
            "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - {{ id: one, run: x }}\n      \
             - {{ id: two, if: \"{condition}\", run: x }}\n      - {{ id: three, run: x }}\n"
        );
        run(&SourceFile::new("a.yml", text), &Options::default()).into_iter().map(|one| one.message).collect()
    }

    #[test]
    fn a_step_sees_those_before_it_and_what_they_have() {
        assert_eq!(messages("steps.one.outputs.any && steps[env.ID].outcome && steps.*.outcome"), [""; 0]);
        assert_eq!(messages("steps.one.ok"), ["a step has no `ok`, so `steps.one.ok` is empty"]);
        for later in ["two", "three"] {
            let expected = format!("the step `{later}` has not run yet, so `steps.{later}.outcome` is empty");
            assert_eq!(messages(&format!("steps.{later}.outcome")), [expected]);
        }
        assert_eq!(messages("steps.four.outcome"), ["job `a` has no step with the id `four`"]);
    }
}
