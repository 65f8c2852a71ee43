//! A filter together with its `-ignore` form.

use super::{File, Rule};
use crate::diagnostic::{Diagnostic, Span};

pub(super) struct BothFilters;

impl Rule for BothFilters {
    fn name(&self) -> &'static str {
        "both-filters"
    }

    fn doc(&self) -> &'static str {
        "An event takes `branches` or `branches-ignore`, not both; the same holds for `tags` and `paths`. GitHub does not \
         start such a workflow, and neither does the engine. Write one list, with `!` before what is left out."
    }

    fn bad(&self) -> &'static str {
        "on:\n  push:\n    branches: [main]\n    branches-ignore: [wip]\njobs:\n  a:\n    runs-on: ubuntu-latest\n"
    }

    fn good(&self) -> &'static str {
        "on:\n  push:\n    branches: [main, '!wip']\njobs:\n  a:\n    runs-on: ubuntu-latest\n"
    }

    fn check(&self, file: &File<'_>, found: &mut Vec<Diagnostic>) {
        for (name, event) in &file.workflow.on.events {
            for filter in event.both_filters() {
                let message = format!("`{name}` has `{filter}` and `{filter}-ignore`, and can have one of them");
                let key = format!("{filter}-ignore");
                let event = file.source.text().find(name.as_str()).unwrap_or_default();
                let at = file.source.text()[event..].find(&key).map_or(event, |at| event + at);
                let report = Diagnostic::warning(self.name(), Span::new(at, at + key.len()), message);
                found.push(report.help(format!("write `!` patterns in `{filter}`")));
            }
        }
    }
}
