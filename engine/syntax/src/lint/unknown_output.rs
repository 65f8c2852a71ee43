//! `needs.X.outputs.Y` where the job X has no output Y.

use super::{File, Rule};
use crate::diagnostic::Diagnostic;
use crate::expression::nearest;

pub(super) struct UnknownOutput;

impl Rule for UnknownOutput {
    fn name(&self) -> &'static str {
        "unknown-output"
    }

    fn doc(&self) -> &'static str {
        "The context `needs` has the `result` of a job and the `outputs` that the job declares. An output that is not \
         declared is empty, also where a step of that job has one of that name."
    }

    fn bad(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    outputs: { version: 1.0.0 }\n  b:\n    needs: a\n    \
         runs-on: ubuntu-latest\n    if: needs.a.outputs.versoin\n"
    }

    fn good(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    outputs: { version: 1.0.0 }\n  b:\n    needs: a\n    \
         runs-on: ubuntu-latest\n    if: needs.a.outputs.Version\n"
    }

    fn check(&self, file: &File<'_>, found: &mut Vec<Diagnostic>) {
        for one in file.expressions() {
            let needs = one.place.job.map(|job| job.needs.as_slice()).unwrap_or_default();
            for reference in one.expr.references().iter().filter(|reference| reference.context == "needs") {
                let keys: Vec<&str> = reference.keys().collect();
                // A job that is not needed is another rule's; the outputs of a called workflow are in its file.
                let known = |id: &str| needs.iter().find(|need| need.eq_ignore_ascii_case(id));
                let job = keys.first().and_then(|id| file.workflow.jobs.get(known(id)?));
                let Some(job) = job.filter(|job| job.call.is_none()) else { continue };
                let (message, guess) = match keys.as_slice() {
                    [_, key, name, ..] if key.eq_ignore_ascii_case("outputs") => {
                        let mut outputs = job.outputs.keys().map(String::as_str);
                        if outputs.clone().any(|output| output.eq_ignore_ascii_case(name)) {
                            continue;
                        }
                        (format!("job `{}` has no output `{name}`", job.id), nearest(name, outputs.by_ref()))
                    }
                    [_, key, ..] if !["result", "outputs"].iter().any(|known| known.eq_ignore_ascii_case(key)) => {
                        let message = format!("`needs.{}` has no `{key}`, only `result` and `outputs`", job.id);
                        (message, nearest(key, ["result", "outputs"]))
                    }
                    _ => continue,
                };
                let span = file.part(one.text, reference.start, reference.end);
                let report = Diagnostic::warning(self.name(), span, message);
                found.push(match guess {
                    Some(guess) => report.help(format!("did you mean `{guess}`?")),
                    None => report,
                });
            }
        }
    }
}
