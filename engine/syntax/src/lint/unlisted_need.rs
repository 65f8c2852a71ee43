//! `needs.X` in a job that does not need X.

use super::{File, Rule};
use crate::diagnostic::Diagnostic;
use crate::expression::nearest;

pub(super) struct UnlistedNeed;

impl Rule for UnlistedNeed {
    fn name(&self) -> &'static str {
        "unlisted-need"
    }

    fn doc(&self) -> &'static str {
        "The context `needs` holds the jobs that a job names in its own `needs`, not those that come before them. \
         Anything else is empty, without an error."
    }

    fn bad(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n  b:\n    needs: a\n    runs-on: ubuntu-latest\n  c:\n    \
         needs: b\n    if: needs.a.result == 'success'\n    runs-on: ubuntu-latest\n"
    }

    fn good(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n  b:\n    needs: a\n    runs-on: ubuntu-latest\n  c:\n    \
         needs: [a, b]\n    if: needs.A.result == 'success'\n    runs-on: ubuntu-latest\n"
    }

    fn check(&self, file: &File<'_>, found: &mut Vec<Diagnostic>) {
        for one in file.expressions() {
            let Some(job) = one.place.job else { continue };
            for reference in one.expr.references().iter().filter(|reference| reference.context == "needs") {
                let Some(name) = reference.keys().next() else { continue };
                if job.needs.iter().any(|need| need.eq_ignore_ascii_case(name)) {
                    continue;
                }
                let span = file.part(one.text, reference.start, reference.end);
                let message = format!("job `{}` does not need `{name}`, so `{reference}` is empty", job.id);
                let report = Diagnostic::warning(self.name(), span, message);
                let exists = file.workflow.jobs.keys().any(|id| id.eq_ignore_ascii_case(name));
                found.push(match nearest(name, job.needs.iter().map(String::as_str)) {
                    Some(guess) if !exists => report.help(format!("did you mean `{guess}`?")),
                    _ if job.id.eq_ignore_ascii_case(name) => report.help("a job knows its own steps as `steps`"),
                    _ => report.help(format!("add `{name}` to `needs` of the job")),
                });
            }
        }
    }
}
